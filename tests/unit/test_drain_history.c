/* SPDX-License-Identifier: Apache-2.0 */
/* Drains that are over are forgotten, in memory and in the store, but for what something rests on. */
#include "coordinator/core/drain/drain.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const three[] = { "web1", "web2", "web3" };

static struct core_world *hosts(const char *const *vms, size_t n_vms)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, vms, n_vms);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	return world;
}

/* That host's agent answers the last mark that it was sent. */
static void confirm(struct core_world *world, const char *node)
{
	for (size_t i = world->seen.count; i > 0; i--) {
		const struct action *a = &world->seen.items[i - 1];
		struct event event = { .kind = EVENT_MARK_OUTCOME };

		if (a->kind != ACTION_SET_DRAIN_MARK || strcmp(a->mark.node, node) != 0)
			continue;
		event.mark.node = node;
		event.mark.drain_id = a->mark.mark.drain_id;
		event.mark.outcome = CALL_ANSWERED;
		event.mark.active_vms = (uint32_t)fleet_find_node(world->fleet, node)->active_vms;
		core_world_step(world, &event);
		return;
	}
}

/* Until nothing moves and each host has said what it has. */
static void settle(struct core_world *world)
{
	for (unsigned round = 0; round < 12; round++) {
		struct migration *m = world->fleet->active;

		while (m && !m->kept.holds_slot)
			m = m->next_active;
		if (m)
			core_world_arrive(world, m->kept.number);
		confirm(world, "host1");
		core_world_wait(world, 2);
		if (!world->fleet->active && !world->fleet->n_draining && round > 2)
			return;
	}
}

static void drain(struct core_world *world, const char *node)
{
	core_world_drain(world, node);
	settle(world);
	assert_int_equal(world->fleet->n_draining, 0);
}

static void undrain(struct core_world *world, const char *node, bool bring_back, bool dry_run)
{
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };

	event.node.node = node;
	event.node.reason = "";
	event.node.bring_back = bring_back;
	event.node.dry_run = dry_run;
	core_world_forget(world);
	core_world_step(world, &event);
}

/* How often the store was told to forget that drain. */
static size_t count_forgotten(const struct core_world *world, uint64_t number)
{
	size_t n = 0;

	for (size_t i = 0; i < world->seen.count; i++) {
		const struct action *a = &world->seen.items[i];

		for (size_t p = 0; a->kind == ACTION_STORE && p < a->store->count; p++)
			n += a->store->puts[p].kind == PUT_FORGET_DRAIN &&
			     a->store->puts[p].forgotten_drain == number;
	}
	return n;
}

/* A job that drains an empty host each night: the newest stay, and the first, since when it is closed. */
static void test_only_so_many_are_kept(void **state)
{
	struct core_world *world = hosts(NULL, 0);

	(void)state;
	world->fleet->options.drains_kept = 5;
	for (uint64_t n = 1; n <= 30; n++)
		drain(world, "host1");
	core_world_wait(world, 6);
	assert_int_equal(HASH_COUNT(world->fleet->drains), 6);
	assert_non_null(fleet_find_drain(world->fleet, 1));
	for (uint64_t n = 2; n <= 30; n++) {
		assert_int_equal(fleet_find_drain(world->fleet, n) != NULL, n > 25);
		assert_int_equal(count_forgotten(world, n), n <= 25);
	}
	assert_int_equal(world->fleet->last_drain_number, 30);
	core_world_free(world);
}

