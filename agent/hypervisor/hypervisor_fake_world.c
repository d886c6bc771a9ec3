/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. The world itself: hosts, guests, their copies, time, and what a test makes
 * go wrong. Every public function takes the world's lock; a clock thread exists only after
 * fake_world_run. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include "agent/kernel/overhead.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLOCK_TICK_NS (5 * 1000 * 1000)

#define COPY_TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

struct fake_world *fake_world_new(void)
{
	struct fake_world *world = xnew(struct fake_world);
	pthread_condattr_t attributes;

	pthread_mutex_init(&world->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&world->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	/* Not 0, which stands for "never" in several fields. */
	world->now_ms = 1000;
	return world;
}

static void free_copies(struct fake_host *host)
{
	while (host->copies) {
		struct fake_copy *copy = host->copies;

		host->copies = copy->next;
		free(copy);
	}
}

void fake_world_free(struct fake_world *world)
{
	assert(!world->handles);
	pthread_mutex_lock(&world->lock);
	world->closing = true;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
	if (world->clock_running)
		pthread_join(world->clock, NULL);

	while (world->moves) {
		struct fake_move *move = world->moves;

		world->moves = move->next;
		free(move);
	}
	while (world->hosts) {
		struct fake_host *host = world->hosts;

		world->hosts = host->next;
		free_copies(host);
		free(host);
	}
	while (world->guests) {
		struct fake_guest *guest = world->guests;

		world->guests = guest->next;
		vm_description_deinit(&guest->description);
		free(guest);
	}
	pthread_cond_destroy(&world->changed);
	pthread_mutex_destroy(&world->lock);
	free(world);
}

/* ---- time ---- */

static bool is_running(const struct fake_copy *copy)
{
	return copy->state == VM_RUNNING;
}

static uint32_t count_running_locked(struct fake_world *world, const struct fake_guest *guest)
{
	uint32_t count = 0;

	for (struct fake_host *host = world->hosts; host; host = host->next)
		for (struct fake_copy *copy = host->copies; copy; copy = copy->next)
			count += copy->guest == guest && is_running(copy);
	return count;
}

static void step_locked(struct fake_world *world)
{
	struct fake_move **link = &world->moves;

	world->now_ms += FAKE_STEP_MS;
	for (struct fake_guest *guest = world->guests; guest; guest = guest->next)
		if (count_running_locked(world, guest))
			guest->run_ms += FAKE_STEP_MS;
	while (*link) {
		struct fake_move *move = *link;

		if (move->phase != FAKE_PHASE_OVER)
			fake_move_step_locked(world, move);
		if (move->phase == FAKE_PHASE_OVER && move->abandoned) {
			*link = move->next;
			free(move);
			continue;
		}
		link = &move->next;
	}
}

static void advance_locked(struct fake_world *world, uint64_t ms)
{
	for (uint64_t done = 0; done < ms; done += FAKE_STEP_MS)
		step_locked(world);
	pthread_cond_broadcast(&world->changed);
}

void fake_world_advance(struct fake_world *world, uint64_t ms)
{
	pthread_mutex_lock(&world->lock);
	advance_locked(world, ms);
	pthread_mutex_unlock(&world->lock);
}

static void *run_clock(void *argument)
{
	struct fake_world *world = argument;
	struct timespec due;
	uint64_t owed_ms = 0;

	clock_gettime(CLOCK_MONOTONIC, &due);
	pthread_mutex_lock(&world->lock);
	while (!world->closing) {
		due.tv_nsec += CLOCK_TICK_NS;
		if (due.tv_nsec >= 1000000000) {
			due.tv_nsec -= 1000000000;
			due.tv_sec++;
		}
		while (!world->closing &&
		       pthread_cond_timedwait(&world->changed, &world->lock, &due) == 0)
			continue;
		owed_ms += (uint64_t)world->speed * CLOCK_TICK_NS / 1000000;
		advance_locked(world, owed_ms / FAKE_STEP_MS * FAKE_STEP_MS);
		owed_ms %= FAKE_STEP_MS;
	}
	pthread_mutex_unlock(&world->lock);
	return NULL;
}

void fake_world_run(struct fake_world *world, uint32_t speed)
{
	pthread_mutex_lock(&world->lock);
	world->speed = speed;
	if (!world->clock_running) {
		int failed = pthread_create(&world->clock, NULL, run_clock, world);

		assert(!failed);
		world->clock_running = true;
	}
	pthread_mutex_unlock(&world->lock);
}

uint64_t fake_world_get_now_ms(struct fake_world *world)
{
	uint64_t now_ms;

	pthread_mutex_lock(&world->lock);
	now_ms = world->now_ms;
	pthread_mutex_unlock(&world->lock);
	return now_ms;
}

void fake_world_settle(struct fake_world *world)
{
	struct fake_handle *handle;

	pthread_mutex_lock(&world->lock);
	do {
		for (handle = world->handles; handle; handle = handle->next)
			if (handle->watching && (handle->first || handle->in_callback))
				break;
		if (handle)
			pthread_cond_wait(&world->changed, &world->lock);
	} while (handle);
	pthread_mutex_unlock(&world->lock);
}

/* ---- hosts, guests, copies ---- */

struct fake_host *fake_world_find_host_locked(struct fake_world *world, const char *name)
{
	struct fake_host *host = world->hosts;

