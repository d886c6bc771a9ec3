/* SPDX-License-Identifier: Apache-2.0 */
/* See rate_history.h. Both rings are cleared as time goes on, so that what is in them is of the last ten
 * minutes and of the last day, and needs no date. */
#include "coordinator/core/predict/rate_history.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_MS 1000
#define DAY_MS    ((uint64_t)RATE_BUCKETS * RATE_BUCKET_MS)

/* Bytes, not rates: what is known of a part of the time is divided by that part only. */
struct seconds {
	float bytes[RATE_SECONDS][RATE_KINDS];
	uint16_t covered_ms[RATE_SECONDS];
};

struct buckets {
	float bytes[RATE_BUCKETS][RATE_KINDS];
	float most[RATE_BUCKETS][RATE_KINDS]; /* bytes per second */
	uint32_t covered_ms[RATE_BUCKETS];
};

struct interface {
	struct rate_now now;
	uint64_t second, bucket; /* the numbers of those that are being filled */
	struct seconds *seconds; /* owned; NULL: no figure yet */
	struct buckets *buckets;
};

struct rate_history {
	struct id boot_id;
	uint64_t heard_ms; /* 0: by this agent nothing yet */
	size_t n, left_out;
	struct interface interfaces[RATE_INTERFACES];
};

struct rate_history *rate_history_new(void)
{
	return xnew(struct rate_history);
}

static void forget(struct interface *i)
{
	free(i->seconds);
	free(i->buckets);
	*i = (struct interface){ 0 };
}

void rate_history_free(struct rate_history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < history->n; i++)
		forget(&history->interfaces[i]);
	free(history);
}

static struct interface *find(const struct rate_history *history, const char *name)
{
	for (size_t i = 0; i < history->n; i++)
		if (strcmp(history->interfaces[i].now.name, name) == 0)
			return (struct interface *)&history->interfaces[i];
	return NULL;
}

/* A place for one more, of one that is gone for so long that nothing is left of it; or NULL. */
static struct interface *make_place(struct rate_history *history, uint64_t now_ms)
{
	if (history->n < RATE_INTERFACES)
		return &history->interfaces[history->n++];
	for (size_t i = 0; i < RATE_INTERFACES; i++) {
		struct interface *old = &history->interfaces[i];

		if (old->now.at_ms + DAY_MS < now_ms) {
			forget(old);
			return old;
		}
	}
	return NULL;
}

/* --- filling --- */

/* The second that is over belongs to the busiest of its bucket, perhaps. */
static void close_second(struct interface *i)
{
	size_t from = i->second % RATE_SECONDS;
	size_t to = i->second * SECOND_MS / RATE_BUCKET_MS % RATE_BUCKETS;
	uint16_t covered_ms = i->seconds->covered_ms[from];

	if (covered_ms < RATE_SECOND_LEAST_MS)
		return;
	for (size_t k = 0; k < RATE_KINDS; k++) {
		float rate = i->seconds->bytes[from][k] * (float)SECOND_MS / (float)covered_ms;

		if (rate > i->buckets->most[to][k])
			i->buckets->most[to][k] = rate;
	}
}

/* Goes on to @second; what is passed over is a gap. */
static void advance(struct interface *i, uint64_t second)
{
	uint64_t bucket = second * SECOND_MS / RATE_BUCKET_MS;

	if (second <= i->second)
		return;
	close_second(i);
	for (uint64_t n = 1; n <= RATE_BUCKETS && i->bucket + n <= bucket; n++) {
		size_t slot = (i->bucket + n) % RATE_BUCKETS;

		memset(i->buckets->bytes[slot], 0, sizeof(i->buckets->bytes[slot]));
		memset(i->buckets->most[slot], 0, sizeof(i->buckets->most[slot]));
		i->buckets->covered_ms[slot] = 0;
	}
	for (uint64_t n = 1; n <= RATE_SECONDS && i->second + n <= second; n++) {
		size_t slot = (i->second + n) % RATE_SECONDS;

		memset(i->seconds->bytes[slot], 0, sizeof(i->seconds->bytes[slot]));
		i->seconds->covered_ms[slot] = 0;
	}
	i->second = second;
	i->bucket = bucket;
}

