/* SPDX-License-Identifier: Apache-2.0 */
/* A drain: everything active on one node goes elsewhere, or says why not.
 *
 * Level-triggered. drain_reconcile looks at what the node's own inventory lists now and at the
 * migrations there are, and works out per guest what is still to do; it remembers nothing that a
 * restart would lose. A guest that appears on the node later is simply one more. It ends when the
 * host's own libvirt, asked after the drain mark was durable there, lists no active guest but those
 * allowed (invariant I9).
 */
#pragma once

#include "coordinator/core/record.h"

#include <uthash.h>

struct fleet;
struct migration;
struct power;

enum drain_vm_state {
	DRAIN_VM_WAITING, /* for a slot, or for its next try */
	DRAIN_VM_MOVING,
	DRAIN_VM_MOVED,
	DRAIN_VM_LEFT,     /* allowed to stay */
	DRAIN_VM_STOPPING, /* is shut down, because it was named: power.h */
	DRAIN_VM_STOPPED,  /* was shut down so; or shut off, or gone, by itself */
	DRAIN_VM_STARTING, /* of a way back: it is started again */
	DRAIN_VM_BLOCKED,  /* no destination as things are; reason says which check fails where */
	DRAIN_VM_STATES
};

#define TURN_WHY_BYTES 256

struct drain_vm {
	char uuid[VM_UUID_BYTES];
	char name[VM_NAME_BYTES];
	char node[NODE_NAME_BYTES]; /* that it leaves */
	enum drain_vm_state state;
	char target[NODE_NAME_BYTES]; /* planned or taken; empty: none */
	char reason[REASON_BYTES];    /* why it waits or is blocked, with numbers */
	uint64_t migration_number;
	uint64_t memory_bytes;
	uint64_t eta_ms; /* what is left of it: an estimate */
	/* Of one that leaves by lanes (lanes.h): with the link to itself, and until it sends. 0: the link
	 * is shared equally. From begin_ms on, from now, until end_ms. */
	uint64_t alone_ms, around_ms, begin_ms;
	/* Of its move as it would begin now, alone on its way; one that moves: as it began. */
	struct prediction prediction;
	uint64_t predicted_ms; /* private: when that was made; 0 = not yet */
	uint64_t unshared_ms;  /* private: what it would take if nobody shared its way */
	uint64_t copied_bytes; /* of its disks, as the planned target says (dry run) */
	uint64_t end_ms;       /* from now; likewise, of those that wait or move */
	bool late;             /* after the drain's deadline */
	struct checks checks;  /* of the planned target (dry run), or of the last refusal */
	/* As planned last (drain_plan.h): its turn, from 1; 0 = none. Where it goes: a wish. */
	uint32_t order;
	char planned[NODE_NAME_BYTES];
	uint64_t
		sought_ms; /* when a place was last sought by all means, in vain or not; 0 = never */
	char pin[NODE_NAME_BYTES]; /* the only destination it may have; empty: any */
	/* A draft's: why there; what would help one that is blocked; what proves that (planner/proof.h). */
	char why[REASON_BYTES], helps[REASON_BYTES];
	char against[REASON_BYTES]; /* likewise: the soft policy that does not hold with it there */
	/* Likewise: how many could take it then, and the room that it leaves; why its turn is then. */
	uint32_t could;
	uint64_t left_bytes;
	char turn_why[TURN_WHY_BYTES];
	uint32_t proof;
	enum guard guard;
	uint64_t turn; /* private: the lowest of those that want one goes next */
	/* Private: no node can ever take it (a BLOCK, or too large); wants a destination now. */
	bool hopeless, wants;
	bool shuts; /* it is shut down, not moved; and, private, waits for the others */
	bool held;
	bool starts; /* of a way back: it is started, not moved; by which drain it was shut down */
	uint64_t shut_down_by;
};

/* Whether it is over by the time that was named; see deadline.h. */
struct deadline {
	uint64_t tail_ms;              /* private: after the last move, for guests to shut down */
	bool missed;                   /* as far as can be told */
	char text[REASON_BYTES];       /* what follows "its deadline"; empty: none was named */
	uint64_t end_ms;               /* from now */
	uint64_t late_ms;              /* 0 = in time */
	uint64_t latest_start_wall_ms; /* 0 = there is none that would do */
	size_t n_late;
	struct names helps; /* owned; a sentence each */
	/* Private: since when it is otherwise than people were told last; 0 = it is so. */
	uint64_t differs_since_ms;
};

