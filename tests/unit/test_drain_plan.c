/* SPDX-License-Identifier: Apache-2.0 */
/* What the planner makes of a fleet: the dry run's destinations, order and proofs, and a plan that is
 * carried out as shown, or not at all. */
#include "coordinator/core/drain/drain.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/plan/plan.h"
#include "coordinator/core/plan/plan_memory.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct reply *ask(struct core_world *world, const char *node, const char *plan_id)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };

	event.drain.node = node;
	event.drain.reason = "";
	event.drain.dry_run = !plan_id;
	event.drain.plan_id = plan_id;
	if (!plan_id)
		return core_world_ask(world, &event);
	core_world_forget(world);
	core_world_step(world, &event);
	return core_world_reply(world);
}

static struct core_world *two_sizes(void)
{
	static const char *const none[] = { "old" };
	struct core_world *world = core_world_new();
	struct vm_state big = core_world_vm("big", 2048), small = core_world_vm("small", 256);

	core_world_host(world, "host1", 8192, NULL, 0);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, none, 1);
	core_world_see(world, "host1", &small);
	core_world_see(world, "host1", &big);
	return world;
}

/* Each guest has its turn, a destination and the reason for it; the large one goes first. */
static void test_turns_and_reasons(void **state)
{
	struct core_world *world = two_sizes();
	const struct reply *reply = ask(world, "host1", NULL);

	(void)state;
	assert_int_equal(reply_guest(reply, "big")->order, 1);
	assert_string_equal(reply_guest(reply, "big")->target, "host2");
	assert_int_equal(reply_guest(reply, "small")->order, 2);
	assert_non_null(strstr(reply_guest(reply, "big")->why, "of 2 that could take it"));
	assert_string_not_equal(reply->plan->plan_id, "");
	assert_int_equal(reply_guest(reply, "big")->could, 2);
	assert_true(reply_guest(reply, "big")->left_bytes < 4096 * MIB - 2048 * MIB);
	/* Why then, in what the plan shows; and no plan ends before its bound. */
	assert_non_null(
		strstr(reply_guest(reply, "big")->turn_why, "at once; long lane: the longest of "));
	assert_non_null(strstr(reply_guest(reply, "big")->turn_why, "2 left on host1"));
	assert_non_null(
		strstr(reply_guest(reply, "small")->turn_why, "the last that leaves host1"));
	assert_int_equal(reply->plan->bound.critical, PLAN_CRITICAL_OUT);
	assert_string_equal(reply->plan->bound.node, "host1");
	assert_true(reply->plan->bound.least_ms > 0);
	assert_true(reply->plan->bound.planned_ms >= reply->plan->bound.least_ms);
	assert_true(reply->plan->bound.capped_ms >= reply->plan->bound.least_ms);
	core_world_free(world);
}

/* One at a time: who waits is told for whom, and why the limit is there. */
static void test_why_a_turn_is_later(void **state)
{
	struct core_world *world = two_sizes();
	struct vm_state third = core_world_vm("third", 512);
	const char *waits = NULL;
	const struct reply *reply;

	(void)state;
	world->fleet->options.caps.outbound = 1;
	core_world_see(world, "host1", &third);
	reply = ask(world, "host1", NULL);
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		const struct drain_vm *dv = &reply->plan->vms[i];

		assert_true(dv->end_ms > drain_vm_start_ms(dv));
		if (dv->order == 2)
			waits = dv->turn_why;
		else if (dv->order == 1)
			assert_non_null(strstr(dv->turn_why, "at once"));
	}
	if (!waits) {
		fail_msg("nobody has the second turn");
		return;
	}
	assert_non_null(strstr(waits, "when "));
	assert_non_null(strstr(waits, " is out: 1 at a time leave host1"));
	core_world_free(world);
}

