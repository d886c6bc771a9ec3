/* SPDX-License-Identifier: Apache-2.0 */
/* See path_estimate.h. Pure. */
#include "agent/link/path_estimate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a figure is worth when it is new and its samples agree. */
#define HISTORY_PERCENT    95
#define PROBE_PERCENT      90
#define FEW_PERCENT        60 /* of history that is less than enough */
#define LINK_SPEED_PERCENT 30
#define NO_OTHER_PERCENT   40 /* nobody counts what others use */
/* Others that took more than this share of the link beside a probe may have been made to take less. */
#define SHARED_PERCENT       20
#define SHARED_WORTH_PERCENT 85 /* of what it would be worth alone */

/* Frames of TCP over IPv4 with time stamps. */
#define HEADER_BYTES 66
#define USUAL_MSS    1448

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Of sorted @values: what @percent of them do not exceed. */
static uint64_t quantile(const uint64_t *values, size_t n, unsigned percent)
{
	return values[(n * percent + 99) / 100 - (n * percent > 0)];
}

/* --- other traffic --- */

void path_traffic_add(struct path_traffic *t, uint64_t received, uint64_t sent)
{
	t->ring[PATH_RECEIVED][t->next] = received;
	t->ring[PATH_SENT][t->next] = sent;
	t->next = (t->next + 1) % PATH_TRAFFIC_LONG;
	if (t->n < PATH_TRAFFIC_LONG)
		t->n++;
}

uint64_t path_traffic_p95(const struct path_traffic *t, enum path_direction direction,
                          size_t windows)
{
	uint64_t sorted[PATH_TRAFFIC_LONG];
	size_t n = windows < t->n ? windows : t->n;

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		sorted[i] = t->ring[direction]
		                   [(t->next + PATH_TRAFFIC_LONG - 1 - i) % PATH_TRAFFIC_LONG];
	qsort(sorted, n, sizeof(*sorted), compare);
	return quantile(sorted, n, 95);
}

/* --- a probe --- */

bool path_probe_rate(const struct path_arrivals *a, uint64_t *ret_bytes_per_s,
                     uint32_t *ret_spread_percent)
{
	size_t n = a->n < PATH_BUCKETS ? a->n : PATH_BUCKETS, windows = 0;
	size_t half = n / 2, width = PATH_WINDOW_MS / PATH_BUCKET_MS;
	uint64_t rates[PATH_BUCKETS], all = 0;

	for (size_t i = 0; i < n; i++)
		all += a->bytes[i];
	if (n < PATH_LEAST_MS / PATH_BUCKET_MS || all < PATH_LEAST_BYTES)
		return false;
	/* Short because it hit its bound of bytes: windows that still are several. */
	if (width > half - half / 3)
		width = half - half / 3;
	for (size_t first = half; first + width <= n; first++) {
		uint64_t bytes = 0;

		for (size_t i = 0; i < width; i++)
			bytes += a->bytes[first + i];
		rates[windows++] = bytes * 1000 / (width * PATH_BUCKET_MS);
	}
	qsort(rates, windows, sizeof(*rates), compare);
	if (rates[windows / 2] == 0)
		return false;
	*ret_bytes_per_s = rates[windows / 2];
	*ret_spread_percent = (uint32_t)((quantile(rates, windows, 75) -
	                                  quantile(rates, windows, 25)) *
	                                 100 / rates[windows / 2]);
	return true;
}

uint64_t path_payload_to_wire(uint64_t payload_bytes, uint32_t mss)
{
	if (!mss)
		mss = USUAL_MSS;
	return payload_bytes + payload_bytes / mss * HEADER_BYTES +
	       payload_bytes % mss * HEADER_BYTES / mss;
}

/* --- records --- */

void path_record_probe(struct path_record *r, const struct path_probe *probe)
{
	r->probe = *probe;
}

void path_record_history(struct path_record *r, uint64_t wire_bytes_per_s, uint64_t now_ms)
{
	r->history[r->next] = (struct path_second){ wire_bytes_per_s, now_ms };
	r->next = (r->next + 1) % PATH_HISTORY_SAMPLES;
	if (r->n < PATH_HISTORY_SAMPLES)
		r->n++;
}

/* Of the @i-th, 0 = the newest. */
static const struct path_second *second_of(const struct path_record *r, size_t i)
{
	return &r->history[(r->next + PATH_HISTORY_SAMPLES - 1 - i) % PATH_HISTORY_SAMPLES];
}

/* How many of the newest came after @since_ms, and lie so close to the newest that they are of one time. */
static size_t count_recent(const struct path_record *r, uint64_t since_ms)
{
	size_t n = 0;

	while (n < r->n && second_of(r, n)->at_ms >= since_ms &&
	       second_of(r, 0)->at_ms - second_of(r, n)->at_ms <= PATH_FRESH_MS)
		n++;
	return n;
}

struct figure {
	enum path_method method;
	uint64_t bytes_per_s, at_ms; /* bytes: near */
	uint64_t far_bytes_per_s;
	uint32_t worth_percent, spread_percent;
	bool shared;
};

/* Of the newest @n seconds, at least one. */
static struct figure of_history(const struct path_record *r, size_t n)
{
	struct figure f = { .method = PATH_HISTORY, .at_ms = second_of(r, 0)->at_ms };
	uint64_t sorted[PATH_HISTORY_SAMPLES] = { 0 };

