/* SPDX-License-Identifier: Apache-2.0 */
/* Guests on their way out: one source_attempt drives one try, from the order to the evidence.
 *
 *	ACCEPTING   the order is in the journal
 *	DESCRIBING  live XML, proofs of storage
 *	ADMITTING   the destination checks everything and reserves        } up to here nothing of the
 *	LINKING     the tunnel stands, the reservation is confirmed       } guest was touched: a failure
 *	 PREPARED   ordered to wait for its slot there: source_hold.c     } just cleans up
 *	MOVING      libvirt migrates; watched, limited, lease renewed
 *	RESOLVING   both hosts are looked at until the outcome is certain (resolve.h)
 *	CLEANING    lease, tunnel, files: gone or listed
 *	ENDED       journaled; the report stays for a while
 *
 * From MOVING on only RESOLVING decides how it ended: return codes, time-outs and cancels lead
 * there, never past it. An attempt that a previous agent left behind starts in MOVING or RESOLVING,
 * according to what libvirt says. Owner thread only.
 */
#pragma once

#include "agent/agent.h"
#include "agent/kernel/attempt.h"
#include "agent/kernel/guard.h"
#include "agent/kernel/ladder.h"
#include "agent/kernel/lanes.h"
#include "agent/kernel/pace.h"
#include "agent/kernel/recovery.h"
#include "agent/kernel/remnants.h"
#include "agent/kernel/resolve.h"
#include "agent/link/connections.h"
#include "agent/link/path_proof.h"
#include "agent/source/convergence.h"
#include "agent/source/outlook.h"
#include "agent/storage/storage_proof.h"
#include "agent/tunnel/spawn.h"
#include "proto/agent.rpc.h"

enum source_stage {
	SOURCE_ACCEPTING,
	SOURCE_DESCRIBING,
	SOURCE_ADMITTING,
	SOURCE_LINKING,
	SOURCE_PREPARED,
	SOURCE_MOVING,
	SOURCE_RESOLVING,
	SOURCE_CLEANING,
	SOURCE_ENDED,
	SOURCE_STAGES
};

const char *source_stage_name(enum source_stage stage);

struct source_attempt {
	struct agent *agent; /* borrowed */
	struct source_attempt *next;
	struct journal_attempt order; /* what was asked, as journaled */
	enum source_stage stage;
	struct loop_timer timer; /* the stage's own: polls and retries */
	uint64_t stage_since_ms;
	uint64_t stage_ms[SOURCE_STAGES]; /* spent in each that was left, by this agent */
	uint64_t started_ms, ended_ms;
	bool fenced;        /* this host was declared dead since: it acts no more */
	bool target_fenced; /* the destination was: it has nothing of the guest any more */
	bool ending;        /* its end or tombstone is being written: not yet to be relied on */
	struct loop_timer end_timer; /* the journal did not take it: again */
	unsigned errands; /* of this attempt under way; it is not freed before they are home */

	/* What is reported. */
	Drover__V1__MigrationState state;
	struct error reason;       /* code ERROR_NONE: none yet */
	struct check_list *checks; /* owned; the destination's, once asked */
	struct convergence_progress progress;
	struct vm_job job; /* last seen */
	uint64_t downtime_ms, transferred_bytes, wire_bytes;
	char leftover[256]; /* what could not be removed; "" = clean */

	/* CLEANING: the guest is compared at its destination meanwhile. */
	Drover__V1__VmDescription
		*left;          /* owned: as it was before; NULL: an agent before us described it */
	struct check left_here; /* of it, after the move */
	struct loop_timer verify_timer;
	bool verifying, cleaned;

	/* The destination's answer. */
	enum guard guard;
	char migration_address[64];
	uint16_t port, disk_port; /* disk_port 0: no disk is copied */
	char copied[VM_DISKS_MAX][sizeof(((struct vm_disk *)0)->target)];
	size_t n_copied;
	char tunnel_address[128];
	uint64_t lease_ttl_ms;
	uint64_t lease_renewed_ms;
	bool lease_taken; /* or may have been */

	/* Of the guest, as described last. */
	struct vm_disk *disks; /* owned array */
	size_t n_disks;
	uint64_t memory_bytes;

