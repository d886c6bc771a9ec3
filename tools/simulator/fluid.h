/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations as liquids: how links are shared, and how pre-copy goes on at that rate.
 *
 *	share    every copy gets as much as the fullest link on its way gives to each that uses it, no
 *	         more than its own limit; what one leaves is shared by the others (max-min fairness, what
 *	         many TCP streams come close to)
 *	pass     what is left of this pass shrinks at that rate; meanwhile the guest writes
 *	         D(t) bytes, which the next pass has to send: as measured (coordinator/core/predict/prediction.h),
 *	         else min(working set, rate x t)
 *	end      what is left can be sent within the downtime that is allowed
 *
 * Between two events rates are constant, so the time of the next one is exact. Pure arithmetic. */
#pragma once

#include "coordinator/core/predict/prediction.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fluid_copy {
	size_t source, target;    /* hosts */
	struct dirty_curve curve; /* what the guest writes while it runs; not known: */
	double dirty_bytes_per_s;
	double working_set_bytes; /* and what it writes it to */
	double limit_bytes_per_s; /* 0 = none */
	double downtime_s;        /* that is allowed */
	/* As it stands. */
	bool still;      /* the guest does not write any more */
	double left;     /* of this pass, in bytes */
	double pass_s;   /* how long it has taken up to now */
	double rate;     /* bytes per second now */
	double sent;     /* in all */
	double downtime; /* seconds, once it is over */
	unsigned passes; /* that are over */
};

struct fluid {
	const double *out, *in;     /* bytes per second, by host; borrowed */
	double *out_left, *in_left; /* owned; scratch, by host */
	uint32_t *out_users, *in_users;
};

void fluid_init(struct fluid *f, const double *out, const double *in, size_t hosts);
void fluid_deinit(struct fluid *f);

/* Sets the rate of each. */
void fluid_share(struct fluid *f, struct fluid_copy **copies, size_t count);

void fluid_begin(struct fluid_copy *copy, double bytes);
/* What the guest has written in this pass. */
double fluid_written(const struct fluid_copy *copy);
/* Seconds until this pass is over, or nothing more is needed before the switchover; INFINITY at rate 0. */
double fluid_next(const struct fluid_copy *copy);
void fluid_advance(struct fluid_copy *copy, double seconds);
/* At the end of a pass: begins the next one, or stops the guest and says true. */
bool fluid_turn(struct fluid_copy *copy);
