/* SPDX-License-Identifier: Apache-2.0 */
/* What arrived against what had left: disks and interfaces. */
#include "common/alloc.h"
#include "common/units.h"
#include "tests/unit/verification_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A disk is the same image, of the same format and size, and QEMU has opened it. */
static void test_disks(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	strcpy(a->found.disks[0].source, "/srv/old.qcow2");
	verification_expect(a, "disk/vda", "/srv/old.qcow2");
	a = verification_arrive();
	strcpy(a->found.disks[0].format, "raw");
	verification_expect(a, "disk/vda", "raw");
	a = verification_arrive();
	a->found.disks[0].read_only = true;
	verification_expect(a, "disk/vda", "read-only");
	a = verification_arrive();
	a->devices.disks[0].size_bytes = 2 * GIB;
	verification_expect(a, "disk/vda", "2 GiB");
	a = verification_arrive();
	a->devices.disks[0] = (struct vm_disk_state){ .why = "no such node" };
	verification_expect(a, "disk/vda", "not opened by QEMU: no such node");
	a = verification_arrive();
	strcpy(a->found.disks[1].source, "/srv/other.qcow2");
	verification_expect(a, "disk/vda[1]", "/srv/other.qcow2");
	a = verification_arrive();
	strcpy(a->found.disks[2].type, "file");
	a->devices.disks[2].opened = true;
	verification_expect(a, "disk/sda", "opened by QEMU");
	a = verification_arrive();
	a->found.n_disks = 2;
	verification_expect(a, "disk/sda", "no such disk");
	a = verification_arrive();
	a->found.disks[3] = (struct vm_disk){ .target = "vdb", .type = "file", .source = "/x" };
	a->found.n_disks = 4;
	verification_expect(a, "disk/vdb", "/x");
}

/* A size that the source could not tell is not compared; what is here is shown. */
static void test_size_not_known(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->left.disks[0].size_bytes = 0;
	assert_null(verification_differs(a));
	assert_non_null(strstr(a->result.checks.items[5].measured, "1 GiB"));
	free(a);
}

/* An interface is the same, its cable is as it was, and its tap is in the bridge that it names. */
static void test_interfaces(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->found.interfaces[0].link_down = true;
	verification_expect(a, "network/" MAC, "link down");
	a = verification_arrive();
	a->left.interfaces[0].link_down = true;
	verification_expect(a, "network/" MAC, "link up");
	a = verification_arrive();
	strcpy(a->devices.plugs[0].device, "");
	verification_expect(a, "network/" MAC, "its tap vnet7 is in no bridge");
	a = verification_arrive();
	strcpy(a->devices.plugs[1].device, "br0");
	verification_expect(a, "network/" OTHER_MAC, "its tap vnet8 is in br0");
	a = verification_arrive();
	a->devices.plugs[0] = (struct vm_plug){ .why = "vnet7: No such device" };
	verification_expect(a, "network/" MAC, "not measured: vnet7: No such device");
	a = verification_arrive();
	strcpy(a->found.interfaces[1].source, "other");
	verification_expect(a, "network/" OTHER_MAC, "network other");
	a = verification_arrive();
	a->found.n_interfaces = 1;
	verification_expect(a, "network/" OTHER_MAC, "no such interface");
	a = verification_arrive();
	a->left.n_interfaces = 1;
	verification_expect(a, "network/" OTHER_MAC, "network default");
}

/* Of a port of Open vSwitch the kernel does not tell the bridge, and a network without a bridge has
 * none: they are compared by name alone. */
static void test_plugs_that_are_not_told(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->networks[0].facts.kind = NETWORK_OPEN_VSWITCH;
	strcpy(a->devices.plugs[0].device, "ovs-system");
	strcpy(a->networks[1].facts.device, "");
	a->devices.plugs[1] = (struct vm_plug){ .why = "it has no tap" };
	assert_null(verification_differs(a));
	free(a);
}

