/* SPDX-License-Identifier: Apache-2.0 */
/* Lower bounds. Theory: bounds.h. */
#include "coordinator/planner/bounds.h"

#include "common/alloc.h"

#include <math.h>
#include <stdlib.h>

struct sums {
	double out_s, in_s;                /* of the links */
	double out_slot_s, in_slot_s;      /* of slots */
	double port_s;                     /* ports x seconds */
	double first_out_s, first_in_s;    /* the least that goes before bytes */
	double quickest_s;                 /* departure */
	uint32_t runs_out, runs_in, ports; /* may be more than a cap that was lowered */
};

/* Where @v goes; NONE: where it likes. */
static uint32_t get_target(const struct instance *in, const uint32_t *targets, uint32_t v)
{
	return in->vms[v].role == INSTANCE_RUNNING || !targets ? in->vms[v].target : targets[v];
}

static bool moves(const struct instance *in, const uint32_t *targets, uint32_t v)
{
	return in->vms[v].role == INSTANCE_RUNNING ||
	       (in->vms[v].role == INSTANCE_LEAVES && (!targets || targets[v] != INSTANCE_NONE));
}

/* Of a guest whose destination is free: to the best it might get. */
static uint32_t find_fastest(const struct instance *in)
{
	uint32_t best = 0;

	for (uint32_t h = 0; h < in->n_hosts; h++) {
		if (in->hosts[h].open &&
		    (!in->hosts[best].open ||
		     in->hosts[h].in_bytes_per_s > in->hosts[best].in_bytes_per_s))
			best = h;
	}
	return best;
}

struct count {
	const struct instance *in;
	struct sums *sums;
	struct bounds *bounds;
	double free_bytes, slot_s; /* of all whose destination is free; of all */
	uint32_t runs;
	uint32_t fastest;
};

static void count_move(struct count *c, uint32_t v, uint32_t to, bool is_free)
{
	const struct instance *in = c->in;
	const struct instance_vm *vm = &in->vms[v];
	struct sums *from = &c->sums[vm->home], *dest = &c->sums[to];
	double seconds = instance_seconds(in, vm, vm->home, to);
	double bytes = instance_bytes(in, vm, vm->home, to);
	/* What may have been done before costs no slot. */
	double slot_s = seconds + vm->overhead_s - vm->prepare_s;

	c->bounds->bytes += bytes;
	c->bounds->alone_s = fmax(c->bounds->alone_s, seconds + vm->overhead_s);
	c->slot_s += slot_s;
	from->out_s += bytes / fmax(in->hosts[vm->home].out_bytes_per_s, 1);
	from->out_slot_s += slot_s;
	from->first_out_s = fmin(from->first_out_s, vm->overhead_s);
	/* It might leave by a detour, too. */
	from->quickest_s = fmin(from->quickest_s,
	                        fmin(seconds, instance_seconds(in, vm, vm->home, c->fastest)) +
	                                vm->overhead_s);
	if (vm->role == INSTANCE_RUNNING) {
		c->runs++;
		from->runs_out++;
		dest->runs_in++;
		dest->ports += vm->ports;
	}
	if (is_free) {
		c->free_bytes += bytes;
		return;
	}
	dest->in_s += bytes / fmax(in->hosts[to].in_bytes_per_s, 1);
	dest->in_slot_s += slot_s;
	dest->first_in_s = fmin(dest->first_in_s, vm->overhead_s);
	dest->port_s += slot_s * vm->ports;
}

static double divide(double slot_s, uint32_t cap, uint32_t runs)
{
	if (!cap || cap == INSTANCE_NO_LIMIT)
		return 0;
	return slot_s / (cap > runs ? cap : runs);
}

static void judge_host(const struct instance *in, const struct sums *s, uint32_t h,
                       struct bounds *b)
{
	const struct instance_host *host = &in->hosts[h];
	double out_s = s->out_s > 0 ? s->out_s + s->first_out_s : 0;
	double in_s = s->in_s > 0 ? s->in_s + s->first_in_s : 0;

	if (fmax(out_s, in_s) > b->link_s) {
		b->link_s = fmax(out_s, in_s);
		b->host = h;
		b->inbound = in_s > out_s;
	}
	b->caps_s = fmax(b->caps_s, divide(s->out_slot_s, host->slots_out, s->runs_out));
	b->caps_s = fmax(b->caps_s, divide(s->in_slot_s, host->slots_in, s->runs_in));
	b->caps_s = fmax(b->caps_s, divide(s->port_s, host->ports, s->ports));
}

/* A destination that is full now: somebody must have left it, and then the move itself. */
static void judge_rooms(const struct instance *in, const uint32_t *movers, uint32_t n,
                        const uint32_t *targets, const struct sums *sums, struct bounds *b)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = movers[i];
		const struct instance_vm *vm = &in->vms[v];
		uint32_t to = get_target(in, targets, v);
		bool full = false;

		if (vm->role != INSTANCE_LEAVES || to == INSTANCE_NONE)
			continue;
		for (unsigned p = 0; p < INSTANCE_POOLS; p++)
			full = full || in->hosts[to].free_bytes[p] < instance_need(vm, p);
		if (!full || isinf(sums[to].quickest_s))
			continue;
		b->room_s = fmax(b->room_s, sums[to].quickest_s +
		                                    instance_seconds(in, vm, vm->home, to) +
		                                    vm->overhead_s - vm->prepare_s);
	}
}

void bounds_find(const struct instance *in, const uint32_t *targets, struct bounds *ret_bounds)
{
	struct bounds b = { .host = INSTANCE_NONE };
	struct count c = {
		.in = in,
		.sums = xcalloc((size_t)in->n_hosts + 1, sizeof(*c.sums)),
		.bounds = &b,
		.fastest = find_fastest(in),
	};
	uint32_t n, *movers = instance_list_movers(in, &n);
	double inbound = 0;

	for (uint32_t h = 0; h < in->n_hosts; h++) {
		c.sums[h].first_out_s = c.sums[h].first_in_s = c.sums[h].quickest_s = INFINITY;
		inbound += in->hosts[h].open ? in->hosts[h].in_bytes_per_s : 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = movers[i], to = get_target(in, targets, v);

		if (moves(in, targets, v))
			count_move(&c, v, to == INSTANCE_NONE ? c.fastest : to,
			           to == INSTANCE_NONE);
	}
	for (uint32_t h = 0; h < in->n_hosts; h++)
		judge_host(in, &c.sums[h], h, &b);
	if (c.free_bytes > 0 && c.free_bytes / fmax(inbound, 1) > b.link_s)
		b.link_s = c.free_bytes / fmax(inbound, 1);
	b.caps_s = fmax(b.caps_s, divide(c.slot_s, in->slots, c.runs));
	judge_rooms(in, movers, n, targets, c.sums, &b);
	b.physical_s = fmax(b.alone_s, fmax(b.link_s, b.room_s));
	b.all_s = fmax(b.physical_s, b.caps_s);
	free(movers);
	free(c.sums);
	*ret_bounds = b;
}
