/* SPDX-License-Identifier: Apache-2.0 */
/* See frame.h. */
#include "agent/tunnel/frame.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CODE_PING   0
#define CODE_REFUSE 0xfffd
#define CODE_OPEN   0xfffe
#define CODE_END    0xffff

void tunnel_buffer_init(struct tunnel_buffer *b, size_t capacity)
{
	*b = (struct tunnel_buffer){ .data = xmalloc(capacity), .capacity = capacity };
}

void tunnel_buffer_deinit(struct tunnel_buffer *b)
{
	free(b->data);
	*b = (struct tunnel_buffer){ 0 };
}

size_t tunnel_buffer_bytes(const struct tunnel_buffer *b)
{
	return b->end - b->start;
}

size_t tunnel_buffer_make_room(struct tunnel_buffer *b)
{
	if (b->start) {
		memmove(b->data, b->data + b->start, b->end - b->start);
		b->end -= b->start;
		b->start = 0;
	}
	return b->capacity - b->end;
}

void tunnel_buffer_put(struct tunnel_buffer *b, const void *data, size_t bytes)
{
	assert(bytes <= b->capacity - b->end);
	if (bytes)
		memcpy(b->data + b->end, data, bytes);
	b->end += bytes;
}

void tunnel_buffer_consume(struct tunnel_buffer *b, size_t bytes)
{
	assert(bytes <= tunnel_buffer_bytes(b));
	b->start += bytes;
	if (b->start == b->end)
		b->start = b->end = 0;
}

static uint16_t get_u16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static void put_u16(struct tunnel_buffer *b, unsigned int value)
{
	uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	tunnel_buffer_put(b, bytes, sizeof(bytes));
}

void tunnel_frame_parse(const uint8_t *data, size_t bytes, struct tunnel_frame *ret)
{
	size_t header = TUNNEL_FRAME_HEADER, length;
	unsigned int code;

	*ret = (struct tunnel_frame){ .kind = TUNNEL_FRAME_INCOMPLETE };
	if (bytes < header)
		return;
	code = get_u16(data);
	switch (code) {
	case CODE_PING:
	case CODE_OPEN:
	case CODE_END:
		ret->kind = code == CODE_PING   ? TUNNEL_FRAME_PING
		            : code == CODE_OPEN ? TUNNEL_FRAME_OPEN
		                                : TUNNEL_FRAME_END;
		ret->consumed = header;
		return;
	case CODE_REFUSE:
		header += 2;
		if (bytes < header)
			return;
		length = get_u16(data + 2);
		if (length > TUNNEL_FRAME_TEXT_MAX) {
			ret->kind = TUNNEL_FRAME_BAD;
			return;
		}
		break;
	default:
		length = code;
		if (length > TUNNEL_FRAME_DATA_MAX) {
			ret->kind = TUNNEL_FRAME_BAD;
			return;
		}
		break;
	}
	if (bytes - header < length)
		return;
	ret->kind = code == CODE_REFUSE ? TUNNEL_FRAME_REFUSE : TUNNEL_FRAME_DATA;
	ret->data = data + header;
	ret->bytes = length;
	ret->consumed = header + length;
}

bool tunnel_frame_put(struct tunnel_buffer *b, enum tunnel_frame_kind kind, const void *data,
                      size_t bytes)
{
	if (tunnel_buffer_make_room(b) < 2 * TUNNEL_FRAME_HEADER + bytes)
		return false;
	switch (kind) {
	case TUNNEL_FRAME_PING:
		put_u16(b, CODE_PING);
		break;
	case TUNNEL_FRAME_OPEN:
		put_u16(b, CODE_OPEN);
		break;
	case TUNNEL_FRAME_END:
		put_u16(b, CODE_END);
		break;
	case TUNNEL_FRAME_DATA:
		assert(bytes > 0 && bytes <= TUNNEL_FRAME_DATA_MAX);
		put_u16(b, (unsigned int)bytes);
		tunnel_buffer_put(b, data, bytes);
		break;
	case TUNNEL_FRAME_REFUSE:
		assert(bytes <= TUNNEL_FRAME_TEXT_MAX);
		put_u16(b, CODE_REFUSE);
		put_u16(b, (unsigned int)bytes);
		tunnel_buffer_put(b, data, bytes);
		break;
	default:
		assert(!"no such frame is sent");
	}
	return true;
}
