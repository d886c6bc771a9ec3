/* SPDX-License-Identifier: Apache-2.0 */
/* Other orders, while the effort lasts: the list schedule is good, but greedy.
 *
 * First the other rule, then that rule with noise; then the best order found is changed a little at a
 * time. What is kept is better or as good, so more effort is never worse. Small problems, where a
 * single bad choice shows, get thousands of tries; large ones, which are within a percent of their
 * bound anyway, get few or none.
 */
#include "coordinator/planner/planner.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

/* The move-by-move rule looks at all moves for each start. */
#define CRITICAL_MOVES 3000
#define NOISY_SHARE    4 /* of the effort for noise: one in so many */
#define NEAR_ENOUGH    (1 + 1e-9)
#define MEAN_WEIGHT    0.1
#define LEAST_S        1e-9 /* there is a logarithm of it */

struct search {
	const struct instance *in;
	const uint32_t *targets;
	const struct planner_options *options;
	double bound_s;
	struct schedule *best;
	uint64_t left, random;
};

/* A percent of the end is worth ten percent of the mean end: of orders that are done almost at the same
 * time the one is taken that has most guests moved early. */
static double get_score(const struct schedule *s)
{
	return log(s->makespan_s + LEAST_S) + MEAN_WEIGHT * log(s->mean_end_s + LEAST_S);
}

static bool is_better(const struct schedule *a, const struct schedule *b)
{
	if (a->n_stuck != b->n_stuck)
		return a->n_stuck < b->n_stuck;
	if (a->n_detours != b->n_detours)
		return a->n_detours < b->n_detours;
	return get_score(a) < get_score(b) - 1e-12;
}

static bool is_done(const struct search *s)
{
	return !s->left || (!s->best->n_stuck && !s->best->n_detours &&
	                    s->best->makespan_s <= s->bound_s * NEAR_ENOUGH);
}

/* Returns whether it is now the best, or as good. */
static bool try(struct search *s, const struct schedule_options *options)
{
	struct schedule schedule;
	uint64_t cost;
	bool better;

	schedule_make(s->in, s->targets, options, &schedule);
	cost = schedule.events + schedule.n_moves + 1;
	if (options->order != SCHEDULE_LANES)
		cost += schedule.events * schedule.n_moves / 16;
	s->left -= cost < s->left ? cost : s->left;
	better = is_better(&schedule, s->best);
	if (better || !is_better(s->best, &schedule)) {
		struct schedule old = *s->best;

		*s->best = schedule;
		schedule = old;
		better = true;
	}
	schedule_deinit(&schedule);
	return better;
}

static uint32_t draw(struct search *s, uint32_t below)
{
	s->random = instance_mix(s->options->seed + 1, s->random + 1);
	return (uint32_t)((s->random >> 32) * below >> 32);
}

static void try_noise(struct search *s)
{
	struct schedule_options options = { .order = SCHEDULE_CRITICAL,
		                            .rates = s->options->rates };
	uint64_t stop = s->left - s->left / NOISY_SHARE;

	try(s, &options);
	for (uint64_t n = 1; s->left > stop && !is_done(s); n++) {
		options.seed = instance_mix(s->options->seed, n);
		options.noise = n % 2 ? 0.2 : 0.8;
		try(s, &options);
	}
}

/* Ranks by the starts of the best schedule. */
static uint32_t rank_best(const struct search *s, uint32_t *order, uint32_t *rank)
{
	uint32_t n = 0;

	for (uint32_t v = 0; v < s->in->n_vms; v++)
		rank[v] = INSTANCE_NONE;
	for (uint32_t m = 0; m < s->best->n_moves; m++) {
		uint32_t v = s->best->moves[m].vm;

		if (s->best->moves[m].running || rank[v] != INSTANCE_NONE)
			continue;
		rank[v] = n;
		order[n++] = v;
	}
	return n;
}

static void change_order(struct search *s)
{
	uint32_t *order = xcalloc((size_t)s->in->n_vms + 1, sizeof(*order));
	uint32_t *rank = xcalloc((size_t)s->in->n_vms + 1, sizeof(*rank));
	struct schedule_options options = { .order = SCHEDULE_GIVEN,
		                            .rates = s->options->rates,
		                            .rank = rank };
	uint32_t n = rank_best(s, order, rank);

	while (n > 1 && !is_done(s)) {
		unsigned changes = 1 + draw(s, 3);

		for (unsigned i = 0; i < changes; i++) {
			uint32_t from = draw(s, n), to = draw(s, n), v = order[from];

			/* One guest to another place in the order, the rest moves up. */
			for (; from < to; from++)
				order[from] = order[from + 1];
			for (; from > to; from--)
				order[from] = order[from - 1];
			order[to] = v;
		}
		for (uint32_t i = 0; i < n; i++)
			rank[order[i]] = i;
		if (!try(s, &options))
			rank_best(s, order, rank);
	}
	free(order);
	free(rank);
}

void planner_improve(const struct instance *in, const uint32_t *targets,
                     const struct planner_options *options, double bound_s,
                     struct schedule *schedule)
{
	struct search s = {
		.in = in,
		.targets = targets,
		.options = options,
		.bound_s = bound_s,
		.best = schedule,
		.left = options->effort,
	};

	if (is_done(&s) || schedule->n_moves > CRITICAL_MOVES)
		return;
	try_noise(&s);
	change_order(&s);
}
