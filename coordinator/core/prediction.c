/* SPDX-License-Identifier: Apache-2.0 */
/* Passes, followed until they fit or do not. Theory: prediction.h. */
#include "coordinator/core/prediction.h"

#include "common/alloc.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* Both ends of the interval are at 1.64 standard errors: nine of ten are within. */
#define INTERVAL_ERRORS 1.64
/* A dirty rate of which no error is known is taken for this uncertain. */
#define DIRTY_ERROR_DEFAULT 0.25
/* Of weighted squares: what noise makes of them. A hot set that only noise suggests must not be seen. */
#define FITS_AS_WELL 0.5
/* What the curve itself leaves out, whatever it was fitted to: guests write in turn, not at random. */
#define DIRTY_ERROR_MODEL 0.08
/* QEMU's: from the second pass on that has more than half of what the one before sent, the guest is
 * held back by 20 %, then by 10 % more with each, up to 99 %. */
#define THROTTLE_TRIGGER 0.5
#define THROTTLE_FIRST   0.20
#define THROTTLE_STEP    0.10
#define THROTTLE_MOST    0.99
/* A ladder or an operator's patience ends a move that makes no progress: passes shorter by less than a
 * twentieth are none (agent/convergence.h). */
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

static double dirtied(const struct dirty_curve *curve, double scale, double seconds, double most)
{
	double bytes = dirty_curve_at(curve, seconds) * scale;

	return bytes < most ? bytes : most;
}

/* The whole of it, with D scaled. */
static void run_passes(const struct prediction_input *in, const struct path *path, double scale,
                       struct run *ret)
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
		next = dirtied(&in->dirty, scale * (1 - throttle), pass, path->touched) /
		       path->rate;
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

/* --- the curve --- */

double dirty_curve_at(const struct dirty_curve *curve, double seconds)
{
	double turn;

	if (!curve->known || seconds <= 0)
		return 0;
	turn = curve->knee_s > 0 ? curve->turn_bytes * fmin(seconds / curve->knee_s, 1) : 0;
	return curve->hot_bytes * -expm1(-seconds / curve->theta_s) + turn +
	       curve->cold_bytes_per_s * seconds;
}

static bool is_usable(const struct dirty_point *p)
{
	return isfinite(p->seconds) && isfinite(p->bytes) && p->seconds > 0 && p->bytes >= 0;
}

/* What one measurement counts for: its error, and never less than a twentieth of it: the model is
 * no better. */
static double weight_of(const struct dirty_point *p)
{
	double error = p->error > 0 && isfinite(p->error) ? p->error
	                                                  : p->bytes * DIRTY_ERROR_DEFAULT;

	error = fmax(error, fmax(p->bytes / 20, 4096));
	return 1 / (error * error);
}

/* How much of a hot set is written in that time: at random, or in turn. */
static double share_of(double seconds, double scale, bool in_turn)
{
	return in_turn ? fmin(seconds / scale, 1) : -expm1(-seconds / scale);
}

struct fit {
	double hot, cold, scale;
	double left; /* the weighted squares that remain */
};

/* The best W and c, neither below 0, for one theta or knee. */
static struct fit fit_for(const struct dirty_point *points, size_t count, double scale,
                          bool in_turn)
{
	double aa = 0, ab = 0, bb = 0, ay = 0, by = 0, yy = 0, w = 0, c = 0, det;

	for (size_t i = 0; i < count; i++) {
		double weight, a, b, y;

		if (!is_usable(&points[i]))
			continue;
		weight = weight_of(&points[i]);
		a = share_of(points[i].seconds, scale, in_turn);
		b = points[i].seconds;
		y = points[i].bytes;
		aa += weight * a * a;
		ab += weight * a * b;
		bb += weight * b * b;
		ay += weight * a * y;
		by += weight * b * y;
		yy += weight * y * y;
	}
	det = aa * bb - ab * ab;
	if (det > 1e-9 * aa * bb) {
		w = (ay * bb - by * ab) / det;
		c = (by * aa - ay * ab) / det;
	}
	if (det <= 1e-9 * aa * bb || w < 0 || c < 0) {
		bool hot_only = ay * ay / aa > by * by / bb;

		w = hot_only ? ay / aa : 0;
		c = hot_only ? 0 : by / bb;
	}
	return (struct fit){ .hot = w,
		             .cold = c,
		             .scale = scale,
		             .left = yy - 2 * (w * ay + c * by) + w * w * aa + 2 * w * c * ab +
		                     c * c * bb };
}

/* Scales from a tenth of the shortest window to the longest one, in steps of a fifth. Of those that fit
 * as well as the best, the middle one: two windows alone leave it open whether pages are hot, or rarely
 * written twice. */