	while (host && strcmp(host->name, name) != 0)
		host = host->next;
	return host;
}

struct fake_host *fake_world_get_host_locked(struct fake_world *world, const char *name)
{
	struct fake_host *host = fake_world_find_host_locked(world, name);

	assert(host);
	return host;
}

static struct fake_guest *find_guest_locked(struct fake_world *world, const char *uuid)
{
	struct fake_guest *guest = world->guests;

	while (guest && strcmp(guest->description.summary.uuid, uuid) != 0)
		guest = guest->next;
	return guest;
}

struct fake_guest *fake_world_get_guest_locked(struct fake_world *world, const char *uuid)
{
	struct fake_guest *guest = find_guest_locked(world, uuid);

	assert(guest);
	return guest;
}

struct fake_copy *fake_host_find_copy_locked(struct fake_host *host, const char *uuid)
{
	struct fake_copy *copy = host->copies;

	while (copy && strcmp(copy->guest->description.summary.uuid, uuid) != 0)
		copy = copy->next;
	return copy;
}

static void tell_changed_locked(struct fake_world *world, struct fake_copy *copy)
{
	struct hypervisor_event event = { .kind = HYPERVISOR_VM_CHANGED };

	/* Watchers measure with their own clock, whatever the time of this world. */
	event.at_ms = clock_now_ms();
	event.switchover = copy->state == VM_PAUSED && copy->pause_reason == VM_PAUSE_MIGRATION &&
	                   fake_has_job_out(copy);
	event.ended = copy->ended;
	copy->ended = false;
	COPY_TEXT(event.uuid, copy->guest->description.summary.uuid);
	fake_host_tell_locked(world, copy->host, &event);
}

void fake_copy_set_locked(struct fake_world *world, struct fake_copy *copy, enum vm_run_state state,
                          enum vm_pause_reason pause_reason, const char *reason)
{
	uint32_t running;

	copy->state = state;
	copy->pause_reason = pause_reason;
	COPY_TEXT(copy->reason, reason);
	running = count_running_locked(world, copy->guest);
	if (running > copy->guest->most_running)
		copy->guest->most_running = running;
	tell_changed_locked(world, copy);
	pthread_cond_broadcast(&world->changed);
}

struct fake_copy *fake_copy_add_locked(struct fake_world *world, struct fake_host *host,
                                       struct fake_guest *guest)
{
	struct fake_copy *copy = xnew(struct fake_copy);

