/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of ebpf/traffic.h on a veth pair (veth_peer.h) share. Every failure inside fails the
 * running cmocka test. */
#pragma once

#include "common/cleanup.h"
#include "ebpf/traffic.h"

#define TX TRAFFIC_SENT
#define RX TRAFFIC_RECEIVED

DEFINE_CLEANUP(struct traffic *, traffic_close);

/* With the ports 49152-49153. */
struct traffic *fixture_open(enum traffic_source best);
struct traffic *fixture_open_and_watch(enum traffic_source best); /* our end of the pair */
struct traffic_endpoint fixture_register(struct traffic *traffic, const char *address,
                                         uint16_t port, bool port_is_remote);

/* Samples are for the caller to free. */
struct traffic_sample *fixture_read(struct traffic *traffic);

/* Reads until nothing moves any more: the last acknowledgements come after the last data. */
struct traffic_sample *fixture_read_settled(struct traffic *traffic);

/* The same, from when the first endpoint has counted @frames frames: what was sent may wait for a
 * processor before it arrives. */
struct traffic_sample *fixture_read_arrived(struct traffic *traffic, int direction,
                                            uint64_t frames);

/* Between two samples, the kernel counted exactly the packets and bytes on the link that we did. */
void fixture_assert_same_packets(const struct traffic_sample *before,
                                 const struct traffic_sample *after);

/* For cmocka: the pair is made anew for every test, and is down at first. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

struct CMUnitTest;

/* Runs a group with the peer there; returns the program's exit code, 77 with the reason printed if
 * namespaces or eBPF are not permitted here. */
int fixture_run(const struct CMUnitTest *tests, size_t n_tests);

#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
