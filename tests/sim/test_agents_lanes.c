/* SPDX-License-Identifier: Apache-2.0 */
/* Two guests that leave one host: the one that is out sooner goes first, with two real agents. Who is held
 * is told, let go in time, never when it may not be, and nothing of it needs a coordinator. */
#include "tests/sim/agents.h"

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

#define DONE             DROVER__V1__MIGRATION_STATE__DONE
#define LINK_BYTES_PER_S (32 * MIB)

/* Alone twelve seconds of the world's, and three. */
static const struct fake_guest_settings large = { .name = "large", .memory_bytes = 384 * MIB };
static const struct fake_guest_settings small = { .name = "small", .memory_bytes = 96 * MIB };
/* Writes more than half of what the link carries. */
static const struct fake_guest_settings busy = { .name = "busy",
	                                         .memory_bytes = 256 * MIB,
	                                         .working_set_bytes = 64 * MIB,
	                                         .dirty_bytes_per_s = 20 * MIB };

struct pair {
	struct agents *t;
	char first[VM_UUID_BYTES], second[VM_UUID_BYTES];
	struct id first_operation;
};

static struct source_attempt *attempt(struct agents *t, const char *uuid)
{
	return t->agents[0] ? source_find_vm(t->agents[0], uuid) : NULL;
}

/* What a probe and a second of a quiet interface would show; the real one is another. */
static void measure(struct agents *t)
{
	struct bandwidth *b = &t->agents[0]->bandwidth;
	struct bandwidth_interface *i = &b->interfaces[0];
	struct path_probe probe = { .bytes_per_s = (uint64_t)LINK_BYTES_PER_S * 1000 / 956,
		                    .other_known = true,
		                    .at_ms = clock_now_ms() };

	loop_timer_stop(t->loop, &t->agents[0]->second);
	b->n_interfaces = 1;
	*i = (struct bandwidth_interface){ .known = true, .classified = true, .at_ns = 1000000000 };
	snprintf(i->name, sizeof(i->name), "%s", t->agents[0]->settings->migration_interface);
	paths_tick(t->agents[0]);
	paths_probed(t->agents[0], "host2", &probe);
}

/* @first is under way, and then @second. */
static void start(struct pair *p, const struct fake_guest_settings *first,
                  const struct fake_guest_settings *second, bool measured)
{
	struct agents_options o = { .lock_manager = true };

	memset(p, 0, sizeof(*p));
	p->t = agents_new(&o);
	fake_world_set_link(p->t->world, "host1", LINK_BYTES_PER_S);
	p->t->shortest_first = true;
	if (measured)
		measure(p->t);
	agents_add_guest(p->t, first);
	memcpy(p->first, p->t->uuid, sizeof(p->first));
	agents_order(p->t);
	assert_true(p->t->accepted);
	p->first_operation = p->t->operation;
	assert_true(agents_wait_moving(p->t));
	agents_add_guest(p->t, second);
	memcpy(p->second, p->t->uuid, sizeof(p->second));
	agents_order(p->t);
	assert_true(p->t->accepted);
}

/* From now on reports are those of the first one. */
static void follow_first(struct pair *p)
{
	p->t->operation = p->first_operation;
	memcpy(p->t->uuid, p->first, sizeof(p->first));
	memset(&p->t->report, 0, sizeof(p->t->report));
}

static bool first_is_held(void *context)
{
	struct pair *p = context;
	struct source_attempt *a = attempt(p->t, p->first);

	assert_non_null(a);
	return a->pace.limit_bytes_per_s != 0 && a->lane.hold_bytes_per_s != 0;
}

static bool first_is_free(void *context)
{
	struct pair *p = context;
	struct source_attempt *a = attempt(p->t, p->first);

	return !a || a->pace.limit_bytes_per_s == 0;
}

static bool second_is_in_its_copy(void *context)
{
	struct pair *p = context;
	struct source_attempt *a = attempt(p->t, p->second);

	return a && a->stage == SOURCE_MOVING && a->job_seen &&
	       a->job.memory_processed_bytes > 8 * MIB;
}

static bool second_is_out(void *context)
{
	struct pair *p = context;
	struct source_attempt *a = attempt(p->t, p->second);

	return !a || a->stage == SOURCE_ENDED;
}

static bool is_told(void *context)
{
	struct pair *p = context;

	return p->t->report.hold_for[0];
}

static bool is_clean(void *context)
{
	struct agents *t = context;

	return agents_leftovers(t) == 0 && agents_leases(t, 1) == 0;
}

static void expect_arrived(struct pair *p)
{
	if (!agents_wait(p->t, DONE))
		fail_msg("%s; decided:\n%s", p->t->report.reason, p->t->report.decisions);
	assert_int_equal(agents_state_on(p->t, 1), VM_RUNNING);
	assert_true(agents_until(p->t, is_clean, p->t));
}

