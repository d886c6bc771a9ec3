/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of one connection that wait for the link, and whose turn it is. Owner thread.
 *
 *	outbox_add   stream 5: [reply of 3 MiB]          outbox_take: a piece of 5, a piece of 7,
 *	             stream 7: [MSG][MSG][END]     -->                a piece of 9, a piece of 5 ...
 *	             stream 9: [reply of 80 bytes]
 *
 * A long message goes out in pieces, and streams take turns after each piece, so a long answer never
 * holds up a short one. Within a stream the order is kept. At most PARTIAL_MAX messages are begun and
 * not finished at a time: as many as a receiver puts together at once (proto/mesh/parts.h).
 */
#pragma once

#include "proto/mesh/frame.h"

#include <stdbool.h>

#define PARTIAL_MAX 8

struct outstream;

struct outbox {
	struct outstream *streams; /* by number */
	struct outstream *turn;    /* the same, whose turn it is first */
	unsigned n_begun;
	size_t bytes; /* still to go */
};

void outbox_deinit(struct outbox *o);

static inline bool outbox_is_empty(const struct outbox *o)
{
	return o->bytes == 0;
}

/* @sent_at (may be NULL) is borrowed until the message's last piece is taken, which hands it back,
 * or until outbox_drop. */
void outbox_add(struct outbox *o, enum frame_type type, uint32_t stream,
                const ProtobufCMessage *header, const ProtobufCMessage *payload, uint64_t *sent_at);

/* The next piece as a frame with at most @piece_max bytes of payload; the box is not empty.
 * @ret_sent_at: of the message that ended with it, or NULL. */
struct chunk *outbox_take(struct outbox *o, size_t piece_max, uint64_t **ret_sent_at);

enum outbox_dropped {
	OUTBOX_HAD_NOTHING,
	OUTBOX_DROPPED_WHOLE, /* the peer has seen nothing of the first one dropped */
	OUTBOX_DROPPED_REST,  /* it has seen its beginning */
};

/* Forgets what waits of @stream. */
enum outbox_dropped outbox_drop(struct outbox *o, uint32_t stream);