/* Devices that could not be looked at are failing checks that say so. */
static void test_devices_not_measured(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->in.devices = NULL;
	a->in.devices_why = "libvirt went away";
	a->found.n_interfaces = a->left.n_interfaces = 0;
	verification_expect(a, "disk/vda", "not measured: libvirt went away");
}

/* As many devices as there can be, and as many that nobody expects, fit into the list. */
static void test_most_devices(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->left.n_disks = a->found.n_disks = VM_DISKS_MAX;
	a->left.n_interfaces = a->found.n_interfaces = VM_INTERFACES_MAX;
	for (int i = 0; i < VM_DISKS_MAX; i++) {
		snprintf(a->left.disks[i].target, sizeof(a->left.disks[i].target), "vd%d", i);
		snprintf(a->found.disks[i].target, sizeof(a->found.disks[i].target), "sd%d", i);
	}
	for (int i = 0; i < VM_INTERFACES_MAX; i++) {
		snprintf(a->left.interfaces[i].mac, sizeof(a->left.interfaces[i].mac), "a%d", i);
		snprintf(a->found.interfaces[i].mac, sizeof(a->found.interfaces[i].mac), "b%d", i);
	}
	a->found.agent_channel = VM_AGENT_CONNECTED;
	a->devices.clock = VM_CLOCK_KNOWN;
	verification_judge(&a->in, &a->result);
	assert_string_equal(a->result.checks.items[a->result.checks.count - 1].id, "clock");
	/* The source's own comes last. */
	assert_true(a->result.checks.count < CHECKS_MAX);
	free(a);
}

/* A description tells at most as many devices as it has places for: what a count says beyond them is not
 * read, of what left as of what arrived. */
static void test_counts_beyond_the_places(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	for (int i = 3; i < VM_DISKS_MAX; i++) {
		snprintf(a->left.disks[i].target, sizeof(a->left.disks[i].target), "vd%d", i);
		a->found.disks[i] = a->left.disks[i];
		a->devices.disks[i].opened = true;
	}
	for (int i = 2; i < VM_INTERFACES_MAX; i++) {
		snprintf(a->left.interfaces[i].mac, sizeof(a->left.interfaces[i].mac), "a%d", i);
		a->found.interfaces[i] = a->left.interfaces[i];
	}
	a->left.n_disks = a->found.n_disks = VM_DISKS_MAX + 1;
	a->left.n_interfaces = a->found.n_interfaces = VM_INTERFACES_MAX + 1;
	assert_null(verification_differs(a));
	assert_int_equal(a->result.checks.count, 5 + VM_DISKS_MAX + VM_INTERFACES_MAX);
	/* One that is nowhere among them is missing. */
	strcpy(a->found.disks[VM_DISKS_MAX - 1].target, "vda[1]");
	strcpy(a->found.interfaces[VM_INTERFACES_MAX - 1].mac, MAC);
	verification_judge(&a->in, &a->result);
	assert_int_equal(a->result.checks.count - verification_count_passed(&a->result.checks), 2);
	free(a);
}

/* What a disk is counts as much as its image: a drive is no disk, a device is no file. */
static void test_kind_of_disk(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	strcpy(a->found.disks[0].device, "cdrom");
	verification_expect(a, "disk/vda", "opened by QEMU");
	a = verification_arrive();
	strcpy(a->found.disks[0].type, "block");
	verification_expect(a, "disk/vda", "opened by QEMU");
	a = verification_arrive();
	a->left.disks[0].format[0] = a->found.disks[0].format[0] = '\0';
	assert_null(verification_differs(a));
	assert_non_null(strstr(a->result.checks.items[5].measured, "format not told"));
	free(a);
}

/* Of a path that is too long for a line its end is told, where paths differ. */
static void test_long_path(void **state)
{
	struct arrival *a = verification_arrive();
	const struct check *c;

	(void)state;
	memset(a->left.disks[0].source, 'p', 100);
	strcpy(a->left.disks[0].source + 100, "/web.qcow2");
	strcpy(a->found.disks[0].source, a->left.disks[0].source);
	strcpy(a->found.disks[0].source + 100, "/old.qcow2");
	c = verification_differs(a);
	assert_non_null(c);
	assert_string_equal(c->id, "disk/vda");
	assert_non_null(strstr(c->required, "ppp/web.qcow2, qcow2"));
	assert_non_null(strstr(c->measured, "ppp/old.qcow2, qcow2"));
	assert_true(strlen(c->measured) < 100);
	free(a);
}

