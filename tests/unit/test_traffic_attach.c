/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching against a real kernel: what is left behind, and what of other people is left alone. Skipped
 * where namespaces or eBPF are not permitted. */
#include "agent/link/bandwidth.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "tests/shell.h"
#include "tests/unit/traffic_fixture.h"
#include "tests/unit/traffic_left.h"
#include "tests/unit/veth_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 5000

/* -------------------------------------------------------------- what is left */

static void test_killed_at_tcx(void **state)
{
	/* kill -9 of the process leaves no program at tcx and no qdisc. */
	uint64_t deadline_ms;

	(void)state;
	left_by_killed(TRAFFIC_SOURCE_NONE, left_is_at_tcx);
	/* The kernel gives up the descriptors of a dead process a moment after its parent knows. */
	deadline_ms = clock_now_ms() + DEADLINE_MS;
	while (left_count_tcx(TX) + left_count_tcx(RX) > 0)
		assert_true(clock_now_ms() < deadline_ms);
	assert_int_equal(veth_count_lines("tc qdisc show dev " VETH_OURS, "clsact"), 0);
}

static void test_killed_at_clsact(void **state)
{
	/* kill -9 leaves the filters at clsact; the next start takes them over instead of adding
	 * more, whichever source it uses, and its stop removes them but not the qdisc. */
	enum traffic_source next[] = { TRAFFIC_SOURCE_CLSACT, TRAFFIC_SOURCE_TCX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(next); i++) {
		struct traffic *traffic;

		left_by_killed(TRAFFIC_SOURCE_CLSACT, left_is_at_clsact);
		assert_true(left_is_at_clsact());
		traffic = fixture_open_and_watch(next[i]);
		assert_int_equal(left_count_clsact(TX), next[i] == TRAFFIC_SOURCE_CLSACT);
		assert_int_equal(left_count_clsact(RX), next[i] == TRAFFIC_SOURCE_CLSACT);
		traffic_close(traffic);
		assert_int_equal(left_count_clsact(TX) + left_count_clsact(RX), 0);
		assert_int_equal(veth_count_lines("tc qdisc show dev " VETH_OURS, "clsact"), 1);
	}
}

static void test_killed_twice(void **state)
{
	/* Killed, started, killed again, by either source: never more than one of ours in each
	 * direction, and the third one counts every packet once. */
	static const enum traffic_source sources[] = { TRAFFIC_SOURCE_CLSACT, TRAFFIC_SOURCE_NONE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		_cleanup_(traffic_closep) struct traffic *traffic = NULL;
		_cleanup_free_ struct traffic_sample *before = NULL, *after = NULL;

		veth_delete();
		veth_create();
		left_by_killed(sources[i], i == 0 ? left_is_at_clsact : left_is_at_tcx);
		left_by_killed(sources[i], i == 0 ? left_is_at_clsact : left_has_come_to_tcx);
		traffic = fixture_open_and_watch(sources[i]);
		fixture_register(traffic, VETH_PEER4, 49152, true);
		veth_bring_up();
		before = fixture_read_settled(traffic);
		veth_transfer(true, false, 49152, 1 << 20);
		after = fixture_read_settled(traffic);
		fixture_assert_same_packets(before, after);
	}
}

static void test_again_is_no_error(void **state)
{
	/* Watching and registering twice changes nothing and keeps the counters; closing and
	 * opening again works any number of times. */
	(void)state;
	veth_bring_up();
	for (int round = 0; round < 3; round++) {
		_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
			TRAFFIC_SOURCE_NONE);
		_cleanup_free_ struct traffic_sample *before = NULL, *after = NULL;

		fixture_register(traffic, VETH_PEER4, 49152, true);
		veth_transfer(true, false, 49152, 100000);
		before = fixture_read_settled(traffic);
		assert_int_equal(traffic_watch_interface(traffic, VETH_OURS, NULL), 0);
		fixture_register(traffic, VETH_PEER4, 49152, true);
		after = fixture_read_settled(traffic);
		assert_int_equal(after->n_interfaces, 1);
		assert_int_equal(after->n_endpoints, 1);
		assert_int_equal(after->interfaces[0].epoch, before->interfaces[0].epoch);
		assert_memory_equal(&after->endpoints[0].counters, &before->endpoints[0].counters,
		                    sizeof(struct traffic_endpoint_value));
		assert_true(left_is_at_tcx());
	}
	assert_int_equal(left_count_tcx(TX) + left_count_tcx(RX), 0);
}

