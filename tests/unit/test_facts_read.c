/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent says of its host, as the coordinator takes it: nonsense makes the host suspect and is used
 * for nothing; who says it is heard all the same. */
#include "coordinator/facts_read.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Drover__V1__HostState sound(void)
{
	Drover__V1__HostState h = DROVER__V1__HOST_STATE__INIT;

	h.memory_physical_bytes = 8 * GIB;
	h.memory_capacity_bytes = 8 * GIB;
	h.memory_reserve_bytes = GIB;
	h.memory_guests_bytes = 2 * GIB;
	h.memory_reserved_bytes = GIB;
	h.memory_overcommit_percent = 150;
	h.slots_in_max = 2;
	h.libvirt_connected = true;
	return h;
}

/* Sound figures are taken over. */
static void f59_sound_host(void **state)
{
	Drover__V1__HostState m = sound();
	struct host_state h;
	struct error err;

	(void)state;
	assert_int_equal(facts_read_host(&m, &h, &err), 0);
	assert_string_equal(h.suspect, "");
	assert_int_equal(h.memory_overcommit_percent, 150);
	assert_int_equal(host_state_room_bytes(&h), 7 * GIB / 2 * 3 - 3 * GIB);
	assert_int_equal(h.slots_in_max, 2);
	host_state_deinit(&h);
}

/* More than /proc/meminfo, -1, 2^63, 2^64 - 1, a ratio of a thousand: suspect, with nothing of it used, and
 * everything else of the host still known. */
static void f59_nonsense_is_suspect(void **state)
{
	static const uint64_t values[] = { UINT64_MAX, (uint64_t)1 << 63, (uint64_t)-1, 9 * GIB };
	struct host_state h;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		Drover__V1__HostState m = sound();

		m.memory_capacity_bytes = values[i];
		assert_int_equal(facts_read_host(&m, &h, &err), 0);
		assert_non_null(strstr(h.suspect, "memory/capacity"));
		assert_int_equal(h.memory_capacity_bytes, 0);
		assert_int_equal(host_state_room_bytes(&h), 0);
		assert_true(h.libvirt_connected);
		host_state_deinit(&h);
	}
	{
		Drover__V1__HostState m = sound();

		m.memory_overcommit_percent = 100000;
		assert_int_equal(facts_read_host(&m, &h, &err), 0);
		assert_non_null(strstr(h.suspect, "ten times"));
		assert_int_equal(host_state_room_bytes(&h), 0);
		host_state_deinit(&h);
	}
}

/* What the agent itself finds suspect stays so, though the figures would do. */
static void f59_the_agents_own_word(void **state)
{
	Drover__V1__HostState m = sound();
	struct host_state h;
	struct error err;

	(void)state;
	m.suspect = (char *)"/proc/meminfo says MemTotal: -1 kB";
	assert_int_equal(facts_read_host(&m, &h, &err), 0);
	assert_string_equal(h.suspect, m.suspect);
	assert_int_equal(host_state_room_bytes(&h), 0);
	host_state_deinit(&h);
}

/* Leases come over whole; one that names no attempt is no lease; a host is shut out for an hour at most. */
static void test_leases_and_pressure(void **state)
{
	Drover__V1__HostState m = sound();
	Drover__V1__Attempt attempt = DROVER__V1__ATTEMPT__INIT;
	Drover__V1__Lease lease = DROVER__V1__LEASE__INIT, *leases[] = { &lease };
	uint8_t id[16] = { 1 };
	struct host_state h, copy;
	struct error err;

	(void)state;
	attempt.operation_id = (ProtobufCBinaryData){ .len = sizeof(id), .data = id };
	attempt.number = 2;
	lease.attempt = &attempt;
	lease.vm_name = (char *)"web1";
	lease.source_node = (char *)"host1";
	lease.memory_bytes = GIB;
	lease.port = 49152;
	lease.in_use = true;
	m.leases = leases;
	m.n_leases = 1;
	m.pressure = (char *)"out of memory";
	m.pressure_ms = UINT64_MAX;
	assert_int_equal(facts_read_host(&m, &h, &err), 0);
	host_state_copy(&copy, &h);
	host_state_deinit(&h);
	assert_int_equal(copy.n_leases, 1);
	assert_string_equal(copy.leases[0].vm_name, "web1");
	assert_string_equal(copy.leases[0].source, "host1");
	assert_int_equal(copy.leases[0].attempt.number, 2);
	assert_true(copy.leases[0].in_use);
	assert_int_equal(copy.pressure_ms, 3600000);
	host_state_deinit(&copy);
	lease.attempt = NULL;
	assert_int_equal(facts_read_host(&m, &h, &err), -ERROR_INVALID);
	m.n_leases = 1000;
	assert_int_equal(facts_read_host(&m, &h, &err), -ERROR_TOO_LARGE);
}

/* What a host's guests carry is taken over as it is told: without interfaces is not the same as not told,
 * and what is too long is cut. More than any host has is not taken at all. */
static void test_guest_traffic(void **state)
{
	Drover__V1__GuestInterface nic = DROVER__V1__GUEST_INTERFACE__INIT;
	Drover__V1__GuestInterface *nics[] = { &nic };
	Drover__V1__GuestTraffic web = DROVER__V1__GUEST_TRAFFIC__INIT, bare = web;
	Drover__V1__GuestTraffic *guests[] = { &bare, &web }, **many;
	Drover__V1__HostState m = sound();
	const struct guest_traffic *t;
	struct host_state h, copy;
	struct error err;

	(void)state;
	nic.device = (char *)"vnet0";
	nic.source = (char *)"rtnl";
	nic.rx_bytes_per_s = 1000;
	bare.vm_uuid = (char *)"22222222-2222-3333-4444-555555555555";
	web.vm_uuid = (char *)"11111111-2222-3333-4444-555555555555";
	web.interfaces = nics;
	web.n_interfaces = 1;
	m.guest_traffic = guests;
	m.n_guest_traffic = 2;
	assert_int_equal(facts_read_host(&m, &h, &err), 0);
	host_state_copy(&copy, &h);
	host_state_deinit(&h);
	t = host_state_find_traffic(&copy, web.vm_uuid);
	assert_int_equal(t->count, 1);
	assert_string_equal(copy.guest_interfaces[t->first].device, "vnet0");
	assert_int_equal(copy.guest_interfaces[t->first].rx_bytes_per_s, 1000);
	assert_int_equal(host_state_find_traffic(&copy, bare.vm_uuid)->count, 0);
	assert_null(host_state_find_traffic(&copy, "33333333-2222-3333-4444-555555555555"));
	host_state_deinit(&copy);

	many = xcalloc(10000, sizeof(*many));
	for (size_t i = 0; i < 10000; i++)
		many[i] = &web;
	web.interfaces = xcalloc(3, sizeof(*web.interfaces));
	web.n_interfaces = 3;
	for (size_t i = 0; i < 3; i++)
		web.interfaces[i] = &nic;
	m.guest_traffic = many;
	m.n_guest_traffic = 10000;
	assert_int_equal(facts_read_host(&m, &h, &err), 0);
	assert_int_equal(h.n_guest_traffic, 0);
	host_state_deinit(&h);
	free(web.interfaces);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f59_sound_host),
		cmocka_unit_test(f59_nonsense_is_suspect),
		cmocka_unit_test(f59_the_agents_own_word),
		cmocka_unit_test(test_leases_and_pressure),
		cmocka_unit_test(test_guest_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
