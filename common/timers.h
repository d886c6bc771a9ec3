/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's timers, soonest first, equals in the order of their start: a binary heap. Each call of
 * the mesh has a deadline that hardly ever comes, so starting and stopping is what must be cheap, with
 * a thousand of them, too. Owner thread. */
#pragma once

#include "common/loop.h"

#include <stddef.h>

struct timers {
	struct loop_timer **heap;
	size_t count, room;
	uint64_t started; /* numbers those of the same time */
};

void timers_deinit(struct timers *t);

/* NULL: there is none. */
static inline struct loop_timer *timers_find_first(const struct timers *t)
{
	return t->count > 0 ? t->heap[0] : NULL;
}

/* @timer is not in it, and has its due_ms. */
void timers_add(struct timers *t, struct loop_timer *timer);

/* @timer is in it; its due_ms becomes 0. */
void timers_remove(struct timers *t, struct loop_timer *timer);
