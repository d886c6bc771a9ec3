/* SPDX-License-Identifier: Apache-2.0 */
/* The words for states, guards and verdicts, and small sums over messages. */
#include "tools/drover/render.h"

#include "common/alloc.h"

#include <stdio.h>
#include <string.h>

/* KubeVirt's phases; people's eyes and scripts know them. */
static const struct {
	const char *name, *phase;
} states[] = {
	[DROVER__V1__MIGRATION_STATE__MIGRATION_STATE_UNSPECIFIED] = { "unknown", "Unknown" },
	[DROVER__V1__MIGRATION_STATE__PLANNED] = { "planned", "Pending" },
	[DROVER__V1__MIGRATION_STATE__RESERVED] = { "reserved", "Scheduled" },
	[DROVER__V1__MIGRATION_STATE__RUNNING] = { "running", "Running" },
	[DROVER__V1__MIGRATION_STATE__SWITCHING] = { "switching", "Running" },
	[DROVER__V1__MIGRATION_STATE__DONE] = { "done", "Succeeded" },
	[DROVER__V1__MIGRATION_STATE__FAILED] = { "failed", "Failed" },
	[DROVER__V1__MIGRATION_STATE__CANCELLED] = { "cancelled", "Failed" },
	[DROVER__V1__MIGRATION_STATE__UNRESOLVED] = { "unresolved", "Unknown" },
};

const char *migration_state_name(Drover__V1__MigrationState state)
{
	return (unsigned)state < ARRAY_SIZE(states) ? states[state].name : "unknown";
}

const char *migration_phase(const Drover__V1__Migration *m)
{
	if (*m->phase)
		return m->phase;
	return (unsigned)m->state < ARRAY_SIZE(states) ? states[m->state].phase : "Unknown";
}

const char *guard_name(Drover__V1__Guard guard)
{
	switch (guard) {
	case DROVER__V1__GUARD__GUARD_IMAGE_LOCK:
		return "image lock";
	case DROVER__V1__GUARD__GUARD_LOCK_MANAGER:
		return "lock manager";
	case DROVER__V1__GUARD__GUARD_TWO_STEP:
		return "two-step";
	default:
		return "none";
	}
}

const char *verdict_name(Drover__V1__Check__Verdict verdict)
{
	switch (verdict) {
	case DROVER__V1__CHECK__VERDICT__PASS:
		return "pass";
	case DROVER__V1__CHECK__VERDICT__WARN:
		return "warn";
	case DROVER__V1__CHECK__VERDICT__FAIL:
		return "FAIL";
	case DROVER__V1__CHECK__VERDICT__BLOCK:
		return "BLOCK";
	default:
		return "unknown";
	}
}

const char *drain_vm_reason(const Drover__V1__DrainVm *vm)
{
	return strncmp(vm->reason, "waits: ", 7) == 0 ? vm->reason + 7 : vm->reason;
}

bool migration_is_over(const Drover__V1__Migration *m)
{
	return m->state == DROVER__V1__MIGRATION_STATE__DONE ||
	       m->state == DROVER__V1__MIGRATION_STATE__FAILED ||
	       m->state == DROVER__V1__MIGRATION_STATE__CANCELLED;
}

bool drain_is_over(const Drover__V1__Drain *d)
{
	return strcmp(d->state, "completed") == 0 || strcmp(d->state, "partly") == 0 ||
	       strcmp(d->state, "cancelled") == 0;
}

char *checks_summary(Drover__V1__Check *const *checks, size_t n, char *ret_text)
{
	unsigned passed = 0, warned = 0;
	size_t used;

	*ret_text = 0;
	if (n == 0)
		return ret_text;
	for (size_t i = 0; i < n; i++) {
		passed += checks[i]->verdict == DROVER__V1__CHECK__VERDICT__PASS;
		warned += checks[i]->verdict == DROVER__V1__CHECK__VERDICT__WARN;
	}
	snprintf(ret_text, CHECKS_SUMMARY_BYTES, "%u passed", passed);
	used = strlen(ret_text);
	if (warned)
		used += (size_t)snprintf(ret_text + used, CHECKS_SUMMARY_BYTES - used,
		                         ", %u warned", warned);
	if (passed + warned < n)
		snprintf(ret_text + used, CHECKS_SUMMARY_BYTES - used, ", %u failed",
		         (unsigned)n - passed - warned);
	return ret_text;
}

char *verification_summary(const Drover__V1__AttemptReport *r, char *ret_text)
{
	size_t passed = 0;

	for (size_t i = 0; i < r->n_verification; i++)
		passed += r->verification[i]->verdict == DROVER__V1__CHECK__VERDICT__PASS;
	if (r->n_verification)
		snprintf(ret_text, VERIFICATION_SUMMARY_BYTES, "%zu/%zu%s", passed,
		         r->n_verification,
		         passed < r->n_verification ? ": it moved, with differences" : "");
	else
		snprintf(ret_text, VERIFICATION_SUMMARY_BYTES, "no: %s",
		         *r->not_verified ? r->not_verified : "nobody has looked");
	return ret_text;
}

struct drain_counts drain_count(const Drover__V1__Drain *d)
{
	struct drain_counts counts = { .total = (unsigned)d->n_vms };

	for (size_t i = 0; i < d->n_vms; i++) {
		const char *state = d->vms[i]->state;

		if (strcmp(state, "moved") == 0)
			counts.moved++;
		else if (strcmp(state, "moving") == 0)
			counts.moving++;
		else if (strcmp(state, "left") == 0)
			counts.left++;
		else if (strcmp(state, "stopping") == 0)
			counts.stopping++;
		else if (strcmp(state, "stopped") == 0)
			counts.stopped++;
		else if (strcmp(state, "blocked") == 0)
			counts.blocked++;
		else
			counts.waiting++;
	}
	return counts;
}