	for (size_t i = 0; i < n; i++)
		sorted[i] = second_of(r, i)->bytes_per_s;
	qsort(sorted, n, sizeof(*sorted), compare);
	f.bytes_per_s = quantile(sorted, n, 90);
	f.worth_percent = n >= PATH_HISTORY_ENOUGH ? HISTORY_PERCENT : FEW_PERCENT;
	if (f.bytes_per_s)
		f.spread_percent = (uint32_t)((quantile(sorted, n, 75) - quantile(sorted, n, 25)) *
		                              100 / f.bytes_per_s);
	return f;
}

static struct figure of_probe(const struct path_record *r)
{
	const struct path_probe *p = &r->probe;
	struct figure f = { .method = PATH_PROBE,
		            .at_ms = p->at_ms,
		            .bytes_per_s = p->bytes_per_s + p->near_other_bytes_per_s,
		            .far_bytes_per_s = p->bytes_per_s + p->far_other_bytes_per_s,
		            .worth_percent = PROBE_PERCENT,
		            .spread_percent = p->spread_percent };

	f.shared = p->near_other_bytes_per_s > f.bytes_per_s / 100 * SHARED_PERCENT ||
	           p->far_other_bytes_per_s > f.far_bytes_per_s / 100 * SHARED_PERCENT;
	if (!p->other_known)
		f.worth_percent = FEW_PERCENT;
	return f;
}

static bool choose(const struct path_record *r, struct figure *ret)
{
	size_t n = count_recent(r, r->probe.at_ms);
	struct figure history, probe;

	if (!n && !r->probe.at_ms)
		return false;
	if (!n || !r->probe.at_ms) {
		*ret = n ? of_history(r, n) : of_probe(r);
		return true;
	}
	history = of_history(r, n);
	probe = of_probe(r);
	if (history.at_ms > probe.at_ms &&
	    (history.bytes_per_s >= probe.bytes_per_s || n >= PATH_HISTORY_ENOUGH))
		*ret = history;
	else
		*ret = probe;
	return true;
}

static void say(struct path_estimate *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void say(struct path_estimate *e, const char *format, ...)
{
	size_t used = strlen(e->why);
	va_list args;

	if (used && used + 2 < sizeof(e->why)) {
		memcpy(e->why + used, ", ", 3);
		used += 2;
	}
	va_start(args, format);
	vsnprintf(e->why + used, sizeof(e->why) - used, format, args);
	va_end(args);
}

static void judge(struct path_estimate *e, const struct figure *f, const struct path_around *around)
{
	uint32_t worth = f->worth_percent;

	if (f->worth_percent == FEW_PERCENT && f->method == PATH_HISTORY)
		say(e, "only a few seconds of migrations");
	if (f->spread_percent >= 10)
		say(e, "its samples lie %u %% apart", f->spread_percent);
	worth -= worth * (f->spread_percent < 100 ? f->spread_percent : 100) / 200;
	if (f->shared) {
		say(e, "measured beside others");
		worth = worth * SHARED_WORTH_PERCENT / 100;
	}
	if (!around->other_known) {
		say(e, "other traffic is not measured");
		worth = worth < NO_OTHER_PERCENT ? worth : NO_OTHER_PERCENT;
	} else if (around->sent_long_p95_bytes_per_s >
	           around->sent_p95_bytes_per_s + e->capacity_bytes_per_s / 5) {
		say(e, "there was more other traffic minutes ago");
		worth = worth * SHARED_WORTH_PERCENT / 100;
	}
	if (e->age_ms > PATH_FRESH_MS)
		say(e, "it is %u minutes old", (unsigned)(e->age_ms / 60000));
	e->confidence_percent = path_confidence_after(worth, e->age_ms);
}

void path_record_estimate(const struct path_record *r, const struct path_around *around,
                          struct path_estimate *ret)
{
	struct path_estimate e = { .method = PATH_NONE };
	struct figure f;

	if (choose(r, &f)) {
		e.method = f.method;
		e.near_bytes_per_s = f.bytes_per_s;
		e.far_bytes_per_s = f.far_bytes_per_s;
		e.capacity_bytes_per_s = f.bytes_per_s > f.far_bytes_per_s ? f.bytes_per_s
		                                                           : f.far_bytes_per_s;
		path_limit(&e, around->link_bytes_per_s);
		e.age_ms = around->now_ms > f.at_ms ? around->now_ms - f.at_ms : 0;
		judge(&e, &f, around);
	} else if (around->link_bytes_per_s) {
		e.method = PATH_LINK_SPEED;
		e.capacity_bytes_per_s = e.near_bytes_per_s = around->link_bytes_per_s;
		e.confidence_percent = LINK_SPEED_PERCENT;
		say(&e, "nobody has tried it");
	} else {
		say(&e, "nobody has tried it, and the link's speed is not known");
	}
	e.available_bytes_per_s = path_available(&e, around->sent_p95_bytes_per_s, 0);
	*ret = e;
}

bool path_record_is_stale(const struct path_record *r, uint64_t now_ms)
{
	if (r->probe.at_ms && now_ms - r->probe.at_ms <= PATH_FRESH_MS)
		return false;
	return count_recent(r, 0) < PATH_HISTORY_ENOUGH ||
	       now_ms - second_of(r, 0)->at_ms > PATH_FRESH_MS;
}
