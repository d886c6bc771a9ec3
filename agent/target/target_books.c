/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's books: the guests that libvirt lists, leases that run out, what the migration link
 * is used for, and whether the host is in a state to take anybody. See target.h. Owner thread only.
 *
 * A host whose kernel ended an incoming QEMU for want of memory has promised what it does not have,
 * because something besides guests eats it. It takes nobody for PRESSURE_MS, so that the same guest is
 * not sent into the same wall at once. After a restart of the agent that is forgotten: then
 * MemAvailable warns at admission, as always. */
#include "agent/target/target.h"

#include "agent/source/source.h"
#include "agent/target/target_images.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/host_memory.h"
#include "common/log.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRESSURE_MS 300000
/* Leases end only by a list of guests that is not older: it is wanted every five seconds. */
#define LIST_FRESH_MS 12000

/* --- suspect figures --- */

void target_judge_figures(struct agent *agent, const struct host_facts *facts,
                          const struct error *err)
{
	const struct agent_settings *s = agent->settings;
	struct host_memory m = { .capacity_bytes = s->memory_capacity_bytes,
		                 .reserve_bytes = s->memory_reserve_bytes };
	char why[HOST_MEMORY_TEXT_BYTES] = "";

	if (err) {
		/* Anything else is libvirt being away, and says nothing of the figures. */
		if (err->code != ERROR_INVALID)
			return;
		snprintf(why, sizeof(why), "%.190s", err->text);
	} else {
		m.physical_bytes = facts->memory_total_bytes;
		m.available_bytes = facts->memory_available_bytes;
		if (!m.capacity_bytes)
			m.capacity_bytes = m.physical_bytes;
		(void)host_memory_makes_sense(&m, why);
		if (!s->memory_capacity_bytes && !why[0])
			reservations_set_capacity(agent->reservations, m.physical_bytes);
	}
	if (why[0] && strcmp(why, agent->suspect) != 0)
		log_error("the memory figures of this host make no sense, and no guest is taken: "
		          "%s",
		          why);
	snprintf(agent->suspect, sizeof(agent->suspect), "%s", why);
}

/* --- pressure --- */

struct loss {
	struct errand errand;
	struct agent *agent;
	char vm_name[VM_NAME_BYTES];
	uint64_t memory_bytes;
	uint64_t oom_kills_before;
	struct host_facts facts;
	int rc;
	struct error error;
};

static void loss_work(struct errand *e)
{
	struct loss *l = (struct loss *)e;
	struct hypervisor *h = l->agent->hypervisor;

	l->rc = h->ops->host_facts(h, &l->facts, &l->error);
}

static void loss_done(struct errand *e)
{
	struct loss *l = (struct loss *)e;
	struct agent *agent = l->agent;

	if (l->rc == 0 && l->facts.oom_kills > l->oom_kills_before) {
		agent->pressure_until_ms = clock_now_ms() + PRESSURE_MS;
		snprintf(agent->pressure, sizeof(agent->pressure),
		         "out of memory: the kernel ended %llu processes since %.60s was on its "
		         "way here, and its QEMU is gone",
		         (unsigned long long)(l->facts.oom_kills - l->oom_kills_before),
		         l->vm_name);
		log_warning("%s; no guest is taken for %d s", agent->pressure, PRESSURE_MS / 1000);
		watchers_host(agent);
	}
	free(l);
}

/* An incoming guest that is listed no more while its lease is held: an aborted move, or a dead QEMU. */
static void look_into_loss(struct agent *agent, const struct reservation *r)
{
	const struct inbound *inbound = inbound_find(agent, &r->attempt);
	struct loss *l = xnew(struct loss);

	l->errand.work = loss_work;
	l->errand.done = loss_done;
	l->agent = agent;
	memcpy(l->vm_name, r->vm_name, sizeof(l->vm_name));
	l->memory_bytes = r->memory_bytes;
	l->oom_kills_before = inbound && inbound->oom_kills_known ? inbound->oom_kills
	                                                          : agent->oom_kills_at_start;
	courier_send(agent->couriers, &l->errand);
}

