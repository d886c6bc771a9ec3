/* SPDX-License-Identifier: Apache-2.0 */
/* Room for the last ones: a few hosts are emptied of what this plan put there, and filled again together
 * with those who have no place, in a slightly different order; what comes out worse is taken back.
 * Theory: place.h. */
#include "coordinator/planner/place.h"

#include "common/alloc.h"

#include <stdlib.h>

#define HOSTS_MOST 6
#define POOL_MOST  160
#define LEFT_MOST  8    /* of those without a place, at a time */
#define MODE_TURNS 64   /* then another rule is tried */
#define NOISE      0.25 /* of a share, in the order */

struct repair {
	struct place *place;
	uint32_t *left; /* those without a place */
	uint32_t n_left;
	uint64_t random;
	uint32_t pool[POOL_MOST], from[POOL_MOST], n; /* who is placed anew, and was where */
};

static uint32_t draw(struct repair *r, uint32_t below)
{
	r->random = instance_mix(r->random, 11);
	return (uint32_t)((r->random >> 32) * below >> 32);
}

static void take_out(struct repair *r, uint32_t host)
{
	while (r->place->first_of[host] != INSTANCE_NONE && r->n < POOL_MOST) {
		uint32_t u = r->place->first_of[host];

		r->pool[r->n] = u;
		r->from[r->n++] = host;
		place_remove(r->place, u);
	}
}

static int compare_weights(const void *a, const void *b, void *context)
{
	const struct place_unit *units = context;
	const struct place_unit *x = &units[*(const uint32_t *)a],
				*y = &units[*(const uint32_t *)b];

	if (x->few != y->few)
		return x->few < y->few ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->key < y->key ? -1 : x->key > y->key;
}

static double sum_unplaced(const struct repair *r, const uint32_t *units, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (r->place->units[units[i]].host == INSTANCE_NONE)
			sum += r->place->units[units[i]].share;
	}
	return sum;
}

static void fill(struct repair *r)
{
	uint32_t order[POOL_MOST];

	for (uint32_t i = 0; i < r->n; i++) {
		struct place_unit *unit = &r->place->units[r->pool[i]];

		order[i] = r->pool[i];
		unit->weight = unit->share * (1 + NOISE * draw(r, 1024) / 1024.0);
	}
	qsort_r(order, r->n, sizeof(*order), compare_weights, r->place->units);
	for (uint32_t i = 0; i < r->n; i++) {
		uint32_t host = place_find_host(r->place, order[i]);

		if (host != INSTANCE_NONE)
			place_put(r->place, order[i], host);
	}
}

static void take_back(struct repair *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->place->units[r->pool[i]].host != INSTANCE_NONE)
			place_remove(r->place, r->pool[i]);
	}
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->from[i] != INSTANCE_NONE)
			place_put(r->place, r->pool[i], r->from[i]);
	}
}

static void forget_placed(struct repair *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_left; i++) {
		if (r->place->units[r->left[i]].host == INSTANCE_NONE)
			r->left[n++] = r->left[i];
	}
	/* Others may have lost their place instead. */
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->from[i] != INSTANCE_NONE &&
		    r->place->units[r->pool[i]].host == INSTANCE_NONE)
			r->left[n++] = r->pool[i];
	}
	r->n_left = n;
}

static uint32_t try(struct repair *r)
{
	uint32_t hosts = 2 + draw(r, HOSTS_MOST - 1), first = draw(r, r->n_left);
	uint32_t n_left = r->n_left < LEFT_MOST ? r->n_left : LEFT_MOST;
	double before;

	r->n = 0;
	for (uint32_t i = 0; i < n_left; i++) {
		r->pool[r->n] = r->left[(first + i) % r->n_left];
		r->from[r->n++] = INSTANCE_NONE;
	}
	before = sum_unplaced(r, r->pool, r->n);
	for (uint32_t i = 0; i < hosts; i++)
		take_out(r, r->place->tree.hosts[draw(r, r->place->in->n_hosts)]);
	fill(r);
	if (sum_unplaced(r, r->pool, r->n) > before * (1 + 1e-12))
		take_back(r);
	else
		forget_placed(r);
	return r->n + 1;
}

void place_repair(struct place *place, const bool *hopeless, uint64_t seed, uint64_t effort)
{
	struct repair r = {
		.place = place,
		.left = xcalloc((size_t)place->n_units + POOL_MOST, sizeof(*r.left)),
		.random = seed + 1,
	};

	/* By key: the order of the arrays decides nothing. */
	for (uint32_t i = 0; i < place->n_units; i++) {
		uint32_t u = place->order[i];

		if (place->units[u].host == INSTANCE_NONE && !hopeless[u])
			r.left[r.n_left++] = u;
	}
	for (uint64_t turn = 0; r.n_left && effort; turn++) {
		uint64_t cost;

		if (turn % MODE_TURNS == 0) {
			place->rule = turn / MODE_TURNS % 3 ? PLACE_TIGHT : PLACE_SPREAD;
			place->aligned = turn / MODE_TURNS % 3 == 2;
			place_update(place);
		}
		cost = (uint64_t)try(&r) * REPAIR_STEPS;
		effort -= cost < effort ? cost : effort;
	}
	free(r.left);
}
