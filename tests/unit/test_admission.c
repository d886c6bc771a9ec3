/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: all checks, always, in one order, each with its numbers and the next step; what was
 * not measured does not pass. */
#include "agent/kernel/admission.h"

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

static struct vm_description vm;
static struct storage_finding disks[VM_DISKS_MAX];
static struct network_finding networks[VM_INTERFACES_MAX];
static struct check_list list;

/* A guest of 256 MiB that fits: one disk, one interface, on a host of 1 GiB. */
static struct admission_input fitting(void)
{
	struct admission_input in = {
		.vm = &vm,
		.source_node = "host1",
		.node = "host2",
		.memory = { .capacity_bytes = 1024 * MIB,
		            .reserve_bytes = 64 * MIB,
		            .guests_bytes = 500 * MIB,
		            .n_guests = 3,
		            .free_bytes = 460 * MIB,
		            .guests_known = true },
		.cpu = { .id = "cpu", .verdict = CHECK_PASS, .measured = "superset" },
		.machine = { .id = "machine", .verdict = CHECK_PASS },
		.port = { .pool = { 49152, 49153 },
		          .address = "10.78.0.2",
		          .measured = true,
		          .free_port = 49152,
		          .n_free = 2 },
		.leases = { .slots = 2 },
		.link = { .link_bytes_per_s = 125000000,
		          .measured = true,
		          .classified = true,
		          .minimum_bytes_per_s = 8 * MIB },
		.round_trip = { .outcome = ROUND_TRIP_MEASURED,
		                .address = "10.78.0.1",
		                .n_answers = 5,
		                .smallest_us = 120,
		                .median_us = 150 },
		.round_trip_limit_ms = 150,
		.disks = disks,
		.networks = networks,
		.guard = GUARD_IMAGE_LOCK,
		.guard_check = { .id = "guard", .verdict = CHECK_PASS },
		.conflict = { .measured = true },
		.incoming_allowed = true,
	};

	memset(&vm, 0, sizeof(vm));
	memset(disks, 0, sizeof(disks));
	memset(networks, 0, sizeof(networks));
	strcpy(vm.summary.uuid, "11111111-2222-3333-4444-555555555555");
	strcpy(vm.summary.name, "web1");
	vm.summary.memory_bytes = 256 * MIB;
	vm.summary.vcpus = 2;
	vm.overhead_bytes = 64 * MIB;
	vm.n_disks = 1;
	strcpy(vm.disks[0].target, "vda");
	strcpy(vm.disks[0].type, "file");
	strcpy(vm.disks[0].source, "/srv/web1.qcow2");
	vm.n_interfaces = 1;
	strcpy(vm.interfaces[0].type, "bridge");
	strcpy(vm.interfaces[0].source, "br0");
	strcpy(vm.interfaces[0].target, "vnet0");
	disks[0] = (struct storage_finding){
		.needed = true, .measured = true, .proved = true, .measured_text = "same file"
	};
	networks[0] = (struct network_finding){ .needed = true, .measured = true, .present = true };
	return in;
}

static const struct check *judged(const struct admission_input *in, const char *id)
{
	admission_judge(in, &list);
	for (size_t i = 0; i < list.count; i++)
		if (strcmp(list.items[i].id, id) == 0)
			return &list.items[i];
	fail_msg("there is no check %s", id);
	return NULL;
}

/* The check fails, refuses the guest, and says what to do. */
static const struct check *refused(const struct admission_input *in, const char *id)
{
	const struct check *c = judged(in, id);

	assert_true(c->verdict == CHECK_FAIL || c->verdict == CHECK_BLOCK);
	assert_false(admission_passes(&list));
	assert_true(strlen(c->measured) > 0);
	assert_true(strlen(c->remedy) > 0);
	return c;
}

/* A guest that fits passes, and every check is there, in the order of the header. */
static void test_all_checks_in_order(void **state)
{
	static const char *const order[] = {
		"limits",        "memory",        "hugepages", "cpu",      "machine",       "port",
		"slot",          "bandwidth",     "latency",   "disk/vda", "network/vnet0", "guard",
		"conflict/uuid", "conflict/name", "node",      "tls"
	};
	struct admission_input in = fitting();

	(void)state;
	admission_judge(&in, &list);
	assert_int_equal(list.count, ARRAY_SIZE(order));
	for (size_t i = 0; i < list.count; i++) {
		assert_string_equal(list.items[i].id, order[i]);
		assert_int_equal(list.items[i].verdict, CHECK_PASS);
		assert_string_equal(list.items[i].remedy, "");
	}
	assert_true(admission_passes(&list));
}

