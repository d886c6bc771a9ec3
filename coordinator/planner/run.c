/* SPDX-License-Identifier: Apache-2.0 */
/* The moves of a schedule while it is made: their events in time, the lists of the links they wait for
 * or send on, and whether one may start. Theory: schedule.h. */
#include "coordinator/planner/run.h"

#include <assert.h>
#include <math.h>

/* One more than what fills the link: it prepares meanwhile, or has the link while another does. */
#define LANES_AHEAD 1

/* --- heap of next events --- */

static bool is_earlier(const struct run_event *x, const struct run_event *y)
{
	if (x->next_s != y->next_s)
		return x->next_s < y->next_s;
	return x->key != y->key ? x->key < y->key : x->move < y->move;
}

static void put(struct run *run, uint32_t i, struct run_event event)
{
	run->heap[i] = event;
	run->moves[event.move].heap = i;
}

/* @event goes to where it belongs, from the free place @i. */
static void sift(struct run *run, uint32_t i, struct run_event event)
{
	while (i && is_earlier(&event, &run->heap[(i - 1) / 2])) {
		put(run, i, run->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= run->n_heap)
			break;
		if (child + 1 < run->n_heap && is_earlier(&run->heap[child + 1], &run->heap[child]))
			child++;
		if (!is_earlier(&run->heap[child], &event))
			break;
		put(run, i, run->heap[child]);
		i = child;
	}
	put(run, i, event);
}

void run_set_next(struct run *run, uint32_t m, double next_s)
{
	struct run_move *move = &run->moves[m];
	uint32_t i = move->heap == INSTANCE_NONE ? run->n_heap++ : move->heap;

	move->next_s = next_s;
	sift(run, i, (struct run_event){ .next_s = next_s, .key = move->key, .move = m });
}

uint32_t run_pop(struct run *run)
{
	uint32_t m = run->heap[0].move;

	run->moves[m].heap = INSTANCE_NONE;
	if (--run->n_heap)
		sift(run, 0, run->heap[run->n_heap]);
	return m;
}

/* --- lists of a link --- */

void run_link(struct run *run, uint32_t m, bool sends)
{
	struct run_move *move = &run->moves[m];
	struct run_link *out = &run->hosts[move->from].out, *in = &run->hosts[move->to].in;
	uint32_t *first_out = sends ? &out->sends : &out->waits;
	uint32_t *first_in = sends ? &in->sends : &in->waits;

	move->prev_out = move->prev_in = INSTANCE_NONE;
	move->next_out = *first_out;
	move->next_in = *first_in;
	if (*first_out != INSTANCE_NONE)
		run->moves[*first_out].prev_out = m;
	if (*first_in != INSTANCE_NONE)
		run->moves[*first_in].prev_in = m;
	*first_out = *first_in = m;
}

void run_unlink(struct run *run, uint32_t m, bool sends)
{
	struct run_move *move = &run->moves[m];
	struct run_link *out = &run->hosts[move->from].out, *in = &run->hosts[move->to].in;

	if (move->prev_out != INSTANCE_NONE)
		run->moves[move->prev_out].next_out = move->next_out;
	else
		*(sends ? &out->sends : &out->waits) = move->next_out;
	if (move->next_out != INSTANCE_NONE)
		run->moves[move->next_out].prev_out = move->prev_out;
	if (move->prev_in != INSTANCE_NONE)
		run->moves[move->prev_in].next_in = move->next_in;
	else
		*(sends ? &in->sends : &in->waits) = move->next_in;
	if (move->next_in != INSTANCE_NONE)
		run->moves[move->next_in].prev_in = move->prev_in;
}

void run_wake(struct run *run, uint32_t host)
{
	struct run_host *h = &run->hosts[host];

	h->awake = true;
	if (h->listed || h->out.waits == INSTANCE_NONE)
		return;
	h->listed = true;
	run->awake[run->n_awake++] = host;
}

/* One that comes later: to its place. There are few. */
static void list_waiting(struct run *run, uint32_t m)
{
	uint32_t next = run->shortest, before = INSTANCE_NONE;

	while (next != INSTANCE_NONE && run_goes_before(run, next, m)) {
		before = next;
		next = run->moves[next].next_work;
	}
	run->moves[m].next_work = next;
	run->moves[m].prev_work = before;
	*(before == INSTANCE_NONE ? &run->shortest : &run->moves[before].next_work) = m;
	*(next == INSTANCE_NONE ? &run->longest : &run->moves[next].prev_work) = m;
}

static void unlist_waiting(struct run *run, const struct run_move *move)
{
	uint32_t before = move->prev_work, next = move->next_work;

	*(before == INSTANCE_NONE ? &run->shortest : &run->moves[before].next_work) = next;
	*(next == INSTANCE_NONE ? &run->longest : &run->moves[next].prev_work) = before;
}

