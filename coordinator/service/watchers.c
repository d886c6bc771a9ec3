/* SPDX-License-Identifier: Apache-2.0 */
/* Coordinator.Watch: everything after a revision, then what changes.
 *
 * A watcher remembers one number, the revision it has been told. Serving it is listing what changed
 * since and sending until it cannot be written to; what changed twice meanwhile is sent once. So a
 * slow reader costs nothing but its own delay, and a reader that comes back resumes. Owner thread. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "coordinator/view/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Progress of a move changes twice a second; ten updates a second are more than an eye needs. */
#define PUMP_MS 100

struct watcher {
	struct coordinator *coordinator;
	struct mesh_incoming *in;
	uint64_t since;
	uint64_t *drains; /* owned; none = all */
	size_t n_drains;
	uint64_t migration_number; /* 0 = all */
	bool slow;                 /* until it is writable again */
	bool caught_up_said;
	struct watcher *next;
};

static bool has_drain(const struct watcher *w, uint64_t number)
{
	for (size_t i = 0; i < w->n_drains; i++) {
		if (w->drains[i] == number)
			return true;
	}
	return false;
}

static bool of_drain(const struct watcher *w, const struct fleet *fleet, const char *subject)
{
	unsigned long long number;
	char rest;

	if (sscanf(subject, "drain/%llu%c", &number, &rest) == 1)
		return has_drain(w, number);
	if (sscanf(subject, "migration/%llu%c", &number, &rest) == 1) {
		const struct migration *m = fleet_find_migration(fleet, number);

		return m && has_drain(w, m->kept.drain_number);
	}
	return false;
}

static bool wanted(const struct watcher *w, const struct changed_object *o)
{
	const struct fleet *fleet = w->coordinator->fleet;
	char subject[32];

	if (!w->n_drains && !w->migration_number)
		return true;
	snprintf(subject, sizeof(subject), "migration/%llu",
	         (unsigned long long)w->migration_number);
	switch (o->kind) {
	case OBJECT_DRAIN:
		return has_drain(w, o->drain->kept.number);
	case OBJECT_MIGRATION:
		return (o->migration->kept.drain_number &&
		        has_drain(w, o->migration->kept.drain_number)) ||
		       (w->migration_number && o->migration->kept.number == w->migration_number);
	case OBJECT_EVENT:
		return w->n_drains ? of_drain(w, fleet, o->event->subject)
		                   : strcmp(o->event->subject, subject) == 0;
	case OBJECT_NODE:
	case OBJECT_VM:
		return false;
	}
	return false;
}

static bool send_object(struct watcher *w, const struct changed_object *o)
{
	const struct fleet *fleet = w->coordinator->fleet;
	Drover__V1__Change *change = xmalloc(sizeof(*change));
	bool more;

	drover__v1__change__init(change);
	change->revision = o->revision;
	switch (o->kind) {
	case OBJECT_NODE:
		change->object_case = DROVER__V1__CHANGE__OBJECT_NODE;
		change->node = view_node_new(fleet, o->node, clock_now_ms());
		break;
	case OBJECT_VM:
		change->object_case = DROVER__V1__CHANGE__OBJECT_VM;
		change->vm = view_vm_new(fleet, o->vm);
		break;
	case OBJECT_MIGRATION:
		change->object_case = DROVER__V1__CHANGE__OBJECT_MIGRATION;
		change->migration = view_migration_new(o->migration);
		break;
	case OBJECT_DRAIN:
		change->object_case = DROVER__V1__CHANGE__OBJECT_DRAIN;
		change->drain = view_drain_new(fleet, o->drain, clock_wall_ms());
		break;
	case OBJECT_EVENT:
		change->object_case = DROVER__V1__CHANGE__OBJECT_EVENT;
		change->event = view_event_new(o->event);
		break;
	}
	more = mesh_send(w->in, &change->base);
	view_free(change);
	return more;
}

static void send_mark(struct watcher *w, bool reset, bool caught_up)
{
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;

	change.revision = w->since;
	change.reset = reset;
	change.caught_up = caught_up;
	if (!mesh_send(w->in, &change.base))
		w->slow = true;
}

static void serve(struct watcher *w)
{
	struct changed_object *items = NULL;
	size_t count = 0, i = 0;
	bool whole;

	if (w->slow || (w->caught_up_said && w->since == w->coordinator->fleet->revision))
		return;
	whole = !fleet_list_changes(w->coordinator->fleet, w->since, &items, &count);
	if (whole && w->since)
		send_mark(w, true, false);
	for (; i < count && !w->slow; i++) {
		if (wanted(w, &items[i]) && !send_object(w, &items[i]))
			w->slow = true;
		w->since = items[i].revision;
	}
	/* A list that was cut short is asked for again from where it stopped: revisions rise. */
	if (i == count && !w->slow) {
		w->since = w->coordinator->fleet->revision;
		if (!w->caught_up_said)
			send_mark(w, false, true);
		w->caught_up_said = true;
	}
	free(items);
}

static void writable(void *context)
{
	struct watcher *w = context;

	w->slow = false;
	serve(w);
}

static void gone(void *context)
{
	struct watcher *w = context;

	for (struct watcher **at = &w->coordinator->watchers; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	free(w->drains);
	free(w);
}

static void pump(void *context)
{
	struct coordinator *c = context;

	for (struct watcher *w = c->watchers; w; w = w->next)
		serve(w);
}

void watchers_wake(struct coordinator *c)
{
	if (!c->watchers || c->pump.due_ms || c->stopping)
		return;
	c->pump.fire = pump;
	c->pump.context = c;
	loop_timer_start(c->loop, &c->pump, PUMP_MS);
}

void watchers_add(struct coordinator *c, struct mesh_incoming *in, uint64_t since_revision,
                  const uint64_t *drains, size_t n_drains, uint64_t migration_number)
{
	struct watcher *w = xnew(struct watcher);

	w->coordinator = c;
	w->in = in;
	w->since = since_revision;
	w->drains = xmemdup(drains, n_drains * sizeof(*drains));
	w->n_drains = n_drains;
	w->migration_number = migration_number;
	w->next = c->watchers;
	c->watchers = w;
	mesh_incoming_on_cancel(in, gone, w);
	mesh_incoming_on_writable(in, writable, w);
	serve(w);
}

void watchers_stop(struct coordinator *c)
{
	for (struct watcher *w = c->watchers, *next; w; w = next) {
		next = w->next;
		free(w->drains);
		free(w);
	}
	c->watchers = NULL;
}
