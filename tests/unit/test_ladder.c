/* SPDX-License-Identifier: Apache-2.0 */
/* The ladder against traces of guests whose dirty rate is known: a small model of QEMU's passes is
 * read every half second, and the ladder's steps are applied to it. */
#include "agent/kernel/ladder.h"
#include "agent/source/convergence.h"

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define READ_MS 500
#define STEP_MS 10

/* A guest on its way, as QEMU moves it. */
struct trace {
	uint64_t memory_bytes, working_set_bytes, dirty_bytes_per_s, link_bytes_per_s;
	uint64_t operator_ms; /* then an operator sets the downtime to ... */
	uint64_t operator_downtime_ms;
	unsigned shrink_percent; /* each pass writes so much less than the one before */
	bool cpu_bound;          /* a throttle slows its writes */
	bool oscillates;         /* every other pass writes a quarter */
	bool auto_converge;
	uint64_t overdue_ms; /* 0 = never */

	struct ladder ladder;
	struct convergence convergence; /* measures the passes */
	struct vm_job job;
	uint64_t now_ms, pass_started_ms, downtime_ms;
	unsigned throttled_passes;
	bool paused, over;
	/* What was decided. */
	unsigned raises, notes, steps;
	enum ladder_step last;
	char last_why[ERROR_TEXT_BYTES];
	uint64_t last_ms;
	uint64_t left_at_measure_bytes;
	bool measure_at_begin;
};

static uint64_t written(const struct trace *t, uint64_t ms)
{
	uint64_t rate = t->dirty_bytes_per_s, bytes;

	if (t->paused)
		return 0;
	if (t->cpu_bound)
		rate = rate * (100 - t->job.throttle_percent) / 100;
	if (t->oscillates && t->job.iteration % 2)
		rate /= 4;
	bytes = rate * ms / 1000;
	bytes = bytes < t->working_set_bytes ? bytes : t->working_set_bytes;
	for (uint32_t i = 1; i < t->job.iteration; i++)
		bytes = bytes * (100 - t->shrink_percent) / 100;
	return bytes;
}

static void advance(struct trace *t)
{
	uint64_t sent = t->link_bytes_per_s * STEP_MS / 1000, dirtied;

	if (sent > t->job.memory_remaining_bytes)
		sent = t->job.memory_remaining_bytes;
	t->now_ms += STEP_MS;
	t->job.memory_remaining_bytes -= sent;
	t->job.memory_processed_bytes += sent;
	if (t->job.memory_remaining_bytes)
		return;
	dirtied = written(t, t->now_ms - t->pass_started_ms);
	t->job.dirty_bytes_per_s = dirtied * 1000 / (t->now_ms - t->pass_started_ms);
	if (dirtied * 1000 / t->link_bytes_per_s <= t->downtime_ms) {
		t->over = true;
		return;
	}
	if (t->auto_converge && dirtied * 2 > sent && ++t->throttled_passes % 2 == 0 &&
	    t->job.throttle_percent < 99) {
		t->job.throttle_percent += t->job.throttle_percent ? 10 : 20;
		if (t->job.throttle_percent > 99)
			t->job.throttle_percent = 99;
	}
	t->job.iteration++;
	t->job.memory_remaining_bytes = dirtied;
	t->pass_started_ms = t->now_ms;
}

static void obey(struct trace *t, const struct ladder_decision *d)
{
	t->last = d->step;
	t->last_ms = t->now_ms;
	t->steps++;
	memcpy(t->last_why, d->why, sizeof(t->last_why));
	assert_true(d->why[0]);
	switch (d->step) {
	case LADDER_RAISE_DOWNTIME:
		assert_true(d->downtime_ms > t->downtime_ms);
		assert_true(d->downtime_ms <= t->ladder.settings.max_downtime_ms);
		t->downtime_ms = d->downtime_ms;
		t->raises++;
		break;
	case LADDER_NOTE:
		t->notes++;
		break;
	case LADDER_PAUSE:
	case LADDER_SWITCH:
		assert_true(t->job.iteration > 1);
		t->left_at_measure_bytes = t->job.memory_remaining_bytes;
		t->measure_at_begin = t->now_ms - t->pass_started_ms < READ_MS;
		t->paused = d->step == LADDER_PAUSE;
		t->over = d->step == LADDER_SWITCH;
		break;
	case LADDER_ABORT:
		t->over = true;
		break;
	default:
		fail_msg("step %d", (int)d->step);
	}
}

