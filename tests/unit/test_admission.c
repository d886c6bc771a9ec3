/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: all checks, always, in one order, each with its numbers and the next step; what was
 * not measured does not pass. */
#include "tests/unit/admission_fixture.h"

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

/* A guest that fits passes, and every check is there, in the order of the header. */
static void test_all_checks_in_order(void **state)
{
	static const char *const order[] = {
		"limits",        "guest",         "memory",    "hugepages",
		"vcpus",         "cpu",           "tsc",       "machine",
		"version",       "firmware",      "graphics",  "serial",
		"port",          "slot",          "bandwidth", "latency",
		"disk/vda",      "network/vnet0", "guard",     "conflict/uuid",
		"conflict/name", "node",          "tls"
	};
	struct admission_input in = admission_fixture();

	(void)state;
	admission_judge(&in, &fixture_list);
	assert_int_equal(fixture_list.count, ARRAY_SIZE(order));
	for (size_t i = 0; i < fixture_list.count; i++) {
		assert_string_equal(fixture_list.items[i].id, order[i]);
		assert_int_equal(fixture_list.items[i].verdict, CHECK_PASS);
		assert_string_equal(fixture_list.items[i].remedy, "");
	}
	assert_true(admission_passes(&fixture_list));
}

/* One failing check hides none of the others. */
static void test_failures_do_not_hide_each_other(void **state)
{
	struct admission_input in = admission_fixture();
	size_t failed = 0;

	(void)state;
	in.memory.free_bytes = 0;
	in.port.free_port = 0;
	fixture_disks[0].proved = false;
	fixture_networks[0].facts.present = false;
	in.draining = true;
	admission_judge(&in, &fixture_list);
	assert_int_equal(fixture_list.count, 23);
	for (size_t i = 0; i < fixture_list.count; i++)
		failed += fixture_list.items[i].verdict == CHECK_FAIL;
	assert_int_equal(failed, 5);
}

/* Memory shows its arithmetic, and who else is on the way when that is what is missing. */
static void test_memory(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c = admission_judged(&in, "memory");

	(void)state;
	assert_string_equal(c->measured,
	                    "460 MiB free: 1 GiB capacity - 64 MiB reserve - 3 guests 500 MiB");
	assert_string_equal(c->required, "320 MiB: 256 MiB RAM + 64 MiB overhead");

	in.memory.free_bytes = 320 * MIB; /* exactly */
	assert_int_equal(admission_judged(&in, "memory")->verdict, CHECK_PASS);
	in.memory.free_bytes--;
	admission_refused(&in, "memory");

	in.memory.free_bytes = 204 * MIB;
	in.memory.reserved_bytes = 256 * MIB;
	in.memory.n_reserved = 1;
	c = admission_refused(&in, "memory");
	assert_string_equal(c->measured,
	                    "204 MiB free: 1 GiB capacity - 64 MiB reserve - 3 guests 500 "
	                    "MiB - 1 reserved 256 MiB");
	assert_non_null(strstr(c->remedy, "116 MiB short: wait for what is on its way here (1)"));

	in.memory.guests_known = false;
	assert_non_null(strstr(admission_refused(&in, "memory")->measured, "not measured"));
}

/* What another process has taken of the memory is a warning. */
static void test_memory_available(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.available_bytes = 100 * MIB;
	assert_int_equal(admission_judged(&in, "memory")->verdict, CHECK_WARN);
	assert_true(admission_passes(&fixture_list));
}

