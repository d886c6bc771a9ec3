/* SPDX-License-Identifier: Apache-2.0 */
/* The timers of a loop come in the order of their time. */
#include "common/timers.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MANY 1000

/* Under any order of starts and stops the soonest is first, and of those of one time the one that was
 * started first; what was stopped never comes. */
static void test_order(void **state)
{
	struct loop_timer each[MANY] = { 0 };
	uint64_t draw = 1, last_ms = 0, last_number = 0;
	struct timers t = { 0 };
	unsigned n = 0, came = 0;

	(void)state;
	for (unsigned i = 0; i < MANY * 20; i++) {
		struct loop_timer *timer;

		draw = draw * 6364136223846793005u + 1442695040888963407u;
		timer = &each[(draw >> 33) % MANY];
		if (timer->due_ms) {
			timers_remove(&t, timer);
			n--;
		} else {
			timer->due_ms = 1 + (draw >> 50) % 50;
			timers_add(&t, timer);
			n++;
		}
	}
	assert_true(n > MANY / 4);
	for (struct loop_timer *first; (first = timers_find_first(&t)); came++) {
		assert_true(first->due_ms > last_ms ||
		            (first->due_ms == last_ms && first->number > last_number));
		last_ms = first->due_ms;
		last_number = first->number;
		timers_remove(&t, first);
		assert_int_equal(first->due_ms, 0);
	}
	assert_int_equal(came, n);
	timers_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
