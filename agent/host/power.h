/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that are asked to shut down for a drain, and started again after it: see power.c. Owner thread
 * only. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

/* Each answers @in by itself. */
void power_shut_down(struct agent *agent, struct mesh_incoming *in,
                     const Drover__V1__GuestPowerRequest *request);
void power_start(struct agent *agent, struct mesh_incoming *in,
                 const Drover__V1__GuestPowerRequest *request);

/* Whoever waits for the list after a start gets its answer. */
void power_guests_listed(struct agent *agent);

/* A mark has changed: whom it names no more is not asked, unless it is done already. */
void power_marked(struct agent *agent);

/* One is about to run here, and no list may show it yet. */
bool power_is_starting(const struct agent *agent);

/* Waits for calls that are under way: a guest's agent that hangs holds one for a minute. */
void power_stop(struct agent *agent);
void power_free(struct agent *agent);