/* One failing check hides none of the others. */
static void test_failures_do_not_hide_each_other(void **state)
{
	struct admission_input in = fitting();
	size_t failed = 0;

	(void)state;
	in.memory.free_bytes = 0;
	in.port.free_port = 0;
	disks[0].proved = false;
	networks[0].present = false;
	in.draining = true;
	admission_judge(&in, &list);
	assert_int_equal(list.count, 16);
	for (size_t i = 0; i < list.count; i++)
		failed += list.items[i].verdict == CHECK_FAIL;
	assert_int_equal(failed, 5);
}

/* Memory shows its arithmetic, and who else is on the way when that is what is missing. */
static void test_memory(void **state)
{
	struct admission_input in = fitting();
	const struct check *c = judged(&in, "memory");

	(void)state;
	assert_string_equal(c->measured,
	                    "460 MiB free: 1 GiB capacity - 64 MiB reserve - 3 guests 500 MiB");
	assert_string_equal(c->required, "320 MiB: 256 MiB RAM + 64 MiB overhead");

	in.memory.free_bytes = 320 * MIB; /* exactly */
	assert_int_equal(judged(&in, "memory")->verdict, CHECK_PASS);
	in.memory.free_bytes--;
	refused(&in, "memory");

	in.memory.free_bytes = 204 * MIB;
	in.memory.reserved_bytes = 256 * MIB;
	in.memory.n_reserved = 1;
	c = refused(&in, "memory");
	assert_string_equal(c->measured,
	                    "204 MiB free: 1 GiB capacity - 64 MiB reserve - 3 guests 500 "
	                    "MiB - 1 reserved 256 MiB");
	assert_non_null(strstr(c->remedy, "116 MiB short: wait for what is on its way here (1)"));

	in.memory.guests_known = false;
	assert_non_null(strstr(refused(&in, "memory")->measured, "not measured"));
}

/* What another process has taken of the memory is a warning. */
static void test_memory_available(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.available_bytes = 100 * MIB;
	assert_int_equal(judged(&in, "memory")->verdict, CHECK_WARN);
	assert_true(admission_passes(&list));
}

/* Numbers of a peer that are none are refused before anything is added up. */
static void test_nonsense_from_a_peer(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	vm.summary.memory_bytes = 0;
	refused(&in, "limits");
	refused(&in, "memory");
	vm.summary.memory_bytes = UINT64_MAX;
	refused(&in, "limits");
	refused(&in, "memory");
	vm.summary.memory_bytes = ADMISSION_MEMORY_MAX_BYTES;
	assert_int_equal(judged(&in, "limits")->verdict, CHECK_PASS);
	refused(&in, "memory");
	vm.summary.memory_bytes++;
	refused(&in, "limits");
	in = fitting();
	vm.overhead_bytes = UINT64_MAX;
	refused(&in, "limits");
	assert_int_equal(admission_memory_needed(&vm), 0);
	in = fitting();
	vm.summary.vcpus = 0;
	refused(&in, "limits");
	vm.summary.vcpus = ADMISSION_VCPUS_MAX;
	assert_int_equal(judged(&in, "limits")->verdict, CHECK_PASS);
	vm.summary.vcpus++;
	refused(&in, "limits");
	in = fitting();
	vm.summary.uuid[0] = '\0';
	assert_string_equal(refused(&in, "limits")->measured, "the guest came without a UUID");
	in = fitting();
	vm.summary.name[0] = '\0';
	assert_string_equal(refused(&in, "limits")->measured, "the guest came without a name");
}

/* More disks or interfaces than can be checked: refused, and the limit is named. */
static void test_too_many_disks(void **state)
{
	struct admission_input in = fitting();
	const struct check *c;

	(void)state;
	vm.n_disks = VM_DISKS_MAX;
	vm.n_interfaces = VM_INTERFACES_MAX;
	judged(&in, "limits");
	assert_int_equal(list.count, 14 + VM_DISKS_MAX + VM_INTERFACES_MAX);

	vm.n_disks = VM_DISKS_MAX + 8;
	vm.n_interfaces = VM_INTERFACES_MAX + 100;
	c = refused(&in, "limits");
	assert_int_equal(c->verdict, CHECK_BLOCK);
	assert_non_null(strstr(c->required, "32 disks, 16 interfaces"));
	assert_non_null(strstr(c->measured, "40 disks, 116 interfaces"));
	vm.n_disks = 1;
	assert_int_equal(refused(&in, "limits")->verdict, CHECK_BLOCK);
	assert_true(list.count <= CHECKS_MAX);
}