static bool is_pressured(const struct agent *agent)
{
	return agent->pressure_until_ms > clock_now_ms();
}

void target_describe_problem(const struct agent *agent, char *ret, size_t bytes)
{
	char left[UNITS_TEXT_BYTES];

	ret[0] = '\0';
	if (agent->suspect[0])
		snprintf(ret, bytes, "suspect: %s", agent->suspect);
	else if (is_pressured(agent))
		snprintf(ret, bytes, "%s; for another %s", agent->pressure,
		         units_format_duration(agent->pressure_until_ms - clock_now_ms(), left));
}

/* --- the link --- */

void target_look_at_link(const struct agent *agent, uint64_t limit_bytes_per_s,
                         struct link_finding *ret)
{
	const struct agent_settings *s = agent->settings;
	const struct bandwidth_interface *i = bandwidth_find_interface(&agent->bandwidth,
	                                                               s->migration_interface);
	struct link_finding f = { .link_bytes_per_s = agent->link_bytes_per_s,
		                  .is_claimed = !s->link_bytes_per_s,
		                  .received_bytes_per_s = paths_get_received(agent),
		                  .limit_bytes_per_s = limit_bytes_per_s,
		                  .minimum_bytes_per_s = s->min_bytes_per_s };

	if (i && i->known) {
		const struct bandwidth_rate *in = &i->rates[TRAFFIC_RECEIVED];

		f.measured = true;
		f.classified = i->classified;
		f.other_bytes_per_s = in->bytes_per_s;
		if (f.classified)
			f.other_bytes_per_s -= in->migration_bytes_per_s < in->bytes_per_s
			                               ? in->migration_bytes_per_s
			                               : in->bytes_per_s;
	}
	*ret = f;
}

/* --- vCPUs --- */

struct vcpu_totals target_count_vcpus(const struct agent *agent, uint32_t cpus)
{
	struct vcpu_totals t = {
		.cpus = cpus,
		.reserved = reservations_get_vcpus(agent->reservations),
		.overcommit_percent = agent->settings->cpu_overcommit_percent,
	};
	const struct inventory_vm *vm, *next;

	HASH_ITER (hh, agent->inventory.vms, vm, next) {
		if (vm->summary.active)
			t.guests += vm->summary.vcpus;
	}
	return t;
}

/* --- guests and leases --- */

static void run_in_journal(int rc, const struct error *err, void *context)
{
	(void)context;
	if (rc < 0)
		log_error("that a guest runs here could not be journaled: %s", err->text);
}

void target_guest_runs(struct agent *agent, const char *vm_uuid)
{
	const struct reservation *r = reservations_guest_runs(agent->reservations, vm_uuid);
	struct journal_write w = { .kind = JOURNAL_WRITE_TAKEN };

	if (!r)
		return;
	w.taken = *r;
	journal_keeper_write(agent->journal, &w, run_in_journal, NULL);
}

void target_guests_listed(struct agent *agent)
{
	struct guest_memory *guests;
	struct inventory_vm *vm, *next;
	const struct reservation *all;
	bool was_in_use[RESERVATIONS_MAX];
	size_t n = 0, count;

	if (!agent->inventory.valid) {
		reservations_set_guests_unknown(agent->reservations);
		target_lease_guests_listed(agent);
		return;
	}
	guests = xcalloc(HASH_COUNT(agent->inventory.vms), sizeof(*guests));
	HASH_ITER (hh, agent->inventory.vms, vm, next) {
		if (!vm->summary.active)
			continue;
		memcpy(guests[n].uuid, vm->uuid, sizeof(guests[n].uuid));
		guests[n].bytes = vm->summary.memory_bytes + vm->overhead_bytes;
		n++;
		if (vm->summary.state == VM_RUNNING)
			target_guest_runs(agent, vm->uuid);
	}
	all = reservations_get_all(agent->reservations, &count);
	for (size_t i = 0; i < count; i++)
		was_in_use[i] = all[i].in_use;
	reservations_set_guests(agent->reservations, guests, n);
	free(guests);
	for (size_t i = 0; i < count; i++) {
		if (was_in_use[i] && !all[i].in_use)
			look_into_loss(agent, &all[i]);
	}
	target_images_guests_listed(agent);
	target_lease_guests_listed(agent);
}

