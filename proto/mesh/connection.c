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
 */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/identity.h"
#include "proto/mesh/message.h"
#include "proto/mesh/tls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Silent for five half keepalives and the one in which the last byte came: within three. */
#define SILENT_TICKS_MAX 5

#define REFUSAL_LOG_MS 1000

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

/* Somebody who was never let in has no owner who could be told; operators look in the log. A
 * flood of strangers must not become a flood of lines. */
static void log_refusal(struct mesh_connection *c)
{
	struct mesh *mesh = c->mesh;
	uint64_t now_ms = clock_now_ms();

	/* Whoever only looked whether somebody listens was not refused. */
	if (c->why.code == ERROR_UNREACHABLE) {
		log_debug("mesh: %s left again: %s", c->address, c->why.text);
		return;
	}
	if (now_ms < mesh->refusal_log_ms + REFUSAL_LOG_MS) {
		mesh->refusals_unlogged++;
		return;
	}
	if (mesh->refusals_unlogged > 0)
		log_warning("mesh: refused %u more connections since the last such line",
		            mesh->refusals_unlogged);
	log_warning("mesh: refused a connection from %s: %s", c->address, c->why.text);
	mesh->refusal_log_ms = now_ms;
	mesh->refusals_unlogged = 0;
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
		log_refusal(c);
	}
	mesh_audit_end(c);
	if (c->dialer)
		dialer_connection_finished(c->dialer, c);
	DL_DELETE(mesh->connections, c);
	free(c);
}

/* --- sending --- */

static void unread(struct error *err)
{
	error_set(err, ERROR_TOO_LARGE, "the peer does not read: %zu MiB are waiting for it",
	          LINK_QUEUE_MAX / 1024 / 1024);
}

static void give(struct mesh_connection *c, struct chunk *chunk)
{
	c->sent_bytes += chunk->bytes;
	link_send(c->link, chunk);
}

void connection_send(struct mesh_connection *c, enum frame_type type, uint32_t stream,
                     const ProtobufCMessage *header)
{
	struct error err;

	if (c->state == CONNECTION_ENDING || c->state == CONNECTION_REFUSING)
		return;
	/* A peer can make us answer, with PONGs for instance, and not read the answers. */
	if (connection_get_queued_bytes(c) > LINK_QUEUE_MAX) {
		unread(&err);
		connection_fail(c, &err);
		return;
	}
	give(c, frame_pack(type, stream, header, NULL));
}

void connection_send_window(struct mesh_connection *c, uint32_t stream, uint32_t bytes)
{
	struct frame_head head = { .stream = stream, .type = FRAME_WINDOW, .aux = bytes };
	uint8_t encoded[FRAME_BYTES];

	if (c->state != CONNECTION_READY)
		return;
	frame_head_encode(&head, encoded);
	give(c, chunk_new(encoded, sizeof(encoded)));
}

/* What waits goes out, while the link's own queue is short: the longer that is, the longer whoever
 * comes next has to wait behind it. */
static void pump(struct mesh_connection *c)
{
	while (c->state == CONNECTION_READY && !outbox_is_empty(&c->outbox) &&
	       link_get_queued_bytes(c->link) <= LINK_HIGH_BYTES) {
		uint64_t *sent_at;

		give(c, outbox_take(&c->outbox, c->peer_piece_bytes, &sent_at));
		if (sent_at)
			*sent_at = c->sent_bytes;
	}
}

size_t connection_get_queued_bytes(const struct mesh_connection *c)
{
	return c->outbox.bytes + link_get_queued_bytes(c->link);
}

bool connection_is_full(const struct mesh_connection *c)
{
	return connection_get_queued_bytes(c) > LINK_HIGH_BYTES;
}

void connection_send_message(struct mesh_connection *c, enum frame_type type, uint32_t stream,
                             const ProtobufCMessage *header, const ProtobufCMessage *payload,
                             uint64_t *sent_at)
{
	struct error err;

	if (c->state != CONNECTION_READY)
		return;
	outbox_add(&c->outbox, type, stream, header, payload, sent_at);
	if (connection_get_queued_bytes(c) > LINK_QUEUE_MAX) {
		unread(&err);
		connection_fail(c, &err);
		return;
	}
	pump(c);
}

