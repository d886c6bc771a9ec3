/* SPDX-License-Identifier: Apache-2.0 */
/* Policies in drains: the dry run obeys them and says what they cost; what is carried out never breaks a
 * hard one, at any instant; and the way back and the capacity agree. */
#include "tests/unit/policy_fixture.h"

#include "coordinator/core/capacity/capacity.h"
#include "tests/unit/power_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const two[] = { "db1", "db2" };
static const char *const third[] = { "db3" };
static const char *const four[] = { "web1", "web2", "web3", "web4" };

static const struct reply *dry_run(struct core_world *world, const char *node, const char *leave)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	char *items[] = { (char *)leave };
	struct names stay = { items, leave ? 1 : 0 };

	event.drain.node = node;
	event.drain.leave = &stay;
	event.drain.reason = "";
	event.drain.dry_run = true;
	return core_world_ask(world, &event);
}

/* db1 and db2 on host1, db3 on host2, which has by far the most room. */
static struct core_world *three_hosts(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, two, 2);
	core_world_host(world, "host2", 16384, third, 1);
	core_world_host(world, "host3", 2048, NULL, 0);
	return world;
}

/* One that stays where there is room forces another destination. */
static void test_apart_from_one_that_stays(void **state)
{
	struct core_world *world = three_hosts();
	const struct reply *reply;

	(void)state;
	assert_string_equal(reply_guest(dry_run(world, "host1", NULL), "db1")->target, "host2");
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	reply = dry_run(world, "host1", NULL);
	assert_string_equal(reply_guest(reply, "db1")->target, "host3");
	assert_string_equal(reply_guest(reply, "db2")->target, "host2");
	core_world_free(world);
}

/* Where there is no other, it is blocked: proof, policy, the guest in the way, and what would help. */
static void test_blocked_by_a_policy(void **state)
{
	struct core_world *world = three_hosts();
	const struct drain_vm *blocked;
	const struct reply *reply;

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db2,db3", NULL);
	reply = dry_run(world, "host1", NULL);
	blocked = reply_guest(reply, "db1")->state == DRAIN_VM_BLOCKED ? reply_guest(reply, "db1")
	                                                               : reply_guest(reply, "db2");
	assert_int_equal(blocked->state, DRAIN_VM_BLOCKED);
	assert_string_equal(drain_proof_name(blocked->proof), "apart");
	assert_non_null(strstr(blocked->reason, "policy db keeps 2 guests that leave apart"));
	assert_non_null(strstr(blocked->helps, "--soft"));
	/* One of them alone, with host3 closed. */
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	core_world_cordon(world, "host3");
	reply = dry_run(world, "host1", NULL);
	blocked = reply_guest(reply, "db1");
	assert_int_equal(blocked->state, DRAIN_VM_BLOCKED);
	assert_string_equal(drain_proof_name(blocked->proof), "alone");
	assert_non_null(strstr(blocked->reason,
	                       "host2: policy db keeps it apart from db3, which is there"));
	assert_non_null(strstr(blocked->helps, "policy db"));
	assert_string_equal(reply_guest(reply, "db2")->target, "host2");
	core_world_free(world);
}

/* Guests that belong together go to one host, though two would take one each more evenly. */
static void test_together(void **state)
{
	struct core_world *world = core_world_new();
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 4096, four, 4);
	core_world_host(world, "host2", 2048, NULL, 0);
	core_world_host(world, "host3", 2048, NULL, 0);
	policy_must(world, "shop", POLICY_TOGETHER, false, "web1,web2,web3", NULL);
	reply = dry_run(world, "host1", NULL);
	assert_string_equal(reply_guest(reply, "web1")->target, reply_guest(reply, "web2")->target);
	assert_string_equal(reply_guest(reply, "web1")->target, reply_guest(reply, "web3")->target);
	/* One that is left keeps the others. */
	reply = dry_run(world, "host1", "web2");
	assert_int_equal(reply_guest(reply, "web1")->state, DRAIN_VM_BLOCKED);
	assert_non_null(
		strstr(reply_guest(reply, "web1")->reason, "policy shop keeps it with web2"));
	assert_int_equal(reply_guest(reply, "web4")->state, DRAIN_VM_WAITING);
	core_world_free(world);
}

/* They are carried out as planned, one after the other; that is no violation, and it holds at the end. */
static void test_together_carried_out(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, four, 3);
	core_world_host(world, "host2", 2048, NULL, 0);
	core_world_host(world, "host3", 2048, NULL, 0);
	policy_must(world, "shop", POLICY_TOGETHER, false, "web1,web2,web3", NULL);
	core_world_drain(world, "host1");
	for (uint64_t n = 1; n <= 3; n++) {
		core_world_arrive(world, n);
		assert_int_equal(policy_get_verdict(policy_of(world, "shop")), POLICY_HOLDS);
		core_world_wait(world, 6);
	}
	assert_string_equal(policy_place(world, "web1"), policy_place(world, "web2"));
	assert_string_equal(policy_place(world, "web1"), policy_place(world, "web3"));
	assert_string_not_equal(policy_place(world, "web1"), "host1");
	core_world_free(world);
}

