/* SPDX-License-Identifier: Apache-2.0 */
/* Orders about a guest's power: it is asked to shut down, or started. Nothing here ends a guest.
 *
 *	ShutDownGuest --> does our own mark name it? --> libvirt asks it -----------------> reply
 *	StartGuest ----> may it start? --> how large? --> room held --> libvirt starts it
 *	                                                  --> a newer list --> room given back, reply
 *
 * The permission to shut down is this host's durable copy of the drain, which names each guest: a
 * coordinator that errs, or another one, stops nobody (invariant I14). The room for a guest that starts,
 * memory, vCPUs and huge pages, is counted from before its start until libvirt lists it (invariant I2): of a
 * start and a migration to here that want the same room one is refused.
 *
 * An order is carried out once: its number is remembered for as long as this agent lives. Coordinators
 * repeat one only to the agent that they gave it to, which its boot id tells. Owner thread, but for
 * libvirt's calls. Those to shut down have threads of their own, fewer than a connection to libvirt
 * serves: of a guest's agent that hangs libvirt waits for a minute. */
#include "agent/host/power.h"

#include "agent/host/hugepages.h"
#include "agent/source/source.h"
#include "agent/target/target.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS_KEPT 256
#define SHUT_DOWNS  2 /* at a time */

enum power_kind { POWER_SHUT_DOWN, POWER_START };

struct power_order {
	enum power_kind kind;
	struct id drain_id;
	char vm_uuid[VM_UUID_BYTES];
	uint32_t number;
	struct agent *agent;
	struct mesh_incoming *in; /* who waits; NULL: nobody (any more) */
	bool over;
	bool holds;              /* room is held for it */
	uint64_t wanted_reading; /* 0 = none is waited for */
	atomic_bool withdrawn;   /* to shut down: our mark names it no more */
	struct error error;      /* over: why it was not done; code 0: it was */
	struct power_order *next;
};

struct power_errand {
	struct errand errand;
	struct power_order *order;
	struct hypervisor *hypervisor;
	char vm_uuid[VM_UUID_BYTES];
	/* To start: what it needs, and of what this host has. */
	struct vm_description vm;
	struct hugepage_finding hugepages;
	uint32_t cpus;
	int rc;
	struct error error;
};

/* --- answers --- */

static const char *state_of(struct agent *agent, const char *uuid)
{
	const struct inventory_vm *vm = inventory_find(&agent->inventory, uuid);

	return vm ? vm_run_state_name(vm->summary.state) : "";
}

static void answer(struct agent *agent, struct mesh_incoming *in, const char *uuid, bool already,
                   const struct error *err)
{
	Drover__V1__GuestPowerReply reply = DROVER__V1__GUEST_POWER_REPLY__INIT;

	if (err && err->code != ERROR_NONE) {
		mesh_fail_error(in, err);
		return;
	}
	reply.already = already;
	reply.state = (char *)state_of(agent, uuid);
	mesh_reply(in, &reply.base);
}

static void nobody_waits(void *context)
{
	((struct power_order *)context)->in = NULL;
}

static void conclude(struct power_order *o, const struct error *err)
{
	struct mesh_incoming *in = take_pointer(o->in);

	o->over = true;
	o->wanted_reading = 0;
	if (err)
		o->error = *err;
	if (o->holds)
		reservations_unhold(o->agent->reservations, o->vm_uuid);
	o->holds = false;
	if (in)
		answer(o->agent, in, o->vm_uuid, false, &o->error);
}

/* --- orders --- */

static struct power_order *find(struct agent *agent, const struct power_order *like)
{
	for (struct power_order *o = agent->power_orders; o; o = o->next) {
		if (o->kind == like->kind && o->number == like->number &&
		    id_equal(&o->drain_id, &like->drain_id) &&
		    strcmp(o->vm_uuid, like->vm_uuid) == 0)
			return o;
	}
	return NULL;
}

static void forget_old(struct agent *agent)
{
	struct power_order **at = &agent->power_orders;
	size_t n = 0;

	while (*at) {
		struct power_order *o = *at;

		if (++n <= ORDERS_KEPT || !o->over) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		free(o);
	}
}

