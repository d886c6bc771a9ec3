/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that peers make: who may, what with, and for how long. Owner thread.
 *
 * An OPEN passes, in this order: the stream's number, the limit of calls at once, the method, the
 * caller's role, whether we serve it, and the request's bytes. Nothing of the request is unpacked
 * for a caller who may not call.
 *
 *	LIVE --reply, fail, finish--> gone
 *	  \--cancel, deadline, connection lost--> cancelled callback --> gone
 *	                                     \--no callback--> ABANDONED --reply ...--> gone
 *
 * A call with a request id is never cancelled: it is abandoned, and its answer is kept. FOLLOWING is
 * a call with an id that runs already: it has no handler and gets that one's answer.
 */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/identity.h"
#include "proto/mesh/message.h"
#include "proto/mesh/metadata.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static void cancel(void *incoming);

/* --- answers --- */

static void send_end(struct mesh_connection *c, uint32_t stream, enum mesh_status status,
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

static void audit_end(const struct mesh_incoming *in, enum mesh_status status,
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

void serve_forget(struct mesh_incoming *in)
{
	if (in->connection) {
		if (in->told_slow)
			DL_DELETE(in->connection->waiting, in);
		HASH_DEL(in->connection->incoming, in);
	} else {
		DL_DELETE(in->mesh->abandoned, in);
	}
	loop_timer_stop(in->mesh->loop, &in->timer);
	call_orphan(&in->children, false);
	if (in->following)
		DL_DELETE(in->replay->followers, in);
	free(in->audit_object);
	free(in->metadata);
	free(in->trailers);
	free(in->identity);
	free(in);
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
	audit_end(in, status, err, status == MESH_OK ? payload : NULL);
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
		send_end(c, in->stream, MESH_RESOURCE_EXHAUSTED, &err, NULL);
		in->ended = true;
		in->timer.fire = cancel;
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

/* --- nobody waits any more --- */

/* What became of it is not known here, and is not made up. */
static void audit_left(const struct mesh_incoming *in)
{
	struct error err;

	error_set(&err, ERROR_UNKNOWN_OUTCOME,
	          "nobody waited for the answer any more; it may have had its effect");
	audit_end(in, MESH_STATUS_UNKNOWN, &err, NULL);
}

static void tell_late(void *context)
{
	struct mesh_incoming *in = context;
	void (*cancelled)(void *) = in->cancelled;
	void *cancelled_context = in->cancelled_context;

	audit_left(in);
	serve_forget(in);
	cancelled(cancelled_context);
}

static void cancel(void *incoming)
{
	struct mesh_incoming *in = incoming;
	struct mesh_connection *c = in->connection;

	assert(c); /* abandoned once only */
	if (in->following) {
		serve_forget(in);
		return;
	}
	if (!in->replay)
		call_orphan(&in->children, true);
	if (in->cancelled && !in->replay) {
		in->cancelling = true;
		in->cancelled(in->cancelled_context);
		audit_left(in);
		serve_forget(in);
		return;
	}
	if (in->told_slow)
		DL_DELETE(c->waiting, in);
	in->told_slow = false;
	HASH_DEL(c->incoming, in);
	loop_timer_stop(in->mesh->loop, &in->timer);
	in->identity = xmemdup(&c->identity, sizeof(c->identity));
	in->connection = NULL;
	in->timer.fire = tell_late;
	DL_APPEND(in->mesh->abandoned, in);
}

static void deadline_passed(void *context)
{
	struct mesh_incoming *in = context;
	struct error err;

	(void)connection_drop(in->connection, in->stream);
	error_set(&err, ERROR_TIMEOUT, "%s: the deadline passed", in->method->name);
	send_end(in->connection, in->stream, MESH_DEADLINE_EXCEEDED, &err, NULL);
	cancel(in);
}

void serve_take_cancel(struct mesh_connection *c, const struct frame *f)
{
	struct mesh_incoming *in;

	/* Nobody reads what still waits, nor the request that has not all come. */
	(void)connection_drop(c, f->head.stream);
	parts_drop(&c->parts, f->head.stream);
	/* It may have been answered already, which the caller could not know. */
	HASH_FIND(hh, c->incoming, &f->head.stream, sizeof(f->head.stream), in);
	if (in)
		cancel(in);
}

void serve_cancel_all(struct mesh_connection *c)
{
	while (c->incoming)
		cancel(c->incoming);
}

static bool is_endless(const struct mesh_incoming *in)
{
	return in->method->server_streaming && !in->timer.due_ms;
}

void serve_end_endless(struct mesh_connection *c, const struct error *why)
{
	struct mesh_incoming *in = c->incoming;

	while (in) {
		if (!is_endless(in)) {
			in = in->hh.next;
			continue;
		}
		(void)connection_drop(c, in->stream);
		if (!in->ended)
			send_end(c, in->stream, MESH_UNAVAILABLE, why, NULL);
		cancel(in);
		/* The handler that was told may have ended others. */
		in = c->incoming;
	}
}

bool serve_is_any_ending(const struct mesh_connection *c)
{
	for (const struct mesh_incoming *in = c->incoming; in; in = in->hh.next) {
		if (!is_endless(in))
			return true;
	}
	return false;
}

void serve_forget_abandoned(struct mesh *mesh)
{
	while (mesh->abandoned) {
		struct mesh_incoming *in = mesh->abandoned;

		/* A handler that was to run to its end: there is nothing left to reply to. */
		if (in->replay && in->cancelled) {
			in->cancelling = true;
			in->cancelled(in->cancelled_context);
		}
		audit_left(in);
		serve_forget(in);
	}
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

/* --- a new call --- */

static const struct mesh_service *find_service(const struct mesh *mesh, const char *name,
                                               size_t bytes)
{
	for (size_t i = 0; mesh->services && mesh->services[i]; i++) {
		const char *ours = mesh->services[i]->descriptor->name;

		if (strlen(ours) == bytes && memcmp(ours, name, bytes) == 0)
			return mesh->services[i];
	}
	return NULL;
}

static const struct mesh_handler *find_handler(const struct mesh *mesh, const char *name,
                                               const void **ret_table)
{
	const char *slash = strchr(name, '/');
	const struct mesh_service *service = slash ? find_service(mesh, name,
	                                                          (size_t)(slash - name))
	                                           : NULL;

	for (size_t i = 0; service && i < service->n_handlers; i++) {
		if (strcmp(service->handlers[i].method, slash + 1) == 0) {
			*ret_table = service->table;
			return &service->handlers[i];
		}
	}
	return NULL;
}

bool serve_has(const struct mesh_incoming *in, const char *method)
{
	const void *table;

	return find_handler(in->mesh, method, &table) != NULL;
}

/* Whether this caller may call this; else the status and why. */
static enum mesh_status admit(const struct mesh_connection *c, const char *name,
                              const struct method *method, const struct mesh_handler *handler,
                              struct error *err)
{
	char allowed[IDENTITY_TEXT_BYTES];

	if (!method) {
		error_set(err, ERROR_UNSUPPORTED, "there is no method %.200s here", name);
		return MESH_UNIMPLEMENTED;
	}
	if (!(method->callers & c->identity.role)) {
		error_set(err, ERROR_PERMISSION, "%s %s (%s) may not call %s; allowed: %s",
		          mesh_role_name(c->identity.role), c->identity.name, c->identity.address,
		          name, identity_format_roles(method->callers, allowed));
		return MESH_PERMISSION_DENIED;
	}
	if (!handler) {
		error_set(err, ERROR_UNSUPPORTED, "%s %s does not serve %s",
		          mesh_role_name(c->mesh->self.role), c->mesh->self.name, name);
		return MESH_UNIMPLEMENTED;
	}
	if (HASH_COUNT(c->incoming) >= MESH_MAX_STREAMS) {
		error_set(err, ERROR_BUSY, "%d calls of this connection are under way already",
		          MESH_MAX_STREAMS);
		return MESH_RESOURCE_EXHAUSTED;
	}
	return MESH_OK;
}

struct mesh_incoming *serve_incoming_new(struct mesh_connection *c, uint32_t stream,
                                         const struct method *method, uint64_t timeout_us)
{
	struct mesh_incoming *in = xnew(struct mesh_incoming);

	in->mesh = c->mesh;
	in->connection = c;
	in->stream = stream;
	in->credit = c->peer_window_bytes;
	in->method = method;
	in->timer = (struct loop_timer){ .fire = deadline_passed, .context = in };
	if (timeout_us > 0)
		loop_timer_start(c->mesh->loop, &in->timer,
		                 timeout_us / 1000 + (timeout_us % 1000 > 0));
	HASH_ADD(hh, c->incoming, stream, sizeof(in->stream), in);
	return in;
}

static void run(struct mesh_incoming *in, const ProtobufCMessage *request)
{
	const void *table = NULL;
	const struct mesh_handler *handler = find_handler(in->mesh, in->method->name, &table);

	if (handler->serve)
		handler->serve(table, in, request, in->mesh->service_context);
	else
		handler->handle(in, request, in->mesh->service_context);
}

/* Before any handler saw it. */
void serve_refuse(struct mesh_connection *c, uint32_t stream, const char *method,
                  enum mesh_status status, const struct error *err)
{
	send_end(c, stream, status, err, NULL);
	mesh_audit_call(c->mesh, &(struct mesh_audit_call){ .who = &c->identity,
	                                                    .stream = stream,
	                                                    .method = method,
	                                                    .not_begun = true,
	                                                    .status = status,
	                                                    .err = err });
}

static const Drover__Mesh__Open *decode_header(struct mesh_connection *c, const struct frame *f)
{
	ProtobufCMessage *header;
	struct error err;

	if (message_decode(&drover__mesh__open__descriptor, f->body, f->head.header_bytes,
	                   &c->mesh->headers, &header, &err) == 0)
		return (const Drover__Mesh__Open *)header;
	connection_refuse(c, &err);
	return NULL;
}

bool serve_may_open(struct mesh_connection *c, const struct frame *f)
{
	uint32_t stream = f->head.stream;
	const Drover__Mesh__Open *open;
	enum mesh_status status;
	const void *table;
	struct error err;

	if (stream == 0 || stream % 2 == c->next_stream % 2 || stream <= c->last_peer_stream) {
		error_set(&err, ERROR_PROTOCOL, "the peer opened call %u after %u", stream,
		          c->last_peer_stream);
		connection_refuse(c, &err);
		return false;
	}
	c->last_peer_stream = stream;
	/* It knows by now, or soon, that this one was not taken. */
	if (c->told_leaving && stream > c->last_taken_stream)
		return false;
	open = decode_header(c, f);
	if (!open)
		return false;
	status = admit(c, open->method, mesh_find_method(c->mesh, open->method),
	               find_handler(c->mesh, open->method, &table), &err);
	if (status != MESH_OK)
		serve_refuse(c, stream, open->method, status, &err);
	return status == MESH_OK;
}

void serve_take_open(struct mesh_connection *c, const struct frame *f)
{
	const Drover__Mesh__Open *open = decode_header(c, f);
	uint32_t stream = f->head.stream;
	struct metadata_view metadata;
	const struct method *method;
	struct mesh_incoming *in;
	struct replay *replay;
	enum mesh_status status;
	ProtobufCMessage *request;
	const uint8_t *payload;
	struct error err;
	size_t bytes;

	if (!open)
		return;
	method = mesh_find_method(c->mesh, open->method);
	payload = frame_get_payload(f, &bytes);
	if (message_decode(method->input, payload, bytes, &c->mesh->payloads, &request, &err) < 0) {
		status = err.code == ERROR_TOO_LARGE ? MESH_RESOURCE_EXHAUSTED
		                                     : MESH_INVALID_ARGUMENT;
		error_context(&err, "%s", method->name);
		serve_refuse(c, stream, method->name, status, &err);
		return;
	}
	if (metadata_take(open->metadata, open->n_metadata, &metadata, &err) < 0) {
		serve_refuse(c, stream, method->name, MESH_INVALID_ARGUMENT, &err);
		return;
	}
	if (serve_is_repeated(c, f, method, &open->request_id, open->timeout_us, &replay))
		return;
	in = serve_incoming_new(c, stream, method, open->timeout_us);
	in->metadata = metadata_copy(&metadata.metadata);
	in->audit_object = mesh_audit_request_new(c->mesh, method->name, request);
	in->replay = replay;
	if (replay)
		replay->running = in;
	run(in, request);
}

/* --- for handlers --- */

const struct mesh_identity *mesh_incoming_get_identity(const struct mesh_incoming *in)
{
	return in->connection ? &in->connection->identity : in->identity;
}

struct mesh_connection *mesh_incoming_get_connection(const struct mesh_incoming *in)
{
	return in->connection;
}

const struct mesh_metadata *mesh_incoming_get_metadata(const struct mesh_incoming *in)
{
	static const struct mesh_metadata none;

	return in->metadata ? in->metadata : &none;
}

uint64_t mesh_incoming_get_timeout_ms(const struct mesh_incoming *in)
{
	uint64_t now_ms = clock_now_ms();

	if (!in->connection || !in->timer.due_ms)
		return 0;
	return in->timer.due_ms > now_ms ? in->timer.due_ms - now_ms : 1;
}

struct mesh_call **serve_get_children(struct mesh_incoming *in)
{
	return &in->children;
}

void mesh_incoming_on_cancel(struct mesh_incoming *in, void (*cancelled)(void *context),
                             void *context)
{
	in->cancelled = cancelled;
	in->cancelled_context = context;
	if (!in->connection && cancelled && !in->replay)
		loop_timer_start(in->mesh->loop, &in->timer, 0);
}
