/* SPDX-License-Identifier: Apache-2.0 */
/* What a host and a guest are: told, found, compared. Nothing is moved here, and two guests change by hand. See suite.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_host_facts(void **state)
{
	/* A host tells what it is, with memory that is there. */
	struct host_facts facts = { 0 };

	(void)state;
	assert_ok(suite_stage->source->ops->host_facts(suite_stage->source, &facts, &suite_err));
	assert_true(facts.migration_tls_dir[0] == '/');
	assert_true(facts.hostname[0] && facts.libvirt_version[0] && facts.hypervisor_version[0]);
	assert_string_equal(facts.arch, "x86_64");
	assert_true(facts.cpus > 0);
	assert_true(facts.memory_available_bytes > 0);
	assert_true(facts.memory_total_bytes >= facts.memory_available_bytes);
}

static void test_inventory(void **state)
{
	/* A guest is listed and found with the same facts; an unknown one is known to be absent. */
	struct vm_summary listed, found;

	(void)state;
	suite_add_guest("inventory", 0, false);
	found = suite_find(suite_stage->source);
	assert_true(suite_find_by_name(suite_stage->source, "inventory", &listed));
	assert_string_equal(found.name, listed.name);
	assert_string_equal(found.uuid, listed.uuid);
	assert_int_equal(found.state, VM_RUNNING);
	assert_int_equal(found.pause_reason, VM_PAUSE_NONE);
	assert_string_equal(found.reason, "booted");
	assert_int_equal(found.memory_bytes, VICTIM_BYTES);
	assert_int_equal(found.vcpus, 1);
	assert_true(found.active);
	assert_false(found.persistent || found.autostart || found.job_out);
	suite_expect_absent(suite_stage->target);
	assert_error(suite_stage->source->ops->find(suite_stage->source, UNKNOWN_UUID, &found,
	                                            &suite_err),
	             ERROR_NOT_FOUND);
}

static void test_description(void **state)
{
	/* A description has what admission asks for, and nothing blocks a plain guest. */
	struct vm_description *d = xnew(struct vm_description);

	(void)state;
	suite_add_guest("described", 0, false);
	assert_ok(
		suite_stage->source->ops->describe(suite_stage->source, suite_uuid, d, &suite_err));
	assert_string_equal(d->summary.uuid, suite_uuid);
	assert_int_equal(d->summary.state, VM_RUNNING);
	assert_int_equal(d->summary.memory_bytes, VICTIM_BYTES);
	assert_true(d->overhead_bytes >= 64 * MIB);
	assert_string_equal(d->arch, "x86_64");
	assert_non_null(strstr(d->machine, "pc-"));
	assert_string_equal(d->virt_type, "qemu");
	assert_true(d->emulator[0] == '/');
	assert_non_null(d->cpu_xml);
	assert_memory_equal(d->cpu_xml, "<cpu ", 5);
	assert_true(d->cpu_mode[0]);
	assert_int_equal(d->blockers.count, 0);
	/* The device whose counters are the guest's traffic: libvirt names it when the guest starts. */
	assert_int_equal(d->n_interfaces, 1);
	assert_string_equal(d->interfaces[0].type, "bridge");
	assert_true(d->interfaces[0].target[0]);
	vm_description_deinit(d);
	free(d);
}

