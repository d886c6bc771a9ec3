/* SPDX-License-Identifier: Apache-2.0 */
/* Of the destinations that have answered: where a move would go, and why not to the others. Private to
 * core/.
 *
 * A dry run that names another host than the move itself would take proves nothing. So the choice is made
 * by what chooses when it is begun (plan_pick_target), among those that have not refused.
 */
#pragma once

#include "coordinator/core/change.h"

/* Of @reply->targets, those that fit before all others: puts the one first to which the guest would go.
 * Its reason is why, the others' reasons are why not. */
void preview_choose(const struct fleet *fleet, struct reply *reply);
