/* SPDX-License-Identifier: Apache-2.0 */
/* One event in, actions out: the dispatch, the start, and the reconcile that ends every step which
 * may have made something possible. */
#include "coordinator/core/step.h"

#include "common/alloc.h"
#include "common/epoch.h"
#include "coordinator/core/change.h"
#include "coordinator/core/drain/drain_history.h"
#include "coordinator/core/fence.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/attempts.h"
#include "coordinator/core/plan/preview.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/power/power.h"
#include "coordinator/core/predict/predict.h"
#include "coordinator/core/requests.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const event_names[] = {
	[EVENT_LOADED] = "loaded",
	[EVENT_STORED] = "stored",
	[EVENT_STORE_FAILED] = "store-failed",
	[EVENT_ATTACH] = "attach",
	[EVENT_LOST] = "lost",
	[EVENT_SNAPSHOT] = "snapshot",
	[EVENT_HOST] = "host",
	[EVENT_VM] = "vm",
	[EVENT_VM_GONE] = "vm-gone",
	[EVENT_ATTEMPT] = "attempt",
	[EVENT_START_OUTCOME] = "start-outcome",
	[EVENT_LET_GO_OUTCOME] = "let-go-outcome",
	[EVENT_CANCEL_OUTCOME] = "cancel-outcome",
	[EVENT_PROBE_OUTCOME] = "probe-outcome",
	[EVENT_MARK_OUTCOME] = "mark-outcome",
	[EVENT_PREVIEW_OUTCOME] = "preview-outcome",
	[EVENT_FENCE_OUTCOME] = "fence-outcome",
	[EVENT_TUNE_OUTCOME] = "tune-outcome",
	[EVENT_SHUT_DOWN_OUTCOME] = "shut-down-outcome",
	[EVENT_START_GUEST_OUTCOME] = "start-guest-outcome",
	[EVENT_DRAIN] = "drain",
	[EVENT_UNDRAIN] = "undrain",
	[EVENT_CORDON] = "cordon",
	[EVENT_UNCORDON] = "uncordon",
	[EVENT_LABEL] = "label",
	[EVENT_SET_POLICY] = "set-policy",
	[EVENT_REMOVE_POLICY] = "remove-policy",
	[EVENT_MIGRATE] = "migrate",
	[EVENT_CANCEL] = "cancel",
	[EVENT_TUNE] = "tune",
	[EVENT_FENCE] = "fence",
	[EVENT_UNFENCE] = "unfence",
	[EVENT_EXPLAIN_VM] = "explain-vm",
	[EVENT_EXPLAIN_PLAN] = "explain-plan",
	[EVENT_TICK] = "tick",
};
static_assert(ARRAY_SIZE(event_names) == EVENT_KINDS, "an event without a name");

const char *event_kind_name(enum event_kind kind)
{
	assert((unsigned)kind < EVENT_KINDS);
	return event_names[kind];
}

static const char *const node_state_names[] = {
	[NODE_READY] = "ready",
	[NODE_NO_LIBVIRT] = "no-libvirt",
	[NODE_CORDONED] = "cordoned",
	[NODE_DRAINING] = "draining",
	[NODE_MAINTENANCE] = "maintenance",
	[NODE_UNREACHABLE] = "unreachable",
	[NODE_FENCED] = "fenced",
};
static_assert(ARRAY_SIZE(node_state_names) == NODE_STATES, "a node state without a name");

const char *node_state_name(enum node_state state)
{
	assert((unsigned)state < NODE_STATES);
	return node_state_names[state];
}

/* --- the start --- */

/* The new epoch is stored before anything else is: whoever led before is refused by the store from
 * then on, and by every agent that hears of us. */
