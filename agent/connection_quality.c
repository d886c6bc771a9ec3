/* SPDX-License-Identifier: Apache-2.0 */
/* See connection_quality.h. Pure. */
#include "agent/connection_quality.h"

#include "common/alloc.h"

#include <assert.h>
#include <math.h>

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

static struct tcp_figures sum(const struct tcp_figures *figures, size_t n)
{
	struct tcp_figures total = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct tcp_figures *f = &figures[i];

		total.acked_bytes += f->acked_bytes;
		total.sent_bytes += f->sent_bytes;
		total.retransmitted_bytes += f->retransmitted_bytes;
		total.busy_us += f->busy_us;
		total.receiver_limited_us += f->receiver_limited_us;
		total.buffer_limited_us += f->buffer_limited_us;
		if (f->rtt_us > total.rtt_us)
			total.rtt_us = f->rtt_us;
		if (i == 0 || f->min_rtt_us < total.min_rtt_us)
			total.min_rtt_us = f->min_rtt_us;
	}
	return total;
}

static enum quality_limit find_limit(const struct connection_quality *q,
                                     const struct tcp_figures *now, uint64_t window_ms,
                                     uint64_t cap_bytes_per_s)
{
	uint64_t wall_us = window_ms * 1000 * q->n_connections;
	uint64_t busy_us = now->busy_us - q->last.busy_us;
	uint64_t receiver_us = now->receiver_limited_us - q->last.receiver_limited_us;
	uint64_t buffer_us = now->buffer_limited_us - q->last.buffer_limited_us;

	if (cap_bytes_per_s && q->bytes_per_s >= cap_bytes_per_s / 10 * 9)
		return QUALITY_LIMIT_CAP;
	if (busy_us < wall_us / 10 * 9)
		return QUALITY_LIMIT_SENDER;
	if (receiver_us >= busy_us / 2)
		return QUALITY_LIMIT_RECEIVER;
	if (buffer_us >= busy_us / 2)
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
	struct tcp_figures now = sum(figures, n);
	uint64_t window_ms = now_ms - q->last_ms, sent;

	if (n == 0) {
		*q = (struct connection_quality){ 0 };
		return;
	}
	if (others || q->n_connections != n || now.acked_bytes < q->last.acked_bytes ||
	    now.sent_bytes < q->last.sent_bytes) {
		q->n_connections = n;
		q->last = now;
		q->last_ms = now_ms;
		return;
	}
	if (window_ms < QUALITY_WINDOW_MIN_MS)
		return;
	sent = now.sent_bytes - q->last.sent_bytes;
	q->bytes_per_s = (now.acked_bytes - q->last.acked_bytes) * 1000 / window_ms;
	q->rtt_us = now.rtt_us;
	q->min_rtt_us = now.min_rtt_us;
	q->resent_ppm = sent ? (uint32_t)((now.retransmitted_bytes - q->last.retransmitted_bytes) *
	                                  1000000 / sent)
	                     : 0;
	q->limit = find_limit(q, &now, window_ms, cap_bytes_per_s);
	judge_path(q, path, window_ms);
	q->known = true;
	q->last = now;
	q->last_ms = now_ms;
}
