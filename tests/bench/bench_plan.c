/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of the planner, a suite per call: lines "SUITE KEY VALUE" for tests/bench/plan to judge.
 *
 *	ucc15 DIR   published plans: same moves, durations and rates; our order
 *	large       10,000 hosts, 200,000 guests, 500 hosts drained: CPU and memory
 *	replan      1,000 hosts, 100 drained: a plan anew after each of many events
 *	mix         six drains, several seeds, beside simulated peers
 *	ends        when moves end as planned, beside agents' rules and TCP's shares
 *	tight       planted drains: a place for everybody exists by construction
 *	cycles      full hosts that change guests around, two, one or no host to spare
 *
 * All is generated from seeds.
 */
#include "tests/bench/bench_plan.h"

#include "common/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double bench_cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_large(void)
{
	const struct bench_shape shape = { 10000, 20, 500, 25, 0, 1 };
	double best = INFINITY;
	struct planner_plan plan;
	struct instance in;
	struct rusage usage;

	bench_make_drain(&in, &shape, 1);
	for (unsigned i = 0; i < 5; i++) {
		double before = bench_cpu_s();

		planner_make(&in, &(struct planner_options){ .seed = 1 }, &plan);
		best = fmin(best, bench_cpu_s() - before);
		if (i < 4)
			planner_plan_deinit(&plan);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("large moves %u\nlarge blocked %u\nlarge cpu_ms %.2f\nlarge rss_mib %.1f\n"
	       "large ratio %.4f\n",
	       plan.schedule.n_moves, plan.n_proofs, best * 1e3, (double)usage.ru_maxrss / 1024,
	       plan.schedule.makespan_s / plan.bounds.all_s);
	planner_plan_deinit(&plan);
	instance_deinit(&in);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* A quarter of what leaves runs already, another one each time, at another rate. */
static void disturb(struct instance *in, const uint32_t *targets, unsigned turn)
{
	for (uint32_t v = 0; v < in->n_vms; v++) {
		struct instance_vm *vm = &in->vms[v];

		if (vm->role == INSTANCE_STAYS || targets[v] == INSTANCE_NONE)
			continue;
		if (vm->role == INSTANCE_RUNNING) {
			in->hosts[vm->target].free_bytes[0] += vm->need_bytes;
			vm->role = INSTANCE_LEAVES;
			vm->target = INSTANCE_NONE;
		} else if (instance_mix(turn, v) % 4 == 0 &&
		           in->hosts[targets[v]].free_bytes[0] >= vm->need_bytes) {
			vm->role = INSTANCE_RUNNING;
			vm->target = targets[v];
			in->hosts[vm->target].free_bytes[0] -= vm->need_bytes;
		}
	}
	for (uint32_t h = turn % 7; h < in->n_hosts; h += 7) {
		in->hosts[h].in_bytes_per_s = 25e9 / 8 * (turn % 2 ? .85 : 1);
		in->hosts[h].out_bytes_per_s = in->hosts[h].in_bytes_per_s;
	}
}

static void time_replans(struct instance *in, const uint32_t *targets, enum schedule_rates rates,
                         const char *name)
{
	enum { TURNS = 300 };
	static double ms[TURNS];
	struct planner_plan plan;

	for (unsigned i = 0; i < TURNS; i++) {
		double before;

		disturb(in, targets, i);
		before = bench_cpu_s();
		planner_make(in, &(struct planner_options){ .seed = 1, .rates = rates }, &plan);
		ms[i] = (bench_cpu_s() - before) * 1e3;
		planner_plan_deinit(&plan);
	}
	qsort(ms, TURNS, sizeof(*ms), compare_doubles);
	printf("replan %sp50_ms %.3f\nreplan %sp99_ms %.3f\n", name, ms[TURNS / 2], name,
	       ms[TURNS * 99 / 100]);
}

static void run_replan(void)
{
	const struct bench_shape shape = { 1000, 20, 100, 25, 0, 1 };
	struct planner_plan plan;
	struct instance in;
	uint32_t *targets;

	bench_make_drain(&in, &shape, 1);
	planner_make(&in, &(struct planner_options){ .seed = 1 }, &plan);
	printf("replan moves %u\n", plan.schedule.n_moves);
	targets = xmemdup(plan.placement.targets, in.n_vms * sizeof(*targets));
	planner_plan_deinit(&plan);
	time_replans(&in, targets, SCHEDULE_SHORTEST, "");
	time_replans(&in, targets, SCHEDULE_FAIR, "fair_");
	free(targets);
	instance_deinit(&in);
}

int main(int argc, char **argv)
{
	const char *suite = argc > 1 ? argv[1] : "";

	if (strcmp(suite, "ucc15") == 0 && argc == 3)
		return bench_ucc15(argv[2]);
	if (strcmp(suite, "large") == 0)
		run_large();
	else if (strcmp(suite, "replan") == 0)
		run_replan();
	else if (strcmp(suite, "mix") == 0)
		bench_run_mix();
	else if (strcmp(suite, "ends") == 0)
		bench_run_ends();
	else if (strcmp(suite, "tight") == 0)
		bench_run_tight();
	else if (strcmp(suite, "cycles") == 0)
		bench_run_cycles();
	else
		return fprintf(stderr, "bench_plan ucc15 DIR|large|replan|mix|ends|tight|cycles\n"),
		       2;
	return 0;
}
