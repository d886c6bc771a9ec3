/* SPDX-License-Identifier: Apache-2.0 */
/* What no schedule can beat, and so how good one is.
 *
 *	alone    the longest single move
 *	link     the most bytes over one link (with destinations still free: over all inbound ones)
 *	caps     the same of slots and ports: shows what a cap costs
 *	room     a move into a host that is full now starts after the quickest departure from it
 *
 * Never more than the best possible makespan: each counts a move with its least bytes at the full
 * rate of its path.
 */
#pragma once

#include "coordinator/planner/instance.h"

struct bounds {
	double alone_s, link_s, caps_s, room_s;
	double physical_s; /* the largest but for caps */
	double all_s;      /* the largest */
	double bytes;      /* the fewest that are sent */
	uint32_t host;     /* whose link decides; NONE: no link */
	bool inbound;
};

/* @targets: per guest, NONE: does not move. NULL: all that leave do, and their destinations are free
 * but for those prescribed. What runs counts with what is left of it. */
void bounds_find(const struct instance *in, const uint32_t *targets, struct bounds *ret_bounds);
