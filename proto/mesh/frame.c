/* SPDX-License-Identifier: Apache-2.0 */
/* See frame.h. Everything here is fed by strangers and is fuzzed (tests/fuzz/fuzz_frame.c). */
#include "proto/mesh/frame.h"

#include "common/alloc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A body's memory starts with this much, however long the body claims to be. */
#define BODY_FIRST_BYTES ((size_t)4096)

static void put_u32(uint8_t *to, uint32_t value)
{
	value = htonl(value);
	memcpy(to, &value, sizeof(value));
}

static uint32_t get_u32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return ntohl(value);
}

void frame_head_encode(const struct frame_head *head, uint8_t *ret_bytes)
{
	put_u32(ret_bytes, head->length);
	put_u32(ret_bytes + 4, head->stream);
	ret_bytes[8] = head->type;
	ret_bytes[9] = head->flags;
	ret_bytes[10] = (uint8_t)(head->header_bytes >> 8);
	ret_bytes[11] = (uint8_t)head->header_bytes;
	put_u32(ret_bytes + 12, head->aux);
}

void frame_head_decode(const uint8_t *bytes, struct frame_head *ret_head)
{
	ret_head->length = get_u32(bytes);
	ret_head->stream = get_u32(bytes + 4);
	ret_head->type = bytes[8];
	ret_head->flags = bytes[9];
	ret_head->header_bytes = (uint16_t)(bytes[10] << 8 | bytes[11]);
	ret_head->aux = get_u32(bytes + 12);
}

const char *frame_type_name(uint8_t type, char *ret_text)
{
	static const char *const names[] = {
		NULL,   "HELLO", "OPEN",   "MSG",  "END",    "CANCEL",
		"PING", "PONG",  "GOAWAY", "PART", "WINDOW", "HEADERS"
	};

	if (type > 0 && type < ARRAY_SIZE(names))
		return names[type];
	snprintf(ret_text, 16, "type %u", type);
	return ret_text;
}

void frame_free(struct frame *f)
{
	if (!f)
		return;
	free(f->body);
	free(f);
}

void frame_list_free(struct frame *first)
{
	for (struct frame *next; first; first = next) {
		next = first->next;
		frame_free(first);
	}
}

/* --- the reader --- */

void frame_reader_init(struct frame_reader *r, uint32_t max_bytes)
{
	*r = (struct frame_reader){ .max_bytes = max_bytes };
}

void frame_reader_deinit(struct frame_reader *r)
{
	frame_free(r->current);
	r->current = NULL;
}

/* Takes from @bytes what is still missing in r->head of @want bytes; whether all is there. */
static bool fill_head(struct frame_reader *r, size_t want, const uint8_t **bytes, size_t *count)
{
	size_t n = want - r->head_bytes;

	if (n > *count)
		n = *count;
	memcpy(r->head + r->head_bytes, *bytes, n);
	r->head_bytes += n;
	*bytes += n;
	*count -= n;
	return r->head_bytes == want;
}

static int check_preface(struct frame_reader *r, struct error *err)
{
	if (memcmp(r->head, FRAME_PREFACE, 4) != 0)
		return error_set(err, ERROR_PROTOCOL, "the peer does not speak drover's protocol");
	if (r->head[4] != (uint8_t)FRAME_PREFACE[4])
		return error_set(err, ERROR_PROTOCOL,
		                 "the peer speaks version %u of drover's protocol, we speak %u; "
		                 "upgrade the older one",
		                 r->head[4], (uint8_t)FRAME_PREFACE[4]);
	r->preface_done = true;
	r->head_bytes = 0;
	return 0;
}

