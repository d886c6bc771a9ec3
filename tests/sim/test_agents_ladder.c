/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that are hard to move, on the ladders of agent/kernel/ladder.h, with two real agents: what is
 * done, what is written down, and what is never done. See tests/sim/agents.h. */
#include "tests/sim/agents_story.h"

#include "common/log.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* By default nothing is done about a guest that does not converge: it stays where it is, untouched. */
static void test_default_does_nothing(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ 0 }, true);

	(void)state;
	t->completion_timeout_ms_per_gib = 4000;
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_non_null(strstr(t->report.reason, "completionTimeoutPerGiB"));
	assert_int_equal(t->report.n_decisions, 0);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* A guest that converges only with post-copy arrives by it, after what is milder; each step is there
 * with its reason and figures. */
static void test_post_copy(void **state)
{
	struct agents *t = agents_begin(&agents_wild,
	                                (struct strategy){ .ladder = LADDER_POST_COPY }, true);

	(void)state;
	agents_order(t);
	agents_expect_arrived(t);
	assert_int_equal(t->report.guard, DROVER__V1__GUARD__GUARD_LOCK_MANAGER);
	assert_int_equal(t->report.n_decisions, 3);
	agents_expect_decision(t, "max downtime raised from 60 ms to 90 ms of 300 ms");
	agents_expect_decision(t, "switched to post-copy, because no pass got any smaller");
	agents_expect_decision(t, "MiB to send");
	agents_finish(t);
}

/* Post-copy where only a two-step commit would guard is refused with the reason, before anything is
 * touched. */
static void test_post_copy_needs_a_lock(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_post_copy = true },
	                                false);

	(void)state;
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.error_code, ERROR_REFUSED);
	if (!strstr(t->report.reason, "not possible with post-copy"))
		fail_msg("%s", t->report.reason);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	agents_finish(t);
}

/* A guest that only a throttle slows down arrives with auto-converge, and that it was held back is
 * written down. */
static void test_auto_converge(void **state)
{
	struct fake_guest_settings guest = agents_wild;
	struct agents *t;

	(void)state;
	guest.cpu_bound = true;
	guest.dirty_bytes_per_s = 36 * MIB;
	guest.working_set_bytes = 60 * MIB;
	t = agents_begin(&guest, (struct strategy){ .allow_auto_converge = true }, true);
	agents_order(t);
	agents_expect_arrived(t);
	assert_int_equal(t->report.n_decisions, 1);
	agents_expect_decision(t, "auto-converge");
	agents_finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_does_nothing),
		cmocka_unit_test(test_post_copy),
		cmocka_unit_test(test_post_copy_needs_a_lock),
		cmocka_unit_test(test_auto_converge),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
