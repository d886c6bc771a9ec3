/* SPDX-License-Identifier: Apache-2.0 */
/* See outlook.h. */
#include "agent/source/outlook.h"

#include "common/alloc.h"
#include "common/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is foreseen is followed in steps of half a second, or of a fiftieth of the time it has come to. */
#define STEP_S    0.5
#define STEP_PART 50
#define STEPS_MAX 3000
/* A pass that is smaller by less than this is none, as for the limits and the ladder. */
#define NEW_LOW 0.95
/* QEMU's: from the second pass on that has more than half of what the one before sent. */
#define THROTTLE_TRIGGER 0.5
#define THROTTLE_FIRST   20
#define THROTTLE_STEP    10
#define THROTTLE_MOST    99
/* Passes of which each is seen once or twice. */
#define SHORT_S 1.0
#define DOUBT   1.1
/* What is said stays while it differs by no more. */
#define WAVERS_PART     10
#define WAVERS_MS       1000
#define LATER_LOOKS     3
#define BETTER_LOOKS    20
#define SOON_MS         2000
#define LATER_SHOWN_MS  30000
#define STALL_NOTED_MS  5000
#define CHANGED_PERCENT 10

struct foreseen {
	bool known;
	enum outlook_end end;
	double seconds;
};

/* The way from here: where it stands after @seconds. */
struct walk {
	const struct outlook *o;
	const struct outlook_input *in;
	struct convergence limits; /* copies: they are told what is foreseen */
	struct ladder ladder;
	struct vm_job job;
	double seconds, rate, pass, left;
	double doubt; /* as if it wrote so many times as much */
	double scale; /* of the points, to what is counted now; 0 = they say nothing */
	unsigned heavy;
	bool may_throttle;
};

/* --- what is written in a time --- */

static double sampled(const struct outlook_input *in, double seconds)
{
	double at_s = 0, bytes = 0;

	for (size_t i = 0; i < in->n_points; i++) {
		double most = fmax(in->points[i].bytes, bytes);

		if (seconds <= in->points[i].seconds)
			return bytes +
			       (most - bytes) * (seconds - at_s) / (in->points[i].seconds - at_s);
		/* Beyond the last one it goes on as between the last two. */
		if (i + 1 == in->n_points)
			return most + (most - bytes) * (seconds - in->points[i].seconds) /
			                      (in->points[i].seconds - at_s);
		at_s = in->points[i].seconds;
		bytes = most;
	}
	return 0;
}

/* QEMU counts what was written during the pass before: there the curve is held. */
static void hold_curve(struct walk *w)
{
	double before = w->o->before_bytes > 0 ? w->o->before_bytes : w->pass;
	double seconds = before / w->rate, at = sampled(w->in, seconds);

	w->scale = w->job.iteration <= 1 ? 1 : 0;
	if (w->job.iteration > 1 && at > 0)
		w->scale = (double)w->job.dirty_bytes_per_s * seconds / at;
}

static double written(const struct walk *w, double seconds)
{
	double throttle = 1 - w->job.throttle_percent / 100.0;
	double before = 1 - w->in->job->throttle_percent / 100.0;
	double bytes = w->scale > 0 ? w->scale * sampled(w->in, seconds)
	                            : (double)w->job.dirty_bytes_per_s * seconds;

	return fmin(bytes * w->doubt * throttle / before, (double)w->job.memory_total_bytes);
}

/* --- the way --- */

static double fits_bytes(const struct walk *w)
{
	uint64_t downtime_ms = ladder_get_downtime_ms(&w->ladder);

	return w->rate * (double)(downtime_ms ? downtime_ms : CONVERGENCE_DOWNTIME_MS) / 1000;
}

/* Disks go first; libvirt shows the memory when they are copied. */
static void send(struct walk *w, double bytes)
{
	struct vm_job *job = &w->job;
	double disk = fmin(bytes, (double)job->disk_remaining_bytes);

	job->disk_remaining_bytes -= (uint64_t)disk;
	job->disk_processed_bytes += (uint64_t)disk;
	job->memory_processed_bytes += (uint64_t)(bytes - disk);
	w->left = fmax(w->left - bytes, 0);
	if (!job->disk_remaining_bytes && !job->memory_total_bytes) {
		job->memory_total_bytes = w->limits.limits.memory_bytes;
		job->iteration = 1;
	}
	if (job->memory_total_bytes)
		job->memory_remaining_bytes = (uint64_t)fmax(
			w->left - (double)job->disk_remaining_bytes, 0);
}

static void raise_throttle(struct walk *w, double next)
{
	if (!w->may_throttle || next <= w->pass * THROTTLE_TRIGGER || ++w->heavy < 2)
		return;
	w->heavy = 0;
	w->job.throttle_percent += w->job.throttle_percent ? THROTTLE_STEP : THROTTLE_FIRST;
	if (w->job.throttle_percent > THROTTLE_MOST)
		w->job.throttle_percent = THROTTLE_MOST;
}

