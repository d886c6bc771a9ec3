/* SPDX-License-Identifier: Apache-2.0 */
/* Placement. Theory: place.h. */
#include "coordinator/planner/place.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EJECT_DEPTH 3
#define ATTEMPTS    4
#define EJECT_STEPS 50000 /* in an attempt */
/* Small enough to try everything. */
#define SEARCH_UNITS 14
#define SEARCH_STEPS 400000
/* In mean transfers: how much room that somebody has to leave first, and a soft wish, count. */
#define BORROW_WEIGHT 10
#define SOFT_WEIGHT   20
#define SHIFTS_MOST   64

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

static void make_units(struct place *place)
{
	const struct instance *in = place->in;
	uint32_t *root = xcalloc((size_t)in->n_vms + 1, sizeof(*root));
	uint32_t *unit_of = xcalloc((size_t)in->n_vms + 1, sizeof(*unit_of));
	uint32_t at = 0;

	join_groups(in, root);
	for (uint32_t v = 0; v < in->n_vms; v++)
		unit_of[v] = INSTANCE_NONE;
	for (uint32_t v = 0; v < in->n_vms; v++) {
		uint32_t r;

		if (in->vms[v].role != INSTANCE_LEAVES)
			continue;
		r = find_root(root, v);
		if (unit_of[r] == INSTANCE_NONE) {
			unit_of[r] = place->n_units++;
			place->units = xreallocarray(place->units, place->n_units,
			                             sizeof(*place->units));
			place->units[unit_of[r]] = (struct place_unit){ .host = INSTANCE_NONE };
		}
		add_member(in, &place->units[unit_of[r]], v);
	}
	for (uint32_t u = 0; u < place->n_units; u++) {
		place->units[u].first = at;
		at += place->units[u].count;
		place->units[u].count = 0;
	}
	place->members = xcalloc((size_t)at + 1, sizeof(*place->members));
	for (uint32_t v = 0; v < in->n_vms; v++) {
		struct place_unit *unit;

		if (in->vms[v].role != INSTANCE_LEAVES)
			continue;
		unit = &place->units[unit_of[find_root(root, v)]];
		place->members[unit->first + unit->count++] = v;
	}
	free(root);
	free(unit_of);
}

/* --- books --- */

bool place_fits(struct place *place, const struct place_unit *unit, uint32_t host)
{
	bool fits = true;
	uint32_t n = 0;

	for (; n < unit->count && fits; n++) {
		uint32_t v = place->members[unit->first + n];

		fits = room_check(&place->room, v, host, NULL) == ROOM_FITS;
		if (!fits || unit->count == 1)
			break;
		room_take(&place->room, v, host);
		place->room.at[v] = host;
	}
	while (unit->count > 1 && n-- > 0) {
		uint32_t v = place->members[unit->first + n];

		room_give(&place->room, v, host);
		place->room.at[v] = INSTANCE_NONE;
	}
	return fits;
}

static double get_fill(const struct place *place, uint32_t host)
{
	const struct instance_host *h = &place->in->hosts[host];
	double capacity = (double)h->capacity_bytes;
	double left = (double)place->room.free_bytes[host][0];

	if (capacity < left)
		capacity = left;
	return capacity > 0 ? 1 - left / capacity : 1;
}

static double get_cost(const struct place *place, uint32_t host)
{
	uint64_t vcpus = place->room.vcpus[host];

	if (!place->in->hosts[host].open)
		return INFINITY;
	if (place->tight)
		return place->weight_memory * (double)place->room.free_bytes[host][0] +
		       place->weight_vcpus * (vcpus == UINT64_MAX ? 0 : (double)vcpus);
	return place->finish_s[host] + place->mean_s * get_fill(place, host);
}

static void update_tree(struct place *place, uint32_t host)
{
	host_tree_set(&place->tree, host, get_cost(place, host), place->room.free_bytes[host][0],
	              place->room.vcpus[host]);
}

