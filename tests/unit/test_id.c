/* SPDX-License-Identifier: Apache-2.0 */
/* Operation ids are never given twice, and survive being written and read. */
#include "common/id.h"

#include "common/alloc.h"
#include "common/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Two new ids differ, and none is the zero that stands for "no id". */
static void test_new_ids_differ(void **state)
{
	struct id ids[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		ids[i] = id_new();
		assert_false(id_is_zero(&ids[i]));
		for (size_t k = 0; k < i; k++)
			assert_false(id_equal(&ids[i], &ids[k]));
	}
	assert_true(id_is_zero(&(struct id){ 0 }));
}

/* What was written is read back, in either case of the letters. */
static void test_text_round_trip(void **state)
{
	char text[ID_TEXT_BYTES];
	struct id id = id_new(), back;

	(void)state;
	assert_int_equal(strlen(id_format(&id, text)), 32);
	assert_int_equal(id_parse(text, &back), 0);
	assert_true(id_equal(&id, &back));

	assert_int_equal(id_parse("00112233445566778899aabbccddeeFF", &back), 0);
	assert_string_equal(id_format(&back, text), "00112233445566778899aabbccddeeff");
}

/* Anything but 32 hex digits is refused and leaves the result as it was. */
static void test_bad_text(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"00112233445566778899aabbccddeef",
		"00112233445566778899aabbccddeeff0",
		"0011223344556677 899aabbccddeeff",
		"0x112233445566778899aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddeeff",
		"00112233445566778899aabbccddeegf",
		"g0112233445566778899aabbccddeeff",
	};
	struct id before = id_new(), id = before;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(id_parse(bad[i], &id), -ERROR_INVALID);
		assert_true(id_equal(&id, &before));
	}
}

/* Wire bytes are an id only if there are exactly sixteen. */
static void test_wire_bytes(void **state)
{
	struct id id = id_new(), back = { 0 };
	uint8_t bytes[ID_BYTES + 1] = { 0 };

	(void)state;
	memcpy(bytes, id.bytes, ID_BYTES);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		if (n == ID_BYTES)
			continue;
		assert_int_equal(id_from_bytes(bytes, n, &back), -ERROR_INVALID);
		assert_true(id_is_zero(&back));
	}
	assert_int_equal(id_from_bytes(NULL, 0, &back), -ERROR_INVALID);
	assert_int_equal(id_from_bytes(bytes, ID_BYTES, &back), 0);
	assert_true(id_equal(&id, &back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_ids_differ),
		cmocka_unit_test(test_text_round_trip),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_wire_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
