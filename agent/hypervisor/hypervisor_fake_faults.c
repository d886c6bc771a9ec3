/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. What a test makes go wrong in the fake world. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include <stdio.h>

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

void fake_world_change_guest(struct fake_world *world, const char *uuid,
                             void (*change)(struct vm_description *d))
{
	pthread_mutex_lock(&world->lock);
	change(&fake_world_get_guest_locked(world, uuid)->description);
	pthread_mutex_unlock(&world->lock);
}

/* @end: whose doing it was. */
static void end_guest(struct fake_world *world, const char *host, const char *uuid, enum vm_end end)
{
	struct fake_copy *copy;

	pthread_mutex_lock(&world->lock);
	copy = fake_host_find_copy_locked(fake_world_get_host_locked(world, host), uuid);
	if (copy) {
		fake_move_lose_copy_locked(world, copy);
		copy->end = end;
		fake_copy_remove_locked(world, copy);
	}
	pthread_mutex_unlock(&world->lock);
}

void fake_world_kill_guest(struct fake_world *world, const char *host, const char *uuid)
{
	end_guest(world, host, uuid, VM_END_DIED);
}

void fake_world_power_off_guest(struct fake_world *world, const char *host, const char *uuid)
{
	end_guest(world, host, uuid, VM_END_POWERED_OFF);
}
