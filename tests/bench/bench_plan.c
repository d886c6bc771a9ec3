/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of the planner, a suite per call: lines "SUITE KEY VALUE" for tests/bench/plan to judge.
 *
 *	ucc15 DIR   published plans: same moves, durations and rates; our order
 *	large       10,000 hosts, 200,000 guests, 500 hosts drained: CPU and memory
 *	replan      1,000 hosts, 100 drained: a plan anew after each of many events
 *	mix         six drains, several seeds, beside simulated peers
 *	ends        when moves end as planned, beside agents' rules and TCP's shares
 *	tight       planted drains: a place for everybody exists by construction
 *	cycles      full hosts that change guests around, two, one or no host to spare
 *
 * All is generated from seeds. Peers have their own destinations (the emptiest host at that time, as
 * Kubernetes and Nova choose) and equal shares of links, and are run through the same schedule.
 */
#include "tests/bench/bench_plan.h"

#include "common/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define GIB_BYTES 1073741824.0

static uint64_t state;

static double draw(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(instance_mix(7, state) >> 11) / (double)((uint64_t)1 << 53);
}

double bench_cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double draw_normal(void)
{
	return sqrt(-2 * log(draw() + 1e-12)) * cos(2 * M_PI * draw());
}

/* --- drains as they are: flavours, touched memory, a long tail of dirty rates --- */

struct drain_shape {
	uint32_t hosts, vms_per_host, drained;
	double gbit, stream_gbit, dirty;
};

static const struct {
	double gib, share;
} flavours[] = { { 2, .18 },  { 4, .26 },  { 8, .28 },  { 16, .18 },
	         { 32, .06 }, { 64, .03 }, { 128, .01 } };

static double draw_flavour(void)
{
	double x = draw();

	for (size_t i = 0; i + 1 < ARRAY_SIZE(flavours); i++) {
		if (x < flavours[i].share)
			return flavours[i].gib;
		x -= flavours[i].share;
	}
	return flavours[ARRAY_SIZE(flavours) - 1].gib;
}

