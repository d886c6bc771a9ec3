/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. What changes the fake world through the seam: moves, jobs, and commands to a
 * guest. What libvirt refuses at once is refused here; the rest of a move is hypervisor_fake_move.c. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const struct vm_disk *fake_guest_find_disk(const struct fake_guest *guest, const char *target)
{
	const struct vm_description *d = &guest->description;

	for (size_t i = 0; i < d->n_disks; i++)
		if (strcmp(d->disks[i].target, target) == 0)
			return &d->disks[i];
	return NULL;
}

static bool is_copied(const struct migrate_request *r, const char *target)
{
	for (size_t i = 0; i < r->n_copied_disks; i++)
		if (strcmp(r->copied_disks[i], target) == 0)
			return true;
	return false;
}

/* To libvirt, files on a local file system are not shared, whatever they are. */
static int judge_disks(const struct vm_description *d, const struct migrate_request *r,
                       const struct fake_guest *guest, struct error *err)
{
	for (size_t i = 0; i < r->n_copied_disks; i++)
		if (!fake_guest_find_disk(guest, r->copied_disks[i]))
			return error_set(err, ERROR_INVALID,
			                 "libvirt: invalid argument: disk target %.32s not found "
			                 "(libvirt error 8)",
			                 r->copied_disks[i]);
	for (size_t i = 0; i < d->n_disks && !r->storage_proved_shared; i++)
		if (!d->disks[i].read_only && strcmp(d->disks[i].type, "file") == 0 &&
		    !is_copied(r, d->disks[i].target))
			return error_set(err, ERROR_REFUSED,
			                 "libvirt: Unsafe migration: Migration without shared "
			                 "storage is unsafe (libvirt error 81)");
	return 0;
}

/* What libvirt would refuse at once. */
static int judge_request(const struct fake_copy *copy, const struct fake_host *target,
                         const struct migrate_request *r, struct error *err)
{
	const struct fake_copy *there;

	if (!fake_is_active(copy))
		return fake_refuse(err, "domain is not running");
	if (r->max_downtime_ms > DOWNTIME_MAX_MS)
		return refuse_downtime(r->max_downtime_ms, err);
	if (r->paused && r->post_copy)
		return error_set(err, ERROR_INVALID,
		                 "a destination that stays paused cannot fetch what is missing: "
		                 "post-copy and a two-step commit exclude each other");
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
	if (judge_disks(&copy->guest->description, r, copy->guest, err) < 0)
		return -(int)err->code;
	there = fake_host_find_copy_locked((struct fake_host *)target, r->uuid);
	if (there && fake_is_active(there))
		return error_set(err, ERROR_HYPERVISOR,
		                 "libvirt: operation failed: domain '%.64s' already exists with "
		                 "uuid %s (libvirt error 9)",
		                 copy->guest->description.summary.name, r->uuid);
	return 0;
}

/* Of a broken post-copy; what of it libvirt refuses at once. */
static int judge_resume(const struct fake_copy *copy, const struct fake_host *target,
                        const struct migrate_request *r, struct error *err)
{
	const struct fake_move *move = copy->move;

	if (!move || move->phase < FAKE_PHASE_POSTCOPY || move->source != copy->host)
		return fake_refuse(err, "no post-copy migration is to be resumed");
	if (move->phase != FAKE_PHASE_BROKEN)
		return fake_refuse(err, "migration of the domain is being actively monitored by "
		                        "another thread");
	if (!target || target != move->target || !target->control_up ||
	    target->libvirtd != FAKE_LIBVIRTD_UP)
		return error_set(err, ERROR_HYPERVISOR,
		                 "libvirt: operation failed: Failed to connect to remote libvirt "
		                 "URI qemu+unix:///system?socket=%.100s (libvirt error 9)",
		                 r->control_socket);
	if (!copy->host->link_bytes_per_s || !target->link_bytes_per_s)
		return error_set(err, ERROR_HYPERVISOR,
		                 "libvirt: unable to connect to server at '%.100s': No route to "
		                 "host (libvirt error 38)",
		                 r->migrate_uri);
	return 0;
}

int fake_migrate(struct hypervisor *h, const struct migrate_request *r, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_world *world = handle->world;
	struct fake_move **link, *move;
	struct fake_host *target;
	struct fake_copy *copy;
	uint32_t dropped;
	int result = fake_enter_copy(handle, r->uuid, &copy, err);

	if (result)
		return result;
	target = find_by_socket(world, r->control_socket);
	result = r->resume ? judge_resume(copy, target, r, err)
	                   : judge_request(copy, target, r, err);
	if (result) {
		fake_leave(handle);
		return result;
	}
	dropped = handle->host->callers_dropped;
	if (r->resume) {
		move = copy->move;
		move->abandoned = false;
		fake_move_resume_locked(world, move);
	} else {
		move = fake_move_start_locked(world, copy, target, r);
	}
	while (move->phase != FAKE_PHASE_OVER && move->phase != FAKE_PHASE_BROKEN &&
	       handle->host->callers_dropped == dropped)
		pthread_cond_wait(&world->changed, &world->lock);
	if (move->phase == FAKE_PHASE_BROKEN) {
		result = move->result;
		if (err)
			*err = move->error;
		move->abandoned = true; /* its job stays; another call may take it up */
		fake_leave(handle);
		return result;
	}
	if (move->phase != FAKE_PHASE_OVER) {
		move->abandoned = true;
		fake_leave(handle);
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
	fake_leave(handle);
	return result;
}

int fake_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	*ret = (struct vm_job){ 0 };
	if (fake_has_job_out(copy))
		*ret = copy->move->job;
	fake_leave(handle);
	return 0;
}

