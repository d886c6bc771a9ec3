/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of the mesh: a preface, then frames.
 *
 *	"DRVR" version
 *	length u32 | stream u32 | type u8 | flags u8 | header_bytes u16 | aux u32	big-endian
 *	header (protobuf, proto/mesh/frame.proto) | payload (protobuf, of the method)
 *
 * length counts what follows the 16 bytes. Streams 1, 3, 5 .. are calls of the side that dialled,
 * 2, 4, 6 .. of the other; 0 is the connection itself. A call is one OPEN with its request as
 * payload; a unary answer is one END with the reply as payload; a stream's are MSGs, then an END.
 *
 * A payload longer than a piece (the receiver's HELLO says how long) comes in several frames: the
 * first has FRAME_MORE and the bytes of the whole in aux, then PARTs, the last without FRAME_MORE.
 * Pieces of different streams may alternate. A WINDOW adds aux bytes to what the sender of a
 * stream's MSGs may send before it must wait; each stream begins with the receiver's window_bytes.
 *
 * The reader takes bytes as they come, on a courier thread. It believes no length: it is compared
 * with the limit first, and memory grows with the bytes that really arrive. Until a HELLO has come
 * the limit is FRAME_HELLO_MAX, for by then nobody has said who they are.
 */
#pragma once

#include "common/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_PREFACE       "DRVR\1"
#define FRAME_PREFACE_BYTES 5
#define FRAME_BYTES         16          /* of the fixed part */
#define FRAME_HEADER_MAX    (8 * 1024)  /* protobuf header; gRPC's limit for metadata */
#define FRAME_HELLO_MAX     (16 * 1024) /* any frame before the HELLO */

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_OPEN = 2,
	FRAME_MSG = 3,
	FRAME_END = 4,
	FRAME_CANCEL = 5,
	FRAME_PING = 6,
	FRAME_PONG = 7,
	FRAME_GOAWAY = 8,
	FRAME_PART = 9,
	FRAME_WINDOW = 10,
	FRAME_HEADERS = 11, /* always with FRAME_OPTIONAL */
};

/* A receiver that does not know the type skips the frame; without it, it closes. */
#define FRAME_OPTIONAL 0x80
/* The message goes on in PARTs of the same stream. */
#define FRAME_MORE 0x01

struct frame_head {
	uint32_t length;
	uint32_t stream;
	uint8_t type;
	uint8_t flags;
	uint16_t header_bytes;
	uint32_t aux; /* with FRAME_MORE: bytes of the whole payload; of a WINDOW: more bytes */
};

void frame_head_encode(const struct frame_head *head, uint8_t *ret_bytes);
void frame_head_decode(const uint8_t *bytes, struct frame_head *ret_head);

/* --- receiving --- */

struct frame {
	struct frame *next;
	struct frame_head head;
	uint8_t *body; /* header, then payload */
};

static inline const uint8_t *frame_get_payload(const struct frame *f, size_t *ret_bytes)
{
	*ret_bytes = f->head.length - f->head.header_bytes;
	/* A frame without a body has no memory to point into. */
	return f->body ? f->body + f->head.header_bytes : NULL;
}

void frame_free(struct frame *f);
void frame_list_free(struct frame *first);

struct frame_reader {
	uint32_t max_bytes; /* of a body, once the HELLO is there */
	bool preface_done;
	bool hello_done;
	uint8_t head[FRAME_BYTES];
	size_t head_bytes;
	struct frame *current;
	size_t body_bytes;
	size_t body_room;
};

void frame_reader_init(struct frame_reader *r, uint32_t max_bytes);
void frame_reader_deinit(struct frame_reader *r);

/* Appends the frames that @bytes complete to @list, which the caller frees also on error. After an
 * error (ERROR_PROTOCOL, ERROR_TOO_LARGE) the connection is of no use any more. */
int frame_reader_push(struct frame_reader *r, const uint8_t *bytes, size_t count,
                      struct frame ***list_end, struct error *err);

/* --- sending --- */

/* Bytes on their way out, in one piece. */
struct chunk {
	struct chunk *next;
	size_t bytes;
	uint8_t data[];
};

struct chunk *chunk_new(const void *data, size_t bytes);
void chunk_list_free(struct chunk *first);

/* @header and @payload may be NULL. The caller has checked sizes. */
struct chunk *frame_pack(enum frame_type type, uint32_t stream, const ProtobufCMessage *header,
                         const ProtobufCMessage *payload);

/* "OPEN"; "type 77" in @ret_text (16 bytes) for one that we do not know. */
const char *frame_type_name(uint8_t type, char *ret_text);
