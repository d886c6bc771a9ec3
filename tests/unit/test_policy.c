/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: said, checked against each other, kept, judged by what the hosts show; and what they let a
 * single migration do. */
#include "tests/unit/policy_fixture.h"

#include "coordinator/core/plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const dbs[] = { "db1", "db2", "db3" };

/* db1 and db2 on host1, db3 on host2, nobody on host3 and host4, which has the most room. */
static struct core_world *four_hosts(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, dbs, 2);
	core_world_host(world, "host2", 4096, dbs + 2, 1);
	core_world_host(world, "host3", 3072, NULL, 0);
	core_world_host(world, "host4", 8192, NULL, 0);
	return world;
}

static const struct batch *stored(struct core_world *world)
{
	for (size_t i = 0; i < world->seen.count; i++) {
		if (world->seen.items[i].kind == ACTION_STORE)
			return world->seen.items[i].store;
	}
	return NULL;
}

/* It is in the store before it is answered, by uuid; said again nothing changes. */
static void test_is_kept(void **state)
{
	struct core_world *world = four_hosts();
	const struct batch *batch;

	(void)state;
	world->store_slowly = true;
	core_world_forget(world);
	{
		char *items[] = { (char *)"db1", (char *)"uuid-db3", (char *)"db1" };
		struct names vms = { items, 3 }, none = { 0 };
		struct event event = { .kind = EVENT_SET_POLICY, .request = 3 };

		event.policy.name = "db";
		event.policy.by = "ann";
		event.policy.vms = &vms;
		event.policy.nodes = &none;
		event.policy.selector = "";
		core_world_step(world, &event);
	}
	assert_null(core_world_find(world, ACTION_REPLY));
	batch = stored(world);
	assert_non_null(batch);
	assert_int_equal(batch->puts[0].kind, PUT_POLICY);
	assert_int_equal(batch->puts[0].policy.vms.count, 2);
	assert_string_equal(batch->puts[0].policy.vms.items[1], "uuid-db3");
	assert_string_equal(batch->puts[0].policy.vm_names.items[1], "db3");
	core_world_store(world);
	assert_true(core_world_reply(world)->changed);
	world->store_slowly = false;
	assert_string_equal(policy_event(world, "db"), "set to \"apart\", hard, by ann: db1, db3");
	assert_false(policy_say(world, "db", POLICY_APART, false, "db1,db3", NULL)->changed);
	assert_null(stored(world));
	core_world_free(world);
}

/* What is different when it is said anew is told; taken away it is gone, from the store, too. */
static void test_is_replaced(void **state)
{
	struct core_world *world = four_hosts();
	const struct reply *reply;

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	reply = policy_say(world, "db", POLICY_ON, true, "db1,db2", "host1,host3");
	assert_true(reply->changed);
	assert_int_equal(reply->effects.count, 6);
	assert_string_equal(reply->effects.items[0], "\"on\" instead of \"apart\"");
	assert_string_equal(reply->effects.items[1], "soft instead of hard");
	assert_string_equal(reply->effects.items[2], "db2 added");
	assert_string_equal(reply->effects.items[3], "db3 taken away");
	assert_string_equal(reply->effects.items[5], "host3 added");
	assert_true(policy_unsay(world, "db")->changed);
	assert_true(stored(world)->puts[0].policy.removed);
	assert_null(policy_find(world->fleet, "db"));
	assert_int_equal(policy_unsay(world, "db")->error.code, ERROR_NOT_FOUND);
	core_world_free(world);
}

static void expect_error(const struct reply *reply, enum error_code code, const char *text)
{
	assert_int_equal(reply->kind, REPLY_FAILED);
	if (!strstr(reply->error.text, text))
		fail_msg("no \"%s\" in: %s", text, reply->error.text);
	assert_int_equal(reply->error.code, code);
}

