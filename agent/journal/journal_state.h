/* SPDX-License-Identifier: Apache-2.0 */
/* What the journal says: attempts, reservations, things that must be removed, epoch, drain mark.
 *
 *	journal_open(... journal_state_apply ...)     the past, folded
 *	journal_state_write_*                         record -> disk -> folded; then act
 *	journal_state_compact                         the fold, as a new and short journal
 *
 * Used by one courier at a time (the journal's thread). The owner gets copies. Payloads are
 * agent/journal/journal.proto, so that a newer agent can read an older one's file; a record type that this
 * agent does not know is damage, because forgetting a tombstone is worse than stopping.
 */
#pragma once

#include "agent/journal/journal.h"
#include "agent/kernel/attempt.h"
#include "agent/kernel/fences.h"
#include "agent/kernel/reservations.h"
#include "agent/kernel/verification.h"
#include "common/transfer.h"

#define JOURNAL_THINGS_MAX   256  /* with so many no image is made */
#define JOURNAL_ATTEMPTS_MAX 4096 /* the oldest ended ones are forgotten by compaction */
#define JOURNAL_LEAVE_MAX    64
/* Of a ladder: six steps, a throttle, a measure and an end, each with figures. */
#define JOURNAL_LADDER_BYTES 2048
/* With what operators changed meanwhile, which is refused when only the ladder's part is left. */
#define JOURNAL_DECISIONS_BYTES 5120

enum journal_phase {
	JOURNAL_STARTED = 1, /* accepted at the source; it may be running */
	JOURNAL_ENDED,
	JOURNAL_TOMBSTONED, /* will never act here */
};

/* One attempt at its source. */
struct journal_attempt {
	struct attempt_name attempt;
	enum journal_phase phase;
	char vm_uuid[VM_UUID_BYTES];
	char vm_name[VM_NAME_BYTES];
	char target_node[128];
	char target_address[128];
	uint32_t guard; /* enum guard, once known */
	uint32_t state; /* drover.v1.MigrationState at the end; decided before it is ENDED */
	uint32_t error_code;
	char reason[ERROR_TEXT_BYTES];
	uint64_t bandwidth_bytes_per_s; /* the settings, to go on after a restart */
	uint64_t max_downtime_ms;
	uint64_t completion_timeout_ms_per_gib;
	uint64_t progress_timeout_ms;
	bool tls;
	bool lease_owed; /* ended, and the destination was not heard to take its lease back */
	bool no_guard;   /* an administrator goes without the two-step commit */
	bool persistent, autostart; /* as the guest was before the move */
	bool paused;                /* not by the move: it arrives paused and stays so */
	uint32_t strategy;          /* strategy_pack */
	uint32_t rung;              /* of its ladder */
	bool bandwidth_tuned, max_downtime_tuned; /* by an operator, while it ran */
	bool post_copy;      /* switched, or about to be: it cannot be undone */
	bool paused_by_us;   /* to converge, or about to be: to be resumed if it stays */
	bool source_went_on; /* it was seen running at its source when the move was over */
	bool ran_twice; /* it was seen running on both hosts: only a person knows which is right */
	char decisions[JOURNAL_DECISIONS_BYTES]; /* what its ladder decided and why, a line each */
	char verification[VERIFICATION_TEXT_BYTES]; /* of the guest at its destination */
	bool waits_for_slot; /* ordered to be prepared; libvirt is asked after this was written as false */
	bool shortest_first;   /* it may be held for one of this host that is out sooner */
	bool stop_off_network; /* data that is not on the migration network ends the move */
	bool unsafe; /* an administrator's word stands for a proof of storage that cannot be had */
	bool copy_disks; /* what is not shared is copied */
	struct transfer transfer;
	char copied[512]; /* "vda /srv/web1.qcow2": which those are, for people */
	/* Where its data goes, written with the guard: an agent after us counts it on. "" = not known. */
	char migration_address[64];
	uint16_t port, disk_port;
	uint64_t wall_ms; /* when the last record was written; display */
	/* Of the outcome; 0 = not known, or not decided yet. */
	uint64_t duration_ms, downtime_ms, transferred_bytes, wire_bytes;
};

