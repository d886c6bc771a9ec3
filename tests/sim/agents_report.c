/* SPDX-License-Identifier: Apache-2.0 */
/* What the stand-in for the coordinator keeps of a report. See agents_inner.h. */
#include "tests/sim/agents_inner.h"

#include <stdio.h>
#include <string.h>

static void take_verification(struct agents_report *to, const Drover__V1__AttemptReport *r)
{
	to->n_verification = r->n_verification;
	to->n_verified = 0;
	to->differences[0] = '\0';
	snprintf(to->not_verified, sizeof(to->not_verified), "%s", r->not_verified);
	for (size_t i = 0; i < r->n_verification; i++) {
		const Drover__V1__Check *c = r->verification[i];
		size_t used = strlen(to->differences);

		if (c->verdict == DROVER__V1__CHECK__VERDICT__PASS)
			to->n_verified++;
		else
			snprintf(to->differences + used, sizeof(to->differences) - used,
			         "%s: %s, required %s\n", c->id, c->measured, c->required);
	}
}

void agents_take_report(struct agents *t, const Drover__V1__AttemptReport *r)
{
	struct agents_report *to = &t->report;

	if (!r->attempt || r->attempt->operation_id.len != ID_BYTES ||
	    memcmp(r->attempt->operation_id.data, t->operation.bytes, ID_BYTES) != 0)
		return;
	to->state = r->state;
	snprintf(to->reason, sizeof(to->reason), "%s", r->reason);
	to->error_code = r->error_code;
	to->tombstoned = r->tombstoned;
	to->waits_for_slot = r->waits_for_slot;
	to->guard = r->guard;
	to->alarm = r->alarm;
	to->downtime_ms = r->downtime_ms;
	to->n_checks = r->n_checks;
	snprintf(to->note, sizeof(to->note), "%s", r->n_notes ? r->notes[0] : "");
	to->n_decisions = r->n_decisions;
	to->decisions[0] = '\0';
	for (size_t i = 0; i < r->n_decisions; i++) {
		size_t used = strlen(to->decisions);

		snprintf(to->decisions + used, sizeof(to->decisions) - used, "%s\n",
		         r->decisions[i]);
	}
	to->n_remnants = r->n_remnants;
	to->n_open = 0;
	to->remnants[0] = '\0';
	for (size_t i = 0; i < r->n_remnants; i++) {
		static const char *const verdicts[] = { "not-looked", "gone", "left" };
		const Drover__V1__Remnant *one = r->remnants[i];
		size_t used = strlen(to->remnants);

		to->n_open += one->verdict != DROVER__V1__REMNANT__VERDICT__GONE;
		snprintf(to->remnants + used, sizeof(to->remnants) - used, "%s %s %s %s; %s\n",
		         one->thing, one->node, verdicts[one->verdict], one->text, one->remedy);
	}
	take_verification(to, r);
	if (r->disk_total_bytes > to->disk_total_bytes)
		to->disk_total_bytes = r->disk_total_bytes;
	to->count++;
	to->bandwidth_tuned = r->bandwidth_tuned;
	to->bandwidth_bytes_per_s = r->bandwidth_bytes_per_s;
	to->max_downtime_tuned = r->max_downtime_tuned;
	to->max_downtime_ms = r->max_downtime_ms;
	to->held_ms = r->held_ms;
	to->hold_for[0] = '\0';
	if (r->progress && r->progress->hold) {
		to->hold_left_ms = r->progress->hold->left_ms;
		snprintf(to->hold_for, sizeof(to->hold_for), "%s", r->progress->hold->first_vm);
	}
	if (r->progress) {
		to->iteration = r->progress->iteration;
		to->percent_fell |= r->progress->percent < to->percent;
		to->percent = r->progress->percent;
	}
}
