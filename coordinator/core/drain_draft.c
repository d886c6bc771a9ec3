/* SPDX-License-Identifier: Apache-2.0 */
/* Drains that are not under way: what one would do (dry run, refusal beforehand), and what one has
 * done before this coordinator started. */
#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/deadline.h"
#include "coordinator/core/drain_vms.h"
#include "coordinator/core/plan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void drain_restore(struct fleet *fleet, struct drain *drain)
{
	for (struct migration *m = fleet->migrations; m; m = m->hh.next) {
		struct drain_vm *dv;

		if (m->kept.drain_number != drain->kept.number)
			continue;
		dv = drain_find_vm(drain, m->kept.vm_uuid);
		if (!dv) {
			struct vm vm = { 0 };

			text_copy(vm.uuid, sizeof(vm.uuid), m->kept.vm_uuid);
			text_copy(vm.name, sizeof(vm.name), m->kept.vm_name);
			dv = drain_add_vm(drain, drain->kept.node, &vm, m->kept.memory_bytes);
		}
		if (m->kept.number < dv->migration_number)
			continue;
		dv->migration_number = m->kept.number;
		text_copy(dv->target, sizeof(dv->target), m->kept.target);
		if (m->kept.state == MIGRATION_DONE)
			dv->state = DRAIN_VM_MOVED;
		else
			dv->state = m->kept.holds_slot ? DRAIN_VM_MOVING : DRAIN_VM_WAITING;
	}
	if (drain_state_is_final(drain->kept.state)) {
		struct drain_counts counts = drain_count(drain);

		snprintf(drain->status, sizeof(drain->status), "%zu moved, %u left",
		         counts.by_state[DRAIN_VM_MOVED], drain->kept.left_count);
		drain_judge_amounts(fleet, drain, &counts);
	}
}

static void draft_vm(struct fleet *fleet, struct drain *drain, struct plan *plan,
                     struct drain_vm *dv)
{
	struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	const struct sighting *home = vm ? fleet_find_sighting(vm, vm->node) : NULL;
	struct plan_node *target;
	char reason[REASON_BYTES];

	if (!home)
		return;
	if (drain_allows(fleet, drain, vm, dv->reason)) {
		dv->state = DRAIN_VM_LEFT;
		return;
	}
	if (drain_is_hopeless(fleet, vm, dv->reason)) {
		dv->state = DRAIN_VM_BLOCKED;
		dv->hopeless = true;
		drain_set_checks(dv, &home->state.blockers);
		return;
	}
	target = plan_pick_target(plan, fleet, vm, NULL, true, change_now(fleet), reason);
	if (!target) {
		dv->state = DRAIN_VM_BLOCKED;
		snprintf(dv->reason, sizeof(dv->reason), "no destination: %.*s", REASON_BYTES - 32,
		         reason);
		return;
	}
	text_copy(dv->target, sizeof(dv->target), target->node->kept.name);
}

void drain_set_aside(struct fleet *fleet, const struct names *nodes, bool aside)
{
	for (size_t i = 0; i < nodes->count; i++) {
		struct node *node = fleet_find_node(fleet, nodes->items[i]);

		if (node)
			node->set_aside = aside;
	}
}

/* The record of a set: those of its nodes have the same wishes, but for the guests that they name. */
static void take_records(struct drain *drain, const struct drain_record *records, size_t count)
{
	drain_record_copy(&drain->kept, &records[0]);
	drain->kept.state = DRAIN_PLANNED;
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(drain->kept.node);

		names_add(&drain->nodes, records[i].node);
		if (i == 0)
			continue;
		snprintf(drain->kept.node + used, sizeof(drain->kept.node) - used, ",%s",
		         records[i].node);
		for (size_t n = 0; n < records[i].leave.count; n++)
			names_add(&drain->kept.leave, records[i].leave.items[n]);
	}
}

struct drain *drain_draft_together(struct fleet *fleet, const struct drain_record *records,
                                   size_t count)
{
	struct drain *drain = xnew(struct drain);
	struct drain_counts counts;
	struct plan plan;

	take_records(drain, records, count);
	drain->dirty = true; /* in no fleet: nobody is to be told of its changes */
	for (size_t i = 0; i < count; i++) {
		const struct node *node = fleet_find_node(fleet, records[i].node);

		assert(node);
		for (struct sighting *s = node->sightings; s; s = s->next) {
			if (vm_state_is_active(&s->state))
				drain_add_vm(drain, node->kept.name, s->vm, s->state.memory_bytes);
		}
	}
	drain_set_aside(fleet, &drain->nodes, true);
	plan_init(&plan, fleet, change_now(fleet));
	for (size_t i = 0; i < drain->n_vms; i++)
		draft_vm(fleet, drain, &plan, &drain->vms[i]);
	plan_deinit(&plan);
	drain_set_aside(fleet, &drain->nodes, false);
	counts = drain_count(drain);
	drain_judge_amounts(fleet, drain, &counts);
	deadline_judge(fleet, drain, drain_get_slots(fleet, drain), true);
	return drain;
}

struct drain *drain_draft(struct fleet *fleet, const struct drain_record *record)
{
	return drain_draft_together(fleet, record, 1);
}
