/* SPDX-License-Identifier: Apache-2.0 */
/* Passes, followed until they fit or do not. Theory: prediction.h. */
#include "coordinator/core/predict/prediction.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Both ends of the interval are at 1.64 standard errors: nine of ten are within. */
#define INTERVAL_ERRORS 1.64
/* A dirty rate of which no error is known is taken for this uncertain, like its measurements. */
#define DIRTY_ERROR_DEFAULT 0.25
/* What the curve itself leaves out, whatever it was fitted to: guests write in turn, not at random. */
#define DIRTY_ERROR_MODEL 0.08
/* QEMU's: from the second pass on that has more than half of what the one before sent, the guest is
 * held back by 20 %, then by 10 % more with each, up to 99 %. */
#define THROTTLE_TRIGGER 0.5
#define THROTTLE_FIRST   0.20
#define THROTTLE_STEP    0.10
#define THROTTLE_MOST    0.99
/* A ladder or an operator's patience ends a move that makes no progress: passes shorter by less than a
 * twentieth are none (agent/source/convergence.h). */
#define PROGRESS_RATIO 0.95
/* Of post-copy: the devices' state and what is needed at once. */
#define POSTCOPY_DOWNTIME_MS 300

struct run {
	bool converges;
	bool throttled;
	double seconds, bytes;
	double stuck_seconds;   /* of a pass that gets no shorter */
	double last_seconds;    /* the pause's part that sends */
	double stalled_after_s; /* nothing was gained from then on */
	uint32_t passes;
};

struct path {
	double rate;      /* bytes a second */
	double last_rate; /* of the last pass */
	double downtime_s;
	double touched, disk;
};

/* --- passes --- */

/* What is thought to be written: D, or one of its ends, by a factor. */
struct writes {
	struct dirty_curve curve;
	double scale;
};

static double dirtied(const struct writes *writes, double throttle, double seconds, double most)
{
	double bytes = dirty_curve_at(&writes->curve, seconds) * writes->scale * (1 - throttle);

	return bytes < most ? bytes : most;
}

static void run_passes(const struct prediction_input *in, const struct path *path,
                       const struct writes *writes, struct run *ret)
{
	double pass = path->touched / path->rate, throttle = 0;
	unsigned heavy = 0;

	*ret = (struct run){ .seconds = path->disk / path->rate, .bytes = path->disk, .passes = 1 };
	for (;; ret->passes++) {
		double next;

		ret->bytes += pass * path->rate;
		if (pass <= path->downtime_s) {
			ret->converges = true;
			ret->last_seconds = pass * path->rate / path->last_rate;
			ret->seconds += ret->last_seconds;
			ret->last_seconds += PREDICTION_BUFFERED_BYTES / path->last_rate;
			return;
		}
		ret->seconds += pass;
		next = dirtied(writes, throttle, pass, path->touched) / path->rate;
		if (next > pass * PROGRESS_RATIO && !ret->stalled_after_s)
			ret->stalled_after_s = ret->seconds;
		if (in->auto_converge && next > pass * THROTTLE_TRIGGER && ++heavy >= 2) {
			throttle = throttle ? fmin(throttle + THROTTLE_STEP, THROTTLE_MOST)
			                    : THROTTLE_FIRST;
			ret->throttled = true;
		}
		if (ret->passes == PREDICTION_PASSES_MAX ||
		    (next >= pass * (1 - 1e-6) &&
		     !(in->auto_converge && throttle < THROTTLE_MOST))) {
			ret->stuck_seconds = next;
			return;
		}
		pass = next;
	}
}

/* --- the whole --- */

static double downtime_of(uint64_t max_downtime_ms)
{
	return (double)(max_downtime_ms ? max_downtime_ms : PREDICTION_DOWNTIME_MS) / 1000;
}

uint64_t prediction_enough_bytes_per_s(const struct dirty_curve *dirty, uint64_t max_downtime_ms)
{
	double seconds = downtime_of(max_downtime_ms);

	return (uint64_t)ceil(dirty_curve_at(dirty, seconds) / seconds);
}

static double error_of(const struct dirty_curve *curve)
{
	return hypot(curve->error > 0 ? curve->error : DIRTY_ERROR_DEFAULT, DIRTY_ERROR_MODEL);
}

/* D, at one of its ends: wrong by its error, or what writes least or most of all that fit. */
static void find_ends(const struct dirty_curve *dirty, int way, struct writes *ret_scaled,
                      struct writes *ret_shaped)
{
	double error = INTERVAL_ERRORS * error_of(dirty);

	*ret_scaled = (struct writes){ *dirty, fmax(1 + way * error, 0) };
	*ret_shaped = (struct writes){ dirty_curve_of(way > 0 ? &dirty->most : &dirty->least, 0),
		                       1 };
}

