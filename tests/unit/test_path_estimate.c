/* SPDX-License-Identifier: Apache-2.0 */
/* The room on a path from what was measured of it: each rule by its figures, and what must hold for any. */
#include "agent/link/path_estimate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GBIT ((uint64_t)125000000)

static struct path_arrivals steady(size_t n, uint64_t bytes_per_s)
{
	struct path_arrivals a = { .n = n };

	for (size_t i = 0; i < n; i++)
		a.bytes[i] = bytes_per_s * PATH_BUCKET_MS / 1000;
	return a;
}

/* A rate that is steady is what the receiver reports, however long the probe was. */
static void test_steady_probe(void **state)
{
	(void)state;
	for (size_t n = PATH_LEAST_MS / PATH_BUCKET_MS; n <= PATH_BUCKETS; n++) {
		struct path_arrivals a = steady(n, GBIT);
		uint32_t spread;
		uint64_t rate;

		assert_true(path_probe_rate(&a, &rate, &spread));
		assert_int_equal(rate, GBIT);
		assert_int_equal(spread, 0);
	}
}

/* How it began, slowly or with the burst that a shaper lets through, is left out; a gap of 20 ms moves
 * the median by no more than its share of a window, and shows in the spread. */
static void test_second_half(void **state)
{
	struct path_arrivals a = steady(30, GBIT);
	uint32_t spread;
	uint64_t rate;

	(void)state;
	for (size_t i = 0; i < 15; i++)
		a.bytes[i] *= i < 5 ? 9 : 0;
	assert_true(path_probe_rate(&a, &rate, &spread));
	assert_int_equal(rate, GBIT);
	a.bytes[27] = a.bytes[28] = 0;
	assert_true(path_probe_rate(&a, &rate, &spread));
	assert_in_range(rate, GBIT * 8 / 10, GBIT);
	assert_true(spread > 0);
}

/* Too short, too little or nothing in its second half: that says nothing, not 0. */
static void test_no_figure(void **state)
{
	struct path_arrivals a = steady(4, GBIT);
	uint64_t rate = 7;
	uint32_t spread;

	(void)state;
	assert_false(path_probe_rate(&a, &rate, &spread));
	a = steady(30, 100000);
	assert_false(path_probe_rate(&a, &rate, &spread));
	a = (struct path_arrivals){ .n = 30, .bytes = { 10000000 } };
	assert_false(path_probe_rate(&a, &rate, &spread));
	assert_int_equal(rate, 7);
}

/* p95 of a minute forgets what was earlier, that of ten minutes does not. */
static void test_other_traffic(void **state)
{
	static struct path_traffic t;

	(void)state;
	memset(&t, 0, sizeof(t));
	assert_int_equal(path_traffic_p95(&t, PATH_SENT, PATH_TRAFFIC_SHORT), 0);
	for (int i = 0; i < 100; i++)
		path_traffic_add(&t, 1, 500);
	for (int i = 0; i < 60; i++)
		path_traffic_add(&t, 2, i < 3 ? 900 : 100);
	assert_int_equal(path_traffic_p95(&t, PATH_SENT, PATH_TRAFFIC_SHORT), 100);
	assert_int_equal(path_traffic_p95(&t, PATH_SENT, PATH_TRAFFIC_LONG), 500);
	assert_int_equal(path_traffic_p95(&t, PATH_RECEIVED, PATH_TRAFFIC_SHORT), 2);
	path_traffic_add(&t, 2, 900);
	path_traffic_add(&t, 2, 900);
	assert_int_equal(path_traffic_p95(&t, PATH_SENT, PATH_TRAFFIC_SHORT), 100);
	for (int i = 0; i < 4; i++)
		path_traffic_add(&t, 2, 900);
	assert_int_equal(path_traffic_p95(&t, PATH_SENT, PATH_TRAFFIC_SHORT), 900);
}

static struct path_around around(uint64_t now_ms)
{
	return (struct path_around){ .other_known = true, .now_ms = now_ms };
}

/* A probe beside 40 % of UDP finds the whole capacity, and what is left of it is available. */
static void test_probe_beside_udp(void **state)
{
	struct path_probe p = { .at_ms = 1000,
		                .bytes_per_s = GBIT * 6 / 10,
		                .near_other_bytes_per_s = GBIT * 4 / 10,
		                .far_other_bytes_per_s = GBIT * 4 / 10,
		                .other_known = true };
	struct path_record r = { 0 };
	struct path_around a = around(2000);
	struct path_estimate e;

	(void)state;
	path_record_probe(&r, &p);
	a.sent_p95_bytes_per_s = GBIT * 4 / 10;
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.method, PATH_PROBE);
	assert_int_equal(e.capacity_bytes_per_s, GBIT);
	assert_int_equal(e.available_bytes_per_s, GBIT * 6 / 10);
	assert_int_equal(e.age_ms, 1000);
	assert_true(e.confidence_percent >= PATH_BELIEVED_PERCENT);
	assert_non_null(strstr(e.why, "beside others"));
	/* 10 % in reserve, and what is promised: path.h. */
	assert_int_equal(path_usable(e.available_bytes_per_s, e.capacity_bytes_per_s, GBIT / 10),
	                 GBIT * 4 / 10);
}