static int begin_frame(struct frame_reader *r, struct error *err)
{
	uint32_t limit = r->hello_done ? r->max_bytes : FRAME_HELLO_MAX;
	struct frame_head head;
	char name[16];

	frame_head_decode(r->head, &head);
	if (head.length > limit)
		return error_set(err, ERROR_TOO_LARGE,
		                 "the peer sent a frame of %u bytes; the limit is %u", head.length,
		                 limit);
	if (head.header_bytes > head.length || head.header_bytes > FRAME_HEADER_MAX)
		return error_set(err, ERROR_PROTOCOL,
		                 "the peer sent a frame of %u bytes with a header of %u",
		                 head.length, head.header_bytes);
	if (!r->hello_done && head.type != FRAME_HELLO)
		return error_set(err, ERROR_PROTOCOL, "the peer began with %s instead of HELLO",
		                 frame_type_name(head.type, name));

	r->hello_done = true;
	r->head_bytes = 0;
	r->current = xnew(struct frame);
	r->current->head = head;
	r->body_bytes = 0;
	r->body_room = 0;
	return 0;
}

static void fill_body(struct frame_reader *r, const uint8_t **bytes, size_t *count)
{
	size_t n = r->current->head.length - r->body_bytes;

	if (n > *count)
		n = *count;
	if (r->body_bytes + n > r->body_room) {
		size_t room = r->body_room ? r->body_room : BODY_FIRST_BYTES;

		while (room < r->body_bytes + n)
			room *= 2;
		if (room > r->current->head.length)
			room = r->current->head.length;
		r->current->body = xreallocarray(r->current->body, room, 1);
		r->body_room = room;
	}
	if (n > 0)
		memcpy(r->current->body + r->body_bytes, *bytes, n);
	r->body_bytes += n;
	*bytes += n;
	*count -= n;
}

int frame_reader_push(struct frame_reader *r, const uint8_t *bytes, size_t count,
                      struct frame ***list_end, struct error *err)
{
	int rc = 0;

	while (rc == 0) {
		if (!r->preface_done) {
			if (!fill_head(r, FRAME_PREFACE_BYTES, &bytes, &count))
				return 0;
			rc = check_preface(r, err);
		} else if (!r->current) {
			if (!fill_head(r, FRAME_BYTES, &bytes, &count))
				return 0;
			rc = begin_frame(r, err);
		} else {
			fill_body(r, &bytes, &count);
			if (r->body_bytes < r->current->head.length)
				return 0;
			**list_end = r->current;
			*list_end = &r->current->next;
			r->current = NULL;
		}
	}
	return rc;
}

/* --- sending --- */

struct chunk *chunk_new(const void *data, size_t bytes)
{
	struct chunk *c = xmalloc(sizeof(*c) + bytes);

	c->next = NULL;
	c->bytes = bytes;
	memcpy(c->data, data, bytes);
	return c;
}

void chunk_list_free(struct chunk *first)
{
	for (struct chunk *next; first; first = next) {
		next = first->next;
		free(first);
	}
}

struct chunk *frame_pack(enum frame_type type, uint32_t stream, const ProtobufCMessage *header,
                         const ProtobufCMessage *payload)
{
	size_t header_bytes = header ? protobuf_c_message_get_packed_size(header) : 0;
	size_t payload_bytes = payload ? protobuf_c_message_get_packed_size(payload) : 0;
	struct frame_head head = {
		.length = (uint32_t)(header_bytes + payload_bytes),
		.stream = stream,
		.type = (uint8_t)type,
		.flags = type == FRAME_HEADERS ? FRAME_OPTIONAL : 0,
		.header_bytes = (uint16_t)header_bytes,
	};
	struct chunk *c;

	assert(header_bytes <= FRAME_HEADER_MAX);
	assert(payload_bytes <= UINT32_MAX - FRAME_HEADER_MAX);
	c = xmalloc(sizeof(*c) + FRAME_BYTES + head.length);
	c->next = NULL;
	c->bytes = FRAME_BYTES + head.length;
	frame_head_encode(&head, c->data);
	if (header)
		protobuf_c_message_pack(header, c->data + FRAME_BYTES);
	if (payload)
		protobuf_c_message_pack(payload, c->data + FRAME_BYTES + header_bytes);
	return c;
}
