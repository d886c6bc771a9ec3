/* SPDX-License-Identifier: Apache-2.0 */
/* Between policy.c and policy_wish.c. */
#pragma once

#include "coordinator/core/policy/policy.h"

/* Where the draft sends it; "": nowhere. */
const char *policy_get_drafted_target(const struct fleet *fleet, const struct vm *vm);
bool policy_runs_at(const struct vm *vm, const struct node *node);
/* Those that have not reported yet are about to: where their guests are is not known. */
bool policy_is_starting(const struct fleet *fleet);