/* As the agent does it with each reading. */
static void judge(struct trace *t, bool overdue, struct ladder_decision *ret)
{
	struct convergence_progress ignored;
	struct ladder_passes passes;
	struct error why;

	(void)convergence_step(&t->convergence, &t->job, t->now_ms, &ignored, &why);
	passes = convergence_get_passes(&t->convergence);
	ladder_step(&t->ladder, &t->job, &passes, t->paused, overdue, t->now_ms, ret);
}

/* Until it is over, or @limit_ms have passed. */
static void run(struct trace *t, const struct strategy *strategy, uint64_t limit_ms)
{
	struct ladder_settings settings = { .strategy = *strategy, .max_downtime_ms = 300 };

	ladder_init(&t->ladder, &settings, t->now_ms);
	convergence_init(&t->convergence, &(struct convergence_limits){ .max_downtime_ms = 300 },
	                 t->now_ms);
	t->downtime_ms = ladder_get_downtime_ms(&t->ladder);
	t->job = (struct vm_job){ .active = true,
		                  .iteration = 1,
		                  .page_bytes = 4096,
		                  .memory_total_bytes = t->memory_bytes,
		                  .memory_remaining_bytes = t->memory_bytes,
		                  .transfer_bytes_per_s = t->link_bytes_per_s };
	while (!t->over && t->now_ms < limit_ms) {
		struct ladder_decision d;

		advance(t);
		if (t->operator_ms && t->now_ms == t->operator_ms) {
			ladder_fix_downtime(&t->ladder, t->operator_downtime_ms, t->now_ms);
			t->downtime_ms = ladder_get_downtime_ms(&t->ladder);
		}
		if (t->over || t->now_ms % READ_MS)
			continue;
		judge(t, t->overdue_ms && t->now_ms >= t->overdue_ms, &d);
		if (d.step != LADDER_GO_ON)
			obey(t, &d);
	}
}

static const struct trace gentle = { .memory_bytes = 256 * MIB,
	                             .working_set_bytes = 64 * MIB,
	                             .dirty_bytes_per_s = 2 * MIB,
	                             .link_bytes_per_s = 40 * MIB };
/* 128 MiB written at 40 MiB/s, over a link of 20: passes of 6.4 s for ever (measured). */
static const struct trace wild = { .memory_bytes = 256 * MIB,
	                           .working_set_bytes = 128 * MIB,
	                           .dirty_bytes_per_s = 40 * MIB,
	                           .link_bytes_per_s = 20 * MIB };

/* A guest that converges is left alone on every ladder. */
static void test_converges(void **state)
{
	(void)state;
	for (int ladder = 0; ladder < LADDERS; ladder++) {
		struct strategy s = { .ladder = (enum ladder_name)ladder };
		struct trace t = gentle;

		run(&t, &s, 60000);
		assert_true(t.over);
		assert_int_equal(t.steps, 0);
	}
}

/* Without permission nothing is ever done, however long it takes: that is the default. */
static void test_plain_does_nothing(void **state)
{
	struct strategy s = { 0 };
	struct trace t = wild;

	(void)state;
	t.overdue_ms = 60000;
	run(&t, &s, 600000);
	assert_false(t.over);
	assert_int_equal(t.steps, 0);
	assert_int_equal(t.downtime_ms, 300);
	assert_false(ladder_has_measure(&t.ladder));
}

