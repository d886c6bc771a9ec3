/* SPDX-License-Identifier: Apache-2.0 */
/* Several hosts drained together: all or none, none of them a destination, and who stands in whose way. */
#include "coordinator/core/drain/drain.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const webs[] = { "web1", "web2" };
static const char *const dbs[] = { "db1", "db2" };

static const struct reply *drain(struct core_world *world, const char *first, const char *second,
                                 const char *selector, bool dry_run)
{
	char *items[] = { (char *)first, (char *)second };
	struct names nodes = { .items = items, .count = (first != NULL) + (second != NULL) };
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };

	event.drain.node = "";
	event.drain.nodes = &nodes;
	event.drain.selector = selector;
	event.drain.dry_run = dry_run;
	event.drain.reason = "";
	core_world_forget(world);
	core_world_step(world, &event);
	return core_world_reply(world);
}

static unsigned count_active(const struct core_world *world)
{
	unsigned n = 0;

	for (const struct drain *d = world->fleet->drains; d; d = d->hh.next)
		n += !drain_state_is_final(d->kept.state);
	return n;
}

/* Both are drained as one, and no guest goes from one to the other, which has the most room. */
static void test_none_is_a_destination(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 65536, webs, 2);
	core_world_host(world, "host2", 65536, dbs, 2);
	core_world_host(world, "host3", 4096, NULL, 0);
	assert_false(drain(world, "host1", "host2", NULL, false)->refused);
	assert_int_equal(count_active(world), 2);
	assert_int_equal(core_world_count(world, ACTION_START), 2); /* two into host3 at a time */
	for (const struct migration *m = world->fleet->active; m; m = m->next_active)
		assert_string_equal(m->kept.target, "host3");
	for (const struct drain *d = world->fleet->drains; d; d = d->hh.next)
		assert_int_equal(d->kept.set_number, 1);
	/* Asked again, it is the same. */
	assert_true(drain(world, "host2", "host1", NULL, false)->already);
	assert_int_equal(count_active(world), 2);
	core_world_free(world);
}

/* One that cannot be reached, or that there is not, is named, and nothing begins. */
static void test_all_or_none(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, webs, 2);
	core_world_host(world, "host2", 4096, dbs, 2);
	core_world_host(world, "host3", 8192, NULL, 0);
	assert_int_equal(drain(world, "host1", "host9", NULL, false)->kind, REPLY_FAILED);
	assert_non_null(strstr(core_world_reply(world)->error.text, "host9"));
	core_world_lose(world, "host2");
	core_world_wait(world, 15);
	assert_int_equal(drain(world, "host1", "host2", NULL, false)->kind, REPLY_FAILED);
	assert_non_null(strstr(core_world_reply(world)->error.text, "host2 cannot be reached"));
	assert_int_equal(count_active(world), 0);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->state, NODE_READY);
	core_world_free(world);
}

/* A's guests fit only on B and B's only on A: refused beforehand, with who needs whom and what to do. */
static void test_hosts_that_need_each_other(void **state)
{
	struct core_world *world = core_world_new();
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 4096, webs, 2);
	core_world_host(world, "host2", 4096, dbs, 2);
	core_world_host(world, "host3", 300, NULL, 0);
	reply = drain(world, "host1", "host2", NULL, false);
	assert_true(reply->refused);
	assert_non_null(strstr(reply->refusal, "host1 and host2 cannot be emptied together"));
	assert_non_null(strstr(reply->refusal, "web1 of host1 would fit on host2"));
	assert_non_null(strstr(reply->refusal, "db1 of host2 would fit on host1"));
	assert_non_null(strstr(reply->refusal, "block each other"));
	assert_non_null(strstr(reply->refusal, "drover drain host1, then"));
	assert_int_equal(count_active(world), 0);
	/* Alone each can. */
	assert_false(drain(world, "host1", NULL, NULL, false)->refused);
	assert_int_equal(count_active(world), 1);
	core_world_free(world);
}

/* All that there are cannot be drained: no other host is left, and --leave is not the remedy. */
static void test_all_hosts(void **state)
{
	struct core_world *world = core_world_new();
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 4096, webs, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	reply = drain(world, "host1", "host2", NULL, false);
	assert_true(reply->refused);
	assert_non_null(strstr(reply->refusal, "web1 of host1 would fit on host2"));
	assert_null(strstr(reply->refusal, "--leave"));
	core_world_free(world);
}

