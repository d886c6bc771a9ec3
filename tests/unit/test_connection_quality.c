/* SPDX-License-Identifier: Apache-2.0 */
/* What holds a migration's connections back, and when a path has collapsed: each from the kernel's
 * figures alone. */
#include "agent/link/connection_quality.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1024 * 1024)

struct run {
	struct connection_quality q;
	struct quality_path path;
	struct tcp_figures f;
	uint64_t now_ms, cap_bytes_per_s;
};

static void begin(struct run *r)
{
	memset(r, 0, sizeof(*r));
	r->now_ms = 1000;
	quality_update(&r->q, &r->path, &r->f, 1, true, r->now_ms, 0);
}

/* A second in which so much arrived; shares of it in percent. */
static void second(struct run *r, uint64_t bytes, unsigned busy, unsigned receiver, unsigned buffer)
{
	r->now_ms += 1000;
	r->f.acked_bytes += bytes;
	r->f.sent_bytes += bytes;
	r->f.busy_us += busy * 10000UL;
	r->f.receiver_limited_us += receiver * 10000UL;
	r->f.buffer_limited_us += buffer * 10000UL;
	quality_update(&r->q, &r->path, &r->f, 1, false, r->now_ms, r->cap_bytes_per_s);
}

/* Each limit by the figures that show it, the first true one. */
static void test_limits(void **state)
{
	static const struct {
		uint64_t bytes, cap;
		unsigned busy, receiver, buffer;
		enum quality_limit limit;
	} cases[] = {
		{ 90 * MIB, 100 * MIB, 100, 0, 0, QUALITY_LIMIT_CAP },
		{ 89 * MIB, 100 * MIB, 100, 0, 0, QUALITY_LIMIT_NETWORK },
		{ 89 * MIB, 0, 89, 80, 0, QUALITY_LIMIT_SENDER },
		{ 89 * MIB, 0, 90, 44, 0, QUALITY_LIMIT_NETWORK },
		{ 89 * MIB, 0, 90, 45, 45, QUALITY_LIMIT_RECEIVER },
		{ 89 * MIB, 0, 90, 44, 45, QUALITY_LIMIT_WINDOW },
		{ 0, 0, 100, 0, 0, QUALITY_LIMIT_NETWORK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r;

		begin(&r);
		assert_false(r.q.known);
		r.cap_bytes_per_s = cases[i].cap;
		second(&r, cases[i].bytes, cases[i].busy, cases[i].receiver, cases[i].buffer);
		assert_true(r.q.known);
		assert_int_equal(r.q.limit, cases[i].limit);
		assert_int_equal(r.q.bytes_per_s, cases[i].bytes);
	}
}

/* A figure that went back, whichever, begins a new window: nothing is made of the difference. */
static void test_goes_back(void **state)
{
	(void)state;
	for (unsigned which = 0; which < 6; which++) {
		struct run r;
		uint64_t *const figures[] = { &r.f.acked_bytes,         &r.f.sent_bytes,
			                      &r.f.retransmitted_bytes, &r.f.busy_us,
			                      &r.f.receiver_limited_us, &r.f.buffer_limited_us };

		begin(&r);
		for (unsigned i = 0; i < 6; i++)
			*figures[i] = UINT32_MAX;
		r.now_ms += 1000;
		quality_update(&r.q, &r.path, &r.f, 1, true, r.now_ms, 0);
		*figures[which] = 7; /* it has gone round */
		second(&r, which < 2 ? 0 : MIB, which == 3 ? 0 : 100, 0, 0);
		assert_false(r.q.known);
		second(&r, 80 * MIB, 100, 0, 0);
		assert_true(r.q.known);
		assert_int_equal(r.q.bytes_per_s, 80 * MIB);
		assert_int_equal(r.q.resent_ppm, 0);
		assert_int_equal(r.q.limit, QUALITY_LIMIT_NETWORK);
	}
}

/* Several connections are one: sums, the worst round trip, the least ever; their busy time is compared
 * with as much time each. */
static void test_several(void **state)
{
	struct connection_quality q = { 0 };
	struct quality_path path = { 0 };
	struct tcp_figures f[2] = { { .rtt_us = 300, .min_rtt_us = 100 },
		                    { .rtt_us = 900, .min_rtt_us = 200 } };

	(void)state;
	quality_update(&q, &path, f, 2, true, 1000, 0);
	f[0].acked_bytes = 3000;
	f[0].sent_bytes = 3000;
	f[0].busy_us = 2000000;
	f[1].acked_bytes = 1000;
	f[1].sent_bytes = 1000;
	f[1].retransmitted_bytes = 100;
	quality_update(&q, &path, f, 2, false, 3000, 0);
	assert_int_equal(q.bytes_per_s, 2000);
	assert_int_equal(q.rtt_us, 900);
	assert_int_equal(q.min_rtt_us, 100);
	assert_int_equal(q.resent_ppm, 25000);
	/* One was busy, the other was not. */
	assert_int_equal(q.limit, QUALITY_LIMIT_SENDER);
}

/* One of several that carries next to nothing says nothing of what limits the others: with parallel connections
 * QEMU's first one is idle. If none carries anything, all count. */
static void test_idle_among_several(void **state)
{
	struct tcp_figures f[3] = { { .rtt_us = 100, .min_rtt_us = 100 },
		                    { .rtt_us = 300, .min_rtt_us = 200 },
		                    { .rtt_us = 200, .min_rtt_us = 150 } };
	struct connection_quality q = { 0 };
	struct quality_path path = { 0 };

	(void)state;
	quality_update(&q, &path, f, 3, true, 1000, 0);
	f[0].acked_bytes = 4096;
	f[0].busy_us = 100;
	for (size_t i = 1; i < 3; i++) {
		f[i].acked_bytes = f[i].sent_bytes = 50 * MIB;
		f[i].busy_us = 990000;
	}
	quality_update(&q, &path, f, 3, false, 2000, 0);
	assert_int_equal(q.limit, QUALITY_LIMIT_NETWORK);
	assert_int_equal(q.n_connections, 3);
	assert_int_equal(q.bytes_per_s, 100 * MIB + 4096);
	assert_int_equal(q.rtt_us, 300);
	assert_int_equal(q.min_rtt_us, 100);
	quality_update(&q, &path, f, 3, false, 3000, 0);
	assert_int_equal(q.limit, QUALITY_LIMIT_SENDER);
	for (size_t i = 0; i < 3; i++)
		f[i].busy_us += 1000000;
	quality_update(&q, &path, f, 3, false, 4000, 0);
	assert_int_equal(q.limit, QUALITY_LIMIT_NETWORK);
	assert_int_equal(q.bytes_per_s, 0);
}

/* Other connections, or counters that fell, begin a window and say nothing; a short window is joined
 * with the next; none at all is not known. */
static void test_windows(void **state)
{
	struct run r;

	(void)state;
	begin(&r);
	second(&r, 5000, 100, 0, 0);
	assert_int_equal(r.q.bytes_per_s, 5000);
	r.f = (struct tcp_figures){ .acked_bytes = 7, .sent_bytes = 7 };
	second(&r, 0, 0, 0, 0);
	assert_int_equal(r.q.bytes_per_s, 5000);
	r.now_ms -= 1000 - (QUALITY_WINDOW_MIN_MS - 1);
	second(&r, 900, 100, 0, 0);
	assert_int_equal(r.q.bytes_per_s, 5000);
	second(&r, 0, 100, 0, 0);
	assert_int_equal(r.q.bytes_per_s, 900 * 1000 / (1000 + QUALITY_WINDOW_MIN_MS - 1));
	quality_update(&r.q, &r.path, NULL, 0, false, r.now_ms, 0);
	assert_false(r.q.known);
}

static void seconds(struct run *r, unsigned n, uint64_t bytes, unsigned busy)
{
	for (unsigned i = 0; i < n; i++)
		second(r, bytes, busy, 0, 0);
}

/* A path that carries less than a quarter of the usual for five seconds has collapsed, until it carries
 * half; what is usual does not follow it down. */
static void test_collapse(void **state)
{
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 9, 100 * MIB, 100);
	assert_int_equal(r.q.usual_bytes_per_s, 0);
	seconds(&r, 21, 100 * MIB, 100);
	assert_in_range(r.q.usual_bytes_per_s, 100 * MIB - 1, 100 * MIB + 1);
	seconds(&r, 4, 24 * MIB, 100);
	assert_false(r.q.collapsed);
	seconds(&r, 1, 24 * MIB, 100);
	assert_true(r.q.collapsed);
	seconds(&r, 60, 40 * MIB, 100);
	assert_true(r.q.collapsed);
	assert_in_range(r.q.usual_bytes_per_s, 100 * MIB - 1, 100 * MIB + 1);
	seconds(&r, 1, 51 * MIB, 100);
	assert_false(r.q.collapsed);
}