/* Numbers of a peer that are none are refused before anything is added up. */
static void test_nonsense_from_a_peer(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	fixture_vm.summary.memory_bytes = 0;
	admission_refused(&in, "limits");
	admission_refused(&in, "memory");
	fixture_vm.summary.memory_bytes = UINT64_MAX;
	admission_refused(&in, "limits");
	admission_refused(&in, "memory");
	fixture_vm.summary.memory_bytes = ADMISSION_MEMORY_MAX_BYTES;
	assert_int_equal(admission_judged(&in, "limits")->verdict, CHECK_PASS);
	admission_refused(&in, "memory");
	fixture_vm.summary.memory_bytes++;
	admission_refused(&in, "limits");
	in = admission_fixture();
	fixture_vm.overhead_bytes = UINT64_MAX;
	admission_refused(&in, "limits");
	assert_int_equal(admission_memory_needed(&fixture_vm), 0);
	in = admission_fixture();
	fixture_vm.summary.vcpus = 0;
	admission_refused(&in, "limits");
	fixture_vm.summary.vcpus = ADMISSION_VCPUS_MAX;
	assert_int_equal(admission_judged(&in, "limits")->verdict, CHECK_PASS);
	fixture_vm.summary.vcpus++;
	admission_refused(&in, "limits");
	in = admission_fixture();
	fixture_vm.summary.uuid[0] = '\0';
	assert_string_equal(admission_refused(&in, "limits")->measured,
	                    "the guest came without a UUID");
	in = admission_fixture();
	fixture_vm.summary.name[0] = '\0';
	assert_string_equal(admission_refused(&in, "limits")->measured,
	                    "the guest came without a name");
}

/* More disks or interfaces than can be checked: refused, and the limit is named. */
static void test_too_many_disks(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	fixture_vm.n_disks = VM_DISKS_MAX;
	fixture_vm.n_interfaces = VM_INTERFACES_MAX;
	admission_judged(&in, "limits");
	assert_int_equal(fixture_list.count, 21 + VM_DISKS_MAX + VM_INTERFACES_MAX);

	fixture_vm.n_disks = VM_DISKS_MAX + 8;
	fixture_vm.n_interfaces = VM_INTERFACES_MAX + 100;
	c = admission_refused(&in, "limits");
	assert_int_equal(c->verdict, CHECK_BLOCK);
	assert_non_null(strstr(c->required, "32 disks, 16 interfaces"));
	assert_non_null(strstr(c->measured, "40 disks, 116 interfaces"));
	fixture_vm.n_disks = 1;
	assert_int_equal(admission_refused(&in, "limits")->verdict, CHECK_BLOCK);
	assert_true(fixture_list.count <= CHECKS_MAX);
}

/* Counts of places and bindings beyond their arrays: what is in the arrays is judged, and no more. */
static void test_too_many_places(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	fixture_vm.n_places = VM_PLACES_MAX + 1;
	for (size_t i = 0; i < VM_PLACES_MAX; i++) {
		strcpy(fixture_vm.places[i].name, "serial/0");
		fixture_places[i] = (struct place_finding){ .measured = true, .usable = true };
	}
	assert_non_null(
		strstr(admission_judged(&in, "serial")->required, "16 addresses and paths"));
	in = admission_fixture();
	fixture_vm.n_bindings = VM_BINDINGS_MAX + 1;
	fixture_vm.hugepage_bytes = 2 * MIB;
	for (size_t i = 0; i < VM_BINDINGS_MAX; i++)
		fixture_vm.bindings[i] = (struct vm_binding){ .nodes = 1, .bytes = 16 * MIB };
	in.hugepages = (struct hugepage_finding){ .measured = true,
		                                  .free_bytes = 256 * MIB,
		                                  .nodes = 1,
		                                  .node_free_bytes = { 256 * MIB } };
	assert_int_equal(admission_judged(&in, "hugepages")->verdict, CHECK_PASS);
	in.hugepages.free_bytes = in.hugepages.node_free_bytes[0] = 254 * MIB;
	assert_non_null(strstr(admission_refused(&in, "hugepages")->required, "256 MiB"));
}

