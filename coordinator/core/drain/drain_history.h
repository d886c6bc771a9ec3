/* SPDX-License-Identifier: Apache-2.0 */
/* Drains that are over: so many are kept for people to look at, in memory and in the store, and those that
 * something still rests on. Private to core/.
 *
 *	the way back        since when the node has been closed, and the drains that moved what is away
 *	the host's own mark whose guests may stay: the latest of a node
 *	a set               all of it while one of its drains is under way
 *
 * Of those beyond what is kept the guests' rows go first: their moves are migrations.
 */
#pragma once

#include "coordinator/core/change.h"

#define DRAINS_KEPT       ((size_t)500)
#define DRAIN_VMS_KEPT    ((size_t)5000)
#define FORGOTTEN_AT_ONCE 200 /* one batch of the store */

/* For steps that look at everything. */
void drain_history_forget(struct fleet *fleet);