	/* What was made. */
	struct storage_proof *proofs; /* owned array */
	size_t n_proofs;
	bool storage_proved;
	struct tunnel tunnel;
	bool tunnel_made;
	bool preparing; /* a courier is making something of it; cleaned up when it is home */
	bool endpoint_registered, disk_endpoint_registered;
	bool counted_late; /* it had begun before we counted */
	struct traffic_endpoint endpoint, disk_endpoint;
	struct connections_watch *connections; /* owned; NULL: none looked for yet */
	struct path_proof path;

	/* MOVING. */
	struct courier_pool *mover; /* its thread blocks in libvirt's call; NULL when adopted */
	bool adopted;
	bool call_returned;
	struct error call_error;
	struct convergence convergence;
	struct outlook outlook;
	bool abort_wanted, abort_asked; /* reason says why */
	bool cancel_requested;
	bool cancel_refused; /* after the switch to post-copy */
	bool job_seen;
	bool switching;
	uint64_t switched_ms; /* when the guest was first seen paused for the switchover */
	bool asking;          /* a question about the job is under way */
	uint64_t no_job_since_ms;
	struct ladder ladder;
	struct pace pace;          /* what it leaves to others of itself */
	struct lane lane;          /* held for one that goes first? all zero: nobody has looked */
	uint64_t lane_ms, held_ms; /* when that was looked at; how long it was held, all in all */
	char held_for[VM_NAME_BYTES]; /* the last one */
	bool tuning_acts;           /* an operator's change is being made: not yet to be reported */
	bool tuning_owed;           /* adopted: what an operator changed may not have been set */
	bool ladder_acting;         /* a step is being written down or taken */
	uint64_t ladder_settled_ms; /* adopted: what the agent before had begun is over by then */
	uint64_t pause_done_ms;     /* when our pause had taken effect */
	unsigned switch_tries;
	bool guest_paused; /* by whomever, when last looked at */
	struct recovery recovery;
	bool recovering; /* the way to a resumed post-copy is being made; nothing else is begun */
	bool resuming;   /* libvirt's call is one that resumes */

	/* RESOLVING. */
	bool looking;
	uint64_t look_since_ms; /* when the latest look began */
	unsigned looks;
	bool finish_sent;
	enum vm_end guest_end; /* libvirt told that it ended here */
	bool lives_there;      /* it was seen running at the destination, and gone here */
	bool alarm;            /* a person has to act */
	bool closing_wanted;   /* cancelled: a guest that is nowhere is not looked for any more */
	unsigned undefine_tries, commit_tries, autostart_tries;
	unsigned release_tries; /* of the lease, also after the end */
	bool releasing;         /* it is being given back, or will be in a moment */

	/* After it: source_remnants.c. */
	struct remnant *remnants; /* owned array; NULL: nobody has looked */
	size_t n_remnants;
	struct remnants_run *remnants_run; /* owned; a look under way */
	char (*places)[VM_PATH_BYTES];     /* owned array: where proofs were made */
	size_t n_places;
};

/* The order, once its epoch was checked. Answers @in by itself. */
void source_start(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__StartMigrationRequest *request);

/* Cancel and probe. Answers @in by itself; an attempt never seen is tombstoned first. */
void source_cancel(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__AttemptRequest *request);
void source_probe(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__AttemptRequest *request);

/* A dry run for the coordinator. */
void source_preview(struct agent *agent, struct mesh_incoming *in,
                    const Drover__V1__PreviewRequest *request);

/* After a start: takes up what the journal says was under way. */
void source_adopt(struct agent *agent, const struct journal_state *past);

/* An event of libvirt about that guest. */
void source_vm_event(struct agent *agent, const struct hypervisor_event *e);

struct source_attempt *source_find(struct agent *agent, const struct attempt_name *name);
/* The attempt of that guest which has not ended, or NULL. */
struct source_attempt *source_find_vm(struct agent *agent, const char *uuid);
unsigned source_count_active(const struct agent *agent);
/* Of them, those that have an outbound slot; the others are held. */
unsigned source_count_slots(const struct agent *agent);
/* Those whose guest may be on its way. */
unsigned source_count_moving(const struct agent *agent);

const char *source_state_name(Drover__V1__MigrationState state); /* "running" */

/* What is known of it, for the wire; wire_free. */
Drover__V1__AttemptReport *source_report_new(const struct source_attempt *a);

