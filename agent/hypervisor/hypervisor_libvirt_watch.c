/* SPDX-License-Identifier: Apache-2.0 */
/* See hypervisor_libvirt.h. Watching: a thread per hypervisor that connects, subscribes, says
 * CONNECTED, waits for the connection's end, says DISCONNECTED, and tries again twice a second.
 *
 * Callbacks of libvirt run on the loop thread and must not call libvirt. They reach the hypervisor
 * through a subscription, which lives as long as libvirt holds a callback: libvirt may still be in
 * one when it is deregistered, so a subscription is counted, and is cut off from the hypervisor
 * under the lock that callbacks hold. That lock also keeps events from being told concurrently.
 */
#include "agent/hypervisor/hypervisor_libvirt.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MS 500
/* When a call has found its connection dead, all others find that within this; it has the reason. */
#define LOST_MS 2000

/* ---- subscriptions ---- */

struct subscription {
	struct hypervisor_libvirt *owner; /* NULL: cut off */
	bool announced;                   /* CONNECTED was told; before, events are dropped */
	unsigned int references;
};

/* Guards every subscription, and is held while an event is told. One for the process: a subscription
 * reaches the loop thread through libvirt, and its own lock would have to get there first. Taken
 * before a hypervisor's lock. */
static pthread_mutex_t subscriptions = PTHREAD_MUTEX_INITIALIZER;

static struct subscription *subscription_new(struct hypervisor_libvirt *owner)
{
	struct subscription *s = xnew(struct subscription);

	pthread_mutex_lock(&subscriptions);
	s->owner = owner;
	s->references = 1;
	pthread_mutex_unlock(&subscriptions);
	return s;
}

static void subscription_ref(struct subscription *s)
{
	pthread_mutex_lock(&subscriptions);
	s->references++;
	pthread_mutex_unlock(&subscriptions);
}

/* libvirt calls this when it lets go of a callback, on any thread. */
static void subscription_unref(void *opaque)
{
	struct subscription *s = opaque;

	pthread_mutex_lock(&subscriptions);
	if (--s->references == 0)
		free(s);
	pthread_mutex_unlock(&subscriptions);
}

/* No callback reaches the owner after it. */
static void subscription_cut(struct subscription *s)
{
	pthread_mutex_lock(&subscriptions);
	s->owner = NULL;
	pthread_mutex_unlock(&subscriptions);
}

static void tell(struct subscription *s, const struct hypervisor_event *event)
{
	pthread_mutex_lock(&subscriptions);
	if (s->owner && s->announced)
		s->owner->event(event, s->owner->context);
	pthread_mutex_unlock(&subscriptions);
}

static bool start_event(virDomainPtr domain, enum hypervisor_event_kind kind,
                        struct hypervisor_event *ret)
{
	*ret = (struct hypervisor_event){ .kind = kind };
	return virDomainGetUUIDString(domain, ret->uuid) == 0;
}

static enum vm_end end_of(int event, int detail)
{
	if (event == VIR_DOMAIN_EVENT_CRASHED)
		return VM_END_DIED;
	if (event != VIR_DOMAIN_EVENT_STOPPED)
		return VM_END_NONE;
	switch (detail) {
	case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
		return VM_END_POWERED_OFF;
	case VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
		return VM_END_DESTROYED;
	case VIR_DOMAIN_EVENT_STOPPED_CRASHED:
	case VIR_DOMAIN_EVENT_STOPPED_FAILED:
		return VM_END_DIED;
	default: /* it moved, or was saved */
		return VM_END_NONE;
	}
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                        void *opaque)
{
	struct hypervisor_event e;

	(void)connection;
	if (start_event(domain, HYPERVISOR_VM_CHANGED, &e)) {
		e.switchover = event == VIR_DOMAIN_EVENT_SUSPENDED &&
		               detail == VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED;
		e.runs = event == VIR_DOMAIN_EVENT_RESUMED;
		e.end = end_of(event, detail);
		e.at_ms = clock_now_ms();
		tell(opaque, &e);
	}
	return 0;
}

static void on_iteration(virConnectPtr connection, virDomainPtr domain, int iteration, void *opaque)
{
	struct hypervisor_event e;

	(void)connection;
	if (!start_event(domain, HYPERVISOR_ITERATION, &e))
		return;
	e.iteration = (uint32_t)iteration;
	tell(opaque, &e);
}

