/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts are read with their units, never without a doubt, and shown the way people say them. */
#include "common/units.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* clang-format off */
static const struct {
	int (*parse)(const char *text, uint64_t *ret_value, struct error *err);
	const char *text;
	uint64_t value;
} read[] = {
	{ units_parse_bytes, "0",          0 },
	{ units_parse_bytes, "4096",       4096 },
	{ units_parse_bytes, "4096B",      4096 },
	{ units_parse_bytes, "4096 ",      4096 },
	{ units_parse_bytes, "64KiB",      64 * KIB },
	{ units_parse_bytes, "64Ki",       64 * KIB },
	{ units_parse_bytes, "64 Mi",      64 * MIB },
	{ units_parse_bytes, "1.5GiB",     3 * GIB / 2 },
	{ units_parse_bytes, "2TiB",       2048 * GIB },
	{ units_parse_bytes, "1G",         1000000000 },
	{ units_parse_bytes, "1kB",        1000 },
	{ units_parse_rate,  "0",          0 },
	{ units_parse_rate,  "0Gbit/s",    0 },
	{ units_parse_rate,  "1Gbit/s",    125000000 },
	{ units_parse_rate,  "100Mbit",    12500000 },
	{ units_parse_rate,  "8bit/s",     1 },
	{ units_parse_rate,  "64MiB/s",    64 * MIB },
	{ units_parse_rate,  "64Mi/s",     64 * MIB },
	{ units_parse_rate,  "1.5 MB/s",   1500000 },
	{ units_parse_duration, "0",       0 },
	{ units_parse_duration, "800",     800000 },
	{ units_parse_duration, "150s",    150000 },
	{ units_parse_duration, "30 s",    30000 },
	{ units_parse_duration, "250ms",   250 },
	{ units_parse_duration, "1m30s",   90000 },
	{ units_parse_duration, "1m 30s",  90000 },
	{ units_parse_duration, "1 h 5 min", 3900000 },
	{ units_parse_duration, "2h",      7200000 },
	{ units_parse_duration, "1d",      86400000 },
	{ units_parse_duration, "0.5s",    500 },
};

static const struct {
	int (*parse)(const char *text, uint64_t *ret_value, struct error *err);
	const char *text;
	const char *says;
} refused[] = {
	{ units_parse_bytes, "",           "is not a size; write for example 512MiB" },
	{ units_parse_bytes, "GiB",        "is not a size" },
	{ units_parse_bytes, "-1",         "is not a size" },
	{ units_parse_bytes, "+1",         "is not a size" },
	{ units_parse_bytes, " 1",         "is not a size" },
	{ units_parse_bytes, "1gib",       "is not a size" },
	{ units_parse_bytes, "1.GiB",      "is not a size" },
	{ units_parse_bytes, ".5GiB",      "is not a size" },
	{ units_parse_bytes, "1,5GiB",     "is not a size" },
	{ units_parse_bytes, "0x10",       "is not a size" },
	{ units_parse_bytes, "1e3",        "is not a size" },
	{ units_parse_bytes, "inf",        "is not a size" },
	{ units_parse_bytes, "nan",        "is not a size" },
	{ units_parse_bytes, "1GiBx",      "is not a size" },
	{ units_parse_bytes, "1Gbit",      "is not a size" },
	{ units_parse_bytes, "9007199254740993TiB", "is too large" },
	{ units_parse_bytes, "99999999999999999999999999999999999999", "is too large" },
	{ units_parse_bytes, "0.1",        "is too small" },
	{ units_parse_rate,  "100",        "is not a rate; write for example 1Gbit/s" },
	{ units_parse_rate,  "1M",         "is not a rate" },
	{ units_parse_rate,  "1MiB/h",     "is not a rate" },
	{ units_parse_rate,  "1/s",        "is not a rate" },
	{ units_parse_rate,  "/s",         "is not a rate" },
	{ units_parse_rate,  "1bit/s",     "is too small" },
	{ units_parse_duration, "",        "is not a duration; write for example 150s" },
	{ units_parse_duration, "soon",    "is not a duration" },
	{ units_parse_duration, "1x",      "is not a duration" },
	{ units_parse_duration, "1m30",    "is not a duration" },
	{ units_parse_duration, "1 30",    "is not a duration" },
	{ units_parse_duration, "-5s",     "is not a duration" },
	{ units_parse_duration, "0.1ms",   "is too small" },
	{ units_parse_duration, "999999999999999d", "is too large" },
};
/* clang-format on */

/* Every accepted form means what the field means by it. */
static void test_accepted_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(read); i++) {
		struct error err = { 0 };
		uint64_t value = 77;

		if (read[i].parse(read[i].text, &value, &err) < 0)
			fail_msg("\"%s\": %s", read[i].text, err.text);
		if (value != read[i].value)
			fail_msg("\"%s\" is %ju", read[i].text, (uintmax_t)value);
	}
}

