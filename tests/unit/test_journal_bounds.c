/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent remembers has an end: what is old is forgotten, and no more is taken where nothing may be. */
#include "agent/journal/journal_codec.h"
#include "tests/unit/journal_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Written twice it is one lease; released twice it is one tombstone, and the oldest of too many go. */
static void test_repeated_records(void **state)
{
	struct journal_world *w = *state;
	struct reservation r = journal_world_reservation(2);
	struct attempt_name a = r.attempt;
	struct error err;
	uint8_t *payload;
	size_t bytes;

	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &r, &err), 0);
	assert_int_equal(journal_state_write_taken(&w->state, w->journal, &r, &err), 0);
	assert_int_equal(w->state.n_reservations, 1);
	assert_int_equal(journal_state_write_released(&w->state, w->journal, &a, &err), 0);
	assert_int_equal(journal_state_write_released(&w->state, w->journal, &a, &err), 0);
	assert_int_equal(w->state.n_reservations, 0);
	assert_int_equal(w->state.n_released, 1);
	for (uint32_t i = 1; i <= RESERVATION_TOMBSTONES_MAX; i++) {
		a = journal_world_name(8, i, 7);
		payload = journal_encode_released(&a, &bytes);
		journal_world_fold(w, JOURNAL_TYPE_RELEASED, payload, bytes);
	}
	assert_int_equal(w->state.n_released, RESERVATION_TOMBSTONES_MAX);
	assert_int_equal(w->state.released[0].operation.bytes[0], 8);
}

/* Too many things wait to be removed: no image is made. What was made is written down all the same. A drain
 * leaves so many guests and no more. */
static void test_bounds(void **state)
{
	struct journal_world *w = *state;
	struct journal_drain_mark mark = { .n_leave = JOURNAL_LEAVE_MAX + 1 };
	struct journal_drain_mark off = { .n_shut_down = JOURNAL_LEAVE_MAX + 1 };
	struct journal_thing t = journal_world_thing();
	struct error err;
	uint8_t *payload;
	size_t bytes;

	assert_int_equal(journal_state_write_drain_mark(&w->state, w->journal, &mark, &err),
	                 -ERROR_INVALID);
	assert_int_equal(journal_state_write_drain_mark(&w->state, w->journal, &off, &err),
	                 -ERROR_INVALID);
	for (uint32_t i = 0; i < JOURNAL_THINGS_MAX; i++) {
		t.pid = i;
		payload = journal_encode_thing(&t, &bytes);
		journal_world_fold(w, JOURNAL_TYPE_MADE, payload, bytes);
	}
	t.pid = 99999;
	t.kind = JOURNAL_IMAGE;
	assert_int_equal(journal_state_write_made(&w->state, w->journal, &t, &err),
	                 -ERROR_NO_SPACE);
	/* One that was never made is removed without harm. */
	assert_int_equal(journal_state_write_removed(&w->state, w->journal, &t, &err), 0);
	assert_int_equal(w->state.n_things, JOURNAL_THINGS_MAX);
	t.inode = 4711;
	assert_int_equal(journal_state_write_made(&w->state, w->journal, &t, &err), 0);
	assert_int_equal(journal_state_write_removed(&w->state, w->journal, &t, &err), 0);
	t.kind = JOURNAL_TUNNEL;
	assert_int_equal(journal_state_write_made(&w->state, w->journal, &t, &err), 0);
	assert_int_equal(w->state.n_things, JOURNAL_THINGS_MAX + 1);
	assert_int_equal(journal_state_write_removed(&w->state, w->journal, &t, &err), 0);
	assert_int_equal(w->state.n_things, JOURNAL_THINGS_MAX);
}

/* Ended attempts beyond the limit are forgotten, the oldest first; running ones never. */
static void test_forgetting(void **state)
{
	struct journal_world *w = *state;
	struct journal_attempt a = journal_world_attempt();
	struct attempt_name first = a.attempt, second;
	size_t bytes;

	for (uint32_t i = 1; i <= JOURNAL_ATTEMPTS_MAX + 5; i++) {
		uint8_t *payload;

		a.attempt.number = i;
		a.phase = i == 1 ? JOURNAL_STARTED : JOURNAL_ENDED;
		payload = journal_encode_attempt(&a, &bytes);
		journal_world_fold(w, JOURNAL_TYPE_ATTEMPT, payload, bytes);
	}
	assert_int_equal(w->state.n_attempts, JOURNAL_ATTEMPTS_MAX);
	assert_non_null(journal_state_find_attempt(&w->state, &first));
	second = first;
	second.number = 2;
	assert_null(journal_state_find_attempt(&w->state, &second));
	second.number = JOURNAL_ATTEMPTS_MAX + 5;
	assert_non_null(journal_state_find_attempt(&w->state, &second));
}

