/* SPDX-License-Identifier: Apache-2.0 */
/* Calls with a request id, between serve_open.c, which runs them, and replay.c, which remembers them. A
 * call that was made before has no handler: it follows the one that runs, or gets what is kept.
 * Owner thread. */
#include "proto/mesh/internal.h"

#include "common/clock.h"
#include "proto/mesh/frame.pb-c.h"

#include <assert.h>
#include <utlist.h>

/* What is kept of an ended call, once more. */
static void send_again(struct mesh_connection *c, uint32_t stream, const struct replay *replay)
{
	const ProtobufCMessageDescriptor *type = replay->method->output;
	ProtobufCMessage *payload = NULL;
	Drover__Mesh__End *end;
	struct error err;

	if (!replay->kept || replay->payload_bytes > c->peer_max_message_bytes) {
		error_set(&err, ERROR_EXISTS,
		          "%s with this request id was done; its answer is too long to be given "
		          "again",
		          replay->method->name);
		serve_refuse(c, stream, replay->method->name, MESH_ALREADY_EXISTS, &err);
		return;
	}
	end = drover__mesh__end__unpack(NULL, replay->end_bytes, replay->bytes);
	assert(end); /* we packed it */
	if (end->code != MESH_OK)
		type = &drover__mesh__details__descriptor;
	if (end->code == MESH_OK || replay->payload_bytes > 0) {
		payload = protobuf_c_message_unpack(type, NULL, replay->payload_bytes,
		                                    replay->bytes + replay->end_bytes);
		assert(payload);
	}
	connection_send_message(c, FRAME_END, stream, &end->base, payload, NULL);
	drover__mesh__end__free_unpacked(end, NULL);
	if (payload)
		protobuf_c_message_free_unpacked(payload, NULL);
}

void serve_end_replay(struct mesh_incoming *in, const Drover__Mesh__End *end,
                      const ProtobufCMessage *payload)
{
	struct replay *replay = in->replay;

	replay_keep(&in->mesh->replays, replay, &end->base, payload, clock_now_ms());
	in->replay = NULL;
	while (replay->followers) {
		struct mesh_incoming *follower = replay->followers;

		send_again(follower->connection, follower->stream, replay);
		serve_forget(follower);
	}
}

bool serve_is_repeated(struct mesh_connection *c, const struct frame *f,
                       const struct method *method, const ProtobufCBinaryData *request_id,
                       uint64_t timeout_us, struct replay **ret_replay)
{
	uint32_t stream = f->head.stream;
	const uint8_t *payload;
	struct replay *replay;
	uint64_t digest;
	struct error err;
	struct id id;
	size_t bytes;

	*ret_replay = NULL;
	if (request_id->len == 0 || !replay_is_for(method))
		return false;
	payload = frame_get_payload(f, &bytes);
	digest = replay_digest(payload, bytes);
	if (id_from_bytes(request_id->data, request_id->len, &id) < 0) {
		error_set(&err, ERROR_INVALID, "%s: a request id has %d bytes, not %zu",
		          method->name, ID_BYTES, request_id->len);
		serve_refuse(c, stream, method->name, MESH_INVALID_ARGUMENT, &err);
		return true;
	}
	replay = replay_find(&c->mesh->replays, &c->identity, &id);
	if (!replay) {
		if (replay_add(&c->mesh->replays, &c->identity, &id, clock_now_ms(), ret_replay,
		               &err) < 0) {
			serve_refuse(c, stream, method->name, MESH_RESOURCE_EXHAUSTED, &err);
			return true;
		}
		(*ret_replay)->method = method;
		(*ret_replay)->digest = digest;
		return false;
	}
	if (replay->method != method || replay->digest != digest) {
		error_set(&err, ERROR_EXISTS,
		          "%s: this request id was used for another request; take a new one",
		          method->name);
		serve_refuse(c, stream, method->name, MESH_INVALID_ARGUMENT, &err);
	} else if (!replay->running) {
		send_again(c, stream, replay);
	} else {
		struct mesh_incoming *in = serve_incoming_new(c, stream, method, timeout_us);

		in->replay = replay;
		in->following = true;
		DL_APPEND(replay->followers, in);
	}
	return true;
}