/* Who waits for its slot is prepared meanwhile, where that is done: only the first takes its time for it. */
static void test_what_waits_is_prepared(void **state)
{
	struct core_world *world = two_sizes();
	uint64_t planned_ms;

	(void)state;
	world->fleet->options.caps.outbound = world->fleet->options.caps.preparing = 1;
	/* An older agent. */
	planned_ms = ask(world, "host1", NULL)->plan->bound.planned_ms;
	fleet_find_node(world->fleet, "host1")->host.preparing_max = 4;
	assert_int_equal(ask(world, "host1", NULL)->plan->bound.planned_ms,
	                 planned_ms - PLAN_PREPARE_MS);
	world->fleet->options.caps.preparing = 0;
	assert_int_equal(ask(world, "host1", NULL)->plan->bound.planned_ms, planned_ms);
	core_world_free(world);
}

static const struct reply *explain(struct core_world *world, const char *id)
{
	struct event event = { .kind = EVENT_EXPLAIN_PLAN, .request = 8 };

	event.explain.plan = id;
	core_world_forget(world);
	core_world_step(world, &event);
	return core_world_reply(world);
}

/* A kept plan is explained as it was shown, and compared with what is so now; asking changes nothing. */
static void test_a_plan_is_explained(void **state)
{
	struct core_world *world = two_sizes();
	struct vm_state late = core_world_vm("late", 256);
	const struct kept_plan *plan;
	const struct reply *reply;
	char id[PLAN_ID_BYTES];

	(void)state;
	text_copy(id, sizeof(id), ask(world, "host1", NULL)->plan->plan_id);
	reply = explain(world, id);
	assert_int_equal(reply->kind, REPLY_EXPLAIN);
	assert_string_equal(reply->plan_id, id);
	assert_int_equal(reply->effects.count, 0);
	plan = plan_memory_find(world->fleet, id);
	if (!plan) {
		fail_msg("the plan is not kept");
		return;
	}
	assert_int_equal(plan->count, 2);
	assert_string_equal(plan->moves[0].name, "big");
	assert_non_null(strstr(plan->moves[0].why, "of 2 that could take it"));
	assert_non_null(strstr(plan->moves[0].turn_why, "at once"));
	assert_true(plan->moves[0].end_ms > plan->moves[0].start_ms);
	assert_int_equal(plan->nodes.count, 1);

	core_world_see(world, "host1", &late);
	core_world_figures(world, "host2", 4096, 3072);
	reply = explain(world, id);
	assert_int_equal(reply->effects.count, 2);
	assert_string_equal(reply->effects.items[0],
	                    "late runs on host1, and the plan does not know it");
	assert_non_null(strstr(reply->effects.items[1], "big cannot go to host2 any more: "));
	assert_null(world->fleet->drains);

	core_world_drain(world, "host1");
	reply = explain(world, id);
	assert_string_equal(reply->effects.items[0], "host1 is being drained by now: drain/1");
	reply = explain(world, "0123456789abcdef");
	assert_int_equal(reply->error.code, ERROR_NOT_FOUND);
	core_world_free(world);
}

/* The same dry run without the guest in the way has a plan, with an id that carries it out. */
static void expect_plan_without(struct core_world *world, const char *name)
{
	char *items[] = { (char *)name };
	struct names leave = { .items = items, .count = 1 };
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	char id[PLAN_ID_BYTES];
	const struct reply *reply;

	event.drain.node = "host1";
	event.drain.reason = "";
	event.drain.leave = &leave;
	event.drain.dry_run = true;
	reply = core_world_ask(world, &event);
	assert_string_not_equal(reply->plan->plan_id, "");
	text_copy(id, sizeof(id), reply->plan->plan_id);
	event.drain.dry_run = false;
	event.drain.plan_id = id;
	core_world_forget(world);
	core_world_step(world, &event);
	assert_false(core_world_reply(world)->refused);
	assert_non_null(world->fleet->drains);
}

