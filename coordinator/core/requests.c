/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of nodes. Each request is checked in full first; a refused one has changed nothing.
 * An accepted one is answered when its intent is durable: whoever has the answer may rely on it. */
#include "coordinator/core/requests.h"

#include "common/alloc.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/launch.h"
#include "coordinator/core/preview.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reply_node(struct fleet *fleet, const struct event *event, const struct node *node,
                       bool changed)
{
	struct reply *reply = reply_new(REPLY_NODE, event->request);

	text_copy(reply->node, sizeof(reply->node), node->kept.name);
	reply->changed = changed;
	reply_send_stored(fleet, reply);
}

/* --- drain --- */

static void reply_drain(struct fleet *fleet, const struct event *event, const struct drain *drain,
                        bool already)
{
	struct reply *reply = reply_new(REPLY_DRAIN, event->request);

	reply->drain = drain->kept.number;
	reply->already = already;
	reply->changed = !already;
	reply_send_stored(fleet, reply);
}

static const struct drain *find_request(const struct fleet *fleet, const struct id *request_id)
{
	if (id_is_zero(request_id))
		return NULL;
	for (const struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		if (id_equal(&drain->kept.request_id, request_id))
			return drain;
	}
	return NULL;
}

/* Names to uuids, so that a rename changes nothing; each must be a guest of that node. */
static int resolve_leave(const struct fleet *fleet, const struct node *node,
                         const struct names *leave, struct names *ret, struct error *err)
{
	for (size_t i = 0; i < leave->count; i++) {
		struct sighting *s;

		for (s = node->sightings; s; s = s->next) {
			if (strcmp(s->vm->name, leave->items[i]) == 0 ||
			    strcmp(s->vm->uuid, leave->items[i]) == 0)
				break;
		}
		if (!s) {
			names_deinit(ret);
			return error_set(
				err, ERROR_NOT_FOUND,
				"%s has no guest %s to leave; `drover vms --node %s` shows "
				"those it has",
				node->kept.name, leave->items[i], node->kept.name);
		}
		if (!names_contain(ret, s->vm->uuid))
			names_add(ret, s->vm->uuid);
	}
	(void)fleet;
	return 0;
}

static int describe_drain(struct fleet *fleet, const struct event *event, const struct node *node,
                          struct drain_record *ret, struct error *err)
{
	int rc;

	if (!node_is_heard(node, change_now(fleet)))
		return error_set(
			err, ERROR_UNREACHABLE,
			"%s cannot be reached, so its guests cannot be asked to move; to keep "
			"others away from it: drover cordon %s",
			node->kept.name, node->kept.name);
	if (!node->inventory_valid)
		return error_set(err, ERROR_UNREACHABLE,
		                 "the agent on %s has no connection to libvirt: %s",
		                 node->kept.name,
		                 node->host.libvirt_problem[0] ? node->host.libvirt_problem
		                                               : "its guests are not known");
	rc = resolve_leave(fleet, node, event->drain.leave, &ret->leave, err);
	if (rc < 0)
		return rc;
	text_copy(ret->node, sizeof(ret->node), node->kept.name);
	text_copy(ret->reason, sizeof(ret->reason), event->drain.reason);
	ret->request_id = event->drain.request_id;
	ret->leave_unmovable = event->drain.leave_unmovable;
	ret->copy_disks = event->drain.copy_disks;
	ret->strategy = event->drain.strategy;
	ret->parallel = event->drain.parallel;
	ret->bandwidth_bytes_per_s = event->drain.bandwidth_bytes_per_s;
	ret->max_downtime_ms = event->drain.max_downtime_ms;
	ret->completion_timeout_ms_per_gib = event->drain.completion_timeout_ms_per_gib;
	ret->progress_timeout_ms = event->drain.progress_timeout_ms;
	ret->created_wall_ms = event->wall_ms;
	ret->state = DRAIN_RUNNING;
	return 0;
}

/* NULL when nothing stands in the way. Names each guest and the flags that allow going on. */
static char *find_refusal(const struct drain *draft, struct checks *ret_blockers)
{
	char *text = NULL, *leave = xstrdup("");

	for (size_t i = 0; i < draft->n_vms; i++) {
		const struct drain_vm *dv = &draft->vms[i];
		const struct check *worst = checks_find_worst(&dv->checks, CHECK_BLOCK);
		struct check blocker = { 0 };
		char *longer;

		if (!dv->hopeless)
			continue;
		if (worst)
			blocker = *worst;
		blocker.verdict = CHECK_BLOCK;
		snprintf(blocker.id, sizeof(blocker.id), "vm/%.59s", dv->name);
		text_copy(blocker.measured, sizeof(blocker.measured), dv->reason);
		snprintf(blocker.remedy, sizeof(blocker.remedy), "--leave %.100s", dv->name);
		checks_add(ret_blockers, &blocker);

		longer = xasprintf("%s\n  %s cannot move: %s", text ? text : "", dv->name,
		                   dv->reason);
		free(text);
		text = longer;
		longer = xasprintf("%s --leave %s", leave, dv->name);
		free(leave);
		leave = longer;
	}
	if (text) {
		char *whole = xasprintf(
			"%s cannot be emptied:%s\nto go on and leave what cannot move: "
			"drover drain %s%s, or --unmovable leave",
			draft->kept.node, text, draft->kept.node, leave);

		free(text);
		text = whole;
	}
	free(leave);
	return text;
}

