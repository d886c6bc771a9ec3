/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_fake.h. The world itself: hosts, guests, their copies, and time. Every public function takes the world's lock; a clock thread exists only after
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
	fake_power_step_locked(world);
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

struct fake_guest *fake_world_find_guest_locked(struct fake_world *world, const char *uuid)
{
	struct fake_guest *guest = world->guests;

	while (guest && strcmp(guest->description.summary.uuid, uuid) != 0)
		guest = guest->next;
	return guest;
}

struct fake_guest *fake_world_get_guest_locked(struct fake_world *world, const char *uuid)
{
	struct fake_guest *guest = fake_world_find_guest_locked(world, uuid);

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

static void tell_changed_locked(struct fake_world *world, struct fake_copy *copy, bool runs)
{
	struct hypervisor_event event = { .kind = HYPERVISOR_VM_CHANGED, .runs = runs };

	/* Watchers measure with their own clock, whatever the time of this world. */
	event.at_ms = clock_now_ms();
	event.switchover = copy->state == VM_PAUSED && copy->pause_reason == VM_PAUSE_MIGRATION &&
	                   fake_has_job_out(copy);
	event.end = copy->end;
	copy->end = VM_END_NONE;
	COPY_TEXT(event.uuid, copy->guest->description.summary.uuid);
	fake_host_tell_locked(world, copy->host, &event);
}

void fake_copy_set_locked(struct fake_world *world, struct fake_copy *copy, enum vm_run_state state,
                          enum vm_pause_reason pause_reason, const char *reason)
{
	bool stood = copy->state == VM_INCOMING || copy->state == VM_PAUSED;
	uint32_t running;

	copy->state = state;
	copy->pause_reason = pause_reason;
	COPY_TEXT(copy->reason, reason);
	running = count_running_locked(world, copy->guest);
	if (running > copy->guest->most_running)
		copy->guest->most_running = running;
	tell_changed_locked(world, copy, stood && state == VM_RUNNING);
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

	tell_changed_locked(world, copy, false);
	while (*link != copy)
		link = &(*link)->next;
	*link = copy->next;
	free(copy);
	pthread_cond_broadcast(&world->changed);
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
