/* SPDX-License-Identifier: Apache-2.0 */
/* See power.h. Who is asked to shut down, and what comes of it. */
#include "coordinator/core/power/power.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/inventory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MS ((uint64_t)300000)
/* An agent that has refused to ask it is asked again after this. */
#define REFUSED_AGAIN_MS ((uint64_t)30000)

uint64_t power_get_timeout(const struct fleet *fleet, const struct drain_record *drain)
{
	if (drain->shutdown_timeout_ms)
		return drain->shutdown_timeout_ms;
	return fleet->options.shutdown_timeout_ms ? fleet->options.shutdown_timeout_ms
	                                          : TIMEOUT_DEFAULT_MS;
}

/* "5 min", where it is so many. @ret: UNITS_TEXT_BYTES. */
static const char *format_whole(uint64_t ms, char *ret)
{
	if (ms && ms % 60000 == 0)
		snprintf(ret, UNITS_TEXT_BYTES, "%" PRIu64 " min", ms / 60000);
	else
		units_format_duration(ms, ret);
	return ret;
}

/* --- beforehand --- */

bool power_finds_obstacle(const struct sighting *here, char *ret_reason)
{
	const struct vm_state *state = &here->state;
	const char *name = here->vm->name, *node = here->node->kept.name;

	if (!state->persistent)
		snprintf(ret_reason, REASON_BYTES,
		         "is not shut down: it is transient, and its definition would be lost");
	else if (state->no_shutdown[0])
		snprintf(ret_reason, REASON_BYTES, "is not shut down: %s", state->no_shutdown);
	else if (state->foreign_job)
		snprintf(ret_reason, REASON_BYTES,
		         "is not asked to shut down while a job that is not drover's runs on it: "
		         "virsh domjobinfo %s on %s",
		         name, node);
	else if (strcmp(state->state, "running") != 0)
		snprintf(ret_reason, REASON_BYTES,
		         "is %s and cannot shut down: virsh resume %s on %s", state->state, name,
		         node);
	else
		return false;
	return true;
}

int power_check_guest(const struct sighting *here, struct error *err)
{
	const char *name = here->vm->name;

	if (vm_state_is_active(&here->state) && !here->state.persistent)
		return error_set(
			err, ERROR_REFUSED,
			"guest %s is transient: once it is shut down its definition is "
			"lost, and nobody could start it again; keep it first (on %s: virsh "
			"dumpxml %s >%s.xml; virsh define %s.xml), or --leave %s",
			name, here->node->kept.name, name, name, name, name);
	if (here->state.no_shutdown[0])
		return error_set(
			err, ERROR_REFUSED,
			"guest %s would not stay off: %s; change it with virsh edit %s (from "
			"its next start on), or --leave %s",
			name, here->state.no_shutdown, name, name);
	return 0;
}

void power_draft(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                 const struct sighting *here)
{
	char given[UNITS_TEXT_BYTES];

	dv->shuts = true;
	dv->wants = false;
	if (power_finds_obstacle(here, dv->reason)) {
		dv->state = DRAIN_VM_BLOCKED;
		return;
	}
	dv->state = DRAIN_VM_WAITING;
	snprintf(dv->reason, sizeof(dv->reason),
	         "is asked when the others have left, and given %s; off until: drover undrain %s "
	         "--bring-back%s",
	         format_whole(power_get_timeout(fleet, &drain->kept), given), dv->node,
	         here->state.autostart ? "; it has autostart, so a reboot starts it" : "");
}

/* --- orders --- */

struct power *power_of(struct drain *drain, const struct shutdown *s)
{
	if (!drain->power)
		drain->power = xcalloc(drain->kept.n_shutdowns, sizeof(*drain->power));
	return &drain->power[s - drain->kept.shutdowns];
}

void power_set(struct fleet *fleet, struct drain *drain, struct shutdown *s,
               enum shutdown_phase phase)
{
	s->phase = phase;
	save_drain(fleet, drain);
}

