/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest needs of its host, read out of its XML; and what a host can give, out of libvirt's
 * capabilities. */
#include "agent/hypervisor/domain_capabilities.h"
#include "agent/hypervisor/domain_xml.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vm_description *d;
static struct error err;

static int set_up(void **state)
{
	(void)state;
	d = xnew(struct vm_description);
	error_clear(&err);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vm_description_deinit(d);
	free(d);
	return 0;
}

static char *guest(const char *inside)
{
	return xasprintf("<domain type='kvm'><name>a</name>"
	                 "<uuid>72b2bc1b-4af3-4e43-bafe-7e6b45dfaadc</uuid>"
	                 "<memory unit='MiB'>1024</memory><vcpu current='2'>4</vcpu>%s</domain>",
	                 inside);
}

static void parse(const char *inside)
{
	_cleanup_free_ char *xml = guest(inside);

	vm_description_deinit(d);
	memset(d, 0, sizeof(*d));
	if (domain_xml_parse(xml, strlen(xml), d, &err) != 0)
		fail_msg("%s", err.text);
}

static void parse_places(const char *devices)
{
	_cleanup_free_ char *inside = xasprintf("<devices>%s</devices>", devices);
	_cleanup_free_ char *xml = guest(inside);

	if (domain_xml_parse_migratable(xml, strlen(xml), d, &err) != 0)
		fail_msg("%s", err.text);
}

/* Firmware with its NVRAM, in libvirt's two ways to write that, and a TPM. */
static void test_firmware(void **state)
{
	(void)state;
	parse("");
	assert_string_equal(d->firmware.loader, "");
	assert_string_equal(d->firmware.tpm, "");
	assert_int_equal(d->vcpus_maximum, 4);
	parse("<os><type>hvm</type><loader readonly='yes' secure='yes' type='pflash'>/fw/CODE.fd"
	      "</loader><nvram template='/fw/VARS.fd'>/nvram/a.fd</nvram></os>"
	      "<devices><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
	      "</devices>");
	assert_string_equal(d->firmware.loader, "/fw/CODE.fd");
	assert_true(d->firmware.secure_boot);
	assert_string_equal(d->firmware.nvram, "/nvram/a.fd");
	assert_string_equal(d->firmware.nvram_template, "/fw/VARS.fd");
	assert_string_equal(d->firmware.tpm, "emulator");
	parse("<os><nvram type='file'><source file='/nvram/b.fd'/></nvram></os>");
	assert_string_equal(d->firmware.nvram, "/nvram/b.fd");
	assert_false(d->firmware.secure_boot);
	parse("<os><nvram type='network'><source protocol='rbd' name='p/v'/></nvram></os>");
	assert_string_equal(d->firmware.nvram, "");
}

/* RAM bound strictly is counted by NUMA node; what is only preferred is not. */
static void test_bindings(void **state)
{
	(void)state;
	parse("<numatune><memory mode='strict' nodeset='0-2,^1'/></numatune>");
	assert_int_equal(d->n_bindings, 1);
	assert_int_equal(d->bindings[0].nodes, 5);
	assert_int_equal(d->bindings[0].bytes, GIB);
	parse("<numatune><memory nodeset='63'/></numatune>");
	assert_true(d->bindings[0].nodes == UINT64_C(1) << 63);
	parse("<numatune><memory mode='preferred' nodeset='0'/></numatune>");
	assert_int_equal(d->n_bindings, 0);
	parse("<numatune><memory mode='strict' placement='auto'/></numatune>");
	assert_int_equal(d->n_bindings, 0);

	/* Cells have their own, and the rest that of the whole. */
	parse("<numatune><memory mode='strict' nodeset='0'/>"
	      "<memnode cellid='1' mode='strict' nodeset='1'/>"
	      "<memnode cellid='2' mode='preferred' nodeset='1'/></numatune>"
	      "<cpu><numa><cell id='0' cpus='0' memory='256' unit='MiB'/>"
	      "<cell id='1' cpus='1' memory='524288'/>"
	      "<cell id='2' cpus='2' memory='256' unit='MiB'/></numa></cpu>");
	assert_int_equal(d->n_bindings, 2);
	assert_int_equal(d->bindings[0].nodes, 2);
	assert_int_equal(d->bindings[0].bytes, 512 * MIB);
	assert_int_equal(d->bindings[1].nodes, 1);
	assert_int_equal(d->bindings[1].bytes, 256 * MIB);
	/* Nothing is left for the whole. */
	parse("<numatune><memory mode='strict' nodeset='0'/>"
	      "<memnode cellid='0' mode='strict' nodeset='1'/></numatune>"
	      "<cpu><numa><cell id='0' cpus='0-3' memory='1024' unit='MiB'/></numa></cpu>");
	assert_int_equal(d->n_bindings, 1);
	assert_int_equal(d->blockers.count, 0);
}

