/* SPDX-License-Identifier: Apache-2.0 */
/* Of the migrations that leave a host the shortest goes first, the others are held, and nobody is held who
 * must not be, for too long, or by a figure that nobody believes. */
#include "agent/kernel/lanes.h"
#include "agent/kernel/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MB ((uint64_t)1000000)

/* On a way of 100 MB/s. */
static struct lane lane(uint64_t left_mb)
{
	return (struct lane){ .path_bytes_per_s = 100 * MB,
		              .left_bytes = left_mb * MB,
		              .whole_bytes = left_mb * MB,
		              .may_be_held = true };
}

static size_t count_held(const struct lane *lanes, size_t n)
{
	size_t held = 0;

	for (size_t i = 0; i < n; i++)
		held += lanes[i].hold_bytes_per_s != 0;
	return held;
}

/* Four seconds before thirty: the long one keeps a tenth, until those four are over. */
static void test_long_and_short(void **state)
{
	struct lane lanes[] = { lane(3000), lane(400) };

	(void)state;
	lanes_choose(lanes, 2);
	assert_int_equal(lanes[1].hold_bytes_per_s, 0);
	assert_int_equal(lanes[0].hold_bytes_per_s, 10 * MB);
	assert_int_equal(lanes[0].first, 1);
	assert_int_equal(lanes[0].wait_ms, 4000);
	assert_int_equal(lanes[0].left_ms, 30000);
	lanes_choose(lanes, 1);
	assert_int_equal(lanes[0].hold_bytes_per_s, 0);
}

/* Three: the second gets nothing before the first is out, and the third waits for both. */
static void test_three(void **state)
{
	struct lane lanes[] = { lane(400), lane(1000), lane(3000) };

	(void)state;
	lanes_choose(lanes, 3);
	assert_int_equal(count_held(lanes, 3), 2);
	assert_int_equal(lanes[1].wait_ms, 4000);
	assert_int_equal(lanes[2].wait_ms, 14000);
	assert_int_equal(lanes[2].first, 0);
}

/* Where one stream cannot fill the link the next one has the rest, and a person's limit is a limit. */
static void test_rest(void **state)
{
	struct lane lanes[] = { lane(400), lane(3000) };

	(void)state;
	lanes[0].takes_bytes_per_s = 30 * MB;
	lanes_choose(lanes, 2);
	assert_int_equal(lanes[1].hold_bytes_per_s, 70 * MB);
	lanes[0].takes_bytes_per_s = 0;
	lanes[0].limit_bytes_per_s = 20 * MB;
	lanes[0].left_bytes = 200 * MB;
	lanes_choose(lanes, 2);
	assert_int_equal(lanes[1].hold_bytes_per_s, 80 * MB);
	/* What is left is nearly all it could have: it is not held for that. */
	lanes[0].limit_bytes_per_s = 2 * MB;
	lanes[0].left_bytes = 200 * MB;
	lanes_choose(lanes, 2);
	assert_int_equal(count_held(lanes, 2), 0);
	/* To another host over a slow way. */
	lanes[0] = lane(200);
	lanes[0].path_bytes_per_s = 20 * MB;
	lanes_choose(lanes, 2);
	assert_int_equal(lanes[1].hold_bytes_per_s, 80 * MB);
}

/* No figure for one of them, none that is believed, or a link of a few MiB/s: TCP shares. */
static void test_not_known(void **state)
{
	struct lane lanes[] = { lane(400), lane(3000), lane(2000) };

	(void)state;
	lanes[2].path_bytes_per_s = 0;
	lanes_choose(lanes, 3);
	assert_int_equal(count_held(lanes, 3), 0);
	for (size_t i = 0; i < 3; i++) {
		lanes[i] = lane(i ? 3000 : 400);
		lanes[i].path_bytes_per_s = 20 * MB;
	}
	lanes_choose(lanes, 3);
	assert_int_equal(count_held(lanes, 3), 0);
}

/* More of them than anybody has thought of: TCP shares. */
static void test_too_many(void **state)
{
	struct lane lanes[LANES_MAX + 1];

	(void)state;
	for (size_t i = 0; i <= LANES_MAX; i++)
		lanes[i] = lane(i ? 300000 : 40000);
	for (size_t i = 0; i <= LANES_MAX; i++)
		lanes[i].path_bytes_per_s = 10000 * MB;
	lanes_choose(lanes, LANES_MAX);
	assert_int_not_equal(count_held(lanes, LANES_MAX), 0);
	lanes_choose(lanes, LANES_MAX + 1);
	assert_int_equal(count_held(lanes, LANES_MAX + 1), 0);
}

