/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's pure core: one event in, a list of things to do out.
 *
 *	mesh, store, timer --> struct event --> core_step(fleet, event, now) --> actions --> edges
 *	                                             |
 *	                     fleet / migration / drain / plan: no I/O, no clock, no randomness
 *
 * Rules that hold after every step (the simulation checks them):
 *   - a START rests on a transaction that took its slot, and that transaction is durable;
 *   - an attempt is started at most once; what became of it is learnt from its source agent;
 *   - a slot is freed only on the source agent's word, or when surely nothing was ever sent;
 *   - nothing acts before our epoch is durable and higher than any an agent has seen;
 *   - whatever waits has a reason, and is looked at again at least every RECONCILE_EVERY_MS.
 *
 * How the edge runs it:
 *	fleet = fleet_new(&options);
 *	step(EVENT_LOADED) -> STORE(new epoch); from EVENT_STORED on attaches are answered;
 *	EVENT_TICK every second; every message and answer as it comes.
 */
#pragma once

#include "coordinator/core/action.h"
#include "coordinator/core/event.h"
#include "coordinator/core/fleet.h"

/* @now_ms: a clock that only goes on (CLOCK_BOOTTIME), never 0. Appends to @ret, which the caller
 * empties with action_list_deinit. */
void core_step(struct fleet *fleet, const struct event *event, uint64_t now_ms,
               struct action_list *ret);
