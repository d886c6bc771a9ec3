/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations that are prepared ahead of their slot: when one is, when it is let go, who overtakes it, and what
 * is said of it. Caps hold at each moment, in memory and in the store's transaction. */
#include "coordinator/core/move/waiting.h"
#include "coordinator/core/policy/policy.h"

#include "common/units.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const five[] = { "web1", "web2", "web3", "web4", "web5" };

/* One host with five guests, two others with room; both agents know how to hold. */
static struct core_world *begin(uint32_t preparing)
{
	struct core_world *world = core_world_new();

	world->fleet->options.caps.preparing = preparing;
	core_world_host(world, "host1", 4096, five, 5);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	for (struct node *node = world->fleet->nodes; node; node = node->hh.next)
		node->host.preparing_max = 4;
	return world;
}

static void say(struct core_world *world, uint64_t number, enum migration_state state,
                uint64_t eta_ms, bool waits)
{
	struct attempt_report report = core_world_attempt(world, number, state);

	report.progress.eta_known = state == MIGRATION_RUNNING;
	report.progress.eta_ms = eta_ms;
	report.waits_for_slot = waits;
	core_world_tell(world, &report);
}

/* migration/3 is the one that is prepared. */
static struct migration *prepared(struct core_world *world)
{
	return fleet_find_migration(world->fleet, 3);
}

/* The first guest that nobody has begun to move. */
static struct vm *find_waiting(struct core_world *world)
{
	struct vm *vm = NULL;

	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(fleet_get_vm(world->fleet, five[i], &vm, NULL), 0);
		if (!vm->migration)
			return vm;
	}
	fail();
	return NULL;
}

static void arrive(struct core_world *world, uint64_t number)
{
	struct attempt_report report = core_world_attempt(world, number, MIGRATION_DONE);
	struct vm_state vm = core_world_vm(report.vm_name, 256);
	char source[NODE_NAME_BYTES], target[NODE_NAME_BYTES];

	text_copy(source, sizeof(source), report.source);
	text_copy(target, sizeof(target), report.target);
	core_world_see(world, target, &vm);
	core_world_unsee(world, source, vm.name);
	say(world, number, MIGRATION_DONE, 0, false);
}

static uint32_t out(struct core_world *world)
{
	return fleet_find_node(world->fleet, "host1")->migrations_out;
}

/* host1 is drained: two move. */
static struct core_world *drain(uint32_t preparing)
{
	struct core_world *world = begin(preparing);

	core_world_drain(world, "host1");
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_false(core_world_find(world, ACTION_START)->call.hold);
	core_world_forget(world);
	return world;
}

/* Neither before a slot is in sight, nor more than may be; it holds no slot, and is counted at its
 * destination. */
static void test_one_is_prepared_when_a_slot_is_in_sight(void **state)
{
	struct core_world *world = drain(1);
	const struct action *start;
	struct migration *m;

	(void)state;
	say(world, 1, MIGRATION_RUNNING, 60000, false);
	say(world, 2, MIGRATION_RUNNING, 60000, false);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 0);

	say(world, 1, MIGRATION_RUNNING, 5000, false);
	say(world, 2, MIGRATION_RUNNING, 5000, false);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	start = core_world_find(world, ACTION_START);
	assert_true(start->call.hold);
	m = fleet_find_migration(world->fleet, start->call.migration);
	assert_true(m->kept.holds_slot && m->kept.preparing);
	assert_int_equal(out(world), 2);
	assert_int_equal(world->fleet->slots_held, 2);
	assert_int_equal(world->fleet->preparing, 1);
	assert_int_equal(fleet_find_node(world->fleet, "host2")->migrations_in +
	                         fleet_find_node(world->fleet, "host3")->migrations_in,
	                 3);
	core_world_free(world);
}

/* As many as there are slots in sight, and no more. */
static void test_one_for_each_slot_in_sight(void **state)
{
	struct core_world *world = drain(3);

	(void)state;
	say(world, 1, MIGRATION_RUNNING, 5000, false);
	say(world, 2, MIGRATION_RUNNING, 60000, false);
	core_world_wait(world, 2);
	assert_int_equal(world->fleet->preparing, 1);
	say(world, 2, MIGRATION_RUNNING, 5000, false);
	core_world_wait(world, 2);
	assert_int_equal(world->fleet->preparing, 2);
	assert_int_equal(out(world), 2);
	core_world_free(world);
}

static void test_not_where_it_is_switched_off_or_unknown(void **state)
{
	struct core_world *off = drain(0), *older = drain(1);

	(void)state;
	say(off, 1, MIGRATION_RUNNING, 1000, false);
	core_world_wait(off, 2);
	assert_int_equal(off->fleet->preparing, 0);
	fleet_find_node(older->fleet, "host1")->host.preparing_max = 0;
	say(older, 1, MIGRATION_RUNNING, 1000, false);
	core_world_wait(older, 2);
	assert_int_equal(older->fleet->preparing, 0);
	core_world_free(off);
	core_world_free(older);
}

