/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. The operations of the seam on the fake world, and the delivery of events:
 * one courier thread per watching handle, which calls the callback without the world's lock. */
#include "agent/hypervisor_fake_world.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

static struct fake_handle *handle_of(struct hypervisor *h)
{
	return (struct fake_handle *)h;
}

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
		handle->event(&queued->event, handle->context);
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
	struct fake_handle *handle = handle_of(h);
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

static void fake_free(struct hypervisor *h)
{
	struct fake_handle *handle = handle_of(h);
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

/* Takes the world's lock, unless it returns an error. A hung libvirtd holds callers until the
 * keepalive of their connection gives up. */
static int enter(struct fake_handle *handle, struct error *err)
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

static void leave(struct fake_handle *handle)
{
	pthread_mutex_unlock(&handle->world->lock);
}

/* As enter, and finds the copy. */
static int enter_copy(struct fake_handle *handle, const char *uuid, struct fake_copy **ret,
                      struct error *err)
{
	struct fake_copy *copy;
	int result = enter(handle, err);

	if (result)
		return result;
	copy = fake_host_find_copy_locked(handle->host, uuid);
	if (copy) {
		*ret = copy;
		return 0;
	}
	leave(handle);
	return error_set(err, ERROR_NOT_FOUND,
	                 "libvirt: Domain not found: no domain with matching uuid '%.40s' "
	                 "(libvirt error 42)",
	                 uuid);
}

static int refuse(struct error *err, const char *text)
{
	return error_set(err, ERROR_REFUSED,
	                 "libvirt: Requested operation is not valid: %s (libvirt error 55)", text);
}

static bool is_active(const struct fake_copy *copy)
{
	return copy->state != VM_SHUTOFF;
}

static bool has_job_out(const struct fake_copy *copy)
{
	return copy->move && copy->move->source == copy->host;
}

static void summarize(const struct fake_copy *copy, struct vm_summary *ret)
{
	*ret = copy->guest->description.summary;
	ret->state = copy->state;
	ret->pause_reason = copy->pause_reason;
	COPY_TEXT(ret->reason, copy->reason);
	ret->active = is_active(copy);
	ret->persistent = copy->persistent;
	ret->autostart = copy->autostart;
	ret->job_out = has_job_out(copy);
}

/* ---- questions ---- */

static int fake_host_facts(struct hypervisor *h, struct host_facts *ret, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_host *host = handle->host;
	struct host_facts facts = { .cpus = host->cpus,
		                    .memory_total_bytes = host->memory_bytes,
		                    .memory_available_bytes = host->memory_bytes };
	int result = enter(handle, err);

	if (result)
		return result;
	COPY_TEXT(facts.hostname, host->name);
	COPY_TEXT(facts.libvirt_version, "9.0.0");
	COPY_TEXT(facts.hypervisor_version, "7.2.22");
	COPY_TEXT(facts.arch, "x86_64");
	COPY_TEXT(facts.lock_manager, host->lock_manager);
	COPY_TEXT(facts.lockspace, host->lockspace);
	for (struct fake_copy *copy = host->copies; copy; copy = copy->next) {
		uint64_t used = copy->guest->description.summary.memory_bytes;

		if (is_active(copy))
			facts.memory_available_bytes -= used < facts.memory_available_bytes
			                                        ? used
			                                        : facts.memory_available_bytes;
	}
	leave(handle);
	*ret = facts;
	return 0;
}

static int fake_list(struct hypervisor *h, struct vm_list *ret, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct vm_list list = { 0 };
	int result = enter(handle, err);

	if (result)
		return result;
	for (struct fake_copy *copy = handle->host->copies; copy; copy = copy->next) {
		list.items = xreallocarray(list.items, list.count + 1, sizeof(*list.items));
		summarize(copy, &list.items[list.count++]);
	}
	leave(handle);
	*ret = list;
	return 0;
}

static int fake_find(struct hypervisor *h, const char *uuid, struct vm_summary *ret,
                     struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	summarize(copy, ret);
	leave(handle);
	return 0;
}

static int fake_describe(struct hypervisor *h, const char *uuid, struct vm_description *ret,
                         struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	*ret = copy->guest->description;
	ret->cpu_xml = ret->cpu_xml ? xstrdup(ret->cpu_xml) : NULL;
	summarize(copy, &ret->summary);
	leave(handle);
	return 0;
}

/* Whether @word is one of the blank-separated @words. */
static bool has_word(const char *words, const char *word, size_t length)
{
	while (*words) {
		size_t here;

		words += strspn(words, " ");
		here = strcspn(words, " ");
		if (here && here == length && !strncmp(words, word, length))
			return true;
		words += here;
	}
	return false;
}

/* Lists the features in @missing that @cpu_xml requires. */
static void list_missing(const char *cpu_xml, const char *missing, char *to, size_t bytes)
{
	to[0] = 0;
	while (cpu_xml && *missing) {
		char attribute[80];
		size_t here, used = strlen(to);

		missing += strspn(missing, " ");
		here = strcspn(missing, " ");
		snprintf(attribute, sizeof(attribute), "name='%.*s'", (int)here, missing);
		if (here && strstr(cpu_xml, attribute))
			snprintf(to + used, bytes - used, "%s%.*s", used ? ", " : "", (int)here,
			         missing);
		missing += here;
	}
}

static int fake_compare_cpu(struct hypervisor *h, const struct vm_description *d,
                            struct check *ret_cpu, struct check *ret_machine, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct check cpu = { .id = "cpu", .verdict = CHECK_PASS };
	struct check machine = { .id = "machine", .verdict = CHECK_PASS };
	char missing[128];
	int result = enter(handle, err);

	if (result)
		return result;
	list_missing(d->cpu_xml, handle->host->cpu_missing, missing, sizeof(missing));
	COPY_TEXT(cpu.required, "every feature that the guest sees");
	if (!strcmp(d->cpu_mode, "host-passthrough") || !strcmp(d->cpu_mode, "maximum")) {
		cpu.verdict = CHECK_FAIL;
		snprintf(cpu.measured, sizeof(cpu.measured),
		         "mode %s shows the guest all of its source's CPU", d->cpu_mode);
		COPY_TEXT(cpu.remedy, "give the guest a named CPU model or mode='host-model'");
		COPY_TEXT(cpu.reason, "CPUModeLiveMigratable");
	} else if (missing[0]) {
		cpu.verdict = CHECK_FAIL;
		snprintf(cpu.measured, sizeof(cpu.measured), "missing: %s", missing);
		COPY_TEXT(cpu.remedy, "choose a node with these features");
	} else {
		COPY_TEXT(cpu.measured, "the host provides all");
	}
	snprintf(machine.required, sizeof(machine.required), "%s", d->machine);
	if (has_word(handle->host->machines, d->machine, strlen(d->machine))) {
		COPY_TEXT(machine.measured, "supported");
	} else {
		machine.verdict = CHECK_FAIL;
		COPY_TEXT(machine.measured, "not supported by this host's QEMU");
		COPY_TEXT(machine.remedy, "choose a node with a QEMU that has this machine type");
	}
	leave(handle);
	*ret_cpu = cpu;
	*ret_machine = machine;
	return 0;
}

static int fake_has_network(struct hypervisor *h, const char *type, const char *source,
                            bool *ret_present, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	static const char *const types[] = { "bridge", "network", "direct", "user", "ethernet" };
	size_t known = 0;
	int result;

	while (known < ARRAY_SIZE(types) && strcmp(types[known], type) != 0)
		known++;
	if (known == ARRAY_SIZE(types))
		return error_set(err, ERROR_UNSUPPORTED, "no check for interfaces of type %.32s",
		                 type);
	result = enter(handle, err);
	if (result)
		return result;
	*ret_present = !strcmp(type, "user") || !strcmp(type, "ethernet") ||
	               has_word(handle->host->networks, source, strlen(source));
	leave(handle);
	return 0;
}

/* ---- moves ---- */

#define DOWNTIME_MAX_MS (2000 * 1000)

static int refuse_downtime(uint64_t ms, struct error *err)
{
	return error_set(err, ERROR_INVALID, "a downtime of %llu ms is over QEMU's limit of %d ms",
	                 (unsigned long long)ms, DOWNTIME_MAX_MS);
}

static struct fake_host *find_by_socket(struct fake_world *world, const char *socket)
{
	struct fake_host *host = world->hosts;

	while (host && strcmp(host->socket, socket) != 0)
		host = host->next;
	return host;
}

/* What libvirt would refuse at once. */
static int judge_request(const struct fake_copy *copy, const struct fake_host *target,
                         const struct migrate_request *r, struct error *err)
{
	const struct fake_copy *there;

	if (!is_active(copy))
		return refuse(err, "domain is not running");
	if (r->max_downtime_ms > DOWNTIME_MAX_MS)
		return refuse_downtime(r->max_downtime_ms, err);
	if (copy->move)
		return error_set(err, ERROR_BUSY,
		                 "libvirt: Timed out during operation: cannot acquire state change "
		                 "lock (libvirt error 68)");
	if (target == copy->host)
		return error_set(err, ERROR_INVALID,
		                 "libvirt: invalid argument: Attempt to migrate guest to the same "
		                 "host %s (libvirt error 8)",
		                 copy->host->name);
	if (!target || !target->control_up || target->libvirtd != FAKE_LIBVIRTD_UP)
		return error_set(err, ERROR_HYPERVISOR,
		                 "libvirt: operation failed: Failed to connect to remote libvirt "
		                 "URI qemu+unix:///system?socket=%.100s (libvirt error 9)",
		                 r->control_socket);
	there = fake_host_find_copy_locked((struct fake_host *)target, r->uuid);
	if (there && is_active(there))
		return error_set(err, ERROR_HYPERVISOR,
		                 "libvirt: operation failed: domain '%.64s' already exists with "
		                 "uuid %s (libvirt error 9)",
		                 copy->guest->description.summary.name, r->uuid);
	return 0;
}

static int fake_migrate(struct hypervisor *h, const struct migrate_request *r, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_world *world = handle->world;
	struct fake_move **link, *move;
	struct fake_host *target;
	struct fake_copy *copy;
	uint32_t dropped;
	int result = enter_copy(handle, r->uuid, &copy, err);

	if (result)
		return result;
	target = find_by_socket(world, r->control_socket);
	result = judge_request(copy, target, r, err);
	if (result) {
		leave(handle);
		return result;
	}
	dropped = handle->host->callers_dropped;
	move = fake_move_start_locked(world, copy, target, r);
	while (move->phase != FAKE_PHASE_OVER && handle->host->callers_dropped == dropped)
		pthread_cond_wait(&world->changed, &world->lock);
	if (move->phase != FAKE_PHASE_OVER) {
		move->abandoned = true;
		leave(handle);
		return error_set(err, ERROR_UNKNOWN_OUTCOME,
		                 "the connection to libvirt was closed");
	}
	result = move->result;
	if (result && err)
		*err = move->error;
	for (link = &world->moves; *link != move; link = &(*link)->next)
		continue;
	*link = move->next;
	free(move);
	leave(handle);
	return result;
}

static int fake_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	*ret = (struct vm_job){ 0 };
	if (has_job_out(copy))
		*ret = copy->move->job;
	leave(handle);
	return 0;
}

