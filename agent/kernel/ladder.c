/* SPDX-License-Identifier: Apache-2.0 */
/* See ladder.h. Pure. */
#include "agent/kernel/ladder.h"

#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <stdio.h>

/* A pass that begins with at most this much of the best one is a local minimum. */
#define NEAR_BEST_PERCENT 110
#define NEW_LOW_PERCENT   95

#define RUNGS_MAX 6

/* In percent of the downtime that is allowed. */
static const struct {
	unsigned rungs;
	unsigned percent[RUNGS_MAX];
	unsigned patience_passes;
} ladders[] = {
	[LADDER_PLAIN] = { 1, { 100 }, LADDER_PATIENCE_PASSES },
	[LADDER_MINIMAL_DOWNTIME] = { 6, { 20, 30, 40, 60, 80, 100 }, LADDER_PATIENCE_PASSES },
	[LADDER_SUSPEND_IF_NEEDED] = { 6, { 20, 30, 40, 60, 80, 100 }, LADDER_PATIENCE_PASSES },
	/* The switch itself is short: no reason to try long ones before. */
	[LADDER_POST_COPY] = { 3, { 20, 30, 40 }, LADDER_PATIENCE_PASSES },
	[LADDER_VERY_LARGE] = { 3, { 60, 80, 100 }, 2 * LADDER_PATIENCE_PASSES },
};

static_assert(ARRAY_SIZE(ladders) == LADDERS, "a ladder without rungs");

void ladder_init(struct ladder *l, const struct ladder_settings *settings, uint64_t now_ms)
{
	*l = (struct ladder){
		.settings = *settings,
		.pass_bytes = UINT64_MAX,
		.best_bytes = UINT64_MAX,
		.step_ms = now_ms,
		.throttle_ms = now_ms,
	};
}

static unsigned last_rung(const struct ladder *l)
{
	return l->settings.max_downtime_ms ? ladders[l->settings.strategy.ladder].rungs - 1 : 0;
}

void ladder_adopt(struct ladder *l, unsigned rung, bool paused, bool switched)
{
	l->rung = rung < last_rung(l) && !l->downtime_fixed ? rung : last_rung(l);
	l->paused = paused;
	l->switched = switched;
}

void ladder_take(struct ladder *l, enum ladder_step measure, uint64_t now_ms)
{
	l->paused |= measure == LADDER_PAUSE;
	l->switched |= measure == LADDER_SWITCH;
	ladder_begin_anew(l, now_ms);
}

static uint64_t downtime_of(const struct ladder *l, unsigned rung)
{
	uint64_t all_ms = l->settings.max_downtime_ms;
	uint64_t ms = all_ms * ladders[l->settings.strategy.ladder].percent[rung] / 100;

	/* QEMU takes 0 as "never". */
	return all_ms && !ms ? 1 : ms;
}

uint64_t ladder_get_downtime_ms(const struct ladder *l)
{
	return l->downtime_fixed ? l->settings.max_downtime_ms : downtime_of(l, l->rung);
}

void ladder_begin_anew(struct ladder *l, uint64_t now_ms)
{
	l->passes_without_low = 0;
	l->best_bytes = UINT64_MAX;
	l->step_ms = now_ms;
	l->wanted_since_ms = 0;
}

void ladder_fix_downtime(struct ladder *l, uint64_t downtime_ms, uint64_t now_ms)
{
	l->settings.max_downtime_ms = downtime_ms;
	l->downtime_fixed = true;
	l->rung = last_rung(l);
	ladder_begin_anew(l, now_ms);
}

/* --- what happened --- */

static bool is_low(const struct ladder *l, uint64_t bytes)
{
	return l->best_bytes == UINT64_MAX || bytes < l->best_bytes / 100 * NEW_LOW_PERCENT;
}

/* The pass that was the latest is over, as are all of these but their last. */
static void take_passes(struct ladder *l, const struct ladder_passes *p)
{
	if (p->iteration == l->measured_iteration)
		return;
	if (p->bytes == UINT64_MAX || p->iteration < l->measured_iteration) {
		l->low = false;
	} else if (is_low(l, p->bytes)) {
		l->best_bytes = p->bytes;
		l->passes_without_low = 0;
		l->low = true;
	} else {
		l->passes_without_low += p->iteration - l->measured_iteration - l->low;
		l->low = false;
	}
	l->pass_bytes = p->bytes;
	l->measured_iteration = p->iteration;
}

