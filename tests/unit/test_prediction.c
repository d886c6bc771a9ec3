/* SPDX-License-Identifier: Apache-2.0 */
/* What a migration will take: the closed form against a migration played page by page, and the
 * invariant P13 over random guests: never longer with more bandwidth, never shorter with more memory or
 * more writing. */
#include "coordinator/core/predict/prediction.h"

#include "common/units.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sanitizers make it ten to thirty times as slow, and need no numbers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GUESTS 1000
#else
#define GUESTS 20000
#endif

#define PAGE 4096.0

static unsigned seed = 20240607;

static double draw(double from, double to)
{
	return from + (to - from) * ((double)rand_r(&seed) / RAND_MAX);
}

/* --- a migration, page by page --- */

/* Writes @hot_rate pages a second over the first @hot pages, at random, and @cold_rate over all. */
struct writer {
	size_t pages, hot;
	double hot_rate, cold_rate; /* pages a second */
	bool in_turn;               /* the hot ones one after the other, not at random */
	size_t next;
	double owed_hot, owed_cold;
};

static void write_for(struct writer *w, double seconds, unsigned char *dirty)
{
	w->owed_hot += w->hot_rate * seconds;
	w->owed_cold += w->cold_rate * seconds;
	for (; w->owed_hot >= 1 && w->hot; w->owed_hot--)
		dirty[w->in_turn ? w->next++ % w->hot : (size_t)rand_r(&seed) % w->hot] = 1;
	for (; w->owed_cold >= 1; w->owed_cold--)
		dirty[(size_t)draw(0, (double)w->pages - 1)] = 1;
}

static size_t count_dirty(const unsigned char *dirty, size_t pages)
{
	size_t n = 0;

	for (size_t i = 0; i < pages; i++)
		n += dirty[i];
	return n;
}

/* What a measurement of that window would find. */
static struct dirty_point measure(struct writer w, double seconds)
{
	unsigned char *dirty = calloc(w.pages, 1);
	struct dirty_point point = { .seconds = seconds };

	write_for(&w, seconds, dirty);
	point.bytes = (double)count_dirty(dirty, w.pages) * PAGE;
	point.error = point.bytes / 50;
	free(dirty);
	return point;
}

/* QEMU's way: pages in turn; the log is read when what is left would fit, and has each page that was
 * written since, sent or not. Returns the
 * seconds, or a negative number when @most seconds were not enough. */
static double migrate(struct writer w, double bytes_per_s, double downtime_s, double most,
                      double *ret_bytes)
{
	unsigned char *left = malloc(w.pages), *log = calloc(w.pages, 1);
	double step = 0.01, time = 0, sent = 0, owed = 0;
	size_t n = w.pages, at = 0;

	memset(left, 1, w.pages);
	while (w.pages && time < most) {
		if ((double)n * PAGE <= bytes_per_s * downtime_s) {
			for (size_t i = 0; i < w.pages; i++)
				left[i] |= log[i];
			memset(log, 0, w.pages);
			n = count_dirty(left, w.pages);
			if ((double)n * PAGE <= bytes_per_s * downtime_s)
				break;
		}
		for (owed += bytes_per_s * step / PAGE; owed >= 1 && n; owed--) {
			while (!left[at % w.pages])
				at++;
			left[at % w.pages] = 0;
			n--;
			sent += PAGE;
		}
		write_for(&w, step, log);
		time += step;
	}
	sent += (double)n * PAGE;
	time += (double)n * PAGE / bytes_per_s;
	free(left);
	free(log);
	*ret_bytes = sent;
	return time < most ? time : -1;
}

static struct prediction_input input_of(const struct writer *w, double bytes_per_s)
{
	struct prediction_input in = { .memory_bytes = (uint64_t)((double)w->pages * PAGE),
		                       .touched_bytes = (uint64_t)((double)w->pages * PAGE),
		                       .bandwidth_bytes_per_s = (uint64_t)bytes_per_s,
		                       .bandwidth_error = 0.02,
		                       .completion_ms = 100000 };
	struct dirty_point points[3] = { measure(*w, 1), measure(*w, 4), measure(*w, 16) };

	dirty_curve_fit(points, 3, &in.dirty);
	return in;
}

/* Time and bytes are within a tenth on the average of a migration played page by page, for guests that
 * write at random, in turn, and to a hot set; whether it ends is told but for those at the very edge. */
