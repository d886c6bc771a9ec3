/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/plan_fixture.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RATE 1000.0

void plan_fixture_init(struct instance *in, uint32_t n_hosts, uint64_t room, uint32_t n_vms)
{
	instance_init(in, n_hosts, n_vms);
	for (uint32_t h = 0; h < n_hosts; h++) {
		in->hosts[h].key = h;
		in->hosts[h].free_bytes[0] = in->hosts[h].capacity_bytes = room;
		in->hosts[h].out_bytes_per_s = in->hosts[h].in_bytes_per_s = RATE;
	}
	instance_index(in);
}

void plan_fixture_vm(struct instance *in, uint32_t v, uint32_t home, uint64_t bytes,
                     enum instance_role role, uint32_t target)
{
	in->vms[v] = (struct instance_vm){
		.key = v,
		.role = role,
		.home = home,
		.target = target,
		.hint = INSTANCE_NONE,
		.need_bytes = bytes,
		.ports = 1,
		.vcpus = 1,
		.work_bytes = (double)bytes,
		.overhead_s = 2,
	};
}

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	assert(below);
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % below);
}

static void add_groups(struct instance *in)
{
	uint32_t n = draw(4);

	for (uint32_t g = 0; g < n; g++) {
		uint32_t vms[4], count = 2 + draw(3);

		if (count > in->n_vms)
			continue;
		for (uint32_t i = 0; i < count; i++)
			vms[i] = (draw(in->n_vms) + i) % in->n_vms;
		for (uint32_t i = 1; i < count; i++) {
			for (uint32_t k = 0; k < i; k++) {
				if (vms[i] == vms[k])
					count = 0;
			}
		}
		if (count && in->n_classes > 1 && !draw(4))
			instance_add_wish(in, 1 + draw(in->n_classes - 1), vms, count);
		else if (count)
			instance_add_group(in, draw(3) ? INSTANCE_APART : INSTANCE_TOGETHER,
			                   draw(3) > 0, vms, count);
	}
}

static void settle(struct instance *in, bool tight)
{
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		uint64_t slack = tight ? draw(40) : draw(400);

		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			in->hosts[h].free_bytes[p] = p < 2 ? slack : 0;
	}
	for (uint32_t v = 0; v < in->n_vms; v++) {
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			in->hosts[in->vms[v].home].capacity_bytes += p ? 0
			                                               : instance_need(&in->vms[v],
			                                                               p);
	}
	for (uint32_t h = 0; h < in->n_hosts; h++)
		in->hosts[h].capacity_bytes += in->hosts[h].free_bytes[0];
}