static void take_reading(struct ladder *l, const struct vm_job *job,
                         const struct ladder_passes *passes, uint64_t now_ms, bool *ret_pass_begins)
{
	*ret_pass_begins = job->iteration != l->iteration && job->iteration > 1;
	if (job->iteration > l->iteration)
		l->throttle_passes += job->iteration - l->iteration;
	l->iteration = job->iteration;
	take_passes(l, passes);
	if (job->throttle_percent > l->throttle_percent) {
		l->throttle_percent = job->throttle_percent;
		l->throttle_ms = now_ms;
		l->throttle_passes = 0;
	}
}

/* QEMU has not yet done all that it can. */
static bool is_throttle_rising(const struct ladder *l, uint64_t now_ms)
{
	return strategy_permits_auto_converge(&l->settings.strategy) && l->throttle_percent < 99 &&
	       (l->throttle_passes < LADDER_THROTTLE_PASSES ||
	        now_ms - l->throttle_ms < LADDER_THROTTLE_MS);
}

/* "pass 5 has 128 MiB to send (best 120 MiB); the guest dirties 335 Mbit/s, the stream carries 168
 * Mbit/s" */
static void describe(const struct ladder *l, const struct vm_job *job, char *ret, size_t bytes)
{
	char now[UNITS_TEXT_BYTES], best[UNITS_TEXT_BYTES], dirty[UNITS_TEXT_BYTES];
	char sent[UNITS_TEXT_BYTES];
	bool measured = l->pass_bytes != UINT64_MAX;
	uint64_t pass_bytes = measured ? l->pass_bytes : job->memory_remaining_bytes;
	uint64_t best_bytes = pass_bytes < l->best_bytes ? pass_bytes : l->best_bytes;

	snprintf(ret, bytes,
	         "pass %u has %s to send (best %s); the guest dirties %s, the stream carries %s",
	         measured ? l->measured_iteration : job->iteration,
	         units_format_bytes(pass_bytes, now), units_format_bytes(best_bytes, best),
	         units_format_rate(job->dirty_bytes_per_s, dirty),
	         units_format_rate(job->transfer_bytes_per_s, sent));
}

/* --- what to do --- */

static enum ladder_step get_measure(const struct ladder *l)
{
	const struct strategy *s = &l->settings.strategy;
	bool post_copy = strategy_permits_post_copy(s) && !l->settings.two_step;

	if (l->paused || l->switched)
		return LADDER_GO_ON;
	if (s->ladder == LADDER_SUSPEND_IF_NEEDED)
		return LADDER_PAUSE;
	if (post_copy)
		return LADDER_SWITCH;
	return strategy_permits_pause(s) ? LADDER_PAUSE : LADDER_GO_ON;
}

bool ladder_has_measure(const struct ladder *l)
{
	return get_measure(l) != LADDER_GO_ON;
}

bool ladder_has_step(const struct ladder *l)
{
	return l->rung < last_rung(l);
}

static bool is_stuck(const struct ladder *l, uint64_t now_ms)
{
	return l->passes_without_low >= ladders[l->settings.strategy.ladder].patience_passes &&
	       now_ms - l->step_ms >= LADDER_STEP_MS;
}

static bool is_hopeless(const struct ladder *l, uint64_t now_ms)
{
	uint64_t step_ms = l->step_ms > l->throttle_ms ? l->step_ms : l->throttle_ms;

	return l->settings.strategy.ladder != LADDER_PLAIN && !l->paused &&
	       l->passes_without_low >= LADDER_LAST_PASSES && now_ms - step_ms >= LADDER_LAST_MS;
}

static void raise_downtime(struct ladder *l, const struct vm_job *job, uint64_t now_ms,
                           struct ladder_decision *d)
{
	char figures[256], from[UNITS_TEXT_BYTES], to[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];

	describe(l, job, figures, sizeof(figures));
	units_format_duration(ladder_get_downtime_ms(l), from);
	l->rung++;
	d->step = LADDER_RAISE_DOWNTIME;
	d->downtime_ms = ladder_get_downtime_ms(l);
	snprintf(d->why, sizeof(d->why),
	         "max downtime raised from %s to %s of %s, after %u passes without a new low: %s",
	         from, units_format_duration(d->downtime_ms, to),
	         units_format_duration(l->settings.max_downtime_ms, all), l->passes_without_low,
	         figures);
	l->passes_without_low = 0;
	l->step_ms = now_ms;
}