static void on_job_completed(virConnectPtr connection, virDomainPtr domain,
                             virTypedParameterPtr parameters, int n_parameters, void *opaque)
{
	struct hypervisor_event e;
	int operation = 0;

	(void)connection;
	/* Backups and dumps complete as well. */
	if (virTypedParamsGetInt(parameters, n_parameters, VIR_DOMAIN_JOB_OPERATION, &operation) <=
	            0 ||
	    operation != VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT ||
	    !start_event(domain, HYPERVISOR_JOB_COMPLETED, &e))
		return;
	libvirt_fill_job(parameters, n_parameters, true, &e.job);
	tell(opaque, &e);
}

static const char *close_reason(int reason)
{
	switch (reason) {
	case VIR_CONNECT_CLOSE_REASON_EOF:
		return "libvirtd ended";
	case VIR_CONNECT_CLOSE_REASON_KEEPALIVE:
		return "libvirtd does not answer";
	case VIR_CONNECT_CLOSE_REASON_ERROR:
		return "an input/output error";
	default:
		return "the connection was closed";
	}
}

static void on_close(virConnectPtr connection, int reason, void *opaque)
{
	struct subscription *s = opaque;
	struct hypervisor_libvirt *h;

	(void)connection;
	pthread_mutex_lock(&subscriptions);
	h = s->owner;
	if (h) {
		pthread_mutex_lock(&h->lock);
		h->lost = true;
		snprintf(h->lost_why, sizeof(h->lost_why), "%s", close_reason(reason));
		pthread_cond_broadcast(&h->wake);
		pthread_mutex_unlock(&h->lock);
	}
	pthread_mutex_unlock(&subscriptions);
}

static const struct {
	int id;
	virConnectDomainEventGenericCallback callback;
} subscribed[] = {
	{ VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
	{ VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(on_iteration) },
	{ VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed) },
};

struct watch {
	virConnectPtr connection;
	struct subscription *subscription;
	int callback_ids[ARRAY_SIZE(subscribed)];
	size_t n_callbacks;
	bool close_registered;
};

/* Takes back what was registered, also on a dead connection, where only libvirt's own side is left
 * to clean: callbacks hold references to the connection. */
static void watch_close(struct watch *w)
{
	subscription_cut(w->subscription);
	while (w->n_callbacks)
		(void)virConnectDomainEventDeregisterAny(w->connection,
		                                         w->callback_ids[--w->n_callbacks]);
	if (w->close_registered)
		(void)virConnectUnregisterCloseCallback(w->connection, on_close);
	virConnectClose(w->connection);
	subscription_unref(w->subscription);
}

static int watch_open(struct hypervisor_libvirt *h, struct watch *ret, struct error *err)
{
	struct watch w = { 0 };
	int result = libvirt_open(h, LIBVIRT_KEEPALIVE_S, &w.connection, err);

	if (result)
		return result;
	w.subscription = subscription_new(h);

	subscription_ref(w.subscription);
	if (virConnectRegisterCloseCallback(w.connection, on_close, w.subscription,
	                                    subscription_unref) < 0) {
		result = libvirt_error(err, w.connection, LIBVIRT_QUESTION,
		                       "watching the connection to %s", h->uri);
		subscription_unref(w.subscription);
		watch_close(&w);
		return result;
	}
	w.close_registered = true;
	for (size_t i = 0; i < ARRAY_SIZE(subscribed); i++) {
		int id;

		subscription_ref(w.subscription);
		id = virConnectDomainEventRegisterAny(w.connection, NULL, subscribed[i].id,
		                                      subscribed[i].callback, w.subscription,
		                                      subscription_unref);
		if (id < 0) {
			result = libvirt_error(err, w.connection, LIBVIRT_QUESTION,
			                       "subscribing to events of %s", h->uri);
			subscription_unref(w.subscription);
			watch_close(&w);
			return result;
		}
		w.callback_ids[w.n_callbacks++] = id;
	}
	result = libvirt_lend(h, err);
	if (result) {
		watch_close(&w);
		return result;
	}
	*ret = w;
	return 0;
}

/* ---- the watcher ---- */

static void tell_disconnected(struct hypervisor_libvirt *h, const struct error *why)
{
	struct hypervisor_event event = { .kind = HYPERVISOR_DISCONNECTED, .error = *why };

	pthread_mutex_lock(&subscriptions);
	h->event(&event, h->context);
	pthread_mutex_unlock(&subscriptions);
}