/* Whether mi0, just made anew, is counted from 0 in a newer epoch than that of @before. */
static void check_made_anew(struct traffic *traffic, const struct traffic_sample *before)
{
	_cleanup_free_ struct traffic_sample *first = NULL, *after = NULL;

	first = fixture_read(traffic);
	assert_int_equal(first->interfaces[0].source, TRAFFIC_SOURCE_TCX);
	assert_true(first->interfaces[0].epoch > before->interfaces[0].epoch);
	assert_true(first->interfaces[0].ifindex > before->interfaces[0].ifindex);
	veth_bring_up();
	free(first);
	first = fixture_read_settled(traffic);
	veth_transfer(true, false, 49152, 1000);
	after = fixture_read_settled(traffic);
	assert_in_range(after->interfaces[0].counters[TX].migration_wire_bytes, 1000, 5000);
	fixture_assert_same_packets(first, after);
}

static void test_interface_made_anew(void **state)
{
	/* An interface which is deleted has no source until it is there again; then it is attached
	 * to and counts from 0 in a new epoch, also if all that happened between two readings. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *before = NULL, *gone = NULL;

	(void)state;
	fixture_register(traffic, VETH_PEER4, 49152, true);
	veth_bring_up();
	veth_transfer(true, false, 49152, 1 << 20);
	before = fixture_read_settled(traffic);

	veth_delete();
	gone = fixture_read(traffic);
	assert_int_equal(gone->interfaces[0].source, TRAFFIC_SOURCE_NONE);
	assert_int_equal(gone->interfaces[0].ifindex, 0);
	assert_string_equal(traffic_find_limit(traffic, VETH_OURS)->text,
	                    "the interface does not exist");
	veth_create();
	check_made_anew(traffic, before);

	free(before);
	before = fixture_read(traffic);
	veth_delete();
	veth_create();
	check_made_anew(traffic, before);
}

/* ---------------------------------------------------------------- other people */

static void test_ingress_qdisc_is_left_alone(void **state)
{
	/* Where libvirt's kind of qdisc is, clsact is not tried and the reason names it; tcx does
	 * not mind. */
	struct traffic *traffic;

	(void)state;
	shell_run("tc qdisc add dev %s ingress", VETH_OURS);
	traffic = fixture_open_and_watch(TRAFFIC_SOURCE_CLSACT);
	assert_non_null(strstr(traffic_find_limit(traffic, VETH_OURS)->text,
	                       "its \"ingress\" qdisc takes the place of clsact"));
	traffic_close(traffic);
	assert_int_equal(veth_count_lines("tc qdisc show dev " VETH_OURS, "ingress"), 1);
	assert_int_equal(veth_count_lines("tc filter show dev " VETH_OURS " ingress", "drover"), 0);

	traffic = fixture_open_and_watch(TRAFFIC_SOURCE_NONE);
	assert_int_equal(traffic_find_limit(traffic, VETH_OURS)->code, ERROR_NONE);
	assert_true(left_is_at_tcx());
	traffic_close(traffic);
}

static void test_links_of_libvirt(void **state)
{
	/* clsact is never put on a tap or a bridge: libvirt needs that place for QoS. */
	static const char *const adds[] = { "ip tuntap add dev vnet9 mode tap",
		                            "ip link add vnet9 type bridge" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(adds); i++) {
		_cleanup_(traffic_closep) struct traffic *traffic = NULL;

		if (system(adds[i]) != 0) {
			print_message("  not possible here: %s\n", adds[i]);
			continue;
		}
		traffic = fixture_open(TRAFFIC_SOURCE_CLSACT);
		assert_int_equal(traffic_watch_interface(traffic, "vnet9", NULL), 0);
		assert_non_null(strstr(traffic_find_limit(traffic, "vnet9")->text,
		                       "it would break libvirt's <bandwidth> there"));
		assert_int_equal(veth_count_lines("tc qdisc show dev vnet9", "clsact"), 0);
		shell_run("ip link del vnet9");
	}
}

static void test_libvirts_bandwidth(void **state)
{
	/* What libvirt does for <bandwidth> (virNetDevBandwidthSet) succeeds on a link that is watched,
	 * before and after, the programs go on counting, and all of it goes again. */
	static const char *const sets[] = {
		"tc qdisc add dev " VETH_OURS " root handle 1: htb default 1",
		"tc class add dev " VETH_OURS " parent 1: classid 1:1 htb rate 80mbit ceil 80mbit",
		"tc qdisc add dev " VETH_OURS " ingress",
		"tc filter add dev " VETH_OURS
		" parent ffff: protocol all u32 match u32 0 0 police "
		"rate 80mbit burst 1mb mtu 64kb drop flowid :1",
	};
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(
		TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *sample = NULL;

	(void)state;
	fixture_register(traffic, VETH_PEER4, 49152, true);
	veth_bring_up();
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (system(sets[i]) != 0) {
			/* htb or police may not be there; ingress, which clsact excludes, is. */
			print_message("  not possible here: %s\n", sets[i]);
			assert_int_not_equal(i, 2);
		}
	veth_transfer(true, false, 49152, 1 << 20);
	sample = fixture_read_settled(traffic);
	assert_true(left_is_at_tcx());
	assert_true(sample->endpoints[0].counters.payload_bytes[TX] >= 1 << 20);
	shell_run("tc qdisc del dev %s ingress", VETH_OURS);
	assert_true(left_is_at_tcx());
}

static void test_a_bridge(void **state)
{
	/* A bridge is counted as any link, by tcx, where it has the address: what goes through one of
	 * its ports for others is not its own. */
	_cleanup_(traffic_closep) struct traffic *traffic = NULL;
	_cleanup_free_ struct traffic_sample *sample = NULL;

	(void)state;
	shell_run("ip link add brd9 type bridge");
	shell_run("ip addr flush dev %s", VETH_OURS);
	shell_run("ip link set %s master brd9", VETH_OURS);
	shell_run("ip addr add %s/24 dev brd9", VETH_OURS4);
	traffic = fixture_open(TRAFFIC_SOURCE_NONE);
	assert_int_equal(traffic_watch_interface(traffic, "brd9", NULL), 0);
	fixture_register(traffic, VETH_PEER4, 49152, true);
	veth_bring_up();
	shell_run("ip link set brd9 up");
	veth_transfer(true, false, 49152, 1 << 20);
	sample = fixture_read_settled(traffic);
	assert_int_equal(sample->interfaces[0].source, TRAFFIC_SOURCE_TCX);
	assert_in_range(sample->endpoints[0].counters.payload_bytes[TX], 1 << 20, 2 << 20);
	shell_run("ip link del brd9");
}

static void test_many_come_and_go(void **state)
{
	/* As many interfaces as can be watched, each deleted and made anew in turn, for many rounds:
	 * no key and no program is left over, and one more is refused with the number. */
	enum { ROUNDS = 5 };
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open(TRAFFIC_SOURCE_NONE);
	_cleanup_free_ struct traffic_sample *sample = NULL;
	char name[IF_NAMESIZE];
	struct error err;

	(void)state;
	for (int i = 0; i < TRAFFIC_INTERFACES; i++) {
		shell_run("ip link add many%d type veth peer name ynam%d", i, i);
		snprintf(name, sizeof(name), "many%d", i);
		assert_int_equal(traffic_watch_interface(traffic, name, &err), 0);
	}
	assert_int_equal(traffic_watch_interface(traffic, VETH_OURS, &err), -ERROR_NO_SPACE);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = round % 2; i < TRAFFIC_INTERFACES; i += 2)
			shell_run("ip link del many%d && ip link add many%d type veth peer name "
			          "ynam%d",
			          i, i, i);
		free(sample);
		sample = fixture_read(traffic);
		for (int i = 0; i < TRAFFIC_INTERFACES; i++)
			assert_int_equal(sample->interfaces[i].source, TRAFFIC_SOURCE_TCX);
	}
	for (int i = 0; i < TRAFFIC_INTERFACES; i++)
		shell_run("ip link del many%d", i);
	free(sample);
	sample = fixture_read(traffic);
	for (int i = 0; i < TRAFFIC_INTERFACES; i++)
		assert_int_equal(sample->interfaces[i].source, TRAFFIC_SOURCE_NONE);
}

