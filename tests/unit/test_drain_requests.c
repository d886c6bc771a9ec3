/* SPDX-License-Identifier: Apache-2.0 */
/* Drains that are asked for again and again, cancelled in between, or of two hosts at once. */
#include "coordinator/core/drain/drain.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const three[] = { "web1", "web2", "web3" };
static const char *const others[] = { "db1", "db2", "db3" };

static void undrain(struct core_world *world, const char *node)
{
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };

	event.node.node = node;
	event.node.reason = "";
	core_world_step(world, &event);
}

static unsigned count_drains(const struct core_world *world, bool over)
{
	unsigned n = 0;

	for (struct drain *d = world->fleet->drains; d; d = d->hh.next)
		n += drain_state_is_final(d->kept.state) == over;
	return n;
}

/* The same drain, asked for a hundred times, is one drain, and each guest is moved once. */
static void f65_asked_a_hundred_times(void **state)
{
	struct core_world *world = core_world_new();

	(void)state;
	core_world_host(world, "host1", 4096, three, 3);
	core_world_host(world, "host2", 4096, NULL, 0);
	for (unsigned i = 0; i < 100; i++)
		core_world_drain(world, "host1");
	assert_int_equal(count_drains(world, false), 1);
	assert_int_equal(count_drains(world, true), 0);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(world->fleet->slots_held, 2);
	core_world_free(world);
}

/* Drained and taken back sixty times: the last request counts, and never is more than one drain of a
 * host under way. */
static void f65_drained_and_taken_back(void **state)
{
	for (int drained = 0; drained <= 1; drained++) {
		struct core_world *world = core_world_new();

		(void)state;
		core_world_host(world, "host1", 4096, three, 3);
		core_world_host(world, "host2", 4096, NULL, 0);
		for (unsigned i = 0; i < 60; i++) {
			core_world_drain(world, "host1");
			assert_int_equal(count_drains(world, false), 1);
			undrain(world, "host1");
			assert_int_equal(count_drains(world, false), 0);
		}
		if (drained)
			core_world_drain(world, "host1");
		assert_int_equal(count_drains(world, false), drained);
		assert_int_equal(fleet_find_node(world->fleet, "host1")->kept.drain_number != 0,
		                 drained);
		/* However often: not more at once than the caps allow, nor a guest twice. */
		assert_true(world->fleet->slots_held <= 2);
		core_world_free(world);
	}
}

/* It has come to host3, which says what is left there. */
static void arrive(struct core_world *world, const struct migration *m)
{
	assert_string_equal(m->kept.target, "host3");
	core_world_arrive(world, m->kept.number);
	core_world_figures(world, "host3", 1024,
	                   fleet_find_node(world->fleet, "host3")->active_vms * 320);
}

/* Two hosts are drained at once, and the third has room for half of their guests: what fits moves there and
 * stays, the rest is blocked with its reason where it is, and no guest goes from one drained host to the
 * other. */
static void f63_half_the_room(void **state)
{
	struct core_world *world = core_world_new();
	unsigned moved = 0, blocked = 0;

	(void)state;
	core_world_host(world, "host1", 4096, three, 3);
	/* Full when the first is drained, so that nobody goes there before it is drained, too. */
	core_world_host(world, "host2", 1024, others, 3);
	core_world_figures(world, "host2", 1024, 960);
	core_world_host(world, "host3", 1024, NULL, 0);
	core_world_drain(world, "host1");
	core_world_drain(world, "host2");
	for (unsigned round = 0; round < 16; round++) {
		struct migration *m = world->fleet->active;

		assert_true(world->fleet->slots_held <= 5);
		while (m && !m->kept.holds_slot)
			m = m->next_active;
		if (m)
			arrive(world, m);
		core_world_wait(world, 5);
	}
	moved = (unsigned)fleet_find_node(world->fleet, "host3")->active_vms;
	assert_in_range(moved, 1, 5);
	for (struct drain *d = world->fleet->drains; d; d = d->hh.next) {
		unsigned here = 0;

		for (size_t i = 0; i < d->n_vms; i++) {
			here += d->vms[i].state == DRAIN_VM_BLOCKED;
			if (d->vms[i].state != DRAIN_VM_MOVED)
				assert_true(d->vms[i].reason[0]);
		}
		if (here)
			assert_int_equal(d->kept.state, DRAIN_BLOCKED);
		blocked += here;
	}
	assert_int_equal(moved + blocked, 6);
	/* Each that moved did so once. */
	assert_int_equal(core_world_count(world, ACTION_START), moved);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f65_asked_a_hundred_times),
		cmocka_unit_test(f65_drained_and_taken_back),
		cmocka_unit_test(f63_half_the_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
