/* SPDX-License-Identifier: Apache-2.0 */
/* The room on the migration network between two nodes, put together from what both agents say.
 *
 *	source	what the way to @target carries (it has probed, or migrated), what else it sends
 *	target	its link's speed, what else it receives
 *
 * Pure. Owner thread only. */
#pragma once

#include "coordinator/core/fleet.h"

/* The room from @source to @target, with its age and how far it may be believed; see common/path.h for
 * what is in it. False, and all zero: nothing is known. */
bool fleet_get_path(const struct node *source, const struct node *target, uint64_t now_ms,
                    struct path_estimate *ret);

/* @e is what the agent of @source says of the way to @target: with what the other end says, too. */
void fleet_complete_path(const struct node *source, const struct node *target,
                         struct path_estimate *e);

/* Of what one move can use at once as QEMU counts it (payload): available there now, when that is
 * believed; else 0. */
uint64_t fleet_get_path_payload(const struct node *source, const struct node *target,
                                uint64_t now_ms);
