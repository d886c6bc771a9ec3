/* SPDX-License-Identifier: Apache-2.0 */
/* See suite_watch.h. */
#include "tests/conformance/hypervisor/suite_watch.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVENTS_MAX   4096
#define ASK_AGAIN_MS 10

struct suite_watch {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	/* Under lock. */
	struct hypervisor_event *events; /* owned */
	size_t count;
	bool in_callback; /* no two callbacks at once */
};

static void keep(const struct hypervisor_event *event, void *context)
{
	struct suite_watch *watch = context;

	pthread_mutex_lock(&watch->lock);
	if (watch->in_callback || watch->count == EVENTS_MAX) {
		fprintf(stderr, "two events at once, or more than %d\n", EVENTS_MAX);
		abort();
	}
	watch->in_callback = true;
	watch->events[watch->count++] = *event;
	pthread_cond_broadcast(&watch->arrived);
	watch->in_callback = false;
	pthread_mutex_unlock(&watch->lock);
}

struct suite_watch *suite_watch_new(struct hypervisor *h)
{
	struct suite_watch *watch = xnew(struct suite_watch);
	struct error err = { 0 };
	pthread_condattr_t attributes;

	watch->events = xcalloc(EVENTS_MAX, sizeof(*watch->events));
	pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->arrived, &attributes);
	pthread_condattr_destroy(&attributes);
	if (h->ops->watch(h, keep, watch, &err)) {
		fprintf(stderr, "watch: %s\n", err.text);
		abort();
	}
	return watch;
}

void suite_watch_free(struct suite_watch *watch)
{
	pthread_cond_destroy(&watch->arrived);
	pthread_mutex_destroy(&watch->lock);
	free(watch->events);
	free(watch);
}

size_t suite_watch_mark(struct suite_watch *watch)
{
	size_t mark;

	pthread_mutex_lock(&watch->lock);
	mark = watch->count;
	pthread_mutex_unlock(&watch->lock);
	return mark;
}

/* What a test waits for. */
struct wanted {
	size_t mark;
	enum hypervisor_event_kind kind;
	const char *uuid; /* NULL: any */
	bool switchover, runs;
};

static bool find_locked(const struct suite_watch *watch, const struct wanted *wanted,
                        struct hypervisor_event *ret)
{
	for (size_t i = wanted->mark; i < watch->count; i++) {
		const struct hypervisor_event *event = &watch->events[i];

		if (event->kind != wanted->kind || (wanted->switchover && !event->switchover) ||
		    (wanted->runs && !event->runs) ||
		    (wanted->uuid && strcmp(event->uuid, wanted->uuid) != 0))
			continue;
		if (ret)
			*ret = *event;
		return true;
	}
	return false;
}

static bool wait_for(struct suite_watch *watch, const struct wanted *wanted,
                     unsigned int deadline_s, struct hypervisor_event *ret)
{
	struct timespec deadline;
	bool found;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += deadline_s;
	pthread_mutex_lock(&watch->lock);
	while (!(found = find_locked(watch, wanted, ret)))
		if (pthread_cond_timedwait(&watch->arrived, &watch->lock, &deadline))
			break;
	pthread_mutex_unlock(&watch->lock);
	return found;
}

bool suite_watch_wait(struct suite_watch *watch, size_t mark, enum hypervisor_event_kind kind,
                      const char *uuid, unsigned int deadline_s, struct hypervisor_event *ret)
{
	struct wanted wanted = { .mark = mark, .kind = kind, .uuid = uuid };

	return wait_for(watch, &wanted, deadline_s, ret);
}

bool suite_watch_wait_switchover(struct suite_watch *watch, size_t mark, const char *uuid,
                                 unsigned int deadline_s, struct hypervisor_event *ret)
{
	struct wanted wanted = {
		.mark = mark, .kind = HYPERVISOR_VM_CHANGED, .uuid = uuid, .switchover = true
	};

	return wait_for(watch, &wanted, deadline_s, ret);
}

bool suite_watch_wait_runs(struct suite_watch *watch, size_t mark, const char *uuid,
                           unsigned int deadline_s)
{
	struct wanted wanted = {
		.mark = mark, .kind = HYPERVISOR_VM_CHANGED, .uuid = uuid, .runs = true
	};

	return wait_for(watch, &wanted, deadline_s, NULL);
}

bool suite_wait_until(bool (*holds)(void *context), void *context, unsigned int deadline_s)
{
	uint64_t deadline_ms = clock_now_ms() + SECONDS_MS(deadline_s);

	while (!holds(context)) {
		if (clock_now_ms() > deadline_ms)
			return false;
		poll(NULL, 0, ASK_AGAIN_MS);
	}
	return true;
}
