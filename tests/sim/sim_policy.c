/* SPDX-License-Identifier: Apache-2.0 */
/* Hard policies in a random fleet: said once the guests are where they hold, and from the moment of the
 * answer judged on the hosts themselves, where a guest is on both ends while it moves. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

/* Guests on hosts of their own, as many as are asked for; false: there are not so many. */
static bool draw_apart(struct sim *sim, int wanted)
{
	sim->n_apart = 0;
	for (int v = 0; v < sim->n_vms && sim->n_apart < wanted; v++) {
		bool alone = sim->vms[v].host >= 0;

		for (int i = 0; i < sim->n_apart; i++)
			alone &= sim->vms[sim->apart[i]].host != sim->vms[v].host;
		if (alone)
			sim->apart[sim->n_apart++] = v;
	}
	return sim->n_apart == wanted;
}

static bool is_apart(const struct sim *sim, int vm)
{
	for (int i = 0; i < sim->n_apart; i++) {
		if (sim->apart[i] == vm)
			return true;
	}
	return false;
}

/* Another guest, which may be on all hosts but the last. */
static bool draw_on(struct sim *sim)
{
	sim->n_on = sim->n_hosts - 1;
	for (int v = 0; v < sim->n_vms; v++) {
		if (is_apart(sim, v) || sim->vms[v].host < 0 || sim->vms[v].host >= sim->n_on)
			continue;
		sim->on_vm = v;
		return true;
	}
	return false;
}

/* Until it has been answered: from then on it is kept, whatever dies. */
static bool say(struct sim *sim, enum policy_kind kind, const char *name, const struct names *vms,
                const struct names *nodes)
{
	for (unsigned i = 0; i < 30; i++) {
		sim_set_policy(sim, kind, name, vms, nodes);
		sim_run(sim, 1000, NULL);
		/* Of this one: the answer to the one before stays until there is another. */
		if (sim->last_reply && sim->last_reply->kind == REPLY_POLICY &&
		    strcmp(sim->last_reply->policy, name) == 0)
			return true;
	}
	return false;
}

void sim_draw_policies(struct sim *sim)
{
	struct names apart = { 0 }, on = { 0 }, hosts = { 0 };

	if (draw_apart(sim, sim->n_hosts > 3 ? 3 : 2)) {
		for (int i = 0; i < sim->n_apart; i++)
			names_add(&apart, sim->vms[sim->apart[i]].name);
		sim->apart_said = say(sim, POLICY_APART, "apart", &apart, &hosts);
	}
	if (draw_on(sim)) {
		names_add(&on, sim->vms[sim->on_vm].name);
		for (int h = 0; h < sim->n_on; h++)
			names_add(&hosts, sim->hosts[h].name);
		sim->on_said = say(sim, POLICY_ON, "on", &on, &hosts);
	}
	names_deinit(&apart);
	names_deinit(&on);
	names_deinit(&hosts);
}

static bool is_present(const struct sim *sim, int vm, int host)
{
	if (sim->vms[vm].host == host || sim->vms[vm].incoming == host)
		return true;
	for (size_t i = 0; i < sim->n_attempts; i++) {
		const struct sim_attempt *a = sim->attempts[i];

		if (a->vm == vm && !a->tombstoned && (a->source == host || a->target == host))
			return true;
	}
	return false;
}

void sim_check_policies(struct sim *sim)
{
	for (int h = 0; h < sim->n_hosts; h++) {
		int here = 0;

		for (int i = 0; sim->apart_said && i < sim->n_apart; i++)
			here += is_present(sim, sim->apart[i], h);
		if (here > 1)
			sim_break(sim, "guests that must be apart are never on one host",
			          "%d on %s", here, sim->hosts[h].name);
		if (sim->on_said && h >= sim->n_on && is_present(sim, sim->on_vm, h))
			sim_break(sim, "a guest is only on the hosts that its policy names",
			          "%s on %s", sim->vms[sim->on_vm].name, sim->hosts[h].name);
	}
}
