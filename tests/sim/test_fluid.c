/* SPDX-License-Identifier: Apache-2.0 */
/* How links are shared, and pre-copy as a liquid: against what can be worked out by hand. */
#include "tools/simulator/fluid.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HOSTS 6

static bool close_to(double a, double b)
{
	return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b) + 1);
}

/* Two from one source share its link; a third, whose destination is slow, leaves its share to them; one
 * with a limit leaves what it does not take. */
static void test_share(void **state)
{
	const double out[HOSTS] = { 90, 100, 100, 100, 100, 100 };
	const double in[HOSTS] = { 100, 100, 10, 100, 100, 100 };
	struct fluid_copy a = { .source = 0, .target = 1 }, b = { .source = 0, .target = 2 };
	struct fluid_copy c = { .source = 0, .target = 3 };
	struct fluid_copy *all[] = { &a, &b, &c };
	struct fluid f;

	(void)state;
	fluid_init(&f, out, in, HOSTS);
	fluid_share(&f, all, 1);
	assert_true(close_to(a.rate, 90));
	fluid_share(&f, all, 3);
	assert_true(close_to(b.rate, 10) && close_to(a.rate, 40) && close_to(c.rate, 40));
	a.limit_bytes_per_s = 5;
	fluid_share(&f, all, 3);
	assert_true(close_to(a.rate, 5) && close_to(b.rate, 10) && close_to(c.rate, 75));
	fluid_deinit(&f);
}

/* No link carries more than it can, and nobody could have more without another one having less. */
static void test_share_is_fair(void **state)
{
	double out[HOSTS], in[HOSTS];
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct fluid_copy copies[12] = { 0 }, *all[12];
		double used_out[HOSTS] = { 0 }, used_in[HOSTS] = { 0 };
		size_t n = 1 + (size_t)round % 12;
		struct fluid f;

		for (size_t h = 0; h < HOSTS; h++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			out[h] = 1 + (double)(seed >> 40 & 127);
			in[h] = 1 + (double)(seed >> 50 & 127);
		}
		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			copies[i].source = (seed >> 33) % HOSTS;
			copies[i].target = (seed >> 45) % HOSTS;
			copies[i].limit_bytes_per_s = seed >> 60 ? 0 : 7;
			all[i] = &copies[i];
		}
		fluid_init(&f, out, in, HOSTS);
		fluid_share(&f, all, n);
		fluid_deinit(&f);
		for (size_t i = 0; i < n; i++) {
			used_out[copies[i].source] += copies[i].rate;
			used_in[copies[i].target] += copies[i].rate;
		}
		for (size_t i = 0; i < n; i++) {
			const struct fluid_copy *c = &copies[i];
			bool out_full = used_out[c->source] > out[c->source] - 1e-6;
			bool in_full = used_in[c->target] > in[c->target] - 1e-6;
			bool most_out = true, most_in = true;

			assert_true(used_out[c->source] <= out[c->source] + 1e-6);
			assert_true(used_in[c->target] <= in[c->target] + 1e-6);
			for (size_t k = 0; k < n; k++) {
				if (copies[k].source == c->source &&
				    copies[k].rate > c->rate + 1e-6)
					most_out = false;
				if (copies[k].target == c->target &&
				    copies[k].rate > c->rate + 1e-6)
					most_in = false;
			}
			assert_true((out_full && most_out) || (in_full && most_in) ||
			            (c->limit_bytes_per_s > 0 &&
			             close_to(c->rate, c->limit_bytes_per_s)));
		}
	}
}

static double run(struct fluid_copy *c, double bytes, double rate)
{
	double seconds = 0;

	fluid_begin(c, bytes);
	c->rate = rate;
	do {
		double next = fluid_next(c);

		seconds += next;
		fluid_advance(c, next);
	} while (!fluid_turn(c) && c->passes < 100);
	return seconds;
}

/* A quiet guest takes memory / rate. One that writes at a tenth of the rate takes 10, 1, 0.1 s, and the
 * rest while it stands still. */
static void test_passes(void **state)
{
	struct fluid_copy c = { .downtime_s = 0.05, .working_set_bytes = 1e9 };

	(void)state;
	assert_true(close_to(run(&c, 1000, 100), 10));
	assert_int_equal(c.passes, 1);
	c.dirty_bytes_per_s = 10;
	assert_true(close_to(run(&c, 1000, 100), 10 + 1 + 0.1 + 0.01));
	assert_int_equal(c.passes, 4);
	assert_true(close_to(c.downtime, 0.01));
	assert_true(close_to(c.sent, 1111));
}

/* A small hot set is sent as a whole while the guest stands, however fast it is written. */
static void test_hot_set(void **state)
{
	struct fluid_copy c = { .downtime_s = 0.3,
		                .dirty_bytes_per_s = 1e6,
		                .working_set_bytes = 20 };

	(void)state;
	assert_true(close_to(run(&c, 1000, 100), 10.2));
	assert_true(close_to(c.downtime, 0.2));
	c.working_set_bytes = 500;
	run(&c, 1000, 100);
	assert_int_equal(c.passes, 100); /* never */
}

/* Where it was measured how a guest writes, that is what the next pass sends. */
static void test_measured(void **state)
{
	struct fluid_copy c = { .downtime_s = 0.3,
		                .dirty_bytes_per_s = 1e6,
		                .working_set_bytes = 1e9,
		                .curve = dirty_curve_of(
					&(struct dirty_shape){ .hot_bytes = 100, .scale_s = 0.001 },
					0) };

	(void)state;
	/* A hot set of 100 bytes, written all over within a second: 10 s, 1 s, 1 s ... at 100 a second. */
	run(&c, 1000, 100);
	assert_int_equal(c.passes, 100);
	/* At 500 a second it fits into the downtime. */
	assert_true(close_to(run(&c, 1000, 500), 2.2));
	assert_true(close_to(c.downtime, 0.2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),    cmocka_unit_test(test_share_is_fair),
		cmocka_unit_test(test_passes),   cmocka_unit_test(test_hot_set),
		cmocka_unit_test(test_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