static double inbound_s(const struct place *place, const struct place_unit *unit, uint32_t host)
{
	double rate = place->in->hosts[host].in_bytes_per_s;

	return rate > 0 ? unit->bytes / rate : unit->bytes / fmax(place->fastest, 1);
}

void place_put(struct place *place, uint32_t u, uint32_t host)
{
	struct place_unit *unit = &place->units[u];

	assert(unit->host == INSTANCE_NONE);
	for (uint32_t i = 0; i < unit->count; i++) {
		uint32_t v = place->members[unit->first + i];

		room_take(&place->room, v, host);
		place->room.at[v] = host;
	}
	unit->host = host;
	unit->next = place->first_of[host];
	place->first_of[host] = u;
	place->finish_s[host] += inbound_s(place, unit, host);
	place->now_bytes[host] -= (int64_t)unit->need_bytes[0];
	update_tree(place, host);
}

void place_remove(struct place *place, uint32_t u)
{
	struct place_unit *unit = &place->units[u];
	uint32_t host = unit->host, *link = &place->first_of[host];

	for (uint32_t i = 0; i < unit->count; i++) {
		uint32_t v = place->members[unit->first + i];

		room_give(&place->room, v, host);
		place->room.at[v] = INSTANCE_NONE;
	}
	while (*link != u)
		link = &place->units[*link].next;
	*link = unit->next;
	unit->host = INSTANCE_NONE;
	place->finish_s[host] -= inbound_s(place, unit, host);
	place->now_bytes[host] += (int64_t)unit->need_bytes[0];
	update_tree(place, host);
}

/* --- the best host --- */

/* Wishes that @host would not fulfil. */
static unsigned count_unwished(const struct place *place, const struct place_unit *unit,
                               uint32_t host)
{
	const struct instance *in = place->in;
	unsigned count = 0;

	for (uint32_t i = 0; i < unit->count; i++) {
		uint32_t v = place->members[unit->first + i];

		for (uint32_t g = in->group_first[v]; g < in->group_first[v + 1]; g++) {
			const struct instance_group *group = &in->groups[in->group_of[g]];

			for (uint32_t k = 0; !group->hard && k < group->n_vms; k++) {
				uint32_t at = place->room.at[group->vms[k]];

				if (group->vms[k] == v || at == INSTANCE_NONE)
					continue;
				count += (at == host) == (group->kind == INSTANCE_APART);
			}
		}
	}
	return count;
}

struct judge {
	struct place *place;
	const struct place_unit *unit;
};

static double judge_host(void *context, uint32_t host, double cost)
{
	const struct judge *judge = context;
	struct place *place = judge->place;
	const struct place_unit *unit = judge->unit;
	const struct instance_host *h = &place->in->hosts[host];

	if (!place_fits(place, unit, host))
		return INFINITY;
	if (place->tight) {
		double memory = place->weight_memory * (double)place->room.free_bytes[host][0];
		double left = memory - place->weight_memory * (double)unit->need_bytes[0];

		if (place->aligned && place->room.vcpus[host] != UINT64_MAX)
			cost += fabs(left - place->weight_vcpus * (double)(place->room.vcpus[host] -
			                                                   unit->vcpus));
		return cost;
	}
	cost += inbound_s(place, unit, host);
	if (place->largest > 0)
		cost += place->mean_s * (double)unit->need_bytes[0] /
		        (h->capacity_bytes ? (double)h->capacity_bytes : place->largest);
	if (place->now_bytes[host] < (int64_t)unit->need_bytes[0])
		cost += place->mean_s * BORROW_WEIGHT;
	if (place->in->n_groups)
		cost += place->mean_s * SOFT_WEIGHT * count_unwished(place, unit, host);
	return cost;
}

