/* SPDX-License-Identifier: Apache-2.0 */
/* How fast each of those that send: links shared by a rule, only where something has changed.
 *
 * Links and moves are a graph: a move joins the outbound link of its source with the inbound one of its
 * destination. Shortest first, a change matters to the longer ones on its link, and to those that are
 * longer than these on their other links: a few moves. Equal shares may change in the whole component.
 */
#include "coordinator/planner/run.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

double run_get_residual(const struct run *run, uint32_t host, bool inbound)
{
	const struct instance_host *h = &run->in->hosts[host];

	/* A link that nobody knows is slow, not none. */
	return inbound ? fmax(h->in_bytes_per_s, 1) - run->hosts[host].in.reserved
	               : fmax(h->out_bytes_per_s, 1) - run->hosts[host].out.reserved;
}

void run_make_dirty(struct run *run, uint32_t host, bool inbound)
{
	struct run_link *link = inbound ? &run->hosts[host].in : &run->hosts[host].out;

	if (link->dirty)
		return;
	link->dirty = true;
	if (run->n_dirty == run->room_dirty) {
		run->room_dirty = run->room_dirty ? 2 * run->room_dirty : 64;
		run->dirty = xreallocarray(run->dirty, run->room_dirty, sizeof(*run->dirty));
	}
	run->dirty[run->n_dirty++] = host * 2 + inbound;
}

/* Bytes that are left now, with @rate since it was set. */
static double get_left(const struct run *run, const struct run_move *move, double rate)
{
	double passed = run->now_s - move->since_s, left = move->left;

	if (passed > 0 && rate > 0)
		left -= passed * instance_progress(&run->in->vms[move->vm], rate);
	return left > 0 ? left : 0;
}

/* Seconds that they take at full path. */
static double get_left_s(const struct run *run, const struct run_move *move)
{
	const struct instance_vm *vm = &run->in->vms[move->vm];

	return get_left(run, move, move->rate) /
	       instance_progress(vm, instance_path(run->in, vm, move->from, move->to));
}

/* Adds the move to those that are looked at, in an order by @left_s and key. */
static void touch(struct run *run, uint32_t m, double left_s, uint32_t *n)
{
	struct run_move *move = &run->moves[m];

	move->seen = true;
	if (*n == run->room_touched) {
		run->room_touched = *n ? 2 * *n : 64;
		run->touched = xreallocarray(run->touched, run->room_touched,
		                             sizeof(*run->touched));
	}
	run->touched[(*n)++] = (struct run_touched){
		.move = m, .key = move->key, .rate = move->rate, .left_s = left_s
	};
}

static bool is_shorter(const struct run_touched *x, const struct run_touched *y)
{
	if (x->left_s != y->left_s)
		return x->left_s < y->left_s;
	return x->key != y->key ? x->key < y->key : x->move < y->move;
}

/* Mostly a few, sometimes hundreds, and at every event: Shell's sort needs no calls. */
static void sort_touched(struct run_touched *touched, uint32_t n)
{
	static const uint32_t gaps[] = { 1750, 701, 301, 132, 57, 23, 10, 4, 1 };

	for (size_t g = 0; g < ARRAY_SIZE(gaps); g++) {
		uint32_t gap = gaps[g];

		for (uint32_t i = gap; i < n; i++) {
			struct run_touched t = touched[i];
			uint32_t k = i;

			for (; k >= gap && is_shorter(&t, &touched[k - gap]); k -= gap)
				touched[k] = touched[k - gap];
			touched[k] = t;
		}
	}
}

/* @was: its rate until now. */
static void take_rate(struct run *run, uint32_t m, double was)
{
	struct run_move *move = &run->moves[m];
	double passed = run->now_s - move->since_s, next_s = INFINITY;

	move->left = get_left(run, move, was);
	if (passed > 0)
		move->sent += passed * was;
	move->since_s = run->now_s;
	if (move->left <= 0)
		next_s = run->now_s;
	else if (move->rate > 0)
		next_s = run->now_s +
		         move->left / instance_progress(&run->in->vms[move->vm], move->rate);
	run_set_next(run, m, next_s);
}

