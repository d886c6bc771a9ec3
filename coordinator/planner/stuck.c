/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing runs and nothing may start: guests wait for room that guests hold who wait for room.
 *
 * A detour is taken only when there is a cycle of hosts with waiting moves between them. The cheapest
 * guest of the cycle that has somewhere to go meanwhile, and whose leaving lets another in, makes it;
 * no guest makes two. Otherwise a guest whose destination was our choice goes elsewhere.
 */
#include "coordinator/planner/run.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

/* Marks the hosts that lie on cycles of waiting moves, or between cycles. Returns whether there are any. */
static bool find_cycles(const struct run *run, bool *on_cycle)
{
	const struct instance *in = run->in;
	uint32_t *out = xcalloc((size_t)in->n_hosts + 1, sizeof(*out));
	uint32_t *inbound = xcalloc((size_t)in->n_hosts + 1, sizeof(*inbound));
	bool changed = true, any = false;

	for (uint32_t h = 0; h < in->n_hosts; h++)
		on_cycle[h] = true;
	while (changed) {
		changed = false;
		for (uint32_t h = 0; h < in->n_hosts; h++)
			out[h] = inbound[h] = 0;
		for (uint32_t m = 0; m < run->n_moves; m++) {
			const struct run_move *move = &run->moves[m];

			if (move->state != RUN_WAITS || !on_cycle[move->from] ||
			    !on_cycle[move->to])
				continue;
			out[move->from]++;
			inbound[move->to]++;
		}
		for (uint32_t h = 0; h < in->n_hosts; h++) {
			if (on_cycle[h] && (!out[h] || !inbound[h])) {
				on_cycle[h] = false;
				changed = true;
			}
		}
	}
	for (uint32_t h = 0; h < in->n_hosts; h++)
		any = any || on_cycle[h];
	free(out);
	free(inbound);
	return any;
}

/* Were @v gone from where it is, could somebody come in who waits for that? */
static bool would_help(const struct run *run, uint32_t v)
{
	struct room *room = (struct room *)&run->room;
	uint32_t host = room->at[v];
	bool helps = false;

	room_give(room, v, host);
	room->at[v] = INSTANCE_NONE;
	for (uint32_t m = run->hosts[host].in.waits; m != INSTANCE_NONE && !helps;
	     m = run->moves[m].next_in)
		helps = run->moves[m].vm != v &&
		        room_check_now(room, run->moves[m].vm, host, NULL) == ROOM_FITS;
	room_take(room, v, host);
	room->at[v] = host;
	return helps;
}

/* The emptiest host that could take @v now, other than where it is and shall be. */
static uint32_t find_refuge(const struct run *run, uint32_t v, uint32_t to)
{
	const struct instance *in = run->in;
	const struct instance_vm *vm = &in->vms[v];
	uint32_t best = INSTANCE_NONE;

	for (uint32_t h = 0; h < in->n_hosts; h++) {
		uint64_t left = run->room.free_bytes[h][0];

		if (h == to || h == run->room.at[v] || !in->hosts[h].open ||
		    !instance_allows(in, vm->class_id, h) || in->hosts[h].ports < vm->ports ||
		    !in->hosts[h].slots_in || room_check_now(&run->room, v, h, NULL) != ROOM_FITS)
			continue;
		if (best == INSTANCE_NONE || left > run->room.free_bytes[best][0] ||
		    (left == run->room.free_bytes[best][0] &&
		     in->hosts[h].key < in->hosts[best].key))
			best = h;
	}
	return best;
}

static bool take_detour(struct run *run, const bool *on_cycle)
{
	const struct instance *in = run->in;
	uint32_t best = INSTANCE_NONE, refuge = INSTANCE_NONE, final_to;
	bool best_helps = false;

	for (uint32_t m = 0; m < run->n_moves; m++) {
		const struct run_move *move = &run->moves[m];
		uint32_t h;
		bool helps;

		if (move->state != RUN_WAITS || !on_cycle[move->from] || !on_cycle[move->to] ||
		    (run->bounced && run->bounced[move->vm]))
			continue;
		helps = would_help(run, move->vm);
		if (best != INSTANCE_NONE) {
			const struct run_move *other = &run->moves[best];

			if (helps != best_helps         ? !helps
			    : move->work != other->work ? move->work > other->work
			                                : move->key > other->key)
				continue;
		}
		h = find_refuge(run, move->vm, move->to);
		if (h == INSTANCE_NONE)
			continue;
		best = m;
		best_helps = helps;
		refuge = h;
	}
	if (best == INSTANCE_NONE)
		return false;
	if (!run->bounced)
		run->bounced = xcalloc((size_t)in->n_vms + 1, sizeof(*run->bounced));
	run->bounced[run->moves[best].vm] = 1;
	run_forget(run, best);
	final_to = run->moves[best].to;
	best = run_add(run, run->moves[best].vm, run->moves[best].from, refuge);
	run->moves[best].detour = true;
	run->moves[best].final_to = final_to;
	run->n_detours++;
	return true;
}

/* Only guests whose destination nobody prescribed, and only where nobody must be with them. */
static bool is_free(const struct run *run, const struct run_move *move)
{
	const struct instance *in = run->in;
	const struct instance_vm *vm = &in->vms[move->vm];

	if (move->state != RUN_WAITS || move->retargeted || vm->target != INSTANCE_NONE ||
	    move->from != vm->home)
		return false;
	for (uint32_t i = in->group_first[move->vm]; i < in->group_first[move->vm + 1]; i++) {
		const struct instance_group *group = &in->groups[in->group_of[i]];

		if (group->kind == INSTANCE_TOGETHER && group->hard)
			return false;
	}
	return true;
}

static bool retarget(struct run *run)
{
	uint32_t best = INSTANCE_NONE, refuge = INSTANCE_NONE;

	for (uint32_t m = 0; m < run->n_moves; m++) {
		const struct run_move *move = &run->moves[m];
		uint32_t h;

		if (!is_free(run, move) ||
		    (best != INSTANCE_NONE && move->key > run->moves[best].key))
			continue;
		h = find_refuge(run, move->vm, move->to);
		if (h == INSTANCE_NONE)
			continue;
		best = m;
		refuge = h;
	}
	if (best == INSTANCE_NONE)
		return false;
	run_forget(run, best);
	best = run_add(run, run->moves[best].vm, run->moves[best].from, refuge);
	run->moves[best].retargeted = true;
	return true;
}

bool run_break_deadlock(struct run *run)
{
	bool *on_cycle = xcalloc((size_t)run->in->n_hosts + 1, sizeof(*on_cycle));
	bool broken;

	broken = run->n_moves + 2 < run->room_moves &&
	         ((find_cycles(run, on_cycle) && take_detour(run, on_cycle)) || retarget(run));
	free(on_cycle);
	return broken;
}