/* The agent has taken the order. */
static void accept(struct core_world *world, uint64_t number)
{
	const struct migration *m = fleet_find_migration(world->fleet, number);
	struct event event = { .kind = EVENT_START_OUTCOME };

	event.call.migration = number;
	event.call.attempt_number = m->kept.attempt.number;
	event.call.outcome = CALL_ANSWERED;
	event.call.accepted = true;
	core_world_step(world, &event);
}

/* Two move, a third is prepared. */
static struct core_world *prepare(void)
{
	struct core_world *world = drain(1);

	say(world, 1, MIGRATION_RUNNING, 5000, false);
	say(world, 2, MIGRATION_RUNNING, 60000, false);
	core_world_wait(world, 1);
	assert_int_equal(world->fleet->preparing, 1);
	core_world_forget(world);
	accept(world, 3);
	say(world, 3, MIGRATION_RESERVED, 0, true);
	return world;
}

/* The word comes once the slot is stored, not before; and again until it was heard. */
static void test_let_go_when_its_slot_is_stored(void **state)
{
	struct core_world *world = prepare();
	struct event event = { .kind = EVENT_LET_GO_OUTCOME };
	struct migration *m = prepared(world);
	const struct put *put = NULL;
	struct action *store;

	(void)state;
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	core_world_forget(world);
	world->store_slowly = true;
	arrive(world, 1);
	assert_false(m->kept.preparing);
	assert_int_equal(out(world), 2);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	store = core_world_find(world, ACTION_STORE);
	for (size_t i = 0; i < store->store->count; i++) {
		if (store->store->puts[i].takes_slot &&
		    store->store->puts[i].migration.number == m->kept.number)
			put = &store->store->puts[i];
	}
	assert_true(put && put->migration.holds_slot && !put->migration.preparing);
	core_world_store(world);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 1);
	assert_false(core_world_find(world, ACTION_LET_GO)->call.hold);
	world->store_slowly = false;

	/* Lost: said again. Refused: likewise, and it keeps its slot. */
	event.call.migration = m->kept.number;
	event.call.attempt_number = m->kept.attempt.number;
	event.call.outcome = CALL_UNKNOWN;
	core_world_step(world, &event);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 2);
	event.call.outcome = CALL_NOT_SENT;
	core_world_step(world, &event);
	assert_true(m->kept.holds_slot);
	event.call.outcome = CALL_REFUSED;
	core_world_step(world, &event);
	core_world_wait(world, 2);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 3);
	say(world, 3, MIGRATION_RUNNING, 60000, false);
	core_world_wait(world, 3);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 3);
	assert_int_equal(out(world), 2);
	core_world_free(world);
}

/* What a person asks for gets the slot that a prepared one of a drain waits for. */
static void test_a_person_overtakes(void **state)
{
	struct core_world *world = prepare();
	const struct vm *vm = find_waiting(world);

	(void)state;
	core_world_migrate(world, vm->name, "host3");
	assert_int_equal(vm->migration->kept.state, MIGRATION_PLANNED);
	core_world_forget(world);
	arrive(world, 1);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_string_equal(core_world_find(world, ACTION_START)->call.vm_uuid, vm->uuid);
	assert_false(core_world_find(world, ACTION_START)->call.hold);
	assert_true(prepared(world)->kept.preparing);
	assert_int_equal(out(world), 2);
	core_world_free(world);
}

/* Nobody may begin for want of a place that a prepared one has: it gives way, and is planned anew. */
static void test_it_gives_way(void **state)
{
	static const char *const other[] = { "db" };
	struct core_world *world = prepare();
	struct migration *m = prepared(world);
	char target[NODE_NAME_BYTES];

	(void)state;
	text_copy(target, sizeof(target), m->kept.target);
	core_world_host(world, "host4", 4096, other, 1);
	/* Its destination has two places, and it has one of them. */
	fleet_find_node(world->fleet, target)->migrations_in = 2;
	core_world_forget(world);
	core_world_migrate(world, "db", target);
	core_world_wait(world, 1);
	assert_true(core_world_count(world, ACTION_CANCEL) >= 1);
	assert_int_equal(core_world_find(world, ACTION_CANCEL)->call.migration, m->kept.number);
	assert_false(m->kept.cancel_requested);
	say(world, 3, MIGRATION_CANCELLED, 0, false);
	assert_int_equal(m->kept.state, MIGRATION_PLANNED);
	assert_false(m->kept.holds_slot || m->kept.preparing);
	core_world_wait(world, 3);
	/* Not at once again: what it rested on was no good. */
	assert_false(m->kept.holds_slot);
	core_world_free(world);
}