/* The third has room for the guests of either, not of both. */
static void test_too_little_room_for_both(void **state)
{
	struct core_world *world = core_world_new();
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 640, webs, 2);
	core_world_host(world, "host2", 640, dbs, 2);
	core_world_figures(world, "host1", 640, 640);
	core_world_figures(world, "host2", 640, 640);
	core_world_host(world, "host3", 700, NULL, 0);
	reply = drain(world, "host1", "host2", NULL, false);
	assert_true(reply->refused);
	assert_non_null(strstr(reply->refusal, "the others leave no room for it"));
	assert_null(strstr(reply->refusal, "block each other"));
	core_world_free(world);
}

/* Guests of 400 and 300 MiB on 22 rooms of 1,000: together they need less than there is, and each kind
 * has places enough, but they fit in no way, and there are more than can be tried. Then no more is
 * said than is known. */
static void test_what_is_not_proved(void **state)
{
	enum { ROOMS = 22, LARGE = ROOMS + 2, SMALL = 2 * ROOMS - 3 };
	struct core_world *world = core_world_new();
	uint64_t used_mib[2] = { 0 };
	const struct reply *reply;
	char name[16];

	(void)state;
	core_world_host(world, "host1", 65536, NULL, 0);
	core_world_host(world, "host2", 65536, NULL, 0);
	for (unsigned i = 0; i < LARGE + SMALL; i++) {
		uint64_t mib = i < LARGE ? 400 : 300;
		struct vm_state vm;

		snprintf(name, sizeof(name), "vm%u", i);
		vm = core_world_vm(name, mib - 16);
		core_world_see(world, i % 2 ? "host1" : "host2", &vm);
		used_mib[i % 2] += mib;
	}
	core_world_figures(world, "host1", used_mib[1], used_mib[1]);
	core_world_figures(world, "host2", used_mib[0], used_mib[0]);
	for (unsigned i = 0; i < ROOMS; i++) {
		snprintf(name, sizeof(name), "room%u", i);
		core_world_host(world, name, 1000 + 64, NULL, 0); /* 64 are reserved */
	}
	reply = drain(world, "host1", "host2", NULL, false);
	assert_true(reply->refused);
	assert_non_null(
		strstr(reply->refusal, "no way to empty host1 and host2 together was found"));
	assert_non_null(strstr(reply->refusal, "that there is none is not proved"));
	assert_null(strstr(reply->refusal, "cannot be emptied together"));
	core_world_free(world);
}

/* Selected by labels; what nobody has selects nobody, which is said and is no drain of all. */
static void test_by_label(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, webs, 1);
	core_world_host(world, "host2", 4096, dbs, 1);
	core_world_host(world, "host3", 4096, NULL, 0);
	text_copy(fleet_find_node(world->fleet, "host1")->kept.labels, LABELS_BYTES, "rack=a");
	text_copy(fleet_find_node(world->fleet, "host2")->kept.labels, LABELS_BYTES, "rack=a");
	assert_int_equal(drain(world, NULL, NULL, "rack=b", false)->error.code, ERROR_NOT_FOUND);
	assert_int_equal(drain(world, NULL, NULL, "", false)->kind, REPLY_FAILED);
	assert_int_equal(drain(world, NULL, NULL, "rack==", false)->error.code, ERROR_INVALID);
	assert_int_equal(count_active(world), 0);
	drain(world, NULL, NULL, "rack=a", false);
	assert_int_equal(count_active(world), 2);
	assert_int_equal(fleet_find_node(world->fleet, "host3")->state, NODE_READY);
	core_world_free(world);
}

/* Dry: one plan of all guests, each with the host that it leaves; a host that would be drained, too, is
 * not asked in place of one that refuses. */