static size_t told_of(const struct core_world *world, const char *uuid)
{
	size_t n = 0;

	for (size_t i = 0; i < world->seen.count; i++) {
		const struct action *a = &world->seen.items[i];

		n += a->kind == ACTION_CHANGED && a->changed.object == OBJECT_VM &&
		     strcmp(a->changed.name, uuid) == 0;
	}
	return n;
}

/* Who watches guests learns of each that a policy takes in or lets go, and of no other. */
static void test_watchers_are_told(void **state)
{
	struct core_world *world = four_hosts();

	(void)state;
	assert_true(policy_say(world, "db", POLICY_APART, false, "db1,db3", NULL)->changed);
	assert_int_equal(told_of(world, "uuid-db1"), 1);
	assert_int_equal(told_of(world, "uuid-db2"), 0);
	assert_int_equal(told_of(world, "uuid-db3"), 1);
	assert_true(policy_say(world, "db", POLICY_APART, false, "db1,db2", NULL)->changed);
	assert_int_equal(told_of(world, "uuid-db2"), 1);
	assert_int_equal(told_of(world, "uuid-db3"), 1);
	policy_unsay(world, "db");
	assert_int_equal(told_of(world, "uuid-db1"), 1);
	core_world_free(world);
}

/* What makes no sense by itself is refused, and says what is wanted. */
static void test_what_makes_no_sense(void **state)
{
	struct core_world *world = four_hosts();

	(void)state;
	expect_error(policy_say(world, "d b", POLICY_APART, false, "db1,db2", NULL), ERROR_INVALID,
	             "no name for a policy");
	expect_error(policy_say(world, "db", POLICY_APART, false, "db1,db1", NULL), ERROR_INVALID,
	             "at least 2 guests");
	expect_error(policy_say(world, "db", POLICY_APART, false, "db1,db9", NULL), ERROR_NOT_FOUND,
	             "db9");
	expect_error(policy_say(world, "db", POLICY_APART, false, "db1,db2", "host1"),
	             ERROR_INVALID, "only a policy \"on\" names hosts");
	expect_error(policy_say(world, "db", POLICY_ON, false, "db1", NULL), ERROR_INVALID,
	             "--nodes");
	expect_error(policy_say(world, "db", POLICY_ON, false, "db1", "host9"), ERROR_NOT_FOUND,
	             "host9");
	expect_error(policy_say(world, "db", POLICY_ON, false, "db1", "rack=a"), ERROR_NOT_FOUND,
	             "no host has the labels rack=a");
	assert_null(world->fleet->policies);
	core_world_free(world);
}

/* Two hard ones that cannot both hold: the second is refused with the name of the first; as a wish it
 * is not, nor is one that replaces the first. */
static void test_contradictions(void **state)
{
	struct core_world *world = four_hosts();

	(void)state;
	policy_must(world, "pair", POLICY_TOGETHER, false, "db1,db2", NULL);
	expect_error(policy_say(world, "db", POLICY_APART, false, "db1,db2,db3", NULL),
	             ERROR_REFUSED, "db1 and db2 cannot be apart: the hard policy pair");
	policy_must(world, "db", POLICY_APART, true, "db1,db2,db3", NULL);
	policy_must(world, "pair", POLICY_APART, false, "db1,db2", NULL);
	policy_must(world, "chain", POLICY_TOGETHER, false, "db1,db3", NULL);
	expect_error(policy_say(world, "chain2", POLICY_TOGETHER, false, "db3,db2", NULL),
	             ERROR_REFUSED, "the hard policy pair keeps them apart");
	policy_must(world, "on1", POLICY_ON, false, "db1", "host1,host2");
	expect_error(policy_say(world, "on3", POLICY_ON, false, "db3", "host3,host4"),
	             ERROR_REFUSED, "the hard policy on1 lets it");
	policy_must(world, "on3", POLICY_ON, false, "db3", "host2,host3");
	expect_error(policy_say(world, "on2", POLICY_ON, false, "db2", "host2"), ERROR_REFUSED, "");
	core_world_free(world);
}

