/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own durable copy of what is wanted of it: see mark.c. Owner thread only. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

/* Answers @in by itself, with the active guests of a list newer than the mark. */
void mark_set(struct agent *agent, struct mesh_incoming *in,
              const Drover__V1__SetDrainMarkRequest *request);

/* Who asked for a count of active guests gets it, if the list is new enough. */
void mark_guests_listed(struct agent *agent);

/* For the wire; wire_free. */
Drover__V1__DrainMark *mark_new(const struct journal_drain_mark *from);
