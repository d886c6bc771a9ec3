/* SPDX-License-Identifier: Apache-2.0 */
/* Between capacity.c and capacity_rooms.c. */
#pragma once

#include "coordinator/core/capacity.h"

/* What @extra says beyond the rooms there are: of one more host, or more room on one. */
struct extra {
	size_t node; /* of plan.nodes */
	uint64_t bytes;
};

/* @most: only the roomiest hosts; 0 = all. @extra may be NULL. @ret_rooms: with a yes, of plan.nodes. */
struct packing_answer capacity_solve(struct capacity *c, const struct capacity_answer *answer,
                                     const struct extra *extra, size_t most, size_t *ret_rooms);