void prediction_enough_range(const struct dirty_curve *dirty, uint64_t max_downtime_ms,
                             uint64_t *ret_least, uint64_t *ret_most)
{
	uint64_t *const rets[] = { ret_least, ret_most };

	for (int i = 0; i < 2; i++) {
		int way = i ? 1 : -1;
		double seconds = downtime_of(max_downtime_ms), scaled_bytes, shaped_bytes;
		struct writes scaled, shaped;

		*rets[i] = 0;
		if (!dirty->known)
			continue;
		find_ends(dirty, way, &scaled, &shaped);
		scaled_bytes = dirty_curve_at(&scaled.curve, seconds) * scaled.scale;
		shaped_bytes = dirty_curve_at(&shaped.curve, seconds);
		*rets[i] = (uint64_t)ceil((way > 0 ? fmax(scaled_bytes, shaped_bytes)
		                                   : fmin(scaled_bytes, shaped_bytes)) /
		                          seconds);
	}
}

uint64_t prediction_stream_bytes_per_s(uint64_t wire_bytes_per_s)
{
	return (uint64_t)((double)wire_bytes_per_s * (4096.0 / 4104) * (1448.0 / 1514) *
	                  (16384.0 / 16406));
}

static struct path path_of(const struct prediction_input *in, double bandwidth_scale)
{
	struct path path = { .downtime_s = downtime_of(in->max_downtime_ms),
		             .disk = (double)in->disk_bytes };
	uint64_t touched = in->touched_bytes && in->touched_bytes < in->memory_bytes
	                           ? in->touched_bytes
	                           : in->memory_bytes;

	path.last_rate = (double)in->bandwidth_bytes_per_s * bandwidth_scale;
	path.rate = path.last_rate;
	if (in->limit_bytes_per_s && (double)in->limit_bytes_per_s < path.rate)
		path.rate = (double)in->limit_bytes_per_s;
	path.touched = (double)touched;
	return path;
}

/* When it is overdue: its time is over, or nothing was gained for too long. 0 = never. */
static double overdue_after(const struct prediction_input *in, const struct run *run)
{
	double after = in->completion_ms ? (double)in->completion_ms / 1000 : 0;
	double progress = in->progress_ms && run->stalled_after_s
	                          ? run->stalled_after_s + (double)in->progress_ms / 1000
	                          : 0;

	return progress > 0 && (after <= 0 || progress < after) ? progress : after;
}

/* Thirty years: nobody waits for longer, and sums of such do not go round. */
#define MOST_MS 1e12

static uint64_t to_ms(double seconds)
{
	return (uint64_t)llround(fmin(seconds * 1000, MOST_MS));
}

/* It converges, but not in the time that it has. */
static bool is_late(const struct prediction_input *in, const struct run *run)
{
	return in->completion_ms && run->seconds * 1000 > (double)in->completion_ms;
}

/* It does not end by itself: what is done about that, and how long it takes. */
static void take_measure(const struct prediction_input *in, const struct path *path,
                         const struct run *run, struct prediction *p)
{
	double overdue = overdue_after(in, run), rest = run->converges ? 0 : run->stuck_seconds;
	/* A two-step destination stays paused: post-copy is not possible. */
	bool post_copy = in->post_copy && !in->commit_ms;

	p->transfer_ms = to_ms(overdue);
	p->bytes = (uint64_t)(overdue * path->rate);
	p->high_known = overdue > 0;
	if (!post_copy && !in->pause) {
		p->end = PREDICTION_GIVES_UP;
		return;
	}
	p->end = post_copy ? PREDICTION_SWITCHES : PREDICTION_PAUSES;
	p->transfer_ms += to_ms(rest);
	p->bytes += (uint64_t)(rest * path->rate);
	p->downtime_ms = post_copy ? POSTCOPY_DOWNTIME_MS
	                           : to_ms(rest) + PREDICTION_SWITCHOVER_MS + in->commit_ms;
	p->downtime_high_ms = post_copy ? 2 * POSTCOPY_DOWNTIME_MS
	                                : to_ms(path->touched / path->rate) +
	                                          PREDICTION_SWITCHOVER_MS + in->commit_ms;
}

static bool judge(const struct prediction_input *in, const struct path *path,
                  const struct writes *writes, struct prediction *p)
{
	struct run run;

	run_passes(in, path, writes, &run);
	p->passes = run.passes;
	if (!run.converges || is_late(in, &run)) {
		take_measure(in, path, &run, p);
		return false;
	}
	p->end = run.throttled ? PREDICTION_THROTTLED : PREDICTION_CONVERGES;
	p->transfer_ms = to_ms(run.seconds);
	p->high_known = true;
	p->bytes = (uint64_t)run.bytes;
	p->downtime_ms = to_ms(run.last_seconds) + PREDICTION_SWITCHOVER_MS + in->commit_ms;
	/* All that is allowed, and a commit on a host that has other things to do. */
	p->downtime_high_ms = to_ms(path->downtime_s +
	                            PREDICTION_BUFFERED_BYTES / path->last_rate) +
	                      2 * PREDICTION_SWITCHOVER_MS + in->commit_ms * 3 / 2;
	return true;
}

