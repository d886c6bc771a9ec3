/* SPDX-License-Identifier: Apache-2.0 */
/* See failpoints.h. */
#include "agent/failpoints.h"

#ifdef DROVER_FAILPOINTS
FAILPOINTS_DEFINE(AGENT_FAILPOINTS, agent_failpoints);
#endif
