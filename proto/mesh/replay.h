/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that carry a request id, so that asking twice does it once. Owner thread.
 *
 *	new id          the handler runs; whatever becomes of its caller, it runs to its end
 *	id that runs    the caller waits for the same answer
 *	id that ended   the same answer again
 *
 * This is for methods that change something: those which a viewer may not call (others ignore the
 * id). An id belongs to one caller by role and name, over all of his connections. A caller who comes
 * again with an id and another request is refused.
 *
 * It lives in memory: an answer is remembered for REPLAY_MS, less if there are more than REPLAYS_MAX
 * of them or they are too long together; and a restart forgets all. What must not be done twice even
 * then needs an id of its own in the store, as drains, migrations and attempts have.
 */
#pragma once

#include "common/id.h"
#include "proto/mesh/mesh.h"

#include <uthash.h>

#define REPLAY_MS        ((uint64_t)5 * 60 * 1000) /* whoever repeats does it within seconds */
#define REPLAYS_MAX      4096
#define REPLAY_BYTES_MAX ((size_t)16 * 1024 * 1024) /* of all answers */
#define REPLAY_ONE_MAX   ((size_t)256 * 1024)       /* a longer one is only known to have been */

struct method;

struct replay_key {
	struct id id;
	enum mesh_role role;
	char name[MESH_NAME_BYTES];
};

struct replay {
	struct replay_key key;
	const struct method *method;
	uint64_t digest;                 /* of the request */
	struct mesh_incoming *running;   /* NULL: it has ended */
	struct mesh_incoming *followers; /* who wait for the same */
	bool kept;                       /* ended: the answer is here */
	uint8_t *bytes;                  /* the END's header, then its payload */
	size_t end_bytes, payload_bytes;
	uint64_t ended_ms;
	UT_hash_handle hh;
	struct replay *prev, *next; /* that have ended, the oldest first */
};

struct replays {
	struct replay *all;
	struct replay *ended;
	size_t bytes;
};

void replays_deinit(struct replays *r);

bool replay_is_for(const struct method *method);
uint64_t replay_digest(const uint8_t *request, size_t bytes);

struct replay *replay_find(struct replays *r, const struct mesh_identity *who, const struct id *id);

/* Makes room first. -ERROR_BUSY: everything that is remembered still runs. */
int replay_add(struct replays *r, const struct mesh_identity *who, const struct id *id,
               uint64_t now_ms, struct replay **ret, struct error *err);

/* It has ended so. @payload may be NULL. */
void replay_keep(struct replays *r, struct replay *replay, const ProtobufCMessage *end,
                 const ProtobufCMessage *payload, uint64_t now_ms);

void replay_forget(struct replays *r, struct replay *replay);
