/* SPDX-License-Identifier: Apache-2.0 */
/* What is wanted of each node: drains begun and ended, and the copy on the node itself. */
#include "coordinator/core/intent.h"

#include "common/alloc.h"
#include "coordinator/core/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MARK_RETRY_MS ((uint64_t)5000)
/* How often the host is asked to count its guests while the end of a drain is near. */
#define COUNT_REPEAT_MS ((uint64_t)1000)

static struct id wanted_id(const struct fleet *fleet, const struct node *node)
{
	const struct drain *drain = fleet_find_node_drain(fleet, node);

	return drain ? drain->kept.id : (struct id){ 0 };
}

static bool wanted_cordon(const struct node *node)
{
	return node->kept.cordoned || node->kept.maintenance || node->kept.drain_number;
}

static bool mark_matches(const struct fleet *fleet, const struct node *node)
{
	struct id id = wanted_id(fleet, node);

	return node->mark.draining == (node->kept.drain_number != 0) &&
	       node->mark.cordoned == wanted_cordon(node) &&
	       node->mark.maintenance == node->kept.maintenance &&
	       id_equal(&node->mark.drain_id, &id);
}

/* Whose guests may stay: of the drain, or of the one that has led to the maintenance. */
static const struct drain *find_leaving(const struct fleet *fleet, const struct node *node)
{
	const struct drain *found = fleet_find_node_drain(fleet, node);

	if (found || !node->kept.maintenance)
		return found;
	for (const struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		if (strcmp(drain->kept.node, node->kept.name) == 0 &&
		    (!found || drain->kept.number > found->kept.number))
			found = drain;
	}
	return found;
}

static void send_mark(struct fleet *fleet, struct node *node)
{
	const struct drain *drain = fleet_find_node_drain(fleet, node);
	const struct drain *leaving = find_leaving(fleet, node);
	struct action *action = change_act(fleet, ACTION_SET_DRAIN_MARK);
	struct drain_mark *mark = &action->mark.mark;

	text_copy(action->mark.node, sizeof(action->mark.node), node->kept.name);
	mark->drain_id = wanted_id(fleet, node);
	mark->epoch = fleet->epoch;
	mark->draining = drain != NULL;
	mark->cordoned = wanted_cordon(node);
	mark->maintenance = node->kept.maintenance;
	if (drain) {
		mark->leave_unmovable = drain->kept.leave_unmovable;
		mark->copy_disks = drain->kept.copy_disks;
		mark->strategy = drain->kept.strategy;
		mark->parallel = drain->kept.parallel;
		mark->bandwidth_bytes_per_s = drain->kept.bandwidth_bytes_per_s;
		mark->max_downtime_ms = drain->kept.max_downtime_ms;
		mark->completion_timeout_ms_per_gib = drain->kept.completion_timeout_ms_per_gib;
		mark->progress_timeout_ms = drain->kept.progress_timeout_ms;
		mark->shutdown_timeout_ms = drain->kept.shutdown_timeout_ms;
		for (size_t i = 0; i < drain->kept.n_shutdowns; i++)
			names_add(&mark->shut_down, drain->kept.shutdowns[i].uuid);
	}
	text_copy(mark->reason, sizeof(mark->reason), node->kept.reason);
	for (size_t i = 0; leaving && i < leaving->kept.leave.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, leaving->kept.leave.items[i]);

		names_add(&mark->leave, vm ? vm->name : leaving->kept.leave.items[i]);
	}
	node->mark_asked = true;
	node->mark_sent_draining = mark->draining;
	node->mark_sent_cordoned = mark->cordoned;
	node->mark_sent_maintenance = mark->maintenance;
	node->mark_sent_id = mark->drain_id;
	node->told_epoch = fleet->epoch;
}

static bool may_ask(const struct fleet *fleet, const struct node *node)
{
	return node_is_heard(node, change_now(fleet)) && !node->mark_asked &&
	       change_is_stored(fleet, node->intent_ticket) &&
	       change_now(fleet) >= node->mark_retry_ms;
}

void intent_reconcile(struct fleet *fleet)
{
	for (struct node *node = fleet->nodes; node; node = node->hh.next) {
		/* Before its snapshot nobody knows what the agent has, and it may know a drain
		 * that the store has lost. */
		if (node->mark_known && !mark_matches(fleet, node) && may_ask(fleet, node))
			send_mark(fleet, node);
	}
}

void intent_ask_count(struct fleet *fleet, struct node *node)
{
	if (!may_ask(fleet, node))
		return;
	node->mark_retry_ms = change_now(fleet) + COUNT_REPEAT_MS;
	send_mark(fleet, node);
}

void intent_take_mark_outcome(struct fleet *fleet, const struct event *event)
{
	struct node *node = fleet_find_node(fleet, event->mark.node);

	if (!node || !node->mark_asked || !id_equal(&node->mark_sent_id, &event->mark.drain_id))
		return;
	node->mark_asked = false;
	if (event->mark.outcome != CALL_ANSWERED) {
		node->mark_retry_ms = change_now(fleet) + MARK_RETRY_MS;
		return;
	}
	node->mark.drain_id = node->mark_sent_id;
	node->mark.draining = node->mark_sent_draining;
	node->mark.cordoned = node->mark_sent_cordoned;
	node->mark.maintenance = node->mark_sent_maintenance;
	node->mark_counted = true;
	node->mark_active_vms = event->mark.active_vms;
	node->mark_inventory_sequence = node->inventory_sequence;
	fleet->reconcile_wanted = true;
}