/* Before a stop: no attempt goes on, and no thread of theirs runs any more. */
void source_freeze(struct agent *agent);
void source_stop(struct agent *agent);

/* --- between the source_*.c files --- */

/* Ended attempts that stay in memory, so that a coordinator which was away hears of them. */
#define SOURCE_ENDED_KEPT 256

struct source_attempt *source_new(struct agent *agent, const struct journal_attempt *order);
/* Takes it out of the agent's list, and frees it. */
void source_forget(struct source_attempt *a);
void source_enter(struct source_attempt *a, enum source_stage stage);
/* Ends with that state and reason after cleaning up. Before MOVING: at once. */
void source_fail(struct source_attempt *a, Drover__V1__MigrationState state,
                 const struct error *why);
/* Of an attempt that has ended: asks the destination again, in a moment, to take its lease back. */
void source_release_owed(struct source_attempt *a);
/* The very end: from CLEANING to ENDED. */
void source_end(struct source_attempt *a);
/* The same without waiting for that moment, however often it was asked before. */
void source_release_now(struct source_attempt *a);
/* In CLEANING, when no courier makes anything for it any more. */
void source_clean(struct source_attempt *a);
/* In CLEANING, of a guest that has moved: source_verify.c. Then source_verified. */
void source_verify(struct source_attempt *a);
void source_verified(struct source_attempt *a);
void source_changed(struct source_attempt *a);
/* Its order as it is now, for the agent after this one; nothing waits for it. */
void source_journal_order(const struct source_attempt *a);
/* Notes that something was made for the attempt, or removed: what a later agent must clean up. An
 * empty path is nothing. */
void source_journal_thing(struct source_attempt *a, enum journal_record_kind made_or_removed,
                          enum journal_thing_kind kind, const char *path,
                          const struct tunnel *tunnel);
void source_prepare(struct source_attempt *a); /* source_prepare.c */
void source_link(struct source_attempt *a);    /* source_link.c: then source_confirm */
void source_linked(struct source_attempt *a);  /* source_link.c: source_confirm, or source_hold */
void source_confirm(struct source_attempt *a); /* source_gate.c: then source_move_start */
void source_pace(struct source_attempt *a);    /* source_pace.c */
void source_move_start(struct source_attempt *a); /* source_move.c */
/* -ERROR_BUSY with the holders if this host's own outbound cap is reached. */
int source_check_slot(const struct agent *agent, struct error *err);
void source_add_slot_check(struct source_attempt *a); /* the same as a check of its report */

/* --- source_hold.c: all is ready, and no slot is free --- */

/* So many attempts are held at a time, beside those that have slots. */
#define SOURCE_HELD_MOST 4

int source_check_hold(const struct agent *agent, struct error *err);
void source_hold(struct source_attempt *a);
/* The order to go on. -ERROR_BUSY: this host's own outbound cap is reached; it stays held. */
int source_let_go(struct source_attempt *a, struct error *err);
void source_resolve_start(struct source_attempt *a); /* source_resolve.c */
void source_resolve_look(struct source_attempt *a);
/* Looks once more in @in_ms. */
void source_look_again(struct source_attempt *a, uint64_t in_ms);
#define SOURCE_LOOK_SLOW_MS 2000 /* when nothing is expected to change soon */

/* One act on the guest here, then another look: source_act.c. */
enum source_act { ACT_RESUME, ACT_SUSPEND, ACT_DESTROY, ACT_UNDEFINE, ACT_AUTOSTART };
void source_act(struct source_attempt *a, enum source_act what);
/* Orders the destination to resume the copy (@commit) or to destroy it, then another look. */
void source_order_target(struct source_attempt *a, bool commit);

/* --- source_ladder.c: what is done about a guest that does not converge --- */

bool source_ladder_permits_post_copy(const struct source_attempt *a);
void source_ladder_start(struct source_attempt *a);
/* One reading. False: it is to be given up; @ret_why is set if the ladder says so itself, and left
 * alone if it has no measure against being @overdue. */
bool source_ladder_judge(struct source_attempt *a, const struct vm_job *job, bool overdue,
                         struct error *ret_why);
/* A measure that an operator asks for, as the ladder's own is taken. @told: once it was, or was not. */
void source_ladder_take(struct source_attempt *a, enum ladder_step measure,
                        void (*told)(int rc, const struct error *err, void *context),
                        void *context);
