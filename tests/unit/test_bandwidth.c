/* SPDX-License-Identifier: Apache-2.0 */
/* Rates out of made-up counters: the times and figures are the test's, nothing is read. */
#include "agent/link/bandwidth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS        1000000ull
#define S         (1000 * MS)
#define TX        TRAFFIC_SENT
#define RX        TRAFFIC_RECEIVED
#define MTU_FRAME 1514u

/* A host with one interface and one endpoint, whose counters the tests advance. */
struct host {
	struct traffic_sample sample;
	struct bandwidth bandwidth;
};

static struct host *host_new(void)
{
	struct host *host = calloc(1, sizeof(*host));
	struct traffic_interface_sample *mi0;

	assert_non_null(host);
	mi0 = &host->sample.interfaces[0];
	host->sample.at_ns = 1000 * S;
	host->sample.n_interfaces = host->sample.n_endpoints = 1;
	memcpy(mi0->name, "mi0", sizeof("mi0"));
	mi0->ifindex = 7;
	mi0->epoch = 1;
	mi0->source = TRAFFIC_SOURCE_TCX;
	mi0->counters[TX].wire_bytes = mi0->link.bytes[TX] = 5000000; /* of before we looked */
	host->sample.endpoints[0].endpoint = (struct traffic_endpoint){
		.port = 49152, .port_is_remote = true, .remote_address = { 0, 0, 1, 2 }
	};
	host->sample.endpoints[0].epoch = 2;
	host->sample.endpoints[0].counted = true;
	bandwidth_update(&host->bandwidth, &host->sample);
	return host;
}

static struct traffic_interface_sample *mi0_of(struct host *host)
{
	return &host->sample.interfaces[0];
}

static const struct bandwidth_interface *rates_of(const struct host *host)
{
	const struct bandwidth_interface *found = bandwidth_find_interface(&host->bandwidth, "mi0");

	assert_non_null(found);
	return found;
}

/* Lets @span_ns pass in which @frames full frames are sent, @seen of them past our program. */
static void send_frames(struct host *host, uint64_t span_ns, uint64_t frames, uint64_t seen)
{
	struct traffic_interface_sample *mi0 = mi0_of(host);

	host->sample.at_ns += span_ns;
	mi0->counters[TX].wire_bytes += seen * MTU_FRAME;
	mi0->counters[TX].frames += seen;
	mi0->counters[TX].skbs += seen;
	mi0->link.bytes[TX] += frames * MTU_FRAME;
	mi0->link.packets[TX] += frames;
	bandwidth_update(&host->bandwidth, &host->sample);
}

static void test_first_sample_says_nothing(void **state)
{
	/* One reading gives no rate, and says so instead of showing the counters' past as a rate. */
	struct host *host = host_new();

	(void)state;
	assert_false(rates_of(host)->known);
	assert_int_equal(rates_of(host)->rates[TX].bytes_per_s, 0);
	assert_true(bandwidth_age_ms(rates_of(host), 2000 * S) == UINT64_MAX);
	free(host);
}

static void test_rates_by_class(void **state)
{
	/* A second's counters become a second's rates: all, migrations, strangers, frames. */
	struct host *host = host_new();
	struct traffic_interface_sample *mi0 = mi0_of(host);
	const struct bandwidth_interface *rates;

	(void)state;
	mi0->counters[TX].wire_bytes += 1000000;
	mi0->counters[TX].frames += 700;
	mi0->counters[TX].skbs += 20;
	mi0->counters[TX].migration_wire_bytes += 900000;
	mi0->counters[TX].unregistered_wire_bytes += 5000;
	mi0->counters[RX].wire_bytes += 30000;
	mi0->counters[RX].frames += 400;
	host->sample.at_ns += 1 * S;
	bandwidth_update(&host->bandwidth, &host->sample);

	rates = rates_of(host);
	assert_true(rates->known && rates->classified && !rates->blind);
	assert_int_equal(rates->source, TRAFFIC_SOURCE_TCX);
	assert_int_equal(rates->rates[TX].bytes_per_s, 1000000);
	assert_int_equal(rates->rates[TX].packets_per_s, 700);
	assert_int_equal(rates->rates[TX].migration_bytes_per_s, 900000);
	assert_int_equal(rates->rates[TX].unregistered_bytes_per_s, 5000);
	assert_int_equal(rates->rates[RX].bytes_per_s, 30000);
	assert_int_equal(rates->rates[RX].packets_per_s, 400);
	assert_int_equal(bandwidth_age_ms(rates, host->sample.at_ns + 1500 * MS), 1500);
	assert_int_equal(bandwidth_age_ms(rates, host->sample.at_ns - 1), 0);
	free(host);
}

static void test_real_length_of_a_window(void **state)
{
	/* A late timer does not raise the rate, and a sample right after another is joined with the
	 * next instead of dividing by next to nothing. */
	struct host *host = host_new();

	(void)state;
	send_frames(host, 1600 * MS, 1600, 1600);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 1000);
	send_frames(host, 1 * MS, 50, 50);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 1000);
	send_frames(host, 999 * MS, 450, 450);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 500);
	free(host);
}