uint32_t place_find_host(struct place *place, uint32_t u)
{
	const struct place_unit *unit = &place->units[u];
	struct judge judge = { .place = place, .unit = unit };
	double added = 0;

	/* As judge_host counts it, on the fastest and the largest host. */
	if (!place->tight && place->fastest > 0)
		added += unit->bytes / place->fastest;
	if (!place->tight && place->largest > 0)
		added += place->mean_s * (double)unit->need_bytes[0] / place->largest;
	return host_tree_find(&place->tree, unit->need_bytes[0], unit->vcpus, added, judge_host,
	                      &judge);
}

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

static uint32_t count_hosts(struct place *place, const struct place_unit *unit)
{
	const struct instance *in = place->in;
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < unit->count; i++) {
		const struct instance_vm *vm = &in->vms[place->members[unit->first + i]];
		const uint64_t *row = in->classes + (size_t)vm->class_id * in->words;
		uint32_t count = 0;

		for (uint32_t w = 0; w < in->words; w++)
			count += (uint32_t)__builtin_popcountll(row[w]);
		if (vm->target != INSTANCE_NONE)
			count = 1;
		least = count < least ? count : least;
	}
	return least;
}

struct totals {
	uint64_t room[INSTANCE_POOLS], vcpus;
	bool limited; /* vCPUs, on all hosts */
};

static void weigh_unit(struct place *place, struct place_unit *unit, const struct totals *all)
{
	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		double share = (double)unit->need_bytes[p] / ((double)all->room[p] + 1);

		unit->share = share > unit->share ? share : unit->share;
	}
	if (all->limited && (double)unit->vcpus / ((double)all->vcpus + 1) > unit->share)
		unit->share = (double)unit->vcpus / ((double)all->vcpus + 1);
	unit->n_hosts = count_hosts(place, unit);
}

/* What there is in all, for shares and weights. Sums of doubles are made in the order of the units'
 * keys: the order of the arrays must not even be seen in the last bit. */
static void weigh(struct place *place)
{
	const struct instance *in = place->in;
	struct totals all = { .limited = true };
	uint64_t need = 0, need_vcpus = 0;
	double seconds = 0;

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

		weigh_unit(place, unit, &all);
		need += unit->need_bytes[0];
		need_vcpus += unit->vcpus;
	}
	qsort_r(place->order, place->n_units, sizeof(*place->order), compare_units, place->units);
	for (uint32_t i = 0; i < place->n_units; i++)
		seconds += place->units[place->order[i]].seconds;
	place->mean_s = place->n_units ? seconds / place->n_units : 0;
	place->weight_memory = all.room[0]
	                               ? (double)need / (double)all.room[0] / (double)all.room[0]
	                               : 0;
	place->weight_vcpus = all.vcpus ? (double)need_vcpus / (double)all.vcpus / (double)all.vcpus
	                                : 0;
}

void place_update(struct place *place)
{
	for (uint32_t h = 0; h < place->in->n_hosts; h++)
		host_tree_put(&place->tree, h, get_cost(place, h), place->room.free_bytes[h][0],
		              place->room.vcpus[h]);
	host_tree_build(&place->tree);
}

static void reset(struct place *place)
{
	const struct instance *in = place->in;

	room_copy(&place->room, &place->start);
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		place->first_of[h] = INSTANCE_NONE;
		place->finish_s[h] = 0;
		place->now_bytes[h] = (int64_t)in->hosts[h].free_bytes[0];
	}
	for (uint32_t u = 0; u < place->n_units; u++)
		place->units[u].host = INSTANCE_NONE;
	for (uint32_t v = 0; v < in->n_vms; v++) {
		const struct instance_vm *vm = &in->vms[v];

		if (vm->role == INSTANCE_RUNNING && in->hosts[vm->target].in_bytes_per_s > 0)
			place->finish_s[vm->target] += instance_bytes(in, vm, vm->home,
			                                              vm->target) /
			                               in->hosts[vm->target].in_bytes_per_s;
	}
	place_update(place);
}