static void test_against_brute_force(void **state)
{
	double error = 0;
	size_t ended = 0, wrong = 0, wrong_though_certain = 0, within = 0, total = 240;

	(void)state;
	for (size_t i = 0; i < total; i++) {
		struct writer w = { .pages = (size_t)draw(8000, 40000), .in_turn = i % 3 == 0 };
		double rate = draw(10, 120) * 1e6, seconds, bytes;
		struct prediction p;
		struct prediction_input in;

		w.hot = (size_t)((double)w.pages * draw(0.02, 1));
		w.hot_rate = draw(0, 1.6) * rate / PAGE;
		w.cold_rate = i % 2 ? 0 : draw(0, 0.2) * rate / PAGE;
		in = input_of(&w, rate);
		prediction_make(&in, &p);
		seconds = migrate(w, rate, 0.3, 100, &bytes);
		if ((p.end == PREDICTION_CONVERGES) != (seconds >= 0)) {
			wrong++;
			wrong_though_certain += p.certain;
			continue;
		}
		if (seconds < 0)
			continue;
		ended++;
		error += fabs((double)p.transfer_ms / 1000 - seconds) / seconds;
		within += (double)(p.low_ms - PREDICTION_OVERHEAD_MS) / 1000 <= seconds * 1.05 &&
		          (!p.high_known ||
		           (double)(p.high_ms - PREDICTION_OVERHEAD_MS) / 1000 >= seconds * 0.95);
	}
	print_message("%zu of %zu ended, mean error %.1f %%, %zu within the interval, %zu of %zu "
	              "judged wrongly, %zu of them said to be certain\n",
	              ended, total, error * 100 / (double)ended, within, wrong, total,
	              wrong_though_certain);
	assert_true(ended > total / 3);
	assert_true(error / (double)ended < 0.10);
	assert_true(within * 10 >= ended * 9);
	assert_true(wrong * 8 <= total);
	assert_true(wrong_though_certain * 25 <= total);
}

/* --- P13 --- */

static struct prediction_input random_input(void)
{
	struct prediction_input in = { .memory_bytes = (uint64_t)(draw(0.1, 64) * (double)GIB),
		                       .bandwidth_bytes_per_s = (uint64_t)(draw(1, 1200) * 1e6),
		                       .bandwidth_error = draw(0, 0.3),
		                       .max_downtime_ms = (uint64_t)draw(10, 1000),
		                       .disk_bytes = (uint64_t)(draw(-1, 1) * 1e10) };

	if (in.disk_bytes > (uint64_t)1e10)
		in.disk_bytes = 0;
	in.touched_bytes = (uint64_t)((double)in.memory_bytes * draw(0.2, 1));
	in.dirty = dirty_curve_of(&(struct dirty_shape){ .scale_s = draw(0.05, 20),
	                                                 .hot_bytes = draw(0, 2) * (double)GIB,
	                                                 .cold_bytes_per_s = draw(0, 3e8) },
	                          draw(0.01, 0.4));
	return in;
}

static void assert_not_longer(const struct prediction *less, const struct prediction *more)
{
	bool less_ends = less->end == PREDICTION_CONVERGES;
	bool more_ends = more->end == PREDICTION_CONVERGES;

	/* What ends with more to do ends with less. */
	assert_true(less_ends || !more_ends);
	if (!more_ends)
		return;
	assert_true(less->expected_ms <= more->expected_ms);
	assert_true(less->low_ms <= more->low_ms);
	assert_true(less->bytes <= more->bytes + 1);
	assert_true(less->passes <= more->passes);
	if (more->high_known) {
		assert_true(less->high_known);
		assert_true(less->high_ms <= more->high_ms);
	}
}

/* Time, bytes and whether it ends at all: monotone in the bandwidth, in the memory in use, and in what
 * is written; the bandwidth that is called enough is where it begins to end. */
