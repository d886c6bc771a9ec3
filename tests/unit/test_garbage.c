/* SPDX-License-Identifier: Apache-2.0 */
/* What `drover gc` may remove: every line of the table, and that nothing is removed on doubt. */
#include "agent/kernel/garbage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static enum garbage_verdict judge(const struct garbage_facts *f)
{
	const char *why = NULL;
	enum garbage_verdict verdict = garbage_judge(f, &why);

	assert_non_null(why);
	/* Doubt has a reason, and nothing else has. */
	assert_int_equal(why[0] != '\0', verdict == GARBAGE_DOUBT);
	return verdict;
}

/* All facts there are: with a damaged journal nothing is removed; what an attempt under way has, or one
 * with a reservation, is never removed; nor is a reservation whose migration is not over, or whose guest
 * is anything but running or gone. */
static void test_never(void **state)
{
	unsigned removed = 0;

	(void)state;
	for (unsigned i = 0; i < GARBAGE_THINGS * GARBAGE_OWNERS * GARBAGE_GUESTS * 8; i++) {
		struct garbage_facts f = {
			.safe_mode = i & 1,
			.reserved = i & 2,
			.over = i & 4,
			.thing = (enum garbage_thing)(i / 8 % GARBAGE_THINGS),
			.owner = (enum garbage_owner)(i / 8 / GARBAGE_THINGS % GARBAGE_OWNERS),
			.guest = (enum garbage_guest)(i / 8 / GARBAGE_THINGS / GARBAGE_OWNERS),
		};

		if (judge(&f) != GARBAGE_REMOVE)
			continue;
		removed++;
		assert_false(f.safe_mode);
		if (f.thing == GARBAGE_SOURCE_DIRECTORY || f.thing == GARBAGE_PROOF)
			assert_int_not_equal(f.owner, GARBAGE_UNDER_WAY);
		if (f.thing == GARBAGE_TARGET_DIRECTORY || f.thing == GARBAGE_PROOF)
			assert_false(f.reserved);
		assert_int_not_equal(f.thing, GARBAGE_HALF_IMAGE);
		if (f.thing == GARBAGE_LEASE) {
			assert_true(f.over);
			assert_true(f.guest == GARBAGE_GUEST_RUNS || f.guest == GARBAGE_GUEST_GONE);
		}
	}
	assert_true(removed > 0);
}

/* What is left of an attempt that is over is removed: each line that says so. */
static void test_removed(void **state)
{
	static const struct garbage_facts all[] = {
		{ .thing = GARBAGE_SOURCE_DIRECTORY, .owner = GARBAGE_OVER },
		{ .thing = GARBAGE_SOURCE_DIRECTORY, .owner = GARBAGE_STRANGE },
		{ .thing = GARBAGE_TARGET_DIRECTORY, .owner = GARBAGE_STRANGE },
		{ .thing = GARBAGE_PROOF, .owner = GARBAGE_OVER },
		{ .thing = GARBAGE_LEASE,
		  .over = true,
		  .guest = GARBAGE_GUEST_GONE,
		  .reserved = true },
		{ .thing = GARBAGE_LEASE,
		  .over = true,
		  .guest = GARBAGE_GUEST_RUNS,
		  .reserved = true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(judge(&all[i]), GARBAGE_REMOVE);
}

/* What may be somebody else's on a shared directory is named, and stays. */
static void test_doubt(void **state)
{
	static const struct garbage_facts all[] = {
		{ .thing = GARBAGE_PROOF, .owner = GARBAGE_STRANGE },
		{ .thing = GARBAGE_HALF_IMAGE, .owner = GARBAGE_STRANGE },
		{ .thing = GARBAGE_HALF_IMAGE, .owner = GARBAGE_OVER },
		{ .thing = GARBAGE_LEASE, .over = true, .guest = GARBAGE_GUEST_STILL },
		{ .thing = GARBAGE_LEASE, .over = true, .guest = GARBAGE_GUEST_UNKNOWN },
		{ .thing = GARBAGE_SOURCE_DIRECTORY, .owner = GARBAGE_OVER, .safe_mode = true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(judge(&all[i]), GARBAGE_DOUBT);
}

/* Each has a name under which it is told. */
static void test_names(void **state)
{
	(void)state;
	for (enum garbage_thing t = 0; t < GARBAGE_THINGS; t++)
		assert_true(garbage_thing_name(t)[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