/* Lays the bytes of @from_ms..@until_ms over the seconds that it covers. */
static void lay(struct interface *i, uint64_t from_ms, uint64_t until_ms)
{
	while (from_ms < until_ms) {
		uint64_t end_ms = (from_ms / SECOND_MS + 1) * SECOND_MS;
		size_t second = from_ms / SECOND_MS % RATE_SECONDS;
		size_t bucket = from_ms / RATE_BUCKET_MS % RATE_BUCKETS;
		uint64_t span_ms;

		if (end_ms > until_ms)
			end_ms = until_ms;
		span_ms = end_ms - from_ms;
		advance(i, from_ms / SECOND_MS);
		for (size_t k = 0; k < RATE_KINDS; k++) {
			float bytes = (float)((double)i->now.rates[k] * (double)span_ms /
			                      SECOND_MS);

			i->seconds->bytes[second][k] += bytes;
			i->buckets->bytes[bucket][k] += bytes;
		}
		i->seconds->covered_ms[second] += (uint16_t)span_ms;
		i->buckets->covered_ms[bucket] += (uint32_t)span_ms;
		from_ms = end_ms;
	}
}

static void take(struct interface *i, const struct interface_rate *r, uint64_t now_ms)
{
	text_copy(i->now.name, sizeof(i->now.name), r->name);
	text_copy(i->now.source, sizeof(i->now.source), r->source[0] ? r->source : "none");
	i->now.link_bytes_per_s = r->link_bytes_per_s;
	i->now.rates[RATE_RECEIVED] = r->rx_bytes_per_s;
	i->now.rates[RATE_SENT] = r->tx_bytes_per_s;
	i->now.rates[RATE_MIGRATION_RECEIVED] = r->migration_rx_bytes_per_s;
	i->now.rates[RATE_MIGRATION_SENT] = r->migration_tx_bytes_per_s;
	i->now.at_ms = now_ms;
}

static void begin(struct interface *i, uint64_t from_ms)
{
	i->seconds = xnew(struct seconds);
	i->buckets = xnew(struct buckets);
	i->second = from_ms / SECOND_MS;
	i->bucket = from_ms / RATE_BUCKET_MS;
}

void rate_history_add(struct rate_history *history, const struct id *boot_id,
                      const struct interface_rate *rates, size_t n, uint64_t now_ms)
{
	bool same = history->heard_ms && id_equal(&history->boot_id, boot_id);
	uint64_t span_ms = same ? now_ms - history->heard_ms : SECOND_MS;

	if (same && now_ms <= history->heard_ms)
		return;
	if (span_ms > RATE_REPORT_MOST_MS)
		span_ms = SECOND_MS;
	/* Nor does a new agent speak of what the one before has counted. */
	if (!same && history->heard_ms && now_ms - history->heard_ms < span_ms)
		span_ms = now_ms - history->heard_ms;
	if (span_ms > now_ms)
		span_ms = now_ms;
	history->boot_id = *boot_id;
	history->heard_ms = now_ms;
	history->left_out = 0;
	for (size_t r = 0; r < n; r++) {
		struct interface *i = find(history, rates[r].name);

		if (!i)
			i = make_place(history, now_ms);
		if (!i) {
			history->left_out++;
			continue;
		}
		take(i, &rates[r], now_ms);
		if (strcmp(i->now.source, "none") == 0)
			continue;
		if (!i->seconds)
			begin(i, now_ms - span_ms);
		lay(i, now_ms - span_ms, now_ms);
	}
}

/* --- asking --- */

size_t rate_history_get(const struct rate_history *history,
                        const struct rate_now *ret[RATE_INTERFACES])
{
	for (size_t i = 0; i < history->n; i++)
		ret[i] = &history->interfaces[i].now;
	return history->n;
}

size_t rate_history_left_out(const struct rate_history *history)
{
	return history->left_out;
}

struct adding {
	double bytes[RATE_KINDS];
	double most[RATE_KINDS];
	uint64_t covered_ms;
};

