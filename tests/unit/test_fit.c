/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that admission and planning share: what fits, what does not and why, and that what nobody has
 * told refuses nobody. */
#include "common/fit.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct needed_network bridge = { .type = "bridge", .source = "br0" };

static struct guest_needs guest(void)
{
	return (struct guest_needs){ .known = true,
		                     .vcpus_maximum = 4,
		                     .arch = "x86_64",
		                     .virt_type = "kvm",
		                     .machine = "pc-q35-7.2",
		                     .networks = &bridge,
		                     .n_networks = 1 };
}

static struct host_offers *host(void)
{
	static const char *const machines[] = { "pc-q35-7.2", "pc-i440fx-7.2", "pc-q35-8.0" };
	struct host_offers *o = xnew(struct host_offers);

	o->machines_known = o->networks_known = true;
	o->machines = xcalloc(3, sizeof(*o->machines));
	for (size_t i = 0; i < 3; i++) {
		snprintf(o->machines[i].arch, sizeof(o->machines[i].arch), "x86_64");
		snprintf(o->machines[i].name, sizeof(o->machines[i].name), "%s", machines[i]);
		o->machines[i].vcpus_max = 8;
	}
	o->n_machines = 3;
	o->types = xcalloc(1, sizeof(*o->types));
	snprintf(o->types[0], sizeof(o->types[0]), "x86_64 kvm");
	o->n_types = 1;
	o->networks = xcalloc(3, sizeof(*o->networks));
	o->networks[0] = (struct offered_network){
		.device = true, .name = "br1", .kind = NETWORK_OPEN_VSWITCH, .mtu = 1500
	};
	o->networks[1] = (struct offered_network){
		.device = true, .name = "br0", .kind = NETWORK_BRIDGE, .mtu = 1500
	};
	o->networks[2] = (struct offered_network){ .name = "default", .mtu = 1500 };
	o->n_networks = 3;
	host_offers_sort(o);
	return o;
}

static void expect(const struct guest_needs *needs, const struct host_offers *offers, enum fit fit,
                   const char *word)
{
	char text[FIT_TEXT_BYTES] = "";

	assert_int_equal(fit_judge(needs, NULL, offers, text), fit);
	assert_int_equal(fit_judge(needs, NULL, offers, NULL), fit);
	if (word && !strstr(text, word))
		fail_msg("\"%s\" has no \"%s\"", text, word);
}

/* A guest fits where all that it needs is; each thing that is missing has its name. */
static void test_rules(void **state)
{
	struct host_offers *here = host();
	struct guest_needs needs = guest();

	(void)state;
	expect(&needs, here, FIT_YES, NULL);
	snprintf(needs.machine, sizeof(needs.machine), "pc-q35-9.9");
	expect(&needs, here, FIT_NO_MACHINE, "pc-q35-9.9");
	needs = guest();
	snprintf(needs.virt_type, sizeof(needs.virt_type), "qemu");
	expect(&needs, here, FIT_NO_MACHINE, "with qemu");
	needs = guest();
	needs.vcpus_maximum = 9;
	expect(&needs, here, FIT_VCPUS, "at most 8 vCPUs, 9 needed");
	host_offers_free(here);
}

static void test_networks(void **state)
{
	struct host_offers *here = host();
	struct guest_needs needs = guest();
	struct needed_network nic = bridge;

	(void)state;
	needs.networks = &nic;
	snprintf(nic.source, sizeof(nic.source), "br7");
	expect(&needs, here, FIT_NETWORK, "no bridge \"br7\"");
	snprintf(nic.source, sizeof(nic.source), "br1");
	expect(&needs, here, FIT_NETWORK, "a bridge of Open vSwitch, not a bridge of the kernel");
	snprintf(nic.virtual_port, sizeof(nic.virtual_port), "openvswitch");
	expect(&needs, here, FIT_YES, NULL);
	nic.mtu = 9000;
	expect(&needs, here, FIT_NETWORK, "1500 bytes, 9000 needed");
	nic = (struct needed_network){ .type = "network", .source = "default" };
	expect(&needs, here, FIT_YES, NULL);
	/* A network of libvirt's is no device, and the other way round. */
	snprintf(nic.source, sizeof(nic.source), "br0");
	expect(&needs, here, FIT_NETWORK, "no network \"br0\"");
	snprintf(nic.type, sizeof(nic.type), "direct");
	expect(&needs, here, FIT_YES, NULL);
	host_offers_free(here);
}

/* A guest that sees its host's processor can go to an equal host; which line differs is said. */
static void test_processors(void **state)
{
	struct host_offers *here = host(), *home = host();
	struct guest_needs needs = guest();
	char text[FIT_TEXT_BYTES];

	(void)state;
	snprintf(home->signature, sizeof(home->signature), "cpu A\nkernel 6.1");
	snprintf(here->signature, sizeof(here->signature), "cpu A\nkernel 6.2");
	assert_int_equal(fit_judge(&needs, home, here, text), FIT_YES);
	needs.sees_host = true;
	assert_int_equal(fit_judge(&needs, home, here, text), FIT_CPU);
	assert_non_null(strstr(text, "here kernel 6.2, there kernel 6.1"));
	snprintf(here->signature, sizeof(here->signature), "cpu A\nkernel 6.1");
	assert_int_equal(fit_judge(&needs, home, here, text), FIT_YES);
	host_offers_free(here);
	host_offers_free(home);
}

/* An agent that does not tell, or not all of it, refuses nobody. */
static void test_what_is_not_known(void **state)
{
	struct host_offers *here = host();
	struct guest_needs needs = guest(), silent = { 0 };
	struct vcpu_totals vcpus = { .guests = 7, .overcommit_percent = 200 };

	(void)state;
	snprintf(needs.machine, sizeof(needs.machine), "pc-q35-9.9");
	expect(&needs, NULL, FIT_YES, NULL);
	expect(&silent, here, FIT_YES, NULL);
	here->machines_known = here->networks_known = false;
	needs.networks[0].mtu = 9000;
	expect(&needs, here, FIT_YES, NULL);
	needs.networks[0].mtu = 0;
	assert_true(vcpus_get_room(&vcpus) == UINT64_MAX);
	vcpus.cpus = 4;
	assert_int_equal(vcpus_get_room(&vcpus), 1);
	vcpus.reserved = 2;
	assert_int_equal(vcpus_get_room(&vcpus), 0);
	vcpus.overcommit_percent = 0;
	assert_true(vcpus_get_room(&vcpus) == UINT64_MAX);
	assert_int_equal(hugepages_get_room(5, 7), 0);
	host_offers_free(here);
}

/* Copies are equal and stand alone; what differs in anything is not equal. */
static void test_values(void **state)
{
	struct host_offers *here = host(), *copy = host_offers_copy(here);
	struct guest_needs needs = guest(), twin;

	(void)state;
	assert_true(host_offers_equal(here, copy));
	copy->networks[0].mtu++;
	assert_false(host_offers_equal(here, copy));
	assert_false(host_offers_equal(here, NULL));
	guest_needs_copy(&twin, &needs);
	assert_true(guest_needs_equal(&needs, &twin));
	assert_true(guest_needs_hash(&needs) == guest_needs_hash(&twin));
	twin.networks[0].mtu = 1;
	assert_false(guest_needs_equal(&needs, &twin));
	guest_needs_deinit(&twin);
	host_offers_free(here);
	host_offers_free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),      cmocka_unit_test(test_networks),
		cmocka_unit_test(test_processors), cmocka_unit_test(test_what_is_not_known),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
