/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a guest that waits: its position, who holds the slots, until when. */
#include "coordinator/core/move/waiting.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const four[] = { "web1", "web2", "web3", "web4" };

static bool says(struct core_world *world, const char *name, const char *text)
{
	struct names lines = { 0 };
	struct vm *vm;
	bool found = false;

	assert_int_equal(fleet_get_vm(world->fleet, name, &vm, NULL), 0);
	waiting_describe(world->fleet, vm, &lines);
	for (size_t i = 0; i < lines.count; i++)
		found = found || strstr(lines.items[i], text);
	names_deinit(&lines);
	return found;
}

static void progress(struct core_world *world, uint64_t number, uint64_t eta_ms)
{
	struct attempt_report report = core_world_attempt(world, number, MIGRATION_RUNNING);
	struct event event = { .kind = EVENT_ATTEMPT };

	report.progress.eta_known = true;
	report.progress.eta_ms = eta_ms;
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
}

/* In a drain: the position, each holder with what it still takes, and the setting. */
static void test_in_a_drain(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, four, 4);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_drain(world, "host1");
	progress(world, 1, 40000);
	core_world_wait(world, 1);
	assert_true(says(world, "web3", "web3 is number 1 of 2 that wait in drain/1"));
	assert_true(says(world, "web4", "web4 is number 2 of 2"));
	assert_true(says(world, "web4", "its turn is in about"));
	assert_true(says(world, "web4", "held by migration/1, web1, host1 -> host2, for about 40"));
	/* Of one whose agent has not said yet: what its plan says. */
	assert_true(says(world, "web4", "migration/2, web2, host1 -> host2, for about "));
	assert_true(says(world, "web4", " still, as planned"));
	assert_false(says(world, "web4", "is not known"));
	assert_true(says(world, "web4", "parallelOutboundMigrationsPerNode"));
	/* One that moves, and one of a host that is not drained, wait for nothing. */
	assert_false(says(world, "web1", "wait"));
	core_world_free(world);
}

/* Asked for by themselves: in the order in which they were asked for. */
static void test_by_itself(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, four, 4);
	core_world_host(world, "host2", 4096, NULL, 0);
	for (size_t i = 0; i < 4; i++)
		core_world_migrate(world, four[i], "host2");
	assert_true(says(world, "web4", "migration/4 is number 2 of 2 that wait"));
	assert_true(says(world, "web4", "held by migration/1, web1, host1 -> host2, for about "));
	assert_true(says(world, "web4", " still, as planned"));
	assert_true(says(world, "web4", "it goes before guests of drains"));
	core_world_free(world);
}

static void expect_next(struct core_world *world, const char *name)
{
	const struct action *start = core_world_find(world, ACTION_START);
	const struct migration *m;

	assert_int_equal(core_world_count(world, ACTION_START), 1);
	m = fleet_find_migration(world->fleet, start->call.migration);
	assert_string_equal(m->kept.vm_name, name);
	core_world_forget(world);
	core_world_arrive(world, m->kept.number);
}

/* With one slot for all: what was asked for by itself comes first though it was asked for last, then the
 * drain, then who comes back. */
static void test_who_goes_first(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, four, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, four + 1, 3);
	core_world_drain(world, "host1");
	core_world_arrive(world, 1);
	core_world_wait(world, 6);
	world->fleet->options.caps.cluster = 1;
	core_world_migrate(world, "web2", "host2");
	core_world_bring_back(world, false);
	core_world_drain(world, "host3");
	core_world_migrate(world, "web4", "host2");
	assert_true(says(world, "web1",
	                 "guests of drains go first, and what was asked for by itself, 1"));
	assert_true(says(world, "web1", "is number 1 of 1 that wait"));
	assert_true(says(world, "web3", "1 that were asked for by themselves go before"));
	core_world_forget(world);
	core_world_arrive(world, 2);
	expect_next(world, "web4");
	expect_next(world, "web3");
	core_world_wait(world, 6);
	expect_next(world, "web1");
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_a_drain),
		cmocka_unit_test(test_by_itself),
		cmocka_unit_test(test_who_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
