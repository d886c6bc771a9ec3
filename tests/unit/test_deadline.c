/* SPDX-License-Identifier: Apache-2.0 */
/* A drain's deadline: met or missed, by whom, what would help, and that it is told and stops nothing. */
#include "coordinator/core/drain/deadline.h"

#include "coordinator/core/move/lanes.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const four[] = { "web1", "web2", "web3", "web4" };

/* The world's wall clock stands at 42. */
static void drain(struct core_world *world, uint64_t within_ms, uint64_t bandwidth, bool dry_run)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };

	event.drain.node = "host1";
	event.drain.reason = "";
	event.drain.by_wall_ms = 42 + within_ms;
	event.drain.bandwidth_bytes_per_s = bandwidth;
	event.drain.dry_run = dry_run;
	core_world_step(world, &event);
}

static void answer_previews(struct core_world *world)
{
	struct checks none = { 0 };
	struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };

	answer.preview.outcome = CALL_ANSWERED;
	answer.preview.admitted = true;
	answer.preview.checks = &none;
	for (uint64_t i = 1; i <= world->fleet->next_preview; i++) {
		answer.preview.preview = i;
		core_world_step(world, &answer);
	}
}

static const struct drain *dry(struct core_world *world, uint64_t within_ms, uint64_t bandwidth)
{
	drain(world, within_ms, bandwidth, true);
	answer_previews(world);
	return core_world_reply(world)->plan;
}

static struct core_world *two_hosts(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, four, 4);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_forget(world);
	return world;
}

static bool helps_with(const struct drain *plan, const char *text)
{
	for (size_t i = 0; i < plan->deadline.helps.count; i++) {
		if (strstr(plan->deadline.helps.items[i], text))
			return true;
	}
	return false;
}

/* The same of hundreds over many slots, counted in the plainest way. */
static void test_schedule_many(void **state)
{
	enum { GUESTS = 500, SLOTS_MOST = 40 };
	uint64_t durations[GUESTS], ends[GUESTS], free_ms[SLOTS_MOST];

	(void)state;
	for (uint64_t i = 0; i < GUESTS; i++)
		durations[i] = i * 7919 % 101;
	for (uint32_t slots = 1; slots <= SLOTS_MOST; slots++) {
		deadline_schedule(durations, GUESTS, slots, ends);
		memset(free_ms, 0, sizeof(free_ms));
		for (size_t i = 0; i < GUESTS; i++) {
			size_t first = 0;

			for (size_t s = 1; s < slots; s++)
				first = free_ms[s] < free_ms[first] ? s : first;
			free_ms[first] += durations[i];
			assert_int_equal(ends[i], free_ms[first]);
		}
	}
}

/* List scheduling: the next one goes where there is room first. */
static void test_schedule(void **state)
{
	static const uint64_t durations[] = { 5, 3, 4, 1 };
	uint64_t ends[4];

	(void)state;
	deadline_schedule(durations, 4, 2, ends);
	assert_int_equal(ends[0], 5);
	assert_int_equal(ends[1], 3);
	assert_int_equal(ends[2], 7);
	assert_int_equal(ends[3], 6);
	deadline_schedule(durations, 4, 0, ends);
	assert_int_equal(ends[3], 13);
}

/* Shortest first: a small one that has to begin beside a large one is out after its own time, and the
 * whole takes what the link needs for all. What comes before a move sends is no time of the link. */
static void test_lanes(void **state)
{
	struct lane_time t[] = { { .link_ms = 100 }, { .link_ms = 10 }, { .link_ms = 20 } };

	(void)state;
	lanes_schedule(t, 3, 2);
	assert_int_equal(t[1].end_ms, 10);
	assert_int_equal(t[2].begin_ms, 10);
	assert_int_equal(t[2].end_ms, 30);
	assert_int_equal(t[0].end_ms, 130);
	t[1].around_ms = t[2].around_ms = 5;
	lanes_schedule(t, 3, 2);
	assert_int_equal(t[1].end_ms, 15);
	assert_int_equal(t[2].begin_ms, 15);
	assert_int_equal(t[2].end_ms, 40);
	assert_int_equal(t[0].end_ms, 130);
	lanes_schedule(t, 3, 0);
	assert_int_equal(t[0].end_ms, 100);
	assert_int_equal(t[2].end_ms, 140);
}

/* Of any: nobody is out before it can be, the last one when the link has carried all, and on average with
 * more slots no later. */
