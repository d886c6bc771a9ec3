/* SPDX-License-Identifier: Apache-2.0 */
/* Rates out of the counters of ebpf/traffic.h: plain arithmetic on what was read, no I/O, no clock.
 *
 *	traffic_read() --> bandwidth_update(b, sample) --> b->interfaces, b->endpoints
 *
 * Once a second is what it is made for; any distance between two samples will do, because each
 * window is divided by its real length. A window in which counters began anew says nothing and is
 * left out. Averages decay with time, not with the number of samples.
 *
 * Another filter, XDP or hardware offload can take packets away before our programs see them.
 * Then the kernel counts more packets on the link than our programs count frames; after ten
 * seconds of that the interface is blind: its rates come from the kernel's counters, are labelled
 * "rtnl", and migrations are unknown until ten good seconds have passed.
 *
 * Owner thread only.
 */
#pragma once

#include "ebpf/traffic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below this a window is noise of the timer; it is joined with the next one. */
#define BANDWIDTH_WINDOW_MIN_MS 50

/* What a window must show to be called blind: so many packets on the link, of which our programs
 * saw less than this share; and for how long. Retransmissions and drops in a queue stay far below
 * 20 %. */
#define BANDWIDTH_BLIND_PACKETS      20
#define BANDWIDTH_BLIND_SEEN_PERCENT 80
#define BANDWIDTH_BLIND_MS           10000

/* Time constants of the two averages. */
#define BANDWIDTH_SHORT_MS 2000
#define BANDWIDTH_LONG_MS  30000

/* Of one direction. Bytes are those on the wire if the source is eBPF. */
struct bandwidth_rate {
	uint64_t bytes_per_s; /* mean of the last window */
	uint64_t packets_per_s;
	uint64_t short_bytes_per_s, long_bytes_per_s; /* averages over about 2 s and 30 s */
	uint64_t migration_bytes_per_s;               /* 0 unless classified */
	uint64_t unregistered_bytes_per_s;            /* 0 unless classified */
};

struct bandwidth_interface {
	char name[IF_NAMESIZE];
	bool known;      /* false: no complete window yet; rates are 0 */
	bool classified; /* migration and unregistered are measured, not merely 0 */
	bool blind;
	enum traffic_source source;     /* of these rates: TRAFFIC_SOURCE_RTNL while blind */
	uint64_t at_ns;                 /* end of the last window */
	struct bandwidth_rate rates[2]; /* TRAFFIC_RECEIVED, TRAFFIC_SENT */

	/* For bandwidth_update only. */
	struct traffic_interface_sample last;
	uint64_t last_ns;
	double short_average[2], long_average[2];
	bool averages_began;
	uint64_t suspect_ms, good_ms; /* in a row, idle windows left out */
};

/* One port of one migration. */
struct bandwidth_endpoint {
	struct traffic_endpoint endpoint;
	bool known; /* false: not counted by eBPF, or no complete window yet */
	uint64_t wire_bytes_per_s[2], payload_bytes_per_s[2];
	uint64_t wire_bytes[2], payload_bytes[2]; /* totals since it was registered */
	/* The same on each of the interfaces, in their order; those of one path see the same bytes. */
	uint64_t interface_wire_bytes[TRAFFIC_INTERFACES][2];
	uint64_t interface_payload_bytes[TRAFFIC_INTERFACES][2];

	/* For bandwidth_update only. */
	struct traffic_endpoint_sample last;
	uint64_t last_ns;
};

struct bandwidth {
	size_t n_interfaces, n_endpoints;
	struct bandwidth_interface interfaces[TRAFFIC_INTERFACES];
	struct bandwidth_endpoint endpoints[TRAFFIC_ENDPOINTS];
};

/* An all-zero struct bandwidth is a valid empty one. */

/* Takes in a sample. What is no longer in it is forgotten; samples out of order are ignored. */
void bandwidth_update(struct bandwidth *bandwidth, const struct traffic_sample *sample);

/* NULL if there is none. */
const struct bandwidth_interface *bandwidth_find_interface(const struct bandwidth *bandwidth,
                                                           const char *name);
const struct bandwidth_endpoint *bandwidth_find_endpoint(const struct bandwidth *bandwidth,
                                                         const struct traffic_endpoint *endpoint);

/* Milliseconds since the interface's rates were measured; UINT64_MAX if they never were. */
uint64_t bandwidth_age_ms(const struct bandwidth_interface *interface, uint64_t now_ns);

/* Older than this, bytes that are not in the counters may be on the wire all the same. */
#define BANDWIDTH_EVIDENCE_MS 2000

/* Whether bytes that its counters do not have were not there: eBPF counts, nothing looks like blindness,
 * long before it is called that, and the reading is new. */
bool bandwidth_is_evidence(const struct bandwidth_interface *interface, uint64_t now_ns);