/* A doubtful amount is refused, with the forms that are accepted, and the result stays. A spelled
 * amount is never taken for 0, which would mean "no limit". */
static void test_refused_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct error err = { 0 };
		uint64_t value = 77;
		int rc = refused[i].parse(refused[i].text, &value, &err);

		if (rc != -ERROR_INVALID || !strstr(err.text, refused[i].says))
			fail_msg("\"%s\": %d %s", refused[i].text, rc, err.text);
		assert_int_equal(value, 77);
		assert_int_equal(refused[i].parse(refused[i].text, &value, NULL), -ERROR_INVALID);
	}
}

/* Sizes are shown in binary units with one decimal where it says something. */
static void test_format_bytes(void **state)
{
	char text[UNITS_TEXT_BYTES];

	(void)state;
	assert_string_equal(units_format_bytes(0, text), "0 B");
	assert_string_equal(units_format_bytes(1023, text), "1023 B");
	assert_string_equal(units_format_bytes(KIB, text), "1 KiB");
	assert_string_equal(units_format_bytes(3 * GIB / 2, text), "1.5 GiB");
	assert_string_equal(units_format_bytes(15 * GIB + GIB / 4, text), "15.2 GiB");
	assert_string_equal(units_format_bytes(153 * GIB + GIB / 4, text), "153 GiB");
	assert_string_equal(units_format_bytes(GIB - 1, text), "1.0 GiB");
	assert_string_equal(units_format_bytes(UINT64_MAX, text), "16384 PiB");
}

/* Rates are shown in decimal bits, as link speeds are. */
static void test_format_rate(void **state)
{
	char text[UNITS_TEXT_BYTES];

	(void)state;
	assert_string_equal(units_format_rate(0, text), "0 bit/s");
	assert_string_equal(units_format_rate(125000000, text), "1 Gbit/s");
	assert_string_equal(units_format_rate(981000000, text), "7.8 Gbit/s");
	assert_string_equal(units_format_rate(124999999, text), "1.0 Gbit/s");
	assert_string_equal(units_format_rate(12345, text), "98.8 kbit/s");
}

/* A move's bandwidth is shown as people give it and as links have it; 0 is no limit. */
static void test_format_speed(void **state)
{
	char text[UNITS_TEXT_BYTES];

	(void)state;
	assert_string_equal(units_format_speed(8 * MIB, text), "8 MiB/s = 67.1 Mbit/s");
	assert_string_equal(units_format_speed(500 * MIB, text), "500 MiB/s = 4.2 Gbit/s");
	assert_string_equal(units_format_speed(0, text), "no limit");
	assert_true(strlen(units_format_speed(UINT64_MAX, text)) < UNITS_TEXT_BYTES);
}

/* Durations are shown as finely as they matter, and never as "60.0 s" or "60 s" of a minute. */
static void test_format_duration(void **state)
{
	char text[UNITS_TEXT_BYTES];

	(void)state;
	assert_string_equal(units_format_duration(0, text), "0 ms");
	assert_string_equal(units_format_duration(41, text), "41 ms");
	assert_string_equal(units_format_duration(999, text), "999 ms");
	assert_string_equal(units_format_duration(11249, text), "11.2 s");
	assert_string_equal(units_format_duration(59949, text), "59.9 s");
	assert_string_equal(units_format_duration(59999, text), "1 min 0 s");
	assert_string_equal(units_format_duration(184000, text), "3 min 4 s");
	assert_string_equal(units_format_duration(3599600, text), "1 h 0 min");
	assert_string_equal(units_format_duration(93780000, text), "26 h 3 min");
	units_format_duration(UINT64_MAX, text);
	assert_true(strlen(text) < UNITS_TEXT_BYTES);
}

/* A shown amount that is exact can be given back to the parser. */
static void test_shown_amounts_can_be_read(void **state)
{
	static const uint64_t amounts[] = { 0, KIB, 3 * MIB / 2, 64 * MIB, 512 * GIB };
	char text[UNITS_TEXT_BYTES];
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
		units_format_bytes(amounts[i], text);
		assert_int_equal(units_parse_bytes(text, &value, NULL), 0);
		assert_int_equal(value, amounts[i]);
		units_format_duration(i * 90000, text);
		assert_int_equal(units_parse_duration(text, &value, NULL), 0);
		assert_int_equal(value, i * 90000);
	}
	assert_int_equal(units_parse_rate(units_format_rate(125000000, text), &value, NULL), 0);
	assert_int_equal(value, 125000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted_forms),
		cmocka_unit_test(test_refused_forms),
		cmocka_unit_test(test_format_bytes),
		cmocka_unit_test(test_format_rate),
		cmocka_unit_test(test_format_speed),
		cmocka_unit_test(test_format_duration),
		cmocka_unit_test(test_shown_amounts_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