void power_order(struct fleet *fleet, struct drain *drain, struct node *node, struct shutdown *s)
{
	struct power *p = power_of(drain, s);

	s->orders++;
	s->boot_id = node->boot_id;
	p->ordered_ms = change_now(fleet);
	p->ticket = change_next_ticket(fleet);
	p->retry_ms = p->answered_ms = 0;
	p->send = true;
	p->outstanding = p->gone_out = p->unknown = false;
	p->refused = ERROR_NONE;
	p->refusal[0] = '\0';
	save_drain(fleet, drain);
}

/* The agent knows from its own copy of the drain whom it may ask, and that nothing may start. */
static bool is_told(const struct drain *drain, const struct node *node, enum action_kind kind)
{
	if (!node->mark_known || node->mark_asked)
		return false;
	if (kind == ACTION_SHUT_DOWN)
		return node->mark.draining && id_equal(&node->mark.drain_id, &drain->kept.id);
	return !node->mark.draining && !node->mark.maintenance && !node->mark.cordoned;
}

void power_send(struct fleet *fleet, struct drain *drain, struct node *node, struct shutdown *s,
                enum action_kind kind)
{
	struct power *p = power_of(drain, s);
	struct action *action;

	if (!p->send || p->outstanding || change_now(fleet) < p->retry_ms ||
	    !change_is_stored(fleet, p->ticket) || !node_is_sure(node, change_now(fleet)) ||
	    !is_told(drain, node, kind))
		return;
	if (!id_equal(&node->boot_id, &s->boot_id)) {
		/* What its predecessor was told it does not know. */
		if (p->gone_out) {
			p->send = false;
			p->unknown = true;
		} else {
			power_order(fleet, drain, node, s);
		}
		return;
	}
	p->send = false;
	p->outstanding = p->gone_out = true;
	node->told_epoch = fleet->epoch;
	action = change_act(fleet, kind);
	action->power = (struct power_call){ .drain = drain->kept.number,
		                             .drain_id = drain->kept.id,
		                             .number = s->orders,
		                             .epoch = fleet->epoch };
	text_copy(action->power.node, sizeof(action->power.node), node->kept.name);
	text_copy(action->power.vm_uuid, sizeof(action->power.vm_uuid), s->uuid);
}

/* An order of an earlier life of this coordinator: it may have been sent. */
static void take_up(struct fleet *fleet, struct drain *drain, const struct shutdown *s)
{
	struct power *p = power_of(drain, s);

	if (p->ordered_ms)
		return;
	p->ordered_ms = p->first_asked_ms = change_now(fleet);
	p->send = p->gone_out = true;
}

/* --- what was asked --- */

static void ask(struct fleet *fleet, struct drain *drain, struct node *node, struct shutdown *s,
                const struct sighting *here)
{
	struct power *p = power_of(drain, s);

	if (!s->asks++) {
		s->asked_wall_ms = fleet->step->wall_ms;
		p->first_asked_ms = change_now(fleet);
		change_tell_number(fleet, SEVERITY_INFO, "drain", drain->kept.number,
		                   "%s is asked to shut down, as it was named", s->name);
	}
	s->phase = SHUTDOWN_ASKED;
	s->need_bytes = vm_state_need_bytes(&here->state);
	power_order(fleet, drain, node, s);
}

/* In whole seconds, and whole minutes later: a text that changes all the time is no news. Over a restart
 * only the wall clock knows. */
static void format_ago(const struct fleet *fleet, const struct shutdown *s, uint64_t since_ms,
                       char *ret)
{
	uint64_t wall_ms = fleet->step->wall_ms;

	if (wall_ms > s->asked_wall_ms && wall_ms - s->asked_wall_ms > since_ms)
		since_ms = wall_ms - s->asked_wall_ms;
	format_whole(since_ms < 60000 ? since_ms / 1000 * 1000 : since_ms / 60000 * 60000, ret);
}

