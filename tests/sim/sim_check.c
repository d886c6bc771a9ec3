/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold after every event, whatever went wrong before. The rules are invariants of the
 * design; they are judged on the world (hosts, guests, journals), not on what the core believes. */
#include "tests/sim/sim.h"

#include "common/alloc.h"
#include "common/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void sim_break(struct sim *sim, const char *rule, const char *format, ...)
{
	va_list args;

	if (sim->broken)
		return;
	sim->broken = rule;
	va_start(args, format);
	vsnprintf(sim->broken_text, sizeof(sim->broken_text), format, args);
	va_end(args);
	sim_trace(sim, "BROKEN", "%s: %s", rule, sim->broken_text);
}

/* I3: attempts that are not over, counted where they are: in the journals. */
static void check_caps(struct sim *sim)
{
	unsigned all = 0, out[SIM_HOSTS_MAX] = { 0 }, in[SIM_HOSTS_MAX] = { 0 };

	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *a = sim->attempts[i];

		if (a->tombstoned)
			continue;
		in[a->target]++;
		if (a->hold)
			continue;
		all++;
		out[a->source]++;
	}
	if (all > 5)
		sim_break(sim, "at most 5 migrations in the cluster", "%u", all);
	for (int i = 0; i < sim->n_hosts; i++) {
		if (out[i] > 2 || in[i] > 2)
			sim_break(sim, "at most 2 in and 2 out per host", "%s: %u in, %u out",
			          sim->hosts[i].name, in[i], out[i]);
	}
}

/* I2 */
static void check_memory(struct sim *sim)
{
	for (int h = 0; h < sim->n_hosts; h++) {
		uint64_t bytes = 0;

		for (int i = 0; i < sim->n_vms; i++)
			bytes += sim->vms[i].host == h ? sim->vms[i].memory_bytes : 0;
		if (bytes > sim->hosts[h].capacity_bytes)
			sim_break(sim, "no host has more guests than memory", "%s",
			          sim->hosts[h].name);
	}
}

/* The counts that caps rest on are the records', at every instant. */
static void check_counts(struct sim *sim)
{
	uint32_t held = 0, out = 0, in = 0, preparing = 0;
	size_t active = 0;

	for (const struct migration *m = sim->fleet->migrations; m; m = m->hh.next) {
		held += m->kept.holds_slot && !m->kept.preparing;
		preparing += m->kept.preparing;
		if (m->kept.preparing && !m->kept.holds_slot)
			sim_break(sim, "what is prepared is held", "migration/%" PRIu64,
			          m->kept.number);
		active += !migration_state_is_final(m->kept.state);
		if (migration_state_is_final(m->kept.state) && m->kept.holds_slot)
			sim_break(sim, "what is over holds no slot", "migration/%" PRIu64,
			          m->kept.number);
	}
	for (const struct node *node = sim->fleet->nodes; node; node = node->hh.next) {
		out += node->migrations_out;
		in += node->migrations_in;
		if (node->preparing_out > sim->options.caps.preparing)
			sim_break(sim, "no more are prepared ahead than may be", "%s: %u",
			          node->kept.name, node->preparing_out);
	}
	if (held != sim->fleet->slots_held || held != out || held + preparing != in ||
	    preparing != sim->fleet->preparing)
		sim_break(sim, "slots are counted as they are held", "%u held, counted %u, %u, %u",
		          held, sim->fleet->slots_held, out, in);
	if (active != sim->fleet->n_active)
		sim_break(sim, "active migrations are counted", "%zu, %zu", active,
		          sim->fleet->n_active);
}

/* A slot is freed on the source agent's word only: whatever its journal calls not over holds one,
 * by the very attempt. */
static void check_slots_of_attempts(struct sim *sim)
{
	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *a = sim->attempts[i];
		const struct migration *m;

		if (a->tombstoned)
			continue;
		m = fleet_find_operation(sim->fleet, &a->id.operation);
		if (m && (!m->kept.holds_slot || m->kept.attempt.number != a->id.number))
			sim_break(sim, "an attempt that is not over holds its slot",
			          "migration/%" PRIu64 " attempt %u is %s", m->kept.number,
			          a->id.number, migration_state_name(a->state));
		if (m && m->kept.preparing && !a->hold)
			sim_break(sim, "what may move has a slot of those that move",
			          "migration/%" PRIu64 " attempt %u", m->kept.number, a->id.number);
	}
}

void sim_check(struct sim *sim)
{
	check_caps(sim);
	check_memory(sim);
	sim_check_policies(sim);
	if (!sim->fleet)
		return;
	check_counts(sim);
	check_slots_of_attempts(sim);
}

/* One guest, one attempt at a time, in the whole world. */
void sim_check_begin(struct sim *sim, const struct sim_attempt *attempt)
{
	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *other = sim->attempts[i];

		if (other != attempt && other->vm == attempt->vm && !other->tombstoned)
			sim_break(sim, "a guest is moved by one attempt at a time", "%s",
			          sim->vms[attempt->vm].name);
	}
}