/* Its agent has given it back: no failure, and nobody is avoided for it. */
static void test_given_back_by_its_agent(void **state)
{
	struct core_world *world = prepare();
	struct attempt_report report = core_world_attempt(world, 3, MIGRATION_FAILED);
	struct event event = { .kind = EVENT_ATTEMPT };
	const struct vm *vm = fleet_find_vm(world->fleet, report.vm_uuid);

	(void)state;
	report.error_code = ERROR_CANCELLED;
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	assert_int_equal(vm->migration->kept.state, MIGRATION_PLANNED);
	assert_int_equal(vm->failures, 0);
	assert_null(vm->refusals);
	assert_false(vm->migration->kept.holds_slot || vm->migration->kept.preparing);
	arrive(world, 1);
	assert_int_equal(out(world), 2);
	core_world_free(world);
}

static void test_its_drain_is_cancelled(void **state)
{
	struct core_world *world = prepare();
	struct event event = { .kind = EVENT_UNDRAIN, .request = 9 };

	(void)state;
	event.node.node = "host1";
	core_world_step(world, &event);
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	assert_int_equal(core_world_find(world, ACTION_CANCEL)->call.migration, 3);
	core_world_free(world);
}

/* A slot is free: nothing is let go, and migration/3 is given back. */
static void expect_given_back(struct core_world *world)
{
	core_world_forget(world);
	arrive(world, 1);
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	assert_non_null(core_world_find(world, ACTION_CANCEL));
	assert_int_equal(core_world_find(world, ACTION_CANCEL)->call.migration, 3);
	assert_false(prepared(world)->kept.cancel_requested);
	say(world, 3, MIGRATION_CANCELLED, 0, false);
	assert_false(prepared(world)->kept.holds_slot);
}

static struct node *destination(struct core_world *world)
{
	return fleet_find_node(world->fleet, prepared(world)->kept.target);
}

/* It would be chosen by nobody now, whatever was so when it was prepared. */
static void test_its_destination_takes_nobody_any_more(void **state)
{
	struct core_world *world = prepare();

	(void)state;
	snprintf(destination(world)->host.agent_problem,
	         sizeof(destination(world)->host.agent_problem), "only observes");
	expect_given_back(world);
	core_world_free(world);
	world = prepare();
	snprintf(destination(world)->host.suspect, sizeof(destination(world)->host.suspect),
	         "its clock is wrong");
	expect_given_back(world);
	core_world_free(world);
}

/* More come in than may, by adopted moves or a lower limit: the store would refuse it, and stop all. */
static void test_its_destination_has_too_many(void **state)
{
	struct core_world *world = prepare();

	(void)state;
	destination(world)->migrations_in = 3;
	expect_given_back(world);
	core_world_free(world);
}

/* Who is at its destination by now is not known; it keeps what it has, and its agent says for how long. */
static void test_its_destination_cannot_be_looked_at(void **state)
{
	struct core_world *world = prepare();
	struct migration *m = prepared(world);

	(void)state;
	core_world_forget(world);
	destination(world)->inventory_valid = false;
	say(world, 1, MIGRATION_DONE, 0, false);
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	assert_int_equal(core_world_count(world, ACTION_CANCEL), 0);
	/* The slot is another one's meanwhile. */
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_true(m->kept.preparing);
	destination(world)->inventory_valid = true;
	say(world, 2, MIGRATION_DONE, 0, false);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 1);
	core_world_free(world);
}

/* @vm only on host1, where it is. */
static void forbid(struct core_world *world, const char *uuid)
{
	struct policy_record kept = { .kind = POLICY_ON };

	text_copy(kept.name, sizeof(kept.name), "stay");
	names_add(&kept.vms, uuid);
	names_add(&kept.vm_names, uuid);
	names_add(&kept.nodes, "host1");
	policy_add(world->fleet, &kept);
}

static void test_a_policy_is_said(void **state)
{
	struct core_world *world = prepare();

	(void)state;
	forbid(world, prepared(world)->kept.vm_uuid);
	expect_given_back(world);
	core_world_free(world);
}

/* While its slot is being stored: judged once more before the word goes out. */
static void test_a_policy_is_said_in_the_last_moment(void **state)
{
	struct core_world *world = prepare();
	struct migration *m = prepared(world);

	(void)state;
	world->store_slowly = true;
	arrive(world, 1);
	assert_false(m->kept.preparing);
	forbid(world, m->kept.vm_uuid);
	core_world_forget(world);
	world->store_slowly = false;
	core_world_store(world);
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	assert_int_equal(core_world_find(world, ACTION_CANCEL)->call.migration, 3);
	/* Its slot is free when its agent has said that it never began. */
	assert_true(m->kept.holds_slot);
	say(world, 3, MIGRATION_CANCELLED, 0, false);
	assert_int_equal(m->kept.state, MIGRATION_PLANNED);
	assert_false(m->kept.holds_slot);
	core_world_free(world);
}

