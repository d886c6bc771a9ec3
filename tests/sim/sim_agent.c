/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts, guests, migrations and agents, as small as they can be and still keep the promises of
 * proto/agent.proto: durable acceptance, tombstones, epochs that are never lowered, atomic
 * admission, reports in order, a snapshot after every attach.
 *
 * A migration is libvirt's: it goes on while the agents are dead. An agent that comes back finds it
 * in its journal and reports it.
 */
#include "tests/sim/sim.h"

#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RESERVE_BYTES  (64 * MIB)
#define OVERHEAD_BYTES (16 * MIB)
#define PORTS          3 /* more than the cap, so that the cap is seen to hold */
#define BYTES_PER_S    (256 * MIB)
#define PROGRESS_MS    500
#define SWITCH_MS      50

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
			bytes += sim->vms[i].memory_bytes + OVERHEAD_BYTES;
	}
	return bytes;
}

static uint64_t leased_bytes(const struct sim *sim, int host, unsigned *ret_count)
{
	uint64_t bytes = 0;

	*ret_count = 0;
	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *a = sim->attempts[i];

		if (!a->lease || a->target != host)
			continue;
		bytes += sim->vms[a->vm].memory_bytes + OVERHEAD_BYTES;
		(*ret_count)++;
	}
	return bytes;
}

uint64_t sim_host_free_bytes(const struct sim *sim, int host)
{
	unsigned count;
	uint64_t used = RESERVE_BYTES + guests_bytes(sim, host) + leased_bytes(sim, host, &count);
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
	struct host_state state = { .libvirt_connected = true, .port_pool = PORTS, .cpus = 8 };
	unsigned leases;

	state.memory_capacity_bytes = sim->hosts[host].capacity_bytes;
	state.memory_reserve_bytes = RESERVE_BYTES;
	state.memory_guests_bytes = guests_bytes(sim, host);
	state.memory_reserved_bytes = leased_bytes(sim, host, &leases);
	state.ports_in_use = state.slots_in = leases;
	return state;
}

static struct vm_state vm_state_of(const struct sim *sim, int index, int host)
{
	const struct sim_vm *vm = &sim->vms[index];
	struct vm_state state = { .memory_bytes = vm->memory_bytes,
		                  .overhead_bytes = OVERHEAD_BYTES,
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

static struct attempt_report report_of(const struct sim *sim, const struct sim_attempt *a)
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
	if (a->tombstoned && a->began_ms) {
		report.duration_ms = a->ends_ms - a->began_ms;
		report.downtime_ms = SWITCH_MS;
	}
	return report;
}

static void delivery_free(struct delivery *d)
{
	for (size_t i = 0; i < d->n_vms; i++)
		vm_state_deinit(&d->vms[i]);
	for (size_t i = 0; i < d->n_reports; i++)
		attempt_report_deinit(&d->reports[i]);
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

static void say_host(struct sim *sim, int host)
{
	struct delivery *d = delivery_new(sim, host, EVENT_HOST);

	if (!d)
		return;
	d->state = host_state_of(sim, host);
	send(sim, d);
}

static void say_vm(struct sim *sim, int host, int vm)
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
	say_host(sim, host);
}

static void say_attempt(struct sim *sim, const struct sim_attempt *a)
{
	struct delivery *d = delivery_new(sim, a->source, EVENT_ATTEMPT);

	if (!d)
		return;
	d->reports = xcalloc(1, sizeof(*d->reports));
	d->reports[d->n_reports++] = report_of(sim, a);
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
			d->reports[d->n_reports++] = report_of(sim, sim->attempts[i]);
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
	    sim_host_free_bytes(sim, host) < bytes + OVERHEAD_BYTES)
		return;
	snprintf(name, sizeof(name), "new%d", sim->n_vms);
	vm = sim_add_vm(sim, name, host, bytes);
	sim_trace(sim, h->name, "somebody starts %s", name);
	say_vm(sim, host, vm);
}

