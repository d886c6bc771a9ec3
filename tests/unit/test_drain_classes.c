/* SPDX-License-Identifier: Apache-2.0 */
/* What drover says of each host and guest alone (place, why-not, capacity, the launch) agrees with what the
 * dry run of a drain says of all of them: fleets are drawn and compared. */
#include "coordinator/core/drain/drain.h"

#include "common/units.h"
#include "coordinator/core/capacity/capacity.h"
#include "coordinator/core/plan/plan.h"
#include "tests/unit/offers_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FLEETS 60
#define HOSTS  6
#define GUESTS 10

static unsigned draw(unsigned *seed, unsigned most)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % most;
}

/* Every third fleet is small: then all have a place now and then. */
static struct core_world *draw_fleet(unsigned *seed, bool small)
{
	static const char *const bridges[] = { "br0", "br0", "br1" };
	static const char *const machines[] = { "pc-q35-7.2", "pc-q35-7.2", "pc-q35-8.0" };
	static const char *const signatures[] = { "cpu A", "cpu A", "cpu B" };
	struct core_world *world = core_world_new();

	for (unsigned i = 0; i < HOSTS; i++) {
		char name[16];
		struct offers offers = {
			.capacity_mib = i ? 1024 + 512 * draw(seed, 6) : 16384,
			.bridge = i ? bridges[draw(seed, 3)] : NULL,
			.machine = i ? machines[draw(seed, 3)] : NULL,
			.signature = i ? signatures[draw(seed, 3)] : NULL,
			.rooms = { .known = draw(seed, 4) > 0,
			           .vcpus = { .cpus = 8,
			                      .guests = draw(seed, 9),
			                      .overcommit_percent = 50 * draw(seed, 4) },
			           .pools_known = true,
			           .pools = { { .page_bytes = 2 * MIB,
			                        .free_bytes = 256 * MIB * draw(seed, 5) } },
			           .n_pools = draw(seed, 2) },
		};

		snprintf(name, sizeof(name), "host%u", i + 1);
		offers_add_host(world, name, &offers);
	}
	for (unsigned i = 0; i < (small ? 3 : GUESTS); i++) {
		char name[16];
		struct vm_state guest;

		snprintf(name, sizeof(name), "vm%02u", i);
		guest = offers_guest(name, 128 + 128 * draw(seed, 6));
		guest.vcpus = guest.needs.vcpus_maximum = 1 + draw(seed, 4);
		guest.needs.sees_host = draw(seed, 3) == 0;
		guest.needs.hugepage_bytes = draw(seed, 3) ? 0 : 2 * MIB;
		core_world_see(world, "host1", &guest);
	}
	return world;
}

/* Places each planned guest on the books that drover place, why-not and the launch use, in its turn. */
static size_t check_places(struct core_world *world, const struct reply *reply)
{
	struct plan plan;
	size_t placed = 0;

	plan_init(&plan, world->fleet, world->now_ms);
	for (uint32_t turn = 1; turn <= reply->plan->n_vms; turn++) {
		for (size_t i = 0; i < reply->plan->n_vms; i++) {
			const struct drain_vm *dv = &reply->plan->vms[i];
			char why[REASON_BYTES] = "";

			if (dv->order != turn)
				continue;
			placed++;
			if (!plan_pick_target(&plan, world->fleet,
			                      fleet_find_vm(world->fleet, dv->uuid), dv->target,
			                      true, world->now_ms, why))
				fail_msg("%s is planned to %s: %s", dv->name, dv->target, why);
		}
	}
	plan_deinit(&plan);
	return placed;
}

/* A guest that no host would take alone has no place, and one that some host takes beside all the others
 * that are placed has one. */
