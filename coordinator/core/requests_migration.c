/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of single guests: migrate, explain, cancel. As requests.c: checked in full first,
 * answered when durable. */
#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/change.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/plan/preview.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/power/power.h"
#include "coordinator/core/requests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `explain` and dry runs ask at most so many destinations: those with the most room. */
#define ASK_MOST 32

/* --- migrate --- */

static const struct migration *find_migration_request(const struct fleet *fleet,
                                                      const struct id *request_id)
{
	if (id_is_zero(request_id))
		return NULL;
	for (const struct migration *m = fleet->migrations; m; m = m->hh.next) {
		if (id_equal(&m->kept.request_id, request_id))
			return m;
	}
	return NULL;
}

static void reply_migration(struct fleet *fleet, const struct event *event,
                            const struct migration *m, bool already)
{
	struct reply *reply = reply_new(REPLY_MIGRATE, event->request);

	reply->migration = m->kept.number;
	reply->already = already;
	reply->changed = !already;
	reply_send_stored(fleet, reply);
}

/* Whatever the room: the host that was named, or all there are, against hard policies. */
static int check_policies(const struct fleet *fleet, const struct vm *vm, const struct node *target,
                          struct error *err)
{
	const struct policy *bar = NULL;
	char text[REASON_BYTES];

	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (node == vm->node || (target && node != target))
			continue;
		bar = policy_find_bar(fleet, vm, node, text);
		if (!bar)
			return 0;
	}
	if (!bar)
		return 0;
	if (target)
		return error_set(err, ERROR_REFUSED,
		                 "%.100s: %.300s. To change that: drover policies; to go all the "
		                 "same: --ignore-policies",
		                 vm->name, text);
	return error_set(err, ERROR_REFUSED,
	                 "%.100s may be nowhere else: %.260s; the same of every other host "
	                 "(drover explain vm/%.60s). To go all the same: --ignore-policies",
	                 vm->name, text, vm->name);
}

/* What makes the request itself wrong, whatever the room. */
static int check_migration(const struct fleet *fleet, const struct vm *vm, const char *target,
                           bool ignore_policies, struct error *err)
{
	char reason[REASON_BYTES];
	struct node *node = NULL;

	if (!vm->node)
		return error_set(err, ERROR_NOT_FOUND, "no host lists %s now", vm->name);
	if (vm->migration)
		return error_set(err, ERROR_BUSY, "%s is already being moved: migration/%" PRIu64,
		                 vm->name, vm->migration->kept.number);
	if (!vm->movable)
		return error_set(err, ERROR_REFUSED, "%s cannot move: %s", vm->name, vm->why_not);
	if (!target[0] && !plan_could_ever_fit(fleet, vm, reason))
		return error_set(err, ERROR_REFUSED, "%s cannot move: %s", vm->name, reason);
	if (!target[0])
		return ignore_policies ? 0 : check_policies(fleet, vm, NULL, err);
	if (fleet_get_node(fleet, target, &node, err) < 0)
		return -ERROR_NOT_FOUND;
	if (node == vm->node)
		return error_set(err, ERROR_REFUSED, "%s runs on %s already", vm->name, target);
	if (node->kept.cordoned || node->kept.maintenance || node->kept.drain_number)
		return error_set(
			err, ERROR_REFUSED,
			"%s takes no guests: it is %s%s; to change that: drover %s %s", target,
			node->state == NODE_MAINTENANCE ? "in " : "", node_state_name(node->state),
			node->kept.maintenance || node->kept.drain_number ? "undrain" : "uncordon",
			target);
	return ignore_policies ? 0 : check_policies(fleet, vm, node, err);
}

static void refuse_migration(struct fleet *fleet, const struct event *event,
                             const struct error *err)
{
	struct reply *reply = reply_new(REPLY_MIGRATE, event->request);

	reply->refused = true;
	reply->refusal = xstrdup(err->text);
	reply->error = *err;
	reply_send(fleet, reply);
}

static void take_request(struct migration_settings *s, const struct event *event)
{
	setting_take_given(s, SETTING_BANDWIDTH, event->migrate.bandwidth_bytes_per_s,
	                   ORIGIN_REQUEST);
	setting_take_given(s, SETTING_MAX_DOWNTIME, event->migrate.max_downtime_ms, ORIGIN_REQUEST);
	setting_take_given(s, SETTING_COMPLETION_TIMEOUT,
	                   event->migrate.completion_timeout_ms_per_gib, ORIGIN_REQUEST);
	setting_take_given(s, SETTING_PROGRESS_TIMEOUT, event->migrate.progress_timeout_ms,
	                   ORIGIN_REQUEST);
	setting_take_given(s, SETTING_COPY_DISKS, event->migrate.copy_disks, ORIGIN_REQUEST);
	setting_take_strategy(s, &event->migrate.strategy, ORIGIN_REQUEST);
	setting_take_given(s, SETTING_CONNECTIONS, event->migrate.transfer.connections,
	                   ORIGIN_REQUEST);
	setting_take_given(s, SETTING_COMPRESSION, event->migrate.transfer.compression,
	                   ORIGIN_REQUEST);
	if (event->migrate.uncompressed)
		setting_take(s, SETTING_COMPRESSION, COMPRESSION_NONE, ORIGIN_REQUEST);
	s->transfer.copy_incremental = event->migrate.transfer.copy_incremental;
	text_copy(s->transfer.copy_only, sizeof(s->transfer.copy_only),
	          event->migrate.transfer.copy_only);
	setting_take_given(s, SETTING_NO_GUARD, event->migrate.no_guard, ORIGIN_REQUEST);
	s->unsafe = event->migrate.unsafe;
	s->ignore_policies = event->migrate.ignore_policies;
}

