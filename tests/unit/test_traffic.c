/* SPDX-License-Identifier: Apache-2.0 */
/* The counters against a real kernel: a veth pair between two network namespaces, real TCP and a few
 * odd frames, by all three sources. Skipped where namespaces or eBPF are not permitted. */
#include "common/alloc.h"
#include "tests/shell.h"
#include "tests/unit/traffic_fixture.h"
#include "tests/unit/veth_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TRANSFER_BYTES (16u << 20)
#define ETHERNET_BYTES 14
#define TIMESTAMPS     12 /* TCP options of every segment of an established connection */
#define SYN_OPTIONS    20 /* at most this much more in the two first ones */

/* What a TCP connection that sent @sent_bytes, retransmissions included, must have put on the wire in
 * the direction of its data: each frame has headers of @header_bytes, the first ones a little more. */
static void check_wire(const struct traffic_endpoint_value *counters, int direction,
                       uint64_t sent_bytes, uint64_t header_bytes)
{
	uint64_t payload = counters->payload_bytes[direction];
	uint64_t expected = payload + counters->frames[direction] * header_bytes;

	/* A packet may get lost on the way to us, but not on the way out. */
	if (direction == TX)
		assert_int_equal(payload, sent_bytes);
	assert_in_range(payload, TRANSFER_BYTES, sent_bytes);
	assert_in_range(counters->wire_bytes[direction], expected, expected + 2 * SYN_OPTIONS);
	/* Full segments at an MTU of 1500, whatever the size of the packets our program saw. */
	assert_in_range(counters->frames[direction], payload / 1448, payload / 1200);
}

static void check_transfer(enum traffic_source best, enum traffic_source expected)
{
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(best);
	_cleanup_free_ struct traffic_sample *before = NULL, *sample = NULL;
	const struct traffic_interface_sample *mi0;
	const struct traffic_interface_value *tx, *rx;
	uint64_t sent_bytes, peer_sent_bytes;

	fixture_register(traffic, VETH_PEER4, 49152, true);
	fixture_register(traffic, VETH_PEER6, 49153, false);
	veth_bring_up();
	before = fixture_read_settled(traffic);
	sent_bytes = veth_transfer(true, false, 49152, TRANSFER_BYTES);
	peer_sent_bytes = veth_transfer(false, true, 49153, TRANSFER_BYTES);

	sample = fixture_read_settled(traffic);
	mi0 = &sample->interfaces[0];
	tx = &mi0->counters[TX];
	rx = &mi0->counters[RX];
	assert_int_equal(sample->n_interfaces, 1);
	assert_string_equal(mi0->name, VETH_OURS);
	if (mi0->source != expected)
		fail_msg("counted by %s: %s", traffic_source_name(mi0->source),
		         traffic_find_limit(traffic, VETH_OURS)->text);
	assert_int_equal(sample->n_endpoints, 2);
	assert_true(sample->endpoints[0].counted && sample->endpoints[1].counted);
	assert_int_equal(sample->unknown_interface_skbs, 0);

	check_wire(&sample->endpoints[0].counters, TX, sent_bytes,
	           ETHERNET_BYTES + 20 + 20 + TIMESTAMPS);
	check_wire(&sample->endpoints[1].counters, RX, peer_sent_bytes,
	           ETHERNET_BYTES + 40 + 20 + TIMESTAMPS);
	assert_int_equal(sample->endpoints[0].counters.payload_bytes[RX], 0);

	/* The interface's share of migrations is the sum of the endpoints. */
	assert_int_equal(tx->migration_wire_bytes,
	                 sample->endpoints[0].counters.wire_bytes[TX] +
	                         sample->endpoints[1].counters.wire_bytes[TX]);
	assert_int_equal(rx->migration_wire_bytes,
	                 sample->endpoints[0].counters.wire_bytes[RX] +
	                         sample->endpoints[1].counters.wire_bytes[RX]);
	assert_int_equal(tx->unregistered_wire_bytes, 0);
	assert_int_equal(rx->unregistered_wire_bytes, 0);

	/* The kernel counts the same packets on the link, and its bytes lack the headers of all
	 * frames but one of each packet: never more than ours, and here 4 % fewer. */
	fixture_assert_same_packets(before, sample);
	assert_true(tx->wire_bytes > mi0->link.bytes[TX]);
	assert_in_range(tx->wire_bytes, sent_bytes / 1000 * 1045, sent_bytes / 100 * 107);
	print_message("  %s: payload %llu, wire %llu (%.4f), link %llu, read in %llu us\n",
	              traffic_source_name(mi0->source),
	              (unsigned long long)sample->endpoints[0].counters.payload_bytes[TX],
	              (unsigned long long)sample->endpoints[0].counters.wire_bytes[TX],
	              (double)sample->endpoints[0].counters.wire_bytes[TX] / TRANSFER_BYTES,
	              (unsigned long long)mi0->link.bytes[TX],
	              (unsigned long long)sample->read_ns / 1000);
}