void fleet_raise_epoch(struct fleet *fleet, uint64_t above)
{
	fleet->epoch = above + 1;
	fleet->step->new_epoch = fleet->epoch;
	fleet->epoch_ticket = change_next_ticket(fleet);
	if (fleet->revision < fleet->epoch << 32) {
		fleet->revision = fleet->epoch << 32;
		fleet->oldest_revision = fleet->revision;
	}
}

static void load_node(struct fleet *fleet, const struct node_record *record)
{
	struct node *node = fleet_add_node(fleet, record->name);

	node->kept = *record;
	/* Until its agent reports. */
	text_copy(node->host.labels, sizeof(node->host.labels), record->own_labels);
}

static void load_migration(struct fleet *fleet, const struct migration_record *record)
{
	struct migration_record kept;
	struct migration *m;

	migration_record_copy(&kept, record);
	m = fleet_add_migration(fleet, &kept);
	if (!m->kept.holds_slot)
		return;
	/* A START may have been sent by whoever wrote this. Ask, never start again. */
	m->start_sent = true;
	m->probe_wanted = true;
}

static void load(struct fleet *fleet, const struct store_contents *contents)
{
	assert(!fleet->loaded);
	fleet->loaded = true;
	fleet->started_ms = change_now(fleet);
	fleet->loaded_epoch = contents->epoch;
	fleet->store_epoch = contents->epoch;
	fleet_raise_epoch(fleet, contents->epoch);
	fleet->last_migration_number = contents->last_migration_number;
	fleet->last_drain_number = contents->last_drain_number;

	for (size_t i = 0; i < contents->n_nodes; i++)
		load_node(fleet, &contents->nodes[i]);
	for (size_t i = 0; i < contents->n_drains; i++) {
		struct drain_record kept;

		drain_record_copy(&kept, &contents->drains[i]);
		fleet_add_drain(fleet, &kept);
	}
	for (size_t i = 0; i < contents->n_migrations; i++) {
		load_migration(fleet, &contents->migrations[i]);
		predict_learn(fleet, &contents->migrations[i]);
	}
	for (size_t i = 0; i < contents->n_vms; i++)
		fleet_add_vm(fleet, contents->vms[i].uuid, contents->vms[i].name)->kept =
			contents->vms[i];
	policy_load(fleet, contents->policies, contents->n_policies);
	for (size_t i = 0; i < contents->n_events; i++)
		fleet_add_event(fleet, &contents->events[i]);

	for (struct node *node = fleet->nodes; node; node = node->hh.next) {
		node_refresh(fleet, node);
		if (node->kept.drain_number)
			fleet->n_draining++;
	}
	for (struct drain *drain = fleet->drains; drain; drain = drain->hh.next)
		drain_restore(fleet, drain);
	change_tell(fleet, SEVERITY_INFO, "coordinator", fleet->options.cluster,
	            "started, epoch %" PRIu64 ": %u nodes, %zu migrations under way, %zu drains",
	            fleet->epoch, HASH_COUNT(fleet->nodes), fleet->n_active, fleet->n_draining);
}

static void stop(struct fleet *fleet, const struct error *err)
{
	if (fleet->stopped)
		return;
	fleet->stopped = true;
	change_act(fleet, ACTION_STOP)->stop = *err;
}

/* An agent that knows our epoch though we never told it may have it from another life: of a store
 * that was lost, or restored from a backup. One too many costs nothing. */
static bool is_taken(const struct fleet *fleet, const char *name, uint64_t highest_epoch)
{
	const struct node *node = fleet_find_node(fleet, name);

	return highest_epoch > fleet->epoch ||
	       (highest_epoch == fleet->epoch && (!node || node->told_epoch != fleet->epoch));
}

/* No coordinator ever led there: the agent's journal is damaged, or somebody lies. Following it would
 * take the numbers from every coordinator to come. */
