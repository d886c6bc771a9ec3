/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of decisions only goes forward; the one of people is shown in UTC. */
#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Two readings are in order, and milliseconds and nanoseconds are the same clock. */
static void test_forward(void **state)
{
	uint64_t a_ms = clock_now_ms();
	uint64_t b_ns = clock_now_ns();
	uint64_t c_ms = clock_now_ms();

	(void)state;
	assert_true(a_ms > 0);
	assert_true(a_ms <= b_ns / 1000000);
	assert_true(b_ns / 1000000 <= c_ms);
}

/* Wall-clock time is the machine's time of day. */
static void test_wall(void **state)
{
	uint64_t before_s = (uint64_t)time(NULL);
	uint64_t wall_ms = clock_wall_ms();

	(void)state;
	/* time() may read a coarser clock that is some milliseconds behind. */
	assert_true(wall_ms >= before_s * 1000);
	assert_true(wall_ms <= (before_s + 60) * 1000);
}

/* Moments are written as ISO 8601 in UTC, the most distant one included. */
static void test_format(void **state)
{
	char text[CLOCK_TEXT_BYTES];

	(void)state;
	assert_string_equal(clock_format_wall(0, text), "1970-01-01T00:00:00Z");
	assert_string_equal(clock_format_wall(1768229131999, text), "2026-01-12T14:45:31Z");
	memset(text, 'x', sizeof(text));
	clock_format_wall(UINT64_MAX, text);
	assert_non_null(memchr(text, '\0', sizeof(text)));
	assert_int_equal(text[strlen(text) - 1], 'Z');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_wall),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
