/* SPDX-License-Identifier: Apache-2.0 */
/* Domain XML becomes a description with its blockers, or an error and nothing. data/domain_xml has
 * a running guest's two texts as libvirt 9.0 gave them, and one guest with every obstacle. */
#include "agent/hypervisor/domain_xml.h"

#include "agent/kernel/overhead.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA "tests/unit/data/domain_xml/"

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

static char *read_file(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char *text = xcalloc(1, 64 * KIB);

	assert_non_null(file);
	assert_true(fread(text, 1, 64 * KIB - 1, file) > 0);
	return text;
}

static int parse(const char *xml)
{
	return domain_xml_parse(xml, strlen(xml), d, &err);
}

static void parse_file(const char *path)
{
	_cleanup_free_ char *xml = read_file(path);

	if (parse(xml))
		fail_msg("%s: %s", path, err.text);
}

/* @xml is refused with @code and words about it, and the description stays empty. */
static void expect_refusal(const char *xml, size_t bytes, enum error_code code, const char *words)
{
	struct vm_description *untouched = xnew(struct vm_description);

	error_clear(&err);
	assert_int_equal(domain_xml_parse(xml, bytes, d, &err), -(int)code);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
	assert_memory_equal(d, untouched, sizeof(*d));
	free(untouched);
}

static const struct check *find_blocker(const char *id, const char *measured)
{
	for (size_t i = 0; i < d->blockers.count; i++)
		if (!strcmp(d->blockers.items[i].id, id) &&
		    strstr(d->blockers.items[i].measured, measured))
			return &d->blockers.items[i];
	return NULL;
}

static void test_running_guest(void **state)
{
	/* A running guest is read with its disks, backing images and taps. */
	(void)state;
	parse_file(DATA "live.xml");
	assert_string_equal(d->summary.name, "g1");
	assert_int_equal(strlen(d->summary.uuid), VM_UUID_BYTES - 1);
	assert_int_equal(d->summary.memory_bytes, 128 * MIB);
	assert_int_equal(d->summary.vcpus, 1);
	assert_string_equal(d->virt_type, "qemu");
	assert_string_equal(d->arch, "x86_64");
	assert_string_equal(d->machine, "pc-i440fx-7.2");
	assert_string_equal(d->emulator, "/usr/bin/qemu-system-x86_64");
	assert_int_equal(d->hugepage_bytes, 0);
	assert_int_equal(d->overhead_bytes, overhead_bytes(128 * MIB, 16 * MIB));

	assert_int_equal(d->n_disks, 3);
	assert_string_equal(d->disks[0].target, "hda");
	assert_string_equal(d->disks[0].type, "file");
	assert_string_equal(d->disks[0].device, "disk");
	assert_string_equal(d->disks[0].source, "/srv/images/top.qcow2");
	assert_string_equal(d->disks[0].format, "qcow2");
	assert_false(d->disks[0].read_only || d->disks[0].shareable);
	assert_string_equal(d->disks[1].target, "hda[1]");
	assert_string_equal(d->disks[1].source, "/srv/images/base.qcow2");
	assert_string_equal(d->disks[1].format, "qcow2");
	assert_true(d->disks[1].read_only);
	assert_string_equal(d->disks[2].device, "cdrom");
	assert_string_equal(d->disks[2].type, "none");

	assert_int_equal(d->n_interfaces, 1);
	assert_string_equal(d->interfaces[0].type, "bridge");
	assert_string_equal(d->interfaces[0].source, "br-vm");
	assert_string_equal(d->interfaces[0].model, "rtl8139");
	assert_string_equal(d->interfaces[0].target, "vnet0");
	assert_int_equal(strlen(d->interfaces[0].mac), 17);
	assert_int_equal(d->blockers.count, 0);
}

static void test_migratable_cpu(void **state)
{
	/* The CPU is taken from the migratable text, where every feature is spelled out. */
	_cleanup_free_ char *xml = read_file(DATA "migratable.xml");

	(void)state;
	parse_file(DATA "live.xml");
	assert_int_equal(domain_xml_parse_migratable(xml, strlen(xml), d, &err), 0);
	assert_string_equal(d->cpu_mode, "custom");
	assert_memory_equal(d->cpu_xml, "<cpu mode=\"custom\"", 18);
	assert_non_null(strstr(d->cpu_xml, "<feature policy=\"disable\" name=\"osvw\"/>"));
	assert_string_equal(d->cpu_xml + strlen(d->cpu_xml) - 6, "</cpu>");
	/* A text that is not one leaves what was there. */
	assert_int_equal(domain_xml_parse_migratable("<cpu/>", 6, d, &err), -ERROR_INVALID);
	assert_string_equal(d->cpu_mode, "custom");
}

