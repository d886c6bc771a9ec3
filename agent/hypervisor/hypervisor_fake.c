/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. A handle on the fake world: its questions, and the delivery of events by one
 * courier thread per watching handle, which calls the callback without the world's lock. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

/* ---- events ---- */

static void queue_event_locked(struct fake_handle *handle, const struct hypervisor_event *event)
{
	struct fake_queued_event *queued = xnew(struct fake_queued_event);

	queued->event = *event;
	*handle->last = queued;
	handle->last = &queued->next;
	pthread_cond_broadcast(&handle->world->changed);
}

void fake_host_tell_locked(struct fake_world *world, struct fake_host *host,
                           const struct hypervisor_event *event)
{
	bool about_connection = event->kind == HYPERVISOR_CONNECTED ||
	                        event->kind == HYPERVISOR_DISCONNECTED;

	/* What happens while a libvirtd is away is never told: watchers list again when it is
	 * back. */
	if (host->libvirtd != FAKE_LIBVIRTD_UP && !about_connection)
		return;
	for (struct fake_handle *handle = world->handles; handle; handle = handle->next)
		if (handle->host == host && handle->watching)
			queue_event_locked(handle, event);
}

static void *run_courier(void *argument)
{
	struct fake_handle *handle = argument;
	struct fake_world *world = handle->world;

	pthread_mutex_lock(&world->lock);
	for (;;) {
		struct fake_queued_event *queued = handle->first;
		void (*event)(const struct hypervisor_event *e, void *context) = handle->event;

		if (handle->closing)
			break;
		if (!queued) {
			pthread_cond_wait(&world->changed, &world->lock);
			continue;
		}
		handle->first = queued->next;
		if (!handle->first)
			handle->last = &handle->first;
		handle->in_callback = true;
		pthread_mutex_unlock(&world->lock);
		event(&queued->event, handle->context);
		free(queued);
		pthread_mutex_lock(&world->lock);
		handle->in_callback = false;
		pthread_cond_broadcast(&world->changed);
	}
	pthread_mutex_unlock(&world->lock);
	return NULL;
}

static int fake_watch(struct hypervisor *h,
                      void (*event)(const struct hypervisor_event *e, void *context), void *context,
                      struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct hypervisor_event first = { .kind = HYPERVISOR_CONNECTED };
	int failed;

	pthread_mutex_lock(&handle->world->lock);
	if (handle->watching) {
		pthread_mutex_unlock(&handle->world->lock);
		return error_set(err, ERROR_EXISTS, "events are watched already");
	}
	handle->event = event;
	handle->context = context;
	handle->watching = true;
	if (handle->host->libvirtd != FAKE_LIBVIRTD_UP) {
		first.kind = HYPERVISOR_DISCONNECTED;
		error_set(&first.error, ERROR_UNREACHABLE, "libvirt: connection refused");
	}
	queue_event_locked(handle, &first);
	failed = pthread_create(&handle->courier, NULL, run_courier, handle);
	assert(!failed);
	pthread_mutex_unlock(&handle->world->lock);
	return 0;
}

static void ignore_event(const struct hypervisor_event *e, void *context)
{
	(void)e;
	(void)context;
}

static void fake_hush(struct hypervisor *h)
{
	struct fake_handle *handle = fake_handle_of(h);

	pthread_mutex_lock(&handle->world->lock);
	while (handle->in_callback)
		pthread_cond_wait(&handle->world->changed, &handle->world->lock);
	handle->event = ignore_event;
	pthread_mutex_unlock(&handle->world->lock);
}

static void fake_free(struct hypervisor *h)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_world *world = handle->world;
	struct fake_handle **link = &world->handles;

	pthread_mutex_lock(&world->lock);
	handle->closing = true;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
	if (handle->watching)
		pthread_join(handle->courier, NULL);

	pthread_mutex_lock(&world->lock);
	while (*link != handle)
		link = &(*link)->next;
	*link = handle->next;
	pthread_mutex_unlock(&world->lock);
	while (handle->first) {
		struct fake_queued_event *queued = handle->first;

		handle->first = queued->next;
		free(queued);
	}
	free(handle);
}

