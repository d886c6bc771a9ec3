/* SPDX-License-Identifier: Apache-2.0 */
/* See lanes.h. Pure. */
#include "agent/kernel/lanes.h"

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What it would take if it were alone. */
static uint64_t wish_of(const struct lane *l)
{
	uint64_t wish = l->path_bytes_per_s;

	if (l->limit_bytes_per_s)
		wish = least(wish, l->limit_bytes_per_s);
	if (l->takes_bytes_per_s)
		wish = least(wish, l->takes_bytes_per_s);
	return wish;
}

static uint64_t milliseconds(uint64_t bytes, uint64_t bytes_per_s)
{
	return (uint64_t)((double)bytes * 1000 / (double)bytes_per_s);
}

static uint64_t left_ms(const struct lane *l)
{
	/* One that stands still writes nothing, nor does one that runs elsewhere already. */
	uint64_t wish = wish_of(l), dirty = l->urgent ? 0 : l->dirty_bytes_per_s;

	return wish > dirty ? milliseconds(l->left_bytes, wish - dirty) : LANES_NEVER_MS;
}

static bool is_patient(const struct lane *l)
{
	return l->held_ms < LANES_PATIENCE * milliseconds(l->whole_bytes, wish_of(l));
}

/* Whether @a goes before @b; of those alike the one that is listed first. */
static bool is_before(const struct lane *a, const struct lane *b)
{
	double x = (double)a->left_ms, y = (double)b->left_ms;

	if (a->urgent != b->urgent)
		return a->urgent;
	x *= a->held ? 100 : 100 - LANES_BONUS_PERCENT;
	y *= b->held ? 100 : 100 - LANES_BONUS_PERCENT;
	return x < y || (x == y && a < b);
}

static void sort(const struct lane *lanes, size_t n, size_t *order)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i;

		for (; at > 0 && is_before(&lanes[i], &lanes[order[at - 1]]); at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
}

/* False: there is nothing to share, or nothing to share by. */
static bool prepare(struct lane *lanes, size_t n, uint64_t *ret_link, uint64_t *ret_floor)
{
	uint64_t link = 0, holdable = 0;

	for (size_t i = 0; i < n; i++) {
		struct lane *l = &lanes[i];

		l->hold_bytes_per_s = l->wait_ms = l->left_ms = 0;
		l->first = LANES_NOBODY;
	}
	if (n < 2 || n > LANES_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct lane *l = &lanes[i];

		if (!l->path_bytes_per_s)
			return false;
		l->left_ms = left_ms(l);
		/* The link of this host carries what the best of the ways that begin at it does. */
		if (l->path_bytes_per_s > link)
			link = l->path_bytes_per_s;
		holdable += l->may_be_held;
	}
	if (!holdable)
		return false;
	/* One of them goes first. */
	if (holdable == n)
		holdable--;
	*ret_link = link;
	*ret_floor = link / 100 * LANES_FLOOR_PERCENT / holdable;
	return *ret_floor >= LANES_FLOOR_BYTES_PER_S;
}

void lanes_choose(struct lane *lanes, size_t n)
{
	uint64_t link, floor, rest, ahead_ms = 0;
	size_t order[LANES_MAX], first = LANES_NOBODY;

	if (!prepare(lanes, n, &link, &floor))
		return;
	sort(lanes, n, order);
	rest = link / 100 * (100 - LANES_FLOOR_PERCENT);
	for (size_t i = 0; i < n; i++) {
		struct lane *l = &lanes[order[i]];
		uint64_t wish = wish_of(l), given = least(rest, wish);
		bool soon = ahead_ms < (l->held ? 1 : LANES_LEAST_MS);

		if (first == LANES_NOBODY)
			first = order[i];
		rest -= given;
		if (order[i] != first && l->may_be_held && !soon && is_patient(l) &&
		    given + floor < wish / 100 * (100 - LANES_BONUS_PERCENT)) {
			l->hold_bytes_per_s = given + floor;
			l->first = first;
			l->wait_ms = ahead_ms;
		}
		/* Those without an end come last, and nobody waits for them. */
		if (l->left_ms != LANES_NEVER_MS)
			ahead_ms += (uint64_t)((double)l->left_ms * (double)wish / (double)link);
	}
}