/* What comes of the cluster's settings, of what is kept for the guest, and of the request's. */
static int settings_of(const struct fleet *fleet, const struct event *event, const struct vm *vm,
                       struct migration_settings *ret, struct error *err)
{
	*ret = fleet->options.settings;
	tune_apply_kept(vm, ret);
	take_request(ret, event);
	return transfer_check(&ret->transfer, ret->copy_disks,
	                      strategy_permits_post_copy(&ret->strategy), err);
}

/* Who said so, where it makes a difference. */
static void tell_ignored(struct fleet *fleet, const struct event *event, const struct migration *m,
                         const struct vm *vm)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);

	for (size_t i = 0; event->migrate.ignore_policies && i < count; i++) {
		if (policies[i]->kept.soft)
			continue;
		change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
		                   "%s: %s lets it move whatever its policies say, %s among them "
		                   "(--ignore-policies)",
		                   vm->name, event->migrate.by, policies[i]->kept.name);
		return;
	}
}

void request_migrate(struct fleet *fleet, const struct event *event)
{
	const struct migration *known = find_migration_request(fleet, &event->migrate.request_id);
	const char *target = event->migrate.target;
	struct migration_settings s;
	struct error err = { 0 };
	struct migration *m;
	struct vm *vm;
	int rc;

	if (known) {
		reply_migration(fleet, event, known, true);
		return;
	}
	if (fleet_get_vm(fleet, event->migrate.vm, &vm, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	rc = settings_of(fleet, event, vm, &s, &err);
	if (rc == 0)
		rc = check_migration(fleet, vm, target, s.ignore_policies, &err);
	if (rc < 0) {
		if (err.code == ERROR_REFUSED)
			refuse_migration(fleet, event, &err);
		else
			reply_send_error(fleet, event->request, &err);
		return;
	}
	if (s.copy_disks || s.unsafe)
		refusals_forget_disks(vm);
	if (event->migrate.dry_run) {
		struct reply *reply = reply_new(REPLY_MIGRATE, event->request);

		reply->max_downtime_ms = s.max_downtime_ms;
		reply->settings = s;
		reply->no_guard = s.no_guard;
		reply->unsafe = s.unsafe;
		reply->copy_disks = s.copy_disks;
		reply->transfer = s.transfer;
		reply->post_copy = strategy_permits_post_copy(&s.strategy);
		text_copy(reply->vm_uuid, sizeof(reply->vm_uuid), vm->uuid);
		reply->one_node = target[0];
		preview_start_targets(fleet, reply, vm, target[0] ? target : NULL, false, ASK_MOST);
		return;
	}
	m = launch_plan_migration(fleet, vm, NULL);
	m->kept.request_id = event->migrate.request_id;
	text_copy(m->kept.wanted_target, sizeof(m->kept.wanted_target), target);
	take_request(&m->kept.settings, event);
	if (event->migrate.unsafe)
		change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
		                   "%s: %s says that its storage is the same on both hosts where "
		                   "that cannot be proved (--unsafe)",
		                   vm->name, event->migrate.by);
	tell_ignored(fleet, event, m, vm);
	if (event->migrate.no_guard)
		change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
		                   "%s: %s lets it move without a guard against running twice",
		                   vm->name, event->migrate.by);
	/* Somebody asked now: earlier failures of this guest are no reason to wait. */
	vm->retry_ms = 0;
	fleet->reconcile_wanted = true;
	reply_migration(fleet, event, m, false);
}

