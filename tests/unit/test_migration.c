/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a migration's states, and its words. */
#include "coordinator/core/move/migration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Exactly the moves of the drawing in migration.h are allowed. */
static void test_table_is_the_drawing(void **state)
{
	/* clang-format off */
	static const char *const allowed[MIGRATION_STATES] = {
		[MIGRATION_PLANNED]    = "reserved failed cancelled",
		[MIGRATION_RESERVED]   = "planned running switching unresolved done failed cancelled",
		[MIGRATION_RUNNING]    = "switching unresolved done failed cancelled",
		[MIGRATION_SWITCHING]  = "unresolved done failed cancelled",
		[MIGRATION_UNRESOLVED] = "planned reserved running switching done failed cancelled",
		[MIGRATION_DONE] = "", [MIGRATION_FAILED] = "", [MIGRATION_CANCELLED] = "",
	};
	/* clang-format on */

	(void)state;
	for (enum migration_state from = MIGRATION_PLANNED; from < MIGRATION_STATES; from++) {
		for (enum migration_state to = MIGRATION_PLANNED; to < MIGRATION_STATES; to++) {
			bool expected = from == to ||
			                strstr(allowed[from], migration_state_name(to)) != NULL;

			if (migration_may_move(from, to) != expected)
				fail_msg("%s -> %s", migration_state_name(from),
				         migration_state_name(to));
		}
	}
}

/* What is over stays over. */
static void test_final_states(void **state)
{
	(void)state;
	for (enum migration_state s = MIGRATION_PLANNED; s < MIGRATION_STATES; s++) {
		bool final = s == MIGRATION_DONE || s == MIGRATION_FAILED ||
		             s == MIGRATION_CANCELLED;

		assert_int_equal(migration_state_is_final(s), final);
	}
}

/* Each state has a name of its own, and the name leads back to it. */
static void test_names_lead_back(void **state)
{
	(void)state;
	for (enum migration_state s = MIGRATION_PLANNED; s < MIGRATION_STATES; s++)
		assert_int_equal(migration_state_parse(migration_state_name(s)), s);
	assert_int_equal(migration_state_parse("none"), MIGRATION_NO_STATE);
	assert_int_equal(migration_state_parse("Running"), MIGRATION_NO_STATE);
	assert_int_equal(migration_state_parse(""), MIGRATION_NO_STATE);
}

/* KubeVirt's phases are a view of the states. */
static void test_phases(void **state)
{
	(void)state;
	assert_string_equal(migration_phase_name(MIGRATION_PLANNED), "Pending");
	assert_string_equal(migration_phase_name(MIGRATION_RESERVED), "Scheduling");
	assert_string_equal(migration_phase_name(MIGRATION_SWITCHING), "Running");
	assert_string_equal(migration_phase_name(MIGRATION_UNRESOLVED), "Running");
	assert_string_equal(migration_phase_name(MIGRATION_DONE), "Succeeded");
	assert_string_equal(migration_phase_name(MIGRATION_CANCELLED), "Failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_the_drawing),
		cmocka_unit_test(test_final_states),
		cmocka_unit_test(test_names_lead_back),
		cmocka_unit_test(test_phases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