static void test_devices(void **state)
{
	/* Of an active guest it is told which of its devices are really there: each for itself, with the
	 * reason where one is not. Of a guest that is not there it is nothing. */
	struct hypervisor *h = suite_stage->source;
	struct vm_description *d = xnew(struct vm_description);
	struct vm_devices *devices = xnew(struct vm_devices);
	struct vm_disk *more;

	(void)state;
	suite_add_guest("devices", 0, false);
	assert_ok(h->ops->describe(h, suite_uuid, d, &suite_err));
	assert_true(d->n_disks < VM_DISKS_MAX);
	more = &d->disks[d->n_disks++];
	snprintf(more->target, sizeof(more->target), "vdz");
	snprintf(more->type, sizeof(more->type), "file");
	memset(devices, 0xff, sizeof(*devices));
	assert_ok(h->ops->devices(h, d, true, devices, &suite_err));
	for (size_t i = 0; i + 1 < d->n_disks; i++)
		assert_int_equal(devices->disks[i].opened, strcmp(d->disks[i].type, "none") != 0);
	assert_false(devices->disks[d->n_disks - 1].opened);
	assert_true(devices->disks[d->n_disks - 1].why[0]);
	for (size_t i = 0; i < d->n_interfaces; i++) {
		assert_true(devices->plugs[i].known);
		if (strcmp(d->interfaces[i].type, "bridge") == 0)
			assert_string_equal(devices->plugs[i].device, d->interfaces[i].source);
	}
	/* It has no agent. */
	assert_int_equal(devices->clock, VM_CLOCK_NOT_ASKED);
	memset(d->summary.uuid, 'f', 8);
	assert_int_equal(h->ops->devices(h, d, true, devices, &suite_err), -ERROR_NOT_FOUND);
	vm_description_deinit(d);
	free(d);
	free(devices);
}

static void test_pause(void **state)
{
	/* A guest pauses and resumes on command, and each is told as a change. */
	struct hypervisor *h = suite_stage->source;
	size_t mark;

	(void)state;
	suite_add_guest("paused", 0, false);
	mark = suite_watch_mark(suite_source_watch);
	assert_ok(h->ops->suspend(h, suite_uuid, &suite_err));
	assert_int_equal(suite_find(h).state, VM_PAUSED);
	assert_int_equal(suite_find(h).pause_reason, VM_PAUSE_USER);
	assert_string_equal(suite_find(h).reason, "user");
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_VM_CHANGED, suite_uuid,
	                             SOON_S, NULL));
	mark = suite_watch_mark(suite_source_watch);
	assert_ok(h->ops->resume(h, suite_uuid, &suite_err));
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	assert_string_equal(suite_find(h).reason, "unpaused");
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_VM_CHANGED, suite_uuid,
	                             SOON_S, NULL));
	assert_error(h->ops->suspend(h, UNKNOWN_UUID, &suite_err), ERROR_NOT_FOUND);
}

static void f18_cpu_and_machine(void **state)
{
	/* Every question about CPU and machine is answered: what is missing is named, one bad
	 * answer does not hide the other, and a CPU that is not spelled out is refused. */
	struct hypervisor *h = suite_stage->target;
	struct vm_description *d = xnew(struct vm_description);
	struct check cpu, machine;

	(void)state;
	suite_add_guest("cpu", 0, false);
	assert_ok(
		suite_stage->source->ops->describe(suite_stage->source, suite_uuid, d, &suite_err));
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &suite_err));
	assert_int_equal(cpu.verdict, CHECK_PASS);
	assert_int_equal(machine.verdict, CHECK_PASS);
	assert_string_equal(cpu.id, "cpu");
	assert_string_equal(machine.id, "machine");
	assert_true(cpu.measured[0] && cpu.required[0] && machine.measured[0]);

	free(d->cpu_xml);
	d->cpu_xml = xstrdup("<cpu mode='custom' match='exact'>"
	                     "<model fallback='forbid'>qemu64</model>"
	                     "<feature policy='require' name='avx512f'/></cpu>");
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &suite_err));
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_non_null(strstr(cpu.measured, "avx512f"));
	assert_true(cpu.remedy[0]);
	assert_int_equal(machine.verdict, CHECK_PASS);

	snprintf(d->machine, sizeof(d->machine), "pc-i440fx-99.9");
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &suite_err));
	assert_int_equal(machine.verdict, CHECK_FAIL);
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_non_null(strstr(cpu.measured, "avx512f"));

	snprintf(d->machine, sizeof(d->machine), "pc-i440fx-7.2");
	free(d->cpu_xml);
	d->cpu_xml = xstrdup("<cpu mode='maximum' check='none'/>");
	snprintf(d->cpu_mode, sizeof(d->cpu_mode), "maximum");
	/* Only an equal host will do for it: one that says nothing of itself is not, nor one that
	 * differs in anything. */
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &suite_err));
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_string_equal(cpu.reason, "CPUModeLiveMigratable");
	snprintf(d->host_signature, sizeof(d->host_signature), "cpu of somebody else");
	assert_ok(h->ops->compare_cpu(h, d, &cpu, &machine, &suite_err));
	assert_int_equal(cpu.verdict, CHECK_FAIL);
	assert_non_null(strstr(cpu.measured, "cpu of somebody else"));
	vm_description_deinit(d);
	free(d);
}

