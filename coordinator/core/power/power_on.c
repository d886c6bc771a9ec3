/* SPDX-License-Identifier: Apache-2.0 */
/* See power.h. Guests that are off after a drain, and their way back on. */
#include "coordinator/core/power/power.h"

#include "common/units.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/policy/policy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An agent that could not start it just now, or was not reached, is asked again after this. */
#define AGAIN_MS ((uint64_t)5000)
/* After an agent has said that it was started its host's list shows it within this. */
#define SHOWS_MS ((uint64_t)5000)

/* --- what an agent has answered --- */

void power_take_outcome(struct fleet *fleet, const struct event *event)
{
	struct drain *drain = fleet_find_drain(fleet, event->power.drain);
	struct shutdown *s = drain ? drain_record_find_shutdown(&drain->kept, event->power.vm_uuid)
	                           : NULL;
	struct power *p = s ? power_of(drain, s) : NULL;

	if (!p || !p->outstanding || s->orders != event->power.number)
		return;
	p->outstanding = false;
	fleet->reconcile_wanted = true;
	switch (event->power.outcome) {
	case CALL_ANSWERED:
		p->answered_ms = change_now(fleet);
		p->unknown = false;
		break;
	case CALL_REFUSED:
		/* libvirt went away in the middle of the call. */
		if (event->power.error.code == ERROR_UNKNOWN_OUTCOME) {
			p->unknown = true;
			break;
		}
		p->refused = event->power.error.code ? event->power.error.code : ERROR_REFUSED;
		p->unknown = false;
		text_copy(p->refusal, sizeof(p->refusal), event->power.error.text);
		break;
	case CALL_NOT_SENT:
	case CALL_UNKNOWN:
		/* The same number: who has carried it out says so. */
		p->unknown = event->power.outcome == CALL_UNKNOWN;
		p->send = true;
		p->retry_ms = change_now(fleet) + AGAIN_MS;
		break;
	}
}

/* --- what became of those that are off --- */

