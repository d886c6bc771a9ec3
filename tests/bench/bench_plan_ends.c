/* SPDX-License-Identifier: Apache-2.0 */
/* When the moves of a plan end if agents carry it out, without anything of the planner: each source's agent
 * hands out its own link as agents do (agent/kernel/lanes.h), links are shared as TCP does
 * (tools/simulator/fluid.h), and the next in turn begins when it has a slot and those are out that it waits
 * for; one of each host is prepared ahead of its slot, where guests say what there is to prepare
 * (coordinator/core/move/launch_ahead.h). */
#include "tests/bench/bench_plan.h"

#include "agent/kernel/lanes.h"
#include "common/alloc.h"
#include "tools/simulator/fluid.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* How often an agent looks at its moves, if nothing happens. */
#define TICK_S 1.0
/* A slot is in sight: AHEAD_MS of coordinator/core/move/launch_ahead.c. */
#define AHEAD_S 8.0

enum state { WAITS, AHEAD, PREPARES, SENDS, ENDED };

struct flow {
	const struct schedule_move *move;
	const struct instance_vm *vm;
	enum state state;
	double ready_s, left, held_s, held_since_s, end_s;
	bool held;
	struct fluid_copy copy;
};

struct replay {
	const struct instance *in;
	const struct schedule *schedule;
	struct flow *flows; /* by turn; what runs already first */
	uint32_t n, n_ended;
	uint32_t busy, *out, *inbound, *ports; /* slots */
	uint32_t ahead, *ahead_out;
	double now_s, *out_rate, *in_rate;
	struct fluid fluid;
	struct fluid_copy **copies;
};

/* What fills the link, and one more (coordinator/planner/run.c). */
static uint32_t count_lanes(double link, const struct instance_vm *vm, uint32_t slots)
{
	double fill = vm->limit_bytes_per_s > 0 ? ceil(link / vm->limit_bytes_per_s) : 1;

	return fill + 1 < slots ? (uint32_t)fill + 1 : slots;
}

/* What a first pass sends is not written to more often for being sent early. */
static double get_progress(const struct replay *r, const struct flow *f)
{
	double path = fmin(r->in->hosts[f->move->from].out_bytes_per_s,
	                   r->in->hosts[f->move->to].in_bytes_per_s);

	return f->held ? instance_progress(f->vm, path) * f->copy.rate / path
	               : instance_progress(f->vm, f->copy.rate);
}

static bool is_due(const struct replay *r, const struct flow *f)
{
	for (uint32_t i = 0; i < f->move->n_after; i++) {
		if (r->flows[r->schedule->after[f->move->first_after + i]].state != ENDED)
			return false;
	}
	return true;
}

static bool has_place(const struct replay *r, const struct flow *f)
{
	const struct instance_host *to = &r->in->hosts[f->move->to];

	return r->inbound[f->move->to] < count_lanes(to->in_bytes_per_s, f->vm, to->slots_in) &&
	       r->ports[f->move->to] + f->vm->ports <= to->ports;
}

static bool lacks_out(const struct replay *r, const struct flow *f)
{
	const struct instance_host *from = &r->in->hosts[f->move->from];

	return r->out[f->move->from] >= count_lanes(from->out_bytes_per_s, f->vm, from->slots_out);
}

/* Of that host, or of all: those that are about to end. */
static uint32_t count_soon(const struct replay *r, uint32_t from)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		const struct flow *f = &r->flows[i];

		n += f->state == SENDS && (from == INSTANCE_NONE || f->move->from == from) &&
		     f->copy.rate > 0 && f->left <= AHEAD_S * get_progress(r, f);
	}
	return n;
}

static bool may_prepare(const struct replay *r, const struct flow *f)
{
	uint32_t from = f->move->from;

	return f->vm->prepare_s > 0 && !r->ahead_out[from] &&
	       (!lacks_out(r, f) || count_soon(r, from)) &&
	       (r->busy < r->in->slots || count_soon(r, INSTANCE_NONE) > r->ahead);
}

static void take_slot(struct replay *r, struct flow *f)
{
	if (f->state == AHEAD) {
		f->ready_s = fmax(f->ready_s, r->now_s) + f->vm->overhead_s - f->vm->prepare_s;
		r->ahead--;
		r->ahead_out[f->move->from]--;
	} else {
		f->ready_s = r->now_s + f->vm->overhead_s;
		r->inbound[f->move->to]++;
		r->ports[f->move->to] += f->vm->ports;
	}
	f->state = PREPARES;
	r->busy++;
	r->out[f->move->from]++;
}