/* The one that may not be held is not, though all others go before it. */
static void test_may_not(void **state)
{
	struct lane lanes[] = { lane(400), lane(3000), lane(2000) };

	(void)state;
	lanes[1].may_be_held = false;
	lanes_choose(lanes, 3);
	assert_int_equal(lanes[1].hold_bytes_per_s, 0);
	assert_int_not_equal(lanes[2].hold_bytes_per_s, 0);
}

/* A guest that stands still goes before all others; one without an end after them, and keeps nobody. */
static void test_ends(void **state)
{
	struct lane lanes[] = { lane(400), lane(3000) };

	(void)state;
	lanes[1].urgent = true;
	lanes_choose(lanes, 2);
	assert_int_equal(lanes[0].first, 1);
	assert_int_equal(lanes[1].hold_bytes_per_s, 0);
	lanes[1] = lane(100);
	lanes[1].dirty_bytes_per_s = 100 * MB;
	lanes[1].may_be_held = false;
	lanes_choose(lanes, 2);
	assert_int_equal(lanes[1].left_ms, LANES_NEVER_MS);
	assert_int_equal(count_held(lanes, 2), 0);
}

/* Less than two seconds are not worth it; but who is held already is not let go for the last two. */
static void test_moment(void **state)
{
	struct lane lanes[] = { lane(190), lane(3000) };

	(void)state;
	lanes_choose(lanes, 2);
	assert_int_equal(count_held(lanes, 2), 0);
	lanes[1].held = true;
	lanes_choose(lanes, 2);
	assert_int_equal(count_held(lanes, 2), 1);
}

/* It is held for no longer than twice the time it would need alone. */
static void test_patience(void **state)
{
	struct lane lanes[] = { lane(400), lane(3000) };

	(void)state;
	lanes[1].held_ms = 60 * 1000 - 1;
	lanes_choose(lanes, 2);
	assert_int_equal(count_held(lanes, 2), 1);
	lanes[1].held_ms++;
	lanes_choose(lanes, 2);
	assert_int_equal(count_held(lanes, 2), 0);
}

/* Two alike, whose estimates waver by a twentieth: nobody changes places. A tenth and more: they do. */
static void test_no_wavering(void **state)
{
	struct lane lanes[] = { lane(1000), lane(1000) };

	(void)state;
	lanes_choose(lanes, 2);
	assert_int_equal(lanes[0].hold_bytes_per_s, 0);
	assert_int_not_equal(lanes[1].hold_bytes_per_s, 0);
	lanes[1].held = true;
	for (unsigned i = 0; i < 100; i++) {
		lanes[0].left_bytes = (i % 2 ? 1050 : 1000) * MB;
		lanes_choose(lanes, 2);
		assert_int_equal(lanes[0].hold_bytes_per_s, 0);
	}
	lanes[1].left_bytes = 890 * MB;
	lanes[0].left_bytes = 1000 * MB;
	lanes_choose(lanes, 2);
	assert_int_not_equal(lanes[0].hold_bytes_per_s, 0);
	assert_int_equal(lanes[1].hold_bytes_per_s, 0);
}

static uint64_t below(uint64_t bound)
{
	return (uint64_t)rand() % bound;
}

static void make_random(struct lane *l)
{
	*l = lane(1 + below(5000));
	l->path_bytes_per_s = (20 + below(1000)) * MB;
	l->dirty_bytes_per_s = below(3) ? 0 : below(200) * MB;
	l->takes_bytes_per_s = below(4) ? 0 : (1 + below(500)) * MB;
	l->limit_bytes_per_s = below(6) ? 0 : (1 + below(500)) * MB;
	l->may_be_held = below(5);
	l->urgent = !l->may_be_held && below(2);
	l->held = l->may_be_held && below(2);
	l->held_ms = below(60000);
}

/* Of any set: what is left to those that are held fits into the link with what the one that goes first
 * takes; each has at least its part of the floor; the one for whom somebody is held is itself not held, and is
 * no longer than whoever waits for it, or urgent; the shorter ones ahead of it. */
