/* SPDX-License-Identifier: Apache-2.0 */
/* Places, schedules, proves. Theory: planner.h. */
#include "coordinator/planner/planner.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

/* A first placement may always look that far for room. */
/* A step of looking for room is cheap beside an event of a schedule; and most drains need none. */
#define PLACE_SHARE 10

static void prove(const struct instance *in, struct planner_plan *plan)
{
	plan->proofs = xcalloc((size_t)plan->placement.n_blocked + plan->schedule.n_stuck + 1,
	                       sizeof(*plan->proofs));
	for (uint32_t v = 0; plan->placement.n_blocked && v < in->n_vms; v++) {
		if (in->vms[v].role == INSTANCE_LEAVES &&
		    plan->placement.targets[v] == INSTANCE_NONE)
			proof_find(in, v, plan->placement.searched,
			           &plan->proofs[plan->n_proofs++]);
	}
	for (uint32_t i = 0; i < plan->schedule.n_stuck; i++)
		proof_find_cycle(in, &plan->schedule, plan->schedule.stuck[i],
		                 &plan->proofs[plan->n_proofs++]);
}

static uint64_t get_place_effort(const struct planner_options *options)
{
	uint64_t effort = options->seek && options->effort < PLANNER_EFFORT ? PLANNER_EFFORT
	                                                                    : options->effort;

	return effort ? effort * PLACE_SHARE : PLANNER_LEAST_EFFORT;
}

void planner_make(const struct instance *in, const struct planner_options *options,
                  struct planner_plan *ret_plan)
{
	struct planner_plan plan = { 0 };
	struct schedule_options so = { .order = options->rates == SCHEDULE_RESERVED
		                                        ? SCHEDULE_CRITICAL
		                                        : SCHEDULE_LANES,
		                       .rates = options->rates };

	place_make(in, options->seed, get_place_effort(options), &plan.placement);
	bounds_find(in, plan.placement.targets, &plan.bounds);
	schedule_make(in, plan.placement.targets, &so, &plan.schedule);
	if (options->effort)
		planner_improve(in, plan.placement.targets, options, plan.bounds.all_s,
		                &plan.schedule);
	/* Where a plan had to choose anew, its bounds are those of what it chose. */
	for (uint32_t m = 0; m < plan.schedule.n_moves; m++) {
		const struct schedule_move *move = &plan.schedule.moves[m];

		if (move->retargeted)
			plan.placement.targets[move->vm] = move->to;
	}
	schedule_link(in, &plan.schedule);
	prove(in, &plan);
	*ret_plan = plan;
}

void planner_plan_deinit(struct planner_plan *plan)
{
	for (uint32_t i = 0; i < plan->n_proofs; i++)
		proof_deinit(&plan->proofs[i]);
	free(plan->proofs);
	placement_deinit(&plan->placement);
	schedule_deinit(&plan->schedule);
	*plan = (struct planner_plan){ 0 };
}
