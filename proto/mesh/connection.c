/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: opening, keepalive, and its end.
 *
 *	OPENING --HELLO--> READY -----------------+--> ENDING --> connection_finish
 *	   |                 |                    |
 *	   +-----------------+----> REFUSING -----+
 *	    not wanted        broke the protocol
 *
 * Owner thread. Each state has its use of the one timer: the time allowed for opening; ticks of
 * half a keepalive; the time given to a refused peer to hang up.
 *
 * Keepalive counts ticks without a byte rather than looking at the clock: when the whole process
 * was stopped for a minute, bytes that came meanwhile are seen before the next tick.
 *
 * What goes over it is in connection_frames.c, who is let in is in listener.c.
 */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/tls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Silent for five half keepalives and the one in which the last byte came: within three. */
#define SILENT_TICKS_MAX 5

static const struct link_events events;

/* --- the end --- */

static void finish_now(void *context)
{
	connection_finish(context);
}

/* At once, not when it is all over: somebody may take its place already. */
static void leave_gate(struct mesh_connection *c)
{
	if (c->place)
		gate_leave(&c->listener->gate, c->place, c->announced);
	c->place = NULL;
}

void connection_fail(struct mesh_connection *c, const struct error *why)
{
	if (c->state == CONNECTION_ENDING)
		return;
	if (c->state != CONNECTION_REFUSING)
		c->why = *why;
	c->state = CONNECTION_ENDING;
	leave_gate(c);
	c->taken_bytes = link_close(c->link);
	c->link = NULL;
	loop_timer_stop(c->mesh->loop, &c->timer);
	loop_timer_start(c->mesh->loop, &c->finish, 0);
}

void connection_refuse(struct mesh_connection *c, const struct error *why)
{
	Drover__Mesh__GoAway header = DROVER__MESH__GO_AWAY__INIT;

	if (c->state == CONNECTION_REFUSING)
		return;
	header.last_stream = c->last_peer_stream;
	header.reason = (char *)why->text;
	connection_send(c, FRAME_GOAWAY, 0, &header.base);
	if (c->state == CONNECTION_ENDING)
		return;
	c->why = *why;
	c->state = CONNECTION_REFUSING;
	loop_timer_start(c->mesh->loop, &c->timer, MESH_REFUSAL_LINGER_MS);
}

void connection_count_malformed(struct mesh_connection *c, const struct error *why)
{
	struct error err;

	c->mesh->counts.malformed++;
	if (!malformed_add(&c->malformed, clock_now_ms()))
		return;
	error_set(&err, ERROR_PROTOCOL,
	          "the peer sent %d messages within %d s that cannot be read, the last: %s",
	          MALFORMED_MAX, MALFORMED_MS / 1000, why->text);
	connection_refuse(c, &err);
}

void connection_finish(struct mesh_connection *c)
{
	struct mesh *mesh = c->mesh;

	assert(c->state == CONNECTION_ENDING);
	loop_timer_stop(mesh->loop, &c->finish);
	loop_timer_stop(mesh->loop, &c->writable);
	loop_timer_stop(mesh->loop, &c->retirement.timer);
	outbox_deinit(&c->outbox);
	parts_deinit(&c->parts);
	call_fail_all(c);
	serve_cancel_all(c);
	if (c->announced && mesh->disconnected)
		mesh->disconnected(c, &c->why, mesh->context);
	if (!c->announced && c->listener && !mesh->stopping) {
		mesh->counts.not_let_in++;
		listener_log_refusal(c);
	}
	mesh_audit_end(c);
	if (c->dialer)
		dialer_connection_finished(c->dialer, c);
	DL_DELETE(mesh->connections, c);
	free(c);
}

/* --- time --- */

/* When files have changed. A peer whose certificate was revoked is cut off at once. One whose
 * certificate is only not the newest has a moment to come with that, as we do when ours is new; so
 * nothing that is under way breaks off because somebody got a new certificate. Whether @c lives on. */
static bool are_certificates_good(struct mesh_connection *c)
{
	unsigned own = tls_count_own(c->mesh->tls);
	bool revoked = false;
	struct error err;

	if (c->tls_own != own && c->dialer)
		dialer_renew(c->dialer);
	c->tls_own = own;
	if (c->tls_generation == c->mesh->tls_generation && !c->stale_ms)
		return true;
	c->tls_generation = c->mesh->tls_generation;
	if (link_check_peer(c->link, &revoked, &err) == 0) {
		c->stale_ms = 0;
		return true;
	}
	if (!c->stale_ms)
		c->stale_ms = clock_now_ms();
	if (!revoked && clock_now_ms() < c->stale_ms + MESH_STALE_MS) {
		if (c->dialer)
			dialer_renew(c->dialer);
		return true;
	}
	connection_refuse(c, &err);
	return false;
}

