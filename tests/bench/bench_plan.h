/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of bench_plan. */
#pragma once

#include "coordinator/planner/planner.h"

double bench_cpu_s(void);
/* The published plans in @directory (random.N.json). 0, or 1 with a message on stderr. */
int bench_ucc15(const char *directory);

/* When each move of @schedule ends if agents carry it out; from now. */
void bench_replay(const struct instance *in, const struct schedule *schedule, double *ret_ends_s);
