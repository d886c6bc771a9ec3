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

static Drover__V1__Firmware *firmware_new(const struct vm_firmware *f)
{
	NEW_MESSAGE(m, Drover__V1__Firmware, drover__v1__firmware__init);

	m->loader = xstrdup(f->loader);
	m->loader_bytes = f->loader_bytes;
	m->loader_digest = xstrdup(f->loader_digest);
	m->secure_boot = f->secure_boot;
	m->nvram = xstrdup(f->nvram);
	m->nvram_template = xstrdup(f->nvram_template);
	m->tpm = xstrdup(f->tpm);
	return m;
}

/* How the guest is, and what else than disks and interfaces it needs of its host. */
static void fill_needs(Drover__V1__VmDescription *m, const struct vm_description *d)
{
	m->vcpus_maximum = d->vcpus_maximum;
	m->pause_reason = xstrdup(vm_pause_reason_name(d->summary.pause_reason));
	m->state_reason = xstrdup(d->summary.reason);
	m->job_out = d->summary.job_out;
	m->job_other = d->job_other;
	m->disk_error = xstrdup(d->disk_error);
	m->agent_channel = xstrdup(vm_agent_channel_name(d->agent_channel));
	m->tsc_hz = d->tsc_hz;
	m->firmware = firmware_new(&d->firmware);

	m->places = xcalloc(d->n_places, sizeof(*m->places));
	m->n_places = d->n_places;
	for (size_t i = 0; i < d->n_places; i++) {
		NEW_MESSAGE(place, Drover__V1__Place, drover__v1__place__init);

		place->name = xstrdup(d->places[i].name);
		place->kind = xstrdup(vm_place_kind_name(d->places[i].kind));
		place->where = xstrdup(d->places[i].where);
		m->places[i] = place;
	}
	m->bindings = xcalloc(d->n_bindings, sizeof(*m->bindings));
	m->n_bindings = d->n_bindings;
	for (size_t i = 0; i < d->n_bindings; i++) {
		NEW_MESSAGE(binding, Drover__V1__MemoryBinding, drover__v1__memory_binding__init);

		binding->nodes = d->bindings[i].nodes;
		binding->bytes = d->bindings[i].bytes;
		m->bindings[i] = binding;
	}
}

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

	fill_needs(m, d);

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
		disk->capacity_bytes = from->capacity_bytes;
		disk->allocated_bytes = from->allocated_bytes;
		disk->size_bytes = from->size_bytes;
		disk->copy_problem = xstrdup(from->copy_problem);
		disk->built_on_another = from->built_on_another;
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
		nic->target = xstrdup(from->target);
		nic->virtual_port = xstrdup(from->virtual_port);
		nic->mtu = from->mtu;
		nic->target_must_exist = from->target_must_exist;
		nic->socket_server = from->socket_server;
		nic->failover = from->failover;
		nic->link_down = from->link_down;
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
		to->capacity_bytes = disk->capacity_bytes;
		to->allocated_bytes = disk->allocated_bytes;
		to->size_bytes = disk->size_bytes;
		to->built_on_another = disk->built_on_another;
		TAKE(to->copy_problem, disk->copy_problem, "what is against a disk's copy");
	}
	d->n_disks = from->n_disks;
	for (size_t i = 0; i < from->n_interfaces; i++) {
		const Drover__V1__Interface *nic = from->interfaces[i];
		struct vm_interface *to = &d->interfaces[i];

		TAKE(to->mac, nic->mac, "an interface's MAC address");
		TAKE(to->type, nic->type, "an interface's type");
		TAKE(to->source, nic->source, "an interface's source");
		TAKE(to->model, nic->model, "an interface's model");
		TAKE(to->target, nic->target, "an interface's tap");
		TAKE(to->virtual_port, nic->virtual_port, "an interface's virtual port");
		to->mtu = nic->mtu;
		to->target_must_exist = nic->target_must_exist;
		to->socket_server = nic->socket_server;
		to->failover = nic->failover;
		to->link_down = nic->link_down;
	}
	d->n_interfaces = from->n_interfaces;
	return wire_checks_read(from->blockers, from->n_blockers, &d->blockers, err);
}

