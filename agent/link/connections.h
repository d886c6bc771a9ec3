/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP connections of guests on their way out: found by the ports of their migrations, read once a
 * second, and judged by connection_quality.h; and what is known of the way to each host. Owner thread
 * only: it costs some 4 us for a connection, and a dump of the sockets every few seconds.
 */
#pragma once

#include "agent/link/connection_quality.h"

struct connections;

/* Never NULL. If the kernel cannot be asked the log says so, and nothing is ever known. */
struct connections *connections_new(void);
void connections_free(struct connections *all);

/* Those of one migration. */
struct connections_watch {
	struct tcp_connection items[TCP_DIAG_CONNECTIONS];
	size_t n;
	uint64_t looked_ms;
	struct connection_quality quality;
};

/* Reads what is sent to @endpoints at @peer, an address. @cap_bytes_per_s: 0 = none. */
void connections_read(struct connections *all, struct connections_watch *w,
                      const struct traffic_endpoint *endpoints, size_t n_endpoints,
                      const char *peer, uint64_t cap_bytes_per_s, uint64_t now_ms);