static void live(struct sim *sim, void *data)
{
	int *host = data;
	struct sim_host *h = &sim->hosts[*host];

	sim_after(sim, 1000, live, host);
	say_host(sim, *host);
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

/* --- migrations --- */

static void end(struct sim *sim, struct sim_attempt *a, enum migration_state state,
                const char *reason)
{
	a->state = state;
	a->tombstoned = true;
	a->lease = false;
	a->ends_ms = sim->now_ms;
	text_copy(a->reason, sizeof(a->reason), reason);
	if (sim->vms[a->vm].incoming >= 0 && a->began_ms) {
		sim->vms[a->vm].incoming = -1;
		say_vm(sim, a->target, a->vm);
	}
	if (a->target >= 0)
		say_host(sim, a->target);
	say_attempt(sim, a);
}

static void arrive_at_target(struct sim *sim, struct sim_attempt *a)
{
	struct sim_vm *vm = &sim->vms[a->vm];

	vm->host = a->target;
	vm->incoming = -1;
	sim->n_done++;
	say_vm(sim, a->source, a->vm);
	say_vm(sim, a->target, a->vm);
	a->percent = 100;
	end(sim, a, MIGRATION_DONE, "");
}

/* Borrows the attempt: it lives as long as the world. */
struct turn {
	struct sim_attempt *attempt;
};

static void copy_on(struct sim *sim, void *data)
{
	struct turn *turn = data;
	struct sim_attempt *a = turn->attempt;
	uint64_t whole = sim->vms[a->vm].memory_bytes * 1000 / BYTES_PER_S + 1;
	uint64_t spent = sim->now_ms - a->began_ms;

	if (a->state == MIGRATION_SWITCHING) {
		arrive_at_target(sim, a);
	} else if (a->cancel) {
		end(sim, a, MIGRATION_CANCELLED, "cancelled on request");
	} else if (a->fails && spent >= whole / 2) {
		end(sim, a, MIGRATION_FAILED, "the migration network broke");
	} else if (spent >= whole) {
		a->state = MIGRATION_SWITCHING;
		a->percent = 99;
		say_attempt(sim, a);
		sim_after(sim, SWITCH_MS, copy_on, turn);
		return;
	} else {
		a->percent = (uint32_t)(spent * 99 / whole);
		say_attempt(sim, a);
		sim_after(sim, PROGRESS_MS, copy_on, turn);
		return;
	}
	free(turn);
}

static bool check_room(struct sim *sim, int target, int vm, struct checks *ret)
{
	uint64_t free_bytes = sim_host_free_bytes(sim, target);
	uint64_t need_bytes = sim->vms[vm].memory_bytes + OVERHEAD_BYTES;
	struct check check = { .id = "memory", .verdict = CHECK_PASS };
	unsigned leases;

	leased_bytes(sim, target, &leases);
	if (free_bytes < need_bytes || leases >= PORTS || sim_chance(sim, sim->faults.refuse))
		check.verdict = CHECK_FAIL;
	snprintf(check.measured, sizeof(check.measured), "%" PRIu64 " MiB free", free_bytes / MIB);
	snprintf(check.required, sizeof(check.required), "%" PRIu64 " MiB", need_bytes / MIB);
	checks_deinit(ret);
	checks_add(ret, &check);
	return check.verdict == CHECK_PASS;
}

static void admit(struct sim *sim, void *data)
{
	struct turn *turn = data;
	struct sim_attempt *a = turn->attempt;

	if (!sim->hosts[a->source].alive) {
		sim_after(sim, 500, admit, turn);
		return;
	}
	if (a->cancel) {
		end(sim, a, MIGRATION_CANCELLED, "cancelled on request");
	} else if (sim->vms[a->vm].host != a->source) {
		end(sim, a, MIGRATION_FAILED, "libvirt lists no such guest");
	} else if (!sim->hosts[a->target].alive) {
		end(sim, a, MIGRATION_FAILED, "the destination's agent cannot be reached");
	} else if (!check_room(sim, a->target, a->vm, &a->checks)) {
		end(sim, a, MIGRATION_FAILED, "refused by the destination");
	} else {
		a->state = MIGRATION_RUNNING;
		a->lease = true;
		a->began_ms = sim->now_ms;
		a->fails = sim_chance(sim, sim->faults.fail_move);
		sim->vms[a->vm].incoming = a->target;
		say_vm(sim, a->target, a->vm);
		say_attempt(sim, a);
		sim_after(sim, PROGRESS_MS, copy_on, turn);
		return;
	}
	free(turn);
}

/* --- calls --- */

static struct sim_attempt *find_attempt(const struct sim *sim, const struct attempt *id)
{
	for (size_t i = 0; i < sim->n_attempts; i++) {
		if (id_equal(&sim->attempts[i]->id.operation, &id->operation) &&
		    sim->attempts[i]->id.number == id->number)
			return sim->attempts[i];
	}
	return NULL;
}

static bool is_busy(const struct sim *sim, int host, int vm)
{
	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *a = sim->attempts[i];

		if (a->source == host && a->vm == vm && !a->tombstoned)
			return true;
	}
	return false;
}

static int find_vm(const struct sim *sim, const char *uuid)
{
	for (int i = 0; i < sim->n_vms; i++) {
		if (strcmp(sim->vms[i].uuid, uuid) == 0)
			return i;
	}
	assert(false);
	return -1;
}

static struct sim_attempt *add_attempt(struct sim *sim, const struct sim_call *call)
{
	struct sim_attempt *a = xnew(struct sim_attempt);

	a->id = call->attempt.attempt;
	a->vm = find_vm(sim, call->attempt.vm_uuid);
	a->source = call->host;
	a->target = -1;
	sim->attempts = xreallocarray(sim->attempts, sim->n_attempts + 1, sizeof(*sim->attempts));
	sim->attempts[sim->n_attempts++] = a;
	return a;
}

