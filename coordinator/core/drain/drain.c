/* SPDX-License-Identifier: Apache-2.0 */
/* Drains, looked at as a whole: what is there, what may begin, what is still in the way.
 *
 *	look      every active guest of the node -> left, moving, or wants a destination
 *	launch    turn by turn over all drains, in the order of a plan made for that moment
 *	          (drain_plan.h), until slots or room are out
 *	judge     counts, estimate, status; the end, if the host itself counts no guest too many
 *
 * Nothing here rests on what an earlier pass decided, but for the order of turns.
 */
#include "coordinator/core/drain/drain.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/drain/deadline.h"
#include "coordinator/core/drain/drain_plan.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/power/power.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const vm_state_names[] = {
	[DRAIN_VM_WAITING] = "waiting",   [DRAIN_VM_MOVING] = "moving",
	[DRAIN_VM_MOVED] = "moved",       [DRAIN_VM_LEFT] = "left",
	[DRAIN_VM_STOPPED] = "stopped",   [DRAIN_VM_BLOCKED] = "blocked",
	[DRAIN_VM_STOPPING] = "stopping", [DRAIN_VM_STARTING] = "starting",
};
static_assert(ARRAY_SIZE(vm_state_names) == DRAIN_VM_STATES, "a state without a name");

const char *drain_vm_state_name(enum drain_vm_state state)
{
	assert((unsigned)state < DRAIN_VM_STATES);
	return vm_state_names[state];
}

/* --- look --- */

static struct drain_vm *get_vm(struct fleet *fleet, struct drain *drain, const struct sighting *s)
{
	struct drain_vm *dv = drain_find_vm(drain, s->vm->uuid);

	if (!dv) {
		dv = drain_add_vm(drain, drain->kept.node, s->vm, s->state.memory_bytes);
		change_drain(fleet, drain);
	}
	return dv;
}

static void look_at_present(struct fleet *fleet, struct drain *drain, const struct sighting *s)
{
	struct drain_vm *dv = get_vm(fleet, drain, s);
	struct vm *vm = s->vm;
	struct migration *m = vm->migration;
	char reason[REASON_BYTES];

	dv->wants = false;
	if (m && m->kept.holds_slot && strcmp(m->kept.source, drain->kept.node) == 0) {
		dv->migration_number = m->kept.number;
		drain_set_vm(fleet, drain, dv, DRAIN_VM_MOVING, m->kept.target, m->kept.reason);
	} else if (m && m->kept.holds_slot) {
		snprintf(reason, sizeof(reason), "waits: migration/%" PRIu64 " brings it here",
		         m->kept.number);
		drain_set_vm(fleet, drain, dv, DRAIN_VM_WAITING, "", reason);
	} else if (drain_allows(fleet, drain, vm, reason)) {
		drain_set_vm(fleet, drain, dv, DRAIN_VM_LEFT, "", reason);
	} else if (m && (m->kept.drain_number != drain->kept.number ||
	                 m->kept.state != MIGRATION_PLANNED)) {
		snprintf(reason, sizeof(reason), "migration/%" PRIu64 " was asked for already: %s",
		         m->kept.number, m->kept.reason);
		dv->migration_number = m->kept.number;
		drain_set_vm(fleet, drain, dv, DRAIN_VM_WAITING, m->kept.wanted_target, reason);
	} else if (drain_record_find_shutdown(&drain->kept, vm->uuid)) {
		/* When the others have left; power_reconcile sees to it. */
		dv->shuts = true;
	} else {
		dv->wants = true;
	}
}