/* Another kind of interface, or another bridge, is a difference though its tap is where it belongs. */
static void test_kind_of_interface(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	strcpy(a->left.interfaces[0].type, "network");
	verification_expect(a, "network/" MAC, "bridge br0, link up; its tap vnet7 is in br0");
	a = verification_arrive();
	strcpy(a->left.interfaces[0].source, "br1");
	verification_expect(a, "network/" MAC, "bridge br0, link up; its tap vnet7 is in br0");
	/* One with a cable that was pulled before has it pulled still, and is told so. */
	a = verification_arrive();
	a->left.interfaces[0].link_down = a->found.interfaces[0].link_down = true;
	assert_null(verification_differs(a));
	assert_non_null(strstr(a->result.checks.items[8].measured, "bridge br0, link down"));
	strcpy(a->devices.plugs[0].device, "br9");
	verification_expect(a, "network/" MAC, "link down; its tap vnet7 is in br9");
	a = verification_arrive();
	a->left.interfaces[0].link_down = a->found.interfaces[0].link_down = true;
	a->devices.plugs[0].known = false;
	verification_expect(a, "network/" MAC, "link down; its tap was not measured");
}

/* A macvtap sits on the device that it names; that is compared. */
static void test_direct(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	strcpy(a->left.interfaces[0].type, "direct");
	strcpy(a->left.interfaces[0].source, "eth1");
	a->found.interfaces[0] = a->left.interfaces[0];
	strcpy(a->devices.plugs[0].device, "eth1");
	assert_null(verification_differs(a));
	strcpy(a->devices.plugs[0].device, "eth0");
	verification_expect(a, "network/" MAC, "is in eth0");
}

/* Where this host has no device to compare a tap with, a bad one is no difference: a guest's own network,
 * one that was not looked at, one that needs nothing, and a port of Open vSwitch. A cable is compared. */
static void test_nothing_to_compare_a_tap_with(void **state)
{
	(void)state;
	for (int which = 0; which < 4; which++) {
		struct arrival *a = verification_arrive();
		struct vm_interface *n = &a->found.interfaces[0];

		a->devices.plugs[0] = (struct vm_plug){ .why = "it has no tap" };
		if (which == 0) {
			strcpy(n->type, "user");
			n->source[0] = '\0';
		} else if (which == 1) {
			a->networks[0].measured = false;
		} else if (which == 2) {
			a->networks[0].needed = false;
		} else {
			strcpy(n->virtual_port, "openvswitch");
		}
		a->left.interfaces[0] = *n;
		assert_null(verification_differs(a));
		n->link_down = true;
		verification_expect(a, "network/" MAC,
		                    which ? "bridge br0, link down" : "user interface, link down");
	}
}

/* Taps that could not be looked at are failing checks that say why. */
static void test_taps_not_measured(void **state)
{
	struct arrival *a = verification_arrive();

	(void)state;
	a->in.devices = NULL;
	a->in.devices_why = "libvirt went away";
	a->found.n_disks = a->left.n_disks = 0;
	a->found.n_interfaces = a->left.n_interfaces = 1;
	verification_expect(a, "network/" MAC, "its tap was not measured: libvirt went away");
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_disks),
		T(test_size_not_known),
		T(test_kind_of_disk),
		T(test_long_path),
		T(test_interfaces),
		T(test_kind_of_interface),
		T(test_direct),
		T(test_plugs_that_are_not_told),
		T(test_nothing_to_compare_a_tap_with),
		T(test_devices_not_measured),
		T(test_taps_not_measured),
		T(test_most_devices),
		T(test_counts_beyond_the_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