static void take_measure(struct ladder *l, const struct vm_job *job, bool overdue, uint64_t now_ms,
                         struct ladder_decision *d)
{
	const char *because = overdue ? "the time allowed is over" : "no pass got any smaller";
	char figures[256];

	describe(l, job, figures, sizeof(figures));
	d->step = get_measure(l);
	if (d->step == LADDER_PAUSE) {
		l->paused = true;
		snprintf(d->why, sizeof(d->why),
		         "the guest is paused until it is moved, because %s: %s", because, figures);
	} else {
		l->switched = true;
		snprintf(d->why, sizeof(d->why), "switched to post-copy, because %s: %s", because,
		         figures);
	}
	l->step_ms = now_ms;
	l->wanted_since_ms = 0;
	l->passes_without_low = 0;
}

static bool is_moment(const struct ladder *l, const struct vm_job *job, bool pass_begins,
                      uint64_t now_ms)
{
	assert(job->iteration >= 2);
	if (now_ms - l->wanted_since_ms >= LADDER_MINIMUM_WAIT_MS)
		return true;
	return pass_begins &&
	       (l->best_bytes == UINT64_MAX ||
	        job->memory_remaining_bytes / NEAR_BEST_PERCENT <= l->best_bytes / 100);
}

static void note_throttle(struct ladder *l, const struct vm_job *job, struct ladder_decision *d)
{
	char figures[256];

	describe(l, job, figures, sizeof(figures));
	l->throttle_noted = true;
	d->step = LADDER_NOTE;
	snprintf(d->why, sizeof(d->why),
	         "auto-converge: QEMU began to hold the guest's CPUs back, by %u %%: %s",
	         job->throttle_percent, figures);
}

static void give_up(const struct ladder *l, const struct vm_job *job, struct ladder_decision *d)
{
	char figures[256], all[UNITS_TEXT_BYTES];

	describe(l, job, figures, sizeof(figures));
	d->step = LADDER_ABORT;
	snprintf(
		d->why, sizeof(d->why),
		"did not converge at the %s of downtime that are allowed, %u passes without a new "
		"low (ladder %s): %s; give it more bandwidth or downtime, or permit auto-converge, "
		"a pause or post-copy",
		units_format_duration(ladder_get_downtime_ms(l), all), l->passes_without_low,
		strategy_ladder_name(l->settings.strategy.ladder), figures);
}

void ladder_step(struct ladder *l, const struct vm_job *job, const struct ladder_passes *passes,
                 bool guest_paused, bool overdue, uint64_t now_ms, struct ladder_decision *ret)
{
	struct ladder_decision d = { .step = LADDER_GO_ON };
	bool named = l->settings.strategy.ladder != LADDER_PLAIN, pass_begins, wanted;

	take_reading(l, job, passes, now_ms, &pass_begins);
	*ret = d;
	if (l->switched || guest_paused || job->iteration < 2)
		return;
	wanted = ladder_has_measure(l) &&
	         (overdue || (named && l->rung == last_rung(l) && is_stuck(l, now_ms) &&
	                      !is_throttle_rising(l, now_ms)));
	if (wanted && !l->wanted_since_ms)
		l->wanted_since_ms = now_ms;
	else if (!overdue && l->passes_without_low == 0)
		l->wanted_since_ms = 0; /* it has become easier meanwhile */
	if (l->wanted_since_ms) {
		if (is_moment(l, job, pass_begins, now_ms))
			take_measure(l, job, overdue, now_ms, &d);
	} else if (l->throttle_percent && !l->throttle_noted) {
		note_throttle(l, job, &d);
	} else if (l->rung < last_rung(l) && is_stuck(l, now_ms)) {
		raise_downtime(l, job, now_ms, &d);
	} else if (is_hopeless(l, now_ms) && !is_throttle_rising(l, now_ms)) {
		give_up(l, job, &d);
	}
	*ret = d;
}

const char *ladder_step_name(enum ladder_step step)
{
	static const char *const names[] = {
		[LADDER_GO_ON] = "go-on",      [LADDER_RAISE_DOWNTIME] = "raise-downtime",
		[LADDER_NOTE] = "note",        [LADDER_PAUSE] = "pause",
		[LADDER_SWITCH] = "post-copy", [LADDER_ABORT] = "abort",
	};

	static_assert(ARRAY_SIZE(names) == LADDER_STEPS, "a step without a name");
	assert((unsigned)step < LADDER_STEPS);
	return names[step];
}
