/* SPDX-License-Identifier: Apache-2.0 */
/* See parts.h. Fed by strangers. */
#include "proto/mesh/parts.h"

#include "common/alloc.h"
#include "proto/mesh/outbox.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct partial {
	uint32_t stream;
	struct frame *frame; /* as it will be; head.length is that of the whole */
	size_t filled, room; /* of its body */
	uint64_t begun_ms;
	UT_hash_handle hh;
};

static void partial_free(struct parts *p, struct partial *one)
{
	HASH_DEL(p->partials, one);
	frame_free(one->frame);
	free(one);
}

void parts_deinit(struct parts *p)
{
	while (p->partials)
		partial_free(p, p->partials);
}

static void fill(struct partial *one, const uint8_t *bytes, size_t count)
{
	if (one->filled + count > one->room) {
		size_t room = one->room * 2 > one->filled + count ? one->room * 2
		                                                  : one->filled + count;

		if (room > one->frame->head.length)
			room = one->frame->head.length;
		one->frame->body = xreallocarray(one->frame->body, room, 1);
		one->room = room;
	}
	if (count > 0)
		memcpy(one->frame->body + one->filled, bytes, count);
	one->filled += count;
}

int parts_begin(struct parts *p, const struct frame *f, uint32_t max_bytes, uint64_t now_ms,
                struct error *err)
{
	uint32_t first = f->head.length - f->head.header_bytes;
	struct partial *one;

	if (f->head.aux > max_bytes)
		return error_set(err, ERROR_TOO_LARGE,
		                 "the peer began a message of %u bytes; the limit is %u",
		                 f->head.aux, max_bytes);
	if (f->head.aux <= first)
		return error_set(err, ERROR_PROTOCOL,
		                 "the peer began a message of %u bytes in pieces, the first of %u",
		                 f->head.aux, first);
	HASH_FIND(hh, p->partials, &f->head.stream, sizeof(f->head.stream), one);
	if (one)
		return error_set(err, ERROR_PROTOCOL,
		                 "the peer began a message of call %u within another",
		                 f->head.stream);
	if (HASH_COUNT(p->partials) >= PARTIAL_MAX)
		return error_set(err, ERROR_TOO_LARGE,
		                 "the peer sends more than %d messages in pieces at a time",
		                 PARTIAL_MAX);
	one = xnew(struct partial);
	one->stream = f->head.stream;
	one->begun_ms = now_ms;
	one->frame = xnew(struct frame);
	one->frame->head = f->head;
	one->frame->head.flags &= (uint8_t)~FRAME_MORE;
	one->frame->head.aux = 0;
	one->frame->head.length = f->head.header_bytes + f->head.aux;
	fill(one, f->body, f->head.length);
	HASH_ADD(hh, p->partials, stream, sizeof(one->stream), one);
	return 0;
}

int parts_add(struct parts *p, const struct frame *f, struct frame **ret_whole, struct error *err)
{
	struct partial *one;
	size_t missing;

	*ret_whole = NULL;
	HASH_FIND(hh, p->partials, &f->head.stream, sizeof(f->head.stream), one);
	if (!one)
		return 0;
	missing = one->frame->head.length - one->filled;
	if (f->head.header_bytes > 0 || f->head.length > missing ||
	    !(f->head.flags & FRAME_MORE) != (f->head.length == missing))
		return error_set(err, ERROR_PROTOCOL,
		                 "the peer sent a piece of %u bytes of a message that lacks %zu",
		                 f->head.length, missing);
	fill(one, f->body, f->head.length);
	if (f->head.flags & FRAME_MORE)
		return 0;
	*ret_whole = one->frame;
	one->frame = NULL;
	partial_free(p, one);
	return 0;
}

void parts_drop(struct parts *p, uint32_t stream)
{
	struct partial *one;

	HASH_FIND(hh, p->partials, &stream, sizeof(stream), one);
	if (one)
		partial_free(p, one);
}

uint64_t parts_get_oldest_ms(const struct parts *p)
{
	uint64_t oldest = UINT64_MAX;

	for (const struct partial *one = p->partials; one; one = one->hh.next) {
		if (one->begun_ms < oldest)
			oldest = one->begun_ms;
	}
	return oldest;
}