/* What nobody looked at does not pass. */
static void test_unmeasured_fails(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.cpu.verdict = (enum check_verdict)17;
	admission_refused(&in, "cpu");
	/* A word that the hypervisor has for it stays. */
	in.cpu.verdict = CHECK_FAIL;
	strcpy(in.cpu.reason, "NotMigratable");
	strcpy(in.cpu.remedy, "choose another node");
	assert_string_equal(admission_refused(&in, "cpu")->reason, "NotMigratable");
	in = admission_fixture();
	in.cpu.verdict = in.machine.verdict = CHECK_UNSPECIFIED;
	strcpy(in.cpu_why, "libvirt is not connected");
	assert_string_equal(admission_refused(&in, "cpu")->measured,
	                    "not measured: libvirt is not connected");
	admission_refused(&in, "machine");
	in = admission_fixture();
	in.port.measured = false;
	admission_refused(&in, "port");
	in = admission_fixture();
	memset(fixture_disks, 0, sizeof(fixture_disks));
	admission_refused(&in, "disk/vda");
	in = admission_fixture();
	fixture_networks[0].measured = false;
	admission_refused(&in, "network/vnet0");
	in = admission_fixture();
	memset(&in.guard_check, 0, sizeof(in.guard_check));
	admission_refused(&in, "guard");
	in = admission_fixture();
	in.conflict.measured = false;
	admission_refused(&in, "conflict/uuid");
	admission_refused(&in, "conflict/name");
	in = admission_fixture();
	fixture_vm.hugepage_bytes = 2 * MIB;
	admission_refused(&in, "hugepages");
	fixture_list.count = 0;
	assert_false(admission_passes(&fixture_list));
}

/* No guard, no move: also if the guard's check were to say otherwise. */
static void test_guard(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.guard = GUARD_NONE;
	assert_int_equal(admission_judged(&in, "guard")->verdict, CHECK_FAIL);
	assert_false(admission_passes(&fixture_list));

	/* Unless an administrator asked for just that, and the guard's own check says so. */
	in.guard_waived = true;
	assert_int_equal(admission_judged(&in, "guard")->verdict, CHECK_FAIL);
	in.guard_check.verdict = CHECK_WARN;
	assert_int_equal(admission_judged(&in, "guard")->verdict, CHECK_WARN);
	assert_true(admission_passes(&fixture_list));
	in.guard_waived = false;
	assert_int_equal(admission_judged(&in, "guard")->verdict, CHECK_FAIL);
	in.guard_check.verdict = CHECK_BLOCK;
	assert_int_equal(admission_judged(&in, "guard")->verdict, CHECK_BLOCK);
}

/* The port check names who sits on the port. */
static void test_port(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	in.port.free_port = 0;
	in.port.n_free = 0;
	in.port.first_taken = (struct port_holder){
		.port = 49152, .taken = true, .pid = 812, .command = "nginx", .state = "LISTEN"
	};
	c = admission_refused(&in, "port");
	assert_string_equal(c->measured, "49152 is held by nginx (pid 812), listening");
	assert_string_equal(c->required, "one free of 49152-49153 on 10.78.0.2");
	assert_non_null(strstr(c->remedy, "stop nginx (pid 812)"));

	in.port.first_taken = (struct port_holder){ .port = 49152,
		                                    .taken = true,
		                                    .outgoing = true,
		                                    .state = "TIME_WAIT",
		                                    .peer = "10.78.0.3:22" };
	c = admission_refused(&in, "port");
	assert_string_equal(c->measured,
	                    "49152 is used by an outgoing connection to 10.78.0.3:22 (TIME_WAIT)");
	assert_non_null(strstr(c->remedy, "net.ipv4.ip_local_reserved_ports=49152-49215"));

	in.port.first_taken.taken = false;
	in.port.n_leased = 2;
	assert_string_equal(admission_refused(&in, "port")->measured,
	                    "all 2 leased to other migrations");

	in.port.measured = false;
	error_set(&in.port.error, ERROR_INVALID, "10.9.9.9 is not an address of this host");
	assert_non_null(strstr(admission_refused(&in, "port")->measured, "10.9.9.9"));
}

/* Disks and networks say which, and carry KubeVirt's words. */
static void test_disks_and_networks(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	fixture_disks[0].proved = false;
	strcpy(fixture_disks[0].measured_text, "missing here");
	strcpy(fixture_disks[0].remedy, "mount it");
	c = admission_refused(&in, "disk/vda");
	assert_string_equal(c->measured, "missing here");
	assert_string_equal(c->reason, "DisksNotLiveMigratable");
	assert_non_null(strstr(c->required, "/srv/web1.qcow2"));

	in = admission_fixture();
	strcpy(fixture_vm.disks[0].type, "none");
	fixture_disks[0] = (struct storage_finding){ .measured = true };
	assert_string_equal(admission_judged(&in, "disk/vda")->measured, "empty drive");

	in = admission_fixture();
	fixture_networks[0].facts.present = false;
	c = admission_refused(&in, "network/vnet0");
	assert_string_equal(c->measured, "bridge \"br0\" is missing here");
	assert_string_equal(c->reason, "InterfaceNotLiveMigratable");
	strcpy(fixture_vm.interfaces[0].type, "network");
	assert_string_equal(admission_refused(&in, "network/vnet0")->remedy,
	                    "define and start it here: virsh net-start br0");
	strcpy(fixture_vm.interfaces[0].type, "null");
	assert_int_equal(admission_judged(&in, "network/vnet0")->verdict, CHECK_PASS);
	strcpy(fixture_vm.interfaces[0].type, "user");
	assert_int_equal(admission_judged(&in, "network/vnet0")->verdict, CHECK_PASS);
}

