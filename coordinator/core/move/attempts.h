/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts: what agents report of them, and what is asked of agents about them. Private to core/.
 *
 *	slot stored --> START --> accepted --> reports ... --> final report --> slot freed
 *	                  |
 *	                  +--> refused / unknown --> PROBE until the source agent has answered
 *
 * A coordinator that starts again sends no START for an attempt it finds in its store, for it
 * cannot know whether one was sent: it asks first. The answer is a report, or a tombstone after
 * which that attempt can never begin; then a new attempt may be made.
 */
#pragma once

#include "coordinator/core/change.h"

/* The report of @node's agent on an attempt whose source it is; anything else is not its to say. */
void attempts_take_report(struct fleet *fleet, struct node *node,
                          const struct attempt_report *report);
/* All that the agent has: what it does not mention must be asked about. */
void attempts_take_snapshot(struct fleet *fleet, struct node *node,
                            const struct attempt_report *reports, size_t count);
/* EVENT_START_OUTCOME, _CANCEL_, _PROBE_ */
void attempts_take_outcome(struct fleet *fleet, const struct event *event);

/* Looks at every migration that is not over and asks for what is due. Who gets a slot that is free:
 *
 *	what a person has asked for      attempts_reconcile
 *	guests of drains                 drain_reconcile_all
 *	guests on their way back         attempts_reconcile_back: they are well where they are
 */
void attempts_reconcile(struct fleet *fleet);
void attempts_reconcile_back(struct fleet *fleet);

/* Frees the slot of an attempt that surely has no effect any more, back to PLANNED (or CANCELLED,
 * if that was asked for). */
void attempts_release(struct fleet *fleet, struct migration *m, const char *reason);

/* --- attempts_kept.c --- */

/* The latest report in place of the one before, without losing what only that one could tell; what is new
 * of its decisions goes into the history. */
void attempts_keep_report(struct fleet *fleet, struct migration *m,
                          const struct attempt_report *report);
/* The guest is at its destination: its migration's reason, and in @ret "verified 11/11" for the history. */
void attempts_judge_arrival(struct fleet *fleet, struct migration *m, char *ret, size_t bytes);
/* A warning for each difference, with what to do. */
void attempts_tell_differences(struct fleet *fleet, const struct migration *m);

/* Nothing is known any more of what was asked and heard. */
void attempts_forget(struct migration *m);

/* One sentence for people: why it waits, failed or is unresolved. */
void attempts_set_reason(struct fleet *fleet, struct migration *m, const char *reason);
