/* SPDX-License-Identifier: Apache-2.0 */
/* See calibration.h. */
#include "coordinator/core/predict/calibration.h"

#include <math.h>

/* Each older migration counts so much of the next newer one. */
#define FADE 0.95
/* Nine of ten lie within 1.64 standard deviations of a normal error; these have heavier tails, and the
 * deviation itself is estimated from a few. */
#define SPREAD_FACTOR 2.0
/* Assumed before there is experience, and counted like two migrations of that error. */
#define SPREAD_FIRST        0.15
#define SPREAD_FIRST_WEIGHT 2.0
/* Two runs of the same migration differ by this at the least. */
#define SPREAD_LEAST 0.04
/* And by this, however short it is: seconds of the hosts' own, whose other work nobody foresees. */
#define SPREAD_FIXED_S 0.25
/* The assumed line, held at these two times of transfer. */
#define ANCHOR_SHORT_S 1.0
#define ANCHOR_LONG_S  20.0
#define ANCHOR_WEIGHT  0.2
/* A ratio outside is no property of a path. */
#define RATIO_LEAST 0.25
#define RATIO_MOST  4.0

struct line {
	double overhead_s, ratio;
};

static void add(struct calibration *c, double weight, double x, double y)
{
	double w = weight / (y * y);

	c->w += w;
	c->x += w * x;
	c->y += w * y;
	c->xx += w * x * x;
	c->xy += w * x * y;
}

static struct line solve(const struct calibration *c, const struct line *before)
{
	struct calibration sum = *c;
	struct line line = *before;
	double det;

	add(&sum, ANCHOR_WEIGHT, ANCHOR_SHORT_S,
	    before->overhead_s + before->ratio * ANCHOR_SHORT_S);
	add(&sum, ANCHOR_WEIGHT, ANCHOR_LONG_S, before->overhead_s + before->ratio * ANCHOR_LONG_S);
	det = sum.w * sum.xx - sum.x * sum.x;
	if (det <= 0)
		return line;
	line.ratio = fmin(fmax((sum.w * sum.xy - sum.x * sum.y) / det, RATIO_LEAST), RATIO_MOST);
	line.overhead_s = (sum.y - line.ratio * sum.x) / sum.w;
	if (line.overhead_s < 0) {
		line.overhead_s = 0;
		line.ratio = fmin(fmax(sum.xy / sum.xx, RATIO_LEAST), RATIO_MOST);
	}
	return line;
}

static struct line line_of(const struct calibration *c, const struct calibration *general)
{
	struct line assumed = { .overhead_s = (double)PREDICTION_OVERHEAD_MS / 1000, .ratio = 1 };
	struct line usual = general ? solve(general, &assumed) : assumed;

	return solve(c, &usual);
}

static double spread_of(const struct calibration *c, const struct calibration *general)
{
	double first = SPREAD_FIRST, squares;

	if (general && general->squares_w > 0)
		first = sqrt(
			(general->squares + SPREAD_FIRST_WEIGHT * SPREAD_FIRST * SPREAD_FIRST) /
			(general->squares_w + SPREAD_FIRST_WEIGHT));
	squares = (c->squares + SPREAD_FIRST_WEIGHT * first * first) /
	          (c->squares_w + SPREAD_FIRST_WEIGHT);
	return fmax(sqrt(squares), SPREAD_LEAST);
}

/* What the model's own interval allows for, as a logarithm. */
static double model_width(uint64_t expected_ms, uint64_t end_ms)
{
	return expected_ms && end_ms ? fabs(log((double)end_ms / (double)expected_ms)) : 0;
}

/* What one is worth beside another of which the model was sure. */
static double weight_of(const struct prediction *shown, double spread)
{
	double width = (model_width(shown->transfer_ms, shown->transfer_low_ms) +
	                model_width(shown->transfer_ms, shown->transfer_high_ms)) /
	               2 / 1.64 / spread;

	return 1 / (1 + width * width);
}

void calibration_take(struct calibration *c, const struct calibration *general,
                      const struct prediction *shown, uint64_t actual_ms)
{
	struct line line = line_of(c, general);
	double actual = (double)actual_ms / 1000, transfer = (double)shown->transfer_ms / 1000;
	double error, explained, weight;

	if (!actual_ms || !shown->expected_ms)
		return;
	error = log(actual / fmax(line.overhead_s + line.ratio * transfer, 0.001));
	/* Where measurements were uncertain, a deviation is theirs first. */
	explained = model_width(shown->transfer_ms,
	                        error > 0 ? shown->transfer_high_ms : shown->transfer_low_ms);
	explained /= 1.64;
	/* And the wider the interval was, the less the path's part of it is seen. */
	weight = weight_of(shown, spread_of(c, general));
	c->squares = c->squares * FADE + weight * fmax(error * error - explained * explained, 0);
	c->squares_w = c->squares_w * FADE + weight;
	c->w *= FADE;
	c->x *= FADE;
	c->y *= FADE;
	c->xx *= FADE;
	c->xy *= FADE;
	add(c, weight, transfer, actual);
	c->count++;
}

static uint64_t to_ms(double seconds)
{
	return (uint64_t)llround(seconds * 1000);
}

/* How long it is tried is a matter of settings, not of the path. */
static double whole_s(const struct line *line, uint64_t transfer_ms, enum prediction_end end)
{
	double ratio = end == PREDICTION_GIVES_UP ? 1 : line->ratio;

	return line->overhead_s + ratio * (double)transfer_ms / 1000;
}

void calibration_apply(const struct calibration *c, const struct calibration *general,
                       struct prediction *p)
{
	static const struct calibration nothing;
	struct line line = line_of(c ? c : &nothing, general);
	double spread = SPREAD_FACTOR * spread_of(c ? c : &nothing, general);
	double expected = whole_s(&line, p->transfer_ms, p->end);
	double low = whole_s(&line, p->transfer_low_ms, p->low_end);
	double high = whole_s(&line, p->transfer_high_ms, p->high_end);

	if (!p->expected_ms)
		return;
	/* Where the ends are no transfers of the same kind a ratio may turn them round. */
	low = fmin(low, expected);
	high = fmax(high, expected);
	spread = hypot(spread, SPREAD_FACTOR * SPREAD_FIXED_S / fmax(expected, SPREAD_FIXED_S));
	p->expected_ms = to_ms(expected);
	p->low_ms = to_ms(expected * exp(-hypot(spread, log(expected / fmax(low, 0.001)))));
	p->high_ms = p->high_known ? to_ms(expected *
	                                   exp(hypot(spread, log(fmax(high, 0.001) / expected))))
	                           : 0;
}

void calibration_read(const struct calibration *c, const struct calibration *general,
                      uint64_t *ret_overhead_ms, uint32_t *ret_ratio_permille)
{
	static const struct calibration nothing;
	struct line line = line_of(c ? c : &nothing, general);

	*ret_overhead_ms = to_ms(line.overhead_s);
	*ret_ratio_permille = (uint32_t)llround(line.ratio * 1000);
}
