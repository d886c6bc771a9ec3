/* SPDX-License-Identifier: Apache-2.0 */
/* See bring_back.h. */
#include "coordinator/core/bring_back.h"

#include "common/alloc.h"
#include "coordinator/core/drain_vms.h"
#include "coordinator/core/launch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool has_moved_any(const struct drain *drain)
{
	for (size_t i = 0; i < drain->n_vms; i++) {
		if (drain->vms[i].state == DRAIN_VM_MOVED && drain->vms[i].migration_number)
			return true;
	}
	return false;
}

/* The latest that has moved a guest: one that found the node empty has changed nothing. */
static struct drain *find_last(struct fleet *fleet, const struct node *node)
{
	struct drain *last = NULL;

	for (struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		if (strcmp(drain->kept.node, node->kept.name) == 0 && has_moved_any(drain) &&
		    (!last || drain->kept.number > last->kept.number))
			last = drain;
	}
	return last;
}

static void set(struct drain_vm *dv, enum drain_vm_state state, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void set(struct drain_vm *dv, enum drain_vm_state state, const char *format, ...)
{
	va_list args;

	dv->state = state;
	va_start(args, format);
	vsnprintf(dv->reason, sizeof(dv->reason), format, args);
	va_end(args);
}

/* Whether it comes, but for room. @put: where the drain had put it. */
static bool judge(const struct node *node, const struct vm *vm, const char *put,
                  struct drain_vm *dv)
{
	const struct migration *m = vm->migration;

	if (m && strcmp(m->kept.wanted_target, node->kept.name) == 0) {
		set(dv, DRAIN_VM_MOVING, "migration/%" PRIu64 " brings it: %.400s", m->kept.number,
		    m->kept.reason);
		dv->migration_number = m->kept.number;
	} else if (m) {
		set(dv, DRAIN_VM_LEFT, "migration/%" PRIu64 " of it is under way", m->kept.number);
	} else if (!vm->node) {
		set(dv, DRAIN_VM_LEFT, "no host runs it any more");
	} else if (vm->node == node) {
		set(dv, DRAIN_VM_LEFT, "is on %s again already", node->kept.name);
	} else if (strcmp(vm->node->kept.name, put) != 0) {
		set(dv, DRAIN_VM_LEFT,
		    "has moved on since, from %s to %s; to bring it: drover migrate %.100s --to %s",
		    put, vm->node->kept.name, vm->name, node->kept.name);
	} else if (!vm->movable) {
		set(dv, DRAIN_VM_BLOCKED, "%.500s", vm->why_not);
	} else {
		dv->state = DRAIN_VM_WAITING;
		return true;
	}
	return false;
}

/* The node as it is once it takes guests again. */
static void open_in_plan(struct plan *plan, const struct node *node)
{
	for (size_t i = 0; i < plan->count; i++) {
		enum plan_refusal *takes = &plan->nodes[i].takes;

		if (plan->nodes[i].node == node &&
		    (*takes == PLAN_DRAINING || *takes == PLAN_MAINTENANCE ||
		     *takes == PLAN_CORDONED || *takes == PLAN_MARKED))
			*takes = PLAN_FITS;
	}
}

static void draft_vm(struct fleet *fleet, struct plan *plan, const struct node *node,
                     struct drain *draft, const struct drain_vm *moved)
{
	struct vm none = { 0 }, *vm = fleet_find_vm(fleet, moved->uuid);
	const struct node *home = vm ? vm->node : NULL;
	struct drain_vm *dv;
	char why[REASON_BYTES];

	if (!vm) {
		text_copy(none.uuid, sizeof(none.uuid), moved->uuid);
		text_copy(none.name, sizeof(none.name), moved->name);
		vm = &none;
	}
	dv = drain_add_vm(draft, home ? home->kept.name : "", vm, moved->memory_bytes);
	if (!judge(node, vm, moved->target, dv)) {
		if (dv->state == DRAIN_VM_MOVING)
			text_copy(dv->target, sizeof(dv->target), node->kept.name);
		return;
	}
	if (plan_pick_target(plan, fleet, vm, node->kept.name, true, change_now(fleet), why))
		text_copy(dv->target, sizeof(dv->target), node->kept.name);
	else
		set(dv, DRAIN_VM_BLOCKED, "%.500s", why);
}

struct drain *bring_back_draft(struct fleet *fleet, const struct node *node)
{
	struct drain *draft = xnew(struct drain), *last = find_last(fleet, node);
	struct drain_counts counts;
	struct plan plan;

	draft->dirty = true; /* in no fleet */
	draft->comes_back = true;
	draft->kept.state = DRAIN_PLANNED;
	text_copy(draft->kept.node, sizeof(draft->kept.node), node->kept.name);
	names_add(&draft->nodes, node->kept.name);
	if (!last)
		return draft;
	draft->kept.number = last->kept.number;
	draft->kept.copy_disks = last->kept.copy_disks;
	draft->kept.strategy = last->kept.strategy;
	draft->kept.max_downtime_ms = last->kept.max_downtime_ms;
	plan_init(&plan, fleet, change_now(fleet));
	open_in_plan(&plan, node);
	for (size_t i = 0; i < last->n_vms; i++) {
		if (last->vms[i].state == DRAIN_VM_MOVED && last->vms[i].migration_number)
			draft_vm(fleet, &plan, node, draft, &last->vms[i]);
	}
	plan_deinit(&plan);
	counts = drain_count(draft);
	drain_judge_amounts(fleet, draft, &counts);
	return draft;
}

void bring_back_start(struct fleet *fleet, struct node *node, struct drain *draft)
{
	struct drain *last = fleet_find_drain(fleet, draft->kept.number);
	size_t count = 0;

	/* Those that wait are tried in the order in which they were asked for. */
	for (size_t i = 0; i < draft->n_vms; i++) {
		struct drain_vm *dv = &draft->vms[i];
		struct vm *vm = fleet_find_vm(fleet, dv->uuid);
		struct migration *m;

		if (dv->state != DRAIN_VM_WAITING || !vm || vm->migration || !vm->node)
			continue;
		m = launch_plan_migration(fleet, vm, last);
		m->kept.back_of = last->kept.number;
		m->kept.drain_number = 0;
		text_copy(m->kept.wanted_target, sizeof(m->kept.wanted_target), node->kept.name);
		vm->retry_ms = 0;
		dv->migration_number = m->kept.number;
		dv->state = DRAIN_VM_MOVING;
		count++;
	}
	if (count)
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name,
		            "%zu guests that drain/%" PRIu64 " had moved away come back to %s",
		            count, last->kept.number, node->kept.name);
	fleet->reconcile_wanted = true;
}
