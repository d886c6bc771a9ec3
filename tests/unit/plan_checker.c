/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/plan_checker.h"

#include "common/alloc.h"
#include "tests/unit/plan_books.h"

#include <math.h>
#include <stdlib.h>

#define EPSILON 1e-6

/* --- the sweep --- */

enum what { ENDS, STARTS };

struct event {
	double at_s;
	enum what what;
	const struct schedule_move *move;
};

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (fabs(x->at_s - y->at_s) > EPSILON * fmax(1e-3, fabs(x->at_s)))
		return x->at_s < y->at_s ? -1 : 1;
	if (x->what != y->what)
		return x->what < y->what ? -1 : 1;
	return x->move < y->move ? -1 : x->move > y->move;
}

struct counts {
	uint32_t cluster, *out, *in, *ports;
	double *out_rate, *in_rate;
};

static void count_slots(struct counts *c, const struct schedule_move *move, int by)
{
	c->cluster += (uint32_t)by;
	c->out[move->from] += (uint32_t)by;
	c->in[move->to] += (uint32_t)by;
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* @base: what ran when this was planned: a cap may have been lowered under it. */
static const char *judge_counts(const struct instance *in, const struct counts *c,
                                const struct counts *base, const struct schedule_move *move)
{
	const struct instance_host *from = &in->hosts[move->from], *to = &in->hosts[move->to];

	if (c->cluster > most(in->slots, base->cluster))
		return WRONG("%u at a time, cap %u", c->cluster, in->slots);
	if (c->out[move->from] > most(from->slots_out, base->out[move->from]))
		return WRONG("%u leave host %u at a time", c->out[move->from], move->from);
	if (c->in[move->to] > most(to->slots_in, base->in[move->to]))
		return WRONG("%u enter host %u at a time", c->in[move->to], move->to);
	if (c->ports[move->to] > most(to->ports, base->ports[move->to]))
		return WRONG("%u ports of host %u", c->ports[move->to], move->to);
	if (c->out_rate[move->from] > from->out_bytes_per_s * (1 + EPSILON) ||
	    c->in_rate[move->to] > to->in_bytes_per_s * (1 + EPSILON))
		return base->out[move->from] + base->in[move->to]
		               ? NULL
		               : WRONG("a link is promised twice");
	return NULL;
}

static const char *handle(struct plan_books *b, struct counts *c, const struct event *e,
                          enum schedule_rates rates)
{
	const struct schedule_move *move = e->move;
	const struct instance_vm *vm = &b->in->vms[move->vm];
	double rate = rates == SCHEDULE_RESERVED ? instance_path(b->in, vm, move->from, move->to)
	                                         : 0;
	const char *wrong = NULL;

	if (e->what == ENDS) {
		plan_books_give(b, move);
		count_slots(c, move, -1);
		c->ports[move->to] -= vm->ports;
		c->out_rate[move->from] -= rate;
		c->in_rate[move->to] -= rate;
		return NULL;
	}
	if (!move->running)
		wrong = plan_books_take(b, move);
	count_slots(c, move, 1);
	c->ports[move->to] += vm->ports;
	c->out_rate[move->from] += rate;
	c->in_rate[move->to] += rate;
	return wrong;
}

static void counts_init(struct counts *c, const struct instance *in)
{
	*c = (struct counts){
		.out = xcalloc((size_t)in->n_hosts + 1, sizeof(*c->out)),
		.in = xcalloc((size_t)in->n_hosts + 1, sizeof(*c->in)),
		.ports = xcalloc((size_t)in->n_hosts + 1, sizeof(*c->ports)),
		.out_rate = xcalloc((size_t)in->n_hosts + 1, sizeof(*c->out_rate)),
		.in_rate = xcalloc((size_t)in->n_hosts + 1, sizeof(*c->in_rate)),
	};
}

static void counts_deinit(struct counts *c)
{
	free(c->out);
	free(c->in);
	free(c->ports);
	free(c->out_rate);
	free(c->in_rate);
}

static bool is_instant(const struct schedule_move *move, double to_s)
{
	return to_s - move->start_s <= EPSILON * fmax(1e-3, move->start_s) * 2;
}

static const char *sweep(const struct instance *in, const struct schedule *s,
                         enum schedule_rates rates)
{
	struct event *events = xcalloc((size_t)s->n_moves * 2 + 1, sizeof(*events));
	const char *wrong = NULL;
	struct counts c, base;
	struct plan_books books;
	size_t n = 0, first = 0;

	counts_init(&c, in);
	counts_init(&base, in);
	plan_books_init(&books, in);
	for (uint32_t m = 0; m < s->n_moves; m++) {
		const struct schedule_move *move = &s->moves[m];

		if (move->running) {
			count_slots(&base, move, 1);
			base.ports[move->to] += in->vms[move->vm].ports;
		}
		/* What takes no time at all takes nothing. */
		if (is_instant(move, move->end_s))
			continue;
		events[n++] = (struct event){ move->start_s, STARTS, move };
		events[n++] = (struct event){ move->end_s, ENDS, move };
	}
	qsort(events, n, sizeof(*events), compare_events);
	for (size_t i = 0; i < n && !wrong; i++) {
		wrong = handle(&books, &c, &events[i], rates);
		/* Counts are judged when all of one instant has happened. */
		if (i + 1 < n &&
		    events[i + 1].at_s - events[i].at_s <= EPSILON * fmax(1e-3, events[i].at_s))
			continue;
		for (; first <= i && !wrong; first++)
			wrong = judge_counts(in, &c, &base, events[first].move);
	}
	plan_books_deinit(&books);
	counts_deinit(&c);
	counts_deinit(&base);
	free(events);
	return wrong;
}

/* No link carries more than it can in any span between a beginning and an end. */
static const char *judge_link(const struct schedule *s, uint32_t host, bool inbound, double cap)
{
	for (uint32_t a = 0; a < s->n_moves; a++) {
		for (uint32_t b = 0; b < s->n_moves; b++) {
			double from = s->moves[a].send_s, to = s->moves[b].end_s, bytes = 0;

			if (to <= from)
				continue;

			for (uint32_t m = 0; m < s->n_moves; m++) {
				const struct schedule_move *move = &s->moves[m];

				if ((inbound ? move->to : move->from) == host &&
				    move->send_s >= from && move->end_s <= to)
					bytes += move->bytes;
			}
			if (bytes > cap * (to - from) * (1 + EPSILON) + 1)
				return WRONG("%s host %u: %.0f bytes in %.3f s at %.0f/s",
				             inbound ? "into" : "out of", host, bytes, to - from,
				             cap);
		}
	}
	return NULL;
}

/* --- each guest --- */

static bool is_listed(const struct planner_plan *plan, uint32_t v)
{
	for (uint32_t i = 0; i < plan->n_proofs; i++) {
		if (plan->proofs[i].vm == v)
			return true;
	}
	return false;
}

static const char *follow(const struct instance *in, const struct planner_plan *plan, uint32_t v,
                          uint32_t *ret_end)
{
	const struct schedule *s = &plan->schedule;
	const struct instance_vm *vm = &in->vms[v];
	uint32_t at = vm->home, legs = 0;
	double free_s = 0;

	for (uint32_t m = 0; m < s->n_moves; m++) {
		const struct schedule_move *move = &s->moves[m];

		if (move->vm != v)
			continue;
		legs++;
		if (move->from != at || move->to == at || move->start_s < free_s - EPSILON)
			return WRONG("guest %u is not where its move begins", v);
		if (move->start_s > move->send_s || move->send_s > move->end_s)
			return WRONG("guest %u goes back in time", v);
		if (!move->running &&
		    (move->send_s < vm->overhead_s * (1 - EPSILON) ||
		     move->send_s - move->start_s < vm->overhead_s - vm->prepare_s - EPSILON))
			return WRONG("guest %u is sent before it is prepared", v);
		if (move->running != (vm->role == INSTANCE_RUNNING))
			return WRONG("guest %u runs, or does not", v);
		if (!move->running && !in->hosts[move->to].open)
			return WRONG("guest %u goes to a closed host", v);
		if (!move->running &&
		    !(in->classes[(size_t)vm->class_id * in->words + move->to / 64] >>
		              move->to % 64 &
		      1))
			return WRONG("guest %u cannot run on host %u", v, move->to);
		if (move->bytes < instance_bytes(in, vm, move->from, move->to) * (1 - EPSILON) - 1)
			return WRONG("guest %u is sent in fewer bytes than it takes", v);
		if (move->end_s - move->send_s <
		    instance_seconds(in, vm, move->from, move->to) * (1 - EPSILON))
			return WRONG("guest %u is faster than its path", v);
		at = move->to;
		free_s = move->end_s;
	}
	*ret_end = at;
	if (vm->role == INSTANCE_STAYS)
		return legs ? WRONG("guest %u stays, and moves", v) : NULL;
	if (vm->role == INSTANCE_RUNNING)
		return legs == 1 && at == vm->target ? NULL : WRONG("guest %u is called back", v);
	if (is_listed(plan, v))
		return legs < 2 ? NULL : WRONG("guest %u is blocked and travels", v);
	if (!legs || at == vm->home)
		return WRONG("guest %u is left without a word", v);
	if (vm->target != INSTANCE_NONE && at != vm->target)
		return WRONG("guest %u ends elsewhere", v);
	return NULL;
}

static const char *judge_groups(const struct instance *in, const struct planner_plan *plan,
                                const uint32_t *end)
{
	for (uint32_t g = 0; g < in->n_groups; g++) {
		const struct instance_group *group = &in->groups[g];

		for (uint32_t i = 0; group->hard && i < group->n_vms; i++) {
			for (uint32_t k = 0; k < i; k++) {
				uint32_t a = group->vms[i], b = group->vms[k];
				bool moved = in->vms[a].role == INSTANCE_LEAVES ||
				             in->vms[b].role == INSTANCE_LEAVES;

				if (!moved || is_listed(plan, a) || is_listed(plan, b))
					continue;
				if ((end[a] == end[b]) != (group->kind == INSTANCE_TOGETHER))
					return WRONG("guests %u and %u end %s", a, b,
					             end[a] == end[b] ? "together" : "apart");
			}
		}
	}
	return NULL;
}

const char *plan_check(const struct instance *in, const struct planner_plan *plan,
                       enum schedule_rates rates)
{
	uint32_t *end = xcalloc((size_t)in->n_vms + 1, sizeof(*end));
	const char *wrong = NULL;

	for (uint32_t v = 0; v < in->n_vms && !wrong; v++)
		wrong = follow(in, plan, v, &end[v]);
	if (!wrong)
		wrong = judge_groups(in, plan, end);
	free(end);
	if (!wrong)
		wrong = sweep(in, &plan->schedule, rates);
	for (uint32_t h = 0; h < in->n_hosts && !wrong; h++) {
		wrong = judge_link(&plan->schedule, h, false, in->hosts[h].out_bytes_per_s);
		if (!wrong)
			wrong = judge_link(&plan->schedule, h, true, in->hosts[h].in_bytes_per_s);
	}
	return wrong;
}

const char *plan_check_order(const struct instance *in, const struct schedule *s, uint64_t seed)
{
	enum { WAITS, RUNS, OVER } *state = xcalloc((size_t)s->n_moves + 1, sizeof(*state));
	uint32_t *able = xcalloc((size_t)s->n_moves + 1, sizeof(*able)), over = 0;
	const char *wrong = NULL;
	struct plan_books books;

	plan_books_init(&books, in);
	for (uint32_t m = 0; m < s->n_moves; m++)
		state[m] = s->moves[m].running ? RUNS : WAITS;
	while (over < s->n_moves && !wrong) {
		uint32_t n = 0, m;

		for (m = 0; m < s->n_moves; m++) {
			bool may = state[m] != OVER;

			for (uint32_t i = 0; state[m] == WAITS && i < s->moves[m].n_after; i++)
				may = may && state[s->after[s->moves[m].first_after + i]] == OVER;
			if (may)
				able[n++] = m;
		}
		if (!n) {
			wrong = WRONG("moves wait for each other");
			break;
		}
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		m = able[(seed >> 33) % n];
		if (state[m] == WAITS) {
			wrong = plan_books_take(&books, &s->moves[m]);
			state[m] = RUNS;
		} else {
			plan_books_give(&books, &s->moves[m]);
			state[m] = OVER;
			over++;
		}
	}
	plan_books_deinit(&books);
	free(state);
	free(able);
	return wrong;
}
