/* SPDX-License-Identifier: Apache-2.0 */
/* What admission looks at, on this host, for one guest. See target_admit.h. Courier thread: all of it
 * may block. Nothing is judged here, and nothing that could not be looked at is left looking well. */
#include "agent/target/target_admit.h"

#include "agent/host/host_places.h"
#include "agent/host/hugepages.h"
#include "common/alloc.h"
#include "common/libvirt_restart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool port_is_leased(uint16_t port, void *context)
{
	const struct admit *a = context;

	for (size_t i = 0; i < a->n_leased_ports; i++) {
		if (a->leased_ports[i] == port)
			return true;
	}
	return false;
}

static void look_for_conflicts(struct admit *a, struct hypervisor *h)
{
	struct vm_list list = { 0 };
	struct error err;

	if (h->ops->list(h, &list, &err) < 0) {
		snprintf(a->conflict.why, sizeof(a->conflict.why), "%.150s", err.text);
		return;
	}
	a->conflict.measured = true;
	for (size_t i = 0; i < list.count; i++) {
		const struct vm_summary *vm = &list.items[i];

		if (strcmp(vm->uuid, a->vm.summary.uuid) == 0) {
			a->conflict.uuid_active = vm->active;
			a->conflict.uuid_inactive = !vm->active;
			a->conflict.uuid_autostart = !vm->active && vm->autostart;
		} else if (strcmp(vm->name, a->vm.summary.name) == 0) {
			a->conflict.name_taken = true;
			memcpy(a->conflict.name_uuid, vm->uuid, sizeof(a->conflict.name_uuid));
		}
	}
	vm_list_deinit(&list);
}

static void look_at_devices(struct admit *a, struct hypervisor *h)
{
	for (size_t i = 0; i < a->vm.n_disks; i++)
		storage_proof_verify(&a->vm.disks[i], &a->proofs[i], &a->disks[i]);
	target_copy_look(&a->copy, &a->vm, a->disks);
	for (size_t i = 0; i < a->vm.n_interfaces; i++) {
		const struct vm_interface *nic = &a->vm.interfaces[i];
		struct network_finding *found = &a->networks[i];
		struct error err;

		found->needed = admission_interface_needs_network(nic);
		if (!found->needed)
			continue;
		if (h->ops->find_network(h, nic, &found->facts, &err) < 0)
			snprintf(found->why, sizeof(found->why), "%.150s", err.text);
		else
			found->measured = true;
	}
	for (size_t i = 0; i < a->vm.n_places; i++)
		host_find_place("", &a->vm.places[i], &a->places[i]);
	if (a->vm.firmware.loader[0] || a->vm.firmware.nvram[0])
		host_find_firmware("", &a->vm.firmware, &a->firmware);
}

/* QEMU reads these at each migration. That they are there, good, and known to the other side is seen here,
 * and that libvirt knows where. */
static void look_for_tls(struct admit *a)
{
	static const char *const files[] = { "ca-cert.pem", "server-cert.pem", "server-key.pem" };
	char path[VM_PATH_BYTES + 32], daemon[LIBVIRT_RESTART_NAME_BYTES];
	struct migration_tls own;

	if (libvirt_restart_is_needed(a->agent->settings->run_dir, daemon)) {
		snprintf(a->tls_problem, sizeof(a->tls_problem),
		         "%s has not started again since they came to %.80s, and does not know",
		         daemon, a->facts.migration_tls_dir);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", a->facts.migration_tls_dir, files[i]);
		if (access(path, R_OK) < 0) {
			snprintf(a->tls_problem, sizeof(a->tls_problem), "missing: %.110s: %s",
			         path, strerror(errno));
			return;
		}
	}
	migration_tls_look(a->facts.migration_tls_dir, a->agent->settings->migration_address, &own);
	if (!migration_tls_find_conflict(&own, &a->source_tls, a->tls_problem))
		a->tls_ready = true;
}

void target_admit_survey_ports(struct errand *e)
{
	struct admit *a = (struct admit *)e;

	a->port = (struct port_survey){ 0 };
	ports_survey(&a->pool, a->agent->settings->migration_address, port_is_leased, a, &a->port);
}

void target_admit_measure(struct errand *e)
{
	struct admit *a = (struct admit *)e;
	struct hypervisor *h = a->agent->hypervisor; /* its operations are for any thread */
	struct error err;

	if (h->ops->host_facts(h, &a->facts, &err) < 0)
		a->facts = (struct host_facts){ 0 };
	if (h->ops->compare_cpu(h, &a->vm, &a->cpu, &a->machine, &err) < 0) {
		a->cpu = a->machine = (struct check){ 0 };
		snprintf(a->cpu_why, sizeof(a->cpu_why), "%.150s", err.text);
	}
	if (h->ops->capabilities(h, &a->vm, &a->capabilities, &err) < 0)
		snprintf(a->capabilities_why, sizeof(a->capabilities_why), "%.150s", err.text);
	else
		a->capabilities_known = true;
	look_at_devices(a, h);
	look_for_conflicts(a, h);
	target_admit_survey_ports(e);
	round_trip_measure(a->source_address, a->agent->settings->migration_address,
	                   a->agent->settings->migration_interface, &a->round_trip);
	if (a->vm.hugepage_bytes || a->vm.n_bindings)
		hugepages_measure("", a->vm.hugepage_bytes, &a->hugepages);
	if (a->facts.lockspace[0] && a->lockspace_proof.method != STORAGE_UNPROVED)
		storage_proof_verify_directory(a->facts.lockspace, &a->lockspace_proof,
		                               &a->lockspace);
	if (a->tls)
		look_for_tls(a);
}
