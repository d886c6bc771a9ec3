/* SPDX-License-Identifier: Apache-2.0 */
/* See lanes.h. */
#include "coordinator/core/move/lanes.h"

#include "common/alloc.h"

#include <stdlib.h>

struct going {
	size_t at; /* in times */
	uint64_t ready_ms, left_ms;
};

/* Of those that are ready the one that is out first; @n: none is. */
static size_t find_first(const struct going *going, size_t n, uint64_t now_ms)
{
	size_t first = n;

	for (size_t i = 0; i < n; i++) {
		if (going[i].ready_ms <= now_ms &&
		    (first == n || going[i].left_ms < going[first].left_ms ||
		     (going[i].left_ms == going[first].left_ms && going[i].at < going[first].at)))
			first = i;
	}
	return first;
}

/* When the next one that is not ready will be; UINT64_MAX: all are. */
static uint64_t find_ready_ms(const struct going *going, size_t n, uint64_t now_ms)
{
	uint64_t next_ms = UINT64_MAX;

	for (size_t i = 0; i < n; i++) {
		if (going[i].ready_ms > now_ms && going[i].ready_ms < next_ms)
			next_ms = going[i].ready_ms;
	}
	return next_ms;
}

void lanes_schedule(struct lane_time *times, size_t count, uint32_t slots)
{
	size_t lanes = slots ? slots : 1, n = 0, next = 0;
	struct going *going = xcalloc(lanes, sizeof(*going));
	uint64_t now_ms = 0;

	while (n || next < count) {
		uint64_t ready_ms;
		size_t first;

		for (; n < lanes && next < count; next++) {
			times[next].begin_ms = now_ms;
			going[n++] = (struct going){ .at = next,
				                     .ready_ms = now_ms + times[next].around_ms,
				                     .left_ms = times[next].link_ms };
		}
		first = find_first(going, n, now_ms);
		ready_ms = find_ready_ms(going, n, now_ms);
		if (first == n) {
			now_ms = ready_ms;
		} else if (ready_ms - now_ms < going[first].left_ms) {
			going[first].left_ms -= ready_ms - now_ms;
			now_ms = ready_ms;
		} else {
			now_ms += going[first].left_ms;
			times[going[first].at].end_ms = now_ms;
			going[first] = going[--n];
		}
	}
	free(going);
}
