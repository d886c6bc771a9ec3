/* SPDX-License-Identifier: Apache-2.0 */
/* See convergence.h. */
#include "agent/source/convergence.h"

#include "common/units.h"

#include <math.h>

/* Weight of a new reading. Two readings a second: old ones fade within about three seconds. */
#define SMOOTHING 0.3

/* A pass that has less than this to send is a new low. */
#define NEW_LOW_PERCENT 95

/* As many passes as last so long are measured together. */
#define PASSES_MS 1500

void convergence_init(struct convergence *c, const struct convergence_limits *limits,
                      uint64_t now_ms)
{
	*c = (struct convergence){
		.limits = *limits,
		.started_ms = now_ms,
		.last_growth_ms = now_ms,
		.best_at_ms = now_ms,
		.best_remaining_bytes = UINT64_MAX,
		.best_pass_bytes = UINT64_MAX,
		.pass_bytes = UINT64_MAX,
	};
}

void convergence_extend(struct convergence *c, uint64_t now_ms)
{
	c->limits.completion_timeout_ms_per_gib *= 2;
	convergence_begin_anew(c, now_ms);
}

void convergence_begin_anew(struct convergence *c, uint64_t now_ms)
{
	c->best_remaining_bytes = UINT64_MAX;
	c->best_pass_bytes = UINT64_MAX;
	c->best_at_ms = now_ms;
}

static double smooth(double old, double reading)
{
	return old > 0 ? old + SMOOTHING * (reading - old) : reading;
}

/* libvirt shows nothing of the memory while it copies disks. */
static bool is_before_memory(const struct vm_job *job)
{
	return job->iteration == 0 && job->memory_total_bytes == 0;
}

static uint64_t whole_bytes(const struct convergence *c, const struct vm_job *job)
{
	uint64_t memory = is_before_memory(job) ? c->limits.memory_bytes : job->memory_total_bytes;

	return memory + job->disk_total_bytes;
}

static uint64_t remaining_bytes(const struct convergence *c, const struct vm_job *job)
{
	uint64_t memory = is_before_memory(job) ? c->limits.memory_bytes
	                                        : job->memory_remaining_bytes;

	return memory + job->disk_remaining_bytes;
}

/* libvirt's rate is that of the memory. */
static double rate_of(const struct convergence *c, const struct vm_job *job, uint64_t grown_bytes,
                      uint64_t now_ms)
{
	uint64_t ms = now_ms - c->last_growth_ms;

	if (!is_before_memory(job) || !ms)
		return (double)job->transfer_bytes_per_s;
	return (double)grown_bytes * 1000 / (double)ms;
}

static uint64_t growth(uint64_t *last_bytes, uint64_t bytes)
{
	uint64_t grown = bytes > *last_bytes ? bytes - *last_bytes : 0;

	*last_bytes += grown;
	return grown;
}

/* What each pass since the mark had to send. Of pages of zeros next to no byte is sent: where those were the
 * end of a pass, the beginning of the next one tells more than the bytes. */
static uint64_t measure_passes(const struct convergence *c, const struct convergence_mark *at)
{
	uint64_t ms = c->limits.max_downtime_ms ? c->limits.max_downtime_ms
	                                        : CONVERGENCE_DOWNTIME_MS;
	double fits = c->transfer_bytes_per_s * (double)ms / 1000;
	double bytes = (double)(at->sent_bytes - c->mark.sent_bytes) + (double)at->left_bytes -
	               (double)c->mark.left_bytes;
	double most = fmax(bytes / (at->iteration - c->mark.iteration),
	                   (double)at->left_bytes - fits);

	return most > 0 ? (uint64_t)most : 0;
}

static bool is_low(const struct convergence *c)
{
	return c->best_pass_bytes == UINT64_MAX ||
	       c->pass_bytes < c->best_pass_bytes / 100 * NEW_LOW_PERCENT;
}

/* Of the pass in which it was looked at first nobody knows what it had to send. Nor does what was left of the
 * very first one tell, the most of which are pages of zeros in many a guest. */
static void see_pass(struct convergence *c, const struct convergence_mark *at)
{
	if (c->mark.iteration <= 1 || at->iteration < c->mark.iteration) {
		c->mark = *at;
		c->pass_bytes = UINT64_MAX;
	} else if (at->iteration != c->mark.iteration && at->at_ms - c->mark.at_ms >= PASSES_MS) {
		if (c->pass_bytes < c->best_pass_bytes)
			c->best_pass_bytes = c->pass_bytes;
		c->pass_bytes = measure_passes(c, at);
		c->mark = *at;
	}
}

