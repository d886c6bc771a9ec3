/* SPDX-License-Identifier: Apache-2.0 */
/* What the core asks its edge to do. In the actions of a step STORE comes first, if there is one,
 * then the EVENTs; the core itself waits for EVENT_STORED before it asks for anything that rests on it, so the edge may
 * carry out a list in order and without thinking.
 *
 * Every START, LET_GO, CANCEL, PROBE, SET_DRAIN_MARK, SET_FENCE, TUNE, SHUT_DOWN, START_GUEST and PREVIEW must come back as exactly one _OUTCOME
 * event (the edge sets a deadline). Each REPLY answers one request.
 */
#pragma once

#include "coordinator/core/event.h"
#include "coordinator/core/fleet.h"

enum action_kind {
	ACTION_STORE,  /* write the batch; then EVENT_STORED or EVENT_STORE_FAILED */
	ACTION_START,  /* Agent.StartMigration at the source */
	ACTION_LET_GO, /* the same, of one that was started on hold: now it has its slot */
	ACTION_CANCEL, /* Agent.CancelMigration at the source */
	ACTION_PROBE,  /* Agent.ProbeAttempt at the source */
	ACTION_SET_DRAIN_MARK,
	ACTION_SET_FENCE,
	ACTION_PREVIEW,     /* Agent.Preview at the source */
	ACTION_TUNE,        /* Agent.TuneMigration at the source */
	ACTION_SHUT_DOWN,   /* Agent.ShutDownGuest where it runs */
	ACTION_START_GUEST, /* Agent.StartGuest where it was shut down */
	ACTION_REPLY,
	ACTION_CHANGED, /* wake the watchers */
	ACTION_EVENT,   /* a line for the log; it is in the ring already */
	ACTION_REFUSED, /* an agent spoke of what is not its own: a line of the audit log */
	ACTION_STOP,    /* end the process and start again from the store; `error` says why */
	ACTION_KINDS
};

/* START, LET_GO, CANCEL, PROBE. Addresses are as last known. */
struct attempt_call {
	uint64_t migration;
	struct attempt attempt;
	char vm_uuid[VM_UUID_BYTES];
	char source[NODE_NAME_BYTES];
	char target[NODE_NAME_BYTES];
	char target_address[ADDRESS_BYTES]; /* the target agent's mesh address */
	struct migration_settings settings;
	bool hold; /* START: it is prepared, and waits for LET_GO */
};

struct preview_call {
	uint64_t preview;
	char vm_uuid[VM_UUID_BYTES];
	char source[NODE_NAME_BYTES];
	char target[NODE_NAME_BYTES];
	char target_address[ADDRESS_BYTES];
	uint64_t epoch;
	uint64_t max_downtime_ms;
	bool no_guard;   /* see struct migration_settings */
	bool unsafe;     /* likewise */
	bool copy_disks; /* would they be, if it were asked for */
	struct transfer transfer;
	bool post_copy; /* it may be switched: what guards it has to allow that */
};

struct power_call {
	uint64_t drain; /* its number, and the id that its host knows it by */
	struct id drain_id;
	char node[NODE_NAME_BYTES];
	char vm_uuid[VM_UUID_BYTES];
	uint32_t number; /* of the order */
	uint64_t epoch;
};

struct tune_call {
	uint64_t request; /* given back with the outcome */
	uint64_t migration;
	struct attempt attempt;
	char source[NODE_NAME_BYTES];
	struct tuning tuning;
	char by[NODE_NAME_BYTES];
};

struct foreign_claim {
	char node[NODE_NAME_BYTES]; /* whose agent said it */
	char vm_uuid[VM_UUID_BYTES];
	const char *about; /* static: what kind of claim it is */
	char text[REASON_BYTES];
};

/* What one node would say to one guest: EVENT_EXPLAIN_VM. */
struct target_view {
	char node[NODE_NAME_BYTES];
	bool asked;    /* false: excluded by what the coordinator knows; reason says why */
	bool excluded; /* so it is, and was asked all the same: it does not fit, whatever it says */
	bool fits;
	uint32_t broken; /* wishes that would not be met there; `against` has the first */
	char against[REASON_BYTES];
	char reason[REASON_BYTES];
	struct checks checks;
	enum guard guard;
	uint64_t copied_bytes;
};

