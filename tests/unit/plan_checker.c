/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/plan_checker.h"

#include "common/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPSILON 1e-6

static char text[256];

#define WRONG(...) (snprintf(text, sizeof(text), __VA_ARGS__), text)

/* Books of their own: signed, so that what is below zero is seen. */
struct books {
	const struct instance *in;
	int64_t (*bytes)[INSTANCE_POOLS];
	int64_t *vcpus;
	uint32_t *at, *to; /* per guest */
};

static void books_init(struct books *b, const struct instance *in)
{
	b->in = in;
	b->bytes = xcalloc((size_t)in->n_hosts + 1, sizeof(*b->bytes));
	b->vcpus = xcalloc((size_t)in->n_hosts + 1, sizeof(*b->vcpus));
	b->at = xcalloc((size_t)in->n_vms + 1, sizeof(*b->at));
	b->to = xcalloc((size_t)in->n_vms + 1, sizeof(*b->to));
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			b->bytes[h][p] = (int64_t)in->hosts[h].free_bytes[p];
		b->vcpus[h] = in->hosts[h].vcpu_room == UINT64_MAX
		                      ? INT64_MAX / 2
		                      : (int64_t)in->hosts[h].vcpu_room;
	}
	for (uint32_t v = 0; v < in->n_vms; v++) {
		b->at[v] = in->vms[v].home;
		b->to[v] = in->vms[v].role == INSTANCE_RUNNING ? in->vms[v].target : UINT32_MAX;
	}
}

static void books_deinit(struct books *b)
{
	free(b->bytes);
	free(b->vcpus);
	free(b->at);
	free(b->to);
}

static int64_t need(const struct instance_vm *vm, unsigned p)
{
	int64_t bytes = p == vm->pool ? (int64_t)vm->need_bytes : 0;

	return bytes + (p == 0 && vm->pool != 0 ? (int64_t)vm->overhead_bytes : 0);
}

/* Why @move may not begin now. */
static const char *judge_start(const struct books *b, const struct schedule_move *move)
{
	const struct instance *in = b->in;
	const struct instance_vm *vm = &in->vms[move->vm];

	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		int64_t left = b->bytes[move->to][p] - need(vm, p);

		if (left < 0)
			return WRONG("host %u is %lld bytes of pool %u short for guest %u",
			             move->to, -(long long)left, p, move->vm);
	}
	if (b->vcpus[move->to] < vm->vcpus)
		return WRONG("host %u lacks vCPUs for guest %u", move->to, move->vm);
	for (uint32_t g = 0; g < in->n_groups; g++) {
		const struct instance_group *group = &in->groups[g];
		bool member = false;

		for (uint32_t i = 0; i < group->n_vms; i++)
			member = member || group->vms[i] == move->vm;
		for (uint32_t i = 0;
		     member && group->hard && group->kind == INSTANCE_APART && i < group->n_vms;
		     i++) {
			uint32_t other = group->vms[i];

			if (other != move->vm &&
			    (b->at[other] == move->to || b->to[other] == move->to))
				return WRONG("guest %u comes to guest %u on host %u", move->vm,
				             other, move->to);
		}
	}
	return NULL;
}

static const char *take(struct books *b, const struct schedule_move *move)
{
	const struct instance_vm *vm = &b->in->vms[move->vm];
	const char *wrong = judge_start(b, move);

	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		b->bytes[move->to][p] -= need(vm, p);
	b->vcpus[move->to] -= vm->vcpus;
	b->to[move->vm] = move->to;
	return wrong;
}

static void give(struct books *b, const struct schedule_move *move)
{
	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		b->bytes[move->from][p] += need(&b->in->vms[move->vm], p);
	b->vcpus[move->from] += b->in->vms[move->vm].vcpus;
	b->at[move->vm] = move->to;
	b->to[move->vm] = UINT32_MAX;
}

/* --- the sweep --- */

enum what { ENDS, SENDS, STARTS, SENDS_AT_ONCE };

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
	uint32_t cluster, preparing, *out, *in, *ports;
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
	if (in->preparing && c->preparing > in->preparing)
		return WRONG("%u prepare, %u may", c->preparing, in->preparing);
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

