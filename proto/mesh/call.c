/* SPDX-License-Identifier: Apache-2.0 */
/* Calls we make. Owner thread.
 *
 *	mesh_call --OPEN--> peer --MSG*, END--> done
 *	                    deadline, cancel, lost connection --> done, and CANCEL to the peer
 *
 * done comes exactly once, never inside mesh_call, and the call is gone when it returns. A call
 * that cannot even be sent is "stillborn": it is on no connection and completes from the loop.
 * never_sent is taken from the link's count of bytes: a peer acts on whole frames only, so a call
 * whose last byte was not given to the kernel has had no effect.
 */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/message.h"
#include "proto/mesh/metadata.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

struct mesh_call {
	struct mesh *mesh;
	struct mesh_connection *connection; /* NULL: stillborn */
	uint32_t stream;
	const struct method *method;
	uint64_t end_bytes; /* in the connection's count, after our OPEN; UINT64_MAX: it waits */
	struct mesh_incoming *parent;      /* for whom it is made, or NULL */
	struct mesh_call *older, *younger; /* of the same parent */
	bool deadline_is_parents;
	uint32_t unread_bytes; /* of its stream, which the peer was not yet told that we took */
	bool paused;
	struct loop_timer timer; /* the deadline; stillborn: completion */
	void (*message)(const ProtobufCMessage *m, void *context);
	void (*headers)(const struct mesh_metadata *headers, void *context); /* NULL: or came */
	void (*done)(const struct mesh_result *result, void *context);
	void *context;
	struct mesh_result stillborn;
	UT_hash_handle hh;
	struct mesh_call *prev, *next; /* stillborn ones */
};

static void complete(struct mesh_call *call, const struct mesh_result *result)
{
	if (call->connection) {
		/* What waits points here, and what has come in part is of no use. */
		(void)connection_drop(call->connection, call->stream);
		parts_drop(&call->connection->parts, call->stream);
		HASH_DEL(call->connection->calls, call);
	} else {
		DL_DELETE(call->mesh->stillborn, call);
	}
	if (call->parent)
		DL_DELETE2(*serve_get_children(call->parent), call, older, younger);
	loop_timer_stop(call->mesh->loop, &call->timer);
	call->done(result, call->context);
	free(call);
}

static void complete_error(struct mesh_call *call, enum mesh_status status, const struct error *err)
{
	struct mesh_result result = { .status = status, .error = *err };

	complete(call, &result);
}

/* Whether the peer has surely not acted on the call: what it got of it was not all. */
static bool tell_cancelled(struct mesh_call *call, enum mesh_status code, const char *reason)
{
	Drover__Mesh__Cancel header = DROVER__MESH__CANCEL__INIT;
	enum outbox_dropped dropped = connection_drop(call->connection, call->stream);

	header.code = code;
	header.reason = (char *)reason;
	if (dropped != OUTBOX_DROPPED_WHOLE)
		connection_send(call->connection, FRAME_CANCEL, call->stream, &header.base);
	return dropped != OUTBOX_HAD_NOTHING;
}

static void deadline_passed(void *context)
{
	struct mesh_call *call = context;
	struct mesh_result result = { .status = MESH_DEADLINE_EXCEEDED };

	result.never_sent = tell_cancelled(call, MESH_DEADLINE_EXCEEDED, "deadline passed");
	error_set(&result.error, ERROR_TIMEOUT, "%s: no answer from %s within the deadline%s",
	          call->method->name, call->connection->identity.name,
	          call->deadline_is_parents ? " of the call that it was made for" : "");
	complete(call, &result);
}

static void complete_stillborn(void *context)
{
	struct mesh_call *call = context;

	complete(call, &call->stillborn);
}