static void judge_asked(struct fleet *fleet, struct drain *drain, struct node *node,
                        struct shutdown *s, struct drain_vm *dv, const struct sighting *here)
{
	struct power *p = power_of(drain, s);
	uint64_t now_ms = change_now(fleet), timeout_ms = power_get_timeout(fleet, &drain->kept);
	char ago[UNITS_TEXT_BYTES], given[UNITS_TEXT_BYTES], times[32] = "", reason[REASON_BYTES];
	uint64_t since_ms;

	take_up(fleet, drain, s);
	if (now_ms - p->ordered_ms >= (p->refused ? REFUSED_AGAIN_MS : timeout_ms) &&
	    !p->outstanding)
		ask(fleet, drain, node, s, here);
	power_send(fleet, drain, node, s, ACTION_SHUT_DOWN);
	since_ms = now_ms - p->first_asked_ms;
	format_ago(fleet, s, since_ms, ago);
	if (s->asks > 1)
		snprintf(times, sizeof(times), ", %u times so far,", s->asks);
	if (p->refused) {
		snprintf(reason, sizeof(reason), "%s has not asked it to shut down: %.400s",
		         node->kept.name, p->refusal);
		drain_set_vm(fleet, drain, dv, DRAIN_VM_BLOCKED, "", reason);
	} else if (since_ms >= timeout_ms) {
		snprintf(reason, sizeof(reason),
		         "was asked to shut down %s ago%s and runs on; look inside it (virsh "
		         "console "
		         "%.100s on %s), or cancel and move it: drover cancel drain/%" PRIu64,
		         ago, times, s->name, node->kept.name, drain->kept.number);
		drain_set_vm(fleet, drain, dv, DRAIN_VM_BLOCKED, "", reason);
	} else {
		snprintf(reason, sizeof(reason), "asked to shut down %s ago, given %s%s", ago,
		         format_whole(timeout_ms, given),
		         p->unknown ? "; whether that has arrived is not known" : "");
		drain_set_vm(fleet, drain, dv, DRAIN_VM_STOPPING, "", reason);
	}
}

/* Those that are not shut down, and are still here. */
static size_t count_others(const struct drain *drain, const struct drain_vm **ret_blocked)
{
	size_t n = 0;

	for (size_t i = 0; i < drain->n_vms; i++) {
		const struct drain_vm *dv = &drain->vms[i];

		if (dv->shuts || (dv->state != DRAIN_VM_WAITING && dv->state != DRAIN_VM_MOVING &&
		                  dv->state != DRAIN_VM_BLOCKED))
			continue;
		n++;
		if (dv->state == DRAIN_VM_BLOCKED)
			*ret_blocked = dv;
	}
	return n;
}

static void look(struct fleet *fleet, struct drain *drain, struct node *node, struct shutdown *s,
                 struct drain_vm *dv, const struct sighting *here)
{
	const struct drain_vm *blocked = NULL;
	size_t others = count_others(drain, &blocked);
	char reason[REASON_BYTES];

	dv->held = false;
	if (s->phase != SHUTDOWN_ALLOWED && s->phase != SHUTDOWN_ASKED) {
		s->asks = 0;
		power_set(fleet, drain, s, SHUTDOWN_ALLOWED);
	}
	if (s->phase == SHUTDOWN_ALLOWED && (others || node->migrations_in)) {
		dv->held = true;
		if (blocked)
			snprintf(reason, sizeof(reason),
			         "waits: is shut down last, and %s has not left: %.300s",
			         blocked->name, blocked->reason);
		else
			snprintf(reason, sizeof(reason),
			         "waits: is shut down last, when %zu more have left",
			         others + node->migrations_in);
		drain_set_vm(fleet, drain, dv, DRAIN_VM_WAITING, "", reason);
	} else if (power_finds_obstacle(here, reason)) {
		drain_set_vm(fleet, drain, dv, DRAIN_VM_BLOCKED, "", reason);
	} else {
		if (s->phase == SHUTDOWN_ALLOWED)
			ask(fleet, drain, node, s, here);
		judge_asked(fleet, drain, node, s, dv, here);
	}
}

