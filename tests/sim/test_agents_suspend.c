/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that are paused so that they can be moved: by whom, and that they run again however the move ends.
 * Two real agents; see tests/sim/agents.h. */
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

static bool is_paused_here(void *context)
{
	return agents_state_on(context, 0) == VM_PAUSED;
}

/* suspend-if-needed pauses the guest at last, and it runs again where it has arrived, also behind a
 * two-step commit. */
static void test_suspend(void **state)
{
	struct agents *t = agents_begin(
		&agents_wild, (struct strategy){ .ladder = LADDER_SUSPEND_IF_NEEDED }, false);

	(void)state;
	agents_order(t);
	agents_expect_arrived(t);
	assert_int_equal(t->report.guard, DROVER__V1__GUARD__GUARD_TWO_STEP);
	assert_int_equal(t->report.n_decisions, 6);
	agents_expect_decision(t, "the guest is paused until it is moved");
	assert_true(t->report.downtime_ms > 100);
	agents_finish(t);
}

static struct agents *start_and_pause(void)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_disruption = true },
	                                true);

	t->completion_timeout_ms_per_gib = 2000;
	agents_order(t);
	assert_true(agents_until(t, is_paused_here, t));
	fake_world_set_link(t->world, "host1", MIB);
	return t;
}

/* A guest that we paused runs again when its move is cancelled. */
static void test_cancel_while_paused(void **state)
{
	struct agents *t = start_and_pause();

	(void)state;
	agents_cancel(t);
	assert_true(agents_wait(t, CANCELLED));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	agents_finish(t);
}

/* The agent dies after it paused the guest, the move fails meanwhile, and libvirt leaves it paused: the
 * next agent knows that it was us, and resumes it. */
static void test_agent_killed_while_paused(void **state)
{
	struct agents *t = start_and_pause();
	struct hypervisor *h = hypervisor_fake_new(t->world, "host1");
	struct vm_summary vm = { .state = VM_PAUSED };
	struct error err;

	(void)state;
	agents_kill(t, 0);
	assert_int_equal(h->ops->abort_job(h, t->uuid, &err), 0);
	while (vm.state != VM_RUNNING)
		assert_int_equal(h->ops->find(h, t->uuid, &vm, &err), 0);
	assert_int_equal(h->ops->suspend(h, t->uuid, &err), 0);
	h->ops->free(h);
	agents_start(t, 0);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* The agent dies after it paused the guest, and the move goes on: it arrives, and runs there. */
static void test_agent_killed_while_paused_arrives(void **state)
{
	struct agents *t = start_and_pause();

	(void)state;
	agents_kill(t, 0);
	agents_start(t, 0);
	fake_world_set_link(t->world, "host1", AGENTS_LINK_BYTES_PER_S);
	agents_expect_arrived(t);
	agents_finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suspend),
		cmocka_unit_test(test_cancel_while_paused),
		cmocka_unit_test(test_agent_killed_while_paused),
		cmocka_unit_test(test_agent_killed_while_paused_arrives),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
