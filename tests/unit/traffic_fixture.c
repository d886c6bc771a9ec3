/* SPDX-License-Identifier: Apache-2.0 */
/* See traffic_fixture.h. */
#include "tests/unit/traffic_fixture.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "tests/unit/veth_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EXIT_SKIPPED 77
#define DEADLINE_MS  5000
#define QUIET_NS     10000000

struct traffic *fixture_open(enum traffic_source best)
{
	struct traffic_options options = { .port_low = 49152, .port_high = 49153, .best = best };
	struct traffic *traffic = NULL;
	struct error err = { 0 };

	if (traffic_open(&options, &traffic, &err) < 0)
		fail_msg("%s", err.text);
	return traffic;
}

struct traffic *fixture_open_and_watch(enum traffic_source best)
{
	struct traffic *traffic = fixture_open(best);
	struct error err = { 0 };

	if (traffic_watch_interface(traffic, VETH_OURS, &err) < 0)
		fail_msg("%s", err.text);
	return traffic;
}

struct traffic_endpoint fixture_register(struct traffic *traffic, const char *address,
                                         uint16_t port, bool port_is_remote)
{
	struct traffic_endpoint endpoint;
	struct error err = { 0 };

	assert_int_equal(traffic_endpoint_parse(address, port, port_is_remote, &endpoint, &err), 0);
	if (traffic_register(traffic, &endpoint, &err) < 0)
		fail_msg("%s", err.text);
	return endpoint;
}

struct traffic_sample *fixture_read(struct traffic *traffic)
{
	struct traffic_sample *sample = xnew(struct traffic_sample);
	struct error err = { 0 };

	if (traffic_read(traffic, sample, &err) < 0)
		fail_msg("%s", err.text);
	return sample;
}

static bool same_counters(const struct traffic_sample *a, const struct traffic_sample *b)
{
	return memcmp(&a->interfaces[0].link, &b->interfaces[0].link, sizeof(struct link_stats)) ==
	               0 &&
	       memcmp(a->interfaces[0].counters, b->interfaces[0].counters,
	              sizeof(a->interfaces[0].counters)) == 0;
}

struct traffic_sample *fixture_read_settled(struct traffic *traffic)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	struct traffic_sample *sample = fixture_read(traffic);

	for (;;) {
		struct traffic_sample *next = fixture_read(traffic);

		if (!same_counters(sample, next)) {
			free(sample);
			sample = next;
		} else if (next->at_ns - sample->at_ns < QUIET_NS) {
			free(next);
		} else {
			free(sample);
			return next;
		}
		assert_true(clock_now_ms() < deadline_ms);
	}
}

struct traffic_sample *fixture_read_arrived(struct traffic *traffic, int direction, uint64_t frames)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS, counted;

	do {
		_cleanup_free_ struct traffic_sample *sample = fixture_read(traffic);

		assert_true(sample->n_endpoints > 0);
		counted = sample->endpoints[0].counters.frames[direction];
		if (clock_now_ms() > deadline_ms)
			fail_msg("%llu of %llu frames were counted", (unsigned long long)counted,
			         (unsigned long long)frames);
	} while (counted < frames);
	return fixture_read_settled(traffic);
}

void fixture_assert_same_packets(const struct traffic_sample *before,
                                 const struct traffic_sample *after)
{
	const struct traffic_interface_sample *was = &before->interfaces[0];
	const struct traffic_interface_sample *is = &after->interfaces[0];

	for (int direction = 0; direction < 2; direction++) {
		assert_int_equal(is->counters[direction].skbs - was->counters[direction].skbs,
		                 is->link.packets[direction] - was->link.packets[direction]);
		assert_int_equal(is->counters[direction].skb_bytes -
		                         was->counters[direction].skb_bytes,
		                 is->link.bytes[direction] - was->link.bytes[direction]);
	}
}

int fixture_setup(void **state)
{
	(void)state;
	veth_create();
	return 0;
}

int fixture_teardown(void **state)
{
	(void)state;
	veth_delete();
	return 0;
}

int fixture_run(const struct CMUnitTest *tests, size_t n_tests)
{
	const char *why = veth_peer_start();
	struct traffic *probe;
	struct error limit;
	int rc;

	if (why) {
		printf("skipped: %s\n", why);
		veth_peer_stop();
		return EXIT_SKIPPED;
	}
	probe = fixture_open(TRAFFIC_SOURCE_NONE);
	limit = *traffic_get_limit(probe);
	traffic_close(probe);
	if (limit.code == ERROR_PERMISSION) {
		printf("skipped: %s\n", limit.text);
		veth_peer_stop();
		return EXIT_SKIPPED;
	}
	rc = _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL);
	veth_peer_stop();
	return rc;
}
