/* SPDX-License-Identifier: Apache-2.0 */
/* The planner: an instance in, a plan out.
 *
 *	struct instance in;
 *	instance_init(&in, n_hosts, n_vms);      fill hosts and guests (instance.h)
 *	instance_index(&in);
 *	planner_make(&in, &(struct planner_options){ .effort = PLANNER_EFFORT }, &plan);
 *	plan.schedule.moves[...]                 who, from, to, when, after what (schedule.h)
 *	plan.proofs[...]                         who has no place, and why (proof.h)
 *	plan.bounds                              how good it is (bounds.h)
 *
 * Pure: no clock, no fleet, no I/O. The same instance, seed and effort give the same plan on every
 * machine; effort is counted in steps, not in time. What runs is part of the instance and is never
 * changed: a replan is a plan of the instance as it is now, with effort 0.
 */
#pragma once

#include "coordinator/planner/bounds.h"
#include "coordinator/planner/place.h"
#include "coordinator/planner/proof.h"
#include "coordinator/planner/schedule.h"

/* A few milliseconds. */
#define PLANNER_EFFORT ((uint64_t)100000)
/* What placing takes at most where no effort is asked for. */
#define PLANNER_LEAST_EFFORT ((uint64_t)20000)

struct planner_options {
	uint64_t seed;
	uint64_t effort; /* 0: one pass */
	bool seek;       /* look as far for room as with PLANNER_EFFORT, whatever the effort is */
	enum schedule_rates rates;
};

struct planner_plan {
	struct placement placement;
	struct schedule schedule;
	struct bounds bounds; /* of the moves as placed */
	struct proof *proofs; /* owned; one for each guest that has no place or never its turn */
	uint32_t n_proofs;
};

void planner_make(const struct instance *in, const struct planner_options *options,
                  struct planner_plan *ret_plan);
void planner_plan_deinit(struct planner_plan *plan);

/* Tries other orders for as long as the effort lasts, and keeps the best (improve.c): fewer stuck,
 * fewer detours, an earlier end and earlier ends on average. Never worse than @schedule. */
void planner_improve(const struct instance *in, const uint32_t *targets,
                     const struct planner_options *options, double bound_s,
                     struct schedule *schedule);