/* The same guest here is refused, unless it is on its way in by this very attempt. */
static void f17_conflicts(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.conflict.uuid_active = true;
	admission_refused(&in, "conflict/uuid");
	in.already_reserved = true;
	in.reserved_port = 49153;
	assert_int_equal(admission_judged(&in, "conflict/uuid")->verdict, CHECK_PASS);
	in = admission_fixture();
	in.conflict.uuid_inactive = true;
	assert_int_equal(admission_judged(&in, "conflict/uuid")->verdict, CHECK_WARN);
	assert_true(admission_passes(&fixture_list));
	assert_string_equal(admission_judged(&in, "conflict/uuid")->measured,
	                    "a shut-off definition of it is here");
	/* That this host would start it when it boots is said, with the command against it. */
	in.conflict.uuid_autostart = true;
	assert_int_equal(admission_judged(&in, "conflict/uuid")->verdict, CHECK_WARN);
	assert_non_null(
		strstr(admission_judged(&in, "conflict/uuid")->measured, "starts when it boots"));
	assert_non_null(strstr(admission_judged(&in, "conflict/uuid")->remedy,
	                       "virsh autostart --disable"));
	in.conflict.name_taken = true;
	strcpy(in.conflict.name_uuid, "99999999-2222-3333-4444-555555555555");
	assert_non_null(strstr(admission_refused(&in, "conflict/name")->measured, "99999999-"));
}

/* What this attempt has reserved already is not asked for again. */
static void test_already_reserved(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.already_reserved = true;
	in.reserved_port = 49153;
	in.memory.free_bytes = 0;
	in.port.free_port = 0;
	assert_string_equal(admission_judged(&in, "memory")->measured,
	                    "320 MiB reserved for this attempt");
	assert_string_equal(admission_judged(&in, "port")->measured,
	                    "49153 reserved for this attempt");
	assert_true(admission_passes(&fixture_list));
}

/* Marks of this node, and a guest that is here anyway. */
static void test_node(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.draining = in.cordoned = true;
	in.node_reason = "kernel update";
	assert_string_equal(admission_refused(&in, "node")->measured,
	                    "host2 is draining: kernel update");
	in.draining = false;
	in.maintenance = true;
	assert_string_equal(admission_refused(&in, "node")->measured,
	                    "host2 is in maintenance: kernel update");
	assert_non_null(strstr(admission_refused(&in, "node")->remedy, "drover undrain host2"));
	in.maintenance = false;
	assert_string_equal(admission_refused(&in, "node")->measured,
	                    "host2 is cordoned: kernel update");
	assert_non_null(strstr(admission_refused(&in, "node")->remedy, "drover uncordon host2"));
	in.node_reason = NULL;
	assert_string_equal(admission_refused(&in, "node")->measured, "host2 is cordoned");
	in.maintenance = true;
	assert_string_equal(admission_refused(&in, "node")->measured, "host2 is in maintenance");
	in.draining = true;
	assert_string_equal(admission_refused(&in, "node")->measured, "host2 is draining");
	in = admission_fixture();
	in.incoming_allowed = false;
	admission_refused(&in, "node");
	in.node_reason = "its journal was damaged";
	assert_string_equal(admission_refused(&in, "node")->measured,
	                    "the agent of host2 only observes: its journal was damaged");
	in = admission_fixture();
	in.source_node = "host2";
	admission_refused(&in, "node");
}

