/* SPDX-License-Identifier: Apache-2.0 */
/* Which hosts can be emptied now, alone and together; what is in the way, and what would help.
 *
 *	struct capacity      the fleet at one moment: rooms, who takes guests, steps that are left
 *	capacity_ask_drain   one set of hosts: yes with a place for each guest, no with a proof, unknown
 *	capacity_find_largest, _count_room, _get_spare
 *	capacity_find_remedies   what turns a no into a yes: each is tried before it is named
 *
 * Pure, and it changes nothing in the fleet. What only a host's own eyes can judge (its storage,
 * how far away it is) is not in it: the destination's agent has the last word, and a refusal it has given
 * counts. Every answer is bounded by steps; what was not searched for that is said.
 */
#pragma once

#include "coordinator/core/capacity/packing.h"
#include "coordinator/core/plan/classes.h"
#include "coordinator/core/plan/plan.h"

/* 5 ns each, measured with 3,000 hosts: the owner thread of the coordinator waits for 0.15 s at most. */
#define CAPACITY_STEPS ((uint64_t)30000000)
/* Of one question among many. */
#define CAPACITY_STEPS_EACH ((uint64_t)4000000)
/* Up to so many hosts with guests, each set is looked at. */
#define CAPACITY_EXACT_HOSTS 16

struct capacity {
	const struct fleet *fleet; /* borrowed */
	uint64_t now_ms;
	struct plan plan;
	struct classes classes; /* of guests, by plan.nodes */
	size_t *takers; /* owned; of plan.nodes, those that take guests, the roomiest first */
	size_t n_takers;
	uint64_t steps; /* left */
	/* For a command that is asked for again: what is left of its deadline. 0: not known, and it has none. */
	uint64_t wall_ms;
	bool *in_set; /* owned; by plan.nodes: of the set that is asked for */
};

void capacity_init(struct capacity *c, const struct fleet *fleet, uint64_t now_ms, uint64_t steps);
void capacity_deinit(struct capacity *c);

struct capacity_guest {
	const struct vm *vm;     /* borrowed */
	const struct node *node; /* where it runs, or is on its way to; borrowed */
	uint64_t need_bytes;
	const struct node *target; /* with a yes; borrowed */
};

/* What a host says of one guest. */
struct capacity_place {
	const struct node *node; /* borrowed */
	enum plan_refusal why;   /* PLAN_FITS: it fits */
	uint64_t room_bytes, missing_bytes;
	char reason[REASON_BYTES];
};

/* The cheapest first. */
enum capacity_help {
	CAPACITY_OPEN,     /* a host is shut; were it open, there would be a place for each */
	CAPACITY_COPY,     /* disks that are not shared are copied */
	CAPACITY_FREE,     /* that much less memory in use there */
	CAPACITY_CHECK,    /* what a host asked for when it refused a guest */
	CAPACITY_GUEST,    /* something about the guest itself */
	CAPACITY_LEAVE,    /* it stays */
	CAPACITY_SHUTDOWN, /* it is shut down */
	CAPACITY_HELPS
};

struct capacity_remedy {
	enum capacity_help kind;
	char node[NODE_NAME_BYTES];
	uint64_t bytes; /* CAPACITY_FREE: enough; with less by a MiB no way was found */
	char text[REASON_BYTES];
};

struct capacity_answer {
	const struct node **nodes; /* owned; the set */
	size_t n_nodes;
	enum packing_verdict verdict;
	char reason[REASON_BYTES];     /* of a no or unknown: why; of a yes: what to know, or "" */
	struct capacity_guest *guests; /* owned; the largest first */
	size_t n_guests, n_unasked;    /* about those no destination was asked of late */
	uint64_t need_bytes;
	bool by_hand;           /* yes, but not with the places that drover chooses by itself */
	const struct vm *guest; /* the one without a place, or that cannot move; or NULL */
	bool unmovable;         /* it cannot move at all */
	struct packing_answer proof;
	struct capacity_place *places; /* owned; PACKING_NO_PLACE: every other host */
	size_t n_places;
};

/* Of a place for each guest of @nodes, were these hosts emptied together. */
struct capacity_answer capacity_ask_drain(struct capacity *c, const struct node *const *nodes,
                                          size_t count);
/* Destinations were asked about the guests of @answer's set, one place of each: with a yes these are the places;
 * where one is left without, that there is another one is not known. */
void capacity_take_draft(struct capacity_answer *answer, const struct fleet *fleet,
                         struct drain *draft);
void capacity_answer_deinit(struct capacity_answer *answer);

/* What would let the set of @answer, a no, be emptied; the least first. *@ret is freed by free(). The
 * number of them, at most @most. */
size_t capacity_find_remedies(struct capacity *c, const struct capacity_answer *answer, size_t most,
                              struct capacity_remedy **ret);

struct capacity_largest {
	struct capacity_answer answer; /* of the largest set that was found */
	size_t at_most; /* no set of more: all of their guests need more than there is */
	bool exact;     /* there is no larger one: each was looked at, or at_most says so */
	size_t barred;  /* hosts that are in no set, because a guest there cannot move */
};

struct capacity_largest capacity_find_largest(struct capacity *c);

/* What the guests of @node that would have to go need together. */
uint64_t capacity_get_need(const struct capacity *c, const struct node *node);

/* Free on all hosts that take guests; and the host whose guests need most. */
uint64_t capacity_get_spare(const struct capacity *c, const struct node **ret_fullest,
                            uint64_t *ret_fullest_bytes);

/* How many guests that need so much there is room for on a host. */
uint64_t capacity_count_room(const struct plan_node *node, uint64_t need_bytes, uint32_t vcpus);

/* A guest that is nowhere yet, as every host sees it; best first, as many as there are hosts. @like: it
 * needs the same machine type, networks and kind of pages; NULL: nothing is known of that.
 * Freed by free(). */
struct capacity_place *capacity_list_places(struct capacity *c, uint64_t need_bytes, uint32_t vcpus,
                                            const struct vm *like, size_t *ret_count);

/* Of a host that would take @vm: whether drover would choose it, and if not, which one and why. False: it
 * would not take it, and there is nothing to say. */
bool capacity_explain_choice(const struct fleet *fleet, const struct vm *vm,
                             const struct node *node, uint64_t now_ms, char *ret_text);

/* What QEMU needs besides for a guest of that size: what agents reserve (agent/kernel/overhead.h),
 * with the video memory that libvirt gives a guest by default. */
uint64_t capacity_guess_overhead(uint64_t memory_bytes);

const char *capacity_verdict_name(enum packing_verdict verdict); /* "yes", "no", "unknown" */
