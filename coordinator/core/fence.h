/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that an operator has declared dead. Private to core/.
 *
 *	fence NODE --> stored, and a new epoch begins --> every agent is told --> what NODE began is
 *	settled by what the other hosts have; slots are free at once, for the fence is the tombstone
 *
 * The fence ends when NODE is heard of again, or by hand. What it said of the attempts ordered up to
 * its epoch stays true for ever: NODE is told that they are over before it is ordered anything.
 */
#pragma once

#include "coordinator/core/change.h"

/* An agent must have been silent for so long before its host can be declared dead: three times what
 * makes a node unreachable, longer than any pause of its own. */
#define FENCE_SILENT_MS ((uint64_t)30000)

void request_fence(struct fleet *fleet, const struct event *event);
void request_unfence(struct fleet *fleet, const struct event *event);
void fence_take_outcome(struct fleet *fleet, const struct event *event);

/* Frees slots, settles what is left, tells agents what they do not know. */
void fence_reconcile(struct fleet *fleet);

/* Its agent attaches: it lives. @same_agent: the very process that was there before. */
void fence_end_by_return(struct fleet *fleet, struct node *node, bool same_agent);

/* Has the agent of @teller confirmed all that is said of @node? True when nothing is. */
bool fence_is_known(const struct node *teller, const struct node *node);
