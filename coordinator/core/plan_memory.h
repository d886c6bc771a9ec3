/* SPDX-License-Identifier: Apache-2.0 */
/* Dry runs that may be asked for by their id: who was to go where, in which order. Private to core/.
 *
 * The id is made of what the plan says, so the same plan has the same id, whoever made it and when. The
 * latest are kept in memory. A plan is carried out only if it still holds: the same guests, and each
 * destination has room for its own in that order. Its guests' migrations are then written down with
 * their destinations, so it outlives a restart. One whose destination says no waits for that destination,
 * as was asked, and names what gives it up: its cancelling, after which the drain places the guest anew.
 * One that fails is tried again as in any drain, wherever there is room then.
 */
#pragma once

#include "coordinator/core/drain.h"

struct kept_plan {
	char id[PLAN_ID_BYTES];
	struct kept_move {
		char uuid[VM_UUID_BYTES], name[VM_NAME_BYTES];
		char node[NODE_NAME_BYTES], target[NODE_NAME_BYTES];
	} * moves; /* owned; in order */
	size_t count;
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

/* What is not as it was: a line for each guest; NULL: the plan holds. @draft: made with the plan's
 * destinations (drain_draft_as). Owned. */
char *kept_plan_compare(const struct kept_plan *plan, const struct drain *draft);
/* Writes down a migration for each of its guests, in order. The drains are under way. */
void kept_plan_start(struct fleet *fleet, const struct kept_plan *plan);