/* What decides how soon a plan can end at best (planner/bounds.h). */
enum plan_critical {
	PLAN_CRITICAL_NONE,
	PLAN_CRITICAL_OUT, /* the link out of `node` */
	PLAN_CRITICAL_IN,
	PLAN_CRITICAL_GUEST, /* `vm` alone takes as long */
	PLAN_CRITICAL_ROOM,  /* a destination is full until somebody has left it */
	PLAN_CRITICALS
};

/* How an order compares with what no order could beat. All 0: nothing moves. */
struct plan_bound {
	uint64_t planned_ms, least_ms;
	uint64_t capped_ms; /* no less, with as many at a time as are allowed */
	enum plan_critical critical;
	char node[NODE_NAME_BYTES], vm[VM_NAME_BYTES];
};

#define PLAN_ID_BYTES 17

struct drain {
	struct drain_record kept; /* what the store keeps */
	/* Owned. A draft's: the nodes that would be drained together; else empty. */
	struct names nodes;
	bool comes_back;      /* a draft of the way back: nobody goes anywhere but to its node */
	struct drain_vm *vms; /* owned; hardest first, then as they appeared */
	uint32_t *by_uuid;    /* owned; private to drain_vms.c: all of vms */
	struct power *power;  /* owned; of each of kept.shutdowns; NULL: nothing was asked yet */
	size_t n_vms;
	char status[REASON_BYTES];   /* what it does or waits for now, one sentence */
	char plan_id[PLAN_ID_BYTES]; /* a draft's: by which it can be asked for; empty: it cannot */
	struct plan_bound bound;     /* likewise */
	char told[REASON_BYTES];     /* private: the last blockade that people were told of */
	uint64_t eta_ms;             /* estimate for what is left; meaningful if eta_known */
	uint64_t eta_low_ms, eta_high_ms; /* nine of ten; high 0: no end in sight at the bad end */
	bool eta_known;
	uint64_t bytes_total, bytes_done; /* RAM; done never runs backwards */
	struct deadline deadline;
	uint64_t revision;
	bool dirty; /* private to fleet.c */
	bool unsaved;
	bool needed;            /* private to drain_history.c */
	uint64_t stored_ticket; /* nothing starts before this is stored */
	UT_hash_handle hh;      /* fleet->drains, by number */
};

/* When its turn comes, from now: an estimate. */
uint64_t drain_vm_start_ms(const struct drain_vm *dv);
const char *drain_vm_state_name(enum drain_vm_state state); /* "waiting" */

/* "out" */
const char *plan_critical_name(enum plan_critical critical);
/* Of drain_vm.proof: "sum". */
const char *drain_proof_name(uint32_t proof);

/* NULL when the drain does not know that guest. Borrowed. */
struct drain_vm *drain_find_vm(struct drain *drain, const char *uuid);

/* Private to core/: looks at every drain that is under way, begins what may begin. */
void drain_reconcile_all(struct fleet *fleet);

/* After a restart: what the drain has done is in its migrations. */
void drain_restore(struct fleet *fleet, struct drain *drain);
/* A person has ended it: who waits for it waits no more. */
void drain_settle_cancelled(struct fleet *fleet, struct drain *drain);
/* @m is over: a drain that had ended before learns how. */
void drain_follow(struct fleet *fleet, const struct migration *m);

/* What drains as described by @records would do now, as one draft: who goes where, who cannot. No guest
 * goes to a node that is drained with its own. In no fleet; changes nothing. @records: one per node,
 * at least one. */
struct drain *drain_draft_together(struct fleet *fleet, const struct drain_record *records,
                                   size_t count);
/* Of one, with the least effort and without a word: a guest that has a destination in it can go there, one
 * that has none may have been given up too soon. */
struct drain *drain_draft_quick(struct fleet *fleet, const struct drain_record *record);
struct kept_plan;
/* As drain_draft_together, but each guest goes where @plan sends it, or nowhere. */
struct drain *drain_draft_as(struct fleet *fleet, const struct drain_record *records, size_t count,
                             const struct kept_plan *plan);
/* Plans those that go, or have no place so far, anew with what is known by now. The order of @draft->vms
 * stays: until drain_draft_sort, which brings them into that in which they go. */
void drain_draft_again(struct fleet *fleet, struct drain *draft);
void drain_draft_sort(struct drain *draft);
/* While a draft is thought out, none of its nodes takes a guest, and its guests count where it sends them.
 * Take it back. */
void drain_set_aside(struct fleet *fleet, const struct drain *draft, bool aside);
void drain_free(struct drain *drain);
