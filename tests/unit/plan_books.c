/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/plan_books.h"

#include "common/alloc.h"

#include <stdlib.h>

char plan_wrong[256];

void plan_books_init(struct plan_books *b, const struct instance *in)
{
	b->in = in;
	b->bytes = xcalloc((size_t)in->n_hosts + 1, sizeof(*b->bytes));
	b->vcpus = xcalloc((size_t)in->n_hosts + 1, sizeof(*b->vcpus));
	b->at = xcalloc((size_t)in->n_vms + 1, sizeof(*b->at));
	b->to = xcalloc((size_t)in->n_vms + 1, sizeof(*b->to));
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			b->bytes[h][p] = (int64_t)in->hosts[h].free_bytes[p];
		b->vcpus[h] = in->hosts[h].vcpu_room == UINT64_MAX
		                      ? INT64_MAX / 2
		                      : (int64_t)in->hosts[h].vcpu_room;
	}
	for (uint32_t v = 0; v < in->n_vms; v++) {
		b->at[v] = in->vms[v].home;
		b->to[v] = in->vms[v].role == INSTANCE_RUNNING ? in->vms[v].target : UINT32_MAX;
	}
}

void plan_books_deinit(struct plan_books *b)
{
	free(b->bytes);
	free(b->vcpus);
	free(b->at);
	free(b->to);
}

int64_t plan_books_need(const struct instance_vm *vm, unsigned p)
{
	int64_t bytes = p == vm->pool ? (int64_t)vm->need_bytes : 0;

	return bytes + (p == 0 && vm->pool != 0 ? (int64_t)vm->overhead_bytes : 0);
}

const char *plan_books_judge_start(const struct plan_books *b, const struct schedule_move *move)
{
	const struct instance *in = b->in;
	const struct instance_vm *vm = &in->vms[move->vm];

	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		int64_t left = b->bytes[move->to][p] - plan_books_need(vm, p);

		if (left < 0)
			return WRONG("host %u is %lld bytes of pool %u short for guest %u",
			             move->to, -(long long)left, p, move->vm);
	}
	if (b->vcpus[move->to] < vm->vcpus)
		return WRONG("host %u lacks vCPUs for guest %u", move->to, move->vm);
	for (uint32_t g = 0; g < in->n_groups; g++) {
		const struct instance_group *group = &in->groups[g];
		bool member = false;

		for (uint32_t i = 0; i < group->n_vms; i++)
			member = member || group->vms[i] == move->vm;
		for (uint32_t i = 0;
		     member && group->hard && group->kind == INSTANCE_APART && i < group->n_vms;
		     i++) {
			uint32_t other = group->vms[i];

			if (other != move->vm &&
			    (b->at[other] == move->to || b->to[other] == move->to))
				return WRONG("guest %u comes to guest %u on host %u", move->vm,
				             other, move->to);
		}
	}
	return NULL;
}

const char *plan_books_take(struct plan_books *b, const struct schedule_move *move)
{
	const struct instance_vm *vm = &b->in->vms[move->vm];
	const char *wrong = plan_books_judge_start(b, move);

	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		b->bytes[move->to][p] -= plan_books_need(vm, p);
	b->vcpus[move->to] -= vm->vcpus;
	b->to[move->vm] = move->to;
	return wrong;
}

void plan_books_give(struct plan_books *b, const struct schedule_move *move)
{
	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		b->bytes[move->from][p] += plan_books_need(&b->in->vms[move->vm], p);
	b->vcpus[move->from] += b->in->vms[move->vm].vcpus;
	b->at[move->vm] = move->to;
	b->to[move->vm] = UINT32_MAX;
}

void plan_books_settle(struct plan_books *b)
{
	for (uint32_t v = 0; v < b->in->n_vms; v++) {
		const struct instance_vm *vm = &b->in->vms[v];

		if (vm->role == INSTANCE_STAYS)
			continue;
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			b->bytes[vm->home][p] += plan_books_need(vm, p);
		b->vcpus[vm->home] += vm->vcpus;
		b->at[v] = vm->role == INSTANCE_RUNNING ? vm->target : UINT32_MAX;
		b->to[v] = UINT32_MAX;
	}
}
