/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's interfaces carry, by the counters of their devices: in the guest's directions, and
 * never 0 for what was not read. */
#include "agent/host/guest_interface.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "tests/unit/traffic_fixture.h"
#include "tests/unit/veth_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S 1000000000ull

static struct vm_description *with(const char *type, const char *target)
{
	struct vm_description *d = xnew(struct vm_description);

	d->n_interfaces = 1;
	snprintf(d->interfaces[0].type, sizeof(d->interfaces[0].type), "%s", type);
	snprintf(d->interfaces[0].target, sizeof(d->interfaces[0].target), "%s", target);
	return d;
}

static struct guest_interface make(const char *type, const char *target)
{
	struct vm_description *d = with(type, target);
	struct guest_interface *all, one;
	size_t n;

	all = guest_interfaces_new(d, &n);
	assert_int_equal(n, 1);
	one = all[0];
	free(all);
	free(d);
	return one;
}

static struct link_stats stats(uint64_t received, uint64_t sent)
{
	return (struct link_stats){ .bytes = { received, sent },
		                    .packets = { received / 100, sent / 100 } };
}

static void test_directions(void **state)
{
	/* What goes out of a tap the guest receives; a macvtap counts as its guest does. */
	static const char *const types[] = { "bridge", "direct" };

	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		struct guest_interface i = make(types[t], "vnet0");
		struct link_stats before = stats(1000, 5000), after = stats(3000, 9000);
		bool direct = strcmp(types[t], "direct") == 0;

		guest_interface_update(&i, 7, &before, 10 * S);
		assert_false(i.known);
		assert_string_equal(i.why, "it was measured only once yet");
		guest_interface_update(&i, 7, &after, 12 * S);
		assert_true(i.known);
		assert_string_equal(i.why, "");
		assert_int_equal(i.tx_bytes_per_s, direct ? 2000 : 1000);
		assert_int_equal(i.rx_bytes_per_s, direct ? 1000 : 2000);
		assert_int_equal(i.tx_packets_per_s, direct ? 20 : 10);
	}
}

static void test_unknown_is_not_nothing(void **state)
{
	/* No device, another one of the same name, counters that went back, an error: not known, with
	 * the reason, and known again after two readings of one device. */
	struct guest_interface user = make("user", ""), i = make("bridge", "vnet0");
	struct guest_interface long_name = make("vhostuser", "/var/run/openvswitch/vhost-user-1");
	struct link_stats some = stats(1000, 1000), more = stats(2000, 2000);

	(void)state;
	assert_false(user.known);
	assert_string_equal(user.why,
	                    "an interface of type \"user\" has no device here that counts");
	assert_string_equal(long_name.device, "");
	assert_string_equal(i.why, "it was not measured yet");
	guest_interface_update(&i, 7, &some, 1 * S);
	guest_interface_update(&i, 7, &more, 2 * S);
	assert_true(i.known);
	guest_interface_update(&i, 8, &more, 3 * S);
	assert_false(i.known);
	guest_interface_update(&i, 8, &more, 4 * S);
	assert_true(i.known);
	assert_int_equal(i.rx_bytes_per_s, 0);
	guest_interface_update(&i, 8, &some, 5 * S);
	assert_false(i.known);
	guest_interface_update(&i, 8, &more, 6 * S);
	assert_int_equal(i.rx_bytes_per_s, 1000);
	guest_interface_lose(&i, "there is no network interface \"vnet0\" here");
	assert_false(i.known);
	assert_int_equal(i.rx_bytes_per_s, 0);
	assert_string_equal(i.why, "there is no network interface \"vnet0\" here");
	guest_interface_update(&i, 8, &more, 7 * S);
	assert_false(i.known);
}

static void test_noise_is_no_window(void **state)
{
	/* A moment after a reading nothing is divided by it. */
	struct guest_interface i = make("bridge", "vnet0");
	struct link_stats some = stats(0, 0), more = stats(0, 1000);

	(void)state;
	guest_interface_update(&i, 7, &some, 1 * S);
	guest_interface_update(&i, 7, &more, 1 * S + 1000);
	assert_false(i.known);
	guest_interface_update(&i, 7, &more, 2 * S);
	assert_int_equal(i.rx_bytes_per_s, 1000);
}

static void test_kept_over_a_reading(void **state)
{
	/* A new list of the guest's interfaces keeps what is known of those that are still there, in
	 * whatever order; a guest without interfaces has none. */
	struct vm_description *d = with("bridge", "vnet1");
	struct guest_interface before[2] = { make("bridge", "vnet0"), make("bridge", "vnet1") };
	struct link_stats some = stats(0, 0), more = stats(0, 1000);
	struct guest_interface *now;
	size_t n;

	(void)state;
	for (int k = 0; k < 2; k++) {
		guest_interface_update(&before[k], 7, &some, 1 * S);
		guest_interface_update(&before[k], 7, &more, 2 * S);
	}
	now = guest_interfaces_new(d, &n);
	guest_interfaces_keep(now, n, before, 2);
	assert_true(now[0].known);
	assert_int_equal(now[0].rx_bytes_per_s, 1000);
	free(now);
	d->n_interfaces = 0;
	now = guest_interfaces_new(d, &n);
	assert_int_equal(n, 0);
	free(now);
	free(d);
}

static void test_a_real_device(void **state)
{
	/* The counters of a device that nobody watches are found by its name among all; what is not there
	 * is not found. */
	_cleanup_(traffic_closep) struct traffic *traffic = fixture_open(TRAFFIC_SOURCE_RTNL);
	struct guest_interface i = make("bridge", VETH_OURS);
	struct link_counters *links;
	const struct link_counters *ours;
	struct error err;
	size_t n;

	(void)state;
	veth_bring_up();
	assert_int_equal(traffic_read_links(traffic, &links, &n, &err), 0);
	ours = link_counters_find(links, n, VETH_OURS);
	assert_non_null(ours);
	assert_int_equal(ours->ifindex, if_nametoindex(VETH_OURS));
	guest_interface_update(&i, ours->ifindex, &ours->stats, 1 * S);
	free(links);
	veth_transfer(true, false, 5201, 1 << 20);
	assert_int_equal(traffic_read_links(traffic, &links, &n, &err), 0);
	ours = link_counters_find(links, n, VETH_OURS);
	assert_non_null(ours);
	guest_interface_update(&i, ours->ifindex, &ours->stats, 2 * S);
	assert_true(i.known);
	assert_in_range(i.rx_bytes_per_s, 1 << 20, 2 << 20);
	assert_true(i.tx_bytes_per_s < i.rx_bytes_per_s);
	assert_non_null(link_counters_find(links, n, "lo"));
	assert_null(link_counters_find(links, n, "vnet77"));
	assert_null(link_counters_find(links, n, "a-name-longer-than-any"));
	assert_null(link_counters_find(links, 0, "lo"));
	free(links);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_directions),         FIXTURE_TEST(test_unknown_is_not_nothing),
		FIXTURE_TEST(test_noise_is_no_window), FIXTURE_TEST(test_kept_over_a_reading),
		FIXTURE_TEST(test_a_real_device),
	};

	return fixture_run(tests, ARRAY_SIZE(tests));
}
