/* SPDX-License-Identifier: Apache-2.0 */
/* The counting program alone, fed with crafted frames by BPF_PROG_TEST_RUN: no interface carries
 * them, and every counter can be foretold to the byte. Skipped where eBPF is not permitted. */
#include "common/alloc.h"
#include "traffic.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ebpf/traffic_map.h"

#define NEXT          (-1)
#define FRAME_BYTES   3400 /* BPF_PROG_TEST_RUN takes a little less than a page */
#define PEER          "10.9.0.2"
#define PEER6         "fd00:9::2"
#define STRANGER      "10.9.0.77"
#define EXIT_SKIPPED  77
#define RANDOM_FRAMES 100000
#define RANDOM_SEED   20241120u

enum class { OTHER, MIGRATION, UNREGISTERED };

struct frame {
	uint8_t bytes[FRAME_BYTES];
	size_t length;
};

/* One row: a frame, and what must come of it. Zero means the usual. */
struct row {
	const char *sentence;
	bool v6;
	int tags;            /* VLAN tags in the frame */
	uint8_t ip_protocol; /* 0: TCP */
	uint16_t fragment;   /* flags and offset of IPv4 */
	int ip_option_bytes;
	int tcp_option_bytes;
	uint16_t local, remote; /* ports */
	const char *remote_address;
	size_t payload_bytes;
	size_t padding_bytes; /* after the packet's end */
	size_t cut_bytes;     /* the frame ends here */
	bool no_length;       /* its IP header tells none */
	uint16_t ethertype;   /* another one than IP */
	uint32_t gso_size, gso_segs;
	/* expected */
	enum class class;
	uint64_t frames;       /* 0: one */
	uint64_t header_bytes; /* that each frame after the first repeats */
};

static struct traffic_bpf *skeleton;
static uint32_t loopback;

static size_t put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return 2;
}

static size_t put_ipv4(uint8_t *at, const struct row *row, int direction, size_t inner_bytes)
{
	size_t header_bytes = 20 + (size_t)row->ip_option_bytes;
	uint8_t *peer = direction == TRAFFIC_SENT ? at + 16 : at + 12;
	uint8_t *self = direction == TRAFFIC_SENT ? at + 12 : at + 16;

	memset(at, 0, header_bytes);
	at[0] = (uint8_t)(0x40 | header_bytes / 4);
	put16(at + 2, row->no_length ? 0 : (uint16_t)(header_bytes + inner_bytes));
	put16(at + 6, row->fragment);
	at[8] = 64;
	at[9] = row->ip_protocol ? row->ip_protocol : IPPROTO_TCP;
	assert_int_equal(inet_pton(AF_INET, row->remote_address ? row->remote_address : PEER, peer),
	                 1);
	assert_int_equal(inet_pton(AF_INET, "10.9.0.1", self), 1);
	return header_bytes;
}

static size_t put_ipv6(uint8_t *at, const struct row *row, int direction, size_t inner_bytes)
{
	memset(at, 0, 40);
	at[0] = 0x60;
	put16(at + 4, row->no_length ? 0 : (uint16_t)inner_bytes);
	at[6] = row->ip_protocol ? row->ip_protocol : IPPROTO_TCP;
	at[7] = 64;
	assert_int_equal(inet_pton(AF_INET6, row->remote_address ? row->remote_address : PEER6,
	                           direction == TRAFFIC_SENT ? at + 24 : at + 8),
	                 1);
	assert_int_equal(
		inet_pton(AF_INET6, "fd00:9::1", direction == TRAFFIC_SENT ? at + 8 : at + 24), 1);
	return 40;
}

static struct frame build(const struct row *row, int direction)
{
	bool udp = row->ip_protocol == IPPROTO_UDP;
	size_t transport_bytes = udp ? 8 : 20 + (size_t)row->tcp_option_bytes;
	size_t inner_bytes = transport_bytes + row->payload_bytes;
	uint16_t ethertype = row->ethertype ? row->ethertype : row->v6 ? 0x86dd : 0x0800;
	uint16_t source = direction == TRAFFIC_SENT ? row->local : row->remote;
	uint16_t destination = direction == TRAFFIC_SENT ? row->remote : row->local;
	struct frame frame = { .length = 12 };
	uint8_t *b = frame.bytes;