static void set_stillborn(struct mesh_call *call, enum mesh_status status, const struct error *err)
{
	call->stillborn = (struct mesh_result){ .status = status,
		                                .error = *err,
		                                .never_sent = true };
	call->timer = (struct loop_timer){ .fire = complete_stillborn, .context = call };
	DL_APPEND(call->mesh->stillborn, call);
	loop_timer_start(call->mesh->loop, &call->timer, 0);
}

static void parent_is_gone(void *context)
{
	mesh_call_cancel(context);
}

void call_orphan(struct mesh_call **children, bool unwanted)
{
	while (*children) {
		struct mesh_call *call = *children;

		DL_DELETE2(*children, call, older, younger);
		call->parent = NULL;
		if (!unwanted || !call->connection)
			continue;
		call->timer.fire = parent_is_gone;
		loop_timer_start(call->mesh->loop, &call->timer, 0);
	}
}

/* Why @request cannot be sent over @c now; 0 if it can. */
static enum mesh_status refuse(const struct mesh_connection *c, const char *name,
                               const struct method *method, const ProtobufCMessage *request,
                               struct error *err)
{
	size_t bytes;

	if (!method) {
		error_set(err, ERROR_UNSUPPORTED, "there is no method %s", name);
		return MESH_UNIMPLEMENTED;
	}
	if (c->state != CONNECTION_READY) {
		error_set(err, ERROR_UNREACHABLE, "%s: the connection to %s is closed: %s", name,
		          c->identity.name, c->why.text);
		return MESH_UNAVAILABLE;
	}
	if (c->leaving) {
		error_set(err, ERROR_UNREACHABLE, "%s: %s is stopping and takes no new calls", name,
		          c->identity.name);
		return MESH_UNAVAILABLE;
	}
	bytes = protobuf_c_message_get_packed_size(request);
	if (bytes > c->peer_max_message_bytes) {
		error_set(err, ERROR_TOO_LARGE,
		          "%s: the request has %zu bytes, %s takes messages up to %u", name, bytes,
		          c->identity.name, c->peer_max_message_bytes);
		return MESH_RESOURCE_EXHAUSTED;
	}
	if (HASH_COUNT(c->calls) >= c->peer_max_streams) {
		error_set(err, ERROR_BUSY, "%s: %u calls to %s are under way already", name,
		          HASH_COUNT(c->calls), c->identity.name);
		return MESH_RESOURCE_EXHAUSTED;
	}
	if (connection_get_queued_bytes(c) + bytes + FRAME_BYTES + FRAME_HEADER_MAX >
	    LINK_QUEUE_MAX) {
		error_set(err, ERROR_BUSY, "%s: %s does not read; too much is waiting for it", name,
		          c->identity.name);
		return MESH_RESOURCE_EXHAUSTED;
	}
	return MESH_OK;
}

static enum mesh_status refuse_orphan(const char *name, struct error *err)
{
	error_set(err, ERROR_CANCELLED, "%s: nobody waits any more for the call it is made for",
	          name);
	return MESH_CANCELLED;
}

/* What is left for a call that is made for @parent; 0: no end. */
static uint64_t inherit_timeout(struct mesh_call *call, const struct mesh_incoming *parent,
                                uint64_t timeout_ms)
{
	uint64_t left_ms = parent ? mesh_incoming_get_timeout_ms(parent) : 0;

	if (timeout_ms > MESH_TIMEOUT_MOST_MS)
		timeout_ms = MESH_TIMEOUT_MOST_MS;
	if (left_ms == 0 || (timeout_ms > 0 && timeout_ms <= left_ms))
		return timeout_ms;
	call->deadline_is_parents = true;
	return left_ms;
}

