/* SPDX-License-Identifier: Apache-2.0 */
/* Production agents and coordinators in a simulated world, seed after seed.
 *
 *	sim_agents --seeds 1-200          what CI runs
 *	sim_agents --seed 42 --trace      one history again, with the world's time on each line
 *	sim_agents --seeds 1-200 --bug commit-early --expect-violation
 *
 * Each seed: a cluster boots, an operator asks for drains and moves while things break for a minute
 * or two; then nothing breaks any more, and within a bound all that was accepted has ended. The
 * invariants are looked at after every event. */
#include "tests/sim/cluster.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOT_US    ((uint64_t)5 * 1000000)
#define TROUBLE_US ((uint64_t)60 * 1000000)
#define CALM_US    ((uint64_t)600 * 1000000)

/* What a killed process had allocated is gone with it in the real world only. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

struct totals {
	unsigned seeds, moves_started, moves_done, moves_failed, drains, faults;
	uint64_t events, world_us;
};

static void run_until(uint64_t until_us)
{
	while (!cluster.violation[0] && world_now_us() < until_us && world_step())
		cluster_check();
}

static void run_until_settled(uint64_t until_us)
{
	uint64_t look_us = world_now_us();

	while (!cluster.violation[0] && world_now_us() < until_us && world_step()) {
		cluster_check();
		if (world_now_us() < look_us)
			continue;
		look_us = world_now_us() + 2000000;
		if (cluster_is_settled())
			break;
	}
}

static bool run_seed(uint64_t seed, bool faults, struct totals *totals)
{
	uint64_t began_us;
	bool good;

	cluster_begin(seed, faults);
	began_us = world_now_us();
	run_until(began_us + BOOT_US + TROUBLE_US + world_draw(TROUBLE_US));
	cluster_faults_stop();
	/* Agents notice what changed, before "nothing is under way" means anything. */
	run_until(world_now_us() + (uint64_t)20 * 1000000);
	run_until_settled(world_now_us() + CALM_US);
	if (!cluster.violation[0])
		cluster_check_end();
	good = !cluster.violation[0];
	if (!good)
		printf("seed %llu at %.3f s: %s\n", (unsigned long long)seed,
		       (double)(world_now_us() - began_us) / 1e6, cluster.violation);
	if (world_trace)
		printf("seed %llu: %llu events, fingerprint %016llx\n", (unsigned long long)seed,
		       (unsigned long long)world_count_events(),
		       (unsigned long long)world_fingerprint());
	totals->seeds++;
	totals->moves_started += cluster.moves_started;
	totals->moves_done += cluster.moves_done;
	totals->moves_failed += cluster.moves_failed;
	totals->drains += cluster.drains_completed;
	totals->faults += cluster.faults_made;
	totals->events += world_count_events();
	totals->world_us += world_now_us() - began_us;
	cluster_end();
	return good;
}

static enum cluster_bug find_bug(const char *name)
{
	for (int i = 0; i < CLUSTER_BUGS; i++) {
		if (strcmp(cluster_bug_name((enum cluster_bug)i), name) == 0)
			return (enum cluster_bug)i;
	}
	fprintf(stderr, "sim_agents: there is no bug \"%s\"; there are:", name);
	for (int i = 1; i < CLUSTER_BUGS; i++)
		fprintf(stderr, " %s", cluster_bug_name((enum cluster_bug)i));
	fputc('\n', stderr);
	exit(2);
}

static int usage(void)
{
	fprintf(stderr, "usage: sim_agents [--seed N | --seeds A-B] [--trace] [--no-faults]\n"
	                "                  [--bug NAME] [--expect-violation]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'S' },
		{ "trace", no_argument, NULL, 't' },
		{ "no-faults", no_argument, NULL, 'n' },
		{ "bug", required_argument, NULL, 'b' },
		{ "expect-violation", no_argument, NULL, 'e' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned long long first = 1, last = 200, broken = 0, seed;
	bool faults = true, expected = false;
	struct totals totals = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's' && sscanf(optarg, "%llu", &first) == 1)
			last = first;
		else if (option == 'S' && sscanf(optarg, "%llu-%llu", &first, &last) == 2)
			continue;
		else if (option == 't')
			world_trace = true;
		else if (option == 'n')
			faults = false;
		else if (option == 'b')
			cluster_bug = find_bug(optarg);
		else if (option == 'e')
			expected = true;
		else
			return usage();
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (seed = first; seed <= last; seed++) {
		if (run_seed(seed, faults, &totals))
			continue;
		broken++;
		printf("replay: tools/simulate --seed %llu%s%s\n", seed,
		       cluster_bug ? " --bug " : "",
		       cluster_bug ? cluster_bug_name(cluster_bug) : "");
		if (expected)
			break;
	}
	printf("%u seeds, %llu broken: %u moves (%u done, %u failed or cancelled), %u drains "
	       "completed, %u faults, %llu events, %.1f h of the world\n",
	       totals.seeds, broken, totals.moves_started, totals.moves_done, totals.moves_failed,
	       totals.drains, totals.faults, (unsigned long long)totals.events,
	       (double)totals.world_us / 3.6e9);
	if (expected)
		return broken ? 0 : 1;
	return broken ? 1 : 0;
}
