/* SPDX-License-Identifier: Apache-2.0 */
/* Drains as a planning problem, and the planner's answer as what drains do next. Private to core/.
 *
 * The instance (planner/instance.h) is made of what is known now: rooms less what is on its way,
 * slots, ports, links, moves under way; who takes nobody is closed, and a host that has refused a guest,
 * or lists it, is none for that guest. It is made anew each time: nothing of a plan is kept but the
 * order and the destinations that it has left in the drains' guests, and those are wishes. The
 * destination agent has the last word.
 */
#pragma once

#include "coordinator/core/drain/drain.h"
#include "coordinator/core/plan/plan.h"

/* Fills order and planned of the guests of @drains with `wants` set. @plan: as plan_init left it.
 * @explain: their texts, too: why that destination and that turn, or what proves that there is none and
 * what would help, and the first one's bound; that looks at every host for each guest. */
void drain_plan_make(struct fleet *fleet, struct drain *const *drains, size_t count,
                     const struct plan *plan, bool explain);
