/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every plan, tried on many small random fleets. The numbers are those of the
 * planner's properties: rooms (P1), one place (P2), constraints (P3), caps (P4), links (P5), bounds
 * (P6, P7), determinism (P8), idempotence and replay (P9), failures (P10), detours and proofs (P11),
 * scale (P14). */
#include "tests/unit/plan_checker.h"
#include "tests/unit/plan_fixture.h"

#include "common/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sanitizers make it ten to thirty times as slow, and need no numbers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FLEETS 60
#else
#define FLEETS 600
#endif

static const struct plan_kinds kinds[] = {
	{ .hosts = 6, .vms = 16 },
	{ .hosts = 5, .vms = 14, .tight = true, .groups = true },
	{ .hosts = 8, .vms = 24, .caps = true, .pools = true, .vcpus = true },
	{ .hosts = 6, .vms = 18, .pins = true, .tight = true },
	{ .hosts = 7,
	  .vms = 24,
	  .groups = true,
	  .classes = true,
	  .pools = true,
	  .vcpus = true,
	  .caps = true,
	  .pins = true,
	  .running = true },
};

static const enum schedule_rates rates[] = { SCHEDULE_SHORTEST, SCHEDULE_FAIR, SCHEDULE_RESERVED };

struct tried {
	struct instance in;
	struct planner_options options;
	struct planner_plan plan;
	uint64_t seed;
	unsigned kind;
};

static void try(struct tried *t, unsigned kind, uint64_t seed)
{
	*t = (struct tried){ .seed = seed, .kind = kind };
	plan_fixture_random(&t->in, &kinds[kind], seed * ARRAY_SIZE(kinds) + kind);
	t->options = (struct planner_options){ .seed = seed,
		                               .effort = seed % 3 ? 3000 : 0,
		                               .rates = rates[seed % ARRAY_SIZE(rates)] };
	/* Rates that were not reserved may be more than the link. */
	if (kinds[kind].running && t->options.rates == SCHEDULE_RESERVED)
		t->options.rates = SCHEDULE_SHORTEST;
	planner_make(&t->in, &t->options, &t->plan);
}

static void done(struct tried *t)
{
	planner_plan_deinit(&t->plan);
	instance_deinit(&t->in);
}

static void must(const struct tried *t, const char *wrong)
{
	if (wrong)
		fail_msg("kind %u, seed %llu: %s", t->kind, (unsigned long long)t->seed, wrong);
}

#define FOR_EACH_FLEET(t, fleets)                                                 \
	for (unsigned kind_ = 0; kind_ < ARRAY_SIZE(kinds); kind_++)              \
		for (uint64_t seed_ = 1; seed_ <= (fleets); seed_++)              \
			for (bool once_ = (try(&(t), kind_, seed_), true); once_; \
			     once_ = (done(&(t)), false))

/* P1-P5: a sweep over the plan finds no host above its room, no guest in two places, no constraint
 * broken, no cap exceeded, no link promised twice. */
static void test_every_plan_is_valid(void **state)
{
	size_t moves = 0, blocked = 0, detours = 0;
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS)
	{
		must(&t, plan_check(&t.in, &t.plan, t.options.rates));
		moves += t.plan.schedule.n_moves;
		blocked += t.plan.n_proofs;
		detours += t.plan.schedule.n_detours;
	}
	/* The fleets are such that there is something to check. */
	assert_true(moves > 8 * FLEETS && blocked > FLEETS / 3 && detours > FLEETS / 120);
	print_message("%zu moves, %zu blocked, %zu detours\n", moves, blocked, detours);
}

/* P1: the same for any order of ends that respects what must come after what. */
static void test_late_ends_break_nothing(void **state)
{
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS)
	{
		for (uint64_t order = 1; order <= 5; order++)
			must(&t, plan_check_order(&t.in, &t.plan.schedule, order));
	}
}

