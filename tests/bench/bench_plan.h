/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of bench_plan. */
#pragma once

#include "coordinator/planner/planner.h"

double bench_cpu_s(void);

/* Numbers from 0 to 1, always the same after the same seed. */
void bench_seed(uint64_t seed);
double bench_draw(void);

struct bench_shape {
	uint32_t hosts, vms_per_host, drained;
	double gbit, stream_gbit, dirty;
};

/* The drains that suites mix and ends run. */
#define BENCH_MIX 6
extern const struct bench_shape bench_mix[BENCH_MIX];

void bench_make_drain(struct instance *in, const struct bench_shape *s, uint64_t seed);
void bench_set_caps(struct instance *in, uint32_t cluster, uint32_t out, uint32_t inbound);
/* Each guest to the emptiest host, one after the other, as peers do; returns how many have no place. */
uint32_t bench_place_least_allocated(const struct instance *in, uint32_t *targets);

/* Suites. The published plans are in @directory (random.N.json): 0, or 1 with a message on stderr. */
int bench_ucc15(const char *directory);
void bench_run_mix(void);
void bench_run_ends(void);
void bench_run_tight(void);
void bench_run_cycles(void);
