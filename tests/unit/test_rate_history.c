/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes' interfaces have carried, from made-up reports: times and figures are the test's. */
#include "common/units.h"
#include "coordinator/core/predict/rate_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS ((uint64_t)3600000)
#define DAY_MS  (24 * HOUR_MS)

static const struct id first_agent = { .bytes = { 1 } }, second_agent = { .bytes = { 2 } };

struct run {
	struct rate_history *h;
	uint64_t now_ms;
	const struct id *agent;
};

static int begin(void **state)
{
	struct run *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->h = rate_history_new();
	/* On the boundary of a bucket: what a bucket holds is then plain to say. */
	r->now_ms = 100 * (uint64_t)RATE_BUCKET_MS;
	r->agent = &first_agent;
	*state = r;
	return 0;
}

static int end(void **state)
{
	struct run *r = *state;

	rate_history_free(r->h);
	free(r);
	return 0;
}

static void report(struct run *r, uint64_t later_ms, uint64_t sent)
{
	struct interface_rate rate = { .name = "mi0",
		                       .source = "ebpf-tcx",
		                       .tx_bytes_per_s = sent,
		                       .rx_bytes_per_s = sent / 10,
		                       .migration_tx_bytes_per_s = sent / 2,
		                       .link_bytes_per_s = 1000 * MIB };

	r->now_ms += later_ms;
	rate_history_add(r->h, r->agent, &rate, 1, r->now_ms);
}

static void reports(struct run *r, unsigned n, uint64_t later_ms, uint64_t sent)
{
	for (unsigned i = 0; i < n; i++)
		report(r, later_ms, sent);
}

static struct rate_sum sum(const struct run *r, uint64_t range_ms)
{
	struct rate_sum s;

	rate_history_sum(r->h, "mi0", range_ms, r->now_ms, &s);
	return s;
}

/* Floats have seven digits. */
static void assert_about(uint64_t measured, uint64_t expected)
{
	assert_in_range(measured, expected - expected / 10000 - 1, expected + expected / 10000 + 1);
}

static void test_now_and_means(void **state)
{
	/* The last report is what is carried now; a mean is over what is asked for. */
	struct run *r = *state;
	const struct rate_now *now[RATE_INTERFACES];

	reports(r, 60, 1000, 10 * MIB);
	reports(r, 60, 1000, 30 * MIB);
	assert_int_equal(rate_history_get(r->h, now), 1);
	assert_string_equal(now[0]->name, "mi0");
	assert_string_equal(now[0]->source, "ebpf-tcx");
	assert_int_equal(now[0]->rates[RATE_SENT], 30 * MIB);
	assert_int_equal(now[0]->rates[RATE_MIGRATION_SENT], 15 * MIB);
	assert_int_equal(now[0]->link_bytes_per_s, 1000 * MIB);
	assert_int_equal(now[0]->at_ms, r->now_ms);
	assert_about(sum(r, 30000).mean[RATE_SENT], 30 * MIB);
	assert_about(sum(r, 600000).mean[RATE_SENT], 20 * MIB);
	assert_about(sum(r, 600000).mean[RATE_RECEIVED], 2 * MIB);
	assert_about(sum(r, 600000).most[RATE_SENT], 30 * MIB);
	assert_int_equal(sum(r, 600000).covered_ms, 120000);
}

static void test_bytes_are_kept(void **state)
{
	/* Reports that come when they come, some twice in a second, some in none: a mean times the time that it
	 * covers is the bytes that were counted, of seconds and of buckets alike. */
	struct run *r = *state;
	uint64_t later_ms[] = { 1000, 3, 1490, 700, 1, 1200, 999, 450 };
	double bytes = MIB; /* the first report covers a second */

	report(r, 1000, MIB);
	for (unsigned i = 0; i < 800; i++) {
		uint64_t rate = (uint64_t)(rand() % 1000) * MIB / 100, later = later_ms[i % 8];

		/* Those of the last ten minutes only: the ring is as long. */
		report(r, later, rate);
		bytes += (double)rate * (double)later / 1000;
	}
	assert_true(r->now_ms < 100 * (uint64_t)RATE_BUCKET_MS + 590000);
	assert_about((uint64_t)((double)sum(r, 600000).mean[RATE_SENT] *
	                        (double)sum(r, 600000).covered_ms / 1000),
	             (uint64_t)bytes);
	assert_about((uint64_t)((double)sum(r, DAY_MS).mean[RATE_SENT] *
	                        (double)sum(r, DAY_MS).covered_ms / 1000),
	             (uint64_t)bytes);
}