/* One line of its history. */
void source_ladder_remember(struct source_attempt *a, const char *line);
/* What the guest does here, as asked at that time. */
void source_ladder_see(struct source_attempt *a, const struct vm_summary *vm, uint64_t asked_ms);

/* With each look, when all else was judged: when it will be over (source_outlook.c). */
void source_outlook(struct source_attempt *a);

/* --- source_lanes.c: who goes first --- */

/* With each look: whether it is held. */
void source_lanes(struct source_attempt *a);
/* Of this pass and of disks, about. @use: what was sampled of it; NULL: nothing. */
uint64_t source_lanes_left_bytes(const struct source_attempt *a, const struct memory_use *use);
/* Of those that may be sending: who is not held; at least 1. */
unsigned source_lanes_count_free(const struct agent *agent);
/* It sends no more: who was held for it looks now. */
void source_lanes_left(struct source_attempt *gone);

/* --- source_tune.c: what an operator changes meanwhile --- */

/* Answers @in by itself. */
void source_tune(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__TuneMigrationRequest *r);
/* Adopted: what the agent before had written down it may not have set. Asked for at each look, until
 * libvirt has taken it. */
void source_tune_again(struct source_attempt *a);

/* --- source_recover.c: post-copy that breaks or stands still --- */

/* In MOVING, with each look. */
void source_recover_watch(struct source_attempt *a);
/* In RESOLVING, of two halves that live. True: an attempt to resume it begins; nothing else is to be done
 * until it is looked again or moving. */
bool source_recover(struct source_attempt *a);
/* Libvirt's call that resumed it has returned; @why: in vain. */
void source_recover_returned(struct source_attempt *a, const struct error *why);
/* The guest has arrived: whether it was resumed goes into the history. */
void source_recover_ended(struct source_attempt *a);
/* The tunnel and the destination are ready: MOVING once more. */
void source_move_resume(struct source_attempt *a);
/* A tunnel process whose twin is at @address; blocks: a courier. */
int source_spawn_tunnel(struct agent *agent, const struct attempt_name *name,
                        const char *target_node, const char *address, struct tunnel *ret,
                        struct error *err);

/* --- source_remnants.c: what is left of it, on both hosts --- */

/* In CLEANING: looks, and then ends it. @silent: the destination cannot be asked, and why; NULL: it can. */
void source_remnants_look(struct source_attempt *a, const struct error *silent);
/* After the end: once more, for what is not gone. */
void source_remnants_look_again(struct source_attempt *a);
/* A proof is made at @path: where to look later. */
void source_remnants_add_place(struct source_attempt *a, const char *path);
void source_remnants_freeze(struct source_attempt *a); /* it looks no more */
void source_remnants_free(struct source_attempt *a);

/* --- source_copy.c: disks that are not shared --- */

/* What the guest has, before the destination is asked. */
void source_copy_remember(struct source_attempt *a, const struct vm_description *d);
/* Which of them the destination is ready for, and where; -ERROR_PROTOCOL if that cannot be. */
int source_copy_read(struct source_attempt *a, const Drover__V1__AdmitReply *r, struct error *err);
/* What to do about the images that stay here, once the guest is there; NULL = nothing. free(). */
char *source_copy_note_new(const struct source_attempt *a);

/* --- source_traffic.c: its bytes on the migration network --- */

void source_traffic_start(struct source_attempt *a);
void source_traffic_stop(struct source_attempt *a);
/* False: not measured. */
bool source_traffic_get_rate(const struct source_attempt *a, uint64_t *ret_bytes_per_s);
/* Whether the bytes of every move that libvirt may be making are counted as such. */
bool source_traffic_is_complete(const struct agent *agent);
/* How its connections are doing, and those of all others. */
void source_traffic_tick(struct agent *agent);
/* Takes what was sent so far into wire_bytes. */
void source_traffic_read(struct source_attempt *a);

/* An errand that belongs to an attempt: keeps it alive until it is home. */
struct source_errand {
	struct errand errand;
	struct source_attempt *attempt;
};
void source_send(struct source_attempt *a, struct source_errand *e, struct courier_pool *pool);
/* In done(): true if the attempt still waits for it in @stage. */
bool source_home(struct source_errand *e, enum source_stage stage);