/* Two of three have room; of the third it is said what is counted, and what would help. */
static void test_what_proves_that_there_is_no_place(void **state)
{
	static const char *const three[] = { "web1", "web2", "web3" };
	struct core_world *world = core_world_new();
	const struct drain_vm *blocked = NULL;
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 4096, NULL, 0);
	for (unsigned i = 0; i < 3; i++) {
		struct vm_state vm = core_world_vm(three[i], 1024);

		core_world_see(world, "host1", &vm);
	}
	core_world_host(world, "host2", 2048, NULL, 0);
	core_world_host(world, "host3", 2048, NULL, 0);
	reply = ask(world, "host1", NULL);
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		if (reply->plan->vms[i].state == DRAIN_VM_BLOCKED)
			blocked = &reply->plan->vms[i];
	}
	if (!blocked) {
		fail_msg("three of 1 GiB on two hosts with room for one each");
		return;
	}
	assert_string_equal(drain_proof_name(blocked->proof), "count");
	assert_non_null(strstr(blocked->reason, "3 guests need"));
	assert_non_null(strstr(blocked->helps, "--leave for 1"));
	assert_string_equal(reply->plan->plan_id, "");
	expect_plan_without(world, "web3");
	core_world_free(world);
}

/* Guests that go beside each other share the way: the whole takes no less than all their bytes. */
static void test_shared_way(void **state)
{
	static const char *const four[] = { "web1", "web2", "web3", "web4" };
	struct core_world *world = core_world_new();
	const struct drain_vm *one, *of_four;
	uint64_t alone_ms, bytes = 0;
	const struct reply *reply;

	(void)state;
	core_world_host(world, "host1", 16384, four, 1);
	core_world_host(world, "host2", 16384, NULL, 0);
	core_world_host(world, "host3", 16384, NULL, 0);
	reply = ask(world, "host1", NULL);
	one = reply_guest(reply, "web1");
	alone_ms = one->prediction.transfer_ms;
	for (unsigned i = 1; i < 4; i++) {
		struct vm_state vm = core_world_vm(four[i], 256);

		core_world_see(world, "host1", &vm);
	}
	reply = ask(world, "host1", NULL);
	of_four = reply_guest(reply, "web1");
	for (size_t i = 0; i < reply->plan->n_vms; i++)
		bytes += reply->plan->vms[i].memory_bytes;
	assert_true(of_four->prediction.transfer_ms > 19 * alone_ms / 10);
	assert_true(reply->plan->eta_ms >= bytes / (PLAN_DEFAULT_BYTES_PER_S / 1000));
	core_world_free(world);
}

static struct drain_vm plan_small(bool shortest_first, uint64_t *ret_all_ms)
{
	struct core_world *world = two_sizes();
	const struct reply *reply;
	struct drain_vm small;

	world->fleet->options.settings.shortest_first = shortest_first;
	reply = ask(world, "host1", NULL);
	small = *reply_guest(reply, "small");
	*ret_all_ms = reply->plan->deadline.end_ms;
	assert_true(reply->plan->eta_ms >= reply_guest(reply, "big")->alone_ms + small.alone_ms);
	core_world_free(world);
	return small;
}

/* A plan has the rates that agents give: the small one is out sooner with shortest-first, and the whole
 * takes no longer. */
static void test_lanes(void **state)
{
	uint64_t fair_ms, lanes_ms;
	struct drain_vm fair = plan_small(false, &fair_ms), lanes = plan_small(true, &lanes_ms);

	(void)state;
	assert_int_equal(fair.alone_ms, 0);
	assert_int_equal(lanes.begin_ms, 0);
	assert_in_range(lanes.end_ms, 1, fair.end_ms * 3 / 4);
	assert_in_range(lanes_ms, lanes.end_ms, fair_ms);
}

/* The same facts give the same id; by it the plan is carried out: order and destinations are written down. */
static void test_a_plan_is_carried_out(void **state)
{
	struct core_world *world = two_sizes();
	char id[PLAN_ID_BYTES];
	const struct migration *first, *second;

	(void)state;
	text_copy(id, sizeof(id), ask(world, "host1", NULL)->plan->plan_id);
	assert_string_equal(ask(world, "host1", NULL)->plan->plan_id, id);
	assert_false(ask(world, "host1", id)->refused);
	first = fleet_find_migration(world->fleet, 1);
	second = fleet_find_migration(world->fleet, 2);
	assert_non_null(first);
	assert_non_null(second);
	assert_string_equal(first->kept.vm_name, "big");
	assert_string_equal(first->kept.wanted_target, "host2");
	assert_string_equal(first->kept.target, "host2");
	assert_string_equal(second->kept.vm_name, "small");
	assert_int_equal(first->kept.drain_number, 1);
	core_world_free(world);
}