static void test_foreign_filter_survives(void **state)
{
	/* A filter of somebody else at our priority and handle is neither replaced nor removed. */
	struct traffic *traffic;

	(void)state;
	shell_run("tc qdisc add dev %s clsact", VETH_OURS);
	shell_run("tc filter add dev %s egress prio 7 handle 0xd0 bpf da bytecode "
	          "'1,6 0 0 4294967295'",
	          VETH_OURS);
	traffic = fixture_open_and_watch(TRAFFIC_SOURCE_CLSACT);
	assert_non_null(strstr(traffic_find_limit(traffic, VETH_OURS)->text, "another filter"));
	assert_int_equal(left_count_clsact(RX), 0);
	traffic_close(traffic);
	assert_int_equal(veth_count_lines("tc filter show dev " VETH_OURS " egress", "bytecode"),
	                 1);
}

/* Eleven rounds of a transfer, told to bandwidth as if each had taken a second. */
static bool becomes_blind(enum traffic_source best)
{
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open_and_watch(best);
	_cleanup_free_ struct bandwidth *bandwidth = xnew(struct bandwidth);

	for (uint64_t second = 0; second <= 11; second++) {
		_cleanup_free_ struct traffic_sample *sample = NULL;

		veth_transfer(true, false, 5201, 4 << 20);
		sample = fixture_read_settled(traffic);
		sample->at_ns = (1 + second) * 1000000000;
		bandwidth_update(bandwidth, sample);
	}
	return bandwidth_find_interface(bandwidth, VETH_OURS)->blind;
}

