/* SPDX-License-Identifier: Apache-2.0 */
/* The ladder reading by reading, where the moment decides: how long it waits for a low pass, what ends
 * that wait, and how long the throttle holds the harsher measures back. */
#include "agent/kernel/ladder.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct ladder l;
static struct vm_job job;
static struct ladder_decision d;

static void begin(enum ladder_name name, uint64_t downtime_ms)
{
	struct ladder_settings settings = { .strategy = { .ladder = name },
		                            .max_downtime_ms = downtime_ms };

	ladder_init(&l, &settings, 0);
	job = (struct vm_job){ .active = true, .iteration = 1 };
}

/* What the passes have to send is known with the first reading of each. */
static enum ladder_step read_job(bool overdue, uint64_t now_ms)
{
	struct ladder_passes passes = { job.iteration, job.memory_remaining_bytes };

	ladder_step(&l, &job, &passes, false, overdue, now_ms, &d);
	return d.step;
}

/* The next pass begins with so much to send. */
static enum ladder_step pass(uint64_t mib, uint64_t now_ms)
{
	job.iteration++;
	job.memory_remaining_bytes = mib * MIB;
	return read_job(false, now_ms);
}

/* The same pass, read again. */
static enum ladder_step again(bool overdue, uint64_t now_ms)
{
	return read_job(overdue, now_ms);
}

/* Passes of 10 MiB one after the other, up to the last rung: a measure is wanted with the next one. */
static uint64_t climb(uint64_t mib)
{
	uint64_t now_ms = 0;

	for (int i = 0; ladder_has_step(&l); i++) {
		enum ladder_step step = pass(mib, now_ms += 1000);

		assert_true(step == LADDER_GO_ON || step == LADDER_RAISE_DOWNTIME);
		assert_true(i < 100);
	}
	return now_ms;
}

/* Without a downtime of its own a guest has QEMU's, which is no rung of ours: it is never raised. */
static void test_no_downtime_of_its_own(void **state)
{
	(void)state;
	begin(LADDER_MINIMAL_DOWNTIME, 0);
	assert_int_equal(ladder_get_downtime_ms(&l), 0);
	assert_false(ladder_has_step(&l));
	ladder_adopt(&l, 3, false, false);
	assert_int_equal(ladder_get_downtime_ms(&l), 0);
	for (uint64_t now_ms = 1000; now_ms < 60000; now_ms += 1000)
		if (pass(10, now_ms) == LADDER_ABORT)
			return;
	fail_msg("it was not given up");
}

/* A rung of less than a millisecond is one: QEMU would take 0 for "never". */
static void test_smallest_downtime(void **state)
{
	(void)state;
	begin(LADDER_MINIMAL_DOWNTIME, 4);
	assert_int_equal(ladder_get_downtime_ms(&l), 1);
	begin(LADDER_MINIMAL_DOWNTIME, 10);
	assert_int_equal(ladder_get_downtime_ms(&l), 2);
}

/* A pause waits for a pass that begins low. While none does it waits on, but not for ever. */
static void test_waits_for_a_low_pass(void **state)
{
	uint64_t now_ms;

	(void)state;
	begin(LADDER_SUSPEND_IF_NEEDED, 300);
	now_ms = climb(10);
	assert_int_equal(pass(40, now_ms += 1000), LADDER_GO_ON);
	assert_int_equal(pass(40, now_ms += 1000), LADDER_GO_ON);
	assert_int_equal(l.wanted_since_ms, now_ms);
	/* In the middle of a pass is no moment, nor is a high pass. */
	assert_int_equal(again(false, now_ms + 500), LADDER_GO_ON);
	assert_int_equal(pass(40, now_ms + LADDER_MINIMUM_WAIT_MS - 1), LADDER_GO_ON);
	assert_int_equal(again(false, now_ms + LADDER_MINIMUM_WAIT_MS), LADDER_PAUSE);
	assert_non_null(strstr(d.why, "no pass got any smaller"));
	/* It is paused by us: what comes after is no second pause. */
	assert_int_equal(pass(40, now_ms += 2 * LADDER_MINIMUM_WAIT_MS), LADDER_GO_ON);
	assert_false(ladder_has_measure(&l));
}

