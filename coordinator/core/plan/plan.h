/* SPDX-License-Identifier: Apache-2.0 */
/* Who goes where: pure placement.
 *
 * Hardest (largest) guest first; the destination which keeps the most headroom after it, and of
 * those that are alike the one whose inbound work ends first. What a host can take is its own
 * figure less the moves on their way which that figure does not include yet. The destination agent
 * has the last word; the plan only tries not to ask in vain. Where policies (policy.h) are wishes, what
 * breaks the fewest comes first.
 *
 * Estimates: a move takes memory / link rate + 2 s; a drain is list-scheduled over its slots.
 */
#pragma once

#include "coordinator/core/fleet.h"

/* Around the copy itself: admission, tunnel, switchover, clean-up. */
#define PLAN_OVERHEAD_MS ((uint64_t)2000)
/* Of that what can be done ahead of a slot (launch_ahead.h). Of real moves of small guests it was 0.15 s of 3.3 s. */
#define PLAN_PREPARE_MS ((uint64_t)150)
/* Assumed until a rate was measured or a link speed reported: 1 Gbit/s, 90 % of it for RAM. */
#define PLAN_DEFAULT_BYTES_PER_S ((uint64_t)112500000)

enum plan_refusal {
	PLAN_FITS,
	PLAN_IS_SOURCE,
	PLAN_UNREACHABLE,
	PLAN_NO_INVENTORY, /* attached, but libvirt there is not */
	PLAN_OBSERVES,     /* its agent says that it only observes */
	PLAN_CORDONED,
	PLAN_DRAINING,
	PLAN_MAINTENANCE,
	PLAN_NO_MEMORY,
	PLAN_NO_INBOUND, /* its inbound cap is reached */
	PLAN_NO_PORTS,
	PLAN_REFUSED,    /* it has refused this guest and nothing has changed since */
	PLAN_LISTS_IT,   /* an active guest with this uuid is there already */
	PLAN_SUSPECT,    /* its memory figures make no sense */
	PLAN_MARKED,     /* its agent does not know yet that it takes guests again */
	PLAN_TOGETHER,   /* it would be drained together with the guest's own node */
	PLAN_PRESSURED,  /* it ran out of memory a moment ago */
	PLAN_NO_VCPUS,   /* as many as are left, or as its QEMU gives one guest */
	PLAN_NO_PAGES,   /* huge pages of the guest's size */
	PLAN_NO_MACHINE, /* its QEMU does not have the machine type */
	PLAN_OTHER_CPU,
	PLAN_NO_NETWORK, /* a bridge, network or device that the guest is plugged into */
	PLAN_POLICY,     /* a hard policy keeps the guest from it: policy.h */
	PLAN_REFUSALS
};

/* A node as the planner sees it; drafts of whole drains place guests on copies of these. */
struct plan_node {
	struct node *node; /* borrowed */
	uint64_t headroom_bytes;
	uint64_t vcpu_room;                         /* UINT64_MAX: no limit is known */
	uint64_t pages_asked_bytes[HOST_POOLS_MAX]; /* of host.rooms.pools, on their way */
	uint32_t inbound, ports;                    /* in use: moves, and what they take */
	uint64_t inbound_finish_ms;                 /* work planned into it, end to end */
	enum plan_refusal takes; /* PLAN_FITS, or why it takes no guest at all now */
	bool any_policy;         /* somebody has said that policies are to be ignored */
};

struct plan {
	struct plan_node *nodes; /* owned */
	size_t count;
};

/* What a guest takes of a host. */
struct plan_need {
	uint64_t bytes;      /* of memory, huge pages included */
	uint64_t page_bytes; /* the size of its huge pages; 0 = it has none */
	uint64_t huge_bytes; /* in them */
	uint32_t vcpus;
	uint32_t ports; /* 2 if its disks are copied, or may be */
};

