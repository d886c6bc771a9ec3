/* SPDX-License-Identifier: Apache-2.0 */
/* inproc://name: two meshes in one process, for tests and for a fleet in a simulator. No couriers:
 * what one owner sends is posted to the other owner's mailbox, and goes through the same frame
 * reader and limits there as bytes from a socket.
 *
 *	link of A --+          +-- link of B
 *	            +-- pair --+		the pair's lock guards both ends' counters
 *
 * A listener is in a table of the process; dialling posts a knock to its loop, whose owner makes
 * the other end. Locks are held for a few loads, and never two at once but table before none.
 */
#include "proto/mesh/link.h"

#include "common/alloc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct pair {
	pthread_mutex_t lock;
	unsigned ends;              /* alive */
	struct inproc_link *end[2]; /* NULL: not there yet, or closed */
};

struct inproc_link {
	struct link link; /* first */
	struct pair *pair;
	int side;
	struct frame_reader reader; /* owner thread only */
	/* under the pair's lock */
	size_t queued_bytes; /* sent, and the peer has not looked at it */
	uint64_t taken_bytes;
	bool over_high;
};

struct inproc_acceptor {
	struct acceptor acceptor; /* first */
	struct link_group *group; /* owner thread only; NULL: closed */
	struct loop *loop;
	char *url;
	void (*accepted)(struct link *l, void *context);
	void *context;
	atomic_uint references;
	struct inproc_acceptor *prev, *next; /* in the table */
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct inproc_acceptor *table; /* under table_lock */

static const struct link_ops ops;

static struct inproc_link *inproc_link_new(struct link_group *group, struct pair *pair, int side)
{
	struct inproc_link *il = xnew(struct inproc_link);

