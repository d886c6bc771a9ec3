/* SPDX-License-Identifier: Apache-2.0 */
/* See convergence.h. */
#include "agent/convergence.h"

#include "common/units.h"

/* Weight of a new reading. Two readings a second: old ones fade within about three seconds. */
#define SMOOTHING 0.3

void convergence_init(struct convergence *c, const struct convergence_limits *limits,
                      uint64_t now_ms)
{
	*c = (struct convergence){
		.limits = *limits,
		.started_ms = now_ms,
		.last_growth_ms = now_ms,
		.best_at_ms = now_ms,
		.best_remaining_bytes = UINT64_MAX,
	};
}

static double smooth(double old, double reading)
{
	return old > 0 ? old + SMOOTHING * (reading - old) : reading;
}

static void take_reading(struct convergence *c, const struct vm_job *job, uint64_t now_ms)
{
	uint64_t sent = job->memory_processed_bytes + job->disk_processed_bytes;
	uint64_t remaining = job->memory_remaining_bytes + job->disk_remaining_bytes;

	/* Before the first iteration libvirt reports nothing; that is preparation, not a stall of
	 * the network. Its limit is the completion time-out. */
	if (sent == 0 && job->iteration == 0) {
		c->last_growth_ms = now_ms;
		c->best_at_ms = now_ms;
		return;
	}
	c->seen_memory = true;
	if (sent > c->last_processed_bytes) {
		c->last_processed_bytes = sent;
		c->last_growth_ms = now_ms;
		c->transfer_bytes_per_s = smooth(c->transfer_bytes_per_s,
		                                 (double)job->transfer_bytes_per_s);
	}
	if (remaining < c->best_remaining_bytes) {
		c->best_remaining_bytes = remaining;
		c->best_at_ms = now_ms;
	}
	if (job->iteration > 1)
		c->dirty_bytes_per_s = smooth(c->dirty_bytes_per_s, (double)job->dirty_bytes_per_s);
}

static void estimate(struct convergence *c, const struct vm_job *job, uint64_t now_ms,
                     struct convergence_progress *p)
{
	double left = (double)(job->memory_remaining_bytes + job->disk_remaining_bytes);
	double pace = c->transfer_bytes_per_s - c->dirty_bytes_per_s;

	p->elapsed_ms = now_ms - c->started_ms;
	p->transfer_bytes_per_s = (uint64_t)c->transfer_bytes_per_s;
	p->dirty_bytes_per_s = (uint64_t)c->dirty_bytes_per_s;
	p->eta_known = c->seen_memory && pace > 0;
	if (p->eta_known) {
		p->eta_ms = (uint64_t)(left / pace * 1000);
		if (p->elapsed_ms + p->eta_ms > 0) {
			uint64_t percent = p->elapsed_ms * 100 / (p->elapsed_ms + p->eta_ms);

			if (percent > 99)
				percent = 99;
			if (percent > c->percent)
				c->percent = (uint32_t)percent;
		}
	}
	p->percent = c->percent;
}

enum convergence_verdict convergence_step(struct convergence *c, const struct vm_job *job,
                                          uint64_t now_ms, struct convergence_progress *ret,
                                          struct error *ret_why)
{
	uint64_t whole_bytes = job->memory_total_bytes + job->disk_total_bytes;
	char a[UNITS_TEXT_BYTES], b[UNITS_TEXT_BYTES], d[UNITS_TEXT_BYTES];

	take_reading(c, job, now_ms);
	estimate(c, job, now_ms, ret);

	if (c->seen_memory && now_ms - c->last_growth_ms >= CONVERGENCE_STALL_MS) {
		error_set(ret_why, ERROR_TIMEOUT,
		          "no byte moved for %s with %s left: the migration network does not carry "
		          "data between the two hosts",
		          units_format_duration(now_ms - c->last_growth_ms, a),
		          units_format_bytes(job->memory_remaining_bytes, b));
		return CONVERGENCE_ABORT_STALLED;
	}
	if (c->limits.progress_timeout_ms && c->seen_memory &&
	    now_ms - c->best_at_ms >= c->limits.progress_timeout_ms) {
		error_set(ret_why, ERROR_TIMEOUT,
		          "did not converge: what remains got no smaller for %s (progressTimeout); "
		          "the guest dirties %s, the stream carries %s",
		          units_format_duration(now_ms - c->best_at_ms, a),
		          units_format_rate(ret->dirty_bytes_per_s, b),
		          units_format_rate(ret->transfer_bytes_per_s, d));
		return CONVERGENCE_ABORT_NO_PROGRESS;
	}
	if (c->limits.completion_timeout_ms_per_gib && whole_bytes) {
		/* Guests under one GiB get the time of one. */
		double gib = (double)whole_bytes / (double)GIB;
		uint64_t allowed_ms = (uint64_t)((gib < 1 ? 1 : gib) *
		                                 (double)c->limits.completion_timeout_ms_per_gib);

		if (ret->elapsed_ms >= allowed_ms) {
			error_set(
				ret_why, ERROR_TIMEOUT,
				"took longer than the %s allowed for %s (completionTimeoutPerGiB)",
				units_format_duration(allowed_ms, a),
				units_format_bytes(whole_bytes, b));
			return CONVERGENCE_ABORT_TIMEOUT;
		}
	}
	return CONVERGENCE_GO_ON;
}