/* P6: no plan beats its bounds; without dependencies it is not far above them. */
static void test_bounds_are_bounds(void **state)
{
	double worst = 0, sum = 0;
	size_t n = 0;
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS)
	{
		const struct schedule *s = &t.plan.schedule;
		uint32_t retargeted = 0, dependent = 0;
		struct bounds any;

		for (uint32_t m = 0; m < s->n_moves; m++) {
			retargeted += s->moves[m].retargeted;
			dependent += s->moves[m].n_after;
		}
		if (s->n_stuck || retargeted || s->n_detours)
			continue;
		if (s->makespan_s < t.plan.bounds.all_s * (1 - 1e-9))
			must(&t, "the makespan is below its bound");
		bounds_find(&t.in, NULL, &any);
		if (!t.plan.placement.n_blocked && s->makespan_s < any.physical_s * (1 - 1e-9))
			must(&t, "the makespan is below the bound of any placement");
		/* Equal shares of links and idle reserved ones are not what the bound is near to, nor is
		 * more running than a cap allows; and guests that dirty much on shared links send more
		 * than it counts. */
		if (t.options.rates != SCHEDULE_SHORTEST || kinds[t.kind].running || dependent ||
		    t.plan.bounds.all_s <= 0 || s->bytes > 1.01 * t.plan.bounds.bytes)
			continue;
		sum += s->makespan_s / t.plan.bounds.all_s;
		n++;
		if (s->makespan_s / t.plan.bounds.all_s > worst)
			worst = s->makespan_s / t.plan.bounds.all_s;
	}
	print_message("%zu plans, makespan / bound: mean %.3f, max %.3f\n", n, sum / (double)n,
	              worst);
	assert_true(worst <= 2);
}

/* P7: faster links or a cap less never raise the bound. */
static void test_more_never_raises_the_bound(void **state)
{
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS / 4)
	{
		struct bounds before = t.plan.bounds, after;

		for (uint32_t h = 0; h < t.in.n_hosts; h++) {
			t.in.hosts[h].out_bytes_per_s *= 1.5;
			t.in.hosts[h].in_bytes_per_s *= 1.5;
		}
		bounds_find(&t.in, t.plan.placement.targets, &after);
		if (after.all_s > before.all_s * (1 + 1e-9))
			must(&t, "faster links raise the bound");
		t.in.slots = INSTANCE_NO_LIMIT;
		before = after;
		bounds_find(&t.in, t.plan.placement.targets, &after);
		if (after.all_s > before.all_s)
			must(&t, "no cap raises the bound");
	}
}

/* P8: the same seed gives the same plan to the last bit, and other indexes the same plan by other names. */
static void test_plans_are_deterministic(void **state)
{
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS / 2)
	{
		uint32_t host_of[16], vm_of[64];
		struct planner_plan again, other;
		struct instance permuted;
		const struct schedule *s = &t.plan.schedule;

		planner_make(&t.in, &t.options, &again);
		if (again.schedule.n_moves != s->n_moves ||
		    again.schedule.makespan_s != s->makespan_s)
			must(&t, "twice is not the same");
		plan_fixture_permute(&t.in, t.seed, &permuted, host_of, vm_of);
		planner_make(&permuted, &t.options, &other);
		if (other.n_proofs != t.plan.n_proofs || other.schedule.n_moves != s->n_moves)
			must(&t, "another order of the arrays is another plan");
		for (uint32_t v = 0; v < t.in.n_vms; v++) {
			uint32_t to = t.plan.placement.targets[v];

			if (other.placement.targets[vm_of[v]] !=
			    (to == INSTANCE_NONE ? to : host_of[to]))
				must(&t, "another order of the arrays is another placement");
		}
		if (fabs(other.schedule.makespan_s - s->makespan_s) > 1e-9 * s->makespan_s)
			must(&t, "another order of the arrays is another schedule");
		planner_plan_deinit(&again);
		planner_plan_deinit(&other);
		instance_deinit(&permuted);
	}
}