/* Waits until told to end, or @until_lost and the connection is dead, or @ms have passed (0: no limit, or
 * until a connection that was lent is dead). Under the lock. */
static void wait_locked(struct hypervisor_libvirt *h, bool until_lost, uint64_t ms)
{
	struct timespec due;

	clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_nsec += (long)(ms % 1000) * 1000000;
	due.tv_sec += (time_t)(ms / 1000) + due.tv_nsec / 1000000000;
	due.tv_nsec %= 1000000000;
	while (!h->closing && !(until_lost && (h->lost || (!ms && h->lacking)))) {
		if (!ms)
			pthread_cond_wait(&h->wake, &h->lock);
		else if (pthread_cond_timedwait(&h->wake, &h->lock, &due))
			break;
	}
}

/* From a fresh connection to its end. */
static void serve_connection(struct hypervisor_libvirt *h, struct watch *w)
{
	struct hypervisor_event connected = { .kind = HYPERVISOR_CONNECTED };
	bool closing;

	/* Nothing that happened since the subscription is missed: who hears CONNECTED lists. */
	pthread_mutex_lock(&subscriptions);
	h->event(&connected, h->context);
	w->subscription->announced = true;
	pthread_mutex_unlock(&subscriptions);

	pthread_mutex_lock(&h->lock);
	wait_locked(h, true, 0);
	if (!h->lost)
		wait_locked(h, true, LOST_MS);
	closing = h->closing;
	error_set(&h->why, ERROR_UNREACHABLE, "the connection to %s is lost: %s", h->uri,
	          h->lost ? h->lost_why : "libvirtd did not answer a call");
	pthread_mutex_unlock(&h->lock);

	libvirt_withdraw(h);
	watch_close(w);
	if (!closing)
		tell_disconnected(h, &h->why);
}

static void *run_watcher(void *argument)
{
	struct hypervisor_libvirt *h = argument;
	bool told = false;

	pthread_mutex_lock(&h->lock);
	while (!h->closing) {
		struct error why = { 0 };
		struct watch w = { 0 };

		h->lost = false;
		pthread_mutex_unlock(&h->lock);
		/* On failure w stays empty. */
		(void)watch_open(h, &w, &why);
		if (w.connection) {
			serve_connection(h, &w);
			told = true;
		} else {
			pthread_mutex_lock(&h->lock);
			h->why = why;
			pthread_mutex_unlock(&h->lock);
			if (!told)
				tell_disconnected(h, &why);
			told = true;
		}
		pthread_mutex_lock(&h->lock);
		wait_locked(h, false, RETRY_MS);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

int libvirt_watch(struct hypervisor *base,
                  void (*event)(const struct hypervisor_event *e, void *context), void *context,
                  struct error *err)
{
	struct hypervisor_libvirt *h = libvirt_of(base);
	sigset_t all, before;
	int failed = 0;

	libvirt_start_loop();
	pthread_mutex_lock(&h->lock);
	if (h->watching) {
		pthread_mutex_unlock(&h->lock);
		return error_set(err, ERROR_EXISTS, "events of %s are watched already", h->uri);
	}
	h->event = event;
	h->context = context;
	h->watching = true;
	/* From now on they are the watcher's to open. */
	pthread_mutex_unlock(&h->lock);
	libvirt_withdraw(h);
	pthread_mutex_lock(&h->lock);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&h->watcher, NULL, run_watcher, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		h->watching = false;
	pthread_mutex_unlock(&h->lock);
	if (failed)
		return error_set_errno(err, ERROR_SYSTEM, failed, "starting a thread");
	return 0;
}

static void ignore_event(const struct hypervisor_event *e, void *context)
{
	(void)e;
	(void)context;
}

void libvirt_hush(struct hypervisor *base)
{
	pthread_mutex_lock(&subscriptions);
	libvirt_of(base)->event = ignore_event;
	pthread_mutex_unlock(&subscriptions);
}

void libvirt_unwatch(struct hypervisor_libvirt *h)
{
	if (!h->watching)
		return;
	pthread_mutex_lock(&h->lock);
	h->closing = true;
	pthread_cond_broadcast(&h->wake);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->watcher, NULL);
}
