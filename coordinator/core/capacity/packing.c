/* SPDX-License-Identifier: Apache-2.0 */
/* See packing.h. Rooms are left[] as they fill up; a guest is known by its place in the falling order.
 * Branch and bound takes guests in that order and skips a room as large as one that was tried. */
#include "coordinator/core/capacity/packing.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

#define NOWHERE SIZE_MAX

static bool spend(struct packing *p, uint64_t steps)
{
	if (p->steps < steps) {
		p->steps = 0;
		return false;
	}
	p->steps -= steps;
	return true;
}

static bool may(const struct packing *p, size_t guest, size_t room)
{
	return !p->may || p->may(p->context, guest, room);
}

/* Guests are placed in their order: @rooms has those of all before it. */
static bool may_beside(const struct packing *p, size_t guest, size_t room, const size_t *rooms)
{
	return may(p, guest, room) && (!p->beside || p->beside(p->context, guest, room, rooms));
}

static uint64_t *copy_rooms(const struct packing *p)
{
	uint64_t *left = xcalloc(p->n_rooms + 1, sizeof(*left));

	if (p->n_rooms)
		memcpy(left, p->rooms, p->n_rooms * sizeof(*left));
	return left;
}

/* --- one room after the other --- */

/* Like pushing down in a heap: order[] by what is left, the most on top. */
static void sink(size_t *order, size_t n, const uint64_t *left)
{
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1, t;

		if (child >= n)
			return;
		if (child + 1 < n && left[order[child + 1]] > left[order[child]])
			child++;
		if (left[order[child]] <= left[order[i]])
			return;
		t = order[i];
		order[i] = order[child];
		order[child] = t;
		i = child;
	}
}

struct ordered {
	uint64_t room;
	size_t index;
};

/* The roomiest first; of those alike the first. */
static int compare_rooms(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->room != y->room)
		return x->room < y->room ? 1 : -1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static size_t *order_rooms(const struct packing *p)
{
	struct ordered *all = xcalloc(p->n_rooms + 1, sizeof(*all));
	size_t *order = xcalloc(p->n_rooms + 1, sizeof(*order));

	for (size_t i = 0; i < p->n_rooms; i++)
		all[i] = (struct ordered){ p->rooms[i], i };
	qsort(all, p->n_rooms, sizeof(*all), compare_rooms);
	for (size_t i = 0; i < p->n_rooms; i++)
		order[i] = all[i].index;
	free(all);
	return order;
}

/* The largest guest to the roomiest room, where any guest may go to any: a heap. */
static bool fill_roomiest(struct packing *p, const size_t *sorted, uint64_t *left,
                          size_t *ret_rooms)
{
	/* More rooms than guests are never looked at: the heap keeps the roomiest. */
	size_t n = p->n_rooms < p->n_needs + 1 ? p->n_rooms : p->n_needs + 1;
	size_t *order = xmemdup(sorted, (n + 1) * sizeof(*order));
	bool all = spend(p, 16 * (p->n_needs + 1));

	/* Falling order is a heap. */
	for (size_t g = 0; all && g < p->n_needs; g++) {
		if (n == 0 || left[order[0]] < p->needs[g]) {
			all = false;
			break;
		}
		ret_rooms[g] = order[0];
		left[order[0]] -= p->needs[g];
		sink(order, n, left);
	}
	free(order);
	return all;
}

/* Each guest to the best room by @tightest, looking at all of them. */
static bool fill_looking(struct packing *p, bool tightest, uint64_t *left, size_t *ret_rooms)
{
	for (size_t g = 0; g < p->n_needs; g++) {
		size_t best = NOWHERE;

		if (!spend(p, p->n_rooms))
			return false;
		for (size_t r = 0; r < p->n_rooms; r++) {
			if (left[r] < p->needs[g] || !may_beside(p, g, r, ret_rooms))
				continue;
			if (best == NOWHERE ||
			    (tightest ? left[r] < left[best] : left[r] > left[best]))
				best = r;
		}
		if (best == NOWHERE)
			return false;
		ret_rooms[g] = best;
		left[best] -= p->needs[g];
	}
	return true;
}

/* --- bounds --- */

static bool fits_somewhere(struct packing *p, size_t guest, size_t roomiest)
{
	if (!p->may)
		return p->n_rooms && p->rooms[roomiest] >= p->needs[guest];
	for (size_t r = 0; r < p->n_rooms; r++) {
		if (p->rooms[r] >= p->needs[guest] && may(p, guest, r))
			return true;
	}
	return false;
}

/* Guests that need @at_least or more: the first @guests of them. What a room can hold of them is
 * never more than floor(room / at_least), nor than the room. */
static bool is_over(struct packing *p, size_t guests, uint64_t need, struct packing_answer *answer)
{
	uint64_t at_least = p->needs[guests - 1], places = 0, room = 0;

	for (size_t r = 0; r < p->n_rooms; r++) {
		if (p->rooms[r] < at_least)
			continue;
		places += at_least ? p->rooms[r] / at_least : guests;
		room += p->rooms[r];
	}
	if (places >= guests && room >= need)
		return false;
	*answer = (struct packing_answer){
		.verdict = PACKING_NO,
		.proof = places < guests ? PACKING_TOO_MANY : PACKING_TOO_LARGE,
		.at_least = at_least,
		.need = need,
		.room = room,
		.guests = guests,
		.places = places,
	};
	return true;
}

