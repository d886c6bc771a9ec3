/* SPDX-License-Identifier: Apache-2.0 */
/* What can be drained: answers, counter-examples, what helps, sets, and amounts of room. */
#include "coordinator/core/capacity/capacity.h"

#include "agent/kernel/overhead.h"
#include "common/units.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const two[] = { "web1", "web2" };
static const char *const three[] = { "db1", "db2", "db3" };

/* 272 MiB each; 64 MiB of each host are reserved. */
static struct core_world *three_hosts(uint64_t host2_mib, uint64_t host3_mib)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, two, 2);
	core_world_host(world, "host2", host2_mib, three, 3);
	core_world_host(world, "host3", host3_mib, NULL, 0);
	return world;
}

static struct capacity_answer ask(struct core_world *world, struct capacity *c, const char *a,
                                  const char *b)
{
	const struct node *nodes[2] = { fleet_find_node(world->fleet, a),
		                        b ? fleet_find_node(world->fleet, b) : NULL };

	capacity_init(c, world->fleet, world->now_ms, CAPACITY_STEPS);
	return capacity_ask_drain(c, nodes, b ? 2 : 1);
}

static void ask_node(struct core_world *world, enum event_kind kind, const char *name)
{
	struct event e = { .kind = kind, .request = 3 };

	e.node.node = name;
	e.node.reason = "";
	core_world_step(world, &e);
}

/* A yes names a place for each guest, none of them on the hosts that are emptied. */
static void test_yes_has_places(void **state)
{
	struct core_world *world = three_hosts(2048, 2048);
	struct capacity c;
	struct capacity_answer answer = ask(world, &c, "host1", "host2");

	(void)state;
	assert_int_equal(answer.verdict, PACKING_YES);
	assert_int_equal(answer.n_guests, 5);
	assert_int_equal(answer.need_bytes, 5 * 272 * MIB);
	for (size_t i = 0; i < answer.n_guests; i++)
		assert_string_equal(answer.guests[i].target->kept.name, "host3");
	assert_false(answer.by_hand);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_free(world);
}

/* A guest too large for every other host: it is named, with what each host lacks, and freeing as much
 * as is said lets it go, less by a MiB does not. */
static void test_no_place(void **state)
{
	struct core_world *world = three_hosts(1024, 300);
	struct capacity c;
	struct capacity_remedy *remedies;
	struct capacity_answer answer = ask(world, &c, "host1", NULL);
	size_t n;

	(void)state;
	/* host2: 1024 - 64 - 816 = 144 MiB; host3: 236 MiB */
	assert_int_equal(answer.verdict, PACKING_NO);
	assert_int_equal(answer.proof.proof, PACKING_NO_PLACE);
	assert_string_equal(answer.reason,
	                    "web1 (272 MiB) has no place: host2 128 MiB short of memory, host3 36 "
	                    "MiB short of memory");
	assert_int_equal(answer.n_places, 2);
	assert_int_equal(answer.places[1].missing_bytes, 36 * MIB);
	n = capacity_find_remedies(&c, &answer, 5, &remedies);
	/* host3 is too small for both even when it is empty; host2 has 816 MiB that could be freed. */
	assert_int_equal(n, 1);
	assert_string_equal(remedies[0].text, "free 400 MiB on host2");
	free(remedies);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);

	core_world_figures(world, "host2", 1024, 816 - 399);
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_NO);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_figures(world, "host2", 1024, 816 - 400);
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_YES);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_free(world);
}

/* A cordoned host with room is the first thing that would help, and it does. */
static void test_uncordon_helps(void **state)
{
	struct core_world *world = three_hosts(1024, 2048);
	struct capacity c;
	struct capacity_remedy *remedies;
	struct capacity_answer answer;
	size_t n;

	(void)state;
	ask_node(world, EVENT_CORDON, "host3");
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_NO);
	assert_non_null(strstr(answer.reason, "host3 cordoned"));
	n = capacity_find_remedies(&c, &answer, 5, &remedies);
	assert_true(n >= 1);
	assert_string_equal(remedies[0].text, "uncordon host3");
	free(remedies);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	ask_node(world, EVENT_UNCORDON, "host3");
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_YES);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_free(world);
}

