/* SPDX-License-Identifier: Apache-2.0 */
/* What agents report, as plain values.
 *
 * The same shapes as in proto/types.proto, without protobuf: the core must not know how a fact
 * travelled. Enum values have the numbers of the wire. Fixed texts are cut when longer (the edge
 * refuses names that do not fit); lists are owned by the value that holds them and are copied with
 * _copy and given back with _deinit. An all-zero value is a valid empty one.
 */
#pragma once

#include "common/check.h"
#include "common/error.h"
#include "common/fit.h"
#include "common/id.h"
#include "common/labels.h"
#include "common/path.h"
#include "common/remnant.h"
#include "common/strategy.h"
#include "common/transfer.h"
#include "common/units.h"
#include "coordinator/core/move/origin.h"
#include "coordinator/core/predict/prediction.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODE_NAME_BYTES 128
#define VM_NAME_BYTES   256
#define VM_UUID_BYTES   37
#define ADDRESS_BYTES   128
#define REASON_BYTES    512 /* as ERROR_TEXT_BYTES: an error's text fits */
#define RUN_STATE_BYTES 24
#define VERSION_BYTES   48

struct checks {
	struct check *items; /* owned */
	size_t count;
};

struct names {
	char **items; /* owned, each too */
	size_t count;
};

struct remnants {
	struct remnant *items; /* owned */
	size_t count;
};

enum guard {
	GUARD_NONE,
	GUARD_IMAGE_LOCK,
	GUARD_LOCK_MANAGER,
	GUARD_TWO_STEP,
};

/* Same numbers as drover.v1.MigrationState. The table of who may follow whom: migration.h. */
enum migration_state {
	MIGRATION_NO_STATE,
	MIGRATION_PLANNED,
	MIGRATION_RESERVED,
	MIGRATION_RUNNING,
	MIGRATION_SWITCHING,
	MIGRATION_DONE,
	MIGRATION_FAILED,
	MIGRATION_CANCELLED,
	MIGRATION_UNRESOLVED,
	MIGRATION_STATES
};

struct attempt {
	struct id operation;
	uint32_t number; /* 1, 2, 3 ... within the operation; 0 = none was made yet */
	uint64_t epoch;
};

struct migration_settings {
	uint64_t bandwidth_bytes_per_s; /* 0 = no limit */
	uint64_t max_downtime_ms;
	uint64_t completion_timeout_ms_per_gib;
	uint64_t progress_timeout_ms;
	bool tls;
	bool stop_off_network; /* not on the migration network: it is stopped */
	bool shortest_first;   /* it may be held for one of its host that is out sooner */
	bool no_guard;         /* where no lock guards, go without the two-step commit, too */
	bool unsafe;           /* storage that cannot be proved the same is taken for the same */
	bool copy_disks;       /* what is not shared is copied */
	bool ignore_policies;  /* where it goes is its owner's business: policy.h */
	struct transfer transfer;
	struct strategy strategy;
	uint8_t from[SETTINGS]; /* enum origin of each */
};

/* What somebody changes about a migration while it runs. */
struct tuning {
	bool bandwidth_given, max_downtime_given;
	uint64_t bandwidth_bytes_per_s; /* 0 = no limit */
	uint64_t max_downtime_ms;
	bool post_copy, pause; /* now */
};

/* One setting that was changed, with its units. */
struct tuned_value {
	char name[32];
	char before[UNITS_TEXT_BYTES], after[UNITS_TEXT_BYTES];
};

/* The TCP connections of a migration; see proto/types.proto. */
struct connection {
	uint32_t connections; /* 0 = not measured */
	uint64_t bytes_per_s;
	uint64_t rtt_us, min_rtt_us;
	uint32_t resent_ppm;
	char limited_by[12];
	uint64_t usual_bytes_per_s;
	bool collapsed;
};

