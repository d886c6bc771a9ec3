/* SPDX-License-Identifier: Apache-2.0 */
/* Drains guest by guest: what is waited for, what fails and is tried again, when it is over. What is asked
 * and refused beforehand is test_drain_asked.c. */
#include "coordinator/core/drain/drain.h"

#include "tests/unit/drain_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Two leave at once, the others wait and say for what, with numbers and a planned target. */
static void test_outbound_slots(void **state)
{
	struct core_world *world = drain_world_new(4);

	(void)state;
	core_world_drain(world, "host1");
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(drain_world_guest(world, "web1")->state, DRAIN_VM_MOVING);
	assert_int_equal(drain_world_guest(world, "web3")->state, DRAIN_VM_WAITING);
	assert_string_equal(drain_world_guest(world, "web3")->reason,
	                    "waits: 2 of 2 outbound slots of host1 in use");
	assert_string_not_equal(drain_world_guest(world, "web3")->target, "");
	core_world_arrive(world, 1);
	assert_int_equal(core_world_count(world, ACTION_START), 3);
	assert_int_equal(drain_world_guest(world, "web1")->state, DRAIN_VM_MOVED);
	core_world_free(world);
}

/* It is over only when the host itself, after the mark, counts no guest; then it is in maintenance. */
static void test_complete_means_counted(void **state)
{
	struct core_world *world = drain_world_new(1);

	(void)state;
	core_world_drain(world, "host1");
	core_world_confirm_mark(world, 1);
	core_world_arrive(world, 1);
	/* The list is empty, but the host has counted one: asked again. */
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_RUNNING);
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 1);
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_RUNNING);
	core_world_wait(world, 2);
	core_world_confirm_mark(world, 0);
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_COMPLETED);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_MAINTENANCE);
	assert_int_equal(drain_world_drain(world)->bytes_done,
	                 drain_world_drain(world)->bytes_total);
	core_world_free(world);
}

/* A guest that somebody brings back within moments of its move is a guest there: the drain is not over. */
static void test_back_at_once(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct vm_state vm = core_world_vm("web1", 256);

	(void)state;
	core_world_drain(world, "host1");
	core_world_arrive(world, 1);
	core_world_unsee(world, drain_world_guest(world, "web1")->target, "web1");
	core_world_see(world, "host1", &vm);
	core_world_wait(world, 1);
	core_world_confirm_mark(world, 1);
	core_world_wait(world, 1);
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_RUNNING);
	assert_non_null(
		strstr(drain_world_drain(world)->status, "lists 1 active guests, 0 may stay"));
	/* And it has to go, again. */
	core_world_wait(world, 10);
	assert_int_equal(drain_world_guest(world, "web1")->state, DRAIN_VM_MOVING);
	core_world_free(world);
}

/* A guest that moves while its drain is taken back has moved once it has arrived. */
static void test_arrives_after_undrain(void **state)
{
	struct core_world *world = drain_world_new(2);
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4, .node.node = "host1" };
	const struct check bad = { .id = "space", .verdict = CHECK_FAIL };

	(void)state;
	core_world_drain(world, "host1");
	core_world_step(world, &event);
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_CANCELLED);
	core_world_arrive(world, 1);
	core_world_report(world, 2, MIGRATION_FAILED, &bad);
	assert_int_equal(drain_world_guest(world, "web1")->state, DRAIN_VM_MOVED);
	/* The other one has not, and waits for nothing. */
	assert_int_equal(drain_world_guest(world, "web2")->state, DRAIN_VM_LEFT);
	assert_string_equal(drain_world_drain(world)->status, "1 moved, 1 left");
	core_world_free(world);
}

/* The room that the plan has for a larger guest is not taken by one that its own destination lacks but a
 * slot for: it waits for that. */
static void test_waits_for_its_slot(void **state)
{
	struct core_world *world = core_world_new();
	struct vm_state big = core_world_vm("big", 2560);
	struct vm *vm;

	(void)state;
	world->fleet->options.caps.inbound = 1;
	core_world_host(world, "host1", 8192, drain_world_names, 2);
	core_world_see(world, "host1", &big);
	core_world_host(world, "host2", 2048, NULL, 0);
	core_world_host(world, "host3", 3072, NULL, 0);
	assert_int_equal(fleet_get_vm(world->fleet, "big", &vm, NULL), 0);
	vm->retry_ms = world->now_ms + 20000; /* it has failed a moment ago */
	core_world_drain(world, "host1");
	assert_int_equal(world->fleet->n_active, 1);
	assert_string_equal(fleet_find_migration(world->fleet, 1)->kept.target, "host2");
	assert_int_equal(drain_world_guest(world, "web2")->state, DRAIN_VM_WAITING);
	assert_string_equal(drain_world_guest(world, "web2")->target, "host2");
	assert_non_null(
		strstr(drain_world_guest(world, "web2")->reason, "1 of 1 inbound slots of host2"));
	core_world_arrive(world, 1);
	assert_string_equal(fleet_find_migration(world->fleet, 2)->kept.target, "host2");
	core_world_wait(world, 25);
	assert_string_equal(drain_world_guest(world, "big")->target, "host3");
	assert_int_equal(drain_world_guest(world, "big")->state, DRAIN_VM_MOVING);
	core_world_free(world);
}

