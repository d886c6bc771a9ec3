/* SPDX-License-Identifier: Apache-2.0 */
/* What the migration network carries from here to each other host, and what others use of it: plain
 * arithmetic on what was measured, no I/O, no clock. Units and words: common/path.h.
 *
 *	each second's traffic without migrations --> path_traffic_add --> p95 of a minute, of ten
 *	a probe's arrivals (agent/link/path_probe.h)  --> path_probe_rate  --> path_record_probe
 *	a second of a migration that the network held back            --> path_record_history
 *	                                                                       |
 *	                                                  path_record_estimate <'
 *
 * Why it is done so (measured on shaped links of 0.2, 1 and 3 Gbit/s): the receiver's median of 100 ms
 * windows in the second half of a short TCP transfer hits the rate within 1 %, with 40 % UDP beside it
 * within 5 %; packet trains and the kernel's own delivery rate are wrong by factors. A TCP transfer
 * beside others' TCP measures its share: then what others sent meanwhile is added, and the figure is
 * worth less. What an interface says of its speed is worth little (a veth says 10 Gbit/s whatever the
 * truth), but nothing goes faster than it.
 *
 * The newest evidence counts: a probe, unless ten seconds of migrations are newer. Seconds count together
 * that lie within ten minutes; before those it was another time of the day. A migration may have
 * shared the far end with others: what it got raises a figure at once and lowers it only by itself.
 */
#pragma once

#include "common/path.h"

#include <stddef.h>

/* --- other traffic on the migration interface --- */

#define PATH_TRAFFIC_SHORT 60 /* windows of about a second */
#define PATH_TRAFFIC_LONG  600

enum path_direction {
	PATH_RECEIVED, /* as TRAFFIC_RECEIVED */
	PATH_SENT,
};

/* All zero is a valid empty one. */
struct path_traffic {
	uint64_t ring[2][PATH_TRAFFIC_LONG];
	size_t next, n;
};

void path_traffic_add(struct path_traffic *t, uint64_t received_bytes_per_s,
                      uint64_t sent_bytes_per_s);
/* The rate that 95 % of the last @windows (fewer, if there are fewer) did not exceed; 0 if none. */
uint64_t path_traffic_p95(const struct path_traffic *t, enum path_direction direction,
                          size_t windows);

/* --- a probe, as its receiver saw it --- */

#define PATH_BUCKET_MS   10
#define PATH_BUCKETS     64
#define PATH_WINDOW_MS   100
#define PATH_LEAST_MS    50 /* a shorter one says nothing */
#define PATH_LEAST_BYTES 65536

/* Payload by the time since the first byte arrived. */
struct path_arrivals {
	uint64_t bytes[PATH_BUCKETS];
	size_t n; /* whole buckets */
};

/* The median of windows in the second half, in payload bytes per second, and how far they lie apart:
 * the middle half of them in percent of the median. False: too little came to say anything. */
bool path_probe_rate(const struct path_arrivals *a, uint64_t *ret_bytes_per_s,
                     uint32_t *ret_spread_percent);

/* Of payload with segments of @mss payload bytes each; 0 = not known, 1448. */
uint64_t path_payload_to_wire(uint64_t payload_bytes, uint32_t mss);

/* --- what is known of the way to one host --- */

#define PATH_HISTORY_SAMPLES 30
#define PATH_HISTORY_ENOUGH  10 /* seconds of it that outweigh an older probe */

struct path_probe {
	uint64_t at_ms;       /* 0 = there was none */
	uint64_t bytes_per_s; /* wire, the probe alone */
	/* Meanwhile, without migrations: what else this end sent, and that one received. */
	uint64_t near_other_bytes_per_s, far_other_bytes_per_s;
	bool other_known;
	uint32_t spread_percent;
};

/* All zero is a valid empty one. */
struct path_record {
	struct path_probe probe;
	struct path_second {
		uint64_t bytes_per_s; /* wire, all of the interface's in such a second */
		uint64_t at_ms;
	} history[PATH_HISTORY_SAMPLES];
	size_t next, n;
};

void path_record_probe(struct path_record *r, const struct path_probe *probe);
void path_record_history(struct path_record *r, uint64_t wire_bytes_per_s, uint64_t now_ms);

/* What else is known at this moment. */
struct path_around {
	uint64_t link_bytes_per_s; /* the interface's own rate, nothing is faster; 0 = unknown */
	bool other_known;          /* the two below are measured, without migrations */
	uint64_t sent_p95_bytes_per_s;      /* of a minute */
	uint64_t sent_long_p95_bytes_per_s; /* of ten minutes */
	uint64_t now_ms;
};

void path_record_estimate(const struct path_record *r, const struct path_around *around,
                          struct path_estimate *ret);

/* Whether it is to be measured anew before it is relied upon. */
bool path_record_is_stale(const struct path_record *r, uint64_t now_ms);
