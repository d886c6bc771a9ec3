/* SPDX-License-Identifier: Apache-2.0 */
/* From the switch to post-copy on: a cancel, an agent that dies, a network that breaks. Two real agents; see
 * tests/sim/agents.h. */
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

static bool is_noted(void *context)
{
	return ((struct agents *)context)->report.note[0];
}

/* After the switch a cancel changes nothing, and the report says why. */
static void test_cancel_in_post_copy(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_post_copy = true },
	                                true);

	(void)state;
	t->completion_timeout_ms_per_gib = 2000;
	agents_order(t);
	assert_true(agents_until(t, agents_runs_there, t));
	fake_world_set_link(t->world, "host1", MIB);
	agents_cancel(t);
	assert_true(agents_until(t, is_noted, t));
	assert_non_null(strstr(t->report.note, "switched to post-copy"));
	assert_int_equal(agents_state_on(t, 0), VM_PAUSED);
	fake_world_set_link(t->world, "host1", AGENTS_LINK_BYTES_PER_S);
	agents_expect_arrived(t);
	agents_expect_decision(t, "the time allowed is over");
	agents_finish(t);
}

/* The agent dies in the middle of post-copy: the next one sees it through. */
static void test_agent_killed_in_post_copy(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_post_copy = true },
	                                true);

	(void)state;
	t->completion_timeout_ms_per_gib = 2000;
	agents_order(t);
	assert_true(agents_until(t, agents_runs_there, t));
	fake_world_set_link(t->world, "host1", 2 * MIB);
	agents_kill(t, 0);
	agents_start(t, 0);
	agents_expect_arrived(t);
	assert_int_equal(t->report.n_decisions, 1);
	agents_expect_decision(t, "switched to post-copy");
	agents_finish(t);
}

/* A post-copy that breaks is resumed by itself, and each step of that is in the history. */
static void f14_broken_post_copy_is_resumed(void **state)
{
	struct agents *t = agents_start_post_copy(FAKE_FAULT_POSTCOPY);

	(void)state;
	agents_expect_arrived(t);
	agents_expect_decision(t, "the post-copy is being resumed, attempt 1");
	agents_expect_decision(t, "was resumed and has ended");
	agents_finish(t);
}

static void expect_halves(struct agents *t)
{
	assert_int_equal(agents_state_on(t, 0), VM_PAUSED);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_int_equal(agents_leases(t, 1), 1);
}

/* While the network is away a broken post-copy is shown as what it is, and both halves are kept,
 * whatever is asked, also by the next agent; when the network is back, that agent resumes it. */
static void f14_halves_are_kept_until_the_network_is_back(void **state)
{
	struct agents *t = agents_start_post_copy(FAKE_FAULT_POSTCOPY);

	(void)state;
	fake_world_set_link(t->world, "host1", 0);
	assert_true(agents_wait(t, UNRESOLVED));
	if (!t->report.alarm || !strstr(t->report.reason, "half of the guest's memory"))
		fail_msg("alarm %d: %s", t->report.alarm, t->report.reason);
	agents_expect_decision(
		t, "attempt 1 to resume the post-copy has not ended it, the next one is in 1.0 s");
	agents_cancel(t);
	expect_halves(t);
	agents_kill(t, 0);
	agents_start(t, 0);
	memset(&t->report, 0, sizeof(t->report));
	assert_true(agents_wait(t, UNRESOLVED));
	expect_halves(t);
	fake_world_set_link(t->world, "host1", AGENTS_LINK_BYTES_PER_S);
	agents_expect_arrived(t);
	agents_finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cancel_in_post_copy),
		cmocka_unit_test(test_agent_killed_in_post_copy),
		cmocka_unit_test(f14_broken_post_copy_is_resumed),
		cmocka_unit_test(f14_halves_are_kept_until_the_network_is_back),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
