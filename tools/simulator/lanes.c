/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a host's migrations go first: agent/kernel/lanes.h decides, as in production, from what that
 * host's agent would know. What its agent finds out by polling is known here at once. */
#include "agent/kernel/lanes.h"
#include "tools/simulator/world.h"

#include <string.h>

static struct lane lane_of(const struct world *w, const struct world_attempt *a)
{
	const struct world_guest *g = &w->guests[a->guest];
	double out = w->out[a->source], in = w->in[a->target];

	return (struct lane){
		.path_bytes_per_s = (uint64_t)(out < in ? out : in),
		.limit_bytes_per_s = a->limit_bytes_per_s,
		.left_bytes = (uint64_t)a->copy.left,
		.whole_bytes = g->facts.memory_bytes,
		.dirty_bytes_per_s = g->dirty_known ? (uint64_t)g->dirty_bytes_per_s : 0,
		.urgent = a->copy.still,
		.may_be_held = a->settings.shortest_first && !a->copy.passes && !a->copy.still &&
		               !a->limit_bytes_per_s,
		.held = a->hold_bytes_per_s,
		.held_ms = a->held_ms,
	};
}

static void take(const struct world *w, struct world_attempt *a, const struct lane *lane,
                 const size_t *of)
{
	uint64_t sent_ms = 0;

	/* What libvirt takes is whole MiB per second. */
	a->hold_bytes_per_s = lane->hold_bytes_per_s / MIB * MIB;
	a->hold_left_ms = lane->wait_ms;
	if (lane->hold_bytes_per_s) {
		a->held_for = w->attempts[of[lane->first]].guest;
		sent_ms = (uint64_t)((double)lane->wait_ms * (double)lane->hold_bytes_per_s /
		                     (double)lane->path_bytes_per_s);
	}
	a->eta_ms = lane->left_ms == LANES_NEVER_MS
	                    ? UINT64_MAX
	                    : lane->wait_ms +
	                              (lane->left_ms > sent_ms ? lane->left_ms - sent_ms : 0);
}

static void set_limit(const struct world *w, struct world_attempt *a)
{
	uint64_t limit = w->options.fair ? 0 : a->limit_bytes_per_s;

	if (a->hold_bytes_per_s && (!limit || a->hold_bytes_per_s < limit))
		limit = a->hold_bytes_per_s;
	a->copy.limit_bytes_per_s = (double)limit;
}

/* All that leave the host of the first of them; @of: attempts. */
static void choose_of(struct world *w, size_t first)
{
	struct lane lanes[LANES_MAX + 1];
	size_t of[LANES_MAX + 1], n = 0;

	for (size_t i = first; i < w->n_attempts && n <= LANES_MAX; i++) {
		if (!w->attempts[i].copying || w->attempts[i].source != w->attempts[first].source)
			continue;
		of[n] = i;
		lanes[n++] = lane_of(w, &w->attempts[i]);
	}
	lanes_choose(lanes, n);
	for (size_t i = 0; i < n; i++)
		take(w, &w->attempts[of[i]], &lanes[i], of);
}

static bool is_first_of_host(const struct world *w, size_t index)
{
	for (size_t i = w->first_live; i < index; i++) {
		if (w->attempts[i].copying && w->attempts[i].source == w->attempts[index].source)
			return false;
	}
	return true;
}

void world_choose_lanes(struct world *w)
{
	for (size_t i = w->first_live; i < w->n_attempts; i++) {
		struct world_attempt *a = &w->attempts[i];

		if (a->hold_bytes_per_s)
			a->held_ms += w->now_ms - a->lane_ms;
		a->lane_ms = w->now_ms;
		if (!a->copying)
			a->hold_bytes_per_s = 0;
	}
	for (size_t i = w->first_live; i < w->n_attempts; i++) {
		if (w->attempts[i].copying && is_first_of_host(w, i))
			choose_of(w, i);
	}
	for (size_t i = w->first_live; i < w->n_attempts; i++)
		set_limit(w, &w->attempts[i]);
}