/* Whether this reading shows progress; @grown: bytes that were sent since the last one. */
static bool makes_progress(struct convergence *c, const struct vm_job *job, uint64_t remaining,
                           uint64_t grown_bytes, uint64_t now_ms)
{
	struct convergence_mark at = { .at_ms = now_ms,
		                       .sent_bytes = c->last_memory_bytes + c->last_disk_bytes,
		                       .left_bytes = remaining,
		                       .iteration = job->iteration };
	bool low = remaining < c->best_remaining_bytes;

	if (job->iteration > 1) {
		see_pass(c, &at);
		return is_low(c) && grown_bytes;
	}
	/* The next pass begins where this one was seen last. */
	if (c->mark.iteration)
		at.at_ms = c->mark.at_ms;
	if (job->iteration)
		c->mark = at;
	if (low)
		c->best_remaining_bytes = remaining;
	return low;
}

static void take_reading(struct convergence *c, const struct vm_job *job, uint64_t now_ms)
{
	uint64_t remaining = remaining_bytes(c, job), grown;

	/* Before anything is sent libvirt reports nothing; that is preparation, not a stall of
	 * the network. Its limit is the completion time-out. */
	if (job->memory_processed_bytes == 0 && job->disk_processed_bytes == 0 &&
	    job->iteration == 0) {
		c->last_growth_ms = now_ms;
		c->best_at_ms = now_ms;
		return;
	}
	c->seen_bytes = true;
	/* The figures of the disks go when they are copied; those of the memory begin then. */
	grown = growth(&c->last_memory_bytes, job->memory_processed_bytes);
	grown += growth(&c->last_disk_bytes, job->disk_processed_bytes);
	if (grown) {
		c->transfer_bytes_per_s = smooth(c->transfer_bytes_per_s,
		                                 rate_of(c, job, grown, now_ms));
		c->last_growth_ms = now_ms;
	}
	if (c->before_memory && !is_before_memory(job)) {
		/* What the memory takes is known now, and may be more than was thought. */
		c->best_remaining_bytes = UINT64_MAX;
		c->transfer_bytes_per_s = (double)job->transfer_bytes_per_s;
	}
	c->before_memory = is_before_memory(job);
	if (makes_progress(c, job, remaining, grown, now_ms))
		c->best_at_ms = now_ms;
	if (job->iteration > 1)
		c->dirty_bytes_per_s = smooth(c->dirty_bytes_per_s, (double)job->dirty_bytes_per_s);
}

enum convergence_verdict convergence_step(struct convergence *c, const struct vm_job *job,
                                          uint64_t now_ms, struct convergence_progress *ret,
                                          struct error *ret_why)
{
	uint64_t all_bytes = whole_bytes(c, job);
	char a[UNITS_TEXT_BYTES], b[UNITS_TEXT_BYTES], d[UNITS_TEXT_BYTES];

	take_reading(c, job, now_ms);
	*ret = (struct convergence_progress){
		.elapsed_ms = now_ms - c->started_ms,
		.transfer_bytes_per_s = (uint64_t)c->transfer_bytes_per_s,
		.dirty_bytes_per_s = (uint64_t)c->dirty_bytes_per_s,
	};

	if (c->seen_bytes && now_ms - c->last_growth_ms >= CONVERGENCE_STALL_MS) {
		error_set(ret_why, ERROR_TIMEOUT,
		          "no byte moved for %s with %s left: the migration network does not carry "
		          "data between the two hosts",
		          units_format_duration(now_ms - c->last_growth_ms, a),
		          units_format_bytes(remaining_bytes(c, job), b));
		return CONVERGENCE_ABORT_STALLED;
	}
	if (c->limits.progress_timeout_ms && c->seen_bytes &&
	    now_ms - c->best_at_ms >= c->limits.progress_timeout_ms) {
		error_set(ret_why, ERROR_TIMEOUT,
		          "did not converge: no pass got any smaller for %s (progressTimeout); "
		          "the guest dirties %s, the stream carries %s",
		          units_format_duration(now_ms - c->best_at_ms, a),
		          units_format_rate(ret->dirty_bytes_per_s, b),
		          units_format_rate(ret->transfer_bytes_per_s, d));
		return CONVERGENCE_ABORT_NO_PROGRESS;
	}
	if (c->limits.completion_timeout_ms_per_gib && all_bytes) {
		/* Guests under one GiB get the time of one. */
		double gib = (double)all_bytes / (double)GIB;
		uint64_t allowed_ms = (uint64_t)((gib < 1 ? 1 : gib) *
		                                 (double)c->limits.completion_timeout_ms_per_gib);

		if (ret->elapsed_ms >= allowed_ms + c->held_ms) {
			error_set(
				ret_why, ERROR_TIMEOUT,
				"took longer than the %s allowed for %s (completionTimeoutPerGiB)",
				units_format_duration(allowed_ms, a),
				units_format_bytes(all_bytes, b));
			return CONVERGENCE_ABORT_TIMEOUT;
		}
	}
	return CONVERGENCE_GO_ON;
}

struct ladder_passes convergence_get_passes(const struct convergence *c)
{
	return (struct ladder_passes){ .iteration = c->mark.iteration, .bytes = c->pass_bytes };
}