static void test_lanes_any(void **state)
{
	struct lane_time t[12];

	(void)state;
	srand(3);
	for (unsigned round = 0; round < 5000; round++) {
		size_t n = 1 + (size_t)rand() % 12;
		uint64_t before_ms = UINT64_MAX, link_ms = 0;

		for (size_t i = 0; i < n; i++) {
			t[i] = (struct lane_time){ .link_ms = (uint64_t)rand() % 50 };
			link_ms += t[i].link_ms;
		}
		for (uint32_t slots = 1; slots < 5; slots++) {
			uint64_t last_ms = 0, mean_ms = 0;

			lanes_schedule(t, n, slots);
			for (size_t i = 0; i < n; i++) {
				assert_true(t[i].end_ms >= t[i].begin_ms + t[i].link_ms);
				mean_ms += t[i].end_ms;
				if (t[i].end_ms > last_ms)
					last_ms = t[i].end_ms;
			}
			assert_int_equal(last_ms, link_ms);
			assert_true(mean_ms <= before_ms);
			before_ms = mean_ms;
		}
	}
}

/* Enough time: met, with the latest start that would still do. */
static void test_met(void **state)
{
	struct core_world *world = two_hosts();
	const struct drain *plan = dry(world, 3600000, 0);

	(void)state;
	assert_false(plan->deadline.missed);
	assert_int_equal(plan->deadline.late_ms, 0);
	assert_non_null(strstr(plan->deadline.text, "will be met"));
	assert_int_equal(plan->deadline.latest_start_wall_ms, 42 + 3600000 - plan->deadline.end_ms);
	assert_int_equal(plan->deadline.helps.count, 0);
	core_world_free(world);
}

/* Too little: by how much, who would still be there, and what of it is the limit that was asked for. */
static void test_missed(void **state)
{
	struct core_world *world = two_hosts();
	/* 4 x 256 MiB, two at a time, at 1 MiB/s each: some nine minutes. */
	const struct drain *plan = dry(world, 300000, 1 << 20);
	size_t late = 0;

	(void)state;
	assert_true(plan->deadline.missed);
	assert_true(plan->deadline.late_ms > 60000);
	assert_non_null(strstr(plan->deadline.text, "will be missed by about"));
	for (size_t i = 0; i < plan->n_vms; i++)
		late += plan->vms[i].late;
	assert_int_equal(late, 2);
	assert_int_equal(plan->deadline.n_late, 2);
	assert_true(helps_with(plan, "without the limit of"));
	assert_true(helps_with(plan, "parallelOutboundMigrationsPerNode: 4"));
	core_world_free(world);
}

/* One large guest makes the difference: it is named with the flags. */
static void test_one_makes_the_difference(void **state)
{
	struct core_world *world = core_world_new();
	struct vm_state large = core_world_vm("large", 2048);
	const struct drain *plan;

	(void)state;
	large.persistent = true;
	core_world_host(world, "host1", 4096, four, 2);
	core_world_see(world, "host1", &large);
	core_world_host(world, "host2", 4096, NULL, 0);
	plan = dry(world, 600000, 1 << 20);
	assert_int_equal(plan->deadline.n_late, 1);
	assert_true(helps_with(plan, "--leave large"));
	assert_true(helps_with(plan, "shut down large (--shutdown large)"));
	core_world_free(world);
}

/* Later than it is expected to end is missed, by however little; beforehand nothing wavers. What would help is
 * always said: a time at least. */
static void test_missed_by_little(void **state)
{
	struct core_world *world = two_hosts();
	const struct drain *plan = dry(world, 3600000, 0);
	uint64_t needed_ms = plan->deadline.end_ms;

	(void)state;
	assert_in_range(needed_ms, 2000, 60000);
	plan = dry(world, needed_ms - 1, 0);
	assert_true(plan->deadline.missed);
	assert_int_equal(plan->deadline.late_ms, 1);
	assert_true(helps_with(plan, "--by "));
	plan = dry(world, 1000, 0);
	assert_int_equal(plan->deadline.n_late, 4);
	assert_true(helps_with(plan, "a later time: about "));
	assert_false(helps_with(plan, "--leave"));
	plan = dry(world, needed_ms, 0);
	assert_false(plan->deadline.missed);
	assert_int_equal(plan->deadline.helps.count, 0);
	core_world_free(world);
}

/* What no single thing brings does with more of it: several guests that stay, or a faster network. */
static void test_more_of_it(void **state)
{
	struct core_world *world = two_hosts();
	uint64_t needed_ms = dry(world, 3600000, 0)->deadline.end_ms;
	const struct drain *plan = dry(world, needed_ms / 2, 0);

	(void)state;
	assert_true(plan->deadline.missed);
	assert_true(helps_with(plan, "without 2 of them"));
	assert_true(helps_with(plan, " --leave web"));
	core_world_free(world);
}