static const char *handle(struct books *b, struct counts *c, const struct event *e,
                          enum schedule_rates rates)
{
	const struct schedule_move *move = e->move;
	const struct instance_vm *vm = &b->in->vms[move->vm];
	double rate = rates == SCHEDULE_RESERVED ? instance_path(b->in, vm, move->from, move->to)
	                                         : 0;
	bool apart = b->in->preparing && !move->running;
	const char *wrong = NULL;

	if (e->what == ENDS) {
		give(b, move);
		count_slots(c, move, -1);
		c->ports[move->to] -= vm->ports;
		c->out_rate[move->from] -= rate;
		c->in_rate[move->to] -= rate;
		return NULL;
	}
	if (e->what == SENDS || e->what == SENDS_AT_ONCE) {
		if (!apart)
			return NULL;
		c->preparing--;
		count_slots(c, move, 1);
		return NULL;
	}
	if (!move->running)
		wrong = take(b, move);
	if (apart)
		c->preparing++;
	else
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
	struct event *events = xcalloc((size_t)s->n_moves * 3 + 1, sizeof(*events));
	const char *wrong = NULL;
	struct counts c, base;
	struct books books;
	size_t n = 0, first = 0;

	counts_init(&c, in);
	counts_init(&base, in);
	books_init(&books, in);
	for (uint32_t m = 0; m < s->n_moves; m++) {
		const struct schedule_move *move = &s->moves[m];
		bool at_once = is_instant(move, move->send_s);

		if (move->running) {
			count_slots(&base, move, 1);
			base.ports[move->to] += in->vms[move->vm].ports;
		}
		/* What takes no time at all takes nothing. */
		if (is_instant(move, move->end_s))
			continue;
		events[n++] = (struct event){ move->start_s, STARTS, move };
		events[n++] = (struct event){ move->send_s, at_once ? SENDS_AT_ONCE : SENDS, move };
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
	books_deinit(&books);
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
	struct books books;

	books_init(&books, in);
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
			wrong = take(&books, &s->moves[m]);
			state[m] = RUNS;
		} else {
			give(&books, &s->moves[m]);
			state[m] = OVER;
			over++;
		}
	}
	books_deinit(&books);
	free(state);
	free(able);
	return wrong;
}

/* --- proofs --- */

/* Everybody who leaves or runs has left, and what runs has come. */
static void settle(struct books *b)
{
	for (uint32_t v = 0; v < b->in->n_vms; v++) {
		const struct instance_vm *vm = &b->in->vms[v];

		if (vm->role == INSTANCE_STAYS)
			continue;
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			b->bytes[vm->home][p] += need(vm, p);
		b->vcpus[vm->home] += vm->vcpus;
		b->at[v] = vm->role == INSTANCE_RUNNING ? vm->target : UINT32_MAX;
		b->to[v] = UINT32_MAX;
	}
}

static bool is_allowed(const struct instance *in, uint32_t class_id, uint32_t h)
{
	return in->hosts[h].open &&
	       (in->classes[(size_t)class_id * in->words + h / 64] >> h % 64 & 1);
}

static bool could_be(const struct books *b, uint32_t v, uint32_t h)
{
	const struct instance *in = b->in;
	const struct instance_vm *vm = &in->vms[v];

	if (h == vm->home || !is_allowed(in, vm->class_id, h) ||
	    (vm->target != INSTANCE_NONE && vm->target != h) || b->vcpus[h] < vm->vcpus)
		return false;
	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		if (b->bytes[h][p] < need(vm, p))
			return false;
	}
	for (uint32_t g = 0; g < in->n_groups; g++) {
		const struct instance_group *group = &in->groups[g];
		bool member = false;

		for (uint32_t i = 0; i < group->n_vms; i++)
			member = member || group->vms[i] == v;
		for (uint32_t i = 0; member && group->hard && i < group->n_vms; i++) {
			uint32_t at = b->at[group->vms[i]];

			if (group->vms[i] == v || at == UINT32_MAX)
				continue;
			if ((at == h) != (group->kind == INSTANCE_TOGETHER))
				return false;
		}
	}
	return true;
}

static bool goes_only_there(const struct instance *in, uint32_t v, const struct proof *proof)
{
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		const struct instance_vm *vm = &in->vms[v];
		bool may = is_allowed(in, vm->class_id, h) &&
		           (vm->target == INSTANCE_NONE || vm->target == h);
		bool counted = proof->host != INSTANCE_NONE ? h == proof->host
		                                            : is_allowed(in, proof->class_id, h);

		if (may && !counted)
			return false;
	}
	return true;
}

