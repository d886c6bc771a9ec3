/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. The network: inproc:// between the meshes of simulated processes, in the place of
 * proto/mesh/transport_inproc.c.
 *
 * As TCP: bytes arrive in order, late, or never, because the connection broke before. So a request
 * or its answer is lost with its connection only, and neither end knows how much of what it sent was
 * read. Where the network is cut, all waits: the ends find out by their keepalive. */
#include "proto/mesh/link.h"

#include "common/alloc.h"
#include "tests/sim/world/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct net_faults net_faults;

struct net_link {
	struct link link; /* first */
	struct process *process;
	struct net_link *peer; /* NULL: not there yet, or closed */
	unsigned host;
	struct frame_reader reader;
	size_t queued_bytes;
	uint64_t taken_bytes;
	bool over_high;
	/* What is on its way from here, in order. */
	struct packet *first, **last;
	bool travelling;
	struct net_link *prev, *next; /* in the list of all */
};

enum packet_kind { PACKET_DATA, PACKET_CLOSED };

struct packet {
	struct packet *next;
	enum packet_kind kind;
	struct net_link *to; /* a reference; of a pair that was made once, also when closed */
	struct chunk *chunk;
};

struct net_acceptor {
	struct acceptor acceptor; /* first */
	struct process *process;
	struct link_group *group;
	char url[128];
	void (*accepted)(struct link *l, void *context);
	void *context;
	struct net_acceptor *prev, *next;
};

static struct net_acceptor *acceptors;
static struct net_link *links;
static bool cuts[NET_HOSTS][NET_HOSTS];

static const struct link_ops ops;

static void travel(void *context);

static uint64_t draw_delay_us(void)
{
	if (world_chance(net_faults.slow_per_mille))
		return 1 + world_draw(1000000);
	return 100 + world_draw(2000);
}

static void post_failed(struct net_link *l, const char *text)
{
	struct error err;

	error_set(&err, ERROR_UNREACHABLE, "%s", text);
	link_post_failed(&l->link, &err);
}

static struct net_link *net_link_new(struct link_group *group, struct process *process)
{
	struct net_link *l = xnew(struct net_link);

	l->process = process;
	l->host = process->host;
	l->last = &l->first;
	frame_reader_init(&l->reader, group->max_frame_bytes);
	link_init(&l->link, &ops, group);
	link_reference(&l->link); /* the list's */
	DL_APPEND(links, l);
	return l;
}

/* --- bytes --- */

struct delivery {
	struct message message; /* first */
	struct net_link *to;    /* a reference */
	struct net_link *from;  /* who gets the credit; compared, not used, once it is gone */
	struct chunk *chunk;
};

static void delivery_drop(struct message *m)
{
	struct delivery *d = (struct delivery *)m;

	link_unreference(&d->to->link);
	free(d->chunk);
	free(d);
}

static void give_credit(struct net_link *receiver, size_t bytes)
{
	struct net_link *sender = receiver->peer;

	if (!sender)
		return;
	sender->queued_bytes -= bytes;
	if (sender->over_high && sender->queued_bytes <= LINK_LOW_BYTES) {
		sender->over_high = false;
		link_post_drained(&sender->link);
	}
}

static void delivery_run(struct message *m)
{
	struct delivery *d = (struct delivery *)m;
	struct net_link *l = d->to;
	struct frame *frames = NULL, **end = &frames;
	struct error err;

	if (l->link.events) {
		int rc = frame_reader_push(&l->reader, d->chunk->data, d->chunk->bytes, &end, &err);

		for (struct frame *f = frames; f && l->link.events; f = f->next)
			l->link.events->received(f, l->link.context);
		if (rc < 0 && l->link.events)
			l->link.events->failed(&err, l->link.context);
		if (!l->link.closed)
			give_credit(l, d->chunk->bytes);
		frame_list_free(frames);
	}
	delivery_drop(m);
}

static void deliver(struct net_link *to, struct chunk *chunk)
{
	struct delivery *d = xnew(struct delivery);

	d->message.run = delivery_run;
	d->message.drop = delivery_drop;
	d->to = to;
	d->chunk = chunk;
	link_reference(&to->link);
	loop_post(to->link.loop, &d->message);
}