/* minimal-downtime raises the downtime step by step to what is allowed, then gives up with figures. */
static void test_minimal_downtime(void **state)
{
	struct strategy s = { .ladder = LADDER_MINIMAL_DOWNTIME };
	struct trace t = wild;

	(void)state;
	run(&t, &s, 600000);
	assert_int_equal(t.last, LADDER_ABORT);
	assert_int_equal(t.raises, 5);
	assert_int_equal(t.downtime_ms, 300);
	assert_non_null(strstr(t.last_why, "300 ms"));
	if (!strstr(t.last_why, "the stream carries 168 Mbit/s"))
		fail_msg("%s", t.last_why);
	assert_non_null(strstr(t.last_why, "minimal-downtime"));
}

/* A guest that needs a little more downtime gets no more than it needs. */
static void test_raise_is_enough(void **state)
{
	struct strategy s = { .ladder = LADDER_MINIMAL_DOWNTIME };
	struct trace t = wild;

	(void)state;
	t.working_set_bytes = 2 * MIB; /* 100 ms on this link */
	run(&t, &s, 600000);
	assert_true(t.over);
	assert_int_equal(t.last, LADDER_RAISE_DOWNTIME);
	assert_int_equal(t.downtime_ms, 120);
	assert_int_equal(t.raises, 2);
	assert_non_null(strstr(t.last_why, "from 90 ms to 120 ms of 300 ms"));
}

/* suspend-if-needed pauses a guest that nothing else moves, and then it arrives. */
static void test_suspend(void **state)
{
	struct strategy s = { .ladder = LADDER_SUSPEND_IF_NEEDED };
	struct trace t = wild;

	(void)state;
	run(&t, &s, 600000);
	assert_true(t.over && t.paused);
	assert_int_equal(t.last, LADDER_PAUSE);
	assert_int_equal(t.raises, 5);
	assert_true(t.measure_at_begin);
}

/* post-copy: pre-copy first, then the switch, where a pass begins and never in the first. */
static void test_post_copy(void **state)
{
	struct strategy s = { .ladder = LADDER_POST_COPY };
	struct trace t = wild;

	(void)state;
	run(&t, &s, 600000);
	assert_int_equal(t.last, LADDER_SWITCH);
	assert_int_equal(t.raises, 2);
	assert_true(t.measure_at_begin);
	assert_true(t.left_at_measure_bytes <= 128 * MIB);
	assert_true(t.last_ms < 90000);
	/* It is the last thing that is decided. */
	for (int i = 0; i < 100; i++) {
		struct ladder_decision d;

		t.job.iteration++;
		t.now_ms += 60000;
		judge(&t, true, &d);
		assert_int_equal(d.step, LADDER_GO_ON);
	}
}

/* With a two-step commit the destination stays paused, so there is no post-copy. */
static void test_two_step_excludes_post_copy(void **state)
{
	struct ladder_settings settings = { .strategy = { .ladder = LADDER_POST_COPY,
		                                          .allow_post_copy = true },
		                            .max_downtime_ms = 300,
		                            .two_step = true };
	struct ladder l;

	(void)state;
	ladder_init(&l, &settings, 0);
	assert_false(ladder_has_measure(&l));
}

/* A CPU-bound guest converges once QEMU throttles it: that is waited for, and written down. */
static void test_auto_converge(void **state)
{
	struct strategy s = { .ladder = LADDER_VERY_LARGE, .allow_post_copy = true };
	struct trace t = wild;

	(void)state;
	t.working_set_bytes = 8 * MIB;
	t.dirty_bytes_per_s = 60 * MIB;
	t.cpu_bound = t.auto_converge = true;
	run(&t, &s, 600000);
	assert_true(t.over);
	assert_int_equal(t.notes, 1);
	assert_int_not_equal(t.last, LADDER_SWITCH);
	assert_int_not_equal(t.last, LADDER_ABORT);
}

