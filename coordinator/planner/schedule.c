/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop of a schedule: what may start, what has ended. Theory: schedule.h.
 *
 *	waits --> prepares --> sends --> ended
 *	        slot, room, port   bytes
 *
 * Who waits prepares meanwhile, for prepare_s of its overhead_s at most; where a slot is free it begins in that.
 * Not modelled of coordinator/core/move/launch_ahead.h: that only one of each host is prepared, for a slot in
 * sight; that it has its room and port by then; that it goes before one in turn whose destination is full until
 * that slot is free; that who waits for room is not prepared.
 */
#include "coordinator/planner/schedule.h"

#include "common/alloc.h"
#include "coordinator/planner/run.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DETOURS_ROOM 2

static void take_slot(struct run *run, const struct run_move *move)
{
	run->busy++;
	run->hosts[move->from].out.busy++;
	run->hosts[move->to].in.busy++;
}

/* --- what happens to a move --- */

static void send(struct run *run, uint32_t m)
{
	struct run_move *move = &run->moves[m];

	move->state = RUN_SENDS;
	move->send_s = move->since_s = move->held_since_s = run->now_s;
	if (run->options->rates == SCHEDULE_RESERVED) {
		double rate = instance_path(run->in, &run->in->vms[move->vm], move->from, move->to);

		move->sent = rate * move->seconds;
		run_set_next(run, m, run->now_s + move->seconds);
		return;
	}
	run_link(run, m, true);
	run_make_dirty(run, move->from, false);
	run_make_dirty(run, move->to, true);
}

void run_start(struct run *run, uint32_t m)
{
	struct run_move *move = &run->moves[m];
	const struct instance_vm *vm = &run->in->vms[move->vm];

	run_wait_no_more(run, m);
	room_begin(&run->room, move->vm, move->to);
	take_slot(run, move);
	run->hosts[move->to].ports += vm->ports;
	run->hosts[move->from].n_long += move->is_long;
	if (run->options->rates == SCHEDULE_RESERVED) {
		double rate = instance_path(run->in, vm, move->from, move->to);

		run->hosts[move->from].out.reserved += rate;
		run->hosts[move->to].in.reserved += rate;
	}
	run->n_running++;
	move->state = RUN_PREPARES;
	move->start_s = run->now_s;
	move->turn = ++run->n_begun;
	/* Since now, or while it waited. */
	run_set_next(run, m, run->now_s + vm->overhead_s - fmin(run->now_s, vm->prepare_s));
}

static void wake_for(struct run *run, uint32_t host)
{
	run_wake(run, host);
	for (uint32_t m = run->hosts[host].in.waits; m != INSTANCE_NONE; m = run->moves[m].next_in)
		run_wake(run, run->moves[m].from);
}

static void end(struct run *run, uint32_t m)
{
	struct run_move *move = &run->moves[m];
	const struct instance_vm *vm = &run->in->vms[move->vm];
	struct run_host *from = &run->hosts[move->from], *to = &run->hosts[move->to];

	if (run->options->rates == SCHEDULE_RESERVED) {
		double rate = instance_path(run->in, vm, move->from, move->to);

		from->out.reserved -= rate;
		to->in.reserved -= rate;
	} else {
		/* What was sent since its rate was set. */
		move->sent += (run->now_s - move->since_s) * move->rate;
		run_unlink(run, m, true);
		run_make_dirty(run, move->from, false);
		run_make_dirty(run, move->to, true);
	}
	run->busy--;
	from->out.busy--;
	to->in.busy--;
	to->ports -= vm->ports;
	from->n_long -= move->is_long;
	room_end(&run->room, move->vm);
	run->n_running--;
	move->state = RUN_ENDED;
	move->next_s = run->now_s;
	run->ended[run->n_ended++] = m;
	if (move->detour)
		run_add(run, move->vm, move->to, move->final_to);
	wake_for(run, move->from);
	wake_for(run, move->to);
}

static void happen(struct run *run, uint32_t m)
{
	struct run_move *move = &run->moves[m];

	run->events++;
	if (move->state == RUN_SENDS && move->looks) {
		run_make_dirty(run, move->from, false);
	} else if (move->state == RUN_SENDS) {
		end(run, m);
	} else {
		send(run, m);
	}
}

/* --- begin and end --- */