/* Takes work off the inbound link that is done last, while another host would be done earlier with it. */
static void even_out(struct place *place)
{
	for (unsigned n = 0; n < SHIFTS_MOST; n++) {
		uint32_t last = 0, best = INSTANCE_NONE, host = INSTANCE_NONE;
		double least;

		for (uint32_t h = 1; h < place->in->n_hosts; h++) {
			if (place->finish_s[h] > place->finish_s[last])
				last = h;
		}
		least = place->finish_s[last] * (1 - 1e-9);
		for (uint32_t u = place->first_of[last]; u != INSTANCE_NONE;) {
			uint32_t next = place->units[u].next, to;

			place_remove(place, u);
			to = place_find_host(place, u);
			if (to != INSTANCE_NONE && to != last) {
				double after = place->finish_s[to] +
				               inbound_s(place, &place->units[u], to);

				if (after < least) {
					least = after;
					best = u;
					host = to;
				}
			}
			place_put(place, u, last);
			u = next;
		}
		if (best == INSTANCE_NONE)
			return;
		place_remove(place, best);
		place_put(place, best, host);
	}
}

/* @steps: for ejections; what is used is taken off. */
static uint32_t attempt(struct place *place, const bool *hopeless, uint64_t *steps)
{
	uint32_t left_over = 0;

	/* Sizes matter more than a few hosts more or less; but where it is tight every host counts. */
	for (uint32_t u = 0; u < place->n_units; u++) {
		struct place_unit *unit = &place->units[u];

		unit->few = place->exact ? unit->n_hosts : log_2(unit->n_hosts);
		unit->weight = unit->share;
	}
	qsort_r(place->order, place->n_units, sizeof(*place->order), compare_units, place->units);
	reset(place);
	for (uint32_t i = 0; i < place->n_units; i++) {
		uint32_t u = place->order[i], host;

		if (hopeless[u])
			continue;
		host = place_find_host(place, u);
		if (host != INSTANCE_NONE) {
			place_put(place, u, host);
			continue;
		}
		/* Nobody spends what the others need, too. */
		place->steps = *steps / 4;
		*steps -= place->steps;
		if (!place_eject(place, u, EJECT_DEPTH)) {
			place->units[u].left_over++;
			left_over += place->units[u].count;
		}
		*steps += place->steps;
	}
	if (!left_over && !place->tight)
		even_out(place);
	return left_over;
}

static void take(const struct place *place, uint32_t *targets)
{
	for (uint32_t u = 0; u < place->n_units; u++) {
		for (uint32_t i = 0; i < place->units[u].count; i++)
			targets[place->members[place->units[u].first + i]] = place->units[u].host;
	}
}

/* All of those that could be placed alone, tried in every way. */
static enum place_search search_all(struct place *place, const bool *hopeless)
{
	uint32_t units[SEARCH_UNITS], n = 0;

	for (uint32_t i = 0; i < place->n_units; i++) {
		if (hopeless[place->order[i]])
			continue;
		if (n == SEARCH_UNITS)
			return PLACE_GAVE_UP;
		units[n++] = place->order[i];
	}
	place->tight = false;
	reset(place);
	return place_search(place, units, n, SEARCH_STEPS);
}

/* As @targets say. */
static void restore(struct place *place, const uint32_t *targets)
{
	reset(place);
	for (uint32_t u = 0; u < place->n_units; u++) {
		uint32_t host = targets[place->members[place->units[u].first]];

		if (host != INSTANCE_NONE)
			place_put(place, u, host);
	}
}

