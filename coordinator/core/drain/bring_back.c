/* SPDX-License-Identifier: Apache-2.0 */
/* See bring_back.h. */
#include "coordinator/core/drain/bring_back.h"

#include "common/alloc.h"
#include "coordinator/core/drain/drain_policies.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/power/power.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guest that has left the node since it has been closed to guests: by its latest move from there. */
struct leave {
	const struct migration *move;
	struct drain *drain; /* that has moved it; NULL: somebody has placed it elsewhere */
};

/* @ret: undefined when false. */
static bool read_leave(const struct fleet *fleet, const struct node *node,
                       const struct migration *m, struct leave *ret)
{
	const struct drain *first = fleet_find_drain(fleet, node->kept.closed_since);

	if (!first || m->kept.state != MIGRATION_DONE ||
	    strcmp(m->kept.source, node->kept.name) != 0)
		return false;
	*ret = (struct leave){ .move = m };
	if (!m->kept.drain_number)
		return m->kept.ended_wall_ms >= first->kept.created_wall_ms;
	ret->drain = m->kept.drain_number >= first->kept.number
	                     ? fleet_find_drain(fleet, m->kept.drain_number)
	                     : NULL;
	return ret->drain;
}

static bool find_leave(const struct fleet *fleet, const struct node *node, const char *uuid,
                       struct leave *ret)
{
	bool found = false;

	for (const struct migration *m = fleet->migrations; m; m = m->hh.next) {
		struct leave leave;

		if (strcmp(m->kept.vm_uuid, uuid) != 0 || !read_leave(fleet, node, m, &leave) ||
		    (found && m->kept.number < ret->move->kept.number))
			continue;
		*ret = leave;
		found = true;
	}
	return found;
}

bool bring_back_needs(const struct fleet *fleet, const struct migration *m, bool all_listed)
{
	const struct node *node = fleet_find_node(fleet, m->kept.source);
	const struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	struct leave leave;

	/* One that has moved on since does not come by itself. */
	if (!node || !node->kept.closed_since || !read_leave(fleet, node, m, &leave))
		return false;
	if (!vm)
		return !all_listed;
	return vm->migration || !vm->node || strcmp(vm->node->kept.name, m->kept.target) == 0;
}