static void test_tcx_counts_exactly(void **state)
{
	/* At tcx, two real transfers are counted to the byte: payload, headers of every frame, both
	 * ways, IPv4 and IPv6; and packets agree with the kernel's own count. */
	(void)state;
	check_transfer(TRAFFIC_SOURCE_NONE, TRAFFIC_SOURCE_TCX);
}

static void test_clsact_counts_exactly(void **state)
{
	/* The same at clsact. */
	(void)state;
	check_transfer(TRAFFIC_SOURCE_CLSACT, TRAFFIC_SOURCE_CLSACT);
}

static void test_rtnl_counts_totals(void **state)
{
	/* Without eBPF the totals are there, endpoints say that they are not counted, and the
	 * reason is told. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_RTNL);
	_cleanup_free_ struct traffic_sample *sample = NULL;

	(void)state;
	fixture_register(traffic, VETH_PEER4, 49152, true);
	veth_bring_up();
	veth_transfer(true, false, 49152, TRANSFER_BYTES);
	sample = fixture_read_settled(traffic);
	assert_int_equal(sample->interfaces[0].source, TRAFFIC_SOURCE_RTNL);
	assert_true(sample->interfaces[0].link.bytes[TX] > TRANSFER_BYTES);
	assert_int_equal(sample->n_endpoints, 1);
	assert_false(sample->endpoints[0].counted);
	assert_string_equal(traffic_find_limit(traffic, VETH_OURS)->text,
	                    "eBPF is switched off by configuration");
}

static void test_strangers_in_the_range(void **state)
{
	/* TCP on a migration port of no migration we know is counted apart; other ports are neither
	 * migration nor stranger; an endpoint counts no more once it is unregistered. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *first = NULL, *second = NULL, *third = NULL;
	struct traffic_endpoint endpoint;

	(void)state;
	endpoint = fixture_register(traffic, VETH_PEER4, 49152, true);
	veth_bring_up();
	veth_transfer(true, false, 49153, 1 << 20);
	first = fixture_read_settled(traffic);
	assert_true(first->interfaces[0].counters[TX].unregistered_wire_bytes > 1 << 20);
	assert_int_equal(first->interfaces[0].counters[TX].migration_wire_bytes, 0);

	veth_transfer(true, false, 5201, 1 << 20);
	second = fixture_read_settled(traffic);
	assert_int_equal(second->interfaces[0].counters[TX].unregistered_wire_bytes,
	                 first->interfaces[0].counters[TX].unregistered_wire_bytes);
	assert_int_equal(second->interfaces[0].counters[TX].migration_wire_bytes, 0);

	traffic_unregister(traffic, &endpoint);
	veth_transfer(true, false, 49152, 1 << 20);
	third = fixture_read_settled(traffic);
	assert_int_equal(third->n_endpoints, 0);
	assert_int_equal(third->interfaces[0].counters[TX].migration_wire_bytes, 0);
}

/* An Ethernet frame with TCP to the peer's port 49152. Returns its length. */
static size_t build_frame(uint8_t *frame, bool tagged, bool from_peer, uint16_t payload_bytes)
{
	uint16_t total_bytes = (uint16_t)(40 + payload_bytes);
	size_t at = 12;

	memset(frame, 0, 14 + 4 + (size_t)total_bytes);
	memcpy(frame, "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x09", 12);
	if (tagged) {
		memcpy(frame + at, "\x81\x00\x00\x64", 4);
		at += 4;
	}
	memcpy(frame + at, "\x08\x00", 2);
	at += 2;
	frame[at] = 0x45;
	frame[at + 2] = (uint8_t)(total_bytes >> 8);
	frame[at + 3] = (uint8_t)total_bytes;
	frame[at + 8] = 64;
	frame[at + 9] = IPPROTO_TCP;
	inet_pton(AF_INET, from_peer ? VETH_PEER4 : VETH_OURS4, frame + at + 12);
	inet_pton(AF_INET, from_peer ? VETH_OURS4 : VETH_PEER4, frame + at + 16);
	memcpy(frame + at + 20, from_peer ? "\xc0\x00\x9c\x40" : "\x9c\x40\xc0\x00", 4);
	frame[at + 32] = 0x50;
	return at + total_bytes;
}

static void test_headers_out_of_direct_reach(void **state)
{
	/* Of a large frame of a packet socket only the Ethernet header can be read directly; its
	 * TCP header is found all the same. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *sample = NULL;
	uint8_t frame[9100];
	size_t bytes = build_frame(frame, false, false, 8000);

	(void)state;
	fixture_register(traffic, VETH_PEER4, 49152, true);
	veth_set_mtu(9000);
	veth_bring_up();
	veth_send_raw(frame, bytes);
	sample = fixture_read_arrived(traffic, TX, 1);
	assert_int_equal(sample->endpoints[0].counters.payload_bytes[TX], 8000);
	assert_int_equal(sample->endpoints[0].counters.wire_bytes[TX], bytes);
}

/* A busy machine drops frames that nobody has acknowledged before they are received; each that is
 * received is counted once. */
static struct traffic_sample *send_until_received(struct traffic *traffic, const uint8_t *frame,
                                                  size_t bytes)
{
	for (int i = 0; i < 20; i++) {
		_cleanup_free_ struct traffic_sample *sample = NULL;

		veth_peer_send_raw(frame, bytes);
		sample = fixture_read_settled(traffic);
		assert_true(sample->n_endpoints > 0);
		if (sample->endpoints[0].counters.frames[RX])
			return fixture_read_settled(traffic);
	}
	fail_msg("20 frames were sent and none was counted");
	abort();
}

static void test_tag_kept_aside(void **state)
{
	/* The receiving path takes a VLAN tag out of the frame before our program runs; it was on
	 * the wire and is counted. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *sample = NULL;
	uint64_t frames;
	uint8_t frame[1600];
	size_t bytes = build_frame(frame, true, true, 1000);

	(void)state;
	fixture_register(traffic, VETH_PEER4, 49152, true);
	veth_bring_up();
	sample = send_until_received(traffic, frame, bytes);
	frames = sample->endpoints[0].counters.frames[RX];
	assert_int_equal(bytes, 14 + 4 + 40 + 1000);
	assert_int_equal(sample->endpoints[0].counters.wire_bytes[RX], frames * bytes);
	assert_int_equal(sample->endpoints[0].counters.payload_bytes[RX], frames * 1000);
}

/* Sends the first packet of a connection, and waits for nothing. */
static void begin_to_connect(const char *address, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	assert_int_equal(errno, EINPROGRESS);
	close(fd);
}

static void test_where_it_goes(void **state)
{
	/* Each interface has its own count of an endpoint, also one that is watched later: which way
	 * the bytes take is seen. The endpoint's own counters are those of its main path. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *sample = NULL;
	const struct traffic_endpoint_sample *endpoint;
	uint64_t sent_bytes;
	struct error err;

	(void)state;
	fixture_register(traffic, VETH_PEER4, 49152, true);
	shell_run("ip link add other0 type veth peer name other1");
	assert_int_equal(traffic_watch_interface(traffic, "other0", &err), 0);
	fixture_register(traffic, VETH_PEER6, 49153, true);
	veth_bring_up();
	sent_bytes = veth_transfer(true, false, 49152, 1 << 20);
	shell_run("ip link set other1 up");
	shell_run("ip link set other0 arp off up");
	/* Its first packet takes the other way; nobody answers. */
	shell_run("ip route add " VETH_PEER4 "/32 dev other0");
	begin_to_connect(VETH_PEER4, 49152);
	shell_run("ip route del " VETH_PEER4 "/32 dev other0");

	sample = fixture_read_settled(traffic);
	endpoint = &sample->endpoints[0];
	assert_int_equal(sample->n_interfaces, 2);
	assert_int_equal(endpoint->by_interface[0].payload_bytes[TX], sent_bytes);
	assert_in_range(endpoint->by_interface[1].wire_bytes[TX], 54, 3 * 94);
	assert_int_equal(endpoint->by_interface[1].payload_bytes[TX], 0);
	assert_memory_equal(&endpoint->counters, &endpoint->by_interface[0],
	                    sizeof(endpoint->counters));
	assert_int_equal(sample->interfaces[1].counters[TX].migration_wire_bytes,
	                 endpoint->by_interface[1].wire_bytes[TX]);
	assert_int_equal(sample->endpoints[1].counters.wire_bytes[TX], 0);
	shell_run("ip link del other0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_tcx_counts_exactly),
		FIXTURE_TEST(test_clsact_counts_exactly),
		FIXTURE_TEST(test_rtnl_counts_totals),
		FIXTURE_TEST(test_strangers_in_the_range),
		FIXTURE_TEST(test_headers_out_of_direct_reach),
		FIXTURE_TEST(test_tag_kept_aside),
		FIXTURE_TEST(test_where_it_goes),
	};

	return fixture_run(tests, ARRAY_SIZE(tests));
}
