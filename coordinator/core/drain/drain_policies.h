/* SPDX-License-Identifier: Apache-2.0 */
/* Policies in a drain's plan: policy.h as groups and classes of the planner's instance, and back to words.
 * Private to core/.
 *
 * APART and TOGETHER are groups; those of their guests that stay, or are on their way elsewhere, are in
 * the instance, too, for those that leave must be apart from them as well. ON is a class, and a wish of
 * hosts a group of those that leave: nobody has no place for it.
 */
#pragma once

#include "coordinator/core/drain/drain_plan_words.h"

/* The most guests that are added to an instance. */
uint32_t drain_policies_count(const struct fleet *fleet);
/* After all guests of the drains. */
void drain_policies_add(struct drain_problem *problem);
void drain_policies_deinit(struct drain_problem *problem);

/* Adds to the reason of one that is blocked what its policies have to do with it, and what would help. */
void drain_policies_explain(const struct drain_problem *problem, const struct proof *proof,
                            const struct vm *vm, struct drain_vm *dv);
/* Of a draft: who goes where a wish is not met, and of a wish of hosts what they lack. */
void drain_policies_tell_broken(struct fleet *fleet, struct drain *draft);