static void start_drain(struct fleet *fleet, const struct event *event, struct node *node,
                        struct drain_record *record)
{
	struct drain *drain;

	record->number = fleet->last_drain_number + 1;
	record->id = fleet->options.next_id(fleet->options.next_id_context);
	drain = fleet_add_drain(fleet, record);
	intent_start_drain(fleet, node, drain);
	change_tell_number(fleet, SEVERITY_INFO, "drain", drain->kept.number,
	                   "%s: %zu guests, %u at a time%s%s", node->kept.name, node->active_vms,
	                   launch_get_parallel(fleet, drain), drain->kept.reason[0] ? ": " : "",
	                   drain->kept.reason);
	reply_drain(fleet, event, drain, false);
}

void request_drain(struct fleet *fleet, const struct event *event)
{
	const struct drain *known = find_request(fleet, &event->drain.request_id);
	struct drain_record record = { 0 };
	struct migration_settings s = fleet->options.settings;
	struct error err = { 0 };
	struct node *node;
	struct drain *draft;
	struct reply *reply;

	if (known) {
		reply_drain(fleet, event, known, true);
		return;
	}
	if (fleet_get_node(fleet, event->drain.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (node->kept.drain_number && !event->drain.dry_run) {
		reply_drain(fleet, event, fleet_find_node_drain(fleet, node), true);
		return;
	}
	if (describe_drain(fleet, event, node, &record, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}

	draft = drain_draft(fleet, &record);
	reply = reply_new(REPLY_DRAIN, event->request);
	reply->refusal = find_refusal(draft, &reply->checks);
	reply->refused = reply->refusal != NULL;
	if (event->drain.dry_run) {
		checks_deinit(
			&reply->checks); /* the round collects them, with the hosts' answers */
		reply->plan = draft;
		reply->copy_disks = event->drain.copy_disks;
		reply->max_downtime_ms = event->drain.max_downtime_ms;
		setting_take_strategy(&s, &event->drain.strategy, ORIGIN_DRAIN);
		reply->post_copy = strategy_permits_post_copy(&s.strategy);
		preview_start_drain(fleet, reply);
	} else if (reply->refused) {
		drain_free(draft);
		reply_send(fleet, reply);
	} else {
		drain_free(draft);
		reply_free(reply);
		start_drain(fleet, event, node, &record);
	}
	drain_record_deinit(&record);
}

/* --- nodes --- */

static void open_node(struct fleet *fleet, struct node *node)
{
	node->kept.cordoned = false;
	node->kept.maintenance = false;
	node->kept.reason[0] = '\0';
	node->mark_retry_ms = 0;
	save_node(fleet, node);
	node_refresh(fleet, node);
	fleet->reconcile_wanted = true;
}

void request_undrain(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct node *node;
	struct drain *drain;
	bool changed;

	if (fleet_get_node(fleet, event->node.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	drain = fleet_find_node_drain(fleet, node);
	changed = drain || node->kept.cordoned || node->kept.maintenance;
	if (drain) {
		intent_end_drain(fleet, node, drain, DRAIN_CANCELLED);
		change_tell_number(fleet, SEVERITY_INFO, "drain", drain->kept.number,
		                   "cancelled by undrain; what moves already goes on");
	}
	if (changed) {
		open_node(fleet, node);
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name, "%s takes guests again",
		            node->kept.name);
	}
	reply_node(fleet, event, node, changed);
}

void request_cordon(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct node *node;
	bool changed;

	if (fleet_get_node(fleet, event->node.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	changed = !node->kept.cordoned && !node->kept.drain_number && !node->kept.maintenance;
	if (changed) {
		node->kept.cordoned = true;
		text_copy(node->kept.reason, sizeof(node->kept.reason), event->node.reason);
		node->mark_retry_ms = 0;
		save_node(fleet, node);
		node_refresh(fleet, node);
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name, "%s is cordoned%s%s",
		            node->kept.name, event->node.reason[0] ? ": " : "", event->node.reason);
		fleet->reconcile_wanted = true;
	}
	reply_node(fleet, event, node, changed);
}

void request_uncordon(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct node *node;
	bool changed;

	if (fleet_get_node(fleet, event->node.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (node->kept.drain_number) {
		error_set(&err, ERROR_REFUSED,
		          "%s is being drained (drain/%" PRIu64 "); to stop that and take guests "
		          "again: drover undrain %s",
		          node->kept.name, node->kept.drain_number, node->kept.name);
		reply_send_error(fleet, event->request, &err);
		return;
	}
	changed = node->kept.cordoned || node->kept.maintenance;
	if (changed) {
		open_node(fleet, node);
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name, "%s takes guests again",
		            node->kept.name);
	}
	reply_node(fleet, event, node, changed);
}
