/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes of different pages a guest writes to in a time: D(t), from what was sampled.
 *
 * D is fitted to what was measured at two or more windows: W (1 - exp(-t/theta)) + c t, as of a guest that
 * writes to its hot set at random, and W min(t/knee, 1) + c t, as of one that goes through it in turn. Few
 * windows seldom tell them apart, so it is the mean of both; with W, c >= 0 it is concave whatever the
 * measurements are.
 *
 *	bytes |          _ most       Whether a guest converges is decided in a pause, of some tenths of a
 *	      |   _.-'_--' D          second; the shortest window is one second, and what it finds is
 *	      | .'_-'_.- least        uncertain. Most of all the curves that fit lie between two ends there:
 *	      |/.:--'                 each scale is thought as likely as the next one, and counts
 *	      '-----|-------- t       by how well it fits, with its own error of W and c.
 *	          window
 *
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* One measurement, or the mean of several of the same window. */
struct dirty_point {
	double seconds;
	double bytes; /* of different pages, written to in that time */
	double error; /* standard error, in bytes; 0 = not known */
};

struct dirty_shape {
	bool in_turn; /* else at random */
	double hot_bytes, scale_s, cold_bytes_per_s;
};

/* D(t) is the mean of @random and @turn. */
struct dirty_curve {
	bool known; /* false: nothing was measured */
	struct dirty_shape random, turn;
	struct dirty_shape least, most; /* of all that fit, in a pause */
	double error;                   /* relative standard error of D in the shortest window */
};

/* Of one shape, known that well. */
struct dirty_curve dirty_curve_of(const struct dirty_shape *shape, double error);

/* Points that make no sense (not positive or not finite) are left out; none left: not known. One
 * window alone is taken for a constant rate, which is never too little for a longer time. */
void dirty_curve_fit(const struct dirty_point *points, size_t count, struct dirty_curve *ret);
/* Never falls with @seconds, and D(seconds) / seconds never rises. */
double dirty_curve_at(const struct dirty_curve *curve, double seconds);