static void check_blocked(struct core_world *world, const struct reply *reply)
{
	struct plan empty, full;
	char why[REASON_BYTES];

	plan_init(&full, world->fleet, world->now_ms);
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		const struct drain_vm *dv = &reply->plan->vms[i];

		if (dv->state == DRAIN_VM_WAITING)
			(void)plan_pick_target(&full, world->fleet,
			                       fleet_find_vm(world->fleet, dv->uuid), dv->target,
			                       true, world->now_ms, why);
	}
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		const struct drain_vm *dv = &reply->plan->vms[i];
		const struct vm *vm = fleet_find_vm(world->fleet, dv->uuid);
		bool alone = false, beside = false;

		plan_init(&empty, world->fleet, world->now_ms);
		for (size_t h = 0; h < empty.count; h++) {
			alone |= plan_judge(world->fleet, &empty.nodes[h], vm, true, world->now_ms,
			                    NULL) == PLAN_FITS;
			beside |= plan_judge(world->fleet, &full.nodes[h], vm, true, world->now_ms,
			                     NULL) == PLAN_FITS;
		}
		plan_deinit(&empty);
		if (dv->state == DRAIN_VM_WAITING)
			assert_true(alone);
		if (dv->state == DRAIN_VM_BLOCKED && beside)
			fail_msg("%s is blocked (%s), and there is a host for it", dv->name,
			         dv->reason);
		if (dv->state == DRAIN_VM_BLOCKED && !alone)
			assert_string_equal(drain_proof_name(dv->proof), "alone");
	}
	plan_deinit(&full);
}

/* drover capacity says yes where the drain has a place for each, never yes where a guest is proved to have
 * none, and never no where all have one. */
static void check_capacity(struct core_world *world, const struct reply *reply, size_t placed)
{
	const struct node *node = fleet_find_node(world->fleet, "host1");
	struct capacity_answer answer;
	bool proved = false;
	struct capacity c;

	for (size_t i = 0; i < reply->plan->n_vms; i++)
		proved |= reply->plan->vms[i].state == DRAIN_VM_BLOCKED &&
		          strcmp(drain_proof_name(reply->plan->vms[i].proof), "none") != 0;
	capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
	answer = capacity_ask_drain(&c, &node, 1);
	if (proved && answer.verdict == PACKING_YES)
		fail_msg("capacity says yes, and a guest is proved to have no place");
	if (placed == reply->plan->n_vms && answer.verdict != PACKING_YES)
		fail_msg("capacity says %s (%s), and the drain has a place for each",
		         capacity_verdict_name(answer.verdict), answer.reason);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
}

/* drover place, for a guest like one that there is, says of each host what the plan says. */
static void check_place(struct core_world *world, const struct reply *reply)
{
	for (size_t i = 0; i < reply->plan->n_vms; i++) {
		const struct vm *vm = fleet_find_vm(world->fleet, reply->plan->vms[i].uuid);
		const struct sighting *home = fleet_find_sighting(vm, vm->node);
		struct capacity_place *places;
		struct capacity c;
		size_t count;

		capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
		places = capacity_list_places(&c, vm_state_need_bytes(&home->state),
		                              home->state.vcpus, vm, &count);
		for (size_t p = 0; p < count; p++) {
			const struct plan_node *node = &c.plan.nodes[places[p].node->plan_index];
			enum plan_refusal why = plan_judge(world->fleet, node, vm, true,
			                                   world->now_ms, NULL);

			if (why != PLAN_IS_SOURCE)
				assert_int_equal(places[p].why, why);
		}
		free(places);
		capacity_deinit(&c);
	}
}

static void test_drains_and_hosts_agree(void **state)
{
	size_t placed = 0, blocked = 0, whole = 0;

	(void)state;
	for (unsigned fleet = 0; fleet < FLEETS; fleet++) {
		unsigned seed = fleet + 1;
		struct core_world *world = draw_fleet(&seed, fleet % 3 == 0);
		const struct reply *reply = offers_ask(world);
		size_t n = check_places(world, reply);

		check_blocked(world, reply);
		check_capacity(world, reply, n);
		check_place(world, reply);
		placed += n;
		blocked += reply->plan->n_vms - n;
		whole += n == reply->plan->n_vms;
		core_world_free(world);
	}
	/* All of it is looked at. */
	assert_true(whole > FLEETS / 20);
	assert_true(placed > 2 * FLEETS);
	assert_true(blocked > 2 * FLEETS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drains_and_hosts_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
