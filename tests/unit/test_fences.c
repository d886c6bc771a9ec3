/* SPDX-License-Identifier: Apache-2.0 */
/* Declared dead up to an epoch: a later word counts, an earlier one changes nothing. */
#include "agent/kernel/fences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool raise_to(struct fences *fences, const char *node, uint64_t epoch)
{
	struct fence fence = { .epoch = epoch };

	for (size_t i = 0; node[i]; i++)
		fence.node[i] = node[i];
	return fences_raise(fences, &fence);
}

/* Attempts up to the fence's epoch are over, later ones and other hosts' are not. */
static void test_covers_up_to_its_epoch(void **state)
{
	struct fences fences = { 0 };

	(void)state;
	assert_false(fences_cover(&fences, "host1", 1));
	assert_true(raise_to(&fences, "host1", 5));
	assert_true(fences_cover(&fences, "host1", 4));
	assert_true(fences_cover(&fences, "host1", 5));
	assert_false(fences_cover(&fences, "host1", 6));
	assert_false(fences_cover(&fences, "host2", 1));
	fences_deinit(&fences);
}

/* The latest word counts, whatever the order in which they come. */
static void test_only_rises(void **state)
{
	struct fences fences = { 0 }, copy = { 0 };

	(void)state;
	assert_true(raise_to(&fences, "host1", 5));
	assert_false(raise_to(&fences, "host1", 5));
	assert_false(raise_to(&fences, "host1", 3));
	assert_true(fences_cover(&fences, "host1", 5));
	assert_true(raise_to(&fences, "host2", 2));
	assert_true(raise_to(&fences, "host1", 9));
	assert_true(fences_cover(&fences, "host1", 9));
	assert_int_equal(fences.count, 2);

	fences_copy(&copy, &fences);
	assert_true(raise_to(&fences, "host2", 7));
	assert_false(fences_cover(&copy, "host2", 7));
	assert_true(fences_cover(&copy, "host2", 2));
	fences_deinit(&copy);
	fences_deinit(&fences);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covers_up_to_its_epoch),
		cmocka_unit_test(test_only_rises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
