/* SPDX-License-Identifier: Apache-2.0 */
/* No guest starts by hand on a host that is being emptied: see start_block.c. Owner thread only. */
#pragma once

#include "agent/agent.h"

/* Makes the file agree with the drain mark and the reservations; nothing if it does. */
void start_block_update(struct agent *agent);

/* The agent ends in order: nobody would keep the file right any more, so it goes. */
void start_block_stop(struct agent *agent);
