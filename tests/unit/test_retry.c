/* SPDX-License-Identifier: Apache-2.0 */
/* After a failure: whose it was, and what that means for the next try of a drained guest. */
#include "coordinator/core/move/retry.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const one[] = { "web1" };

static struct core_world *three_hosts(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_drain(world, "host1");
	return world;
}

static void fail_attempt(struct core_world *world, uint64_t number, enum error_code code, bool ran)
{
	struct event event = { .kind = EVENT_ATTEMPT };
	struct attempt_report report;

	if (ran)
		core_world_report(world, number, MIGRATION_RUNNING, NULL);
	report = core_world_attempt(world, number, MIGRATION_FAILED);
	report.error_code = code;
	text_copy(report.reason, sizeof(report.reason), "it broke");
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
}

static const char *target_of(const struct core_world *world, uint64_t number)
{
	const struct migration *m = fleet_find_migration(world->fleet, number);

	return m && m->kept.holds_slot ? m->kept.target : NULL;
}

/* The destination's fault: the guest goes elsewhere, and waits for nothing. */
static void test_elsewhere_at_once(void **state)
{
	static const enum error_code codes[] = { ERROR_NO_SPACE, ERROR_RESERVATION_LOST,
		                                 ERROR_UNREACHABLE, ERROR_TIMEOUT };

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		struct core_world *world = three_hosts();
		char first[NODE_NAME_BYTES];

		text_copy(first, sizeof(first), target_of(world, 1));
		fail_attempt(world, 1, codes[i], false);
		core_world_wait(world, 1);
		assert_non_null(target_of(world, 2));
		assert_string_not_equal(target_of(world, 2), first);
		core_world_free(world);
	}
}

/* The network's: elsewhere, too, but not before some time. */
static void test_elsewhere_later(void **state)
{
	struct core_world *world = three_hosts();
	char first[NODE_NAME_BYTES];

	(void)state;
	text_copy(first, sizeof(first), target_of(world, 1));
	fail_attempt(world, 1, ERROR_UNREACHABLE, true);
	core_world_wait(world, 10);
	assert_null(target_of(world, 2));
	core_world_wait(world, 120);
	assert_non_null(target_of(world, 2));
	core_world_free(world);
}

/* The guest's own: the same destination is as good as any, later each time. */
static void test_the_guests_own(void **state)
{
	struct core_world *world = three_hosts();
	char first[NODE_NAME_BYTES];

	(void)state;
	text_copy(first, sizeof(first), target_of(world, 1));
	fail_attempt(world, 1, ERROR_TIMEOUT, true);
	core_world_wait(world, 10);
	assert_null(target_of(world, 2));
	core_world_wait(world, 40);
	assert_string_equal(target_of(world, 2), first);
	fail_attempt(world, 2, ERROR_TIMEOUT, true);
	core_world_wait(world, 35);
	assert_null(target_of(world, 3));
	core_world_free(world);
}

/* With one destination only it is tried again, after a while: it may be the only one. */
static void test_the_only_one(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_drain(world, "host1");
	fail_attempt(world, 1, ERROR_NO_SPACE, false);
	core_world_wait(world, 5);
	assert_null(target_of(world, 2));
	core_world_wait(world, 60);
	assert_non_null(target_of(world, 2));
	core_world_free(world);
}

/* Every code has a rule, and those that avoid nothing and wait for nothing are nobody's fault. */
static void test_every_code(void **state)
{
	(void)state;
	for (int code = 0; code < ERROR_CODES + 3; code++) {
		for (int ran = 0; ran <= 1; ran++) {
			const struct retry_rule *rule = retry_of((enum error_code)code, ran);

			assert_true(rule->elsewhere || rule->later || rule->fault == FAULT_NOBODY);
			assert_true(retry_fault_name(rule->fault)[0]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elsewhere_at_once), cmocka_unit_test(test_elsewhere_later),
		cmocka_unit_test(test_the_guests_own),    cmocka_unit_test(test_the_only_one),
		cmocka_unit_test(test_every_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
