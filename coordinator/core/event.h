/* SPDX-License-Identifier: Apache-2.0 */
/* What can happen to the core. The edge turns every message, answer and timer into one of these.
 *
 * Events are borrowed: the core copies what it keeps. Strings are never NULL but where it says so.
 * `request` is the edge's own number for somebody who waits for ACTION_REPLY; it is given back with
 * the reply, exactly once, unless the process ends first.
 */
#pragma once

#include "coordinator/core/record.h"

enum event_kind {
	/* --- the store --- */
	EVENT_LOADED,       /* first of all: what the store holds */
	EVENT_STORED,       /* all batches up to this ticket are durable */
	EVENT_STORE_FAILED, /* a batch was refused or its outcome is unknown: the core stops */

	/* --- agents --- */
	EVENT_ATTACH, /* a request: answered with the epoch, once that is durable */
	EVENT_LOST,   /* its connection is gone */
	EVENT_SNAPSHOT,
	EVENT_HOST,
	EVENT_VM,
	EVENT_VM_GONE,
	EVENT_ATTEMPT,

	/* --- outcomes of calls that ACTIONs asked for --- */
	EVENT_START_OUTCOME,
	EVENT_LET_GO_OUTCOME,
	EVENT_CANCEL_OUTCOME,
	EVENT_PROBE_OUTCOME,
	EVENT_MARK_OUTCOME,
	EVENT_PREVIEW_OUTCOME,
	EVENT_FENCE_OUTCOME,
	EVENT_TUNE_OUTCOME,
	EVENT_SHUT_DOWN_OUTCOME,
	EVENT_START_GUEST_OUTCOME,

	/* --- people and programs --- */
	EVENT_DRAIN,
	EVENT_UNDRAIN,
	EVENT_CORDON,
	EVENT_UNCORDON,
	EVENT_LABEL,
	EVENT_SET_POLICY,
	EVENT_REMOVE_POLICY,
	EVENT_MIGRATE,
	EVENT_CANCEL,
	EVENT_TUNE,
	EVENT_FENCE,
	EVENT_UNFENCE,
	EVENT_EXPLAIN_VM,   /* asks every possible destination */
	EVENT_EXPLAIN_PLAN, /* compares it with what is so now */

	EVENT_TICK, /* every second */
	EVENT_KINDS
};

/* How a call to an agent ended. Only the first two say anything about what happened there. */
enum call_outcome {
	CALL_ANSWERED, /* the reply is in the event */
	CALL_REFUSED,  /* the agent answered with an error: `error` has it */
	CALL_NOT_SENT, /* surely never left this machine */
	CALL_UNKNOWN,  /* sent, no answer: timeout, connection lost */
};

struct event {
	enum event_kind kind;
	uint64_t wall_ms; /* for display and history only */
	uint64_t request; /* EVENT_ATTACH and what people ask */
	union {
		const struct store_contents *loaded;
		uint64_t stored_ticket;
		struct {
			uint64_t ticket;
			struct error error;
		} store_failed;

		struct {
			const char *node;
			const char *mesh_address;
			const char *agent_version;
			uint64_t highest_epoch;
			struct id boot_id;
		} attach;
		struct {
			const char *node;
		} lost;
		struct {
			const char *node;
			const struct host_state *host;
			const struct vm_state *vms;
			size_t n_vms;
			const struct attempt_report *attempts;
			size_t n_attempts;
			const struct drain_mark *mark; /* NULL: none */
			bool inventory_valid;
		} snapshot;
		struct {
			const char *node;
			const struct host_state *host;
		} host;
		struct {
			const char *node;
			const struct vm_state *vm;
		} vm;
		struct {
			const char *node;
			const char *uuid;
		} vm_gone;
		struct {
			const char *node;
			const struct attempt_report *report;
		} attempt;

		/* EVENT_START_OUTCOME, _CANCEL_, _PROBE_ */
		struct {
			uint64_t migration; /* number and attempt as in the action */
			uint32_t attempt_number;
			enum call_outcome outcome;
			bool accepted; /* START: StartMigrationReply.accepted */
			const struct attempt_report *report; /* may be NULL */
			struct error error;                  /* CALL_REFUSED and worse */
		} call;
		struct {
			const char *node;
			struct id drain_id; /* as in the action */
			enum call_outcome outcome;
			uint32_t active_vms;
			struct error error;
		} mark;
		struct {
			const char *node; /* who was told, and of whom: as in the action */
			const char *fenced;
			uint64_t fence_epoch;
			enum call_outcome outcome;
			const struct fenced_guest *guests; /* that were on their way to it */
			size_t n_guests;
			struct error error;
		} fence_outcome;
		struct {
			uint64_t preview; /* as in the action */
			enum call_outcome outcome;
			bool admitted;
			const struct checks *checks;
			enum guard guard;
			uint64_t copied_bytes; /* of disks, before the memory */
			struct error error;
		} preview;

