/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of a connection: out in their order, in to whom they concern. Owner thread.
 *
 *	connection_send_message --> outbox --+
 *	                                     +--> link --> peer
 *	connection_send, _window ------------+
 *
 *	peer --> link --> parts, until a message is whole --> serve.c, call.c
 *
 * Messages wait in the outbox, so that a long one delays no short one; the connection's own frames pass
 * them. What waits is bounded: a peer that does not read is hung up on. Nothing is kept of what a peer
 * sends for a call that is not there.
 */
#include "proto/mesh/internal.h"

#include "common/clock.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/message.h"

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
void connection_pump(struct mesh_connection *c)
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
	connection_pump(c);
}

enum outbox_dropped connection_drop(struct mesh_connection *c, uint32_t stream)
{
	return outbox_drop(&c->outbox, stream);
}

/* --- receiving --- */

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

void connection_take_frame(struct mesh_connection *c, const struct frame *f)
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
	case FRAME_GOAWAY:
		take_goaway(c, f);
		return;
	}
	if (f->head.flags & FRAME_OPTIONAL)
		return;
	error_set(&err, ERROR_PROTOCOL, "the peer sent %s, which is not expected now",
	          frame_type_name(f->head.type, name));
	connection_refuse(c, &err);
}
