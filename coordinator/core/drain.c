/* SPDX-License-Identifier: Apache-2.0 */
/* Drains, looked at as a whole: what is there, what may begin, what is still in the way.
 *
 *	look      every active guest of the node -> left, moving, or wants a destination
 *	launch    turn by turn over all drains, largest guest first, until slots or room are out
 *	judge     counts, estimate, status; the end, if the host itself counts no guest too many
 *
 * Nothing here rests on what an earlier pass decided, but for the order of turns.
 */
#include "coordinator/core/drain.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/launch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const vm_state_names[] = {
	[DRAIN_VM_WAITING] = "waiting", [DRAIN_VM_MOVING] = "moving",
	[DRAIN_VM_MOVED] = "moved",     [DRAIN_VM_LEFT] = "left",
	[DRAIN_VM_STOPPED] = "stopped", [DRAIN_VM_BLOCKED] = "blocked",
};
static_assert(ARRAY_SIZE(vm_state_names) == DRAIN_VM_STATES, "a state without a name");

const char *drain_vm_state_name(enum drain_vm_state state)
{
	assert((unsigned)state < DRAIN_VM_STATES);
	return vm_state_names[state];
}

struct drain_vm *drain_find_vm(struct drain *drain, const char *uuid)
{
	for (size_t i = 0; i < drain->n_vms; i++) {
		if (strcmp(drain->vms[i].uuid, uuid) == 0)
			return &drain->vms[i];
	}
	return NULL;
}

/* Hardest first: the largest guest has the fewest destinations. */
static struct drain_vm *add_vm(struct drain *drain, const struct vm *vm, uint64_t memory_bytes)
{
	size_t at = 0;

	while (at < drain->n_vms && drain->vms[at].memory_bytes >= memory_bytes)
		at++;
	drain->vms = xreallocarray(drain->vms, drain->n_vms + 1, sizeof(*drain->vms));
	memmove(&drain->vms[at + 1], &drain->vms[at], (drain->n_vms - at) * sizeof(*drain->vms));
	drain->n_vms++;
	drain->vms[at] = (struct drain_vm){ .memory_bytes = memory_bytes };
	text_copy(drain->vms[at].uuid, sizeof(drain->vms[at].uuid), vm->uuid);
	text_copy(drain->vms[at].name, sizeof(drain->vms[at].name), vm->name);
	return &drain->vms[at];
}

static void set_vm(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                   enum drain_vm_state state, const char *target, const char *reason)
{
	if (dv->state == state && strcmp(dv->target, target) == 0 &&
	    strcmp(dv->reason, reason) == 0)
		return;
	dv->state = state;
	text_copy(dv->target, sizeof(dv->target), target);
	text_copy(dv->reason, sizeof(dv->reason), reason);
	change_drain(fleet, drain);
}

static void set_checks(struct drain_vm *dv, const struct checks *checks)
{
	checks_deinit(&dv->checks);
	checks_copy(&dv->checks, checks);
}

/* Cannot leave at all, wherever to: a BLOCK in the guest itself, or larger than any host. */
static bool is_hopeless(const struct fleet *fleet, const struct vm *vm, char *ret_reason)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;

	if (home && checks_find_worst(&home->state.blockers, CHECK_BLOCK)) {
		text_copy(ret_reason, REASON_BYTES, vm->why_not);
		return true;
	}
	return !plan_could_ever_fit(fleet, vm, ret_reason);
}

static bool is_named(const struct drain *drain, const struct vm *vm)
{
	return names_contain(&drain->kept.leave, vm->uuid) ||
	       names_contain(&drain->kept.leave, vm->name);
}

/* May it stay? */
static bool is_allowed(const struct fleet *fleet, const struct drain *drain, const struct vm *vm,
                       char *ret_reason)
{
	if (is_named(drain, vm)) {
		text_copy(ret_reason, REASON_BYTES, "left as asked");
		return true;
	}
	return drain->kept.leave_unmovable && is_hopeless(fleet, vm, ret_reason);
}

/* --- look --- */

static struct drain_vm *get_vm(struct fleet *fleet, struct drain *drain, const struct sighting *s)
{
	struct drain_vm *dv = drain_find_vm(drain, s->vm->uuid);

