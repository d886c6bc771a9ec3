/* SPDX-License-Identifier: Apache-2.0 */
/* How many may knock, and who has to go. */
#include "proto/mesh/gate.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct gate gate_new(void)
{
	return (struct gate){ .limits = { .connections = 10,
		                          .connections_per_address = 4,
		                          .handshakes = 6,
		                          .handshakes_per_address = 2 } };
}

static enum gate_verdict enter(struct gate *g, const char *address, struct gate_place **ret)
{
	enum gate_verdict verdict;

	*ret = gate_enter(g, address, &verdict);
	return verdict;
}

/* The port does not count, and of IPv6 only the /64, which is what one host has. */
static void test_addresses(void **state)
{
	static const char *const texts[][2] = {
		{ "10.0.0.1:40210", "10.0.0.1" },
		{ "[2001:db8:1:2:3:4:5:6]:80", "2001:db8:1:2::/64" },
		{ "[2001:db8:1:2:ffff::1]:81", "2001:db8:1:2::/64" },
		{ "[::1]:80", "::1" },
		{ "uid 1000", "uid 1000" },
		{ "unknown address", "unknown address" },
	};
	char text[GATE_ADDRESS_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		gate_format_address(texts[i][0], text);
		assert_string_equal(text, texts[i][1]);
	}
}

/* One address has its share of handshakes and not more; another one is not held up. */
static void test_handshakes_of_one_address(void **state)
{
	struct gate g = gate_new();
	struct gate_place *p[4];

	(void)state;
	assert_int_equal(enter(&g, "10.0.0.1:1", &p[0]), GATE_OPEN);
	assert_int_equal(enter(&g, "10.0.0.1:2", &p[1]), GATE_OPEN);
	assert_int_equal(enter(&g, "10.0.0.1:3", &p[2]), GATE_ADDRESS_CROWDED);
	assert_ptr_equal(gate_find_crowd(&g, p[2], GATE_ADDRESS_CROWDED), p[2]);
	assert_int_equal(enter(&g, "10.0.0.2:1", &p[3]), GATE_OPEN);
	gate_leave(&g, p[2], false);
	gate_greet(&g, p[0]);
	assert_int_equal(enter(&g, "10.0.0.1:4", &p[2]), GATE_OPEN);
	gate_deinit(&g);
}

/* One address has its share of connections, also when all of them were let in. */
static void test_connections_of_one_address(void **state)
{
	struct gate g = gate_new();
	struct gate_place *p;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(enter(&g, "10.0.0.1:1", &p), GATE_OPEN);
		gate_greet(&g, p);
	}
	assert_int_equal(enter(&g, "10.0.0.1:1", &p), GATE_ADDRESS_FULL);
	gate_leave(&g, p, false);
	gate_leave(&g, p, true);
	assert_int_equal(enter(&g, "10.0.0.1:1", &p), GATE_OPEN);
	gate_deinit(&g);
}

/* Together they have so many handshakes; room is made where most of them are. */
static void test_handshakes_of_all(void **state)
{
	static const char *const from[] = { "10.0.0.1:1", "10.0.0.2:1", "10.0.0.2:2",
		                            "10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1" };
	struct gate g = gate_new();
	struct gate_place *p[7];

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(enter(&g, from[i], &p[i]), GATE_OPEN);
	assert_int_equal(enter(&g, "10.0.0.6:1", &p[6]), GATE_CROWDED);
	assert_ptr_equal(gate_find_crowd(&g, p[6], GATE_CROWDED), p[1]);
	gate_deinit(&g);
}

/* People at this host are bounded together only: root, our own user, and 127.0.0.1. */
static void test_at_home(void **state)
{
	static const char *const from[] = { "uid 0", "127.0.0.1:7", "[::1]:7" };
	struct gate_place *p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		struct gate g = gate_new();

		for (unsigned n = 0; n < 6; n++)
			assert_int_equal(enter(&g, from[i], &p), GATE_OPEN);
		assert_int_equal(enter(&g, from[i], &p), GATE_CROWDED);
		gate_deinit(&g);
	}
}

/* Everything that entered and left leaves nothing behind, and the total holds for all. */
static void test_total(void **state)
{
	struct gate_place *p[11];
	struct gate g = gate_new();

	(void)state;
	for (unsigned i = 0; i < 11; i++) {
		char address[32];

		snprintf(address, sizeof(address), "10.0.1.%u:5", i);
		assert_int_equal(enter(&g, address, &p[i]), i < 10 ? GATE_OPEN : GATE_FULL);
		gate_greet(&g, p[i]);
	}
	for (unsigned i = 0; i < 11; i++)
		gate_leave(&g, p[i], true);
	assert_null(g.places);
	assert_int_equal(g.connections, 0);
	assert_int_equal(g.handshakes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_handshakes_of_one_address),
		cmocka_unit_test(test_connections_of_one_address),
		cmocka_unit_test(test_handshakes_of_all),
		cmocka_unit_test(test_at_home),
		cmocka_unit_test(test_total),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