	memcpy(b, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	for (int i = 0; i < row->tags; i++) {
		frame.length += put16(b + frame.length, i + 1 < row->tags ? 0x88a8 : 0x8100);
		frame.length += put16(b + frame.length, (uint16_t)(100 + i));
	}
	frame.length += put16(b + frame.length, ethertype);
	frame.length += row->v6 ? put_ipv6(b + frame.length, row, direction, inner_bytes)
	                        : put_ipv4(b + frame.length, row, direction, inner_bytes);
	put16(b + frame.length, source);
	put16(b + frame.length + 2, destination);
	if (udp)
		put16(b + frame.length + 4, (uint16_t)inner_bytes);
	else
		b[frame.length + 12] = (uint8_t)(transport_bytes / 4 << 4);
	frame.length += inner_bytes + row->padding_bytes;
	if (row->cut_bytes)
		frame.length = row->cut_bytes;
	assert_true(frame.length <= sizeof(frame.bytes));
	return frame;
}

/* Runs the program of @direction once; returns what it returned. */
static int run(int direction, const struct frame *frame, uint32_t gso_size, uint32_t gso_segs)
{
	struct __sk_buff context = { .gso_size = gso_size, .gso_segs = gso_segs };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes,
	            .data_size_in = (uint32_t)frame->length, .ctx_in = &context,
	            .ctx_size_in = sizeof(context), .repeat = 1);
	int fd = bpf_program__fd(direction == TRAFFIC_SENT ? skeleton->progs.drover_tx
	                                                   : skeleton->progs.drover_rx);

	assert_int_equal(bpf_prog_test_run_opts(fd, &options), 0);
	return (int)options.retval;
}

static void sum_value(const struct bpf_map *map, const void *key, void *ret_value, size_t bytes)
{
	int n_cpus = libbpf_num_possible_cpus();
	uint64_t *copies = xcalloc((size_t)n_cpus, bytes);
	size_t n = bytes / sizeof(uint64_t);

	memset(ret_value, 0, bytes);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(map), key, copies), 0);
	for (size_t i = 0; i < n * (size_t)n_cpus; i++)
		((uint64_t *)ret_value)[i % n] += copies[i];
	free(copies);
}

static struct traffic_interface_value read_interface(int direction)
{
	struct traffic_interface_key key = { loopback, (uint32_t)direction };
	struct traffic_interface_value value;

	sum_value(skeleton->maps.interfaces, &key, &value, sizeof(value));
	return value;
}

static void zero_value(const struct bpf_map *map, const void *key, size_t bytes)
{
	void *zeros = xcalloc((size_t)libbpf_num_possible_cpus(), bytes);

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), key, zeros, BPF_ANY), 0);
	free(zeros);
}

static struct traffic_endpoint_key endpoint_key(const char *address, uint16_t port, bool remote)
{
	struct traffic_endpoint_key key = { .ifindex = loopback,
		                            .port = port,
		                            .port_is_remote = remote };

	if (strchr(address, ':')) {
		assert_int_equal(inet_pton(AF_INET6, address, key.remote_address), 1);
	} else {
		key.remote_address[2] = htonl(0xffff);
		assert_int_equal(inet_pton(AF_INET, address, &key.remote_address[3]), 1);
	}
	return key;
}

/* What every test starts with: an interface, and four endpoints with counters at 0. */
static void reset(void)
{
	struct traffic_endpoint_key endpoints[] = {
		endpoint_key(PEER, 49152, true),
		endpoint_key(PEER6, 49152, true),
		endpoint_key(PEER, 49153, false),
	};

	for (uint32_t direction = 0; direction < 2; direction++) {
		struct traffic_interface_key key = { loopback, direction };

		zero_value(skeleton->maps.interfaces, &key, sizeof(struct traffic_interface_value));
	}
	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		zero_value(skeleton->maps.endpoints, &endpoints[i],
		           sizeof(struct traffic_endpoint_value));
}

static struct traffic_endpoint_value read_endpoint(const struct row *row)
{
	bool remote = row->remote == 49152;
	struct traffic_endpoint_key key = endpoint_key(row->v6 ? PEER6 : PEER,
	                                               remote ? row->remote : row->local, remote);
	struct traffic_endpoint_value value;

	sum_value(skeleton->maps.endpoints, &key, &value, sizeof(value));
	return value;
}

