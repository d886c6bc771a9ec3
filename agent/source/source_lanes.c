/* SPDX-License-Identifier: Apache-2.0 */
/* Which of this host's migrations go first: what is known of each, for kernel/lanes.h to choose; and what
 * follows for one of them, for source_pace.c to set and for its report.
 *
 * It is decided here and not by the coordinator, because only this host's own moves share the link that they
 * leave by: a move that ends lets the next one go within a moment, a coordinator that is gone holds nobody,
 * and an agent after this one decides anew (source_pace.c). Owner thread. */
#include "agent/source/source.h"

#include "agent/host/dirty_rates.h"
#include "common/clock.h"

#include <stdio.h>
#include <string.h>

/* From the switchover on so long a guest's last pages are on their way; what follows needs no link. */
#define LAST_PAGES_MS 500

static bool sends(const struct source_attempt *a, uint64_t now_ms)
{
	if (a->stage != SOURCE_MOVING || !a->job_seen || a->call_returned || a->abort_wanted)
		return false;
	return !a->switching || a->order.post_copy || now_ms < a->switched_ms + LAST_PAGES_MS;
}

static uint64_t path_of(const struct source_attempt *a)
{
	struct path_estimate e;

	paths_estimate(a->agent, a->order.target_node, &e);
	if (e.method <= PATH_LINK_SPEED || e.confidence_percent < PATH_BELIEVED_PERCENT)
		return 0;
	return e.available_bytes_per_s / 1000 * PATH_PAYLOAD_PERMILLE;
}

/* Where QEMU or the destination is slower than the network, a little more than what it has now. */
static uint64_t takes(const struct source_attempt *a)
{
	const struct connection_quality *q = a->connections ? &a->connections->quality : NULL;

	if (!q || !q->known)
		return 0;
	if (q->limit != QUALITY_LIMIT_SENDER && q->limit != QUALITY_LIMIT_RECEIVER &&
	    q->limit != QUALITY_LIMIT_WINDOW)
		return 0;
	return q->bytes_per_s / 4 * 5;
}

/* A page that was never used is not sent; QEMU counts it as remaining until it has come to it. */
uint64_t source_lanes_left_bytes(const struct source_attempt *a, const struct memory_use *use)
{
	uint64_t left = a->job.memory_remaining_bytes, sent = a->job.memory_processed_bytes;

	if (a->job.iteration <= 1 && use && use->touched_bytes) {
		uint64_t touched = use->touched_bytes > sent ? use->touched_bytes - sent : 0;

		if (touched < left)
			left = touched > left / 8 ? touched : left / 8;
	}
	return left + a->job.disk_remaining_bytes;
}

static uint64_t dirty_of(const struct source_attempt *a, const struct memory_use *use)
{
	const struct dirty_window *w = use ? &use->windows[DIRTY_WINDOWS - 1] : NULL;

	if (a->job.iteration > 1)
		return a->progress.dirty_bytes_per_s;
	return w && w->samples && w->seconds ? w->bytes / w->seconds : 0;
}

static bool may_be_held(const struct source_attempt *a)
{
	return a->order.shortest_first && a->job.iteration <= 1 && !a->disk_port &&
	       !a->order.bandwidth_bytes_per_s && !a->order.bandwidth_tuned &&
	       !a->order.paused_by_us && !a->order.post_copy && !a->guest_paused && !a->switching &&
	       !a->pace.exempt && !a->job.throttle_percent && !a->order.rung;
}

static void fill(const struct source_attempt *a, struct lane *l)
{
	const struct memory_use *use = dirty_rates_find(a->agent->dirty_rates, a->order.vm_uuid);

	*l = (struct lane){
		.path_bytes_per_s = path_of(a),
		.limit_bytes_per_s = a->order.bandwidth_bytes_per_s,
		.takes_bytes_per_s = takes(a),
		.left_bytes = source_lanes_left_bytes(a, use),
		.whole_bytes = a->job.memory_total_bytes + a->job.disk_total_bytes,
		.dirty_bytes_per_s = dirty_of(a, use),
		.urgent = a->order.post_copy || a->order.paused_by_us || a->guest_paused ||
		          a->switching,
		.may_be_held = may_be_held(a),
		.held = a->lane.hold_bytes_per_s,
		.held_ms = a->held_ms,
	};
}

void source_lanes(struct source_attempt *a)
{
	struct lane lanes[LANES_MAX + 1];
	const struct source_attempt *of[LANES_MAX + 1], *other;
	uint64_t now_ms = clock_now_ms();
	bool was_held = a->lane.hold_bytes_per_s;
	size_t n = 0, mine = LANES_NOBODY;

	if (was_held)
		a->held_ms += now_ms - a->lane_ms;
	a->lane_ms = now_ms;
	for (other = a->agent->attempts; other && n <= LANES_MAX; other = other->next) {
		if (!sends(other, now_ms))
			continue;
		if (other == a)
			mine = n;
		of[n] = other;
		fill(other, &lanes[n++]);
	}
	lanes_choose(lanes, n);
	if (mine == LANES_NOBODY)
		memset(&a->lane, 0, sizeof(a->lane));
	else
		a->lane = lanes[mine];
	if (a->lane.hold_bytes_per_s)
		snprintf(a->held_for, sizeof(a->held_for), "%s", of[a->lane.first]->order.vm_name);
	else if (was_held)
		/* Its rate up to now says nothing of what comes. */
		a->convergence.transfer_bytes_per_s = 0;
	a->convergence.held_ms = a->held_ms;
}

unsigned source_lanes_count_free(const struct agent *agent)
{
	unsigned count = 0;

	for (const struct source_attempt *a = agent->attempts; a; a = a->next)
		count += a->stage >= SOURCE_LINKING && a->stage <= SOURCE_RESOLVING &&
		         !a->order.waits_for_slot && !a->lane.hold_bytes_per_s;
	return count ? count : 1;
}

void source_lanes_left(struct source_attempt *gone)
{
	struct source_attempt *a;

	for (a = gone->agent->attempts; a; a = a->next) {
		if (a != gone && a->stage == SOURCE_MOVING && a->lane.hold_bytes_per_s)
			loop_timer_start(a->agent->loop, &a->timer, 0);
	}
}
