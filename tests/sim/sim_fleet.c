/* SPDX-License-Identifier: Apache-2.0 */
/* Random fleets, random faults, the same rules.
 *
 *	sim_fleet                  200 seeds; the first that breaks a rule is replayed with its trace
 *	sim_fleet --seed N         one seed, with its trace
 *	sim_fleet --seeds N        seeds 1 to N
 *	sim_fleet --from N ...     starting at N
 */
#include "common/units.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STORM_MS (3 * 60 * 1000)
#define CALM_MS  (40 * 60 * 1000)

static struct sim_faults draw_faults(uint64_t seed)
{
	struct sim_faults f = { .lose_call = 30,
		                .lose_reply = 30,
		                .repeat_call = 50,
		                .late_call = 30,
		                .not_sent = 20,
		                .crash_action = 2,
		                .refuse = 60,
		                .slow_admission = 60,
		                .fail_move = 60,
		                .agent_dies = 6,
		                .connection_dies = 8,
		                .guest_starts = 4 };

	/* Some worlds are worse in one respect, some are fine but for one thing. */
	switch (seed % 6) {
	case 1:
		f.crash_action = 15;
		break;
	case 2:
		f.late_call = 200;
		break;
	case 3:
		f = (struct sim_faults){ .crash_action = 20 };
		break;
	case 4:
		f.agent_dies = f.connection_dies = 30;
		break;
	case 5:
		f = (struct sim_faults){ .lose_call = 150, .lose_reply = 150, .late_call = 100 };
		break;
	default:
		break;
	}
	return f;
}

static void build(struct sim *sim)
{
	int hosts = 3 + (int)sim_random(sim, 3), vms = 4 + (int)sim_random(sim, 12);

	for (int i = 0; i < hosts; i++) {
		char name[16];

		snprintf(name, sizeof(name), "host%d", i + 1);
		sim_add_host(sim, name, (8 + sim_random(sim, 8)) * GIB);
	}
	for (int i = 0; i < vms; i++) {
		char name[16];

		snprintf(name, sizeof(name), "vm%d", i + 1);
		sim_add_vm(sim, name,
		           (int)sim_random(sim, 2) ? 0 : (int)sim_random(sim, (uint64_t)hosts),
		           (128 + sim_random(sim, 8) * 64) * MIB);
	}
}

static const char *random_vm(struct sim *sim)
{
	return sim->vms[sim_random(sim, (uint64_t)sim->n_vms)].name;
}

/* What operators do meanwhile; one drain of host1 is always among it. */
static void operate(struct sim *sim)
{
	const char *host = sim->hosts[1 + sim_random(sim, (uint64_t)sim->n_hosts - 1)].name;

	switch (sim_random(sim, 9)) {
	case 0:
		sim_migrate(sim, random_vm(sim), "");
		break;
	case 1:
		sim_migrate(sim, random_vm(sim), host);
		break;
	case 2:
		sim_cancel(sim, "vm", random_vm(sim));
		break;
	case 3:
		sim_ask_node(sim, EVENT_CORDON, host);
		break;
	case 4:
		sim_ask_node(sim, EVENT_UNDRAIN, host);
		break;
	case 5:
		sim_drain(sim, host, NULL, true);
		break;
	case 6:
		sim_drain(sim, host, NULL, false);
		break;
	default:
		sim_drain(sim, sim->hosts[0].name, NULL, false);
		break;
	}
}

static bool all_over(struct sim *sim)
{
	if (!sim->fleet || sim->fleet->n_active || sim->open_requests || !sim->fleet->drains)
		return false;
	for (struct drain *drain = sim->fleet->drains; drain; drain = drain->hh.next) {
		if (!drain_state_is_final(drain->kept.state))
			return false;
	}
	return true;
}

static bool is_drained(struct sim *sim)
{
	const struct node *node = sim->fleet ? fleet_find_node(sim->fleet, "host1") : NULL;

	return node && (node->kept.drain_number || node->kept.maintenance);
}