/* Guests that must be apart need as many hosts. */
static void test_more_guests_than_hosts(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, dbs, 3);
	core_world_host(world, "host2", 4096, NULL, 0);
	expect_error(policy_say(world, "db", POLICY_APART, false, "db1,db2,db3", NULL),
	             ERROR_REFUSED, "there are 2 hosts");
	policy_must(world, "db", POLICY_APART, true, "db1,db2,db3", NULL);
	core_world_free(world);
}

/* A coordinator that starts again has it, and since when it does not hold; it tells nobody twice, and of
 * guests that it has not seen yet it concludes nothing. */
static void test_after_a_restart(void **state)
{
	struct policy_record kept = { .kind = POLICY_APART, .violated_wall_ms = 17 };
	struct store_contents contents = { .epoch = 3, .policies = &kept, .n_policies = 1 };
	struct node_record nodes[2] = { { .name = "host1" }, { .name = "host2" } };
	struct core_world *world;

	(void)state;
	text_copy(kept.name, sizeof(kept.name), "db");
	names_add(&kept.vms, "uuid-db1");
	names_add(&kept.vms, "uuid-db2");
	names_add(&kept.vm_names, "db1");
	names_add(&kept.vm_names, "db2");
	contents.nodes = nodes;
	contents.n_nodes = 2;
	world = core_world_load(&contents);
	core_world_host(world, "host2", 4096, NULL, 0);
	assert_int_equal(policy_get_verdict(policy_of(world, "db")), POLICY_VIOLATED);
	core_world_host(world, "host1", 4096, dbs, 2);
	assert_int_equal(policy_of(world, "db")->kept.violated_wall_ms, 17);
	assert_string_equal(policy_event(world, "db"), "");
	assert_string_equal(policy_of(world, "db")->reason, "db1 and db2 are both on host1");
	policy_record_deinit(&kept);
	core_world_free(world);
}

/* Somebody starts a guest beside the other: a warning with the command, once; and a word when it is over.
 * A guest that was renamed is the same guest. */
static void test_violated_by_hand(void **state)
{
	struct core_world *world = four_hosts();
	struct vm_state db3 = core_world_vm("db3", 256);

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	assert_int_equal(policy_get_verdict(policy_of(world, "db")), POLICY_HOLDS);
	core_world_unsee(world, "host2", "db3");
	text_copy(db3.name, sizeof(db3.name), "other");
	core_world_see(world, "host1", &db3);
	assert_int_equal(policy_get_verdict(policy_of(world, "db")), POLICY_VIOLATED);
	assert_string_equal(policy_event(world, "db"),
	                    "violated: db1 and other are both on host1; to repair it: drover "
	                    "migrate other");
	core_world_unsee(world, "host1", "db3");
	core_world_see(world, "host4", &db3);
	assert_string_equal(policy_event(world, "db"), "holds again");
	assert_int_equal(policy_of(world, "db")->kept.violated_wall_ms, 0);
	core_world_free(world);
}

/* Hosts and other guests report all the time: what they say of themselves is no reason to look at each
 * policy there is. */
static void test_looked_at_when_due(void **state)
{
	struct core_world *world = four_hosts();
	struct vm_state db1 = core_world_vm("db1", 512), db2 = core_world_vm("db2", 512);
	struct policy *policy;

	(void)state;
	policy_must(world, "ssd", POLICY_ON, true, "db1", "host4");
	core_world_wait(world, 6);
	policy = policy_of(world, "ssd");
	assert_int_equal(policy_get_verdict(policy), POLICY_VIOLATED);
	text_copy(policy->reason, sizeof(policy->reason), "not looked at");
	core_world_figures(world, "host1", 2048, 17);
	core_world_see(world, "host1", &db2);
	assert_string_equal(policy->reason, "not looked at");
	core_world_see(world, "host1", &db1);
	assert_string_equal(policy->reason, "db1 is on host1, which is none of them");
	text_copy(policy->reason, sizeof(policy->reason), "not looked at");
	core_world_wait(world, 6);
	assert_string_equal(policy->reason, "db1 is on host1, which is none of them");
	core_world_free(world);
}