/* What nobody looked at does not pass. */
static void test_unmeasured_fails(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.cpu.verdict = in.machine.verdict = CHECK_UNSPECIFIED;
	strcpy(in.cpu_why, "libvirt is not connected");
	assert_string_equal(refused(&in, "cpu")->measured,
	                    "not measured: libvirt is not connected");
	refused(&in, "machine");
	in = fitting();
	in.port.measured = false;
	refused(&in, "port");
	in = fitting();
	memset(disks, 0, sizeof(disks));
	refused(&in, "disk/vda");
	in = fitting();
	networks[0].measured = false;
	refused(&in, "network/vnet0");
	in = fitting();
	memset(&in.guard_check, 0, sizeof(in.guard_check));
	refused(&in, "guard");
	in = fitting();
	in.conflict.measured = false;
	refused(&in, "conflict/uuid");
	refused(&in, "conflict/name");
	in = fitting();
	vm.hugepage_bytes = 2 * MIB;
	refused(&in, "hugepages");
	list.count = 0;
	assert_false(admission_passes(&list));
}

/* No guard, no move: also if the guard's check were to say otherwise. */
static void test_guard(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.guard = GUARD_NONE;
	assert_int_equal(judged(&in, "guard")->verdict, CHECK_FAIL);
	assert_false(admission_passes(&list));

	/* Unless an administrator asked for just that, and the guard's own check says so. */
	in.guard_waived = true;
	assert_int_equal(judged(&in, "guard")->verdict, CHECK_FAIL);
	in.guard_check.verdict = CHECK_WARN;
	assert_int_equal(judged(&in, "guard")->verdict, CHECK_WARN);
	assert_true(admission_passes(&list));
	in.guard_waived = false;
	assert_int_equal(judged(&in, "guard")->verdict, CHECK_FAIL);
	in.guard_check.verdict = CHECK_BLOCK;
	assert_int_equal(judged(&in, "guard")->verdict, CHECK_BLOCK);
}

/* The port check names who sits on the port. */
static void test_port(void **state)
{
	struct admission_input in = fitting();
	const struct check *c;

	(void)state;
	in.port.free_port = 0;
	in.port.n_free = 0;
	in.port.first_taken = (struct port_holder){
		.port = 49152, .taken = true, .pid = 812, .command = "nginx", .state = "LISTEN"
	};
	c = refused(&in, "port");
	assert_string_equal(c->measured, "49152 is held by nginx (pid 812), listening");
	assert_string_equal(c->required, "one free of 49152-49153 on 10.78.0.2");
	assert_non_null(strstr(c->remedy, "stop nginx (pid 812)"));

	in.port.first_taken = (struct port_holder){ .port = 49152,
		                                    .taken = true,
		                                    .outgoing = true,
		                                    .state = "TIME_WAIT",
		                                    .peer = "10.78.0.3:22" };
	c = refused(&in, "port");
	assert_string_equal(c->measured,
	                    "49152 is used by an outgoing connection to 10.78.0.3:22 (TIME_WAIT)");
	assert_non_null(strstr(c->remedy, "net.ipv4.ip_local_reserved_ports=49152-49215"));

	in.port.first_taken.taken = false;
	in.port.n_leased = 2;
	assert_string_equal(refused(&in, "port")->measured, "all 2 leased to other migrations");

	in.port.measured = false;
	error_set(&in.port.error, ERROR_INVALID, "10.9.9.9 is not an address of this host");
	assert_non_null(strstr(refused(&in, "port")->measured, "10.9.9.9"));
}

/* Disks and networks say which, and carry KubeVirt's words. */
static void test_disks_and_networks(void **state)
{
	struct admission_input in = fitting();
	const struct check *c;

	(void)state;
	disks[0].proved = false;
	strcpy(disks[0].measured_text, "missing here");
	strcpy(disks[0].remedy, "mount it");
	c = refused(&in, "disk/vda");
	assert_string_equal(c->measured, "missing here");
	assert_string_equal(c->reason, "DisksNotLiveMigratable");
	assert_non_null(strstr(c->required, "/srv/web1.qcow2"));

	in = fitting();
	strcpy(vm.disks[0].type, "none");
	disks[0] = (struct storage_finding){ .measured = true };
	assert_string_equal(judged(&in, "disk/vda")->measured, "empty drive");

	in = fitting();
	networks[0].present = false;
	c = refused(&in, "network/vnet0");
	assert_string_equal(c->measured, "bridge \"br0\" is missing here");
	assert_string_equal(c->reason, "InterfaceNotLiveMigratable");
	strcpy(vm.interfaces[0].type, "network");
	assert_string_equal(refused(&in, "network/vnet0")->remedy,
	                    "define and start it here: virsh net-start br0");
	strcpy(vm.interfaces[0].type, "user");
	assert_int_equal(judged(&in, "network/vnet0")->verdict, CHECK_PASS);
}