void power_reconcile(struct fleet *fleet, struct drain *drain, struct node *node)
{
	for (size_t i = 0; i < drain->kept.n_shutdowns; i++) {
		struct shutdown *s = &drain->kept.shutdowns[i];
		const struct vm *vm = fleet_find_vm(fleet, s->uuid);
		const struct sighting *here = vm ? fleet_find_sighting(vm, node) : NULL;
		struct drain_vm *dv = drain_find_vm(drain, s->uuid);

		/* One that somebody moves is that migration's. */
		if (!dv || !here || !vm_state_is_home(&here->state) || vm->migration ||
		    dv->state == DRAIN_VM_LEFT || !node_is_sure(node, change_now(fleet)))
			continue;
		look(fleet, drain, node, s, dv, here);
	}
}

/* --- off --- */

const struct node *power_find_elsewhere(const struct vm *vm, const struct node *node)
{
	for (const struct sighting *s = vm->sightings; s; s = s->next_vm) {
		if (s->node != node && !s->node->kept.fenced && vm_state_is_active(&s->state))
			return s->node;
	}
	return NULL;
}

bool power_is_off(const struct vm *vm, const struct node *node)
{
	const struct sighting *here = vm ? fleet_find_sighting(vm, node) : NULL;

	return here && strcmp(here->state.state, "shutoff") == 0 && !power_find_elsewhere(vm, node);
}

bool power_see_off(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                   const struct node *node)
{
	struct shutdown *s = drain_record_find_shutdown(&drain->kept, dv->uuid);
	char reason[REASON_BYTES], took[UNITS_TEXT_BYTES];
	struct power *p;

	if (!s || (s->phase != SHUTDOWN_ASKED && s->phase != SHUTDOWN_OFF) ||
	    !power_is_off(fleet_find_vm(fleet, dv->uuid), node))
		return false;
	p = power_of(drain, s);
	if (s->phase == SHUTDOWN_ASKED) {
		s->off_wall_ms = fleet->step->wall_ms;
		power_set(fleet, drain, s, SHUTDOWN_OFF);
		p->send = false;
		if (p->first_asked_ms)
			change_tell_number(
				fleet, SEVERITY_INFO, "drain", drain->kept.number,
				"%s has shut down, %s after it was asked", s->name,
				units_format_duration(change_now(fleet) - p->first_asked_ms, took));
	}
	snprintf(reason, sizeof(reason),
	         "shut down as asked; to start it there again: drover undrain %s --bring-back",
	         node->kept.name);
	drain_set_vm(fleet, drain, dv, DRAIN_VM_STOPPED, "", reason);
	return true;
}

void power_restore(struct drain *drain)
{
	for (size_t i = 0; i < drain->kept.n_shutdowns; i++) {
		const struct shutdown *s = &drain->kept.shutdowns[i];
		struct drain_vm *dv = drain_find_vm(drain, s->uuid);
		struct vm vm = { 0 };

		if (s->phase == SHUTDOWN_ALLOWED)
			continue;
		if (!dv) {
			text_copy(vm.uuid, sizeof(vm.uuid), s->uuid);
			text_copy(vm.name, sizeof(vm.name), s->name);
			dv = drain_add_vm(drain, drain->kept.node, &vm, s->need_bytes);
		}
		dv->shuts = true;
		dv->state = s->phase == SHUTDOWN_ASKED ? DRAIN_VM_STOPPING : DRAIN_VM_STOPPED;
	}
}

void power_describe_asked(const struct drain *drain, char *ret, size_t bytes)
{
	size_t n = 0, used = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < drain->kept.n_shutdowns && used < bytes; i++) {
		if (drain->kept.shutdowns[i].phase == SHUTDOWN_ASKED)
			used += (size_t)snprintf(ret + used, bytes - used, "%s%.60s",
			                         n++ ? ", " : "; ", drain->kept.shutdowns[i].name);
	}
	if (n && used < bytes)
		snprintf(ret + used, bytes - used, " %s asked to shut down and may still do so",
		         n == 1 ? "was" : "were");
}
