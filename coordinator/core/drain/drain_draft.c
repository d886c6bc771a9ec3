/* SPDX-License-Identifier: Apache-2.0 */
/* Drains that are not under way: what one would do (dry run, refusal beforehand), and what one has
 * done before this coordinator started. */
#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/drain/deadline.h"
#include "coordinator/core/drain/drain_plan.h"
#include "coordinator/core/drain/drain_policies.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/plan/plan_memory.h"
#include "coordinator/core/power/power.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As its drain, which is over or starts anew, has left the guest. */
static void take_migration(struct drain_vm *dv, const struct migration *m)
{
	dv->migration_number = m->kept.number;
	text_copy(dv->target, sizeof(dv->target), m->kept.target);
	if (m->kept.state == MIGRATION_DONE)
		dv->state = DRAIN_VM_MOVED;
	else
		dv->state = m->kept.holds_slot ? DRAIN_VM_MOVING : DRAIN_VM_WAITING;
}

/* A drain that is over has nobody who waits: who has not left stays. */
static void settle(const struct drain *drain, struct drain_vm *dv)
{
	if (dv->state != DRAIN_VM_WAITING && dv->state != DRAIN_VM_BLOCKED)
		return;
	dv->state = DRAIN_VM_LEFT;
	dv->target[0] = '\0';
	if (drain->kept.state == DRAIN_CANCELLED)
		text_copy(dv->reason, sizeof(dv->reason), "stays: the drain was cancelled");
}

void drain_settle_cancelled(struct fleet *fleet, struct drain *drain)
{
	struct drain_counts counts;
	size_t used;

	for (size_t i = 0; i < drain->n_vms; i++)
		settle(drain, &drain->vms[i]);
	counts = drain_count(drain);
	drain->kept.left_count = (uint32_t)counts.by_state[DRAIN_VM_LEFT];
	used = (size_t)snprintf(drain->status, sizeof(drain->status), "%zu moved, %u left",
	                        counts.by_state[DRAIN_VM_MOVED], drain->kept.left_count);
	if (counts.by_state[DRAIN_VM_MOVING])
		snprintf(drain->status + used, sizeof(drain->status) - used, ", %zu moving still",
		         counts.by_state[DRAIN_VM_MOVING]);
	save_drain(fleet, drain);
}

static void judge_ended(struct fleet *fleet, struct drain *drain)
{
	struct drain_counts counts = drain_count(drain);
	size_t used = (size_t)snprintf(drain->status, sizeof(drain->status), "%zu moved, %u left",
	                               counts.by_state[DRAIN_VM_MOVED], drain->kept.left_count);

	if (counts.by_state[DRAIN_VM_STOPPED])
		snprintf(drain->status + used, sizeof(drain->status) - used, ", %zu off",
		         counts.by_state[DRAIN_VM_STOPPED]);
	drain_judge_amounts(fleet, drain, &counts);
}

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
		take_migration(dv, m);
	}
	power_restore(drain);
	if (!drain_state_is_final(drain->kept.state))
		return;
	for (size_t i = 0; i < drain->n_vms; i++)
		settle(drain, &drain->vms[i]);
	judge_ended(fleet, drain);
}

void drain_follow(struct fleet *fleet, const struct migration *m)
{
	struct drain *drain = fleet_find_drain(fleet, m->kept.drain_number);
	struct drain_vm *dv;
	bool left;

	/* Those under way look for themselves. */
	if (!drain || !drain_state_is_final(drain->kept.state))
		return;
	dv = drain_find_vm(drain, m->kept.vm_uuid);
	if (!dv || dv->migration_number != m->kept.number)
		return;
	left = dv->state == DRAIN_VM_LEFT;
	take_migration(dv, m);
	settle(drain, dv);
	/* What it was waiting for when the drain ended is of no interest any more. */
	if (m->kept.reason[0] && !(left && dv->state == DRAIN_VM_LEFT))
		text_copy(dv->reason, sizeof(dv->reason), m->kept.reason);
	if (dv->state == DRAIN_VM_LEFT && !left)
		drain->kept.left_count++;
	judge_ended(fleet, drain);
	save_drain(fleet, drain);
}

/* What is to be said of it before any destination is looked for. */
static void draft_vm(struct fleet *fleet, struct drain *drain, struct drain_vm *dv)
{
	struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	const struct sighting *home = vm ? fleet_find_sighting(vm, vm->node) : NULL;

	if (!home)
		return;
	if (drain_allows(fleet, drain, vm, dv->reason)) {
		dv->state = DRAIN_VM_LEFT;
		return;
	}
	if (drain_record_find_shutdown(&drain->kept, dv->uuid)) {
		power_draft(fleet, drain, dv, home);
		return;
	}
	if (drain_is_hopeless(fleet, vm, dv->reason)) {
		dv->state = DRAIN_VM_BLOCKED;
		dv->hopeless = true;
		drain_set_checks(dv, &home->state.blockers);
		return;
	}
	dv->wants = true;
}