/* ... with all that was asked for when it was shown: that is part of it, and of its id. What is said anew counts. */
static void test_a_plan_has_its_options(void **state)
{
	struct core_world *world = two_sizes();
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	char plain[PLAN_ID_BYTES], limited[PLAN_ID_BYTES];
	const struct drain_record *kept;

	(void)state;
	text_copy(plain, sizeof(plain), ask(world, "host1", NULL)->plan->plan_id);
	event.drain.node = "host1";
	event.drain.reason = "new fans";
	event.drain.dry_run = true;
	event.drain.parallel = 1;
	event.drain.bandwidth_bytes_per_s = 1000000;
	event.drain.max_downtime_ms = 100;
	event.drain.copy_disks = true;
	event.drain.strategy.forbid_post_copy = true;
	event.drain.by_wall_ms = 3600000;
	core_world_step(world, &event);
	core_world_wait(world, PREVIEW_DEADLINE_MS / 1000 + 1);
	text_copy(limited, sizeof(limited), core_world_reply(world)->plan->plan_id);
	assert_string_not_equal(limited, plain);
	/* Nobody's dry run takes another one's place. */
	assert_string_equal(ask(world, "host1", NULL)->plan->plan_id, plain);

	event = (struct event){ .kind = EVENT_DRAIN, .request = 8 };
	event.drain.node = "host1";
	event.drain.reason = "";
	event.drain.plan_id = limited;
	event.drain.max_downtime_ms = 200;
	core_world_step(world, &event);
	assert_false(core_world_reply(world)->refused);
	kept = &fleet_find_drain(world->fleet, 1)->kept;
	assert_int_equal(kept->parallel, 1);
	assert_int_equal(kept->bandwidth_bytes_per_s, 1000000);
	assert_int_equal(kept->max_downtime_ms, 200);
	assert_true(kept->copy_disks);
	assert_true(kept->strategy.forbid_post_copy);
	assert_int_equal(kept->by_wall_ms, 3600000);
	assert_string_equal(kept->reason, "new fans");
	core_world_free(world);
}

/* The destination of the plan says no: the guest waits for it, as asked, and the command that gives this up
 * is named and does. */
static void test_a_plan_that_a_host_refuses(void **state)
{
	struct core_world *world = two_sizes();
	const struct check no = { .id = "cpu", .verdict = CHECK_FAIL, .measured = "old" };
	struct event cancel = { .kind = EVENT_CANCEL, .request = 9 };
	const struct drain_vm *big;
	char id[PLAN_ID_BYTES];

	(void)state;
	text_copy(id, sizeof(id), ask(world, "host1", NULL)->plan->plan_id);
	assert_false(ask(world, "host1", id)->refused);
	assert_string_equal(fleet_find_migration(world->fleet, 1)->kept.target, "host2");
	core_world_report(world, 1, MIGRATION_FAILED, &no);
	core_world_wait(world, 2);
	big = drain_find_vm(fleet_find_drain(world->fleet, 1), "uuid-big");
	assert_int_equal(big->state, DRAIN_VM_BLOCKED);
	assert_non_null(strstr(big->reason, "its plan sends it to host2 only"));
	assert_non_null(strstr(big->reason, "drover cancel migration/1"));
	cancel.cancel.kind = "migration";
	cancel.cancel.name = "1";
	core_world_step(world, &cancel);
	core_world_wait(world, 2);
	assert_int_equal(big->state, DRAIN_VM_MOVING);
	assert_string_equal(big->target, "host3");
	core_world_free(world);
}