	if (!dv) {
		dv = add_vm(drain, s->vm, s->state.memory_bytes);
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
		set_vm(fleet, drain, dv, DRAIN_VM_MOVING, m->kept.target, m->kept.reason);
	} else if (m && m->kept.holds_slot) {
		snprintf(reason, sizeof(reason), "waits: migration/%" PRIu64 " brings it here",
		         m->kept.number);
		set_vm(fleet, drain, dv, DRAIN_VM_WAITING, "", reason);
	} else if (is_allowed(fleet, drain, vm, reason)) {
		set_vm(fleet, drain, dv, DRAIN_VM_LEFT, "", reason);
	} else if (m && m->kept.drain_number != drain->kept.number) {
		snprintf(reason, sizeof(reason), "migration/%" PRIu64 " was asked for already: %s",
		         m->kept.number, m->kept.reason);
		dv->migration_number = m->kept.number;
		set_vm(fleet, drain, dv, DRAIN_VM_WAITING, m->kept.wanted_target, reason);
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
		set_vm(fleet, drain, dv, DRAIN_VM_MOVING, last->kept.target, last->kept.reason);
	else if (last && last->kept.state == MIGRATION_DONE)
		set_vm(fleet, drain, dv, DRAIN_VM_MOVED, last->kept.target, "");
	else if (dv->state == DRAIN_VM_MOVED)
		return;
	else if (vm && vm->node && vm->node != node)
		set_vm(fleet, drain, dv, DRAIN_VM_MOVED, vm->node->kept.name, "");
	else
		set_vm(fleet, drain, dv, DRAIN_VM_STOPPED, "", "no host runs it any more");
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
		set_vm(fleet, drain, dv, DRAIN_VM_MOVING, vm->migration->kept.target, "");
		return;
	}
	note_reason(fleet, dv, reason);
	if (vm->refusals)
		set_checks(dv, &vm->refusals->checks);
	/* The planned target stays until a better is planned. */
	set_vm(fleet, drain, dv, verdict == LAUNCH_WAITS ? DRAIN_VM_WAITING : DRAIN_VM_BLOCKED,
	       verdict == LAUNCH_WAITS ? dv->target : "", reason);
}

/* Lets the next guests of @drain try until one begins. Returns whether one did. */
static bool launch_next(struct fleet *fleet, struct drain *drain, struct plan *plan)
{
	char reason[REASON_BYTES];

	for (size_t i = 0; i < drain->n_vms; i++) {
		struct drain_vm *dv = &drain->vms[i];
		struct vm *vm = dv->wants ? fleet_find_vm(fleet, dv->uuid) : NULL;
		enum launch verdict;

		if (!vm)
			continue;
		dv->wants = false;
		verdict = launch_try(fleet, vm, drain, plan, reason);
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
			target = plan_pick_target(&plan, fleet, vm, NULL, true, change_now(fleet),
			                          why);
			set_vm(fleet, list[d], dv, dv->state, target ? target->node->kept.name : "",
			       dv->reason);
		}
	}
	plan_deinit(&plan);
}

/* --- judge --- */

struct counts {
	size_t by_state[DRAIN_VM_STATES];
};

static struct counts count_vms(const struct drain *drain)
{
	struct counts counts = { 0 };

	for (size_t i = 0; i < drain->n_vms; i++)
		counts.by_state[drain->vms[i].state]++;
	return counts;
}

static uint64_t estimate_vm(const struct fleet *fleet, const struct drain *drain,
                            const struct drain_vm *dv)
{
	const struct migration *m = fleet_find_migration(fleet, dv->migration_number);
	const struct node *node = fleet_find_node(fleet, drain->kept.node);
	const struct progress *progress = m ? &m->kept.report.progress : NULL;
	uint64_t whole = plan_estimate_ms(node, dv->memory_bytes,
	                                  drain->kept.bandwidth_bytes_per_s);

	if (dv->state != DRAIN_VM_MOVING || !progress)
		return whole;
	if (progress->eta_known)
		return progress->eta_ms;
	return whole > progress->elapsed_ms ? whole - progress->elapsed_ms : 0;
}

static void judge_amounts(struct fleet *fleet, struct drain *drain, const struct counts *counts)
{
	uint64_t *durations = xcalloc(drain->n_vms + 1, sizeof(*durations));
	uint64_t total = 0, done = 0, eta_ms;
	uint32_t slots = launch_get_parallel(fleet, drain);
	size_t n = 0;

	if (slots > fleet->options.caps.cluster)
		slots = fleet->options.caps.cluster;
	/* Those that move first: they have their slots already. */
	for (int moving = 1; moving >= 0; moving--) {
		for (size_t i = 0; i < drain->n_vms; i++) {
			struct drain_vm *dv = &drain->vms[i];
			bool moves = dv->state == DRAIN_VM_MOVING;

			if (moves != moving || (!moves && dv->state != DRAIN_VM_WAITING))
				continue;
			dv->eta_ms = estimate_vm(fleet, drain, dv);
			durations[n++] = dv->eta_ms;
		}
	}
	for (size_t i = 0; i < drain->n_vms; i++) {
		const struct drain_vm *dv = &drain->vms[i];
		const struct migration *m = fleet_find_migration(fleet, dv->migration_number);

		if (dv->state == DRAIN_VM_LEFT || dv->state == DRAIN_VM_STOPPED)
			continue;
		total += dv->memory_bytes;
		if (dv->state == DRAIN_VM_MOVED)
			done += dv->memory_bytes;
		else if (dv->state == DRAIN_VM_MOVING && m)
			done += dv->memory_bytes / 100 * m->kept.report.progress.percent;
	}
	eta_ms = plan_schedule_ms(durations, n, slots);
	free(durations);

	if (done < drain->bytes_done)
		done = drain->bytes_done; /* a failed move starts anew; shown progress does not */
	if (done > total)
		done = total;
	if (total != drain->bytes_total || done != drain->bytes_done || eta_ms != drain->eta_ms)
		change_drain(fleet, drain);
	drain->bytes_total = total;
	drain->bytes_done = done;
	drain->eta_ms = eta_ms;
	drain->eta_known = !counts->by_state[DRAIN_VM_BLOCKED];
}

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

