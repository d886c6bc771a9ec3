/* SPDX-License-Identifier: Apache-2.0 */
/* See failpoints.h. */
#include "agent/tunnel/failpoints.h"

#ifdef DROVER_FAILPOINTS
FAILPOINTS_DEFINE(TUNNEL_FAILPOINTS, tunnel_failpoints);
#endif