struct progress {
	uint64_t elapsed_ms;
	uint64_t memory_total_bytes;
	uint64_t memory_processed_bytes;
	uint64_t memory_remaining_bytes;
	uint64_t transfer_bytes_per_s;
	uint64_t dirty_bytes_per_s;
	uint32_t iteration;
	uint64_t expected_downtime_ms;
	uint64_t eta_ms; /* meaningful if eta_known */
	bool eta_known;
	/* How it ends so, as its agent sees it; PREDICTION_UNKNOWN: it does not say. */
	enum prediction_end end;
	char later_why[128]; /* the end is later than was said before, and why; empty: it is not */
	uint32_t percent;
	char rate_source[16];
	uint64_t disk_total_bytes, disk_processed_bytes, disk_remaining_bytes; /* 0 = none copied */
	struct connection connection;
	/* It is held for another one of its host, which is out sooner; 0 = it is not. */
	uint64_t hold_bytes_per_s, hold_left_ms;
	char hold_for[VM_NAME_BYTES];
};

/* Which way an attempt's bytes take; see agent/link/path_proof.h. The numbers are the wire's. */
enum path_verdict { PATH_UNKNOWN, PATH_PROVED, PATH_ELSEWHERE, PATH_MISSING, PATH_VERDICTS };

#define PATH_PROOF_INTERFACES 8

struct path_interface {
	char name[16];
	bool migration;
	uint64_t wire_bytes, bytes_per_s;
	uint32_t percent;
};

struct path_proof {
	enum path_verdict verdict;
	bool deviated;
	char text[320]; /* "": the agent says nothing of it */
	size_t n;
	struct path_interface interfaces[PATH_PROOF_INTERFACES];
};

/* What an attempt spent its time with; see proto/types.proto. */
struct stage_times {
	uint64_t describing_ms, admitting_ms, linking_ms, moving_ms, resolving_ms, cleaning_ms;
	uint64_t prepared_ms; /* waiting for a slot */
};

/* What one agent knows of one attempt: by evidence, not by return code. */
struct attempt_report {
	struct attempt attempt;
	char vm_uuid[VM_UUID_BYTES];
	char vm_name[VM_NAME_BYTES];
	char source[NODE_NAME_BYTES];
	char target[NODE_NAME_BYTES];
	enum migration_state state;
	char reason[REASON_BYTES];
	uint32_t error_code; /* enum error_code */
	struct checks checks;
	enum guard guard;
	struct progress progress;
	uint64_t duration_ms;
	struct stage_times times;
	uint64_t held_ms; /* of it */
	uint64_t downtime_ms;
	uint64_t transferred_bytes;
	uint64_t wire_bytes;
	struct path_proof path;
	bool tombstoned;     /* this attempt will never act again */
	bool waits_for_slot; /* ordered to hold before the guest is touched, and does */
	struct names leftovers;
	struct names notes;
	struct names decisions;   /* about its convergence, oldest first */
	struct remnants remnants; /* after the end: all that was looked for; none: nobody did */
	/* Of the guest at its destination, once it has moved; and what could not be compared, and why. */
	struct checks verification;
	char not_verified[REASON_BYTES];
	bool memory_verified;
	bool alarm; /* a person has to act */
	/* Changed by an operator while this attempt ran. */
	bool bandwidth_tuned, max_downtime_tuned;
	uint64_t bandwidth_bytes_per_s, max_downtime_ms;
};

/* How a guest uses its memory, as its QEMU was sampled; see proto/types.proto. */
#define MEMORY_WINDOWS 4

struct memory_window {
	uint32_t seconds, samples;
	uint64_t bytes, error_bytes;
	uint64_t age_ms; /* when it was told */
};

struct memory_used {
	uint64_t touched_bytes; /* 0 = not known */
	struct memory_window windows[MEMORY_WINDOWS];
	size_t n_windows;
	char problem[128];
};

/* One guest as one host's libvirt lists it. */
struct vm_state {
	char uuid[VM_UUID_BYTES];
	char name[VM_NAME_BYTES];
	char state[RUN_STATE_BYTES]; /* "running", "paused", "incoming", "shutoff", ... */
	char reason[48];
	uint64_t memory_bytes;
	uint64_t overhead_bytes;
	uint32_t vcpus;
	bool persistent;
	bool autostart;
	bool migrating_out;
	bool foreign_job;
	char no_shutdown[160]; /* why it cannot be shut down and stay off; "" = it can */
	struct checks blockers;
	struct memory_used memory_use;
	struct guest_needs needs;
};