/* Moves that are over by then are history, those that have begun run; the others may be planned anew. */
static void advance(const struct instance *in, const struct schedule *s, double now_s,
                    struct instance *ret_in)
{
	instance_init(ret_in, in->n_hosts, in->n_vms);
	memcpy(ret_in->hosts, in->hosts, in->n_hosts * sizeof(*in->hosts));
	memcpy(ret_in->vms, in->vms, in->n_vms * sizeof(*in->vms));
	ret_in->slots = in->slots;
	for (uint32_t c = 1; c < in->n_classes; c++)
		instance_add_class(ret_in);
	memcpy(ret_in->classes, in->classes,
	       (size_t)in->n_classes * in->words * sizeof(*in->classes));
	for (uint32_t g = 0; g < in->n_groups; g++) {
		instance_add_group(ret_in, in->groups[g].kind, in->groups[g].hard,
		                   in->groups[g].vms, in->groups[g].n_vms);
		ret_in->groups[g].class_id = in->groups[g].class_id;
	}
	for (uint32_t m = 0; m < s->n_moves; m++) {
		const struct schedule_move *move = &s->moves[m];
		struct instance_vm *vm = &ret_in->vms[move->vm];
		struct instance_host *from = &ret_in->hosts[move->from];
		struct instance_host *to = &ret_in->hosts[move->to];
		bool over = move->end_s <= now_s;

		if (move->start_s > now_s)
			continue;
		for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
			to->free_bytes[p] -= move->running ? 0 : instance_need(vm, p);
			from->free_bytes[p] += over ? instance_need(vm, p) : 0;
		}
		if (to->vcpu_room != UINT64_MAX && !move->running)
			to->vcpu_room -= vm->vcpus;
		if (from->vcpu_room != UINT64_MAX && over)
			from->vcpu_room += vm->vcpus;
		if (!over) {
			/* A prescribed end is remembered by whoever prescribed it. */
			vm->role = INSTANCE_RUNNING;
			vm->target = move->to;
			vm->work_bytes /= 2;
			continue;
		}
		vm->home = move->to;
		if (!move->detour)
			vm->role = INSTANCE_STAYS;
	}
	instance_index(ret_in);
}

/* P9: the end of a plan needs no plan; and whoever starts anew in its midst finishes. */
static void test_replay_from_any_moment(void **state)
{
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS / 2)
	{
		for (unsigned part = 1; part <= 4; part++) {
			double now_s = t.plan.schedule.makespan_s * part / 4;
			struct planner_plan rest;
			struct instance later;

			/* A cap lowered under what runs is a case of its own. */
			advance(&t.in, &t.plan.schedule, part == 4 ? now_s * 1.1 + 1 : now_s,
			        &later);
			planner_make(&later, &t.options, &rest);
			must(&t, plan_check(&later, &rest, t.options.rates));
			if (part == 4 && !t.plan.n_proofs && rest.schedule.n_moves)
				must(&t, "the end is not the end");
			planner_plan_deinit(&rest);
			instance_deinit(&later);
		}
	}
}

/* P10: any one that runs may fail: the plan of what is then is valid, and leaves what else runs alone. */
static void test_failures_leave_a_plan(void **state)
{
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS / 2)
	{
		struct planner_plan rest;
		struct instance later;
		bool failed = false;

		advance(&t.in, &t.plan.schedule, t.plan.schedule.makespan_s / 3, &later);
		for (uint32_t v = 0; v < later.n_vms && !failed; v++) {
			struct instance_vm *vm = &later.vms[v];

			if (vm->role != INSTANCE_RUNNING || vm->switched)
				continue;
			failed = true;
			for (unsigned p = 0; p < INSTANCE_POOLS; p++)
				later.hosts[vm->target].free_bytes[p] += instance_need(vm, p);
			if (later.hosts[vm->target].vcpu_room != UINT64_MAX)
				later.hosts[vm->target].vcpu_room += vm->vcpus;
			vm->role = INSTANCE_LEAVES;
			vm->target = INSTANCE_NONE;
		}
		planner_make(&later, &t.options, &rest);
		/* The sweep holds each that runs to its destination. */
		must(&t, plan_check(&later, &rest, t.options.rates));
		planner_plan_deinit(&rest);
		instance_deinit(&later);
	}
}

/* From @at back to @from over moves, and over what those who are stuck would have liked. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as told */
static bool has_cycle(const struct tried *t, uint32_t from, uint32_t at, unsigned depth)
{
	const struct schedule *s = &t->plan.schedule;

	for (uint32_t m = 0; depth && m < s->n_moves; m++) {
		if (s->moves[m].from == at &&
		    (s->moves[m].to == from || has_cycle(t, from, s->moves[m].to, depth - 1)))
			return true;
	}
	for (uint32_t i = 0; depth && i < s->n_stuck; i++) {
		uint32_t v = s->stuck[i], to = t->plan.placement.targets[v];

		if (t->in.vms[v].home == at && (to == from || has_cycle(t, from, to, depth - 1)))
			return true;
	}
	return false;
}

