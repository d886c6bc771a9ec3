/* SPDX-License-Identifier: Apache-2.0 */
/* Answers about capacity as messages, and as the lines of an explanation. Owner thread. */
#pragma once

#include "coordinator/core/capacity/capacity.h"
#include "proto/coordinator.pb-c.h"

/* Ended with view_free. @places: with a place for each guest. @remedies: what would help is tried. */
Drover__V1__DrainCapacity *capacity_view_new(struct capacity *c,
                                             const struct capacity_answer *answer, bool places,
                                             bool remedies);

/* Why the guests of a node's drain that are left do not all find a place, and what would help, in
 * sentences; each and *@ret to be freed (or owned by a message). 0: they do, or no drain is under way. */
size_t capacity_view_explain(const struct fleet *fleet, const struct node *node, uint64_t now_ms,
                             char ***ret);
