/* SPDX-License-Identifier: Apache-2.0 */
/* When a migration is said to be over: guests that converge, that never do, and that do with help, each run to
 * its true end by the rules that decide it. What is said is that end, early and all the time; and where it goes
 * later the reason is there. */
#include "agent/source/outlook.h"

#include "common/alloc.h"
#include "common/units.h"
#include "tests/unit/outlook_recorded.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEP_MS 500

/* A guest on a link: what QEMU does, and what libvirt tells of it each half a second. */
struct guest {
	uint64_t memory_mib, hot_mib;
	double walk_mib_per_s; /* through all of its memory, beside the hot set */
	double hot_s;          /* in which the hot set is written once */
	double link_mib_per_s;
	bool sampled; /* before it moved */
};

struct run {
	struct guest guest;
	struct convergence convergence;
	struct convergence_progress progress;
	struct ladder ladder;
	struct outlook outlook;
	struct vm_job job;
	uint64_t now_ms;
	double left, pass, pass_s; /* bytes, bytes, seconds since this one began */
	bool paused, over, given_up, arrived;
	/* What was said, reading by reading. */
	struct said {
		uint64_t at_ms, end_at_ms;
		bool known, why;
		enum outlook_end end;
	} said[8000];
	size_t n_said;
};

static double written(const struct guest *g, double seconds)
{
	double hot = (double)g->hot_mib * fmin(seconds / g->hot_s, 1);

	return fmin(hot + g->walk_mib_per_s * seconds, (double)g->memory_mib) * MIB;
}

static void begin(struct run *r, const struct guest *guest, enum ladder_name ladder,
                  uint64_t progress_ms)
{
	struct convergence_limits limits = { .completion_timeout_ms_per_gib = 800000,
		                             .progress_timeout_ms = progress_ms,
		                             .max_downtime_ms = 300,
		                             .memory_bytes = guest->memory_mib * MIB };
	struct ladder_settings settings = { .strategy.ladder = ladder, .max_downtime_ms = 300 };

	*r = (struct run){ .guest = *guest, .now_ms = 1000 };
	convergence_init(&r->convergence, &limits, r->now_ms);
	ladder_init(&r->ladder, &settings, r->now_ms);
	r->left = r->pass = (double)guest->memory_mib * MIB;
	r->job = (struct vm_job){ .active = true,
		                  .iteration = 1,
		                  .memory_total_bytes = guest->memory_mib * MIB };
}

/* QEMU for half a second: many passes if they are short. */
static void go(struct run *r)
{
	double rate = r->guest.link_mib_per_s * MIB, rest = STEP_MS / 1000.0;

	while (rest > 0 && !r->arrived) {
		double dt = fmin(r->left / rate, rest);

		r->left -= dt * rate;
		r->job.memory_processed_bytes += (uint64_t)(dt * rate);
		r->pass_s += dt;
		rest -= dt;
		if (r->left > 0.5)
			continue;
		r->pass = r->left = r->paused ? 0 : written(&r->guest, r->pass_s);
		r->job.iteration++;
		r->job.dirty_bytes_per_s = (uint64_t)(r->pass / fmax(r->pass_s, 1e-3));
		r->pass_s = 0;
		r->arrived = r->left <= rate * (double)ladder_get_downtime_ms(&r->ladder) / 1000;
	}
	r->job.transfer_bytes_per_s = (uint64_t)rate;
	r->job.memory_remaining_bytes = (uint64_t)r->left;
}

static void look(struct run *r)
{
	struct outlook_input in = { .convergence = &r->convergence,
		                    .ladder = &r->ladder,
		                    .job = &r->job,
		                    .progress = &r->progress,
		                    .stands_still = r->paused,
		                    .left_bytes = r->job.memory_remaining_bytes };
	static const double seconds[] = { 1, 4, 16 };

	for (size_t i = 0; r->guest.sampled && i < ARRAY_SIZE(seconds); i++) {
		in.points[i].seconds = seconds[i];
		in.points[i].bytes = written(&r->guest, seconds[i]);
		in.n_points++;
	}
	outlook_look(&r->outlook, &in, r->now_ms);
	assert_true(r->n_said < ARRAY_SIZE(r->said));
	r->said[r->n_said++] = (struct said){ .at_ms = r->now_ms,
		                              .end_at_ms = r->outlook.end_at_ms,
		                              .known = r->outlook.known,
		                              .why = r->outlook.later_why[0],
		                              .end = r->outlook.end };
}