/* A guest that cannot move makes a no of its host, with the guest and its own reason. */
static void test_unmovable(void **state)
{
	struct core_world *world = three_hosts(2048, 2048);
	struct check check = { .id = "hostdev", .verdict = CHECK_BLOCK };
	struct vm_state vm = core_world_vm("web2", 256);
	struct capacity c;
	struct capacity_remedy *remedies;
	struct capacity_answer answer;
	struct capacity_largest largest;

	(void)state;
	strcpy(check.measured, "PCI 0000:3b:00.0");
	strcpy(check.remedy, "detach it");
	checks_add(&vm.blockers, &check);
	core_world_see(world, "host1", &vm);
	checks_deinit(&vm.blockers);
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_NO);
	assert_true(answer.unmovable);
	assert_string_equal(answer.guest->name, "web2");
	assert_int_equal(capacity_find_remedies(&c, &answer, 5, &remedies), 1);
	assert_string_equal(remedies[0].text, "web2: detach it");
	free(remedies);
	capacity_answer_deinit(&answer);
	largest = capacity_find_largest(&c);
	assert_int_equal(largest.barred, 1);
	assert_int_equal(largest.answer.n_nodes, 2);
	capacity_answer_deinit(&largest.answer);
	capacity_deinit(&c);
	core_world_free(world);
}

/* A host that nobody hears from cannot be emptied, whatever room there is. */
static void test_silent_host(void **state)
{
	struct core_world *world = three_hosts(2048, 2048);
	struct capacity c;
	struct capacity_answer answer;

	(void)state;
	core_world_lose(world, "host1");
	core_world_wait(world, 15);
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_NO);
	assert_string_equal(answer.reason, "host1 cannot be reached: nobody can move its guests");
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_free(world);
}

/* A guest that a destination has refused does not go there on paper, either. */
static void test_refusal_counts(void **state)
{
	struct core_world *world = core_world_new();
	struct check check = { .id = "cpu", .verdict = CHECK_FAIL };
	struct capacity c;
	struct capacity_answer answer;

	(void)state;
	core_world_host(world, "host1", 4096, two, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_YES);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_migrate(world, "web1", "host2");
	core_world_report(world, 1, MIGRATION_FAILED, &check);
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.verdict, PACKING_NO);
	assert_int_equal(answer.proof.proof, PACKING_NO_PLACE);
	assert_int_equal(answer.places[0].why, PLAN_REFUSED);
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_free(world);
}

/* What leaves already needs no place; what is allowed to stay neither. */
static void test_on_the_way_out(void **state)
{
	struct core_world *world = three_hosts(2048, 2048);
	struct capacity c;
	struct capacity_answer answer;

	(void)state;
	core_world_migrate(world, "web1", "host3");
	answer = ask(world, &c, "host1", NULL);
	assert_int_equal(answer.n_guests, 1);
	assert_string_equal(answer.guests[0].vm->name, "web2");
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	core_world_free(world);
}

/* The largest set is the true one: as trying each of the sets says, over random fleets. */
static void test_largest_is_exact(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct core_world *world = core_world_new();
		const struct node *nodes[5];
		struct capacity c;
		struct capacity_largest largest;
		size_t best = 0;

		for (int h = 0; h < 5; h++) {
			char name[16];

			snprintf(name, sizeof(name), "host%d", h + 1);
			core_world_host(world, name, 2048, NULL, 0);
			for (int g = 0; g < 3; g++) {
				struct vm_state vm;
				char guest[16];

				seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
				snprintf(guest, sizeof(guest), "g%d%d", h, g);
				vm = core_world_vm(guest, 64 + (seed >> 33) % 500);
				core_world_see(world, name, &vm);
			}
		}
		for (int h = 0; h < 5; h++) {
			uint64_t mib = 0;
			char name[16];

			snprintf(name, sizeof(name), "host%d", h + 1);
			nodes[h] = fleet_find_node(world->fleet, name);
			for (struct sighting *s = nodes[h]->sightings; s; s = s->next)
				mib += vm_state_need_bytes(&s->state) / MIB;
			core_world_figures(world, name, 2048, mib);
		}
		capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
		for (unsigned set = 0; set < 32; set++) {
			const struct node *members[5];
			struct capacity_answer answer;
			size_t n = 0;

			for (unsigned h = 0; h < 5; h++) {
				if (set & 1u << h)
					members[n++] = nodes[h];
			}
			answer = capacity_ask_drain(&c, members, n);
			assert_int_not_equal(answer.verdict, PACKING_UNKNOWN);
			if (answer.verdict == PACKING_YES && n > best)
				best = n;
			capacity_answer_deinit(&answer);
		}
		largest = capacity_find_largest(&c);
		assert_true(largest.exact);
		assert_int_equal(largest.answer.n_nodes, best);
		assert_int_equal(largest.answer.verdict, PACKING_YES);
		capacity_answer_deinit(&largest.answer);
		capacity_deinit(&c);
		core_world_free(world);
	}
}