/* P11: who makes a detour was on a cycle of hosts; who is blocked has a certificate, and it verifies. */
static void test_detours_and_proofs(void **state)
{
	size_t by_kind[PROOF_KINDS] = { 0 };
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS)
	{
		const struct schedule *s = &t.plan.schedule;

		for (uint32_t m = 0; m < s->n_moves; m++) {
			if (s->moves[m].detour &&
			    !has_cycle(&t, s->moves[m].from, s->moves[m].from, 5))
				must(&t, "a detour without a cycle");
		}
		for (uint32_t i = 0; i < t.plan.n_proofs; i++) {
			by_kind[t.plan.proofs[i].kind]++;
			must(&t, plan_check_proof(&t.in, &t.plan, &t.plan.proofs[i]));
		}
	}
	print_message("unproved %zu, alone %zu, sum %zu, count %zu, apart %zu, searched %zu, "
	              "cycle %zu\n",
	              by_kind[PROOF_NONE], by_kind[PROOF_ALONE], by_kind[PROOF_SUM],
	              by_kind[PROOF_COUNT], by_kind[PROOF_APART], by_kind[PROOF_SEARCHED],
	              by_kind[PROOF_CYCLE]);
	assert_true(by_kind[PROOF_ALONE] && by_kind[PROOF_SUM] && by_kind[PROOF_SEARCHED] &&
	            by_kind[PROOF_CYCLE]);
}

/* P14: everything twice as large on links twice as fast is the same plan. */
static void test_scale_changes_nothing(void **state)
{
	struct tried t;

	(void)state;
	FOR_EACH_FLEET(t, FLEETS / 4)
	{
		struct planner_plan twice;

		for (uint32_t h = 0; h < t.in.n_hosts; h++) {
			struct instance_host *host = &t.in.hosts[h];

			for (unsigned p = 0; p < INSTANCE_POOLS; p++)
				host->free_bytes[p] *= 4;
			host->capacity_bytes *= 4;
			host->out_bytes_per_s *= 4;
			host->in_bytes_per_s *= 4;
		}
		for (uint32_t v = 0; v < t.in.n_vms; v++) {
			struct instance_vm *vm = &t.in.vms[v];

			vm->need_bytes *= 4;
			vm->overhead_bytes *= 4;
			vm->work_bytes *= 4;
			vm->dirty_bytes_per_s *= 4;
			vm->limit_bytes_per_s *= 4;
		}
		planner_make(&t.in, &t.options, &twice);
		if (twice.schedule.n_moves != t.plan.schedule.n_moves ||
		    fabs(twice.schedule.makespan_s - t.plan.schedule.makespan_s) >
		            1e-6 * t.plan.schedule.makespan_s ||
		    memcmp(twice.placement.targets, t.plan.placement.targets,
		           t.in.n_vms * sizeof(*twice.placement.targets)) != 0)
			must(&t, "the scale changes the plan");
		planner_plan_deinit(&twice);
	}
}

/* Places that were found once, however hard it was, are found again without looking for them. */
static void test_what_was_found_is_kept(void **state)
{
	const struct plan_kinds tight = { .hosts = 6, .vms = 24, .tight = true, .groups = true };
	size_t found = 0, hard = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 4 * FLEETS; seed++) {
		struct placement all, quick, again;
		struct instance in;

		plan_fixture_random(&in, &tight, seed);
		for (uint32_t v = 0; v < in.n_vms; v++)
			in.vms[v].hint = INSTANCE_NONE;
		place_make(&in, seed, 100000, &all);
		place_make(&in, seed, 0, &quick);
		for (uint32_t v = 0; v < in.n_vms; v++)
			in.vms[v].hint = all.targets[v];
		place_make(&in, seed, 0, &again);
		if (again.n_blocked > all.n_blocked)
			fail_msg("seed %llu: %u were without a place, and are %u",
			         (unsigned long long)seed, all.n_blocked, again.n_blocked);
		found += all.n_blocked == 0;
		hard += all.n_blocked < quick.n_blocked;
		placement_deinit(&all);
		placement_deinit(&quick);
		placement_deinit(&again);
		instance_deinit(&in);
	}
	print_message("%zu fleets have a place for all; for %zu it had to be sought\n", found,
	              hard);
	assert_true(found > FLEETS / 3 && hard > FLEETS / 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_plan_is_valid),
		cmocka_unit_test(test_late_ends_break_nothing),
		cmocka_unit_test(test_bounds_are_bounds),
		cmocka_unit_test(test_more_never_raises_the_bound),
		cmocka_unit_test(test_plans_are_deterministic),
		cmocka_unit_test(test_what_was_found_is_kept),
		cmocka_unit_test(test_replay_from_any_moment),
		cmocka_unit_test(test_failures_leave_a_plan),
		cmocka_unit_test(test_detours_and_proofs),
		cmocka_unit_test(test_scale_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