/* TLS that is asked for and cannot be had refuses; nothing falls back to plain. */
static void test_tls(void **state)
{
	struct admission_input in = admission_fixture();

	(void)state;
	in.tls_required = true;
	strcpy(in.tls_problem, "no /etc/pki/qemu/server-cert.pem");
	assert_non_null(strstr(admission_refused(&in, "tls")->measured, "server-cert.pem"));
	in.tls_ready = true;
	assert_int_equal(admission_judged(&in, "tls")->verdict, CHECK_PASS);
}

/* A move that may switch to post-copy is refused where QEMU cannot fetch missing pages, with the sysctl
 * that lets it; others are not asked. */
static void test_post_copy(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	admission_judge(&in, &fixture_list);
	for (size_t i = 0; i < fixture_list.count; i++)
		assert_string_not_equal(fixture_list.items[i].id, "post-copy");
	in.post_copy = true;
	in.qemu_user = "";
	c = admission_refused(&in, "post-copy");
	assert_non_null(strstr(c->measured, "vm.unprivileged_userfaultfd = 0"));
	assert_non_null(strstr(c->remedy, "sysctl -w vm.unprivileged_userfaultfd=1"));
	in.unprivileged_userfaultfd = -1;
	admission_refused(&in, "post-copy");
	in.unprivileged_userfaultfd = 1;
	assert_int_equal(admission_judged(&in, "post-copy")->verdict, CHECK_PASS);
	in.unprivileged_userfaultfd = 0;
	in.qemu_user = "root";
	assert_int_equal(admission_judged(&in, "post-copy")->verdict, CHECK_PASS);
	in.qemu_user = "0";
	assert_int_equal(admission_judged(&in, "post-copy")->verdict, CHECK_PASS);
	in.qemu_user = "+0"; /* as libvirt has a number that is no name */
	assert_int_equal(admission_judged(&in, "post-copy")->verdict, CHECK_PASS);
	in.qemu_user = NULL;
	assert_non_null(strstr(admission_refused(&in, "post-copy")->measured, "its default user"));
	in.qemu_user = "libvirt-qemu";
	assert_non_null(strstr(admission_refused(&in, "post-copy")->measured, "libvirt-qemu"));
}

/* The source's blockers come through; when they are too many the rest is counted, not dropped. */
static void test_blockers(void **state)
{
	struct admission_input in = admission_fixture();
	const struct check *c;

	(void)state;
	fixture_vm.blockers.count = 1;
	fixture_vm.blockers.items[0] = (struct check){ .id = "device/hostdev0",
		                                       .verdict = CHECK_BLOCK,
		                                       .measured = "a host device",
		                                       .remedy = "detach it",
		                                       .reason = "HostDeviceNotLiveMigratable" };
	c = admission_refused(&in, "device/hostdev0");
	assert_int_equal(c->verdict, CHECK_BLOCK);
	assert_string_equal(c->reason, "HostDeviceNotLiveMigratable");

	fixture_vm.n_disks = VM_DISKS_MAX;
	fixture_vm.n_interfaces = VM_INTERFACES_MAX;
	fixture_vm.blockers.count = CHECKS_MAX;
	for (size_t i = 0; i < CHECKS_MAX; i++)
		snprintf(fixture_vm.blockers.items[i].id, sizeof(fixture_vm.blockers.items[i].id),
		         "b%zu", i);
	c = admission_refused(&in, "blockers");
	assert_int_equal(fixture_list.count, CHECKS_MAX);
	assert_string_equal(c->measured, "70 more, the first is b26");
	/* A blocker without a verdict blocks. */
	assert_int_equal(admission_judged(&in, "b1")->verdict, CHECK_BLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_checks_in_order),
		cmocka_unit_test(test_failures_do_not_hide_each_other),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_available),
		cmocka_unit_test(test_nonsense_from_a_peer),
		cmocka_unit_test(test_too_many_disks),
		cmocka_unit_test(test_too_many_places),
		cmocka_unit_test(test_unmeasured_fails),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_port),
		cmocka_unit_test(test_disks_and_networks),
		cmocka_unit_test(f17_conflicts),
		cmocka_unit_test(test_already_reserved),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_post_copy),
		cmocka_unit_test(test_blockers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
