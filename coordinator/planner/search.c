/* SPDX-License-Identifier: Apache-2.0 */
/* Trying everything: branch and bound over units in their order. Theory: place.h.
 *
 * A branch ends where what is left needs more than there is on hosts that could take the smallest of
 * it, and a host on which a unit would be as well off as on one that was tried is not tried. The
 * tightest host comes first: what is left over stays large.
 */
#include "coordinator/planner/place.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

#define UNITS_MOST 64
#define HOSTS_MOST 256
#define STEPS_MOST 2000000

struct search {
	struct place *place;
	uint32_t units[UNITS_MOST], n;
	/* Of the units from each on: what they need in sum, and the smallest. */
	uint64_t needs[UNITS_MOST + 1], least[UNITS_MOST + 1];
	bool alike; /* hosts differ by nothing but what is left on them */
	uint64_t left;
};

/* One guest is as well off on these hosts as on any, but for room. */
static bool are_alike(const struct search *s)
{
	const struct instance *in = s->place->in;

	if (in->n_groups)
		return false;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct place_unit *unit = &s->place->units[s->units[i]];

		for (uint32_t k = 0; k < unit->count; k++) {
			const struct instance_vm *vm = &in->vms[s->place->members[unit->first + k]];

			if (vm->class_id || vm->target != INSTANCE_NONE || in->hosts[vm->home].open)
				return false;
		}
	}
	return true;
}

static bool is_same_room(const struct room *room, uint32_t a, uint32_t b)
{
	return room->vcpus[a] == room->vcpus[b] &&
	       memcmp(room->free_bytes[a], room->free_bytes[b], sizeof(*room->free_bytes)) == 0;
}

static bool is_hopeless(const struct search *s, uint32_t i)
{
	const struct place *place = s->place;
	uint64_t there = 0;

	for (uint32_t h = 0; h < place->in->n_hosts; h++) {
		uint64_t left = place->room.free_bytes[h][0];

		if (place->in->hosts[h].open && left >= s->least[i])
			there += left;
	}
	return there < s->needs[i];
}

struct option {
	uint64_t left;
	uint32_t leaf, host;
};

static int compare_options(const void *a, const void *b)
{
	const struct option *x = a, *y = b;

	if (x->left != y->left)
		return x->left < y->left ? -1 : 1;
	return x->leaf < y->leaf ? -1 : x->leaf > y->leaf;
}

/* Hosts for the @i-th unit, the tightest first; of those alike only one. */
static uint32_t list_options(const struct search *s, uint32_t i, struct option *options)
{
	struct place *place = s->place;
	uint32_t n = 0, kept = 0;

	for (uint32_t leaf = 0; leaf < place->in->n_hosts; leaf++) {
		uint32_t host = place->tree.hosts[leaf];

		if (place_fits(place, &place->units[s->units[i]], host))
			options[n++] = (struct option){ .left = place->room.free_bytes[host][0],
				                        .leaf = leaf,
				                        .host = host };
	}
	qsort(options, n, sizeof(*options), compare_options);
	for (uint32_t o = 0; o < n; o++) {
		bool same = false;

		for (uint32_t k = kept;
		     s->alike && k > 0 && !same && options[k - 1].left == options[o].left; k--)
			same = is_same_room(&place->room, options[k - 1].host, options[o].host);
		if (!same)
			options[kept++] = options[o];
	}
	return kept;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as there are units */
static enum place_search search(struct search *s, uint32_t i)
{
	uint32_t hosts = s->place->in->n_hosts;
	enum place_search verdict = PLACE_NONE;
	struct option *options;
	uint32_t n;

	if (i == s->n)
		return PLACE_FOUND;
	if (s->left < hosts)
		return PLACE_GAVE_UP;
	s->left -= hosts;
	if (is_hopeless(s, i))
		return PLACE_NONE;
	options = xcalloc((size_t)hosts + 1, sizeof(*options));
	n = list_options(s, i, options);
	for (uint32_t o = 0; o < n && verdict == PLACE_NONE; o++) {
		place_put(s->place, s->units[i], options[o].host);
		verdict = search(s, i + 1);
		if (verdict != PLACE_FOUND)
			place_remove(s->place, s->units[i]);
	}
	free(options);
	return verdict;
}

enum place_search place_search(struct place *place, const bool *hopeless, uint64_t steps)
{
	struct search s = { .place = place, .left = steps < STEPS_MOST ? steps : STEPS_MOST };

	place_reset(place);
	if (place->in->n_hosts > HOSTS_MOST)
		return PLACE_GAVE_UP;
	for (uint32_t i = 0; i < place->n_units; i++) {
		if (hopeless[place->order[i]])
			continue;
		if (s.n == UNITS_MOST)
			return PLACE_GAVE_UP;
		s.units[s.n++] = place->order[i];
	}
	s.least[s.n] = UINT64_MAX;
	for (uint32_t i = s.n; i-- > 0;) {
		uint64_t need = place->units[s.units[i]].need_bytes[0];

		s.needs[i] = s.needs[i + 1] + need;
		s.least[i] = need < s.least[i + 1] ? need : s.least[i + 1];
	}
	s.alike = are_alike(&s);
	return search(&s, 0);
}