/* Under way: told at once and once; the drain is accepted, goes on, and moves what it would have moved. */
static void f64_told_and_nothing_stopped(void **state)
{
	struct core_world *world = two_hosts();

	(void)state;
	drain(world, 300000, 1 << 20, false);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(core_world_count_told(world, "its deadline will be missed by about"), 1);
	core_world_wait(world, 20);
	assert_int_equal(core_world_count_told(world, "its deadline will be missed by about"), 1);
	/* Passed: said once, and nothing is stopped. */
	fleet_find_drain(world->fleet, 1)->kept.by_wall_ms = 41;
	core_world_wait(world, 5);
	assert_int_equal(core_world_count_told(world, "its deadline has passed"), 1);
	assert_int_equal(world->fleet->slots_held, 2);
	assert_int_equal(core_world_count(world, ACTION_CANCEL), 0);
	assert_int_equal(fleet_find_drain(world->fleet, 1)->kept.state, DRAIN_RUNNING);
	core_world_free(world);
}

/* An estimate that wavers around the limit is one piece of news; what is told is what has stayed so. */
static void test_wavers(void **state)
{
	struct core_world *world = two_hosts();
	struct drain *d;
	uint64_t needed_ms;

	(void)state;
	drain(world, 300000, 1 << 20, false);
	d = fleet_find_drain(world->fleet, 1);
	needed_ms = d->deadline.end_ms;
	assert_true(d->deadline.missed);
	for (unsigned i = 0; i < 40; i++) {
		/* In time by three seconds, it stays so though it is late by as much: that is allowed for. */
		d->kept.by_wall_ms = 42 + needed_ms + (i % 2 ? 3000 : -3000);
		core_world_wait(world, 6);
		if (i > 1) /* late by little is said with both figures */
			assert_int_equal(strstr(d->deadline.text, " are needed, ") != NULL,
			                 i % 2 == 0);
	}
	assert_int_equal(core_world_count_told(world, "its deadline will be missed by about"), 1);
	assert_int_equal(core_world_count_told(world, "its deadline will be met"), 1);
	/* Truly late for a moment, as while a blocked guest is tried again: no news. */
	for (unsigned i = 0; i < 10; i++) {
		d->kept.by_wall_ms = i % 2 ? 42 + 2 * needed_ms : 42 + needed_ms / 2;
		core_world_wait(world, 12);
	}
	assert_int_equal(core_world_count_told(world, "its deadline"), 2);
	/* In time for good is no news either. */
	d->kept.by_wall_ms = 42 + 2 * needed_ms;
	core_world_wait(world, 60);
	/* A little late is not late. */
	d->kept.by_wall_ms = 42 + d->deadline.end_ms - 3000;
	core_world_wait(world, 60);
	assert_false(d->deadline.missed);
	d->kept.by_wall_ms = UINT64_MAX;
	core_world_wait(world, 6);
	assert_false(d->deadline.missed);
	assert_int_equal(core_world_count_told(world, "its deadline"), 2);
	core_world_free(world);
}

/* What was told is not told again by the next coordinator, and a host that it has not heard of yet, whose
 * guests it does not see, is no reason for hope. */
static void test_told_once_in_spite_of_restarts(void **state)
{
	struct core_world *world = two_hosts();

	(void)state;
	drain(world, 300000, 1 << 20, false);
	assert_int_equal(core_world_count_told(world, "its deadline will be missed by about"), 1);
	world = core_world_restart(world, 4096);
	core_world_lose(world, "host1");
	core_world_wait(world, 120);
	assert_int_equal(core_world_count_told(world, "its deadline"), 0);
	world = core_world_restart(world, 4096);
	core_world_wait(world, 60);
	assert_int_equal(core_world_count_told(world, "its deadline"), 0);
	assert_true(fleet_find_drain(world->fleet, 1)->deadline.missed);
	fleet_find_drain(world->fleet, 1)->kept.by_wall_ms = 41;
	core_world_wait(world, 5);
	assert_int_equal(core_world_count_told(world, "its deadline has passed"), 1);
	world = core_world_restart(world, 4096);
	core_world_wait(world, 60);
	assert_int_equal(core_world_count_told(world, "its deadline"), 0);
	assert_int_equal(fleet_find_drain(world->fleet, 1)->kept.state, DRAIN_RUNNING);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_schedule_many),
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_lanes_any),
		cmocka_unit_test(test_met),
		cmocka_unit_test(test_missed),
		cmocka_unit_test(test_one_makes_the_difference),
		cmocka_unit_test(test_missed_by_little),
		cmocka_unit_test(test_more_of_it),
		cmocka_unit_test(f64_told_and_nothing_stopped),
		cmocka_unit_test(test_wavers),
		cmocka_unit_test(test_told_once_in_spite_of_restarts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