/* A set of nodes that makes no sense, or has one that cannot be counted, blocks. */
static void test_bindings_that_cannot_be_checked(void **state)
{
	static const char *const bad[] = { "64", "3-1", "x", "^", "1-", "1-x", "0;1", "^0", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *xml = xasprintf(
			"<numatune><memory mode='strict' nodeset='%s'/></numatune>", bad[i]);

		parse(xml);
		assert_int_equal(d->n_bindings, 0);
		assert_int_equal(d->blockers.count, 1);
		assert_string_equal(d->blockers.items[0].id, "guest/numa");
		assert_int_equal(d->blockers.items[0].verdict, CHECK_BLOCK);
	}
}

/* A TSC of a frequency that somebody wrote down, and no other timer's. */
static void test_tsc(void **state)
{
	_cleanup_free_ char *xml = guest("<clock><timer name='tsc' frequency='fast'/></clock>");

	(void)state;
	parse("<clock><timer name='hpet' present='no'/><timer name='tsc' mode='native'/></clock>");
	assert_true(d->tsc_hz == 0);
	parse("<clock><timer name='tsc' frequency='2600000000'/></clock>");
	assert_true(d->tsc_hz == UINT64_C(2600000000));
	assert_int_equal(domain_xml_parse(xml, strlen(xml), d, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "fast"));
	*d = (struct vm_description){ 0 };
}

/* The channel of the guest agent, among others. */
static void test_agent_channel(void **state)
{
	(void)state;
	parse("<devices><channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0' "
	      "state='connected'/></channel></devices>");
	assert_int_equal(d->agent_channel, VM_AGENT_NONE);
	parse("<devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' "
	      "state='disconnected'/></channel></devices>");
	assert_int_equal(d->agent_channel, VM_AGENT_DISCONNECTED);
	parse("<devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' "
	      "state='connected'/></channel></devices>");
	assert_int_equal(d->agent_channel, VM_AGENT_CONNECTED);
}

/* Each binding of an interface with what the destination looks for. */
static void test_interfaces(void **state)
{
	const struct vm_interface *i = d->interfaces;

	(void)state;
	parse("<devices>"
	      "<interface type='bridge'><source bridge='ovsbr0'/><virtualport type='openvswitch'/>"
	      "<mtu size='9000'/><target dev='vnet0'/></interface>"
	      "<interface type='vhostuser'><source type='unix' path='/run/a.sock' mode='server'/>"
	      "</interface>"
	      "<interface type='direct'><source dev='eth1' mode='bridge'/></interface>"
	      "<interface type='ethernet'><target dev='tap9' managed='no'/></interface>"
	      "<interface type='hostdev'><teaming type='transient' persistent='ua-0'/></interface>"
	      "<interface type='bridge'><source bridge='br0'/><mtu size='huge'/></interface>"
	      "</devices>");
	assert_int_equal(d->n_interfaces, 6);
	assert_string_equal(i[0].source, "ovsbr0");
	assert_string_equal(i[0].virtual_port, "openvswitch");
	assert_int_equal(i[0].mtu, 9000);
	assert_string_equal(i[1].source, "/run/a.sock");
	assert_true(i[1].socket_server);
	assert_string_equal(i[2].source, "eth1");
	assert_false(i[2].target_must_exist);
	assert_string_equal(i[3].target, "tap9");
	assert_true(i[3].target_must_exist);
	assert_true(i[4].failover);
	assert_int_equal(i[5].mtu, 0);
}

static void assert_place(size_t i, const char *name, enum vm_place_kind kind, const char *where)
{
	assert_true(i < d->n_places);
	assert_string_equal(d->places[i].name, name);
	assert_int_equal(d->places[i].kind, kind);
	assert_string_equal(d->places[i].where, where);
}

