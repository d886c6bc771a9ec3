/* SPDX-License-Identifier: Apache-2.0 */
/* The frames between the two tunnel processes of an attempt, inside their TLS connection.
 *
 *	u16 big-endian    1..16384  so many bytes of libvirt's connection
 *	                  0         ping: I am here
 *	                  0xfffe    open: libvirt has called at the source
 *	                  0xffff    end: no more bytes in this direction
 *	                  0xfffd    refuse: u16 length and a text that says why
 *
 * Pure, and bounded: a buffer never grows, its owner stops reading instead.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TUNNEL_FRAME_DATA_MAX  16384
#define TUNNEL_FRAME_TEXT_MAX  480
#define TUNNEL_FRAME_HEADER    2
#define TUNNEL_FRAME_BYTES_MAX (TUNNEL_FRAME_HEADER + TUNNEL_FRAME_DATA_MAX)

/* Bytes in [start, end) of a fixed piece of memory. */
struct tunnel_buffer {
	uint8_t *data; /* owned */
	size_t capacity, start, end;
};

void tunnel_buffer_init(struct tunnel_buffer *b, size_t capacity);
void tunnel_buffer_deinit(struct tunnel_buffer *b);
size_t tunnel_buffer_bytes(const struct tunnel_buffer *b);
/* Moves what is there to the front; returns how much fits behind it. */
size_t tunnel_buffer_make_room(struct tunnel_buffer *b);
/* The caller has made room. */
void tunnel_buffer_put(struct tunnel_buffer *b, const void *data, size_t bytes);
void tunnel_buffer_consume(struct tunnel_buffer *b, size_t bytes);

enum tunnel_frame_kind {
	TUNNEL_FRAME_INCOMPLETE,
	TUNNEL_FRAME_PING,
	TUNNEL_FRAME_DATA,
	TUNNEL_FRAME_OPEN,
	TUNNEL_FRAME_END,
	TUNNEL_FRAME_REFUSE,
	TUNNEL_FRAME_BAD, /* the peer breaks the protocol */
};

struct tunnel_frame {
	enum tunnel_frame_kind kind;
	const uint8_t *data; /* borrowed from the input */
	size_t bytes;
	size_t consumed; /* of the input, with the header */
};

void tunnel_frame_parse(const uint8_t *data, size_t bytes, struct tunnel_frame *ret);

/* Appends a frame; false if it does not fit, then nothing was appended. */
bool tunnel_frame_put(struct tunnel_buffer *b, enum tunnel_frame_kind kind, const void *data,
                      size_t bytes);