static int fake_last_job(struct hypervisor *h, const char *uuid, struct vm_job *ret,
                         struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	*ret = copy->last_job;
	leave(handle);
	return 0;
}

static int fake_abort_job(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (has_job_out(copy))
		copy->move->aborted = true;
	else
		result = refuse(err, "no job is active on the domain");
	leave(handle);
	return result;
}

static int fake_set_max_downtime(struct hypervisor *h, const char *uuid, uint64_t ms,
                                 struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (ms > DOWNTIME_MAX_MS)
		result = refuse_downtime(ms, err);
	else
		copy->max_downtime_ms = ms;
	leave(handle);
	return result;
}

/* ---- commands ---- */

static int fake_suspend(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!is_active(copy))
		result = refuse(err, "domain is not running");
	else if (copy->state == VM_RUNNING)
		fake_copy_set_locked(handle->world, copy, VM_PAUSED, VM_PAUSE_USER, "user");
	leave(handle);
	return result;
}

static int fake_resume(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!is_active(copy))
		result = refuse(err, "domain is not running");
	else if (copy->state == VM_INCOMING)
		result = error_set(err, ERROR_BUSY,
		                   "libvirt: Timed out during operation: cannot acquire state "
		                   "change lock (libvirt error 68)");
	else if (copy->state == VM_PAUSED)
		fake_copy_set_locked(handle->world, copy, VM_RUNNING, VM_PAUSE_NONE, "unpaused");
	leave(handle);
	return result;
}

