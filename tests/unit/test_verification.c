/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kernel/verification.h"
#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAC "52:54:00:00:00:01"

/* A guest with a disk, an image below it, an empty drive and two interfaces, that arrived as it had left. */
struct arrival {
	struct vm_description left, found;
	struct vm_devices devices;
	struct network_finding networks[VM_INTERFACES_MAX];
	struct verification_input in;
	struct verification result;
};

static void fill_guest(struct vm_description *d)
{
	d->summary = (struct vm_summary){ .uuid = "00000000-0000-4000-8000-000000000001",
		                          .name = "web",
		                          .state = VM_RUNNING,
		                          .memory_bytes = 256 * MIB,
		                          .vcpus = 2,
		                          .active = true,
		                          .persistent = true,
		                          .autostart = true };
	d->vcpus_maximum = 4;
	d->disks[0] = (struct vm_disk){ .target = "vda",
		                        .type = "file",
		                        .device = "disk",
		                        .source = "/srv/web.qcow2",
		                        .format = "qcow2" };
	d->disks[1] = (struct vm_disk){ .target = "vda[1]",
		                        .type = "file",
		                        .device = "disk",
		                        .source = "/srv/base.qcow2",
		                        .format = "qcow2",
		                        .read_only = true };
	d->disks[2] = (struct vm_disk){
		.target = "sda", .type = "none", .device = "cdrom", .read_only = true
	};
	d->n_disks = 3;
	d->interfaces[0] = (struct vm_interface){
		.mac = MAC, .type = "bridge", .source = "br0", .model = "virtio", .target = "vnet0"
	};
	d->interfaces[1] = (struct vm_interface){ .mac = "52:54:00:00:00:02",
		                                  .type = "network",
		                                  .source = "default",
		                                  .model = "virtio",
		                                  .target = "vnet1" };
	d->n_interfaces = 2;
}

static struct arrival *arrive(void)
{
	struct arrival *a = xnew(struct arrival);

	fill_guest(&a->left);
	fill_guest(&a->found);
	a->left.disks[0].size_bytes = GIB;
	/* Devices are named anew on each host. */
	strcpy(a->found.interfaces[0].target, "vnet7");
	strcpy(a->found.interfaces[1].target, "vnet8");
	a->devices.disks[0] = (struct vm_disk_state){ .opened = true, .size_bytes = GIB };
	a->devices.plugs[0] = (struct vm_plug){ .known = true, .device = "br0" };
	a->devices.plugs[1] = (struct vm_plug){ .known = true, .device = "virbr0" };
	a->networks[0] = (struct network_finding){ .needed = true,
		                                   .measured = true,
		                                   .facts.kind = NETWORK_BRIDGE };
	a->networks[1] = a->networks[0];
	strcpy(a->networks[1].facts.device, "virbr0");
	a->in = (struct verification_input){ .source_node = "host1",
		                             .node = "host2",
		                             .left = &a->left,
		                             .persistent = true,
		                             .autostart = true,
		                             .found = &a->found,
		                             .devices = &a->devices,
		                             .networks = a->networks };
	return a;
}

/* Judges it, and tells the one check that did not pass. */
static const struct check *judge(struct arrival *a)
{
	const struct check *differs = NULL;

	verification_judge(&a->in, &a->result);
	for (size_t i = 0; i < a->result.checks.count; i++) {
		const struct check *c = &a->result.checks.items[i];

		assert_true(c->id[0] && c->measured[0] && c->required[0]);
		if (c->verdict == CHECK_PASS) {
			assert_string_equal(c->remedy, "");
			continue;
		}
		assert_true(c->remedy[0] != '\0');
		assert_null(differs);
		differs = c;
	}
	return differs;
}

static void expect(struct arrival *a, const char *id, const char *measured)
{
	const struct check *c = judge(a);

	assert_non_null(c);
	assert_string_equal(c->id, id);
	if (!strstr(c->measured, measured))
		fail_msg("%s: \"%s\" does not tell of \"%s\"", id, c->measured, measured);
	free(a);
}