/* As the agent does it with each reading. */
static void judge(struct run *r)
{
	enum convergence_verdict verdict;
	struct ladder_passes passes;
	struct ladder_decision d;
	struct error why;
	bool overdue;

	verdict = convergence_step(&r->convergence, &r->job, r->now_ms, &r->progress, &why);
	overdue = verdict == CONVERGENCE_ABORT_TIMEOUT ||
	          (verdict == CONVERGENCE_ABORT_NO_PROGRESS && !ladder_has_step(&r->ladder));
	passes = convergence_get_passes(&r->convergence);
	ladder_step(&r->ladder, &r->job, &passes, r->paused, overdue, r->now_ms, &d);
	if (d.step == LADDER_RAISE_DOWNTIME)
		convergence_begin_anew(&r->convergence, r->now_ms);
	r->paused |= d.step == LADDER_PAUSE;
	r->given_up = verdict == CONVERGENCE_ABORT_STALLED || d.step == LADDER_ABORT ||
	              (d.step == LADDER_GO_ON && overdue && !ladder_has_measure(&r->ladder));
}

static void step(struct run *r)
{
	go(r);
	r->now_ms += STEP_MS;
	judge(r);
	look(r);
}

static void run(struct run *r)
{
	while (!r->arrived && !r->given_up)
		step(r);
}

/* From reading @first on the end that was said was the true one, within a tenth of what was left then (and
 * @more_ms), and it went later only with a reason. */
static void assert_honest(const struct run *r, size_t first, uint64_t more_ms)
{
	for (size_t i = 0; i < r->n_said; i++) {
		const struct said *said = &r->said[i];
		uint64_t left_ms = r->now_ms - said->at_ms;
		double off_ms = fabs((double)said->end_at_ms - (double)r->now_ms);

		if (i && said->known && r->said[i - 1].known &&
		    said->end_at_ms > r->said[i - 1].end_at_ms)
			assert_true(said->why);
		if (i < first)
			continue;
		assert_true(said->known);
		if (off_ms > (double)left_ms / 10 + (double)more_ms)
			fail_msg("at %.1f s it was said to end at %.1f s, and did at %.1f s",
			         (double)said->at_ms / 1000, (double)said->end_at_ms / 1000,
			         (double)r->now_ms / 1000);
	}
}

static struct run r;

/* Little is written: known from the first reading on, for its memory was sampled. */
static void test_converges(void **state)
{
	static const struct guest guest = { .memory_mib = 2048,
		                            .hot_mib = 40,
		                            .hot_s = 2,
		                            .walk_mib_per_s = 5,
		                            .link_mib_per_s = 50,
		                            .sampled = true };

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	run(&r);
	assert_true(r.arrived);
	assert_int_equal(r.outlook.end, OUTLOOK_CONVERGES);
	assert_honest(&r, 0, 1500);
	assert_true(r.outlook.percent >= 90);
}

/* Of one that was never sampled nobody knows in the first pass what it writes: then it is told. */
static void test_not_sampled(void **state)
{
	static const struct guest guest = {
		.memory_mib = 1024, .walk_mib_per_s = 30, .hot_s = 1, .link_mib_per_s = 50
	};
	size_t first = 0;

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	run(&r);
	assert_true(r.arrived);
	while (r.said[first].end == OUTLOOK_UNKNOWN)
		first++;
	assert_in_range(first, 40, 43);
	assert_true(r.said[first + 1].why);
	assert_honest(&r, first + 2, 1500);
}

/* Nearly all that is carried is written again: 376 of 383 Mbit/s. It is said that it will be given up, and when,
 * from the first reading on; never that it is over in seconds. */
static void test_never_converges(void **state)
{
	static const struct guest guest = { .memory_mib = 256,
		                            .hot_mib = 127,
		                            .hot_s = 2.5,
		                            .walk_mib_per_s = 0.2,
		                            .link_mib_per_s = 45.66,
		                            .sampled = true };

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	run(&r);
	assert_true(r.given_up);
	for (size_t i = 0; i < r.n_said; i++)
		assert_int_equal(r.said[i].end, OUTLOOK_GIVES_UP);
	assert_honest(&r, 0, 3000);
	assert_int_equal(r.outlook.percent, 0);
}

