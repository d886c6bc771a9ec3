/* SPDX-License-Identifier: Apache-2.0 */
/* What a node may say: private to core/. An agent's certificate proves which host it is, not that what
 * it says is true; so it is believed about that host only (I12). A guest that is at home on another one
 * keeps its home and its name whatever it says, and so does a move that others make. What it says beyond
 * that is not used, and becomes a refusal that the audit log has.
 *
 * Two hosts that list one guest as running cannot be told apart from here: that is an alarm, not a
 * judgement, and nothing is done to the guest until one of them is right (inventory.c). */
#pragma once

#include "coordinator/core/change.h"

/* Whether @node may report this; @m is the move that it names, or NULL if there is none yet. If not, it
 * was refused. */
bool claims_may_report(struct fleet *fleet, const struct node *node, const struct migration *m,
                       const struct attempt_report *report);

/* @node lists a guest as running that is at home elsewhere, and has done so for too long. */
void claims_refuse_guest(struct fleet *fleet, const struct node *node, const struct vm *vm);