/* clang-format off */
static const struct row rows[] = {
	{ "a data frame of a migration over IPv4",
	  .remote = 49152, .local = 40000, .payload_bytes = 1400, .class = MIGRATION },
	{ "a data frame of a migration over IPv6",
	  .v6 = true, .remote = 49152, .local = 40000, .payload_bytes = 1400, .class = MIGRATION },
	{ "a bare acknowledgement",
	  .remote = 49152, .local = 40000, .class = MIGRATION },
	{ "an acknowledgement padded to 60 bytes has no payload",
	  .remote = 49152, .local = 40000, .padding_bytes = 6, .class = MIGRATION },
	{ "an IPv6 acknowledgement with padding has no payload",
	  .v6 = true, .remote = 49152, .local = 40000, .tcp_option_bytes = 12, .padding_bytes = 4,
	  .class = MIGRATION },
	{ "TCP options are headers",
	  .remote = 49152, .local = 40000, .tcp_option_bytes = 40, .payload_bytes = 1000,
	  .class = MIGRATION },
	{ "IPv4 options are headers",
	  .remote = 49152, .local = 40000, .ip_option_bytes = 40, .payload_bytes = 1000,
	  .class = MIGRATION },
	{ "one VLAN tag",
	  .tags = 1, .remote = 49152, .local = 40000, .payload_bytes = 1000, .class = MIGRATION },
	{ "two VLAN tags",
	  .tags = 2, .v6 = true, .remote = 49152, .local = 40000, .payload_bytes = 1000,
	  .class = MIGRATION },
	{ "a third VLAN tag is not looked behind",
	  .tags = 3, .remote = 49152, .local = 40000, .payload_bytes = 1000, .class = OTHER },
	{ "a registered port of this host",
	  .remote = 40000, .local = 49153, .payload_bytes = 1000, .class = MIGRATION },
	{ "both ports in the range, the registered one is this host's",
	  .remote = 49153, .local = 49153, .payload_bytes = 1000, .class = MIGRATION },
	{ "both ports in the range, the registered one is the peer's",
	  .remote = 49152, .local = 49153, .payload_bytes = 1000, .class = MIGRATION },
	{ "both ports in the range, none registered",
	  .remote = 49153, .local = 49152, .payload_bytes = 1000, .class = UNREGISTERED },
	{ "a registered port, on the wrong side",
	  .remote = 40000, .local = 49152, .payload_bytes = 1000, .class = UNREGISTERED },
	{ "a registered port of an unknown peer",
	  .remote = 49152, .local = 40000, .remote_address = STRANGER, .payload_bytes = 1000,
	  .class = UNREGISTERED },
	{ "the port below the range",
	  .remote = 49151, .local = 40000, .payload_bytes = 1000, .class = OTHER },
	{ "the port above the range",
	  .remote = 49154, .local = 40000, .payload_bytes = 1000, .class = OTHER },
	{ "a fragment, which carries payload where ports would be",
	  .remote = 49152, .local = 40000, .fragment = 0x00b9, .payload_bytes = 1000, .class = OTHER },
	{ "a first fragment goes with the rest of its packet",
	  .remote = 49152, .local = 40000, .fragment = 0x2000, .payload_bytes = 1000, .class = OTHER },
	{ "UDP on a migration port",
	  .ip_protocol = IPPROTO_UDP, .remote = 49152, .local = 40000, .payload_bytes = 900,
	  .class = OTHER },
	{ "UDP over IPv6",
	  .v6 = true, .ip_protocol = IPPROTO_UDP, .remote = 49152, .local = 40000,
	  .payload_bytes = 900, .class = OTHER },
	{ "IPv6 with an extension header",
	  .v6 = true, .ip_protocol = IPPROTO_DSTOPTS, .remote = 49152, .local = 40000,
	  .payload_bytes = 900, .class = OTHER },
	{ "a fragment of IPv6",
	  .v6 = true, .ip_protocol = IPPROTO_FRAGMENT, .remote = 49152, .local = 40000,
	  .payload_bytes = 900, .class = OTHER },
	{ "a large packet that is too large for IPv4's own length (big TCP)",
	  .no_length = true, .remote = 49152, .local = 40000, .tcp_option_bytes = 12,
	  .payload_bytes = 2 * 1448 + 100, .gso_size = 1448, .class = MIGRATION, .frames = 3,
	  .header_bytes = 66 },
	{ "the same of IPv6",
	  .no_length = true, .v6 = true, .remote = 49152, .local = 40000, .tcp_option_bytes = 12,
	  .payload_bytes = 2 * 1428 + 100, .gso_size = 1428, .class = MIGRATION, .frames = 3,
	  .header_bytes = 86 },
	{ "a frame with two tags of a bond's member, from a guest",
	  .tags = 2, .remote = 40000, .local = 49153, .tcp_option_bytes = 12,
	  .payload_bytes = 1448 + 1, .gso_size = 1448, .class = MIGRATION, .frames = 2,
	  .header_bytes = 14 + 8 + 52 },
	{ "ARP",
	  .ethertype = 0x0806, .remote = 49152, .local = 40000, .class = OTHER },

	{ "a large packet of three frames, two of them full",
	  .remote = 49152, .local = 40000, .tcp_option_bytes = 12, .payload_bytes = 2 * 1448 + 100,
	  .gso_size = 1448, .gso_segs = 3, .class = MIGRATION, .frames = 3, .header_bytes = 66 },
	{ "the same from a guest, for which the kernel does not fill in gso_segs",
	  .remote = 49152, .local = 40000, .tcp_option_bytes = 12, .payload_bytes = 2 * 1448 + 100,
	  .gso_size = 1448, .class = MIGRATION, .frames = 3, .header_bytes = 66 },
	{ "exactly two full frames are two",
	  .remote = 49152, .local = 40000, .tcp_option_bytes = 12, .payload_bytes = 2 * 1448,
	  .gso_size = 1448, .class = MIGRATION, .frames = 2, .header_bytes = 66 },
	{ "one byte more is three",
	  .remote = 49152, .local = 40000, .tcp_option_bytes = 12, .payload_bytes = 2 * 1448 + 1,
	  .gso_size = 1448, .class = MIGRATION, .frames = 3, .header_bytes = 66 },
	{ "a large packet with a tag repeats the tag",
	  .tags = 1, .v6 = true, .remote = 49152, .local = 40000, .payload_bytes = 3000,
	  .gso_size = 1000, .class = MIGRATION, .frames = 3, .header_bytes = 14 + 4 + 40 + 20 },
	{ "a large packet of nobody's",
	  .remote = 22, .local = 40000, .payload_bytes = 3000, .gso_size = 100, .class = OTHER,
	  .frames = 30, .header_bytes = 54 },
	{ "a large UDP packet",
	  .ip_protocol = IPPROTO_UDP, .remote = 443, .local = 40000, .payload_bytes = 3000,
	  .gso_size = 1000, .class = OTHER, .frames = 3, .header_bytes = 42 },
	{ "a packet marked as large, without payload, is one frame",
	  .remote = 49152, .local = 40000, .gso_size = 1448, .class = MIGRATION },
};
/* clang-format on */