enum journal_thing_kind {
	JOURNAL_TUNNEL = 1, /* pid, start_ticks, path: its status file */
	JOURNAL_SOCKET,     /* path */
	JOURNAL_PROOF_FILE, /* path */
	JOURNAL_OTHER_FILE, /* path */
	JOURNAL_IMAGE,      /* path, vm_uuid, and once it exists device and inode */
};

/* Something made for an attempt that must be gone after it (invariant I15). */
struct journal_thing {
	struct attempt_name attempt;
	enum journal_thing_kind kind;
	uint32_t pid;
	uint64_t start_ticks;
	char path[VM_PATH_BYTES];
	/* An image: written before it is made, and again with what it is. It is no other thing then. */
	uint64_t device, inode, birth_ns;
	char vm_uuid[VM_UUID_BYTES];
};

struct journal_drain_mark {
	struct id drain_id;
	uint64_t epoch;
	bool draining, cordoned;
	char reason[256];
	char leave[JOURNAL_LEAVE_MAX][VM_NAME_BYTES];
	size_t n_leave;
	/* The rest of the drain, for a coordinator whose store was lost. */
	bool leave_unmovable, copy_disks;
	uint32_t parallel, strategy;
	uint64_t bandwidth_bytes_per_s, max_downtime_ms;
	uint64_t completion_timeout_ms_per_gib, progress_timeout_ms;
	bool maintenance; /* emptied: nothing is to start here */
	/* UUIDs of guests that may be shut down: no other is, whoever asks. */
	char shut_down[JOURNAL_LEAVE_MAX][VM_UUID_BYTES];
	size_t n_shut_down;
	uint64_t shutdown_timeout_ms;
};

struct journal_state {
	uint64_t epoch;
	struct journal_drain_mark drain_mark;
	struct journal_attempt *attempts; /* owned; oldest first */
	size_t n_attempts;
	struct reservation *reservations; /* owned; taken and not released */
	size_t n_reservations;
	struct attempt_name *released; /* owned; ended at this destination, oldest first */
	size_t n_released;
	struct journal_thing *things; /* owned; made and not removed */
	size_t n_things;
	struct fences fences; /* hosts declared dead */
};

void journal_state_deinit(struct journal_state *s);

/* For journal_open; @context is a struct journal_state. */
int journal_state_apply(const struct journal_record *r, void *context, struct error *err);

/* Each: the record is on the disk and in @s on return 0; nothing has changed on failure. */
int journal_state_write_attempt(struct journal_state *s, struct journal *j,
                                const struct journal_attempt *a, struct error *err);
int journal_state_write_taken(struct journal_state *s, struct journal *j,
                              const struct reservation *r, struct error *err);
int journal_state_write_released(struct journal_state *s, struct journal *j,
                                 const struct attempt_name *a, struct error *err);
int journal_state_write_made(struct journal_state *s, struct journal *j,
                             const struct journal_thing *t, struct error *err);
int journal_state_write_removed(struct journal_state *s, struct journal *j,
                                const struct journal_thing *t, struct error *err);
int journal_state_write_epoch(struct journal_state *s, struct journal *j, uint64_t epoch,
                              struct error *err);
int journal_state_write_drain_mark(struct journal_state *s, struct journal *j,
                                   const struct journal_drain_mark *m, struct error *err);
int journal_state_write_fence(struct journal_state *s, struct journal *j, const struct fence *f,
                              struct error *err);

/* Worth it when the journal has grown past 1 MiB and a good part of it is past. */
bool journal_state_wants_compaction(const struct journal_state *s, const struct journal *j);
int journal_state_compact(struct journal_state *s, struct journal *j, struct error *err);

const struct journal_attempt *journal_state_find_attempt(const struct journal_state *s,
                                                         const struct attempt_name *a);