/* A guest that no throttle slows down (its writes are paced by a timer) gets the next measure. */
static void test_throttle_in_vain(void **state)
{
	struct strategy s = { .ladder = LADDER_VERY_LARGE, .allow_post_copy = true };
	struct trace t = wild;

	(void)state;
	t.auto_converge = true;
	run(&t, &s, 1200000);
	assert_int_equal(t.notes, 1);
	assert_int_equal(t.last, LADDER_SWITCH);
	assert_true(t.job.throttle_percent > 90);
}

/* 16 MiB that are written all the time, over 20 MiB/s: passes of less than a second, of which readings see any
 * part. QEMU holds such a guest back with every few passes, and each is a little smaller. */
static const struct trace held_back = { .memory_bytes = 64 * MIB,
	                                .working_set_bytes = 16 * MIB,
	                                .dirty_bytes_per_s = 400 * MIB,
	                                .link_bytes_per_s = 20 * MIB,
	                                .shrink_percent = 3 };

/* Short passes that do get smaller are progress, though one of them was all but over when it was read: that was
 * taken for a low once, and nothing after it for one, until the guest was given up. */
static void test_short_passes_shrink(void **state)
{
	(void)state;
	for (int ladder = LADDER_MINIMAL_DOWNTIME; ladder < LADDERS; ladder++) {
		for (unsigned late_ms = 0; late_ms < READ_MS; late_ms += 7 * STEP_MS) {
			struct strategy s = { .ladder = (enum ladder_name)ladder };
			struct trace t = held_back;

			t.memory_bytes += late_ms * t.link_bytes_per_s / 1000;
			run(&t, &s, 600000);
			assert_true(t.over);
			if (t.last == LADDER_ABORT || t.last == LADDER_SWITCH || t.paused)
				fail_msg("%s", t.last_why);
			assert_true(t.job.iteration > 30);
		}
	}
}

/* The same passes, none of them smaller: no chance reading of one makes it wait on. */
static void test_short_passes_stay(void **state)
{
	(void)state;
	for (unsigned late_ms = 0; late_ms < READ_MS; late_ms += 7 * STEP_MS) {
		struct strategy s = { .ladder = LADDER_VERY_LARGE };
		struct trace t = held_back;

		t.shrink_percent = 0;
		t.memory_bytes += late_ms * t.link_bytes_per_s / 1000;
		run(&t, &s, 600000);
		assert_int_equal(t.last, LADDER_ABORT);
		assert_in_range(t.last_ms, LADDER_LAST_MS, 60000);
		if (!strstr(t.last_why, "16 MiB to send (best 16 MiB)"))
			fail_msg("%s", t.last_why);
	}
}

/* Permissions without a ladder count when the time is over, as KubeVirt has it, and not before. */
static void test_permissions_at_the_deadline(void **state)
{
	struct strategy pause = { .allow_disruption = true },
			switches = { .allow_post_copy = true };
	struct trace t = wild, u = wild;

	(void)state;
	t.overdue_ms = u.overdue_ms = 100000;
	run(&t, &pause, 600000);
	assert_true(t.over && t.paused);
	assert_int_equal(t.steps, 1);
	assert_in_range(t.last_ms, 100000, 100000 + LADDER_MINIMUM_WAIT_MS);
	assert_non_null(strstr(t.last_why, "time allowed is over"));
	run(&u, &switches, 600000);
	assert_int_equal(u.last, LADDER_SWITCH);
	assert_int_equal(u.steps, 1);
	assert_in_range(u.last_ms, 100000, 100000 + LADDER_MINIMUM_WAIT_MS);
}

/* Never in the first pass: all of the memory would still be to come. */
static void test_not_in_the_first_pass(void **state)
{
	struct strategy s = { .allow_post_copy = true };
	struct trace t = wild;

	(void)state;
	t.overdue_ms = 500;
	run(&t, &s, 600000);
	assert_int_equal(t.last, LADDER_SWITCH);
	assert_true(t.last_ms >= t.memory_bytes / t.link_bytes_per_s * 1000);
	assert_true(t.left_at_measure_bytes <= t.working_set_bytes);
}