/* Whether there is a short proof that they do not fit. */
static bool is_refuted(struct packing *p, size_t roomiest, struct packing_answer *answer)
{
	uint64_t need = 0;

	for (size_t g = 0; g < p->n_needs; g++) {
		if ((p->may || g == 0) && !fits_somewhere(p, g, roomiest)) {
			*answer = (struct packing_answer){ .verdict = PACKING_NO,
				                           .proof = PACKING_NO_PLACE,
				                           .guest = g,
				                           .need = p->needs[g] };
			return true;
		}
		if (!spend(p, p->may ? p->n_rooms : 1))
			return false;
	}
	for (size_t g = 0; g < p->n_needs; g++) {
		need += p->needs[g];
		if (g + 1 < p->n_needs && p->needs[g + 1] == p->needs[g])
			continue;
		if (!spend(p, p->n_rooms))
			return false;
		if (is_over(p, g + 1, need, answer))
			return true;
	}
	return false;
}

/* --- branch and bound --- */

struct search {
	struct packing *p;
	uint64_t *left;
	uint64_t *tail; /* what the guests from here on need together */
	size_t *rooms;
};

/* Whether an earlier room that was tried is as good as this one. */
static bool is_tried(const struct search *s, size_t guest, size_t room)
{
	if (s->p->may)
		return false;
	for (size_t r = 0; r < room; r++) {
		if (s->left[r] == s->left[room] && s->left[r] >= s->p->needs[guest])
			return true;
	}
	return false;
}

static bool is_hopeless(const struct search *s, size_t guest)
{
	uint64_t room = 0, smallest = s->p->needs[s->p->n_needs - 1];

	for (size_t r = 0; r < s->p->n_rooms; r++)
		room += s->left[r] >= smallest ? s->left[r] : 0;
	return room < s->tail[guest];
}

/* YES, NO or UNKNOWN for the guests from @guest on. Depth: the number of guests, which the caller
 * bounds. NOLINTBEGIN(misc-no-recursion) */
static enum packing_verdict descend(struct search *s, size_t guest)
{
	struct packing *p = s->p;

	if (guest == p->n_needs)
		return PACKING_YES;
	if (!spend(p, 2 * p->n_rooms + 1))
		return PACKING_UNKNOWN;
	if (is_hopeless(s, guest))
		return PACKING_NO;
	for (size_t r = 0; r < p->n_rooms; r++) {
		enum packing_verdict below;

		if (s->left[r] < p->needs[guest] || !may_beside(p, guest, r, s->rooms))
			continue;
		if (!spend(p, p->may ? 0 : r) || p->steps == 0)
			return PACKING_UNKNOWN;
		if (is_tried(s, guest, r))
			continue;
		s->left[r] -= p->needs[guest];
		s->rooms[guest] = r;
		below = descend(s, guest + 1);
		s->left[r] += p->needs[guest];
		if (below != PACKING_NO)
			return below;
	}
	return PACKING_NO;
}
/* NOLINTEND(misc-no-recursion) */

/* Deeper than this nothing is found in the steps that there are. */
#define SEARCH_GUESTS_MAX 64

static enum packing_verdict search(struct packing *p, size_t *ret_rooms)
{
	struct search s = { .p = p, .rooms = ret_rooms };
	enum packing_verdict verdict;

	if (p->n_needs > SEARCH_GUESTS_MAX)
		return PACKING_UNKNOWN;
	s.left = copy_rooms(p);
	s.tail = xcalloc(p->n_needs + 1, sizeof(*s.tail));
	for (size_t g = p->n_needs; g > 0; g--)
		s.tail[g - 1] = s.tail[g] + p->needs[g - 1];
	verdict = descend(&s, 0);
	free(s.left);
	free(s.tail);
	return verdict;
}

/* --- all of it --- */

static bool fill(struct packing *p, const size_t *sorted, struct packing_answer *answer,
                 size_t *ret_rooms)
{
	for (int tightest = 0; tightest < 2; tightest++) {
		uint64_t *left = copy_rooms(p);
		bool all;

		all = !tightest && !p->may ? fill_roomiest(p, sorted, left, ret_rooms)
		                           : fill_looking(p, tightest, left, ret_rooms);
		free(left);
		if (all) {
			*answer = (struct packing_answer){ .verdict = PACKING_YES,
				                           .roomiest = !tightest };
			return true;
		}
	}
	return false;
}

struct packing_answer packing_solve(struct packing *p, size_t *ret_rooms)
{
	struct packing_answer answer = { .verdict = PACKING_YES, .roomiest = true };
	size_t *sorted;

	if (p->n_needs == 0)
		return answer;
	sorted = order_rooms(p);
	if (p->quick && !fill(p, sorted, &answer, ret_rooms)) {
		answer = (struct packing_answer){ .verdict = PACKING_UNKNOWN };
	} else if (!p->quick && !fill(p, sorted, &answer, ret_rooms) &&
	           !is_refuted(p, sorted[0], &answer)) {
		answer = (struct packing_answer){ .verdict = search(p, ret_rooms) };
		if (answer.verdict == PACKING_NO)
			answer.proof = PACKING_SEARCHED;
	}
	free(sorted);
	return answer;
}
