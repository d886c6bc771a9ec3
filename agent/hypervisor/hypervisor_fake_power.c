/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. A guest's own way off, and on again. */
#include "agent/hypervisor/hypervisor_fake_world.h"

#include <stdio.h>
#include <string.h>

void fake_world_set_shutdown(struct fake_world *world, const char *uuid, bool never, uint64_t ms)
{
	pthread_mutex_lock(&world->lock);
	fake_world_get_guest_locked(world, uuid)->shutdown_ms = never ? FAKE_NEVER : ms;
	pthread_mutex_unlock(&world->lock);
}

/* A guest that stands still does not see its power button; nor does one that is being moved end then: a
 * move that has no source any more would be a test of its own. */
void fake_power_step_locked(struct fake_world *world)
{
	for (struct fake_host *host = world->hosts; host; host = host->next) {
		for (struct fake_copy *copy = host->copies; copy; copy = copy->next) {
			if (!copy->off_at_ms || copy->off_at_ms > world->now_ms ||
			    copy->state != VM_RUNNING || copy->move)
				continue;
			copy->off_at_ms = 0;
			copy->end = VM_END_POWERED_OFF;
			fake_copy_set_locked(world, copy, VM_SHUTOFF, VM_PAUSE_NONE, "shutdown");
		}
	}
}

int fake_shut_down(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);
	const struct vm_summary *s;

	if (result)
		return result;
	s = &copy->guest->description.summary;
	if (!fake_is_active(copy))
		result = error_set(err, ERROR_REFUSED, "guest %s is not running", s->name);
	else if (copy->guest->description.no_shutdown[0])
		result = error_set(err, ERROR_REFUSED, "guest %s is not shut down: %s", s->name,
		                   copy->guest->description.no_shutdown);
	else if (!copy->persistent)
		result = error_set(err, ERROR_REFUSED, "guest %s is not shut down: it is transient",
		                   s->name);
	else if (!copy->off_at_ms && copy->guest->shutdown_ms != FAKE_NEVER)
		copy->off_at_ms = handle->world->now_ms + copy->guest->shutdown_ms;
	fake_leave(handle);
	return result;
}

int fake_start(struct hypervisor *h, const char *uuid, struct error *err)
{
	struct fake_handle *handle = fake_handle_of(h);
	struct fake_copy *copy;
	int result = fake_enter_copy(handle, uuid, &copy, err);

	if (result)
		return result;
	if (!fake_is_active(copy)) {
		copy->off_at_ms = 0;
		fake_copy_set_locked(handle->world, copy, VM_RUNNING, VM_PAUSE_NONE, "booted");
	}
	fake_leave(handle);
	return 0;
}
