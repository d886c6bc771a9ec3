/* SPDX-License-Identifier: Apache-2.0 */
/* The guests that a drain has moved away come back: who, in which order, and who stays and why.
 * Private to core/.
 *
 * What counts are the drains of the node since it was last open to guests (node_record.closed_since),
 * however many; what each has moved is in its migrations, which the store keeps. A guest comes back from
 * where the drain has put it; one that somebody has moved, then or since, is somebody's intention, and
 * stays. Each one that comes is a migration of its own, with the wishes of its drain, which a restart
 * does not lose. One that was shut down for a drain is not moved but started where it is (power.h), before
 * the others come.
 */
#pragma once

#include "coordinator/core/change.h"

/* Who would come back to @node, were it open, as a plan (see drain_draft): "waiting" is to come,
 * "moving" comes already, "left" stays where it is, "blocked" has no room there or cannot move, "starting" is being started. Its
 * number is that of the latest drain; 0 = none is known that has moved a guest away. */
struct drain *bring_back_draft(struct fleet *fleet, const struct node *node);

/* Whether what the way back rests on would be lost with @m, which is over. @all_listed: every node has
 * listed its guests, so a guest that is not known is nowhere. */
bool bring_back_needs(const struct fleet *fleet, const struct migration *m, bool all_listed);

/* Migrations for those of @draft that are to come; their numbers go into it. */
void bring_back_start(struct fleet *fleet, struct node *node, struct drain *draft);