/* Passes that go up and down are no progress, and the measure is taken in a low one. */
static void test_oscillation(void **state)
{
	struct strategy s = { .ladder = LADDER_POST_COPY };
	struct trace t = wild;

	(void)state;
	t.oscillates = true;
	t.dirty_bytes_per_s = 60 * MIB;
	run(&t, &s, 600000);
	assert_int_equal(t.last, LADDER_SWITCH);
	assert_true(t.left_at_measure_bytes * 10 <= t.ladder.best_bytes * 11);
}

/* A guest that a person has paused converges by itself. */
static void test_paused_guest(void **state)
{
	struct strategy s = { .ladder = LADDER_SUSPEND_IF_NEEDED };
	struct trace t = wild;

	(void)state;
	t.paused = true;
	run(&t, &s, 600000);
	assert_true(t.over);
	assert_int_equal(t.steps, 0);
}

/* The next agent goes on where the one before was, and takes no measure twice. */
static void test_adopted(void **state)
{
	struct ladder_settings settings = { .strategy = { .ladder = LADDER_SUSPEND_IF_NEEDED },
		                            .max_downtime_ms = 300 };
	struct ladder l;

	(void)state;
	ladder_init(&l, &settings, 0);
	ladder_adopt(&l, 3, false, false);
	assert_int_equal(ladder_get_downtime_ms(&l), 180);
	assert_true(ladder_has_measure(&l));
	ladder_adopt(&l, 77, true, false);
	assert_int_equal(ladder_get_downtime_ms(&l), 300);
	assert_false(ladder_has_measure(&l));
}

/* A downtime that an operator has set is not changed by any ladder: what comes after is what else is
 * permitted, or the end, after as much patience as after a step of its own. */
static void test_operator_sets_the_downtime(void **state)
{
	(void)state;
	for (int ladder = LADDER_MINIMAL_DOWNTIME; ladder < LADDERS; ladder++) {
		struct strategy s = { .ladder = (enum ladder_name)ladder };
		struct trace t = wild;

		t.operator_ms = 30000;
		t.operator_downtime_ms = 777;
		run(&t, &s, 600000);
		assert_true(t.over || t.paused);
		assert_int_equal(t.downtime_ms, 777);
		assert_int_equal(ladder_get_downtime_ms(&t.ladder), 777);
		assert_true(t.last_ms > 30000 + LADDER_PATIENCE_PASSES * 6400);
	}
	{
		/* Enough for this guest: nothing more is done. */
		struct strategy s = { .ladder = LADDER_MINIMAL_DOWNTIME };
		struct trace t = wild;

		t.operator_ms = 30000;
		t.operator_downtime_ms = 7000;
		run(&t, &s, 60000);
		assert_true(t.over);
		assert_int_not_equal(t.last, LADDER_ABORT);
		assert_true(t.now_ms < 40000);
	}
}

/* So it is for an agent that takes the move up from the one before, which was at the first step. */
static void test_operator_before_a_restart(void **state)
{
	struct ladder_settings settings = { .strategy = { .ladder = LADDER_MINIMAL_DOWNTIME },
		                            .max_downtime_ms = 70 };
	struct vm_job job = { .active = true, .iteration = 1, .memory_remaining_bytes = 64 * MIB };
	struct ladder_passes passes = { .bytes = 16 * MIB };
	struct ladder_decision d;
	struct ladder l;

	(void)state;
	ladder_init(&l, &settings, 0);
	ladder_fix_downtime(&l, 70, 0);
	ladder_adopt(&l, 0, false, false);
	for (uint64_t now_ms = READ_MS; now_ms < 300000; now_ms += READ_MS) {
		job.iteration++;
		job.memory_remaining_bytes = 16 * MIB;
		passes.iteration = job.iteration;
		ladder_step(&l, &job, &passes, false, false, now_ms, &d);
		assert_int_not_equal(d.step, LADDER_RAISE_DOWNTIME);
		if (d.step == LADDER_ABORT)
			return;
	}
	fail_msg("it was not given up");
}

