/* SPDX-License-Identifier: Apache-2.0 */
/* KubeVirt's rules about a move that does not end in the time it is allowed, one test each: what
 * allowPostCopy and allowWorkloadDisruption mean then (its live-migration-source.go). The rule about the
 * cluster's file is in test_coordinator_settings.c. Where drover differs the test says so. */
#include "agent/kernel/ladder.h"
#include "agent/source/convergence.h"

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define READ_MS 500
#define LONG_MS ((uint64_t)3 * LADDER_MINIMUM_WAIT_MS)

static const struct strategy neither;
static const struct strategy post_copy = { .allow_post_copy = true };
static const struct strategy disruption = { .allow_disruption = true };
static const struct strategy both = { .allow_post_copy = true, .allow_disruption = true };

/* What a guest that writes as fast as it is sent is given first, in a minute and a half; LADDER_GO_ON: nothing.
 * @then: what else within as much again. */
static enum ladder_step decide(const struct strategy *s, bool two_step, bool overdue,
                               enum ladder_step *ret_then)
{
	struct ladder_settings settings = { .strategy = *s,
		                            .max_downtime_ms = 300,
		                            .two_step = two_step };
	struct vm_job job = { .active = true, .iteration = 2, .memory_remaining_bytes = 64 * MIB };
	struct ladder_passes passes = { .bytes = job.memory_remaining_bytes };
	enum ladder_step first = LADDER_GO_ON;
	struct ladder l;

	ladder_init(&l, &settings, 0);
	*ret_then = LADDER_GO_ON;
	for (uint64_t now_ms = READ_MS; now_ms < 2 * LONG_MS; now_ms += READ_MS) {
		struct ladder_decision d;

		job.iteration += now_ms % 2000 == 0;
		passes.iteration = job.iteration;
		ladder_step(&l, &job, &passes, first == LADDER_PAUSE, overdue, now_ms, &d);
		if (d.step == LADDER_GO_ON)
			continue;
		if (first == LADDER_GO_ON)
			first = d.step;
		else
			*ret_then = d.step;
	}
	return first;
}

/* Neither is allowed: nothing is done to the guest, and the move is given up by its time. */
static void test_neither(void **state)
{
	enum ladder_step then;

	(void)state;
	assert_int_equal(decide(&neither, false, true, &then), LADDER_GO_ON);
}

/* "switched to post-copy ... depending on other settings": where post-copy is allowed. */
static void test_post_copy(void **state)
{
	enum ladder_step then;

	(void)state;
	assert_int_equal(decide(&post_copy, false, true, &then), LADDER_SWITCH);
}

/* "... or the VMI will be paused": where only disruption is allowed. */
static void test_disruption(void **state)
{
	enum ladder_step then;

	(void)state;
	assert_int_equal(decide(&disruption, false, true, &then), LADDER_PAUSE);
}

/* Both are allowed: post-copy, with which the guest runs on. */
static void test_both(void **state)
{
	enum ladder_step then;

	(void)state;
	assert_int_equal(decide(&both, false, true, &then), LADDER_SWITCH);
}

/* Both are allowed, and post-copy is not possible for this guest: it is paused. */
static void test_both_without_post_copy(void **state)
{
	enum ladder_step then;

	(void)state;
	assert_int_equal(decide(&both, true, true, &then), LADDER_PAUSE);
}

/* Where drover differs: to KubeVirt whoever allows post-copy and says nothing of disruption has allowed that,
 * too. Here a guest is never paused by a permission for something else (invariant I14). */
static void test_post_copy_is_no_permission_to_pause(void **state)
{
	enum ladder_step then;

	(void)state;
	assert_int_equal(decide(&post_copy, true, true, &then), LADDER_GO_ON);
}

/* Before the time is over no permission has any effect. */
static void test_not_before_the_time_is_over(void **state)
{
	enum ladder_step then;

	(void)state;
	assert_int_equal(decide(&both, false, false, &then), LADDER_GO_ON);
	assert_int_equal(decide(&disruption, false, false, &then), LADDER_GO_ON);
}

/* One measure is taken, and once: in post-copy nothing is decided any more, and it is never given up. */
static void test_once(void **state)
{
	enum ladder_step then;

	(void)state;
	decide(&both, false, true, &then);
	assert_int_equal(then, LADDER_GO_ON);
	decide(&disruption, false, true, &then);
	assert_int_equal(then, LADDER_GO_ON);
}

/* A guest that was paused gets as much time again as it was allowed. */
static void test_pause_doubles_the_time(void **state)
{
	struct convergence c = { .limits = { .completion_timeout_ms_per_gib = 800000 } };

	(void)state;
	convergence_extend(&c, 1000);
	assert_int_equal(c.limits.completion_timeout_ms_per_gib, 1600000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neither),
		cmocka_unit_test(test_post_copy),
		cmocka_unit_test(test_disruption),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_both_without_post_copy),
		cmocka_unit_test(test_post_copy_is_no_permission_to_pause),
		cmocka_unit_test(test_not_before_the_time_is_over),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_pause_doubles_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
