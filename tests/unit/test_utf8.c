/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from outside are text or are seen not to be, and text does nothing to a terminal. */
#include "common/utf8.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Whole characters of every length are valid, the limits of each length included. */
static void test_valid(void **state)
{
	static const char *const valid[] = {
		"",
		"web1",
		"\x7f",
		"\xC2\x80",
		"\xDF\xBF",
		"\xC3\xA4",
		"\xE0\xA0\x80",
		"\xED\x9F\xBF",
		"\xEE\x80\x80",
		"\xEF\xBF\xBF",
		"x\xE2\x82\xACy",
		"\xF0\x90\x80\x80",
		"\xF4\x8F\xBF\xBF",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(valid); i++)
		assert_int_equal(utf8_valid_bytes(valid[i], strlen(valid[i])), strlen(valid[i]));
	assert_int_equal(utf8_valid_bytes("a\0b", 3), 3);
}

/* Cut, overlong, surrogate and too large characters are not valid; what is before them is counted. */
static void test_not_valid(void **state)
{
	static const char *const broken[] = {
		"\x80",
		"\xBF",
		"\xC3",
		"\xC3x",
		"\xC0\xAF",
		"\xC1\xBF",
		"\xE0\x80\xAF",
		"\xE0\x9F\xBF",
		"\xE2\x82",
		"\xED\xA0\x80",
		"\xED\xBF\xBF",
		"\xF0\x80\x80\xAF",
		"\xF0\x8F\xBF\xBF",
		"\xF4\x90\x80\x80",
		"\xF5\x80\x80\x80",
		"\xF0\x90\x80",
		"\xFE",
		"\xFF",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		char text[16];

		assert_int_equal(utf8_valid_bytes(broken[i], strlen(broken[i])), 0);
		snprintf(text, sizeof(text), "ab%s", broken[i]);
		assert_int_equal(utf8_valid_bytes(text, strlen(text)), 2);
	}
}

/* Control characters and broken bytes become question marks; everything else stays. */
static void test_printable(void **state)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "web1", "web1" },
		{ "m\xC3\xA4use \xE2\x82\xAC", "m\xC3\xA4use \xE2\x82\xAC" },
		{ "a\nb\tc\x1b[31m", "a?b?c?[31m" },
		{ "\x7f", "?" },
		{ "\xC2\x9B"
		  "31m",
		  "??31m" },
		{ "\xC2\xA0", "\xC2\xA0" },
		{ "a\xFF\xC3", "a??" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[32];

		snprintf(text, sizeof(text), "%s", rows[i].text);
		utf8_make_printable(text);
		assert_string_equal(text, rows[i].shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_not_valid),
		cmocka_unit_test(test_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