enum outbox_dropped connection_drop(struct mesh_connection *c, uint32_t stream)
{
	return outbox_drop(&c->outbox, stream);
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

/* --- frames --- */

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

static void take_goaway(struct mesh_connection *c, const struct frame *f)
{
	ProtobufCMessage *message;
	struct error err;

	if (message_decode(&drover__mesh__go_away__descriptor, f->body, f->head.header_bytes,
	                   &c->mesh->headers, &message, &err) == 0) {
		const Drover__Mesh__GoAway *header = (Drover__Mesh__GoAway *)message;

		if (header->drain_ms > 0 && c->state == CONNECTION_READY) {
			drain_take(c, header->last_stream, header->reason);
			return;
		}
		error_set(&err, c->announced ? ERROR_UNREACHABLE : ERROR_IDENTITY,
		          "the peer hung up: %s", header->reason);
	}
	connection_fail(c, &err);
}

/* The frame, or the whole message that it completed. */
static void take_whole(struct mesh_connection *c, const struct frame *f)
{
	switch (f->head.type) {
	case FRAME_OPEN:
		serve_take_open(c, f);
		return;
	case FRAME_MSG:
		call_take_message(c, f);
		return;
	case FRAME_END:
		call_take_end(c, f);
		return;
	}
}

/* Nothing is kept of a message for which there is no call, or no leave to call. */
static void take_message(struct mesh_connection *c, const struct frame *f)
{
	struct error err;

	if (f->head.type == FRAME_OPEN ? !serve_may_open(c, f) : !call_expects(c, f))
		return;
	if (!(f->head.flags & FRAME_MORE))
		take_whole(c, f);
	else if (parts_begin(&c->parts, f, c->mesh->max_message_bytes, clock_now_ms(), &err) < 0)
		connection_refuse(c, &err);
}

static void take_part(struct mesh_connection *c, const struct frame *f)
{
	struct frame *whole;
	struct error err;

	if (parts_add(&c->parts, f, &whole, &err) < 0)
		connection_refuse(c, &err);
	else if (whole)
		take_whole(c, whole);
	frame_free(whole);
}

static void take_frame(struct mesh_connection *c, const struct frame *f)
{
	char name[16];
	struct error err;

	switch (f->head.type) {
	case FRAME_OPEN:
	case FRAME_MSG:
	case FRAME_END:
		take_message(c, f);
		return;
	case FRAME_PART:
		take_part(c, f);
		return;
	case FRAME_WINDOW:
		serve_take_window(c, f);
		return;
	case FRAME_HEADERS:
		call_take_headers(c, f);
		return;
	case FRAME_CANCEL:
		serve_take_cancel(c, f);
		return;
	case FRAME_PING:
		connection_send(c, FRAME_PONG, 0, NULL);
		return;
	case FRAME_PONG:
		return;
	}
	if (f->head.flags & FRAME_OPTIONAL)
		return;
	error_set(&err, ERROR_PROTOCOL, "the peer sent %s, which is not expected now",
	          frame_type_name(f->head.type, name));
	connection_refuse(c, &err);
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
	else if (f->head.type == FRAME_GOAWAY)
		take_goaway(c, f);
	else
		take_frame(c, f);
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

	pump(c);
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

/* The oldest handshake of the crowd, if it has stalled; connections stand in the order in which they
 * began. */
static struct mesh_connection *find_stalled(const struct mesh_connection *newcomer,
                                            const struct gate_place *crowd)
{
	struct mesh_connection *c;

	DL_FOREACH (newcomer->mesh->connections, c) {
		if (c == newcomer || newcomer->begin_ms < c->begin_ms + GATE_STALLED_MS)
			return NULL;
		if (c->place == crowd && !c->announced)
			return c;
	}
	return NULL;
}

/* False: somebody has to come again. */
static bool make_room(struct mesh_connection *newcomer, enum gate_verdict verdict)
{
	const struct gate *gate = &newcomer->listener->gate;
	struct mesh_connection *stalled;
	struct error why;

	if (verdict != GATE_CROWDED && verdict != GATE_ADDRESS_CROWDED)
		return false;
	stalled = find_stalled(newcomer, gate_find_crowd(gate, newcomer->place, verdict));
	if (!stalled)
		return false;
	error_set(&why, ERROR_BUSY,
	          "its handshake had stalled for %llu ms and made room for another",
	          (unsigned long long)(newcomer->begin_ms - stalled->begin_ms));
	newcomer->mesh->counts.made_room++;
	connection_fail(stalled, &why);
	return true;
}

static void turn_away(struct mesh_connection *c, enum gate_verdict verdict)
{
	const struct gate_limits *limits = &c->listener->gate.limits;
	const char *url = c->listener->url;
	struct error err;

	switch (verdict) {
	case GATE_FULL:
		error_set(&err, ERROR_BUSY, "%s has %u connections already (connections/total)",
		          url, limits->connections);
		break;
	case GATE_ADDRESS_FULL:
		error_set(&err, ERROR_BUSY,
		          "%s has %u connections of this address already (connections/perAddress)",
		          url, limits->connections_per_address);
		break;
	case GATE_CROWDED:
		error_set(&err, ERROR_BUSY,
		          "%s has %u handshakes under way already (connections/handshakes)", url,
		          limits->handshakes);
		break;
	case GATE_ADDRESS_CROWDED:
		error_set(&err, ERROR_BUSY,
		          "%s has %u handshakes of this address under way already "
		          "(connections/handshakesPerAddress)",
		          url, limits->handshakes_per_address);
		break;
	case GATE_OPEN:
		abort();
	}
	c->mesh->counts.turned_away++;
	connection_fail(c, &err);
}

void connection_accept(struct mesh_listener *listener, struct link *link)
{
	struct mesh_connection *c = connection_new(listener->mesh, false);
	enum gate_verdict verdict;

	c->listener = listener;
	c->link = link;
	snprintf(c->address, sizeof(c->address), "%s", link->address);
	c->place = gate_enter(&listener->gate, link->address, &verdict);
	if (verdict == GATE_OPEN || make_room(c, verdict))
		link_own(link, &events, c);
	else
		turn_away(c, verdict);
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