/* A measure that an operator has taken is not taken again. */
static void test_operator_takes_the_measure(void **state)
{
	struct ladder_settings settings = { .strategy = { .ladder = LADDER_SUSPEND_IF_NEEDED },
		                            .max_downtime_ms = 300 };
	struct ladder l;

	(void)state;
	ladder_init(&l, &settings, 0);
	assert_true(ladder_has_measure(&l));
	ladder_take(&l, LADDER_PAUSE, 1000);
	assert_false(ladder_has_measure(&l));
}

/* Names, permissions and the stored number of a strategy belong together. */
static void test_strategy(void **state)
{
	struct strategy s, back;
	enum ladder_name ladder;
	struct error err;

	(void)state;
	for (int i = 0; i < LADDERS; i++) {
		assert_int_equal(strategy_parse_ladder(strategy_ladder_name((enum ladder_name)i),
		                                       &ladder, &err),
		                 0);
		assert_int_equal(ladder, i);
		for (int bits = 0; bits < 8; bits++) {
			s = (struct strategy){ .ladder = ladder,
				               .allow_auto_converge = bits & 1,
				               .allow_post_copy = bits & 2,
				               .allow_disruption = bits & 4 };
			assert_int_equal(strategy_unpack(strategy_pack(&s), &back), 0);
			assert_int_equal(strategy_pack(&back), strategy_pack(&s));
			assert_int_equal(strategy_permits_pause(&s),
			                 bits & 4 || i == LADDER_SUSPEND_IF_NEEDED);
			assert_int_equal(strategy_permits_post_copy(&s),
			                 bits & 2 || i == LADDER_POST_COPY);
			assert_int_equal(strategy_permits_auto_converge(&s),
			                 bits & 1 || i == LADDER_VERY_LARGE);
		}
	}
	for (unsigned bits = 0; bits < 16; bits++) {
		struct strategy wish = { .plain = bits & 1,
			                 .forbid_auto_converge = bits & 2,
			                 .forbid_post_copy = bits & 4,
			                 .forbid_disruption = bits & 8 };

		assert_int_equal(strategy_unpack(strategy_pack(&wish), &back), 0);
		assert_memory_equal(&wish, &back, sizeof(wish));
		assert_int_equal(strategy_check(&wish, &err), 0);
		wish.allow_post_copy = true;
		assert_int_equal(strategy_check(&wish, &err), bits & 4 ? -ERROR_INVALID : 0);
	}
	back = (struct strategy){ .ladder = LADDER_POST_COPY, .forbid_post_copy = true };
	assert_int_equal(strategy_check(&back, &err), -ERROR_INVALID);
	assert_int_equal(strategy_pack(&(struct strategy){ 0 }), 0);
	assert_int_equal(strategy_unpack(LADDERS, &back), -ERROR_INVALID);
	assert_int_equal(strategy_unpack(1u << 15, &back), -ERROR_INVALID);
	assert_int_equal(strategy_parse_ladder("fast", &ladder, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "suspend-if-needed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_plain_does_nothing),
		cmocka_unit_test(test_minimal_downtime),
		cmocka_unit_test(test_raise_is_enough),
		cmocka_unit_test(test_suspend),
		cmocka_unit_test(test_post_copy),
		cmocka_unit_test(test_two_step_excludes_post_copy),
		cmocka_unit_test(test_auto_converge),
		cmocka_unit_test(test_throttle_in_vain),
		cmocka_unit_test(test_short_passes_shrink),
		cmocka_unit_test(test_short_passes_stay),
		cmocka_unit_test(test_permissions_at_the_deadline),
		cmocka_unit_test(test_not_in_the_first_pass),
		cmocka_unit_test(test_oscillation),
		cmocka_unit_test(test_paused_guest),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_operator_sets_the_downtime),
		cmocka_unit_test(test_operator_before_a_restart),
		cmocka_unit_test(test_operator_takes_the_measure),
		cmocka_unit_test(test_strategy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
