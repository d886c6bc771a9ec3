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
	for (uint32_t i = 0; i < place->n_running; i++) {
		const struct instance_vm *vm = &in->vms[place->running[i]];

		if (in->hosts[vm->target].in_bytes_per_s > 0)
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
		place_sort_units(place);
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

/* Those that leave, then those that run. */
static void list_movers(struct place *place)
{
	const struct instance *in = place->in;
	uint32_t n, *movers = instance_list_movers(in, &n),
		    *running = xcalloc((size_t)n + 1, sizeof(*running));

	for (uint32_t i = 0; i < n; i++) {
		if (in->vms[movers[i]].role == INSTANCE_LEAVES)
			movers[place->n_leaving++] = movers[i];
		else
			running[place->n_running++] = movers[i];
	}
	memcpy(movers + place->n_leaving, running, place->n_running * sizeof(*running));
	place->leaving = movers;
	place->running = movers + place->n_leaving;
	free(running);
}

void place_make(const struct instance *in, uint64_t seed, uint64_t effort,
                struct placement *ret_placement)
{
	struct placement p = { .targets = xcalloc((size_t)in->n_vms + 1, sizeof(*p.targets)) };
	struct place place = { .in = in };
	uint64_t steps = effort < EJECT_STEPS ? effort : EJECT_STEPS;
	bool *hopeless;
	uint32_t best;

	list_movers(&place);
	room_init_movers(&place.start, in, true, place.leaving, place.n_leaving + place.n_running);
	room_alloc(&place.room, in);
	place_make_units(&place);
	make_tree(&place);
	place.first_of = xcalloc((size_t)in->n_hosts + 1, sizeof(*place.first_of));
	place.finish_s = xcalloc((size_t)in->n_hosts + 1, sizeof(*place.finish_s));
	place.now_bytes = xcalloc((size_t)in->n_hosts + 1, sizeof(*place.now_bytes));
	hopeless = xcalloc((size_t)place.n_units + 1, sizeof(*hopeless));
	memset(p.targets, 0xff, in->n_vms * sizeof(*p.targets)); /* NONE */
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
	for (uint32_t i = 0; i < place.n_leaving; i++)
		p.n_blocked += p.targets[place.leaving[i]] == INSTANCE_NONE;

	free(hopeless);
	free(place.order);
	free(place.now_bytes);
	free(place.finish_s);
	free(place.first_of);
	free(place.units);
	free(place.members);
	free(place.leaving);
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