/* The intent is durable before it is acted on. */
static void check_stored(struct sim *sim, const struct attempt_call *call)
{
	struct store_contents contents;
	struct error err = { 0 };
	bool stored = false;

	if (store_load(sim->store, &contents, &err) < 0)
		return;
	for (size_t i = 0; i < contents.n_migrations; i++) {
		const struct migration_record *m = &contents.migrations[i];

		stored |= m->number == call->migration && m->holds_slot &&
		          m->preparing == call->hold && m->attempt.number == call->attempt.number &&
		          strcmp(m->target, call->target) == 0;
	}
	if (!stored)
		sim_break(sim, "a start rests on a slot that is stored", "migration/%" PRIu64,
		          call->migration);
	if (contents.epoch != call->attempt.epoch)
		sim_break(sim, "a start carries the stored epoch", "%" PRIu64 ", stored %" PRIu64,
		          call->attempt.epoch, contents.epoch);
	store_contents_deinit(&contents);
}

/* Each attempt is ordered once. */
static void check_start(struct sim *sim, const struct attempt_call *call)
{
	sim->n_starts++;
	for (size_t i = 0; i < sim->n_started; i++) {
		if (id_equal(&sim->started[i].operation, &call->attempt.operation) &&
		    sim->started[i].number == call->attempt.number)
			sim_break(sim, "an attempt is started at most once",
			          "migration/%" PRIu64 " attempt %u", call->migration,
			          call->attempt.number);
	}
	sim->started = xreallocarray(sim->started, sim->n_started + 1, sizeof(*sim->started));
	sim->started[sim->n_started++] = call->attempt;
	check_stored(sim, call);
}

/* I9: judged on the host itself, at the moment the core says so. */
static void check_store(struct sim *sim, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct drain_record *drain = &batch->puts[i].drain;
		unsigned guests;

		if (batch->puts[i].kind != PUT_DRAIN ||
		    (drain->state != DRAIN_COMPLETED && drain->state != DRAIN_PARTLY))
			continue;
		guests = sim_host_count_guests(sim, sim_find_host(sim, drain->node));
		if (guests != drain->left_count ||
		    (drain->state == DRAIN_COMPLETED && drain->left_count))
			sim_break(sim, "a drain is complete when the host is empty",
			          "%s still has %u guests, %u were left", drain->node, guests,
			          drain->left_count);
	}
}

void sim_check_action(struct sim *sim, const struct action *action)
{
	switch (action->kind) {
	case ACTION_START:
		check_start(sim, &action->call);
		break;
	case ACTION_LET_GO:
		sim->n_let_go++;
		check_stored(sim, &action->call);
		break;
	case ACTION_STORE:
		check_store(sim, action->store);
		break;
	case ACTION_CHANGED:
		/* A new epoch begins a new count, above the old one. */
		if ((uint32_t)action->changed.revision == 1 &&
		    action->changed.revision > sim->last_revision)
			sim->last_revision = action->changed.revision - 1;
		if (sim->last_revision && action->changed.revision != sim->last_revision + 1)
			sim_break(sim, "revisions are dense", "%" PRIu64 " after %" PRIu64,
			          action->changed.revision, sim->last_revision);
		sim->last_revision = action->changed.revision;
		break;
	case ACTION_REFUSED:
		sim_break(sim, "an honest agent is believed", "%s", action->refused.text);
		break;
	case ACTION_STOP:
		sim_break(sim, "the coordinator does not stop by itself", "%s", action->stop.text);
		break;
	default:
		break;
	}
}

void sim_check_drains(struct sim *sim, bool must_finish)
{
	if (!sim->fleet) {
		sim_break(sim, "the coordinator is up at the end", "it is not");
		return;
	}
	if (sim->open_requests)
		sim_break(sim, "every request is answered", "%zu are not", sim->open_requests);
	for (struct drain *drain = sim->fleet->drains; drain; drain = drain->hh.next) {
		if (drain_state_is_final(drain->kept.state))
			continue;
		if (must_finish)
			sim_break(sim, "a drain with room enough ends", "drain/%" PRIu64 " %s: %s",
			          drain->kept.number, drain_state_name(drain->kept.state),
			          drain->status);
		if (!drain->status[0])
			sim_break(sim, "a drain says what it does", "drain/%" PRIu64,
			          drain->kept.number);
		for (size_t i = 0; i < drain->n_vms; i++) {
			const struct drain_vm *dv = &drain->vms[i];

			if ((dv->state == DRAIN_VM_WAITING || dv->state == DRAIN_VM_BLOCKED) &&
			    !dv->reason[0])
				sim_break(sim, "whoever waits says for what", "%s", dv->name);
		}
	}
}