static void test_reset_is_skipped(void **state)
{
	/* Counters that begin anew give no window, neither a negative nor a huge one; the window
	 * after that counts again. */
	struct host *host = host_new();

	(void)state;
	send_frames(host, 1 * S, 1000, 1000);
	mi0_of(host)->counters[TX].wire_bytes = 0;
	mi0_of(host)->counters[TX].frames = 0;
	send_frames(host, 1 * S, 10, 10);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 1000);
	send_frames(host, 1 * S, 200, 200);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 200);
	free(host);
}

static void test_new_epoch_is_unknown_at_first(void **state)
{
	/* Counters that began anew may be higher by then; the epoch tells it all the same. */
	struct host *host = host_new();

	(void)state;
	send_frames(host, 1 * S, 1000, 1000);
	mi0_of(host)->epoch = 9;
	send_frames(host, 1 * S, 5000, 5000);
	assert_false(rates_of(host)->known);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 0);
	send_frames(host, 1 * S, 300, 300);
	assert_true(rates_of(host)->known);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 300);
	free(host);
}

static void test_absent_interface(void **state)
{
	/* While an interface does not exist its rates are unknown and its source is none. */
	struct host *host = host_new();

	(void)state;
	send_frames(host, 1 * S, 1000, 1000);
	mi0_of(host)->ifindex = 0;
	mi0_of(host)->source = TRAFFIC_SOURCE_NONE;
	memset(mi0_of(host)->counters, 0, sizeof(mi0_of(host)->counters));
	memset(&mi0_of(host)->link, 0, sizeof(mi0_of(host)->link));
	for (int i = 0; i < 3; i++) {
		send_frames(host, 1 * S, 0, 0);
		assert_false(rates_of(host)->known);
		assert_int_equal(rates_of(host)->source, TRAFFIC_SOURCE_NONE);
	}
	free(host);
}

static void test_averages_decay_with_time(void **state)
{
	/* After a step from 0 to a steady rate, the average has gone 63 % of the way after its time
	 * constant, whether it was fed often or seldom. */
	uint64_t steps_ms[] = { 100, 250, 1000, 2000 };

	(void)state;
	for (size_t i = 0; i < sizeof(steps_ms) / sizeof(steps_ms[0]); i++) {
		struct host *host = host_new();
		uint64_t average;

		send_frames(host, 1 * S, 0, 0);
		for (uint64_t ms = 0; ms < 2000; ms += steps_ms[i])
			send_frames(host, steps_ms[i] * MS, steps_ms[i], steps_ms[i]);
		average = rates_of(host)->rates[TX].short_bytes_per_s;
		assert_in_range(average, 631 * MTU_FRAME, 633 * MTU_FRAME);
		average = rates_of(host)->rates[TX].long_bytes_per_s;
		assert_in_range(average, 64 * MTU_FRAME, 65 * MTU_FRAME);
		free(host);
	}
}

static void test_rtnl_knows_no_classes(void **state)
{
	/* Without eBPF the totals are the kernel's, and migrations are unknown rather than 0. */
	struct host *host = host_new();

	(void)state;
	mi0_of(host)->source = TRAFFIC_SOURCE_RTNL;
	mi0_of(host)->epoch++;
	send_frames(host, 1 * S, 0, 0);
	send_frames(host, 1 * S, 100, 0);
	assert_true(rates_of(host)->known);
	assert_false(rates_of(host)->classified);
	assert_false(rates_of(host)->blind);
	assert_int_equal(rates_of(host)->source, TRAFFIC_SOURCE_RTNL);
	assert_int_equal(rates_of(host)->rates[TX].bytes_per_s, 100 * MTU_FRAME);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 100);
	free(host);
}

static void test_blindness(void **state)
{
	/* Ten seconds of seeing less than 80 % of the packets make an interface blind: its rates
	 * are the kernel's from then on. Ten good seconds make it see again. */
	struct host *host = host_new();

	(void)state;
	for (int second = 1; second <= 9; second++) {
		send_frames(host, 1 * S, 1000, 790);
		assert_false(rates_of(host)->blind);
	}
	send_frames(host, 1 * S, 1000, 790);
	assert_true(rates_of(host)->blind);
	assert_false(rates_of(host)->classified);
	assert_int_equal(rates_of(host)->source, TRAFFIC_SOURCE_RTNL);
	assert_int_equal(rates_of(host)->rates[TX].packets_per_s, 1000);

	for (int second = 1; second <= 9; second++) {
		send_frames(host, 1 * S, 1000, 1000);
		assert_true(rates_of(host)->blind);
	}
	send_frames(host, 1 * S, 1000, 1000);
	assert_false(rates_of(host)->blind);
	assert_int_equal(rates_of(host)->source, TRAFFIC_SOURCE_TCX);
	assert_true(rates_of(host)->classified);
	free(host);
}

