/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts and what their agents say, as small as they can be and still keep the promises of
 * proto/agent.proto: durable acceptance, tombstones, epochs that are never lowered, atomic
 * admission, reports in order, a snapshot after every attach.
 */
#include "tests/sim/sim.h"

#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RESERVE_BYTES (64 * MIB)

int sim_find_host(const struct sim *sim, const char *name)
{
	for (int i = 0; i < sim->n_hosts; i++) {
		if (strcmp(sim->hosts[i].name, name) == 0)
			return i;
	}
	assert(false);
	return -1;
}

unsigned sim_host_count_guests(const struct sim *sim, int host)
{
	unsigned count = 0;

	for (int i = 0; i < sim->n_vms; i++)
		count += sim->vms[i].host == host;
	return count;
}

static uint64_t guests_bytes(const struct sim *sim, int host)
{
	uint64_t bytes = 0;

	for (int i = 0; i < sim->n_vms; i++) {
		if (sim->vms[i].host == host)
			bytes += sim->vms[i].memory_bytes + SIM_OVERHEAD_BYTES;
	}
	return bytes;
}

uint64_t sim_host_leased_bytes(const struct sim *sim, int host, unsigned *ret_count)
{
	uint64_t bytes = 0;

	*ret_count = 0;
	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *a = sim->attempts[i];

		if (!a->lease || a->target != host)
			continue;
		bytes += sim->vms[a->vm].memory_bytes + SIM_OVERHEAD_BYTES;
		(*ret_count)++;
	}
	return bytes;
}

uint64_t sim_host_free_bytes(const struct sim *sim, int host)
{
	unsigned count;
	uint64_t used = RESERVE_BYTES + guests_bytes(sim, host) +
	                sim_host_leased_bytes(sim, host, &count);
	uint64_t capacity = sim->hosts[host].capacity_bytes;

	return capacity > used ? capacity - used : 0;
}

/* --- what an agent says --- */

struct delivery {
	uint32_t incarnation, session;
	int host;
	enum event_kind kind;
	struct host_state state;
	struct vm_state *vms;
	size_t n_vms;
	struct attempt_report *reports;
	size_t n_reports;
	struct drain_mark mark;
	bool has_mark;
	char uuid[VM_UUID_BYTES];
};

static struct host_state host_state_of(const struct sim *sim, int host)
{
	struct host_state state = {
		.libvirt_connected = true, .port_pool = SIM_PORTS, .cpus = 8, .preparing_max = 4
	};
	unsigned leases;

	state.memory_capacity_bytes = sim->hosts[host].capacity_bytes;
	state.memory_reserve_bytes = RESERVE_BYTES;
	state.memory_guests_bytes = guests_bytes(sim, host);
	state.memory_reserved_bytes = sim_host_leased_bytes(sim, host, &leases);
	state.ports_in_use = state.slots_in = leases;
	state.leases = leases ? xcalloc(leases, sizeof(*state.leases)) : NULL;
	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *a = sim->attempts[i];

		if (a->lease && a->target == host)
			state.leases[state.n_leases++].attempt = a->id;
	}
	return state;
}

static struct vm_state vm_state_of(const struct sim *sim, int index, int host)
{
	const struct sim_vm *vm = &sim->vms[index];
	struct vm_state state = { .memory_bytes = vm->memory_bytes,
		                  .overhead_bytes = SIM_OVERHEAD_BYTES,
		                  .vcpus = 1,
		                  .persistent = true };
	struct check block = { .id = "hostdev",
		               .verdict = CHECK_BLOCK,
		               .measured = "PCI 0000:3b:00.0",
		               .reason = "HostDeviceNotLiveMigratable" };

	text_copy(state.uuid, sizeof(state.uuid), vm->uuid);
	text_copy(state.name, sizeof(state.name), vm->name);
	text_copy(state.state, sizeof(state.state), vm->host == host ? "running" : "incoming");
	if (vm->immovable)
		checks_add(&state.blockers, &block);
	return state;
}

struct attempt_report sim_report_of(const struct sim *sim, const struct sim_attempt *a)
{
	const struct sim_vm *vm = &sim->vms[a->vm];
	struct attempt_report report = { .attempt = a->id,
		                         .state = a->state,
		                         .tombstoned = a->tombstoned };

	text_copy(report.vm_uuid, sizeof(report.vm_uuid), vm->uuid);
	text_copy(report.source, sizeof(report.source), sim->hosts[a->source].name);
	if (a->target >= 0) {
		text_copy(report.vm_name, sizeof(report.vm_name), vm->name);
		text_copy(report.target, sizeof(report.target), sim->hosts[a->target].name);
	}
	text_copy(report.reason, sizeof(report.reason), a->reason);
	checks_copy(&report.checks, &a->checks);
	report.progress.percent = a->percent;
	report.progress.memory_total_bytes = vm->memory_bytes;
	report.progress.eta_known = a->state == MIGRATION_RUNNING;
	report.progress.eta_ms = (100 - a->percent) * 20;
	report.waits_for_slot = a->hold && !a->tombstoned;
	report.error_code = a->error_code;
	if (a->tombstoned && a->began_ms) {
		report.duration_ms = a->ends_ms - a->began_ms;
		report.downtime_ms = SIM_SWITCH_MS;
	}
	if (a->state == MIGRATION_DONE) {
		struct check check = { .id = "state", .verdict = CHECK_PASS };

		checks_add(&report.verification, &check);
	}
	return report;
}