/* Nothing was sampled: it is seen by the pass that got no smaller. */
static void test_never_converges_not_sampled(void **state)
{
	static const struct guest guest = { .memory_mib = 256,
		                            .hot_mib = 127,
		                            .hot_s = 2.5,
		                            .walk_mib_per_s = 0.2,
		                            .link_mib_per_s = 45.66 };
	size_t first = 0;

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	run(&r);
	assert_true(r.given_up);
	while (r.said[first].end != OUTLOOK_GIVES_UP)
		first++;
	/* 5.6 s of all memory, 2.8 s of the hot set, and its next pass begins. */
	assert_in_range(first, 10, 20);
	for (size_t i = first; i < r.n_said; i++)
		assert_int_equal(r.said[i].end, OUTLOOK_GIVES_UP);
	assert_honest(&r, first + 4, 3000);
}

/* A real one: from its second pass on it is said to be given up, at the time at which it was. */
static void test_recorded(void **state)
{
	static const struct guest guest = { .memory_mib = 256 };
	static const struct outlook_point points[] = { { 1, 39845888 },
		                                       { 4, 156237824 },
		                                       { 16, 124780544 } };
	uint64_t begun_ms;
	size_t second = 0;

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 60000);
	begun_ms = r.now_ms;
	for (size_t i = 0; i < ARRAY_SIZE(recorded) && !r.given_up; i++) {
		const struct recorded *at = &recorded[i];
		struct outlook_input in = { .convergence = &r.convergence,
			                    .ladder = &r.ladder,
			                    .job = &r.job,
			                    .progress = &r.progress,
			                    .left_bytes = at->left_bytes };

		r.job.iteration = at->iteration;
		r.job.memory_remaining_bytes = at->left_bytes;
		r.job.memory_processed_bytes = at->sent_bytes;
		r.job.transfer_bytes_per_s = at->rate_bytes_per_s;
		r.job.dirty_bytes_per_s = at->dirty_bytes_per_s;
		r.now_ms = begun_ms + at->ms;
		judge(&r);
		memcpy(in.points, points, sizeof(points));
		in.n_points = ARRAY_SIZE(points);
		outlook_look(&r.outlook, &in, r.now_ms);
		r.said[r.n_said++] = (struct said){ .at_ms = r.now_ms,
			                            .end_at_ms = r.outlook.end_at_ms,
			                            .known = r.outlook.known,
			                            .why = r.outlook.later_why[0],
			                            .end = r.outlook.end };
		if (at->iteration < 2)
			second = r.n_said;
		else
			assert_int_equal(r.outlook.end, OUTLOOK_GIVES_UP);
	}
	assert_in_range(second, 5, 8);
	/* What was recorded ends half a second before it was given up. */
	r.now_ms += STEP_MS;
	assert_honest(&r, second, 6000);
}

/* A small hot set: its passes are shorter than what is between two readings, and seen at any part. */
static void test_short_passes(void **state)
{
	static const struct guest guest = { .memory_mib = 512,
		                            .hot_mib = 22,
		                            .hot_s = 0.1,
		                            .walk_mib_per_s = 0.3,
		                            .link_mib_per_s = 50 };
	size_t first = 0;

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 60000);
	run(&r);
	assert_true(r.given_up);
	while (r.said[first].end != OUTLOOK_GIVES_UP)
		first++;
	assert_in_range(first, 20, 26);
	for (size_t i = first; i < r.n_said; i++)
		assert_int_equal(r.said[i].end, OUTLOOK_GIVES_UP);
	assert_honest(&r, first + 4, 3000);
}

/* A ladder that pauses: the end is that of the pause, through all of its steps. */
static void test_ladder_pauses(void **state)
{
	static const struct guest guest = { .memory_mib = 512,
		                            .hot_mib = 200,
		                            .hot_s = 2,
		                            .walk_mib_per_s = 1,
		                            .link_mib_per_s = 50,
		                            .sampled = true };

	(void)state;
	begin(&r, &guest, LADDER_SUSPEND_IF_NEEDED, 0);
	run(&r);
	assert_true(r.arrived && r.paused);
	for (size_t i = 0; i < r.n_said; i++)
		assert_int_equal(r.said[i].end, OUTLOOK_PAUSES);
	assert_honest(&r, 0, 8000);
}

