/* SPDX-License-Identifier: Apache-2.0 */
/* See dirty_curve.h. */
#include "coordinator/core/predict/dirty_curve.h"

#include "common/alloc.h"

#include <float.h>
#include <math.h>

/* A measurement of which no error is known is taken for this uncertain. */
#define DIRTY_ERROR_DEFAULT 0.25
/* Of weighted squares: what noise makes of them. A hot set that only noise suggests must not be seen. */
#define FITS_AS_WELL 0.5
/* Where it is decided whether a guest converges: QEMU's own limit of the pause. */
#define PAUSE_S 0.3
/* Of all that fit, so many write less than the least, and more than the most. A guest that writes in turn is
 * among the least there are, so less of them are left out; the most write their hot set at once, which few do. */
#define SHARE_BELOW 0.05
#define SHARE_ABOVE 0.10
/* Halvings on the way to them: to a thousandth of what is possible. */
#define HALVINGS 10
/* What is less likely than that, beside the best, says nothing. */
#define WEIGHT_LEAST 0.01
/* Of one kind: from a tenth of a window to more than 10,000 times that. */
#define SCALES_MOST 64

/* How much of a hot set is written in that time. */
static double share_of(double seconds, double scale, bool in_turn)
{
	return in_turn ? fmin(seconds / scale, 1) : -expm1(-seconds / scale);
}

static double shape_at(const struct dirty_shape *shape, double seconds)
{
	return (shape->hot_bytes > 0
	                ? shape->hot_bytes * share_of(seconds, shape->scale_s, shape->in_turn)
	                : 0) +
	       shape->cold_bytes_per_s * seconds;
}

double dirty_curve_at(const struct dirty_curve *curve, double seconds)
{
	if (!curve->known || seconds <= 0)
		return 0;
	return (shape_at(&curve->random, seconds) + shape_at(&curve->turn, seconds)) / 2;
}

struct dirty_curve dirty_curve_of(const struct dirty_shape *shape, double error)
{
	return (struct dirty_curve){ .known = true,
		                     .random = *shape,
		                     .turn = *shape,
		                     .least = *shape,
		                     .most = *shape,
		                     .error = error };
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

/* hot share_of(t) + cold t at one scale, with its weighted normal equations. */
struct fit {
	struct dirty_shape shape;
	double aa, ab, bb, ay, by, yy;
	double left;   /* the weighted squares that remain */
	double weight; /* how likely, beside the others */
	/* In a pause: what it writes, and the standard error of that. */
	double bytes, deviation;
};

/* The best W and c, neither below 0, for one theta or knee. */
static struct fit fit_for(const struct dirty_point *points, size_t count, double scale,
                          bool in_turn)
{
	struct fit f = { .shape = { .in_turn = in_turn, .scale_s = scale } };
	double w = 0, c = 0, det;

	for (size_t i = 0; i < count; i++) {
		double weight, a, b, y;

		if (!is_usable(&points[i]))
			continue;
		weight = weight_of(&points[i]);
		a = share_of(points[i].seconds, scale, in_turn);
		b = points[i].seconds;
		y = points[i].bytes;
		f.aa += weight * a * a;
		f.ab += weight * a * b;
		f.bb += weight * b * b;
		f.ay += weight * a * y;
		f.by += weight * b * y;
		f.yy += weight * y * y;
	}
	det = f.aa * f.bb - f.ab * f.ab;
	if (det > 1e-9 * f.aa * f.bb) {
		w = (f.ay * f.bb - f.by * f.ab) / det;
		c = (f.by * f.aa - f.ay * f.ab) / det;
	}
	if (det <= 1e-9 * f.aa * f.bb || w < 0 || c < 0) {
		bool hot_only = f.ay * f.ay / f.aa > f.by * f.by / f.bb;

		w = hot_only ? f.ay / f.aa : 0;
		c = hot_only ? 0 : f.by / f.bb;
	}
	f.shape.hot_bytes = w;
	f.shape.cold_bytes_per_s = c;
	f.left = f.yy - 2 * (w * f.ay + c * f.by) + w * w * f.aa + 2 * w * c * f.ab + c * c * f.bb;
	return f;
}

/* Which way W and c move D(@seconds) most for the weighted squares that it costs; returns the standard
 * error of D there. */
static double find_slope(const struct fit *f, double seconds, double *ret_hot, double *ret_cold)
{
	double a = share_of(seconds, f->shape.scale_s, f->shape.in_turn), b = seconds;
	double det = f->aa * f->bb - f->ab * f->ab;

	*ret_hot = *ret_cold = 0;
	/* What is at its bound stays there. */
	if (f->shape.cold_bytes_per_s <= 0) {
		*ret_hot = a / f->aa;
	} else if (f->shape.hot_bytes <= 0) {
		*ret_cold = b / f->bb;
	} else {
		*ret_hot = (a * f->bb - b * f->ab) / det;
		*ret_cold = (b * f->aa - a * f->ab) / det;
	}
	return sqrt(fmax(*ret_hot * a + *ret_cold * b, 0));
}

static double deviation_of(const struct fit *f, double seconds)
{
	double hot, cold;

	return find_slope(f, seconds, &hot, &cold);
}

/* @f with W and c moved so that it writes so many standard errors more in a pause. */
static struct dirty_shape move_fit(const struct fit *f, double deviations)
{
	struct dirty_shape shape = f->shape;
	double hot, cold, deviation = find_slope(f, PAUSE_S, &hot, &cold);

