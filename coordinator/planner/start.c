/* SPDX-License-Identifier: Apache-2.0 */
/* Which moves start now: the rules of schedule_order. Theory: schedule.h. */
#include "coordinator/planner/run.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

/* Where all wait for the cluster's slots a source begins its long move when there is work for so many
 * times that left for each. */
#define LONG_AHEAD 6.0
/* Short ones go first while there is work for so many times the longest, for each slot or on the link. */
#define SHORT_AHEAD 2.0
#define FEW_AWAKE   16

/* Longest (or shortest) startable move of a source, of the highest priority. */
static uint32_t pick_of(const struct run *run, uint32_t source, bool longest)
{
	uint32_t best = INSTANCE_NONE;

	if (run->hosts[source].out.busy >= run->hosts[source].lanes)
		return best;
	for (uint32_t m = run->hosts[source].out.waits; m != INSTANCE_NONE;
	     m = run->moves[m].next_out) {
		const struct run_move *move = &run->moves[m];

		if (best != INSTANCE_NONE) {
			const struct run_move *other = &run->moves[best];
			uint8_t mine = run->in->vms[move->vm].priority;
			uint8_t theirs = run->in->vms[other->vm].priority;
			double in = run->hosts[move->to].in.waiting_s;
			double in_other = run->hosts[other->to].in.waiting_s;

			if (mine != theirs              ? mine < theirs
			    : move->work != other->work ? (move->work > other->work) != longest
			    : in != in_other            ? in < in_other
			                                : move->key > other->key)
				continue;
		}
		if (run_may_start(run, m))
			best = m;
	}
	return best;
}

/* Whether the slots of the cluster take longer than @source does with its link and its own. */
static bool waits_for_slots(const struct run *run, uint32_t source)
{
	const struct run_host *host = &run->hosts[source];
	double own_s = host->out.waiting_s;

	if (run->in->slots == INSTANCE_NO_LIMIT)
		return false;
	if (run->in->hosts[source].slots_out != INSTANCE_NO_LIMIT)
		own_s = fmax(own_s, host->waiting_s / run->in->hosts[source].slots_out);
	return own_s < run->waiting_s / run->in->slots;
}

/* A long move takes its slot, or what it gets of the link, from many short ones for nothing, as long as
 * there is enough else to do until the end. */
static bool wants_long(const struct run *run, uint32_t source)
{
	const struct run_host *host = &run->hosts[source];
	double longest = 0, longest_out = 0;

	if (host->n_long)
		return false;
	for (uint32_t m = host->out.waits; m != INSTANCE_NONE; m = run->moves[m].next_out) {
		longest = fmax(longest, run->moves[m].work);
		longest_out = fmax(longest_out, run->moves[m].out_s);
	}
	if (waits_for_slots(run, source))
		return run->waiting_s < LONG_AHEAD * longest * run->in->slots;
	return host->out.waiting_s < SHORT_AHEAD * longest_out;
}

/* --- where only the cluster's slots are in the way --- */

bool run_goes_before(const struct run *run, uint32_t a, uint32_t b)
{
	const struct run_move *x = &run->moves[a], *y = &run->moves[b];
	uint8_t mine = run->in->vms[x->vm].priority, theirs = run->in->vms[y->vm].priority;

	if (mine != theirs)
		return mine > theirs;
	return x->work != y->work ? x->work < y->work : x->key < y->key;
}

static int compare_waiting(const void *a, const void *b, void *context)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return run_goes_before(context, x, y) ? -1 : run_goes_before(context, y, x);
}

void run_list_waiting(struct run *run)
{
	uint32_t *order = xcalloc((size_t)run->n_moves + 1, sizeof(*order)), n = 0;

	for (uint32_t m = 0; m < run->n_moves; m++) {
		if (run->moves[m].state == RUN_WAITS)
			order[n++] = m;
	}
	qsort_r(order, n, sizeof(*order), compare_waiting, run);
	for (uint32_t i = 0; i < n; i++) {
		run->moves[order[i]].prev_work = i ? order[i - 1] : INSTANCE_NONE;
		run->moves[order[i]].next_work = i + 1 < n ? order[i + 1] : INSTANCE_NONE;
	}
	run->shortest = n ? order[0] : INSTANCE_NONE;
	run->longest = n ? order[n - 1] : INSTANCE_NONE;
	free(order);
}

