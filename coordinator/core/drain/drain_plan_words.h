/* SPDX-License-Identifier: Apache-2.0 */
/* A planner's answer in words. Private to core/. */
#pragma once

#include "coordinator/core/drain/drain_plan.h"
#include "coordinator/planner/planner.h"

struct drain_problem {
	struct fleet *fleet;
	const struct plan *plan; /* nodes: host h of the instance is plan->nodes[h] */
	struct instance in;
	struct drain_vm **guests;       /* owned; of each guest of the instance, NULL: it runs */
	struct drain_classes *classes;  /* owned; private to drain_classes.c */
	const struct vm **who;          /* owned; of each guest, NULL: not known any more */
	const struct policy **policies; /* owned; drain_policies.c: of each group of the instance */
};

/* Why each goes where it goes; of those that have no place, what proves it and what would help. */
void drain_plan_explain(const struct drain_problem *problem, const struct planner_plan *plan);