static void look_at_absent(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                           const struct node *node)
{
	const struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	const struct migration *last = fleet_find_migration(fleet, dv->migration_number);
	const struct sighting *here = vm ? fleet_find_sighting(vm, node) : NULL;

	if (here && vm_state_is_active(&here->state))
		return;
	dv->wants = false;
	if (last && last->kept.holds_slot)
		drain_set_vm(fleet, drain, dv, DRAIN_VM_MOVING, last->kept.target,
		             last->kept.reason);
	else if (last && last->kept.state == MIGRATION_DONE)
		drain_set_vm(fleet, drain, dv, DRAIN_VM_MOVED, last->kept.target, "");
	else if (dv->state == DRAIN_VM_MOVED || power_see_off(fleet, drain, dv, node))
		return;
	else if (vm && vm->node && vm->node != node)
		drain_set_vm(fleet, drain, dv, DRAIN_VM_MOVED, vm->node->kept.name, "");
	else
		drain_set_vm(fleet, drain, dv, DRAIN_VM_STOPPED, "", "no host runs it any more");
}

static void look(struct fleet *fleet, struct drain *drain, struct node *node)
{
	for (struct sighting *s = node->sightings; s; s = s->next) {
		if (vm_state_is_active(&s->state))
			look_at_present(fleet, drain, s);
	}
	/* Absence counts only where the list may be relied on. */
	for (size_t i = 0; node_is_sure(node, change_now(fleet)) && i < drain->n_vms; i++)
		look_at_absent(fleet, drain, &drain->vms[i], node);
}

/* --- launch --- */

static void note_reason(const struct fleet *fleet, const struct drain_vm *dv, char *reason)
{
	const struct migration *last = fleet_find_migration(fleet, dv->migration_number);
	size_t used = strlen(reason);

	if (last &&
	    (last->kept.state == MIGRATION_FAILED || last->kept.state == MIGRATION_CANCELLED))
		snprintf(reason + used, REASON_BYTES - used, "; migration/%" PRIu64 " %s: %s",
		         last->kept.number, migration_state_name(last->kept.state),
		         last->kept.reason);
}

static void take_verdict(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                         const struct vm *vm, enum launch verdict, char *reason)
{
	if (vm->migration)
		dv->migration_number = vm->migration->kept.number;
	if (verdict == LAUNCH_DONE) {
		assert(vm->migration);
		drain_set_vm(fleet, drain, dv, DRAIN_VM_MOVING, vm->migration->kept.target, "");
		return;
	}
	if (verdict == LAUNCH_SETTLES)
		return; /* it is as it was: on its way, and a moment later moved */
	note_reason(fleet, dv, reason);
	if (vm->refusals)
		drain_set_checks(dv, &vm->refusals->checks);
	/* The planned target stays until a better is planned. */
	drain_set_vm(fleet, drain, dv,
	             verdict == LAUNCH_WAITS ? DRAIN_VM_WAITING : DRAIN_VM_BLOCKED,
	             verdict == LAUNCH_WAITS ? dv->target : "", reason);
}

/* A plan that was asked for by its id is carried out in its order. */
static uint64_t get_turn(const struct fleet *fleet, const struct drain_vm *dv)
{
	const struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	const struct migration *m = vm ? vm->migration : NULL;

	if (m && m->kept.state == MIGRATION_PLANNED && m->kept.wanted_target[0])
		return m->kept.number;
	return dv->order ? UINT64_MAX / 2 + dv->order : UINT64_MAX;
}

/* Whose turn it is by the plan; those that it has no place for come last. NULL: nobody wants one. */
static struct drain_vm *pick_next(const struct drain *drain)
{
	struct drain_vm *best = NULL;

	for (size_t i = 0; i < drain->n_vms; i++) {
		struct drain_vm *dv = &drain->vms[i];

		if (dv->wants && (!best || dv->turn < best->turn))
			best = dv;
	}
	return best;
}

/* Lets the next guests of @drain try until one begins. Returns whether one did. */
static bool launch_next(struct fleet *fleet, struct drain *drain, struct plan *plan)
{
	char reason[REASON_BYTES];
	struct drain_vm *dv;

	while ((dv = pick_next(drain))) {
		struct vm *vm = fleet_find_vm(fleet, dv->uuid);
		enum launch verdict;

		dv->wants = false;
		if (!vm)
			continue;
		verdict = launch_try(fleet, vm, drain, plan, dv->planned, reason);
		take_verdict(fleet, drain, dv, vm, verdict, reason);
		if (verdict == LAUNCH_DONE)
			return true;
	}
	return false;
}

