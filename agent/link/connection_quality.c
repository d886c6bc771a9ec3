/* SPDX-License-Identifier: Apache-2.0 */
/* See connection_quality.h. Pure. */
#include "agent/link/connection_quality.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const limit_names[] = {
	[QUALITY_LIMIT_UNKNOWN] = "unknown", [QUALITY_LIMIT_CAP] = "cap",
	[QUALITY_LIMIT_SENDER] = "sender",   [QUALITY_LIMIT_RECEIVER] = "receiver",
	[QUALITY_LIMIT_WINDOW] = "window",   [QUALITY_LIMIT_NETWORK] = "network",
};
static_assert(ARRAY_SIZE(limit_names) == QUALITY_LIMITS, "a limit without a name");

const char *quality_limit_name(enum quality_limit limit)
{
	assert((unsigned)limit < QUALITY_LIMITS);
	return limit_names[limit];
}

/* Another connection of that name, or a clock of the kernel's that has gone round: its times are counted in
 * 32 bits of jiffies. */
static bool went_back(const struct tcp_figures *before, const struct tcp_figures *now, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (now[i].acked_bytes < before[i].acked_bytes ||
		    now[i].sent_bytes < before[i].sent_bytes ||
		    now[i].retransmitted_bytes < before[i].retransmitted_bytes ||
		    now[i].busy_us < before[i].busy_us ||
		    now[i].receiver_limited_us < before[i].receiver_limited_us ||
		    now[i].buffer_limited_us < before[i].buffer_limited_us)
			return true;
	return false;
}

/* What was added since: sums, the worst round trip, the least ever. */
static void add(struct tcp_figures *total, const struct tcp_figures *before,
                const struct tcp_figures *now)
{
	total->acked_bytes += now->acked_bytes - before->acked_bytes;
	total->sent_bytes += now->sent_bytes - before->sent_bytes;
	total->retransmitted_bytes += now->retransmitted_bytes - before->retransmitted_bytes;
	total->busy_us += now->busy_us - before->busy_us;
	total->receiver_limited_us += now->receiver_limited_us - before->receiver_limited_us;
	total->buffer_limited_us += now->buffer_limited_us - before->buffer_limited_us;
	if (now->rtt_us > total->rtt_us)
		total->rtt_us = now->rtt_us;
	if (!total->min_rtt_us || now->min_rtt_us < total->min_rtt_us)
		total->min_rtt_us = now->min_rtt_us;
}

/* The part of a window that tells what limits it: without the connections that hardly carry anything of
 * it. QEMU's first one of several, and the one of disks, are idle while others copy. Returns how many. */
static size_t add_carrying(struct tcp_figures *carrying, const struct tcp_figures *before,
                           const struct tcp_figures *now, size_t n, uint64_t acked_bytes)
{
	size_t counted = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = now[i].acked_bytes - before[i].acked_bytes;

		if (acked_bytes && bytes < acked_bytes / n / QUALITY_CARRIES_PART)
			continue;
		add(carrying, &before[i], &now[i]);
		counted++;
	}
	return counted;
}

static enum quality_limit find_limit(const struct connection_quality *q,
                                     const struct tcp_figures *carrying, uint64_t wall_us,
                                     uint64_t cap_bytes_per_s)
{
	if (cap_bytes_per_s && q->bytes_per_s >= cap_bytes_per_s / 10 * 9)
		return QUALITY_LIMIT_CAP;
	if (carrying->busy_us < wall_us / 10 * 9)
		return QUALITY_LIMIT_SENDER;
	if (carrying->receiver_limited_us >= carrying->busy_us / 2)
		return QUALITY_LIMIT_RECEIVER;
	if (carrying->buffer_limited_us >= carrying->busy_us / 2)
		return QUALITY_LIMIT_WINDOW;
	return QUALITY_LIMIT_NETWORK;
}

static void learn(struct quality_path *path, uint64_t bytes_per_s, uint64_t window_ms)
{
	/* From the first windows the plain mean, then one that forgets. */
	uint64_t known_ms = path->learned_ms < QUALITY_USUAL_TAU_MS ? path->learned_ms
	                                                            : QUALITY_USUAL_TAU_MS;
	double share = (double)window_ms / (double)(known_ms + window_ms);

	path->usual_bytes_per_s += share * ((double)bytes_per_s - path->usual_bytes_per_s);
	path->learned_ms += window_ms;
}

static void judge_path(struct connection_quality *q, struct quality_path *path, uint64_t window_ms)
{
	uint64_t usual = path->learned_ms >= QUALITY_USUAL_LEARNED_MS
	                         ? (uint64_t)llround(path->usual_bytes_per_s)
	                         : 0;
	bool held_back = q->limit == QUALITY_LIMIT_CAP || q->limit == QUALITY_LIMIT_SENDER;
	bool low = !held_back && q->bytes_per_s < usual / 100 * QUALITY_COLLAPSE_PERCENT;

	q->usual_bytes_per_s = usual;
	q->low_ms = low ? q->low_ms + window_ms : 0;
	if (q->low_ms >= QUALITY_COLLAPSE_MS)
		q->collapsed = true;
	else if (held_back || q->bytes_per_s >= usual / 100 * QUALITY_RECOVERED_PERCENT)
		q->collapsed = false;
	if (q->limit == QUALITY_LIMIT_NETWORK && !low && !q->collapsed)
		learn(path, q->bytes_per_s, window_ms);
}

void quality_update(struct connection_quality *q, struct quality_path *path,
                    const struct tcp_figures *figures, size_t n, bool others, uint64_t now_ms,
                    uint64_t cap_bytes_per_s)
{
	struct tcp_figures more = { 0 }, carrying = { 0 };
	uint64_t window_ms = now_ms - q->last_ms;
	size_t counted;

	assert(n <= TCP_DIAG_CONNECTIONS);
	if (n == 0) {
		*q = (struct connection_quality){ 0 };
		return;
	}
	if (others || q->n_connections != n || went_back(q->last, figures, n)) {
		q->n_connections = n;
		memcpy(q->last, figures, n * sizeof(*figures));
		q->last_ms = now_ms;
		return;
	}
	if (window_ms < QUALITY_WINDOW_MIN_MS)
		return;
	for (size_t i = 0; i < n; i++)
		add(&more, &q->last[i], &figures[i]);
	counted = add_carrying(&carrying, q->last, figures, n, more.acked_bytes);
	q->bytes_per_s = more.acked_bytes * 1000 / window_ms;
	q->rtt_us = more.rtt_us;
	q->min_rtt_us = more.min_rtt_us;
	q->resent_ppm = more.sent_bytes ? (uint32_t)((double)more.retransmitted_bytes * 1e6 /
	                                             (double)more.sent_bytes)
	                                : 0;
	/* An old kernel may know the one and not the other. */
	if (q->resent_ppm > 1000000)
		q->resent_ppm = 1000000;
	q->limit = find_limit(q, &carrying, window_ms * 1000 * counted, cap_bytes_per_s);
	judge_path(q, path, window_ms);
	q->known = true;
	memcpy(q->last, figures, n * sizeof(*figures));
	q->last_ms = now_ms;
}
