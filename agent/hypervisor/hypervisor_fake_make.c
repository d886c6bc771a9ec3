/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. How hosts and guests come into the fake world, with their defaults. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include "agent/kernel/overhead.h"
#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define OR(value, otherwise) ((value) ? (value) : (otherwise))

#define COPY_TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

void fake_world_add_host(struct fake_world *world, const struct fake_host_settings *settings)
{
	struct fake_host *host = xnew(struct fake_host);

	COPY_TEXT(host->name, settings->name);
	snprintf(host->socket, sizeof(host->socket), "/fake/%s", host->name);
	host->memory_bytes = OR(settings->memory_bytes, 4 * GIB);
	host->link_bytes_per_s = OR(settings->link_bytes_per_s, 125 * 1000 * 1000);
	host->keepalive_timeout_ms = OR(settings->keepalive_timeout_ms, 25 * 1000);
	host->cpus = OR(settings->cpus, 4);
	COPY_TEXT(host->cpu_missing, OR(settings->cpu_missing, "avx512f"));
	COPY_TEXT(host->machines, OR(settings->machines, "pc-i440fx-7.2 pc-q35-7.2"));
	COPY_TEXT(host->networks, OR(settings->networks, "br0"));
	COPY_TEXT(host->open_vswitches, OR(settings->open_vswitches, ""));
	COPY_TEXT(host->loaders, OR(settings->loaders, ""));
	COPY_TEXT(host->qemu_version, OR(settings->qemu_version, "7.2.22"));
	host->network_mtu = OR(settings->network_mtu, 1500);
	host->vcpus_max = OR(settings->vcpus_max, 255);
	host->tsc_hz = OR(settings->tsc_hz, UINT64_C(2600000000));
	host->tsc_scaling = settings->tsc_scaling;
	host->swtpm = settings->swtpm;
	COPY_TEXT(host->lock_manager, OR(settings->lock_manager, ""));
	COPY_TEXT(host->lockspace, OR(settings->lockspace, ""));
	host->control_up = true;

	pthread_mutex_lock(&world->lock);
	assert(!fake_world_find_host_locked(world, host->name));
	host->next = world->hosts;
	world->hosts = host;
	pthread_mutex_unlock(&world->lock);
}

/* The same name gives the same uuid in every world. */
static void make_uuid(const char *name, char *ret_uuid)
{
	uint64_t hash = 14695981039346656037u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 1099511628211u;
	snprintf(ret_uuid, VM_UUID_BYTES, "00000000-0000-4000-8000-%012llx",
	         (unsigned long long)(hash & 0xffffffffffff));
}

/* As libvirt does when a guest starts. */
static void name_device(struct vm_interface *nic, size_t index)
{
	bool direct = strcmp(nic->type, "direct") == 0;

	if (nic->target[0])
		return;
	if (direct || strcmp(nic->type, "bridge") == 0 || strcmp(nic->type, "network") == 0)
		snprintf(nic->target, sizeof(nic->target), "%s%zu", direct ? "macvtap" : "vnet",
		         index);
}

static void fill_description(struct vm_description *d, const struct fake_guest_settings *s)
{
	COPY_TEXT(d->summary.name, s->name);
	if (s->uuid)
		COPY_TEXT(d->summary.uuid, s->uuid);
	else
		make_uuid(s->name, d->summary.uuid);
	d->summary.memory_bytes = OR(s->memory_bytes, 256 * MIB);
	d->summary.vcpus = OR(s->vcpus, 1);
	d->vcpus_maximum = d->summary.vcpus;
	d->agent_channel = s->agent_channel;
	d->tsc_hz = s->tsc_hz;
	if (s->no_shutdown)
		COPY_TEXT(d->no_shutdown, s->no_shutdown);
	if (s->firmware)
		d->firmware = *s->firmware;
	d->overhead_bytes = overhead_bytes(d->summary.memory_bytes, 0);
	COPY_TEXT(d->arch, "x86_64");
	COPY_TEXT(d->machine, OR(s->machine, "pc-i440fx-7.2"));
	COPY_TEXT(d->virt_type, "qemu");
	COPY_TEXT(d->emulator, "/usr/bin/qemu-system-x86_64");
	COPY_TEXT(d->cpu_mode, OR(s->cpu_mode, "custom"));
	d->cpu_xml = xstrdup(OR(s->cpu_xml, "<cpu mode='custom' match='exact'>"
	                                    "<model fallback='forbid'>qemu64</model></cpu>"));
	assert(s->n_disks <= VM_DISKS_MAX && s->n_interfaces <= VM_INTERFACES_MAX &&
	       s->n_blockers <= CHECKS_MAX);
	for (size_t i = 0; i < s->n_disks; i++)
		d->disks[d->n_disks++] = s->disks[i];
	for (size_t i = 0; i < s->n_interfaces; i++) {
		d->interfaces[d->n_interfaces++] = s->interfaces[i];
		name_device(&d->interfaces[i], i);
	}
	for (size_t i = 0; i < s->n_blockers; i++)
		d->blockers.items[d->blockers.count++] = s->blockers[i];
}

void fake_world_add_guest(struct fake_world *world, const char *host_name,
                          const struct fake_guest_settings *settings, char *ret_uuid)
{
	struct fake_guest *guest = xnew(struct fake_guest);
	struct fake_copy *copy;

	fill_description(&guest->description, settings);
	guest->working_set_bytes = OR(settings->working_set_bytes,
	                              guest->description.summary.memory_bytes / 2);
	guest->dirty_bytes_per_s = settings->dirty_bytes_per_s;
	guest->image_lock = settings->image_lock;
	guest->cpu_bound = settings->cpu_bound;
	guest->shutdown_ms = settings->ignores_shutdown ? FAKE_NEVER
	                                                : OR(settings->shutdown_ms, 200);

	pthread_mutex_lock(&world->lock);
	assert(!fake_world_find_guest_locked(world, guest->description.summary.uuid));
	guest->next = world->guests;
	world->guests = guest;
	copy = fake_copy_add_locked(world, fake_world_get_host_locked(world, host_name), guest);
	copy->persistent = settings->persistent || settings->shutoff;
	copy->autostart = settings->autostart;
	if (settings->shutoff)
		fake_copy_set_locked(world, copy, VM_SHUTOFF, VM_PAUSE_NONE, "unknown");
	else
		fake_copy_set_locked(world, copy, VM_RUNNING, VM_PAUSE_NONE, "booted");
	if (ret_uuid)
		snprintf(ret_uuid, VM_UUID_BYTES, "%s", guest->description.summary.uuid);
	pthread_mutex_unlock(&world->lock);
}