static void test_gaps_stay_gaps(void **state)
{
	/* Lost reports are no zeros: they are in no mean, and each part says how much of it is known. */
	struct run *r = *state;
	struct rate_sum parts[4];

	report(r, 0, 10 * MIB);
	reports(r, 20, 1000, 10 * MIB);
	report(r, 21000, 10 * MIB);
	reports(r, 18, 1000, 10 * MIB);
	/* Of the 60 seconds 21 + 1 + 18 are known: what a late report covers is its last second. */
	assert_int_equal(sum(r, 61000).covered_ms, 40000);
	assert_about(sum(r, 61000).mean[RATE_SENT], 10 * MIB);
	rate_history_list(r->h, "mi0", 60000, r->now_ms, parts, 4);
	/* The last second has just begun, so the parts end in it. */
	assert_int_equal(parts[0].covered_ms, 15000);
	assert_int_equal(parts[1].covered_ms, 5000);
	assert_int_equal(parts[2].covered_ms, 5000);
	assert_int_equal(parts[3].covered_ms, 14000);
	/* Nothing more is heard: then nothing is known, and what is older goes out of sight. */
	r->now_ms += 59000;
	assert_int_equal(sum(r, 10000).covered_ms, 0);
	assert_int_equal(sum(r, 10000).mean[RATE_SENT], 0);
	r->now_ms += 600000;
	assert_int_equal(sum(r, 600000).covered_ms, 0);
	assert_int_equal(sum(r, DAY_MS).covered_ms, 40000);
	r->now_ms += DAY_MS;
	assert_int_equal(sum(r, DAY_MS).covered_ms, 0);
	report(r, 1000, MIB);
	assert_int_equal(sum(r, DAY_MS).covered_ms, 1000);
}

static void test_unknown(void **state)
{
	/* An interface without counters carries nobody knows what, not nothing; one that nobody has heard of
	 * likewise. */
	struct run *r = *state;
	struct interface_rate rate = { .name = "mi0", .source = "none", .tx_bytes_per_s = 5 };
	const struct rate_now *now[RATE_INTERFACES];

	rate_history_add(r->h, r->agent, &rate, 1, r->now_ms);
	assert_int_equal(sum(r, 600000).covered_ms, 0);
	reports(r, 10, 1000, MIB);
	for (unsigned i = 0; i < 10; i++) {
		r->now_ms += 1000;
		rate_history_add(r->h, r->agent, &rate, 1, r->now_ms);
	}
	assert_int_equal(sum(r, 600000).covered_ms, 10000);
	assert_about(sum(r, 600000).mean[RATE_SENT], MIB);
	assert_int_equal(rate_history_get(r->h, now), 1);
	assert_string_equal(now[0]->source, "none");
	rate.source[0] = 0;
	r->now_ms += 1000;
	rate_history_add(r->h, r->agent, &rate, 1, r->now_ms);
	assert_string_equal(now[0]->source, "none");
	rate_history_sum(r->h, "mi9", 1000, r->now_ms, &(struct rate_sum){ 0 });
	assert_int_equal(sum(r, 1).covered_ms, 0);
}

static void test_restarted_agent(void **state)
{
	/* A new agent says nothing of the time before it: that is a gap, also a short one. */
	struct run *r = *state;

	reports(r, 10, 1000, MIB);
	r->agent = &second_agent;
	report(r, 5000, 100 * MIB);
	assert_int_equal(sum(r, 600000).covered_ms, 11000);
	r->agent = &first_agent;
	report(r, 300, 100 * MIB);
	assert_int_equal(sum(r, 600000).covered_ms, 11300);
	/* A clock that stands still, or the same report twice, adds nothing. */
	report(r, 0, 100 * MIB);
	assert_int_equal(sum(r, 600000).covered_ms, 11300);
}

static void test_first_moments(void **state)
{
	/* Of a clock that has only begun nothing is earlier than its beginning. */
	struct run *r = *state;

	r->now_ms = 400;
	report(r, 0, MIB);
	assert_int_equal(sum(r, 600000).covered_ms, 400);
	report(r, 1000, MIB);
	assert_int_equal(sum(r, 600000).covered_ms, 1400);
	assert_int_equal(sum(r, DAY_MS).covered_ms, 1400);
}

static void test_a_day(void **state)
{
	/* A day in buckets: a mean of all, and the busiest second, which no mean shows. */
	struct run *r = *state;
	struct rate_sum parts[24];
	uint64_t i;

	for (i = 0; i < 26 * 3600; i++)
		report(r, 1000, i == 20 * 3600 + 1800 ? 900 * MIB : (i / 3600) * MIB);
	rate_history_list(r->h, "mi0", DAY_MS, r->now_ms, parts, 24);
	/* The last bucket is empty yet: it has just begun. */
	assert_int_equal(parts[23].covered_ms, HOUR_MS - RATE_BUCKET_MS);
	assert_about(parts[23].mean[RATE_SENT], 25 * MIB);
	assert_int_equal(parts[3].covered_ms, HOUR_MS);
	assert_about(parts[18].most[RATE_SENT], 900 * MIB);
	assert_about(parts[17].most[RATE_SENT], 20 * MIB);
	assert_true(sum(r, DAY_MS).most[RATE_SENT] > 899 * MIB);
	assert_true(sum(r, DAY_MS).mean[RATE_SENT] < 30 * MIB);
	/* In the last ten minutes there was none of that. */
	assert_about(sum(r, 600000).most[RATE_SENT], 25 * MIB);
}

