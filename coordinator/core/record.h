/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept durable: intent and history, never where a guest is.
 *
 * The store writes and reads these records and knows nothing else of the core. A batch is one
 * transaction: all of it or nothing. Its conditions are part of the transaction, so what they count
 * cannot change between counting and writing (invariants I3, I5).
 *
 *	step --> struct batch --> store: epoch still ours? slots free? write all --> stored(ticket)
 */
#pragma once

#include "coordinator/core/facts.h"
#include "coordinator/core/predict/prediction.h"

struct caps {
	uint32_t cluster;  /* migrations at a time; parallelMigrationsPerCluster */
	uint32_t outbound; /* per source; parallelOutboundMigrationsPerNode */
	uint32_t inbound;  /* per target; those that prepare count here, too: they have its ports */
	/* Per source, beside those: prepared ahead of a slot. 0 = none. */
	uint32_t preparing;
};

struct node_record {
	char name[NODE_NAME_BYTES];
	char mesh_address[ADDRESS_BYTES]; /* last known: display until it attaches again */
	bool cordoned;
	bool maintenance;      /* a drain completed and nobody has undrained it */
	uint64_t drain_number; /* the drain that is under way, 0 = none */
	/* The first drain since it was last open to guests; kept when it is opened, until it is closed
	 * again, for the way back; 0 = none. */
	uint64_t closed_since;
	char reason[REASON_BYTES];
	/* Declared dead by an operator, and not heard of since. What it began up to fence_epoch is
	 * over, and stays so when it is back. */
	bool fenced;
	uint64_t fence_epoch; /* 0 = never */
	char fenced_by[NODE_NAME_BYTES];
	char fenced_reason[REASON_BYTES];
	uint64_t fenced_wall_ms;
	char labels[LABELS_BYTES];     /* that operators have given it */
	char own_labels[LABELS_BYTES]; /* of its agent's configuration, as last heard ... */
	bool labels_heard;             /* ... ever */
};

enum drain_state {
	DRAIN_PLANNED, /* a dry run; never stored */
	DRAIN_RUNNING,
	DRAIN_BLOCKED, /* nothing moves and something cannot; re-evaluated for ever */
	DRAIN_COMPLETED,
	DRAIN_PARTLY, /* all moved but those that were allowed to stay */
	DRAIN_CANCELLED,
	DRAIN_STATES
};

/* A guest that is shut down for a drain, because an operator has named it, and started again after it. */
enum shutdown_phase {
	SHUTDOWN_ALLOWED, /* nobody has asked it */
	SHUTDOWN_ASKED,
	SHUTDOWN_OFF,      /* its host's libvirt has listed it as shut off, after it was asked */
	SHUTDOWN_STARTING, /* it is to run there again */
	SHUTDOWN_OVER,     /* it does, or somebody has decided otherwise */
	SHUTDOWN_PHASES
};

struct shutdown {
	char uuid[VM_UUID_BYTES];
	char name[VM_NAME_BYTES];
	enum shutdown_phase phase;
	uint64_t need_bytes; /* RAM plus overhead, when it was asked */
	/* Orders to its agent, of both kinds. The latest one was given to the agent of that boot id, and is
	 * repeated to no other: what another knows of it is nothing. Zero: none was given. */
	uint32_t orders;
	struct id boot_id;
	uint32_t asks; /* how often it was asked; 0 again when it was started */
	uint64_t asked_wall_ms, off_wall_ms; /* first; display */
};

/* What people were told last of whether a drain's deadline will be met. */
enum deadline_told {
	DEADLINE_UNTOLD,
	DEADLINE_TOLD_MET, /* after all */
	DEADLINE_TOLD_MISSED,
	DEADLINE_TOLD_PASSED, /* the last word */
	DEADLINE_TOLDS
};

struct drain_record {
	uint64_t number;
	struct id id;         /* random; also in the drained host's own mark */
	struct id request_id; /* zero: none given */
	char node[NODE_NAME_BYTES];
	enum drain_state state;
	char reason[REASON_BYTES];  /* why it was asked for, by the operator */
	struct names leave;         /* uuids of guests that may stay */
	struct shutdown *shutdowns; /* owned */
	size_t n_shutdowns;
	uint64_t shutdown_timeout_ms; /* 0 = the cluster's */
	uint64_t set_number;          /* the first of those asked for together with it; 0 = alone */
	uint64_t by_wall_ms; /* when it should be over; 0 = whenever. Told, never acted upon */
	enum deadline_told deadline_told;
	bool leave_unmovable, copy_disks;
	struct strategy strategy; /* of its migrations, beyond the cluster's */
	uint32_t parallel;        /* 0 = the cluster's limit */
	/* Of its migrations; 0 = the cluster's. */
	uint64_t bandwidth_bytes_per_s, max_downtime_ms;
	uint64_t completion_timeout_ms_per_gib, progress_timeout_ms;
	uint64_t created_wall_ms, ended_wall_ms;
	uint32_t left_count; /* at the end: guests left on the node */
};

