/* SPDX-License-Identifier: Apache-2.0 */
/* The way back: who comes, who stays where it is and why, what is asked beforehand, what a restart keeps. */
#include "coordinator/core/drain/drain.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const three[] = { "web1", "web2", "web3" };

static void arrive_all(struct core_world *world)
{
	for (unsigned round = 0; round < 40; round++) {
		struct migration *m = world->fleet->active;

		while (m && !m->kept.holds_slot)
			m = m->next_active;
		if (m)
			core_world_arrive(world, m->kept.number);
		if (core_world_find(world, ACTION_SET_DRAIN_MARK))
			core_world_confirm_mark(
				world,
				(uint32_t)fleet_find_node(world->fleet, "host1")->active_vms);
		core_world_wait(world, 6);
	}
}

/* host1 emptied onto host2 and host3. */
static struct core_world *drained(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, three, 3);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_drain(world, "host1");
	arrive_all(world);
	assert_int_equal(fleet_find_drain(world->fleet, 1)->kept.state, DRAIN_COMPLETED);
	core_world_forget(world);
	return world;
}

/* It takes guests again, and what was moved away stays there. */
static void open_host(struct core_world *world)
{
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };

	event.node.node = "host1";
	event.node.reason = "";
	core_world_step(world, &event);
	core_world_confirm_mark(world, 0);
}

static void cancel(struct core_world *world, const char *kind, const char *name)
{
	struct event event = { .kind = EVENT_CANCEL, .request = 5 };

	event.cancel.kind = kind;
	event.cancel.name = name;
	core_world_step(world, &event);
}

static struct vm *find_vm(struct core_world *world, const char *name)
{
	struct vm *vm;

	assert_int_equal(fleet_get_vm(world->fleet, name, &vm, NULL), 0);
	return vm;
}