static void test_a_filter_in_front_of_ours(void **state)
{
	/* A foreign filter which ends the chain in front of ours hides packets from us at clsact,
	 * and that is noticed; at tcx ours comes first and sees them. */
	(void)state;
	veth_bring_up();
	shell_run("tc qdisc add dev %s clsact", VETH_OURS);
	shell_run("tc filter add dev %s egress prio 1 bpf da bytecode '1,6 0 0 0'", VETH_OURS);
	assert_true(becomes_blind(TRAFFIC_SOURCE_CLSACT));
	assert_false(becomes_blind(TRAFFIC_SOURCE_TCX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_killed_at_tcx),
		FIXTURE_TEST(test_killed_at_clsact),
		FIXTURE_TEST(test_again_is_no_error),
		FIXTURE_TEST(test_interface_made_anew),
		FIXTURE_TEST(test_ingress_qdisc_is_left_alone),
		FIXTURE_TEST(test_links_of_libvirt),
		FIXTURE_TEST(test_foreign_filter_survives),
		FIXTURE_TEST(test_a_filter_in_front_of_ours),
		FIXTURE_TEST(test_killed_twice),
		FIXTURE_TEST(test_libvirts_bandwidth),
		FIXTURE_TEST(test_a_bridge),
		FIXTURE_TEST(test_many_come_and_go),
	};

	return fixture_run(tests, ARRAY_SIZE(tests));
}
