/* SPDX-License-Identifier: Apache-2.0 */
/* Drains as they are: flavours, touched memory, a long tail of dirty rates. */
#include "tests/bench/bench_plan.h"

#include "common/alloc.h"

#include <math.h>

#define GIB_BYTES 1073741824.0

static uint64_t state;

void bench_seed(uint64_t seed)
{
	state = seed;
}

double bench_draw(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(instance_mix(7, state) >> 11) / (double)((uint64_t)1 << 53);
}

static double draw_normal(void)
{
	return sqrt(-2 * log(bench_draw() + 1e-12)) * cos(2 * M_PI * bench_draw());
}

const struct bench_shape bench_mix[BENCH_MIX] = {
	{ 20, 15, 1, 25, 0, 1 },   { 20, 15, 1, 10, 0, 1 },   { 100, 15, 10, 25, 0, 1 },
	{ 100, 15, 10, 10, 0, 3 }, { 200, 15, 50, 10, 0, 1 }, { 100, 15, 10, 25, 8, 1 },
};

static const struct {
	double gib, share;
} flavours[] = { { 2, .18 },  { 4, .26 },  { 8, .28 },  { 16, .18 },
	         { 32, .06 }, { 64, .03 }, { 128, .01 } };

static double draw_flavour(void)
{
	double x = bench_draw();

	for (size_t i = 0; i + 1 < ARRAY_SIZE(flavours); i++) {
		if (x < flavours[i].share)
			return flavours[i].gib;
		x -= flavours[i].share;
	}
	return flavours[ARRAY_SIZE(flavours) - 1].gib;
}

void bench_make_drain(struct instance *in, const struct bench_shape *s, uint64_t seed)
{
	double rate = s->gbit * 1e9 / 8, mean = 0, capacity;

	bench_seed(seed * 977 + s->hosts);
	for (size_t i = 0; i < ARRAY_SIZE(flavours); i++)
		mean += flavours[i].gib * flavours[i].share;
	capacity = s->vms_per_host * mean / .65 * GIB_BYTES;
	instance_init(in, s->hosts, s->hosts * s->vms_per_host);
	for (uint32_t h = 0; h < s->hosts; h++) {
		struct instance_host *host = &in->hosts[h];

		host->key = instance_mix(seed, h);
		host->free_bytes[0] = host->capacity_bytes = (uint64_t)capacity;
		host->out_bytes_per_s = host->in_bytes_per_s = rate;
	}
	for (uint32_t v = 0; v < in->n_vms; v++) {
		struct instance_vm *vm = &in->vms[v];
		uint64_t bytes = (uint64_t)(draw_flavour() * GIB_BYTES);
		uint32_t home = 0;
		uint64_t most = 0;

		/* The emptiest of six. */
		for (unsigned i = 0; i < 6; i++) {
			uint32_t h = (uint32_t)(bench_draw() * s->hosts);

			if (in->hosts[h].free_bytes[0] >= most) {
				most = in->hosts[h].free_bytes[0];
				home = h;
			}
		}
		if (most < bytes)
			bytes = most;
		vm->key = instance_mix(seed + 1, v);
		vm->home = home;
		vm->need_bytes = bytes;
		vm->vcpus = 1;
		vm->work_bytes = (double)bytes * (.3 + .7 * bench_draw());
		vm->dirty_bytes_per_s = fmin(exp(3 + 1.5 * draw_normal()), 1500) * 1048576 *
		                        s->dirty;
		vm->overhead_s = 2;
		if (s->stream_gbit > 0)
			vm->limit_bytes_per_s = s->stream_gbit * 1e9 / 8;
		in->hosts[home].free_bytes[0] -= bytes;
	}
	/* Every so many hosts is drained: which ones are alike. */
	for (uint32_t k = 0; k < s->drained; k++)
		in->hosts[k * (s->hosts / s->drained)].open = false;
	for (uint32_t v = 0; v < in->n_vms; v++) {
		if (!in->hosts[in->vms[v].home].open)
			in->vms[v].role = INSTANCE_LEAVES;
	}
	instance_index(in);
}

void bench_set_caps(struct instance *in, uint32_t cluster, uint32_t out, uint32_t inbound)
{
	in->slots = cluster;
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		in->hosts[h].slots_out = out;
		in->hosts[h].slots_in = inbound;
	}
}
