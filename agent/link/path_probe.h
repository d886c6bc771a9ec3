/* SPDX-License-Identifier: Apache-2.0 */
/* The short transfer between two agents that shows what the migration network carries, as two ends of one
 * TCP connection. Both block, for couriers, and are bounded in time and bytes whatever the other end does.
 *
 *	receiver: path_probe_listen -> (the sender is told port and token) -> path_probe_receive
 *	sender:   path_probe_send: connect from the own migration address, token, zeros
 *
 * A stranger cannot spoil it: the listener stands for two seconds, takes connections from the sender's
 * address alone, and one that does not begin with the token, in half a second, is closed and has changed
 * nothing. What arrives is thrown away in the kernel. The sender ends when the receiver has seen enough,
 * at its own bounds, or when it is told to stop: what it holds then is not sent any more.
 *
 * It gives way: cubic (bbr does not), little in the send buffer, the class that networks treat as scavenger
 * (CS1), and the owner stops it when others' traffic breaks down or a migration begins.
 */
#pragma once

#include "agent/link/path_estimate.h"
#include "common/error.h"

#include <stdatomic.h>
#include <stdint.h>

#define PATH_PROBE_TOKEN_BYTES 32
#define PATH_PROBE_MS          300 /* from the first byte that arrives */
#define PATH_PROBE_ACCEPT_MS   2000
#define PATH_PROBE_TOKEN_MS    500
#define PATH_PROBE_MAX_BYTES   ((uint64_t)256 << 20)
/* Connections that are looked at before the receiver gives up: a port scan is not an answer. */
#define PATH_PROBE_CONNECTIONS 8
/* All that a receiver may take, and a sender. */
#define PATH_PROBE_BOUND_MS (PATH_PROBE_ACCEPT_MS + PATH_PROBE_TOKEN_MS + 2 * PATH_PROBE_MS)

struct path_probe_plan {
	char own_address[64], peer_address[64];
	char interface[32]; /* where to go out; "" = as the kernel routes */
	uint16_t port;
	uint8_t token[PATH_PROBE_TOKEN_BYTES];
	uint64_t max_bytes; /* payload */
	atomic_bool *stop;  /* set by the owner: ends it within 20 ms */
};

/* Listens at @address alone; port 0 takes a free one. Does not block. */
int path_probe_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port,
                      struct error *err);

struct path_probe_arrival {
	struct path_arrivals arrivals;
	uint64_t bytes, took_ms;
	unsigned turned_away; /* connections that were not the sender's */
};

/* Closes @fd. -ERROR_TIMEOUT: nobody came who knew the token. -ERROR_CANCELLED: stopped before enough
 * had come; else whatever came until it ended, which may be nothing. */
int path_probe_receive(int fd, const struct path_probe_plan *plan, struct path_probe_arrival *ret,
                       struct error *err);

/* Whether a peer that names @address and @port may be sent to from @own_address: not to this host itself,
 * nor to a port below 1024, where others' services are. Hosts whose migration network is the loopback
 * may, to any address of it. */
bool path_probe_may_send(const char *own_address, const char *address, uint16_t port);

struct path_probe_departure {
	uint64_t sent_bytes, retransmitted_bytes;
	uint32_t mss, min_rtt_us;
};

int path_probe_send(const struct path_probe_plan *plan, struct path_probe_departure *ret,
                    struct error *err);