/* ---- the way into a libvirtd ---- */

int fake_enter(struct fake_handle *handle, struct error *err)
{
	struct fake_world *world = handle->world;
	struct fake_host *host = handle->host;
	uint32_t dropped;
	uint64_t give_up_ms;

	pthread_mutex_lock(&world->lock);
	dropped = host->callers_dropped;
	give_up_ms = world->now_ms + FAKE_KEEPALIVE_MS;
	while (host->libvirtd == FAKE_LIBVIRTD_HUNG && world->now_ms < give_up_ms &&
	       host->callers_dropped == dropped)
		pthread_cond_wait(&world->changed, &world->lock);
	if (host->libvirtd == FAKE_LIBVIRTD_UP)
		return 0;
	pthread_mutex_unlock(&world->lock);
	return error_set(err, ERROR_UNREACHABLE, "libvirt on %s cannot be reached", host->name);
}

void fake_leave(struct fake_handle *handle)
{
	pthread_mutex_unlock(&handle->world->lock);
}

/* As enter, and finds the copy. */
int fake_enter_copy(struct fake_handle *handle, const char *uuid, struct fake_copy **ret,
                    struct error *err)
{
	struct fake_copy *copy;
	int result = fake_enter(handle, err);

	if (result)
		return result;
	copy = fake_host_find_copy_locked(handle->host, uuid);
	if (copy) {
		*ret = copy;
		return 0;
	}
	fake_leave(handle);
	return error_set(err, ERROR_NOT_FOUND,
	                 "libvirt: Domain not found: no domain with matching uuid '%.40s' "
	                 "(libvirt error 42)",
	                 uuid);
}

int fake_refuse(struct error *err, const char *text)
{
	return error_set(err, ERROR_REFUSED,
	                 "libvirt: Requested operation is not valid: %s (libvirt error 55)", text);
}

static void summarize(const struct fake_copy *copy, struct vm_summary *ret)
{
	*ret = copy->guest->description.summary;
	ret->state = copy->state;
	ret->pause_reason = copy->pause_reason;
	COPY_TEXT(ret->reason, copy->reason);
	ret->active = fake_is_active(copy);
	ret->persistent = copy->persistent;
	ret->autostart = copy->autostart;
	ret->job_out = fake_has_job_out(copy);
	if (copy->move && copy->move->target == copy->host)
		ret->postcopy = copy->move->phase == FAKE_PHASE_POSTCOPY ? VM_POSTCOPY_RECEIVING
		                : copy->move->phase == FAKE_PHASE_BROKEN ? VM_POSTCOPY_BROKEN
		                                                         : VM_POSTCOPY_NONE;
	else if (strcmp(copy->reason, "post-copy failed") == 0 && copy->state == VM_RUNNING)
		ret->postcopy = VM_POSTCOPY_BROKEN;
}

/* ---- questions ---- */

static int fake_host_facts(struct hypervisor *h, struct host_facts *ret, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_host *host = handle->host;
	struct host_facts facts = { .unprivileged_userfaultfd = 1,
		                    .cpus = host->cpus,
		                    .memory_total_bytes = host->memory_bytes,
		                    .memory_available_bytes = host->memory_bytes };
	int result = fake_enter(handle, err);

	if (result)
		return result;
	COPY_TEXT(facts.hostname, host->name);
	COPY_TEXT(facts.libvirt_version, "9.0.0");
	COPY_TEXT(facts.hypervisor_version, host->qemu_version);
	COPY_TEXT(facts.arch, "x86_64");
	COPY_TEXT(facts.lock_manager, host->lock_manager);
	COPY_TEXT(facts.lockspace, host->lockspace);
	COPY_TEXT(facts.migration_tls_dir, "/etc/pki/libvirt-migrate");
	for (struct fake_copy *copy = host->copies; copy; copy = copy->next) {
		uint64_t used = copy->guest->description.summary.memory_bytes;

		if (fake_is_active(copy))
			facts.memory_available_bytes -= used < facts.memory_available_bytes
			                                        ? used
			                                        : facts.memory_available_bytes;
	}
	fake_leave(handle);
	*ret = facts;
	return 0;
}

