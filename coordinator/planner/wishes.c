/* SPDX-License-Identifier: Apache-2.0 */
/* Wishes: groups that are soft. Theory: place.h.
 *
 *	apart      with each other member of it that is on the host one more is unfulfilled
 *	together   with each that is placed, and not there
 *	on         where the host is none of those wished for
 *
 * Counted once for all hosts: what is so everywhere, and what differs where some member is. So a large
 * group costs its size for each choice, and not for each host that is looked at.
 */
#include "coordinator/planner/place.h"

#include "common/alloc.h"

/* @sign 0: what was counted is forgotten. */
static void count(struct place *place, const struct instance_group *group, uint32_t v, int32_t sign)
{
	for (uint32_t k = 0; k < group->n_vms; k++) {
		uint32_t at = place->room.at[group->vms[k]];

		if (group->vms[k] == v || at == INSTANCE_NONE)
			continue;
		if (!sign)
			place->unwished_at[at] = 0;
		else if (group->kind == INSTANCE_APART)
			place->unwished_at[at]++;
		else
			place->unwished_at[at]--;
		place->unwished += sign && group->kind == INSTANCE_TOGETHER;
	}
}

static void count_all(struct place *place, const struct place_unit *unit, int32_t sign)
{
	const struct instance *in = place->in;

	place->unwished = 0;
	for (uint32_t i = 0; i < unit->count; i++) {
		uint32_t v = place->members[unit->first + i];

		for (uint32_t g = in->group_first[v]; g < in->group_first[v + 1]; g++) {
			const struct instance_group *group = &in->groups[in->group_of[g]];

			if (!group->hard && group->kind != INSTANCE_ON)
				count(place, group, v, sign);
		}
	}
}

void place_count_wishes(struct place *place, const struct place_unit *unit)
{
	count_all(place, unit, 1);
}

void place_forget_wishes(struct place *place, const struct place_unit *unit)
{
	count_all(place, unit, 0);
}

uint32_t place_get_unwished(const struct place *place, const struct place_unit *unit, uint32_t host)
{
	const struct instance *in = place->in;
	uint32_t n = (uint32_t)((int32_t)place->unwished + place->unwished_at[host]);

	for (uint32_t i = 0; i < unit->count; i++) {
		uint32_t v = place->members[unit->first + i];

		for (uint32_t g = in->group_first[v]; g < in->group_first[v + 1]; g++) {
			const struct instance_group *group = &in->groups[in->group_of[g]];

			n += group->kind == INSTANCE_ON &&
			     !instance_allows(in, group->class_id, host);
		}
	}
	return n;
}

static uint32_t count_at(struct place *place, const struct place_unit *unit, uint32_t host)
{
	uint32_t n;

	place_count_wishes(place, unit);
	n = place_get_unwished(place, unit, host);
	place_forget_wishes(place, unit);
	return n;
}

void place_fulfil(struct place *place)
{
	for (uint32_t i = 0; i < place->n_units; i++) {
		uint32_t u = place->order[i], host = place->units[u].host, to, unwished;
		const struct place_unit *unit = &place->units[u];

		if (!unit->wishes || host == INSTANCE_NONE)
			continue;
		place_remove(place, u);
		unwished = count_at(place, unit, host);
		to = unwished ? place_find_host(place, u) : INSTANCE_NONE;
		if (to == INSTANCE_NONE || count_at(place, unit, to) >= unwished)
			to = host;
		place_put(place, u, to);
	}
}