static void test_any(void **state)
{
	struct lane lanes[8];

	(void)state;
	srand(7);
	for (unsigned round = 0; round < 20000; round++) {
		size_t n = 2 + below(7);
		uint64_t link = 0, held = 0;

		for (size_t i = 0; i < n; i++) {
			make_random(&lanes[i]);
			if (lanes[i].path_bytes_per_s > link)
				link = lanes[i].path_bytes_per_s;
		}
		lanes_choose(lanes, n);
		for (size_t i = 0; i < n; i++) {
			const struct lane *l = &lanes[i], *first;

			if (!l->hold_bytes_per_s) {
				assert_true(l->first == LANES_NOBODY);
				continue;
			}
			held += l->hold_bytes_per_s;
			assert_true(l->may_be_held);
			assert_true(l->hold_bytes_per_s >= link / 1000 * LANES_FLOOR_PERCENT);
			assert_true(l->hold_bytes_per_s >= LANES_FLOOR_BYTES_PER_S);
			assert_true(l->hold_bytes_per_s < l->path_bytes_per_s);
			first = &lanes[l->first];
			assert_int_equal(first->hold_bytes_per_s, 0);
			assert_true(first->left_ms != LANES_NEVER_MS);
			assert_true(first->urgent || l->left_ms == LANES_NEVER_MS ||
			            first->left_ms <= l->left_ms / 90 * 100 + 100);
		}
		assert_true(held <= link);
	}
}

/* A long one beside short ones without end, a second at a time: it is held for twice its own time, and
 * then ends with equal shares. */
static void test_no_starvation(void **state)
{
	struct lane lanes[] = { lane(3000), lane(400) };
	unsigned seconds = 0;

	(void)state;
	while (lanes[0].left_bytes > 0) {
		uint64_t has;

		lanes_choose(lanes, 2);
		has = lanes[0].hold_bytes_per_s ? lanes[0].hold_bytes_per_s : 50 * MB;
		lanes[0].held = lanes[0].hold_bytes_per_s;
		lanes[0].held_ms += lanes[0].held ? 1000 : 0;
		lanes[0].left_bytes -= has < lanes[0].left_bytes ? has : lanes[0].left_bytes;
		lanes[1].left_bytes -= 50 * MB;
		if (!lanes[1].left_bytes)
			lanes[1].left_bytes = 400 * MB;
		assert_true(++seconds < 200);
	}
	assert_int_equal(lanes[0].held_ms, 60000);
	assert_in_range(seconds, 100, 120);
}

/* A hold is set at once and goes at once; while it lasts a little more or less is no reason to change
 * it, and others' part of the link is still theirs. */
static void test_pace(void **state)
{
	struct path_estimate path = { .method = PATH_PROBE,
		                      .capacity_bytes_per_s = 100 * MB,
		                      .available_bytes_per_s = 60 * MB,
		                      .confidence_percent = 90 };
	struct pace_input in = { .path = &path, .moves = 1, .counted = true, .now_ms = 1000 };
	struct pace p = { 0 };
	uint64_t limit = 0;

	(void)state;
	assert_false(pace_step(&p, &in, &limit));
	in.hold_bytes_per_s = 5 * MB;
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 5 * MB);
	pace_take(&p, limit, in.now_ms);
	for (; in.now_ms < 60000; in.now_ms += 500) {
		in.hold_bytes_per_s = in.now_ms / 500 % 2 ? 5 * MB : 11 * MB / 2;
		assert_false(pace_step(&p, &in, &limit));
	}
	pace_take(&p, 5 * MB, in.now_ms);
	in.hold_bytes_per_s = 0;
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 0);
	pace_take(&p, limit, in.now_ms);
	in.hold_bytes_per_s = 90 * MB;
	in.others_bytes_per_s = 40 * MB;
	assert_true(pace_step(&p, &in, &limit));
	assert_in_range(limit, 40 * MB, 50 * MB);
	pace_take(&p, limit, in.now_ms);
	in.struggles = true;
	assert_true(pace_step(&p, &in, &limit));
	assert_int_equal(limit, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_and_short),
		cmocka_unit_test(test_three),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_not_known),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_may_not),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_moment),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_no_wavering),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_no_starvation),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