/* Beside traffic of a third host to the destination only: whichever end narrows the path, what is said to
 * be available is what went through; and when that traffic ends, no more than is certain. */
static void test_probe_beside_a_third(void **state)
{
	struct path_probe p = { .at_ms = 1000,
		                .bytes_per_s = GBIT * 6 / 10,
		                .far_other_bytes_per_s = GBIT * 4 / 10,
		                .other_known = true };
	struct path_record r = { 0 };
	struct path_around a = around(2000);
	struct path_estimate e;

	(void)state;
	path_record_probe(&r, &p);
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.capacity_bytes_per_s, GBIT);
	assert_int_equal(path_available(&e, 0, GBIT * 4 / 10), GBIT * 6 / 10);
	assert_int_equal(path_available(&e, 0, GBIT * 6 / 10), GBIT * 4 / 10);
	assert_int_equal(path_available(&e, 0, 0), GBIT * 6 / 10);
}

/* The speed of a link alone is a figure that nothing is refused for; no figure is PATH_NONE. */
static void test_link_speed(void **state)
{
	struct path_record r = { 0 };
	struct path_around a = around(1);
	struct path_estimate e;

	(void)state;
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.method, PATH_NONE);
	assert_int_equal(e.capacity_bytes_per_s, 0);
	a.link_bytes_per_s = 10 * GBIT;
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.method, PATH_LINK_SPEED);
	assert_true(e.confidence_percent < PATH_BELIEVED_PERCENT);
	assert_true(path_record_is_stale(&r, 1));
}

/* Ten seconds of migrations that are newer than the probe outweigh it, fewer do not; and what went
 * through once does count at once when it is more. */
static void test_history_and_probe(void **state)
{
	struct path_probe p = { .at_ms = 1000, .bytes_per_s = GBIT, .other_known = true };
	struct path_record r = { 0 };
	struct path_around a = around(60000);
	struct path_estimate e;

	(void)state;
	path_record_probe(&r, &p);
	for (unsigned i = 0; i < PATH_HISTORY_ENOUGH; i++) {
		path_record_estimate(&r, &a, &e);
		assert_int_equal(e.method, PATH_PROBE);
		path_record_history(&r, GBIT / 2, 2000 + i * 1000);
	}
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.method, PATH_HISTORY);
	assert_int_equal(e.capacity_bytes_per_s, GBIT / 2);
	p.at_ms = 30000;
	path_record_probe(&r, &p);
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.method, PATH_PROBE);
	for (unsigned i = 0; i < 4; i++)
		path_record_history(&r, 2 * GBIT, 40000 + i * 1000);
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.method, PATH_HISTORY);
	assert_int_equal(e.capacity_bytes_per_s, 2 * GBIT);
}

/* After ten minutes it is to be measured again; an hour more halves what it is worth. */
static void test_a_gap(void **state)
{
	struct path_probe p = { .at_ms = 1000, .bytes_per_s = GBIT, .other_known = true };
	struct path_around a = around(100000);
	struct path_estimate e;
	struct path_record r = { 0 };
	uint64_t now_ms = 2000;

	(void)state;
	/* A ring that has gone round: all that is left of it is newer than the probe. */
	for (unsigned i = 0; i < 2 * PATH_HISTORY_SAMPLES; i++) {
		if (i == PATH_HISTORY_SAMPLES) {
			p.at_ms = now_ms;
			path_record_probe(&r, &p);
		}
		path_record_history(&r, GBIT / 2, now_ms += 1000);
	}
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.method, PATH_HISTORY);
	assert_int_equal(e.capacity_bytes_per_s, GBIT / 2);
	/* One more second after a long rest is one second, not thirty. */
	p.at_ms = 0;
	path_record_probe(&r, &p);
	assert_false(path_record_is_stale(&r, now_ms));
	now_ms += PATH_FRESH_MS + 60000;
	path_record_history(&r, GBIT / 4, now_ms);
	assert_true(path_record_is_stale(&r, now_ms));
	a.now_ms = now_ms;
	path_record_estimate(&r, &a, &e);
	assert_int_equal(e.capacity_bytes_per_s, GBIT / 4);
	assert_true(e.confidence_percent <= 60);
	for (unsigned i = 1; i < PATH_HISTORY_ENOUGH; i++)
		path_record_history(&r, GBIT / 4, now_ms += 1000);
	assert_false(path_record_is_stale(&r, now_ms));
}

