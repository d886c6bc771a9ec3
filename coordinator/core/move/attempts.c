/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts: what agents say of them. The rules are in attempts.h; the calls out in
 * attempts_drive.c, what is kept and told of a report in attempts_kept.c.
 *
 * Everything that frees a slot is in this file: a final report, a tombstone, or the certainty that
 * no START ever left this machine.
 */
#include "coordinator/core/move/attempts.h"

#include "common/units.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/claims.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/move/launch_ahead.h"
#include "coordinator/core/move/retry.h"
#include "coordinator/core/predict/predict.h"
#include "coordinator/core/requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* When a connection broke just as something was to be sent on it. */
#define NOT_SENT_RETRY_MS ((uint64_t)2000)
/* Other destinations that are tried at once, before time has to pass. */
#define ELSEWHERE_MOST 2

void attempts_set_reason(struct fleet *fleet, struct migration *m, const char *reason)
{
	if (strcmp(m->kept.reason, reason) == 0)
		return;
	text_copy(m->kept.reason, sizeof(m->kept.reason), reason);
	change_migration(fleet, m);
}

void attempts_forget(struct migration *m)
{
	m->start_sent = m->start_asked = m->probe_asked = m->cancel_asked = false;
	m->probe_wanted = m->heard = m->let_go_asked = m->give_back = false;
	m->heard_ms = m->running_since_ms = m->let_go_sent_ms = 0;
}

void attempts_release(struct fleet *fleet, struct migration *m, const char *reason)
{
	ahead_end(fleet, m);
	migration_free_slot(fleet, m);
	attempts_forget(m);
	attempts_set_reason(fleet, m, reason);
	if (m->kept.cancel_requested) {
		migration_move(fleet, m, MIGRATION_CANCELLED);
		change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number,
		                   "%s: cancelled before it began", m->kept.vm_name);
		return;
	}
	m->kept.target[0] = '\0';
	migration_move(fleet, m, MIGRATION_PLANNED);
	save_migration(fleet, m);
	fleet->reconcile_wanted = true;
}

/* --- the end of an attempt --- */

static void end_done(struct fleet *fleet, struct migration *m)
{
	const struct attempt_report *report = &m->kept.report;
	struct node *source = fleet_find_node(fleet, m->kept.source);
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	char duration[UNITS_TEXT_BYTES], downtime[UNITS_TEXT_BYTES], verified[REASON_BYTES];

	migration_free_slot(fleet, m);
	attempts_judge_arrival(fleet, m, verified, sizeof(verified));
	migration_move(fleet, m, MIGRATION_DONE);
	predict_learn(fleet, &m->kept);
	if (vm) {
		vm->failures = 0;
		vm->elsewhere = 0;
		vm->retry_ms = 0;
		vm->moved_ms = change_now(fleet);
		launch_forget_refusals(vm);
		tune_forget_kept(fleet, vm);
	}
	if (source && report->duration_ms > PLAN_OVERHEAD_MS) {
		uint64_t rate = m->kept.memory_bytes * 1000 / report->duration_ms;

		source->measured_bytes_per_s = source->measured_bytes_per_s
		                                       ? (3 * source->measured_bytes_per_s + rate) /
		                                                 4
		                                       : rate;
	}
	change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number,
	                   "%s: %s -> %s done in %s, downtime %s, %s", m->kept.vm_name,
	                   m->kept.source, m->kept.target,
	                   units_format_duration(report->duration_ms, duration),
	                   units_format_duration(report->downtime_ms, downtime), verified);
	attempts_tell_differences(fleet, m);
}

static bool never_ran(const struct migration *m)
{
	return !m->running_since_ms &&
	       (m->kept.state == MIGRATION_RESERVED || m->kept.state == MIGRATION_UNRESOLVED);
}

static void end_failed(struct fleet *fleet, struct migration *m, const char *reason)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	const struct retry_rule *rule = retry_of(m->kept.report.error_code, !never_ran(m));
	char why[REASON_BYTES];

	migration_free_slot(fleet, m);
	attempts_set_reason(fleet, m, reason);
	migration_move(fleet, m, MIGRATION_FAILED);
	snprintf(why, sizeof(why), "%s failed: %.400s", m->kept.target, reason);
	if (vm && rule->elsewhere)
		launch_avoid(fleet, vm, m->kept.target, why);
	/* What is blamed on one destination after the other is its source's, or its own. */
	if (vm && (rule->later || (rule->elsewhere && ++vm->elsewhere > ELSEWHERE_MOST)))
		launch_remember_failure(fleet, vm);
	change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
	                   "%s: %s -> %s failed: %s", m->kept.vm_name, m->kept.source,
	                   m->kept.target, reason);
}