static void prepare(struct replay *r, struct flow *f)
{
	f->state = AHEAD;
	f->ready_s = r->now_s + f->vm->prepare_s;
	r->ahead++;
	r->ahead_out[f->move->from]++;
	r->inbound[f->move->to]++;
	r->ports[f->move->to] += f->vm->ports;
}

/* Those that are prepared before the others. */
static void begin_all(struct replay *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		struct flow *f = &r->flows[i];

		if (f->state == AHEAD && r->busy < r->in->slots && !lacks_out(r, f))
			take_slot(r, f);
	}
	for (uint32_t i = 0; i < r->n; i++) {
		struct flow *f = &r->flows[i];

		if (f->state != WAITS || !is_due(r, f) || !has_place(r, f))
			continue;
		if (r->busy < r->in->slots && !lacks_out(r, f))
			take_slot(r, f);
		else if (may_prepare(r, f))
			prepare(r, f);
	}
}

/* One agent looks at its moves. */
static void hold(struct replay *r, uint32_t host)
{
	struct lane lanes[LANES_MAX];
	struct flow *flows[LANES_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < r->n && n < LANES_MAX; i++) {
		struct flow *f = &r->flows[i];

		if (f->state != SENDS || f->move->from != host)
			continue;
		if (f->held)
			f->held_s += r->now_s - f->held_since_s;
		f->held_since_s = r->now_s;
		flows[n] = f;
		lanes[n++] = (struct lane){
			.path_bytes_per_s = (uint64_t)fmin(
				r->in->hosts[host].out_bytes_per_s,
				r->in->hosts[f->move->to].in_bytes_per_s),
			.limit_bytes_per_s = (uint64_t)f->vm->limit_bytes_per_s,
			.left_bytes = (uint64_t)(f->copy.sent < f->vm->work_bytes
			                                 ? f->vm->work_bytes - f->copy.sent
			                                 : f->left),
			.whole_bytes = f->vm->need_bytes,
			.dirty_bytes_per_s = (uint64_t)f->vm->dirty_bytes_per_s,
			/* In its first pass, and if nobody has set its limit; libvirt's does not
			 * reach disks. */
			.may_be_held = f->copy.sent < f->vm->work_bytes &&
			               f->vm->limit_bytes_per_s <= 0 && f->vm->ports < 2,
			.held = f->held,
			.held_ms = (uint64_t)(f->held_s * 1000),
		};
	}
	lanes_choose(lanes, n);
	for (size_t i = 0; i < n; i++) {
		double limit = flows[i]->vm->limit_bytes_per_s;
		double held = (double)lanes[i].hold_bytes_per_s;

		flows[i]->held = lanes[i].hold_bytes_per_s > 0;
		flows[i]->copy.limit_bytes_per_s = flows[i]->held && (limit <= 0 || held < limit)
		                                           ? held
		                                           : limit;
	}
}

/* Returns when something happens next. */
static double share(struct replay *r)
{
	double next_s = r->now_s + TICK_S;
	size_t n = 0;

	for (uint32_t h = 0; h < r->in->n_hosts; h++) {
		if (r->out[h])
			hold(r, h);
	}
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->flows[i].state == SENDS)
			r->copies[n++] = &r->flows[i].copy;
	}
	fluid_share(&r->fluid, r->copies, n);
	for (uint32_t i = 0; i < r->n; i++) {
		const struct flow *f = &r->flows[i];

		if (f->state == PREPARES)
			next_s = fmin(next_s, f->ready_s);
		if (f->state == SENDS && f->copy.rate > 0)
			next_s = fmin(next_s, r->now_s + f->left / get_progress(r, f));
	}
	return next_s;
}

static void pass(struct replay *r, double next_s)
{
	double seconds = next_s - r->now_s;

	r->now_s = next_s;
	for (uint32_t i = 0; i < r->n; i++) {
		struct flow *f = &r->flows[i];

		if (f->state == SENDS) {
			f->left -= seconds * get_progress(r, f);
			f->copy.sent += seconds * f->copy.rate;
			if (f->left > f->vm->work_bytes * 1e-9)
				continue;
			f->state = ENDED;
			f->end_s = r->now_s;
			r->n_ended++;
			r->busy--;
			r->out[f->move->from]--;
			r->inbound[f->move->to]--;
			r->ports[f->move->to] -= f->vm->ports;
		} else if (f->state == PREPARES && f->ready_s <= next_s * (1 + 1e-12)) {
			f->state = SENDS;
			f->held_since_s = r->now_s;
		}
	}
}