static void test_dry_run(void **state)
{
	struct core_world *world = core_world_new();
	struct check no = {
		.id = "cpu", .verdict = CHECK_FAIL, .measured = "old", .required = "new"
	};
	struct checks checks = { .items = &no, .count = 1 };
	struct event answer = { .kind = EVENT_PREVIEW_OUTCOME };
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 65536, webs, 1);
	core_world_host(world, "host2", 65536, dbs, 1);
	core_world_host(world, "host3", 4096, NULL, 0);
	{
		char *items[] = { (char *)"host1", (char *)"host2" };
		struct names nodes = { .items = items, .count = 2 };
		struct event event = { .kind = EVENT_DRAIN, .request = 7 };

		event.drain.node = "";
		event.drain.nodes = &nodes;
		event.drain.dry_run = true;
		event.drain.reason = "";
		core_world_forget(world);
		core_world_step(world, &event);
	}
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 2);
	answer.preview.outcome = CALL_ANSWERED;
	answer.preview.checks = &checks;
	for (answer.preview.preview = 1; answer.preview.preview <= 2; answer.preview.preview++)
		core_world_step(world, &answer);
	assert_int_equal(core_world_count(world, ACTION_PREVIEW), 2);
	reply = core_world_reply(world);
	assert_string_equal(reply->plan->kept.node, "host1,host2");
	assert_int_equal(reply->plan->n_vms, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(reply->plan->vms[i].node,
		                    reply->plan->vms[i].name[0] == 'w' ? "host1" : "host2");
		assert_int_equal(reply->plan->vms[i].state, DRAIN_VM_BLOCKED);
	}
	assert_int_equal(count_active(world), 0);
	core_world_free(world);
}

/* Of many nodes so many are looked into as there is time for, and what was not is said: in a refusal, and
 * with a drain that is accepted. */
static void test_many_nodes(void **state)
{
	for (unsigned conflict = 0; conflict < 2; conflict++) {
		struct core_world *world = core_world_new();
		struct event event = { .kind = EVENT_DRAIN, .request = 7 };
		struct names nodes = { 0 };
		const struct reply *reply;

		(void)state;
		for (unsigned i = 1; i <= 20; i++) {
			char host[16], vm[16];
			const char *vms[] = { vm };

			snprintf(host, sizeof(host), "host%02u", i);
			snprintf(vm, sizeof(vm), "web%02u", i);
			core_world_host(world, host, conflict ? 4096 : 400, vms, 1);
			names_add(&nodes, host);
		}
		/* One that could take any of them, were it not full. */
		core_world_host(world, "host99", 400, webs, 1);
		event.drain.node = "";
		event.drain.nodes = &nodes;
		event.drain.reason = "";
		core_world_forget(world);
		core_world_step(world, &event);
		reply = core_world_reply(world);
		assert_int_equal(reply->refused, conflict);
		assert_non_null(strstr(conflict ? reply->refusal : reply->text,
		                       "not proved within 320000 steps: whether 4 guests of 4 more "
		                       "nodes have a place"));
		assert_int_equal(reply->text[0] != '\0', !conflict);
		assert_int_equal(count_active(world), conflict ? 0 : 20);
		names_deinit(&nodes);
		core_world_free(world);
	}
}

/* A node that has never been heard may have the label: that is said, also where nobody has it. */
static void test_a_node_that_was_never_heard(void **state)
{
	struct core_world *world = core_world_new();
	const struct reply *reply;
	struct event attach = { .kind = EVENT_ATTACH, .request = 1 };

	(void)state;
	core_world_host(world, "host1", 4096, webs, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	attach.attach.node = "host3";
	attach.attach.mesh_address = attach.attach.agent_version = "";
	core_world_step(world, &attach);
	text_copy(fleet_find_node(world->fleet, "host1")->kept.labels, LABELS_BYTES, "rack=a");
	reply = drain(world, NULL, NULL, "rack=b", false);
	assert_int_equal(reply->error.code, ERROR_NOT_FOUND);
	assert_non_null(strstr(reply->error.text, "1 node has never been heard"));
	assert_non_null(strstr(reply->error.text, "host3"));
	reply = drain(world, NULL, NULL, "rack=a", false);
	assert_int_equal(count_active(world), 1);
	assert_non_null(strstr(reply->text, "host3"));
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_is_a_destination),
		cmocka_unit_test(test_all_or_none),
		cmocka_unit_test(test_hosts_that_need_each_other),
		cmocka_unit_test(test_all_hosts),
		cmocka_unit_test(test_too_little_room_for_both),
		cmocka_unit_test(test_what_is_not_proved),
		cmocka_unit_test(test_by_label),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_many_nodes),
		cmocka_unit_test(test_a_node_that_was_never_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
