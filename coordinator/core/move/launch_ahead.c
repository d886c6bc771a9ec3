/* SPDX-License-Identifier: Apache-2.0 */
/* See launch_ahead.h. */
#include "coordinator/core/move/launch_ahead.h"

#include "coordinator/core/change.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/attempts.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/plan/plan.h"
#include "coordinator/core/policy/policy.h"

#include <stdio.h>
#include <string.h>

/* Preparing takes some hundred milliseconds, rarely a few seconds; an agent holds for 20 s. */
#define AHEAD_MS ((uint64_t)8000)
/* One that was prepared in vain: the estimate that it rested on is none. */
#define AGAIN_MS ((uint64_t)60000)

uint64_t ahead_left_ms(const struct migration *m, uint64_t now_ms)
{
	const struct progress *p = &m->kept.report.progress;
	uint64_t expected_ms = m->kept.prediction.expected_ms;

	if (m->kept.state == MIGRATION_SWITCHING)
		return 0;
	if (m->kept.state != MIGRATION_RUNNING)
		return UINT64_MAX;
	if (p->eta_known)
		return p->eta_ms;
	if (!expected_ms || !m->running_since_ms)
		return UINT64_MAX;
	return m->running_since_ms + expected_ms > now_ms
	               ? m->running_since_ms + expected_ms - now_ms
	               : 0;
}

void ahead_look(struct fleet *fleet)
{
	fleet->ends_soon = 0;
	for (struct node *node = fleet->nodes; node; node = node->hh.next)
		node->ends_soon = 0;
	for (const struct migration *m = fleet->active; m; m = m->next_active) {
		struct node *source;

		if (!m->kept.holds_slot || m->kept.preparing ||
		    ahead_left_ms(m, change_now(fleet)) > AHEAD_MS)
			continue;
		source = fleet_find_node(fleet, m->kept.source);
		fleet->ends_soon++;
		if (source)
			source->ends_soon++;
	}
}

bool ahead_may_prepare(const struct fleet *fleet, const struct vm *vm, const struct drain *drain)
{
	const struct node *source = vm->node;
	uint32_t most = fleet->options.caps.preparing;

	if (source->host.preparing_max < most)
		most = source->host.preparing_max;
	if (source->preparing_out >= most || change_now(fleet) < vm->prepare_ms)
		return false;
	/* One that gave up its slot in this very step: in the store that slot is free after it was counted
	 * for whoever takes it now. */
	if (vm->migration && vm->migration->unsaved)
		return false;
	/* One for each slot that comes: the others would wait in vain. */
	if (launch_lacks_outbound(fleet, source, drain) &&
	    source->ends_soon <= source->preparing_out)
		return false;
	return !launch_lacks_cluster(fleet) || fleet->ends_soon > fleet->preparing;
}

static enum ahead_kind kind_of(const struct migration *m)
{
	if (m->kept.drain_number)
		return AHEAD_DRAINED;
	return m->kept.back_of ? AHEAD_BACK : AHEAD_ASKED;
}

/* What is only silent may be well in a moment, and keeps its agent's promise till then. */
static bool is_closed(const struct node *target, uint64_t now_ms)
{
	enum plan_refusal takes = plan_judge_host(target, now_ms);

	return takes != PLAN_FITS && takes != PLAN_UNREACHABLE && takes != PLAN_NO_INVENTORY;
}

/* What has changed since it was prepared: it is not to go there, or not to go at all. The store would refuse
 * one that comes on top of more than may come in: moves that were adopted, a lower limit. */
static bool is_unwanted(const struct fleet *fleet, const struct migration *m,
                        const struct drain *drain, const struct node *target)
{
	const struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	char text[REASON_BYTES];

	if (m->kept.drain_number && (!drain || drain_state_is_final(drain->kept.state)))
		return true;
	if (!target || is_closed(target, change_now(fleet)) ||
	    target->migrations_in > fleet->options.caps.inbound)
		return true;
	return vm && !m->kept.settings.ignore_policies && policy_find_bar(fleet, vm, target, text);
}

static void look_at(struct fleet *fleet, struct migration *m)
{
	struct drain *drain = fleet_find_drain(fleet, m->kept.drain_number);
	const struct node *source = fleet_find_node(fleet, m->kept.source);
	const struct node *target = fleet_find_node(fleet, m->kept.target);
	char reason[REASON_BYTES], text[REASON_BYTES];
	bool lacks;

	if (m->give_back || m->kept.cancel_requested || m->kept.state != MIGRATION_RESERVED ||
	    m->taking || !change_is_stored(fleet, m->take_ticket) || !source)
		return;
	if (is_unwanted(fleet, m, drain, target)) {
		m->give_back = true;
		return;
	}
	lacks = launch_lacks_slot(fleet, source, drain, reason);
	/* Who is there by now is not known. */
	if (!lacks && !node_is_sure(target, change_now(fleet))) {
		lacks = true;
		snprintf(reason, sizeof(reason), "waits: %s %s", m->kept.target,
		         node_is_heard(target, change_now(fleet)) ? "has no connection to libvirt"
		                                                  : "cannot be reached");
	}
	if (lacks) {
		snprintf(text, sizeof(text), "%s; %.400s",
		         m->kept.report.waits_for_slot && m->heard ? "prepared" : "is prepared",
		         reason);
		attempts_set_reason(fleet, m, text);
		return;
	}
	attempts_set_reason(fleet, m, "");
	migration_let_go(fleet, m, false);
}

void ahead_let_go(struct fleet *fleet, enum ahead_kind kind)
{
	for (struct migration *m = fleet->active; m; m = m->next_active) {
		if (m->kept.holds_slot && m->kept.preparing && kind_of(m) == kind)
			look_at(fleet, m);
	}
}

void ahead_end(struct fleet *fleet, const struct migration *m)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);

	if (vm && m->kept.preparing)
		vm->prepare_ms = change_now(fleet) + AGAIN_MS;
}

void ahead_yield(struct fleet *fleet, const struct node *target)
{
	for (struct migration *m = fleet->active; m; m = m->next_active) {
		if (!m->kept.holds_slot || !m->kept.preparing || m->give_back ||
		    strcmp(m->kept.target, target->kept.name) != 0)
			continue;
		m->give_back = true;
		fleet->reconcile_wanted = true;
		return;
	}
}
