/* SPDX-License-Identifier: Apache-2.0 */
/* Six drains, several seeds, beside simulated peers. They have their own destinations (the emptiest host at
 * that time, as Kubernetes and Nova choose), their own caps and equal shares of links, and are run through
 * the same schedule. */
#include "tests/bench/bench_plan.h"

#include "common/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

uint32_t bench_place_least_allocated(const struct instance *in, uint32_t *targets)
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
	bench_set_caps(in, peers[peer].cluster, peers[peer].out, peers[peer].in);
	schedule_make(in, targets, &options, ret_schedule);
	free(rank);
}

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

void bench_run_mix(void)
{
	enum { SEEDS = 6 };
	struct total capped = { 0 }, lanes = { 0 }, of_peer[ARRAY_SIZE(peers)] = { { 0 } };
	double end_to_peer[ARRAY_SIZE(peers)] = { 0 };
	struct planner_options options = { .seed = 1, .effort = PLANNER_EFFORT };
	double cpu_s = 0;

	for (size_t m = 0; m < BENCH_MIX; m++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			double end5_s, end4_s;
			struct instance in;
			struct planner_plan plan;
			uint32_t *targets, blocked;

			bench_make_drain(&in, &bench_mix[m], seed);
			targets = xcalloc(in.n_vms, sizeof(*targets));
			cpu_s -= bench_cpu_s();
			bench_set_caps(&in, 5, 2, INSTANCE_NO_LIMIT);
			planner_make(&in, &options, &plan);
			add_total(&capped, &plan.schedule, &plan.bounds, plan.n_proofs);
			end5_s = plan.schedule.mean_end_s;
			planner_plan_deinit(&plan);
			bench_set_caps(&in, INSTANCE_NO_LIMIT, 4, INSTANCE_NO_LIMIT);
			planner_make(&in, &options, &plan);
			cpu_s += bench_cpu_s();
			add_total(&lanes, &plan.schedule, &plan.bounds, plan.n_proofs);
			end4_s = plan.schedule.mean_end_s;
			planner_plan_deinit(&plan);
			blocked = bench_place_least_allocated(&in, targets);
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
