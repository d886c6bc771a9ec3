/* SPDX-License-Identifier: Apache-2.0 */
/* How fast each of those that send, worked out again only where something has changed.
 *
 * Links and moves are a graph: a move joins the outbound link of its source with the inbound one of its
 * destination. TCP shares max-min: a link that is full has a level, which is what all get who could take
 * more. A level follows from what the others on the link get elsewhere; so a link whose level changes asks
 * those that it joins to look again, until none changes. The lowest level that is too high or too low is
 * right after one look, then the next: it ends, mostly after a few links.
 */
#include "coordinator/planner/run.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

/* A level that differs by less is the same. */
#define SAME 1e-13

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

/* --- what is left of a move --- */

double run_get_left(const struct run *run, const struct run_move *move)
{
	double passed = run->now_s - move->since_s, left = move->left;

	if (passed > 0)
		left -= passed * move->progress;
	return left > 0 ? left : 0;
}

double run_get_first_left(const struct run *run, const struct run_move *move)
{
	double passed = run->now_s - move->since_s;
	double left = run->in->vms[move->vm].work_bytes - move->sent -
	              (passed > 0 ? passed * move->rate : 0);

	return left > 0 ? left : 0;
}

/* How fast what is left shrinks. One that is held is in its first pass: what that sends early is not
 * written to more often than what it sends last. */
static double get_progress(const struct run *run, const struct run_move *move, double rate)
{
	const struct instance_vm *vm = &run->in->vms[move->vm];

	return run_is_held(move) ? instance_progress(vm, move->path) * rate / move->path
	                         : instance_progress(vm, rate);
}

static void take_rate(struct run *run, uint32_t m, double rate, double progress)
{
	struct run_move *move = &run->moves[m];
	double passed = run->now_s - move->since_s, next_s = INFINITY;

	move->left = run_get_left(run, move);
	if (passed > 0)
		move->sent += passed * move->rate;
	move->since_s = run->now_s;
	move->rate = rate;
	move->progress = progress;
	if (move->left <= 0)
		next_s = run->now_s;
	else if (rate > 0)
		next_s = run->now_s + move->left / progress;
	move->looks = run_is_held(move) && run_get_let_go(run, move) < next_s;
	run_set_next(run, m, move->looks ? run_get_let_go(run, move) : next_s);
}

/* --- levels --- */

static double get_cap(const struct run_move *move)
{
	return fmin(move->path, move->hold);
}

/* What it could take of one of its links, for all that the other one has for it. */
static double get_wish(const struct run *run, const struct run_move *move, bool inbound)
{
	return fmin(get_cap(move),
	            inbound ? run->hosts[move->from].out.level : run->hosts[move->to].in.level);
}

static uint32_t get_first(const struct run *run, uint32_t host, bool inbound)
{
	return inbound ? run->hosts[host].in.sends : run->hosts[host].out.sends;
}

static uint32_t get_next(const struct run *run, uint32_t m, bool inbound)
{
	return inbound ? run->moves[m].next_in : run->moves[m].next_out;
}

static void add_wish(struct run *run, double wish, uint32_t n)
{
	if (n == run->room_wishes) {
		run->room_wishes = n ? 2 * n : 64;
		run->wishes = xreallocarray(run->wishes, run->room_wishes, sizeof(*run->wishes));
	}
	for (; n > 0 && run->wishes[n - 1] > wish; n--)
		run->wishes[n] = run->wishes[n - 1];
	run->wishes[n] = wish;
}

/* What all get who could take more; INFINITY: there is enough for all. */
static double find_level(struct run *run, uint32_t host, bool inbound)
{
	double rest = run_get_residual(run, host, inbound);
	uint32_t n = 0;

	for (uint32_t m = get_first(run, host, inbound); m != INSTANCE_NONE;
	     m = get_next(run, m, inbound))
		add_wish(run, get_wish(run, &run->moves[m], inbound), n++);
	for (uint32_t i = 0; i < n; i++) {
		if (run->wishes[i] * (n - i) > rest)
			return rest / (n - i);
		rest -= run->wishes[i];
	}
	return INFINITY;
}

static void touch(struct run *run, uint32_t m)
{
	struct run_move *move = &run->moves[m];

	if (move->seen)
		return;
	move->seen = true;
	if (run->n_touched == run->room_touched) {
		run->room_touched = run->room_touched ? 2 * run->room_touched : 64;
		run->touched = xreallocarray(run->touched, run->room_touched,
		                             sizeof(*run->touched));
	}
	run->touched[run->n_touched++] = m;
}

/* @first: those on it may be new, or have got another cap. */
static void settle(struct run *run, uint32_t host, bool inbound, bool first)
{
	struct run_link *link = inbound ? &run->hosts[host].in : &run->hosts[host].out;
	double was = link->level, level = find_level(run, host, inbound);
	bool same = was == level || fabs(was - level) <= SAME * fmin(was, level);

	link->dirty = false;
	if (same && !first)
		return;
	if (!same)
		link->level = level;
	for (uint32_t m = get_first(run, host, inbound); m != INSTANCE_NONE;
	     m = get_next(run, m, inbound)) {
		const struct run_move *move = &run->moves[m];
		double cap = get_cap(move);

		touch(run, m);
		if (!same && fmin(cap, was) != fmin(cap, level))
			run_make_dirty(run, inbound ? move->from : move->to, !inbound);
	}
}

void run_share_links(struct run *run)
{
	uint32_t changed = run->n_dirty;

	if (!changed)
		return;
	/* Whoever is let go, or held, matters where it goes, too. */
	for (uint32_t d = 0; run->options->rates == SCHEDULE_SHORTEST && d < changed; d++) {
		if (!(run->dirty[d] & 1))
			run_hold(run, run->dirty[d] / 2);
	}
	changed = run->n_dirty;
	run->n_touched = 0;
	for (uint32_t d = 0; d < run->n_dirty; d++)
		settle(run, run->dirty[d] / 2, run->dirty[d] & 1, d < changed);
	run->n_dirty = 0;
	for (uint32_t i = 0; i < run->n_touched; i++) {
		struct run_move *move = &run->moves[run->touched[i]];
		double rate = fmin(get_cap(move), fmin(run->hosts[move->from].out.level,
		                                       run->hosts[move->to].in.level));
		double progress = get_progress(run, move, rate);

		move->seen = false;
		if (rate != move->rate || progress != move->progress ||
		    move->heap == INSTANCE_NONE || run_is_held(move))
			take_rate(run, run->touched[i], rate, progress);
	}
}