static void check_row(const struct row *row, int direction)
{
	struct frame frame = build(row, direction);
	uint64_t frames = row->frames ? row->frames : 1;
	uint64_t wire_bytes = frame.length + (frames - 1) * row->header_bytes;
	uint64_t migration = row->class == MIGRATION;
	struct traffic_interface_value interface;
	struct traffic_endpoint_value endpoint;

	reset();
	assert_int_equal(run(direction, &frame, row->gso_size, row->gso_segs), NEXT);

	interface = read_interface(direction);
	assert_int_equal(interface.wire_bytes, wire_bytes);
	assert_int_equal(interface.frames, frames);
	assert_int_equal(interface.skbs, 1);
	assert_int_equal(interface.skb_bytes, frame.length);
	assert_int_equal(interface.migration_wire_bytes, migration * wire_bytes);
	assert_int_equal(interface.migration_frames, migration * frames);
	assert_int_equal(interface.unregistered_wire_bytes,
	                 row->class == UNREGISTERED ? wire_bytes : 0);
	interface = read_interface(!direction);
	assert_int_equal(interface.skbs, 0);
	if (!migration)
		return;
	endpoint = read_endpoint(row);
	assert_int_equal(endpoint.wire_bytes[direction], wire_bytes);
	assert_int_equal(endpoint.frames[direction], frames);
	assert_int_equal(endpoint.payload_bytes[direction], row->payload_bytes);
	assert_int_equal(endpoint.wire_bytes[!direction], 0);
}

static void test_every_kind_of_frame(void **state)
{
	/* Each frame adds its exact wire bytes and frames to the right class, in both directions,
	 * and the program lets it pass on. */
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int direction = 0; direction < 2; direction++) {
			print_message("  %s, %s\n", rows[i].sentence,
			              direction == TRAFFIC_SENT ? "sent" : "received");
			check_row(&rows[i], direction);
		}
}