static void make_drain(struct instance *in, const struct drain_shape *s, uint64_t seed)
{
	double rate = s->gbit * 1e9 / 8, mean = 0, capacity;

	state = seed * 977 + s->hosts;
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
			uint32_t h = (uint32_t)(draw() * s->hosts);

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
		vm->work_bytes = (double)bytes * (.3 + .7 * draw());
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

/* --- large, replan --- */

static void run_large(void)
{
	const struct drain_shape shape = { 10000, 20, 500, 25, 0, 1 };
	double best = INFINITY;
	struct planner_plan plan;
	struct instance in;
	struct rusage usage;

	make_drain(&in, &shape, 1);
	for (unsigned i = 0; i < 5; i++) {
		double before = bench_cpu_s();

		planner_make(&in, &(struct planner_options){ .seed = 1 }, &plan);
		best = fmin(best, bench_cpu_s() - before);
		if (i < 4)
			planner_plan_deinit(&plan);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("large moves %u\nlarge blocked %u\nlarge cpu_ms %.2f\nlarge rss_mib %.1f\n"
	       "large ratio %.4f\n",
	       plan.schedule.n_moves, plan.n_proofs, best * 1e3, (double)usage.ru_maxrss / 1024,
	       plan.schedule.makespan_s / plan.bounds.all_s);
	planner_plan_deinit(&plan);
	instance_deinit(&in);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* A quarter of what leaves runs already, another one each time, at another rate. */
static void disturb(struct instance *in, const uint32_t *targets, unsigned turn)
{
	for (uint32_t v = 0; v < in->n_vms; v++) {
		struct instance_vm *vm = &in->vms[v];

		if (vm->role == INSTANCE_STAYS || targets[v] == INSTANCE_NONE)
			continue;
		if (vm->role == INSTANCE_RUNNING) {
			in->hosts[vm->target].free_bytes[0] += vm->need_bytes;
			vm->role = INSTANCE_LEAVES;
			vm->target = INSTANCE_NONE;
		} else if (instance_mix(turn, v) % 4 == 0 &&
		           in->hosts[targets[v]].free_bytes[0] >= vm->need_bytes) {
			vm->role = INSTANCE_RUNNING;
			vm->target = targets[v];
			in->hosts[vm->target].free_bytes[0] -= vm->need_bytes;
		}
	}
	for (uint32_t h = turn % 7; h < in->n_hosts; h += 7) {
		in->hosts[h].in_bytes_per_s = 25e9 / 8 * (turn % 2 ? .85 : 1);
		in->hosts[h].out_bytes_per_s = in->hosts[h].in_bytes_per_s;
	}
}

static void time_replans(struct instance *in, const uint32_t *targets, enum schedule_rates rates,
                         const char *name)
{
	enum { TURNS = 300 };
	static double ms[TURNS];
	struct planner_plan plan;

	for (unsigned i = 0; i < TURNS; i++) {
		double before;

		disturb(in, targets, i);
		before = bench_cpu_s();
		planner_make(in, &(struct planner_options){ .seed = 1, .rates = rates }, &plan);
		ms[i] = (bench_cpu_s() - before) * 1e3;
		planner_plan_deinit(&plan);
	}
	qsort(ms, TURNS, sizeof(*ms), compare_doubles);
	printf("replan %sp50_ms %.3f\nreplan %sp99_ms %.3f\n", name, ms[TURNS / 2], name,
	       ms[TURNS * 99 / 100]);
}

static void run_replan(void)
{
	const struct drain_shape shape = { 1000, 20, 100, 25, 0, 1 };
	struct planner_plan plan;
	struct instance in;
	uint32_t *targets;

	make_drain(&in, &shape, 1);
	planner_make(&in, &(struct planner_options){ .seed = 1 }, &plan);
	printf("replan moves %u\n", plan.schedule.n_moves);
	targets = xmemdup(plan.placement.targets, in.n_vms * sizeof(*targets));
	planner_plan_deinit(&plan);
	time_replans(&in, targets, SCHEDULE_SHORTEST, "");
	time_replans(&in, targets, SCHEDULE_FAIR, "fair_");
	free(targets);
	instance_deinit(&in);
}

/* --- peers --- */

static uint32_t place_least_allocated(const struct instance *in, uint32_t *targets)
{
	uint64_t *free_bytes = xcalloc(in->n_hosts, sizeof(*free_bytes));
	uint64_t *vcpus = xcalloc(in->n_hosts, sizeof(*vcpus));
	uint32_t blocked = 0;

	for (uint32_t h = 0; h < in->n_hosts; h++) {
		free_bytes[h] = in->hosts[h].free_bytes[0];
		vcpus[h] = in->hosts[h].vcpu_room;
	}
	for (uint32_t v = 0; v < in->n_vms; v++) {
		const struct instance_vm *vm = &in->vms[v];
		uint32_t best = INSTANCE_NONE;

		targets[v] = INSTANCE_NONE;
		for (uint32_t h = 0; vm->role == INSTANCE_LEAVES && h < in->n_hosts; h++) {
			if (in->hosts[h].open && free_bytes[h] >= vm->need_bytes &&
			    vcpus[h] >= vm->vcpus && instance_allows(in, vm->class_id, h) &&
			    (best == INSTANCE_NONE || free_bytes[h] > free_bytes[best]))
				best = h;
		}
		blocked += vm->role == INSTANCE_LEAVES && best == INSTANCE_NONE;
		if (best == INSTANCE_NONE)
			continue;
		targets[v] = best;
		free_bytes[best] -= vm->need_bytes;
		if (vcpus[best] != UINT64_MAX)
			vcpus[best] -= vm->vcpus;
	}
	free(free_bytes);
	free(vcpus);
	return blocked;
}

static const struct {
	const char *name;
	uint32_t cluster, out, in;
} peers[] = {
	{ "kubevirt", 5, 2, INSTANCE_NO_LIMIT },
	{ "nova", INSTANCE_NO_LIMIT, 1, INSTANCE_NO_LIMIT },
	{ "proxmox", INSTANCE_NO_LIMIT, 4, INSTANCE_NO_LIMIT },
	{ "vmware", INSTANCE_NO_LIMIT, 8, 8 },
};

static void set_caps(struct instance *in, uint32_t cluster, uint32_t out, uint32_t inbound)
{
	in->slots = cluster;
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		in->hosts[h].slots_out = out;
		in->hosts[h].slots_in = inbound;
	}
}

/* Runs in the order in which they are listed; who waits for its own host does not stop the others. */
static void run_peer(struct instance *in, unsigned peer, const uint32_t *targets,
                     struct schedule *ret_schedule)
{
	uint32_t *rank = xcalloc(in->n_vms, sizeof(*rank));
	struct schedule_options options = { .order = SCHEDULE_GIVEN,
		                            .rates = SCHEDULE_FAIR,
		                            .rank = rank,
		                            .every_slot = true,
		                            .no_detours = true };

	for (uint32_t v = 0; v < in->n_vms; v++)
		rank[v] = v;
	set_caps(in, peers[peer].cluster, peers[peer].out, peers[peer].in);
	schedule_make(in, targets, &options, ret_schedule);
	free(rank);
}

/* --- mix --- */

static const struct drain_shape mix[] = {
	{ 20, 15, 1, 25, 0, 1 },   { 20, 15, 1, 10, 0, 1 },   { 100, 15, 10, 25, 0, 1 },
	{ 100, 15, 10, 10, 0, 3 }, { 200, 15, 50, 10, 0, 1 }, { 100, 15, 10, 25, 8, 1 },
};

struct total {
	double ratio, physical, worst, bytes, mean_end;
	uint32_t n, blocked;
};

static void add_total(struct total *t, const struct schedule *s, const struct bounds *b,
                      uint32_t blocked)
{
	double ratio = s->makespan_s / b->all_s;

	t->ratio += ratio;
	t->physical += s->makespan_s / b->physical_s;
	t->worst = fmax(t->worst, ratio);
	t->bytes += s->bytes / b->bytes;
	t->mean_end += s->mean_end_s;
	t->blocked += blocked;
	t->n++;
}

static void print_total(const char *name, const struct total *t)
{
	printf("mix %s.ratio %.4f\nmix %s.worst %.4f\nmix %s.physical %.4f\nmix %s.bytes %.4f\n"
	       "mix %s.mean_end_s %.1f\nmix %s.blocked %u\n",
	       name, t->ratio / t->n, name, t->worst, name, t->physical / t->n, name,
	       t->bytes / t->n, name, t->mean_end / t->n, name, t->blocked);
}

static void run_mix(void)
{
	enum { SEEDS = 6 };
	struct total capped = { 0 }, lanes = { 0 }, of_peer[ARRAY_SIZE(peers)] = { { 0 } };
	double end_to_peer[ARRAY_SIZE(peers)] = { 0 };
	struct planner_options options = { .seed = 1, .effort = PLANNER_EFFORT };
	double cpu_s = 0;

	for (size_t m = 0; m < ARRAY_SIZE(mix); m++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			double end5_s, end4_s;
			struct instance in;
			struct planner_plan plan;
			uint32_t *targets, blocked;

			make_drain(&in, &mix[m], seed);
			targets = xcalloc(in.n_vms, sizeof(*targets));
			cpu_s -= bench_cpu_s();
			set_caps(&in, 5, 2, INSTANCE_NO_LIMIT);
			planner_make(&in, &options, &plan);
			add_total(&capped, &plan.schedule, &plan.bounds, plan.n_proofs);
			end5_s = plan.schedule.mean_end_s;
			planner_plan_deinit(&plan);
			set_caps(&in, INSTANCE_NO_LIMIT, 4, INSTANCE_NO_LIMIT);
			planner_make(&in, &options, &plan);
			cpu_s += bench_cpu_s();
			add_total(&lanes, &plan.schedule, &plan.bounds, plan.n_proofs);
			end4_s = plan.schedule.mean_end_s;
			planner_plan_deinit(&plan);
			blocked = place_least_allocated(&in, targets);
			for (unsigned p = 0; p < ARRAY_SIZE(peers); p++) {
				struct schedule s;
				struct bounds b;

				run_peer(&in, p, targets, &s);
				/* Their caps are theirs: the bound is the physical one. */
				bounds_find(&in, targets, &b);
				add_total(&of_peer[p], &s, &b, blocked + s.n_stuck);
				/* With its cap of the cluster, or as if it had none. */
				end_to_peer[p] += (peers[p].cluster == INSTANCE_NO_LIMIT ? end4_s
				                                                         : end5_s) /
				                  s.mean_end_s;
				schedule_deinit(&s);
			}
			free(targets);
			instance_deinit(&in);
		}
	}
	print_total("drover5", &capped);
	print_total("drover4", &lanes);
	for (unsigned p = 0; p < ARRAY_SIZE(peers); p++) {
		print_total(peers[p].name, &of_peer[p]);
		printf("mix drover.end_to_%s %.4f\nmix drover.end_to_%s_each %.4f\n", peers[p].name,
		       (peers[p].cluster == INSTANCE_NO_LIMIT ? lanes : capped).mean_end /
		               of_peer[p].mean_end,
		       peers[p].name, end_to_peer[p] / of_peer[p].n);
	}
	printf("mix plans %u\nmix cpu_ms %.2f\n", capped.n + lanes.n,
	       cpu_s * 1e3 / (capped.n + lanes.n));
}

/* --- ends --- */

struct ends {
	double mean, worst, last, worst_last, longer;
	uint32_t n, plans;
};

static void compare_ends(const struct instance *in, const struct planner_plan *plan, struct ends *e)
{
	const struct schedule *s = &plan->schedule;
	double *ends_s = xcalloc((size_t)s->n_moves + 1, sizeof(*ends_s)), last_s = 0, wrong;

	bench_replay(in, s, ends_s);
	for (uint32_t m = 0; m < s->n_moves; m++) {
		wrong = fabs(s->moves[m].end_s - ends_s[m]) / ends_s[m];
		e->mean += wrong;
		e->worst = fmax(e->worst, wrong);
		last_s = fmax(last_s, ends_s[m]);
	}
	e->n += s->n_moves;
	wrong = fabs(s->makespan_s - last_s) / last_s;
	e->last += wrong;
	e->worst_last = fmax(e->worst_last, wrong);
	e->longer += last_s / plan->bounds.all_s;
	e->plans++;
	free(ends_s);
}

/* What is planned beside what agents and TCP make of it. */
static void run_ends(void)
{
	enum { SEEDS = 6 };
	static const char *const names[] = { "drover5", "drover4" };
	struct planner_options options = { .seed = 1, .effort = PLANNER_EFFORT };

	for (unsigned cap = 0; cap < ARRAY_SIZE(names); cap++) {
		struct ends e = { 0 };

		for (size_t m = 0; m < ARRAY_SIZE(mix); m++) {
			for (uint64_t seed = 1; seed <= SEEDS; seed++) {
				struct planner_plan plan;
				struct instance in;

				make_drain(&in, &mix[m], seed);
				set_caps(&in, cap ? INSTANCE_NO_LIMIT : 5, cap ? 4 : 2,
				         INSTANCE_NO_LIMIT);
				planner_make(&in, &options, &plan);
				compare_ends(&in, &plan, &e);
				planner_plan_deinit(&plan);
				instance_deinit(&in);
			}
		}
		printf("ends %s.mean %.4f\nends %s.worst %.4f\nends %s.last %.4f\n"
		       "ends %s.worst_last %.4f\nends %s.ratio %.4f\n",
		       names[cap], e.mean / e.n, names[cap], e.worst, names[cap], e.last / e.plans,
		       names[cap], e.worst_last, names[cap], e.longer / e.plans);
	}
}

/* --- tight --- */

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

	state = seed * 7919 + cpus;
	for (uint32_t h = drained; h < hosts; h++) {
		uint64_t left, left_cpu, used = (uint64_t)((double)ram * (.72 + .16 * draw()));

		room[h] = left = (ram - used) & ~((uint64_t)(1 << 20) - 1);
		cpu[h] = left_cpu = (uint64_t)(cpus * (.2 + .1 * draw()));
		while ((double)left > (double)ram * slack && left_cpu) {
			size_t kinds = ARRAY_SIZE(odd), tries = 0;
			size_t k = (size_t)(draw() * (double)kinds);

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

static void run_tight(void)
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
			blocked_peer += place_least_allocated(&in, targets);
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

static void run_cycles(void)
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

int main(int argc, char **argv)
{
	const char *suite = argc > 1 ? argv[1] : "";

	if (strcmp(suite, "ucc15") == 0 && argc == 3)
		return bench_ucc15(argv[2]);
	if (strcmp(suite, "large") == 0)
		run_large();
	else if (strcmp(suite, "replan") == 0)
		run_replan();
	else if (strcmp(suite, "mix") == 0)
		run_mix();
	else if (strcmp(suite, "ends") == 0)
		run_ends();
	else if (strcmp(suite, "tight") == 0)
		run_tight();
	else if (strcmp(suite, "cycles") == 0)
		run_cycles();
	else
		return fprintf(stderr, "bench_plan ucc15 DIR|large|replan|mix|ends|tight|cycles\n"),
		       2;
	return 0;
}
