/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds of questions to destinations that reserve nothing: private to core/.
 *
 * A round belongs to one request (dry run of a drain or of a migration, explain) and ends with its
 * reply, when all have answered or PREVIEW_DEADLINE_MS has passed. A preview is not intent: nothing
 * is stored, and a restart forgets the round together with whoever waited for it.
 */
#pragma once

#include "coordinator/core/change.h"

/* Takes @reply with reply->plan: asks each planned target, then sends it. */
void preview_start_drain(struct fleet *fleet, struct reply *reply);
/* Asks the best @most destinations of @vm (all that the coordinator does not itself exclude, up to
 * @most) and sends @reply with the targets. @only: one node or NULL; @thorough: it is asked also where
 * the coordinator excludes it, so that all that stands in the way is known at once. */
void preview_start_targets(struct fleet *fleet, struct reply *reply, struct vm *vm,
                           const char *only, bool thorough, size_t most);

void preview_take_outcome(struct fleet *fleet, const struct event *event);
/* Ends the rounds whose time is over. */
void preview_tick(struct fleet *fleet);
void preview_drop_all(struct fleet *fleet);
