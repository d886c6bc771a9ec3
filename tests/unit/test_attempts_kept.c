/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept and told of the reports on a guest that moves and has moved. */
#include "coordinator/core/step.h"

#include "common/alloc.h"
#include "coordinator/core/move/attempts.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void tell(struct core_world *world, struct attempt_report *report)
{
	core_world_tell(world, report);
	attempt_report_deinit(report);
}

static bool is_told(const struct core_world *world, enum severity severity, const char *text)
{
	return core_world_count_told_as(world, severity, text) > 0;
}

/* A guest that arrived as it had left is done, and its history says how many checks say so. */
static void test_verified(void **state)
{
	struct core_world *world = core_world_new_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);
	const struct check same = { .id = "state", .verdict = CHECK_PASS };

	(void)state;
	checks_add(&report.verification, &same);
	tell(world, &report);
	assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.state, MIGRATION_DONE);
	assert_string_equal(fleet_find_migration(world->fleet, 1)->kept.reason, "");
	assert_true(is_told(world, SEVERITY_INFO, "verified 1/1"));
	core_world_free(world);
}

/* One that differs has moved all the same: the migration is done, says so, and each difference is a warning
 * with what to do. */
static void test_moved_with_differences(void **state)
{
	struct core_world *world = core_world_new_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);
	const struct check same = { .id = "state", .verdict = CHECK_PASS };
	const struct check other = { .id = "definition",
		                     .verdict = CHECK_FAIL,
		                     .measured = "defined, autostart off",
		                     .required = "defined, autostart on",
		                     .remedy = "on host2: virsh autostart web1" };
	const struct migration *m;

	(void)state;
	checks_add(&report.verification, &same);
	checks_add(&report.verification, &other);
	tell(world, &report);
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.state, MIGRATION_DONE);
	assert_false(m->kept.holds_slot);
	assert_string_equal(m->kept.reason, "moved, with differences: definition");
	assert_true(is_told(world, SEVERITY_INFO, "verified 1/2"));
	assert_true(is_told(world, SEVERITY_WARNING,
	                    "web1 moved to host2 with a difference: definition: defined, "
	                    "autostart off, required defined, autostart on; on host2: virsh "
	                    "autostart web1"));
	core_world_free(world);
}

/* One that nobody has compared is no warning; that nobody has, and why, is kept: also of an agent from
 * before there was this. */
static void test_not_verified(void **state)
{
	struct core_world *world = core_world_new_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);

	(void)state;
	text_copy(report.not_verified, sizeof(report.not_verified), "host2 did not answer");
	tell(world, &report);
	assert_true(is_told(world, SEVERITY_INFO, "not verified: host2 did not answer"));
	assert_false(is_told(world, SEVERITY_WARNING, ""));
	core_world_free(world);

	world = core_world_new_move();
	report = core_world_attempt(world, 1, MIGRATION_DONE);
	tell(world, &report);
	assert_true(is_told(world, SEVERITY_INFO,
	                    "not verified: the agent of host1 tells nothing of it"));
	assert_non_null(strstr(fleet_find_migration(world->fleet, 1)->kept.report.not_verified,
	                       "the agent of host1 tells nothing of it"));
	core_world_free(world);
}

/* An agent that was restarted knows how a move ended, but not its checks and passes any more: what it told
 * before stays in the history. */
