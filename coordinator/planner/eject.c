/* SPDX-License-Identifier: Apache-2.0 */
/* Room where there is none: chains of units that make way for each other.
 * Theory: place.h. Only units of this plan are moved; who stays is left in peace. */
#include "coordinator/planner/place.h"

#include <stdlib.h>

/* @unit could be on @host were nobody else of this plan there. */
static bool is_possible(const struct place *place, const struct place_unit *unit, uint32_t host)
{
	uint64_t vcpus = 0, need_bytes[INSTANCE_POOLS] = { 0 };

	for (uint32_t i = 0; i < unit->count; i++) {
		uint32_t v = place->members[unit->first + i];

		if (room_check(&place->start, v, host, NULL) != ROOM_FITS)
			return false;
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			need_bytes[p] += instance_need(&place->in->vms[v], p);
		vcpus += place->in->vms[v].vcpus;
	}
	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		if (place->start.free_bytes[host][p] < need_bytes[p])
			return false;
	}
	return place->start.vcpus[host] >= vcpus;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the chain may be */
static bool make_way(struct place *place, uint32_t u, uint32_t host, uint32_t w, unsigned depth)
{
	uint32_t to;

	place_remove(place, w);
	if (place_fits(place, &place->units[u], host)) {
		place_put(place, u, host);
		to = place_find_host(place, w);
		if (to != INSTANCE_NONE) {
			place_put(place, w, to);
			return true;
		}
		if (depth > 1 && place_eject(place, w, depth - 1))
			return true;
		place_remove(place, u);
	}
	place_put(place, w, host);
	return false;
}

bool place_eject(struct place *place, uint32_t u, unsigned depth) /* NOLINT(misc-no-recursion) */
{
	const struct instance *in = place->in;

	for (uint32_t leaf = 0; leaf < in->n_hosts && place->steps; leaf++) {
		uint32_t host = place->tree.hosts[leaf];

		place->steps--;
		if (!in->hosts[host].open || !is_possible(place, &place->units[u], host))
			continue;
		for (uint32_t w = place->first_of[host]; w != INSTANCE_NONE && place->steps;) {
			/* It leaves the list and comes back at its front. */
			uint32_t next = place->units[w].next;

			place->steps--;
			if (w != u && make_way(place, u, host, w, depth))
				return true;
			w = next;
		}
	}
	return false;
}
