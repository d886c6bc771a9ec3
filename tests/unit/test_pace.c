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
		                    .counted = true,
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

/* It is never so slow that it would not be admitted, or that passes of its guest shrink slowly. */
static void test_least(void **state)
{
	struct pace_input in = beside(95 * MB, 1);

	(void)state;
	assert_int_equal(pace_choose(&in), 8 * MB);
	in.dirty_bytes_per_s = 20 * MB;
	assert_int_equal(pace_choose(&in), 50 * MB);
	in.dirty_bytes_per_s = 40 * MB;
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

/* A guest that stands still is sent as fast as possible, at once: the limit goes however new it is, and
 * comes back when the guest runs on. */
static void test_stands_still(void **state)
{
	struct pace p = { 0 };
	struct pace_input in = beside(40 * MB, 1000);
	uint64_t limit;

	(void)state;
	assert_true(pace_step(&p, &in, &limit));
	pace_take(&p, limit, 1000);
	in.now_ms = 1500;
	in.stands_still = true;
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 0);
	pace_take(&p, limit, 1500);
	in.now_ms = 2000;
	assert_false(pace_step(&p, &in, &limit));
	in.now_ms = 1500 + PACE_EVERY_MS;
	in.stands_still = false;
	assert_true(pace_step(&p, &in, &limit));
	assert_int_not_equal(limit, 0);
}

/* A move that has had trouble to converge loses its limit at once, and gets none any more, even if the
 * trouble passes. */
static void test_struggles(void **state)
{
	struct pace p = { 0 };
	struct pace_input in = beside(40 * MB, 1000);
	uint64_t limit;

	(void)state;
	assert_true(pace_step(&p, &in, &limit));
	pace_take(&p, limit, 1000);
	in.now_ms = 1500;
	in.struggles = true;
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 0);
	pace_take(&p, limit, 1500);
	in.struggles = false;
	for (in.now_ms = 2000; in.now_ms < 100000; in.now_ms += 500)
		assert_false(pace_step(&p, &in, &limit));
}

/* Where moves of this host may pass for others' traffic, or disks are copied, which no limit reaches,
 * there is none. */
static void test_not_counted(void **state)
{
	struct pace_input in = beside(40 * MB, 1);

	(void)state;
	in.counted = false;
	assert_int_equal(pace_choose(&in), 0);
	in.counted = true;
	in.stands_still = true;
	assert_int_equal(pace_choose(&in), 0);
	in.stands_still = false;
	in.struggles = true;
	assert_int_equal(pace_choose(&in), 0);
	in.struggles = false;
	in.copies_disks = true;
	assert_int_equal(pace_choose(&in), 0);
	in.copies_disks = false;
	assert_int_not_equal(pace_choose(&in), 0);
}

/* What an agent before us may have set is replaced by the first step, also by no limit; what could not
 * be set is tried again, and not at each look. */
static void test_unknown(void **state)
{
	struct pace p = { .unknown = true };
	struct pace_input in = beside(0, 1000);
	uint64_t limit = 1;

	(void)state;
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 0);
	pace_fail(&p, 1000);
	in.now_ms = 1500;
	assert_false(pace_step(&p, &in, &limit));
	in.now_ms = 1000 + PACE_EVERY_MS;
	assert_true(pace_step(&p, &in, &limit));
	pace_take(&p, limit, in.now_ms);
	in.now_ms += 2 * PACE_EVERY_MS;
	assert_false(pace_step(&p, &in, &limit));
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
		cmocka_unit_test(test_no_limit),  cmocka_unit_test(test_share),
		cmocka_unit_test(test_least),     cmocka_unit_test(test_changes),
		cmocka_unit_test(test_verified),  cmocka_unit_test(test_stands_still),
		cmocka_unit_test(test_struggles), cmocka_unit_test(test_not_counted),
		cmocka_unit_test(test_unknown),   cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