static void test_obstacles(void **state)
{
	/* Each thing that cannot move is named with KubeVirt's word, and nothing else is. */
	static const struct {
		const char *id, *measured, *reason;
		enum check_verdict verdict;
	} expected[] = {
		{ "guest/hostdev", "type pci", "HostDeviceNotLiveMigratable", CHECK_BLOCK },
		{ "guest/interface", "52:54:00:00:00:01", "InterfaceNotLiveMigratable",
		  CHECK_BLOCK },
		{ "guest/interface", "52:54:00:00:00:03", "InterfaceNotLiveMigratable",
		  CHECK_BLOCK },
		{ "guest/tpm", "TPM", "HostDeviceNotLiveMigratable", CHECK_BLOCK },
		{ "guest/filesystem", "code", "VirtIOFSNotLiveMigratable", CHECK_BLOCK },
		{ "guest/filesystem", "docs", "", CHECK_WARN },
		{ "guest/shmem", "ring", "NotMigratable", CHECK_BLOCK },
		{ "guest/memory-device", "nvdimm", "NotMigratable", CHECK_BLOCK },
		{ "guest/disk", "vdb", "DisksNotLiveMigratable", CHECK_BLOCK },
		{ "guest/disk", "sda", "PersistentReservationNotLiveMigratable", CHECK_BLOCK },
		{ "guest/launch-security", "sev", "SEVNotLiveMigratable", CHECK_BLOCK },
		{ "guest/tsc", "invtsc", "NoTSCFrequencyNotLiveMigratable", CHECK_BLOCK },
	};

	(void)state;
	parse_file(DATA "obstacles.xml");
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct check *check = find_blocker(expected[i].id, expected[i].measured);

		if (!check)
			fail_msg("%s with \"%s\" is missing", expected[i].id, expected[i].measured);
		assert_string_equal(check->reason, expected[i].reason);
		assert_int_equal(check->verdict, expected[i].verdict);
		assert_true(check->remedy[0] && check->required[0]);
	}
	assert_int_equal(d->blockers.count, ARRAY_SIZE(expected));
}

static void test_sources(void **state)
{
	/* Sources are what two hosts can compare: paths, devices, URIs; units are honoured. */
	(void)state;
	parse_file(DATA "obstacles.xml");
	assert_int_equal(d->summary.memory_bytes, 8 * GIB);
	assert_int_equal(d->hugepage_bytes, GIB);
	assert_int_equal(d->overhead_bytes, overhead_bytes(8 * GIB, 128 * MIB));
	assert_string_equal(d->cpu_mode, "host-passthrough");
	assert_int_equal(d->n_disks, 5);
	assert_string_equal(d->disks[0].type, "network");
	assert_string_equal(d->disks[0].source, "rbd://mon1:6789,mon2/pool/root");
	assert_string_equal(d->disks[1].source, "/dev/mapper/lun0");
	assert_string_equal(d->disks[1].device, "lun");
	assert_true(d->disks[1].shareable);
	assert_string_equal(d->disks[3].source, "/srv/install.iso");
	assert_true(d->disks[3].read_only);
	assert_string_equal(d->disks[4].type, "volume");
	assert_string_equal(d->disks[4].source, "default/data.img");
	assert_int_equal(d->n_interfaces, 5);
	assert_string_equal(d->interfaces[3].type, "network");
	assert_string_equal(d->interfaces[3].source, "default");
	assert_string_equal(d->interfaces[4].source, "eno1");
}

