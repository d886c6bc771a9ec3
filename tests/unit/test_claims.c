/* SPDX-License-Identifier: Apache-2.0 */
/* An agent with a good certificate speaks of other hosts' guests and moves: the cluster's view stays as it
 * was, and each time there is a refusal for the audit log. host1 runs web1, host3 is the liar. */
#include "coordinator/core/step.h"

#include "common/alloc.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const one[] = { "web1" };

static struct core_world *world_new(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_forget(world);
	return world;
}

static const struct vm *web1(struct core_world *world)
{
	return fleet_find_vm(world->fleet, core_world_vm("web1", 256).uuid);
}

static struct attempt_report report_of(const char *source, const char *target)
{
	struct attempt_report r = { .state = MIGRATION_RUNNING };

	memset(r.attempt.operation.bytes, 7, sizeof(r.attempt.operation.bytes));
	r.attempt.number = 1;
	r.attempt.epoch = 1;
	text_copy(r.vm_uuid, sizeof(r.vm_uuid), core_world_vm("web1", 256).uuid);
	text_copy(r.vm_name, sizeof(r.vm_name), "web1");
	text_copy(r.source, sizeof(r.source), source);
	text_copy(r.target, sizeof(r.target), target);
	return r;
}

static void say(struct core_world *world, const char *node, const struct attempt_report *report)
{
	struct event event = { .kind = EVENT_ATTEMPT };

	core_world_forget(world);
	event.attempt.node = node;
	event.attempt.report = report;
	core_world_step(world, &event);
}

static void expect_refused(struct core_world *world, const char *text)
{
	assert_int_equal(core_world_count(world, ACTION_REFUSED), 1);
	assert_string_equal(core_world_find(world, ACTION_REFUSED)->refused.node, "host3");
	assert_non_null(core_world_find(world, ACTION_REFUSED)->refused.about);
	assert_string_equal(core_world_find(world, ACTION_REFUSED)->refused.text, text);
}

/* It lists web1, as running and under another name: home and name stay; what cannot be decided from here
 * is an alarm, and who is not the home is told of in the audit log. */
static void f71_claims_a_guest(void **state)
{
	struct core_world *world = world_new();
	struct vm_state lie = core_world_vm("web1", 256);

	(void)state;
	text_copy(lie.name, sizeof(lie.name), "payroll");
	core_world_see(world, "host3", &lie);
	assert_string_equal(web1(world)->node->kept.name, "host1");
	assert_string_equal(web1(world)->name, "web1");
	assert_int_equal(core_world_count(world, ACTION_REFUSED), 0);
	core_world_wait(world, 6);
	assert_true(web1(world)->twice);
	assert_string_equal(web1(world)->node->kept.name, "host1");
	assert_string_equal(web1(world)->name, "web1");
	expect_refused(world, "host3 says that it runs web1, which runs on host1");

	/* That it does not have it any more takes it from nobody. */
	core_world_unsee(world, "host3", "web1");
	assert_string_equal(web1(world)->node->kept.name, "host1");
	core_world_free(world);
}

/* That a guest is gone which it never had changes nothing. */
static void f71_takes_a_guest_away(void **state)
{
	struct core_world *world = world_new();

	(void)state;
	core_world_unsee(world, "host3", "web1");
	assert_string_equal(web1(world)->node->kept.name, "host1");
	assert_true(web1(world)->movable);
	core_world_free(world);
}

/* A move of web1 that it claims to make becomes none, so that web1 can still be moved. */
static void f71_claims_a_move(void **state)
{
	struct core_world *world = world_new();
	struct attempt_report lie = report_of("host3", "host2");

	(void)state;
	say(world, "host3", &lie);
	expect_refused(world, "host3 reports on a move of a guest that is at home on host1");
	lie = report_of("host3", "host1");
	say(world, "host3", &lie);
	expect_refused(world, "host3 reports on a move of a guest that is at home on host1");
	lie = report_of("host1", "host2");
	say(world, "host3", &lie);
	expect_refused(world,
	               "host3 reports on a move from host1 to host2, in which it has no part");
	assert_null(world->fleet->migrations);
	assert_true(web1(world)->movable);
	core_world_free(world);
}

/* Nor does that it lists the guest as well, or that the guest has just arrived where it is. */
static void f71_claims_an_arrival(void **state)
{
	struct core_world *world = world_new();
	struct vm_state lie = core_world_vm("web1", 256);
	struct attempt_report move = report_of("host3", "host1");

	(void)state;
	text_copy(lie.state, sizeof(lie.state), "paused");
	core_world_see(world, "host3", &lie);
	say(world, "host3", &move);
	expect_refused(world, "host3 reports on a move of a guest that is at home on host1");
	assert_null(world->fleet->migrations);
	core_world_free(world);
}

/* What it answers for a move that host1 makes is not heard, in whatever name. */
static void f71_answers_for_another(void **state)
{
	struct core_world *world = world_new();
	struct attempt_report lie;

	(void)state;
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	lie = core_world_attempt(world, 1, MIGRATION_DONE);
	say(world, "host3", &lie);
	expect_refused(world,
	               "host3 reports on a move from host1 to host2, in which it has no part");
	text_copy(lie.source, sizeof(lie.source), "host3");
	say(world, "host3", &lie);
	expect_refused(world, "host3 reports on migration/1 as its source, which is host1");
	assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.state, MIGRATION_RUNNING);
	assert_true(fleet_find_migration(world->fleet, 1)->kept.holds_slot);
	attempt_report_deinit(&lie);
	core_world_free(world);
}

/* Honest words of the same kind are heard: a destination's, and of a move that has just switched over. */
static void test_honest_reports(void **state)
{
	struct core_world *world = world_new();
	struct attempt_report honest = report_of("host1", "host2");
	struct vm_state arrived = core_world_vm("web1", 256), left = arrived;
	struct host_state host = { .libvirt_connected = true, .memory_capacity_bytes = 1 << 30 };
	struct event figures = { .kind = EVENT_HOST };

	(void)state;
	say(world, "host2", &honest);
	assert_int_equal(core_world_count(world, ACTION_REFUSED), 0);
	host.leases = xcalloc(1, sizeof(*host.leases));
	host.leases[0].attempt = honest.attempt;
	host.n_leases = 1;
	figures.host.node = "host2";
	figures.host.host = &host;
	core_world_step(world, &figures);
	host_state_deinit(&host);
	core_world_see(world, "host2", &arrived);
	text_copy(left.state, sizeof(left.state), "paused");
	core_world_see(world, "host1", &left);
	say(world, "host1", &honest);
	assert_int_equal(core_world_count(world, ACTION_REFUSED), 0);
	assert_non_null(world->fleet->migrations);
	core_world_free(world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(f71_claims_a_guest),      cmocka_unit_test(f71_takes_a_guest_away),
		cmocka_unit_test(f71_claims_a_move),       cmocka_unit_test(f71_claims_an_arrival),
		cmocka_unit_test(f71_answers_for_another), cmocka_unit_test(test_honest_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
