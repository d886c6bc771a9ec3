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

static const char *const one[] = { "web1" };

static struct core_world *begin_move(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_migrate(world, "web1", "host2");
	return world;
}

static void end_move(struct core_world *world, struct attempt_report *report)
{
	struct event event = { .kind = EVENT_ATTEMPT };

	event.attempt.node = "host1";
	event.attempt.report = report;
	core_world_step(world, &event);
	attempt_report_deinit(report);
}

static size_t count_told(const struct core_world *world, enum severity severity, const char *text)
{
	size_t n = 0;

	for (size_t i = 0; i < world->fleet->n_events; i++) {
		const struct event_record *e = fleet_get_event(world->fleet, i);

		n += e->severity == severity && strstr(e->text, text);
	}
	return n;
}

static bool is_told(const struct core_world *world, enum severity severity, const char *text)
{
	return count_told(world, severity, text) > 0;
}

/* A guest that arrived as it had left is done, and its history says how many checks say so. */
static void test_verified(void **state)
{
	struct core_world *world = begin_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);
	const struct check same = { .id = "state", .verdict = CHECK_PASS };

	(void)state;
	checks_add(&report.verification, &same);
	end_move(world, &report);
	assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.state, MIGRATION_DONE);
	assert_string_equal(fleet_find_migration(world->fleet, 1)->kept.reason, "");
	assert_true(is_told(world, SEVERITY_INFO, "verified 1/1"));
	core_world_free(world);
}

/* One that differs has moved all the same: the migration is done, says so, and each difference is a warning
 * with what to do. */
static void test_moved_with_differences(void **state)
{
	struct core_world *world = begin_move();
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
	end_move(world, &report);
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
	struct core_world *world = begin_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);

	(void)state;
	text_copy(report.not_verified, sizeof(report.not_verified), "host2 did not answer");
	end_move(world, &report);
	assert_true(is_told(world, SEVERITY_INFO, "not verified: host2 did not answer"));
	assert_false(is_told(world, SEVERITY_WARNING, ""));
	core_world_free(world);

	world = begin_move();
	report = core_world_attempt(world, 1, MIGRATION_DONE);
	end_move(world, &report);
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
	struct core_world *world = begin_move();
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
	end_move(world, &report);

	report = core_world_attempt(world, 1, MIGRATION_DONE);
	report.progress.percent = 100;
	report.downtime_ms = 40;
	end_move(world, &report);
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
	struct core_world *world = begin_move();
	struct attempt_report report;

	(void)state;
	for (int i = 1; i <= 3; i++) {
		report = core_world_attempt(world, 1, MIGRATION_RUNNING);
		names_add(&report.decisions, "after 3 s: max downtime raised");
		if (i > 1)
			names_add(&report.decisions, "after 9 s: the guest is paused");
		end_move(world, &report);
	}
	assert_int_equal(count_told(world, SEVERITY_INFO, "web1: after 3 s: max downtime raised"),
	                 1);
	assert_int_equal(count_told(world, SEVERITY_INFO, "web1: after 9 s: the guest is paused"),
	                 1);
	core_world_free(world);
}

/* What a later report knows itself replaces what an earlier one had. */
static void test_the_latest_word(void **state)
{
	struct core_world *world = begin_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	const struct check first = { .id = "memory", .verdict = CHECK_PASS },
			   second = { .id = "port", .verdict = CHECK_PASS };
	const struct attempt_report *kept;

	(void)state;
	checks_add(&report.checks, &first);
	names_add(&report.notes, "its images stay at host1");
	report.guard = GUARD_TWO_STEP;
	report.times.moving_ms = 1000;
	end_move(world, &report);
	report = core_world_attempt(world, 1, MIGRATION_RUNNING);
	checks_add(&report.checks, &second);
	names_add(&report.notes, "its images were removed");
	report.guard = GUARD_IMAGE_LOCK;
	report.times.moving_ms = 2000;
	end_move(world, &report);
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
	struct core_world *world = begin_move();
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_DONE);
	const struct migration *m;

	(void)state;
	for (int i = 0; i < 60; i++) {
		struct check c = { .verdict = CHECK_FAIL, .measured = "gone", .required = "there" };

		snprintf(c.id, sizeof(c.id), "network/52:54:00:00:00:%02x", i);
		checks_add(&report.verification, &c);
	}
	end_move(world, &report);
	m = fleet_find_migration(world->fleet, 1);
	assert_int_equal(m->kept.state, MIGRATION_DONE);
	assert_int_equal(count_told(world, SEVERITY_WARNING, "with a difference"), 8);
	assert_int_equal(count_told(world, SEVERITY_WARNING, "required there; "), 0);
	assert_int_equal(count_told(world, SEVERITY_INFO, "verified 0/60"), 1);
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