/* The same guest here is refused, unless it is on its way in by this very attempt. */
static void f17_conflicts(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.conflict.uuid_active = true;
	refused(&in, "conflict/uuid");
	in.already_reserved = true;
	in.reserved_port = 49153;
	assert_int_equal(judged(&in, "conflict/uuid")->verdict, CHECK_PASS);
	in = fitting();
	in.conflict.uuid_inactive = true;
	assert_int_equal(judged(&in, "conflict/uuid")->verdict, CHECK_WARN);
	assert_true(admission_passes(&list));
	in.conflict.name_taken = true;
	strcpy(in.conflict.name_uuid, "99999999-2222-3333-4444-555555555555");
	assert_non_null(strstr(refused(&in, "conflict/name")->measured, "99999999-"));
}

/* What this attempt has reserved already is not asked for again. */
static void test_already_reserved(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.already_reserved = true;
	in.reserved_port = 49153;
	in.memory.free_bytes = 0;
	in.port.free_port = 0;
	assert_string_equal(judged(&in, "memory")->measured, "320 MiB reserved for this attempt");
	assert_string_equal(judged(&in, "port")->measured, "49153 reserved for this attempt");
	assert_true(admission_passes(&list));
}

/* Marks of this node, and a guest that is here anyway. */
static void test_node(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.draining = in.cordoned = true;
	in.node_reason = "kernel update";
	assert_string_equal(refused(&in, "node")->measured, "host2 is draining: kernel update");
	in.draining = false;
	assert_string_equal(refused(&in, "node")->measured, "host2 is cordoned: kernel update");
	assert_non_null(strstr(refused(&in, "node")->remedy, "drover uncordon host2"));
	in.node_reason = NULL;
	assert_string_equal(refused(&in, "node")->measured, "host2 is cordoned");
	in = fitting();
	in.incoming_allowed = false;
	refused(&in, "node");
	in.node_reason = "its journal was damaged";
	assert_string_equal(refused(&in, "node")->measured,
	                    "the agent of host2 only observes: its journal was damaged");
	in = fitting();
	in.source_node = "host2";
	refused(&in, "node");
}

/* TLS that is asked for and cannot be had refuses; nothing falls back to plain. */
static void test_tls(void **state)
{
	struct admission_input in = fitting();

	(void)state;
	in.tls_required = true;
	strcpy(in.tls_problem, "no /etc/pki/qemu/server-cert.pem");
	assert_non_null(strstr(refused(&in, "tls")->measured, "server-cert.pem"));
	in.tls_ready = true;
	assert_int_equal(judged(&in, "tls")->verdict, CHECK_PASS);
}

/* The source's blockers come through; when they are too many the rest is counted, not dropped. */
static void test_blockers(void **state)
{
	struct admission_input in = fitting();
	const struct check *c;

	(void)state;
	vm.blockers.count = 1;
	vm.blockers.items[0] = (struct check){ .id = "device/hostdev0",
		                               .verdict = CHECK_BLOCK,
		                               .measured = "a host device",
		                               .remedy = "detach it",
		                               .reason = "HostDeviceNotLiveMigratable" };
	c = refused(&in, "device/hostdev0");
	assert_int_equal(c->verdict, CHECK_BLOCK);
	assert_string_equal(c->reason, "HostDeviceNotLiveMigratable");

	vm.n_disks = VM_DISKS_MAX;
	vm.n_interfaces = VM_INTERFACES_MAX;
	vm.blockers.count = CHECKS_MAX;
	for (size_t i = 0; i < CHECKS_MAX; i++)
		snprintf(vm.blockers.items[i].id, sizeof(vm.blockers.items[i].id), "b%zu", i);
	c = refused(&in, "blockers");
	assert_int_equal(list.count, CHECKS_MAX);
	assert_string_equal(c->measured, "63 more, the first is b33");
	/* A blocker without a verdict blocks. */
	assert_int_equal(judged(&in, "b1")->verdict, CHECK_BLOCK);
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
		cmocka_unit_test(test_unmeasured_fails),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_port),
		cmocka_unit_test(test_disks_and_networks),
		cmocka_unit_test(f17_conflicts),
		cmocka_unit_test(test_already_reserved),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_blockers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
