/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that a person changes by hand: of a migration that runs, of one that waits, and of a guest,
 * for the next one.
 *
 *	runs    --> TUNE at its source agent, which judges, writes down, does it --> reply
 *	waits   --> its record, here
 *	no move --> kept with the guest, used by its next move, gone when that is done
 *
 * What a running move was changed to comes back in its reports, also when the answer is lost; the record
 * follows those (tune_take_report). */
#include "common/alloc.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/attempts.h"
#include "coordinator/core/requests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_value(struct reply *reply, const struct tuned_value *value)
{
	reply->values = xreallocarray(reply->values, reply->n_values + 1, sizeof(*reply->values));
	reply->values[reply->n_values++] = *value;
}

static void add_change(struct reply *reply, enum setting setting,
                       const struct migration_settings *before,
                       const struct migration_settings *after)
{
	char was[SETTING_TEXT_BYTES], is[SETTING_TEXT_BYTES];
	struct tuned_value value = { 0 };

	setting_format(before, setting, was);
	setting_format(after, setting, is);
	if (strcmp(was, is) == 0)
		return;
	text_copy(value.name, sizeof(value.name), setting_name(setting));
	text_copy(value.before, sizeof(value.before), was);
	text_copy(value.after, sizeof(value.after), is);
	add_value(reply, &value);
}

/* "root: bandwidthPerMigration 8 MiB/s = 67.1 Mbit/s -> no limit" */
static void format_changes(const struct reply *reply, const char *by, char *ret, size_t bytes)
{
	int n = snprintf(ret, bytes, "%.64s:", by);

	for (size_t i = 0; i < reply->n_values && n > 0 && (size_t)n < bytes; i++)
		n += snprintf(ret + n, bytes - (size_t)n, "%s %s %s -> %s", i ? "," : "",
		              reply->values[i].name, reply->values[i].before,
		              reply->values[i].after);
}

/* --- one that runs --- */

static void ask_source(struct fleet *fleet, const struct event *event, const struct migration *m)
{
	struct node *source = fleet_find_node(fleet, m->kept.source);
	struct error err = { 0 };
	struct action *action;

	if (!source || !node_is_heard(source, change_now(fleet))) {
		error_set(&err, ERROR_UNREACHABLE,
		          "%s cannot be reached: migration/%" PRIu64
		          " of %s goes on as it is; nothing was changed",
		          m->kept.source, m->kept.number, m->kept.vm_name);
		reply_send_error(fleet, event->request, &err);
		return;
	}
	action = change_act(fleet, ACTION_TUNE);
	action->tune.request = event->request;
	action->tune.migration = m->kept.number;
	action->tune.attempt = m->kept.attempt;
	action->tune.attempt.epoch = fleet->epoch;
	action->tune.tuning = event->tune.tuning;
	text_copy(action->tune.source, sizeof(action->tune.source), m->kept.source);
	text_copy(action->tune.by, sizeof(action->tune.by), event->tune.by);
	source->told_epoch = fleet->epoch;
}

void tune_take_report(struct fleet *fleet, struct migration *m)
{
	const struct attempt_report *report = &m->kept.report;
	struct migration_settings *s = &m->kept.settings;

	if (report->bandwidth_tuned &&
	    (s->from[SETTING_BANDWIDTH] != ORIGIN_TUNED ||
	     s->bandwidth_bytes_per_s != report->bandwidth_bytes_per_s)) {
		setting_take(s, SETTING_BANDWIDTH, report->bandwidth_bytes_per_s, ORIGIN_TUNED);
		save_migration(fleet, m);
	}
	if (report->max_downtime_tuned && (s->from[SETTING_MAX_DOWNTIME] != ORIGIN_TUNED ||
	                                   s->max_downtime_ms != report->max_downtime_ms)) {
		setting_take(s, SETTING_MAX_DOWNTIME, report->max_downtime_ms, ORIGIN_TUNED);
		save_migration(fleet, m);
	}
}