/* Graphics: an address that somebody chose; not one that every host has, nor a network's. */
static void test_graphics(void **state)
{
	(void)state;
	parse("");
	parse_places("<graphics type='vnc' listen='0.0.0.0'><listen type='address' "
	             "address='0.0.0.0'/></graphics>"
	             "<graphics type='spice'><listen type='address' address='::1'/></graphics>"
	             "<graphics type='spice'><listen type='address'/></graphics>"
	             "<graphics type='vnc'><listen type='network' network='lan' "
	             "address='10.0.0.9'/></graphics>");
	assert_int_equal(d->n_places, 0);
	parse_places("<graphics type='vnc' listen='10.0.0.1'><listen type='address' "
	             "address='10.0.0.1'/></graphics>"
	             "<graphics type='vnc' listen='10.0.0.2'/>"
	             "<graphics type='spice'><listen type='socket' socket='/run/s/a.sock'/>"
	             "</graphics>");
	assert_int_equal(d->n_places, 3);
	assert_place(0, "graphics/vnc", VM_PLACE_ADDRESS, "10.0.0.1");
	assert_place(1, "graphics/vnc", VM_PLACE_ADDRESS, "10.0.0.2");
	assert_place(2, "graphics/spice", VM_PLACE_DIRECTORY, "/run/s");
}

/* A kernel that QEMU loads itself, and what goes with it. */
static void test_boot(void **state)
{
	_cleanup_free_ char *xml = guest("<os><type>hvm</type><kernel>/boot/vmlinuz</kernel>"
	                                 "<initrd>/boot/initrd</initrd><cmdline>a</cmdline></os>");

	(void)state;
	assert_int_equal(domain_xml_parse_migratable(xml, strlen(xml), d, &err), 0);
	assert_int_equal(d->n_places, 2);
	assert_place(0, "os/kernel", VM_PLACE_PATH, "/boot/vmlinuz");
	assert_place(1, "os/initrd", VM_PLACE_PATH, "/boot/initrd");
}

/* Serial lines and their like, each kind; a console is not counted besides its serial line. */
static void test_lines(void **state)
{
	(void)state;
	parse("");
	parse_places("<serial type='pty'/>"
	             "<serial type='file'><source path='/srv/log/a.log' append='on'/></serial>"
	             "<serial type='dev'><source path='/dev/ttyS4'/></serial>"
	             "<serial type='tcp'><source mode='bind' host='10.0.0.1' service='2000'/>"
	             "</serial>"
	             "<serial type='tcp'><source mode='connect' host='10.0.0.7' service='2000'/>"
	             "</serial>"
	             "<serial type='file'><source path='/a.log'/></serial>"
	             "<parallel type='pipe'><source path='/run/p'/></parallel>"
	             "<console type='file'><source path='/srv/log/a.log'/></console>"
	             "<channel type='unix'><source mode='bind' path='/run/ch/a'/></channel>"
	             "<channel type='unix'><source mode='connect' path='/run/there'/></channel>"
	             "<channel type='pty'><log file='/var/log/ch.log' append='off'/></channel>"
	             "<channel type='file'><source path='relative'/></channel>");
	assert_int_equal(d->n_places, 8);
	assert_place(0, "serial/1", VM_PLACE_DIRECTORY, "/srv/log");
	assert_place(1, "serial/2", VM_PLACE_PATH, "/dev/ttyS4");
	assert_place(2, "serial/3", VM_PLACE_ADDRESS, "10.0.0.1");
	assert_place(3, "serial/5", VM_PLACE_DIRECTORY, "/");
	assert_place(4, "parallel/0", VM_PLACE_PATH, "/run/p");
	assert_place(5, "channel/0", VM_PLACE_DIRECTORY, "/run/ch");
	assert_place(6, "channel/1", VM_PLACE_PATH, "/run/there");
	assert_place(7, "channel/2", VM_PLACE_DIRECTORY, "/var/log");
	/* They are read anew each time. */
	parse_places("");
	assert_int_equal(d->n_places, 0);
}

/* More of them than there is room for: the guest moves, and somebody is told what was not checked. */
static void test_too_many_places(void **state)
{
	char devices[4096] = "";
	size_t used = 0;

	(void)state;
	parse("");
	for (int i = 0; i <= VM_PLACES_MAX; i++)
		used += (size_t)snprintf(devices + used, sizeof(devices) - used,
		                         "<serial type='dev'><source path='/dev/t%d'/></serial>",
		                         i);
	parse_places(devices);
	assert_int_equal(d->n_places, VM_PLACES_MAX);
	assert_int_equal(d->blockers.count, 1);
	assert_int_equal(d->blockers.items[0].verdict, CHECK_WARN);
	assert_non_null(strstr(d->blockers.items[0].measured, "/dev/t16"));
}

#define GUESTS_TEXT(more)                                                                     \
	"<domainCapabilities><vcpu max='288'/><os supported='yes'><loader supported='yes'>"   \
	"<value>/fw/OTHER.fd</value><value>/fw/CODE.fd</value>"                               \
	"<enum name='type'><value>pflash</value></enum></loader></os>"                        \
	"<devices><tpm supported='yes'><enum name='model'><value>tpm-tis</value></enum>"      \
	"<enum name='backendModel'><value>passthrough</value>" more "</enum></tpm></devices>" \
	"</domainCapabilities>"

