/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proof_checker.h"

#include <stdlib.h>
#include <string.h>

#define ROOMS_MAX 16

static bool may(const struct packing *p, size_t guest, size_t room)
{
	return !p->may || p->may(p->context, guest, room);
}

/* Every room for every guest: the depth is the number of guests. NOLINTBEGIN(misc-no-recursion) */
static bool try_all(const struct packing *p, size_t guest, uint64_t *used)
{
	if (guest == p->n_needs)
		return true;
	for (size_t r = 0; r < p->n_rooms; r++) {
		bool fits;

		if (used[r] + p->needs[guest] > p->rooms[r] || !may(p, guest, r))
			continue;
		used[r] += p->needs[guest];
		fits = try_all(p, guest + 1, used);
		used[r] -= p->needs[guest];
		if (fits)
			return true;
	}
	return false;
}
/* NOLINTEND(misc-no-recursion) */

bool checker_fits(const struct packing *p)
{
	uint64_t used[ROOMS_MAX] = { 0 };

	return try_all(p, 0, used);
}

static const char *check_places(const struct packing *p, const size_t *rooms)
{
	uint64_t used[ROOMS_MAX] = { 0 };

	for (size_t g = 0; g < p->n_needs; g++) {
		if (rooms[g] >= p->n_rooms)
			return "a guest goes to a room that there is not";
		if (!may(p, g, rooms[g]))
			return "a guest goes where it may not";
		used[rooms[g]] += p->needs[g];
		if (used[rooms[g]] > p->rooms[rooms[g]])
			return "a room is overfull";
	}
	return NULL;
}

static const char *check_count(const struct packing *p, const struct packing_answer *a)
{
	uint64_t guests = 0, need = 0, places = 0, room = 0;

	for (size_t g = 0; g < p->n_needs; g++) {
		if (p->needs[g] >= a->at_least) {
			guests++;
			need += p->needs[g];
		}
	}
	for (size_t r = 0; r < p->n_rooms; r++) {
		uint64_t left = p->rooms[r];

		room += left >= a->at_least ? left : 0;
		for (; left >= a->at_least && places <= guests; left -= a->at_least)
			places++;
	}
	if (guests != a->guests || need != a->need)
		return "the guests of that size are others";
	if (a->proof == PACKING_TOO_MANY)
		return places == a->places && places < guests ? NULL : "there are places enough";
	return room == a->room && room < need ? NULL : "there is room enough";
}

static const char *check_no_place(const struct packing *p, const struct packing_answer *a)
{
	for (size_t r = 0; r < p->n_rooms; r++) {
		if (p->rooms[r] >= p->needs[a->guest] && may(p, a->guest, r))
			return "that guest has a place";
	}
	return NULL;
}

const char *checker_find_fault(const struct packing *p, const struct packing_answer *a,
                               const size_t *rooms)
{
	switch (a->verdict) {
	case PACKING_YES:
		return check_places(p, rooms);
	case PACKING_UNKNOWN:
		return NULL;
	case PACKING_NO:
		break;
	}
	switch (a->proof) {
	case PACKING_NO_PLACE:
		return check_no_place(p, a);
	case PACKING_TOO_MANY:
	case PACKING_TOO_LARGE:
		return check_count(p, a);
	case PACKING_SEARCHED:
		return checker_fits(p) ? "they fit" : NULL;
	case PACKING_SHORT_OF_VCPUS: /* not from bytes */
	case PACKING_NO_PROOF:
		break;
	}
	return "a no without a proof";
}
