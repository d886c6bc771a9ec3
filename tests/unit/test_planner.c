/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's decisions, one by one, on instances small enough to see through. Links carry 1000 a
 * second, each move takes 2 s more. */
#include "tests/unit/plan_checker.h"
#include "tests/unit/plan_fixture.h"

#include "common/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void plan(const struct instance *in, struct planner_plan *ret_plan)
{
	struct planner_options options = { .seed = 1, .effort = 20000 };
	const char *wrong;

	planner_make(in, &options, ret_plan);
	wrong = plan_check(in, ret_plan, options.rates);
	for (uint32_t i = 0; !wrong && i < ret_plan->n_proofs; i++)
		wrong = plan_check_proof(in, ret_plan, &ret_plan->proofs[i]);
	if (wrong)
		fail_msg("%s", wrong);
}

/* Of hosts that are alike but for what they hold, the emptier one is taken. */
static void test_the_emptier_host_is_taken(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 3, 1000, 1);
	in.hosts[1].free_bytes[0] = 400;
	plan_fixture_vm(&in, 0, 0, 100, INSTANCE_LEAVES, INSTANCE_NONE);
	plan(&in, &p);
	assert_int_equal(p.placement.targets[0], 2);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* From one source the long move goes first, and the short ones beside it, not behind it. */
static void test_long_and_short_together(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 4, 100000, 4);
	in.hosts[0].open = false;
	plan_fixture_vm(&in, 0, 0, 2000, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 1, 0, 9000, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 2, 0, 1000, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 3, 0, 3000, INSTANCE_LEAVES, INSTANCE_NONE);
	plan(&in, &p);
	assert_int_equal(p.schedule.n_moves, 4);
	/* 15 s of bytes, and the seconds before the first ones. */
	assert_true(p.schedule.makespan_s < 17.01);
	/* The long one is not the last to begin. */
	assert_true(p.schedule.moves[0].vm == 1 || p.schedule.moves[1].vm == 1);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Two full hosts change guests by way of a third: one detour, the cheaper guest's. */
static void test_a_cycle_takes_one_detour(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 3, 0, 2);
	in.hosts[2].free_bytes[0] = 100;
	plan_fixture_vm(&in, 0, 0, 90, INSTANCE_LEAVES, 1);
	plan_fixture_vm(&in, 1, 1, 80, INSTANCE_LEAVES, 0);
	in.hosts[1].free_bytes[0] = 10;
	plan(&in, &p);
	assert_int_equal(p.schedule.n_detours, 1);
	assert_int_equal(p.schedule.n_moves, 3);
	assert_int_equal(p.schedule.moves[0].vm, 1);
	assert_int_equal(p.schedule.moves[0].to, 2);
	assert_true(p.schedule.moves[0].detour);
	/* Who comes in waits for who leaves. */
	assert_int_equal(p.schedule.moves[1].n_after, 1);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Without the third they never can, and that is proved. */
static void test_a_cycle_without_a_way_out(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 3, 0, 2);
	plan_fixture_vm(&in, 0, 0, 90, INSTANCE_LEAVES, 1);
	plan_fixture_vm(&in, 1, 1, 90, INSTANCE_LEAVES, 0);
	plan(&in, &p);
	assert_int_equal(p.schedule.n_moves, 0);
	assert_int_equal(p.n_proofs, 2);
	assert_int_equal(p.proofs[0].kind, PROOF_CYCLE);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* A chain needs no detour: it waits for its end to move on. */
static void test_a_chain_waits(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 4, 0, 3);
	in.hosts[3].free_bytes[0] = 90;
	plan_fixture_vm(&in, 0, 0, 90, INSTANCE_LEAVES, 1);
	plan_fixture_vm(&in, 1, 1, 90, INSTANCE_LEAVES, 2);
	plan_fixture_vm(&in, 2, 2, 90, INSTANCE_LEAVES, 3);
	plan(&in, &p);
	assert_int_equal(p.schedule.n_moves, 3);
	assert_int_equal(p.schedule.n_detours, 0);
	assert_int_equal(p.schedule.moves[0].vm, 2);
	assert_int_equal(p.schedule.moves[2].vm, 0);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Three of 60 have two places in 2 x 100, though 180 are less than 200: that is what the proof counts. */
