/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer sends is believed only as far as it makes sense. */
#include "agent/wire.h"

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vm_description sample(void)
{
	struct vm_description d = { 0 };

	strcpy(d.summary.uuid, "72b2bc1b-4af3-4e43-bafe-7e6b45dfaadc");
	strcpy(d.summary.name, "web1");
	d.summary.state = VM_RUNNING;
	d.summary.memory_bytes = 256 * MIB;
	d.summary.vcpus = 2;
	d.summary.persistent = true;
	d.overhead_bytes = 64 * MIB;
	strcpy(d.machine, "pc-i440fx-7.2");
	strcpy(d.virt_type, "kvm");
	strcpy(d.cpu_mode, "custom");
	d.cpu_xml = strdup("<cpu/>");
	strcpy(d.disks[0].target, "vda");
	strcpy(d.disks[0].source, "/srv/web1.img");
	d.disks[0].read_only = true;
	d.n_disks = 1;
	strcpy(d.interfaces[0].mac, "52:54:00:00:00:01");
	strcpy(d.interfaces[0].source, "br0");
	d.n_interfaces = 1;
	d.interfaces[0].mtu = 9000;
	d.interfaces[0].socket_server = true;
	strcpy(d.interfaces[0].target, "vnet0");
	strcpy(d.interfaces[0].virtual_port, "openvswitch");
	d.summary.pause_reason = VM_PAUSE_IO_ERROR;
	strcpy(d.summary.reason, "I/O error");
	strcpy(d.disk_error, "vda: no space");
	d.vcpus_maximum = 4;
	d.job_other = true;
	d.agent_channel = VM_AGENT_DISCONNECTED;
	d.tsc_hz = UINT64_C(2600000000);
	strcpy(d.firmware.loader, "/usr/share/OVMF/OVMF_CODE.fd");
	d.firmware.loader_bytes = 4 * MIB;
	strcpy(d.firmware.loader_digest, "crc32c 01234567");
	d.firmware.secure_boot = true;
	strcpy(d.firmware.nvram, "/var/lib/libvirt/qemu/nvram/web1.fd");
	strcpy(d.firmware.tpm, "emulator");
	d.places[0] = (struct vm_place){ "graphics/vnc", VM_PLACE_ADDRESS, "10.0.0.1" };
	d.places[1] = (struct vm_place){ "serial/0", VM_PLACE_PATH, "/dev/ttyS0" };
	d.n_places = 2;
	d.bindings[0] = (struct vm_binding){ .nodes = 5, .bytes = 64 * MIB };
	d.n_bindings = 1;
	d.blockers.items[0].verdict = CHECK_BLOCK;
	strcpy(d.blockers.items[0].id, "hostdev");
	d.blockers.count = 1;
	return d;
}

/* A description comes out as it went in. */
static void test_description(void **state)
{
	struct vm_description in = sample(), out = { 0 };
	Drover__V1__VmDescription *m = wire_description_new(&in);
	struct error err;

	(void)state;
	assert_int_equal(wire_description_read(m, &out, &err), 0);
	assert_string_equal(out.summary.name, "web1");
	assert_int_equal(out.summary.state, VM_RUNNING);
	assert_int_equal(out.summary.memory_bytes, 256 * MIB);
	assert_int_equal(out.overhead_bytes, 64 * MIB);
	assert_string_equal(out.cpu_xml, "<cpu/>");
	assert_int_equal(out.n_disks, 1);
	assert_string_equal(out.disks[0].source, "/srv/web1.img");
	assert_true(out.disks[0].read_only);
	assert_string_equal(out.interfaces[0].source, "br0");
	assert_int_equal(out.blockers.count, 1);
	assert_int_equal(out.blockers.items[0].verdict, CHECK_BLOCK);
	wire_free(m);
	vm_description_deinit(&in);
	vm_description_deinit(&out);
}

/* So does what the guest needs besides disks and interfaces, and how it is. */
static void test_needs(void **state)
{
	struct vm_description in = sample(), out = { 0 };
	Drover__V1__VmDescription *m = wire_description_new(&in);
	struct error err;

	(void)state;
	assert_int_equal(wire_description_read(m, &out, &err), 0);
	assert_int_equal(out.summary.pause_reason, VM_PAUSE_IO_ERROR);
	assert_string_equal(out.summary.reason, "I/O error");
	assert_string_equal(out.disk_error, "vda: no space");
	assert_int_equal(out.vcpus_maximum, 4);
	assert_true(out.job_other);
	assert_false(out.summary.job_out);
	assert_int_equal(out.agent_channel, VM_AGENT_DISCONNECTED);
	assert_true(out.tsc_hz == in.tsc_hz);
	assert_memory_equal(&out.firmware, &in.firmware, sizeof(in.firmware));
	assert_int_equal(out.n_places, 2);
	assert_memory_equal(out.places, in.places, sizeof(in.places));
	assert_int_equal(out.n_bindings, 1);
	assert_memory_equal(out.bindings, in.bindings, sizeof(in.bindings));
	assert_memory_equal(&out.interfaces[0], &in.interfaces[0], sizeof(in.interfaces[0]));
	vm_description_deinit(&out);

	/* An agent from before sends none of it, which is not an error of the message. */
	m->pause_reason[0] = m->agent_channel[0] = m->state_reason[0] = '\0';
	wire_free(m->firmware);
	m->firmware = NULL;
	assert_int_equal(wire_description_read(m, &out, &err), 0);
	assert_string_equal(out.summary.reason, "");
	assert_string_equal(out.firmware.loader, "");
	wire_free(m);
	vm_description_deinit(&in);
	vm_description_deinit(&out);
}