/* --- a mark that the store does not know --- */

static void adopt_drain(struct fleet *fleet, struct node *node, const struct drain_mark *mark)
{
	struct drain_record kept = { .number = fleet->last_drain_number + 1, .id = mark->drain_id };
	struct drain *drain;

	kept.state = DRAIN_RUNNING;
	kept.created_wall_ms = fleet->step->wall_ms;
	text_copy(kept.node, sizeof(kept.node), node->kept.name);
	text_copy(kept.reason, sizeof(kept.reason), mark->reason);
	names_copy(&kept.leave, &mark->leave);
	kept.leave_unmovable = mark->leave_unmovable;
	kept.copy_disks = mark->copy_disks;
	kept.strategy = mark->strategy;
	kept.parallel = mark->parallel;
	kept.bandwidth_bytes_per_s = mark->bandwidth_bytes_per_s;
	kept.max_downtime_ms = mark->max_downtime_ms;
	kept.completion_timeout_ms_per_gib = mark->completion_timeout_ms_per_gib;
	kept.progress_timeout_ms = mark->progress_timeout_ms;
	kept.shutdown_timeout_ms = mark->shutdown_timeout_ms;
	for (size_t i = 0; i < mark->shut_down.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, mark->shut_down.items[i]);

		drain_record_add_shutdown(&kept, mark->shut_down.items[i],
		                          vm ? vm->name : mark->shut_down.items[i]);
	}
	drain = fleet_add_drain(fleet, &kept);
	intent_start_drain(fleet, node, drain);
	change_tell_number(fleet, SEVERITY_WARNING, "drain", drain->kept.number,
	                   "%s was being drained and the store does not know it; the drain goes on",
	                   node->kept.name);
}

void intent_take_mark(struct fleet *fleet, struct node *node, const struct drain_mark *mark)
{
	bool is_new = node->adopt_mark;

	node->adopt_mark = false;
	node->mark_known = true;
	drain_mark_deinit(&node->mark);
	node->mark = (struct drain_mark){ 0 };
	if (!mark)
		return;
	drain_mark_copy(&node->mark, mark);

	if (mark->draining && !id_is_zero(&mark->drain_id) && !node->kept.drain_number &&
	    !fleet_find_drain_by_id(fleet, &mark->drain_id)) {
		adopt_drain(fleet, node, mark);
	} else if (is_new && mark->cordoned && !wanted_cordon(node)) {
		node->kept.cordoned = true;
		node->kept.maintenance = mark->maintenance;
		text_copy(node->kept.reason, sizeof(node->kept.reason), mark->reason);
		save_node(fleet, node);
		node_refresh(fleet, node);
	}
}

void intent_see_mark(struct fleet *fleet, struct node *node, const struct host_state *host)
{
	/* While a mark is on its way to it, what it tells may be from before; its answer is not. */
	if (!host->mark_told || !node->mark_known || node->mark_asked)
		return;
	if (node->mark.draining == host->mark.draining &&
	    node->mark.cordoned == host->mark.cordoned &&
	    node->mark.maintenance == host->mark.maintenance &&
	    id_equal(&node->mark.drain_id, &host->mark.drain_id))
		return;
	node->mark_counted = false;
	intent_take_mark(fleet, node, &host->mark);
	fleet->reconcile_wanted = true;
}

/* --- drains of a node --- */

void intent_start_drain(struct fleet *fleet, struct node *node, struct drain *drain)
{
	if (!wanted_cordon(node) || !node->kept.closed_since)
		node->kept.closed_since = drain->kept.number;
	node->kept.drain_number = drain->kept.number;
	node->kept.maintenance = false;
	text_copy(node->kept.reason, sizeof(node->kept.reason), drain->kept.reason);
	node->mark_counted = false;
	node->mark_retry_ms = 0;
	fleet->n_draining++;
	save_node(fleet, node);
	save_drain(fleet, drain);
	node_refresh(fleet, node);
	fleet->reconcile_wanted = true;
}

void intent_end_drain(struct fleet *fleet, struct node *node, struct drain *drain,
                      enum drain_state state)
{
	drain->kept.state = state;
	drain->kept.ended_wall_ms = fleet->step->wall_ms;
	drain->eta_known = true;
	drain->eta_ms = 0;
	node->kept.drain_number = 0;
	node->kept.cordoned = true;
	node->kept.maintenance = state != DRAIN_CANCELLED;
	if (state == DRAIN_CANCELLED)
		snprintf(node->kept.reason, sizeof(node->kept.reason),
		         "drain/%" PRIu64 " was cancelled", drain->kept.number);
	if (state == DRAIN_CANCELLED)
		drain_settle_cancelled(fleet, drain);
	node->mark_retry_ms = 0;
	fleet->n_draining--;
	save_node(fleet, node);
	save_drain(fleet, drain);
	node_refresh(fleet, node);
	fleet->reconcile_wanted = true;
}