/* It has a rate, and that is what it was. */
static bool is_settled(const struct run *run, const struct run_touched *t)
{
	const struct run_move *move = &run->moves[t->move];

	return move->rate == t->rate && move->since_s < run->now_s;
}

static uint32_t get_first(const struct run *run, uint32_t host, bool inbound)
{
	return inbound ? run->hosts[host].in.sends : run->hosts[host].out.sends;
}

static uint32_t get_next(const struct run *run, uint32_t m, bool inbound)
{
	return inbound ? run->moves[m].next_in : run->moves[m].next_out;
}

/* --- shortest first --- */

static bool is_before(const struct run *run, uint32_t m, const struct run_touched *t)
{
	const struct run_move *move = &run->moves[m];
	struct run_touched other = { .move = m, .key = move->key, .left_s = get_left_s(run, move) };

	return is_shorter(&other, t);
}

/* What the shorter ones leave of that link. */
static double get_rest(const struct run *run, uint32_t host, bool inbound,
                       const struct run_touched *t)
{
	double rest = run_get_residual(run, host, inbound);

	for (uint32_t m = get_first(run, host, inbound); m != INSTANCE_NONE;
	     m = get_next(run, m, inbound)) {
		if (m != t->move && run->moves[m].rate > 0 && is_before(run, m, t))
			rest -= run->moves[m].rate;
	}
	return rest;
}

static double get_rate(const struct run *run, const struct run_touched *t)
{
	const struct run_move *move = &run->moves[t->move];
	const struct instance_vm *vm = &run->in->vms[move->vm];
	double path = instance_path(run->in, vm, move->from, move->to);
	double floor = vm->floor_bytes_per_s < path ? vm->floor_bytes_per_s : path;
	double rate = fmin(
		path, fmin(get_rest(run, move->from, false, t), get_rest(run, move->to, true, t)));

	/* A trickle is no use, and rounding errors are no bandwidth. */
	return rate < floor || rate < path * 1e-9 ? 0 : rate;
}

/* Those on that link that come after the @i-th, to where they belong among the others after it. */
static void touch_longer(struct run *run, uint32_t host, bool inbound, uint32_t i, uint32_t *n)
{
	for (uint32_t m = get_first(run, host, inbound); m != INSTANCE_NONE;
	     m = get_next(run, m, inbound)) {
		uint32_t k = *n;
		struct run_touched t;

		if (run->moves[m].seen || is_before(run, m, &run->touched[i]))
			continue;
		touch(run, m, get_left_s(run, &run->moves[m]), n);
		for (t = run->touched[k]; is_shorter(&t, &run->touched[k - 1]); k--)
			run->touched[k] = run->touched[k - 1];
		run->touched[k] = t;
	}
}

static void share_shortest(struct run *run)
{
	uint32_t n = 0;

	for (uint32_t d = 0; d < run->n_dirty; d++) {
		bool inbound = run->dirty[d] & 1;

		for (uint32_t m = get_first(run, run->dirty[d] / 2, inbound); m != INSTANCE_NONE;
		     m = get_next(run, m, inbound)) {
			if (!run->moves[m].seen)
				touch(run, m, get_left_s(run, &run->moves[m]), &n);
		}
	}
	sort_touched(run->touched, n);
	for (uint32_t i = 0; i < n; i++) {
		struct run_move *move = &run->moves[run->touched[i].move];

		move->rate = get_rate(run, &run->touched[i]);
		if (is_settled(run, &run->touched[i]))
			continue;
		take_rate(run, run->touched[i].move, run->touched[i].rate);
		touch_longer(run, move->from, false, i, &n);
		touch_longer(run, move->to, true, i, &n);
	}
	for (uint32_t i = 0; i < n; i++)
		run->moves[run->touched[i].move].seen = false;
}

/* --- equal shares --- */

/* What each of those without a rate gets of this link. */
static double get_share(const struct run *run, uint32_t host, bool inbound)
{
	const struct run_host *h = &run->hosts[host];

	return fmax(run_get_residual(run, host, inbound), 0) / (inbound ? h->in.open : h->out.open);
}