/* The rule of thumb's figures, room for guests of a size, and where one would go. */
static void test_amounts(void **state)
{
	struct core_world *world = three_hosts(2048, 1024);
	struct capacity c;
	struct capacity_place *places;
	const struct node *fullest;
	uint64_t bytes, spare;
	size_t n;

	(void)state;
	capacity_init(&c, world->fleet, world->now_ms, CAPACITY_STEPS);
	spare = capacity_get_spare(&c, &fullest, &bytes);
	assert_string_equal(fullest->kept.name, "host2");
	assert_int_equal(bytes, 816 * MIB);
	assert_int_equal(spare, (4096 - 64 - 544 + 2048 - 64 - 816 + 1024 - 64) * MIB);
	places = capacity_list_places(&c, 1000 * MIB, 4, NULL, &n);
	assert_int_equal(n, 3);
	assert_string_equal(places[0].node->kept.name, "host1");
	assert_int_equal(places[2].why, PLAN_NO_MEMORY);
	assert_int_equal(places[2].missing_bytes, 40 * MIB);
	assert_string_equal(places[2].reason, "host3 40 MiB short of memory");
	free(places);
	for (size_t i = 0; i < c.plan.count; i++) {
		if (strcmp(c.plan.nodes[i].node->kept.name, "host3") == 0)
			assert_int_equal(capacity_count_room(&c.plan.nodes[i], 300 * MIB, 1), 3);
	}
	capacity_deinit(&c);
	core_world_free(world);
}

/* Of a host that would do, but is not chosen, it is said which one is and why. */
static void test_choice_is_explained(void **state)
{
	struct core_world *world = three_hosts(2048, 1024);
	const struct vm *vm;
	struct vm *found;
	struct error err;
	char text[REASON_BYTES];

	(void)state;
	assert_int_equal(fleet_get_vm(world->fleet, "web1", &found, &err), 0);
	vm = found;
	assert_true(capacity_explain_choice(
		world->fleet, vm, fleet_find_node(world->fleet, "host3"), world->now_ms, text));
	assert_string_equal(text,
	                    "drover would choose host2: it keeps 896 MiB free after it, host3 "
	                    "only 688 MiB");
	assert_true(capacity_explain_choice(
		world->fleet, vm, fleet_find_node(world->fleet, "host2"), world->now_ms, text));
	assert_string_equal(text, "drover would choose host2: no other node keeps more memory free "
	                          "after it (896 MiB)");
	ask_node(world, EVENT_CORDON, "host3");
	assert_false(capacity_explain_choice(
		world->fleet, vm, fleet_find_node(world->fleet, "host3"), world->now_ms, text));
	core_world_free(world);
}

/* A guest that is nowhere yet is counted as its host's agent would count it. */
static void test_overhead_is_the_agents(void **state)
{
	(void)state;
	for (uint64_t bytes = 64 * MIB; bytes < 600 * GIB; bytes *= 3)
		assert_int_equal(capacity_guess_overhead(bytes), overhead_bytes(bytes, 16 * MIB));
}

/* Out of steps nothing is claimed. */
static void test_bounded(void **state)
{
	struct core_world *world = three_hosts(2048, 2048);
	struct capacity c;
	const struct node *node = fleet_find_node(world->fleet, "host1");
	struct capacity_answer answer;
	struct capacity_largest largest;

	(void)state;
	capacity_init(&c, world->fleet, world->now_ms, 1);
	answer = capacity_ask_drain(&c, &node, 1);
	assert_int_equal(answer.verdict, PACKING_UNKNOWN);
	assert_non_null(strstr(answer.reason, "not proved within "));
	capacity_answer_deinit(&answer);
	largest = capacity_find_largest(&c);
	assert_false(largest.exact);
	capacity_answer_deinit(&largest.answer);
	capacity_deinit(&c);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yes_has_places),
		cmocka_unit_test(test_no_place),
		cmocka_unit_test(test_uncordon_helps),
		cmocka_unit_test(test_unmovable),
		cmocka_unit_test(test_silent_host),
		cmocka_unit_test(test_refusal_counts),
		cmocka_unit_test(test_on_the_way_out),
		cmocka_unit_test(test_largest_is_exact),
		cmocka_unit_test(test_amounts),
		cmocka_unit_test(test_choice_is_explained),
		cmocka_unit_test(test_overhead_is_the_agents),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