static void f79_hostile_text(void **state)
{
	/* What is not a plain domain is refused in words, whatever it tries. */
	static const struct {
		const char *xml, *words;
	} rows[] = {
		{ "", "malformed" },
		{ "<domain>", "malformed: line 1" },
		{ "<network><name>x</name></network>", "<network>, not <domain>" },
		{ "<domain xmlns='urn:x'><name>x</name></domain>", "not <domain>" },
		{ "<!DOCTYPE domain><domain/>", "DOCTYPE" },
		{ "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain>&b;</domain>",
		  "DOCTYPE" },
		{ "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>", "DOCTYPE" },
		{ "<domain><name>x</name></domain>", "no <name> or no <uuid>" },
		{ "<domain><name>x</name><uuid>u</uuid></domain>", "<memory>" },
		{ "<domain><name>x</name><uuid>u</uuid><memory>-1</memory></domain>",
		  "not a number" },
		{ "<domain><name>x</name><uuid>u</uuid><memory "
		  "unit='Elephants'>1</memory></domain>",
		  "Elephants" },
		{ "<domain><name>x</name><uuid>u</uuid><memory "
		  "unit='TiB'>99999999999</memory></domain>",
		  "TiB" },
		{ "<domain><name>x</name><uuid>u</uuid><memory>1</memory><vcpu>many</vcpu></"
		  "domain>",
		  "many" },
		{ "<domain><name>\xff</name></domain>", "malformed" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect_refusal(rows[i].xml, strlen(rows[i].xml), ERROR_INVALID, rows[i].words);
	expect_refusal("<domain/>\0<x/>", 14, ERROR_INVALID, "malformed");
}

static void test_nothing_is_cut(void **state)
{
	/* Too much of anything is an error or a block, never a shorter name for something else. */
	_cleanup_free_ char *text = xcalloc(1, 2 * MIB);
	char *end;

	(void)state;
	memset(text, ' ', 2 * MIB - 1);
	expect_refusal(text, DOMAIN_XML_BYTES + 1, ERROR_TOO_LARGE, "1048577 bytes");

	end = stpcpy(text, "<domain><name>");
	memset(end, 'n', VM_NAME_BYTES);
	stpcpy(end + VM_NAME_BYTES, "</name><uuid>u</uuid><memory>1</memory></domain>");
	expect_refusal(text, strlen(text), ERROR_TOO_LARGE, "name has 256 bytes; at most 255");

	end = stpcpy(text, "<domain><name>n</name><uuid>u</uuid><memory>1</memory><devices>");
	for (int i = 0; i < 40; i++)
		end = stpcpy(end, "<disk type='file'><source file='/x'/><target dev='vda'/></disk>"
		                  "<interface type='user'/>");
	stpcpy(end, "</devices></domain>");
	assert_int_equal(parse(text), 0);
	assert_int_equal(d->n_disks, VM_DISKS_MAX);
	assert_int_equal(d->n_interfaces, VM_INTERFACES_MAX);
	assert_non_null(find_blocker("guest/disks", "more than 32 disks"));
	assert_non_null(find_blocker("guest/interfaces", "more than 16 interfaces"));
}

static void test_plugs(void **state)
{
	/* A running guest on a libvirt network that only names a bridge or a device is of that network still:
	 * the destination's may name another. A pulled cable is seen. */
	(void)state;
	assert_int_equal(parse("<domain><name>n</name><uuid>u</uuid><memory>1</memory><devices>"
	                       "<interface type='bridge'><source network='flat' bridge='br0'/>"
	                       "<link state='down'/></interface>"
	                       "<interface type='direct'><source network='pool' dev='eth1'/>"
	                       "</interface>"
	                       "<interface type='bridge'><source bridge='br0'/></interface>"
	                       "<interface type='hostdev'><source network='vf'/></interface>"
	                       "</devices></domain>"),
	                 0);
	assert_string_equal(d->interfaces[0].type, "network");
	assert_string_equal(d->interfaces[0].source, "flat");
	assert_true(d->interfaces[0].link_down);
	assert_string_equal(d->interfaces[1].type, "network");
	assert_string_equal(d->interfaces[1].source, "pool");
	assert_string_equal(d->interfaces[2].type, "bridge");
	assert_string_equal(d->interfaces[2].source, "br0");
	assert_false(d->interfaces[2].link_down);
	assert_string_equal(d->interfaces[3].type, "hostdev");
}

static void test_many_obstacles(void **state)
{
	/* More obstacles than fit are still a block, and it is said that there are more. */
	_cleanup_free_ char *text = xcalloc(1, 64 * KIB);
	char *end = stpcpy(text, "<domain><name>n</name><uuid>u</uuid><memory>1</memory><devices>");

	(void)state;
	for (int i = 0; i < 100; i++)
		end = stpcpy(end, "<hostdev type='usb'/>");
	stpcpy(end, "</devices></domain>");
	assert_int_equal(parse(text), 0);
	assert_int_equal(d->blockers.count, CHECKS_MAX);
	assert_string_equal(d->blockers.items[CHECKS_MAX - 1].id, "guest/more");
	assert_int_equal(d->blockers.items[CHECKS_MAX - 1].verdict, CHECK_BLOCK);
}

static void test_overhead(void **state)
{
	/* Overhead grows with RAM, and a nonsensical size never wraps to a small need. */
	(void)state;
	assert_int_equal(overhead_bytes(0, 0), 64 * MIB);
	assert_int_equal(overhead_bytes(500 * GIB, 16 * MIB), 80 * MIB + GIB);
	assert_int_equal(overhead_bytes(GIB, UINT64_MAX), UINT64_MAX);
	assert_true(overhead_bytes(UINT64_MAX, 0) > UINT64_MAX / 501);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_running_guest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_migratable_cpu, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_obstacles, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sources, set_up, tear_down),
		cmocka_unit_test_setup_teardown(f79_hostile_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_plugs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_obstacles, set_up, tear_down),
		cmocka_unit_test(test_overhead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