/* Who has none is blocked; the planner's words are in its reason. */
static void take_planned(struct drain_vm *dv)
{
	if (!dv->wants)
		return;
	dv->wants = false;
	if (dv->order)
		text_copy(dv->target, sizeof(dv->target), dv->planned);
	else
		dv->state = DRAIN_VM_BLOCKED;
}

/* In the order in which they go; then who stays or is blocked, as before. */
static int compare_orders(const void *a, const void *b)
{
	const struct drain_vm *x = a, *y = b;
	uint32_t turn_x = x->order ? x->order : UINT32_MAX;
	uint32_t turn_y = y->order ? y->order : UINT32_MAX;

	if (turn_x != turn_y)
		return turn_x < turn_y ? -1 : 1;
	if (x->memory_bytes != y->memory_bytes)
		return x->memory_bytes > y->memory_bytes ? -1 : 1;
	return strcmp(x->name, y->name);
}

void drain_draft_sort(struct drain *draft)
{
	if (draft->n_vms)
		qsort(draft->vms, draft->n_vms, sizeof(*draft->vms), compare_orders);
	drain_index_vms(draft);
}

void drain_set_aside(struct fleet *fleet, const struct drain *draft, bool aside)
{
	fleet->draft = aside ? draft : NULL;
	for (size_t i = 0; i < draft->nodes.count; i++) {
		struct node *node = fleet_find_node(fleet, draft->nodes.items[i]);

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
		for (size_t n = 0; n < records[i].n_shutdowns; n++)
			drain_record_add_shutdown(&drain->kept, records[i].shutdowns[n].uuid,
			                          records[i].shutdowns[n].name);
	}
}

static struct drain *make(struct fleet *fleet, const struct drain_record *records, size_t count,
                          const struct kept_plan *asked, bool quick)
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
	drain_set_aside(fleet, drain, true);
	plan_init(&plan, fleet, change_now(fleet));
	for (size_t i = 0; i < drain->n_vms; i++)
		draft_vm(fleet, drain, &drain->vms[i]);
	for (size_t i = 0; i < drain->n_vms; i++) {
		const char *pin = kept_plan_get_target(asked, drain->vms[i].uuid);

		text_copy(drain->vms[i].pin, sizeof(drain->vms[i].pin), pin ? pin : "");
	}
	drain_plan_make(fleet, &drain, 1, &plan, !quick);
	plan_deinit(&plan);
	for (size_t i = 0; i < drain->n_vms; i++)
		take_planned(&drain->vms[i]);
	drain_policies_tell_broken(fleet, drain);
	drain_draft_sort(drain);
	drain_set_aside(fleet, drain, false);
	counts = drain_count(drain);
	drain_judge_amounts(fleet, drain, &counts);
	deadline_judge(fleet, drain, drain_get_slots(fleet, drain), !quick);
	return drain;
}

void drain_draft_again(struct fleet *fleet, struct drain *draft)
{
	struct plan plan;

	for (size_t i = 0; i < draft->n_vms; i++) {
		struct drain_vm *dv = &draft->vms[i];

		dv->wants = !dv->shuts && (dv->state == DRAIN_VM_WAITING ||
		                           (dv->state == DRAIN_VM_BLOCKED && !dv->hopeless));
		if (dv->wants && dv->state == DRAIN_VM_BLOCKED) {
			dv->state = DRAIN_VM_WAITING;
			dv->target[0] = dv->reason[0] = '\0';
		}
	}
	drain_set_aside(fleet, draft, true);
	plan_init(&plan, fleet, change_now(fleet));
	drain_plan_make(fleet, &draft, 1, &plan, true);
	plan_deinit(&plan);
	for (size_t i = 0; i < draft->n_vms; i++)
		take_planned(&draft->vms[i]);
	drain_policies_tell_broken(fleet, draft);
	drain_set_aside(fleet, draft, false);
}

struct drain *drain_draft_as(struct fleet *fleet, const struct drain_record *records, size_t count,
                             const struct kept_plan *asked)
{
	return make(fleet, records, count, asked, false);
}

struct drain *drain_draft_together(struct fleet *fleet, const struct drain_record *records,
                                   size_t count)
{
	return drain_draft_as(fleet, records, count, NULL);
}

struct drain *drain_draft_quick(struct fleet *fleet, const struct drain_record *record)
{
	return make(fleet, record, 1, NULL, true);
}