/* Calm at last: everything is given room, and must come to an end. */
static void finish(struct sim *sim)
{
	sim->faults = (struct sim_faults){ 0 };
	for (int i = 0; i < sim->n_hosts; i++)
		sim->hosts[i].capacity_bytes = 64 * GIB;
	sim_run(sim, 60000, NULL);
	for (int i = 1; i < sim->n_hosts; i++)
		sim_ask_node(sim, EVENT_UNDRAIN, sim->hosts[i].name);
	if (!is_drained(sim))
		sim_drain(sim, "host1", NULL, false);
	sim_run(sim, CALM_MS, all_over);
	sim_run(sim, 20000, NULL);
	sim_check_drains(sim, true);
	if (!sim->broken && sim->fleet->n_active)
		sim_break(sim, "every migration ends", "%zu are under way", sim->fleet->n_active);
	if (!sim->broken && sim_host_count_guests(sim, 0))
		sim_break(sim, "host1 is empty at the end", "%u guests",
		          sim_host_count_guests(sim, 0));
}

static bool run_seed(uint64_t seed, FILE *trace, uint64_t *ret_events, uint64_t *ret_moves,
                     uint64_t *ret_ahead)
{
	struct sim_faults faults = draw_faults(seed);
	struct sim *sim = sim_new(seed, &faults);
	bool ok;

	sim->trace = trace;
	sim->leave_unmovable = seed % 2;
	sim->options.caps.preparing = (uint32_t)(seed % 4);
	sim->slow_moves = seed % 7 == 3;
	build(sim);
	sim_agents_start(sim);
	sim_coordinator_start(sim);
	sim_run(sim, 3000, NULL);
	if (seed / 6 % 2)
		sim_draw_policies(sim);
	sim_drain(sim, "host1", NULL, false);
	for (uint64_t spent = 0; spent < STORM_MS && !sim->broken; spent += 10000) {
		sim_run(sim, 10000, NULL);
		if (sim_random(sim, 3) == 0)
			operate(sim);
	}
	if (!sim->broken)
		finish(sim);
	ok = !sim->broken;
	if (!ok)
		fprintf(stderr, "seed %" PRIu64 ": broken: %s: %s\n", seed, sim->broken,
		        sim->broken_text);
	*ret_events += sim->n_events;
	*ret_moves += sim->n_done;
	*ret_ahead += sim->n_let_go;
	if (trace)
		fprintf(trace,
		        "seed %" PRIu64 ": %" PRIu64 " events, %" PRIu64 " starts, %" PRIu64
		        " let go, %" PRIu64 " moves, %" PRIu64 " crashes\n",
		        seed, sim->n_events, sim->n_starts, sim->n_let_go, sim->n_done,
		        sim->n_crashes);
	sim_free(sim);
	return ok;
}

int main(int argc, char **argv)
{
	uint64_t from = 1, count = 200, events = 0, moves = 0, ahead = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		uint64_t value = strtoull(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--seed") == 0)
			return run_seed(value, stdout, &events, &moves, &ahead) ? 0 : 1;
		if (strcmp(argv[i], "--seeds") == 0) {
			count = value;
		} else if (strcmp(argv[i], "--from") == 0) {
			from = value;
		} else {
			fprintf(stderr, "usage: %s [--seed N] [--seeds N] [--from N]\n", argv[0]);
			return 2;
		}
	}
	for (uint64_t seed = from; seed < from + count; seed++) {
		if (!run_seed(seed, NULL, &events, &moves, &ahead)) {
			printf("replayed by: %s --seed %" PRIu64 "\n", argv[0], seed);
			return 1;
		}
	}
	printf("%" PRIu64 " seeds, %" PRIu64 " events, %" PRIu64 " guests moved, %" PRIu64
	       " prepared ahead: every rule held\n",
	       count, events, moves, ahead);
	return 0;
}