static struct network_facts find_network(const char *type, const char *source)
{
	struct vm_interface nic = { 0 };
	struct network_facts facts = { 0 };

	memcpy(nic.type, type, strlen(type));
	memcpy(nic.source, source, strlen(source));
	assert_ok(suite_stage->target->ops->find_network(suite_stage->target, &nic, &facts,
	                                                 &suite_err));
	return facts;
}

static void test_networks(void **state)
{
	/* A bridge that is there is seen with its kind and width, one that is not is known to be
	 * absent; so it is with networks, lower devices, taps and sockets. */
	struct vm_interface odd = { .type = "vdpa", .source = "x" };
	struct vm_interface tap = { .type = "ethernet", .target = "nosuch0" };
	struct network_facts facts = find_network("bridge", suite_stage->bridge);

	(void)state;
	assert_true(facts.present);
	assert_int_equal(facts.kind, NETWORK_BRIDGE);
	assert_int_equal(facts.mtu, 1500);
	assert_true(find_network("direct", suite_stage->bridge).present);
	assert_false(find_network("bridge", "nosuch0").present);
	assert_false(find_network("bridge", "").present);
	assert_false(find_network("direct", "nosuch0").present);
	assert_false(find_network("network", "nosuch").present);
	assert_false(find_network("vhostuser", "/nosuch/socket").present);
	assert_true(find_network("user", "").present);
	assert_ok(suite_stage->target->ops->find_network(suite_stage->target, &tap, &facts,
	                                                 &suite_err));
	assert_true(facts.present);
	tap.target_must_exist = true;
	assert_ok(suite_stage->target->ops->find_network(suite_stage->target, &tap, &facts,
	                                                 &suite_err));
	assert_false(facts.present);
	assert_error(suite_stage->target->ops->find_network(suite_stage->target, &odd, &facts,
	                                                    &suite_err),
	             ERROR_UNSUPPORTED);
}

static void test_capabilities(void **state)
{
	/* What a guest could have is told, also for a machine type that the host does not know. */
	struct hypervisor *h = suite_stage->target;
	struct vm_description *d = xnew(struct vm_description);
	struct guest_capabilities found = { 0 };

	(void)state;
	suite_add_guest("capable", 0, false);
	assert_ok(
		suite_stage->source->ops->describe(suite_stage->source, suite_uuid, d, &suite_err));
	assert_int_equal(d->vcpus_maximum, 1);
	assert_false(d->job_other);
	assert_string_equal(d->disk_error, "");
	assert_int_equal(d->agent_channel, VM_AGENT_NONE);
	assert_int_equal(d->tsc_hz, 0);
	assert_string_equal(d->firmware.loader, "");
	assert_ok(h->ops->capabilities(h, d, &found, &suite_err));
	assert_true(found.vcpus_max >= 16 && found.vcpus_max <= 4096);
	assert_false(found.loader_listed);
	snprintf(d->firmware.loader, sizeof(d->firmware.loader), "/nosuch/firmware.fd");
	snprintf(d->machine, sizeof(d->machine), "pc-i440fx-99.9");
	found = (struct guest_capabilities){ 0 };
	assert_ok(h->ops->capabilities(h, d, &found, &suite_err));
	assert_true(found.vcpus_max > 0);
	assert_false(found.loader_listed);
	vm_description_deinit(d);
	free(d);
}