/* Another one than @than. */
static bool is_under_way(const struct agent *agent, const struct power_order *than,
                         const char **ret_what)
{
	for (const struct power_order *o = agent->power_orders; o; o = o->next) {
		if (o == than || o->over || strcmp(o->vm_uuid, than->vm_uuid) != 0)
			continue;
		*ret_what = o->kind == POWER_START ? "being started" : "being asked to shut down";
		return true;
	}
	return false;
}

static int read_order(const Drover__V1__GuestPowerRequest *r, struct power_order *ret,
                      struct error *err)
{
	if (id_from_bytes(r->drain_id.data, r->drain_id.len, &ret->drain_id) < 0)
		return error_set(err, ERROR_INVALID, "a drain id has 16 bytes, not %zu",
		                 r->drain_id.len);
	if (strlen(r->vm_uuid) != VM_UUID_BYTES - 1)
		return error_set(err, ERROR_INVALID, "\"%.64s\" is not a UUID", r->vm_uuid);
	if (!r->number)
		return error_set(err, ERROR_INVALID, "orders are counted from 1");
	memcpy(ret->vm_uuid, r->vm_uuid, sizeof(ret->vm_uuid));
	ret->number = r->number;
	return 0;
}

/* What stands against either. @ret_vm: borrowed. */
static int check_guest(struct agent *agent, const struct power_order *o,
                       const struct inventory_vm **ret_vm, struct error *err)
{
	const struct inventory_vm *vm = inventory_find(&agent->inventory, o->vm_uuid);
	const char *what;

	if (agent->safe_mode)
		return error_set(err, ERROR_REFUSED, "the agent of %s %s", agent->settings->node,
		                 agent->problem.text);
	if (!agent->inventory.valid)
		return error_set(err, ERROR_UNREACHABLE, "libvirt on %s does not answer: %s",
		                 agent->settings->node, agent->inventory.problem.text);
	if (!vm)
		return error_set(err, ERROR_NOT_FOUND, "%s has no guest %s", agent->settings->node,
		                 o->vm_uuid);
	if (source_find_vm(agent, o->vm_uuid))
		return error_set(err, ERROR_BUSY, "guest %s is being migrated", vm->summary.name);
	if (reservations_find_vm(agent->reservations, o->vm_uuid))
		return error_set(err, ERROR_BUSY, "guest %s is on its way here by a migration",
		                 vm->summary.name);
	if (is_under_way(agent, o, &what))
		return error_set(err, ERROR_BUSY, "guest %s is %s already", vm->summary.name, what);
	*ret_vm = vm;
	return 0;
}

static bool is_named(const struct journal_drain_mark *mark, const struct power_order *o)
{
	for (size_t i = 0;
	     mark->draining && id_equal(&mark->drain_id, &o->drain_id) && i < mark->n_shut_down;
	     i++) {
		if (strcmp(mark->shut_down[i], o->vm_uuid) == 0)
			return true;
	}
	return false;
}

static int may_shut_down(struct agent *agent, const struct power_order *o, struct error *err)
{
	const struct inventory_vm *vm;

	if (check_guest(agent, o, &vm, err) < 0)
		return -(int)err->code;
	if (is_named(&agent->drain_mark, o))
		return 0;
	return error_set(err, ERROR_REFUSED,
	                 "%s knows no drain that may shut down guest %s: nobody has named it",
	                 agent->settings->node, vm->summary.name);
}

static int may_start(struct agent *agent, const struct power_order *o, struct error *err)
{
	const struct journal_drain_mark *mark = &agent->drain_mark;
	const struct inventory_vm *vm;

	if (check_guest(agent, o, &vm, err) < 0)
		return -(int)err->code;
	if (mark->draining || mark->maintenance)
		return error_set(err, ERROR_REFUSED, "%s is %s: nothing is started there",
		                 agent->settings->node,
		                 mark->draining ? "being drained" : "in maintenance");
	if (!vm->summary.persistent)
		return error_set(err, ERROR_REFUSED, "%s has no definition of guest %s",
		                 agent->settings->node, vm->summary.name);
	return 0;
}