static void end_cancelled(struct fleet *fleet, struct migration *m)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);

	migration_free_slot(fleet, m);
	attempts_set_reason(fleet, m,
	                    m->kept.report.reason[0] ? m->kept.report.reason
	                                             : "cancelled on request");
	migration_move(fleet, m, MIGRATION_CANCELLED);
	if (vm)
		launch_remember_failure(fleet, vm);
	change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number,
	                   "%s: cancelled, runs on %s", m->kept.vm_name, m->kept.source);
}

/* The destination's checks said no before anything had begun: not a failure but an answer. */
static void end_refused(struct fleet *fleet, struct migration *m, const struct check *worst)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	char target[NODE_NAME_BYTES], reason[REASON_BYTES];

	text_copy(target, sizeof(target), m->kept.target);
	snprintf(reason, sizeof(reason), "%s refused: %s: %s, required %s", target, worst->id,
	         worst->measured, worst->required);
	if (vm && launch_remember_refusal(fleet, vm, target, &m->kept.report.checks, reason))
		change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number, "%s: %s",
		                   vm->name, reason);
	if (!m->waiting_since_ms)
		m->waiting_since_ms = change_now(fleet);

	/* One that was asked for by itself and can go nowhere must not wait for a miracle. */
	if (worst->verdict == CHECK_BLOCK && !m->kept.drain_number && !m->kept.cancel_requested) {
		end_failed(fleet, m, reason);
		return;
	}
	attempts_release(fleet, m, reason);
}

/* The agent has forgotten the attempt (it keeps its reports for days only), but both hosts' lists
 * agree on where the guest is. */
static bool is_found_on_target(const struct fleet *fleet, const struct migration *m)
{
	const struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	const struct node *source = fleet_find_node(fleet, m->kept.source);
	const struct node *target = fleet_find_node(fleet, m->kept.target);
	const struct sighting *here, *there;

	if (!vm || !source || !target || !node_is_sure(source, change_now(fleet)) ||
	    !node_is_sure(target, change_now(fleet)))
		return false;
	here = fleet_find_sighting(vm, source);
	there = fleet_find_sighting(vm, target);
	return (!here || !vm_state_is_active(&here->state)) && there &&
	       vm_state_is_home(&there->state);
}

static void apply_end(struct fleet *fleet, struct migration *m)
{
	const struct attempt_report *report = &m->kept.report;
	const struct check *worst = checks_find_worst(&report->checks, CHECK_FAIL);

	switch (report->state) {
	case MIGRATION_DONE:
		end_done(fleet, m);
		return;
	case MIGRATION_FAILED:
		if (worst && never_ran(m))
			end_refused(fleet, m, worst);
		else if (never_ran(m) && !m->kept.cancel_requested &&
		         (report->error_code == ERROR_STALE ||
		          report->error_code == ERROR_CANCELLED ||
		          (report->error_code == ERROR_BUSY && m->kept.preparing)))
			/* A coordinator or an agent was restarted between the order and the move:
			 * nobody's failure, and the guest was not touched. */
			attempts_release(fleet, m, report->reason);
		else
			end_failed(fleet, m,
			           report->reason[0] ? report->reason
			                             : "its agent gives no reason");
		return;
	case MIGRATION_CANCELLED:
		if (!never_ran(m) && is_found_on_target(fleet, m))
			end_done(fleet, m);
		else if (m->kept.cancel_requested || !never_ran(m) || !report->tombstoned)
			end_cancelled(fleet, m);
		else
			attempts_release(fleet, m, "the attempt never began; it is planned anew");
		return;
	default:
		break;
	}

	/* A tombstone for an attempt that the agent has no record of. */
	if (never_ran(m))
		attempts_release(fleet, m, "the attempt never began; it is planned anew");
	else
		end_failed(fleet, m,
		           "the source agent has no record of it any more and will not act "
		           "on it; where the guest runs is shown by `drover vms`");
}

/* --- reports --- */

static bool is_end(const struct attempt_report *report)
{
	return report->tombstoned || migration_state_is_final(report->state);
}