static void p13_monotone(void **state)
{
	size_t ended = 0;

	(void)state;
	for (size_t i = 0; i < GUESTS; i++) {
		struct prediction_input in = random_input(), other = in;
		double factor = draw(1, 3);
		struct dirty_shape shape;
		struct prediction p, q;

		prediction_make(&in, &p);
		ended += p.end == PREDICTION_CONVERGES;
		assert_true(p.low_ms <= p.expected_ms);
		assert_true(!p.high_known || p.high_ms >= p.expected_ms);

		other.bandwidth_bytes_per_s = (uint64_t)((double)in.bandwidth_bytes_per_s * factor);
		prediction_make(&other, &q);
		assert_not_longer(&q, &p);

		other = in;
		shape = other.dirty.random;
		shape.hot_bytes *= factor;
		shape.cold_bytes_per_s *= factor;
		other.dirty = dirty_curve_of(&shape, other.dirty.error);
		prediction_make(&other, &q);
		assert_not_longer(&p, &q);

		other = in;
		other.memory_bytes = (uint64_t)((double)in.memory_bytes * factor);
		other.touched_bytes = (uint64_t)((double)in.touched_bytes * factor);
		prediction_make(&other, &q);
		assert_not_longer(&p, &q);

		other = in;
		other.max_downtime_ms = (uint64_t)((double)in.max_downtime_ms * factor);
		prediction_make(&other, &q);
		assert_not_longer(&q, &p);

		other = in;
		other.bandwidth_bytes_per_s = p.enough_bytes_per_s + p.enough_bytes_per_s / 20 + 1;
		prediction_make(&other, &q);
		assert_int_equal(q.end, PREDICTION_CONVERGES);
	}
	assert_in_range(ended, GUESTS / 5, GUESTS * 19 / 20);
}

/* --- the curve --- */

/* A guest that writes at a rate over more than it can in the longest window: a line. */
static void test_curve_of_a_steady_writer(void **state)
{
	struct dirty_point points[] = { { 1, 20e6, 1e6 }, { 4, 80e6, 3e6 } };
	struct dirty_curve c;

	(void)state;
	dirty_curve_fit(points, 2, &c);
	assert_true(c.known);
	assert_true(fabs(dirty_curve_at(&c, 0.3) - 6e6) < 1.5e6);
	assert_true(fabs(dirty_curve_at(&c, 10) - 200e6) < 30e6);
}

/* A small hot set is as large as it is, however long one looks. */
static void test_curve_of_a_hot_set(void **state)
{
	struct dirty_point points[] = { { 1, 8e6, 4e5 }, { 4, 8e6, 4e5 }, { 16, 8e6, 4e5 } };
	struct dirty_curve c;

	(void)state;
	dirty_curve_fit(points, 3, &c);
	assert_true(fabs(dirty_curve_at(&c, 60) - 8e6) < 1e6);
	assert_true(dirty_curve_at(&c, 0.3) > 4e6);
}

/* Whatever is measured, the curve is finite, rises, and is concave; nonsense is left out. */
static void test_curve_is_always_concave(void **state)
{
	struct dirty_point nonsense[] = {
		{ 0, 5e6, 0 }, { 1, -3, 0 }, { NAN, 1, 0 }, { 2, INFINITY, 0 }
	};
	struct dirty_curve c;

	(void)state;
	dirty_curve_fit(nonsense, 4, &c);
	assert_false(c.known);
	dirty_curve_fit(NULL, 0, &c);
	assert_false(c.known);
	assert_true(dirty_curve_at(&c, 5) == 0);
	for (size_t i = 0; i < GUESTS / 10; i++) {
		struct dirty_point points[4];
		size_t count = 1 + i % 4;
		double last = 0, last_rate = INFINITY;

		for (size_t n = 0; n < count; n++)
			points[n] = (struct dirty_point){ draw(0.1, 60),
				                          draw(0, 4) < 1 ? 0 : draw(0, 1e9),
				                          draw(0, 1) < 0.5 ? 0 : draw(0, 1e8) };
		dirty_curve_fit(points, count, &c);
		assert_true(c.known);
		assert_true(isfinite(c.error));
		for (int step = 0; step < 22; step++) {
			double t = 0.01 * pow(1.7, step);
			double bytes = dirty_curve_at(&c, t);

			assert_true(isfinite(bytes));
			assert_true(bytes >= last - 1e-3);
			assert_true(bytes / t <= last_rate * (1 + 1e-9) + 1e-3);
			last = bytes;
			last_rate = bytes / t;
		}
	}
}

/* A window that was measured alone is a rate. */
static void test_curve_of_one_window(void **state)
{
	struct dirty_point point = { 1, 10e6, 0 };
	struct dirty_curve c;

	(void)state;
	dirty_curve_fit(&point, 1, &c);
	assert_true(fabs(dirty_curve_at(&c, 5) - 50e6) < 1);
}

/* --- what is unknown, and what is done --- */

static struct dirty_curve steady(double bytes_per_s, double error)
{
	return dirty_curve_of(&(struct dirty_shape){ .cold_bytes_per_s = bytes_per_s }, error);
}