/* NULL: it was refused or done before, and @in is answered. */
static struct power_order *take_order(struct agent *agent, struct mesh_incoming *in,
                                      const Drover__V1__GuestPowerRequest *request,
                                      enum power_kind kind)
{
	struct power_order order = { .kind = kind, .agent = agent }, *o;
	struct error err;

	if (read_order(request, &order, &err) < 0 ||
	    agent_see_epoch(agent, request->epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		return NULL;
	}
	o = find(agent, &order);
	if (o) {
		answer(agent, in, o->vm_uuid, true, o->over ? &o->error : NULL);
		return NULL;
	}
	if ((kind == POWER_START ? may_start : may_shut_down)(agent, &order, &err) < 0) {
		mesh_fail_error(in, &err);
		return NULL;
	}
	o = xnew(struct power_order);
	*o = order;
	o->in = in;
	o->next = agent->power_orders;
	agent->power_orders = o;
	forget_old(agent);
	mesh_incoming_on_cancel(in, nobody_waits, o);
	return o;
}

static void send_errand(struct power_order *o, struct courier_pool *couriers,
                        void (*work)(struct errand *e), void (*done)(struct errand *e))
{
	struct power_errand *p = xnew(struct power_errand);

	p->errand.work = work;
	p->errand.done = done;
	p->order = o;
	p->hypervisor = o->agent->hypervisor;
	memcpy(p->vm_uuid, o->vm_uuid, sizeof(p->vm_uuid));
	courier_send(couriers, &p->errand);
}

/* --- off --- */

static void shut_down_work(struct errand *e)
{
	struct power_errand *p = (struct power_errand *)e;

	/* Others may have hung for minutes before it. */
	if (atomic_load(&p->order->withdrawn))
		p->rc = error_set(&p->error, ERROR_REFUSED,
		                  "the drain that was to shut it down is over");
	else
		p->rc = p->hypervisor->ops->shut_down(p->hypervisor, p->vm_uuid, &p->error);
}

static void shut_down_done(struct errand *e)
{
	struct power_errand *p = (struct power_errand *)e;

	if (p->rc < 0)
		log_warning("guest %s was not asked to shut down: %s", p->vm_uuid, p->error.text);
	else
		log_info("guest %s was asked to shut down for a drain", p->vm_uuid);
	conclude(p->order, p->rc < 0 ? &p->error : NULL);
	free(p);
}

void power_shut_down(struct agent *agent, struct mesh_incoming *in,
                     const Drover__V1__GuestPowerRequest *request)
{
	struct power_order *o = take_order(agent, in, request, POWER_SHUT_DOWN);

	if (!o)
		return;
	if (!agent->power_couriers)
		agent->power_couriers = courier_pool_new(agent->loop, SHUT_DOWNS);
	send_errand(o, agent->power_couriers, shut_down_work, shut_down_done);
}

void power_marked(struct agent *agent)
{
	for (struct power_order *o = agent->power_orders; o; o = o->next) {
		if (o->kind == POWER_SHUT_DOWN && !o->over && !is_named(&agent->drain_mark, o))
			atomic_store(&o->withdrawn, true);
	}
}

/* --- on --- */

bool power_is_starting(const struct agent *agent)
{
	for (const struct power_order *o = agent->power_orders; o; o = o->next) {
		if (o->kind == POWER_START && !o->over)
			return true;
	}
	return false;
}

static void start_work(struct errand *e)
{
	struct power_errand *p = (struct power_errand *)e;

	p->rc = p->hypervisor->ops->start(p->hypervisor, p->vm_uuid, &p->error);
}

static void start_done(struct errand *e)
{
	struct power_errand *p = (struct power_errand *)e;
	struct power_order *o = p->order;
	struct inventory *inv = &o->agent->inventory;

	if (p->rc < 0) {
		log_warning("guest %s was not started: %s", p->vm_uuid, p->error.text);
		conclude(o, &p->error);
		inventory_refresh(inv); /* a mark may wait for it */
	} else {
		log_info("guest %s was started again, after a drain", p->vm_uuid);
		/* A reading that is under way began before. */
		o->wanted_reading = inv->readings + (inv->reading ? 2 : 1);
		inventory_refresh(inv);
	}
	free(p);
}

/* It was shut down: what was saved is somebody's doing since, or as old as the disks are not. */
static int check_saved(const struct vm_description *d, struct error *err)
{
	for (size_t i = 0; i < d->blockers.count; i++) {
		if (strcmp(d->blockers.items[i].id, "guest/managed-save") == 0)
			return error_set(
				err, ERROR_REFUSED,
				"guest %s has a saved image, and its start would go on from "
				"that; if that is wanted: virsh start %s; if not: virsh "
				"managedsave-remove %s",
				d->summary.name, d->summary.name, d->summary.name);
	}
	return 0;
}

static void size_work(struct errand *e)
{
	struct power_errand *p = (struct power_errand *)e;
	struct host_facts facts = { 0 };

	p->rc = p->hypervisor->ops->describe(p->hypervisor, p->vm_uuid, &p->vm, &p->error);
	vm_description_deinit(&p->vm); /* it keeps its numbers */
	if (p->rc == 0)
		p->rc = check_saved(&p->vm, &p->error);
	if (p->rc == 0)
		p->rc = p->hypervisor->ops->host_facts(p->hypervisor, &facts, &p->error);
	if (p->rc < 0)
		return;
	p->cpus = facts.cpus;
	if (p->vm.hugepage_bytes || p->vm.n_bindings)
		hugepages_measure("", p->vm.hugepage_bytes, &p->hugepages);
}

/* Looking and taking are one step, here on the owner's thread. */
static int hold_room(struct power_order *o, const struct power_errand *p, struct error *err)
{
	struct agent *agent = o->agent;
	const struct vm_description *vm = &p->vm;
	struct held_room want = { .memory_bytes = vm->summary.memory_bytes + vm->overhead_bytes,
		                  .vcpus = vm->summary.vcpus,
		                  .page_bytes = vm->hugepage_bytes };
	struct admission_input in = {
		.vm = vm,
		.hugepages = p->hugepages,
		.hugepages_promised_bytes = reservations_get_pages(agent->reservations,
		                                                   vm->hugepage_bytes),
		.vcpus = target_count_vcpus(agent, p->cpus),
	};

	memcpy(want.vm_uuid, o->vm_uuid, sizeof(want.vm_uuid));
	if (admission_check_start(&in, err) < 0 ||
	    reservations_hold(agent->reservations, &want, err) < 0)
		return -(int)err->code;
	o->holds = true;
	return 0;
}

static void size_done(struct errand *e)
{
	struct power_errand *p = (struct power_errand *)e;
	struct power_order *o = p->order;
	struct error err;

	/* Whether it still may: libvirt may have taken its time, and a drain has begun. */
	if (p->rc < 0)
		conclude(o, &p->error);
	else if (may_start(o->agent, o, &err) < 0 || hold_room(o, p, &err) < 0)
		conclude(o, &err);
	else
		send_errand(o, o->agent->couriers, start_work, start_done);
	free(p);
}

void power_start(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__GuestPowerRequest *request)
{
	struct power_order *o = take_order(agent, in, request, POWER_START);
	const struct inventory_vm *vm = o ? inventory_find(&agent->inventory, o->vm_uuid) : NULL;

	if (!o)
		return;
	if (vm->summary.active)
		conclude(o, NULL);
	else
		send_errand(o, agent->couriers, size_work, size_done);
}

void power_guests_listed(struct agent *agent)
{
	/* Without a valid list the room stays held: the guest may well run. */
	for (struct power_order *o = agent->power_orders; o && agent->inventory.valid;
	     o = o->next) {
		if (o->wanted_reading && agent->inventory.readings >= o->wanted_reading)
			conclude(o, NULL);
	}
}

void power_stop(struct agent *agent)
{
	courier_pool_free(agent->power_couriers);
	agent->power_couriers = NULL;
}

void power_free(struct agent *agent)
{
	while (agent->power_orders) {
		struct power_order *o = agent->power_orders;

		agent->power_orders = o->next;
		free(o);
	}
}
