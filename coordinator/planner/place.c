/* SPDX-License-Identifier: Apache-2.0 */
/* Placement. Theory: place.h. */
#include "coordinator/planner/place.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EJECT_DEPTH 3
#define EJECT_STEPS 50000 /* in an attempt */
#define SHIFTS_MOST 64
/* Steps of a search are cheap: a look at a host, and nothing is moved for it. */
#define SEARCH_SHARE 4

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
				               place_get_inbound_s(place, &place->units[u], to);

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

	place_reset(place);
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
	if (!left_over && place->rule == PLACE_SPREAD)
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

/* As @targets say; those without, and whose place is taken, are left out. Returns how many could be
 * placed but are not. */
static uint32_t restore(struct place *place, const bool *hopeless, const uint32_t *targets)
{
	uint32_t left_over = 0;

	place_reset(place);
	for (uint32_t i = 0; i < place->n_units; i++) {
		uint32_t u = place->order[i];
		const struct place_unit *unit = &place->units[u];
		uint32_t host = targets[place->members[unit->first]];

		if (host != INSTANCE_NONE && place_fits(place, unit, host))
			place_put(place, u, host);
		else if (!hopeless[u])
			left_over += unit->count;
	}
	return left_over;
}

/* Where they were to go when this was planned before: what was found once, with more effort or luck,
 * is not lost. Those that are left over go where there is room then. */
static uint32_t try_hints(struct place *place, const bool *hopeless)
{
	const struct instance *in = place->in;
	uint32_t *hints = xcalloc((size_t)in->n_vms + 1, sizeof(*hints));
	uint32_t left_over = 0;

	for (uint32_t i = 0; i < place->n_leaving; i++)
		hints[place->leaving[i]] = in->vms[place->leaving[i]].hint;
	restore(place, hopeless, hints);
	for (uint32_t i = 0; i < place->n_units; i++) {
		uint32_t u = place->order[i], host;

		if (hopeless[u] || place->units[u].host != INSTANCE_NONE)
			continue;
		host = place_find_host(place, u);
		if (host != INSTANCE_NONE)
			place_put(place, u, host);
		else
			left_over += place->units[u].count;
	}
	free(hints);
	return left_over;
}

static uint32_t keep_better(const struct place *place, uint32_t left_over, uint32_t best,
                            struct placement *p)
{
	if (left_over >= best)
		return best;
	take(place, p->targets);
	return left_over;
}

static void try_again(struct place *place, const bool *hopeless, uint64_t seed, uint64_t effort,
                      uint32_t best, struct placement *p)
{
	static const struct {
		enum place_rule rule;
		bool exact, left_over; /* every host counts; those that were left over go first */
	} again[] = {
		{ PLACE_ROOMIEST, false, false },
		{ PLACE_TIGHT, true, false },
		{ PLACE_SPREAD, true, false },
		{ PLACE_TIGHT, false, true },
	};
	uint64_t all = effort;

	/* For the sake of a wish nobody is left over. */
	place->by_wishes = false;
	best = keep_better(place, try_hints(place, hopeless), best, p);
	for (size_t n = 0; best && n < ARRAY_SIZE(again) && effort > place->n_units; n++) {
		uint64_t steps = effort < EJECT_STEPS ? effort : EJECT_STEPS;

		effort -= steps + place->n_units < effort ? steps + place->n_units : effort;
		place->rule = again[n].rule;
		place->exact = again[n].exact;
		for (uint32_t u = 0; u < place->n_units; u++)
			place->units[u].left_over = again[n].left_over ? place->units[u].left_over
			                                               : 0;
		place_sort_units(place);
		best = keep_better(place, attempt(place, hopeless, &steps), best, p);
		effort += steps;
	}
	if (best && effort) {
		restore(place, hopeless, p->targets);
		place_repair(place, hopeless, seed, effort);
		best = keep_better(place, place_count_left(place, hopeless), best, p);
	}
	if (best) {
		enum place_search verdict = place_search(place, hopeless, all * SEARCH_SHARE);

		if (verdict == PLACE_FOUND)
			take(place, p->targets);
		p->searched = verdict == PLACE_NONE;
	}
}

static void fulfil(struct place *place, const bool *hopeless, struct placement *p)
{
	place->rule = PLACE_SPREAD;
	restore(place, hopeless, p->targets);
	place_fulfil(place);
	take(place, p->targets);
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
	place_make_units(&place);
	place_init_books(&place);
	hopeless = xcalloc((size_t)place.n_units + 1, sizeof(*hopeless));
	memset(p.targets, 0xff, in->n_vms * sizeof(*p.targets)); /* NONE */
	best = attempt(&place, hopeless, &steps);
	take(&place, p.targets);
	if (best) {
		/* Who finds no place in an empty plan is not sought for again. */
		place_reset(&place);
		for (uint32_t u = 0; u < place.n_units; u++)
			hopeless[u] = place.units[u].left_over &&
			              place_find_host(&place, u) == INSTANCE_NONE;
		for (uint32_t u = 0; u < place.n_units; u++)
			best -= hopeless[u] ? place.units[u].count : 0;
		try_again(&place, hopeless, seed, effort, best, &p);
	}
	if (place.any_wishes)
		fulfil(&place, hopeless, &p);
	for (uint32_t i = 0; i < place.n_leaving; i++)
		p.n_blocked += p.targets[place.leaving[i]] == INSTANCE_NONE;

	free(hopeless);
	free(place.order);
	free(place.now_bytes);
	free(place.unwished_at);
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