/* All come back to where they were, none before the host's own agent knows that it takes guests. */
static void test_they_come_back(void **state)
{
	struct core_world *world = drained();
	const struct reply *reply;

	(void)state;
	core_world_bring_back(world, false);
	reply = core_world_reply(world);
	assert_int_equal(reply->plan->n_vms, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(reply->plan->vms[i].state, DRAIN_VM_MOVING);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	core_world_confirm_mark(world, 0);
	assert_int_equal(core_world_count(world, ACTION_START), 2); /* into one host at a time */
	arrive_all(world);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(find_vm(world, three[i])->node->kept.name, "host1");
	/* Once more: nothing is left to do. */
	core_world_forget(world);
	core_world_bring_back(world, false);
	assert_non_null(
		strstr(reply_guest(core_world_reply(world), "web1")->reason, "again already"));
	assert_int_equal(world->fleet->n_active, 0);
	core_world_free(world);
}

/* Whoever waits for its turn waits for as long as the others take. */
static void test_turns_take_long(void **state)
{
	struct core_world *world = drained();
	size_t waiting = 0;

	(void)state;
	core_world_bring_back(world, false);
	core_world_confirm_mark(world, 0);
	for (unsigned minute = 0; minute < 10; minute++) {
		for (struct migration *m = world->fleet->active; m; m = m->next_active) {
			if (m->kept.holds_slot)
				core_world_report(world, m->kept.number, MIGRATION_RUNNING, NULL);
		}
		core_world_wait(world, 60);
	}
	for (struct migration *m = world->fleet->active; m; m = m->next_active)
		waiting += m->kept.state == MIGRATION_PLANNED;
	assert_int_equal(waiting, 1);
	arrive_all(world);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(find_vm(world, three[i])->node->kept.name, "host1");
	core_world_free(world);
}

/* One that was moved on by hand since stays, and is named with the command; one that ended, too. */
static void test_moved_on_since(void **state)
{
	struct core_world *world = drained();
	struct vm *vm = find_vm(world, "web2");
	struct vm_state seen = core_world_vm("web2", 256);
	char from[NODE_NAME_BYTES], to[NODE_NAME_BYTES];
	const struct reply *reply;

	(void)state;
	text_copy(from, sizeof(from), vm->node->kept.name);
	text_copy(to, sizeof(to), strcmp(from, "host2") == 0 ? "host3" : "host2");
	core_world_unsee(world, from, "web2");
	core_world_see(world, to, &seen);
	core_world_unsee(world, find_vm(world, "web3")->node->kept.name, "web3");
	core_world_forget(world);
	core_world_bring_back(world, false);
	reply = core_world_reply(world);
	assert_int_equal(reply_guest(reply, "web1")->state, DRAIN_VM_MOVING);
	assert_int_equal(reply_guest(reply, "web2")->state, DRAIN_VM_LEFT);
	assert_non_null(strstr(reply_guest(reply, "web2")->reason, "has moved on since"));
	assert_non_null(
		strstr(reply_guest(reply, "web2")->reason, "drover migrate web2 --to host1"));
	assert_int_equal(reply_guest(reply, "web3")->state, DRAIN_VM_LEFT);
	assert_int_equal(world->fleet->n_active, 1);
	core_world_free(world);
}

/* Dry: the host itself makes every check, its maintenance is no reason against, its CPU is. */
static void test_dry_run(void **state)
{
	struct core_world *world = drained();
	struct check no[] = { { .id = "node", .verdict = CHECK_FAIL, .measured = "in maintenance" },
		              { .id = "cpu",
		                .verdict = CHECK_FAIL,
		                .measured = "lacks avx512f",
		                .required = "avx512f" } };
	struct checks checks = { .items = no, .count = 1 };
	struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
	const struct reply *reply;
	size_t waiting = 0;

	(void)state;
	core_world_bring_back(world, true);
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 3);
	answer.preview.outcome = CALL_ANSWERED;
	answer.preview.checks = &checks;
	answer.preview.preview = world->fleet->next_preview - 2;
	core_world_step(world, &answer);
	answer.preview.preview++;
	core_world_step(world, &answer);
	checks.count = 2;
	answer.preview.preview++;
	core_world_step(world, &answer);
	reply = core_world_reply(world);
	assert_int_equal(reply->kind, REPLY_NODE);
	for (size_t i = 0; i < 3; i++) {
		waiting += reply->plan->vms[i].state == DRAIN_VM_WAITING;
		if (reply->plan->vms[i].state == DRAIN_VM_BLOCKED)
			assert_non_null(strstr(reply->plan->vms[i].reason, "avx512f"));
	}
	assert_int_equal(waiting, 2);
	assert_int_equal(world->fleet->n_active, 0);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_MAINTENANCE);
	core_world_free(world);
}

/* A drain that found the host empty, because it was emptied before, does not make it forget. */
static void test_a_second_drain_moved_nobody(void **state)
{
	struct core_world *world = drained();

	(void)state;
	core_world_drain(world, "host1");
	arrive_all(world);
	core_world_forget(world);
	core_world_bring_back(world, false);
	assert_int_equal(core_world_reply(world)->plan->kept.number, 1);
	assert_int_equal(world->fleet->n_active, 3);
	core_world_free(world);
}

/* Drained again before all are back: those that wait do not come any more. */
static void test_drained_again(void **state)
{
	struct core_world *world = drained();

	(void)state;
	core_world_bring_back(world, false);
	core_world_drain(world, "host1");
	core_world_wait(world, 6);
	assert_int_equal(world->fleet->n_active, 0);
	core_world_free(world);
}

/* Another coordinator on the same store still knows who was moved, and where to. */
static void test_survives_a_restart(void **state)
{
	struct core_world *world = core_world_restart(drained(), 4096);

	(void)state;
	core_world_bring_back(world, false);
	assert_int_equal(core_world_reply(world)->plan->n_vms, 3);
	assert_int_equal(world->fleet->n_active, 3);
	core_world_free(world);
}

/* Who was placed elsewhere by name while the host was drained stays there, and is named with the command;
 * also after a restart. */
