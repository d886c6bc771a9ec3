/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of nodes, but drains (requests_drain.c). Each request is checked in full first; a refused one has changed nothing.
 * An accepted one is answered when its intent is durable: whoever has the answer may rely on it. */
#include "coordinator/core/requests.h"

#include "coordinator/core/drain/bring_back.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/plan/preview.h"
#include "coordinator/core/power/power.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void reply_node(struct fleet *fleet, const struct event *event, const struct node *node,
                       bool changed)
{
	struct reply *reply = reply_new(REPLY_NODE, event->request);

	text_copy(reply->node, sizeof(reply->node), node->kept.name);
	reply->changed = changed;
	reply_send_stored(fleet, reply);
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

/* Each guest that would come back is described to the node, which makes all of its checks. */
static void preview_way_back(struct fleet *fleet, const struct event *event,
                             const struct node *node)
{
	struct migration_settings s = fleet->options.settings;
	struct reply *reply = reply_new(REPLY_NODE, event->request);

	text_copy(reply->node, sizeof(reply->node), node->kept.name);
	reply->plan = bring_back_draft(fleet, node);
	reply->copy_disks = reply->plan->kept.copy_disks;
	reply->max_downtime_ms = reply->plan->kept.max_downtime_ms;
	setting_take_strategy(&s, &reply->plan->kept.strategy, ORIGIN_DRAIN);
	reply->post_copy = strategy_permits_post_copy(&s.strategy);
	preview_start_drain(fleet, reply);
}

void request_undrain(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct node *node;
	struct drain *drain;
	struct reply *reply;
	char asked[300];
	bool changed;

	if (fleet_get_node(fleet, event->node.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (event->node.dry_run) {
		preview_way_back(fleet, event, node);
		return;
	}
	drain = fleet_find_node_drain(fleet, node);
	changed = drain || node->kept.cordoned || node->kept.maintenance;
	if (drain) {
		power_describe_asked(drain, asked, sizeof(asked));
		intent_end_drain(fleet, node, drain, DRAIN_CANCELLED);
		change_tell_number(fleet, SEVERITY_INFO, "drain", drain->kept.number,
		                   "cancelled by undrain; what moves already goes on%s", asked);
	}
	if (changed) {
		open_node(fleet, node);
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name, "%s takes guests again",
		            node->kept.name);
	}
	reply = reply_new(REPLY_NODE, event->request);
	text_copy(reply->node, sizeof(reply->node), node->kept.name);
	reply->changed = changed;
	if (event->node.bring_back) {
		reply->plan = bring_back_draft(fleet, node);
		bring_back_start(fleet, node, reply->plan);
	} else {
		power_list_off(fleet, node, &reply->off);
	}
	reply_send_stored(fleet, reply);
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
		node->kept.closed_since = 0; /* it was open */
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