enum reply_kind {
	REPLY_FAILED, /* any request: `error` says why; nothing was changed */
	REPLY_ATTACH, /* epoch; now the edge opens Agent.Watch on that connection */
	REPLY_DRAIN,
	REPLY_NODE, /* undrain, cordon, uncordon */
	REPLY_MIGRATE,
	REPLY_CANCEL,
	REPLY_EXPLAIN,
	REPLY_FENCE,
	REPLY_TUNE,
	REPLY_POLICY,
};

struct reply {
	enum reply_kind kind;
	uint64_t request;
	struct error error;
	uint64_t epoch;
	char node[NODE_NAME_BYTES]; /* REPLY_NODE: look it up */
	uint64_t migration;         /* number; 0 = none was made */
	uint64_t drain;             /* number; 0 = none was made */
	bool changed;
	bool already;
	bool refused;
	char *refusal;        /* owned; NULL unless refused. May have several lines */
	struct checks checks; /* blockers (id "vm/NAME"), or a dry run's checks */
	enum guard guard;
	uint64_t max_downtime_ms;           /* likewise; 0 = the cluster's */
	bool asks_only;                     /* REPLY_DRAIN, dry run: nobody will carry it out */
	bool no_guard, copy_disks;          /* REPLY_MIGRATE, dry run: asked for */
	bool unsafe;                        /* likewise */
	struct transfer transfer;           /* likewise */
	bool post_copy;                     /* likewise */
	char target[NODE_NAME_BYTES];       /* REPLY_MIGRATE, dry run: where it would go */
	uint64_t eta_ms;                    /* likewise; an estimate, 0 = unknown */
	struct prediction prediction;       /* likewise */
	struct migration_settings settings; /* likewise: what it would begin with */
	struct drain *plan; /* owned; dry run of a drain, state DRAIN_PLANNED; else NULL */
	struct target_view
		*targets; /* owned; REPLY_EXPLAIN, dry run of REPLY_MIGRATE: best first */
	size_t n_targets;
	char text[REASON_BYTES];
	struct names off; /* owned; REPLY_NODE: guests that are off, for its drains */
	/* Owned; REPLY_FENCE: what it allows, a sentence each; REPLY_EXPLAIN of a plan: what is not as it was. */
	struct names effects;
	struct tuned_value *values; /* owned; REPLY_TUNE: what is different now */
	size_t n_values;
	char vm_uuid[VM_UUID_BYTES]; /* REPLY_TUNE, REPLY_EXPLAIN: the guest; "" = none */
	bool one_node;               /* likewise: only that one is asked about */
	char plan_id[PLAN_ID_BYTES]; /* REPLY_EXPLAIN: the kept plan; "" = it is of no plan */
	char policy
		[POLICY_NAME_BYTES]; /* REPLY_POLICY: look it up; its effects: what is different */
};

struct action {
	enum action_kind kind;
	union {
		struct batch *store; /* owned; take it and leave NULL */
		struct attempt_call call;
		struct preview_call preview;
		struct tune_call tune;
		struct power_call power;
		struct {
			char node[NODE_NAME_BYTES];
			struct drain_mark mark;
		} mark;
		struct {
			char node[NODE_NAME_BYTES]; /* who is told */
			struct fence_mark fence;
			uint64_t epoch;
		} fence;
		struct reply *reply; /* owned; take it and leave NULL */
		struct {
			enum object_kind object;
			uint64_t revision;
			char name[NODE_NAME_BYTES]; /* node name, vm uuid */
			uint64_t number;            /* migration, drain */
		} changed;
		struct event_record event;
		struct foreign_claim refused;
		struct error stop;
	};
};

struct action_list {
	struct action *items; /* owned */
	size_t count, capacity;
};

void action_list_deinit(struct action_list *list);
void reply_free(struct reply *reply);

const char *action_kind_name(enum action_kind kind); /* "start" */