static void test_places_are_counted(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 3, 100, 3);
	in.hosts[0].open = false;
	for (uint32_t v = 0; v < 3; v++)
		plan_fixture_vm(&in, v, 0, 60, INSTANCE_LEAVES, INSTANCE_NONE);
	plan(&in, &p);
	assert_int_equal(p.schedule.n_moves, 2);
	assert_int_equal(p.n_proofs, 1);
	assert_int_equal(p.proofs[0].kind, PROOF_COUNT);
	assert_int_equal(p.proofs[0].needed, 3);
	assert_int_equal(p.proofs[0].available, 2);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Too large for every host: the one that lacks least is named, with how much. */
static void test_alone_and_too_large(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 3, 100, 1);
	in.hosts[2].free_bytes[0] = 150;
	plan_fixture_vm(&in, 0, 0, 170, INSTANCE_LEAVES, INSTANCE_NONE);
	plan(&in, &p);
	assert_int_equal(p.n_proofs, 1);
	assert_int_equal(p.proofs[0].kind, PROOF_ALONE);
	assert_int_equal(p.proofs[0].host, 2);
	assert_int_equal(p.proofs[0].missing, 20);
	assert_int_equal(p.proofs[0].checks[ROOM_MEMORY], 2);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* A certificate that is not true does not verify: the verifier is no rubber stamp. */
static void test_a_false_proof_is_caught(void **state)
{
	struct planner_plan p = { 0 };
	struct proof lie = { .kind = PROOF_ALONE, .host = INSTANCE_NONE };
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 2, 100, 1);
	plan_fixture_vm(&in, 0, 0, 50, INSTANCE_LEAVES, INSTANCE_NONE);
	assert_non_null(plan_check_proof(&in, &p, &lie));
	lie.kind = PROOF_SUM;
	lie.least = 1;
	assert_non_null(plan_check_proof(&in, &p, &lie));
	lie.kind = PROOF_COUNT;
	assert_non_null(plan_check_proof(&in, &p, &lie));
	instance_deinit(&in);
}

/* Nor does a plan that overfills a host, or a link, or forgets a guest. */
static void test_a_bad_plan_is_caught(void **state)
{
	struct schedule_move moves[2] = {
		{ .vm = 0, .from = 0, .to = 1, .send_s = 2, .end_s = 10, .bytes = 60 },
		{ .vm = 1, .from = 0, .to = 1, .send_s = 2, .end_s = 10, .bytes = 60 },
	};
	struct planner_plan p = { .schedule = { .moves = moves, .n_moves = 2 } };
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 2, 100, 2);
	for (uint32_t v = 0; v < 2; v++)
		plan_fixture_vm(&in, v, 0, 60, INSTANCE_LEAVES, INSTANCE_NONE);
	assert_non_null(plan_check(&in, &p, SCHEDULE_SHORTEST));
	in.hosts[1].free_bytes[0] = 120;
	assert_null(plan_check(&in, &p, SCHEDULE_SHORTEST));
	moves[0].bytes = 9000;
	assert_non_null(plan_check(&in, &p, SCHEDULE_SHORTEST));
	p.schedule.n_moves = 1;
	moves[0].bytes = 60;
	assert_non_null(plan_check(&in, &p, SCHEDULE_SHORTEST));
	instance_deinit(&in);
}