/* A guest that arrived as it had left passes every check, though its taps have other names. */
static void test_same(void **state)
{
	static const char *const ids[] = { "state",
		                           "identity",
		                           "definition",
		                           "vcpus",
		                           "memory",
		                           "disk/vda",
		                           "disk/vda[1]",
		                           "disk/sda",
		                           "network/52:54:00:00:00:01",
		                           "network/52:54:00:00:00:02" };
	struct arrival *a = arrive();

	(void)state;
	assert_null(judge(a));
	assert_int_equal(a->result.checks.count, ARRAY_SIZE(ids));
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_string_equal(a->result.checks.items[i].id, ids[i]);
	assert_int_equal(verification_count_passed(&a->result.checks), ARRAY_SIZE(ids));
	/* It has no agent: that its clock was not asked is told, and counts for nothing. */
	assert_string_equal(a->result.not_verified,
	                    "the guest's clock: the guest has no agent to ask");
	free(a);
}

/* What a guest does is compared with what it did: paused by a person it arrives paused. */
static void test_state(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	a->found.summary.state = VM_PAUSED;
	strcpy(a->found.summary.reason, "I/O error");
	expect(a, "state", "paused (I/O error)");

	a = arrive();
	a->in.paused = true;
	a->found.summary.state = VM_PAUSED;
	assert_null(judge(a));
	free(a);

	a = arrive();
	a->in.paused = true;
	expect(a, "state", "running");
}

/* One that is not there any more is one failed check, and nothing is said of its devices. */
static void test_gone(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	a->in.found = NULL;
	expect(a, "state", "not active on host2");
}

/* Name and UUID are its identity; vCPUs and memory are what it had. */
static void test_identity_and_sizes(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	strcpy(a->found.summary.name, "wab");
	expect(a, "identity", "wab");
	a = arrive();
	a->found.summary.uuid[0] = 'f';
	expect(a, "identity", "f0000000");
	a = arrive();
	a->found.summary.vcpus = 1;
	expect(a, "vcpus", "1 of at most 4");
	a = arrive();
	a->found.vcpus_maximum = 2;
	expect(a, "vcpus", "2 of at most 2");
	a = arrive();
	a->found.summary.memory_bytes = 128 * MIB;
	expect(a, "memory", "128 MiB");
}

/* The definition and autostart went along, by what the source had before it switched autostart off for
 * the move; a transient guest stays one. */
static void test_definition(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	a->left.summary.autostart = false;
	assert_null(judge(a));
	free(a);
	a = arrive();
	a->found.summary.autostart = false;
	expect(a, "definition", "defined, autostart off");
	a = arrive();
	a->found.summary.persistent = false;
	expect(a, "definition", "transient");
	a = arrive();
	a->in.persistent = a->in.autostart = false;
	a->found.summary.autostart = false;
	expect(a, "definition", "defined, autostart off");
	a = arrive();
	a->in.autostart = false;
	expect(a, "definition", "autostart on");
}

/* A disk is the same image, of the same format and size, and QEMU has opened it. */
static void test_disks(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	strcpy(a->found.disks[0].source, "/srv/old.qcow2");
	expect(a, "disk/vda", "/srv/old.qcow2");
	a = arrive();
	strcpy(a->found.disks[0].format, "raw");
	expect(a, "disk/vda", "raw");
	a = arrive();
	a->found.disks[0].read_only = true;
	expect(a, "disk/vda", "read-only");
	a = arrive();
	a->devices.disks[0].size_bytes = 2 * GIB;
	expect(a, "disk/vda", "2 GiB");
	a = arrive();
	a->devices.disks[0] = (struct vm_disk_state){ .why = "no such node" };
	expect(a, "disk/vda", "not opened by QEMU: no such node");
	a = arrive();
	strcpy(a->found.disks[1].source, "/srv/other.qcow2");
	expect(a, "disk/vda[1]", "/srv/other.qcow2");
	a = arrive();
	strcpy(a->found.disks[2].type, "file");
	a->devices.disks[2].opened = true;
	expect(a, "disk/sda", "opened by QEMU");
	a = arrive();
	a->found.n_disks = 2;
	expect(a, "disk/sda", "no such disk");
	a = arrive();
	a->found.disks[3] = (struct vm_disk){ .target = "vdb", .type = "file", .source = "/x" };
	a->found.n_disks = 4;
	expect(a, "disk/vdb", "/x");
}

