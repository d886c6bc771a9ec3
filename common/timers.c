/* SPDX-License-Identifier: Apache-2.0 */
/* See timers.h. Each timer knows its place in the heap, so it is taken out without a search. */
#include "common/timers.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_ROOM 16

static bool is_before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->number < b->number;
}

static void put(struct timers *t, size_t place, struct loop_timer *timer)
{
	t->heap[place] = timer;
	timer->place = place;
}

/* @timer belongs at @place or above. */
static void rise(struct timers *t, size_t place, struct loop_timer *timer)
{
	while (place > 0 && is_before(timer, t->heap[(place - 1) / 2])) {
		put(t, place, t->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(t, place, timer);
}

/* @timer belongs at @place or below. */
static void sink(struct timers *t, size_t place, struct loop_timer *timer)
{
	for (;;) {
		size_t child = place * 2 + 1;

		if (child + 1 < t->count && is_before(t->heap[child + 1], t->heap[child]))
			child++;
		if (child >= t->count || is_before(timer, t->heap[child]))
			break;
		put(t, place, t->heap[child]);
		place = child;
	}
	put(t, place, timer);
}

void timers_deinit(struct timers *t)
{
	free(t->heap);
	*t = (struct timers){ 0 };
}

void timers_add(struct timers *t, struct loop_timer *timer)
{
	assert(timer->due_ms);
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : FIRST_ROOM;
		t->heap = xreallocarray(t->heap, t->room, sizeof(struct loop_timer *));
	}
	timer->number = t->started++;
	rise(t, t->count++, timer);
}

void timers_remove(struct timers *t, struct loop_timer *timer)
{
	size_t place = timer->place;
	struct loop_timer *last;

	assert(place < t->count && t->heap[place] == timer);
	timer->due_ms = 0;
	last = t->heap[--t->count];
	if (last == timer)
		return;
	if (place > 0 && is_before(last, t->heap[(place - 1) / 2]))
		rise(t, place, last);
	else
		sink(t, place, last);
}