/* Nobody on this link is held up more elsewhere: then its share is what they get. */
static bool is_tightest(const struct run *run, uint32_t host, bool inbound, double share)
{
	share *= 1 - 1e-12;
	for (uint32_t m = get_first(run, host, inbound); m != INSTANCE_NONE;
	     m = get_next(run, m, inbound)) {
		const struct run_move *move = &run->moves[m];

		if (move->rate >= 0)
			continue;
		if (instance_path(run->in, &run->in->vms[move->vm], move->from, move->to) < share ||
		    get_share(run, inbound ? move->from : move->to, !inbound) < share)
			return false;
	}
	return true;
}

static void give_share(struct run *run, struct run_move *move, double rate)
{
	run->hosts[move->from].out.open--;
	run->hosts[move->to].in.open--;
	run->hosts[move->from].out.reserved += rate;
	run->hosts[move->to].in.reserved += rate;
	move->rate = rate;
}

static void fill_link(struct run *run, uint32_t host, bool inbound, double share)
{
	for (uint32_t m = get_first(run, host, inbound); m != INSTANCE_NONE;
	     m = get_next(run, m, inbound)) {
		if (run->moves[m].rate < 0)
			give_share(run, &run->moves[m], share);
	}
}

/* Max-min: a link that is the tightest to all that it carries is filled, and what its moves leave on
 * their other links is for others. Shares of links only grow by that, so the order does not matter. */
static void fill_links(struct run *run, uint32_t n)
{
	uint32_t left = n;

	while (left) {
		left = 0;
		for (uint32_t i = 0; i < n; i++) {
			struct run_move *move = &run->moves[run->touched[i].move];
			const struct instance_vm *vm = &run->in->vms[move->vm];
			double path, out, in;

			if (move->rate >= 0)
				continue;
			path = instance_path(run->in, vm, move->from, move->to);
			out = get_share(run, move->from, false);
			in = get_share(run, move->to, true);
			if (path <= out && path <= in)
				give_share(run, move, path);
			else if (out <= in && is_tightest(run, move->from, false, out))
				fill_link(run, move->from, false, out);
			else if (in <= out && is_tightest(run, move->to, true, in))
				fill_link(run, move->to, true, in);
			else
				left++;
		}
	}
}

static void share_fair(struct run *run)
{
	uint32_t n = 0;

	/* All that send in the component; links found on the way become dirty, too. */
	for (uint32_t d = 0; d < run->n_dirty; d++) {
		bool inbound = run->dirty[d] & 1;
		struct run_host *host = &run->hosts[run->dirty[d] / 2];

		*(inbound ? &host->in.reserved : &host->out.reserved) = 0;
		for (uint32_t m = get_first(run, run->dirty[d] / 2, inbound); m != INSTANCE_NONE;
		     m = get_next(run, m, inbound)) {
			if (run->moves[m].seen)
				continue;
			touch(run, m, 0, &n);
			run_make_dirty(run, run->moves[m].from, false);
			run_make_dirty(run, run->moves[m].to, true);
		}
	}
	sort_touched(run->touched, n);
	for (uint32_t i = 0; i < n; i++) {
		struct run_move *move = &run->moves[run->touched[i].move];

		move->seen = false;
		move->rate = -1;
		run->hosts[move->from].out.open++;
		run->hosts[move->to].in.open++;
	}
	fill_links(run, n);
	for (uint32_t i = 0; i < n; i++) {
		if (!is_settled(run, &run->touched[i]))
			take_rate(run, run->touched[i].move, run->touched[i].rate);
	}
}

void run_share_links(struct run *run)
{
	if (!run->n_dirty)
		return;
	if (run->options->rates == SCHEDULE_FAIR)
		share_fair(run);
	else
		share_shortest(run);
	for (uint32_t i = 0; i < run->n_dirty; i++) {
		struct run_host *host = &run->hosts[run->dirty[i] / 2];

		*(run->dirty[i] & 1 ? &host->in.dirty : &host->out.dirty) = false;
	}
	run->n_dirty = 0;
}