static void delivery_free(struct delivery *d)
{
	for (size_t i = 0; i < d->n_vms; i++)
		vm_state_deinit(&d->vms[i]);
	for (size_t i = 0; i < d->n_reports; i++)
		attempt_report_deinit(&d->reports[i]);
	host_state_deinit(&d->state);
	free(d->vms);
	free(d->reports);
	free(d);
}

static void deliver(struct sim *sim, void *data)
{
	struct delivery *d = data;
	const char *name = sim->hosts[d->host].name;
	struct event event = { .kind = d->kind };

	if (d->incarnation != sim->incarnation || d->session != sim->hosts[d->host].session) {
		delivery_free(d);
		return;
	}
	switch (d->kind) {
	case EVENT_SNAPSHOT:
		event.snapshot.node = name;
		event.snapshot.host = &d->state;
		event.snapshot.vms = d->vms;
		event.snapshot.n_vms = d->n_vms;
		event.snapshot.attempts = d->reports;
		event.snapshot.n_attempts = d->n_reports;
		event.snapshot.mark = d->has_mark ? &d->mark : NULL;
		event.snapshot.inventory_valid = true;
		break;
	case EVENT_HOST:
		event.host.node = name;
		event.host.host = &d->state;
		break;
	case EVENT_VM:
		event.vm.node = name;
		event.vm.vm = &d->vms[0];
		break;
	case EVENT_VM_GONE:
		event.vm_gone.node = name;
		event.vm_gone.uuid = d->uuid;
		break;
	case EVENT_ATTEMPT:
		event.attempt.node = name;
		event.attempt.report = &d->reports[0];
		break;
	default:
		assert(false);
	}
	sim_step(sim, &event);
	delivery_free(d);
}

/* NULL when the agent cannot say anything now. */
static struct delivery *delivery_new(const struct sim *sim, int host, enum event_kind kind)
{
	struct delivery *d;

	if (!sim->hosts[host].alive || !sim->hosts[host].session)
		return NULL;
	d = xnew(struct delivery);
	d->incarnation = sim->incarnation;
	d->session = sim->hosts[host].session;
	d->host = host;
	d->kind = kind;
	return d;
}

static void send(struct sim *sim, struct delivery *d)
{
	struct sim_host *host = &sim->hosts[d->host];
	uint64_t at_ms = sim->now_ms + sim_delay(sim, 2, 40);

	if (at_ms < host->last_arrival_ms)
		at_ms = host->last_arrival_ms;
	host->last_arrival_ms = at_ms;
	sim_after(sim, at_ms - sim->now_ms, deliver, d);
}

void sim_say_host(struct sim *sim, int host)
{
	struct delivery *d = delivery_new(sim, host, EVENT_HOST);

	if (!d)
		return;
	d->state = host_state_of(sim, host);
	send(sim, d);
}

void sim_say_vm(struct sim *sim, int host, int vm)
{
	bool listed = sim->vms[vm].host == host || sim->vms[vm].incoming == host;
	struct delivery *d = delivery_new(sim, host, listed ? EVENT_VM : EVENT_VM_GONE);

	if (!d)
		return;
	text_copy(d->uuid, sizeof(d->uuid), sim->vms[vm].uuid);
	if (listed) {
		d->vms = xcalloc(1, sizeof(*d->vms));
		d->vms[d->n_vms++] = vm_state_of(sim, vm, host);
	}
	send(sim, d);
	sim_say_host(sim, host);
}

void sim_say_attempt(struct sim *sim, const struct sim_attempt *a)
{
	struct delivery *d = delivery_new(sim, a->source, EVENT_ATTEMPT);

	if (!d)
		return;
	d->reports = xcalloc(1, sizeof(*d->reports));
	d->reports[d->n_reports++] = sim_report_of(sim, a);
	send(sim, d);
}

static void say_everything(struct sim *sim, int host)
{
	struct delivery *d = delivery_new(sim, host, EVENT_SNAPSHOT);

	if (!d)
		return;
	d->state = host_state_of(sim, host);
	d->vms = xcalloc((size_t)sim->n_vms + 1, sizeof(*d->vms));
	for (int i = 0; i < sim->n_vms; i++) {
		if (sim->vms[i].host == host || sim->vms[i].incoming == host)
			d->vms[d->n_vms++] = vm_state_of(sim, i, host);
	}
	d->reports = xcalloc(sim->n_attempts + 1, sizeof(*d->reports));
	for (size_t i = 0; i < sim->n_attempts; i++) {
		if (sim->attempts[i]->source == host)
			d->reports[d->n_reports++] = sim_report_of(sim, sim->attempts[i]);
	}
	d->has_mark = sim->hosts[host].has_mark;
	d->mark = sim->hosts[host].mark;
	send(sim, d);
}