static int compare_ranks(const void *a, const void *b, void *context)
{
	const uint32_t *rank = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (rank[x] != rank[y])
		return rank[x] < rank[y] ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void add_running(struct run *run, uint32_t v)
{
	const struct instance_vm *vm = &run->in->vms[v];
	uint32_t m = run_add(run, v, vm->home, vm->target);
	struct run_move *move = &run->moves[m];

	run_wait_no_more(run, m);
	move->running = true;
	take_slot(run, move);
	run->hosts[move->to].ports += vm->ports;
	run->n_running++;
	if (run->options->rates == SCHEDULE_RESERVED) {
		double rate = instance_path(run->in, vm, move->from, move->to);

		run->hosts[move->from].out.reserved += rate;
		run->hosts[move->to].in.reserved += rate;
	}
	/* Lane A is taken by whatever runs. */
	move->is_long = run->hosts[move->from].n_long == 0;
	run->hosts[move->from].n_long += move->is_long;
	move->state = RUN_PREPARES;
	run_set_next(run, m, vm->overhead_s);
}

static void begin(struct run *run, const struct instance *in, const uint32_t *targets,
                  const struct schedule_options *options)
{
	uint32_t n, ranked = 0, *movers = instance_list_movers(in, &n);

	*run = (struct run){
		.shortest = INSTANCE_NONE,
		.longest = INSTANCE_NONE,
		.in = in,
		.options = options,
		.room_moves = n * (DETOURS_ROOM + 1) + 1,
		.hosts = xcalloc((size_t)in->n_hosts + 1, sizeof(*run->hosts)),
		.awake = xcalloc((size_t)in->n_hosts + 1, sizeof(*run->awake)),
		.heap = xcalloc((size_t)n + 1, sizeof(*run->heap)),
		.ranked = xcalloc((size_t)n + 1, sizeof(*run->ranked)),
		.move_of = xcalloc((size_t)in->n_vms + 1, sizeof(*run->move_of)),
	};
	/* Filled in one by one, and most of it never. */
	run->moves = xreallocarray(NULL, run->room_moves, sizeof(*run->moves));
	run->ended = xreallocarray(NULL, run->room_moves, sizeof(*run->ended));
	room_init_movers(&run->room, in, false, movers, n);
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		struct run_host *host = &run->hosts[h];

		host->out.waits = host->out.sends = host->in.waits = host->in.sends = INSTANCE_NONE;
		host->out.level = host->in.level = INFINITY;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = movers[i];

		run->move_of[v] = INSTANCE_NONE;
		if (in->vms[v].role == INSTANCE_RUNNING)
			add_running(run, v);
		else if (targets[v] != INSTANCE_NONE) {
			run_add(run, v, in->vms[v].home, targets[v]);
			run->ranked[ranked++] = v;
		}
	}
	free(movers);
	run->ranked[ranked] = INSTANCE_NONE;
	if (options->order == SCHEDULE_LANES && in->slots != INSTANCE_NO_LIMIT)
		run_list_waiting(run);
	if (options->order == SCHEDULE_GIVEN)
		qsort_r(run->ranked, ranked, sizeof(*run->ranked), compare_ranks,
		        (void *)options->rank);
}

static int compare_running(const void *a, const void *b, void *context)
{
	const struct schedule_move *x = a, *y = b;
	const struct instance *in = context;

	if (in->vms[x->vm].key != in->vms[y->vm].key)
		return in->vms[x->vm].key < in->vms[y->vm].key ? -1 : 1;
	return x->vm < y->vm ? -1 : x->vm > y->vm;
}

/* Each that begins has a turn of its own, and time passes from turn to turn: what runs already, then
 * turn by turn, is by start. */
static void collect(struct run *run, struct schedule *schedule)
{
	uint32_t n_running = run->n_ended - run->n_begun, running = 0;

	schedule->moves = xcalloc((size_t)run->n_ended + 1, sizeof(*schedule->moves));
	schedule->stuck = xcalloc((size_t)run->n_moves + 1, sizeof(*schedule->stuck));
	schedule->n_moves = run->n_ended;
	for (uint32_t i = 0; i < run->n_ended; i++) {
		const struct run_move *move = &run->moves[run->ended[i]];

		schedule->moves[move->turn ? n_running + move->turn - 1 : running++] =
			(struct schedule_move){
				.vm = move->vm,
				.from = move->from,
				.to = move->to,
				.start_s = move->start_s,
				.send_s = move->send_s,
				.end_s = move->next_s,
				.bytes = move->sent,
				.turn = move->turn,
				.running = move->running,
				.detour = move->detour,
				.retargeted = move->retargeted,
			};
		if (move->next_s > schedule->makespan_s)
			schedule->makespan_s = move->next_s;
		schedule->mean_end_s += move->next_s / run->n_ended;
		schedule->bytes += move->sent;
	}
	assert(running == n_running);
	for (uint32_t m = 0; m < run->n_moves; m++) {
		if (run->moves[m].state == RUN_WAITS)
			schedule->stuck[schedule->n_stuck++] = run->moves[m].vm;
	}
	schedule->n_detours = run->n_detours;
	schedule->events = run->events;
	qsort_r(schedule->moves, running, sizeof(*schedule->moves), compare_running,
	        (void *)run->in);
}

static void release(struct run *run)
{
	room_deinit(&run->room);
	free(run->moves);
	free(run->ended);
	free(run->hosts);
	free(run->awake);
	free(run->heap);
	free(run->ranked);
	free(run->move_of);
	free(run->dirty);
	free(run->touched);
	free(run->wishes);
	free(run->bounced);
}

void schedule_make(const struct instance *in, const uint32_t *targets,
                   const struct schedule_options *options, struct schedule *ret_schedule)
{
	struct schedule schedule = { 0 };
	struct run run;

	begin(&run, in, targets, options);
	run_start_all(&run);
	for (;;) {
		double soon;

		run_share_links(&run);
		if (!run.n_heap) {
			if (!run.n_waiting || options->no_detours || !run_break_deadlock(&run))
				break;
			run_start_all(&run);
			continue;
		}
		run.now_s = run.heap[0].next_s;
		assert(!isinf(run.now_s));
		/* What happens at one time happens before anything new begins. */
		soon = run.now_s * (1 + 1e-12);
		while (run.n_heap && run.heap[0].next_s <= soon)
			happen(&run, run_pop(&run));
		run_start_all(&run);
	}
	collect(&run, &schedule);
	release(&run);
	*ret_schedule = schedule;
}

void schedule_deinit(struct schedule *schedule)
{
	free(schedule->moves);
	free(schedule->after);
	free(schedule->stuck);
	*schedule = (struct schedule){ 0 };
}