struct mesh_call *mesh_call_with(struct mesh_connection *c, const char *name,
                                 const ProtobufCMessage *request,
                                 const struct mesh_call_options *options,
                                 void (*done)(const struct mesh_result *result, void *context),
                                 void *context)
{
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	struct metadata_wire wire;
	struct mesh_call *call = xnew(struct mesh_call);
	uint64_t timeout_ms = inherit_timeout(call, options->parent, options->timeout_ms);
	enum mesh_status status;
	struct error err;

	assert(done && (options->message || options->timeout_ms > 0));
	call->mesh = c->mesh;
	call->method = mesh_find_method(c->mesh, name);
	call->message = options->message;
	call->headers = options->headers;
	call->done = done;
	call->context = context;
	assert(!call->method || (request->descriptor == call->method->input &&
	                         call->method->server_streaming == (call->message != NULL)));

	status = refuse(c, name, call->method, request, &err);
	if (status == MESH_OK && options->metadata && metadata_check(options->metadata, &err) < 0)
		status = MESH_INVALID_ARGUMENT;
	if (status == MESH_OK && options->parent && !mesh_incoming_get_connection(options->parent))
		status = refuse_orphan(name, &err);
	if (status != MESH_OK) {
		set_stillborn(call, status, &err);
		return call;
	}
	call->connection = c;
	call->stream = c->next_stream;
	c->next_stream += 2;
	call->timer = (struct loop_timer){ .fire = deadline_passed, .context = call };
	if (timeout_ms > 0)
		loop_timer_start(c->mesh->loop, &call->timer, timeout_ms);
	HASH_ADD(hh, c->calls, stream, sizeof(call->stream), call);
	if (options->parent) {
		call->parent = options->parent;
		DL_APPEND2(*serve_get_children(call->parent), call, older, younger);
	}

	open.method = (char *)name;
	open.timeout_us = timeout_ms * 1000;
	if (options->request_id) {
		open.request_id.data = (uint8_t *)options->request_id->bytes; /* only read */
		open.request_id.len = ID_BYTES;
	}
	if (options->metadata) {
		open.metadata = metadata_wrap(options->metadata, &wire);
		open.n_metadata = options->metadata->count;
	}
	call->end_bytes = UINT64_MAX;
	connection_send_message(c, FRAME_OPEN, call->stream, &open.base, request, &call->end_bytes);
	return call;
}

struct mesh_call *mesh_call(struct mesh_connection *c, const char *method,
                            const ProtobufCMessage *request, uint64_t timeout_ms,
                            void (*done)(const struct mesh_result *result, void *context),
                            void *context)
{
	return mesh_call_with(c, method, request,
	                      &(struct mesh_call_options){ .timeout_ms = timeout_ms }, done,
	                      context);
}

struct mesh_call *mesh_call_stream(struct mesh_connection *c, const char *method,
                                   const ProtobufCMessage *request, uint64_t timeout_ms,
                                   void (*message)(const ProtobufCMessage *m, void *context),
                                   void (*done)(const struct mesh_result *result, void *context),
                                   void *context)
{
	assert(message);
	return mesh_call_with(
		c, method, request,
		&(struct mesh_call_options){ .timeout_ms = timeout_ms, .message = message }, done,
		context);
}

void mesh_call_cancel(struct mesh_call *call)
{
	struct mesh_result result = { .status = MESH_CANCELLED, .never_sent = true };

	if (call->connection)
		result.never_sent = tell_cancelled(call, MESH_CANCELLED, "cancelled by the caller");
	error_set(&result.error, ERROR_CANCELLED, "%s: cancelled",
	          call->method ? call->method->name : "call");
	complete(call, &result);
}

/* --- flow --- */

/* The peer may send so much more. Half a window at a time: not a frame for each message. */
static void grant(struct mesh_call *call)
{
	if (call->paused || call->unread_bytes < MESH_WINDOW_BYTES / 2)
		return;
	connection_send_window(call->connection, call->stream, call->unread_bytes);
	call->unread_bytes = 0;
}

void mesh_call_pause(struct mesh_call *call, bool pause)
{
	call->paused = pause;
	if (call->connection)
		grant(call);
}

/* --- what the peer answers --- */

/* NULL: it is over already on our side, which the peer could not know; or it never was, which
 * fails the connection. */