void plan_fixture_random(struct instance *in, const struct plan_kinds *kinds, uint64_t seed)
{
	uint32_t n_hosts, n_vms;
	bool ahead = false;

	state = seed * 0x9e3779b97f4a7c15u + 1;
	n_hosts = 2 + draw(kinds->hosts - 1);
	n_vms = 1 + draw(kinds->vms);
	instance_init(in, n_hosts, n_vms);
	if (kinds->classes && draw(2)) {
		for (uint32_t c = 0; c < 2; c++) {
			uint32_t id = instance_add_class(in);

			for (uint32_t h = 0; h < n_hosts; h++) {
				if (!draw(3))
					instance_forbid(in, id, h);
			}
		}
	}
	for (uint32_t h = 0; h < n_hosts; h++) {
		struct instance_host *host = &in->hosts[h];

		host->key = instance_mix(seed, h);
		host->out_bytes_per_s = RATE * (1 + draw(3));
		host->in_bytes_per_s = RATE * (1 + draw(3));
		host->open = draw(4) > 0;
		if (kinds->vcpus && draw(2))
			host->vcpu_room = draw(12);
		if (kinds->caps) {
			host->slots_out = 1 + draw(3);
			host->slots_in = 1 + draw(3);
			host->ports = 2 + draw(2);
		}
	}
	if (kinds->caps) {
		in->slots = 1 + draw(5);
		ahead = draw(2);
	}
	for (uint32_t v = 0; v < n_vms; v++) {
		struct instance_vm *vm = &in->vms[v];
		uint64_t bytes = 10 + draw(90);

		plan_fixture_vm(in, v, draw(n_hosts), bytes, INSTANCE_STAYS, INSTANCE_NONE);
		vm->key = instance_mix(seed + 1, v);
		vm->work_bytes = (double)bytes * 50;
		vm->dirty_bytes_per_s = draw(2) ? 0 : draw(600);
		vm->overhead_s = (double)draw(3);
		vm->prepare_s = ahead ? vm->overhead_s / 4 : 0;
		vm->vcpus = 1 + draw(3);
		vm->priority = (uint8_t)draw(3);
		if (kinds->classes && in->n_classes > 1)
			vm->class_id = draw(3);
		if (kinds->pools && !draw(4)) {
			vm->pool = 1;
			vm->overhead_bytes = 5;
		}
		if (kinds->caps && !draw(4))
			vm->ports = 2;
		if (!draw(3))
			vm->limit_bytes_per_s = RATE / 2;
	}
	if (kinds->groups)
		add_groups(in);
	settle(in, kinds->tight);
	for (uint32_t v = 0; v < n_vms; v++) {
		struct instance_vm *vm = &in->vms[v];
		uint32_t to = draw(n_hosts);

		/* Those on a closed host leave, some others do, too. */
		if (!in->hosts[vm->home].open || !draw(4))
			vm->role = INSTANCE_LEAVES;
		/* Half of the fleets have been planned before. */
		if (seed % 2 && instance_mix(seed, v) % 4)
			vm->hint = (uint32_t)(instance_mix(seed + 2, v) % n_hosts);
		if (to == vm->home || vm->role == INSTANCE_STAYS)
			continue;
		if (kinds->pins && !draw(3)) {
			vm->target = to;
		} else if (kinds->running && !draw(4)) {
			bool fits = in->hosts[to].vcpu_room == UINT64_MAX ||
			            in->hosts[to].vcpu_room >= vm->vcpus;

			for (unsigned p = 0; p < INSTANCE_POOLS; p++)
				fits = fits && in->hosts[to].free_bytes[p] >= instance_need(vm, p);
			if (!fits)
				continue;
			vm->role = INSTANCE_RUNNING;
			vm->target = to;
			vm->switched = draw(2);
			for (unsigned p = 0; p < INSTANCE_POOLS; p++)
				in->hosts[to].free_bytes[p] -= instance_need(vm, p);
			if (in->hosts[to].vcpu_room != UINT64_MAX)
				in->hosts[to].vcpu_room -= vm->vcpus;
		}
	}
	instance_index(in);
}

static uint32_t *shuffle(uint32_t n)
{
	uint32_t *of = xcalloc((size_t)n + 1, sizeof(*of));

	for (uint32_t i = 0; i < n; i++)
		of[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t k = draw(i), x = of[k];

		of[k] = of[i - 1];
		of[i - 1] = x;
	}
	return of;
}

void plan_fixture_permute(const struct instance *in, uint64_t seed, struct instance *ret_in,
                          uint32_t *ret_host_of, uint32_t *ret_vm_of)
{
	uint32_t *host_of, *vm_of;

	state = seed;
	host_of = shuffle(in->n_hosts);
	vm_of = shuffle(in->n_vms);
	instance_init(ret_in, in->n_hosts, in->n_vms);
	ret_in->slots = in->slots;
	for (uint32_t h = 0; h < in->n_hosts; h++)
		ret_in->hosts[host_of[h]] = in->hosts[h];
	for (uint32_t c = 1; c < in->n_classes; c++) {
		instance_add_class(ret_in);
		for (uint32_t h = 0; h < in->n_hosts; h++) {
			if (!instance_allows(in, c, h))
				instance_forbid(ret_in, c, host_of[h]);
		}
	}
	for (uint32_t v = 0; v < in->n_vms; v++) {
		struct instance_vm vm = in->vms[v];

		vm.home = host_of[vm.home];
		if (vm.target != INSTANCE_NONE)
			vm.target = host_of[vm.target];
		if (vm.hint != INSTANCE_NONE)
			vm.hint = host_of[vm.hint];
		ret_in->vms[vm_of[v]] = vm;
	}
	for (uint32_t g = 0; g < in->n_groups; g++) {
		uint32_t vms[8];

		for (uint32_t i = 0; i < in->groups[g].n_vms; i++)
			vms[i] = vm_of[in->groups[g].vms[i]];
		instance_add_group(ret_in, in->groups[g].kind, in->groups[g].hard, vms,
		                   in->groups[g].n_vms);
		ret_in->groups[g].class_id = in->groups[g].class_id;
	}
	instance_index(ret_in);
	memcpy(ret_host_of, host_of, in->n_hosts * sizeof(*host_of));
	memcpy(ret_vm_of, vm_of, in->n_vms * sizeof(*vm_of));
	free(host_of);
	free(vm_of);
}
