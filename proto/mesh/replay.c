/* SPDX-License-Identifier: Apache-2.0 */
/* See replay.h. */
#include "proto/mesh/replay.h"

#include "common/alloc.h"
#include "proto/methods.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

bool replay_is_for(const struct method *method)
{
	return !method->server_streaming && !(method->callers & MESH_ROLE_VIEWER);
}

/* FNV-1a. It is there to find mistakes: whoever chooses two requests that collide gets the answer of
 * the one for the other, which is his own. */
uint64_t replay_digest(const uint8_t *request, size_t bytes)
{
	uint64_t digest = 0xcbf29ce484222325u;

	for (size_t i = 0; i < bytes; i++)
		digest = (digest ^ request[i]) * 0x100000001b3u;
	return digest;
}

static void make_key(const struct mesh_identity *who, const struct id *id, struct replay_key *ret)
{
	memset(ret, 0, sizeof(*ret)); /* compared as bytes */
	ret->id = *id;
	ret->role = who->role;
	snprintf(ret->name, sizeof(ret->name), "%s", who->name);
}

struct replay *replay_find(struct replays *r, const struct mesh_identity *who, const struct id *id)
{
	struct replay_key key;
	struct replay *replay;

	make_key(who, id, &key);
	HASH_FIND(hh, r->all, &key, sizeof(key), replay);
	return replay;
}

void replay_forget(struct replays *r, struct replay *replay)
{
	assert(r->all); /* @replay is in it */
	HASH_DEL(r->all, replay);
	if (!replay->running) {
		DL_DELETE(r->ended, replay);
		r->bytes -= replay->end_bytes + replay->payload_bytes;
	}
	free(replay->bytes);
	free(replay);
}

void replays_deinit(struct replays *r)
{
	struct replay *replay, *next;

	HASH_ITER (hh, r->all, replay, next)
		replay_forget(r, replay);
}

static void make_room(struct replays *r, uint64_t now_ms)
{
	while (r->ended && (now_ms - r->ended->ended_ms > REPLAY_MS ||
	                    HASH_COUNT(r->all) >= REPLAYS_MAX || r->bytes > REPLAY_BYTES_MAX))
		replay_forget(r, r->ended);
}

int replay_add(struct replays *r, const struct mesh_identity *who, const struct id *id,
               uint64_t now_ms, struct replay **ret, struct error *err)
{
	struct replay *replay;

	make_room(r, now_ms);
	if (HASH_COUNT(r->all) >= REPLAYS_MAX)
		return error_set(err, ERROR_BUSY, "%d commands are under way already", REPLAYS_MAX);
	replay = xnew(struct replay);
	make_key(who, id, &replay->key);
	HASH_ADD(hh, r->all, key, sizeof(replay->key), replay);
	*ret = replay;
	return 0;
}

void replay_keep(struct replays *r, struct replay *replay, const ProtobufCMessage *end,
                 const ProtobufCMessage *payload, uint64_t now_ms)
{
	size_t end_bytes = protobuf_c_message_get_packed_size(end);
	size_t bytes = payload ? protobuf_c_message_get_packed_size(payload) : 0;

	replay->running = NULL;
	replay->ended_ms = now_ms;
	DL_APPEND(r->ended, replay);
	replay->kept = end_bytes + bytes <= REPLAY_ONE_MAX;
	if (!replay->kept)
		return;
	replay->end_bytes = end_bytes;
	replay->payload_bytes = bytes;
	replay->bytes = xmalloc(end_bytes + bytes + 1);
	protobuf_c_message_pack(end, replay->bytes);
	if (payload)
		protobuf_c_message_pack(payload, replay->bytes + end_bytes);
	r->bytes += end_bytes + bytes;
}