		/* EVENT_SHUT_DOWN_OUTCOME, EVENT_START_GUEST_OUTCOME: as in the action */
		struct {
			uint64_t drain;
			const char *vm_uuid;
			uint32_t number;
			enum call_outcome outcome;
			struct error error;
		} power;

		struct {
			const char *node;          /* "": those below */
			const struct names *nodes; /* drained together; may be NULL */
			const char *selector;      /* likewise, by their labels; may be NULL */
			bool dry_run;
			bool asks_only;                /* likewise, and nobody will carry it out */
			const struct names *leave;     /* names or uuids */
			const struct names *shut_down; /* likewise, to be shut down; may be NULL */
			uint64_t shutdown_timeout_ms;  /* 0 = the cluster's */
			bool leave_unmovable, copy_disks;
			struct strategy strategy; /* what is set adds to the cluster's */
			const char *reason;
			uint32_t parallel;
			/* 0 = the cluster's */
			uint64_t bandwidth_bytes_per_s, max_downtime_ms;
			uint64_t completion_timeout_ms_per_gib, progress_timeout_ms;
			uint64_t by_wall_ms; /* when it should be over; 0 = whenever */
			const char *
				plan_id; /* of a dry run that is to be carried out; NULL, "": none */
			struct id request_id; /* zero: none */
		} drain;
		struct {
			const char *node;
			const char *reason;
			bool bring_back, dry_run; /* UNDRAIN: what its drain has moved away */
		} node;                           /* EVENT_UNDRAIN, _CORDON, _UNCORDON */
		struct {
			const char *node;
			const struct names *changes; /* "rack=a", "rack-" */
		} label;
		struct {
			const char *name;
			const char *by; /* who says so; and of REMOVE_ nothing but these two */
			enum policy_kind kind;
			bool soft;
			const struct names *vms;   /* names or uuids */
			const struct names *nodes; /* ON: these, or ... */
			const char *selector;      /* ... those with these labels */
		} policy;
		struct {
			const char *node;
			const char *reason;
			const char *by; /* who says so */
			bool dry_run;
		} fence; /* EVENT_FENCE, _UNFENCE */
		struct {
			const char *vm;     /* name or uuid */
			const char *target; /* "" = ours to choose */
			bool dry_run;
			uint64_t bandwidth_bytes_per_s; /* 0 = the cluster's */
			uint64_t max_downtime_ms;       /* 0 = the cluster's */
			uint64_t completion_timeout_ms_per_gib, progress_timeout_ms; /* likewise */
			bool no_guard;
			const char *by; /* who asks */
			bool unsafe;    /* see struct migration_settings */
			bool copy_disks;
			bool ignore_policies;
			struct transfer transfer; /* what is 0 is as the cluster has it */
			bool uncompressed;        /* though the cluster compresses */
			struct strategy strategy; /* what is set adds to the cluster's */
			struct id request_id;
		} migrate;
		struct {
			const char *kind; /* "migration", "drain", "vm" */
			const char *name; /* number, or the guest's name or uuid */
		} cancel;
		struct {
			const char *kind; /* "migration", "vm" */
			const char *name;
			const char *by; /* who asks */
			struct tuning tuning;
			bool forget; /* what is kept for a guest */
		} tune;
		struct {
			/* `request` is that of the action. */
			uint64_t migration;
			uint32_t attempt_number;
			enum call_outcome outcome;
			const struct tuned_value *values;
			size_t n_values;
			const char *note;
			const struct attempt_report *report; /* may be NULL */
			struct error error;
		} tuned;
		struct {
			const char *vm;
			const char *
				node; /* "" = all; else this one, asked whatever stands against it */
			const char *plan; /* EXPLAIN_PLAN: its id */
		} explain;
	};
};

const char *event_kind_name(enum event_kind kind); /* "start-outcome" */
