/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing the authorities: stages, who is in the way, and the line that is kept of a member. */
#include "pki/rotation.h"

#include "pki/certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Both are trusted before the new one signs, and nothing but the old one's certificates goes before
 * it. */
static void test_stages(void **state)
{
	struct rotation r = { .signs = 1 };

	(void)state;
	assert_int_equal(rotation_get_stage(&r), ROTATION_NONE);
	r = rotation_get_next(&r, 7);
	assert_int_equal(rotation_get_stage(&r), ROTATION_SPREAD);
	assert_int_equal(r.signs, 1);
	assert_int_equal(r.other, 2);
	r = rotation_get_next(&r, 8);
	assert_int_equal(rotation_get_stage(&r), ROTATION_RENEW);
	assert_int_equal(r.signs, 2);
	assert_int_equal(r.other, 1);
	r = rotation_get_next(&r, 9);
	assert_int_equal(rotation_get_stage(&r), ROTATION_NONE);
	assert_int_equal(r.signs, 2);
	assert_int_equal(r.since_ms, 9);
}

/* A member is in the way as long as one of what it has is not there yet; what it has not does not
 * count, and outside of a rotation nobody is in the way of anything. */
static void test_who_is_waited_for(void **state)
{
	struct rotation spread = { .signs = 1, .other = 2 }, renew = { .signs = 2, .other = 1 };
	struct rotation none = { .signs = 1 };
	struct rotation_member m = { .held = { { true, { 1, 0 }, 1 }, { true, { 1, 0 }, 1 } } };
	struct error why;

	(void)state;
	assert_false(rotation_waits_for(&none, &m, &why));
	assert_true(rotation_waits_for(&spread, &m, &why));
	assert_string_equal(why.text, "does not trust the new authority yet");
	m.held[0].trusts[1] = 2;
	assert_true(rotation_waits_for(&spread, &m, &why));
	assert_string_equal(why.text, "does not trust the new authority for QEMU's TLS yet");
	m.held[1].trusts[1] = 2;
	assert_false(rotation_waits_for(&spread, &m, &why));
	assert_true(rotation_waits_for(&renew, &m, &why));
	m.held[0].signer = m.held[1].signer = 2;
	assert_false(rotation_waits_for(&renew, &m, &why));
	/* A certificate of an authority that nobody knows here. */
	m.held[1].signer = 0;
	assert_true(rotation_waits_for(&renew, &m, &why));
	m.held[1].there = false;
	assert_false(rotation_waits_for(&renew, &m, &why));
}

/* What is written is read the same, at its longest, too; anything else is refused, not guessed. */
static void test_line(void **state)
{
	static const char *const bad[] = { "", "5", "5 1 1 2 1 0 0 0 0 0 0 0",
		                           "5 1 1 2 1 0 0 0 0 0 0 0 0 9",
		                           "x 1 1 2 1 0 0 0 0 0 0 0 0" };
	struct rotation_member m = { .until_ms = UINT64_MAX }, got = { 0 };
	char text[ROTATION_MEMBER_BYTES];
	struct error err;

	(void)state;
	for (size_t i = 0; i < ROTATION_KINDS; i++)
		m.held[i] = (struct rotation_held){ true, { 999999999, 999999998 }, 999999999 };
	rotation_format_member(&m, text);
	assert_int_equal(rotation_parse_member(text, &got, &err), 0);
	assert_memory_equal(got.held, m.held, sizeof(m.held));
	assert_true(got.until_ms == m.until_ms);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(rotation_parse_member(bad[i], &got, &err), -ERROR_INVALID);
}

/* It is time when two thirds of a life are over, and not before; a life without length is over. */
static void test_due(void **state)
{
	struct certificate_facts f = { .not_before_ms = 1000, .not_after_ms = 4000 };

	(void)state;
	assert_false(certificate_is_due(&f, 2999));
	assert_true(certificate_is_due(&f, 3000));
	f.not_after_ms = 1000;
	assert_true(certificate_is_due(&f, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_who_is_waited_for),
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
