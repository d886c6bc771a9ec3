/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents after a move: what could be left is looked for on both, and what is left is told with what to
 * do. */
#include "tests/sim/agents.h"

#include "agent/source.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DONE      DROVER__V1__MIGRATION_STATE__DONE
#define FAILED    DROVER__V1__MIGRATION_STATE__FAILED
#define CANCELLED DROVER__V1__MIGRATION_STATE__CANCELLED

static const struct fake_guest_settings small = {
	.name = "web", .memory_bytes = 64 * MIB, .persistent = true, .autostart = true
};
static const struct fake_guest_settings large = { .name = "db",
	                                          .memory_bytes = 512 * MIB,
	                                          .persistent = true };

static struct agents *begin(const struct fake_guest_settings *guest)
{
	struct agents *t = agents_new(NULL);

	agents_add_guest(t, guest);
	agents_order(t);
	assert_true(t->accepted);
	return t;
}

static bool is_clean(void *context)
{
	struct agents *t = context;

	return t->report.n_remnants > 0 && t->report.n_open == 0;
}

static void finish(struct agents *t)
{
	assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 1);
	agents_free(t);
}

/* "tunnel host1 gone": whether the report says so. */
static bool says(const struct agents *t, const char *line)
{
	return strstr(t->report.remnants, line) != NULL;
}

/* A guest that came: both hosts were looked at, and nothing of it is left, already when its end is told. */
static void test_came(void **state)
{
	struct agents *t = begin(&small);

	(void)state;
	assert_true(agents_wait(t, DONE));
	assert_int_equal(t->report.n_remnants, 4 + 6);
	assert_int_equal(t->report.n_open, 0);
	assert_true(says(t, "guest host1 gone"));
	assert_true(says(t, "definition host1 gone"));
	assert_true(says(t, "tunnel host1 gone"));
	assert_true(says(t, "directory host2 gone"));
	assert_true(says(t, "lease host2 gone"));
	assert_true(says(t, "port host2 gone"));
	assert_true(says(t, "start-block host2 gone"));
	assert_true(says(t, "autostart host2 gone"));
	assert_int_equal(agents_leftovers(t), 0);
	assert_int_equal(agents_leases(t, 1), 0);
	finish(t);
}

/* One that was cancelled: its copy, job and pause are looked for, too. */
static void test_cancelled(void **state)
{
	struct agents *t = begin(&large);

	(void)state;
	assert_true(agents_wait_moving(t));
	agents_cancel(t);
	assert_true(agents_wait(t, CANCELLED));
	assert_int_equal(t->report.n_open, 0);
	assert_true(says(t, "guest host2 gone"));
	assert_true(says(t, "definition host2 gone"));
	assert_true(says(t, "job host1 gone"));
	assert_true(says(t, "pause host1 gone"));
	finish(t);
}

/* Where the destination has refused nothing was made, and it is not asked. */
static void test_refused(void **state)
{
	struct agents_options o = { .target_memory_bytes = 256 * MIB };
	struct agents *t = agents_new(&o);

	(void)state;
	agents_add_guest(t, &large);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.n_open, 0);
	assert_true(says(t, "directory host1 gone"));
	assert_false(says(t, "host2"));
	finish(t);
}

static bool is_cleaning(void *context)
{
	const struct agents *t = context;
	const struct source_attempt *a = t->agents[0]->attempts;

	return a && a->stage >= SOURCE_CLEANING;
}

/* A destination that is silent when the move has ended is not called clean: each thing says that nobody
 * could look. When it is back and has taken its reservation back, it is looked at, and the report says
 * so, though the migration is over. */
static void test_silent(void **state)
{
	struct agents *t = begin(&large);

	(void)state;
	assert_true(agents_wait_moving(t));
	assert_true(agents_until(t, is_cleaning, t));
	agents_kill(t, 1);
	assert_true(agents_wait(t, DONE));
	if (t->report.n_open > 0) {
		assert_true(says(t, "lease host2 not-looked"));
		assert_true(says(t, "host2"));
		assert_true(says(t, "guest host1 gone"));
	}
	agents_start(t, 1);
	assert_true(agents_until(t, is_clean, t));
	assert_true(says(t, "lease host2 gone"));
	assert_int_equal(t->report.state, DONE);
	finish(t);
}

/* What cannot be removed is named, with the host, the reason and what to do; the move ends all the same. */
static void test_tunnel_stays(void **state)
{
	struct agents *t = begin(&large);

	(void)state;
	assert_true(agents_wait_moving(t));
	agents_set_tunnels_stay(true);
	assert_true(agents_wait(t, DONE));
	assert_true(t->report.tombstoned);
	assert_true(says(t, "directory host1 left"));
	assert_true(says(t, "directory host2 left"));
	assert_true(says(t, "drover gc host1"));
	assert_true(says(t, "drover gc host2"));
	assert_int_equal(t->report.n_open, 2);
	agents_set_tunnels_stay(false);
	finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_came),         cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_refused),      cmocka_unit_test(test_silent),
		cmocka_unit_test(test_tunnel_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