/* While a host that may have one of its guests is silent, it is neither well nor violated. */
static void test_unknown(void **state)
{
	struct core_world *world = four_hosts();

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	core_world_unsee(world, "host2", "db3");
	core_world_wait(world, 6);
	assert_int_equal(policy_get_verdict(policy_of(world, "db")), POLICY_HOLDS);
	core_world_lose(world, "host2");
	core_world_wait(world, 20);
	assert_int_equal(policy_get_verdict(policy_of(world, "db")), POLICY_UNKNOWN);
	core_world_free(world);
}

static const struct reply *move(struct core_world *world, const char *vm, const char *target,
                                bool ignore)
{
	struct event event = { .kind = EVENT_MIGRATE, .request = 8 };

	event.migrate.vm = vm;
	event.migrate.target = target;
	event.migrate.by = "ann";
	event.migrate.ignore_policies = ignore;
	core_world_forget(world);
	core_world_step(world, &event);
	return core_world_reply(world);
}

/* A host that a person names against a hard policy is refused, with the policy and the way out; that way
 * leads there, and is written down. */
static void test_a_named_host(void **state)
{
	struct core_world *world = four_hosts();
	const struct reply *reply;

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	reply = move(world, "db1", "host2", false);
	assert_true(reply->refused);
	assert_int_equal(reply->error.code, ERROR_REFUSED);
	assert_non_null(
		strstr(reply->refusal, "policy db keeps it apart from db3, which is there"));
	assert_non_null(strstr(reply->refusal, "--ignore-policies"));
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	assert_false(move(world, "db1", "host2", true)->refused);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_string_equal(core_world_find(world, ACTION_START)->call.target, "host2");
	assert_true(fleet_find_migration(world->fleet, 1)->kept.settings.ignore_policies);
	core_world_free(world);
}

/* Without a host the choice is one that the policies allow; where they allow none it is refused. */
static void test_a_chosen_host(void **state)
{
	struct core_world *world = four_hosts();

	(void)state;
	policy_must(world, "db", POLICY_ON, false, "db1", "host1,host3");
	assert_false(move(world, "db1", "", false)->refused);
	assert_string_equal(core_world_find(world, ACTION_START)->call.target, "host3");
	policy_must(world, "pair", POLICY_TOGETHER, false, "db2,db3", NULL);
	assert_int_equal(policy_get_verdict(policy_of(world, "pair")), POLICY_VIOLATED);
	/* To the other is the one way. */
	assert_false(move(world, "db2", "", false)->refused);
	assert_string_equal(core_world_find(world, ACTION_START)->call.target, "host2");
	core_world_arrive(world, 2);
	assert_string_equal(policy_event(world, "pair"), "holds again");
	assert_true(move(world, "db3", "", false)->refused);
	assert_non_null(strstr(core_world_reply(world)->refusal, "policy pair keeps it with db2"));
	core_world_free(world);
}

/* Of wishes as many as can be are met, and what cannot be stops nobody. */
static void test_wishes(void **state)
{
	struct core_world *world = four_hosts();

	(void)state;
	policy_must(world, "ssd", POLICY_ON, true, "db1,db3", "host3");
	assert_false(move(world, "db1", "", false)->refused);
	assert_string_equal(core_world_find(world, ACTION_START)->call.target, "host3");
	/* It goes there now. */
	policy_must(world, "db", POLICY_APART, true, "db1,db3", NULL);
	policy_must(world, "db2", POLICY_APART, true, "db1,db3,db2", NULL);
	assert_false(move(world, "db3", "", false)->refused);
	assert_string_equal(core_world_find(world, ACTION_START)->call.target, "host4");
	core_world_free(world);
}

