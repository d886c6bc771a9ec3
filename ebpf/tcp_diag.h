/* SPDX-License-Identifier: Apache-2.0 */
/* How the TCP connections of a migration are doing, as the kernel that sends them knows it: sock_diag,
 * which needs no privilege and costs nothing in the data path.
 *
 * A connection is found once by a dump of this network namespace (a millisecond with thousands of
 * sockets) and then read by its own number (some 4 us). The receiving side knows little: only the
 * sender's figures are worth reading.
 *
 * Kernels append fields to what they tell; what one does not know is left at 0, and `known_bytes`
 * says up to where its answer went.
 */
#pragma once

#include "common/error.h"
#include "ebpf/traffic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/inet_diag.h>

/* Parallel connections of one migration (multifd: 255 at most; more than these are not looked at). */
#define TCP_DIAG_CONNECTIONS 64

struct tcp_connection {
	uint8_t family;
	struct inet_diag_sockid id;
};

struct tcp_figures {
	uint64_t acked_bytes, sent_bytes, retransmitted_bytes; /* sent: with what was sent again */
	uint32_t rtt_us, min_rtt_us;                           /* smoothed; the least ever */
	uint64_t busy_us;             /* time in which there was something to send */
	uint64_t receiver_limited_us; /* of it: waiting for the receiver's window */
	uint64_t buffer_limited_us;   /* of it: waiting for room in the own send buffer */
	size_t known_bytes;           /* of the kernel's struct tcp_info */
};

/* The established connections to or from @endpoint, at most @room of them. @fd: from
 * netlink_open(NETLINK_SOCK_DIAG). */
int tcp_diag_find(int fd, const struct traffic_endpoint *endpoint, struct tcp_connection *ret,
                  size_t room, size_t *ret_count, struct error *err);

/* -ERROR_NOT_FOUND if it has ended. */
int tcp_diag_read(int fd, const struct tcp_connection *connection, struct tcp_figures *ret_figures,
                  struct error *err);
