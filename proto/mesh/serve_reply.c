/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to the calls that peers make: replies, failures, streams. Owner thread.
 *
 * An answer ends its call exactly once. A stream's messages go while its reader has credit for them
 * and the connection is not full; else the handler waits in the connection's list for its turn.
 */
#include "proto/mesh/internal.h"

#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/metadata.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

/* --- answers --- */

void serve_send_end(struct mesh_connection *c, uint32_t stream, enum mesh_status status,
                    const struct error *err, const ProtobufCMessage *reply)
{
	Drover__Mesh__End end = DROVER__MESH__END__INIT;

	end.code = status;
	if (status != MESH_OK && err) {
		end.error_code = err->code;
		end.message = (char *)err->text;
	}
	connection_send_message(c, FRAME_END, stream, &end.base, reply, NULL);
}

void serve_audit_end(const struct mesh_incoming *in, enum mesh_status status,
                     const struct error *err, const ProtobufCMessage *reply)
{
	mesh_audit_call(in->mesh, &(struct mesh_audit_call){
					  .who = mesh_incoming_get_identity(in),
					  .stream = in->stream,
					  .method = in->method->name,
					  .object = in->audit_object,
					  .status = status,
					  .err = err,
					  .reply = reply,
				  });
}

/* @payload: the reply, or the details of a failure. */
static void end_call(struct mesh_incoming *in, enum mesh_status status, const struct error *err,
                     const ProtobufCMessage *payload, uint32_t details_left_out)
{
	Drover__Mesh__End end = DROVER__MESH__END__INIT;
	struct metadata_wire wire;

	if (in->cancelling)
		return;
	end.code = status;
	if (status != MESH_OK && err) {
		end.error_code = err->code;
		end.message = (char *)err->text;
	}
	if (in->trailers) {
		end.trailers = metadata_wrap(in->trailers, &wire);
		end.n_trailers = in->trailers->count;
	}
	end.details_left_out = details_left_out;
	if (in->connection && !in->ended)
		connection_send_message(in->connection, FRAME_END, in->stream, &end.base, payload,
		                        NULL);
	serve_audit_end(in, status, err, status == MESH_OK ? payload : NULL);
	if (in->replay)
		serve_end_replay(in, &end, payload);
	serve_forget(in);
}

static bool fits(const struct mesh_incoming *in, const ProtobufCMessage *message, struct error *err)
{
	size_t bytes = protobuf_c_message_get_packed_size(message);

	if (bytes <= in->connection->peer_max_message_bytes)
		return true;
	error_set(err, ERROR_TOO_LARGE, "%s: the answer has %zu bytes, the caller takes up to %u",
	          in->method->name, bytes, in->connection->peer_max_message_bytes);
	return false;
}

void mesh_reply(struct mesh_incoming *in, const ProtobufCMessage *reply)
{
	struct error err;

	assert(!in->method->server_streaming && reply->descriptor == in->method->output);
	if (in->connection && !fits(in, reply, &err))
		end_call(in, MESH_RESOURCE_EXHAUSTED, &err, NULL, 0);
	else
		end_call(in, MESH_OK, NULL, reply, 0);
}

void mesh_fail(struct mesh_incoming *in, enum mesh_status status, const struct error *err)
{
	assert(status != MESH_OK && (unsigned)status < MESH_STATUSES);
	end_call(in, status, err, NULL, 0);
}

void mesh_fail_with_details(struct mesh_incoming *in, enum mesh_status status,
                            const struct error *err, const ProtobufCMessage *const *details,
                            size_t n_details)
{
	size_t most = in->connection ? in->connection->peer_max_message_bytes : SIZE_MAX;
	Drover__Mesh__Details *packed;
	uint32_t left_out;

	assert(status != MESH_OK && (unsigned)status < MESH_STATUSES);
	packed = details_pack(details, n_details, most, &left_out);
	end_call(in, status, err, packed->n_details > 0 ? &packed->base : NULL, left_out);
	drover__mesh__details__free_unpacked(packed, NULL);
}

void mesh_fail_error(struct mesh_incoming *in, const struct error *err)
{
	mesh_fail(in, mesh_status_from_error(err->code), err);
}

