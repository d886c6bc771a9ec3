/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent of a source holds back of those that leave it, so that the shortest goes first: the rules
 * of agent/kernel/lanes.h, for a plan.
 *
 *	A first      A gets what its way carries, up to nine tenths of the link
 *	B, C held    at what is left of these, and an equal part of the tenth that all who wait have
 *
 * Nobody is held whose limit a person has set, whose disks are copied, after what a first pass sends, or for
 * longer than twice the time that it would need alone. Of who else sends to a destination an agent knows
 * nothing: that link TCP shares (rates.c). An agent looks every second or so; here, when something begins,
 * ends, or is let go.
 */
#include "coordinator/planner/run.h"

#include <math.h>

/* As agents have them. */
#define LANES_MOST   64
#define FLOOR_SHARE  0.1
#define BONUS_SHARE  0.1 /* who goes first stays so unless another one is shorter by this */
#define LEAST_S      2.0 /* less is over before it has an effect */
#define LEAST_HELD_S 0.001
#define PATIENCE     2.0
/* What rounding leaves over. */
#define NOTHING 1e-9

struct lane {
	struct run_move *move;
	double left_s; /* with all that its way has; INFINITY: no end in sight */
	double order;
};

/* So long it may be held, all in all. */
static double get_patience_s(const struct run *run, const struct run_move *move)
{
	return PATIENCE * (double)run->in->vms[move->vm].need_bytes / move->path;
}

static bool may_be_held(const struct run *run, const struct run_move *move)
{
	const struct instance_vm *vm = &run->in->vms[move->vm];

	return vm->limit_bytes_per_s <= 0 && vm->ports < 2 && !vm->switched &&
	       run_get_first_left(run, move) > vm->work_bytes * NOTHING &&
	       move->held_s < get_patience_s(run, move) * (1 - NOTHING);
}

bool run_is_held(const struct run_move *move)
{
	return !isinf(move->hold);
}

double run_get_let_go(const struct run *run, const struct run_move *move)
{
	double first_s = run_get_first_left(run, move) / move->rate;

	return run->now_s + fmin(first_s, get_patience_s(run, move) - move->held_s);
}

static struct lane make_lane(const struct run *run, struct run_move *move)
{
	const struct instance_vm *vm = &run->in->vms[move->vm];
	double left = run_get_first_left(run, move), net = move->path - vm->dirty_bytes_per_s;
	struct lane lane = { .move = move, .left_s = INFINITY };

	if (left <= 0)
		left = run_get_left(run, move);
	if (net > 0)
		lane.left_s = left / net;
	lane.order = vm->switched ? 0 : lane.left_s * (run_is_held(move) ? 1 : 1 - BONUS_SHARE);
	return lane;
}

static bool is_before(const struct lane *a, const struct lane *b)
{
	return a->order != b->order ? a->order < b->order : a->move->key < b->move->key;
}

/* Those that leave @host, in their order; 0: nothing is to be shared by that. */
static uint32_t list_lanes(struct run *run, uint32_t host, struct lane *lanes, double *ret_link,
                           uint32_t *ret_holdable)
{
	uint32_t n = 0;

	*ret_link = 0;
	*ret_holdable = 0;
	for (uint32_t m = run->hosts[host].out.sends; m != INSTANCE_NONE;
	     m = run->moves[m].next_out) {
		struct lane lane;
		uint32_t at = n;

		if (n++ == LANES_MOST)
			return 0;
		lane = make_lane(run, &run->moves[m]);
		for (; at > 0 && is_before(&lane, &lanes[at - 1]); at--)
			lanes[at] = lanes[at - 1];
		lanes[at] = lane;
		*ret_link = fmax(*ret_link, lane.move->path);
		*ret_holdable += may_be_held(run, lane.move);
	}
	/* One of them goes first. */
	*ret_holdable -= *ret_holdable == n;
	return n > 1 && *ret_holdable ? n : 0;
}

static void set_hold(struct run *run, struct run_move *move, double hold)
{
	if (hold != move->hold)
		run_make_dirty(run, move->to, true);
	move->hold = hold;
}

void run_hold(struct run *run, uint32_t host)
{
	struct lane lanes[LANES_MOST];
	double link, floor, rest, ahead_s = 0;
	uint32_t n, holdable;

	for (uint32_t m = run->hosts[host].out.sends; m != INSTANCE_NONE;
	     m = run->moves[m].next_out) {
		struct run_move *move = &run->moves[m];

		if (run_is_held(move))
			move->held_s += run->now_s - move->held_since_s;
		move->held_since_s = run->now_s;
	}
	n = list_lanes(run, host, lanes, &link, &holdable);
	if (!n || !run->in->hosts[host].lanes) {
		for (uint32_t m = run->hosts[host].out.sends; m != INSTANCE_NONE;
		     m = run->moves[m].next_out)
			set_hold(run, &run->moves[m], INFINITY);
		return;
	}
	floor = link * FLOOR_SHARE / holdable;
	rest = link * (1 - FLOOR_SHARE);
	for (uint32_t i = 0; i < n; i++) {
		struct run_move *move = lanes[i].move;
		double wish = move->path, given = fmin(rest, wish);
		bool soon = ahead_s < (run_is_held(move) ? LEAST_HELD_S : LEAST_S);

		rest -= given;
		if (i && !soon && may_be_held(run, move) &&
		    given + floor < wish * (1 - BONUS_SHARE))
			set_hold(run, move, given + floor);
		else
			set_hold(run, move, INFINITY);
		if (!isinf(lanes[i].left_s))
			ahead_s += lanes[i].left_s * wish / link;
	}
}