static struct drain **list_active(struct fleet *fleet, size_t *ret_count)
{
	struct drain **list = xcalloc(HASH_COUNT(fleet->drains) + 1, sizeof(struct drain *));
	size_t count = 0;

	for (struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		if (!drain_state_is_final(drain->kept.state))
			list[count++] = drain;
	}
	*ret_count = count;
	return list;
}

/* One start per drain and turn: a node with many guests must not starve the others. */
static void launch_turns(struct fleet *fleet, struct drain **list, size_t count)
{
	/* Costly with many hosts, and only an estimate. */
	bool everything = fleet->step->everything;
	struct plan plan;
	size_t idle = 0;

	plan_init(&plan, fleet, change_now(fleet));
	drain_plan_make(fleet, list, count, &plan, false);
	for (size_t d = 0; d < count; d++) {
		for (size_t i = 0; i < list[d]->n_vms; i++)
			list[d]->vms[i].turn = get_turn(fleet, &list[d]->vms[i]);
	}
	while (idle < count) {
		struct drain *drain = list[fleet->drain_turn++ % count];

		if (launch_next(fleet, drain, &plan))
			idle = 0;
		else
			idle++;
	}
	/* Those that wait: where they will probably go. */
	for (size_t d = 0; d < count; d++) {
		for (size_t i = 0; i < list[d]->n_vms; i++) {
			struct drain_vm *dv = &list[d]->vms[i];
			struct vm *vm = fleet_find_vm(fleet, dv->uuid);
			struct plan_node *target;
			char why[REASON_BYTES];

			if (dv->state != DRAIN_VM_WAITING || !vm || !vm->node ||
			    (dv->target[0] && !everything))
				continue;
			target = dv->planned[0] ? NULL
			                        : plan_pick_target(&plan, fleet, vm, NULL, true,
			                                           change_now(fleet), why);
			drain_set_vm(fleet, list[d], dv, dv->state,
			             target ? target->node->kept.name : dv->planned, dv->reason);
		}
	}
	plan_deinit(&plan);
}

/* --- judge --- */