static const char *check_count(const struct books *b, const struct proof *proof)
{
	const struct instance *in = b->in;
	uint64_t sum = 0, many = 0, room = 0, places = 0;

	for (uint32_t v = 0; v < in->n_vms; v++) {
		const struct instance_vm *vm = &in->vms[v];
		uint64_t bytes = proof->resource == PROOF_VCPUS
		                         ? vm->vcpus
		                         : (uint64_t)need(vm, proof->resource);

		if (vm->role != INSTANCE_LEAVES || bytes < proof->least || !bytes ||
		    !goes_only_there(in, v, proof))
			continue;
		sum += bytes;
		many++;
	}
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		bool counted = proof->host != INSTANCE_NONE ? h == proof->host
		                                            : is_allowed(in, proof->class_id, h);
		int64_t left = proof->resource == PROOF_VCPUS ? b->vcpus[h]
		                                              : b->bytes[h][proof->resource];

		if (!counted || left < (int64_t)proof->least || !proof->least)
			continue;
		room += (uint64_t)left;
		places += (uint64_t)left / proof->least;
	}
	if (proof->kind == PROOF_SUM)
		return sum > room && sum >= proof->needed && room <= proof->available
		               ? NULL
		               : WRONG("guest %u: %llu fit into %llu", proof->vm,
		                       (unsigned long long)sum, (unsigned long long)room);
	return many > places ? NULL
	                     : WRONG("guest %u: %llu guests have %llu places", proof->vm,
	                             (unsigned long long)many, (unsigned long long)places);
}

static const char *check_apart(const struct books *b, const struct proof *proof)
{
	const struct instance_group *group = &b->in->groups[proof->group];
	uint32_t guests = 0, hosts = 0;

	for (uint32_t i = 0; i < group->n_vms; i++)
		guests += b->in->vms[group->vms[i]].role == INSTANCE_LEAVES;
	for (uint32_t h = 0; h < b->in->n_hosts; h++) {
		bool any = false;

		for (uint32_t i = 0; i < group->n_vms; i++)
			any = any || (b->in->vms[group->vms[i]].role == INSTANCE_LEAVES &&
			              could_be(b, group->vms[i], h));
		hosts += any;
	}
	return group->hard && group->kind == INSTANCE_APART && guests > hosts
	               ? NULL
	               : WRONG("%u guests apart on %u hosts", guests, hosts);
}

static const char *check_cycle(struct books *b, const struct planner_plan *plan)
{
	const struct instance *in = b->in;

	for (uint32_t m = 0; m < plan->schedule.n_moves; m++) {
		const struct schedule_move *move = &plan->schedule.moves[m];

		for (unsigned p = 0; p < INSTANCE_POOLS && !move->running; p++)
			b->bytes[move->to][p] -= need(&in->vms[move->vm], p);
		b->vcpus[move->to] -= move->running ? 0 : in->vms[move->vm].vcpus;
		give(b, move);
	}
	for (uint32_t i = 0; i < plan->schedule.n_stuck; i++) {
		uint32_t v = plan->schedule.stuck[i];

		for (uint32_t h = 0; h < in->n_hosts; h++) {
			struct schedule_move move = { .vm = v, .from = b->at[v], .to = h };

			if (h == b->at[v] || !is_allowed(in, in->vms[v].class_id, h))
				continue;
			if (!judge_start(b, &move))
				return WRONG("guest %u is no prisoner: host %u", v, h);
		}
	}
	return NULL;
}

const char *plan_check_proof(const struct instance *in, const struct planner_plan *plan,
                             const struct proof *proof)
{
	const char *wrong = NULL;
	struct books books;

	books_init(&books, in);
	if (proof->kind != PROOF_CYCLE)
		settle(&books);
	switch (proof->kind) {
	case PROOF_ALONE:
		for (uint32_t h = 0; h < in->n_hosts && !wrong; h++) {
			if (could_be(&books, proof->vm, h))
				wrong = WRONG("guest %u could be on host %u", proof->vm, h);
		}
		break;
	case PROOF_SUM:
	case PROOF_COUNT:
		wrong = check_count(&books, proof);
		break;
	case PROOF_APART:
		wrong = check_apart(&books, proof);
		break;
	case PROOF_CYCLE:
		wrong = check_cycle(&books, plan);
		break;
	default:
		break;
	}
	books_deinit(&books);
	return wrong;
}