/* A low pass is the moment. */
static void test_low_pass_is_the_moment(void **state)
{
	uint64_t now_ms;

	(void)state;
	begin(LADDER_SUSPEND_IF_NEEDED, 300);
	now_ms = climb(10);
	(void)pass(40, now_ms += 1000);
	assert_int_equal(pass(40, now_ms += 1000), LADDER_GO_ON);
	assert_int_equal(pass(11, now_ms + 1000), LADDER_PAUSE);
}

/* It has become easier while a pause waited: with the first low pass the wait is over, and the guest goes on. */
static void test_easier_meanwhile(void **state)
{
	uint64_t now_ms;

	(void)state;
	begin(LADDER_SUSPEND_IF_NEEDED, 300);
	now_ms = climb(10);
	(void)pass(40, now_ms += 1000);
	(void)pass(40, now_ms += 1000);
	assert_int_equal(l.wanted_since_ms, now_ms);
	assert_int_equal(pass(9, now_ms += 1000), LADDER_GO_ON);
	assert_int_equal(l.wanted_since_ms, 0);
	assert_int_equal(pass(40, now_ms += 1000), LADDER_GO_ON);
	assert_int_equal(pass(40, now_ms += 1000), LADDER_GO_ON);
	assert_int_equal(l.wanted_since_ms, 0);
	/* Unless the time is over. */
	assert_int_equal(again(true, now_ms += 100), LADDER_GO_ON);
	job.iteration++;
	job.memory_remaining_bytes = 2 * MIB;
	assert_int_equal(again(true, now_ms + 1000), LADDER_PAUSE);
}

/* While QEMU's throttle rises the harsher measures wait, by its passes and by the clock; once it has not
 * risen for so long, or can rise no more, they do not. */
static void test_throttle_holds_measures_back(void **state)
{
	(void)state;
	for (int which = 0; which < 4; which++) {
		uint64_t now_ms;

		begin(LADDER_SUSPEND_IF_NEEDED, 300);
		l.settings.strategy.allow_auto_converge = true;
		now_ms = climb(10);
		job.throttle_percent = which == 3 ? 99 : 20;
		assert_int_equal(pass(10, now_ms += 2000), LADDER_NOTE);
		assert_non_null(strstr(d.why, which == 3 ? "by 99 %" : "by 20 %"));
		if (which == 0) { /* many passes in no time */
			for (int i = 0; i < 8; i++)
				assert_int_equal(pass(10, now_ms += 10), LADDER_GO_ON);
		} else if (which == 1) { /* much time in few passes */
			assert_int_equal(pass(10, now_ms += LADDER_THROTTLE_MS), LADDER_GO_ON);
		} else if (which == 2) { /* both */
			for (int i = 0; i < LADDER_THROTTLE_PASSES - 1; i++)
				assert_int_equal(pass(10, now_ms += 10), LADDER_GO_ON);
			assert_int_equal(pass(10, now_ms += LADDER_THROTTLE_MS), LADDER_PAUSE);
		} else {
			assert_int_equal(pass(10, now_ms += 2000), LADDER_PAUSE);
		}
	}
}

/* A guest without any measure is not given up while the throttle rises. */
static void test_not_given_up_while_throttled(void **state)
{
	uint64_t now_ms;
	int passes = 0;

	(void)state;
	begin(LADDER_MINIMAL_DOWNTIME, 300);
	l.settings.strategy.allow_auto_converge = true;
	now_ms = climb(10);
	for (job.throttle_percent = 20; job.throttle_percent < 90; job.throttle_percent += 10)
		for (int i = 0; i < 2; i++)
			assert_int_not_equal(pass(10, now_ms += 3000), LADDER_ABORT);
	while (pass(10, now_ms += 3000) != LADDER_ABORT)
		assert_true(++passes < LADDER_LAST_PASSES);
	assert_non_null(strstr(d.why, "did not converge"));
}

/* A rise of the throttle is a step, too: the end comes no sooner after the last one than after ours. */
static void test_patience_after_a_rise(void **state)
{
	uint64_t now_ms;
	unsigned passes = 0;

	(void)state;
	begin(LADDER_MINIMAL_DOWNTIME, 300);
	l.settings.strategy.allow_auto_converge = true;
	now_ms = climb(10);
	job.throttle_percent = 20;
	assert_int_equal(pass(10, now_ms += 2000), LADDER_NOTE);
	while (passes++ < 20)
		assert_int_equal(pass(10, now_ms += 500), LADDER_GO_ON);
	job.throttle_percent = 30;
	for (uint64_t rise_ms = now_ms += 500; now_ms < rise_ms + LADDER_LAST_MS; now_ms += 500)
		assert_int_equal(pass(10, now_ms), LADDER_GO_ON);
	assert_int_equal(pass(10, now_ms), LADDER_ABORT);
	assert_true(l.passes_without_low > 2 * 20);
}