static bool is_absurd(struct fleet *fleet, const struct event *event)
{
	uint64_t epoch = event->attach.highest_epoch;
	struct node *node;
	struct error err;

	if (epoch <= fleet->epoch + EPOCH_LEAP_MAX && epoch < EPOCH_MAX)
		return false;
	error_set(
		&err, ERROR_INVALID,
		"%s claims to have obeyed epoch %" PRIu64 ", this is epoch %" PRIu64
		", and epochs count coordinators' starts: its journal is damaged, or it is not "
		"what it says; it is not taken in. If that host is yours: stop its agent, look at "
		"its journal, and move it away once nothing moves there",
		event->attach.node, epoch, fleet->epoch);
	node = fleet_add_node(fleet, event->attach.node);
	if (strcmp(node->suspect, err.text) != 0) {
		text_copy(node->suspect, sizeof(node->suspect), err.text);
		change_tell(fleet, SEVERITY_ALARM, "node", node->kept.name, "%s", err.text);
		node_refresh(fleet, node);
	}
	reply_send_error(fleet, event->request, &err);
	return true;
}

static void attach(struct fleet *fleet, const struct event *event)
{
	struct reply *reply;

	if (is_absurd(fleet, event))
		return;
	if (is_taken(fleet, event->attach.node, event->attach.highest_epoch)) {
		fleet_raise_epoch(fleet, event->attach.highest_epoch);
		change_tell(fleet, SEVERITY_WARNING, "coordinator", fleet->options.cluster,
		            "%s obeyed epoch %" PRIu64 " in another life of the store; this is "
		            "epoch %" PRIu64 " now",
		            event->attach.node, event->attach.highest_epoch, fleet->epoch);
	}
	inventory_attach(fleet, event);
	fleet_find_node(fleet, event->attach.node)->told_epoch = fleet->epoch;
	reply = reply_new(REPLY_ATTACH, event->request);
	text_copy(reply->node, sizeof(reply->node), event->attach.node);
	reply_send_epoch(fleet, reply);
}

/* --- everything is looked at --- */

static void reconcile(struct fleet *fleet)
{
	/* What one part does may let another go on: a migration that ends lets its drain end. Two
	 * passes settle all of it; what is left over waits for the next event or tick. */
	for (int pass = 0; pass < 2; pass++) {
		fleet->reconcile_wanted = false;
		fence_reconcile(fleet);
		attempts_reconcile(fleet);
		drain_reconcile_all(fleet);
		attempts_reconcile_back(fleet);
		intent_reconcile(fleet);
		if (!fleet->reconcile_wanted)
			break;
	}
}

static void tick(struct fleet *fleet)
{
	for (struct node *node = fleet->nodes; node; node = node->hh.next)
		node_refresh(fleet, node);
	preview_tick(fleet);
	/* Progress and countdowns of a drain are watched by people. */
	if (fleet->n_draining)
		fleet->reconcile_wanted = true;
	if (change_now(fleet) - fleet->last_reconcile_ms < RECONCILE_EVERY_MS)
		return;
	fleet->last_reconcile_ms = change_now(fleet);
	fleet->step->everything = true;
	for (struct vm *vm = fleet->vms; vm; vm = vm->hh.next)
		vm_refresh(fleet, vm);
	drain_history_forget(fleet);
	fleet->reconcile_wanted = true;
}

/* --- dispatch --- */

static bool is_request(enum event_kind kind)
{
	return kind >= EVENT_DRAIN && kind <= EVENT_EXPLAIN_PLAN;
}