/* This pass ends; what was written meanwhile is the next. True: that fits into the pause. Of passes shorter than
 * @step that lead nowhere many at once. */
static bool end_pass(struct walk *w, double step)
{
	double next, each;
	unsigned passes = 1;

	send(w, w->left);
	next = written(w, w->pass / w->rate);
	if (next <= fits_bytes(w)) {
		w->seconds += next / w->rate;
		return true;
	}
	raise_throttle(w, next);
	/* With what is only counted, and not known of shorter times, a hot set looks as if it shrank. */
	if (next > w->pass * NEW_LOW && next < w->pass)
		next = w->pass;
	each = next / w->rate;
	if (next >= w->pass * NEW_LOW && !w->may_throttle && each < step)
		passes += (unsigned)((step - each) / each);
	w->seconds += (passes - 1) * each;
	w->job.memory_processed_bytes += (uint64_t)((passes - 1) * next);
	w->job.iteration = (w->job.iteration ? w->job.iteration : 1) + passes;
	w->job.memory_remaining_bytes = (uint64_t)next;
	w->pass = w->left = next;
	return false;
}

/* Nobody looks just when a pass begins: by then some of it is sent. */
static void look_late(struct walk *w)
{
	double late = fmin(STEP_S / 2, w->left / w->rate / 2);

	w->seconds += late;
	send(w, late * w->rate);
}

/* Tells those who decide. True: that was the last of it, @ret is set. */
static bool tell(struct walk *w, uint64_t now_ms, struct foreseen *ret)
{
	uint64_t at_ms = now_ms + (uint64_t)(w->seconds * 1000);
	struct convergence_progress ignored;
	enum convergence_verdict verdict;
	struct ladder_passes passes;
	struct ladder_decision d;
	struct error why;
	bool overdue;

	verdict = convergence_step(&w->limits, &w->job, at_ms, &ignored, &why);
	overdue = verdict == CONVERGENCE_ABORT_TIMEOUT ||
	          (verdict == CONVERGENCE_ABORT_NO_PROGRESS && !ladder_has_step(&w->ladder));
	passes = convergence_get_passes(&w->limits);
	ladder_step(&w->ladder, &w->job, &passes, false, overdue, at_ms, &d);
	switch (d.step) {
	case LADDER_RAISE_DOWNTIME:
		convergence_begin_anew(&w->limits, at_ms);
		return false;
	case LADDER_GO_ON:
	case LADDER_NOTE:
		if (!overdue || ladder_has_measure(&w->ladder))
			return false;
		break;
	case LADDER_PAUSE:
	case LADDER_SWITCH:
		w->seconds += w->left / w->rate;
		ret->end = d.step == LADDER_PAUSE ? OUTLOOK_PAUSES : OUTLOOK_SWITCHES;
		return true;
	default:
		break;
	}
	ret->end = OUTLOOK_GIVES_UP;
	return true;
}

static void wait_for_others(struct walk *w)
{
	double wait_s = (double)w->in->wait_ms / 1000;

	if (!w->in->hold_bytes_per_s)
		return;
	send(w, fmin(wait_s * (double)w->in->hold_bytes_per_s, w->left));
	w->seconds = wait_s;
	w->limits.held_ms += w->in->wait_ms;
}

static void foresee(const struct outlook *o, const struct outlook_input *in, double doubt,
                    uint64_t now_ms, struct foreseen *ret)
{
	struct walk w = { .o = o,
		          .in = in,
		          .doubt = doubt,
		          .limits = *in->convergence,
		          .ladder = *in->ladder,
		          .job = *in->job,
		          .rate = (double)(in->hold_bytes_per_s
		                                   ? in->free_bytes_per_s
		                                   : in->progress->transfer_bytes_per_s),
		          .pass = o->pass_bytes - (double)in->job->disk_remaining_bytes,
		          .left = (double)in->left_bytes };

	*ret = (struct foreseen){ .known = true, .end = OUTLOOK_CONVERGES };
	w.may_throttle = strategy_permits_auto_converge(&w.ladder.settings.strategy);
	if (in->stands_still) {
		ret->seconds = w.left / w.rate;
		ret->end = w.ladder.switched ? OUTLOOK_SWITCHES
		           : w.ladder.paused ? OUTLOOK_PAUSES
		                             : OUTLOOK_CONVERGES;
		return;
	}
	hold_curve(&w);
	wait_for_others(&w);
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		double step = fmax(STEP_S, w.seconds / STEP_PART);

		if (w.left / w.rate > step) {
			w.seconds += step;
			send(&w, step * w.rate);
		} else {
			w.seconds += w.left / w.rate;
			if (end_pass(&w, step)) {
				ret->seconds = w.seconds;
				if (w.job.throttle_percent)
					ret->end = OUTLOOK_THROTTLED;
				else if (in->job->iteration <= 1 && !in->n_points)
					ret->end = OUTLOOK_UNKNOWN;
				return;
			}
			look_late(&w);
		}
		if (tell(&w, now_ms, ret)) {
			ret->seconds = w.seconds;
			return;
		}
	}
	ret->known = false;
}

