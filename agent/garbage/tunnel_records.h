/* SPDX-License-Identifier: Apache-2.0 */
/* Records of tunnels that are gone, and of which nobody could say so. */
#pragma once

#include "agent/agent.h"

/* After a start, once what is under way was taken up: forgets each tunnel of an attempt that is over here and
 * of which no file is left. */
void tunnel_records_forget(struct agent *agent, const struct journal_state *past);