static void test_evidence(void **state)
{
	/* Bytes that were not counted were not there only as long as nothing hides them: the first
	 * window that looks blind ends that, and so does a reading that is two seconds old. */
	struct host *host = host_new();

	(void)state;
	assert_false(bandwidth_is_evidence(rates_of(host), host->sample.at_ns));
	send_frames(host, 1 * S, 1000, 1000);
	assert_true(bandwidth_is_evidence(rates_of(host), host->sample.at_ns));
	assert_true(bandwidth_is_evidence(rates_of(host), host->sample.at_ns + 1999 * MS));
	assert_false(bandwidth_is_evidence(rates_of(host), host->sample.at_ns + 2000 * MS));
	send_frames(host, 1 * S, 1000, 0);
	assert_false(rates_of(host)->blind);
	assert_false(bandwidth_is_evidence(rates_of(host), host->sample.at_ns));
	send_frames(host, 1 * S, 1000, 1000);
	assert_true(bandwidth_is_evidence(rates_of(host), host->sample.at_ns));
	free(host);
}

static void test_no_false_alarm_of_blindness(void **state)
{
	/* One good second in between, idle time, a handful of packets, or more frames than the
	 * kernel counts packets (it counts them before segmentation) are no blindness. */
	struct host *host = host_new();

	(void)state;
	for (int second = 1; second <= 60; second++) {
		send_frames(host, 1 * S, 1000, second % 9 ? 100 : 1000);
		assert_false(rates_of(host)->blind);
	}
	send_frames(host, 1 * S, 1000, 1000);
	for (int second = 1; second <= 60; second++)
		send_frames(host, 1 * S, BANDWIDTH_BLIND_PACKETS - 1, 0);
	assert_false(rates_of(host)->blind);
	for (int second = 1; second <= 60; second++)
		send_frames(host, 1 * S, 100, 4500);
	assert_false(rates_of(host)->blind);
	free(host);
}

static void test_endpoint_rates_and_totals(void **state)
{
	/* A migration's port has rates per window and totals since it was registered; registered
	 * again it starts from 0; gone from the sample it is forgotten. */
	struct host *host = host_new();
	struct traffic_endpoint_sample *port = &host->sample.endpoints[0];
	const struct bandwidth_endpoint *rates;

	(void)state;
	for (int second = 0; second < 3; second++) {
		port->counters.wire_bytes[TX] += 1046;
		port->counters.payload_bytes[TX] += 1000;
		port->counters.wire_bytes[RX] += 66;
		send_frames(host, 1 * S, 1, 1);
	}
	rates = bandwidth_find_endpoint(&host->bandwidth, &port->endpoint);
	assert_non_null(rates);
	assert_true(rates->known);
	assert_int_equal(rates->wire_bytes_per_s[TX], 1046);
	assert_int_equal(rates->payload_bytes_per_s[TX], 1000);
	assert_int_equal(rates->wire_bytes_per_s[RX], 66);
	assert_int_equal(rates->wire_bytes[TX], 3 * 1046);
	assert_int_equal(rates->payload_bytes[TX], 3000);

	port->epoch++;
	port->counters = (struct traffic_endpoint_value){ .wire_bytes = { 0, 9000 } };
	send_frames(host, 1 * S, 1, 1);
	rates = bandwidth_find_endpoint(&host->bandwidth, &port->endpoint);
	assert_false(rates->known);
	assert_int_equal(rates->wire_bytes_per_s[TX], 0);
	assert_int_equal(rates->wire_bytes[TX], 9000);

	host->sample.n_endpoints = 0;
	send_frames(host, 1 * S, 1, 1);
	assert_null(bandwidth_find_endpoint(&host->bandwidth, &port->endpoint));
	free(host);
}

static void test_uncounted_endpoint(void **state)
{
	/* Where there is no eBPF, a migration's rate is unknown, not 0. */
	struct host *host = host_new();

	(void)state;
	host->sample.endpoints[0].counted = false;
	for (int second = 0; second < 3; second++)
		send_frames(host, 1 * S, 1, 1);
	assert_false(bandwidth_find_endpoint(&host->bandwidth, &host->sample.endpoints[0].endpoint)
	                     ->known);
	free(host);
}

static void test_samples_out_of_order(void **state)
{
	/* An older sample than the last changes nothing. */
	struct host *host = host_new();
	struct bandwidth before;

	(void)state;
	send_frames(host, 1 * S, 1000, 1000);
	before = host->bandwidth;
	host->sample.at_ns -= 500 * MS;
	bandwidth_update(&host->bandwidth, &host->sample);
	assert_memory_equal(&before, &host->bandwidth, sizeof(before));
	free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_sample_says_nothing),
		cmocka_unit_test(test_rates_by_class),
		cmocka_unit_test(test_real_length_of_a_window),
		cmocka_unit_test(test_reset_is_skipped),
		cmocka_unit_test(test_new_epoch_is_unknown_at_first),
		cmocka_unit_test(test_absent_interface),
		cmocka_unit_test(test_averages_decay_with_time),
		cmocka_unit_test(test_rtnl_knows_no_classes),
		cmocka_unit_test(test_blindness),
		cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_no_false_alarm_of_blindness),
		cmocka_unit_test(test_endpoint_rates_and_totals),
		cmocka_unit_test(test_uncounted_endpoint),
		cmocka_unit_test(test_samples_out_of_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