/* Should none of too many be over, none is forgotten: what runs is known, whatever it takes. */
static void test_none_to_forget(void **state)
{
	struct journal_world *w = *state;
	struct journal_attempt a = journal_world_attempt();
	size_t bytes;

	for (uint32_t i = 1; i <= JOURNAL_ATTEMPTS_MAX + 1; i++) {
		uint8_t *payload;

		a.attempt.number = i;
		payload = journal_encode_attempt(&a, &bytes);
		journal_world_fold(w, JOURNAL_TYPE_ATTEMPT, payload, bytes);
	}
	assert_int_equal(w->state.n_attempts, JOURNAL_ATTEMPTS_MAX + 1);
	a.attempt.number = 1;
	assert_non_null(journal_state_find_attempt(&w->state, &a.attempt));
}

/* A file is written anew when most of it is old, and then not again with each record: not even where
 * what it keeps of each attempt is long. */
static void test_compaction_is_worth_it(void **state)
{
	struct journal_world *w = *state;
	struct journal_attempt a = journal_world_attempt();
	struct error err;
	uint8_t *payload;
	size_t bytes;

	memset(a.verification, 'v', sizeof(a.verification) - 1);
	memset(a.decisions, 'd', sizeof(a.decisions) - 1);
	a.phase = JOURNAL_ENDED;
	for (uint32_t i = 1; i <= 300; i++) {
		a.attempt.number = i;
		payload = journal_encode_attempt(&a, &bytes);
		journal_world_fold(w, JOURNAL_TYPE_ATTEMPT, payload, bytes);
	}
	assert_int_equal(journal_state_compact(&w->state, w->journal, &err), 0);
	assert_true(journal_get_bytes(w->journal) > 1024 * 1024);
	assert_false(journal_state_wants_compaction(&w->state, w->journal));
	/* Much of what is there becomes old: one attempt, written again and again. */
	bytes = journal_get_bytes(w->journal);
	journal_state_deinit(&w->state);
	a = journal_world_attempt();
	assert_int_equal(journal_state_write_attempt(&w->state, w->journal, &a, &err), 0);
	assert_true(journal_state_wants_compaction(&w->state, w->journal));
	assert_int_equal(journal_state_compact(&w->state, w->journal, &err), 0);
	assert_true(journal_get_bytes(w->journal) < bytes / 100);
	assert_false(journal_state_wants_compaction(&w->state, w->journal));
}

/* With as many dead hosts as are kept no other is taken, and one that is known is still raised: an
 * attempt of its next life would go on otherwise. */
static void test_fences_have_an_end(void **state)
{
	struct journal_world *w = *state;
	struct fence fence = { .node = "host1", .epoch = 9 };
	struct error err;

	for (unsigned i = 0; i < FENCES_MAX; i++) {
		struct fence f = { .epoch = 1 };
		uint8_t *payload;
		size_t bytes;

		sprintf(f.node, "host%u", i);
		payload = journal_encode_fence(&f, &bytes);
		journal_world_fold(w, JOURNAL_TYPE_FENCE, payload, bytes);
	}
	assert_int_equal(journal_state_write_fence(&w->state, w->journal, &fence, &err), 0);
	assert_true(fences_cover(&w->state.fences, "host1", 9));
	strcpy(fence.node, "another");
	assert_int_equal(journal_state_write_fence(&w->state, w->journal, &fence, &err),
	                 -ERROR_NO_SPACE);
	assert_int_equal(w->state.fences.count, FENCES_MAX);
}

#define T(test) cmocka_unit_test_setup_teardown(test, journal_world_setup, journal_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_repeated_records),
		T(test_bounds),
		T(test_forgetting),
		T(test_none_to_forget),
		T(test_compaction_is_worth_it),
		T(test_fences_have_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