/* Outcomes are named from the best to the worst; of two that are the same the one that takes longer. */
static bool is_worse(const struct prediction *a, const struct prediction *b)
{
	if (a->end != b->end)
		return a->end > b->end;
	if (a->high_known != b->high_known)
		return b->high_known;
	return a->transfer_ms > b->transfer_ms;
}

/* One end of the interval (@way -1: the good one): of D's two, whichever is further that way. */
static void judge_end(const struct prediction_input *in, const struct path *path, int way,
                      struct prediction *ret)
{
	struct prediction other = { 0 };
	struct writes scaled, shaped;

	find_ends(&in->dirty, way, &scaled, &shaped);
	judge(in, path, &scaled, ret);
	if (!in->dirty.known)
		return;
	judge(in, path, &shaped, &other);
	if (way > 0 ? is_worse(&other, ret) : is_worse(ret, &other))
		*ret = other;
}

static void take_low(const struct prediction *good, struct prediction *p)
{
	if (good->transfer_ms >= p->transfer_low_ms)
		return;
	p->transfer_low_ms = good->transfer_ms;
	p->low_end = good->end;
}

/* What is given up may be so before it would have arrived. */
static void take_high(const struct prediction *other, struct prediction *p)
{
	if (other->transfer_ms <= p->transfer_high_ms)
		return;
	p->transfer_high_ms = other->transfer_ms;
	p->high_end = other->end;
}

void prediction_make(const struct prediction_input *in, struct prediction *ret)
{
	double bandwidth_error = INTERVAL_ERRORS * fmax(in->bandwidth_error, 0);
	uint64_t overhead = in->overhead_ms ? in->overhead_ms : PREDICTION_OVERHEAD_MS;
	struct prediction p = { 0 }, good = { 0 }, bad = { 0 };
	struct path path = path_of(in, 1), best = path_of(in, 1 + bandwidth_error);
	struct path worst = path_of(in, fmax(1 - bandwidth_error, 0.1));
	struct writes expected = { in->dirty, 1 };

	*ret = (struct prediction){ 0 };
	if (!in->bandwidth_bytes_per_s || !in->memory_bytes)
		return;
	/* What is in use is not known: it may be little. */
	if (!in->touched_bytes)
		best.touched /= 2;
	judge(in, &path, &expected, &p);
	judge_end(in, &best, -1, &good);
	judge_end(in, &worst, 1, &bad);

	p.certain = in->dirty.known && good.end == p.end && bad.end == p.end;
	p.transfer_low_ms = p.transfer_high_ms = p.transfer_ms;
	p.low_end = p.high_end = p.end;
	take_low(&good, &p);
	take_high(&good, &p);
	take_high(&bad, &p);
	p.expected_ms = overhead + p.transfer_ms;
	p.low_ms = overhead + p.transfer_low_ms;
	p.high_ms = overhead + p.transfer_high_ms;
	p.high_known = in->dirty.known && p.high_known && bad.high_known;
	if (bad.downtime_high_ms > p.downtime_high_ms)
		p.downtime_high_ms = bad.downtime_high_ms;
	if (!in->dirty.known)
		p.end = p.low_end = p.high_end = PREDICTION_UNKNOWN;
	if (!p.high_known)
		p.high_ms = 0;
	p.enough_bytes_per_s = prediction_enough_bytes_per_s(&in->dirty, in->max_downtime_ms);
	p.bandwidth_bytes_per_s = (uint64_t)path.rate;
	p.dirty_bytes_per_s = (uint64_t)dirty_curve_at(&in->dirty, 1);
	p.touched_bytes = (uint64_t)path.touched;
	*ret = p;
}

static const char *const names[] = {
	[PREDICTION_UNKNOWN] = "unknown",
	[PREDICTION_CONVERGES] = "converges",
	[PREDICTION_THROTTLED] = "auto-converge",
	[PREDICTION_SWITCHES] = "post-copy",
	[PREDICTION_PAUSES] = "pause",
	[PREDICTION_GIVES_UP] = "gives-up",
};
static_assert(ARRAY_SIZE(names) == PREDICTION_ENDS, "an end without a name");

const char *prediction_end_name(enum prediction_end end)
{
	return (unsigned int)end < PREDICTION_ENDS ? names[end] : names[PREDICTION_UNKNOWN];
}

enum prediction_end prediction_end_by_name(const char *name)
{
	for (unsigned int i = 0; i < PREDICTION_ENDS; i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum prediction_end)i;
	}
	return PREDICTION_UNKNOWN;
}
