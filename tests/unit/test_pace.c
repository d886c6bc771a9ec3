/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a migration may go beside others, and that it does. */
#include "agent/kernel/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MB ((uint64_t)1000000)

static struct path_estimate path;

static struct pace_input beside(uint64_t others_bytes_per_s, uint64_t now_ms)
{
	path = (struct path_estimate){ .method = PATH_PROBE,
		                       .capacity_bytes_per_s = 100 * MB,
		                       .near_bytes_per_s = 100 * MB,
		                       .confidence_percent = 90 };
	path.available_bytes_per_s = path_available(&path, others_bytes_per_s, 0);
	return (struct pace_input){ .path = &path,
		                    .others_bytes_per_s = others_bytes_per_s,
		                    .least_bytes_per_s = 8 * MB,
		                    .moves = 1,
		                    .now_ms = now_ms };
}

/* Alone, or beside next to nobody, or without a figure to rely upon: no limit. */
static void test_no_limit(void **state)
{
	struct pace_input in = beside(0, 1);

	(void)state;
	assert_int_equal(pace_choose(&in), 0);
	in = beside(4 * MB, 1);
	assert_int_equal(pace_choose(&in), 0);
	in = beside(40 * MB, 1);
	path.confidence_percent = PATH_BELIEVED_PERCENT - 1;
	assert_int_equal(pace_choose(&in), 0);
	path.confidence_percent = 90;
	path.method = PATH_LINK_SPEED;
	assert_int_equal(pace_choose(&in), 0);
}

/* Others' 40 of 100 and 10 in reserve leave 50 on the wire, and two moves share them. */
static void test_share(void **state)
{
	struct pace_input in = beside(40 * MB, 1);

	(void)state;
	assert_int_equal(pace_choose(&in), 50 * MB / 1000 * PATH_PAYLOAD_PERMILLE);
	in.moves = 2;
	assert_int_equal(pace_choose(&in), 25 * MB / 1000 * PATH_PAYLOAD_PERMILLE);
}

/* It is never so slow that it would not be admitted, or that its guest writes faster. */
static void test_least(void **state)
{
	struct pace_input in = beside(95 * MB, 1);

	(void)state;
	assert_int_equal(pace_choose(&in), 8 * MB);
	in.dirty_bytes_per_s = 40 * MB;
	assert_int_equal(pace_choose(&in), 50 * MB);
	in.dirty_bytes_per_s = 90 * MB;
	assert_int_equal(pace_choose(&in), 0);
}

/* A limit changes when others have changed by much, and not more often than every five seconds. */
static void test_changes(void **state)
{
	struct pace p = { 0 };
	struct pace_input in = beside(40 * MB, 1000);
	uint64_t limit;

	(void)state;
	assert_true(pace_step(&p, &in, &limit));
	pace_take(&p, limit, 1000);
	in = beside(41 * MB, 10000);
	assert_false(pace_step(&p, &in, &limit));
	in = beside(60 * MB, 1000 + PACE_EVERY_MS - 1);
	assert_false(pace_step(&p, &in, &limit));
	in = beside(60 * MB, 1000 + PACE_EVERY_MS);
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 30 * MB / 1000 * PATH_PAYLOAD_PERMILLE);
	pace_take(&p, limit, in.now_ms);
	in = beside(0, 20000);
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 0);
}

/* Three seconds over what it may have: it is set again, five times at most. A moment over is nothing. */
static void test_verified(void **state)
{
	struct pace p = { 0 };
	struct pace_input in = beside(40 * MB, 1000);
	uint64_t limit, set;
	unsigned times = 0;

	(void)state;
	assert_true(pace_step(&p, &in, &limit));
	pace_take(&p, limit, 1000);
	set = limit;
	in.rate_known = true;
	in.rate_bytes_per_s = set * 12 / 10;
	in.now_ms = 10000;
	assert_false(pace_step(&p, &in, &limit));
	in.now_ms = 12000;
	in.rate_bytes_per_s = set;
	assert_false(pace_step(&p, &in, &limit));
	in.rate_bytes_per_s = set * 12 / 10;
	for (in.now_ms = 13000; in.now_ms < 200000; in.now_ms += 500) {
		if (pace_step(&p, &in, &limit)) {
			assert_int_equal(limit, set);
			pace_take(&p, limit, in.now_ms);
			times++;
		}
	}
	assert_int_equal(times, PACE_AGAIN_MAX);
}

/* For any figures: no limit, or one between the least and the capacity. */
static void test_bounds(void **state)
{
	unsigned seed = 6;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct pace_input in = beside((uint64_t)rand_r(&seed) % (200 * MB), 1);
		uint64_t limit;

		in.moves = (unsigned)rand_r(&seed) % 6;
		in.dirty_bytes_per_s = (uint64_t)rand_r(&seed) % (200 * MB);
		limit = pace_choose(&in);
		assert_true(limit == 0 ||
		            (limit >= in.least_bytes_per_s && limit >= in.dirty_bytes_per_s &&
		             limit < path.capacity_bytes_per_s));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit), cmocka_unit_test(test_share),
		cmocka_unit_test(test_least),    cmocka_unit_test(test_changes),
		cmocka_unit_test(test_verified), cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