/* Its agent was replaced by an older one before the order went out: that would not hold. */
static void test_an_older_agent_gets_no_such_order(void **state)
{
	struct core_world *world = drain(1);

	(void)state;
	world->store_slowly = true;
	say(world, 1, MIGRATION_RUNNING, 5000, false);
	say(world, 2, MIGRATION_RUNNING, 60000, false);
	core_world_wait(world, 1);
	assert_int_equal(world->fleet->preparing, 1);
	fleet_find_node(world->fleet, "host1")->host.preparing_max = 0;
	world->store_slowly = false;
	core_world_forget(world);
	core_world_store(world);
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	assert_int_equal(world->fleet->preparing, 0);
	core_world_free(world);
}

/* The store knows nothing of it, and nothing of the guest was touched: nobody here wants it. */
static void test_an_unknown_one_is_given_back(void **state)
{
	struct core_world *world = begin(1);
	struct attempt_report report = { .state = MIGRATION_RESERVED, .waits_for_slot = true };
	struct event event = { .kind = EVENT_ATTEMPT };
	const struct vm *vm;
	struct migration *m;

	(void)state;
	assert_int_equal(fleet_get_vm(world->fleet, "web1", (struct vm **)&vm, NULL), 0);
	report.attempt.operation.bytes[0] = 77;
	report.attempt.number = 1;
	report.attempt.epoch = world->fleet->epoch;
	text_copy(report.vm_uuid, sizeof(report.vm_uuid), vm->uuid);
	text_copy(report.vm_name, sizeof(report.vm_name), vm->name);
	text_copy(report.source, sizeof(report.source), "host1");
	text_copy(report.target, sizeof(report.target), "host2");
	event.attempt.node = "host1";
	event.attempt.report = &report;
	core_world_step(world, &event);
	core_world_wait(world, 1);
	m = vm->migration;
	assert_non_null(m);
	assert_true(m->kept.holds_slot && m->kept.preparing);
	assert_int_equal(core_world_count(world, ACTION_LET_GO), 0);
	assert_int_equal(core_world_find(world, ACTION_CANCEL)->call.migration, m->kept.number);
	report.state = MIGRATION_CANCELLED;
	report.tombstoned = true;
	core_world_step(world, &event);
	core_world_wait(world, 3);
	assert_int_equal(world->fleet->preparing, 0);
	assert_null(vm->migration);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	core_world_free(world);
}

static bool says(struct core_world *world, const struct vm *vm, const char *text)
{
	struct names lines = { 0 };
	bool found = false;

	waiting_describe(world->fleet, vm, &lines);
	for (size_t i = 0; i < lines.count; i++)
		found = found || strstr(lines.items[i], text);
	names_deinit(&lines);
	return found;
}

static void test_what_is_said(void **state)
{
	struct core_world *world = prepare();
	const struct vm *vm = fleet_find_vm(world->fleet, prepared(world)->kept.vm_uuid);

	(void)state;
	core_world_wait(world, 1);
	assert_string_equal(prepared(world)->kept.reason,
	                    "prepared; waits: 2 of 2 outbound slots of host1 in use");
	assert_true(says(world, vm, "migration/3 is prepared: host"));
	assert_true(says(world, vm, "held by migration/1, "));
	assert_true(says(world, vm, "for about 5"));
	assert_true(says(world, vm, "parallelOutboundMigrationsPerNode"));
	/* It has no slot that others could wait for. */
	assert_false(says(world, find_waiting(world), "held by migration/3"));
	assert_true(says(world, find_waiting(world), "held by migration/1, "));
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_is_prepared_when_a_slot_is_in_sight),
		cmocka_unit_test(test_one_for_each_slot_in_sight),
		cmocka_unit_test(test_not_where_it_is_switched_off_or_unknown),
		cmocka_unit_test(test_let_go_when_its_slot_is_stored),
		cmocka_unit_test(test_a_person_overtakes),
		cmocka_unit_test(test_it_gives_way),
		cmocka_unit_test(test_given_back_by_its_agent),
		cmocka_unit_test(test_its_drain_is_cancelled),
		cmocka_unit_test(test_its_destination_takes_nobody_any_more),
		cmocka_unit_test(test_its_destination_has_too_many),
		cmocka_unit_test(test_its_destination_cannot_be_looked_at),
		cmocka_unit_test(test_a_policy_is_said),
		cmocka_unit_test(test_a_policy_is_said_in_the_last_moment),
		cmocka_unit_test(test_an_older_agent_gets_no_such_order),
		cmocka_unit_test(test_an_unknown_one_is_given_back),
		cmocka_unit_test(test_what_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