static struct sim_attempt *tombstone(struct sim *sim, const struct sim_call *call)
{
	struct sim_attempt *a = add_attempt(sim, call);

	a->state = MIGRATION_CANCELLED;
	a->tombstoned = true;
	snprintf(a->reason, sizeof(a->reason), "never began on %s, and never will",
	         sim->hosts[call->host].name);
	return a;
}

/* Returns the attempt to report on, or NULL when it is refused without one. */
static struct sim_attempt *take_start(struct sim *sim, const struct sim_call *call,
                                      struct event *event)
{
	struct sim_attempt *a = find_attempt(sim, &call->attempt.attempt);
	struct turn *turn;
	uint64_t slow_ms;

	if (a) {
		event->call.accepted = !a->tombstoned || a->began_ms;
		return a;
	}
	if (is_busy(sim, call->host, find_vm(sim, call->attempt.vm_uuid))) {
		event->call.outcome = CALL_REFUSED;
		error_set(&event->call.error, ERROR_BUSY, "another attempt is under way");
		return NULL;
	}
	a = add_attempt(sim, call);
	a->target = sim_find_host(sim, call->attempt.target);
	a->state = MIGRATION_RESERVED;
	event->call.accepted = true;
	sim_check_begin(sim, a);
	turn = xnew(struct turn);
	turn->attempt = a;
	/* A destination that is slow to judge: the attempt stays reserved for long. */
	slow_ms = sim_chance(sim, sim->faults.slow_admission) ? 5000 + sim_random(sim, 20000) : 0;
	sim_after(sim, slow_ms + sim_delay(sim, 10, 80), admit, turn);
	return a;
}

static uint64_t epoch_of(const struct sim_call *call)
{
	if (call->kind == ACTION_SET_DRAIN_MARK)
		return call->mark.epoch;
	return call->kind == ACTION_PREVIEW ? call->preview.epoch : call->attempt.attempt.epoch;
}

static void take_mark(struct sim *sim, const struct sim_call *call, struct event *event)
{
	struct sim_host *host = &sim->hosts[call->host];

	host->mark = call->mark;
	host->has_mark = true;
	event->mark.outcome = CALL_ANSWERED;
	for (int i = 0; i < sim->n_vms; i++) {
		if (sim->vms[i].host == call->host || sim->vms[i].incoming == call->host)
			event->mark.active_vms++;
	}
}

static void take_attempt_call(struct sim *sim, struct sim_call *call, struct event *event)
{
	struct attempt_report report = { 0 };
	struct sim_attempt *a;

	event->call.outcome = CALL_ANSWERED;
	if (call->kind == ACTION_START) {
		a = take_start(sim, call, event);
	} else {
		a = find_attempt(sim, &call->attempt.attempt);
		if (!a)
			a = tombstone(sim, call);
		if (call->kind == ACTION_CANCEL)
			a->cancel = true;
	}
	if (a) {
		report = report_of(sim, a);
		event->call.report = &report;
	}
	sim_reply_call(sim, call, event);
	attempt_report_deinit(&report);
}

static void refuse_stale(struct sim *sim, struct sim_call *call)
{
	struct event event = { 0 };
	struct error err;
	struct checks none = { 0 };

	error_set(&err, ERROR_STALE, "this agent obeys a newer coordinator");
	if (call->kind == ACTION_SET_DRAIN_MARK) {
		event.mark.outcome = CALL_REFUSED;
		event.mark.error = err;
	} else if (call->kind == ACTION_PREVIEW) {
		event.preview.outcome = CALL_REFUSED;
		event.preview.checks = &none;
		event.preview.error = err;
	} else {
		event.call.outcome = CALL_REFUSED;
		event.call.error = err;
	}
	sim_reply_call(sim, call, &event);
}

void sim_agent_take_call(struct sim *sim, struct sim_call *call)
{
	struct sim_host *host = &sim->hosts[call->host];
	struct event event = { 0 };
	struct checks checks = { 0 };

	if (!host->alive) {
		sim_fail_call(sim, call);
		return;
	}
	if (epoch_of(call) < host->highest_epoch) {
		refuse_stale(sim, call);
		return;
	}
	host->highest_epoch = epoch_of(call);
	if (call->kind == ACTION_SET_DRAIN_MARK) {
		take_mark(sim, call, &event);
		sim_reply_call(sim, call, &event);
	} else if (call->kind == ACTION_PREVIEW) {
		int target = sim_find_host(sim, call->preview.target);

		event.preview.outcome = CALL_ANSWERED;
		event.preview.admitted = check_room(sim, target,
		                                    find_vm(sim, call->preview.vm_uuid), &checks);
		event.preview.checks = &checks;
		sim_reply_call(sim, call, &event);
		checks_deinit(&checks);
	} else {
		take_attempt_call(sim, call, &event);
	}
}