static void apply_progress(struct fleet *fleet, struct migration *m)
{
	enum migration_state state = m->kept.report.state;
	bool backwards = m->kept.state == MIGRATION_SWITCHING && state == MIGRATION_RUNNING;

	/* The agent has it and has not begun: that is what we call reserved. */
	if (state == MIGRATION_NO_STATE || state == MIGRATION_PLANNED)
		state = MIGRATION_RESERVED;
	if (state == MIGRATION_RUNNING || state == MIGRATION_SWITCHING) {
		/* Whoever said so: what runs has a slot. */
		if (m->kept.preparing)
			migration_let_go(fleet, m, true);
		if (!m->running_since_ms)
			m->running_since_ms = change_now(fleet);
		m->waiting_since_ms = 0;
	}
	if (m->kept.state == MIGRATION_RESERVED && state == MIGRATION_RUNNING) {
		/* By now it is known what guards it, and what is copied. */
		predict_begin(fleet, m);
		save_migration(fleet, m);
		change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number,
		                   "%s: %s -> %s started", m->kept.vm_name, m->kept.source,
		                   m->kept.target);
		fleet->reconcile_wanted = true;
	}
	if (state == MIGRATION_UNRESOLVED && m->kept.report.alarm && !m->alarmed)
		change_tell_number(fleet, SEVERITY_ALARM, "migration", m->kept.number, "%s: %s",
		                   m->kept.vm_name, m->kept.report.reason);
	else if (state == MIGRATION_UNRESOLVED && m->kept.state != MIGRATION_UNRESOLVED)
		change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
		                   "%s: unresolved: %s", m->kept.vm_name, m->kept.report.reason);
	m->alarmed = state == MIGRATION_UNRESOLVED && m->kept.report.alarm;
	/* What it waits for the agent does not know: launch_ahead.c. */
	if (!m->kept.preparing)
		attempts_set_reason(fleet, m, m->kept.report.reason);
	/* Answers to a probe may be overtaken by later news; what was achieved stays achieved. */
	if (!backwards && migration_may_move(m->kept.state, state))
		migration_move(fleet, m, state);
	change_migration(fleet, m);
}

/* An attempt nobody here remembers: the store was lost or is older than the attempt. As long as it
 * runs it holds a slot, whoever ordered it. */
static struct migration *adopt(struct fleet *fleet, const struct attempt_report *report)
{
	struct vm *vm = fleet_add_vm(fleet, report->vm_uuid, report->vm_name);
	struct migration_record kept = { 0 };
	struct migration *m;

	/* One that only waits gives way: two attempts of a guest cannot be, and this one is. */
	if (vm->migration && vm->migration->kept.state == MIGRATION_PLANNED) {
		attempts_set_reason(fleet, vm->migration, "the guest was being moved already");
		migration_move(fleet, vm->migration, MIGRATION_CANCELLED);
	}
	if (vm->migration)
		return NULL;
	kept.number = ++fleet->last_migration_number;
	kept.attempt = report->attempt;
	kept.state = MIGRATION_RESERVED;
	kept.settings = fleet->options.settings;
	kept.created_wall_ms = fleet->step->wall_ms;
	kept.memory_bytes = report->progress.memory_total_bytes;
	kept.need_bytes = kept.memory_bytes;
	text_copy(kept.vm_uuid, sizeof(kept.vm_uuid), report->vm_uuid);
	text_copy(kept.vm_name, sizeof(kept.vm_name), report->vm_name);
	text_copy(kept.source, sizeof(kept.source), report->source);
	text_copy(kept.target, sizeof(kept.target), report->target);
	kept.holds_slot = true;
	kept.preparing = report->waits_for_slot;
	/* Who wanted it is not known, and it has not begun. */
	kept.cancel_requested = report->waits_for_slot;
	m = fleet_add_migration(fleet, &kept);
	save_migration(fleet, m);
	change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
	                   "%s: a migration %s -> %s was under way that the store does not know; "
	                   "%s",
	                   report->vm_name, report->source, report->target,
	                   report->waits_for_slot ? "prepared only, so it is given back"
	                                          : "adopted");
	return m;
}

/* It is over, and its source has looked once more for what was left of it. */
static void take_late_remnants(struct fleet *fleet, struct migration *m,
                               const struct attempt_report *report)
{
	struct attempt_report *kept = &m->kept.report;

	if (report->attempt.number != m->kept.attempt.number || !report->remnants.count ||
	    remnants_equal(&kept->remnants, &report->remnants))
		return;
	remnants_deinit(&kept->remnants);
	remnants_copy(&kept->remnants, &report->remnants);
	names_deinit(&kept->leftovers);
	names_copy(&kept->leftovers, &report->leftovers);
	change_migration(fleet, m);
	save_migration(fleet, m);
}

