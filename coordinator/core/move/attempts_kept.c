/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of an agent's reports, and told of them: decisions, and how the guest arrived. A
 * migration's history is its last report, so that one must not forget what an agent that was restarted
 * since does not know any more. */
#include "coordinator/core/move/attempts.h"

#include "common/alloc.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One guest's worth; what is beyond is in the migration itself. */
#define DIFFERENCES_TOLD 8

/* What was done to make it converge goes into the history, each once. */
static void tell_decisions(struct fleet *fleet, const struct migration *m,
                           const struct attempt_report *report)
{
	const struct attempt_report *kept = &m->kept.report;
	size_t known = kept->attempt.number == report->attempt.number ? kept->decisions.count : 0;

	for (size_t i = known; i < report->decisions.count; i++)
		change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number, "%s: %s",
		                   m->kept.vm_name, report->decisions.items[i]);
}

static bool deviates(const struct path_proof *path)
{
	return path->verdict == PATH_ELSEWHERE || path->verdict == PATH_MISSING;
}

/* That it does not use the migration network is told at once, and that it does again. */
static void tell_path(struct fleet *fleet, const struct migration *m,
                      const struct attempt_report *report)
{
	const struct attempt_report *kept = &m->kept.report;
	bool before = kept->attempt.number == report->attempt.number && deviates(&kept->path);

	if (deviates(&report->path) && !before)
		change_tell_number(
			fleet, SEVERITY_WARNING, "migration", m->kept.number,
			"%s: %s -> %s is not on the migration network: %s%s", m->kept.vm_name,
			m->kept.source, m->kept.target, report->path.text,
			m->kept.settings.stop_off_network ? "; it is stopped, if it still can be"
							  : "");
	else if (before && report->path.verdict == PATH_PROVED)
		change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number,
		                   "%s: %s -> %s is on the migration network again: %s",
		                   m->kept.vm_name, m->kept.source, m->kept.target,
		                   report->path.text);
}

/* A path that carries far less than it usually does. */
static void tell_collapse(struct fleet *fleet, const struct migration *m,
                          const struct attempt_report *report)
{
	const struct attempt_report *kept = &m->kept.report;
	const struct connection *now = &report->progress.connection;
	bool before = kept->attempt.number == report->attempt.number &&
	              kept->progress.connection.collapsed;
	char rate[UNITS_TEXT_BYTES], usual[UNITS_TEXT_BYTES];

	if (!now->connections || now->collapsed == before)
		return;
	units_format_rate(now->bytes_per_s, rate);
	units_format_rate(now->usual_bytes_per_s, usual);
	if (now->collapsed)
		change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
		                   "%s: the network from %s to %s has collapsed: it carries %s, "
		                   "usually %s; %.2f %% are sent again, round trip %.1f ms",
		                   m->kept.vm_name, m->kept.source, m->kept.target, rate, usual,
		                   (double)now->resent_ppm / 10000, (double)now->rtt_us / 1000);
	else
		change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number,
		                   "%s: the network from %s to %s has recovered: it carries %s, "
		                   "usually %s",
		                   m->kept.vm_name, m->kept.source, m->kept.target, rate, usual);
}

/* An agent that took the attempt over has not seen where its bytes went before. */
static void take_over_path(struct path_proof *kept, const struct path_proof *before)
{
	if (!kept->text[0]) {
		*kept = *before;
	} else if (!kept->n) {
		kept->n = before->n;
		memcpy(kept->interfaces, before->interfaces, sizeof(kept->interfaces));
		kept->deviated |= before->deviated;
	}
}

/* An agent keeps in its journal how an attempt ended. Its checks and its passes it knows only as long as
 * it lives; what it has told of the same attempt before stays true. */
static void take_over(struct attempt_report *kept, struct attempt_report *before)
{
	struct progress *now = &kept->progress;
	uint32_t percent;

	if (!kept->checks.count) {
		kept->checks = before->checks;
		before->checks = (struct checks){ 0 };
	}
	if (!kept->guard)
		kept->guard = before->guard;
	take_over_path(&kept->path, &before->path);
	if (!kept->notes.count) {
		kept->notes = before->notes;
		before->notes = (struct names){ 0 };
	}
	if (!kept->times.moving_ms)
		kept->times = before->times;
	if (now->percent < before->progress.percent)
		now->percent = before->progress.percent;
	if (now->iteration || now->memory_total_bytes)
		return;
	percent = now->percent;
	*now = before->progress;
	now->percent = percent;
	now->eta_known = false;
	now->end = PREDICTION_UNKNOWN;
	now->later_why[0] = '\0';
}

void attempts_keep_report(struct fleet *fleet, struct migration *m,
                          const struct attempt_report *report)
{
	struct attempt_report *kept = &m->kept.report;
	struct attempt_report before = *kept;

	tell_decisions(fleet, m, report);
	tell_path(fleet, m, report);
	tell_collapse(fleet, m, report);
	attempt_report_copy(kept, report);
	if (before.attempt.number == report->attempt.number)
		take_over(kept, &before);
	attempt_report_deinit(&before);
	/* An agent that never saw the attempt does not know these. */
	text_copy(kept->vm_name, sizeof(kept->vm_name), m->kept.vm_name);
	if (!kept->target[0])
		text_copy(kept->target, sizeof(kept->target), m->kept.target);
}

/* "moved, with differences: disk/vda, network/52:54:00:12:34:56" */
static void name_differences(const struct checks *checks, char *ret, size_t bytes)
{
	const char *separator = "moved, with differences: ";
	size_t used = 0;

	for (size_t i = 0; i < checks->count && used < bytes; i++) {
		if (checks->items[i].verdict == CHECK_PASS)
			continue;
		used += (size_t)snprintf(ret + used, bytes - used, "%s%s", separator,
		                         checks->items[i].id);
		separator = ", ";
	}
}

void attempts_judge_arrival(struct fleet *fleet, struct migration *m, char *ret, size_t bytes)
{
	struct attempt_report *report = &m->kept.report;
	const struct checks *checks = &report->verification;
	size_t passed = checks_count(checks, CHECK_PASS);
	char reason[REASON_BYTES] = "";

	if (!checks->count && !report->not_verified[0])
		snprintf(report->not_verified, sizeof(report->not_verified),
		         "the agent of %s tells nothing of it: it is older, or does not know the "
		         "attempt any more",
		         m->kept.source);
	if (passed < checks->count)
		name_differences(checks, reason, sizeof(reason));
	attempts_set_reason(fleet, m, reason);
	if (checks->count)
		snprintf(ret, bytes, "verified %zu/%zu", passed, checks->count);
	else
		snprintf(ret, bytes, "not verified: %s", report->not_verified);
}

void attempts_tell_differences(struct fleet *fleet, const struct migration *m)
{
	const struct checks *checks = &m->kept.report.verification;
	size_t told = 0;

	for (size_t i = 0; i < checks->count && told < DIFFERENCES_TOLD; i++) {
		const struct check *c = &checks->items[i];

		if (c->verdict == CHECK_PASS)
			continue;
		told++;
		change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
		                   "%s moved to %s with a difference: %s: %s, required %s%s%s",
		                   m->kept.vm_name, m->kept.target, c->id, c->measured, c->required,
		                   c->remedy[0] ? "; " : "", c->remedy);
	}
}
