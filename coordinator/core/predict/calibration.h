/* SPDX-License-Identifier: Apache-2.0 */
/* What past migrations between two hosts say of predictions: an overhead, a ratio, and how wide to be.
 *
 *	actual time = overhead + ratio x the model's time of transfer
 *
 * is kept as weighted least squares of the relative error, newer ones counting more (each older one 5 %
 * less), so a constant of the path (its headers, its encryption, the hosts' own time) leaves
 * the error. Beside it the spread: the mean square of the logarithm of actual to predicted, as far as the
 * model's own interval had not explained it: where that was wide an error is the guest's own, and
 * counts for little. Before there is any experience the assumptions are worth half of
 * one migration, then they fade. Pure. */
#pragma once

#include "coordinator/core/predict/prediction.h"

struct calibration {
	double w, x, y, xx, xy; /* sums of w, wx, wy, wxx, wxy; w = 1 / actual^2, fading */
	double squares, squares_w;
	uint32_t count; /* migrations ever taken in */
};

/* One that went as it was foreseen: the model's time of transfer, the interval shown, and what it took. */
void calibration_take(struct calibration *c, const struct calibration *general,
                      const struct prediction *shown, uint64_t actual_ms);

/* Expected and interval of @p, which is the model's own. @general: of all pairs of hosts, for the while
 * in which this pair has little of its own; NULL: there is none. */
void calibration_apply(const struct calibration *c, const struct calibration *general,
                       struct prediction *p);

/* In thousandths of the model's time of transfer, and in ms: what the two lines above come to. */
void calibration_read(const struct calibration *c, const struct calibration *general,
                      uint64_t *ret_overhead_ms, uint32_t *ret_ratio_permille);
