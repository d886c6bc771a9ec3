/* SPDX-License-Identifier: Apache-2.0 */
/* What the interfaces of one node have carried: each second of the last ten minutes, and every five
 * minutes of the last day with their mean and their busiest second. Pure.
 *
 *	rates of a report, about once a second --> rate_history_add() --> seconds --> buckets
 *	                                  rate_history_sum(), rate_history_list() <--/
 *
 * A report says what was carried since the one before. Its bytes are laid over the seconds that it covers,
 * so that a mean over any time has the bytes that were counted, whenever the reports came. A time of which
 * nothing was heard (reports lost, agent away or restarted, no counters) is a gap: it is in no mean, and
 * the time that a mean does cover is told with it.
 *
 * Time is the coordinator's monotonic clock; the history begins anew with the coordinator. Values are
 * floats, exact to 7 digits. Memory, all of it allocated with the first figure of an interface:
 *
 *	600 s x 18 bytes + 288 buckets x 36 bytes = 21 KB an interface
 *	3,000 hosts with one interface each        64 MB
 *	3,000 hosts with RATE_INTERFACES each     254 MB, and never more
 */
#pragma once

#include "coordinator/core/facts.h"

#define RATE_INTERFACES 4 /* of a node, the first in its first reports */
#define RATE_SECONDS    600
#define RATE_BUCKET_MS  300000
#define RATE_BUCKETS    288

/* A report that comes later than this after the one before covers its last second only. */
#define RATE_REPORT_MOST_MS 1500
/* A second of which less is known is not called the busiest. */
#define RATE_SECOND_LEAST_MS 250

enum rate_kind {
	RATE_RECEIVED,
	RATE_SENT,
	RATE_MIGRATION_RECEIVED,
	RATE_MIGRATION_SENT,
	RATE_KINDS
};

/* Bytes per second over some time. */
struct rate_sum {
	uint64_t covered_ms; /* of which something is known; 0: nothing is, and the rest is 0 */
	uint64_t mean[RATE_KINDS], most[RATE_KINDS]; /* most: of one second */
};

/* What an interface carries now. */
struct rate_now {
	char name[32];
	char source[16];           /* "ebpf-tcx"; "none": nothing is counted */
	uint64_t link_bytes_per_s; /* 0 = unknown */
	uint64_t rates[RATE_KINDS];
	uint64_t at_ms; /* when it was heard */
};

struct rate_history;

struct rate_history *rate_history_new(void);
void rate_history_free(struct rate_history *history);

/* A report that came at @now_ms from the agent @boot_id. Of more interfaces than RATE_INTERFACES the others
 * are left out; one that was not heard of for a day gives its place away. */
void rate_history_add(struct rate_history *history, const struct id *boot_id,
                      const struct interface_rate *rates, size_t n, uint64_t now_ms);

/* The interfaces. Borrowed until the next add. */
size_t rate_history_get(const struct rate_history *history,
                        const struct rate_now *ret[RATE_INTERFACES]);
/* How many a report had that are not kept. */
size_t rate_history_left_out(const struct rate_history *history);

/* Over the last @range_ms, which is rounded up to whole seconds, or to whole buckets above ten minutes. */
void rate_history_sum(const struct rate_history *history, const char *name, uint64_t range_ms,
                      uint64_t now_ms, struct rate_sum *ret);

/* The same time in @n equal parts, oldest first; a gap has covered_ms 0. @range_ms / @n is a multiple of
 * a second, or of RATE_BUCKET_MS for more than ten minutes: rate_history_fit. */
void rate_history_list(const struct rate_history *history, const char *name, uint64_t range_ms,
                       uint64_t now_ms, struct rate_sum *ret, size_t n);

/* Makes a wish into what there is: up to @most parts. @step_ms 0: the finest. -ERROR_INVALID for a range of
 * 0 or of more than a day. */
int rate_history_fit(uint64_t *range_ms, uint64_t *step_ms, size_t most, struct error *err);