static void set_status(struct fleet *fleet, struct drain *drain, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void set_status(struct fleet *fleet, struct drain *drain, const char *format, ...)
{
	char status[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(status, sizeof(status), format, args);
	va_end(args);
	if (strcmp(status, drain->status) == 0)
		return;
	text_copy(drain->status, sizeof(drain->status), status);
	change_drain(fleet, drain);
}

static const struct drain_vm *find_blocked(const struct drain *drain)
{
	for (size_t i = 0; i < drain->n_vms; i++) {
		if (drain->vms[i].state == DRAIN_VM_BLOCKED)
			return &drain->vms[i];
	}
	return NULL;
}

/* Those that are shut down last, while others have not left. */
static size_t count_held(const struct drain *drain)
{
	size_t n = 0;

	for (size_t i = 0; i < drain->n_vms; i++)
		n += drain->vms[i].held && drain->vms[i].state == DRAIN_VM_WAITING;
	return n;
}

/* ", 1 shutting down, 2 off", or nothing. */
static const char *describe_off(size_t stopping, size_t off, char ret[64])
{
	size_t used = 0;

	ret[0] = '\0';
	if (stopping)
		used += (size_t)snprintf(ret, 64, ", %zu shutting down", stopping);
	if (off)
		snprintf(ret + used, 64 - used, ", %zu off", off);
	return ret;
}

static void finish(struct fleet *fleet, struct drain *drain, struct node *node,
                   const struct drain_counts *counts)
{
	size_t left = counts->by_state[DRAIN_VM_LEFT], moved = counts->by_state[DRAIN_VM_MOVED];
	char off[64];

	describe_off(0, counts->by_state[DRAIN_VM_STOPPED], off);
	drain->kept.left_count = (uint32_t)left;
	if (left)
		set_status(fleet, drain, "%zu moved%s, %zu left on %s", moved, off, left,
		           node->kept.name);
	else
		set_status(fleet, drain, "%s is empty: %zu moved%s", node->kept.name, moved, off);
	intent_end_drain(fleet, node, drain, left ? DRAIN_PARTLY : DRAIN_COMPLETED);
	change_tell_number(fleet, SEVERITY_INFO, "drain", drain->kept.number, "%s: %s",
	                   left ? "partly" : "completed", drain->status);
}

/* The host's own count, made after the mark was durable there, agrees with its list. */
static bool is_confirmed(struct fleet *fleet, struct node *node)
{
	if (!node_is_sure(node, change_now(fleet)))
		return false;
	if (node->mark_counted && node->mark_inventory_sequence == node->inventory_sequence &&
	    node->mark_active_vms == node->active_vms && node->mark.draining)
		return true;
	intent_ask_count(fleet, node);
	return false;
}

static void judge(struct fleet *fleet, struct drain *drain, struct node *node)
{
	struct drain_counts counts = drain_count(drain);
	size_t moving = counts.by_state[DRAIN_VM_MOVING];
	size_t waiting = counts.by_state[DRAIN_VM_WAITING];
	size_t blocked = counts.by_state[DRAIN_VM_BLOCKED];
	size_t left = counts.by_state[DRAIN_VM_LEFT];
	size_t stopping = counts.by_state[DRAIN_VM_STOPPING], held = count_held(drain);
	size_t open = moving + waiting + blocked + stopping;
	enum drain_state state = blocked && !moving && !stopping && waiting == held ? DRAIN_BLOCKED
	                                                                            : DRAIN_RUNNING;
	const struct drain_vm *first = find_blocked(drain);
	char off[64];

	drain_judge_amounts(fleet, drain, &counts);
	if (!node_is_heard(node, change_now(fleet))) {
		set_status(fleet, drain, "%s cannot be reached; its guests wait", node->kept.name);
	} else if (!open && (node->migrations_in || node->migrations_out)) {
		set_status(fleet, drain, "%u migrations still concern %s",
		           node->migrations_in + node->migrations_out, node->kept.name);
	} else if (!open && node->active_vms != left) {
		/* One that is back within moments of its move is not yet looked at again. */
		set_status(fleet, drain, "%s lists %zu active guests, %zu may stay",
		           node->kept.name, node->active_vms, left);
	} else if (!open) {
		if (is_confirmed(fleet, node)) {
			finish(fleet, drain, node, &counts);
			return;
		}
		set_status(fleet, drain, "asks %s whether it is empty", node->kept.name);
	} else if (first) {
		set_status(fleet, drain, "%zu blocked: %s: %.300s", blocked, first->name,
		           first->reason);
	} else {
		set_status(fleet, drain, "%zu moved, %zu moving, %zu waiting%s",
		           counts.by_state[DRAIN_VM_MOVED], moving, waiting,
		           describe_off(stopping, counts.by_state[DRAIN_VM_STOPPED], off));
	}
	deadline_watch(fleet, drain, drain_get_slots(fleet, drain));
	if (state != drain->kept.state) {
		drain->kept.state = state;
		save_drain(fleet, drain);
		/* Each retry leads through "running"; people are told once. */
		if (state == DRAIN_BLOCKED && strcmp(drain->told, drain->status) != 0) {
			text_copy(drain->told, sizeof(drain->told), drain->status);
			change_tell_number(fleet, SEVERITY_WARNING, "drain", drain->kept.number,
			                   "blocked: %s", drain->status);
		}
	}
}

void drain_reconcile_all(struct fleet *fleet)
{
	size_t count;
	struct drain **list = list_active(fleet, &count);

	for (size_t i = 0; i < count; i++)
		look(fleet, list[i], fleet_add_node(fleet, list[i]->kept.node));
	if (count)
		launch_turns(fleet, list, count);
	for (size_t i = 0; i < count; i++)
		power_reconcile(fleet, list[i], fleet_add_node(fleet, list[i]->kept.node));
	for (size_t i = 0; i < count; i++)
		judge(fleet, list[i], fleet_add_node(fleet, list[i]->kept.node));
	free(list);
	power_watch(fleet);
}
