/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of an outgoing move, for outlook.h to say when it will be over. Owner thread. */
#include "agent/source/source.h"

#include "agent/host/dirty_rates.h"
#include "common/clock.h"

#include <assert.h>

static_assert(DIRTY_WINDOWS <= OUTLOOK_POINTS, "a window without a point");

static void take_points(const struct memory_use *use, struct outlook_input *in)
{
	for (size_t i = 0; use && i < DIRTY_WINDOWS; i++) {
		const struct dirty_window *w = &use->windows[i];

		if (!w->samples || !w->seconds)
			continue;
		in->points[in->n_points].seconds = w->seconds;
		in->points[in->n_points++].bytes = (double)w->bytes;
	}
}

void source_outlook(struct source_attempt *a)
{
	const struct memory_use *use = dirty_rates_find(a->agent->dirty_rates, a->order.vm_uuid);
	struct outlook_input in = {
		.convergence = &a->convergence,
		.ladder = &a->ladder,
		.job = &a->job,
		.progress = &a->progress,
		.stands_still = a->order.paused_by_us || a->order.post_copy || a->guest_paused ||
		                a->switching,
		.left_bytes = source_lanes_left_bytes(a, use),
		.wait_ms = a->lane.wait_ms,
		.hold_bytes_per_s = a->lane.hold_bytes_per_s,
		.free_bytes_per_s = a->lane.path_bytes_per_s,
		.held_for = a->held_for,
	};

	/* Of the memory libvirt shows nothing while disks are copied. */
	if (!a->job.memory_total_bytes)
		in.left_bytes += use && use->touched_bytes ? use->touched_bytes : a->memory_bytes;
	take_points(use, &in);
	outlook_look(&a->outlook, &in, clock_now_ms());
}