static void note(struct fleet *fleet, struct drain *drain, const struct shutdown *s,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
static void note(struct fleet *fleet, struct drain *drain, const struct shutdown *s,
                 const char *format, ...)
{
	struct drain_vm *dv = drain_find_vm(drain, s->uuid);
	char reason[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	if (dv)
		drain_set_vm(fleet, drain, dv, DRAIN_VM_STOPPED, "", reason);
}

/* Nobody starts it any more: it runs, or has gone. True if so. */
static bool settle(struct fleet *fleet, struct drain *drain, const struct node *node,
                   struct shutdown *s, const struct vm *vm)
{
	const struct sighting *here = vm ? fleet_find_sighting(vm, node) : NULL;
	const struct node *elsewhere = vm ? power_find_elsewhere(vm, node) : NULL;
	bool ours = s->phase == SHUTDOWN_STARTING;

	if (here && vm_state_is_active(&here->state)) {
		power_set(fleet, drain, s, SHUTDOWN_OVER);
		note(fleet, drain, s, "was shut down, and runs on %s again%s", node->kept.name,
		     ours ? "" : ": somebody has started it");
		if (ours)
			change_tell(fleet, SEVERITY_INFO, "vm", s->name, "%s runs on %s again",
			            s->name, node->kept.name);
	} else if (elsewhere) {
		power_set(fleet, drain, s, SHUTDOWN_OVER);
		note(fleet, drain, s, "was shut down; somebody has started it on %s",
		     elsewhere->kept.name);
	} else if (!here) {
		power_set(fleet, drain, s, SHUTDOWN_OVER);
		note(fleet, drain, s, "was shut down; %s has no definition of it any more",
		     node->kept.name);
	} else {
		return false;
	}
	return true;
}

/* --- on --- */

/* A host that could have it, for all that is known. */
static const struct node *find_silent(const struct fleet *fleet, const struct node *home)
{
	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (node != home && !node->kept.fenced && !node_is_sure(node, change_now(fleet)))
			return node;
	}
	return NULL;
}

static void give_up(struct fleet *fleet, struct drain *drain, struct shutdown *s, const char *why)
{
	power_set(fleet, drain, s, SHUTDOWN_OFF);
	note(fleet, drain, s, "%s", why);
	change_tell(fleet, SEVERITY_WARNING, "vm", s->name, "%s %s", s->name, why);
}

/* The order was given: what has come of it? True while it is worth to wait. */
static bool judge_order(struct fleet *fleet, struct drain *drain, struct node *node,
                        struct shutdown *s)
{
	struct power *p = power_of(drain, s);
	uint64_t now_ms = change_now(fleet);
	char why[REASON_BYTES];

	if (p->outstanding || p->send)
		return true;
	if (p->refused == ERROR_BUSY || p->refused == ERROR_UNREACHABLE) {
		note(fleet, drain, s, "waits to be started again: %.400s", p->refusal);
		if (now_ms - p->ordered_ms >= AGAIN_MS)
			power_order(fleet, drain, node, s);
		return true;
	}
	if (p->answered_ms && now_ms - p->answered_ms < SHOWS_MS)
		return true;
	if (p->refused)
		snprintf(why, sizeof(why),
		         "is off, and was not started again: %.300s; when that is mended: drover "
		         "undrain %s --bring-back",
		         p->refusal, node->kept.name);
	else if (p->answered_ms)
		snprintf(why, sizeof(why),
		         "was started, and is off again: /var/log/libvirt/qemu/%.100s.log on %s",
		         s->name, node->kept.name);
	else
		snprintf(why, sizeof(why),
		         "is off, and whether it was started meanwhile is not known; again: drover "
		         "undrain %s --bring-back",
		         node->kept.name);
	give_up(fleet, drain, s, why);
	return false;
}

/* Its order, or a new one. */
static bool may_go_out(const struct power *p)
{
	return !p->outstanding && (p->send || !p->gone_out || p->refused == ERROR_BUSY ||
	                           p->refused == ERROR_UNREACHABLE);
}

static void start(struct fleet *fleet, struct drain *drain, struct node *node, struct shutdown *s,
                  struct vm *vm)
{
	char bar[REASON_BYTES];
	struct power *p = power_of(drain, s);
	const struct node *silent = find_silent(fleet, node);

	assert(vm); /* one that has gone is settled */
	if (node->kept.drain_number || node->kept.maintenance || node->kept.cordoned ||
	    node->kept.fenced) {
		give_up(fleet, drain, s,
		        "is off, and is not started again: its host was closed to guests first");
		return;
	}
	if (!id_is_zero(&s->boot_id) && !p->ordered_ms) {
		/* Of an earlier life of this coordinator: it may have been sent. */
		p->ordered_ms = change_now(fleet);
		p->send = p->gone_out = true;
	}
	if (vm->migration) {
		note(fleet, drain, s,
		     "waits to be started again: migration/%" PRIu64 " of it is not over",
		     vm->migration->kept.number);
		return;
	}
	/* Nor is an order repeated then, though it was given before: if it has not arrived, somebody may
	 * have started the guest there since. */
	if (silent && may_go_out(p)) {
		note(fleet, drain, s,
		     "waits to be started again: %s cannot be asked whether it runs there; if that "
		     "host is dead: drover fence %s",
		     silent->kept.name, silent->kept.name);
		return;
	}
	if (!p->gone_out && policy_find_bar(fleet, vm, node, bar)) {
		note(fleet, drain, s, "waits to be started again: %.400s", bar);
		return;
	}
	vm->starts_on = node;
	if (id_is_zero(&s->boot_id))
		power_order(fleet, drain, node, s);
	fleet->reconcile_wanted = true; /* until it is over, with each tick */
	if (judge_order(fleet, drain, node, s)) {
		power_send(fleet, drain, node, s, ACTION_START_GUEST);
		if (!p->refused)
			note(fleet, drain, s, "is being started again on %s%s", node->kept.name,
			     p->unknown ? "; whether the order has arrived is not known" : "");
	}
}

/* One that goes down a day after a drain that was cancelled does so for its own reasons, and nobody but its
 * owner starts it again. Of an order of an earlier life of ours the time begins anew. */
static void forget_old(struct fleet *fleet, struct drain *drain, struct shutdown *s)
{
	struct power *p = power_of(drain, s);
	uint64_t now_ms = change_now(fleet);

	if (!p->ordered_ms)
		p->ordered_ms = now_ms;
	if (now_ms - p->ordered_ms >= POWER_OURS_MS)
		power_set(fleet, drain, s, SHUTDOWN_OVER);
}

static void watch_one(struct fleet *fleet, struct drain *drain, struct node *node,
                      struct shutdown *s)
{
	struct vm *vm = fleet_find_vm(fleet, s->uuid);
	struct drain_vm *dv = drain_find_vm(drain, s->uuid);

	if (vm && vm->starts_on == node)
		vm->starts_on = NULL;
	switch (s->phase) {
	case SHUTDOWN_ASKED:
		/* Its drain was cancelled meanwhile. */
		if (!dv || !power_see_off(fleet, drain, dv, node))
			forget_old(fleet, drain, s);
		break;
	case SHUTDOWN_OFF:
		(void)settle(fleet, drain, node, s, vm);
		break;
	case SHUTDOWN_STARTING:
		if (!settle(fleet, drain, node, s, vm))
			start(fleet, drain, node, s, vm);
		break;
	default:
		break;
	}
}

void power_watch(struct fleet *fleet)
{
	for (struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		struct node *node;

		if (!drain->kept.n_shutdowns || !drain_state_is_final(drain->kept.state))
			continue;
		node = fleet_find_node(fleet, drain->kept.node);
		/* From a list that may be relied upon, or not at all. */
		for (size_t i = 0;
		     node && node_is_sure(node, change_now(fleet)) && i < drain->kept.n_shutdowns;
		     i++)
			watch_one(fleet, drain, node, &drain->kept.shutdowns[i]);
	}
}

bool power_is_needed(const struct drain_record *drain)
{
	for (size_t i = 0; i < drain->n_shutdowns; i++) {
		enum shutdown_phase phase = drain->shutdowns[i].phase;

		if (phase != SHUTDOWN_ALLOWED && phase != SHUTDOWN_OVER)
			return true;
	}
	return false;
}

/* --- the way back --- */

/* Of that guest, and of the drains of the node since it was last open, the latest that had shut it down. */
static bool is_latest(const struct fleet *fleet, const struct node *node, const struct drain *drain,
                      const struct shutdown *s)
{
	if (strcmp(drain->kept.node, node->kept.name) != 0 || !node->kept.closed_since ||
	    drain->kept.number < node->kept.closed_since || s->phase == SHUTDOWN_ALLOWED)
		return false;
	for (const struct drain *other = fleet->drains; other; other = other->hh.next) {
		const struct shutdown *later = drain_record_find_shutdown(&other->kept, s->uuid);

		if (other->kept.number > drain->kept.number && later &&
		    later->phase != SHUTDOWN_ALLOWED &&
		    strcmp(other->kept.node, node->kept.name) == 0)
			return false;
	}
	return true;
}

void power_list_off(const struct fleet *fleet, const struct node *node, struct names *ret)
{
	for (const struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		for (size_t i = 0; i < drain->kept.n_shutdowns; i++) {
			const struct shutdown *s = &drain->kept.shutdowns[i];

			if (is_latest(fleet, node, drain, s) && s->phase != SHUTDOWN_OVER &&
			    power_is_off(fleet_find_vm(fleet, s->uuid), node))
				names_add(ret, s->name);
		}
	}
}

static void draft_start(const struct fleet *fleet, const struct node *node, struct drain_vm *dv,
                        const struct shutdown *s, uint64_t *room_bytes)
{
	const struct vm *vm = fleet_find_vm(fleet, s->uuid);
	const struct sighting *here = vm ? fleet_find_sighting(vm, node) : NULL;
	const struct node *elsewhere = vm ? power_find_elsewhere(vm, node) : NULL;
	char need[UNITS_TEXT_BYTES], room[UNITS_TEXT_BYTES];

	dv->state = DRAIN_VM_LEFT;
	if (here && vm_state_is_active(&here->state)) {
		snprintf(dv->reason, sizeof(dv->reason), "is on %s again already", node->kept.name);
	} else if (elsewhere) {
		snprintf(dv->reason, sizeof(dv->reason), "somebody has started it on %s",
		         elsewhere->kept.name);
	} else if (!here || strcmp(here->state.state, "shutoff") != 0) {
		snprintf(dv->reason, sizeof(dv->reason), "%s does not list it as shut off",
		         node->kept.name);
	} else if (s->phase == SHUTDOWN_OVER) {
		snprintf(
			dv->reason, sizeof(dv->reason),
			"was started since, and is off again: somebody's doing; virsh start %.100s "
			"on %s",
			s->name, node->kept.name);
	} else if (s->phase == SHUTDOWN_STARTING) {
		dv->state = DRAIN_VM_STARTING;
		snprintf(dv->reason, sizeof(dv->reason), "is being started already");
	} else if (s->need_bytes > *room_bytes) {
		dv->state = DRAIN_VM_BLOCKED;
		snprintf(dv->reason, sizeof(dv->reason), "%s has %s free, and it needs %s",
		         node->kept.name, units_format_bytes(*room_bytes, room),
		         units_format_bytes(s->need_bytes, need));
	} else if (policy_find_bar(fleet, vm, node, dv->reason)) {
		dv->state = DRAIN_VM_BLOCKED;
	} else {
		*room_bytes -= s->need_bytes;
		dv->state = DRAIN_VM_WAITING;
		snprintf(dv->reason, sizeof(dv->reason), "was shut down there, and starts again");
	}
}

void power_draft_way_back(struct fleet *fleet, const struct node *node, struct drain *draft,
                          uint64_t *room_bytes)
{
	for (const struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		for (size_t i = 0; i < drain->kept.n_shutdowns; i++) {
			const struct shutdown *s = &drain->kept.shutdowns[i];
			struct drain_vm *dv;
			struct vm vm = { 0 };

			if (!is_latest(fleet, node, drain, s))
				continue;
			text_copy(vm.uuid, sizeof(vm.uuid), s->uuid);
			text_copy(vm.name, sizeof(vm.name), s->name);
			dv = drain_add_vm(draft, node->kept.name, &vm, s->need_bytes);
			dv->starts = true;
			dv->shut_down_by = drain->kept.number;
			draft_start(fleet, node, dv, s, room_bytes);
			if (dv->state != DRAIN_VM_LEFT)
				text_copy(dv->target, sizeof(dv->target), node->kept.name);
			if (drain->kept.number > draft->kept.number)
				draft->kept.number = drain->kept.number;
		}
	}
}

size_t power_start_way_back(struct fleet *fleet, struct node *node, struct drain *draft)
{
	size_t count = 0;

	for (size_t i = 0; i < draft->n_vms; i++) {
		struct drain_vm *dv = &draft->vms[i];
		struct drain *drain = dv->starts ? fleet_find_drain(fleet, dv->shut_down_by) : NULL;
		struct shutdown *s;
		struct power *p;

		if (!drain || dv->state != DRAIN_VM_WAITING)
			continue;
		s = drain_record_find_shutdown(&drain->kept, dv->uuid);
		p = power_of(drain, s);
		*p = (struct power){ 0 };
		power_restore(drain); /* its guests may have been forgotten */
		s->boot_id = (struct id){ 0 };
		power_set(fleet, drain, s, SHUTDOWN_STARTING);
		note(fleet, drain, s, "is to be started again on %s", node->kept.name);
		dv->state = DRAIN_VM_STARTING;
		count++;
	}
	fleet->reconcile_wanted = true;
	return count;
}