static void tick(struct mesh_connection *c)
{
	uint64_t oldest_ms;
	struct error err;

	c->silent_ticks = c->heard ? 0 : c->silent_ticks + 1;
	c->heard = false;
	if (c->silent_ticks >= SILENT_TICKS_MAX) {
		error_set(&err, ERROR_UNREACHABLE, "nothing was heard of the peer for %u ms",
		          c->mesh->keepalive_ms / 2 * (SILENT_TICKS_MAX + 1));
		connection_fail(c, &err);
		return;
	}
	if (c->mesh->tls && !are_certificates_good(c))
		return;
	oldest_ms = parts_get_oldest_ms(&c->parts);
	if (oldest_ms != UINT64_MAX && clock_now_ms() - oldest_ms > MESH_PARTIAL_MS) {
		error_set(&err, ERROR_TIMEOUT,
		          "the peer began a message and did not end it in %d s",
		          MESH_PARTIAL_MS / 1000);
		connection_refuse(c, &err);
		return;
	}
	if (c->ping_next)
		connection_send(c, FRAME_PING, 0, NULL);
	c->ping_next = !c->ping_next;
	if (c->state == CONNECTION_READY)
		loop_timer_start(c->mesh->loop, &c->timer, c->mesh->keepalive_ms / 2);
}

static void timer_fired(void *context)
{
	struct mesh_connection *c = context;
	struct error err;

	if (c->state == CONNECTION_READY) {
		tick(c);
		return;
	}
	/* A refused peer that does not hang up keeps the reason it was refused for. */
	error_set(&err, ERROR_TIMEOUT, "%s did not finish the handshake within %u ms",
	          c->dialled ? c->address : "the peer", c->mesh->handshake_ms);
	connection_fail(c, &err);
}

/* --- what the link tells --- */

static void take_hello(struct mesh_connection *c, const struct frame *f)
{
	struct mesh *mesh = c->mesh;
	struct error err;

	if (hello_take(c, f, &err) < 0) {
		connection_refuse(c, &err);
		return;
	}
	c->state = CONNECTION_READY;
	c->announced = true;
	if (c->place)
		gate_greet(&c->listener->gate, c->place);
	c->heard = true;
	loop_timer_start(mesh->loop, &c->timer, mesh->keepalive_ms / 2);
	if (c->dialer)
		dialer_connected(c->dialer);
	if (mesh->connected)
		mesh->connected(c, mesh->context);
}

static void link_received(const struct frame *f, void *context)
{
	struct mesh_connection *c = context;

	c->heard = true;
	if (c->state == CONNECTION_REFUSING)
		return;
	/* The frame reader lets nothing through before a HELLO. */
	if (f->head.type == FRAME_HELLO && c->state == CONNECTION_OPENING)
		take_hello(c, f);
	else
		connection_take_frame(c, f);
}

static void link_opened(const struct link_peer *peer, void *context)
{
	struct mesh_connection *c = context;

	c->peer = *peer;
	hello_send(c);
}

static void link_drained(void *context)
{
	struct mesh_connection *c = context;

	connection_pump(c);
	serve_writable(c);
}

static void link_failed(const struct error *why, void *context)
{
	connection_fail(context, why);
}

static const struct link_events events = {
	.opened = link_opened,
	.received = link_received,
	.drained = link_drained,
	.failed = link_failed,
};

/* --- the beginning --- */

static struct mesh_connection *connection_new(struct mesh *mesh, bool dialled)
{
	struct mesh_connection *c = xnew(struct mesh_connection);

	c->mesh = mesh;
	c->begin_ms = clock_now_ms();
	c->dialled = dialled;
	c->next_stream = dialled ? 1 : 2;
	c->tls_generation = mesh->tls_generation;
	c->tls_own = mesh->tls ? tls_count_own(mesh->tls) : 0;
	c->timer = (struct loop_timer){ .fire = timer_fired, .context = c };
	c->finish = (struct loop_timer){ .fire = finish_now, .context = c };
	c->writable = (struct loop_timer){ .fire = link_drained, .context = c };
	loop_timer_start(mesh->loop, &c->timer, mesh->handshake_ms);
	DL_APPEND(mesh->connections, c);
	return c;
}

void connection_dial(struct mesh_dialer *dialer)
{
	struct mesh_connection *c = connection_new(dialer->mesh, true);

	c->dialer = dialer;
	dialer->connection = c;
	snprintf(c->address, sizeof(c->address), "%s", dialer->url);
	c->link = dialer->transport->dial(&dialer->mesh->links, dialer->url, &events, c);
}

struct mesh_connection *connection_accept(struct mesh_listener *listener, struct link *link)
{
	struct mesh_connection *c = connection_new(listener->mesh, false);

	c->listener = listener;
	c->link = link;
	snprintf(c->address, sizeof(c->address), "%s", link->address);
	return c;
}

void connection_let_in(struct mesh_connection *c)
{
	link_own(c->link, &events, c);
}

/* --- for users --- */

const struct mesh_identity *mesh_connection_get_identity(const struct mesh_connection *c)
{
	return &c->identity;
}

void mesh_connection_close(struct mesh_connection *c)
{
	struct error err;

	error_set(&err, ERROR_CANCELLED, "we closed the connection");
	connection_fail(c, &err);
}

bool mesh_connection_is_same_peer(const struct mesh_connection *a, const struct mesh_connection *b)
{
	return !id_is_zero(&a->peer_boot) && id_equal(&a->peer_boot, &b->peer_boot) &&
	       a->identity.role == b->identity.role &&
	       strcmp(a->identity.name, b->identity.name) == 0;
}

void mesh_connection_set_context(struct mesh_connection *c, void *context)
{
	c->context = context;
}

void *mesh_connection_get_context(const struct mesh_connection *c)
{
	return c->context;
}