/* What a guest can have: vCPUs, firmware, a TPM. */
static void test_capabilities(void **state)
{
	static const char with[] = GUESTS_TEXT("<value>emulator</value>");
	static const char without[] = GUESTS_TEXT("");
	struct guest_capabilities c = { 0 };

	(void)state;
	assert_int_equal(domain_capabilities_parse(with, strlen(with), "/fw/CODE.fd", &c, &err), 0);
	assert_int_equal(c.vcpus_max, 288);
	assert_true(c.loader_listed);
	assert_true(c.tpm_emulator);
	assert_int_equal(domain_capabilities_parse(without, strlen(without), "pflash", &c, &err),
	                 0);
	assert_false(c.loader_listed);
	assert_false(c.tpm_emulator);
	assert_int_equal(domain_capabilities_parse(without, strlen(without), "", &c, &err), 0);
	assert_false(c.loader_listed);
	/* An older libvirt tells less. */
	c = (struct guest_capabilities){ 0 };
	assert_int_equal(domain_capabilities_parse("<domainCapabilities/>", 21, "/fw", &c, &err),
	                 0);
	assert_int_equal(c.vcpus_max, 0);
	assert_false(c.tpm_emulator);
	assert_int_equal(domain_capabilities_parse("<domain/>", 9, "", &c, &err), -ERROR_INVALID);
	assert_int_equal(domain_capabilities_parse("<x", 2, "", &c, &err), -ERROR_INVALID);
}

/* The host's TSC, which some hosts do not have. */
static void test_host_tsc(void **state)
{
	static const char fixed[] = "<capabilities><host><cpu><counter name='tsc' "
				    "frequency='2599998000' scaling='no'/></cpu></host>"
				    "</capabilities>";
	static const char scaled[] = "<capabilities><host><cpu><counter name='other' "
				     "frequency='1'/><counter name='tsc' frequency='3000000000' "
				     "scaling='yes'/></cpu></host></capabilities>";
	struct guest_capabilities c = { 0 };

	(void)state;
	assert_int_equal(domain_capabilities_parse_host("<capabilities/>", 15, &c, &err), 0);
	assert_true(c.tsc_hz == 0);
	assert_int_equal(domain_capabilities_parse_host(fixed, sizeof(fixed) - 1, &c, &err), 0);
	assert_true(c.tsc_hz == UINT64_C(2599998000));
	assert_false(c.tsc_scaling);
	assert_int_equal(domain_capabilities_parse_host(scaled, sizeof(scaled) - 1, &c, &err), 0);
	assert_true(c.tsc_hz == UINT64_C(3000000000));
	assert_true(c.tsc_scaling);
	assert_int_equal(domain_capabilities_parse_host("<domain/>", 9, &c, &err), -ERROR_INVALID);
}

/* Machine types with how many vCPUs each takes, and what runs them; a type that libvirt lists under one
 * kind of domain alone is there, too. */
static void test_machines(void **state)
{
	static const char text[] =
		"<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'>"
		"<machine maxCpus='288'>pc-q35-7.2</machine>"
		"<machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>"
		"<domain type='qemu'/><domain type='kvm'><machine maxCpus='1'>microvm</machine>"
		"</domain></arch></guest></capabilities>";
	struct host_offers *offers = xnew(struct host_offers);

	(void)state;
	assert_int_equal(domain_capabilities_parse_machines(text, sizeof(text) - 1, offers, &err),
	                 0);
	assert_int_equal(offers->n_machines, 3);
	assert_string_equal(offers->machines[0].name, "pc-q35-7.2");
	assert_string_equal(offers->machines[0].arch, "x86_64");
	assert_int_equal(offers->machines[0].vcpus_max, 288);
	assert_string_equal(offers->machines[2].name, "microvm");
	assert_int_equal(offers->n_types, 2);
	assert_string_equal(offers->types[1], "x86_64 kvm");
	host_offers_free(offers);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_machines),
		CASE(test_firmware),
		CASE(test_bindings),
		CASE(test_bindings_that_cannot_be_checked),
		CASE(test_tsc),
		CASE(test_agent_channel),
		CASE(test_interfaces),
		CASE(test_graphics),
		CASE(test_boot),
		CASE(test_lines),
		CASE(test_too_many_places),
		CASE(test_capabilities),
		CASE(test_host_tsc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
