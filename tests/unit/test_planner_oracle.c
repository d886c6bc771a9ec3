/* SPDX-License-Identifier: Apache-2.0 */
/* The planner beside an oracle that tries everything (P15): is there a placement at all, and how long is
 * the best schedule. For instances so small that everything can be tried. */
#include "tests/unit/plan_checker.h"
#include "tests/unit/plan_fixture.h"

#include "common/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PLACED  3000
#define ORDERED 150
#define MOVES   6

/* Books of its own: what is left per host, guest by guest. */
/* NOLINTNEXTLINE(misc-no-recursion): a guest deeper each time */
static bool place_all(const struct instance *in, uint32_t v, uint64_t *left, uint64_t *vcpus)
{
	const struct instance_vm *vm = &in->vms[v];

	if (v == in->n_vms)
		return true;
	if (vm->role != INSTANCE_LEAVES)
		return place_all(in, v + 1, left, vcpus);
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		bool found;

		if (h == vm->home || !in->hosts[h].open || left[h] < vm->need_bytes ||
		    vcpus[h] < vm->vcpus || !instance_allows(in, vm->class_id, h) ||
		    (vm->target != INSTANCE_NONE && vm->target != h))
			continue;
		left[h] -= vm->need_bytes;
		vcpus[h] -= vm->vcpus;
		found = place_all(in, v + 1, left, vcpus);
		left[h] += vm->need_bytes;
		vcpus[h] += vm->vcpus;
		if (found)
			return true;
	}
	return false;
}

static bool is_possible(const struct instance *in)
{
	uint64_t left[16], vcpus[16];

	for (uint32_t h = 0; h < in->n_hosts; h++) {
		left[h] = in->hosts[h].free_bytes[0];
		vcpus[h] = in->hosts[h].vcpu_room == UINT64_MAX ? UINT64_MAX / 2
		                                                : in->hosts[h].vcpu_room;
	}
	for (uint32_t v = 0; v < in->n_vms; v++) {
		if (in->vms[v].role != INSTANCE_LEAVES)
			continue;
		left[in->vms[v].home] += in->vms[v].need_bytes;
		vcpus[in->vms[v].home] += in->vms[v].vcpus;
	}
	return place_all(in, 0, left, vcpus);
}

/* A guest has no place if and only if there is no placement of all. */
static void test_every_placement(void **state)
{
	const struct plan_kinds kinds = {
		.hosts = 4, .vms = 10, .tight = true, .vcpus = true, .classes = true, .pins = true
	};
	size_t possible = 0, impossible = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= PLACED; seed++) {
		struct placement placement;
		struct instance in;
		bool truth;

		plan_fixture_random(&in, &kinds, seed * 31);
		truth = is_possible(&in);
		place_make(&in, seed, 20000, &placement);
		if (truth != (placement.n_blocked == 0))
			fail_msg("seed %llu: a placement of all %s, and %u are blocked",
			         (unsigned long long)seed, truth ? "exists" : "does not exist",
			         placement.n_blocked);
		possible += truth;
		impossible += !truth;
		placement_deinit(&placement);
		instance_deinit(&in);
	}
	print_message("%zu possible, %zu impossible\n", possible, impossible);
	assert_true(possible > PLACED / 10 && impossible > PLACED / 10);
}

/* The shortest of the schedules of all orders. */
/* NOLINTNEXTLINE(misc-no-recursion): a guest deeper each time */
static double try_orders(const struct instance *in, const uint32_t *targets, uint32_t *rank,
                         uint32_t n, enum schedule_rates rates, double best)
{
	struct schedule_options options = { .order = SCHEDULE_GIVEN, .rates = rates, .rank = rank };
	struct schedule s;

	if (n == in->n_vms) {
		schedule_make(in, targets, &options, &s);
		if (!s.n_stuck && s.makespan_s < best)
			best = s.makespan_s;
		schedule_deinit(&s);
		return best;
	}
	for (uint32_t i = 0; i < in->n_vms; i++) {
		if (rank[i] != INSTANCE_NONE)
			continue;
		rank[i] = n;
		best = try_orders(in, targets, rank, n + 1, rates, best);
		rank[i] = INSTANCE_NONE;
	}
	return best;
}

/* Of few moves: at most a tenth longer than the best order of all. */
static void test_every_order(void **state)
{
	const struct plan_kinds kinds = { .hosts = 4, .vms = MOVES };
	const enum schedule_rates rates[] = { SCHEDULE_RESERVED, SCHEDULE_SHORTEST };
	double worst = 1, sum = 0;
	size_t n = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= ORDERED; seed++) {
		struct planner_options options = { .seed = seed,
			                           .rates = rates[seed % 2],
			                           .effort = 5000 };
		uint32_t rank[MOVES + 1];
		struct planner_plan plan;
		struct instance in;
		double best;

		plan_fixture_random(&in, &kinds, seed * 17);
		for (uint32_t v = 0; v < in.n_vms; v++) {
			in.vms[v].role = INSTANCE_LEAVES;
			rank[v] = INSTANCE_NONE;
		}
		planner_make(&in, &options, &plan);
		if (!plan.n_proofs && plan.schedule.n_moves > 1 && !plan.schedule.n_detours) {
			best = try_orders(&in, plan.placement.targets, rank, 0, options.rates,
			                  INFINITY);
			if (plan.schedule.makespan_s > worst * best)
				worst = plan.schedule.makespan_s / best;
			sum += plan.schedule.makespan_s / best;
			n++;
		}
		planner_plan_deinit(&plan);
		instance_deinit(&in);
	}
	print_message("%zu plans, to the best order: mean %.4f, max %.4f\n", n, sum / (double)n,
	              worst);
	assert_true(n > ORDERED / 4 && worst <= 1.1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_placement),
		cmocka_unit_test(test_every_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
