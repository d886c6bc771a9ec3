/* SPDX-License-Identifier: Apache-2.0 */
/* The guests of a drain: private to core/. */
#pragma once

#include "coordinator/core/drain/drain.h"

struct vm;

struct drain_counts {
	size_t by_state[DRAIN_VM_STATES];
};

/* Keeps the order: hardest first. */
struct drain_vm *drain_add_vm(struct drain *drain, const char *node, const struct vm *vm,
                              uint64_t memory_bytes);
/* After drain->vms has got another order. */
void drain_index_vms(struct drain *drain);
/* Watchers are told if that is new. */
void drain_set_vm(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                  enum drain_vm_state state, const char *target, const char *reason);
void drain_set_checks(struct drain_vm *dv, const struct checks *checks);

/* Cannot leave at all, wherever to: a BLOCK in the guest itself, or larger than any host. */
bool drain_is_hopeless(const struct fleet *fleet, const struct vm *vm, char *ret_reason);
/* May it stay on the node? */
bool drain_allows(const struct fleet *fleet, const struct drain *drain, const struct vm *vm,
                  char *ret_reason);

/* At a time, as the caps allow it. */
uint32_t drain_get_slots(const struct fleet *fleet, const struct drain *drain);

struct drain_counts drain_count(const struct drain *drain);
/* Bytes and times, from the guests' states; the estimates are estimates. */
void drain_judge_amounts(struct fleet *fleet, struct drain *drain,
                         const struct drain_counts *counts);