static struct fit fit_hot_set(const struct dirty_point *points, size_t count, double shortest,
                              double longest, bool in_turn)
{
	struct fit fits[64], chosen = { .scale = 1 };
	double best = DBL_MAX, scale = shortest / 10;
	size_t n = 0, good = 0, taken = 0;

	for (; scale <= longest * 1.2 && n < ARRAY_SIZE(fits); scale *= 1.2, n++) {
		fits[n] = fit_for(points, count, scale, in_turn);
		best = fmin(best, fits[n].left);
	}
	for (size_t i = 0; i < n; i++)
		good += fits[i].left <= best + FITS_AS_WELL;
	for (size_t i = 0; i < n; i++) {
		if (fits[i].left <= best + FITS_AS_WELL && taken++ == good / 2)
			chosen = fits[i];
	}
	return chosen;
}

static void take_mean(const struct fit *random, const struct fit *turn, struct dirty_curve *ret)
{
	ret->hot_bytes = random->hot / 2;
	ret->theta_s = random->scale;
	ret->turn_bytes = turn->hot / 2;
	ret->knee_s = turn->scale;
	ret->cold_bytes_per_s = (random->cold + turn->cold) / 2;
}

void dirty_curve_fit(const struct dirty_point *points, size_t count, struct dirty_curve *ret)
{
	double shortest = DBL_MAX, longest = 0, squares = 0;
	struct dirty_curve curve = { .theta_s = 1 };
	size_t usable = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_usable(&points[i]))
			continue;
		usable++;
		shortest = fmin(shortest, points[i].seconds);
		longest = fmax(longest, points[i].seconds);
		squares += points[i].bytes > 0
		                   ? 1 / weight_of(&points[i]) / (points[i].bytes * points[i].bytes)
		                   : 0;
	}
	*ret = (struct dirty_curve){ .theta_s = 1 };
	if (!usable)
		return;
	if (longest > shortest * 1.01) {
		struct fit random = fit_hot_set(points, count, shortest, longest, false);
		struct fit turn = fit_hot_set(points, count, shortest, longest, true);

		take_mean(&random, &turn, &curve);
	} else {
		/* One window: all that is known is a rate. */
		struct fit line = fit_for(points, count, 1e9, true);

		curve.cold_bytes_per_s = line.cold + line.hot / line.scale;
	}
	curve.known = true;
	/* Several windows each have their own error; a curve through them has a part of it. */
	curve.error = sqrt(squares) / (double)usable;
	*ret = curve;
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

static bool judge(const struct prediction_input *in, const struct path *path, double scale,
                  struct prediction *p)
{
	struct run run;

	run_passes(in, path, scale, &run);
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

static double error_of(const struct dirty_curve *curve)
{
	return hypot(curve->error > 0 ? curve->error : DIRTY_ERROR_DEFAULT, DIRTY_ERROR_MODEL);
}

void prediction_make(const struct prediction_input *in, struct prediction *ret)
{
	double bandwidth_error = INTERVAL_ERRORS * fmax(in->bandwidth_error, 0);
	double dirty_error = INTERVAL_ERRORS * error_of(&in->dirty);
	uint64_t overhead = in->overhead_ms ? in->overhead_ms : PREDICTION_OVERHEAD_MS;
	struct prediction p = { 0 }, good = { 0 }, bad = { 0 };
	struct path path = path_of(in, 1), best = path_of(in, 1 + bandwidth_error);
	struct path worst = path_of(in, fmax(1 - bandwidth_error, 0.1));
	bool ends, ends_well, ends_badly;

	*ret = (struct prediction){ 0 };
	if (!in->bandwidth_bytes_per_s || !in->memory_bytes)
		return;
	/* What is in use is not known: it may be little. */
	if (!in->touched_bytes)
		best.touched /= 2;
	ends = judge(in, &path, 1, &p);
	ends_well = judge(in, &best, in->dirty.known ? fmax(1 - dirty_error, 0) : 0, &good);
	ends_badly = judge(in, &worst, 1 + dirty_error, &bad);

	p.certain = in->dirty.known && ends_well == ends_badly && ends == ends_badly;
	p.transfer_low_ms = good.transfer_ms < p.transfer_ms ? good.transfer_ms : p.transfer_ms;
	p.transfer_high_ms = bad.transfer_ms > p.transfer_ms ? bad.transfer_ms : p.transfer_ms;
	p.expected_ms = overhead + p.transfer_ms;
	p.low_ms = overhead + p.transfer_low_ms;
	p.high_ms = overhead + p.transfer_high_ms;
	p.high_known = in->dirty.known && p.high_known && bad.high_known;
	if (bad.downtime_high_ms > p.downtime_high_ms)
		p.downtime_high_ms = bad.downtime_high_ms;
	if (!in->dirty.known)
		p.end = PREDICTION_UNKNOWN;
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
