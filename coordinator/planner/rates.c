/* SPDX-License-Identifier: Apache-2.0 */
/* How fast each of those that send: links shared by a rule, only where something has changed.
 *
 * Links and moves are a graph (a move joins the outbound link of its source with the inbound one of its
 * destination); a change can only matter within its component, which is small: a few lanes per host.
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

/* All that send in the component of what is dirty; links found on the way become dirty, too. */
static uint32_t gather(struct run *run, uint32_t from)
{
	uint32_t n = 0;

	for (; from < run->n_dirty; from++) {
		bool inbound = run->dirty[from] & 1;
		struct run_host *host = &run->hosts[run->dirty[from] / 2];
		uint32_t m = inbound ? host->in.sends : host->out.sends;

		while (m != INSTANCE_NONE) {
			struct run_move *move = &run->moves[m];

			if (!move->seen) {
				move->seen = true;
				if (n == run->room_touched) {
					run->room_touched = n ? 2 * n : 64;
					run->touched = xreallocarray(run->touched,
					                             run->room_touched,
					                             sizeof(*run->touched));
				}
				run->touched[n++] = m;
				run_make_dirty(run, move->from, false);
				run_make_dirty(run, move->to, true);
			}
			m = inbound ? move->next_in : move->next_out;
		}
	}
	return n;
}

static void settle(struct run *run, struct run_move *move)
{
	double passed = run->now_s - move->since_s;
	const struct instance_vm *vm = &run->in->vms[move->vm];

	move->since_s = run->now_s;
	if (passed <= 0 || move->rate <= 0)
		return;
	move->sent += passed * move->rate;
	move->left -= passed * instance_progress(vm, move->rate);
	if (move->left < 0)
		move->left = 0;
}

static int compare_left(const void *a, const void *b, void *context)
{
	const struct run_move *moves = context;
	const struct run_move *x = &moves[*(const uint32_t *)a], *y = &moves[*(const uint32_t *)b];

	/* next_s holds the time left at full path while rates are shared. */
	if (x->next_s != y->next_s)
		return x->next_s < y->next_s ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->vm < y->vm ? -1 : x->vm > y->vm;
}

static double get_residual(const struct run *run, const struct run_move *move)
{
	return fmin(run_get_residual(run, move->from, false),
	            run_get_residual(run, move->to, true));
}

static void give(struct run *run, struct run_move *move, double rate)
{
	move->rate = rate;
	run->hosts[move->from].out.reserved += rate;
	run->hosts[move->to].in.reserved += rate;
}

static void share_shortest(struct run *run, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct run_move *move = &run->moves[run->touched[i]];
		const struct instance_vm *vm = &run->in->vms[move->vm];
		double path = instance_path(run->in, vm, move->from, move->to);
		double rate = get_residual(run, move);
		double floor = vm->floor_bytes_per_s < path ? vm->floor_bytes_per_s : path;

		if (rate > path)
			rate = path;
		/* A trickle is no use, and rounding errors are no bandwidth. */
		if (rate < floor || rate < path * 1e-9)
			rate = 0;
		give(run, move, rate);
	}
}

/* Max-min: in rounds the link with the smallest equal share is filled. */
static void share_fair(struct run *run, uint32_t n)
{
	uint32_t unfixed = n;

	for (uint32_t i = 0; i < n; i++)
		run->moves[run->touched[i]].rate = -1;
	while (unfixed) {
		double least = INFINITY;
		struct run_move *tightest = NULL;

		for (uint32_t i = 0; i < n; i++) {
			struct run_move *move = &run->moves[run->touched[i]];
			const struct instance_vm *vm = &run->in->vms[move->vm];
			double share = instance_path(run->in, vm, move->from, move->to);
			double out = run_get_residual(run, move->from, false);
			double in = run_get_residual(run, move->to, true);
			unsigned n_out = 0, n_in = 0;

			if (move->rate >= 0)
				continue;
			for (uint32_t m = run->hosts[move->from].out.sends; m != INSTANCE_NONE;
			     m = run->moves[m].next_out)
				n_out += run->moves[m].rate < 0;
			for (uint32_t m = run->hosts[move->to].in.sends; m != INSTANCE_NONE;
			     m = run->moves[m].next_in)
				n_in += run->moves[m].rate < 0;
			share = fmin(share, fmin(out / n_out, in / n_in));
			if (share < least) {
				least = share;
				tightest = move;
			}
		}
		if (!tightest)
			break;
		give(run, tightest, fmax(least, 0));
		unfixed--;
	}
}

static void share(struct run *run, uint32_t from)
{
	uint32_t n = gather(run, from);

	for (uint32_t i = from; i < run->n_dirty; i++) {
		struct run_host *host = &run->hosts[run->dirty[i] / 2];

		*(run->dirty[i] & 1 ? &host->in.reserved : &host->out.reserved) = 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct run_move *move = &run->moves[run->touched[i]];
		const struct instance_vm *vm = &run->in->vms[move->vm];

		settle(run, move);
		move->seen = false;
		move->next_s = move->left /
		               instance_progress(vm,
		                                 instance_path(run->in, vm, move->from, move->to));
	}
	qsort_r(run->touched, n, sizeof(*run->touched), compare_left, run->moves);
	if (run->options->rates == SCHEDULE_FAIR)
		share_fair(run, n);
	else
		share_shortest(run, n);
	for (uint32_t i = 0; i < n; i++) {
		struct run_move *move = &run->moves[run->touched[i]];
		const struct instance_vm *vm = &run->in->vms[move->vm];
		double next_s = INFINITY;

		if (move->left <= 0)
			next_s = run->now_s;
		else if (move->rate > 0)
			next_s = run->now_s + move->left / instance_progress(vm, move->rate);
		run_set_next(run, run->touched[i], next_s);
	}
}

void run_share_links(struct run *run)
{
	if (!run->n_dirty)
		return;
	share(run, 0);
	for (uint32_t i = 0; i < run->n_dirty; i++) {
		struct run_host *host = &run->hosts[run->dirty[i] / 2];

		*(run->dirty[i] & 1 ? &host->in.dirty : &host->out.dirty) = false;
	}
	run->n_dirty = 0;
}
