/* SPDX-License-Identifier: Apache-2.0 */
/* So many wrong tokens in a window of time, and then none for the rest of it. Pure; the caller has
 * the lock and the clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct join_limit {
	uint64_t began_ms; /* of the window; 0 = none has begun */
	unsigned wrong;    /* tokens in it */
	uint64_t turned_away;
};

/* Whether a token may be looked at now; else *ret_wait_ms until it may. */
static inline bool join_limit_allows(struct join_limit *limit, unsigned max, uint64_t window_ms,
                                     uint64_t now_ms, uint64_t *ret_wait_ms)
{
	if (limit->began_ms && now_ms - limit->began_ms >= window_ms)
		*limit = (struct join_limit){ 0 };
	if (limit->wrong < max)
		return true;
	limit->turned_away++;
	*ret_wait_ms = limit->began_ms + window_ms - now_ms;
	return false;
}

static inline void join_limit_count(struct join_limit *limit, uint64_t now_ms)
{
	if (!limit->began_ms)
		limit->began_ms = now_ms ? now_ms : 1;
	limit->wrong++;
}