void plan_get_need(const struct fleet *fleet, const struct vm *vm, struct plan_need *ret);
/* Of huge pages of that size, in bytes; UINT64_MAX: it is not known. */
uint64_t plan_get_page_room(const struct plan_node *node, uint64_t page_bytes);
/* Room for a sum: of a host that does not tell, more than any guest needs. */
#define PLAN_PAGES_UNKNOWN ((uint64_t)1 << 48)
/* Takes @need from what @node has left. */
void plan_take(struct plan_node *node, const struct plan_need *need);
/* Ports of one move of @vm, with its disks if @copy_disks and they are not known to be shared. */
uint32_t plan_count_ports(const struct vm *vm, bool copy_disks);
uint32_t plan_count_ports_held(const struct migration *m);

/* What @node says, or is said of it, whoever the guest is: PLAN_FITS if it takes any. */
enum plan_refusal plan_judge_host(const struct node *node, uint64_t now_ms);

/* What stands between @vm and @node for good, whatever room there is: it refused it, lists it, or lacks
 * what the guest needs (common/fit.h, denials.h). PLAN_FITS: nothing that is known. @ret_text
 * (REASON_BYTES, may be NULL): what it lacks, behind "has". */
enum plan_refusal plan_judge_class(const struct node *node, const struct vm *vm, uint64_t now_ms,
                                   char *ret_text);

/* The part of it that is of these two alone: refused, listed, denied. */
enum plan_refusal plan_judge_pair(const struct node *node, const struct vm *vm, uint64_t now_ms);
/* Nothing else of that stands between them but what @node has refused @vm. */
bool plan_only_refused(const struct node *node, const struct vm *vm, uint64_t now_ms);
/* And that which is so of all guests with the same needs on all hosts with the same offers. */
enum plan_refusal plan_judge_kind(const struct node *node, const struct vm *vm, char *ret_text);

/* All nodes with what they can take now. */
void plan_init(struct plan *plan, const struct fleet *fleet, uint64_t now_ms);
void plan_deinit(struct plan *plan);
/* A person has said so, of what is picked from @plan. */
void plan_ignore_policies(struct plan *plan);

/* Why @node would not take @vm now, PLAN_FITS if it would. @ret_text (REASON_BYTES, may be NULL)
 * gets a phrase with numbers: "host2 312 MiB short of memory". @ignore_slots: judge a later time,
 * when slots and ports are free again. */
enum plan_refusal plan_judge(const struct fleet *fleet, const struct plan_node *node,
                             const struct vm *vm, bool ignore_slots, uint64_t now_ms,
                             char *ret_text);

/* The best destination, marked as taken in @plan. NULL: none, and @ret_reason (REASON_BYTES) says
 * what each lacks: "no destination: host2 312 MiB short of memory, host3 cordoned". @only: a name,
 * or NULL for any. */
struct plan_node *plan_pick_target(struct plan *plan, const struct fleet *fleet,
                                   const struct vm *vm, const char *only, bool ignore_slots,
                                   uint64_t now_ms, char *ret_reason);

/* What each lacks, alone: "host2 312 MiB short of memory, host3 cordoned". @ret_reason: REASON_BYTES. */
void plan_explain_none(const struct plan *plan, const struct fleet *fleet, const struct vm *vm,
                       uint64_t now_ms, char *ret_reason);

/* Whether some other node could hold @vm were it empty and open, as far as is known: a node that
 * has not reported counts as large enough. False: @ret_reason says what the largest lacks. */
bool plan_could_ever_fit(const struct fleet *fleet, const struct vm *vm, char *ret_reason);

/* RAM that a node can still take, never below 0. */
uint64_t plan_get_headroom(const struct fleet *fleet, const struct node *node);

/* Estimates. */
uint64_t plan_estimate_ms(const struct node *source, uint64_t memory_bytes,
                          uint64_t bandwidth_bytes_per_s);
/* The same to a certain destination: no faster than what is available on the path there, where that is
 * known and believed. @target NULL: none is chosen yet. */
uint64_t plan_estimate_to_ms(const struct node *source, const struct node *target,
                             uint64_t memory_bytes, uint64_t bandwidth_bytes_per_s,
                             uint64_t now_ms);
/* The time until all are done with @slots at a time, in the order given. */
uint64_t plan_schedule_ms(const uint64_t *durations_ms, size_t count, uint32_t slots);
