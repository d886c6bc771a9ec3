/* SPDX-License-Identifier: Apache-2.0 */
/* Admission on networks: each kind of binding finds what it is plugged into, or says what is missing. */
#include "common/alloc.h"
#include "tests/unit/admission_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct vm_interface *nic = &fixture_vm.interfaces[0];
static struct network_facts *here = &fixture_networks[0].facts;

static struct admission_input plugged(const char *type, const char *source)
{
	struct admission_input in = admission_fixture();

	memset(nic->type, 0, sizeof(nic->type));
	memset(nic->source, 0, sizeof(nic->source));
	memcpy(nic->type, type, strlen(type));
	memcpy(nic->source, source, strlen(source));
	return in;
}

static const struct check *judge(const struct admission_input *in)
{
	return admission_judged(in, "network/vnet0");
}

static const struct check *refuse(const struct admission_input *in)
{
	const struct check *c = admission_refused(in, "network/vnet0");

	assert_string_equal(c->reason, "InterfaceNotLiveMigratable");
	return c;
}

/* What is missing is named, with the command or the thing that brings it. */
static void test_missing(void **state)
{
	static const struct {
		const char *type, *source, *remedy;
	} cases[] = {
		{ "bridge", "br0", "create bridge br0" },
		{ "network", "lan", "virsh net-start lan" },
		{ "direct", "eth1", "macvtap sits on a device" },
		{ "vhostuser", "/run/vhost/a.sock", "start the switch" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct admission_input in = plugged(cases[i].type, cases[i].source);
		const struct check *c;

		assert_int_equal(judge(&in)->verdict, CHECK_PASS);
		here->present = false;
		c = refuse(&in);
		assert_non_null(strstr(c->measured, cases[i].source));
		assert_non_null(strstr(c->remedy, cases[i].remedy));
		fixture_networks[0].measured = false;
		strcpy(fixture_networks[0].why, "libvirt is away");
		assert_string_equal(refuse(&in)->measured, "not measured: libvirt is away");
	}
}

/* A switch whose socket QEMU makes lacks no more than a directory. */
static void test_vhostuser_server(void **state)
{
	struct admission_input in = plugged("vhostuser", "/run/vhost/a.sock");

	(void)state;
	nic->socket_server = true;
	here->present = false;
	assert_non_null(strstr(refuse(&in)->remedy, "its directory is missing"));
}

/* libvirt makes the tap of an ethernet interface, unless somebody else does. */
static void test_ethernet(void **state)
{
	struct admission_input in = plugged("ethernet", "");

	(void)state;
	here->present = false;
	assert_int_equal(judge(&in)->verdict, CHECK_PASS);
	assert_false(admission_interface_needs_network(nic));
	nic->target_must_exist = true;
	assert_true(admission_interface_needs_network(nic));
	assert_non_null(strstr(refuse(&in)->measured, "ethernet \"vnet0\" is missing here"));
	here->present = true;
	assert_int_equal(judge(&in)->verdict, CHECK_PASS);
}

/* A bridge of the kernel is none of Open vSwitch, nor the other way round. */
static void test_open_vswitch(void **state)
{
	struct admission_input in = plugged("bridge", "br0");

	(void)state;
	here->kind = NETWORK_OPEN_VSWITCH;
	assert_string_equal(refuse(&in)->measured, "\"br0\" is a bridge of Open vSwitch here");
	assert_non_null(strstr(refuse(&in)->remedy, "type bridge"));
	here->kind = NETWORK_OTHER;
	assert_string_equal(refuse(&in)->measured, "\"br0\" is no bridge here");
	strcpy(nic->virtual_port, "openvswitch");
	refuse(&in);
	here->kind = NETWORK_OPEN_VSWITCH;
	assert_int_equal(judge(&in)->verdict, CHECK_PASS);
	assert_non_null(strstr(judge(&in)->required, "Open vSwitch"));
	here->kind = NETWORK_BRIDGE;
	assert_non_null(strstr(refuse(&in)->remedy, "ovs-vsctl add-br"));
	/* A libvirt network knows by itself what it is plugged into. */
	in = plugged("network", "lan");
	strcpy(nic->virtual_port, "openvswitch");
	assert_int_equal(judge(&in)->verdict, CHECK_PASS);
}

/* The guest's packets must fit through the bridge here. */
static void test_mtu(void **state)
{
	struct admission_input in = plugged("network", "lan");
	const struct check *c;

	(void)state;
	here->mtu = 1500;
	assert_int_equal(judge(&in)->verdict, CHECK_PASS);
	nic->mtu = 1500;
	assert_int_equal(judge(&in)->verdict, CHECK_PASS);
	nic->mtu = 9000;
	strcpy(here->device, "virbr1");
	c = refuse(&in);
	assert_string_equal(c->measured, "\"virbr1\" here has an MTU of 1500 bytes");
	assert_non_null(strstr(c->required, "MTU of 9000 bytes at least"));
	assert_non_null(strstr(c->remedy, "ip link set virbr1 mtu 9000"));
	/* A network without a bridge has no MTU to ask for. */
	here->mtu = 0;
	assert_int_equal(judge(&in)->verdict, CHECK_PASS);
}

/* A device of the host cannot come along, but as the half of a failover pair that is unplugged. */
static void test_host_devices(void **state)
{
	static const char *const types[] = { "hostdev", "vdpa" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct admission_input in = plugged(types[i], "");

		assert_false(admission_interface_needs_network(nic));
		assert_int_equal(refuse(&in)->verdict, CHECK_BLOCK);
		nic->failover = true;
		assert_int_equal(judge(&in)->verdict, CHECK_PASS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),  cmocka_unit_test(test_vhostuser_server),
		cmocka_unit_test(test_ethernet), cmocka_unit_test(test_open_vswitch),
		cmocka_unit_test(test_mtu),      cmocka_unit_test(test_host_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
