/* SPDX-License-Identifier: Apache-2.0 */
/* A host's own addresses, as init and join look them up. */
#include "tools/drover/local.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* An address is in a network if the bits of the prefix are the same, to the bit. */
static void test_networks(void **state)
{
	static const struct {
		const char *network, *address;
		bool in;
	} rows[] = {
		{ "10.9.0.0/24", "10.9.0.255", true },
		{ "10.9.0.77/24", "10.9.0.1", true },
		{ "10.9.0.0/24", "10.9.1.0", false },
		{ "10.9.0.0/23", "10.9.1.0", true },
		{ "10.9.0.0/23", "10.9.2.0", false },
		{ "128.0.0.0/1", "255.255.255.255", true },
		{ "128.0.0.0/1", "127.255.255.255", false },
		{ "10.9.0.1/32", "10.9.0.1", true },
		{ "10.9.0.1/32", "10.9.0.0", false },
		{ "fd00:9::/64", "fd00:9::ffff:1", true },
		{ "fd00:9::/64", "fd00:9:0:1::1", false },
		{ "fd00:9::/65", "fd00:9::8000:0:0:1", false },
		{ "10.9.0.0/24", "::ffff:10.9.0.1", false },
		{ "10.9.0.0/24", "host1", false },
	};
	struct local_network network;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(local_parse_network(rows[i].network, &network, NULL), 0);
		assert_int_equal(local_network_has(&network, rows[i].address), rows[i].in);
	}
}

/* What is not a network is refused whole. */
static void test_no_networks(void **state)
{
	static const char *const rows[] = {
		"",
		"10.9.0.0",
		"10.9.0.0/",
		"10.9.0.0/0",
		"10.9.0.0/33",
		"10.9.0/24",
		"10.9.0.0/x",
		"10.9.0.0/24 ",
		"10.9.0.0/24x",
		"host1/24",
		"fd00:9::/129",
		"fd00::9::/64",
		"/24",
		"10.9.0.0/-1",
		"10.9.0.0/ 24",
		"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20/8",
	};
	struct local_network network = { .family = 77 };
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(local_parse_network(rows[i], &network, &err), -ERROR_INVALID);
		assert_non_null(strstr(err.text, "is not a network"));
		assert_int_equal(network.family, 77);
	}
}

/* This host has its loopback address, on the interface lo, in the network that the kernel says. */
static void test_own(void **state)
{
	struct local_network network;
	struct local_place place;
	char towards[LOCAL_ADDRESS_BYTES];
	struct error err;

	(void)state;
	assert_int_equal(local_find_address("127.0.0.1", &place, &err), 0);
	assert_string_equal(place.interface, "lo");
	assert_string_equal(place.network, "127.0.0.0/8");
	assert_int_equal(local_parse_network("127.0.0.0/8", &network, &err), 0);
	assert_int_equal(local_find_in(&network, &place, &err), 0);
	assert_string_equal(place.address, "127.0.0.1");
	assert_int_equal(local_find_towards("127.0.0.1:7781", towards, &err), 0);
	assert_string_equal(towards, "127.0.0.1");
}

/* An address of another host, and a network where this one is not, are refused with what there is. */
static void test_not_own(void **state)
{
	struct local_place place = { .address = "untouched" };
	struct local_network network;
	struct error err;

	(void)state;
	/* TEST-NET-3: nobody's. */
	assert_int_equal(local_find_address("203.0.113.7", &place, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "203.0.113.7 is not an address of this host; it has:"));
	assert_int_equal(local_parse_network("203.0.113.0/24", &network, &err), 0);
	assert_int_equal(local_find_in(&network, &place, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "no address in the migration network; it has:"));
	assert_string_equal(place.address, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_no_networks),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_not_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