static void test_busiest_second(void **state)
{
	/* Half a second of a report that ended in it is not called busy for the whole; and what is known of a
	 * second for a moment only is not called the busiest. */
	struct run *r = *state;

	report(r, 1000, MIB);
	report(r, 20000 + 100, 500 * MIB); /* its second is 900 ms of one and 100 ms of the next */
	r->now_ms += 30000;
	assert_about(sum(r, 600000).most[RATE_SENT], 500 * MIB);
	assert_int_equal(sum(r, 600000).covered_ms, 2000);
}

static void test_bounded(void **state)
{
	/* Of more interfaces than are kept the first are; one that is gone for a day makes place. */
	struct run *r = *state;
	struct interface_rate rates[RATE_INTERFACES + 2] = { 0 };
	const struct rate_now *now[RATE_INTERFACES];
	struct rate_sum s;

	for (size_t i = 0; i < RATE_INTERFACES + 2; i++) {
		snprintf(rates[i].name, sizeof(rates[i].name), "if%zu", i);
		strcpy(rates[i].source, "rtnl");
		rates[i].tx_bytes_per_s = i * MIB;
	}
	rate_history_add(r->h, r->agent, rates, RATE_INTERFACES + 2, r->now_ms);
	assert_int_equal(rate_history_get(r->h, now), RATE_INTERFACES);
	assert_int_equal(rate_history_left_out(r->h), 2);
	r->now_ms += DAY_MS + 1000;
	rate_history_add(r->h, r->agent, rates + 1, RATE_INTERFACES, r->now_ms);
	assert_int_equal(rate_history_get(r->h, now), RATE_INTERFACES);
	assert_int_equal(rate_history_left_out(r->h), 0);
	rate_history_sum(r->h, "if0", 1000, r->now_ms, &s);
	assert_int_equal(s.covered_ms, 0);
	rate_history_sum(r->h, "if4", 2000, r->now_ms, &s);
	assert_about(s.mean[RATE_SENT], 4 * MIB);
}

static void test_fit(void **state)
{
	/* A wish is made into what is kept: whole seconds up to ten minutes, buckets beyond, not too many. */
	static const struct {
		uint64_t range_ms, step_ms, fit_range_ms, fit_step_ms;
	} rows[] = {
		{ 60000, 0, 60000, 1000 },
		{ 60000, 1, 60000, 1000 },
		{ 60000, 7000, 63000, 7000 },
		{ 600000, 7000, 595000, 7000 },
		{ 600001, 0, 900000, 300000 },
		{ DAY_MS, HOUR_MS, DAY_MS, HOUR_MS },
		{ DAY_MS, 0, DAY_MS, 300000 },
		{ 600000, 1000, 600000, 1000 },
		{ 5000, 9000, 5000, 5000 },
		{ 1, 0, 1000, 1000 },
		{ DAY_MS, 7 * HOUR_MS, 21 * HOUR_MS, 7 * HOUR_MS },
	};
	uint64_t range_ms, step_ms;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		range_ms = rows[i].range_ms;
		step_ms = rows[i].step_ms;
		assert_int_equal(rate_history_fit(&range_ms, &step_ms, 600, &err), 0);
		assert_int_equal(range_ms, rows[i].fit_range_ms);
		assert_int_equal(step_ms, rows[i].fit_step_ms);
	}
	range_ms = 600000;
	step_ms = 1000;
	assert_int_equal(rate_history_fit(&range_ms, &step_ms, 30, &err), 0);
	assert_int_equal(step_ms, 20000);
	range_ms = 0;
	assert_int_equal(rate_history_fit(&range_ms, &step_ms, 30, &err), -ERROR_INVALID);
	range_ms = DAY_MS + 1;
	assert_int_equal(rate_history_fit(&range_ms, &step_ms, 30, &err), -ERROR_INVALID);
}

#define RUN(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUN(test_now_and_means), RUN(test_bytes_are_kept),  RUN(test_gaps_stay_gaps),
		RUN(test_unknown),       RUN(test_restarted_agent), RUN(test_first_moments),
		RUN(test_a_day),         RUN(test_busiest_second),  RUN(test_bounded),
		RUN(test_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