/* A size that the source could not tell is not compared; what is here is shown. */
static void test_size_not_known(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	a->left.disks[0].size_bytes = 0;
	assert_null(judge(a));
	assert_non_null(strstr(a->result.checks.items[5].measured, "1 GiB"));
	free(a);
}

/* An interface is the same, its cable is as it was, and its tap is in the bridge that it names. */
static void test_interfaces(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	a->found.interfaces[0].link_down = true;
	expect(a, "network/" MAC, "link down");
	a = arrive();
	a->left.interfaces[0].link_down = true;
	expect(a, "network/" MAC, "link up");
	a = arrive();
	strcpy(a->devices.plugs[0].device, "");
	expect(a, "network/" MAC, "its tap vnet7 is in no bridge");
	a = arrive();
	strcpy(a->devices.plugs[1].device, "br0");
	expect(a, "network/52:54:00:00:00:02", "its tap vnet8 is in br0");
	a = arrive();
	a->devices.plugs[0] = (struct vm_plug){ .why = "vnet7: No such device" };
	expect(a, "network/" MAC, "not measured: vnet7: No such device");
	a = arrive();
	strcpy(a->found.interfaces[1].source, "other");
	expect(a, "network/52:54:00:00:00:02", "network other");
	a = arrive();
	a->found.n_interfaces = 1;
	expect(a, "network/52:54:00:00:00:02", "no such interface");
	a = arrive();
	a->left.n_interfaces = 1;
	expect(a, "network/52:54:00:00:00:02", "network default");
}

/* Of a port of Open vSwitch the kernel does not tell the bridge, and a network without a bridge has
 * none: they are compared by name alone. */
static void test_plugs_that_are_not_told(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	a->networks[0].facts.kind = NETWORK_OPEN_VSWITCH;
	strcpy(a->devices.plugs[0].device, "ovs-system");
	strcpy(a->networks[1].facts.device, "");
	a->devices.plugs[1] = (struct vm_plug){ .why = "it has no tap" };
	assert_null(judge(a));
	free(a);
}

/* Devices that could not be looked at are failing checks that say so. */
static void test_devices_not_measured(void **state)
{
	struct arrival *a = arrive();

	(void)state;
	a->in.devices = NULL;
	a->in.devices_why = "libvirt went away";
	a->found.n_interfaces = a->left.n_interfaces = 0;
	expect(a, "disk/vda", "not measured: libvirt went away");
}

/* A clock that is off is a warning; an agent that is silent is no difference, but told. */
static void test_clock(void **state)
{
	struct arrival *a = arrive();
	const struct check *c;

	(void)state;
	a->found.agent_channel = VM_AGENT_CONNECTED;
	a->devices.clock = VM_CLOCK_KNOWN;
	a->devices.clock_ahead_ms = -120;
	assert_null(judge(a));
	assert_string_equal(a->result.checks.items[10].id, "clock");
	assert_string_equal(a->result.checks.items[10].measured, "120 ms behind");
	assert_string_equal(a->result.not_verified, "");

	a->devices.clock_ahead_ms = 3600000;
	c = judge(a);
	assert_non_null(c);
	assert_int_equal(c->verdict, CHECK_WARN);
	assert_string_equal(c->id, "clock");

	a->devices.clock = VM_CLOCK_SILENT;
	strcpy(a->devices.clock_why, "Guest agent is not responding");
	assert_null(judge(a));
	assert_string_equal(a->result.not_verified,
	                    "the guest's clock: Guest agent is not responding");

	a->devices.clock = VM_CLOCK_NOT_ASKED;
	a->found.agent_channel = VM_AGENT_DISCONNECTED;
	assert_null(judge(a));
	assert_string_equal(a->result.not_verified,
	                    "the guest's clock: the guest's agent is not connected");
	free(a);
}

