/* SPDX-License-Identifier: Apache-2.0 */
/* See mip.h. */
#include "tests/unit/mip.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>

void mip_init(struct mip *mip)
{
	*mip = (struct mip){ .problem = glp_create_prob() };
	glp_term_out(GLP_OFF);
	glp_set_obj_dir(mip->problem, GLP_MIN);
}

void mip_deinit(struct mip *mip)
{
	glp_delete_prob(mip->problem);
	glp_free_env();
	free(mip->rows);
	free(mip->columns);
	free(mip->values);
}

int mip_add_binary(struct mip *mip, double cost)
{
	int column = glp_add_cols(mip->problem, 1);

	glp_set_col_kind(mip->problem, column, GLP_BV);
	glp_set_obj_coef(mip->problem, column, cost);
	return column;
}

int mip_add_free(struct mip *mip, double cost)
{
	int column = glp_add_cols(mip->problem, 1);

	glp_set_col_bnds(mip->problem, column, GLP_LO, 0, 0);
	glp_set_obj_coef(mip->problem, column, cost);
	return column;
}

int mip_add_most(struct mip *mip, double bound)
{
	int row = glp_add_rows(mip->problem, 1);

	glp_set_row_bnds(mip->problem, row, GLP_UP, 0, bound);
	return row;
}

int mip_add_exactly(struct mip *mip, double bound)
{
	int row = glp_add_rows(mip->problem, 1);

	glp_set_row_bnds(mip->problem, row, GLP_FX, bound, bound);
	return row;
}

void mip_put(struct mip *mip, int row, int column, double value)
{
	if (mip->n + 1 >= mip->room) {
		mip->room = mip->room ? 2 * mip->room : 256;
		mip->rows = xreallocarray(mip->rows, mip->room, sizeof(*mip->rows));
		mip->columns = xreallocarray(mip->columns, mip->room, sizeof(*mip->columns));
		mip->values = xreallocarray(mip->values, mip->room, sizeof(*mip->values));
	}
	mip->n++;
	mip->rows[mip->n] = row;
	mip->columns[mip->n] = column;
	mip->values[mip->n] = value;
}

static void count_step(glp_tree *tree, void *info)
{
	unsigned *left = info;

	if (!*left)
		glp_ios_terminate(tree);
	else
		--*left;
}

enum mip_answer mip_solve(struct mip *mip, unsigned steps, double *ret_cost)
{
	glp_iocp how;
	int rc;

	glp_load_matrix(mip->problem, (int)mip->n, mip->rows, mip->columns, mip->values);
	glp_init_iocp(&how);
	how.presolve = GLP_ON;
	how.msg_lev = GLP_MSG_OFF;
	how.cb_func = count_step;
	how.cb_info = &steps;
	rc = glp_intopt(mip->problem, &how);
	if (rc == GLP_ENOPFS || rc == GLP_ENODFS ||
	    (rc == 0 && glp_mip_status(mip->problem) == GLP_NOFEAS))
		return MIP_INFEASIBLE;
	if (rc != 0 || glp_mip_status(mip->problem) != GLP_OPT)
		return MIP_GAVE_UP;
	*ret_cost = glp_mip_obj_val(mip->problem);
	return MIP_OPTIMAL;
}