static void test_offers(void **state)
{
	/* What is told of a host for any guest is what it says when it is asked for one: the machine
	 * type and the bridge of a guest that could come, and not those of one that could not. */
	struct hypervisor *h = suite_stage->target;
	struct vm_description *d = xnew(struct vm_description);
	struct needed_network nic = { .type = "bridge" };
	struct guest_needs needs = { .known = true, .networks = &nic, .n_networks = 1 };
	struct host_offers *offers = NULL;
	char text[FIT_TEXT_BYTES];

	(void)state;
	suite_add_guest("offered", 0, false);
	assert_ok(
		suite_stage->source->ops->describe(suite_stage->source, suite_uuid, d, &suite_err));
	memcpy(needs.arch, d->arch, sizeof(needs.arch));
	memcpy(needs.virt_type, d->virt_type, sizeof(needs.virt_type));
	memcpy(needs.machine, d->machine, sizeof(needs.machine));
	needs.vcpus_maximum = d->vcpus_maximum;
	snprintf(nic.source, sizeof(nic.source), "%s", suite_stage->bridge);
	assert_ok(h->ops->offers(h, &offers, &suite_err));
	assert_true(offers->machines_known && offers->networks_known);
	assert_string_not_equal(offers->signature, "");
	assert_int_equal(fit_judge(&needs, NULL, offers, NULL), FIT_YES);
	snprintf(nic.source, sizeof(nic.source), "nosuch0");
	assert_int_equal(fit_judge(&needs, NULL, offers, text), FIT_NETWORK);
	snprintf(nic.source, sizeof(nic.source), "%s", suite_stage->bridge);
	needs.vcpus_maximum = 5000;
	assert_int_equal(fit_judge(&needs, NULL, offers, text), FIT_VCPUS);
	snprintf(needs.machine, sizeof(needs.machine), "pc-i440fx-99.9");
	assert_int_equal(fit_judge(&needs, NULL, offers, text), FIT_NO_MACHINE);
	host_offers_free(offers);
	vm_description_deinit(d);
	free(d);
}

static void test_destroy(void **state)
{
	/* Destroying ends a transient guest, and leaves a persistent one defined. */
	struct hypervisor *h = suite_stage->source;
	struct vm_summary vm;
	size_t mark;

	(void)state;
	suite_add_guest("doomed", 0, true);
	mark = suite_watch_mark(suite_source_watch);
	assert_ok(h->ops->destroy(h, suite_uuid, &suite_err));
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_VM_CHANGED, suite_uuid,
	                             SOON_S, NULL));
	vm = suite_find(h);
	assert_int_equal(vm.state, VM_SHUTOFF);
	assert_string_equal(vm.reason, "destroyed");
	assert_ok(h->ops->undefine(h, suite_uuid, &suite_err));
	suite_expect_absent(h);
	assert_error(h->ops->destroy(h, suite_uuid, &suite_err), ERROR_NOT_FOUND);
	assert_error(h->ops->undefine(h, suite_uuid, &suite_err), ERROR_NOT_FOUND);
}

int suite_run_facts(void)
{
	const struct CMUnitTest cases[] = {
		SUITE_CASE(test_host_facts),  SUITE_CASE(test_inventory),
		SUITE_CASE(test_description), SUITE_CASE(test_devices),
		SUITE_CASE(test_pause),       SUITE_CASE(f18_cpu_and_machine),
		SUITE_CASE(test_networks),    SUITE_CASE(test_capabilities),
		SUITE_CASE(test_offers),      SUITE_CASE(test_destroy),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
