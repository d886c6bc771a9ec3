/* SPDX-License-Identifier: Apache-2.0 */
/* Where places are scarce: planted drains, in which a place for everybody exists by construction, and full
 * hosts that change guests around. */
#include "tests/bench/bench_plan.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	uint64_t mib;
	uint32_t vcpus;
} odd[] = { { 1536, 1 },   { 3072, 1 },   { 3072, 2 },  { 6144, 4 },  { 7168, 2 },
	    { 10240, 4 },  { 12288, 8 },  { 14336, 4 }, { 20480, 6 }, { 24576, 12 },
	    { 40960, 10 }, { 49152, 16 }, { 73728, 20 } };

struct planted {
	uint64_t bytes;
	uint32_t vcpus, host;
};

enum planted_kind {
	PLANTED_PLAIN,
	PLANTED_LEVELS, /* CPU models of three levels */
	PLANTED_ALL, /* and a label, storage and networks that not all hosts reach, groups apart */
	PLANTED_KINDS
};

#define LEVELS  3
#define REACHED 4 /* sets of hosts with the same storage and networks */
#define ZONES   3 /* none, or one of two labels */

/* A newer CPU runs what an older one runs; a guest's storage is reached from two sets of hosts. */
static void add_classes(struct instance *in, enum planted_kind kind)
{
	uint32_t kinds = kind == PLANTED_ALL      ? LEVELS * REACHED * ZONES
	                 : kind == PLANTED_LEVELS ? LEVELS
	                                          : 0;

	for (uint32_t c = 0; c < kinds; c++) {
		uint32_t id = instance_add_class(in), level = c % LEVELS;
		uint32_t reached = c / LEVELS % REACHED, zone = c / LEVELS / REACHED;

		for (uint32_t h = 0; h < in->n_hosts; h++) {
			bool fits = h % LEVELS >= level;

			if (kind == PLANTED_ALL)
				fits = fits && (h + REACHED - reached) % REACHED < 2 &&
				       (!zone || h % 2 == zone - 1);
			if (!fits)
				instance_forbid(in, id, h);
		}
	}
}

/* One that the host which it is planted on is in. */
static uint32_t choose_class(enum planted_kind kind, uint32_t host, uint64_t noise)
{
	uint32_t level = host % LEVELS, reached, zone;

	if (kind == PLANTED_PLAIN)
		return 0;
	if (kind == PLANTED_LEVELS)
		return 1 + level;
	reached = (host + (noise % 2 ? 0 : REACHED - 1)) % REACHED;
	zone = noise / 2 % 3 ? 0 : 1 + host % 2;
	return 1 + level + LEVELS * (reached + REACHED * zone);
}

/* A third of the guests are in threes that must be apart, as they are planted. */
static void add_groups(struct instance *in, const struct planted *guests, uint32_t n, uint64_t seed)
{
	uint32_t three[3], have = 0;

	for (uint32_t v = 0; v < n; v++) {
		bool apart = instance_mix(seed + 3, v) % 3 == 0;

		for (uint32_t i = 0; i < have; i++)
			apart = apart && guests[three[i]].host != guests[v].host;
		if (!apart)
			continue;
		three[have++] = v;
		if (have == 3) {
			instance_add_group(in, INSTANCE_APART, true, three, 3);
			have = 0;
		}
	}
}

/* What is left of each survivor is cut into guests: those are what the drained hosts run. */
static void make_tight(struct instance *in, uint32_t hosts, uint32_t drained, uint32_t cpus,
                       double slack, enum planted_kind kind, uint64_t seed)
{
	const uint64_t ram = (uint64_t)262144 << 20;
	struct planted *guests = xcalloc((size_t)hosts * 200, sizeof(*guests));
	uint64_t *room = xcalloc(hosts, sizeof(*room));
	uint64_t *cpu = xcalloc(hosts, sizeof(*cpu));
	uint32_t n = 0;

	bench_seed(seed * 7919 + cpus);
	for (uint32_t h = drained; h < hosts; h++) {
		uint64_t left, left_cpu,
			used = (uint64_t)((double)ram * (.72 + .16 * bench_draw()));

		room[h] = left = (ram - used) & ~((uint64_t)(1 << 20) - 1);
		cpu[h] = left_cpu = (uint64_t)(cpus * (.2 + .1 * bench_draw()));
		while ((double)left > (double)ram * slack && left_cpu) {
			size_t kinds = ARRAY_SIZE(odd), tries = 0;
			size_t k = (size_t)(bench_draw() * (double)kinds);

			while (((odd[k].mib << 20) > left || odd[k].vcpus > left_cpu) &&
			       tries++ < ARRAY_SIZE(odd))
				k = (k + 1) % ARRAY_SIZE(odd);
			if ((odd[k].mib << 20) > left || odd[k].vcpus > left_cpu)
				break;
			left -= odd[k].mib << 20;
			left_cpu -= odd[k].vcpus;
			guests[n++] = (struct planted){ odd[k].mib << 20, odd[k].vcpus, h };
		}
	}
	instance_init(in, hosts, n);
	add_classes(in, kind);
	for (uint32_t h = 0; h < hosts; h++) {
		struct instance_host *host = &in->hosts[h];

		host->key = instance_mix(seed, h);
		host->open = h >= drained;
		host->free_bytes[0] = room[h];
		host->capacity_bytes = ram;
		host->vcpu_room = host->open ? cpu[h] : UINT64_MAX;
		host->out_bytes_per_s = host->in_bytes_per_s = 25e9 / 8;
	}
	for (uint32_t v = 0; v < n; v++) {
		struct instance_vm *vm = &in->vms[v];

		vm->key = instance_mix(seed + 1, v);
		vm->role = INSTANCE_LEAVES;
		vm->home = (uint32_t)(instance_mix(seed, v) % drained);
		vm->need_bytes = guests[v].bytes;
		vm->vcpus = guests[v].vcpus;
		vm->work_bytes = (double)vm->need_bytes;
		vm->overhead_s = 2;
		vm->class_id = choose_class(kind, guests[v].host, instance_mix(seed + 2, v));
	}
	if (kind == PLANTED_ALL)
		add_groups(in, guests, n, seed);
	instance_index(in);
	free(guests);
	free(room);
	free(cpu);
}