/* Hosts by name or by label are the only ones; as a wish they are preferred, dropped where they have no
 * room, and that is said. */
static void test_hosts(void **state)
{
	struct core_world *world = three_hosts();
	const struct drain_vm *dv;
	struct vm_state big = core_world_vm("big", 3000);

	(void)state;
	text_copy(fleet_find_node(world->fleet, "host3")->host.labels, LABELS_BYTES, "disk=ssd");
	policy_must(world, "ssd", POLICY_ON, false, "db1", "disk=ssd");
	assert_string_equal(reply_guest(dry_run(world, "host1", NULL), "db1")->target, "host3");
	policy_must(world, "ssd", POLICY_ON, true, "db1", "disk=ssd");
	dv = reply_guest(dry_run(world, "host1", NULL), "db1");
	assert_string_equal(dv->target, "host3");
	assert_string_equal(dv->against, "");
	core_world_see(world, "host1", &big);
	policy_must(world, "ssd", POLICY_ON, true, "big", "disk=ssd");
	dv = reply_guest(dry_run(world, "host1", NULL), "big");
	assert_string_equal(dv->target, "host2");
	assert_string_equal(
		dv->against,
		"host2: policy ssd wants it on hosts with disk=ssd; host3 1.0 GiB short "
		"of memory");
	policy_must(world, "ssd", POLICY_ON, false, "big", "disk=ssd");
	dv = reply_guest(dry_run(world, "host1", NULL), "big");
	assert_int_equal(dv->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(dv->reason, "policy ssd lets it be only on hosts with disk=ssd"));
	core_world_free(world);
}

/* A wish to be apart is met where there is a host for each, and shown where there is none. */
static void test_wish_to_be_apart(void **state)
{
	struct core_world *world = three_hosts();
	const struct reply *reply;

	(void)state;
	policy_must(world, "db", POLICY_APART, true, "db1,db2", NULL);
	reply = dry_run(world, "host1", NULL);
	assert_string_not_equal(reply_guest(reply, "db1")->target,
	                        reply_guest(reply, "db2")->target);
	assert_string_equal(reply_guest(reply, "db1")->against, "");
	policy_must(world, "db", POLICY_APART, true, "db1,db2,db3", NULL);
	reply = dry_run(world, "host1", NULL);
	assert_int_equal(reply_guest(reply, "db1")->state, DRAIN_VM_WAITING);
	assert_true(reply_guest(reply, "db1")->against[0] || reply_guest(reply, "db2")->against[0]);
	core_world_free(world);
}

static void expect_apart(const struct core_world *world, const char *const *names, size_t count)
{
	for (const struct node *node = world->fleet->nodes; node; node = node->hh.next) {
		size_t here = 0;

		for (size_t i = 0; i < count; i++) {
			struct error err;
			struct vm *vm;

			if (fleet_get_vm(world->fleet, names[i], &vm, &err) < 0)
				fail_msg("%s", err.text);
			here += vm->node == node ||
			        (vm->migration && vm->migration->kept.holds_slot &&
			         strcmp(vm->migration->kept.target, node->kept.name) == 0);
		}
		assert_true(here <= 1);
	}
}

/* Four that must be apart on hosts of which two are drained at once: at no step do two of them share a
 * host, those on their way counted at both ends, and both drains end. */
static void test_apart_at_every_instant(void **state)
{
	struct core_world *world = core_world_new();
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "host%u", i + 1);
		core_world_host(world, name, 4096, four + i, 1);
	}
	core_world_host(world, "host5", 2048, NULL, 0);
	core_world_host(world, "host6", 2048, NULL, 0);
	policy_must(world, "web", POLICY_APART, false, "web1,web2,web3,web4", NULL);
	core_world_drain(world, "host1");
	core_world_drain(world, "host2");
	expect_apart(world, four, 4);
	for (unsigned turn = 0; turn < 40; turn++) {
		uint64_t number = 0;

		for (const struct migration *m = world->fleet->active; m; m = m->next_active) {
			if (m->kept.holds_slot)
				number = m->kept.number;
		}
		if (number)
			core_world_arrive(world, number);
		expect_apart(world, four, 4);
		core_world_wait(world, 3);
		expect_apart(world, four, 4);
	}
	assert_int_equal(fleet_find_node(world->fleet, "host1")->active_vms, 0);
	assert_int_equal(fleet_find_node(world->fleet, "host2")->active_vms, 0);
	core_world_free(world);
}