static void replay_plan(const struct instance *in, const struct schedule *schedule,
                        double *ret_ends_s)
{
	struct replay r = { .in = in, .schedule = schedule, .n = schedule->n_moves };

	r.flows = xcalloc((size_t)r.n + 1, sizeof(*r.flows));
	r.copies = xcalloc((size_t)r.n + 1, sizeof(struct fluid_copy *));
	r.out = xcalloc(4 * (size_t)in->n_hosts, sizeof(*r.out));
	r.inbound = r.out + in->n_hosts;
	r.ports = r.inbound + in->n_hosts;
	r.ahead_out = r.ports + in->n_hosts;
	r.out_rate = xcalloc(2 * (size_t)in->n_hosts, sizeof(*r.out_rate));
	r.in_rate = r.out_rate + in->n_hosts;
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		r.out_rate[h] = in->hosts[h].out_bytes_per_s;
		r.in_rate[h] = in->hosts[h].in_bytes_per_s;
	}
	fluid_init(&r.fluid, r.out_rate, r.in_rate, in->n_hosts);
	for (uint32_t i = 0; i < r.n; i++) {
		const struct schedule_move *move = &schedule->moves[i];
		const struct instance_vm *vm = &in->vms[move->vm];

		r.flows[i] = (struct flow){ .move = move, .vm = vm, .left = vm->work_bytes };
		r.flows[i].copy.source = move->from;
		r.flows[i].copy.target = move->to;
	}
	for (begin_all(&r); r.n_ended < r.n; begin_all(&r)) {
		assert(r.busy);
		pass(&r, share(&r));
	}
	for (uint32_t i = 0; i < r.n; i++)
		ret_ends_s[i] = r.flows[i].end_s;
	fluid_deinit(&r.fluid);
	free(r.flows);
	free(r.copies);
	free(r.out);
	free(r.out_rate);
}

/* --- the suite --- */

struct ends {
	double mean, worst, last, worst_last, longer;
	uint32_t n, plans;
};

static void compare_ends(const struct instance *in, const struct planner_plan *plan, struct ends *e)
{
	const struct schedule *s = &plan->schedule;
	double *ends_s = xcalloc((size_t)s->n_moves + 1, sizeof(*ends_s)), last_s = 0, wrong;

	replay_plan(in, s, ends_s);
	for (uint32_t m = 0; m < s->n_moves; m++) {
		wrong = fabs(s->moves[m].end_s - ends_s[m]) / ends_s[m];
		e->mean += wrong;
		e->worst = fmax(e->worst, wrong);
		last_s = fmax(last_s, ends_s[m]);
	}
	e->n += s->n_moves;
	wrong = fabs(s->makespan_s - last_s) / last_s;
	e->last += wrong;
	e->worst_last = fmax(e->worst_last, wrong);
	e->longer += last_s / plan->bounds.all_s;
	e->plans++;
	free(ends_s);
}

/* What is planned beside what agents and TCP make of it; "ahead": with a next one that is prepared. */
void bench_run_ends(void)
{
	enum { SEEDS = 6 };
	static const struct {
		const char *name;
		uint32_t cluster, out;
		double prepare_s;
	} cases[] = { { "drover5", 5, 2, 0 },
		      { "drover4", INSTANCE_NO_LIMIT, 4, 0 },
		      { "ahead5", 5, 2, .15 },
		      { "ahead4", INSTANCE_NO_LIMIT, 4, .15 } };
	struct planner_options options = { .seed = 1, .effort = PLANNER_EFFORT };

	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		const char *name = cases[c].name;
		struct ends e = { 0 };

		for (size_t m = 0; m < BENCH_MIX; m++) {
			for (uint64_t seed = 1; seed <= SEEDS; seed++) {
				struct planner_plan plan;
				struct instance in;

				bench_make_drain(&in, &bench_mix[m], seed);
				bench_set_caps(&in, cases[c].cluster, cases[c].out,
				               INSTANCE_NO_LIMIT);
				for (uint32_t v = 0; v < in.n_vms; v++)
					in.vms[v].prepare_s = cases[c].prepare_s;
				planner_make(&in, &options, &plan);
				compare_ends(&in, &plan, &e);
				planner_plan_deinit(&plan);
				instance_deinit(&in);
			}
		}
		printf("ends %s.mean %.4f\nends %s.worst %.4f\nends %s.last %.4f\n"
		       "ends %s.worst_last %.4f\nends %s.ratio %.4f\n",
		       name, e.mean / e.n, name, e.worst, name, e.last / e.plans, name,
		       e.worst_last, name, e.longer / e.plans);
	}
}