void attempts_take_report(struct fleet *fleet, struct node *node,
                          const struct attempt_report *report)
{
	struct migration *m = fleet_find_operation(fleet, &report->attempt.operation);

	if (!claims_may_report(fleet, node, m, report))
		return;
	/* A destination reports what comes in as well: evidence, but the source decides. */
	if (strcmp(report->source, node->kept.name) != 0)
		return;
	if (!m) {
		if (is_end(report) || !report->target[0] || !report->vm_uuid[0] ||
		    report->attempt.epoch <= node->kept.fence_epoch)
			return;
		m = adopt(fleet, report);
		if (!m)
			return;
	}
	if (migration_state_is_final(m->kept.state)) {
		take_late_remnants(fleet, m, report);
		return;
	}
	if (!m->kept.holds_slot || report->attempt.number < m->kept.attempt.number)
		return;
	/* The store is older than the attempt: what the agent has is what there is. */
	if (report->attempt.number > m->kept.attempt.number) {
		m->kept.attempt.number = report->attempt.number;
		/* Outcomes of calls about the former one are not for it. */
		m->start_asked = m->probe_asked = m->cancel_asked = m->let_go_asked = false;
	}

	attempts_keep_report(fleet, m, report);
	tune_take_report(fleet, m);
	m->heard = true;
	m->start_sent = true;
	m->probe_wanted = false;
	m->heard_ms = change_now(fleet);
	if (is_end(report))
		apply_end(fleet, m);
	else
		apply_progress(fleet, m);
}

void attempts_take_snapshot(struct fleet *fleet, struct node *node,
                            const struct attempt_report *reports, size_t count)
{
	struct migration *m, *next;

	for (m = fleet->active; m; m = m->next_active) {
		if (m->kept.holds_slot && strcmp(m->kept.source, node->kept.name) == 0 &&
		    (m->start_sent || m->probe_wanted))
			m->probe_wanted = true;
	}
	for (size_t i = 0; i < count; i++)
		attempts_take_report(fleet, node, &reports[i]);

	/* A start that is under way right now is not in the snapshot and need not be. */
	for (m = fleet->active; m; m = next) {
		next = m->next_active;
		if (m->start_asked)
			m->probe_wanted = false;
	}
}

/* --- outcomes --- */

static void start_outcome(struct fleet *fleet, struct migration *m, const struct event *event)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);

	m->start_asked = false;
	switch (event->call.outcome) {
	case CALL_ANSWERED:
		if (!event->call.accepted && (!event->call.report || !is_end(event->call.report)))
			m->probe_wanted = true;
		break;
	case CALL_NOT_SENT:
		/* It runs all the same: from another life of the store. */
		if (m->heard) {
			m->probe_wanted = true;
			break;
		}
		/* Nothing was sent, and nothing was before: a START is asked for once an attempt. */
		if (vm)
			vm->retry_ms = change_now(fleet) + NOT_SENT_RETRY_MS;
		attempts_release(fleet, m, event->call.error.text);
		break;
	case CALL_REFUSED:
		attempts_set_reason(fleet, m, event->call.error.text);
		m->probe_wanted = true;
		break;
	case CALL_UNKNOWN:
		m->probe_wanted = true;
		break;
	}
}

void attempts_take_outcome(struct fleet *fleet, const struct event *event)
{
	struct migration *m = fleet_find_migration(fleet, event->call.migration);
	struct node *source;

	if (!m || m->kept.attempt.number != event->call.attempt_number || !m->kept.holds_slot)
		return;
	source = fleet_find_node(fleet, m->kept.source);
	if (event->kind == EVENT_START_OUTCOME)
		start_outcome(fleet, m, event);
	else if (event->kind == EVENT_PROBE_OUTCOME)
		m->probe_asked = false;
	else if (event->kind == EVENT_LET_GO_OUTCOME)
		m->let_go_asked = false; /* told again until it is heard to have gone on */
	else
		m->cancel_asked = false;

	if (event->call.outcome == CALL_ANSWERED && event->call.report && source)
		attempts_take_report(fleet, source, event->call.report);
}
