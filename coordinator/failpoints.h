/* SPDX-License-Identifier: Apache-2.0 */
/* Every place where tests make a coordinator die: around each kind of transaction, around each call to
 * an agent, before what it says to people. */
#pragma once

#include "common/failpoint.h"
#include "coordinator/core/event.h"
#include "coordinator/core/record.h"

/* A transaction is of the first kind below that it has something of. */
#define COORDINATOR_FAILPOINTS(X)                                                                 \
	X(coordinator_before_slot_stored, FAILS, "a migration takes its slot: to be written")     \
	X(coordinator_after_slot_stored, PASSES, "the slot is durable, nobody was told to start") \
	X(coordinator_before_result_stored, FAILS, "how a migration ended: to be written")        \
	X(coordinator_after_result_stored, PASSES, "how it ended is durable, nobody knows")       \
	X(coordinator_before_intent_stored, FAILS, "a drain, migration or mark: to be written")   \
	X(coordinator_after_intent_stored, PASSES, "it is durable, nobody knows")                 \
	X(coordinator_before_start_call, PASSES, "a source is to be told to start")               \
	X(coordinator_after_start_answer, PASSES, "the source has answered, nothing is noted")    \
	X(coordinator_before_cancel_call, PASSES, "a source is to be told to cancel")             \
	X(coordinator_after_cancel_answer, PASSES, "the source has answered, nothing is noted")   \
	X(coordinator_before_probe_call, PASSES, "a source is to be asked about an attempt")      \
	X(coordinator_after_probe_answer, PASSES, "the source has answered, nothing is noted")    \
	X(coordinator_before_mark_call, PASSES, "a node is to be told that it drains")            \
	X(coordinator_after_mark_answer, PASSES, "the node has answered, nothing is noted")       \
	X(coordinator_before_preview_call, PASSES, "a source is to be asked for a dry run")       \
	X(coordinator_after_preview_answer, PASSES, "the source has answered, nothing is said")   \
	X(coordinator_before_reply, PASSES, "what was asked for is durable, the answer is not out")

FAILPOINTS_DECLARE(COORDINATOR_FAILPOINTS, coordinator_failpoints);

/* The points that stand for a kind of transaction or call. */
#ifdef DROVER_FAILPOINTS
int failpoints_before_stored(const struct batch *batch, struct error *err);
void failpoints_after_stored(const struct batch *batch);
void failpoints_before_call(enum event_kind outcome);
void failpoints_after_answer(enum event_kind outcome);
#else
#define failpoints_before_stored(batch, err) ((void)(batch), (void)(err), 0)
#define failpoints_after_stored(batch)       ((void)(batch))
#define failpoints_before_call(outcome)      ((void)(outcome))
#define failpoints_after_answer(outcome)     ((void)(outcome))
#endif