static void try_again(struct place *place, const bool *hopeless, uint64_t seed, uint64_t effort,
                      uint32_t best, struct placement *p)
{
	for (unsigned n = 1; best && n < ATTEMPTS && effort > place->n_units; n++) {
		uint64_t steps = effort < EJECT_STEPS ? effort : EJECT_STEPS;
		uint32_t left_over;

		effort -= steps + place->n_units < effort ? steps + place->n_units : effort;
		place->tight = n % 2;
		place->exact = n < 3;
		for (uint32_t u = 0; u < place->n_units; u++)
			place->units[u].left_over = n < 3 ? 0 : place->units[u].left_over;
		left_over = attempt(place, hopeless, &steps);
		effort += steps;
		if (left_over < best) {
			best = left_over;
			take(place, p->targets);
		}
	}
	if (best && effort) {
		restore(place, p->targets);
		if (place_repair(place, hopeless, seed, effort) < best) {
			best = 0;
			take(place, p->targets);
			for (uint32_t u = 0; u < place->n_units; u++)
				best += place->units[u].host == INSTANCE_NONE && !hopeless[u];
		}
	}
	if (best && place->n_units <= SEARCH_UNITS) {
		enum place_search verdict = search_all(place, hopeless);

		if (verdict == PLACE_FOUND)
			take(place, p->targets);
		p->searched = verdict == PLACE_NONE;
	}
}

static int compare_sizes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void make_tree(struct place *place)
{
	uint64_t *sizes = xcalloc((size_t)place->n_units + 1, sizeof(*sizes));

	for (uint32_t u = 0; u < place->n_units; u++)
		sizes[u] = place->units[u].need_bytes[0];
	qsort(sizes, place->n_units, sizeof(*sizes), compare_sizes);
	host_tree_init(&place->tree, place->in, sizes, place->n_units);
	free(sizes);
}

void place_make(const struct instance *in, uint64_t seed, uint64_t effort,
                struct placement *ret_placement)
{
	struct placement p = { .targets = xcalloc((size_t)in->n_vms + 1, sizeof(*p.targets)) };
	struct place place = { .in = in };
	uint64_t steps = effort < EJECT_STEPS ? effort : EJECT_STEPS;
	bool *hopeless;
	uint32_t best;

	room_init(&place.start, in, true);
	room_alloc(&place.room, in);
	make_units(&place);
	make_tree(&place);
	place.first_of = xcalloc((size_t)in->n_hosts + 1, sizeof(*place.first_of));
	place.finish_s = xcalloc((size_t)in->n_hosts + 1, sizeof(*place.finish_s));
	place.now_bytes = xcalloc((size_t)in->n_hosts + 1, sizeof(*place.now_bytes));
	place.order = xcalloc((size_t)place.n_units + 1, sizeof(*place.order));
	hopeless = xcalloc((size_t)place.n_units + 1, sizeof(*hopeless));
	for (uint32_t v = 0; v < in->n_vms; v++)
		p.targets[v] = INSTANCE_NONE;
	for (uint32_t u = 0; u < place.n_units; u++)
		place.order[u] = u;
	weigh(&place);
	best = attempt(&place, hopeless, &steps);
	take(&place, p.targets);
	if (best) {
		/* Who finds no place in an empty plan is not sought for again. */
		reset(&place);
		for (uint32_t u = 0; u < place.n_units; u++)
			hopeless[u] = place.units[u].left_over &&
			              place_find_host(&place, u) == INSTANCE_NONE;
		for (uint32_t u = 0; u < place.n_units; u++)
			best -= hopeless[u] ? place.units[u].count : 0;
		try_again(&place, hopeless, seed, effort, best, &p);
	}
	for (uint32_t v = 0; v < in->n_vms; v++)
		p.n_blocked += in->vms[v].role == INSTANCE_LEAVES && p.targets[v] == INSTANCE_NONE;

	free(hopeless);
	free(place.order);
	free(place.now_bytes);
	free(place.finish_s);
	free(place.first_of);
	free(place.units);
	free(place.members);
	host_tree_deinit(&place.tree);
	room_deinit(&place.room);
	room_deinit(&place.start);
	*ret_placement = p;
}

void placement_deinit(struct placement *placement)
{
	free(placement->targets);
	*placement = (struct placement){ 0 };
}
