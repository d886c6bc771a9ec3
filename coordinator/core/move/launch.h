/* SPDX-License-Identifier: Apache-2.0 */
/* May this guest's migration begin now, and where to? Private to core/.
 *
 * Judged in memory for the sake of the reason; the store judges the caps once more in the
 * transaction that takes the slot, and the destination agent has the last word on room.
 */
#pragma once

#include "coordinator/core/plan/plan.h"

/* A migration that nobody drains for waits so long for room (KubeVirt: unschedulable, 300 s). */
#define LAUNCH_ROOM_MS ((uint64_t)300000)

enum launch {
	LAUNCH_DONE, /* the slot is taken, or it is prepared for one; START follows once that is stored */
	LAUNCH_WAITS,   /* for a slot or for time: `reason` */
	LAUNCH_SETTLES, /* it has moved, and the list of its old host is not yet the newest */
	LAUNCH_BLOCKED, /* no destination as things are: `reason` */
};

/* The migration of @vm: vm->migration if it has one that is PLANNED, else a new one for @drain.
 * @plan is kept up to date. @wish: a destination that is taken if it can be, and
 * waited for while it lacks but slots; "" or NULL: none. */
enum launch launch_try(struct fleet *fleet, struct vm *vm, struct drain *drain, struct plan *plan,
                       const char *wish, char *ret_reason);

/* A new PLANNED migration of @vm; saved. */
struct migration *launch_plan_migration(struct fleet *fleet, struct vm *vm, struct drain *drain);

/* Why nothing can leave @source now for want of slots; false when something can. */
bool launch_lacks_slot(const struct fleet *fleet, const struct node *source,
                       const struct drain *drain, char *ret_reason);

bool launch_lacks_outbound(const struct fleet *fleet, const struct node *source,
                           const struct drain *drain);
bool launch_lacks_cluster(const struct fleet *fleet);

/* @target said no: remembered, so that it is not asked in vain. True: it is news, no such check of it
 * has said so before. */
bool launch_remember_refusal(struct fleet *fleet, struct vm *vm, const char *target,
                             const struct checks *checks, const char *why);
void launch_forget_refusals(struct vm *vm);
/* It took the guest and failed: avoided for as long, whatever room it has. */
void launch_avoid(struct fleet *fleet, struct vm *vm, const char *target, const char *why);
/* It failed: the next try is later each time (KubeVirt: 20 s, doubling). */
void launch_remember_failure(struct fleet *fleet, struct vm *vm);

/* Slots at a time from the source of @drain. */
uint32_t launch_get_parallel(const struct fleet *fleet, const struct drain *drain);

/* What a drain asks for of its migrations. */
void launch_take_drain(struct migration_settings *s, const struct drain_record *drain);
