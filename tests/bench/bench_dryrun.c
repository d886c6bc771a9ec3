/* SPDX-License-Identifier: Apache-2.0 */
/* Run by tests/bench/dryrun: what a drain's dry run costs the coordinator. In one process, without network and
 * with hosts that admit at once: what the owner thread does from the request to the answer, and nothing else.
 *
 *	request --> plan, explain --> a question to each destination --> the answers --> reply as a message
 *
 * Prints one line "name value" each: milliseconds of CPU, and of the clock, of the whole (mean, p50, p99,
 * worst), and of its parts; and of "explain plan/ID" for the plan that it has made. */
#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"
#include "coordinator/core/plan/plan_memory.h"
#include "coordinator/view/view.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Five sixths full by GUEST_MIB and 15 guests. */
#define HOST_MIB       65536
#define LARGE_MIB      8192
#define GUEST_MIB(i)   ((i) % 5 ? 1024 + 512 * ((i) % 7) : LARGE_MIB)
#define NAME_BYTES     48
#define VMS_MOST       64
#define QUESTIONS_MOST 512

enum part { PART_PLAN, PART_ANSWERS, PART_VIEW, PARTS };
static double parts[PARTS];

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
	return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static void add_host(struct core_world *world, const char *node, size_t guests)
{
	uint64_t sum_mib = 0;

	core_world_host(world, node, HOST_MIB, NULL, 0);
	for (size_t i = 0; i < guests; i++) {
		char name[NAME_BYTES];
		struct vm_state vm;

		snprintf(name, sizeof(name), "%.12s-%zu", node, i);
		vm = core_world_vm(name, GUEST_MIB(i));
		sum_mib += GUEST_MIB(i) + 16;
		core_world_see(world, node, &vm);
		core_world_forget(world);
	}
	core_world_figures(world, node, HOST_MIB, sum_mib);
	core_world_forget(world);
}

/* Each destination that is asked says yes, at once. */
static void answer_all(struct core_world *world)
{
	uint64_t questions[QUESTIONS_MOST];
	size_t n = 0;

	for (size_t i = 0; i < world->seen.count && n < QUESTIONS_MOST; i++) {
		if (world->seen.items[i].kind == ACTION_PREVIEW)
			questions[n++] = world->seen.items[i].preview.preview;
	}
	for (size_t i = 0; i < n; i++) {
		struct checks none = { 0 };
		struct event event = { .kind = EVENT_PREVIEW_OUTCOME };

		event.preview.preview = questions[i];
		event.preview.outcome = CALL_ANSWERED;
		event.preview.admitted = true;
		event.preview.checks = &none;
		event.preview.guard = GUARD_IMAGE_LOCK;
		core_world_step(world, &event);
	}
}

static void end_part(enum part part, double *began)
{
	double now = cpu_seconds();

	parts[part] += now - *began;
	*began = now;
}

/* The id of its plan. Fails where a guest has no place: then something else is measured. */
static const char *run_dry(struct core_world *world, const char *node)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	double began = cpu_seconds();
	const struct reply *reply;

	event.drain.node = node;
	event.drain.reason = "";
	event.drain.dry_run = true;
	core_world_step(world, &event);
	end_part(PART_PLAN, &began);
	answer_all(world);
	end_part(PART_ANSWERS, &began);
	reply = core_world_reply(world);
	if (!reply->plan || !reply->plan->plan_id[0]) {
		fprintf(stderr, "bench_dryrun: %s cannot be drained\n", node);
		exit(1);
	}
	view_free(view_drain_new(world->fleet, reply->plan, 42));
	end_part(PART_VIEW, &began);
	return reply->plan->plan_id;
}

static void run_explain(struct core_world *world, const char *id)
{
	struct event event = { .kind = EVENT_EXPLAIN_PLAN, .request = 8 };
	const struct kept_plan *plan = plan_memory_find(world->fleet, id);
	const struct reply *reply;

	event.explain.plan = id;
	core_world_step(world, &event);
	reply = core_world_reply(world);
	if (!plan || reply->kind != REPLY_EXPLAIN || reply->effects.count) {
		fprintf(stderr, "bench_dryrun: plan %s does not hold\n", id);
		exit(1);
	}
	view_free(view_plan_new(world->fleet, plan, &reply->effects));
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_times(const char *name, double *s, size_t n)
{
	double sum = 0;

	qsort(s, n, sizeof(*s), compare);
	for (size_t i = 0; i < n; i++)
		sum += s[i];
	printf("%s_mean_ms %.3f\n", name, sum * 1e3 / (double)n);
	printf("%s_p50_ms %.3f\n", name, s[n / 2] * 1e3);
	printf("%s_p99_ms %.3f\n", name, s[n * 99 / 100] * 1e3);
	printf("%s_worst_ms %.3f\n", name, s[n - 1] * 1e3);
}

int main(int argc, char **argv)
{
	size_t hosts = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	size_t guests = argc > 2 ? strtoul(argv[2], NULL, 10) : 15;
	size_t runs = argc > 3 ? strtoul(argv[3], NULL, 10) : 200;
	double *cpu = xcalloc(runs, sizeof(*cpu)), *wall = xcalloc(runs, sizeof(*wall));
	double *explain = xcalloc(runs, sizeof(*explain));
	struct core_world *world = core_world_new();
	char node[NAME_BYTES], id[PLAN_ID_BYTES];

	if (guests > VMS_MOST || !hosts || !runs)
		return 2;
	world->fleet->options.caps = (struct caps){ .cluster = 5, .outbound = 2, .inbound = 2 };
	for (size_t i = 0; i < hosts; i++) {
		snprintf(node, sizeof(node), "host%zu", i);
		add_host(world, node, guests);
	}
	for (size_t i = 0; i < runs; i++) {
		double cpu_began, wall_began;

		snprintf(node, sizeof(node), "host%zu", i * 7919 % hosts);
		core_world_forget(world);
		cpu_began = cpu_seconds();
		wall_began = seconds_of(CLOCK_MONOTONIC);
		text_copy(id, sizeof(id), run_dry(world, node));
		cpu[i] = cpu_seconds() - cpu_began;
		wall[i] = seconds_of(CLOCK_MONOTONIC) - wall_began;
		core_world_forget(world);
		cpu_began = cpu_seconds();
		run_explain(world, id);
		explain[i] = cpu_seconds() - cpu_began;
	}
	print_times("cpu", cpu, runs);
	print_times("wall", wall, runs);
	print_times("explain", explain, runs);
	for (size_t i = 0; i < PARTS; i++)
		printf("%s_ms %.3f\n", (const char *const[]){ "plan", "answers", "view" }[i],
		       parts[i] * 1e3 / (double)runs);
	free(cpu);
	free(wall);
	free(explain);
	core_world_free(world);
	return 0;
}