int fake_last_job(struct hypervisor *h, const char *uuid, struct vm_job *ret, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	*ret = copy->last_job;
	fake_leave(handle);
	return 0;
}

int fake_abort_job(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (fake_has_job_out(copy) && copy->move->phase == FAKE_PHASE_POSTCOPY)
		result = fake_refuse(err, "cannot abort migration in post-copy mode");
	else if (fake_has_job_out(copy))
		copy->move->aborted = true;
	else
		result = fake_refuse(err, "no job is active on the domain");
	fake_leave(handle);
	return result;
}

int fake_start_postcopy(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!fake_has_job_out(copy) || copy->move->phase != FAKE_PHASE_COPY)
		result = error_set(err, ERROR_REFUSED,
		                   "guest %s has no memory under way: post-copy can only follow a "
		                   "pre-copy that has begun",
		                   uuid);
	else if (!copy->move->post_copy)
		result = fake_refuse(err, "switching to post-copy requires migration to be started "
		                          "with VIR_MIGRATE_POSTCOPY flag");
	else
		fake_move_switch_to_postcopy_locked(handle->world, copy->move);
	fake_leave(handle);
	return result;
}

int fake_break_postcopy(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!fake_has_job_out(copy) || copy->move->phase != FAKE_PHASE_POSTCOPY)
		result = fake_refuse(err,
		                     "current job is not outgoing migration in post-copy mode");
	else
		fake_move_break_locked(
			handle->world, copy->move,
			"operation failed: job 'migration in' failed in post-copy phase");
	fake_leave(handle);
	return result;
}

int fake_set_max_downtime(struct hypervisor *h, const char *uuid, uint64_t ms, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (ms > DOWNTIME_MAX_MS)
		result = refuse_downtime(ms, err);
	else
		copy->max_downtime_ms = ms;
	fake_leave(handle);
	return result;
}

int fake_set_max_speed(struct hypervisor *h, const char *uuid, uint64_t bytes_per_s,
                       struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (fake_has_job_out(copy))
		copy->move->bandwidth_bytes_per_s = bytes_per_s
		                                            ? hypervisor_round_speed(bytes_per_s)
		                                            : FAKE_UNLIMITED;
	fake_leave(handle);
	return 0;
}

/* ---- commands ---- */

int fake_suspend(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!fake_is_active(copy))
		result = fake_refuse(err, "domain is not running");
	else if (copy->state == VM_RUNNING && fake_has_job_out(copy))
		/* libvirt tells it from a switchover by nothing (measured). */
		fake_copy_set_locked(handle->world, copy, VM_PAUSED, VM_PAUSE_MIGRATION,
		                     "migrating");
	else if (copy->state == VM_RUNNING)
		fake_copy_set_locked(handle->world, copy, VM_PAUSED, VM_PAUSE_USER, "user");
	fake_leave(handle);
	return result;
}

int fake_resume(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!fake_is_active(copy))
		result = fake_refuse(err, "domain is not running");
	else if (copy->state == VM_INCOMING)
		result = error_set(err, ERROR_BUSY,
		                   "libvirt: Timed out during operation: cannot acquire state "
		                   "change lock (libvirt error 68)");
	else if (copy->state == VM_PAUSED && copy->move && copy->move->source == copy->host &&
	         copy->move->phase >= FAKE_PHASE_POSTCOPY)
		result = fake_refuse(err, "half of this guest's memory is at the destination");
	else if (copy->state == VM_PAUSED)
		fake_copy_set_locked(handle->world, copy, VM_RUNNING, VM_PAUSE_NONE, "unpaused");
	fake_leave(handle);
	return result;
}

int fake_destroy(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!fake_is_active(copy)) {
		result = fake_refuse(err, "domain is not running");
	} else {
		fake_move_lose_copy_locked(handle->world, copy);
		copy->end = VM_END_DESTROYED;
		if (copy->persistent)
			fake_copy_set_locked(handle->world, copy, VM_SHUTOFF, VM_PAUSE_NONE,
			                     "destroyed");
		else
			fake_copy_remove_locked(handle->world, copy);
	}
	fake_leave(handle);
	return result;
}

int fake_undefine(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!fake_is_active(copy))
		fake_copy_remove_locked(handle->world, copy);
	else if (copy->persistent)
		copy->persistent = copy->autostart = false;
	else
		result = fake_refuse(err, "cannot undefine transient domain");
	fake_leave(handle);
	return result;
}

int fake_set_autostart(struct hypervisor *h, const char *uuid, bool on, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (copy->persistent)
		copy->autostart = on;
	else
		result = fake_refuse(err, "cannot set autostart for transient domain");
	fake_leave(handle);
	return result;
}
