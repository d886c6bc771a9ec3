/* SPDX-License-Identifier: Apache-2.0 */
/* What hosts have and guests need comes through the wire as it was; what makes no sense is not known, and
 * whoever says it is heard all the same. */
#include "proto/fit_message.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void free_message(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

static struct host_offers *offers(void)
{
	struct host_offers *o = xnew(struct host_offers);

	o->machines_known = o->networks_known = true;
	o->machines = xcalloc(2, sizeof(*o->machines));
	o->machines[0] = (struct offered_machine){ "x86_64", "pc-q35-7.2", 288 };
	o->machines[1] = (struct offered_machine){ "x86_64", "pc-i440fx-7.2", 255 };
	o->n_machines = 2;
	o->types = xcalloc(1, sizeof(*o->types));
	snprintf(o->types[0], sizeof(o->types[0]), "x86_64 kvm");
	o->n_types = 1;
	o->networks = xcalloc(1, sizeof(*o->networks));
	o->networks[0] = (struct offered_network){ true, "br0", NETWORK_OPEN_VSWITCH, 9000 };
	o->n_networks = 1;
	snprintf(o->signature, sizeof(o->signature), "cpu A");
	host_offers_sort(o);
	return o;
}

static void test_offers(void **state)
{
	struct host_offers *in = offers(), *out;
	Drover__V1__HostOffers *m = fit_message_offers_new(in);

	(void)state;
	out = fit_message_read_offers(m);
	assert_true(host_offers_equal(in, out));
	assert_true(in->hash == out->hash);
	host_offers_free(out);
	/* A kind of bridge that this version does not know is not for it to judge. */
	m->networks[0]->kind = 7;
	out = fit_message_read_offers(m);
	assert_false(out->networks_known);
	assert_true(out->machines_known);
	host_offers_free(out);
	free_message(m);
	assert_null(fit_message_read_offers(NULL));
	host_offers_free(in);
}

static void test_needs(void **state)
{
	struct needed_network nic = { "bridge", "br0", "openvswitch", 9000 };
	struct guest_needs in = { .known = true,
		                  .vcpus_maximum = 8,
		                  .hugepage_bytes = 2 << 20,
		                  .arch = "x86_64",
		                  .virt_type = "kvm",
		                  .machine = "pc-q35-7.2",
		                  .sees_host = true,
		                  .digest = DIGEST_MAX - 1,
		                  .networks = &nic,
		                  .n_networks = 1 };
	Drover__V1__GuestNeeds *m = fit_message_needs_new(&in);
	struct guest_needs out = { 0 };

	(void)state;
	fit_message_read_needs(m, &out);
	assert_true(guest_needs_equal(&in, &out));
	guest_needs_deinit(&out);
	/* Whoever sends more has it cut: what is exported can be read again. */
	m->digest = UINT64_MAX - 1;
	fit_message_read_needs(m, &out);
	assert_int_equal(out.digest, DIGEST_MAX - 1);
	guest_needs_deinit(&out);
	m->vcpus_maximum = UINT32_MAX;
	fit_message_read_needs(m, &out);
	assert_false(out.known);
	fit_message_read_needs(NULL, &out);
	assert_false(out.known);
	free_message(m);
}

static void test_rooms(void **state)
{
	struct host_rooms in = {
		.known = true,
		.vcpus = { .cpus = 8, .guests = 7, .reserved = 2, .overcommit_percent = 150 },
		.pools_known = true,
		.pools = { { 2 << 20, 5 << 20, 1 << 20 } },
		.n_pools = 1
	};
	Drover__V1__HostRooms *m = fit_message_rooms_new(&in);
	struct host_rooms out = { 0 };

	(void)state;
	fit_message_read_rooms(m, 8, &out);
	assert_memory_equal(&out.vcpus, &in.vcpus, sizeof(in.vcpus));
	assert_int_equal(vcpus_get_room(&out.vcpus), 3);
	assert_true(out.pools_known);
	assert_memory_equal(&out.pools[0], &in.pools[0], sizeof(in.pools[0]));
	m->pools[0]->free_bytes = UINT64_MAX;
	fit_message_read_rooms(m, 8, &out);
	assert_false(out.pools_known);
	assert_true(out.known);
	m->vcpus_guests = UINT32_MAX;
	out = (struct host_rooms){ 0 };
	fit_message_read_rooms(m, 8, &out);
	assert_false(out.known);
	free_message(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_rooms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