static void test_ages(void **state)
{
	struct path_probe p = { .at_ms = 1000, .bytes_per_s = GBIT, .other_known = true };
	struct path_record r = { 0 };
	struct path_around a = around(1000 + PATH_FRESH_MS);
	struct path_estimate young, old;

	(void)state;
	path_record_probe(&r, &p);
	assert_false(path_record_is_stale(&r, a.now_ms));
	path_record_estimate(&r, &a, &young);
	a.now_ms += PATH_HALF_LIFE_MS;
	assert_true(path_record_is_stale(&r, a.now_ms));
	path_record_estimate(&r, &a, &old);
	assert_in_range(old.confidence_percent, young.confidence_percent / 2 - 1,
	                young.confidence_percent / 2 + 1);
	assert_non_null(strstr(old.why, "minutes old"));
}

/* Headers are added for each segment: 66 bytes for 1448 of payload, less with jumbo frames. */
static void test_wire(void **state)
{
	(void)state;
	assert_int_equal(path_payload_to_wire(1448000, 1448), 1514000);
	assert_int_equal(path_payload_to_wire(1448000, 0), 1514000);
	assert_int_equal(path_payload_to_wire(8948000, 8948), 9014000);
	assert_int_equal(path_payload_to_wire(0, 1448), 0);
}

static uint64_t random_below(unsigned *seed, uint64_t below)
{
	return ((uint64_t)rand_r(seed) << 31 | (uint64_t)rand_r(seed)) % below;
}

static void random_record(unsigned *seed, struct path_record *r)
{
	unsigned n = (unsigned)random_below(seed, 40);

	*r = (struct path_record){ 0 };
	if (random_below(seed, 2))
		path_record_probe(r,
		                  &(struct path_probe){
					  .at_ms = 1 + random_below(seed, 100000),
					  .bytes_per_s = random_below(seed, 1000 * GBIT),
					  .near_other_bytes_per_s = random_below(seed, 100 * GBIT),
					  .far_other_bytes_per_s = random_below(seed, 100 * GBIT),
					  .other_known = random_below(seed, 2),
					  .spread_percent = (uint32_t)random_below(seed, 300) });
	for (unsigned i = 0; i < n; i++)
		path_record_history(r, random_below(seed, 1000 * GBIT), 1000 + i * 1000);
}

/* Whatever was measured: never more than the interface carries, never more available than there is in
 * all, more of other traffic never leaves more, and growing old never makes a figure worth more. */
static void test_properties(void **state)
{
	unsigned seed = 20;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct path_estimate e, more, older;
		struct path_around a = around(100000 + random_below(&seed, 10000000));
		struct path_record r;

		random_record(&seed, &r);
		a.other_known = random_below(&seed, 2);
		a.link_bytes_per_s = random_below(&seed, 2) * random_below(&seed, 800 * GBIT);
		a.sent_p95_bytes_per_s = random_below(&seed, 100 * GBIT);
		a.sent_long_p95_bytes_per_s = random_below(&seed, 100 * GBIT);
		path_record_estimate(&r, &a, &e);
		assert_true(!a.link_bytes_per_s || e.capacity_bytes_per_s <= a.link_bytes_per_s);
		assert_true(e.available_bytes_per_s <= e.capacity_bytes_per_s);
		assert_true(e.confidence_percent <= 100);
		assert_true(a.other_known || e.confidence_percent < PATH_BELIEVED_PERCENT);
		assert_true((e.method == PATH_NONE) <= (e.confidence_percent == 0));
		assert_true(path_usable(e.available_bytes_per_s, e.capacity_bytes_per_s, 0) <=
		            e.available_bytes_per_s);
		a.sent_p95_bytes_per_s += random_below(&seed, 100 * GBIT);
		path_record_estimate(&r, &a, &more);
		assert_true(more.available_bytes_per_s <= e.available_bytes_per_s);
		a.now_ms += random_below(&seed, 100000000);
		path_record_estimate(&r, &a, &older);
		assert_true(older.confidence_percent <= more.confidence_percent);
		assert_int_equal(older.available_bytes_per_s, more.available_bytes_per_s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steady_probe),
		cmocka_unit_test(test_second_half),
		cmocka_unit_test(test_no_figure),
		cmocka_unit_test(test_other_traffic),
		cmocka_unit_test(test_probe_beside_udp),
		cmocka_unit_test(test_probe_beside_a_third),
		cmocka_unit_test(test_link_speed),
		cmocka_unit_test(test_history_and_probe),
		cmocka_unit_test(test_a_gap),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