/* With a few more of its steps it converges: said so before they are taken. */
static void test_ladder_converges(void **state)
{
	static const struct guest guest = { .memory_mib = 512,
		                            .hot_mib = 10,
		                            .hot_s = 0.1,
		                            .walk_mib_per_s = 2,
		                            .link_mib_per_s = 50,
		                            .sampled = true };

	(void)state;
	begin(&r, &guest, LADDER_MINIMAL_DOWNTIME, 0);
	run(&r);
	assert_true(r.arrived);
	assert_true(r.ladder.rung > 0);
	assert_int_equal(r.outlook.end, OUTLOOK_CONVERGES);
	assert_honest(&r, 2, 7000);
}

/* The link loses half of what it carries: the end is later, with the reason; and stays put again. */
static void test_link_falls(void **state)
{
	static const struct guest guest = { .memory_mib = 4096,
		                            .hot_mib = 10,
		                            .hot_s = 1,
		                            .link_mib_per_s = 100,
		                            .sampled = true };
	uint64_t before_ms;

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	for (unsigned i = 0; i < 20; i++)
		step(&r);
	before_ms = r.outlook.end_at_ms;
	assert_string_equal(r.outlook.later_why, "");
	r.guest.link_mib_per_s = 50;
	for (unsigned i = 0; i < 20; i++)
		step(&r);
	assert_true(r.outlook.end_at_ms > before_ms + 20000);
	assert_non_null(strstr(r.outlook.later_why, "are carried, no longer"));
	run(&r);
	assert_honest(&r, 40, 1500);
}

static unsigned count_turns(const struct run *of)
{
	unsigned turns = 0;

	for (size_t i = 1; i < of->n_said; i++)
		turns += of->said[i].end != of->said[i - 1].end;
	return turns;
}

/* Two guests on one link, each of which would converge alone: each writes a little more than half of what the link
 * carries. What one of them gets swings, for seconds, and it swings above what it writes, too. */
static void test_two_guests(void **state)
{
	/* Of a hundred; a reading each. */
	static const unsigned shares[] = { 52, 55, 58, 60, 61, 61, 60, 58, 55, 51, 47, 43, 40, 38,
		                           37, 38, 41, 45, 50, 54, 57, 62, 63, 62, 58, 52, 46, 44,
		                           42, 39, 39, 41, 44, 49, 56, 59, 57, 53, 48, 45 };
	static const struct guest guest = { .memory_mib = 256,
		                            .hot_mib = 127,
		                            .hot_s = 4.6,
		                            .walk_mib_per_s = 0.2,
		                            .sampled = true };
	static struct run runs[2];
	double link = 50;
	uint64_t alone_ms;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		begin(&runs[i], &guest, LADDER_PLAIN, 150000);
	for (unsigned reading = 0; reading < 240; reading++) {
		unsigned share = reading < 4 ? 100 : shares[reading % ARRAY_SIZE(shares)];

		runs[0].guest.link_mib_per_s = link * share / 100;
		runs[1].guest.link_mib_per_s = link * (100 - share) / 100;
		step(&runs[0]);
		if (reading >= 4)
			step(&runs[1]);
	}
	/* The first one had the link for itself for two seconds; from then on both are given up, and stay it. */
	assert_int_equal(count_turns(&runs[0]), 1);
	assert_int_equal(count_turns(&runs[1]), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(runs[i].outlook.end, OUTLOOK_GIVES_UP);
		assert_honest(&runs[i], runs[i].n_said, 0);
	}
	/* The other one has gone: that is believed when it has been so for ten seconds. */
	alone_ms = runs[0].now_ms;
	runs[0].guest.link_mib_per_s = 35;
	while (runs[0].outlook.end == OUTLOOK_GIVES_UP)
		step(&runs[0]);
	assert_in_range(runs[0].now_ms, alone_ms + 10000, alone_ms + 13000);
	run(&runs[0]);
	assert_true(runs[0].arrived);
	assert_int_equal(count_turns(&runs[0]), 2);
}

/* It begins to write more than is carried: what was an end is none any more. */
static void test_guest_wakes_up(void **state)
{
	static const struct guest guest = {
		.memory_mib = 1024, .walk_mib_per_s = 35, .hot_s = 1, .link_mib_per_s = 50
	};

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 60000);
	for (unsigned i = 0; i < 45; i++)
		step(&r);
	assert_int_equal(r.outlook.end, OUTLOOK_CONVERGES);
	r.guest.walk_mib_per_s = 90;
	run(&r);
	assert_true(r.given_up);
	assert_int_equal(r.outlook.end, OUTLOOK_GIVES_UP);
	assert_honest(&r, r.n_said, 0);
}