static void dispatch_request(struct fleet *fleet, const struct event *event)
{
	switch (event->kind) {
	case EVENT_DRAIN:
		request_drain(fleet, event);
		break;
	case EVENT_UNDRAIN:
		request_undrain(fleet, event);
		break;
	case EVENT_CORDON:
		request_cordon(fleet, event);
		break;
	case EVENT_UNCORDON:
		request_uncordon(fleet, event);
		break;
	case EVENT_LABEL:
		request_label(fleet, event);
		break;
	case EVENT_SET_POLICY:
		request_set_policy(fleet, event);
		break;
	case EVENT_REMOVE_POLICY:
		request_remove_policy(fleet, event);
		break;
	case EVENT_MIGRATE:
		request_migrate(fleet, event);
		break;
	case EVENT_CANCEL:
		request_cancel(fleet, event);
		break;
	case EVENT_TUNE:
		request_tune(fleet, event);
		break;
	case EVENT_FENCE:
		request_fence(fleet, event);
		break;
	case EVENT_UNFENCE:
		request_unfence(fleet, event);
		break;
	case EVENT_EXPLAIN_VM:
		request_explain(fleet, event);
		break;
	case EVENT_EXPLAIN_PLAN:
		request_explain_plan(fleet, event);
		break;
	default:
		assert(false);
	}
}

static void dispatch(struct fleet *fleet, const struct event *event)
{
	switch (event->kind) {
	case EVENT_LOADED:
		load(fleet, event->loaded);
		break;
	case EVENT_STORED:
		if (event->stored_ticket > fleet->stored_ticket)
			fleet->stored_ticket = event->stored_ticket;
		reply_release(fleet);
		fleet->reconcile_wanted = true;
		break;
	case EVENT_STORE_FAILED:
		stop(fleet, &event->store_failed.error);
		break;
	case EVENT_ATTACH:
		attach(fleet, event);
		break;
	case EVENT_LOST:
		inventory_lose(fleet, event);
		break;
	case EVENT_SNAPSHOT:
		inventory_take_snapshot(fleet, event);
		break;
	case EVENT_HOST:
		inventory_take_host(fleet, event);
		break;
	case EVENT_VM:
		inventory_take_vm(fleet, event);
		break;
	case EVENT_VM_GONE:
		inventory_take_vm_gone(fleet, event);
		break;
	case EVENT_ATTEMPT:
		attempts_take_report(fleet, inventory_hear(fleet, event->attempt.node),
		                     event->attempt.report);
		break;
	case EVENT_START_OUTCOME:
	case EVENT_LET_GO_OUTCOME:
	case EVENT_CANCEL_OUTCOME:
	case EVENT_PROBE_OUTCOME:
		attempts_take_outcome(fleet, event);
		break;
	case EVENT_MARK_OUTCOME:
		intent_take_mark_outcome(fleet, event);
		break;
	case EVENT_FENCE_OUTCOME:
		fence_take_outcome(fleet, event);
		break;
	case EVENT_TUNE_OUTCOME:
		tune_take_outcome(fleet, event);
		break;
	case EVENT_SHUT_DOWN_OUTCOME:
	case EVENT_START_GUEST_OUTCOME:
		power_take_outcome(fleet, event);
		break;
	case EVENT_PREVIEW_OUTCOME:
		preview_take_outcome(fleet, event);
		break;
	case EVENT_TICK:
		tick(fleet);
		break;
	default:
		dispatch_request(fleet, event);
		break;
	}
}

static void refuse(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };

	error_set(&err, ERROR_BUSY,
	          fleet->stopped ? "the coordinator is stopping; try again"
	                         : "the coordinator is starting; try again");
	reply_send_error(fleet, event->request, &err);
}

void core_step(struct fleet *fleet, const struct event *event, uint64_t now_ms,
               struct action_list *ret)
{
	struct step step;

	change_begin(fleet, &step, now_ms, event->wall_ms, ret);
	if (fleet->stopped || (!fleet->loaded && event->kind != EVENT_LOADED) ||
	    (is_request(event->kind) && !fleet_leads(fleet))) {
		if (is_request(event->kind) || event->kind == EVENT_ATTACH)
			refuse(fleet, event);
	} else {
		dispatch(fleet, event);
	}
	if (fleet->reconcile_wanted && fleet_leads(fleet))
		reconcile(fleet);
	if (fleet_leads(fleet))
		policy_reconcile(fleet);
	change_end(fleet);
}