static int fake_destroy(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!is_active(copy)) {
		result = refuse(err, "domain is not running");
	} else {
		fake_move_lose_copy_locked(handle->world, copy);
		if (copy->persistent)
			fake_copy_set_locked(handle->world, copy, VM_SHUTOFF, VM_PAUSE_NONE,
			                     "destroyed");
		else
			fake_copy_remove_locked(handle->world, copy);
	}
	leave(handle);
	return result;
}

static int fake_undefine(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!is_active(copy))
		fake_copy_remove_locked(handle->world, copy);
	else if (copy->persistent)
		copy->persistent = copy->autostart = false;
	else
		result = refuse(err, "cannot undefine transient domain");
	leave(handle);
	return result;
}

static int fake_set_autostart(struct hypervisor *h, const char *uuid, bool on, struct error *err)
{
	struct fake_handle *handle = handle_of(h);
	struct fake_copy *copy;
	int result = enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (copy->persistent)
		copy->autostart = on;
	else
		result = refuse(err, "cannot set autostart for transient domain");
	leave(handle);
	return result;
}

static const struct hypervisor_ops fake_ops = {
	.free = fake_free,
	.watch = fake_watch,
	.host_facts = fake_host_facts,
	.list = fake_list,
	.find = fake_find,
	.describe = fake_describe,
	.compare_cpu = fake_compare_cpu,
	.has_network = fake_has_network,
	.migrate = fake_migrate,
	.job = fake_job,
	.last_job = fake_last_job,
	.abort_job = fake_abort_job,
	.set_max_downtime = fake_set_max_downtime,
	.suspend = fake_suspend,
	.resume = fake_resume,
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