void tune_take_outcome(struct fleet *fleet, const struct event *event)
{
	struct migration *m = fleet_find_migration(fleet, event->tuned.migration);
	struct node *source = m ? fleet_find_node(fleet, m->kept.source) : NULL;
	struct error err = event->tuned.error;
	struct reply *reply;

	if (event->tuned.outcome == CALL_UNKNOWN)
		error_set(&err, ERROR_UNKNOWN_OUTCOME,
		          "%s was asked, and its answer was lost: what is true now is shown by "
		          "`drover explain migration/%" PRIu64 "`; asking again is harmless",
		          m ? m->kept.source : "its source", event->tuned.migration);
	if (event->tuned.outcome != CALL_ANSWERED) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (source && event->tuned.report)
		attempts_take_report(fleet, source, event->tuned.report);
	reply = reply_new(REPLY_TUNE, event->request);
	reply->migration = event->tuned.migration;
	for (size_t i = 0; i < event->tuned.n_values; i++)
		add_value(reply, &event->tuned.values[i]);
	reply->changed = reply->n_values > 0;
	text_copy(reply->text, sizeof(reply->text), event->tuned.note);
	reply_send_stored(fleet, reply);
}

/* --- one that waits --- */

static int judge_later(const struct tuning *t, const char *what, struct error *err)
{
	if (t->post_copy || t->pause)
		return error_set(err, ERROR_REFUSED,
		                 "%s: only a migration that copies can be switched to post-copy or "
		                 "paused; what may happen to it is permitted when it is asked for "
		                 "(--allow-post-copy, --allow-pause)",
		                 what);
	return 0;
}

