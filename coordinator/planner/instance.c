/* SPDX-License-Identifier: Apache-2.0 */
/* The arrays of an instance. Theory: instance.h. */
#include "coordinator/planner/instance.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

void instance_init(struct instance *in, uint32_t n_hosts, uint32_t n_vms)
{
	*in = (struct instance){
		.hosts = xcalloc(n_hosts + 1, sizeof(*in->hosts)),
		.n_hosts = n_hosts,
		.vms = xcalloc((size_t)n_vms + 1, sizeof(*in->vms)),
		.n_vms = n_vms,
		.words = (n_hosts + 63) / 64,
		.slots = INSTANCE_NO_LIMIT,
	};
	for (uint32_t h = 0; h < n_hosts; h++)
		in->hosts[h] = (struct instance_host){
			.key = h,
			.vcpu_room = UINT64_MAX,
			.slots_out = INSTANCE_NO_LIMIT,
			.slots_in = INSTANCE_NO_LIMIT,
			.ports = INSTANCE_NO_LIMIT,
			.open = true,
			.lanes = true,
		};
	for (uint32_t v = 0; v < n_vms; v++)
		in->vms[v] = (struct instance_vm){
			.key = v, .target = INSTANCE_NONE, .hint = INSTANCE_NONE, .ports = 1
		};
	instance_add_class(in);
}

void instance_deinit(struct instance *in)
{
	for (uint32_t g = 0; g < in->n_groups; g++)
		free(in->groups[g].vms);
	free(in->groups);
	free(in->hosts);
	free(in->vms);
	free(in->classes);
	free(in->group_first);
	free(in->group_of);
	*in = (struct instance){ 0 };
}

uint32_t instance_add_class(struct instance *in)
{
	uint32_t id = in->n_classes++;
	uint64_t *row;

	in->classes = xreallocarray(in->classes, (size_t)in->n_classes * in->words + 1,
	                            sizeof(*in->classes));
	row = in->classes + (size_t)id * in->words;
	for (uint32_t w = 0; w < in->words; w++)
		row[w] = UINT64_MAX;
	if (in->n_hosts % 64)
		row[in->words - 1] = ((uint64_t)1 << in->n_hosts % 64) - 1;
	return id;
}

void instance_forbid(struct instance *in, uint32_t class_id, uint32_t host)
{
	assert(class_id && class_id < in->n_classes && host < in->n_hosts);
	in->classes[(size_t)class_id * in->words + host / 64] &= ~((uint64_t)1 << host % 64);
}

void instance_add_group(struct instance *in, enum instance_group_kind kind, bool hard,
                        const uint32_t *vms, uint32_t n_vms)
{
	in->groups = xreallocarray(in->groups, (size_t)in->n_groups + 1, sizeof(*in->groups));
	in->groups[in->n_groups++] = (struct instance_group){
		.kind = kind,
		.hard = hard,
		.vms = xmemdup(vms, n_vms * sizeof(*vms)),
		.n_vms = n_vms,
	};
}

void instance_add_wish(struct instance *in, uint32_t class_id, const uint32_t *vms, uint32_t n_vms)
{
	instance_add_group(in, INSTANCE_ON, false, vms, n_vms);
	in->groups[in->n_groups - 1].class_id = class_id;
}

void instance_index(struct instance *in)
{
	uint32_t *at;

	free(in->group_first);
	free(in->group_of);
	in->group_first = xcalloc((size_t)in->n_vms + 2, sizeof(*in->group_first));
	for (uint32_t g = 0; g < in->n_groups; g++) {
		for (uint32_t i = 0; i < in->groups[g].n_vms; i++)
			in->group_first[in->groups[g].vms[i] + 1]++;
	}
	for (uint32_t v = 0; v < in->n_vms; v++)
		in->group_first[v + 1] += in->group_first[v];
	in->group_of = xcalloc((size_t)in->group_first[in->n_vms] + 1, sizeof(*in->group_of));
	at = xmemdup(in->group_first, ((size_t)in->n_vms + 1) * sizeof(*at));
	for (uint32_t g = 0; g < in->n_groups; g++) {
		for (uint32_t i = 0; i < in->groups[g].n_vms; i++)
			in->group_of[at[in->groups[g].vms[i]]++] = g;
	}
	free(at);
}

uint32_t *instance_list_movers(const struct instance *in, uint32_t *ret_n)
{
	uint32_t *movers = xcalloc((size_t)in->n_vms + 1, sizeof(*movers)), n = 0;

	for (uint32_t v = 0; v < in->n_vms; v++) {
		if (in->vms[v].role != INSTANCE_STAYS)
			movers[n++] = v;
	}
	*ret_n = n;
	return movers;
}

uint64_t instance_mix(uint64_t seed, uint64_t key)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + key + 0x632be59bd9b4e019u;

	/* splitmix64 */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}