/* The large one is held while the small one copies, says so, is let go when that is out, and arrives. */
static void test_small_first(void **state)
{
	struct pair p;

	(void)state;
	start(&p, &large, &small, true);
	assert_true(agents_until(p.t, first_is_held, &p));
	follow_first(&p);
	assert_true(agents_until(p.t, is_told, &p));
	assert_string_equal(p.t->report.hold_for, "small");
	assert_in_range(p.t->report.hold_left_ms, 1, 4000);
	assert_int_equal(attempt(p.t, p.second)->pace.limit_bytes_per_s, 0);
	assert_true(agents_until(p.t, second_is_out, &p));
	assert_non_null(attempt(p.t, p.first));
	assert_true(agents_until(p.t, first_is_free, &p));
	expect_arrived(&p);
	assert_true(p.t->report.held_ms > 500);
	assert_non_null(strstr(p.t->report.decisions, "so that small is out first"));
	assert_false(p.t->report.percent_fell);
	agents_free(p.t);
}

/* A large one that comes while a small one copies is held from its beginning. */
static void test_large_second(void **state)
{
	struct pair p;
	struct source_attempt *a;

	(void)state;
	start(&p, &small, &large, true);
	assert_true(agents_until(p.t, second_is_in_its_copy, &p));
	a = attempt(p.t, p.first);
	if (a)
		assert_int_equal(a->pace.limit_bytes_per_s, 0);
	follow_first(&p);
	assert_true(agents_wait(p.t, DONE));
	assert_int_equal(p.t->report.held_ms, 0);
	agents_free(p.t);
}

/* Nobody is held by a figure that was not measured, against what a person has set, or where the cluster
 * has fair lanes. */
static void never_held(const struct fake_guest_settings *first, bool measured, bool fair,
                       uint64_t bandwidth_bytes_per_s)
{
	struct pair p;
	struct source_attempt *a;

	start(&p, first, &small, measured);
	a = attempt(p.t, p.first);
	assert_non_null(a);
	a->order.shortest_first = !fair;
	a->order.bandwidth_tuned = bandwidth_bytes_per_s;
	a->order.bandwidth_bytes_per_s = bandwidth_bytes_per_s;
	assert_true(agents_until(p.t, second_is_in_its_copy, &p));
	assert_true(agents_until(p.t, second_is_out, &p));
	follow_first(&p);
	expect_arrived(&p);
	assert_int_equal(p.t->report.held_ms, 0);
	assert_null(strstr(p.t->report.decisions, "out first"));
	agents_free(p.t);
}

static void test_never_held(void **state)
{
	(void)state;
	never_held(&large, false, false, 0);
	never_held(&large, true, true, 0);
	never_held(&large, true, false, 24 * MIB);
}

static bool first_is_past_its_first_pass(void *context)
{
	struct pair *p = context;
	struct source_attempt *a = attempt(p->t, p->first);

	return !a || a->job.iteration > 1;
}

/* In later passes it is not held: they race against what the guest writes. */
static void test_later_passes(void **state)
{
	struct pair p;
	struct source_attempt *a;

	(void)state;
	start(&p, &busy, &small, true);
	assert_true(agents_until(p.t, first_is_past_its_first_pass, &p));
	a = attempt(p.t, p.first);
	assert_non_null(a);
	assert_true(agents_until(p.t, first_is_free, &p));
	assert_false(a->lane.may_be_held);
	follow_first(&p);
	expect_arrived(&p);
	agents_free(p.t);
}

/* An agent that is killed while it holds a move leaves the limit behind; the one after it takes it away,
 * or holds it anew while there is a reason. */
static void test_agent_killed(void **state)
{
	struct pair p;

	(void)state;
	start(&p, &large, &small, true);
	assert_true(agents_until(p.t, first_is_held, &p));
	agents_kill(p.t, 0);
	follow_first(&p);
	agents_start(p.t, 0);
	assert_true(agents_until(p.t, first_is_free, &p));
	expect_arrived(&p);
	agents_free(p.t);
}

/* Nobody tells it what to do any more: the order of the moves, and their ends, are the same. */
static void test_coordinator_gone(void **state)
{
	struct pair p;

	(void)state;
	start(&p, &large, &small, true);
	assert_true(agents_until(p.t, first_is_held, &p));
	for (size_t i = 0; i < AGENTS; i++)
		mesh_connection_close(p.t->connections[i]);
	assert_true(agents_until(p.t, second_is_out, &p));
	assert_true(agents_until(p.t, first_is_free, &p));
	assert_non_null(attempt(p.t, p.first));
	follow_first(&p);
	expect_arrived(&p);
	agents_free(p.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_first),  cmocka_unit_test(test_large_second),
		cmocka_unit_test(test_never_held),   cmocka_unit_test(test_later_passes),
		cmocka_unit_test(test_agent_killed), cmocka_unit_test(test_coordinator_gone),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
