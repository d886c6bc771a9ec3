/* SPDX-License-Identifier: Apache-2.0 */
/* What destinations would refuse, as the planner's instance has it. Private to core/.
 *
 *	class    the hosts that lack nothing the guest needs for good: machine type, CPU, networks, what a
 *	         host has said no to (plan_judge_class). Judged once for all guests alike, not for each
 *	rooms    vCPUs, and up to three sizes of huge pages: the planner counts them
 *	ports    two for a guest whose disks are copied
 *	rates    what is believed of the ways from the hosts that are left, else what the links say; whether
 *	         its agent knows enough to let the shortest go first
 *	writes   how fast the guest makes its copy old
 *
 * The same rules as plan_judge's: what the planner places, plan_judge lets through (tests/unit/
 * test_drain_classes.c draws fleets and compares).
 */
#pragma once

#include "coordinator/core/drain/drain_plan_words.h"

/* After the hosts, before the guests. Ends with drain_classes_deinit. */
void drain_classes_init(struct drain_problem *p);
void drain_classes_deinit(struct drain_problem *p);

/* The size of the huge pages that the instance counts in that pool. */
uint64_t drain_classes_get_page(const struct drain_problem *p, unsigned pool);

/* Host @h of the instance: rooms, ports, and what its links carry. */
void drain_classes_fill_host(const struct drain_problem *p, uint32_t h);
/* @vm leaves for @drain: all of @guest but role, home, target and key. */
void drain_classes_fill_guest(struct drain_problem *p, const struct drain *drain,
                              const struct drain_vm *dv, const struct vm *vm,
                              struct instance_vm *guest);
void drain_classes_fill_running(struct drain_problem *p, const struct migration *m,
                                struct instance_vm *guest);
