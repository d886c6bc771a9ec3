/* SPDX-License-Identifier: Apache-2.0 */
/* Between capacity.c and capacity_rooms.c. */
#pragma once

#include "coordinator/core/capacity/capacity.h"

/* What would be otherwise: of one more host, or more room on one, and of what was refused. */
struct extra {
	size_t node; /* of plan.nodes; SIZE_MAX: of none */
	uint64_t bytes;
	bool copy;   /* disks are copied where they are not shared */
	bool lifted; /* what @node has refused has been put right */
};

/* Of the hosts that are emptied together; then nobody goes there. Take it back. */
void capacity_mark_set(struct capacity *c, const struct node *const *nodes, size_t count, bool is);

/* @most: only the roomiest hosts; 0 = all. @extra may be NULL. @ret_rooms: with a yes, of plan.nodes. */
struct packing_answer capacity_solve(struct capacity *c, const struct capacity_answer *answer,
                                     const struct extra *extra, size_t most, size_t *ret_rooms);