struct interface_rate {
	char name[32];
	uint64_t rx_bytes_per_s, tx_bytes_per_s;
	uint64_t rx_packets_per_s, tx_packets_per_s;
	uint64_t migration_rx_bytes_per_s, migration_tx_bytes_per_s;
	uint64_t unregistered_bytes_per_s;
	uint64_t link_bytes_per_s; /* 0 = unknown */
	char source[16];
	char why[REASON_BYTES]; /* no better one counts it */
};

/* Of one interface of a guest, in its view. */
struct guest_interface_rate {
	char device[32], type[16]; /* device "": it has none on its host */
	uint64_t rx_bytes_per_s, tx_bytes_per_s;
	uint64_t rx_packets_per_s, tx_packets_per_s;
	char source[16]; /* "none": not known */
	char why[REASON_BYTES];
};

struct guest_traffic {
	char vm_uuid[VM_UUID_BYTES];
	size_t first, count; /* of the host's guest_interfaces */
};

/* A drain as the drained host remembers it. */
struct drain_mark {
	struct id drain_id; /* zero: none */
	uint64_t epoch;
	bool draining;
	bool cordoned;
	bool maintenance;
	char reason[REASON_BYTES];
	struct names leave, shut_down; /* names; uuids */
	uint64_t shutdown_timeout_ms;
	bool leave_unmovable, copy_disks;
	struct strategy strategy;
	uint32_t parallel;
	uint64_t bandwidth_bytes_per_s, max_downtime_ms;
	uint64_t completion_timeout_ms_per_gib, progress_timeout_ms;
};

/* An operator's word that a host was dead: its attempts up to that epoch are over. */
struct fence_mark {
	char node[NODE_NAME_BYTES];
	uint64_t epoch;
};

/* What a host has promised to a guest on its way in. */
struct lease {
	struct attempt attempt;
	char vm_uuid[VM_UUID_BYTES];
	char vm_name[VM_NAME_BYTES];
	char source[NODE_NAME_BYTES];
	uint64_t memory_bytes;
	uint64_t page_bytes; /* 0 = ordinary pages */
	uint64_t bandwidth_bytes_per_s;
	uint32_t port, disk_port;
	uint64_t disk_bytes;
	uint64_t since_wall_ms;
	uint64_t expires_ms; /* from when it was reported, if nobody renews it */
	bool in_use;
};

/* The room on the migration network to another host, as the source has it. */
struct path_state {
	char node[NODE_NAME_BYTES];
	struct path_estimate estimate;
};

struct host_state {
	char agent_version[VERSION_BYTES];
	struct id boot_id;
	char migration_address[ADDRESS_BYTES];
	char mesh_address[ADDRESS_BYTES];
	uint64_t memory_capacity_bytes;
	uint64_t memory_reserve_bytes;
	uint64_t memory_guests_bytes;
	uint64_t memory_reserved_bytes;
	uint32_t cpus;
	char libvirt_version[VERSION_BYTES];
	char hypervisor_version[VERSION_BYTES];
	bool libvirt_connected;
	char libvirt_problem[REASON_BYTES];
	char agent_problem[REASON_BYTES]; /* why it only observes; empty: it acts */
	uint32_t port_pool;
	uint32_t ports_in_use;
	struct interface_rate *interfaces; /* owned */
	size_t n_interfaces;
	struct guest_traffic *guest_traffic; /* owned; of each active guest */
	size_t n_guest_traffic;
	struct guest_interface_rate *guest_interfaces; /* owned */
	size_t n_guest_interfaces;
	uint32_t slots_in;
	uint32_t slots_out;
	bool mark_told; /* an agent that tells its mark each second */
	struct drain_mark mark;
	struct fence_mark *fences; /* owned; that it knows of */
	size_t n_fences;
	uint32_t memory_overcommit_percent;   /* 0 = 100 */
	uint64_t memory_physical_bytes;       /* 0 = unknown */
	char suspect[REASON_BYTES];           /* why its figures are not believed; "" = they are */
	char pressure[REASON_BYTES];          /* why it takes no guest for a while */
	uint64_t pressure_ms;                 /* from when it was reported */
	uint32_t slots_in_max, slots_out_max; /* its own caps; 0 = unknown */
	uint32_t
		preparing_max; /* attempts that it holds beside its slots; 0 = it knows no such order */
	uint64_t link_promised_bytes_per_s;
	struct lease *leases; /* owned */
	size_t n_leases;
	struct path_state *paths; /* owned */
	size_t n_paths;
	/* On the migration interface, without migrations: p95 of the last minute, bytes on the wire. */
	bool other_known;
	uint64_t other_rx_bytes_per_s, other_tx_bytes_per_s;
	char labels[LABELS_BYTES]; /* of its agent's configuration */
	struct host_rooms rooms;
	struct host_offers *offers; /* owned; NULL: not told, or as told before */
};