static void add(struct adding *a, const float bytes[RATE_KINDS], const float most[RATE_KINDS],
                uint64_t covered_ms, bool judged)
{
	for (size_t k = 0; k < RATE_KINDS; k++) {
		a->bytes[k] += (double)bytes[k];
		if (judged && (double)most[k] > a->most[k])
			a->most[k] = (double)most[k];
	}
	a->covered_ms += covered_ms;
}

static void add_second(struct adding *a, const struct interface *i, uint64_t second)
{
	size_t slot = second % RATE_SECONDS;
	uint16_t covered_ms = i->seconds->covered_ms[slot];
	float rate[RATE_KINDS];

	if (second > i->second || second + RATE_SECONDS <= i->second || !covered_ms)
		return;
	for (size_t k = 0; k < RATE_KINDS; k++)
		rate[k] = i->seconds->bytes[slot][k] * (float)SECOND_MS / (float)covered_ms;
	add(a, i->seconds->bytes[slot], rate, covered_ms, covered_ms >= RATE_SECOND_LEAST_MS);
}

static void add_bucket(struct adding *a, const struct interface *i, uint64_t bucket)
{
	size_t slot = bucket % RATE_BUCKETS;

	if (bucket > i->bucket || bucket + RATE_BUCKETS <= i->bucket)
		return;
	add(a, i->buckets->bytes[slot], i->buckets->most[slot], i->buckets->covered_ms[slot], true);
}

void rate_history_list(const struct rate_history *history, const char *name, uint64_t range_ms,
                       uint64_t now_ms, struct rate_sum *ret, size_t n)
{
	const struct interface *i = find(history, name);
	bool fine = range_ms <= (uint64_t)RATE_SECONDS * SECOND_MS;
	uint64_t unit_ms = fine ? SECOND_MS : RATE_BUCKET_MS;
	uint64_t units = (range_ms + unit_ms - 1) / unit_ms, per_part = n ? (units + n - 1) / n : 0;
	/* The unit that is being filled is the last. */
	uint64_t last = now_ms / unit_ms;

	memset(ret, 0, n * sizeof(*ret));
	if (!i || !i->seconds)
		return;
	for (size_t part = 0; part < n; part++) {
		struct adding a = { 0 };

		for (uint64_t u = 0; u < per_part; u++) {
			uint64_t back = (n - part) * per_part - u - 1;

			if (back > last || back >= units)
				continue;
			if (fine)
				add_second(&a, i, last - back);
			else
				add_bucket(&a, i, last - back);
		}
		ret[part].covered_ms = a.covered_ms;
		for (size_t k = 0; k < RATE_KINDS && a.covered_ms; k++) {
			ret[part].mean[k] =
				(uint64_t)(a.bytes[k] * SECOND_MS / (double)a.covered_ms + 0.5);
			ret[part].most[k] = (uint64_t)(a.most[k] + 0.5);
			if (ret[part].most[k] < ret[part].mean[k])
				ret[part].most[k] = ret[part].mean[k];
		}
	}
}

void rate_history_sum(const struct rate_history *history, const char *name, uint64_t range_ms,
                      uint64_t now_ms, struct rate_sum *ret)
{
	rate_history_list(history, name, range_ms, now_ms, ret, 1);
}

int rate_history_fit(uint64_t *range_ms, uint64_t *step_ms, size_t most, struct error *err)
{
	bool fine = *range_ms <= (uint64_t)RATE_SECONDS * SECOND_MS;
	uint64_t unit_ms = fine ? SECOND_MS : RATE_BUCKET_MS, step = *step_ms, range;

	if (*range_ms == 0 || *range_ms > DAY_MS)
		return error_set(
			err, ERROR_INVALID,
			"rates are kept for a day: a range of %llu ms is not among 1 to %llu",
			(unsigned long long)*range_ms, (unsigned long long)DAY_MS);
	if (step > *range_ms)
		step = *range_ms;
	if (step * most < *range_ms)
		step = (*range_ms + most - 1) / most;
	step = (step + unit_ms - 1) / unit_ms * unit_ms;
	if (step == 0)
		step = unit_ms;
	range = (*range_ms + step - 1) / step * step;
	if (range > (fine ? (uint64_t)RATE_SECONDS * SECOND_MS : DAY_MS))
		range -= step;
	*range_ms = range;
	*step_ms = step;
	return 0;
}
