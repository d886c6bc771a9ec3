/* SPDX-License-Identifier: Apache-2.0 */
/* See admission_fixture.h. */
#include "tests/unit/admission_fixture.h"

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct vm_description fixture_vm;
struct storage_finding fixture_disks[VM_DISKS_MAX];
struct network_finding fixture_networks[VM_INTERFACES_MAX];
struct place_finding fixture_places[VM_PLACES_MAX];
struct check_list fixture_list;

struct admission_input admission_fixture(void)
{
	struct admission_input in = {
		.vm = &fixture_vm,
		.source_node = "host1",
		.node = "host2",
		.memory = { .capacity_bytes = 1024 * MIB,
		            .reserve_bytes = 64 * MIB,
		            .guests_bytes = 500 * MIB,
		            .n_guests = 3,
		            .free_bytes = 460 * MIB,
		            .guests_known = true },
		.capabilities = { .vcpus_max = 255, .tsc_hz = UINT64_C(2600000000) },
		.capabilities_known = true,
		.vcpus = { .cpus = 8, .guests = 5 },
		.source_versions = { "0.1.0", "9.0.0", "7.2.22" },
		.versions = { "0.1.0", "9.0.0", "7.2.22" },
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
		.disks = fixture_disks,
		.networks = fixture_networks,
		.places = fixture_places,
		.guard = GUARD_IMAGE_LOCK,
		.guard_check = { .id = "guard", .verdict = CHECK_PASS },
		.conflict = { .measured = true },
		.incoming_allowed = true,
	};

	memset(&fixture_vm, 0, sizeof(fixture_vm));
	memset(fixture_disks, 0, sizeof(fixture_disks));
	memset(fixture_networks, 0, sizeof(fixture_networks));
	memset(fixture_places, 0, sizeof(fixture_places));
	strcpy(fixture_vm.summary.uuid, "11111111-2222-3333-4444-555555555555");
	strcpy(fixture_vm.summary.name, "web1");
	fixture_vm.summary.memory_bytes = 256 * MIB;
	fixture_vm.summary.vcpus = fixture_vm.vcpus_maximum = 2;
	fixture_vm.summary.state = VM_RUNNING;
	strcpy(fixture_vm.summary.reason, "booted");
	strcpy(fixture_vm.machine, "pc-q35-7.2");
	fixture_vm.overhead_bytes = 64 * MIB;
	fixture_vm.n_disks = 1;
	strcpy(fixture_vm.disks[0].target, "vda");
	strcpy(fixture_vm.disks[0].type, "file");
	strcpy(fixture_vm.disks[0].source, "/srv/web1.qcow2");
	fixture_vm.n_interfaces = 1;
	strcpy(fixture_vm.interfaces[0].type, "bridge");
	strcpy(fixture_vm.interfaces[0].source, "br0");
	strcpy(fixture_vm.interfaces[0].target, "vnet0");
	fixture_disks[0] = (struct storage_finding){
		.needed = true, .measured = true, .proved = true, .measured_text = "same file"
	};
	fixture_networks[0] = (struct network_finding){ .needed = true,
		                                        .measured = true,
		                                        .facts = { .present = true,
		                                                   .kind = NETWORK_BRIDGE } };
	return in;
}

const struct check *admission_judged(const struct admission_input *in, const char *id)
{
	admission_judge(in, &fixture_list);
	for (size_t i = 0; i < fixture_list.count; i++)
		if (strcmp(fixture_list.items[i].id, id) == 0)
			return &fixture_list.items[i];
	fail_msg("there is no check %s", id);
	return NULL;
}

const struct check *admission_refused(const struct admission_input *in, const char *id)
{
	const struct check *c = admission_judged(in, id);

	assert_true(c->verdict == CHECK_FAIL || c->verdict == CHECK_BLOCK);
	assert_false(admission_passes(&fixture_list));
	assert_true(strlen(c->measured) > 0);
	assert_true(strlen(c->remedy) > 0);
	return c;
}