/* A guest that was on its way to a host when its source was declared dead, as that host has it. */
struct fenced_guest {
	struct attempt attempt;
	bool here;    /* complete there: running, or paused */
	bool settled; /* its lease, port and tunnel are gone */
	bool has_run; /* it ran there, whatever it does now */
	char text[REASON_BYTES];
};

/* Copies are deep; @to must own nothing yet (it is overwritten, not freed). */
void checks_copy(struct checks *to, const struct checks *from);
void checks_deinit(struct checks *checks);
void checks_add(struct checks *checks, const struct check *check);
/* How many have that verdict. */
size_t checks_count(const struct checks *checks, enum check_verdict verdict);
/* The first check with that verdict or a worse one, or NULL. Borrowed. */
const struct check *checks_find_worst(const struct checks *checks, enum check_verdict at_least);

/* What that host told of that guest; NULL if nothing. */
const struct guest_traffic *host_state_find_traffic(const struct host_state *host,
                                                    const char *vm_uuid);

void names_copy(struct names *to, const struct names *from);
void names_deinit(struct names *names);
void names_add(struct names *names, const char *name);
void remnants_copy(struct remnants *to, const struct remnants *from);
void remnants_deinit(struct remnants *remnants);
bool remnants_equal(const struct remnants *a, const struct remnants *b);

bool names_contain(const struct names *names, const char *name);

void attempt_report_copy(struct attempt_report *to, const struct attempt_report *from);
void attempt_report_deinit(struct attempt_report *report);

void vm_state_copy(struct vm_state *to, const struct vm_state *from);
void vm_state_deinit(struct vm_state *vm);
/* A QEMU process exists for it on that host. */
bool vm_state_is_active(const struct vm_state *vm);
/* Active and not on its way in: its vCPUs are here. */
bool vm_state_is_home(const struct vm_state *vm);
/* What a destination must have: maximum RAM plus QEMU's own. */
uint64_t vm_state_need_bytes(const struct vm_state *vm);

/* What guests may still be given there: (capacity - reserve) x overcommit - guests - reserved, never
 * below 0, and nothing while its figures are suspect. */
uint64_t host_state_room_bytes(const struct host_state *host);
/* The same for an empty host. */
uint64_t host_state_limit_bytes(const struct host_state *host);

/* vCPUs that guests may still be given there; UINT64_MAX: no limit, or none that is known. */
uint64_t host_state_room_vcpus(const struct host_state *host);
/* The same of huge pages of that size, in bytes. */
uint64_t host_state_room_pages(const struct host_state *host, uint64_t page_bytes);

void host_state_copy(struct host_state *to, const struct host_state *from);
void host_state_deinit(struct host_state *host);

void drain_mark_copy(struct drain_mark *to, const struct drain_mark *from);
void drain_mark_deinit(struct drain_mark *mark);

/* Copies @from, cut at @bytes - 1. For the fixed texts above. */
void text_copy(char *to, size_t bytes, const char *from);
