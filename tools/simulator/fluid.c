/* SPDX-License-Identifier: Apache-2.0 */
/* See fluid.h. */
#include "tools/simulator/fluid.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Less than a page is nothing. */
#define NOTHING 1.0

void fluid_init(struct fluid *f, const double *out, const double *in, size_t hosts)
{
	*f = (struct fluid){ .out = out, .in = in };
	f->out_left = xcalloc(hosts + 1, sizeof(*f->out_left));
	f->in_left = xcalloc(hosts + 1, sizeof(*f->in_left));
	f->out_users = xcalloc(hosts + 1, sizeof(*f->out_users));
	f->in_users = xcalloc(hosts + 1, sizeof(*f->in_users));
}

void fluid_deinit(struct fluid *f)
{
	free(f->out_left);
	free(f->in_left);
	free(f->out_users);
	free(f->in_users);
}

/* What a copy without a rate would get now. */
static double offer(const struct fluid *f, const struct fluid_copy *c)
{
	double out = f->out_left[c->source] / f->out_users[c->source];
	double in = f->in_left[c->target] / f->in_users[c->target];
	double least = out < in ? out : in;

	return c->limit_bytes_per_s > 0 && c->limit_bytes_per_s < least ? c->limit_bytes_per_s
	                                                                : least;
}

static void settle(struct fluid *f, struct fluid_copy *c, double rate)
{
	c->rate = rate;
	f->out_left[c->source] -= rate;
	f->in_left[c->target] -= rate;
	f->out_users[c->source]--;
	f->in_users[c->target]--;
}

void fluid_share(struct fluid *f, struct fluid_copy **copies, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		f->out_left[copies[i]->source] = f->out[copies[i]->source];
		f->in_left[copies[i]->target] = f->in[copies[i]->target];
		f->out_users[copies[i]->source] = f->in_users[copies[i]->target] = 0;
	}
	for (size_t i = 0; i < count; i++) {
		f->out_users[copies[i]->source]++;
		f->in_users[copies[i]->target]++;
		copies[i]->rate = -1;
	}
	/* The one that is offered least has its rate: nobody else needs more of its links. */
	for (size_t done = 0; done < count; done++) {
		struct fluid_copy *least = NULL;
		double rate = 0;

		for (size_t i = 0; i < count; i++) {
			double offered = copies[i]->rate < 0 ? offer(f, copies[i]) : INFINITY;

			if (copies[i]->rate < 0 && (!least || offered < rate)) {
				least = copies[i];
				rate = offered;
			}
		}
		assert(least);
		settle(f, least, rate > 0 ? rate : 0);
	}
}

void fluid_begin(struct fluid_copy *c, double bytes)
{
	c->left = bytes;
	c->pass_s = 0;
	c->sent = 0;
	c->passes = 0;
	c->still = false;
	c->downtime = 0;
}

double fluid_written(const struct fluid_copy *c)
{
	double bytes = c->curve.known ? dirty_curve_at(&c->curve, c->pass_s)
	                              : c->dirty_bytes_per_s * c->pass_s;

	if (c->still)
		return 0;
	return bytes < c->working_set_bytes ? bytes : c->working_set_bytes;
}

double fluid_next(const struct fluid_copy *c)
{
	return c->rate > 0 ? c->left / c->rate : INFINITY;
}

void fluid_advance(struct fluid_copy *c, double seconds)
{
	double bytes = c->rate * seconds;

	if (bytes > c->left)
		bytes = c->left;
	c->left -= bytes;
	c->sent += bytes;
	c->pass_s += seconds;
	if (c->still)
		c->downtime += seconds;
}

bool fluid_turn(struct fluid_copy *c)
{
	double written = fluid_written(c);

	c->passes++;
	if (c->still || written < NOTHING) {
		c->left = 0;
		return true;
	}
	c->left = written;
	c->pass_s = 0;
	/* The rest goes with the guest stopped. */
	if (c->rate > 0 && written / c->rate <= c->downtime_s)
		c->still = true;
	return false;
}