/* One that came to its old host meanwhile keeps the other from coming back to it. */
static void test_way_back(void **state)
{
	struct core_world *world = three_hosts();
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };
	struct vm_state db3 = core_world_vm("db3", 256);
	const struct reply *reply;

	(void)state;
	core_world_drain(world, "host1");
	core_world_arrive(world, 1);
	core_world_arrive(world, 2);
	core_world_wait(world, 6);
	policy_must(world, "pair", POLICY_TOGETHER, false, "db1,db2", NULL);
	core_world_unsee(world, "host2", "db3");
	core_world_see(world, "host1", &db3);
	event.node.node = "host1";
	event.node.bring_back = event.node.dry_run = true;
	reply = core_world_ask(world, &event);
	/* Both come, so that each may. */
	assert_int_equal(reply_guest(reply, "db1")->state, DRAIN_VM_WAITING);
	assert_int_equal(reply_guest(reply, "db2")->state, DRAIN_VM_WAITING);
	(void)policy_unsay(world, "pair");
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	reply = core_world_ask(world, &event);
	assert_int_equal(reply_guest(reply, "db1")->state, DRAIN_VM_BLOCKED);
	assert_non_null(
		strstr(reply_guest(reply, "db1")->reason, "policy db keeps it apart from db3"));
	assert_int_equal(reply_guest(reply, "db2")->state, DRAIN_VM_WAITING);
	core_world_free(world);
}

/* One that a drain has shut down is not started beside a guest that it must be apart from. */
static void test_started_again(void **state)
{
	struct core_world *world = power_off();
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };
	struct vm_state other = core_world_vm("other", 256);

	(void)state;
	core_world_see(world, "host1", &other);
	policy_must(world, "db", POLICY_APART, false, "db1,other", NULL);
	event.node.node = "host1";
	event.node.reason = "";
	event.node.bring_back = event.node.dry_run = true;
	(void)core_world_ask(world, &event);
	assert_int_equal(power_planned(world, "db1")->state, DRAIN_VM_BLOCKED);
	assert_true(power_says(power_planned(world, "db1")->reason, "policy db keeps it apart"));
	/* Asked for when nothing was in the way; and then somebody was there first. */
	core_world_unsee(world, "host1", "other");
	event.node.dry_run = false;
	core_world_step(world, &event);
	core_world_see(world, "host1", &other);
	core_world_confirm_mark(world, 0);
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 0);
	assert_true(power_says(power_guest(world, "db1")->reason, "policy db keeps it apart"));
	core_world_unsee(world, "host1", "other");
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_START_GUEST), 1);
	core_world_free(world);
}

static enum packing_verdict capacity_of(struct core_world *world, const char *name)
{
	const struct node *node = fleet_find_node(world->fleet, name);
	struct capacity_answer answer;
	enum packing_verdict verdict;
	struct capacity c;

	capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
	answer = capacity_ask_drain(&c, &node, 1);
	verdict = answer.verdict;
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	return verdict;
}

/* Whether a host can be drained counts hard policies and no wishes. */
static void test_capacity(void **state)
{
	struct core_world *world = three_hosts();

	(void)state;
	assert_int_equal(capacity_of(world, "host1"), PACKING_YES);
	policy_must(world, "db", POLICY_APART, false, "db1,db2", NULL);
	assert_int_equal(capacity_of(world, "host1"), PACKING_YES);
	policy_must(world, "db", POLICY_APART, false, "db1,db2,db3", NULL);
	assert_int_equal(capacity_of(world, "host1"), PACKING_NO);
	policy_must(world, "db", POLICY_APART, true, "db1,db2,db3", NULL);
	assert_int_equal(capacity_of(world, "host1"), PACKING_YES);
	policy_must(world, "pair", POLICY_TOGETHER, false, "db1,db2", NULL);
	policy_must(world, "on", POLICY_ON, false, "db2", "host1,host3");
	assert_int_equal(capacity_of(world, "host1"), PACKING_YES);
	policy_must(world, "away", POLICY_APART, false, "db1,db3", NULL);
	policy_must(world, "on", POLICY_ON, false, "db2", "host1,host2");
	assert_int_equal(capacity_of(world, "host1"), PACKING_NO);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apart_from_one_that_stays),
		cmocka_unit_test(test_blocked_by_a_policy),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_together_carried_out),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_wish_to_be_apart),
		cmocka_unit_test(test_apart_at_every_instant),
		cmocka_unit_test(test_way_back),
		cmocka_unit_test(test_started_again),
		cmocka_unit_test(test_capacity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
