/* SPDX-License-Identifier: Apache-2.0 */
/* What is placed where, what is left there, and which host is the best as things are. Theory: place.h. */
#include "coordinator/planner/place.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* In mean transfers: how much room that somebody has to leave first, and a soft wish, count. */
#define BORROW_WEIGHT 10
#define SOFT_WEIGHT   20

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
	if (place->rule == PLACE_ROOMIEST)
		return (double)(place->most_bytes - place->room.free_bytes[host][0]);
	if (place->rule == PLACE_TIGHT)
		return place->weight_memory * (double)place->room.free_bytes[host][0] +
		       place->weight_vcpus * (vcpus == UINT64_MAX ? 0 : (double)vcpus);
	return place->finish_s[host] + place->mean_s * get_fill(place, host);
}

static void update_tree(struct place *place, uint32_t host)
{
	host_tree_set(&place->tree, host, get_cost(place, host), place->room.free_bytes[host][0],
	              place->room.vcpus[host]);
}

double place_get_inbound_s(const struct place *place, const struct place_unit *unit, uint32_t host)
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
	place->finish_s[host] += place_get_inbound_s(place, unit, host);
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
	place->finish_s[host] -= place_get_inbound_s(place, unit, host);
	place->now_bytes[host] += (int64_t)unit->need_bytes[0];
	update_tree(place, host);
}

/* --- the best host --- */

struct judge {
	struct place *place;
	const struct place_unit *unit;
	bool fulfilled; /* only hosts that leave no wish unfulfilled */
};

static double judge_host(void *context, uint32_t host, double cost)
{
	const struct judge *judge = context;
	struct place *place = judge->place;
	const struct place_unit *unit = judge->unit;
	const struct instance_host *h = &place->in->hosts[host];

	uint32_t unwished = unit->wishes ? place_get_unwished(place, unit, host) : 0;

	if ((judge->fulfilled && unwished) || !place_fits(place, unit, host))
		return INFINITY;
	if (place->rule == PLACE_ROOMIEST)
		return cost;
	if (place->rule == PLACE_TIGHT) {
		double memory = place->weight_memory * (double)place->room.free_bytes[host][0];
		double left = memory - place->weight_memory * (double)unit->need_bytes[0];

		if (place->aligned && place->room.vcpus[host] != UINT64_MAX)
			cost += fabs(left - place->weight_vcpus * (double)(place->room.vcpus[host] -
			                                                   unit->vcpus));
		return cost;
	}
	cost += place_get_inbound_s(place, unit, host);
	if (place->largest > 0)
		cost += place->mean_s * (double)unit->need_bytes[0] /
		        (h->capacity_bytes ? (double)h->capacity_bytes : place->largest);
	if (place->now_bytes[host] < (int64_t)unit->need_bytes[0])
		cost += place->mean_s * BORROW_WEIGHT;
	return cost + place->mean_s * SOFT_WEIGHT * unwished;
}

uint32_t place_find_host(struct place *place, uint32_t u)
{
	const struct place_unit *unit = &place->units[u];
	struct judge judge = { .place = place, .unit = unit };
	uint32_t host = INSTANCE_NONE;
	double added = 0;

	/* As judge_host counts it, on the fastest and the largest host. */
	if (place->rule == PLACE_SPREAD && place->fastest > 0)
		added += unit->bytes / place->fastest;
	if (place->rule == PLACE_SPREAD && place->largest > 0)
		added += place->mean_s * (double)unit->need_bytes[0] / place->largest;
	if (unit->wishes)
		place_count_wishes(place, unit);
	judge.fulfilled = unit->wishes && place->rule == PLACE_SPREAD;
	if (judge.fulfilled)
		host = host_tree_find(&place->tree, unit->need_bytes[0], unit->vcpus, added,
		                      judge_host, &judge);
	judge.fulfilled = false;
	if (host == INSTANCE_NONE)
		host = host_tree_find(&place->tree, unit->need_bytes[0], unit->vcpus, added,
		                      judge_host, &judge);
	if (unit->wishes)
		place_forget_wishes(place, unit);
	return host;
}

void place_update(struct place *place)
{
	for (uint32_t h = 0; h < place->in->n_hosts; h++)
		host_tree_put(&place->tree, h, get_cost(place, h), place->room.free_bytes[h][0],
		              place->room.vcpus[h]);
	host_tree_build(&place->tree);
}

void place_reset(struct place *place)
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

/* --- all of it --- */

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

void place_init_books(struct place *place)
{
	const struct instance *in = place->in;

	make_tree(place);
	place->first_of = xcalloc((size_t)in->n_hosts + 1, sizeof(*place->first_of));
	place->finish_s = xcalloc((size_t)in->n_hosts + 1, sizeof(*place->finish_s));
	place->now_bytes = xcalloc((size_t)in->n_hosts + 1, sizeof(*place->now_bytes));
	place->unwished_at = xcalloc((size_t)in->n_hosts + 1, sizeof(*place->unwished_at));
	room_alloc(&place->room, in);
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		if (place->start.free_bytes[h][0] > place->most_bytes)
			place->most_bytes = place->start.free_bytes[h][0];
	}
}

uint32_t place_count_left(const struct place *place, const bool *hopeless)
{
	uint32_t left = 0;

	for (uint32_t u = 0; u < place->n_units; u++) {
		if (place->units[u].host == INSTANCE_NONE && !hopeless[u])
			left += place->units[u].count;
	}
	return left;
}
