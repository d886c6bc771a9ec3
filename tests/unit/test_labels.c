/* SPDX-License-Identifier: Apache-2.0 */
/* Labels and selectors: what is one, how sets are changed and merged, who is selected. */
#include "common/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void change(char *labels, const char *text, bool expected)
{
	struct error err;
	bool changed;

	assert_int_equal(labels_change(labels, text, &changed, &err), 0);
	assert_int_equal(changed, expected);
}

/* A set has each key once and in order, whatever the order in which they were given. */
static void test_a_set_is_in_order(void **state)
{
	char labels[LABELS_BYTES] = "";

	(void)state;
	change(labels, "rack=b", true);
	change(labels, "ssd", true);
	change(labels, "rack=a", true);
	change(labels, "rack=a", false);
	change(labels, "gpu=", true);
	assert_string_equal(labels, "gpu=,rack=a,ssd=");
	change(labels, "rack-", true);
	change(labels, "rack-", false);
	change(labels, "rac=1", true);
	assert_string_equal(labels, "gpu=,rac=1,ssd=");
	change(labels, "gpu-", true);
	change(labels, "ssd-", true);
	change(labels, "rac-", true);
	assert_string_equal(labels, "");
}

/* What is no label is refused with what one looks like, and changes nothing. */
static void test_nonsense_is_refused(void **state)
{
	static const char *const bad[] = { "", "=a", "a b=c", "rack=a,b", "rack=\"a\"", "a=b=c" };
	char labels[LABELS_BYTES] = "rack=a", too_long[200];
	struct error err;
	bool changed;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(labels_change(labels, bad[i], &changed, &err), -ERROR_INVALID);
		assert_non_null(strstr(err.text, "label"));
	}
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(labels_change(labels, too_long, &changed, &err), -ERROR_INVALID);
	assert_string_equal(labels, "rack=a");
	for (int i = 0; i < 100; i++) {
		char many[LABEL_BYTES];

		snprintf(many, sizeof(many), "k%02d=%050d", i, i);
		if (labels_change(labels, many, &changed, &err) < 0) {
			assert_int_equal(err.code, ERROR_TOO_LARGE);
			return;
		}
	}
	fail_msg("no end of labels");
}

/* What an operator has given wins over what the host says of itself. */
static void test_given_wins(void **state)
{
	char merged[LABELS_BYTES], value[LABEL_BYTES];

	(void)state;
	labels_merge("rack=a,ssd=", "rack=b,zone=1", merged);
	assert_string_equal(merged, "rack=b,ssd=,zone=1");
	assert_true(labels_get(merged, "rack", value));
	assert_string_equal(value, "b");
	assert_true(labels_get(merged, "ssd", value));
	assert_string_equal(value, "");
	assert_false(labels_get(merged, "rac", value));
	assert_false(labels_get(merged, "racks", value));
}

/* All conditions must hold; a value of another key is none. */
static void test_selectors(void **state)
{
	static const struct {
		const char *selector;
		bool matches;
	} cases[] = {
		{ "rack=a", true },         { "rack=b", false },      { "rack", true },
		{ "!rack", false },         { "!gpu", true },         { "rack!=b", true },
		{ "rack!=a", false },       { "gpu!=x", true },       { "rack=a,ssd", true },
		{ "rack=a,zone=2", false }, { "ssd=", true },         { "rack=", false },
		{ "zone=1,rack=a", true },  { "zone=1,!ssd", false }, { "rack=aa", false },
	};
	static const char *const bad[] = { "", "=a", "a b", "rack==", "rack=a,,ssd", "!", "!=a" };
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(selector_check(cases[i].selector, &err), 0);
		if (selector_matches(cases[i].selector, "rack=a,ssd=,zone=1") != cases[i].matches)
			fail_msg("%s", cases[i].selector);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(selector_check(bad[i], &err), -ERROR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_set_is_in_order),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_given_wins),
		cmocka_unit_test(test_selectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