void bench_run_tight(void)
{
	static const double slacks[] = { .005, .02, .05 };
	static const uint32_t cpus[] = { 128, 104, 96 };
	uint32_t cases = 0, blocked = 0, blocked_peer = 0, guests = 0, with_blocked = 0;
	double cpu_s = 0;

	for (unsigned c = 0; c < PLANTED_KINDS * ARRAY_SIZE(cpus) * ARRAY_SIZE(slacks); c++) {
		for (uint64_t seed = 1; seed <= 5; seed++) {
			unsigned kind = c % (ARRAY_SIZE(cpus) * ARRAY_SIZE(slacks));
			enum planted_kind planted = c / (ARRAY_SIZE(cpus) * ARRAY_SIZE(slacks));
			struct planner_plan plan;
			struct instance in;
			uint32_t *targets;
			uint32_t hosts = seed % 2 ? 40 : 120;

			make_tight(&in, hosts, hosts / 5, cpus[kind / ARRAY_SIZE(slacks)],
			           slacks[kind % ARRAY_SIZE(slacks)], planted, seed);
			cpu_s -= bench_cpu_s();
			planner_make(
				&in,
				&(struct planner_options){ .seed = 1, .effort = PLANNER_EFFORT },
				&plan);
			cpu_s += bench_cpu_s();
			cases++;
			guests += in.n_vms;
			blocked += plan.n_proofs;
			with_blocked += plan.n_proofs > 0;
			targets = xcalloc(in.n_vms, sizeof(*targets));
			blocked_peer += bench_place_least_allocated(&in, targets);
			free(targets);
			planner_plan_deinit(&plan);
			instance_deinit(&in);
		}
	}
	printf("tight cases %u\ntight guests %u\ntight blocked %u\ntight cases_blocked %u\n"
	       "tight blocked_least_allocated %u\ntight cpu_ms %.2f\n",
	       cases, guests, blocked, with_blocked, blocked_peer, cpu_s * 1e3 / cases);
}

/* --- cycles --- */

static void make_cycles(struct instance *in, uint32_t k, uint32_t rings, uint32_t spare)
{
	uint32_t n = k * rings;

	instance_init(in, n + spare, n);
	for (uint32_t h = 0; h < n + spare; h++) {
		in->hosts[h].key = instance_mix(k, h);
		in->hosts[h].free_bytes[0] = h >= n ? 1200 : 0;
		in->hosts[h].in_bytes_per_s = in->hosts[h].out_bytes_per_s = 1000;
	}
	for (uint32_t v = 0; v < n; v++) {
		uint32_t ring = v / k * k;

		in->vms[v].key = instance_mix(rings, v);
		in->vms[v].role = INSTANCE_LEAVES;
		in->vms[v].home = v;
		in->vms[v].target = ring + (v - ring + 1) % k;
		in->vms[v].need_bytes = 1000;
		in->vms[v].work_bytes = 1000.0 + v % 7 * 10;
		in->vms[v].overhead_s = 2;
	}
	instance_index(in);
}

void bench_run_cycles(void)
{
	uint32_t cases = 0, unsolved = 0, unproved = 0, extra = 0;

	for (uint32_t i = 0; i < 3 * 4 * 11; i++) {
		uint32_t spare = i % 3, rings = 1 + i / 3 % 4, k = 2 + i / 12, over;
		struct planner_plan plan;
		struct instance in;

		make_cycles(&in, k, rings, spare);
		planner_make(&in, &(struct planner_options){ .seed = 1, .effort = 1000 }, &plan);
		cases++;
		/* Without a host to spare there is no way, and each guest is told so. */
		unsolved += spare && plan.n_proofs > 0;
		unproved += !spare && plan.n_proofs != k * rings;
		for (uint32_t p = 0; p < plan.n_proofs; p++)
			unproved += plan.proofs[p].kind != PROOF_CYCLE;
		over = plan.schedule.n_detours > rings ? plan.schedule.n_detours - rings : 0;
		extra = over > extra ? over : extra;
		planner_plan_deinit(&plan);
		instance_deinit(&in);
	}
	printf("cycles cases %u\ncycles unsolved %u\ncycles unproved %u\ncycles extra_detours %u\n",
	       cases, unsolved, unproved, extra);
}
