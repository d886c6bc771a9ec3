/* SPDX-License-Identifier: Apache-2.0 */
/* See pace.h. Pure. */
#include "agent/kernel/pace.h"

static uint64_t payload_of(uint64_t wire_bytes_per_s)
{
	return wire_bytes_per_s / 1000 * PATH_PAYLOAD_PERMILLE;
}

uint64_t pace_choose(const struct pace_input *in)
{
	const struct path_estimate *e = in->path;
	uint64_t share, least = in->dirty_bytes_per_s / 100 * PACE_DIRTY_PERCENT;

	if (!in->counted || in->stands_still || in->struggles || in->copies_disks)
		return 0;
	if (e->method <= PATH_LINK_SPEED || e->confidence_percent < PATH_BELIEVED_PERCENT ||
	    in->others_bytes_per_s < e->capacity_bytes_per_s / 100 * PACE_OTHERS_PERCENT)
		return 0;
	share = payload_of(path_usable(e->available_bytes_per_s, e->capacity_bytes_per_s, 0)) /
	        (in->moves ? in->moves : 1);
	if (least < in->least_bytes_per_s)
		least = in->least_bytes_per_s;
	if (share < least)
		share = least;
	return share < payload_of(e->capacity_bytes_per_s) ? share : 0;
}

static bool differs(uint64_t a, uint64_t b)
{
	uint64_t more = a > b ? a : b, less = a > b ? b : a;

	return (!a) != (!b) || more - less > more / 100 * PACE_CHANGE_PERCENT;
}

/* Whether it has gone faster than it may for some time. */
static bool is_over(struct pace *p, const struct pace_input *in)
{
	if (!p->limit_bytes_per_s || !in->rate_known ||
	    in->rate_bytes_per_s <= p->limit_bytes_per_s / 100 * PACE_OVER_PERCENT) {
		p->over_since_ms = 0;
		return false;
	}
	if (!p->over_since_ms)
		p->over_since_ms = in->now_ms;
	return in->now_ms - p->over_since_ms >= PACE_OVER_MS && p->again < PACE_AGAIN_MAX;
}

bool pace_step(struct pace *p, const struct pace_input *in, uint64_t *ret_limit)
{
	uint64_t limit;

	p->exempt |= in->struggles;
	limit = p->exempt ? 0 : path_narrower(pace_choose(in), in->hold_bytes_per_s);
	if (!pace_may_try(p, in->now_ms))
		return false;
	if (p->unknown) {
		*ret_limit = limit;
		return true;
	}
	/* A guest that stands still, or that the ladder is about to judge, does not wait; nor does a
	 * link that has become free. */
	if (!p->exempt && !in->stands_still && p->held == !!in->hold_bytes_per_s && p->changed_ms &&
	    in->now_ms - p->changed_ms < PACE_EVERY_MS)
		return false;
	p->held = in->hold_bytes_per_s;
	if (differs(limit, p->limit_bytes_per_s)) {
		p->again = 0;
		*ret_limit = limit;
		return true;
	}
	if (!is_over(p, in))
		return false;
	p->again++;
	*ret_limit = p->limit_bytes_per_s;
	return true;
}

void pace_take(struct pace *p, uint64_t limit, uint64_t now_ms)
{
	p->limit_bytes_per_s = limit;
	p->changed_ms = now_ms;
	p->over_since_ms = p->failed_ms = 0;
	p->unknown = false;
}

void pace_fail(struct pace *p, uint64_t now_ms)
{
	p->failed_ms = now_ms;
	p->over_since_ms = 0;
}

bool pace_may_try(const struct pace *p, uint64_t now_ms)
{
	return !p->failed_ms || now_ms - p->failed_ms >= PACE_EVERY_MS;
}