/* Who has nothing to send, or may not send more, is not collapsed; and a low second among good ones is
 * none either. */
static void test_no_collapse(void **state)
{
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 30, 100 * MIB, 100);
	seconds(&r, 20, MIB, 50);
	assert_false(r.q.collapsed);
	r.cap_bytes_per_s = 2 * MIB;
	seconds(&r, 20, 2 * MIB, 100);
	assert_int_equal(r.q.limit, QUALITY_LIMIT_CAP);
	assert_false(r.q.collapsed);
	r.cap_bytes_per_s = 0;
	for (unsigned i = 0; i < 5; i++) {
		seconds(&r, 4, MIB, 100);
		seconds(&r, 1, 30 * MIB, 100);
	}
	assert_false(r.q.collapsed);
}

/* What is usual outlives a migration, and follows a path that has become faster. */
static void test_history(void **state)
{
	struct run r;

	(void)state;
	begin(&r);
	seconds(&r, 30, 100 * MIB, 100);
	r.q = (struct connection_quality){ 0 };
	quality_update(&r.q, &r.path, &r.f, 1, true, r.now_ms, 0);
	seconds(&r, 5, 10 * MIB, 100);
	assert_true(r.q.collapsed);
	seconds(&r, 90, 200 * MIB, 100);
	assert_in_range(r.q.usual_bytes_per_s, 190 * MIB, 200 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),      cmocka_unit_test(test_goes_back),
		cmocka_unit_test(test_several),     cmocka_unit_test(test_idle_among_several),
		cmocka_unit_test(test_windows),     cmocka_unit_test(test_collapse),
		cmocka_unit_test(test_no_collapse), cmocka_unit_test(test_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