/* The largest first: it has the most need of room. */
static int compare_leaves(const void *a, const void *b)
{
	const struct migration_record *x = &((const struct leave *)a)->move->kept;
	const struct migration_record *y = &((const struct leave *)b)->move->kept;

	if (x->memory_bytes != y->memory_bytes)
		return x->memory_bytes > y->memory_bytes ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

/* By guest, its latest move first. */
static int compare_moves(const void *a, const void *b)
{
	const struct migration_record *x = &((const struct leave *)a)->move->kept;
	const struct migration_record *y = &((const struct leave *)b)->move->kept;
	int order = strcmp(x->vm_uuid, y->vm_uuid);

	return order ? order : x->number > y->number ? -1 : 1;
}

/* free(*ret). */
static size_t list_leaves(const struct fleet *fleet, const struct node *node, struct leave **ret)
{
	struct leave *list = xcalloc(HASH_COUNT(fleet->migrations) + 1, sizeof(*list));
	size_t all = 0, count = 0;

	for (const struct migration *m = fleet->migrations; m; m = m->hh.next)
		all += read_leave(fleet, node, m, &list[all]);
	qsort(list, all, sizeof(*list), compare_moves);
	for (size_t i = 0; i < all; i++) {
		if (i == 0 ||
		    strcmp(list[i].move->kept.vm_uuid, list[i - 1].move->kept.vm_uuid) != 0)
			list[count++] = list[i];
	}
	qsort(list, count, sizeof(*list), compare_leaves);
	*ret = list;
	return count;
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

/* Whether it comes, but for room. */
static bool judge(const struct node *node, const struct vm *vm, const struct leave *leave,
                  struct drain_vm *dv)
{
	const char *put = leave->move->kept.target;
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
	} else if (!leave->drain) {
		set(dv, DRAIN_VM_LEFT,
		    "migration/%" PRIu64
		    " has put it on %s, and no drain: somebody wants it there; to bring it: "
		    "drover migrate %.100s --to %s",
		    leave->move->kept.number, put, vm->name, node->kept.name);
	} else if (!vm->movable) {
		set(dv, DRAIN_VM_BLOCKED, "%.500s", vm->why_not);
	} else {
		dv->state = DRAIN_VM_WAITING;
		return true;
	}
	return false;
}

/* The node as it is once it takes guests again; returns the room there that is left in @plan. */
static uint64_t *open_in_plan(struct plan *plan, const struct node *node)
{
	uint64_t *room_bytes = NULL;

	for (size_t i = 0; i < plan->count; i++) {
		enum plan_refusal *takes = &plan->nodes[i].takes;

		if (plan->nodes[i].node == node &&
		    (*takes == PLAN_DRAINING || *takes == PLAN_MAINTENANCE ||
		     *takes == PLAN_CORDONED || *takes == PLAN_MARKED))
			*takes = PLAN_FITS;
		if (plan->nodes[i].node == node)
			room_bytes = &plan->nodes[i].headroom_bytes;
	}
	return room_bytes;
}

static void draft_vm(struct fleet *fleet, const struct node *node, struct drain *draft,
                     const struct leave *leave)
{
	const struct migration_record *move = &leave->move->kept;
	struct vm none = { 0 }, *vm = fleet_find_vm(fleet, move->vm_uuid);
	const struct node *home = vm ? vm->node : NULL;
	struct drain_vm *dv;

	if (!vm) {
		text_copy(none.uuid, sizeof(none.uuid), move->vm_uuid);
		text_copy(none.name, sizeof(none.name), move->vm_name);
		vm = &none;
	}
	dv = drain_add_vm(draft, home ? home->kept.name : "", vm, move->memory_bytes);
	if (!judge(node, vm, leave, dv) && dv->state == DRAIN_VM_MOVING)
		text_copy(dv->target, sizeof(dv->target), node->kept.name);
}

/* One after the other: each takes room, and counts in what policies say of those after it. */
static void place_vm(struct fleet *fleet, struct plan *plan, const struct node *node,
                     struct drain_vm *dv)
{
	const struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	char why[REASON_BYTES];

	if (dv->starts || dv->state != DRAIN_VM_WAITING || !vm)
		return;
	if (plan_pick_target(plan, fleet, vm, node->kept.name, true, change_now(fleet), why))
		text_copy(dv->target, sizeof(dv->target), node->kept.name);
	else
		set(dv, DRAIN_VM_BLOCKED, "%.500s", why);
}

/* What is said of the whole is of the latest that has moved a guest: one that found the node empty has
 * changed nothing. */
static void take_wishes(struct drain *draft, const struct node *node, const struct leave *list,
                        size_t count)
{
	const struct drain *last = NULL;

	for (size_t i = 0; i < count; i++) {
		if (list[i].drain && (!last || list[i].drain->kept.number > last->kept.number))
			last = list[i].drain;
	}
	draft->kept.number = last ? last->kept.number : count ? node->kept.closed_since : 0;
	if (!last)
		return;
	draft->kept.copy_disks = last->kept.copy_disks;
	draft->kept.strategy = last->kept.strategy;
	draft->kept.max_downtime_ms = last->kept.max_downtime_ms;
}

struct drain *bring_back_draft(struct fleet *fleet, const struct node *node)
{
	struct drain *draft = xnew(struct drain);
	struct drain_counts counts;
	uint64_t *room_bytes;
	struct leave *list;
	size_t count = list_leaves(fleet, node, &list);
	struct plan plan;

	draft->dirty = true; /* in no fleet */
	draft->comes_back = true;
	draft->kept.state = DRAIN_PLANNED;
	text_copy(draft->kept.node, sizeof(draft->kept.node), node->kept.name);
	names_add(&draft->nodes, node->kept.name);
	take_wishes(draft, node, list, count);
	plan_init(&plan, fleet, change_now(fleet));
	room_bytes = open_in_plan(&plan, node);
	fleet->draft = draft; /* those that come count for those that come after them */
	for (size_t i = 0; i < count; i++)
		draft_vm(fleet, node, draft, &list[i]);
	/* They are off: nothing else is waited for that long. */
	if (room_bytes)
		power_draft_way_back(fleet, node, draft, room_bytes);
	for (size_t i = 0; i < draft->n_vms; i++)
		place_vm(fleet, &plan, node, &draft->vms[i]);
	drain_policies_tell_broken(fleet, draft);
	fleet->draft = NULL;
	plan_deinit(&plan);
	free(list);
	counts = drain_count(draft);
	drain_judge_amounts(fleet, draft, &counts);
	return draft;
}

void bring_back_start(struct fleet *fleet, struct node *node, struct drain *draft)
{
	size_t count = 0, started = power_start_way_back(fleet, node, draft);

	/* Those that wait are tried in the order in which they were asked for. */
	for (size_t i = 0; i < draft->n_vms; i++) {
		struct drain_vm *dv = &draft->vms[i];
		struct vm *vm = fleet_find_vm(fleet, dv->uuid);
		struct migration *m;
		struct leave leave = { 0 };

		if (dv->starts || dv->state != DRAIN_VM_WAITING || !vm || vm->migration ||
		    !vm->node || !find_leave(fleet, node, dv->uuid, &leave) || !leave.drain)
			continue;
		m = launch_plan_migration(fleet, vm, leave.drain);
		m->kept.back_of = leave.drain->kept.number;
		m->kept.drain_number = 0;
		text_copy(m->kept.wanted_target, sizeof(m->kept.wanted_target), node->kept.name);
		vm->retry_ms = 0;
		dv->migration_number = m->kept.number;
		dv->state = DRAIN_VM_MOVING;
		count++;
	}
	if (count)
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name,
		            "%zu guests that drain/%" PRIu64 "%s had moved away come back to %s",
		            count, draft->kept.number,
		            draft->kept.number != node->kept.closed_since ? " and those before it"
		                                                          : "",
		            node->kept.name);
	if (started)
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name,
		            "%zu guests that a drain had shut down on %s are started again",
		            started, node->kept.name);
	fleet->reconcile_wanted = true;
}
