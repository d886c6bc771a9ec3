/* SPDX-License-Identifier: Apache-2.0 */
/* When a broken post-copy is resumed, and when a stalled one is broken. */
#include "agent/kernel/recovery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Attempts come after 1, 2, 5 and then every 10 s, for ever. */
static void test_back_off(void **state)
{
	static const uint64_t waits_ms[] = { 1000, 2000, 5000, 10000, 10000, 10000 };
	struct recovery r = { 0 };
	uint64_t now_ms = 100000;

	(void)state;
	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
		assert_int_equal(recovery_step(&r, now_ms), RECOVERY_TRY);
		assert_int_equal(r.tries, i + 1);
		assert_int_equal(recovery_failed(&r, now_ms), waits_ms[i]);
		assert_int_equal(recovery_step(&r, now_ms + waits_ms[i] - 1), RECOVERY_NOTHING);
		now_ms += waits_ms[i];
	}
	r.tries = 4000000000U;
	assert_int_equal(recovery_step(&r, now_ms), RECOVERY_TRY);
	assert_int_equal(recovery_failed(&r, now_ms), RECOVERY_LONGEST_MS);
}

/* A transfer that still carries bytes is not touched, whatever libvirt calls it. */
static void test_flowing_is_left_alone(void **state)
{
	struct recovery r = { 0 };

	(void)state;
	recovery_see_bytes(&r, 1000, 5000);
	recovery_see_bytes(&r, 1000, 7000);
	assert_int_equal(recovery_step(&r, 5000 + RECOVERY_QUIET_MS - 1), RECOVERY_NOTHING);
	recovery_see_bytes(&r, 1001, 7500);
	assert_int_equal(recovery_step(&r, 5000 + RECOVERY_QUIET_MS), RECOVERY_NOTHING);
	assert_int_equal(r.tries, 0);
	recovery_see_bytes(&r, 1001, 20000);
	assert_int_equal(recovery_step(&r, 20000), RECOVERY_TRY);
}

/* A stream that was never seen to carry anything is tried at once, and its first reading of nothing is one
 * from which its silence counts. */
static void test_nothing_seen(void **state)
{
	struct recovery r = { 0 };

	(void)state;
	recovery_see_bytes(&r, 0, 5000);
	assert_int_equal(recovery_step(&r, 5000 + RECOVERY_QUIET_MS - 1), RECOVERY_NOTHING);
	assert_int_equal(recovery_step(&r, 5000 + RECOVERY_QUIET_MS), RECOVERY_TRY);
	/* One that libvirt gave up before we tried waits as after the first try. */
	r = (struct recovery){ 0 };
	assert_int_equal(recovery_failed(&r, 1000), 1000);
	assert_int_equal(recovery_step(&r, 1999), RECOVERY_NOTHING);
	assert_int_equal(recovery_step(&r, 2000), RECOVERY_TRY);
}

/* A stall is told once, the network is asked every three seconds, and the connection is broken only
 * when the network answers. */
static void test_stall(void **state)
{
	struct recovery r = { 0 };
	uint64_t now_ms = 50000;

	(void)state;
	assert_int_equal(recovery_watch(&r, false, now_ms), RECOVERY_NOTHING);
	assert_int_equal(recovery_watch(&r, true, now_ms), RECOVERY_ALARM);
	assert_int_equal(recovery_watch(&r, true, now_ms), RECOVERY_PROBE);
	assert_int_equal(recovery_watch(&r, true, now_ms + RECOVERY_PROBE_MS - 1),
	                 RECOVERY_NOTHING);
	assert_int_equal(recovery_answered(&r, false), RECOVERY_NOTHING);
	assert_int_equal(recovery_watch(&r, true, now_ms + RECOVERY_PROBE_MS), RECOVERY_PROBE);
	assert_int_equal(recovery_answered(&r, true), RECOVERY_BREAK);
}

/* Bytes that flow again end the alarm, and an answer that comes after them breaks nothing. */
static void test_relief(void **state)
{
	struct recovery r = { 0 };

	(void)state;
	assert_int_equal(recovery_watch(&r, true, 1), RECOVERY_ALARM);
	assert_int_equal(recovery_watch(&r, false, 2), RECOVERY_RELIEF);
	assert_int_equal(recovery_watch(&r, false, 3), RECOVERY_NOTHING);
	assert_int_equal(recovery_answered(&r, true), RECOVERY_NOTHING);
	assert_int_equal(recovery_watch(&r, true, 4), RECOVERY_ALARM);
}

/* Every step has its own word. */
static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < RECOVERY_STEPS; i++)
		for (int other = 0; other < i; other++)
			assert_string_not_equal(recovery_step_name((enum recovery_step)i),
			                        recovery_step_name((enum recovery_step)other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_back_off),     cmocka_unit_test(test_flowing_is_left_alone),
		cmocka_unit_test(test_nothing_seen), cmocka_unit_test(test_stall),
		cmocka_unit_test(test_relief),       cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
