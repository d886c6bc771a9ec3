/* SPDX-License-Identifier: Apache-2.0 */
/* A mixed integer program for GLPK, written row by row. Columns are 0 or 1, but for those of mip_add_free. */
#pragma once

#include <glpk.h>
#include <stdbool.h>
#include <stddef.h>

struct mip {
	glp_prob *problem;
	int *rows, *columns; /* from 1, as GLPK counts */
	double *values;
	size_t n, room;
};

enum mip_answer {
	MIP_OPTIMAL,
	MIP_INFEASIBLE,
	MIP_GAVE_UP, /* out of steps */
};

void mip_init(struct mip *mip);
void mip_deinit(struct mip *mip);
int mip_add_binary(struct mip *mip, double cost);
int mip_add_free(struct mip *mip, double cost); /* 0 or more */
/* A row: what is added to it by mip_put is at most (exactly) @bound. */
int mip_add_most(struct mip *mip, double bound);
int mip_add_exactly(struct mip *mip, double bound);
void mip_put(struct mip *mip, int row, int column, double value);
/* The least cost. @steps: of branch and bound, not of time: the answer is the same on any machine. */
enum mip_answer mip_solve(struct mip *mip, unsigned steps, double *ret_cost);