static void finish(struct fleet *fleet, struct drain *drain, struct node *node,
                   const struct counts *counts)
{
	size_t left = counts->by_state[DRAIN_VM_LEFT], moved = counts->by_state[DRAIN_VM_MOVED];

	drain->kept.left_count = (uint32_t)left;
	if (left)
		set_status(fleet, drain, "%zu moved, %zu left on %s", moved, left, node->kept.name);
	else
		set_status(fleet, drain, "%s is empty: %zu moved", node->kept.name, moved);
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
	struct counts counts = count_vms(drain);
	size_t moving = counts.by_state[DRAIN_VM_MOVING];
	size_t waiting = counts.by_state[DRAIN_VM_WAITING];
	size_t blocked = counts.by_state[DRAIN_VM_BLOCKED];
	enum drain_state state = blocked && !moving && !waiting ? DRAIN_BLOCKED : DRAIN_RUNNING;
	const struct drain_vm *first = find_blocked(drain);

	judge_amounts(fleet, drain, &counts);
	if (!moving && !waiting && !blocked && (node->migrations_in || node->migrations_out)) {
		set_status(fleet, drain, "%u migrations still concern %s",
		           node->migrations_in + node->migrations_out, node->kept.name);
	} else if (!moving && !waiting && !blocked) {
		if (is_confirmed(fleet, node)) {
			finish(fleet, drain, node, &counts);
			return;
		}
		set_status(fleet, drain, "asks %s whether it is empty", node->kept.name);
	} else if (!node_is_heard(node, change_now(fleet))) {
		set_status(fleet, drain,
		           "%s cannot be reached; %zu of its guests are not yet moved",
		           node->kept.name, moving + waiting + blocked);
	} else if (first) {
		set_status(fleet, drain, "%zu blocked: %s: %.300s", blocked, first->name,
		           first->reason);
	} else {
		set_status(fleet, drain, "%zu moved, %zu moving, %zu waiting",
		           counts.by_state[DRAIN_VM_MOVED], moving, waiting);
	}
	if (state != drain->kept.state) {
		drain->kept.state = state;
		save_drain(fleet, drain);
		if (state == DRAIN_BLOCKED)
			change_tell_number(fleet, SEVERITY_WARNING, "drain", drain->kept.number,
			                   "blocked: %s", drain->status);
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
		judge(fleet, list[i], fleet_add_node(fleet, list[i]->kept.node));
	free(list);
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
			dv = add_vm(drain, &vm, m->kept.memory_bytes);
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
		struct counts counts = count_vms(drain);

		snprintf(drain->status, sizeof(drain->status), "%zu moved, %u left",
		         counts.by_state[DRAIN_VM_MOVED], drain->kept.left_count);
		judge_amounts(fleet, drain, &counts);
	}
}

/* --- drafts --- */

static void draft_vm(struct fleet *fleet, struct drain *drain, struct plan *plan,
                     struct drain_vm *dv)
{
	struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	const struct sighting *home = vm ? fleet_find_sighting(vm, vm->node) : NULL;
	struct plan_node *target;
	char reason[REASON_BYTES];

	if (!home)
		return;
	if (is_allowed(fleet, drain, vm, dv->reason)) {
		dv->state = DRAIN_VM_LEFT;
		return;
	}
	if (is_hopeless(fleet, vm, dv->reason)) {
		dv->state = DRAIN_VM_BLOCKED;
		dv->hopeless = true;
		set_checks(dv, &home->state.blockers);
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

struct drain *drain_draft(struct fleet *fleet, const struct drain_record *record)
{
	struct drain *drain = xnew(struct drain);
	struct node *node = fleet_find_node(fleet, record->node);
	struct counts counts;
	struct plan plan;

	assert(node);
	drain_record_copy(&drain->kept, record);
	drain->kept.state = DRAIN_PLANNED;
	drain->dirty = true; /* in no fleet: nobody is to be told of its changes */
	for (struct sighting *s = node->sightings; s; s = s->next) {
		if (vm_state_is_active(&s->state))
			add_vm(drain, s->vm, s->state.memory_bytes);
	}
	plan_init(&plan, fleet, change_now(fleet));
	for (size_t i = 0; i < plan.count; i++) {
		/* The node itself takes none of them back. */
		if (plan.nodes[i].node == node)
			plan.nodes[i].headroom_bytes = 0;
	}
	for (size_t i = 0; i < drain->n_vms; i++)
		draft_vm(fleet, drain, &plan, &drain->vms[i]);
	plan_deinit(&plan);
	counts = count_vms(drain);
	judge_amounts(fleet, drain, &counts);
	return drain;
}
