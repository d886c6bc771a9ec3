/* SPDX-License-Identifier: Apache-2.0 */
/* The command line that asks for a drain again, with all that was asked for the first time. Private to
 * core/. */
#pragma once

#include "coordinator/core/fleet.h"

/* "drover drain host1 host2 --leave db1 --parallel 2": of nodes that are drained together, which have the same
 * wishes but for the guests that they name (@records, at least one). Owned. */
char *drain_command(const struct fleet *fleet, const char *nodes,
                    const struct drain_record *records, size_t count, uint64_t now_wall_ms);
