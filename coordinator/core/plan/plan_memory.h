/* SPDX-License-Identifier: Apache-2.0 */
/* Dry runs that may be asked for by their id: who was to go where, in which order, and why.
 *
 * The id is made of what the plan says and of how its guests are to move, so the same plan has the same id,
 * whoever made it and when. The latest are kept in memory. A plan is carried out only if it still holds: the
 * same guests, and each destination has room for its own in that order. Its guests' migrations are then
 * written down with their destinations, so it outlives a restart; and its drains are as was asked for with
 * it, where nothing else is asked for now. One whose destination says no waits for that destination,
 * as was asked, and names what gives it up: its cancelling, after which the drain places the guest anew.
 * One that fails is tried again as in any drain, wherever there is room then.
 */
#pragma once

#include "coordinator/core/drain/drain.h"

struct kept_plan {
	char id[PLAN_ID_BYTES];
	struct kept_move {
		char uuid[VM_UUID_BYTES], name[VM_NAME_BYTES];
		char node[NODE_NAME_BYTES], target[NODE_NAME_BYTES];
		/* As it was shown; see struct drain_vm. Times are from the start. */
		uint32_t order, could;
		uint64_t memory_bytes, left_bytes, start_ms, end_ms;
		struct prediction prediction;
		enum guard guard;
		char *why, *turn_why; /* owned */
	} * moves;                    /* owned; in order */
	uint32_t *by_uuid;            /* owned; private: all of moves */
	size_t count;
	/* What was asked for, and of which nodes. Owned. */
	struct drain_record record;
	struct names nodes;
	struct plan_bound bound;
	uint64_t made_wall_ms, eta_ms, eta_low_ms, eta_high_ms, bytes;
	struct kept_plan *next;
};

/* Of a draft in which nobody is blocked and somebody goes: gives it its id, and keeps it. */
void plan_memory_keep(struct fleet *fleet, struct drain *draft);
/* Keeps the latest, and of the others the latest as long as neither is exceeded. */
void plan_memory_trim(struct fleet *fleet, size_t most_plans, size_t most_moves);
void plan_memory_free(struct fleet *fleet);

/* NULL: not known, or not any more. Borrowed until the next is kept. */
const struct kept_plan *plan_memory_find(const struct fleet *fleet, const char *id);
/* Where @plan sends that guest; NULL: it does not know it. */
const char *kept_plan_get_target(const struct kept_plan *plan, const char *uuid);

/* What is not as it was: a sentence for each guest; none: the plan holds. @draft: made with the plan's
 * destinations (drain_draft_as). */
void kept_plan_compare(const struct kept_plan *plan, const struct drain *draft, struct names *ret);
/* The same with a draft made now, and of its nodes. */
void kept_plan_check(struct fleet *fleet, const struct kept_plan *plan, struct names *ret);
/* Writes down a migration for each of its guests, in order. The drains are under way. */
void kept_plan_start(struct fleet *fleet, const struct kept_plan *plan);