static void test_truncated_frames(void **state)
{
	/* A frame that ends anywhere within its headers is counted with its length; one that ends
	 * before the end of the TCP header belongs to no migration. */
	(void)state;
	for (int v6 = 0; v6 < 2; v6++)
		for (size_t bytes = 14; bytes < 14 + (v6 ? 40 : 20) + 20; bytes++) {
			struct row row = { .v6 = v6,
				           .remote = 49152,
				           .local = 40000,
				           .payload_bytes = 100,
				           .cut_bytes = bytes };
			struct frame frame = build(&row, TRAFFIC_SENT);
			struct __sk_buff context = { 0 };
			LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes,
			            .data_size_in = (uint32_t)frame.length, .ctx_in = &context,
			            .ctx_size_in = sizeof(context), .repeat = 1);

			reset();
			/* Newer kernels do not even build a packet without an IP header. */
			if (bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.drover_tx),
			                           &options) != 0) {
				assert_true(bytes < 14 + (v6 ? 40u : 20u));
				continue;
			}
			assert_int_equal((int)options.retval, NEXT);
			assert_int_equal(read_interface(TRAFFIC_SENT).wire_bytes, bytes);
			assert_int_equal(read_interface(TRAFFIC_SENT).frames, 1);
			assert_int_equal(read_interface(TRAFFIC_SENT).migration_wire_bytes, 0);
		}
}

static void test_unknown_interface(void **state)
{
	/* A packet of an interface without a key passes on and is counted as such, not lost. */
	struct row row = { .remote = 49152, .local = 40000, .payload_bytes = 100 };
	struct frame frame = build(&row, TRAFFIC_SENT);
	struct traffic_interface_key key = { loopback, TRAFFIC_SENT };
	uint64_t before;

	(void)state;
	reset();
	before = skeleton->bss->unknown_interface_skbs;
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(skeleton->maps.interfaces), &key), 0);
	assert_int_equal(run(TRAFFIC_SENT, &frame, 0, 0), NEXT);
	assert_int_equal(skeleton->bss->unknown_interface_skbs, before + 1);
	assert_int_equal(read_endpoint(&row).wire_bytes[TRAFFIC_SENT], 0);
}

static void test_random_frames(void **state)
{
	/* Of a hundred thousand frames of noise, a third of them with sensible beginnings, each one
	 * passes on and counts at least its length. */
	unsigned int seed = RANDOM_SEED;
	uint64_t bytes = 0;
	struct traffic_interface_value sum;

	(void)state;
	reset();
	print_message("  seed %u\n", seed);
	for (int i = 0; i < RANDOM_FRAMES; i++) {
		struct row row = { .v6 = i % 2, .tags = i % 3, .remote = 49152, .local = 40000 };
		struct frame frame = build(&row, TRAFFIC_RECEIVED);
		size_t keep = i % 3 ? (size_t)rand_r(&seed) % 60 : 0;
		int gso_size = i % 5 ? 0 : rand_r(&seed) % 1500;
		uint64_t before = i % 1000 ? 0 : read_interface(TRAFFIC_RECEIVED).wire_bytes;

		/* The IP header must be complete or the kernel refuses to run. */
		frame.length = 64 + (size_t)rand_r(&seed) % 300;
		for (size_t b = keep < 14 ? 14 : keep; b < frame.length; b++)
			frame.bytes[b] = (uint8_t)rand_r(&seed);
		if (keep < 14)
			put16(frame.bytes + 12, (uint16_t)rand_r(&seed));
		assert_int_equal(run(TRAFFIC_RECEIVED, &frame, (uint32_t)gso_size, 0), NEXT);
		bytes += frame.length;
		if (i % 1000 == 0)
			assert_true(read_interface(TRAFFIC_RECEIVED).wire_bytes >=
			            before + frame.length);
	}
	sum = read_interface(TRAFFIC_RECEIVED);
	assert_int_equal(sum.skbs, RANDOM_FRAMES);
	assert_true(sum.frames >= RANDOM_FRAMES);
	assert_true(sum.wire_bytes >= bytes);
	assert_true(sum.wire_bytes >= sum.migration_wire_bytes + sum.unregistered_wire_bytes);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_of_frame),
		cmocka_unit_test(test_truncated_frames),
		cmocka_unit_test(test_unknown_interface),
		cmocka_unit_test(test_random_frames),
	};
	int rc;

	libbpf_set_print(quiet);
	skeleton = traffic_bpf__open();
	if (!skeleton)
		return 1;
	skeleton->rodata->port_low = 49152;
	skeleton->rodata->port_high = 49153;
	rc = traffic_bpf__load(skeleton);
	if (rc == -EPERM || rc == -EACCES || rc == -ENOSYS) {
		printf("skipped: loading eBPF is not permitted here (%s)\n", strerror(-rc));
		traffic_bpf__destroy(skeleton);
		return EXIT_SKIPPED;
	}
	if (rc < 0) {
		printf("the kernel does not take the counting program: %s\n", strerror(-rc));
		return 1;
	}
	/* Crafted frames run as if they were those of "lo". */
	loopback = if_nametoindex("lo");
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	traffic_bpf__destroy(skeleton);
	return rc;
}