static struct mesh_call *find(struct mesh_connection *c, uint32_t stream)
{
	struct mesh_call *call;
	struct error err;

	HASH_FIND(hh, c->calls, &stream, sizeof(stream), call);
	if (!call &&
	    (stream == 0 || stream % 2 != c->next_stream % 2 || stream >= c->next_stream)) {
		error_set(&err, ERROR_PROTOCOL, "the peer answered call %u, which was never made",
		          stream);
		connection_refuse(c, &err);
	}
	return call;
}

/* The peer's answer cannot be read: the call is over on our side. */
static void complete_unreadable(struct mesh_call *call, struct error *err)
{
	struct mesh_connection *c = call->connection;

	tell_cancelled(call, MESH_INTERNAL, "the answer cannot be read");
	error_context(err, "%s: the answer of %s", call->method->name, c->identity.name);
	complete_error(call, MESH_INTERNAL, err);
	connection_count_malformed(c, err);
}

bool call_expects(struct mesh_connection *c, const struct frame *f)
{
	return find(c, f->head.stream) != NULL;
}

void call_take_message(struct mesh_connection *c, const struct frame *f)
{
	struct mesh_call *call = find(c, f->head.stream);
	ProtobufCMessage *message;
	const uint8_t *payload;
	struct error err;
	size_t bytes;

	if (!call)
		return;
	payload = frame_get_payload(f, &bytes);
	call->unread_bytes += (uint32_t)bytes;
	grant(call);
	if (!call->method->server_streaming) {
		error_set(&err, ERROR_PROTOCOL, "is a stream, but the method is none");
		complete_unreadable(call, &err);
	} else if (message_decode(call->method->output, payload, bytes, &c->mesh->payloads,
	                          &message, &err) < 0) {
		complete_unreadable(call, &err);
	} else {
		/* The callback may cancel the call. */
		call->message(message, call->context);
	}
}

void call_take_headers(struct mesh_connection *c, const struct frame *f)
{
	struct mesh_call *call = find(c, f->head.stream);
	void (*headers)(const struct mesh_metadata *headers, void *context);
	struct metadata_view view;
	ProtobufCMessage *message;
	struct error err;

	if (!call || !call->headers)
		return;
	if (message_decode(&drover__mesh__headers__descriptor, f->body, f->head.header_bytes,
	                   &c->mesh->headers, &message, &err) < 0 ||
	    metadata_take(((Drover__Mesh__Headers *)message)->metadata,
	                  ((Drover__Mesh__Headers *)message)->n_metadata, &view, &err) < 0) {
		complete_unreadable(call, &err);
		return;
	}
	headers = call->headers;
	call->headers = NULL; /* once */
	headers(&view.metadata, call->context);
}

/* What an END says besides its message. */
struct ending {
	struct mesh_result result;
	struct metadata_view trailers;
	struct details_view details;
};

static int read_details(struct mesh_call *call, const struct frame *f, struct ending *e,
                        struct error *err)
{
	ProtobufCMessage *message;
	const uint8_t *payload;
	size_t bytes;
	int rc;

	payload = frame_get_payload(f, &bytes);
	if (bytes == 0)
		return 0;
	if (bytes > MESH_DETAILS_BYTES)
		return error_set(err, ERROR_PROTOCOL,
		                 "details of %zu bytes; at most %d are allowed", bytes,
		                 MESH_DETAILS_BYTES);
	rc = message_decode(&drover__mesh__details__descriptor, payload, bytes,
	                    &call->mesh->payloads, &message, err);
	if (rc == 0)
		rc = details_take((const Drover__Mesh__Details *)message, &e->details, err);
	if (rc < 0)
		return rc;
	e->result.details = e->details.details;
	e->result.n_details = e->details.count;
	return 0;
}

static int read_failure(struct mesh_call *call, const struct frame *f, const Drover__Mesh__End *end,
                        struct ending *e, struct error *err)
{
	enum error_code code;

