/* SPDX-License-Identifier: Apache-2.0 */
/* The round trip to another host: measured on a closed port, said to be unreachable where there is no way,
 * never longer than its budget. */
#include "agent/link/round_trip.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A closed port answers at once, every time. */
static void test_measured(void **state)
{
	struct round_trip r;

	(void)state;
	round_trip_measure("127.0.0.1", "127.0.0.1", "lo", &r);
	assert_int_equal(r.outcome, ROUND_TRIP_MEASURED);
	assert_int_equal(r.n_answers, ROUND_TRIP_TRIES);
	assert_true(r.smallest_us <= r.median_us);
	assert_true(r.median_us < ROUND_TRIP_BUDGET_MS * 1000);
	assert_string_equal(r.address, "127.0.0.1");
}

/* By the loopback nobody else is reached: the kernel says so, or nothing comes; never more than the
 * budget and what a busy machine adds to it. */
static void test_unreachable(void **state)
{
	uint64_t began_ms = clock_now_ms();
	struct round_trip r;

	(void)state;
	round_trip_measure("192.0.2.1", "127.0.0.1", "lo", &r);
	assert_true(r.outcome != ROUND_TRIP_MEASURED);
	assert_int_equal(r.n_answers, 0);
	assert_true(clock_now_ms() - began_ms < 10 * ROUND_TRIP_BUDGET_MS);
}

/* Names, nothing, two families and addresses that are not ours are not measured, and say so. */
static void test_nonsense(void **state)
{
	static const char *const pairs[][2] = { { "", "127.0.0.1" },
		                                { "host1", "127.0.0.1" },
		                                { "::1", "127.0.0.1" },
		                                { "127.0.0.1", "" },
		                                { "127.0.0.1", "192.0.2.7" } };
	struct round_trip r;

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		round_trip_measure(pairs[i][0], pairs[i][1], "lo", &r);
		assert_int_equal(r.outcome, ROUND_TRIP_NOT_MEASURED);
		assert_true(strlen(r.why) > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_measured),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