/* The value of an enum whose name a peer sent; one that nobody knows is refused, for it may be what
 * decides. @name maps values to names. */
#define TAKE_NAME(to, from, count, name, what)                                                \
	do {                                                                                  \
		unsigned int value_ = 0;                                                      \
		while (value_ < (count) && strcmp(name(value_), (from)) != 0)                 \
			value_++;                                                             \
		if (value_ == (count))                                                        \
			return error_set(err, ERROR_INVALID, "%s \"%.40s\" is unknown", what, \
			                 from);                                               \
		(to) = value_;                                                                \
	} while (0)

static int read_places(const Drover__V1__VmDescription *from, struct vm_description *d,
                       struct error *err)
{
	if (from->n_places > VM_PLACES_MAX || from->n_bindings > VM_BINDINGS_MAX)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%zu addresses and paths of the host, and %zu bindings of memory; "
		                 "at most %d and %d are supported",
		                 from->n_places, from->n_bindings, VM_PLACES_MAX, VM_BINDINGS_MAX);
	for (size_t i = 0; i < from->n_places; i++) {
		const Drover__V1__Place *place = from->places[i];
		struct vm_place *to = &d->places[i];

		TAKE(to->name, place->name, "the name of a path");
		TAKE_NAME(to->kind, place->kind, VM_PLACE_KINDS, vm_place_kind_name,
		          "the kind of path");
		TAKE(to->where, place->where, "a path of the host");
	}
	d->n_places = from->n_places;
	for (size_t i = 0; i < from->n_bindings; i++) {
		const Drover__V1__MemoryBinding *b = from->bindings[i];

		if (b->nodes == 0 || b->bytes > MEMORY_BYTES_MAX)
			return error_set(err, ERROR_INVALID,
			                 "%llu bytes of memory bound to no node, or too many",
			                 (unsigned long long)b->bytes);
		d->bindings[i] = (struct vm_binding){ .nodes = b->nodes, .bytes = b->bytes };
	}
	d->n_bindings = from->n_bindings;
	return 0;
}

static int read_firmware(const Drover__V1__Firmware *from, struct vm_firmware *f, struct error *err)
{
	if (!from)
		return 0;
	TAKE(f->loader, from->loader, "the firmware's path");
	f->loader_bytes = from->loader_bytes;
	TAKE(f->loader_digest, from->loader_digest, "the firmware's digest");
	f->secure_boot = from->secure_boot;
	TAKE(f->nvram, from->nvram, "the NVRAM's path");
	TAKE(f->nvram_template, from->nvram_template, "the NVRAM template's path");
	TAKE(f->tpm, from->tpm, "the TPM's backend");
	return 0;
}

/* An agent from before these fields sends none of them: what is empty then is not known, and the
 * check "guest" says so by its state_reason. */
static int read_needs(const Drover__V1__VmDescription *from, struct vm_description *d,
                      struct error *err)
{
	int rc;

	d->vcpus_maximum = from->vcpus_maximum;
	if (from->pause_reason[0])
		TAKE_NAME(d->summary.pause_reason, from->pause_reason, VM_PAUSE_REASONS,
		          vm_pause_reason_name, "the reason for a pause");
	TAKE(d->summary.reason, from->state_reason, "the reason of its state");
	d->summary.job_out = from->job_out;
	d->job_other = from->job_other;
	TAKE(d->disk_error, from->disk_error, "a disk's error");
	if (from->agent_channel[0])
		TAKE_NAME(d->agent_channel, from->agent_channel, VM_AGENT_CHANNELS,
		          vm_agent_channel_name, "the guest agent's channel");
	d->tsc_hz = from->tsc_hz;
	rc = read_firmware(from->firmware, &d->firmware, err);
	return rc < 0 ? rc : read_places(from, d, err);
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
	if (read_needs(from, d, err) < 0)
		return -(int)err->code;
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