/* A guest that is started on the draining host later has to go, too. */
static void test_late_guest_is_included(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct vm_state late = core_world_vm("late", 256);

	(void)state;
	core_world_drain(world, "host1");
	core_world_see(world, "host1", &late);
	assert_int_equal(drain_world_guest(world, "late")->state, DRAIN_VM_MOVING);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_free(world);
}

/* A guest that stops by itself is no obstacle, and is not counted as moved. */
static void test_stopped_guest(void **state)
{
	struct core_world *world = drain_world_new(4);

	(void)state;
	core_world_drain(world, "host1");
	core_world_unsee(world, "host1", "web4");
	assert_int_equal(drain_world_guest(world, "web4")->state, DRAIN_VM_STOPPED);
	core_world_free(world);
}

/* A destination that refuses is not asked again at once: the next one is. */
static void test_refusal_leads_elsewhere(void **state)
{
	struct core_world *world = drain_world_new(1);
	struct check no = { .id = "cpu",
		            .verdict = CHECK_FAIL,
		            .measured = "lacks avx512f",
		            .required = "avx512f" };
	char first[NODE_NAME_BYTES];

	(void)state;
	core_world_drain(world, "host1");
	text_copy(first, sizeof(first), drain_world_guest(world, "web1")->target);
	core_world_report(world, 1, MIGRATION_FAILED, &no);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_string_not_equal(drain_world_guest(world, "web1")->target, first);
	assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.attempt.number, 2);

	/* Both have refused: blocked, with both answers; asked again when time has passed. */
	core_world_report(world, 1, MIGRATION_FAILED, &no);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(drain_world_guest(world, "web1")->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(drain_world_guest(world, "web1")->reason,
	                       "host2 refused: cpu: lacks avx512f, required avx512f"));
	assert_non_null(strstr(drain_world_guest(world, "web1")->reason, "host3 refused"));
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_BLOCKED);
	core_world_wait(world, 16);
	assert_int_equal(core_world_count(world, ACTION_START), 3);
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_RUNNING);
	core_world_free(world);
}

/* A move that a person began by hand takes a slot as our own do; when it is over, the next one begins. */
static void f13_foreign_job_takes_a_slot(void **state)
{
	struct core_world *world = drain_world_new(4);
	struct vm_state hand = core_world_vm("web1", 256);

	(void)state;
	hand.migrating_out = hand.foreign_job = true;
	core_world_see(world, "host1", &hand);
	core_world_drain(world, "host1");
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_string_equal(
		drain_world_guest(world, "web3")->reason,
		"waits: 2 of 2 outbound slots of host1 in use, 1 by moves that are not drover's");
	core_world_unsee(world, "host1", "web1");
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_free(world);
}

/* A failed move is tried again after 20 s, then 40 s, by a migration of its own; why is kept. */
static void test_failure_backs_off(void **state)
{
	struct core_world *world = drain_world_new(1);

	(void)state;
	core_world_drain(world, "host1");
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	core_world_wait(world, 10);
	core_world_report(world, 1, MIGRATION_FAILED, NULL);
	assert_string_equal(
		drain_world_guest(world, "web1")->reason,
		"waits: tried again in 20 s; migration/1 failed: its agent gives no reason");
	core_world_wait(world, 19);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(drain_world_guest(world, "web1")->migration_number, 2);
	core_world_report(world, 2, MIGRATION_RUNNING, NULL);
	core_world_report(world, 2, MIGRATION_FAILED, NULL);
	core_world_wait(world, 39);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 3);
	core_world_free(world);
}

