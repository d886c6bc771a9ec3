/* SPDX-License-Identifier: Apache-2.0 */
/* Why each guest's turn is then, and how good the order is. Private to core/.
 *
 * Read off the schedule, not told by whoever made it: several orders are tried, and the best is kept
 * whatever rule it came from. So what is said of a turn is what anyone can check in the plan: who had to
 * be gone before it, which limit was reached until then, and what else was left to go from its host.
 */
#pragma once

#include "coordinator/core/drain/drain_plan_words.h"

/* Fills turn_why of those that move, and @ret_bound. */
void drain_turns_explain(const struct drain_problem *problem, const struct planner_plan *plan,
                         struct plan_bound *ret_bound);