/* A network that is dead: no byte, and the end is when it is given up for that. */
static void test_stall(void **state)
{
	static const struct guest guest = { .memory_mib = 4096, .hot_s = 1, .link_mib_per_s = 100 };
	uint64_t dead_ms;

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	for (unsigned i = 0; i < 10; i++)
		step(&r);
	dead_ms = r.now_ms;
	while (!r.given_up) {
		r.now_ms += STEP_MS;
		judge(&r);
		look(&r);
		if (r.now_ms < dead_ms + 6000)
			continue;
		assert_int_equal(r.outlook.end, OUTLOOK_GIVES_UP);
		assert_in_range(r.outlook.end_at_ms, dead_ms + CONVERGENCE_STALL_MS - 1000,
		                dead_ms + CONVERGENCE_STALL_MS + 1000);
	}
}

/* One that was dead for ten seconds: the first byte that is sent says that it goes on. */
static void test_stall_ends(void **state)
{
	static const struct guest guest = { .memory_mib = 4096, .hot_s = 1, .link_mib_per_s = 100 };

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	for (unsigned i = 0; i < 10; i++)
		step(&r);
	for (unsigned i = 0; i < 20; i++) {
		r.now_ms += STEP_MS;
		judge(&r);
		look(&r);
	}
	assert_int_equal(r.outlook.end, OUTLOOK_GIVES_UP);
	step(&r);
	assert_int_not_equal(r.outlook.end, OUTLOOK_GIVES_UP);
	run(&r);
	assert_true(r.arrived);
	assert_honest(&r, 31, 1500);
}

/* Held for another one: what it waits and what it then takes; and it is said who goes first. */
static void test_held(void **state)
{
	static const struct guest guest = { .memory_mib = 2048, .hot_s = 1, .link_mib_per_s = 100 };
	struct outlook_input in = { .convergence = &r.convergence,
		                    .ladder = &r.ladder,
		                    .job = &r.job,
		                    .progress = &r.progress,
		                    .wait_ms = 30000,
		                    .hold_bytes_per_s = 10 * MIB,
		                    .free_bytes_per_s = 100 * MIB,
		                    .held_for = "small" };

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	step(&r);
	step(&r);
	in.left_bytes = r.job.memory_remaining_bytes;
	for (unsigned i = 0; i < 3; i++)
		outlook_look(&r.outlook, &in, r.now_ms);
	/* 300 of 1948 MiB are sent meanwhile. */
	assert_in_range(outlook_left_ms(&r.outlook, r.now_ms), 46000, 47000);
	assert_string_equal(r.outlook.later_why, "small goes first");
}

/* Disks go first: libvirt shows no memory then, and it is still to come. */
static void test_disks(void **state)
{
	static const struct guest guest = { .memory_mib = 1024, .hot_s = 1, .link_mib_per_s = 100 };

	(void)state;
	begin(&r, &guest, LADDER_PLAIN, 150000);
	for (unsigned i = 1; i <= 20; i++) {
		struct outlook_input in = { .convergence = &r.convergence,
			                    .ladder = &r.ladder,
			                    .job = &r.job,
			                    .progress = &r.progress };

		r.job = (struct vm_job){ .active = true,
			                 .disk_total_bytes = 4096 * MIB,
			                 .disk_processed_bytes = 50 * i * MIB,
			                 .disk_remaining_bytes = (4096 - 50 * i) * MIB };
		r.now_ms += STEP_MS;
		judge(&r);
		in.left_bytes = r.job.disk_remaining_bytes + 1024 * MIB;
		outlook_look(&r.outlook, &in, r.now_ms);
	}
	assert_true(r.outlook.known);
	assert_in_range(outlook_left_ms(&r.outlook, r.now_ms), 40000, 42500);
	assert_in_range(r.outlook.percent, 15, 25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_not_sampled),
		cmocka_unit_test(test_never_converges),
		cmocka_unit_test(test_never_converges_not_sampled),
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_short_passes),
		cmocka_unit_test(test_ladder_pauses),
		cmocka_unit_test(test_ladder_converges),
		cmocka_unit_test(test_link_falls),
		cmocka_unit_test(test_two_guests),
		cmocka_unit_test(test_guest_wakes_up),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_stall_ends),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_disks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
