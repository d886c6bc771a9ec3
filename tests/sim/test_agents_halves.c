/* SPDX-License-Identifier: Apache-2.0 */
/* A QEMU dies in post-copy, when each host has half of the guest: what is said, and what is kept. Two real
 * agents; see tests/sim/agents.h. */
#include "tests/sim/agents_story.h"

#include "common/log.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The destination's QEMU dies in post-copy: the guest is lost and said to be, its source is kept. */
static void f15_destination_dies(void **state)
{
	struct agents *t = agents_start_post_copy(FAKE_FAULT_NONE);

	(void)state;
	fake_world_set_link(t->world, "host1", MIB);
	fake_world_kill_guest(t->world, "host2", t->uuid);
	assert_true(agents_wait(t, UNRESOLVED));
	if (!t->report.alarm || !strstr(t->report.reason, "newer half"))
		fail_msg("alarm %d: %s", t->report.alarm, t->report.reason);
	assert_int_equal(agents_state_on(t, 0), VM_PAUSED);
	agents_free(t);
}

/* The source's QEMU dies in post-copy: that is no success, and what runs over there is kept. */
static void f15_source_dies(void **state)
{
	struct agents *t = agents_start_post_copy(FAKE_FAULT_NONE);

	(void)state;
	fake_world_set_link(t->world, "host1", MIB);
	fake_world_kill_guest(t->world, "host1", t->uuid);
	assert_true(agents_wait(t, UNRESOLVED));
	if (!t->report.alarm || !strstr(t->report.reason, "is incomplete and cannot go on"))
		fail_msg("alarm %d: %s", t->report.alarm, t->report.reason);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f15_destination_dies),
		cmocka_unit_test(f15_source_dies),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
