/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations that are prepared ahead of their slot. Private to core/.
 *
 *	slot 1   |= transfer ===============|--- the next one's order, its room there, its tunnel ---|= ...
 *	ahead                     |- prepares -| waits |= the slot is its own: let go =========== ...
 *
 * What comes before libvirt is asked takes no slot that carries bytes: it is done by one more (of each source,
 * limits/preparingMigrationsPerNode) while the last ones still send, and it waits, with its memory and its port
 * reserved, for the coordinator's word. That a slot is free is judged as for any other move, and once more by
 * the store in the transaction that takes it (I3): a prepared one is not counted by the caps of what moves, but
 * it is by the destination's, whose port it has.
 *
 *	who waits for whom   prepared -> moving -> time. A moving one needs nothing that a prepared one has, so
 *	                     they cannot wait for each other in a circle
 *	how long             nothing is prepared unless a slot is expected to be free in AHEAD_MS; its agent gives
 *	                     back by itself what waits too long (agent/source/source_hold.c)
 *	who goes first       what a person has asked for, then guests of drains, then those on their way back, each
 *	                     kind's prepared ones before its others: one that a person asks for overtakes a
 *	                     prepared one of a drain. Who has a slot and lacks but the place that a prepared one has
 *	                     at a destination gets that place: ahead_yield
 */
#pragma once

#include "coordinator/core/fleet.h"

/* Whose slots are expected to be free soon: counted once for all that wait, of whom there may be thousands. What
 * begins meanwhile is not near its end. */
void ahead_look(struct fleet *fleet);

/* A slot that @vm lacks is expected to be free soon, and may be prepared for now. */
bool ahead_may_prepare(const struct fleet *fleet, const struct vm *vm, const struct drain *drain);

/* Whose turn it is, as attempts.h has it. */
enum ahead_kind { AHEAD_ASKED, AHEAD_DRAINED, AHEAD_BACK };

/* Those of that kind that have a slot now move on; those that are not wanted any more are given back. */
void ahead_let_go(struct fleet *fleet, enum ahead_kind kind);

/* It never began to move: not prepared again at once. */
void ahead_end(struct fleet *fleet, const struct migration *m);

/* Somebody could begin to move now but for an inbound slot or a port of @target: what is prepared there gives
 * way. */
void ahead_yield(struct fleet *fleet, const struct node *target);

/* Until it has ended, about; UINT64_MAX = nobody knows. */
uint64_t ahead_left_ms(const struct migration *m, uint64_t now_ms);