/* At its source nothing may be left of it, not even a name. */
static void test_source(void **state)
{
	struct vm_summary vm = {
		.name = "web", .state = VM_SHUTOFF, .persistent = true, .autostart = true
	};
	struct check c;

	(void)state;
	verification_judge_source("host1", NULL, NULL, &c);
	assert_int_equal(c.verdict, CHECK_PASS);
	verification_judge_source("host1", &vm, NULL, &c);
	assert_int_equal(c.verdict, CHECK_FAIL);
	assert_string_equal(c.measured, "it is shutoff there, defined, autostart on");
	verification_judge_source("host1", NULL, "libvirt is away", &c);
	assert_int_equal(c.verdict, CHECK_FAIL);
	assert_string_equal(c.measured, "not measured: libvirt is away");
}

/* As many devices as there can be, and as many that nobody expects, fit into the list. */
static void test_most_devices(void **state)
{
	struct arrival *a = arrive();

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

/* What the journal keeps is what was judged, whatever stands in a guest's names and paths. */
static void test_text(void **state)
{
	struct arrival *a = arrive();
	struct verification *back = xnew(struct verification);
	char text[VERIFICATION_TEXT_BYTES];

	(void)state;
	a->found.summary.memory_bytes = 128 * MIB;
	strcpy(a->left.disks[0].source, "/srv/a\tb\nc");
	strcpy(a->found.disks[0].source, "/srv/a\tb\nc");
	(void)judge(a);
	verification_format(&a->result, text, sizeof(text));
	verification_parse(text, back);
	assert_string_equal(back->not_verified, a->result.not_verified);
	assert_int_equal(back->checks.count, a->result.checks.count);
	assert_int_equal(verification_count_passed(&back->checks),
	                 verification_count_passed(&a->result.checks));
	/* What differs comes first. */
	assert_string_equal(back->checks.items[0].id, "memory");
	assert_int_equal(back->checks.items[0].verdict, CHECK_FAIL);
	assert_string_equal(back->checks.items[0].measured, "128 MiB");
	assert_string_equal(back->checks.items[0].required, "256 MiB");
	assert_true(back->checks.items[0].remedy[0] != '\0');
	assert_string_equal(back->checks.items[1].id, "state");
	free(back);
	free(a);
}

/* With more than there is room for, what differs is kept, and how many more there were is said. */
static void test_text_is_cut(void **state)
{
	struct arrival *a = arrive();
	struct verification *back = xnew(struct verification);
	char text[1200];
	const struct check *last;

	(void)state;
	a->found.summary.memory_bytes = 128 * MIB;
	(void)judge(a);
	verification_format(&a->result, text, 700);
	verification_parse(text, back);
	assert_string_equal(back->checks.items[0].id, "memory");
	last = &back->checks.items[back->checks.count - 1];
	assert_string_equal(last->id, "others");
	assert_int_equal(last->verdict, CHECK_PASS);
	assert_int_equal(back->checks.count - 1 + (size_t)atoi(last->measured),
	                 a->result.checks.count);
	free(back);
	free(a);
}

/* A text that is damaged gives what is whole in it. */
static void test_text_damaged(void **state)
{
	struct verification *v = xnew(struct verification);

	(void)state;
	verification_parse("", v);
	assert_int_equal(v->checks.count, 0);
	verification_parse("why\nmemory\t3\tx\ty\nstate\t9\ta\tb\tc\nstate\t1\ta\tb\tc\n\t\t\t\t",
	                   v);
	assert_string_equal(v->not_verified, "why");
	assert_int_equal(v->checks.count, 1);
	assert_string_equal(v->checks.items[0].id, "state");
	assert_string_equal(v->checks.items[0].remedy, "c");
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_identity_and_sizes),
		cmocka_unit_test(test_definition),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_size_not_known),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_plugs_that_are_not_told),
		cmocka_unit_test(test_devices_not_measured),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_most_devices),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_is_cut),
		cmocka_unit_test(test_text_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