/* Several passes told at once: those that are over count, what is not known does not. */
static void test_passes_told_together(void **state)
{
	struct ladder_passes passes = { 1, UINT64_MAX };
	static const struct {
		struct ladder_passes told;
		unsigned without_low;
		uint64_t best_mib;
	} told[] = {
		{ { 4, 100 * MIB }, 0, 100 }, /* the first that are known */
		{ { 4, 100 * MIB }, 0, 100 }, /* no news */
		{ { 9, 98 * MIB }, 4, 100 },  /* 5 to 8 are over, and no low; 4 was one */
		{ { 10, 96 * MIB }, 5, 100 }, /* and 9 */
		{ { 14, 94 * MIB }, 0, 94 },  /* 11 to 14 are one, by little more */
		{ { 15, 94 * MIB }, 0, 94 },  /* 14 was; 15 is under way */
		{ { 16, 90 * MIB }, 1, 94 },
		{ { 2, UINT64_MAX }, 1, 94 }, /* the stream began anew */
		{ { 4, 90 * MIB }, 3, 94 },   /* 2 and 3 */
	};

	(void)state;
	begin(LADDER_PLAIN, 300);
	ladder_step(&l, &job, &passes, false, false, 500, &d);
	assert_int_equal(l.best_bytes, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(told); i++) {
		job.iteration = told[i].told.iteration;
		ladder_step(&l, &job, &told[i].told, false, false, 1000 + i * 2000, &d);
		assert_int_equal(l.passes_without_low, told[i].without_low);
		assert_int_equal(l.best_bytes, told[i].best_mib * MIB);
	}
}

/* A guest that we have paused is not given up: it converges now. */
static void test_paused_is_not_given_up(void **state)
{
	(void)state;
	begin(LADDER_SUSPEND_IF_NEEDED, 300);
	ladder_take(&l, LADDER_PAUSE, 0);
	ladder_adopt(&l, 5, true, false);
	for (uint64_t now_ms = 1000; now_ms < 120000; now_ms += 1000)
		assert_int_equal(pass(10, now_ms), LADDER_GO_ON);
}

/* After post-copy there is no measure: not for the agent that takes the move up, nor after an operator's. */
static void test_switched_has_no_measure(void **state)
{
	(void)state;
	begin(LADDER_POST_COPY, 300);
	assert_true(ladder_has_measure(&l));
	ladder_adopt(&l, 0, false, true);
	assert_false(ladder_has_measure(&l));
	begin(LADDER_POST_COPY, 300);
	ladder_take(&l, LADDER_SWITCH, 1000);
	assert_false(ladder_has_measure(&l));
}

/* A measure that was wanted in an earlier pass is not taken in the first one of a stream that began anew. */
static void test_stream_that_began_anew(void **state)
{
	uint64_t now_ms;

	(void)state;
	begin(LADDER_SUSPEND_IF_NEEDED, 300);
	now_ms = climb(10);
	(void)pass(40, now_ms += 1000);
	(void)pass(40, now_ms += 1000);
	assert_int_not_equal(l.wanted_since_ms, 0);
	job.iteration = 1;
	assert_int_equal(again(true, now_ms += 2 * LADDER_MINIMUM_WAIT_MS), LADDER_GO_ON);
	assert_false(l.paused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_downtime_of_its_own),
		cmocka_unit_test(test_smallest_downtime),
		cmocka_unit_test(test_waits_for_a_low_pass),
		cmocka_unit_test(test_low_pass_is_the_moment),
		cmocka_unit_test(test_easier_meanwhile),
		cmocka_unit_test(test_throttle_holds_measures_back),
		cmocka_unit_test(test_not_given_up_while_throttled),
		cmocka_unit_test(test_patience_after_a_rise),
		cmocka_unit_test(test_passes_told_together),
		cmocka_unit_test(test_paused_is_not_given_up),
		cmocka_unit_test(test_switched_has_no_measure),
		cmocka_unit_test(test_stream_that_began_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