	il->pair = pair;
	il->side = side;
	frame_reader_init(&il->reader, group->max_frame_bytes);
	link_init(&il->link, &ops, group);
	return il;
}

static void post_opened(struct inproc_link *il)
{
	struct link_peer peer = { .proof = LINK_PROOF_NONE };

	snprintf(peer.identity.address, sizeof(peer.identity.address), "this process");
	link_post_opened(&il->link, &peer);
}

static void post_failed(struct inproc_link *il, enum error_code code, const char *text)
{
	struct error err;

	error_set(&err, code, "%s", text);
	link_post_failed(&il->link, &err);
}

/* --- bytes --- */

struct delivery {
	struct message message; /* first */
	struct inproc_link *to; /* a reference */
	struct chunk *chunk;
};

static void delivery_drop(struct message *m)
{
	struct delivery *d = (struct delivery *)m;

	link_unreference(&d->to->link);
	free(d->chunk);
	free(d);
}

/* The receiver has looked at @bytes of what its peer sent. */
static void give_credit(struct inproc_link *receiver, size_t bytes)
{
	struct inproc_link *sender;

	pthread_mutex_lock(&receiver->pair->lock);
	sender = receiver->pair->end[!receiver->side];
	if (sender) {
		sender->queued_bytes -= bytes;
		if (sender->over_high && sender->queued_bytes <= LINK_LOW_BYTES) {
			sender->over_high = false;
			link_post_drained(&sender->link);
		}
	}
	pthread_mutex_unlock(&receiver->pair->lock);
}

static void delivery_run(struct message *m)
{
	struct delivery *d = (struct delivery *)m;
	struct inproc_link *il = d->to;
	struct frame *frames = NULL, **end = &frames;
	struct error err;

	if (il->link.events) {
		int rc = frame_reader_push(&il->reader, d->chunk->data, d->chunk->bytes, &end,
		                           &err);

		for (struct frame *f = frames; f && il->link.events; f = f->next)
			il->link.events->received(f, il->link.context);
		if (rc < 0 && il->link.events)
			il->link.events->failed(&err, il->link.context);
		if (!il->link.closed)
			give_credit(il, d->chunk->bytes);
		frame_list_free(frames);
	}
	delivery_drop(m);
}

static void inproc_link_send(struct link *l, struct chunk *chunk)
{
	struct inproc_link *il = (struct inproc_link *)l, *peer;
	struct delivery *d;

	pthread_mutex_lock(&il->pair->lock);
	peer = il->pair->end[!il->side];
	if (peer) {
		d = xnew(struct delivery);
		d->message.run = delivery_run;
		d->message.drop = delivery_drop;
		d->chunk = chunk;
		d->to = peer;
		il->queued_bytes += chunk->bytes;
		il->taken_bytes += chunk->bytes;
		il->over_high |= il->queued_bytes > LINK_HIGH_BYTES;
		link_reference(&peer->link);
		loop_post(peer->link.loop, &d->message);
	} else {
		free(chunk);
	}
	pthread_mutex_unlock(&il->pair->lock);
}

static size_t inproc_link_get_queued_bytes(const struct link *l)
{
	const struct inproc_link *il = (const struct inproc_link *)l;
	size_t bytes;

	pthread_mutex_lock(&il->pair->lock);
	bytes = il->queued_bytes;
	pthread_mutex_unlock(&il->pair->lock);
	return bytes;
}

static uint64_t inproc_link_get_taken_bytes(const struct link *l)
{
	const struct inproc_link *il = (const struct inproc_link *)l;
	uint64_t bytes;

	pthread_mutex_lock(&il->pair->lock);
	bytes = il->taken_bytes;
	pthread_mutex_unlock(&il->pair->lock);
	return bytes;
}

/* Credit is given per delivery, above. */
static void inproc_link_consumed(struct link *l, size_t bytes)
{
	(void)l;
	(void)bytes;
}

/* --- life --- */

static void inproc_link_start(struct link *l)
{
	struct inproc_link *il = (struct inproc_link *)l, *peer;

	pthread_mutex_lock(&il->pair->lock);
	il->pair->end[il->side] = il;
	post_opened(il);
	peer = il->pair->end[!il->side];
	if (peer)
		post_opened(peer);
	else
		post_failed(il, ERROR_UNREACHABLE, "the peer closed the connection");
	pthread_mutex_unlock(&il->pair->lock);
}

static void inproc_link_close(struct link *l)
{
	struct inproc_link *il = (struct inproc_link *)l, *peer;

	pthread_mutex_lock(&il->pair->lock);
	peer = il->pair->end[!il->side];
	il->pair->end[il->side] = NULL;
	if (peer)
		post_failed(peer, ERROR_UNREACHABLE, "the peer closed the connection");
	pthread_mutex_unlock(&il->pair->lock);
	link_post_closed(l);
}

static void pair_unreference(struct pair *pair)
{
	bool last;

	pthread_mutex_lock(&pair->lock);
	last = --pair->ends == 0;
	pthread_mutex_unlock(&pair->lock);
	if (last) {
		pthread_mutex_destroy(&pair->lock);
		free(pair);
	}
}

static void inproc_link_release(struct link *l)
{
	struct inproc_link *il = (struct inproc_link *)l;

	frame_reader_deinit(&il->reader);
	pair_unreference(il->pair);
}

static const struct link_ops ops = {
	.start = inproc_link_start,
	.send = inproc_link_send,
	.get_queued_bytes = inproc_link_get_queued_bytes,
	.get_taken_bytes = inproc_link_get_taken_bytes,
	.consumed = inproc_link_consumed,
	.close = inproc_link_close,
	.release = inproc_link_release,
};

/* --- listening and dialling --- */

static void acceptor_unreference(struct inproc_acceptor *a)
{
	if (atomic_fetch_sub(&a->references, 1) == 1) {
		free(a->url);
		free(a);
	}
}

struct knock {
	struct message message; /* first */
	struct inproc_acceptor *acceptor;
	struct pair *pair; /* counts as its second end until that is made */
};

static void knock_refuse(struct message *m)
{
	struct knock *k = (struct knock *)m;

	pthread_mutex_lock(&k->pair->lock);
	if (k->pair->end[0])
		post_failed(k->pair->end[0], ERROR_UNREACHABLE, "the peer stopped listening");
	pthread_mutex_unlock(&k->pair->lock);
	pair_unreference(k->pair);
	acceptor_unreference(k->acceptor);
	free(k);
}

static void knock_run(struct message *m)
{
	struct knock *k = (struct knock *)m;
	struct inproc_acceptor *a = k->acceptor;
	struct inproc_link *il;

	if (!a->group) {
		knock_refuse(m);
		return;
	}
	il = inproc_link_new(a->group, k->pair, 1);
	snprintf(il->link.address, sizeof(il->link.address), "this process");
	a->accepted(&il->link, a->context);
	acceptor_unreference(a);
	free(k);
}

static struct link *inproc_dial(struct link_group *group, const char *url,
                                const struct link_events *events, void *context)
{
	struct pair *pair = xnew(struct pair);
	struct inproc_link *il;
	struct inproc_acceptor *a;
	struct error err;

	pthread_mutex_init(&pair->lock, NULL);
	pair->ends = 1;
	il = inproc_link_new(group, pair, 0);
	il->link.events = events;
	il->link.context = context;
	pair->end[0] = il;

	pthread_mutex_lock(&table_lock);
	DL_FOREACH (table, a) {
		if (strcmp(a->url, url) == 0)
			break;
	}
	if (a) {
		struct knock *k = xnew(struct knock);

		k->message.run = knock_run;
		k->message.drop = knock_refuse;
		k->acceptor = a;
		k->pair = pair;
		pair->ends = 2;
		atomic_fetch_add(&a->references, 1);
		loop_post(a->loop, &k->message);
	}
	pthread_mutex_unlock(&table_lock);

	if (!a) {
		error_set(&err, ERROR_UNREACHABLE, "cannot connect to %s: nobody listens", url);
		link_post_failed(&il->link, &err);
	}
	return &il->link;
}

static uint16_t get_port(const struct acceptor *base)
{
	(void)base;
	return 0;
}

static void acceptor_close(struct acceptor *base)
{
	struct inproc_acceptor *a = (struct inproc_acceptor *)base;

	pthread_mutex_lock(&table_lock);
	DL_DELETE(table, a);
	pthread_mutex_unlock(&table_lock);
	a->group = NULL;
	acceptor_unreference(a);
}

static const struct acceptor_ops acceptor_ops = { get_port, acceptor_close };

static int inproc_listen(struct link_group *group, const char *url,
                         void (*accepted)(struct link *l, void *context), void *context,
                         struct acceptor **ret_acceptor, struct error *err)
{
	struct inproc_acceptor *a, *other;

	a = xnew(struct inproc_acceptor);
	a->acceptor.ops = &acceptor_ops;
	a->group = group;
	a->loop = group->loop;
	a->url = xstrdup(url);
	a->accepted = accepted;
	a->context = context;
	atomic_init(&a->references, 1);

	pthread_mutex_lock(&table_lock);
	DL_FOREACH (table, other) {
		if (strcmp(other->url, url) == 0)
			break;
	}
	if (!other)
		DL_APPEND(table, a);
	pthread_mutex_unlock(&table_lock);

	if (other) {
		acceptor_unreference(a);
		return error_set(err, ERROR_BUSY, "cannot listen on %s: somebody does already",
		                 url);
	}
	*ret_acceptor = &a->acceptor;
	return 0;
}

const struct transport transport_inproc = { "inproc://", false, inproc_dial, inproc_listen };
