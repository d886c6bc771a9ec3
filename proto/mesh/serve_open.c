/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a call that a peer makes is let in. Owner thread.
 *
 * An OPEN passes, in this order: the stream's number, the limit of calls at once, the method, the
 * caller's role, whether we serve it, and the request's bytes. Nothing of the request is unpacked
 * for a caller who may not call.
 */
#include "proto/mesh/internal.h"

#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/identity.h"
#include "proto/mesh/message.h"
#include "proto/mesh/metadata.h"

#include <string.h>

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
	serve_send_end(c, stream, status, err, NULL);
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
		connection_count_malformed(c, &err);
		return;
	}
	if (metadata_take(open->metadata, open->n_metadata, &metadata, &err) < 0) {
		serve_refuse(c, stream, method->name, MESH_INVALID_ARGUMENT, &err);
		connection_count_malformed(c, &err);
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