static void break_pair(struct net_link *l)
{
	struct net_link *peer = l->peer;

	l->peer = NULL;
	if (peer)
		peer->peer = NULL;
	if (!l->process->dead && !l->link.closed)
		post_failed(l, "the connection was reset");
	if (peer && !peer->process->dead && !peer->link.closed)
		post_failed(peer, "the connection was reset");
}

static void arrive(struct net_link *from, struct packet *p)
{
	struct net_link *to = p->to;

	if (p->kind == PACKET_DATA && from->peer == to &&
	    world_chance(net_faults.reset_per_mille)) {
		world_say("a connection between hosts %u and %u breaks", from->host, to->host);
		break_pair(from);
	}
	if (p->kind == PACKET_CLOSED) {
		if (!to->process->dead && !to->link.closed)
			post_failed(to, "the peer closed the connection");
	} else if (!to->process->dead && !to->link.closed && to->peer == from) {
		deliver(to, p->chunk);
		p->chunk = NULL;
	}
	free(p->chunk);
	link_unreference(&to->link);
	free(p);
}

/* The first of what is on its way from a link. */
static void travel(void *context)
{
	struct net_link *from = context;
	struct packet *p = from->first;

	if (cuts[from->host][p->to->host]) {
		world_after(100000 + world_draw(400000), travel, from);
		return;
	}
	from->first = p->next;
	if (!from->first)
		from->last = &from->first;
	arrive(from, p);
	if (from->first)
		world_after(1 + world_draw(200), travel, from);
	else
		from->travelling = false;
	link_unreference(&from->link);
}

static void send_packet(struct net_link *from, enum packet_kind kind, struct chunk *chunk)
{
	struct packet *p = xnew(struct packet);

	p->kind = kind;
	p->chunk = chunk;
	p->to = from->peer;
	link_reference(&p->to->link);
	link_reference(&from->link);
	*from->last = p;
	from->last = &p->next;
	if (!from->travelling) {
		from->travelling = true;
		world_after(draw_delay_us(), travel, from);
	}
}

static void net_link_send(struct link *base, struct chunk *chunk)
{
	struct net_link *l = (struct net_link *)base;

	if (!l->peer) {
		free(chunk);
		return;
	}
	l->queued_bytes += chunk->bytes;
	l->taken_bytes += chunk->bytes;
	l->over_high |= l->queued_bytes > LINK_HIGH_BYTES;
	send_packet(l, PACKET_DATA, chunk);
}

static size_t net_link_get_queued_bytes(const struct link *l)
{
	return ((const struct net_link *)l)->queued_bytes;
}

static uint64_t net_link_get_taken_bytes(const struct link *l)
{
	return ((const struct net_link *)l)->taken_bytes;
}

/* Credit is given per delivery, above. */
static void net_link_consumed(struct link *l, size_t bytes)
{
	(void)l;
	(void)bytes;
}

/* --- life --- */

static void post_opened(struct net_link *l)
{
	struct link_peer peer = { .proof = LINK_PROOF_NONE };

	snprintf(peer.identity.address, sizeof(peer.identity.address), "simulated");
	link_post_opened(&l->link, &peer);
}

static void net_link_start(struct link *base)
{
	struct net_link *l = (struct net_link *)base;

	post_opened(l);
	if (l->peer)
		post_opened(l->peer);
	else
		post_failed(l, "the peer closed the connection");
}

static void net_link_close(struct link *base)
{
	struct net_link *l = (struct net_link *)base;

	if (l->peer)
		send_packet(l, PACKET_CLOSED, NULL);
	link_post_closed(base);
}

static void net_link_release(struct link *base)
{
	struct net_link *l = (struct net_link *)base;

	if (l->peer)
		l->peer->peer = NULL;
	l->peer = NULL;
	frame_reader_deinit(&l->reader);
	DL_DELETE(links, l);
	link_unreference(base);
}

static const struct link_ops ops = {
	.start = net_link_start,
	.send = net_link_send,
	.get_queued_bytes = net_link_get_queued_bytes,
	.get_taken_bytes = net_link_get_taken_bytes,
	.consumed = net_link_consumed,
	.close = net_link_close,
	.release = net_link_release,
};