/* --- connections --- */

struct knock {
	int host;
	uint32_t incarnation;
};

static void knock(struct sim *sim, void *data)
{
	struct knock *k = data;
	struct sim_host *host = &sim->hosts[k->host];
	struct event event = { .kind = EVENT_ATTACH };
	char address[ADDRESS_BYTES];
	bool stale = k->incarnation != sim->incarnation || host->session || !host->alive;
	int index = k->host;

	free(k);
	if (stale || !sim->fleet)
		return;
	host->session = ++host->sessions;
	snprintf(address, sizeof(address), "tcp://%s:7788", host->name);
	event.request = (uint64_t)host->session << 3 | (uint64_t)index;
	event.attach.node = host->name;
	event.attach.mesh_address = address;
	event.attach.agent_version = "sim";
	event.attach.highest_epoch = host->highest_epoch;
	sim_step(sim, &event);
}

void sim_agent_connect(struct sim *sim, int host)
{
	struct knock *k = xnew(struct knock);

	k->host = host;
	k->incarnation = sim->incarnation;
	sim_after(sim, sim_delay(sim, 5, 500), knock, k);
}

void sim_agent_attached(struct sim *sim, int host, uint32_t session, uint64_t epoch)
{
	if (sim->hosts[host].session != session)
		return;
	if (epoch > sim->hosts[host].highest_epoch)
		sim->hosts[host].highest_epoch = epoch;
	say_everything(sim, host);
}

void sim_agent_disconnect(struct sim *sim, int host)
{
	struct event event = { .kind = EVENT_LOST };

	if (!sim->hosts[host].session)
		return;
	sim->hosts[host].session = 0;
	event.lost.node = sim->hosts[host].name;
	sim_step(sim, &event);
}

static void reconnect(struct sim *sim, void *data)
{
	int *host = data;

	sim_agent_connect(sim, *host);
	free(host);
}

static void come_back(struct sim *sim, void *data)
{
	int *host = data;

	sim_trace(sim, sim->hosts[*host].name, "agent is back");
	sim->hosts[*host].alive = true;
	sim_agent_drop_held(sim, *host);
	sim_agent_connect(sim, *host);
	free(host);
}

void sim_agent_die(struct sim *sim, int host, uint64_t for_ms)
{
	if (!sim->hosts[host].alive)
		return;
	sim_trace(sim, sim->hosts[host].name, "agent dies");
	sim->hosts[host].alive = false;
	sim_agent_disconnect(sim, host);
	if (for_ms)
		sim_after(sim, for_ms, come_back, xmemdup(&host, sizeof(host)));
}

static void start_guest(struct sim *sim, int host)
{
	const struct sim_host *h = &sim->hosts[host];
	uint64_t bytes = (128 + sim_random(sim, 3) * 64) * MIB;
	char name[32];
	int vm;

	/* The hook that blocks starts is the mark's purpose. */
	if (sim->n_vms == SIM_VMS_MAX || (h->has_mark && (h->mark.draining || h->mark.cordoned)) ||
	    sim_host_free_bytes(sim, host) < bytes + SIM_OVERHEAD_BYTES)
		return;
	snprintf(name, sizeof(name), "new%d", sim->n_vms);
	vm = sim_add_vm(sim, name, host, bytes);
	sim_trace(sim, h->name, "somebody starts %s", name);
	sim_say_vm(sim, host, vm);
}

static void live(struct sim *sim, void *data)
{
	int *host = data;
	struct sim_host *h = &sim->hosts[*host];

	sim_after(sim, 1000, live, host);
	sim_say_host(sim, *host);
	if (h->alive && sim_chance(sim, sim->faults.agent_dies))
		sim_agent_die(sim, *host, 500 + sim_random(sim, 30000));
	if (h->session && sim_chance(sim, sim->faults.connection_dies)) {
		sim_trace(sim, h->name, "connection breaks");
		sim_agent_disconnect(sim, *host);
		sim_after(sim, sim_random(sim, 20000), reconnect, xmemdup(host, sizeof(*host)));
	}
	if (sim_chance(sim, sim->faults.guest_starts))
		start_guest(sim, *host);
	/* An agent that was refused or overtaken tries again. */
	if (h->alive && !h->session && sim->fleet && sim_random(sim, 20) == 0)
		sim_agent_connect(sim, *host);
}

void sim_agents_start(struct sim *sim)
{
	for (int i = 0; i < sim->n_hosts; i++)
		sim_after(sim, 1000, live, xmemdup(&i, sizeof(i)));
}
