/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a hard policy can hold beside those there are. Private to core/. */
#pragma once

#include "coordinator/core/policy/policy.h"

/* -ERROR_REFUSED with the other policy, the guests, and the way out. What was said of that name before
 * is replaced, and does not count. */
int policy_check_conflicts(const struct fleet *fleet, const struct policy_record *wanted,
                           struct error *err);