static void test_told_before_a_restart(void **state)
{
	struct core_world *world = core_world_new_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	const struct check admitted = { .id = "memory", .verdict = CHECK_PASS };
	const struct attempt_report *kept;

	(void)state;
	checks_add(&report.checks, &admitted);
	names_add(&report.notes, "its images stay at host1");
	report.guard = GUARD_TWO_STEP;
	report.progress.iteration = 3;
	report.progress.percent = 70;
	report.progress.memory_processed_bytes = 4096;
	report.progress.memory_total_bytes = 8192;
	tell(world, &report);

	report = core_world_attempt(world, 1, MIGRATION_DONE);
	report.progress.percent = 100;
	report.downtime_ms = 40;
	tell(world, &report);
	kept = &fleet_find_migration(world->fleet, 1)->kept.report;
	assert_int_equal(kept->checks.count, 1);
	assert_int_equal(kept->notes.count, 1);
	assert_int_equal(kept->guard, GUARD_TWO_STEP);
	assert_int_equal(kept->progress.iteration, 3);
	assert_int_equal(kept->progress.percent, 100);
	assert_int_equal(kept->progress.memory_processed_bytes, 4096);
	assert_int_equal(kept->downtime_ms, 40);
	core_world_free(world);
}

/* Each step of its ladder is told once, though every report tells of all; those of another attempt are others. */
static void test_decisions_are_told_once(void **state)
{
	struct core_world *world = core_world_new_move();
	struct attempt_report report;

	(void)state;
	for (int i = 1; i <= 3; i++) {
		report = core_world_attempt(world, 1, MIGRATION_RUNNING);
		names_add(&report.decisions, "after 3 s: max downtime raised");
		if (i > 1)
			names_add(&report.decisions, "after 9 s: the guest is paused");
		tell(world, &report);
	}
	assert_int_equal(core_world_count_told_as(world, SEVERITY_INFO,
	                                          "web1: after 3 s: max downtime raised"),
	                 1);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_INFO,
	                                          "web1: after 9 s: the guest is paused"),
	                 1);
	core_world_free(world);
}

/* What a later report knows itself replaces what an earlier one had. */
static void test_the_latest_word(void **state)
{
	struct core_world *world = core_world_new_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	const struct check first = { .id = "memory", .verdict = CHECK_PASS },
			   second = { .id = "port", .verdict = CHECK_PASS };
	const struct attempt_report *kept;

	(void)state;
	checks_add(&report.checks, &first);
	names_add(&report.notes, "its images stay at host1");
	report.guard = GUARD_TWO_STEP;
	report.times.moving_ms = 1000;
	tell(world, &report);
	report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	checks_add(&report.checks, &second);
	names_add(&report.notes, "its images were removed");
	report.guard = GUARD_IMAGE_LOCK;
	report.times.moving_ms = 2000;
	tell(world, &report);
	kept = &fleet_find_migration(world->fleet, 1)->kept.report;
	assert_int_equal(kept->checks.count, 1);
	assert_string_equal(kept->checks.items[0].id, "port");
	assert_int_equal(kept->notes.count, 1);
	assert_string_equal(kept->notes.items[0], "its images were removed");
	assert_int_equal(kept->guard, GUARD_IMAGE_LOCK);
	assert_int_equal(kept->times.moving_ms, 2000);
	core_world_free(world);
}

/* A guest with very many differences is eight warnings, not a flood, and a reason that fits; one without a
 * remedy ends with what was required. */
static void test_many_differences(void **state)
{
	struct core_world *world = core_world_new_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);
	const struct migration *m;

	(void)state;
	for (int i = 0; i < 60; i++) {
		struct check c = { .verdict = CHECK_FAIL, .measured = "gone", .required = "there" };

		snprintf(c.id, sizeof(c.id), "network/52:54:00:00:00:%02x", i);
		checks_add(&report.verification, &c);
	}
	tell(world, &report);
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.state, MIGRATION_DONE);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, "with a difference"), 8);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, "required there; "), 0);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_INFO, "verified 0/60"), 1);
	assert_true(strlen(m->kept.reason) < REASON_BYTES);
	assert_non_null(strstr(m->kept.reason, "network/52:54:00:00:00:09"));
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verified),
		cmocka_unit_test(test_moved_with_differences),
		cmocka_unit_test(test_many_differences),
		cmocka_unit_test(test_not_verified),
		cmocka_unit_test(test_told_before_a_restart),
		cmocka_unit_test(test_the_latest_word),
		cmocka_unit_test(test_decisions_are_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