/* --- listening and dialling --- */

struct knock {
	char url[128];
	struct net_link *from; /* a reference */
};

static struct net_acceptor *find_acceptor(const char *url)
{
	struct net_acceptor *a;

	DL_FOREACH (acceptors, a) {
		if (strcmp(a->url, url) == 0)
			return a;
	}
	return NULL;
}

struct knocked {
	struct message message; /* first */
	struct knock *knock;
};

static void end_knock(struct knock *k)
{
	link_unreference(&k->from->link);
	free(k);
}

static void knocked_run(struct message *m)
{
	struct knock *k = ((struct knocked *)m)->knock;
	struct net_acceptor *a = find_acceptor(k->url);
	struct net_link *l;

	free(m);
	if (a && !k->from->link.closed && !k->from->process->dead) {
		l = net_link_new(a->group, a->process);
		l->peer = k->from;
		k->from->peer = l;
		snprintf(l->link.address, sizeof(l->link.address), "simulated");
		a->accepted(&l->link, a->context);
	}
	end_knock(k);
}

static void knock(void *context)
{
	struct knock *k = context;
	struct net_acceptor *a = find_acceptor(k->url);
	struct knocked *m;

	if (k->from->link.closed || k->from->process->dead) {
		end_knock(k);
	} else if (!a) {
		post_failed(k->from, "nobody listens there");
		end_knock(k);
	} else if (cuts[k->from->host][a->process->host]) {
		world_after(500000, knock, k);
	} else {
		m = xnew(struct knocked);
		m->message.run = knocked_run;
		m->knock = k;
		loop_post(a->group->loop, &m->message);
	}
}

static struct link *net_dial(struct link_group *group, const char *url,
                             const struct link_events *events, void *context)
{
	struct net_link *l = net_link_new(group, process_current());
	struct knock *k = xnew(struct knock);

	l->link.events = events;
	l->link.context = context;
	snprintf(k->url, sizeof(k->url), "%s", url);
	k->from = l;
	link_reference(&l->link);
	world_after(draw_delay_us(), knock, k);
	return &l->link;
}

static uint16_t get_port(const struct acceptor *base)
{
	(void)base;
	return 0;
}

static void acceptor_close(struct acceptor *base)
{
	struct net_acceptor *a = (struct net_acceptor *)base;

	DL_DELETE(acceptors, a);
	free(a);
}

static const struct acceptor_ops acceptor_ops = { get_port, acceptor_close };

static int net_listen(struct link_group *group, const char *url,
                      void (*accepted)(struct link *l, void *context), void *context,
                      struct acceptor **ret_acceptor, struct error *err)
{
	struct net_acceptor *a;

	if (find_acceptor(url))
		return error_set(err, ERROR_BUSY, "somebody listens on %s already", url);
	a = xnew(struct net_acceptor);
	a->acceptor.ops = &acceptor_ops;
	a->process = process_current();
	a->group = group;
	snprintf(a->url, sizeof(a->url), "%s", url);
	a->accepted = accepted;
	a->context = context;
	DL_APPEND(acceptors, a);
	*ret_acceptor = &a->acceptor;
	return 0;
}

const struct transport transport_inproc = { "inproc://", false, net_dial, net_listen };

/* --- what goes wrong --- */

void net_cut(unsigned a, unsigned b, bool cut)
{
	cuts[a][b] = cuts[b][a] = cut;
}

void net_heal(void)
{
	memset(cuts, 0, sizeof(cuts));
}

/* The kernel of its host closes what it had open. */
void net_process_died(const struct process *p)
{
	struct net_acceptor *a, *next;
	struct net_link *l;

	DL_FOREACH_SAFE (acceptors, a, next) {
		if (a->process == p) {
			DL_DELETE(acceptors, a);
			free(a);
		}
	}
	DL_FOREACH (links, l) {
		if (l->process == p && l->peer && !l->link.closed)
			send_packet(l, PACKET_CLOSED, NULL);
	}
}

void net_end(void)
{
	struct net_acceptor *a, *next;

	DL_FOREACH_SAFE (acceptors, a, next)
		free(a);
	acceptors = NULL;
	links = NULL;
	net_heal();
	net_faults = (struct net_faults){ 0 };
}