static void test_placed_by_somebody(void **state)
{
	struct core_world *world = core_world_new();
	const struct drain_vm *dv;

	(void)state;
	core_world_host(world, "host1", 4096, three, 3);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_migrate(world, "web2", "host3");
	core_world_drain(world, "host1");
	arrive_all(world);
	assert_int_equal(fleet_find_drain(world->fleet, 1)->kept.state, DRAIN_COMPLETED);
	for (unsigned life = 0; life < 2; life++) {
		core_world_forget(world);
		core_world_bring_back(world, true);
		core_world_wait(world, PREVIEW_DEADLINE_MS / 1000 + 1);
		dv = reply_guest(core_world_reply(world), "web2");
		assert_int_equal(dv->state, DRAIN_VM_LEFT);
		assert_non_null(strstr(dv->reason, "migration/1 has put it on host3"));
		assert_non_null(strstr(dv->reason, "drover migrate web2 --to host1"));
		world = core_world_restart(world, 4096);
	}
	core_world_bring_back(world, false);
	assert_int_equal(world->fleet->n_active, 2);
	assert_null(find_vm(world, "web2")->migration);
	core_world_free(world);
}

/* What a drain moved before the host was last open has found its place: a later drain's way back leaves it
 * alone, also when the host was only cordoned in between. */
static void test_an_earlier_maintenance(void **state)
{
	for (unsigned cordoned = 0; cordoned < 2; cordoned++) {
		struct core_world *world = drained();

		(void)state;
		open_host(world);
		core_world_wait(world, 6);
		if (cordoned)
			core_world_cordon(world, "host1");
		core_world_drain(world, "host1");
		arrive_all(world);
		assert_int_equal(fleet_find_drain(world->fleet, 2)->kept.state, DRAIN_COMPLETED);
		world = core_world_restart(world, 4096);
		core_world_bring_back(world, false);
		assert_int_equal(core_world_reply(world)->plan->kept.number, 0);
		assert_int_equal(core_world_reply(world)->plan->n_vms, 0);
		assert_int_equal(world->fleet->n_active, 0);
		core_world_free(world);
	}
}

/* Opened without them, the host may still be asked to take them back. */
static void test_opened_first(void **state)
{
	struct core_world *world = drained();

	(void)state;
	open_host(world);
	world = core_world_restart(world, 4096);
	core_world_bring_back(world, false);
	assert_int_equal(world->fleet->n_active, 3);
	core_world_free(world);
}

/* A drain that was stopped half-way and the one that did the rest are one absence: all come back. */
static void test_two_drains_of_one_absence(void **state)
{
	struct core_world *world = core_world_new();
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 4096, three, 3);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_drain(world, "host1");
	cancel(world, "drain", "1");
	arrive_all(world); /* the two that moved already */
	assert_int_equal(fleet_find_node(world->fleet, "host1")->active_vms, 1);
	core_world_drain(world, "host1");
	arrive_all(world);
	assert_int_equal(fleet_find_drain(world->fleet, 2)->kept.state, DRAIN_COMPLETED);
	world = core_world_restart(world, 4096);
	core_world_bring_back(world, false);
	reply = core_world_reply(world);
	assert_int_equal(reply->plan->kept.number, 2);
	assert_int_equal(reply->plan->n_vms, 3);
	assert_int_equal(world->fleet->n_active, 3);
	core_world_free(world);
}

/* Those that moved while undrain took the drain back have moved away, too. */
static void test_arrived_after_undrain(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, three, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_drain(world, "host1");
	open_host(world);
	arrive_all(world);
	core_world_forget(world);
	core_world_bring_back(world, false);
	assert_int_equal(reply_guest(core_world_reply(world), "web1")->state, DRAIN_VM_MOVING);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_they_come_back),
		cmocka_unit_test(test_turns_take_long),
		cmocka_unit_test(test_moved_on_since),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_a_second_drain_moved_nobody),
		cmocka_unit_test(test_drained_again),
		cmocka_unit_test(test_survives_a_restart),
		cmocka_unit_test(test_placed_by_somebody),
		cmocka_unit_test(test_an_earlier_maintenance),
		cmocka_unit_test(test_opened_first),
		cmocka_unit_test(test_two_drains_of_one_absence),
		cmocka_unit_test(test_arrived_after_undrain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