void mesh_finish(struct mesh_incoming *in)
{
	assert(in->method->server_streaming);
	end_call(in, MESH_OK, NULL, NULL, 0);
}

int mesh_send_headers(struct mesh_incoming *in, const struct mesh_metadata *headers,
                      struct error *err)
{
	Drover__Mesh__Headers header = DROVER__MESH__HEADERS__INIT;
	struct metadata_wire wire;
	int rc = metadata_check(headers, err);

	assert(!in->answering);
	if (rc < 0)
		return rc;
	in->answering = true;
	if (!in->connection || in->ended || in->cancelling)
		return 0;
	header.metadata = metadata_wrap(headers, &wire);
	header.n_metadata = headers->count;
	connection_send(in->connection, FRAME_HEADERS, in->stream, &header.base);
	return 0;
}

int mesh_set_trailers(struct mesh_incoming *in, const struct mesh_metadata *trailers,
                      struct error *err)
{
	int rc = metadata_check(trailers, err);

	if (rc < 0)
		return rc;
	free(in->trailers);
	in->trailers = metadata_copy(trailers);
	return 0;
}

static bool has_credit(const struct mesh_incoming *in)
{
	return in->connection->peer_window_bytes == 0 || in->credit > 0;
}

bool mesh_send(struct mesh_incoming *in, const ProtobufCMessage *message)
{
	struct mesh_connection *c = in->connection;
	struct error err;

	assert(in->method->server_streaming && message->descriptor == in->method->output);
	if (!c || c->state != CONNECTION_READY || in->ended || in->cancelling)
		return false;
	if (!fits(in, message, &err)) {
		/* A stream cannot go on with a hole in it. The handler learns it from the loop,
		 * because it does not expect to lose @in in here. */
		serve_send_end(c, in->stream, MESH_RESOURCE_EXHAUSTED, &err, NULL);
		in->ended = true;
		in->timer.fire = serve_cancel;
		loop_timer_start(in->mesh->loop, &in->timer, 0);
		return false;
	}
	in->answering = true;
	connection_send_message(c, FRAME_MSG, in->stream, NULL, message, NULL);
	if (c->state != CONNECTION_READY)
		return false;
	in->credit -= (int64_t)protobuf_c_message_get_packed_size(message);
	if (has_credit(in) && !connection_is_full(c))
		return true;
	if (!in->told_slow)
		DL_APPEND(c->waiting, in);
	in->told_slow = true;
	return false;
}

/* --- flow --- */

void serve_writable(struct mesh_connection *c)
{
	struct mesh_incoming *in;
	unsigned turns;

	/* One turn for each that waits now; who fills the queue again goes to the end. */
	DL_COUNT(c->waiting, in, turns);
	for (; turns > 0 && c->waiting && c->state == CONNECTION_READY; turns--) {
		if (connection_is_full(c))
			return; /* drained() comes again */
		in = c->waiting;
		DL_DELETE(c->waiting, in);
		if (!in->writable || !has_credit(in)) {
			DL_APPEND(c->waiting, in);
			continue;
		}
		in->told_slow = false;
		in->writable(in->writable_context);
	}
}

void mesh_incoming_on_writable(struct mesh_incoming *in, void (*writable)(void *context),
                               void *context)
{
	in->writable = writable;
	in->writable_context = context;
	/* It may have drained between mesh_send and now. */
	if (in->told_slow && in->connection)
		loop_timer_start(in->mesh->loop, &in->connection->writable, 0);
}

void serve_take_window(struct mesh_connection *c, const struct frame *f)
{
	struct mesh_incoming *in;
	struct error err;

	HASH_FIND(hh, c->incoming, &f->head.stream, sizeof(f->head.stream), in);
	if (!in)
		return; /* it was answered meanwhile */
	in->credit += f->head.aux;
	if (in->credit > INT32_MAX) {
		error_set(&err, ERROR_PROTOCOL,
		          "the peer opened the window of call %u to %lld bytes", in->stream,
		          (long long)in->credit);
		connection_refuse(c, &err);
		return;
	}
	if (in->told_slow)
		loop_timer_start(c->mesh->loop, &c->writable, 0);
}
