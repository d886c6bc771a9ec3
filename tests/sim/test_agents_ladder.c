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

static void expect_decision(const struct agents *t, const char *text)
{
	if (!strstr(t->report.decisions, text))
		fail_msg("no \"%s\" in:\n%s", text, t->report.decisions);
}

static bool is_paused_here(void *context)
{
	return agents_state_on(context, 0) == VM_PAUSED;
}

static bool runs_there(void *context)
{
	return agents_state_on(context, 1) == VM_RUNNING;
}

static bool is_noted(void *context)
{
	return ((struct agents *)context)->report.note[0];
}

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
	expect_decision(t, "max downtime raised from 60 ms to 90 ms of 300 ms");
	expect_decision(t, "switched to post-copy, because no pass got any smaller");
	expect_decision(t, "MiB to send");
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

/* After the switch a cancel changes nothing, and the report says why. */
static void test_cancel_in_post_copy(void **state)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_post_copy = true },
	                                true);

	(void)state;
	t->completion_timeout_ms_per_gib = 2000;
	agents_order(t);
	assert_true(agents_until(t, runs_there, t));
	fake_world_set_link(t->world, "host1", MIB);
	agents_cancel(t);
	assert_true(agents_until(t, is_noted, t));
	assert_non_null(strstr(t->report.note, "switched to post-copy"));
	assert_int_equal(agents_state_on(t, 0), VM_PAUSED);
	fake_world_set_link(t->world, "host1", AGENTS_LINK_BYTES_PER_S);
	agents_expect_arrived(t);
	expect_decision(t, "the time allowed is over");
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
	assert_true(agents_until(t, runs_there, t));
	fake_world_set_link(t->world, "host1", 2 * MIB);
	agents_kill(t, 0);
	agents_start(t, 0);
	agents_expect_arrived(t);
	assert_int_equal(t->report.n_decisions, 1);
	expect_decision(t, "switched to post-copy");
	agents_finish(t);
}

static struct agents *start_post_copy(enum fake_fault fault)
{
	struct agents *t = agents_begin(&agents_wild, (struct strategy){ .allow_post_copy = true },
	                                true);

	t->completion_timeout_ms_per_gib = 2000;
	fake_world_inject(t->world, t->uuid, fault);
	agents_order(t);
	assert_true(agents_until(t, runs_there, t));
	return t;
}

/* A post-copy that breaks is resumed by itself, and each step of that is in the history. */
static void f14_broken_post_copy_is_resumed(void **state)
{
	struct agents *t = start_post_copy(FAKE_FAULT_POSTCOPY);

	(void)state;
	agents_expect_arrived(t);
	expect_decision(t, "the post-copy is being resumed, attempt 1");
	expect_decision(t, "was resumed and has ended");
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
	struct agents *t = start_post_copy(FAKE_FAULT_POSTCOPY);

	(void)state;
	fake_world_set_link(t->world, "host1", 0);
	assert_true(agents_wait(t, UNRESOLVED));
	if (!t->report.alarm || !strstr(t->report.reason, "half of the guest's memory"))
		fail_msg("alarm %d: %s", t->report.alarm, t->report.reason);
	expect_decision(
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

/* The destination's QEMU dies in post-copy: the guest is lost and said to be, its source is kept. */
static void f15_destination_dies(void **state)
{
	struct agents *t = start_post_copy(FAKE_FAULT_NONE);

	(void)state;
	fake_world_set_link(t->world, "host1", MIB);
	fake_world_kill_guest(t->world, "host2", t->uuid);
	assert_true(agents_wait(t, UNRESOLVED));
	if (!t->report.alarm || !strstr(t->report.reason, "newer half"))
		fail_msg("alarm %d: %s", t->report.alarm, t->report.reason);
	assert_int_equal(agents_state_on(t, 0), VM_PAUSED);
	agents_free(t);
}

/* The source's QEMU dies in post-copy: that is no success, and what runs over there is kept. */
static void f15_source_dies(void **state)
{
	struct agents *t = start_post_copy(FAKE_FAULT_NONE);

	(void)state;
	fake_world_set_link(t->world, "host1", MIB);
	fake_world_kill_guest(t->world, "host1", t->uuid);
	assert_true(agents_wait(t, UNRESOLVED));
	if (!t->report.alarm || !strstr(t->report.reason, "is incomplete and cannot go on"))
		fail_msg("alarm %d: %s", t->report.alarm, t->report.reason);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_free(t);
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
	expect_decision(t, "the guest is paused until it is moved");
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
	expect_decision(t, "auto-converge");
	agents_finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_does_nothing),
		cmocka_unit_test(test_post_copy),
		cmocka_unit_test(test_post_copy_needs_a_lock),
		cmocka_unit_test(test_cancel_in_post_copy),
		cmocka_unit_test(test_agent_killed_in_post_copy),
		cmocka_unit_test(f14_broken_post_copy_is_resumed),
		cmocka_unit_test(f14_halves_are_kept_until_the_network_is_back),
		cmocka_unit_test(f15_destination_dies),
		cmocka_unit_test(f15_source_dies),
		cmocka_unit_test(test_suspend),
		cmocka_unit_test(test_cancel_while_paused),
		cmocka_unit_test(test_agent_killed_while_paused),
		cmocka_unit_test(test_agent_killed_while_paused_arrives),
		cmocka_unit_test(test_auto_converge),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