	if (deviation > 0) {
		shape.hot_bytes = fmax(shape.hot_bytes + deviations * hot / deviation, 0);
		shape.cold_bytes_per_s = fmax(
			shape.cold_bytes_per_s + deviations * cold / deviation, 0);
	}
	return shape;
}

/* All scales of both kinds. */
struct fits {
	struct fit all[2 * SCALES_MOST];
	size_t n;
};

static double best_of(const struct fits *fits, size_t from, size_t to)
{
	double best = DBL_MAX;

	for (size_t i = from; i < to; i++)
		best = fmin(best, fits->all[i].left);
	return best;
}

/* Scales from a tenth of the shortest window to the longest one, in steps of a fifth. Returned is, of
 * those that fit as well as the best, the middle one: two windows alone leave it open whether pages are
 * hot, or rarely written twice. */
static struct fit fit_hot_set(struct fits *fits, const struct dirty_point *points, size_t count,
                              double shortest, double longest, bool in_turn)
{
	size_t from = fits->n, good = 0, taken = 0;
	double most, scale = shortest / 10;

	for (; scale <= longest * 1.2 && fits->n < from + SCALES_MOST; scale *= 1.2) {
		struct fit *f = &fits->all[fits->n++];

		*f = fit_for(points, count, scale, in_turn);
		f->bytes = shape_at(&f->shape, PAUSE_S);
		f->deviation = fmax(deviation_of(f, PAUSE_S), 1);
	}
	most = best_of(fits, from, fits->n) + FITS_AS_WELL;
	for (size_t i = from; i < fits->n; i++)
		good += fits->all[i].left <= most;
	for (size_t i = from; i < fits->n; i++) {
		if (fits->all[i].left <= most && taken++ == good / 2)
			return fits->all[i];
	}
	return fits->all[from];
}

/* Each by how well it fits; those that do not are left out. */
static void weigh(struct fits *fits)
{
	double best = best_of(fits, 0, fits->n);
	size_t n = 0;

	for (size_t i = 0; i < fits->n; i++) {
		fits->all[i].weight = exp((best - fits->all[i].left) / 2);
		if (fits->all[i].weight > WEIGHT_LEAST)
			fits->all[n++] = fits->all[i];
	}
	fits->n = n;
}

/* How likely it is, of all that fit, that less is written in a pause. */
static double share_below(const struct fits *fits, double bytes)
{
	double below = 0, all = 0;

	for (size_t i = 0; i < fits->n; i++) {
		const struct fit *f = &fits->all[i];

		all += f->weight;
		below += f->weight * erfc((f->bytes - bytes) / f->deviation / M_SQRT2) / 2;
	}
	return below / all;
}

/* Of those that write so much in a pause that this share writes less, the one that fits best. */
static struct dirty_shape shape_at_share(const struct fits *fits, double share)
{
	double least = 0, most = 0, left = DBL_MAX, away = 0;
	const struct fit *chosen = &fits->all[0];

	for (size_t i = 0; i < fits->n; i++)
		most = fmax(most, fits->all[i].bytes + 3 * fits->all[i].deviation);
	for (unsigned i = 0; i < HALVINGS; i++) {
		double bytes = (least + most) / 2;

		if (share_below(fits, bytes) < share)
			least = bytes;
		else
			most = bytes;
	}
	for (size_t i = 0; i < fits->n; i++) {
		const struct fit *f = &fits->all[i];
		double deviations = (least - f->bytes) / f->deviation;

		if (f->left + deviations * deviations >= left)
			continue;
		left = f->left + deviations * deviations;
		away = deviations;
		chosen = f;
	}
	return move_fit(chosen, away);
}

static double error_of(const struct fit *f, double seconds)
{
	double bytes = shape_at(&f->shape, seconds);

	return bytes > 0 ? deviation_of(f, seconds) / bytes : 0;
}

void dirty_curve_fit(const struct dirty_point *points, size_t count, struct dirty_curve *ret)
{
	double shortest = DBL_MAX, longest = 0;
	struct fit random, turn;
	struct fits fits;
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		if (!is_usable(&points[i]))
			continue;
		any = true;
		shortest = fmin(shortest, points[i].seconds);
		longest = fmax(longest, points[i].seconds);
	}
	*ret = (struct dirty_curve){ 0 };
	if (!any)
		return;
	if (longest <= shortest * 1.01) {
		/* One window: all that is known is a rate. */
		struct fit line = fit_for(points, count, 1e9, true);
		struct dirty_shape rate = { .cold_bytes_per_s = shape_at(&line.shape, 1) };

		*ret = dirty_curve_of(&rate, error_of(&line, shortest));
		return;
	}
	fits.n = 0;
	random = fit_hot_set(&fits, points, count, shortest, longest, false);
	turn = fit_hot_set(&fits, points, count, shortest, longest, true);
	weigh(&fits);
	*ret = (struct dirty_curve){
		.known = true,
		.random = random.shape,
		.turn = turn.shape,
		.least = shape_at_share(&fits, SHARE_BELOW),
		.most = shape_at_share(&fits, 1 - SHARE_ABOVE),
		.error = fmax(error_of(&random, shortest), error_of(&turn, shortest)),
	};
}