/* Room is made by others of the plan: what was placed first goes elsewhere when another has no choice. */
static void test_others_make_way(void **state)
{
	struct planner_plan p;
	struct instance in;
	uint32_t id;

	(void)state;
	plan_fixture_init(&in, 4, 100, 3);
	in.hosts[0].open = false;
	in.hosts[3].free_bytes[0] = 60;
	id = instance_add_class(&in);
	instance_forbid(&in, id, 3);
	plan_fixture_vm(&in, 0, 0, 55, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 1, 0, 100, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 2, 0, 90, INSTANCE_LEAVES, INSTANCE_NONE);
	in.vms[2].class_id = id;
	plan(&in, &p);
	assert_int_equal(p.n_proofs, 0);
	assert_int_equal(p.placement.targets[0], 3);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Guests apart go to different hosts, guests together to one that has room for all. */
static void test_groups_are_kept(void **state)
{
	const uint32_t apart[] = { 0, 1 }, together[] = { 2, 3 };
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 4, 100, 4);
	in.hosts[0].open = false;
	in.hosts[3].free_bytes[0] = 300;
	plan_fixture_vm(&in, 0, 0, 10, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 1, 0, 10, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 2, 0, 90, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 3, 0, 90, INSTANCE_LEAVES, INSTANCE_NONE);
	instance_add_group(&in, INSTANCE_APART, true, apart, 2);
	instance_add_group(&in, INSTANCE_TOGETHER, true, together, 2);
	instance_index(&in);
	plan(&in, &p);
	assert_int_equal(p.n_proofs, 0);
	assert_int_equal(p.placement.targets[2], 3);
	assert_int_equal(p.placement.targets[3], 3);
	assert_int_not_equal(p.placement.targets[0], p.placement.targets[1]);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Who wishes for a host goes there as long as there is room, though others would be done sooner and
 * others want it, too; then elsewhere, and nobody is left without a place for it. */
static void test_wishes_of_hosts(void **state)
{
	const uint32_t wishing[] = { 1, 2, 3 };
	struct planner_plan p;
	struct instance in;
	uint32_t wished, there = 0;

	(void)state;
	plan_fixture_init(&in, 4, 100, 5);
	in.hosts[0].open = false;
	wished = instance_add_class(&in);
	for (uint32_t h = 0; h < 3; h++)
		instance_forbid(&in, wished, h);
	plan_fixture_vm(&in, 0, 0, 90, INSTANCE_LEAVES, INSTANCE_NONE);
	for (uint32_t v = 1; v < 5; v++)
		plan_fixture_vm(&in, v, 0, 40, INSTANCE_LEAVES, INSTANCE_NONE);
	instance_add_wish(&in, wished, wishing, 3);
	instance_index(&in);
	plan(&in, &p);
	assert_int_equal(p.placement.n_blocked, 0);
	for (uint32_t v = 0; v < 5; v++)
		there += p.placement.targets[v] == 3 && v > 0 && v < 4;
	assert_int_equal(there, 2);
	assert_int_not_equal(p.placement.targets[0], 3);
	assert_int_not_equal(p.placement.targets[4], 3);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Where nothing fits but one way, wishes are dropped of those that it concerns, and of nobody else. */
static void test_wishes_give_way(void **state)
{
	const uint32_t wishing[] = { 0, 1 };
	struct planner_plan p;
	struct instance in;
	uint32_t wished;

	(void)state;
	plan_fixture_init(&in, 3, 100, 3);
	in.hosts[0].open = false;
	in.hosts[1].free_bytes[0] = 60;
	wished = instance_add_class(&in);
	instance_forbid(&in, wished, 0);
	instance_forbid(&in, wished, 1);
	plan_fixture_vm(&in, 0, 0, 60, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 1, 0, 30, INSTANCE_LEAVES, INSTANCE_NONE);
	plan_fixture_vm(&in, 2, 0, 70, INSTANCE_LEAVES, INSTANCE_NONE);
	instance_add_wish(&in, wished, wishing, 2);
	instance_index(&in);
	plan(&in, &p);
	assert_int_equal(p.placement.n_blocked, 0);
	assert_int_equal(p.placement.targets[2], 2);
	assert_int_equal(p.placement.targets[0], 1);
	assert_int_equal(p.placement.targets[1], 2);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* What runs keeps its destination, its room and its slot, past its switchover or not. */
static void test_what_runs_runs_on(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 3, 100, 2);
	in.slots = 1;
	plan_fixture_vm(&in, 0, 0, 60, INSTANCE_RUNNING, 1);
	in.hosts[1].free_bytes[0] = 40;
	in.vms[0].switched = true;
	plan_fixture_vm(&in, 1, 0, 60, INSTANCE_LEAVES, INSTANCE_NONE);
	plan(&in, &p);
	assert_int_equal(p.schedule.n_moves, 2);
	assert_int_equal(p.schedule.moves[0].vm, 0);
	assert_true(p.schedule.moves[0].running);
	assert_int_equal(p.schedule.moves[0].to, 1);
	assert_int_equal(p.schedule.moves[1].to, 2);
	assert_true(p.schedule.moves[1].start_s >= p.schedule.moves[0].end_s);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Who is more urgent goes first, whatever its size. */
static void test_priorities(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 2, 100000, 3);
	in.slots = 1;
	for (uint32_t v = 0; v < 3; v++)
		plan_fixture_vm(&in, v, 0, 5000 * (v + 1), INSTANCE_LEAVES, INSTANCE_NONE);
	in.vms[1].priority = 2;
	plan(&in, &p);
	assert_int_equal(p.schedule.moves[0].vm, 1);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Who waits for a slot prepares meanwhile: only the first takes the time for that. */
static void test_what_waits_is_prepared(void **state)
{
	struct planner_plan p;
	struct instance in;
	double together;

	(void)state;
	plan_fixture_init(&in, 2, 100000, 4);
	in.slots = 1;
	for (uint32_t v = 0; v < 4; v++)
		plan_fixture_vm(&in, v, 0, 5000, INSTANCE_LEAVES, INSTANCE_NONE);
	plan(&in, &p);
	together = p.schedule.makespan_s;
	planner_plan_deinit(&p);
	for (uint32_t v = 0; v < 4; v++)
		in.vms[v].prepare_s = 0.5;
	plan(&in, &p);
	assert_true(together > 27.9 && fabs(together - p.schedule.makespan_s - 3 * 0.5) < 1e-6);
	assert_true(p.schedule.makespan_s >= p.bounds.all_s);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Two ports: two moves of RAM at a time, or one that copies disks. */
static void test_ports_are_a_pool(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 2, 100000, 2);
	in.hosts[1].ports = 2;
	for (uint32_t v = 0; v < 2; v++) {
		plan_fixture_vm(&in, v, 0, 5000, INSTANCE_LEAVES, INSTANCE_NONE);
		in.vms[v].ports = 2;
	}
	plan(&in, &p);
	assert_true(p.schedule.moves[1].start_s >= p.schedule.moves[0].end_s);
	assert_true(p.bounds.caps_s >= 14);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* Hugepages are another pool than ordinary memory. */
static void test_hugepages(void **state)
{
	struct planner_plan p;
	struct instance in;

	(void)state;
	plan_fixture_init(&in, 3, 1000, 1);
	in.hosts[2].free_bytes[0] = 50;
	in.hosts[2].free_bytes[1] = 100;
	plan_fixture_vm(&in, 0, 0, 100, INSTANCE_LEAVES, INSTANCE_NONE);
	in.vms[0].pool = 1;
	in.vms[0].overhead_bytes = 20;
	plan(&in, &p);
	assert_int_equal(p.placement.targets[0], 2);
	planner_plan_deinit(&p);
	instance_deinit(&in);
}

/* --- how links are shared --- */

/* Guest 0 of 10 s and guest 1 of @other_s leave host 0 and @other for 2, guest 2 of 50 s host 0 for 3. */
static void make_sharing(struct instance *in, uint32_t other, unsigned other_s, unsigned third_s)
{
	plan_fixture_init(in, 4, 1000000, 3);
	plan_fixture_vm(in, 0, 0, 10000, INSTANCE_LEAVES, 2);
	plan_fixture_vm(in, 1, other, other_s * 1000, other_s ? INSTANCE_LEAVES : INSTANCE_STAYS,
	                2);
	plan_fixture_vm(in, 2, 0, third_s * 1000, third_s ? INSTANCE_LEAVES : INSTANCE_STAYS, 3);
}

static void must_end(const struct instance *in, enum schedule_rates rates, const double *ends_s)
{
	struct planner_options options = { .seed = 1, .rates = rates };
	struct planner_plan p;

	planner_make(in, &options, &p);
	assert_null(plan_check(in, &p, rates));
	for (uint32_t m = 0; m < p.schedule.n_moves; m++) {
		const struct schedule_move *move = &p.schedule.moves[m];

		if (fabs(move->end_s - ends_s[move->vm]) > 0.001)
			fail_msg("guest %u ends at %.3f s, not at %.3f", move->vm, move->end_s,
			         ends_s[move->vm]);
	}
	planner_plan_deinit(&p);
}

/* Whom agents know nothing of, TCP gives as much as theirs: the shorter one does not go first. */
static void test_a_destination_is_shared(void **state)
{
	static const double ends_s[] = { 22, 42 };
	struct instance in;

	(void)state;
	make_sharing(&in, 1, 30, 0);
	must_end(&in, SCHEDULE_SHORTEST, ends_s);
	must_end(&in, SCHEDULE_FAIR, ends_s);
	instance_deinit(&in);
}

/* An agent holds the longer one at a tenth of its link, not for longer than it may, and if it can tell. */
static void test_the_shortest_of_a_source_goes_first(void **state)
{
	static const double shared_s[] = { 22, 0, 62 }, ends_s[] = { 2 + 10 / .9, 0, 62 };
	struct instance in;

	(void)state;
	make_sharing(&in, 1, 0, 50);
	must_end(&in, SCHEDULE_SHORTEST, ends_s);
	must_end(&in, SCHEDULE_FAIR, shared_s);
	in.hosts[0].lanes = false;
	must_end(&in, SCHEDULE_SHORTEST, shared_s);
	in.hosts[0].lanes = true;
	/* A limit that a person has set is not touched; here it leaves room for the others. */
	in.vms[2].limit_bytes_per_s = 500;
	must_end(&in, SCHEDULE_SHORTEST, (const double[]){ 22, 0, 102 });
	in.vms[2].limit_bytes_per_s = 0;
	/* Twice the five seconds that it would need alone, by what it has in all. */
	in.vms[2].need_bytes = 2500;
	must_end(&in, SCHEDULE_SHORTEST, (const double[]){ 2 + 5 + 5.5 / .5, 0, 62 });
	instance_deinit(&in);
}

/* Both at once: what the shared destination leaves of the source's link its agent does not give away. */
static void test_a_held_one_does_not_get_the_rest(void **state)
{
	static const double ends_s[] = { 22, 42, 70 };
	struct instance in;

	(void)state;
	make_sharing(&in, 1, 30, 50);
	must_end(&in, SCHEDULE_SHORTEST, ends_s);
	instance_deinit(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_emptier_host_is_taken),
		cmocka_unit_test(test_long_and_short_together),
		cmocka_unit_test(test_a_cycle_takes_one_detour),
		cmocka_unit_test(test_a_cycle_without_a_way_out),
		cmocka_unit_test(test_a_chain_waits),
		cmocka_unit_test(test_places_are_counted),
		cmocka_unit_test(test_alone_and_too_large),
		cmocka_unit_test(test_a_false_proof_is_caught),
		cmocka_unit_test(test_a_bad_plan_is_caught),
		cmocka_unit_test(test_others_make_way),
		cmocka_unit_test(test_groups_are_kept),
		cmocka_unit_test(test_wishes_of_hosts),
		cmocka_unit_test(test_wishes_give_way),
		cmocka_unit_test(test_what_runs_runs_on),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_what_waits_is_prepared),
		cmocka_unit_test(test_ports_are_a_pool),
		cmocka_unit_test(test_hugepages),
		cmocka_unit_test(test_a_destination_is_shared),
		cmocka_unit_test(test_the_shortest_of_a_source_goes_first),
		cmocka_unit_test(test_a_held_one_does_not_get_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