void target_tick(struct agent *agent)
{
	struct reservation expired;

	target_images_tick(agent);
	/* A libvirt that hangs over a list may have the guest all the same. */
	if (clock_now_ms() - agent->inventory.as_of_ms > LIST_FRESH_MS)
		return;
	while (reservations_expire(agent->reservations, clock_now_ms(), &expired)) {
		log_info("the reservation for %s from %s was not renewed and ends", expired.vm_name,
		         expired.source_node);
		inbound_end(agent, &expired.attempt);
	}
}

/* --- for HostState --- */

static Drover__V1__Lease *lease_new(const struct reservation *r, uint64_t now_ms)
{
	Drover__V1__Lease *l = xmalloc(sizeof(*l));

	drover__v1__lease__init(l);
	l->attempt = wire_attempt_new(&r->attempt);
	l->vm_uuid = xstrdup(r->vm_uuid);
	l->vm_name = xstrdup(r->vm_name);
	l->source_node = xstrdup(r->source_node);
	l->memory_bytes = r->memory_bytes;
	l->page_bytes = r->page_bytes;
	l->bandwidth_bytes_per_s = r->bandwidth_bytes_per_s;
	l->port = r->port;
	l->disk_port = r->disk_port;
	l->disk_bytes = reservation_disk_bytes(r);
	l->since_wall_ms = r->taken_wall_ms;
	l->expires_ms = r->expires_ms > now_ms ? r->expires_ms - now_ms : 0;
	l->in_use = r->in_use;
	return l;
}

void target_fill_host(const struct agent *agent, Drover__V1__HostState *h)
{
	const struct agent_settings *s = agent->settings;
	uint64_t now_ms = clock_now_ms();
	struct memory_totals memory;
	struct lease_totals leases;
	const struct reservation *all;
	size_t count;

	reservations_get_totals(agent->reservations, &memory);
	reservations_get_leases(agent->reservations, &leases);
	all = reservations_get_all(agent->reservations, &count);
	h->memory_capacity_bytes = memory.capacity_bytes;
	h->memory_reserve_bytes = memory.reserve_bytes;
	h->memory_overcommit_percent = memory.overcommit_percent;
	h->memory_guests_bytes = memory.guests_bytes;
	h->memory_reserved_bytes = memory.reserved_bytes;
	h->memory_physical_bytes = agent->facts.memory_total_bytes;
	h->suspect = xstrdup(agent->suspect);
	h->pressure = xstrdup(is_pressured(agent) ? agent->pressure : "");
	h->pressure_ms = is_pressured(agent) ? agent->pressure_until_ms - now_ms : 0;
	h->port_pool = (uint32_t)(s->port_last - s->port_first + 1);
	h->ports_in_use = reservations_count_ports(agent->reservations);
	h->slots_in = (uint32_t)count;
	h->slots_in_max = leases.slots;
	h->slots_out = source_count_slots(agent);
	h->preparing_max = SOURCE_HELD_MOST;
	h->slots_out_max = (uint32_t)s->parallel_outbound;
	h->link_promised_bytes_per_s = leases.promised_bytes_per_s;
	h->leases = xcalloc(count, sizeof(*h->leases));
	for (size_t i = 0; i < count; i++)
		h->leases[h->n_leases++] = lease_new(&all[i], now_ms);
}