/* There is enough to do until the end that the longest moves need not begin. */
static bool is_for_slots(const struct run *run, uint32_t source)
{
	return run->shortest != INSTANCE_NONE && waits_for_slots(run, source) &&
	       run->waiting_s > SHORT_AHEAD * run->moves[run->longest].work * run->in->slots;
}

/* The shortest that may start. With many sources one of the first may; with few their own lists are
 * shorter. */
static uint32_t pick_shortest(const struct run *run)
{
	uint32_t best = INSTANCE_NONE;

	if (run->n_awake > FEW_AWAKE) {
		for (uint32_t m = run->shortest; m != INSTANCE_NONE; m = run->moves[m].next_work) {
			if (run->hosts[run->moves[m].from].awake && run_may_start(run, m))
				return m;
		}
		return INSTANCE_NONE;
	}
	for (uint32_t i = 0; i < run->n_awake; i++) {
		uint32_t m = pick_of(run, run->awake[i], false);

		if (m != INSTANCE_NONE && (best == INSTANCE_NONE || run_goes_before(run, m, best)))
			best = m;
	}
	return best;
}

/* --- the orders --- */

static void fall_asleep(struct run *run, uint32_t i)
{
	struct run_host *host = &run->hosts[run->awake[i]];

	host->awake = host->listed = false;
	run->awake[i] = run->awake[--run->n_awake];
}

static void start_lanes(struct run *run)
{
	while (run->n_awake) {
		uint32_t best = 0, source, m;
		bool longest;

		if (run->busy >= run->in->slots)
			return;
		for (uint32_t i = 1; i < run->n_awake; i++) {
			uint32_t a = run->awake[i], b = run->awake[best];
			double work_a = run->hosts[a].out.waiting_s;
			double work_b = run->hosts[b].out.waiting_s;

			if (work_a != work_b ? work_a > work_b
			                     : run->in->hosts[a].key < run->in->hosts[b].key)
				best = i;
		}
		source = run->awake[best];
		if (is_for_slots(run, source)) {
			longest = false;
			m = pick_shortest(run);
			while (m == INSTANCE_NONE && run->n_awake)
				fall_asleep(run, 0);
		} else {
			longest = wants_long(run, source);
			m = pick_of(run, source, longest);
			if (m == INSTANCE_NONE)
				fall_asleep(run, best);
		}
		if (m == INSTANCE_NONE)
			continue;
		run->moves[m].is_long = longest;
		run_start(run, m);
	}
}

static double weigh(const struct run *run, const struct run_move *move)
{
	double out = run->hosts[move->from].out.waiting_s;
	double in = run->hosts[move->to].in.waiting_s;

	return (out > in ? out : in) * move->noise;
}

static void start_critical(struct run *run)
{
	for (;;) {
		uint32_t best = INSTANCE_NONE;
		double most = 0;

		for (uint32_t m = 0; m < run->n_moves; m++) {
			const struct run_move *move = &run->moves[m];
			const struct run_move *other =
				&run->moves[best == INSTANCE_NONE ? m : best];
			double weight;

			if (move->state != RUN_WAITS)
				continue;
			weight = weigh(run, move);
			if (best != INSTANCE_NONE) {
				uint8_t mine = run->in->vms[move->vm].priority;
				uint8_t theirs = run->in->vms[other->vm].priority;

				if (mine != theirs              ? mine < theirs
				    : weight != most            ? weight < most
				    : move->work != other->work ? move->work < other->work
				                                : move->key > other->key)
					continue;
			}
			if (run_may_start(run, m)) {
				best = m;
				most = weight;
			}
		}
		if (best == INSTANCE_NONE)
			return;
		run_start(run, best);
	}
}

static void start_given(struct run *run)
{
	for (uint32_t i = 0; run->ranked[i] != INSTANCE_NONE; i++) {
		uint32_t m = run->move_of[run->ranked[i]];

		if (m == INSTANCE_NONE || run->moves[m].state != RUN_WAITS)
			continue;
		if (run_may_start(run, m))
			run_start(run, m);
		else if (run->options->head_of_line)
			return;
	}
}

void run_start_all(struct run *run)
{
	switch (run->options->order) {
	case SCHEDULE_LANES:
		start_lanes(run);
		break;
	case SCHEDULE_CRITICAL:
		start_critical(run);
		break;
	case SCHEDULE_GIVEN:
		start_given(run);
		break;
	}
}