/* A word that this agent does not know is refused: it may be what decides. */
static void test_needs_that_make_no_sense(void **state)
{
	struct vm_description in = sample(), out = { 0 };
	Drover__V1__VmDescription *m = wire_description_new(&in);
	struct error err;

	(void)state;
	m->places[1]->kind[0] = 'x';
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "xath"));
	m->places[1]->kind[0] = 'p';
	m->pause_reason[0] = 'x';
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	m->pause_reason[0] = 'i';
	m->agent_channel[0] = 'x';
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	m->agent_channel[0] = 'd';
	m->bindings[0]->nodes = 0;
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	m->bindings[0]->nodes = 1;
	m->bindings[0]->bytes = UINT64_MAX;
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	m->bindings[0]->bytes = 1;
	m->n_places = VM_PLACES_MAX + 1;
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_TOO_LARGE);
	m->n_places = 2;
	assert_int_equal(wire_description_read(m, &out, &err), 0);
	wire_free(m);
	vm_description_deinit(&in);
	vm_description_deinit(&out);
}

/* Memory of nothing or of more than any guest has is refused, and so is a name that does not fit. */
static void test_description_out_of_range(void **state)
{
	struct vm_description in = sample(), out = { 0 };
	Drover__V1__VmDescription *m = wire_description_new(&in);
	char *long_name = malloc(1000);
	struct error err;

	(void)state;
	m->memory_bytes = 0;
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	m->memory_bytes = UINT64_MAX;
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	m->memory_bytes = GIB;
	m->overhead_bytes = UINT64_MAX;
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_INVALID);
	m->overhead_bytes = 0;
	memset(long_name, 'x', 999);
	long_name[999] = '\0';
	free(m->name);
	m->name = long_name;
	assert_int_equal(wire_description_read(m, &out, &err), -ERROR_TOO_LARGE);
	assert_int_equal(wire_description_read(NULL, &out, &err), -ERROR_INVALID);
	wire_free(m);
	vm_description_deinit(&in);
}

/* A check whose verdict we do not know is an error, never a pass. */
static void test_unknown_verdict(void **state)
{
	struct check c = { .id = "memory", .verdict = CHECK_PASS };
	Drover__V1__Check **m = wire_checks_new(&c, 1);
	struct check_list *list = calloc(1, sizeof(*list));
	struct error err;

	(void)state;
	assert_int_equal(wire_checks_read(m, 1, list, &err), 0);
	assert_int_equal(list->count, 1);
	m[0]->verdict = (Drover__V1__Check__Verdict)17;
	assert_int_equal(wire_checks_read(m, 1, list, &err), -ERROR_INVALID);
	m[0]->verdict = DROVER__V1__CHECK__VERDICT__UNSPECIFIED;
	assert_int_equal(wire_checks_read(m, 1, list, &err), -ERROR_INVALID);
	wire_free(m[0]);
	free(m);
	free(list);
}

/* An attempt needs 16 bytes that are not all zero, a number and an epoch. */
static void test_attempt(void **state)
{
	struct attempt_name in = { .operation = id_new(), .number = 3, .epoch = 9 }, out;
	Drover__V1__Attempt *m = wire_attempt_new(&in);
	struct error err;

	(void)state;
	assert_int_equal(wire_attempt_read(m, &out, &err), 0);
	assert_true(attempt_name_equal(&in, &out));
	assert_int_equal(out.epoch, 9);
	m->number = 0;
	assert_int_equal(wire_attempt_read(m, &out, &err), -ERROR_INVALID);
	m->number = 3;
	m->operation_id.len = 15;
	assert_int_equal(wire_attempt_read(m, &out, &err), -ERROR_INVALID);
	m->operation_id.len = 16;
	memset(m->operation_id.data, 0, 16);
	assert_int_equal(wire_attempt_read(m, &out, &err), -ERROR_INVALID);
	assert_int_equal(wire_attempt_read(NULL, &out, &err), -ERROR_INVALID);
	wire_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_description),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_needs_that_make_no_sense),
		cmocka_unit_test(test_description_out_of_range),
		cmocka_unit_test(test_unknown_verdict),
		cmocka_unit_test(test_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