/* "Why not there?" What the guest itself lacks comes first, then the node's own answer. */
static void explain_one(struct fleet *fleet, const struct event *event, struct vm *vm)
{
	struct reply *reply;
	struct node *node;
	struct error err;

	if (fleet_get_node(fleet, event->explain.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (!vm->node) {
		error_set(&err, ERROR_NOT_FOUND, "no host lists %s now", vm->name);
		reply_send_error(fleet, event->request, &err);
		return;
	}
	reply = reply_new(REPLY_EXPLAIN, event->request);
	text_copy(reply->vm_uuid, sizeof(reply->vm_uuid), vm->uuid);
	reply->one_node = true;
	reply->post_copy = strategy_permits_post_copy(&fleet->options.settings.strategy);
	if (vm->node == node) {
		snprintf(reply->text, sizeof(reply->text), "%s is on %s already", vm->name,
		         node->kept.name);
		reply_send(fleet, reply);
		return;
	}
	if (vm->migration)
		snprintf(reply->text, sizeof(reply->text),
		         "%s is being moved now: migration/%" PRIu64, vm->name,
		         vm->migration->kept.number);
	preview_start_targets(fleet, reply, vm, node->kept.name, true, 1);
}

void request_explain(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct reply *reply;
	struct vm *vm;

	if (fleet_get_vm(fleet, event->explain.vm, &vm, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (event->explain.node[0]) {
		explain_one(fleet, event, vm);
		return;
	}
	reply = reply_new(REPLY_EXPLAIN, event->request);
	text_copy(reply->vm_uuid, sizeof(reply->vm_uuid), vm->uuid);
	reply->post_copy = strategy_permits_post_copy(&fleet->options.settings.strategy);
	preview_start_targets(fleet, reply, vm, NULL, false, ASK_MOST);
}

/* --- cancel --- */

static void cancel_migration(struct fleet *fleet, const struct event *event, struct migration *m)
{
	struct reply *reply = reply_new(REPLY_CANCEL, event->request);

	reply->migration = m->kept.number;
	if (migration_state_is_final(m->kept.state)) {
		snprintf(reply->text, sizeof(reply->text),
		         "migration/%" PRIu64 " of %s is over: %s", m->kept.number, m->kept.vm_name,
		         migration_state_name(m->kept.state));
	} else if (m->kept.cancel_requested) {
		snprintf(reply->text, sizeof(reply->text),
		         "migration/%" PRIu64 " of %s is being cancelled already", m->kept.number,
		         m->kept.vm_name);
	} else {
		m->kept.cancel_requested = true;
		save_migration(fleet, m);
		reply->changed = true;
		snprintf(reply->text, sizeof(reply->text),
		         "migration/%" PRIu64 " of %s is being "
		         "cancelled; the guest stays on %s",
		         m->kept.number, m->kept.vm_name, m->kept.source);
		fleet->reconcile_wanted = true;
	}
	reply_send_stored(fleet, reply);
}

static void cancel_drain(struct fleet *fleet, const struct event *event, struct drain *drain)
{
	struct node *node = fleet_find_node(fleet, drain->kept.node);
	struct reply *reply = reply_new(REPLY_CANCEL, event->request);
	char asked[200];

	reply->drain = drain->kept.number;
	if (drain_state_is_final(drain->kept.state) || !node) {
		snprintf(reply->text, sizeof(reply->text), "drain/%" PRIu64 " of %s is over: %s",
		         drain->kept.number, drain->kept.node, drain_state_name(drain->kept.state));
	} else {
		power_describe_asked(drain, asked, sizeof(asked));
		intent_end_drain(fleet, node, drain, DRAIN_CANCELLED);
		change_tell_number(fleet, SEVERITY_INFO, "drain", drain->kept.number,
		                   "cancelled; what moves already goes on%s", asked);
		reply->changed = true;
		snprintf(reply->text, sizeof(reply->text),
		         "drain/%" PRIu64
		         " is cancelled: nothing more starts, %u running go on; %s stays "
		         "cordoned until: drover uncordon %s%s",
		         drain->kept.number, node->migrations_out, node->kept.name, node->kept.name,
		         asked);
	}
	reply_send_stored(fleet, reply);
}

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

void request_cancel(struct fleet *fleet, const struct event *event)
{
	const char *kind = event->cancel.kind, *name = event->cancel.name;
	struct error err = { 0 };
	struct migration *m;
	struct drain *drain;
	uint64_t number = 0;
	struct vm *vm;

	if (strcmp(kind, "vm") == 0) {
		if (fleet_get_vm(fleet, name, &vm, &err) == 0) {
			if (vm->migration) {
				cancel_migration(fleet, event, vm->migration);
				return;
			}
			error_set(&err, ERROR_NOT_FOUND, "%s is not being moved", vm->name);
		}
	} else if (strcmp(kind, "migration") != 0 && strcmp(kind, "drain") != 0) {
		error_set(&err, ERROR_INVALID,
		          "cannot cancel %s/%s: a migration, a drain or a vm can be cancelled",
		          kind, name);
	} else if (parse_number(name, &number) < 0) {
		error_set(&err, ERROR_INVALID, "%s/%s: the number of a %s is expected", kind, name,
		          kind);
	} else if (strcmp(kind, "migration") == 0) {
		m = fleet_find_migration(fleet, number);
		if (m) {
			cancel_migration(fleet, event, m);
			return;
		}
		error_set(&err, ERROR_NOT_FOUND, "there is no migration/%s", name);
	} else {
		drain = fleet_find_drain(fleet, number);
		if (drain) {
			cancel_drain(fleet, event, drain);
			return;
		}
		error_set(&err, ERROR_NOT_FOUND, "there is no drain/%s", name);
	}
	reply_send_error(fleet, event->request, &err);
}