/* What was said was that; not for a dead network, of which each byte shows that it is none. */
static bool is_given_up(const struct outlook *o)
{
	return o->known && o->end == OUTLOOK_GIVES_UP && !o->stalled;
}

/* Of one that was said to be given up only what is beyond doubt is believed: passes differ from one to the next by
 * more than the little that decides whether they shrink. Until then what was said holds. */
static void foresee_surely(const struct outlook *o, const struct outlook_input *in, uint64_t now_ms,
                           struct foreseen *ret)
{
	struct foreseen other;

	foresee(o, in, 1, now_ms, ret);
	if (!is_given_up(o) || ret->end == OUTLOOK_GIVES_UP)
		return;
	foresee(o, in, DOUBT, now_ms, &other);
	if (!other.known || other.end != OUTLOOK_GIVES_UP)
		return;
	if (o->end_at_ms > now_ms)
		other.seconds = (double)(o->end_at_ms - now_ms) / 1000;
	*ret = other;
}

/* --- what is said --- */

static bool has_fallen(double from, double to)
{
	return to < from * (100 - CHANGED_PERCENT) / 100;
}

static void say_why(const struct outlook *o, const struct outlook_input *in,
                    const struct foreseen *f, uint64_t still_ms, char *ret)
{
	const struct convergence_progress *p = in->progress;
	char a[UNITS_TEXT_BYTES], b[UNITS_TEXT_BYTES];

	if (still_ms)
		snprintf(ret, OUTLOOK_WHY_BYTES, "no byte was sent for %s",
		         units_format_duration(still_ms, a));
	else if (in->hold_bytes_per_s && !o->held)
		snprintf(ret, OUTLOOK_WHY_BYTES, "%.80s goes first", in->held_for);
	else if (f->end == OUTLOOK_GIVES_UP && o->end != OUTLOOK_GIVES_UP)
		snprintf(ret, OUTLOOK_WHY_BYTES, "it writes %s, and %s are carried",
		         units_format_rate(in->job->dirty_bytes_per_s, a),
		         units_format_rate(p->transfer_bytes_per_s, b));
	else if (has_fallen(o->rate, (double)p->transfer_bytes_per_s))
		snprintf(ret, OUTLOOK_WHY_BYTES, "%s are carried, no longer %s",
		         units_format_rate(p->transfer_bytes_per_s, a),
		         units_format_rate((uint64_t)o->rate, b));
	else if (o->dirty <= 0 && in->job->dirty_bytes_per_s)
		snprintf(ret, OUTLOOK_WHY_BYTES, "it writes %s while it moves",
		         units_format_rate(in->job->dirty_bytes_per_s, a));
	else if (has_fallen((double)in->job->dirty_bytes_per_s, o->dirty))
		snprintf(ret, OUTLOOK_WHY_BYTES, "it writes %s, no longer %s",
		         units_format_rate(in->job->dirty_bytes_per_s, a),
		         units_format_rate((uint64_t)o->dirty, b));
	else
		snprintf(ret, OUTLOOK_WHY_BYTES, "pass %u has more to send than was foreseen: %s",
		         in->job->iteration, units_format_bytes((uint64_t)o->pass_bytes, a));
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* What a pass seems to be changes as it is seen, and what is carried with what others take: that it ends later, or
 * is given up, is said when it has been foreseen a few times in a row. That it is not given up, or not yet, is when it
 * has been for longer than two guests on one link take from each other in turn. */
static bool is_too_early(struct outlook *o, const struct outlook_input *in,
                         const struct foreseen *f, uint64_t at_ms, uint64_t now_ms)
{
	bool given_up = is_given_up(o), later = at_ms > o->end_at_ms;
	bool other = f->end != o->end && f->end != OUTLOOK_GIVES_UP;

	if (!o->known || in->stands_still || o->end == OUTLOOK_UNKNOWN ||
	    outlook_left_ms(o, now_ms) <= SOON_MS ||
	    (given_up ? !later && !other : !later || other))
		return false;
	return ++o->looks < (given_up ? BETTER_LOOKS : LATER_LOOKS);
}

static void say(struct outlook *o, const struct outlook_input *in, const struct foreseen *f,
                uint64_t still_ms, uint64_t now_ms)
{
	uint64_t at_ms = now_ms + (uint64_t)(f->seconds * 1000);
	uint64_t rest_ms = outlook_left_ms(o, now_ms);
	bool was = o->known;

	if (!f->known) {
		o->known = false;
		return;
	}
	if (was && (f->end == o->end || !is_given_up(o)) &&
	    apart(at_ms, o->end_at_ms) <= WAVERS_MS + rest_ms / WAVERS_PART) {
		o->end = f->end;
		o->stalled = still_ms;
		o->looks = 0;
		if (now_ms - o->later_ms >= LATER_SHOWN_MS)
			o->later_why[0] = '\0';
		return;
	}
	if (!still_ms && is_too_early(o, in, f, at_ms, now_ms))
		return;
	if (was && at_ms > o->end_at_ms) {
		say_why(o, in, f, still_ms, o->later_why);
		o->later_ms = now_ms;
	} else {
		o->later_why[0] = '\0';
	}
	o->known = true;
	o->looks = 0;
	o->stalled = still_ms;
	o->end = f->end;
	o->end_at_ms = at_ms;
	o->rate = (double)in->progress->transfer_bytes_per_s;
	o->dirty = (double)in->job->dirty_bytes_per_s;
	o->held = in->hold_bytes_per_s;
}

/* Of passes shorter than what is between two readings only some are seen, each at any part of it. What one that is
 * new has to send at least follows from the last one: each is by so much smaller than the one before. */
static double unseen_bytes(const struct outlook *o, const struct outlook_input *in)
{
	double rate = (double)in->progress->transfer_bytes_per_s;
	double shrinks = rate > 0 ? (double)in->job->dirty_bytes_per_s / rate : 1;
	bool is_short = in->job->iteration > o->iteration + 1 || o->pass_bytes < rate * SHORT_S;

	if (o->iteration <= 1 || !is_short)
		return 0;
	return shrinks >= NEW_LOW ? o->pass_bytes
	                          : o->pass_bytes * pow(shrinks, in->job->iteration - o->iteration);
}

static void see_pass(struct outlook *o, const struct outlook_input *in)
{
	const struct convergence *c = in->convergence;
	double left = (double)in->left_bytes;

	if (in->job->iteration != o->iteration) {
		double least = unseen_bytes(o, in);

		o->before_bytes = least > 0 ? 0 : o->pass_bytes;
		o->pass_bytes = least;
		o->iteration = in->job->iteration;
	}
	/* Of the first one all that it has sent counts, whatever of it was seen; before it disks are sent.
	 * Of the others the limits know what the bytes tell. */
	if (in->job->iteration <= 1)
		left += (double)in->job->memory_processed_bytes;
	else if (c->mark.iteration == o->iteration && c->pass_bytes != UINT64_MAX)
		left = fmax(left, (double)c->pass_bytes);
	if (!in->job->memory_total_bytes)
		o->pass_bytes = 0;
	o->pass_bytes = fmax(o->pass_bytes, left);
}

/* Of one that is given up nothing is a part. */
static void see_percent(struct outlook *o, uint64_t elapsed_ms, uint64_t now_ms)
{
	uint64_t whole_ms = elapsed_ms + outlook_left_ms(o, now_ms), percent;

	if (!o->known || o->end == OUTLOOK_GIVES_UP || !whole_ms)
		return;
	percent = elapsed_ms * 100 / whole_ms;
	if (percent > 99)
		percent = 99;
	if (percent > o->percent)
		o->percent = (uint32_t)percent;
}

void outlook_look(struct outlook *o, const struct outlook_input *in, uint64_t now_ms)
{
	const struct convergence *c = in->convergence;
	uint64_t still_ms = c->seen_bytes ? now_ms - c->last_growth_ms : 0;
	struct foreseen f = { 0 };

	see_pass(o, in);
	if (still_ms < STALL_NOTED_MS)
		still_ms = 0;
	if (still_ms)
		f = (struct foreseen){
			.known = true,
			.end = OUTLOOK_GIVES_UP,
			.seconds = still_ms < CONVERGENCE_STALL_MS
			                   ? (double)(CONVERGENCE_STALL_MS - still_ms) / 1000
			                   : 0
		};
	else if (c->seen_bytes && in->progress->transfer_bytes_per_s &&
	         (!in->hold_bytes_per_s || in->free_bytes_per_s))
		foresee_surely(o, in, now_ms, &f);
	say(o, in, &f, still_ms, now_ms);
	see_percent(o, in->progress->elapsed_ms, now_ms);
}

uint64_t outlook_left_ms(const struct outlook *o, uint64_t now_ms)
{
	return o->known && o->end_at_ms > now_ms ? o->end_at_ms - now_ms : 0;
}