/* What has changed since is named, and nothing is begun. */
static void test_a_plan_that_holds_no_more(void **state)
{
	struct core_world *world = two_sizes();
	struct vm_state late = core_world_vm("late", 256);
	const struct reply *reply;
	char id[PLAN_ID_BYTES];

	(void)state;
	text_copy(id, sizeof(id), ask(world, "host1", NULL)->plan->plan_id);
	core_world_see(world, "host1", &late);
	core_world_figures(world, "host2", 4096, 3072);
	reply = ask(world, "host1", id);
	assert_true(reply->refused);
	assert_non_null(
		strstr(reply->refusal, "late runs on host1, and the plan does not know it"));
	assert_non_null(strstr(reply->refusal, "big cannot go to host2 any more"));
	assert_null(world->fleet->drains);
	assert_null(world->fleet->migrations);
	core_world_free(world);
}

/* So many plans are remembered, and so many moves in all of them; the latest always. */
static void test_what_is_remembered(void **state)
{
	struct core_world *world = two_sizes();
	char ids[3][PLAN_ID_BYTES];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		char name[16];
		struct vm_state more;

		snprintf(name, sizeof(name), "more%u", i);
		more = core_world_vm(name, 64);
		core_world_see(world, "host1", &more);
		text_copy(ids[i], sizeof(ids[i]), ask(world, "host1", NULL)->plan->plan_id);
	}
	/* Of 5, 4 and 3 moves. */
	plan_memory_trim(world->fleet, 3, 12);
	assert_non_null(plan_memory_find(world->fleet, ids[0]));
	plan_memory_trim(world->fleet, 3, 11);
	assert_null(plan_memory_find(world->fleet, ids[0]));
	assert_non_null(plan_memory_find(world->fleet, ids[1]));
	plan_memory_trim(world->fleet, 1, 100);
	assert_null(plan_memory_find(world->fleet, ids[1]));
	plan_memory_trim(world->fleet, 0, 0);
	assert_non_null(plan_memory_find(world->fleet, ids[2]));
	core_world_free(world);
}

/* An id that nobody gave is an error, not some other plan. */
static void test_an_unknown_plan(void **state)
{
	struct core_world *world = two_sizes();
	const struct reply *reply = ask(world, "host1", "0123456789abcdef");

	(void)state;
	assert_int_equal(reply->error.code, ERROR_NOT_FOUND);
	assert_null(world->fleet->drains);
	core_world_free(world);
}

/* Each guest is found by its uuid, in whatever order they are: of two with one uuid the first. */
static void test_guests_are_found(void **state)
{
	enum { GUESTS = 300 };
	struct drain *drain = xnew(struct drain);
	struct vm vm = { 0 };

	(void)state;
	assert_null(drain_find_vm(drain, "guest-0"));
	for (unsigned i = 0; i < GUESTS; i++) {
		snprintf(vm.uuid, sizeof(vm.uuid), "guest-%u", i * 7919 % (GUESTS - 1));
		drain_add_vm(drain, "host1", &vm, i * 31 % 97)->order = i * 17 % 101;
	}
	for (int sorted = 0; sorted < 2; sorted++) {
		for (size_t i = 0; i < GUESTS; i++) {
			const struct drain_vm *dv = drain_find_vm(drain, drain->vms[i].uuid);

			assert_string_equal(dv->uuid, drain->vms[i].uuid);
			assert_true(dv <= &drain->vms[i]);
		}
		assert_null(drain_find_vm(drain, "guest-"));
		assert_null(drain_find_vm(drain, "guest-300"));
		assert_null(drain_find_vm(drain, "host"));
		drain_draft_sort(drain);
	}
	drain_free(drain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns_and_reasons),
		cmocka_unit_test(test_why_a_turn_is_later),
		cmocka_unit_test(test_what_waits_is_prepared),
		cmocka_unit_test(test_a_plan_is_explained),
		cmocka_unit_test(test_what_proves_that_there_is_no_place),
		cmocka_unit_test(test_shared_way),
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_a_plan_is_carried_out),
		cmocka_unit_test(test_a_plan_has_its_options),
		cmocka_unit_test(test_a_plan_that_a_host_refuses),
		cmocka_unit_test(test_a_plan_that_holds_no_more),
		cmocka_unit_test(test_what_is_remembered),
		cmocka_unit_test(test_an_unknown_plan),
		cmocka_unit_test(test_guests_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
