/* SPDX-License-Identifier: Apache-2.0 */
/* See wire.h. The description of a guest, out and in. What decides where a guest may run is never cut
 * to fit: a path that is too long for its field would be another path. */
#include "agent/wire.h"

#include "agent/wire_message.h"
#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

/* 64 TiB: far over any guest; sums of these cannot overflow. */
#define MEMORY_BYTES_MAX ((uint64_t)64 << 40)

Drover__V1__VmDescription *wire_description_new(const struct vm_description *d)
{
	NEW_MESSAGE(m, Drover__V1__VmDescription, drover__v1__vm_description__init);

	m->uuid = xstrdup(d->summary.uuid);
	m->name = xstrdup(d->summary.name);
	m->memory_bytes = d->summary.memory_bytes;
	m->overhead_bytes = d->overhead_bytes;
	m->vcpus = d->summary.vcpus;
	m->arch = xstrdup(d->arch);
	m->machine = xstrdup(d->machine);
	m->virt_type = xstrdup(d->virt_type);
	m->emulator = xstrdup(d->emulator);
	m->cpu_mode = xstrdup(d->cpu_mode);
	m->cpu_xml = xstrdup(d->cpu_xml ? d->cpu_xml : "");
	m->host_signature = xstrdup(d->host_signature);
	m->persistent = d->summary.persistent;
	m->autostart = d->summary.autostart;
	m->hugepage_bytes = d->hugepage_bytes;
	m->state = xstrdup(vm_run_state_name(d->summary.state));
	m->blockers = wire_checks_new(d->blockers.items, d->blockers.count);
	m->n_blockers = d->blockers.count;

	m->disks = xcalloc(d->n_disks, sizeof(*m->disks));
	m->n_disks = d->n_disks;
	for (size_t i = 0; i < d->n_disks; i++) {
		const struct vm_disk *from = &d->disks[i];
		NEW_MESSAGE(disk, Drover__V1__Disk, drover__v1__disk__init);

		disk->target = xstrdup(from->target);
		disk->type = xstrdup(from->type);
		disk->source = xstrdup(from->source);
		disk->format = xstrdup(from->format);
		disk->device = xstrdup(from->device);
		disk->read_only = from->read_only;
		disk->shareable = from->shareable;
		m->disks[i] = disk;
	}

	m->interfaces = xcalloc(d->n_interfaces, sizeof(*m->interfaces));
	m->n_interfaces = d->n_interfaces;
	for (size_t i = 0; i < d->n_interfaces; i++) {
		const struct vm_interface *from = &d->interfaces[i];
		NEW_MESSAGE(nic, Drover__V1__Interface, drover__v1__interface__init);

		nic->mac = xstrdup(from->mac);
		nic->type = xstrdup(from->type);
		nic->source = xstrdup(from->source);
		nic->model = xstrdup(from->model);
		m->interfaces[i] = nic;
	}
	return m;
}

/* A text that is a key or a path: cutting it would change what it means. */
static int take_text(char *to, size_t bytes, const char *from, const char *what, struct error *err)
{
	size_t n = strlen(from);

	if (n >= bytes)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%s is %zu bytes long, at most %zu are taken", what, n, bytes - 1);
	memcpy(to, from, n + 1);
	return 0;
}

#define TAKE(to, from, what)                                                \
	do {                                                                \
		int rc_ = take_text((to), sizeof(to), (from), (what), err); \
		if (rc_ < 0)                                                \
			return rc_;                                         \
	} while (0)

static int read_devices(const Drover__V1__VmDescription *from, struct vm_description *d,
                        struct error *err)
{
	if (from->n_disks > VM_DISKS_MAX || from->n_interfaces > VM_INTERFACES_MAX)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%zu disks and %zu interfaces; at most %d and %d are supported",
		                 from->n_disks, from->n_interfaces, VM_DISKS_MAX,
		                 VM_INTERFACES_MAX);
	for (size_t i = 0; i < from->n_disks; i++) {
		const Drover__V1__Disk *disk = from->disks[i];
		struct vm_disk *to = &d->disks[i];

		TAKE(to->target, disk->target, "a disk's target");
		TAKE(to->type, disk->type, "a disk's type");
		TAKE(to->source, disk->source, "a disk's source");
		TAKE(to->format, disk->format, "a disk's format");
		TAKE(to->device, disk->device, "a disk's device");
		to->read_only = disk->read_only;
		to->shareable = disk->shareable;
	}
	d->n_disks = from->n_disks;
	for (size_t i = 0; i < from->n_interfaces; i++) {
		const Drover__V1__Interface *nic = from->interfaces[i];
		struct vm_interface *to = &d->interfaces[i];

		TAKE(to->mac, nic->mac, "an interface's MAC address");
		TAKE(to->type, nic->type, "an interface's type");
		TAKE(to->source, nic->source, "an interface's source");
		TAKE(to->model, nic->model, "an interface's model");
	}
	d->n_interfaces = from->n_interfaces;
	return wire_checks_read(from->blockers, from->n_blockers, &d->blockers, err);
}

static int read_description(const Drover__V1__VmDescription *from, struct vm_description *d,
                            struct error *err)
{
	if (strlen(from->uuid) != VM_UUID_BYTES - 1)
		return error_set(err, ERROR_INVALID, "\"%.64s\" is not a UUID", from->uuid);
	if (from->memory_bytes == 0 || from->memory_bytes > MEMORY_BYTES_MAX ||
	    from->overhead_bytes > MEMORY_BYTES_MAX)
		return error_set(err, ERROR_INVALID,
		                 "memory of %llu bytes plus %llu overhead is out of range",
		                 (unsigned long long)from->memory_bytes,
		                 (unsigned long long)from->overhead_bytes);
	TAKE(d->summary.uuid, from->uuid, "the UUID");
	TAKE(d->summary.name, from->name, "the name");
	d->summary.memory_bytes = from->memory_bytes;
	d->summary.vcpus = from->vcpus;
	d->summary.persistent = from->persistent;
	d->summary.autostart = from->autostart;
	d->overhead_bytes = from->overhead_bytes;
	TAKE(d->arch, from->arch, "the architecture");
	TAKE(d->machine, from->machine, "the machine type");
	TAKE(d->virt_type, from->virt_type, "the virtualization type");
	TAKE(d->emulator, from->emulator, "the emulator");
	TAKE(d->cpu_mode, from->cpu_mode, "the CPU mode");
	TAKE(d->host_signature, from->host_signature, "the source's signature");
	d->hugepage_bytes = from->hugepage_bytes;
	for (int state = 0; state < VM_RUN_STATES; state++) {
		if (strcmp(vm_run_state_name((enum vm_run_state)state), from->state) == 0)
			d->summary.state = (enum vm_run_state)state;
	}
	return read_devices(from, d, err);
}

int wire_description_read(const Drover__V1__VmDescription *from, struct vm_description *ret,
                          struct error *err)
{
	struct vm_description *d;
	int rc;

	if (!from)
		return error_set(err, ERROR_INVALID, "the description of the guest is missing");
	d = xnew(struct vm_description);
	rc = read_description(from, d, err);
	if (rc < 0) {
		error_context(err, "guest %.64s", from->name);
	} else {
		d->cpu_xml = from->cpu_xml[0] ? xstrdup(from->cpu_xml) : NULL;
		*ret = *d;
	}
	free(d);
	return rc;
}
