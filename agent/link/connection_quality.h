/* SPDX-License-Identifier: Apache-2.0 */
/* How the connections of one migration are doing, and what holds them back: plain arithmetic on what
 * ebpf/tcp_diag.h read at the sender, no I/O, no clock.
 *
 *	figures of each connection, once a second --> quality_update() --> q
 *
 * What limits a window, the first that is true:
 *
 *	cap        the rate is at what the migration may take (90 % of it, or more)
 *	sender     in more than a tenth of the time there was nothing to send: the source's QEMU
 *	receiver   half of the busy time it waited for the receiver's window: the destination's QEMU
 *	window     half of the busy time it waited for room in the own send buffer
 *	network    else: as much as the path, and who else uses it, let through
 *
 * Connections that hardly carry anything of a window are left out of that: QEMU's first one of several,
 * and that of the disks, stand idle while others copy.
 *
 * A path collapses when its connections, with something to send, carry less than a quarter of what is
 * usual on it for five seconds; it is over at half of the usual. What is usual is learned from windows
 * that the network limited, and not while it is collapsed.
 */
#pragma once

#include "ebpf/tcp_diag.h"

#define QUALITY_WINDOW_MIN_MS 500 /* less is joined with the next */
/* A connection counts that carries this part of its fair share, or more. */
#define QUALITY_CARRIES_PART      4
#define QUALITY_COLLAPSE_PERCENT  25
#define QUALITY_COLLAPSE_MS       5000
#define QUALITY_RECOVERED_PERCENT 50
#define QUALITY_USUAL_TAU_MS      30000 /* time constant of what is usual */
#define QUALITY_USUAL_LEARNED_MS  10000 /* before that nothing is */

enum quality_limit {
	QUALITY_LIMIT_UNKNOWN,
	QUALITY_LIMIT_CAP,
	QUALITY_LIMIT_SENDER,
	QUALITY_LIMIT_RECEIVER,
	QUALITY_LIMIT_WINDOW,
	QUALITY_LIMIT_NETWORK,
	QUALITY_LIMITS
};

const char *quality_limit_name(enum quality_limit limit);

/* What is known of the way to one host; outlives its migrations. */
struct quality_path {
	double usual_bytes_per_s;
	uint64_t learned_ms;
};

struct connection_quality {
	bool known; /* false: no complete window yet; the rest is 0 */
	size_t n_connections;
	uint64_t bytes_per_s;        /* acknowledged by the receiver, in the last window */
	uint32_t rtt_us, min_rtt_us; /* of the worst connection; the least ever */
	uint32_t resent_ppm;         /* of the bytes sent in the window */
	enum quality_limit limit;
	bool collapsed;
	uint64_t usual_bytes_per_s; /* 0 = nothing is known yet */

	/* For quality_update only. */
	struct tcp_figures last[TCP_DIAG_CONNECTIONS];
	uint64_t last_ms, low_ms;
};

/* @figures of the same @n connections as at the last call, unless @others: then a new window begins.
 * @cap_bytes_per_s: 0 = none. */
void quality_update(struct connection_quality *q, struct quality_path *path,
                    const struct tcp_figures *figures, size_t n, bool others, uint64_t now_ms,
                    uint64_t cap_bytes_per_s);
