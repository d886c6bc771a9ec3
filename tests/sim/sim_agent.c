/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations, and the calls that agents answer: durable acceptance, tombstones, admission in one
 * step, orders of an older epoch refused.
 *
 * A migration is libvirt's: it goes on while the agents are dead. An agent that comes back finds it
 * in its journal and reports it.
 */
#include "common/alloc.h"
#include "common/units.h"
#include "tests/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_PER_S (256 * MIB)
#define PROGRESS_MS 500

static void end(struct sim *sim, struct sim_attempt *a, enum migration_state state,
                const char *reason)
{
	a->state = state;
	a->tombstoned = true;
	a->lease = a->waits = false;
	a->ends_ms = sim->now_ms;
	text_copy(a->reason, sizeof(a->reason), reason);
	if (sim->vms[a->vm].incoming >= 0 && a->began_ms) {
		sim->vms[a->vm].incoming = -1;
		sim_say_vm(sim, a->target, a->vm);
	}
	if (a->target >= 0)
		sim_say_host(sim, a->target);
	sim_say_attempt(sim, a);
}

static void arrive_at_target(struct sim *sim, struct sim_attempt *a)
{
	struct sim_vm *vm = &sim->vms[a->vm];

	vm->host = a->target;
	vm->incoming = -1;
	sim->n_done++;
	sim_say_vm(sim, a->source, a->vm);
	sim_say_vm(sim, a->target, a->vm);
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
	uint64_t whole = sim->vms[a->vm].memory_bytes * (sim->slow_moves ? 24000 : 1000) /
	                         BYTES_PER_S +
	                 1;
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
		sim_say_attempt(sim, a);
		sim_after(sim, SIM_SWITCH_MS, copy_on, turn);
		return;
	} else {
		a->percent = (uint32_t)(spent * 99 / whole);
		sim_say_attempt(sim, a);
		sim_after(sim, PROGRESS_MS, copy_on, turn);
		return;
	}
	free(turn);
}

static bool check_room(struct sim *sim, int target, int vm, struct checks *ret)
{
	uint64_t free_bytes = sim_host_free_bytes(sim, target);
	uint64_t need_bytes = sim->vms[vm].memory_bytes + SIM_OVERHEAD_BYTES;
	struct check check = { .id = "memory", .verdict = CHECK_PASS };
	unsigned leases;

	sim_host_leased_bytes(sim, target, &leases);
	if (free_bytes < need_bytes || leases >= SIM_PORTS || sim_chance(sim, sim->faults.refuse))
		check.verdict = CHECK_FAIL;
	snprintf(check.measured, sizeof(check.measured), "%" PRIu64 " MiB free", free_bytes / MIB);
	snprintf(check.required, sizeof(check.required), "%" PRIu64 " MiB", need_bytes / MIB);
	checks_deinit(ret);
	checks_add(ret, &check);
	return check.verdict == CHECK_PASS;
}

static void move(struct sim *sim, struct turn *turn)
{
	struct sim_attempt *a = turn->attempt;

	a->state = MIGRATION_RUNNING;
	a->lease = true;
	a->began_ms = sim->now_ms;
	a->fails = sim_chance(sim, sim->faults.fail_move);
	sim->vms[a->vm].incoming = a->target;
	sim_say_vm(sim, a->target, a->vm);
	sim_say_attempt(sim, a);
	sim_after(sim, PROGRESS_MS, copy_on, turn);
}

static void give_back(struct sim *sim, struct sim_attempt *a, const char *reason)
{
	a->error_code = ERROR_CANCELLED;
	end(sim, a, MIGRATION_FAILED, reason);
}

/* It was held long enough, if it is held still. */
static void hold_no_more(struct sim *sim, void *data)
{
	struct turn *turn = data;

	if (turn->attempt->waits)
		give_back(sim, turn->attempt, "prepared, and no slot became free");
	free(turn);
}

void sim_agent_drop_held(struct sim *sim, int host)
{
	for (size_t i = 0; i < sim->n_attempts; i++) {
		if (sim->attempts[i]->source == host && sim->attempts[i]->waits)
			give_back(sim, sim->attempts[i], "the agent was restarted before it began");
	}
}

static void let_go(struct sim *sim, struct sim_attempt *a)
{
	struct turn *turn;

	if (a->tombstoned || !a->hold)
		return;
	a->hold = false;
	if (!a->waits)
		return;
	a->waits = false;
	turn = xnew(struct turn);
	turn->attempt = a;
	move(sim, turn);
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
	} else if (a->hold) {
		a->lease = a->waits = true;
		sim_say_host(sim, a->target);
		sim_say_attempt(sim, a);
		sim_after(sim, SIM_HOLD_MS, hold_no_more, turn);
		return;
	} else {
		move(sim, turn);
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
		if (!call->attempt.hold)
			let_go(sim, a);
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
	a->hold = call->attempt.hold;
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
	if (call->kind == ACTION_START || call->kind == ACTION_LET_GO) {
		a = take_start(sim, call, event);
	} else {
		a = find_attempt(sim, &call->attempt.attempt);
		if (!a)
			a = tombstone(sim, call);
		if (call->kind == ACTION_CANCEL)
			a->cancel = true;
		if (a->cancel && a->waits)
			end(sim, a, MIGRATION_CANCELLED, "cancelled on request");
	}
	if (a) {
		report = sim_report_of(sim, a);
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