static double seconds_of(double bytes, double rate)
{
	return bytes / fmax(rate, 1);
}

/* What a link needs to be full, and one more; no use beyond. */
static uint32_t count_lanes(const struct run *run, double link, const struct instance_vm *vm,
                            uint32_t slots)
{
	double fill = vm->limit_bytes_per_s > 0 ? ceil(link / vm->limit_bytes_per_s) : 1;

	if (run->options->every_slot || run->options->rates == SCHEDULE_RESERVED)
		return slots;
	return fill + LANES_AHEAD < slots ? (uint32_t)fill + LANES_AHEAD : slots;
}

uint32_t run_add(struct run *run, uint32_t vm, uint32_t from, uint32_t to)
{
	const struct instance *in = run->in;
	double seconds = instance_seconds(in, &in->vms[vm], from, to);
	double bytes = seconds * instance_path(in, &in->vms[vm], from, to);
	uint32_t m = run->n_moves++;

	assert(m < run->room_moves && from != to);
	run->moves[m] = (struct run_move){
		.vm = vm,
		.from = from,
		.to = to,
		.path = instance_path(in, &in->vms[vm], from, to),
		.hold = INFINITY,
		.seconds = seconds,
		.work = seconds + in->vms[vm].overhead_s,
		.out_s = seconds_of(bytes, in->hosts[from].out_bytes_per_s),
		.in_s = seconds_of(bytes, in->hosts[to].in_bytes_per_s),
		.left = in->vms[vm].work_bytes,
		.next_s = INFINITY,
		.noise = 1,
		.key = in->vms[vm].key,
		.heap = INSTANCE_NONE,
		.next_work = INSTANCE_NONE,
		.prev_work = INSTANCE_NONE,
		.lanes_out = count_lanes(run, in->hosts[from].out_bytes_per_s, &in->vms[vm],
		                         in->hosts[from].slots_out),
		.lanes_in = count_lanes(run, in->hosts[to].in_bytes_per_s, &in->vms[vm],
		                        in->hosts[to].slots_in),
	};
	if (run->options->seed)
		run->moves[m].noise +=
			run->options->noise *
			((double)(instance_mix(run->options->seed, in->vms[vm].key) >> 11) /
		                 (double)((uint64_t)1 << 52) -
		         1);
	if (run->moves[m].lanes_out > run->hosts[from].lanes)
		run->hosts[from].lanes = run->moves[m].lanes_out;
	run->move_of[vm] = m;
	run_link(run, m, false);
	run->hosts[from].out.waiting_s += run->moves[m].out_s;
	run->hosts[to].in.waiting_s += run->moves[m].in_s;
	run->waiting_s += run->moves[m].work;
	run->hosts[from].waiting_s += run->moves[m].work;
	if (run->shortest != INSTANCE_NONE)
		list_waiting(run, m);
	run->n_waiting++;
	run_wake(run, from);
	return m;
}

void run_wait_no_more(struct run *run, uint32_t m)
{
	struct run_move *move = &run->moves[m];

	run_unlink(run, m, false);
	run->hosts[move->from].out.waiting_s -= move->out_s;
	run->hosts[move->to].in.waiting_s -= move->in_s;
	run->waiting_s -= move->work;
	run->hosts[move->from].waiting_s -= move->work;
	if (run->shortest != INSTANCE_NONE)
		unlist_waiting(run, move);
	run->n_waiting--;
}

void run_forget(struct run *run, uint32_t m)
{
	run_wait_no_more(run, m);
	run->moves[m].state = RUN_ENDED;
}

/* --- slots --- */

bool run_has_slot(const struct run *run, const struct run_move *move)
{
	return run->busy < run->in->slots && run->hosts[move->from].out.busy < move->lanes_out &&
	       run->hosts[move->to].in.busy < move->lanes_in;
}

bool run_may_start(const struct run *run, uint32_t m)
{
	const struct instance *in = run->in;
	const struct run_move *move = &run->moves[m];
	const struct instance_vm *vm = &in->vms[move->vm];

	if (!run_has_slot(run, move))
		return false;
	if (run->hosts[move->to].ports + vm->ports > in->hosts[move->to].ports)
		return false;
	if (run->options->rates == SCHEDULE_RESERVED) {
		double rate = instance_path(in, vm, move->from, move->to) * (1 - 1e-9);

		if (run_get_residual(run, move->from, false) < rate ||
		    run_get_residual(run, move->to, true) < rate)
			return false;
	}
	return room_check_now(&run->room, move->vm, move->to, NULL) == ROOM_FITS;
}
