/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs that a guest has no place, judged by the instance alone; see plan_checker.h. */
#include "tests/unit/plan_books.h"
#include "tests/unit/plan_checker.h"

static bool is_allowed(const struct instance *in, uint32_t class_id, uint32_t h)
{
	return in->hosts[h].open &&
	       (in->classes[(size_t)class_id * in->words + h / 64] >> h % 64 & 1);
}

static bool could_be(const struct plan_books *b, uint32_t v, uint32_t h)
{
	const struct instance *in = b->in;
	const struct instance_vm *vm = &in->vms[v];

	if (h == vm->home || !is_allowed(in, vm->class_id, h) ||
	    (vm->target != INSTANCE_NONE && vm->target != h) || b->vcpus[h] < vm->vcpus)
		return false;
	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		if (b->bytes[h][p] < plan_books_need(vm, p))
			return false;
	}
	for (uint32_t g = 0; g < in->n_groups; g++) {
		const struct instance_group *group = &in->groups[g];
		bool member = false;

		for (uint32_t i = 0; i < group->n_vms; i++)
			member = member || group->vms[i] == v;
		for (uint32_t i = 0; member && group->hard && i < group->n_vms; i++) {
			uint32_t at = b->at[group->vms[i]];

			if (group->vms[i] == v || at == UINT32_MAX)
				continue;
			if ((at == h) != (group->kind == INSTANCE_TOGETHER))
				return false;
		}
	}
	return true;
}

static bool goes_only_there(const struct instance *in, uint32_t v, const struct proof *proof)
{
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		const struct instance_vm *vm = &in->vms[v];
		bool may = is_allowed(in, vm->class_id, h) &&
		           (vm->target == INSTANCE_NONE || vm->target == h);
		bool counted = proof->host != INSTANCE_NONE ? h == proof->host
		                                            : is_allowed(in, proof->class_id, h);

		if (may && !counted)
			return false;
	}
	return true;
}

static const char *check_count(const struct plan_books *b, const struct proof *proof)
{
	const struct instance *in = b->in;
	uint64_t sum = 0, many = 0, room = 0, places = 0;

	for (uint32_t v = 0; v < in->n_vms; v++) {
		const struct instance_vm *vm = &in->vms[v];
		uint64_t bytes = proof->resource == PROOF_VCPUS
		                         ? vm->vcpus
		                         : (uint64_t)plan_books_need(vm, proof->resource);

		if (vm->role != INSTANCE_LEAVES || bytes < proof->least || !bytes ||
		    !goes_only_there(in, v, proof))
			continue;
		sum += bytes;
		many++;
	}
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		bool counted = proof->host != INSTANCE_NONE ? h == proof->host
		                                            : is_allowed(in, proof->class_id, h);
		int64_t left = proof->resource == PROOF_VCPUS ? b->vcpus[h]
		                                              : b->bytes[h][proof->resource];

		if (!counted || left < (int64_t)proof->least || !proof->least)
			continue;
		room += (uint64_t)left;
		places += (uint64_t)left / proof->least;
	}
	if (proof->kind == PROOF_SUM)
		return sum > room && sum >= proof->needed && room <= proof->available
		               ? NULL
		               : WRONG("guest %u: %llu fit into %llu", proof->vm,
		                       (unsigned long long)sum, (unsigned long long)room);
	return many > places ? NULL
	                     : WRONG("guest %u: %llu guests have %llu places", proof->vm,
	                             (unsigned long long)many, (unsigned long long)places);
}

static const char *check_apart(const struct plan_books *b, const struct proof *proof)
{
	const struct instance_group *group = &b->in->groups[proof->group];
	uint32_t guests = 0, hosts = 0;

	for (uint32_t i = 0; i < group->n_vms; i++)
		guests += b->in->vms[group->vms[i]].role == INSTANCE_LEAVES;
	for (uint32_t h = 0; h < b->in->n_hosts; h++) {
		bool any = false;

		for (uint32_t i = 0; i < group->n_vms; i++)
			any = any || (b->in->vms[group->vms[i]].role == INSTANCE_LEAVES &&
			              could_be(b, group->vms[i], h));
		hosts += any;
	}
	return group->hard && group->kind == INSTANCE_APART && guests > hosts
	               ? NULL
	               : WRONG("%u guests apart on %u hosts", guests, hosts);
}

static const char *check_cycle(struct plan_books *b, const struct planner_plan *plan)
{
	const struct instance *in = b->in;

	for (uint32_t m = 0; m < plan->schedule.n_moves; m++) {
		const struct schedule_move *move = &plan->schedule.moves[m];

		for (unsigned p = 0; p < INSTANCE_POOLS && !move->running; p++)
			b->bytes[move->to][p] -= plan_books_need(&in->vms[move->vm], p);
		b->vcpus[move->to] -= move->running ? 0 : in->vms[move->vm].vcpus;
		plan_books_give(b, move);
	}
	for (uint32_t i = 0; i < plan->schedule.n_stuck; i++) {
		uint32_t v = plan->schedule.stuck[i];

		for (uint32_t h = 0; h < in->n_hosts; h++) {
			struct schedule_move move = { .vm = v, .from = b->at[v], .to = h };

			if (h == b->at[v] || !is_allowed(in, in->vms[v].class_id, h))
				continue;
			if (!plan_books_judge_start(b, &move))
				return WRONG("guest %u is no prisoner: host %u", v, h);
		}
	}
	return NULL;
}

const char *plan_check_proof(const struct instance *in, const struct planner_plan *plan,
                             const struct proof *proof)
{
	const char *wrong = NULL;
	struct plan_books books;

	plan_books_init(&books, in);
	if (proof->kind != PROOF_CYCLE)
		plan_books_settle(&books);
	switch (proof->kind) {
	case PROOF_ALONE:
		for (uint32_t h = 0; h < in->n_hosts && !wrong; h++) {
			if (could_be(&books, proof->vm, h))
				wrong = WRONG("guest %u could be on host %u", proof->vm, h);
		}
		break;
	case PROOF_SUM:
	case PROOF_COUNT:
		wrong = check_count(&books, proof);
		break;
	case PROOF_APART:
		wrong = check_apart(&books, proof);
		break;
	case PROOF_CYCLE:
		wrong = check_cycle(&books, plan);
		break;
	default:
		break;
	}
	plan_books_deinit(&books);
	return wrong;
}
