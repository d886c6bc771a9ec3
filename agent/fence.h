/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that an operator has declared dead, as this agent obeys it: see fence.c. Owner thread only. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

/* Answers @in by itself, once the fence is durable: what of that host's guests is settled here. */
void fence_set(struct agent *agent, struct mesh_incoming *in,
               const Drover__V1__SetFenceRequest *request);
void fence_stop(struct agent *agent);

/* --- target_fence.c: guests on their way here from such a host --- */

/* Looks at each and does what the evidence here allows; at once, and each second. */
void target_settle_fenced(struct agent *agent);
/* Of that host, for the reply; wire_free each, free the array. */
Drover__V1__FencedGuest **target_list_fenced(const struct agent *agent, const char *node,
                                             size_t *ret_count);
/* Something is on its way to libvirt about that guest. */
bool target_is_settling(const struct agent *agent, const char *vm_uuid);
void target_settlements_free(struct agent *agent);

/* --- source_fence.c: own attempts to such a host; all own old ones, if it is this host --- */

void source_take_fences(struct agent *agent);
