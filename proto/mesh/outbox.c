/* SPDX-License-Identifier: Apache-2.0 */
/* See outbox.h. */
#include "proto/mesh/outbox.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

struct outmessage {
	struct outmessage *next;
	uint64_t *sent_at;
	struct frame_head head; /* length: header and payload */
	size_t taken;           /* of the payload */
	bool begun;
	uint8_t body[];
};

struct outstream {
	uint32_t number;
	struct outmessage *first, *last;
	UT_hash_handle hh;
	struct outstream *prev, *next;
};

static size_t payload_bytes(const struct outmessage *m)
{
	return m->head.length - m->head.header_bytes;
}

static void forget_stream(struct outbox *o, struct outstream *s)
{
	HASH_DEL(o->streams, s);
	DL_DELETE(o->turn, s);
	free(s);
}

/* The first message of @s is done with. */
static void forget_first(struct outbox *o, struct outstream *s)
{
	struct outmessage *m = s->first;

	s->first = m->next;
	o->n_begun -= m->begun;
	free(m);
}

void outbox_deinit(struct outbox *o)
{
	while (o->turn)
		outbox_drop(o, o->turn->number);
}

void outbox_add(struct outbox *o, enum frame_type type, uint32_t stream,
                const ProtobufCMessage *header, const ProtobufCMessage *payload, uint64_t *sent_at)
{
	size_t header_bytes = header ? protobuf_c_message_get_packed_size(header) : 0;
	size_t bytes = payload ? protobuf_c_message_get_packed_size(payload) : 0;
	struct outmessage *m = xmalloc(sizeof(*m) + header_bytes + bytes);
	struct outstream *s;

	assert(header_bytes <= FRAME_HEADER_MAX && bytes <= UINT32_MAX - FRAME_HEADER_MAX);
	*m = (struct outmessage){ .sent_at = sent_at };
	m->head.length = (uint32_t)(header_bytes + bytes);
	m->head.stream = stream;
	m->head.type = (uint8_t)type;
	m->head.header_bytes = (uint16_t)header_bytes;
	if (header)
		protobuf_c_message_pack(header, m->body);
	if (payload)
		protobuf_c_message_pack(payload, m->body + header_bytes);
	o->bytes += FRAME_BYTES + m->head.length;

	HASH_FIND(hh, o->streams, &stream, sizeof(stream), s);
	if (s) {
		s->last->next = m;
		s->last = m;
		return;
	}
	s = xnew(struct outstream);
	s->number = stream;
	s->first = s->last = m;
	HASH_ADD(hh, o->streams, number, sizeof(s->number), s);
	DL_APPEND(o->turn, s);
}

/* Who is next. A long message waits while enough others are begun; short ones pass it. */
static struct outstream *next_turn(struct outbox *o, size_t piece_max)
{
	struct outstream *s;

	DL_FOREACH (o->turn, s) {
		if (s->first->begun || payload_bytes(s->first) <= piece_max ||
		    o->n_begun < PARTIAL_MAX)
			return s;
	}
	/* Those that are begun are in the list. */
	assert(false);
	return NULL;
}

struct chunk *outbox_take(struct outbox *o, size_t piece_max, uint64_t **ret_sent_at)
{
	struct outstream *s = next_turn(o, piece_max);
	struct outmessage *m = s->first;
	size_t left = payload_bytes(m) - m->taken;
	size_t piece = left < piece_max ? left : piece_max;
	size_t header_bytes = m->begun ? 0 : m->head.header_bytes;
	struct frame_head head = m->head;
	struct chunk *c = xmalloc(sizeof(*c) + FRAME_BYTES + header_bytes + piece);

	head.length = (uint32_t)(header_bytes + piece);
	head.header_bytes = (uint16_t)header_bytes;
	if (m->begun)
		head.type = FRAME_PART;
	if (piece < left) {
		head.flags = FRAME_MORE;
		if (!m->begun)
			head.aux = (uint32_t)payload_bytes(m);
	}
	c->next = NULL;
	c->bytes = FRAME_BYTES + head.length;
	frame_head_encode(&head, c->data);
	memcpy(c->data + FRAME_BYTES, m->body, header_bytes);
	memcpy(c->data + FRAME_BYTES + header_bytes, m->body + m->head.header_bytes + m->taken,
	       piece);

	*ret_sent_at = NULL;
	o->bytes -= header_bytes + piece;
	DL_DELETE(o->turn, s);
	DL_APPEND(o->turn, s);
	if (piece < left) {
		o->n_begun += !m->begun;
		m->begun = true;
		m->taken += piece;
		return c;
	}
	o->bytes -= FRAME_BYTES;
	*ret_sent_at = m->sent_at;
	forget_first(o, s);
	if (!s->first)
		forget_stream(o, s);
	return c;
}

enum outbox_dropped outbox_drop(struct outbox *o, uint32_t stream)
{
	enum outbox_dropped dropped;
	struct outstream *s;

	HASH_FIND(hh, o->streams, &stream, sizeof(stream), s);
	if (!s)
		return OUTBOX_HAD_NOTHING;
	dropped = s->first->begun ? OUTBOX_DROPPED_REST : OUTBOX_DROPPED_WHOLE;
	while (s->first) {
		const struct outmessage *m = s->first;

		o->bytes -= FRAME_BYTES + payload_bytes(m) - m->taken;
		if (!m->begun)
			o->bytes -= m->head.header_bytes;
		forget_first(o, s);
	}
	forget_stream(o, s);
	return dropped;
}
