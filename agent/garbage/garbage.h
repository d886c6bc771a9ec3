/* SPDX-License-Identifier: Apache-2.0 */
/* `drover gc` on this host: see garbage.c. Owner thread only. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

/* Answers @in by itself, when all was tried. One at a time; another is told to come again. */
void garbage_collect(struct agent *agent, struct mesh_incoming *in,
                     const Drover__V1__CollectRequest *request);

/* Before a stop: it goes no further. */
void garbage_freeze(struct agent *agent);
void garbage_stop(struct agent *agent);
