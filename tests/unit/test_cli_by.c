/* SPDX-License-Identifier: Apache-2.0 */
/* Times as people name them: of today, tomorrow, from now; what is none is refused. */
#include "tools/drover/by.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* 2026-11-21 23:00:30 in UTC. */
#define NOW ((uint64_t)1795302030 * 1000)
#define MIN ((uint64_t)60 * 1000)

static uint64_t parse(const char *text)
{
	uint64_t ret = 0;
	struct error err;

	assert_int_equal(by_parse(text, NOW, &ret, &err), 0);
	return ret;
}

/* The next time that clocks show it, also when that is tomorrow. */
static void test_times(void **state)
{
	char text[BY_TEXT_BYTES];

	(void)state;
	assert_int_equal(parse("23:01"), NOW + MIN / 2);
	assert_int_equal(parse("23:00:31"), NOW + 1000);
	assert_int_equal(parse("02:30"), NOW - MIN / 2 + 210 * MIN);
	assert_int_equal(parse("23:00"), NOW - MIN / 2 + 24 * 60 * MIN);
	assert_int_equal(parse("45m"), NOW + 45 * MIN);
	assert_int_equal(parse("2026-11-22 02:30"), parse("02:30"));
	assert_int_equal(parse("2026-11-22T02:30"), parse("02:30"));
	assert_string_equal(by_format(parse("02:30"), NOW, text), "02:30");
	assert_string_equal(by_format(NOW + 48 * 60 * MIN, NOW, text), "2026-11-23 23:00");
}

/* What is no time, or is over, is refused with what one looks like. */
static void test_nonsense(void **state)
{
	static const char *const bad[] = { "",
		                           "noon",
		                           "25:00",
		                           "12:60",
		                           "12:30x",
		                           "0s",
		                           "2026-11-20 02:30",
		                           "2026-13-01 10:00",
		                           "-5m" };
	uint64_t ret = 7;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (by_parse(bad[i], NOW, &ret, &err) != -ERROR_INVALID)
			fail_msg("%s", bad[i]);
		assert_non_null(strstr(err.text, "--by"));
	}
	assert_int_equal(ret, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_nonsense),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
