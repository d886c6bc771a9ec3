/* SPDX-License-Identifier: Apache-2.0 */
/* An error is a value with one readable line, whatever is put into it. */
#include "common/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The return value is minus the code, with and without somebody to tell why. */
static void test_set_returns_the_code(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_set(&err, ERROR_BUSY, "slot %d is taken", 3), -ERROR_BUSY);
	assert_int_equal(err.code, ERROR_BUSY);
	assert_string_equal(err.text, "slot 3 is taken");
	assert_int_equal(error_set(NULL, ERROR_BUSY, "nobody listens"), -ERROR_BUSY);
}

/* A system error keeps its reason after our words. */
static void test_errno_is_appended(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_set_errno(&err, ERROR_SYSTEM, ENOENT, "opening %s", "/x"),
	                 -ERROR_SYSTEM);
	assert_string_equal(err.text, "opening /x: No such file or directory");
}

/* Context goes in front, and the code stays what it was. */
static void test_context_goes_in_front(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, ERROR_NOT_FOUND, "no vm web1");
	assert_int_equal(error_context(&err, "migrating to %s", "host2"), -ERROR_NOT_FOUND);
	assert_string_equal(err.text, "migrating to host2: no vm web1");
	assert_int_equal(error_context(NULL, "nobody listens"), -ERROR_SYSTEM);
}

/* What others wrote in several lines becomes one, and does not end with an empty one. */
static void test_one_line(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, ERROR_HYPERVISOR, "qemu: %s (error 9)", "no bridge\r\nno tap\n");
	error_make_one_line(&err);
	assert_string_equal(err.text, "qemu: no bridge no tap (error 9)");
	error_set(&err, ERROR_HYPERVISOR, "qemu: %s", "no bridge\n\n");
	error_make_one_line(&err);
	assert_string_equal(err.text, "qemu: no bridge");
	error_set(&err, ERROR_HYPERVISOR, "\n");
	error_make_one_line(&err);
	assert_string_equal(err.text, "");
}

/* Whether the last character of @text is whole. */
static int ends_whole(const char *text)
{
	size_t n = strlen(text), back = 0;

	while (back < n && ((unsigned char)text[n - 1 - back] & 0xC0) == 0x80)
		back++;
	if (back == 0)
		return ((unsigned char)text[n - 1] & 0x80) == 0;
	return ((unsigned char)text[n - 1 - back] & 0xE0) == 0xC0 && back == 1;
}

/* A text that does not fit is cut at a whole character, wherever the cut falls and whichever
 * function did it. */
static void test_cut_at_a_character(void **state)
{
	char umlauts[ERROR_TEXT_BYTES * 2];

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(umlauts); i += 2)
		memcpy(umlauts + i, "\xC3\xA4", 3);
	for (int pad = 0; pad < 8; pad++) {
		struct error err;

		error_set(&err, ERROR_INVALID, "%.*s%s", pad, "xxxxxxxx", umlauts);
		assert_true(ends_whole(err.text));
		assert_true(strlen(err.text) >= ERROR_TEXT_BYTES - 2);

		error_context(&err, "%.*s", pad, "yyyyyyyy");
		assert_true(ends_whole(err.text));
		assert_true(strlen(err.text) >= ERROR_TEXT_BYTES - 2);
	}
}

/* A text that just fits is not cut. */
static void test_exact_fit_is_kept(void **state)
{
	char umlauts[ERROR_TEXT_BYTES];
	struct error err;

	(void)state;
	memset(umlauts, 'x', sizeof(umlauts));
	memcpy(umlauts + ERROR_TEXT_BYTES - 3, "\xC3\xA4", 3);
	error_set(&err, ERROR_INVALID, "%s", umlauts);
	assert_string_equal(err.text, umlauts);
}

/* A reason from the system that does not fit is cut, too, and overruns nothing. */
static void test_errno_is_cut(void **state)
{
	char filler[ERROR_TEXT_BYTES];

	(void)state;
	memset(filler, 'x', sizeof(filler));
	for (size_t n = sizeof(filler) - 40; n < sizeof(filler); n++) {
		struct error err;

		error_set_errno(&err, ERROR_SYSTEM, ENOENT, "%.*s", (int)n, filler);
		assert_true(strlen(err.text) <= ERROR_TEXT_BYTES - 1);
	}
}

/* Every code has a name of its own, in the words of scripts; a number from outside has one, too. */
static void test_every_code_has_a_name(void **state)
{
	(void)state;
	for (int a = 0; a < ERROR_CODES; a++) {
		assert_non_null(error_code_name(a));
		assert_int_equal(strspn(error_code_name(a), "abcdefghijklmnopqrstuvwxyz-"),
		                 strlen(error_code_name(a)));
		for (int b = 0; b < a; b++)
			assert_string_not_equal(error_code_name(a), error_code_name(b));
	}
	assert_string_equal(error_code_name(ERROR_CODES), "unknown-code");
	assert_string_equal(error_code_name((enum error_code) - 1), "unknown-code");
}

/* A cleared error says nothing. */
static void test_clear(void **state)
{
	struct error err;

	(void)state;
	error_set(&err, ERROR_STALE, "old");
	error_clear(&err);
	assert_int_equal(err.code, ERROR_NONE);
	assert_string_equal(err.text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_returns_the_code),
		cmocka_unit_test(test_errno_is_appended),
		cmocka_unit_test(test_context_goes_in_front),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_cut_at_a_character),
		cmocka_unit_test(test_exact_fit_is_kept),
		cmocka_unit_test(test_errno_is_cut),
		cmocka_unit_test(test_every_code_has_a_name),
		cmocka_unit_test(test_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