	(void)world;
	copy->guest = guest;
	copy->host = host;
	copy->state = VM_SHUTOFF;
	copy->max_downtime_ms = 300;
	copy->next = host->copies;
	host->copies = copy;
	return copy;
}

void fake_copy_remove_locked(struct fake_world *world, struct fake_copy *copy)
{
	struct fake_copy **link = &copy->host->copies;

	tell_changed_locked(world, copy);
	while (*link != copy)
		link = &(*link)->next;
	*link = copy->next;
	free(copy);
	pthread_cond_broadcast(&world->changed);
}

void fake_world_add_host(struct fake_world *world, const struct fake_host_settings *settings)
{
	struct fake_host *host = xnew(struct fake_host);

#define OR(value, otherwise) ((value) ? (value) : (otherwise))
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
	for (size_t i = 0; i < s->n_interfaces; i++)
		d->interfaces[d->n_interfaces++] = s->interfaces[i];
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

	pthread_mutex_lock(&world->lock);
	assert(!find_guest_locked(world, guest->description.summary.uuid));
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

/* ---- what goes wrong ---- */

void fake_world_inject(struct fake_world *world, const char *uuid, enum fake_fault fault)
{
	pthread_mutex_lock(&world->lock);
	fake_world_get_guest_locked(world, uuid)->fault = fault;
	pthread_mutex_unlock(&world->lock);
}

void fake_world_set_link(struct fake_world *world, const char *host, uint64_t bytes_per_s)
{
	pthread_mutex_lock(&world->lock);
	fake_world_get_host_locked(world, host)->link_bytes_per_s = bytes_per_s;
	pthread_mutex_unlock(&world->lock);
}

void fake_world_set_control(struct fake_world *world, const char *host, bool up)
{
	pthread_mutex_lock(&world->lock);
	fake_world_get_host_locked(world, host)->control_up = up;
	pthread_mutex_unlock(&world->lock);
}

static void kill_doomed_locked(struct fake_world *world, struct fake_host *host)
{
	struct fake_copy *next;

	for (struct fake_copy *copy = host->copies; copy; copy = next) {
		next = copy->next;
		if (copy->doomed)
			fake_copy_remove_locked(world, copy);
	}
}

void fake_world_set_libvirtd(struct fake_world *world, const char *host_name,
                             enum fake_libvirtd state)
{
	struct hypervisor_event event = { .kind = HYPERVISOR_CONNECTED };
	struct fake_host *host;
	enum fake_libvirtd before;

	pthread_mutex_lock(&world->lock);
	host = fake_world_get_host_locked(world, host_name);
	before = host->libvirtd;
	host->libvirtd = state;
	if (state == FAKE_LIBVIRTD_DOWN && before != FAKE_LIBVIRTD_DOWN)
		for (struct fake_move *move = world->moves; move; move = move->next)
			fake_move_lose_libvirtd_locked(world, move, host);
	if (state == FAKE_LIBVIRTD_UP)
		kill_doomed_locked(world, host);
	else
		event.kind = HYPERVISOR_DISCONNECTED;
	if (event.kind == HYPERVISOR_DISCONNECTED)
		error_set(&event.error, ERROR_UNREACHABLE, "libvirt closed the connection: %s",
		          state == FAKE_LIBVIRTD_DOWN ? "end of file" : "keepalive timeout");
	if ((before == FAKE_LIBVIRTD_UP) != (state == FAKE_LIBVIRTD_UP))
		fake_host_tell_locked(world, host, &event);
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

void fake_world_drop_callers(struct fake_world *world, const char *host)
{
	pthread_mutex_lock(&world->lock);
	fake_world_get_host_locked(world, host)->callers_dropped++;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

void fake_world_fail_disk(struct fake_world *world, const char *host, const char *uuid)
{
	struct fake_copy *copy;

	pthread_mutex_lock(&world->lock);
	copy = fake_host_find_copy_locked(fake_world_get_host_locked(world, host), uuid);
	if (copy && copy->state == VM_RUNNING)
		fake_copy_set_locked(world, copy, VM_PAUSED, VM_PAUSE_IO_ERROR, "I/O error");
	pthread_mutex_unlock(&world->lock);
}

void fake_world_kill_guest(struct fake_world *world, const char *host, const char *uuid)
{
	struct fake_copy *copy;

	pthread_mutex_lock(&world->lock);
	copy = fake_host_find_copy_locked(fake_world_get_host_locked(world, host), uuid);
	if (copy) {
		fake_move_lose_copy_locked(world, copy);
		copy->ended = true;
		fake_copy_remove_locked(world, copy);
	}
	pthread_mutex_unlock(&world->lock);
}

/* ---- what happened ---- */

uint32_t fake_world_count_running(struct fake_world *world, const char *uuid)
{
	uint32_t count;

	pthread_mutex_lock(&world->lock);
	count = count_running_locked(world, fake_world_get_guest_locked(world, uuid));
	pthread_mutex_unlock(&world->lock);
	return count;
}

uint32_t fake_world_get_most_running(struct fake_world *world, const char *uuid)
{
	uint32_t most;

	pthread_mutex_lock(&world->lock);
	most = fake_world_get_guest_locked(world, uuid)->most_running;
	pthread_mutex_unlock(&world->lock);
	return most;
}

uint64_t fake_world_get_guest_run_ms(struct fake_world *world, const char *uuid)
{
	uint64_t run_ms;

	pthread_mutex_lock(&world->lock);
	run_ms = fake_world_get_guest_locked(world, uuid)->run_ms;
	pthread_mutex_unlock(&world->lock);
	return run_ms;
}
