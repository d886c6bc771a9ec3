/* SPDX-License-Identifier: Apache-2.0 */
/* What is placed: units of guests that must stay together, how much each weighs, and in which order
 * they are placed. Theory: place.h. */
#include "coordinator/planner/place.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

/* --- order --- */

static unsigned log_2(uint32_t n)
{
	unsigned bits = 0;

	while (n >>= 1)
		bits++;
	return bits;
}

static int compare_units(const void *a, const void *b, void *context)
{
	const struct place_unit *units = context;
	const struct place_unit *x = &units[*(const uint32_t *)a],
				*y = &units[*(const uint32_t *)b];
	if (x->left_over != y->left_over)
		return x->left_over > y->left_over ? -1 : 1;
	if (x->few != y->few)
		return x->few < y->few ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

static uint32_t *count_classes(const struct instance *in)
{
	uint32_t *counts = xcalloc((size_t)in->n_classes + 1, sizeof(*counts));

	for (uint32_t c = 0; c < in->n_classes; c++) {
		for (uint32_t w = 0; w < in->words; w++)
			counts[c] += (uint32_t)__builtin_popcountll(
				in->classes[(size_t)c * in->words + w]);
	}
	return counts;
}

static uint32_t count_hosts(const struct place *place, const struct place_unit *unit,
                            const uint32_t *of_class)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < unit->count; i++) {
		const struct instance_vm *vm = &place->in->vms[place->members[unit->first + i]];
		uint32_t count = vm->target != INSTANCE_NONE ? 1 : of_class[vm->class_id];

		least = count < least ? count : least;
	}
	return least;
}

/* Those of @least that the most demanding wish leaves. */
static uint32_t count_wished(const struct place *place, struct place_unit *unit, uint32_t least,
                             const uint32_t *of_class)
{
	const struct instance *in = place->in;

	for (uint32_t i = 0; in->n_groups && i < unit->count; i++) {
		uint32_t v = place->members[unit->first + i];

		for (uint32_t g = in->group_first[v]; g < in->group_first[v + 1]; g++) {
			const struct instance_group *group = &in->groups[in->group_of[g]];
			uint32_t count = group->kind == INSTANCE_ON ? of_class[group->class_id]
			                                            : UINT32_MAX;

			unit->wishes |= !group->hard;
			least = count < least ? count : least;
		}
	}
	return least;
}

struct totals {
	uint64_t room[INSTANCE_POOLS], vcpus;
	bool limited; /* vCPUs, on all hosts */
};

static void weigh_unit(struct place_unit *unit, const struct totals *all)
{
	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		double share = (double)unit->need_bytes[p] / ((double)all->room[p] + 1);

		unit->share = share > unit->share ? share : unit->share;
	}
	if (all->limited && (double)unit->vcpus / ((double)all->vcpus + 1) > unit->share)
		unit->share = (double)unit->vcpus / ((double)all->vcpus + 1);
}

void place_sort_units(struct place *place)
{
	/* Sizes matter more than a few hosts more or less; but where it is tight every host counts. */
	for (uint32_t u = 0; u < place->n_units; u++) {
		struct place_unit *unit = &place->units[u];

		uint32_t hosts = place->by_wishes ? unit->n_wished : unit->n_hosts;

		unit->few = place->exact ? hosts : log_2(hosts);
		unit->weight = unit->share;
	}
	qsort_r(place->order, place->n_units, sizeof(*place->order), compare_units, place->units);
}

/* What there is in all, for shares and weights. Sums of doubles are made in the order of the units:
 * that of the arrays must not even be seen in the last bit. */
static void weigh(struct place *place)
{
	const struct instance *in = place->in;
	struct totals all = { .limited = true };
	uint64_t need = 0, need_vcpus = 0;
	double seconds = 0;
	uint32_t *of_class = count_classes(in);

	for (uint32_t h = 0; h < in->n_hosts; h++) {
		const struct instance_host *host = &in->hosts[h];

		if (!host->open)
			continue;
		place->fastest = fmax(place->fastest, host->in_bytes_per_s);
		place->largest = fmax(place->largest, (double)host->capacity_bytes);
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			all.room[p] += place->start.free_bytes[h][p];
		all.limited = all.limited && place->start.vcpus[h] != UINT64_MAX;
		if (place->start.vcpus[h] != UINT64_MAX)
			all.vcpus += place->start.vcpus[h];
	}
	for (uint32_t i = 0; i < place->n_units; i++) {
		struct place_unit *unit = &place->units[i];

		weigh_unit(unit, &all);
		unit->n_hosts = count_hosts(place, unit, of_class);
		unit->n_wished = count_wished(place, unit, unit->n_hosts, of_class);
		place->any_wishes |= unit->wishes;
		need += unit->need_bytes[0];
		need_vcpus += unit->vcpus;
	}
	free(of_class);
	place->by_wishes = place->any_wishes;
	place_sort_units(place);
	for (uint32_t i = 0; i < place->n_units; i++)
		seconds += place->units[place->order[i]].seconds;
	place->mean_s = place->n_units ? seconds / place->n_units : 0;
	place->weight_memory = all.room[0]
	                               ? (double)need / (double)all.room[0] / (double)all.room[0]
	                               : 0;
	place->weight_vcpus = all.vcpus ? (double)need_vcpus / (double)all.vcpus / (double)all.vcpus
	                                : 0;
}

