/* SPDX-License-Identifier: Apache-2.0 */
/* The limit that a move has because of others on the migration network, with two real agents: that none of
 * an agent before stays, that it never keeps a move from ending, and that drover's own bytes never pass
 * for others'. */
#include "tests/sim/agents_story.h"

#include "agent/link/path_estimate.h"
#include "agent/source/source.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MB ((uint64_t)1000000)

#define LINK_BYTES_PER_S (16 * MIB)

/* Four seconds of the link; more than a minute at 1 MiB/s, which no test waits. */
static const struct fake_guest_settings calm = { .name = "calm", .memory_bytes = 64 * MIB };

static const struct fake_guest_settings large = { .name = "large", .memory_bytes = 256 * MIB };
/* Writes four times what the link carries. */
static const struct fake_guest_settings wild = { .name = "wild",
	                                         .memory_bytes = 64 * MIB,
	                                         .working_set_bytes = 32 * MIB,
	                                         .dirty_bytes_per_s = 64 * MIB };

static struct agents *start(const struct fake_guest_settings *guest)
{
	struct agents_options o = { .lock_manager = true };
	struct agents *t = agents_new(&o);

	fake_world_set_link(t->world, "host1", LINK_BYTES_PER_S);
	agents_add_guest(t, guest);
	return t;
}

static struct source_attempt *attempt(struct agents *t)
{
	struct source_attempt *a = source_find_vm(t->agents[0], t->uuid);

	assert_non_null(a);
	return a;
}

static void expect_arrived(struct agents *t)
{
	if (!agents_wait(t, DONE))
		fail_msg("%s; decided:\n%s", t->report.reason, t->report.decisions);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_true(agents_until(t, agents_is_clean, t));
}

static void limit(struct agents *t, uint64_t bytes_per_s)
{
	struct error err;

	assert_int_equal(t->hypervisors[0]->ops->set_max_speed(t->hypervisors[0], t->uuid,
	                                                       bytes_per_s, &err),
	                 0);
}

/* An agent that was killed had limited a move; the one after it takes the limit away, and the move ends
 * as fast as the operator allows. */
static void adopt_with(uint64_t operators_bytes_per_s)
{
	struct agents *t = start(&calm);

	t->bandwidth_bytes_per_s = operators_bytes_per_s;
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait_moving(t));
	limit(t, MIB);
	agents_kill(t, 0);
	memset(&t->report, 0, sizeof(t->report));
	agents_start(t, 0);
	expect_arrived(t);
	agents_free(t);
}

static void test_adopted(void **state)
{
	(void)state;
	adopt_with(0);
	adopt_with(8 * MIB);
}

static bool has_no_limit(void *context)
{
	return attempt(context)->pace.limit_bytes_per_s == 0;
}

/* A limit goes with the next look where the kernel's totals are all that is known of the interface, as
 * here. */
static void test_uncounted(void **state)
{
	struct agents *t = start(&calm);

	(void)state;
	agents_order(t);
	assert_true(agents_wait_moving(t));
	assert_false(paths_see_others(t->agents[0]));
	limit(t, MIB);
	attempt(t)->pace.limit_bytes_per_s = MIB;
	assert_true(agents_until(t, has_no_limit, t));
	expect_arrived(t);
	agents_free(t);
}

/* One second of the migration interface. */
static void see(struct agents *t, bool classified, uint64_t sent, uint64_t of_migrations)
{
	struct bandwidth *b = &t->agents[0]->bandwidth;
	struct bandwidth_interface *i = &b->interfaces[0];
	uint64_t at_ns = i->at_ns + 1000000000;

	b->n_interfaces = 1;
	*i = (struct bandwidth_interface){ .known = true,
		                           .classified = classified,
		                           .at_ns = at_ns };
	snprintf(i->name, sizeof(i->name), "%s", t->agents[0]->settings->migration_interface);
	i->rates[TRAFFIC_SENT].bytes_per_s = sent;
	i->rates[TRAFFIC_SENT].migration_bytes_per_s = of_migrations;
	paths_tick(t->agents[0]);
}

/* A window with a move inside that is not counted tells nothing of others, nor does the one in which it
 * ended; whether the kernel counts by itself or an eBPF program misses one of the host's moves. */
static void windows_with_a_move(bool classified)
{
	struct agents *t = start(&calm);
	bool registered;

	/* It would measure the real interface. */
	loop_timer_stop(t->loop, &t->agents[0]->second);
	see(t, classified, 5 * MB, 0);
	assert_int_equal(paths_get_others_sent(t->agents[0]), 5 * MB);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	registered = attempt(t)->endpoint_registered;
	attempt(t)->endpoint_registered = registered && !classified;
	for (int i = 0; i < 5; i++)
		see(t, classified, 100 * MB, 0);
	assert_false(paths_see_others(t->agents[0]));
	assert_int_equal(paths_get_others_sent(t->agents[0]), 5 * MB);
	attempt(t)->endpoint_registered = registered;
	expect_arrived(t);
	see(t, classified, 100 * MB, 0);
	assert_int_equal(paths_get_others_sent(t->agents[0]), 5 * MB);
	for (int i = 0; i < 5; i++)
		see(t, classified, 7 * MB, 0);
	assert_int_equal(paths_see_others(t->agents[0]), classified);
	assert_int_equal(paths_get_others_sent(t->agents[0]), 7 * MB);
	agents_free(t);
}

static void test_windows(void **state)
{
	(void)state;
	windows_with_a_move(false);
	windows_with_a_move(true);
}

static bool has_limit(void *context)
{
	return attempt(context)->pace.limit_bytes_per_s != 0;
}

/* Under way on a path of which others use the half, and limited for that. */
static struct agents *start_limited(const struct fake_guest_settings *guest)
{
	struct path_probe probe = { .bytes_per_s = 40 * MB, .other_known = true };
	struct agents *t = start(guest);

	t->progress_timeout_ms = 5000;
	loop_timer_stop(t->loop, &t->agents[0]->second);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	see(t, true, 20 * MB, 0);
	assert_true(paths_see_others(t->agents[0]));
	probe.at_ms = clock_now_ms();
	paths_probed(t->agents[0], "host2", &probe);
	assert_true(agents_until(t, has_limit, t));
	return t;
}

/* The limit goes as soon as the guest is paused to end the move. */
static void test_paused(void **state)
{
	Drover__V1__Tuning tuning = DROVER__V1__TUNING__INIT;
	struct agents *t = start_limited(&large);

	(void)state;
	tuning.pause = true;
	agents_tune(t, &tuning);
	assert_int_equal(t->status, MESH_OK);
	assert_true(agents_until(t, has_no_limit, t));
	expect_arrived(t);
	agents_free(t);
}

static bool is_exempt(void *context)
{
	const struct pace *p = &attempt(context)->pace;

	return p->exempt && p->limit_bytes_per_s == 0;
}

/* A guest that does not converge has no limit for the rest of its move, which is given up in time. */
static void test_struggles(void **state)
{
	struct agents *t = start_limited(&wild);

	(void)state;
	assert_true(agents_until(t, is_exempt, t));
	assert_true(agents_wait(t, FAILED));
	if (!strstr(t->report.reason, "progressTimeout") ||
	    !strstr(t->report.decisions, "limited to"))
		fail_msg("%s; decided:\n%s", t->report.reason, t->report.decisions);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_true(agents_until(t, agents_is_clean, t));
	agents_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adopted),   cmocka_unit_test(test_uncounted),
		cmocka_unit_test(test_windows),   cmocka_unit_test(test_paused),
		cmocka_unit_test(test_struggles),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
