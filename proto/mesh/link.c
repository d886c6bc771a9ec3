/* SPDX-License-Identifier: Apache-2.0 */
/* See link.h. What all transports share: the way from couriers into the owner's mailbox, and the
 * life of a link. */
#include "proto/mesh/link.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum event_kind { EVENT_OPENED, EVENT_FRAMES, EVENT_DRAINED, EVENT_FAILED, EVENT_CLOSED };

struct event {
	struct message message; /* first: the mailbox frees it by this address */
	struct link *link;      /* a reference */
	enum event_kind kind;
	struct frame *frames;
	size_t bytes;
	struct link_peer *peer;
	struct error *error;
};

static const struct transport *const transports[] = { &transport_tcp, &transport_ipc,
	                                              &transport_inproc };

const struct transport *transport_find(const char *url, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
		const char *prefix = transports[i]->prefix;

		if (strncmp(url, prefix, strlen(prefix)) == 0 && url[strlen(prefix)])
			return transports[i];
	}
	error_set(err, ERROR_INVALID,
	          "\"%s\" is not an address of the mesh: give tcp://HOST:PORT, ipc:///PATH "
	          "or inproc://NAME",
	          url);
	return NULL;
}

/* --- life --- */

void link_init(struct link *l, const struct link_ops *ops, struct link_group *group)
{
	l->ops = ops;
	l->group = group;
	l->loop = group->loop;
	atomic_init(&l->references, 1);
	DL_APPEND(group->first, l);
}

void link_reference(struct link *l)
{
	atomic_fetch_add(&l->references, 1);
}

void link_unreference(struct link *l)
{
	if (atomic_fetch_sub(&l->references, 1) == 1)
		free(l);
}

static void link_release(struct link *l)
{
	if (l->released)
		return;
	l->released = true;
	l->ops->release(l);
	DL_DELETE(l->group->first, l);
	l->group = NULL;
	link_unreference(l);
}

void link_own(struct link *l, const struct link_events *events, void *context)
{
	l->events = events;
	l->context = context;
	l->ops->start(l);
}

void link_send(struct link *l, struct chunk *chunk)
{
	assert(!l->closed);
	l->ops->send(l, chunk);
}

size_t link_get_queued_bytes(const struct link *l)
{
	return l->ops->get_queued_bytes(l);
}

uint64_t link_get_taken_bytes(const struct link *l)
{
	return l->ops->get_taken_bytes(l);
}

int link_check_peer(struct link *l, bool *ret_revoked, struct error *err)
{
	return l->ops->check_peer ? l->ops->check_peer(l, ret_revoked, err) : 0;
}

uint64_t link_close(struct link *l)
{
	uint64_t taken;

	assert(!l->closed);
	l->closed = true;
	l->events = NULL;
	/* The link lives at least until the mailbox runs its last message. */
	link_reference(l);
	l->ops->close(l);
	taken = l->ops->get_taken_bytes(l);
	link_unreference(l);
	return taken;
}

void link_group_close(struct link_group *group)
{
	struct link *l, *next;

	/* All are told first, so that the waiting is for all of them together. */
	DL_FOREACH (group->first, l) {
		if (!l->closed)
			link_close(l);
	}
	DL_FOREACH_SAFE (group->first, l, next)
		link_release(l);
}

/* --- events --- */

static void event_free(struct event *e)
{
	frame_list_free(e->frames);
	free(e->peer);
	free(e->error);
	link_unreference(e->link);
	free(e);
}

static void event_drop(struct message *m)
{
	event_free((struct event *)m);
}

static void event_run(struct message *m)
{
	struct event *e = (struct event *)m;
	struct link *l = e->link;

	switch (e->kind) {
	case EVENT_OPENED:
		if (l->events)
			l->events->opened(e->peer, l->context);
		break;
	case EVENT_FRAMES:
		/* A frame may make the owner close the link. */
		for (struct frame *f = e->frames; f && l->events; f = f->next)
			l->events->received(f, l->context);
		if (!l->closed)
			l->ops->consumed(l, e->bytes);
		break;
	case EVENT_DRAINED:
		if (l->events)
			l->events->drained(l->context);
		break;
	case EVENT_FAILED:
		if (l->events)
			l->events->failed(e->error, l->context);
		break;
	case EVENT_CLOSED:
		link_release(l);
		break;
	}
	event_free(e);
}

static struct event *event_new(struct link *l, enum event_kind kind)
{
	struct event *e = xnew(struct event);

	link_reference(l);
	e->link = l;
	e->kind = kind;
	e->message.run = event_run;
	e->message.drop = event_drop;
	return e;
}

void link_post_opened(struct link *l, const struct link_peer *peer)
{
	struct event *e = event_new(l, EVENT_OPENED);

	e->peer = xmemdup(peer, sizeof(*peer));
	loop_post(l->loop, &e->message);
}

void link_post_frames(struct link *l, struct frame *first, size_t bytes)
{
	struct event *e = event_new(l, EVENT_FRAMES);

	e->frames = first;
	e->bytes = bytes;
	loop_deliver(l->loop, &e->message);
}

void link_post_drained(struct link *l)
{
	loop_post(l->loop, &event_new(l, EVENT_DRAINED)->message);
}

void link_post_failed(struct link *l, const struct error *why)
{
	struct event *e = event_new(l, EVENT_FAILED);

	e->error = xmemdup(why, sizeof(*why));
	loop_post(l->loop, &e->message);
}

void link_post_closed(struct link *l)
{
	loop_post(l->loop, &event_new(l, EVENT_CLOSED)->message);
}