/* One under way is never forgotten, nor those that were asked for together with it. */
static void test_a_set_stays_whole(void **state)
{
	struct core_world *world = hosts(three, 1);
	char *items[] = { (char *)"host1", (char *)"host3" };
	struct names nodes = { .items = items, .count = 2 };
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct drain *moving, *empty;
	uint64_t number;

	(void)state;
	world->fleet->options.drains_kept = 2;
	event.drain.node = "";
	event.drain.nodes = &nodes;
	event.drain.reason = "";
	core_world_step(world, &event);
	moving = fleet_find_node_drain(world->fleet, fleet_find_node(world->fleet, "host1"));
	empty = fleet_find_node_drain(world->fleet, fleet_find_node(world->fleet, "host3"));
	number = empty->kept.number;
	for (unsigned n = 0; n < 3; n++) {
		confirm(world, "host1");
		confirm(world, "host3");
		core_world_wait(world, 2);
	}
	assert_int_equal(empty->kept.state, DRAIN_COMPLETED);
	/* Nothing else needs it: its host is open again, and was closed once more since. */
	for (unsigned n = 0; n < 6; n++) {
		undrain(world, "host3", false, false);
		confirm(world, "host3");
		core_world_drain(world, "host3");
		core_world_wait(world, 2);
		confirm(world, "host3");
		core_world_wait(world, 6);
	}
	assert_int_equal(world->fleet->last_drain_number, 8);
	assert_null(fleet_find_drain(world->fleet, 3));
	assert_ptr_equal(fleet_find_drain(world->fleet, number), empty);
	assert_int_equal(moving->kept.state, DRAIN_RUNNING);
	core_world_arrive(world, world->fleet->active->kept.number);
	for (unsigned n = 0; n < 3; n++) {
		confirm(world, "host1");
		core_world_wait(world, 6);
	}
	assert_int_equal(moving->kept.state, DRAIN_COMPLETED);
	assert_null(fleet_find_drain(world->fleet, number));
	core_world_free(world);
}

/* What has left a closed node comes back, however much has moved elsewhere since. */
static void test_the_way_back_outlives_the_history(void **state)
{
	struct core_world *world = hosts(three, 3);
	struct vm_state other = core_world_vm("other", 256);

	(void)state;
	world->fleet->options.drains_kept = 2;
	world->fleet->options.finished_kept = 4;
	drain(world, "host1");
	core_world_see(world, "host2", &other);
	for (unsigned n = 0; n < 20; n++) {
		core_world_wait(world, 6);
		core_world_migrate(world, "other", n % 2 ? "host2" : "host3");
		settle(world);
		drain(world, "host1");
	}
	core_world_wait(world, 6);
	/* Three that are away, and the newest. */
	assert_in_range(HASH_COUNT(world->fleet->migrations), 4, 7);
	undrain(world, "host1", true, false);
	assert_int_equal(core_world_reply(world)->plan->n_vms, 3);
	assert_int_equal(world->fleet->n_active, 3);
	confirm(world, "host1");
	settle(world);
	settle(world);
	assert_int_equal(fleet_find_node(world->fleet, "host1")->active_vms, 3);
	/* They are back: nothing rests on those any more. */
	core_world_wait(world, 6);
	assert_in_range(HASH_COUNT(world->fleet->migrations), 0, 4);
	core_world_free(world);
}

/* Of large drains only the newest keep a row for each guest. */
static void test_rows_are_bounded(void **state)
{
	struct core_world *world = hosts(three, 3);

	(void)state;
	world->fleet->options.drain_vms_kept = 4;
	drain(world, "host1");
	assert_int_equal(fleet_find_drain(world->fleet, 1)->n_vms, 3);
	undrain(world, "host1", true, false);
	confirm(world, "host1");
	settle(world);
	settle(world);
	drain(world, "host1");
	core_world_wait(world, 6);
	assert_int_equal(fleet_find_drain(world->fleet, 2)->n_vms, 3);
	assert_int_equal(fleet_find_drain(world->fleet, 1)->n_vms, 0);
	assert_non_null(strstr(fleet_find_drain(world->fleet, 1)->status, "3 moved"));
	/* One larger than all that are kept stays whole while it is the newest. */
	world->fleet->options.drain_vms_kept = 1;
	core_world_wait(world, 6);
	assert_int_equal(fleet_find_drain(world->fleet, 2)->n_vms, 3);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_so_many_are_kept),
		cmocka_unit_test(test_a_set_stays_whole),
		cmocka_unit_test(test_the_way_back_outlives_the_history),
		cmocka_unit_test(test_rows_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