	e->result.status = MESH_STATUS_UNKNOWN;
	if (end->code < MESH_STATUSES)
		e->result.status = (enum mesh_status)end->code;
	code = mesh_status_to_error(e->result.status);
	if (end->error_code > ERROR_NONE && end->error_code < ERROR_CODES)
		code = (enum error_code)end->error_code;
	error_set(&e->result.error, code, "%s", end->message);
	e->result.details_left_out = end->details_left_out;
	return read_details(call, f, e, err);
}

static int read_reply(struct mesh_call *call, const struct frame *f, struct ending *e,
                      struct error *err)
{
	ProtobufCMessage *message;
	const uint8_t *payload;
	size_t bytes;
	int rc;

	if (call->method->server_streaming)
		return 0;
	payload = frame_get_payload(f, &bytes);
	rc = message_decode(call->method->output, payload, bytes, &call->mesh->payloads, &message,
	                    err);
	if (rc == 0)
		e->result.message = message;
	return rc;
}

static int read_ending(struct mesh_call *call, const struct frame *f, struct ending *e,
                       struct error *err)
{
	const Drover__Mesh__End *end;
	ProtobufCMessage *header;
	int rc = message_decode(&drover__mesh__end__descriptor, f->body, f->head.header_bytes,
	                        &call->mesh->headers, &header, err);

	if (rc < 0)
		return rc;
	end = (const Drover__Mesh__End *)header;
	rc = metadata_take(end->trailers, end->n_trailers, &e->trailers, err);
	if (rc < 0)
		return rc;
	e->result.trailers = e->trailers.metadata;
	e->result.arena = &call->mesh->details;
	return end->code == MESH_OK ? read_reply(call, f, e, err)
	                            : read_failure(call, f, end, e, err);
}

void call_take_end(struct mesh_connection *c, const struct frame *f)
{
	struct mesh_call *call = find(c, f->head.stream);
	struct ending e;
	struct error err;

	if (!call)
		return;
	e.result = (struct mesh_result){ .status = MESH_OK, .answered = true };
	if (read_ending(call, f, &e, &err) < 0)
		complete_unreadable(call, &err);
	else
		complete(call, &e.result);
}

/* --- ends --- */

void call_fail_all(struct mesh_connection *c)
{
	while (c->calls) {
		struct mesh_call *call = c->calls;
		struct mesh_result result = {
			.status = c->mesh->stopping ? MESH_CANCELLED : MESH_UNAVAILABLE,
			.never_sent = call->end_bytes > c->taken_bytes,
		};
		enum error_code code = ERROR_CANCELLED;

		if (!c->mesh->stopping)
			code = result.never_sent ? ERROR_UNREACHABLE : ERROR_UNKNOWN_OUTCOME;
		error_set(&result.error, code, "%s: the connection to %s was lost%s: %s",
		          call->method->name, c->identity.name,
		          result.never_sent ? " before the call was sent" : "", c->why.text);
		complete(call, &result);
	}
}

void call_fail_after(struct mesh_connection *c, uint32_t last_stream, const struct error *why)
{
	struct mesh_result result = { .status = MESH_UNAVAILABLE, .never_sent = true };
	struct mesh_call *call = c->calls;

	while (call) {
		if (call->stream <= last_stream) {
			call = call->hh.next;
			continue;
		}
		error_set(&result.error, ERROR_UNREACHABLE, "%s: %s", call->method->name,
		          why->text);
		complete(call, &result);
		/* Whoever was told may have ended any of the others. */
		call = c->calls;
	}
}

bool call_is_any_ending(const struct mesh_connection *c)
{
	for (const struct mesh_call *call = c->calls; call; call = call->hh.next) {
		if (call->timer.due_ms)
			return true;
	}
	return false;
}

void call_fail_stillborn(struct mesh *mesh)
{
	while (mesh->stillborn)
		complete(mesh->stillborn, &mesh->stillborn->stillborn);
}