/* --- units --- */

static uint32_t find_root(uint32_t *root, uint32_t v)
{
	while (root[v] != v)
		v = root[v] = root[root[v]];
	return v;
}

static void join_groups(const struct instance *in, uint32_t *root)
{
	for (uint32_t v = 0; v < in->n_vms; v++)
		root[v] = v;
	for (uint32_t g = 0; g < in->n_groups; g++) {
		const struct instance_group *group = &in->groups[g];
		uint32_t first = INSTANCE_NONE;

		if (group->kind != INSTANCE_TOGETHER || !group->hard)
			continue;
		for (uint32_t i = 0; i < group->n_vms; i++) {
			uint32_t v = group->vms[i];

			if (in->vms[v].role != INSTANCE_LEAVES)
				continue;
			if (first == INSTANCE_NONE)
				first = v;
			else
				root[find_root(root, v)] = find_root(root, first);
		}
	}
}

static void add_member(const struct instance *in, struct place_unit *unit, uint32_t v)
{
	const struct instance_vm *vm = &in->vms[v];
	uint64_t key = vm->key;

	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		unit->need_bytes[p] += instance_need(vm, p);
	unit->vcpus += vm->vcpus;
	unit->bytes += vm->fixed_s > 0 ? vm->fixed_s * vm->fixed_bytes_per_s
	                               : instance_bytes(in, vm, vm->home, vm->home);
	unit->seconds += instance_seconds(in, vm, vm->home, vm->home) + vm->overhead_s;
	if (!unit->count || key < unit->key)
		unit->key = key;
	unit->count++;
}

static bool has_together(const struct instance *in)
{
	for (uint32_t g = 0; g < in->n_groups; g++) {
		if (in->groups[g].kind == INSTANCE_TOGETHER && in->groups[g].hard)
			return true;
	}
	return false;
}

/* Most guests are a unit of their own. */
static void make_singles(struct place *place)
{
	for (uint32_t i = 0; i < place->n_leaving; i++) {
		uint32_t v = place->leaving[i];
		struct place_unit *unit = &place->units[place->n_units];

		*unit = (struct place_unit){ .first = place->n_units++, .host = INSTANCE_NONE };
		add_member(place->in, unit, v);
		place->members[unit->first] = v;
	}
}

static void make_joined(struct place *place)
{
	const struct instance *in = place->in;
	uint32_t *root = xcalloc((size_t)in->n_vms + 1, sizeof(*root));
	uint32_t *unit_of = xcalloc((size_t)in->n_vms + 1, sizeof(*unit_of));
	uint32_t at = 0;

	join_groups(in, root);
	for (uint32_t v = 0; v < in->n_vms; v++)
		unit_of[v] = INSTANCE_NONE;
	for (uint32_t i = 0; i < place->n_leaving; i++) {
		uint32_t v = place->leaving[i], r = find_root(root, v);

		if (unit_of[r] == INSTANCE_NONE) {
			unit_of[r] = place->n_units++;
			place->units[unit_of[r]].host = INSTANCE_NONE;
		}
		add_member(in, &place->units[unit_of[r]], v);
	}
	for (uint32_t u = 0; u < place->n_units; u++) {
		place->units[u].first = at;
		at += place->units[u].count;
		place->units[u].count = 0;
	}
	for (uint32_t i = 0; i < place->n_leaving; i++) {
		uint32_t v = place->leaving[i];
		struct place_unit *unit = &place->units[unit_of[find_root(root, v)]];

		place->members[unit->first + unit->count++] = v;
	}
	free(root);
	free(unit_of);
}

void place_make_units(struct place *place)
{
	const struct instance *in = place->in;
	size_t n = (size_t)place->n_leaving + 1;

	place->units = xcalloc(n, sizeof(*place->units));
	place->members = xcalloc(n, sizeof(*place->members));
	place->order = xcalloc(n, sizeof(*place->order));
	if (has_together(in))
		make_joined(place);
	else
		make_singles(place);
	for (uint32_t u = 0; u < place->n_units; u++)
		place->order[u] = u;
	weigh(place);
}