static const struct target_view *ask_where(struct core_world *world, const char *vm,
                                           const char *node)
{
	struct event event = { .kind = EVENT_EXPLAIN_VM, .request = 6 };
	struct event outcome = { .kind = EVENT_PREVIEW_OUTCOME };
	static const struct checks none;

	event.explain.vm = vm;
	event.explain.node = node;
	core_world_forget(world);
	core_world_step(world, &event);
	if (core_world_count(world, ACTION_PREVIEW)) {
		outcome.preview.preview = core_world_find(world, ACTION_PREVIEW)->preview.preview;
		outcome.preview.outcome = CALL_ANSWERED;
		outcome.preview.admitted = true;
		outcome.preview.checks = &none;
		core_world_step(world, &outcome);
	}
	return &core_world_reply(world)->targets[0];
}

/* Asked why not there: a hard policy is the reason whatever the host says, a wish is a warning. */
static void test_why_not(void **state)
{
	struct core_world *world = four_hosts();
	const struct target_view *view;

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	view = ask_where(world, "db1", "host2");
	assert_false(view->fits);
	assert_string_equal(view->reason,
	                    "host2: policy db keeps it apart from db3, which is there");
	policy_must(world, "db", POLICY_APART, true, "db1,db3", NULL);
	view = ask_where(world, "db1", "host2");
	assert_true(view->fits);
	assert_int_equal(view->checks.count, 1);
	assert_int_equal(view->checks.items[0].verdict, CHECK_WARN);
	assert_non_null(strstr(view->checks.items[0].measured, "policy db"));
	assert_int_equal(ask_where(world, "db1", "host3")->checks.count, 0);
	core_world_free(world);
}

/* A guest that moves counts at both ends: nobody goes where it leaves, nor where it arrives. */
static void test_at_both_ends(void **state)
{
	struct core_world *world = four_hosts();

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	(void)move(world, "db1", "host4", false);
	assert_true(move(world, "db3", "host4", false)->refused);
	assert_non_null(strstr(core_world_reply(world)->refusal, "which goes there"));
	assert_true(move(world, "db3", "host1", false)->refused);
	core_world_arrive(world, 1);
	core_world_wait(world, 6);
	assert_false(move(world, "db3", "host1", false)->refused);
	core_world_free(world);
}

/* Somebody starts the other one on the destination after it was chosen, and before the order goes out: it
 * does not go out. */
static void test_just_before_the_order(void **state)
{
	struct core_world *world = four_hosts();
	struct vm_state db3 = core_world_vm("db3", 256);

	(void)state;
	policy_must(world, "db", POLICY_APART, false, "db1,db3", NULL);
	world->store_slowly = true;
	{
		struct event event = { .kind = EVENT_MIGRATE, .request = 8 };

		event.migrate.vm = "db1";
		event.migrate.target = "host4";
		event.migrate.by = "ann";
		core_world_step(world, &event);
	}
	core_world_see(world, "host4", &db3);
	core_world_unsee(world, "host2", "db3");
	assert_string_equal(policy_place(world, "db3"), "host4");
	core_world_store(world);
	core_world_store(world);
	assert_int_equal(core_world_count(world, ACTION_START), 0);
	assert_int_equal(fleet_find_migration(world->fleet, 1)->kept.state, MIGRATION_PLANNED);
	assert_false(fleet_find_migration(world->fleet, 1)->kept.holds_slot);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_kept),
		cmocka_unit_test(test_is_replaced),
		cmocka_unit_test(test_watchers_are_told),
		cmocka_unit_test(test_what_makes_no_sense),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_more_guests_than_hosts),
		cmocka_unit_test(test_after_a_restart),
		cmocka_unit_test(test_violated_by_hand),
		cmocka_unit_test(test_looked_at_when_due),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_a_named_host),
		cmocka_unit_test(test_a_chosen_host),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_why_not),
		cmocka_unit_test(test_at_both_ends),
		cmocka_unit_test(test_just_before_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