static void tune_planned(struct fleet *fleet, const struct event *event, struct migration *m)
{
	const struct tuning *t = &event->tune.tuning;
	struct migration_settings before = m->kept.settings;
	char line[REASON_BYTES];
	struct reply *reply;
	struct error err;

	snprintf(line, sizeof(line), "migration/%" PRIu64 " of %s waits", m->kept.number,
	         m->kept.vm_name);
	if (judge_later(t, line, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (t->bandwidth_given)
		setting_take(&m->kept.settings, SETTING_BANDWIDTH, t->bandwidth_bytes_per_s,
		             ORIGIN_TUNED);
	if (t->max_downtime_given)
		setting_take(&m->kept.settings, SETTING_MAX_DOWNTIME, t->max_downtime_ms,
		             ORIGIN_TUNED);
	save_migration(fleet, m);
	reply = reply_new(REPLY_TUNE, event->request);
	reply->migration = m->kept.number;
	add_change(reply, SETTING_BANDWIDTH, &before, &m->kept.settings);
	add_change(reply, SETTING_MAX_DOWNTIME, &before, &m->kept.settings);
	reply->changed = reply->n_values > 0;
	text_copy(reply->text, sizeof(reply->text), "it has not begun yet, and begins with that");
	if (reply->changed) {
		format_changes(reply, event->tune.by, line, sizeof(line));
		change_tell_number(fleet, SEVERITY_INFO, "migration", m->kept.number, "%s: %s",
		                   m->kept.vm_name, line);
	}
	reply_send_stored(fleet, reply);
}

static void tune_migration(struct fleet *fleet, const struct event *event, struct migration *m)
{
	struct error err = { 0 };

	if (migration_state_is_final(m->kept.state))
		error_set(&err, ERROR_REFUSED,
		          "migration/%" PRIu64
		          " of %s is over (%s): nothing about it can be changed",
		          m->kept.number, m->kept.vm_name, migration_state_name(m->kept.state));
	else if (event->tune.forget)
		error_set(&err, ERROR_INVALID,
		          "what is kept is kept for a guest: drover tune vm/%s --forget",
		          m->kept.vm_name);
	else if (m->kept.cancel_requested)
		error_set(&err, ERROR_REFUSED, "migration/%" PRIu64 " of %s is being cancelled",
		          m->kept.number, m->kept.vm_name);
	if (err.code != ERROR_NONE)
		reply_send_error(fleet, event->request, &err);
	else if (m->kept.holds_slot)
		ask_source(fleet, event, m);
	else
		tune_planned(fleet, event, m);
}

/* --- a guest that does not move --- */

void tune_apply_kept(const struct vm *vm, struct migration_settings *s)
{
	if (vm->kept.bandwidth_given)
		setting_take(s, SETTING_BANDWIDTH, vm->kept.bandwidth_bytes_per_s, ORIGIN_VM);
	if (vm->kept.max_downtime_given)
		setting_take(s, SETTING_MAX_DOWNTIME, vm->kept.max_downtime_ms, ORIGIN_VM);
}

static bool is_kept(const struct vm *vm)
{
	return vm->kept.bandwidth_given || vm->kept.max_downtime_given;
}

void tune_forget_kept(struct fleet *fleet, struct vm *vm)
{
	if (!is_kept(vm))
		return;
	vm->kept = (struct vm_record){ 0 };
	save_vm(fleet, vm);
}

static void keep(struct vm *vm, const struct event *event)
{
	const struct tuning *t = &event->tune.tuning;

	if (t->bandwidth_given) {
		vm->kept.bandwidth_given = true;
		vm->kept.bandwidth_bytes_per_s = t->bandwidth_bytes_per_s;
	}
	if (t->max_downtime_given) {
		vm->kept.max_downtime_given = true;
		vm->kept.max_downtime_ms = t->max_downtime_ms;
	}
	text_copy(vm->kept.by, sizeof(vm->kept.by), event->tune.by);
	vm->kept.wall_ms = event->wall_ms;
}

static void tune_vm(struct fleet *fleet, const struct event *event, struct vm *vm)
{
	struct migration_settings before = fleet->options.settings, after = before;
	char line[REASON_BYTES];
	struct reply *reply;
	struct error err;

	snprintf(line, sizeof(line), "%.255s is not being moved", vm->name);
	if (judge_later(&event->tune.tuning, line, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	tune_apply_kept(vm, &before);
	if (event->tune.forget)
		vm->kept = (struct vm_record){ 0 };
	keep(vm, event);
	save_vm(fleet, vm);
	tune_apply_kept(vm, &after);
	reply = reply_new(REPLY_TUNE, event->request);
	text_copy(reply->vm_uuid, sizeof(reply->vm_uuid), vm->uuid);
	add_change(reply, SETTING_BANDWIDTH, &before, &after);
	add_change(reply, SETTING_MAX_DOWNTIME, &before, &after);
	reply->changed = reply->n_values > 0;
	snprintf(reply->text, sizeof(reply->text), "%.255s is not being moved: %s", vm->name,
	         is_kept(vm) ? "kept for its next migration, until that is done"
	                     : "nothing is kept for it, its next migration has the cluster's");
	if (reply->changed) {
		format_changes(reply, event->tune.by, line, sizeof(line));
		change_tell(fleet, SEVERITY_INFO, "vm", vm->name, "for its next migration, %s",
		            line);
	}
	reply_send_stored(fleet, reply);
}

/* --- the request --- */

static int parse_number(const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || text[0] == '+')
		return -ERROR_INVALID;
	*ret = number;
	return 0;
}

static int judge_values(const struct event *event, struct error *err)
{
	const struct tuning *t = &event->tune.tuning;

	if (!t->bandwidth_given && !t->max_downtime_given && !t->post_copy && !t->pause &&
	    !event->tune.forget)
		return error_set(err, ERROR_INVALID, "nothing is to be changed");
	if (t->max_downtime_given && (t->max_downtime_ms < 1 || t->max_downtime_ms > 2000000))
		return error_set(err, ERROR_INVALID,
		                 "a downtime of %" PRIu64 " ms: it can be 1 ms to 2000 s",
		                 t->max_downtime_ms);
	if (t->post_copy && t->pause)
		return error_set(
			err, ERROR_INVALID,
			"post-copy and a pause exclude each other: with post-copy the guest "
			"runs on at once");
	return 0;
}

void request_tune(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct migration *m = NULL;
	struct vm *vm = NULL;
	uint64_t number;

	if (judge_values(event, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (strcmp(event->tune.kind, "vm") == 0) {
		if (fleet_get_vm(fleet, event->tune.name, &vm, &err) == 0 && vm->migration &&
		    !event->tune.forget)
			m = vm->migration;
	} else if (strcmp(event->tune.kind, "migration") != 0) {
		error_set(&err, ERROR_INVALID,
		          "cannot tune %.32s/%.64s: a migration or a vm can be", event->tune.kind,
		          event->tune.name);
	} else if (parse_number(event->tune.name, &number) == 0) {
		m = fleet_find_migration(fleet, number);
	}
	if (m)
		tune_migration(fleet, event, m);
	else if (vm)
		tune_vm(fleet, event, vm);
	else {
		if (err.code == ERROR_NONE)
			error_set(&err, ERROR_NOT_FOUND, "there is no migration/%.64s",
			          event->tune.name);
		reply_send_error(fleet, event->request, &err);
	}
}
