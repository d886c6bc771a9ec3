/* SPDX-License-Identifier: Apache-2.0 */
/* See failpoints.h. */
#include "coordinator/failpoints.h"

#ifdef DROVER_FAILPOINTS

#include "coordinator/core/move/migration.h"

FAILPOINTS_DEFINE(COORDINATOR_FAILPOINTS, coordinator_failpoints);

enum transaction { TRANSACTION_SLOT, TRANSACTION_RESULT, TRANSACTION_INTENT, TRANSACTION_HISTORY };

static enum transaction classify(const struct batch *batch)
{
	enum transaction found = TRANSACTION_HISTORY;

	for (size_t i = 0; i < batch->count; i++) {
		const struct put *p = &batch->puts[i];

		if (p->takes_slot)
			return TRANSACTION_SLOT;
		if (p->kind == PUT_MIGRATION && migration_state_is_final(p->migration.state))
			found = TRANSACTION_RESULT;
		else if (p->kind != PUT_EVENT && p->kind != PUT_FORGET_DRAIN &&
		         found == TRANSACTION_HISTORY)
			found = TRANSACTION_INTENT;
	}
	return found;
}

int failpoints_before_stored(const struct batch *batch, struct error *err)
{
	switch (classify(batch)) {
	case TRANSACTION_SLOT:
		return FAILPOINT_ERROR(coordinator_before_slot_stored, err);
	case TRANSACTION_RESULT:
		return FAILPOINT_ERROR(coordinator_before_result_stored, err);
	case TRANSACTION_INTENT:
		return FAILPOINT_ERROR(coordinator_before_intent_stored, err);
	case TRANSACTION_HISTORY:
		break;
	}
	return 0;
}

void failpoints_after_stored(const struct batch *batch)
{
	switch (classify(batch)) {
	case TRANSACTION_SLOT:
		FAILPOINT(coordinator_after_slot_stored);
		break;
	case TRANSACTION_RESULT:
		FAILPOINT(coordinator_after_result_stored);
		break;
	case TRANSACTION_INTENT:
		FAILPOINT(coordinator_after_intent_stored);
		break;
	case TRANSACTION_HISTORY:
		break;
	}
}

void failpoints_before_call(enum event_kind outcome)
{
	switch (outcome) {
	case EVENT_START_OUTCOME:
		FAILPOINT(coordinator_before_start_call);
		break;
	case EVENT_CANCEL_OUTCOME:
		FAILPOINT(coordinator_before_cancel_call);
		break;
	case EVENT_PROBE_OUTCOME:
		FAILPOINT(coordinator_before_probe_call);
		break;
	case EVENT_MARK_OUTCOME:
		FAILPOINT(coordinator_before_mark_call);
		break;
	case EVENT_PREVIEW_OUTCOME:
		FAILPOINT(coordinator_before_preview_call);
		break;
	default:
		break;
	}
}

void failpoints_after_answer(enum event_kind outcome)
{
	switch (outcome) {
	case EVENT_START_OUTCOME:
		FAILPOINT(coordinator_after_start_answer);
		break;
	case EVENT_CANCEL_OUTCOME:
		FAILPOINT(coordinator_after_cancel_answer);
		break;
	case EVENT_PROBE_OUTCOME:
		FAILPOINT(coordinator_after_probe_answer);
		break;
	case EVENT_MARK_OUTCOME:
		FAILPOINT(coordinator_after_mark_answer);
		break;
	case EVENT_PREVIEW_OUTCOME:
		FAILPOINT(coordinator_after_preview_answer);
		break;
	default:
		break;
	}
}

#endif
