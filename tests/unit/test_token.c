/* SPDX-License-Identifier: Apache-2.0 */
/* The line that lets a host join says what it said, or is refused. */
#include "pki/token.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct token example(const char *address)
{
	struct token t = { 0 };

	for (size_t i = 0; i < sizeof(t.secret); i++)
		t.secret[i] = (uint8_t)(i * 11);
	for (size_t i = 0; i < sizeof(t.ca_sha256); i++)
		t.ca_sha256[i] = (uint8_t)(255 - i);
	memcpy(t.id, "\x5f\x3a\x91\xc2", sizeof(t.id));
	memcpy(t.address, address, strlen(address) + 1);
	return t;
}

/* What is written is read again, for addresses of every length. */
static void test_round_trip(void **state)
{
	char address[TOKEN_ADDRESS_BYTES] = "";
	char text[TOKEN_TEXT_BYTES], id[TOKEN_ID_TEXT_BYTES];

	(void)state;
	for (size_t n = 1; n < TOKEN_ADDRESS_BYTES; n++) {
		struct token t, read = { 0 };

		address[n - 1] = "[2001:db8::17]:7781"[n % 19];
		t = example(address);
		assert_true(strlen(token_format(&t, text)) < sizeof(text));
		assert_int_equal(token_parse(text, &read, NULL), 0);
		assert_memory_equal(&read, &t, sizeof(t));
	}
	assert_string_equal(token_format_id(example("h:1").id, id), "5f3a91c2");
}

/* A token that was cut, lengthened or changed in any one place is refused, and nothing of it is said. */
static void test_damaged(void **state)
{
	struct token t = example("10.0.0.11:7781"), read;
	char text[TOKEN_TEXT_BYTES], changed[TOKEN_TEXT_BYTES + 1];
	struct error err;

	(void)state;
	token_format(&t, text);
	for (size_t i = 0; i <= strlen(text); i++) {
		memcpy(changed, text, sizeof(text));
		if (i < strlen(text)) {
			changed[i] = changed[i] == 'A' ? 'B' : 'A';
			assert_int_equal(token_parse(changed, &read, &err), -ERROR_INVALID);
			assert_null(strstr(err.text, text + 5));
			changed[i] = '\0';
		} else {
			strncat(changed, "A", 2);
		}
		assert_int_equal(token_parse(changed, &read, &err), -ERROR_INVALID);
	}
	assert_int_equal(token_parse("drv1.", &read, &err), -ERROR_INVALID);
	assert_int_equal(token_parse("https://x", &read, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "drover token create"));
}

/* An address with a character that could mean something elsewhere is no address. */
static void test_odd_address(void **state)
{
	static const char *const odd[] = { "a b:1", "a\"b:1", "a\n:1", "\xff:1" };
	char text[TOKEN_TEXT_BYTES];
	struct token read;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		struct token t = example(odd[i]);

		assert_int_equal(token_parse(token_format(&t, text), &read, NULL), -ERROR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_odd_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
