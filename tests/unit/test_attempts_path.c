/* SPDX-License-Identifier: Apache-2.0 */
/* What is told and kept of the way that a migration's bytes take: of one that does not use the migration
 * network, and of a network that carries far less than it usually does. */
#include "common/units.h"
#include "coordinator/core/step.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void tell_path(struct core_world *world, enum path_verdict verdict, const char *text)
{
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_RUNNING);

	report.path.verdict = verdict;
	report.path.deviated = verdict == PATH_ELSEWHERE || verdict == PATH_MISSING;
	text_copy(report.path.text, sizeof(report.path.text), text);
	if (verdict != PATH_UNKNOWN) {
		report.path.n = 1;
		report.path.interfaces[0] = (struct path_interface){ .name = "mg0",
			                                             .wire_bytes = 4096 };
	}
	core_world_tell(world, &report);
}

static const struct path_proof *kept_path(const struct core_world *world)
{
	return &fleet_find_migration(world->fleet, 1)->kept.report.path;
}

#define OFF "web1: host1 -> host2 is not on the migration network: "

static void test_deviation(void **state)
{
	/* A migration that leaves the migration network is warned of, once, with what its agent says; and that
	 * it is back is told as well. One that is on it, or of which nothing is known, is nothing to tell. */
	struct core_world *world = core_world_new_move();

	(void)state;
	tell_path(world, PATH_UNKNOWN, "not measured yet");
	tell_path(world, PATH_PROVED, "mi0 carries it");
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, ""), 0);
	tell_path(world, PATH_ELSEWHERE, "it goes over mg0 at 118 MiB/s");
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING,
	                                          OFF "it goes over mg0 at 118 MiB/s"),
	                 1);
	tell_path(world, PATH_ELSEWHERE, "it goes over mg0 at 117 MiB/s");
	tell_path(world, PATH_MISSING, "QEMU sends 117 MiB/s");
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, OFF), 1);
	tell_path(world, PATH_PROVED, "mi0 carries it");
	assert_int_equal(core_world_count_told_as(world, SEVERITY_INFO,
	                                          "is on the migration network again: mi0"),
	                 1);
	tell_path(world, PATH_MISSING, "QEMU sends 90 MiB/s");
	assert_int_equal(
		core_world_count_told_as(world, SEVERITY_WARNING, OFF "QEMU sends 90 MiB/s"), 1);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, "it is stopped"), 0);
	core_world_free(world);
}

static void test_policy_is_told(void **state)
{
	/* Where the cluster wants such a move stopped, the warning says that it is. */
	struct core_world *world = core_world_new_move();

	(void)state;
	fleet_find_migration(world->fleet, 1)->kept.settings.stop_off_network = true;
	tell_path(world, PATH_ELSEWHERE, "it goes over mg0");
	assert_int_equal(
		core_world_count_told_as(world, SEVERITY_WARNING,
	                                 OFF "it goes over mg0; it is stopped, if it still can be"),
		1);
	core_world_free(world);
}

static void test_after_a_restart(void **state)
{
	/* An agent that was restarted has not seen where the bytes went before: what its predecessor told stays,
	 * and so does that it is not known any more. */
	struct core_world *world = core_world_new_move();
	struct attempt_report silent;

	(void)state;
	tell_path(world, PATH_ELSEWHERE, "it goes over mg0");
	tell_path(world, PATH_UNKNOWN, "not measured: the agent was restarted");
	assert_int_equal(kept_path(world)->verdict, PATH_UNKNOWN);
	assert_string_equal(kept_path(world)->text, "not measured: the agent was restarted");
	assert_true(kept_path(world)->deviated);
	assert_int_equal(kept_path(world)->n, 1);
	assert_string_equal(kept_path(world)->interfaces[0].name, "mg0");
	/* One that says nothing of it at all leaves all of it as it was. */
	silent = core_world_attempt(world, 1, MIGRATION_RUNNING);
	core_world_tell(world, &silent);
	assert_string_equal(kept_path(world)->text, "not measured: the agent was restarted");
	assert_true(kept_path(world)->deviated);
	core_world_free(world);
}

static void tell_connection(struct core_world *world, uint32_t connections, uint64_t bytes_per_s,
                            bool collapsed)
{
	struct attempt_report report = core_world_attempt(world, 1, MIGRATION_RUNNING);

	report.progress.memory_total_bytes = 1 << 20; /* an agent that knows of its job */
	report.progress.connection = (struct connection){
		.connections = connections,
		.bytes_per_s = bytes_per_s,
		.usual_bytes_per_s = 125000000,
		.rtt_us = 12500,
		.resent_ppm = 31400,
		.collapsed = collapsed,
	};
	core_world_tell(world, &report);
}

static void test_collapse(void **state)
{
	/* A network that has collapsed is a warning with what it carries and what is usual, once; that it has
	 * recovered is told; and that nothing is measured for a moment is neither. */
	struct core_world *world = core_world_new_move();

	(void)state;
	tell_connection(world, 1, 120000000, false);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, ""), 0);
	tell_connection(world, 1, 12500000, true);
	assert_int_equal(core_world_count_told_as(
				 world, SEVERITY_WARNING,
				 "web1: the network from host1 to host2 has collapsed: it carries "
				 "100 Mbit/s, usually 1 Gbit/s; 3.14 % are sent again, round trip "
				 "12.5 ms"),
	                 1);
	tell_connection(world, 1, 12500000, true);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, "has collapsed"), 1);
	tell_connection(world, 1, 100000000, false);
	assert_int_equal(
		core_world_count_told_as(world, SEVERITY_INFO,
	                                 "has recovered: it carries 800 Mbit/s, usually 1 Gbit/s"),
		1);
	tell_connection(world, 1, 12500000, true);
	tell_connection(world, 0, 0, false);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_INFO, "has recovered"), 1);
	assert_int_equal(core_world_count_told_as(world, SEVERITY_WARNING, "has collapsed"), 2);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deviation),
		cmocka_unit_test(test_policy_is_told),
		cmocka_unit_test(test_after_a_restart),
		cmocka_unit_test(test_collapse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