struct migration_record {
	uint64_t number;
	struct attempt attempt; /* the latest */
	struct id request_id;   /* zero: none given */
	char vm_uuid[VM_UUID_BYTES];
	char vm_name[VM_NAME_BYTES];
	char source[NODE_NAME_BYTES];        /* as recorded at the start; caps count this */
	char target[NODE_NAME_BYTES];        /* empty while none is chosen */
	char wanted_target[NODE_NAME_BYTES]; /* asked for by name; empty = ours to choose */
	enum migration_state state;
	bool holds_slot; /* counted by the caps; only its source agent's word frees it */
	bool preparing;  /* of those that prepare: the caps of what moves do not count it */
	bool cancel_requested;
	uint64_t drain_number; /* 0 = asked for by itself */
	uint64_t back_of;      /* the drain that had moved it away and is taken back; 0 = none */
	uint64_t need_bytes;   /* RAM plus overhead at the target */
	uint64_t memory_bytes;
	struct migration_settings settings;
	char reason[REASON_BYTES];
	struct prediction prediction; /* of the latest attempt, when it began; all zero: none */
	struct attempt_report report; /* of the latest attempt; number 0 = none yet */
	uint64_t created_wall_ms, ended_wall_ms;
};

/* What a person wants of a guest's next migration. Nothing given: there is nothing to keep. */
struct vm_record {
	char uuid[VM_UUID_BYTES];
	char name[VM_NAME_BYTES];
	bool bandwidth_given, max_downtime_given;
	uint64_t bandwidth_bytes_per_s; /* 0 = no limit */
	uint64_t max_downtime_ms;
	char by[NODE_NAME_BYTES];
	uint64_t wall_ms;
};

/* What people want about where guests are: policy.h. */
enum policy_kind { POLICY_APART, POLICY_TOGETHER, POLICY_ON, POLICY_KINDS };

#define POLICY_NAME_BYTES 49

struct policy_record {
	char name[POLICY_NAME_BYTES];
	enum policy_kind kind;
	bool soft;                   /* a wish: what cannot be met is shown, and stops nobody */
	bool removed;                /* in a put: it is forgotten */
	struct names vms;            /* uuids, in the order in which they were said */
	struct names vm_names;       /* of each, as it was called then */
	struct names nodes;          /* ON: these, or ... */
	char selector[LABELS_BYTES]; /* ... those with these labels */
	char by[NODE_NAME_BYTES];
	uint64_t wall_ms; /* when it was said as it is */
	uint64_t
		violated_wall_ms; /* since when it has not held; 0 = it holds, as far as was seen */
};

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ALARM, SEVERITIES };

struct event_record {
	uint64_t revision;
	uint64_t wall_ms;
	enum severity severity;
	char subject[64]; /* "drain/7", "node/host1" */
	char text[REASON_BYTES];
};

enum put_kind {
	PUT_NODE,
	PUT_DRAIN,
	PUT_MIGRATION,
	PUT_VM,
	PUT_POLICY,
	PUT_EVENT,
	PUT_FORGET_DRAIN
};

struct put {
	enum put_kind kind;
	/* PUT_MIGRATION: this write takes the slot. Refused with -ERROR_BUSY, and the whole batch
	 * with it, if any of the caps would be exceeded. */
	bool takes_slot;
	struct caps caps; /* with takes_slot */
	union {
		struct node_record node;
		struct drain_record drain;
		struct migration_record migration;
		struct vm_record vm;
		struct policy_record policy;
		struct event_record event;
		uint64_t forgotten_drain; /* its number; there need not be one */
	};
};

struct batch {
	uint64_t ticket;    /* dense, in the order in which batches must be written */
	uint64_t epoch;     /* must be the store's, else -ERROR_STALE and nothing is written */
	uint64_t new_epoch; /* 0, or: becomes the store's epoch in this transaction */
	struct put *puts;   /* owned */
	size_t count;
};

/* All that a coordinator needs to go on. */
struct store_contents {
	uint64_t epoch; /* 0: a new store */
	struct node_record *nodes;
	size_t n_nodes;
	struct drain_record *drains;
	size_t n_drains;
	struct migration_record *migrations; /* all that are not over, and the latest that are */
	size_t n_migrations;
	struct vm_record *vms; /* those with something to keep */
	size_t n_vms;
	struct policy_record *policies; /* by name */
	size_t n_policies;
	struct event_record *events; /* the latest, oldest first */
	size_t n_events;
	/* The highest ever given, also to records which are not among those above. */
	uint64_t last_migration_number, last_drain_number;
};

void drain_record_copy(struct drain_record *to, const struct drain_record *from);
void drain_record_deinit(struct drain_record *drain);
void migration_record_copy(struct migration_record *to, const struct migration_record *from);
void migration_record_deinit(struct migration_record *migration);
void policy_record_copy(struct policy_record *to, const struct policy_record *from);
void policy_record_deinit(struct policy_record *policy);

/* Adds an empty put of that kind; borrowed until the next one is added. */
struct put *batch_add(struct batch *batch, enum put_kind kind);
void batch_free(struct batch *batch);
void store_contents_deinit(struct store_contents *contents);

const char *drain_state_name(enum drain_state state); /* "running"; also in the store */
const char *policy_kind_name(enum policy_kind kind);  /* "apart"; likewise */
enum policy_kind policy_kind_parse(const char *name); /* POLICY_KINDS: there is no such kind */
const char *shutdown_phase_name(enum shutdown_phase phase); /* "asked"; likewise */
/* One that may stay. By name, too: a host that remembers the drain for a lost store has names only. */
bool drain_record_leaves(const struct drain_record *drain, const char *uuid, const char *name);
/* Of those that may be shut down for it; NULL: it may not. Borrowed. */
struct shutdown *drain_record_find_shutdown(const struct drain_record *drain, const char *uuid);
struct shutdown *drain_record_add_shutdown(struct drain_record *drain, const char *uuid,
                                           const char *name);
const char *severity_name(enum severity severity); /* "info", "warning", "alarm" */
bool drain_state_is_final(enum drain_state state);
