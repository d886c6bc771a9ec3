/* SPDX-License-Identifier: Apache-2.0 */
/* Judges plans and proofs by the instance alone: a sweep over the times of the moves, written without
 * anything of the planner but the shapes of its results. All return NULL, or what is wrong (a static
 * text). */
#pragma once

#include "coordinator/planner/planner.h"

/* P1-P5: rooms at every instant, each guest in one place, constraints at the end and on the way, caps
 * and ports, links. */
const char *plan_check(const struct instance *in, const struct planner_plan *plan,
                       enum schedule_rates rates);

/* P1: starts and ends in a random order that respects what must come after what. */
const char *plan_check_order(const struct instance *in, const struct schedule *schedule,
                             uint64_t seed);

/* The certificate holds. PROOF_NONE and PROOF_SEARCHED claim nothing that could be checked here. */
const char *plan_check_proof(const struct instance *in, const struct planner_plan *plan,
                             const struct proof *proof);
