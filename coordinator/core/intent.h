/* SPDX-License-Identifier: Apache-2.0 */
/* What is wanted of each node, and its copy on the node itself. Private to core/.
 *
 * The store holds the intent; the node's agent holds a durable copy (the drain mark), so that a
 * lost store loses no drain. Where they differ the store wins, unless it has never heard of that
 * drain or that node.
 */
#pragma once

#include "coordinator/core/change.h"

/* The agent's own copy, from a snapshot; NULL: it has none. */
void intent_take_mark(struct fleet *fleet, struct node *node, const struct drain_mark *mark);
void intent_take_mark_outcome(struct fleet *fleet, const struct event *event);

/* The copy as its agent tells it each second: one that was lost or changed is put right. */
void intent_see_mark(struct fleet *fleet, struct node *node, const struct host_state *host);

/* Sends marks that differ from what is wanted and is stored. */
void intent_reconcile(struct fleet *fleet);
/* Asks @node again, now, how many active guests it sees after the mark. */
void intent_ask_count(struct fleet *fleet, struct node *node);

/* Begins and ends drains in the node's record. */
void intent_start_drain(struct fleet *fleet, struct node *node, struct drain *drain);
void intent_end_drain(struct fleet *fleet, struct node *node, struct drain *drain,
                      enum drain_state state);