/* An attempt that fails at once, as on a network that flaps, is followed by another after half a minute. */
static void f51_attempts_are_spaced_out(void **state)
{
	struct core_world *world = drain_world_new(1);

	(void)state;
	core_world_drain(world, "host1");
	core_world_report(world, 1, MIGRATION_FAILED, NULL);
	assert_string_equal(
		drain_world_guest(world, "web1")->reason,
		"waits: tried again in 30 s; migration/1 failed: its agent gives no reason");
	core_world_wait(world, 29);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	core_world_free(world);
}

/* Uncordon does not stop a drain; undrain does, and the node takes guests again. */
static void test_undrain(void **state)
{
	struct core_world *world = drain_world_new(4);
	struct event event = { .kind = EVENT_UNCORDON, .request = 4 };

	(void)state;
	core_world_drain(world, "host1");
	event.node.node = "host1";
	event.node.reason = "";
	core_world_step(world, &event);
	assert_int_equal(core_world_reply(world)->error.code, ERROR_REFUSED);
	event.kind = EVENT_UNDRAIN;
	core_world_step(world, &event);
	assert_true(core_world_reply(world)->changed);
	assert_int_equal(drain_world_drain(world)->kept.state, DRAIN_CANCELLED);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_READY);
	core_world_step(world, &event);
	assert_false(core_world_reply(world)->changed);
	core_world_free(world);
}

/* Two drains share the cluster's slots turn by turn: neither starves. */
static void test_drains_take_turns(void **state)
{
	static const char *const other[] = { "db1", "db2", "db3" };
	struct core_world *world = core_world_new();
	struct node *host1, *host2;

	(void)state;
	world->fleet->options.caps.cluster = 2;
	core_world_host(world, "host1", 4096, drain_world_names, 4);
	core_world_host(world, "host2", 4096, other, 3);
	core_world_host(world, "host3", 8192, NULL, 0);
	world->store_slowly = true;
	core_world_drain(world, "host1");
	core_world_drain(world, "host2");
	core_world_store(world);
	core_world_store(world);
	host1 = fleet_find_node(world->fleet, "host1");
	host2 = fleet_find_node(world->fleet, "host2");
	world->store_slowly = false;
	/* The first had both slots before the second was asked for; the next two are shared. */
	assert_int_equal(host1->migrations_out, 2);
	core_world_arrive(world, 1);
	core_world_arrive(world, 2);
	assert_int_equal(host1->migrations_out + host2->migrations_out, 2);
	assert_int_equal(host2->migrations_out, 1);
	core_world_free(world);
}

/* After a restart a drain goes on; guests are not "left" because other hosts have not reported. */
static void test_drain_after_restart(void **state)
{
	struct core_world *world = core_world_new();
	struct core_options options = world->fleet->options;
	struct node_record nodes[2] = { { .name = "host1", .drain_number = 1 },
		                        { .name = "host2" } };
	struct drain_record drain = { .number = 1,
		                      .state = DRAIN_RUNNING,
		                      .node = "host1",
		                      .leave_unmovable = true,
		                      .id = { { 7 } } };
	struct store_contents contents = { .epoch = 4,
		                           .nodes = nodes,
		                           .n_nodes = 2,
		                           .drains = &drain,
		                           .n_drains = 1,
		                           .last_drain_number = 1 };
	struct event event = { .kind = EVENT_LOADED, .loaded = &contents };

	(void)state;
	fleet_free(world->fleet);
	world->fleet = fleet_new(&options);
	core_world_step(world, &event);
	core_world_host(world, "host1", 4096, drain_world_names, 1);
	core_world_wait(world, 5);
	assert_int_equal(drain_world_guest(world, "web1")->state, DRAIN_VM_WAITING);
	assert_string_equal(drain_world_guest(world, "web1")->reason,
	                    "waits for agents to report: host2 unreachable");
	core_world_host(world, "host2", 4096, NULL, 0);
	assert_int_equal(drain_world_guest(world, "web1")->state, DRAIN_VM_MOVING);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outbound_slots),
		cmocka_unit_test(test_complete_means_counted),
		cmocka_unit_test(test_back_at_once),
		cmocka_unit_test(test_arrives_after_undrain),
		cmocka_unit_test(test_waits_for_its_slot),
		cmocka_unit_test(test_late_guest_is_included),
		cmocka_unit_test(test_stopped_guest),
		cmocka_unit_test(test_refusal_leads_elsewhere),
		cmocka_unit_test(test_failure_backs_off),
		cmocka_unit_test(f13_foreign_job_takes_a_slot),
		cmocka_unit_test(f51_attempts_are_spaced_out),
		cmocka_unit_test(test_undrain),
		cmocka_unit_test(test_drains_take_turns),
		cmocka_unit_test(test_drain_after_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