static int fake_list(struct hypervisor *h, struct vm_list *ret, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct vm_list list = { 0 };
	int result = fake_enter(handle, err);

	if (result)
		return result;
	for (struct fake_copy *copy = handle->host->copies; copy; copy = copy->next) {
		list.items = xreallocarray(list.items, list.count + 1, sizeof(*list.items));
		summarize(copy, &list.items[list.count++]);
	}
	fake_leave(handle);
	*ret = list;
	return 0;
}

static int fake_find(struct hypervisor *h, const char *uuid, struct vm_summary *ret,
                     struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	summarize(copy, ret);
	fake_leave(handle);
	return 0;
}

static int fake_describe(struct hypervisor *h, const char *uuid, struct vm_description *ret,
                         struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	*ret = copy->guest->description;
	ret->cpu_xml = ret->cpu_xml ? xstrdup(ret->cpu_xml) : NULL;
	if (host_signature_is_needed(ret->cpu_mode))
		fake_host_signature(handle->host, ret->host_signature);
	summarize(copy, &ret->summary);
	vm_description_judge_shutdown(ret);
	fake_leave(handle);
	return 0;
}

/* As a host without faults has them: its disks are open, its taps where the XML says. */
static int fake_devices(struct hypervisor *h, const struct vm_description *d, bool ask_clock,
                        struct vm_devices *ret, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, d->summary.uuid, &copy, err);

	if (result)
		return result;
	if (!fake_is_active(copy)) {
		fake_leave(handle);
		return error_set(err, ERROR_NOT_FOUND, "guest %.64s is not active",
		                 d->summary.name);
	}
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < d->n_disks; i++) {
		const struct vm_disk *disk = fake_guest_find_disk(copy->guest, d->disks[i].target);

		ret->disks[i].opened = disk && strcmp(disk->type, "none") != 0;
		ret->disks[i].size_bytes = disk ? disk->capacity_bytes : 0;
		if (!disk)
			COPY_TEXT(ret->disks[i].why, "invalid argument: no such disk");
	}
	for (size_t i = 0; i < d->n_interfaces; i++) {
		ret->plugs[i].known = true;
		COPY_TEXT(ret->plugs[i].device,
		          strcmp(d->interfaces[i].type, "bridge") ? "" : d->interfaces[i].source);
	}
	if (ask_clock && d->agent_channel == VM_AGENT_CONNECTED)
		ret->clock = VM_CLOCK_KNOWN;
	fake_leave(handle);
	return 0;
}

static const struct hypervisor_ops fake_ops = {
	.free = fake_free,
	.watch = fake_watch,
	.hush = fake_hush,
	.host_facts = fake_host_facts,
	.list = fake_list,
	.find = fake_find,
	.describe = fake_describe,
	.devices = fake_devices,
	.compare_cpu = fake_compare_cpu,
	.capabilities = fake_capabilities,
	.offers = fake_offers,
	.find_network = fake_find_network,
	.migrate = fake_migrate,
	.job = fake_job,
	.last_job = fake_last_job,
	.abort_job = fake_abort_job,
	.set_max_downtime = fake_set_max_downtime,
	.set_max_speed = fake_set_max_speed,
	.start_dirty_rate = fake_start_dirty_rate,
	.dirty_rate = fake_dirty_rate,
	.start_postcopy = fake_start_postcopy,
	.break_postcopy = fake_break_postcopy,
	.suspend = fake_suspend,
	.resume = fake_resume,
	.shut_down = fake_shut_down,
	.start = fake_start,
	.destroy = fake_destroy,
	.undefine = fake_undefine,
	.set_autostart = fake_set_autostart,
};

struct hypervisor *hypervisor_fake_new(struct fake_world *world, const char *host)
{
	struct fake_handle *handle = xnew(struct fake_handle);

	handle->base.ops = &fake_ops;
	handle->world = world;
	handle->last = &handle->first;
	pthread_mutex_lock(&world->lock);
	handle->host = fake_world_get_host_locked(world, host);
	handle->next = world->handles;
	world->handles = handle;
	pthread_mutex_unlock(&world->lock);
	return &handle->base;
}
