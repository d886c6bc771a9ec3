/* SPDX-License-Identifier: Apache-2.0 */
/* When a rolling operation gives up waiting for a drain. */
#include "tools/drover/roll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND 1000
#define MINUTE (60 * SECOND)

/* Blocked for a quarter of an hour, though it is tried again every two minutes and is not blocked then. */
static void test_retries_are_no_progress(void **state)
{
	struct roll_patience p = { 0 };
	uint64_t now_ms = 5 * SECOND;

	(void)state;
	for (; now_ms < 15 * MINUTE; now_ms += SECOND)
		assert_false(roll_is_stuck(&p, now_ms % (2 * MINUTE) > 5 * SECOND, 2, now_ms));
	for (; now_ms < 16 * MINUTE; now_ms += SECOND) {
		if (roll_is_stuck(&p, now_ms % (2 * MINUTE) > 5 * SECOND, 2, now_ms))
			return;
	}
	fail();
}

/* A guest that leaves is progress, and so is a minute without anything blocked. */
static void test_progress(void **state)
{
	for (unsigned which = 0; which < 2; which++) {
		struct roll_patience p = { 0 };
		uint64_t now_ms = SECOND, begun_ms;

		(void)state;
		for (; now_ms < 14 * MINUTE; now_ms += SECOND)
			assert_false(roll_is_stuck(&p, true, 0, now_ms));
		begun_ms = now_ms;
		for (; which && now_ms < begun_ms + 70 * SECOND; now_ms += SECOND)
			assert_false(roll_is_stuck(&p, false, 0, now_ms));
		begun_ms = now_ms;
		for (; now_ms < begun_ms + 15 * MINUTE; now_ms += SECOND)
			assert_false(roll_is_stuck(&p, true, which ? 0 : 1, now_ms));
		assert_true(roll_is_stuck(&p, true, which ? 0 : 1, now_ms + 2 * SECOND));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retries_are_no_progress),
		cmocka_unit_test(test_progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