static struct prediction_input web1(void)
{
	return (struct prediction_input){ .memory_bytes = 4 * GIB,
		                          .touched_bytes = 3 * GIB,
		                          .bandwidth_bytes_per_s = 100000000,
		                          .dirty = steady(10e6, 0.1),
		                          .completion_ms = 600000,
		                          .progress_ms = 150000 };
}

/* Without a bandwidth nothing is said; without a dirty rate there is a low end and no high one. */
static void test_unknown_stays_unknown(void **state)
{
	struct prediction_input in = web1();
	struct prediction p;

	(void)state;
	in.dirty = (struct dirty_curve){ 0 };
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_UNKNOWN);
	assert_false(p.high_known);
	assert_true(p.low_ms > 30000);
	assert_false(p.certain);
	in.bandwidth_bytes_per_s = 0;
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_UNKNOWN);
	assert_int_equal(p.expected_ms, 0);
	/* What is in use is not known: all of it at most, and no less than half expected well. */
	in = web1();
	in.touched_bytes = 0;
	prediction_make(&in, &p);
	assert_int_equal(p.touched_bytes, 4 * GIB);
	assert_true(p.low_ms < p.expected_ms * 6 / 10 + PREDICTION_OVERHEAD_MS);
}

/* A guest that writes faster than the link carries: what is permitted is what is foretold, and the
 * bandwidth that would do is named. */
static void test_no_end(void **state)
{
	const struct dirty_point points[] = { { .seconds = 1, .bytes = 1e15, .error = 1 },
		                              { .seconds = 4, .bytes = 1e15, .error = 1 } };
	struct prediction_input in = { .memory_bytes = UINT64_MAX,
		                       .touched_bytes = UINT64_MAX,
		                       .disk_bytes = UINT64_MAX,
		                       .bandwidth_bytes_per_s = 1,
		                       .pause = true };
	struct prediction p;

	(void)state;
	/* Figures that lead nowhere are no small ones, and many of them together are more. */
	for (int known = 0; known < 2; known++) {
		if (known)
			dirty_curve_fit(points, 2, &in.dirty);
		prediction_make(&in, &p);
		assert_in_range(p.expected_ms, 1000000000000, 4000000000000);
		assert_true(p.expected_ms >= p.low_ms);
		assert_true(!p.high_ms || p.high_ms >= p.expected_ms);
	}
}

static void test_measures(void **state)
{
	struct prediction_input in = web1();
	struct prediction p;

	(void)state;
	in.dirty = steady(130e6, 0.1);
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_GIVES_UP);
	assert_in_range(p.enough_bytes_per_s, 129999999, 130000010);
	assert_true(p.certain);
	in.pause = true;
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_PAUSES);
	assert_true(p.downtime_ms > 10000);
	in.post_copy = true;
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_SWITCHES);
	assert_true(p.downtime_ms < 1000);
	/* Guarded by a two-step commit it cannot switch. */
	in.commit_ms = 400;
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_PAUSES);
	in.auto_converge = true;
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_THROTTLED);
	assert_true(p.downtime_ms >= 400);
}

/* It would converge, but the time that it has is shorter. */
static void test_late(void **state)
{
	struct prediction_input in = web1();
	struct prediction p;

	(void)state;
	in.completion_ms = 10000;
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_GIVES_UP);
	assert_int_equal(p.expected_ms, 10000 + PREDICTION_OVERHEAD_MS);
	in.completion_ms = 0;
	in.progress_ms = 0;
	in.dirty = steady(200e6, 0.1);
	prediction_make(&in, &p);
	assert_int_equal(p.end, PREDICTION_GIVES_UP);
	assert_false(p.high_known);
}

/* Names are kept in the store: each is its own, and one of a later version is unknown. */
static void test_names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < PREDICTION_ENDS; i++) {
		assert_int_equal(
			prediction_end_by_name(prediction_end_name((enum prediction_end)i)), i);
	}
	assert_int_equal(prediction_end_by_name("teleports"), PREDICTION_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_brute_force),
		cmocka_unit_test(p13_monotone),
		cmocka_unit_test(test_curve_of_a_steady_writer),
		cmocka_unit_test(test_curve_of_a_hot_set),
		cmocka_unit_test(test_curve_is_always_concave),
		cmocka_unit_test(test_curve_of_one_window),
		cmocka_unit_test(test_unknown_stays_unknown),
		cmocka_unit_test(test_no_end),
		cmocka_unit_test(test_measures),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
