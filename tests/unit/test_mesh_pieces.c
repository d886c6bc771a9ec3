/* SPDX-License-Identifier: Apache-2.0 */
/* Long messages in pieces: who is next (proto/mesh/outbox.h), and putting them together again
 * (proto/mesh/parts.h). */
#include "common/alloc.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/outbox.h"
#include "proto/mesh/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PIECE     100
#define MAX_BYTES 100000

/* A message whose payload is @bytes long, or one or two more. */
static void add(struct outbox *o, enum frame_type type, uint32_t stream, size_t bytes,
                uint64_t *sent_at)
{
	Drover__Mesh__GoAway payload = DROVER__MESH__GO_AWAY__INIT;
	Drover__Mesh__Cancel header = DROVER__MESH__CANCEL__INIT;
	char *text = xmalloc(bytes + 1);

	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)('a' + (i + stream) % 26);
	text[bytes] = 0;
	payload.reason = text;
	header.code = 7;
	outbox_add(o, type, stream, &header.base, &payload.base, sent_at);
	free(text);
}

/* The next frame that leaves @o. */
static struct frame *take(struct outbox *o, uint64_t **ret_sent_at)
{
	struct chunk *c = outbox_take(o, PIECE, ret_sent_at);
	struct frame *f = xnew(struct frame);

	frame_head_decode(c->data, &f->head);
	assert_int_equal(c->bytes, FRAME_BYTES + f->head.length);
	f->body = xmemdup(c->data + FRAME_BYTES, f->head.length);
	free(c);
	return f;
}

static struct frame *take_of(struct outbox *o, uint32_t stream)
{
	uint64_t *sent_at;
	struct frame *f = take(o, &sent_at);

	assert_int_equal(f->head.stream, stream);
	return f;
}

/* A short answer passes a long one that was there first; a stream's own order is kept. */
static void test_streams_take_turns(void **state)
{
	struct outbox o = { 0 };

	(void)state;
	add(&o, FRAME_END, 1, 1000, NULL);
	frame_free(take_of(&o, 1));
	add(&o, FRAME_END, 3, 10, NULL);
	add(&o, FRAME_MSG, 5, 10, NULL);
	add(&o, FRAME_END, 5, 20, NULL);
	frame_free(take_of(&o, 1));
	frame_free(take_of(&o, 3));
	frame_free(take_of(&o, 5));
	frame_free(take_of(&o, 1));
	frame_free(take_of(&o, 5));
	frame_free(take_of(&o, 1));
	frame_free(take_of(&o, 1));
	assert_int_equal(outbox_drop(&o, 5), OUTBOX_HAD_NOTHING);
	assert_int_equal(outbox_drop(&o, 1), OUTBOX_DROPPED_REST);
	assert_true(outbox_is_empty(&o));
}

/* What was cut in pieces is the same when it is put together, and the sender learns when the last
 * piece left. */
static void test_pieces_make_the_message(void **state)
{
	struct outbox o = { 0 };
	struct parts p = { 0 };
	uint64_t sent_at = 0;

	(void)state;
	for (size_t bytes = 1; bytes < 4 * PIECE; bytes++) {
		struct frame *whole = NULL;
		uint64_t *told = NULL;
		struct error err;
		Drover__Mesh__GoAway *got;

		add(&o, FRAME_OPEN, 9, bytes, &sent_at);
		for (unsigned n = 0; !whole; n++) {
			struct frame *f = take(&o, &told);

			assert_in_range(f->head.length - f->head.header_bytes, 1, PIECE);
			if (n == 0 && !(f->head.flags & FRAME_MORE)) {
				whole = f;
				break;
			}
			assert_int_equal(f->head.type, n == 0 ? FRAME_OPEN : FRAME_PART);
			if (n == 0)
				assert_int_equal(parts_begin(&p, f, MAX_BYTES, 5, &err), 0);
			else
				assert_int_equal(parts_add(&p, f, &whole, &err), 0);
			assert_true(!whole == !told);
			assert_int_equal(parts_get_oldest_ms(&p), whole ? UINT64_MAX : 5);
			frame_free(f);
		}
		assert_ptr_equal(told, &sent_at);
		assert_true(outbox_is_empty(&o));
		assert_int_equal(whole->head.type, FRAME_OPEN);
		assert_int_equal(whole->head.flags, 0);
		got = drover__mesh__go_away__unpack(NULL,
		                                    whole->head.length - whole->head.header_bytes,
		                                    whole->body + whole->head.header_bytes);
		assert_non_null(got);
		assert_int_equal(strlen(got->reason), bytes);
		assert_int_equal(got->reason[bytes - 1], 'a' + (bytes - 1 + 9) % 26);
		drover__mesh__go_away__free_unpacked(got, NULL);
		frame_free(whole);
	}
}

/* No more long messages are begun at a time than a receiver puts together; short ones go on. */
static void test_begun_messages_are_bounded(void **state)
{
	struct outbox o = { 0 };
	struct parts p = { 0 };
	unsigned begun = 0, short_ones = 0, pieces = 0;

	(void)state;
	for (uint32_t i = 0; i < 3 * PARTIAL_MAX; i++) {
		add(&o, FRAME_END, 2 * i + 1, 500, NULL);
		add(&o, FRAME_END, 1000 + i, 10, NULL);
	}
	while (!outbox_is_empty(&o)) {
		struct frame *whole = NULL;
		uint64_t *sent_at;
		struct error err;
		struct frame *f = take(&o, &sent_at);

		if (f->head.type == FRAME_PART)
			assert_int_equal(parts_add(&p, f, &whole, &err), 0);
		else if (f->head.flags & FRAME_MORE)
			assert_int_equal(parts_begin(&p, f, MAX_BYTES, 0, &err), 0);
		begun += (f->head.flags & FRAME_MORE) && f->head.type == FRAME_END;
		short_ones += f->head.stream >= 1000;
		/* Each of them had its turn before any long one came to its end. */
		if (whole && pieces++ == 0)
			assert_int_equal(short_ones, 3 * PARTIAL_MAX);
		frame_free(whole);
		frame_free(f);
	}
	assert_int_equal(begun, 3 * PARTIAL_MAX);
	assert_int_equal(pieces, 3 * PARTIAL_MAX);
}

/* A call that ends before its request has left is forgotten, and the books are right again. */
static void test_dropping(void **state)
{
	struct outbox o = { 0 };

	(void)state;
	add(&o, FRAME_OPEN, 1, 1000, NULL);
	assert_int_equal(outbox_drop(&o, 1), OUTBOX_DROPPED_WHOLE);
	assert_true(outbox_is_empty(&o));
	add(&o, FRAME_OPEN, 1, 1000, NULL);
	add(&o, FRAME_MSG, 1, 1000, NULL);
	frame_free(take_of(&o, 1));
	assert_int_equal(outbox_drop(&o, 1), OUTBOX_DROPPED_REST);
	assert_true(outbox_is_empty(&o));
	assert_int_equal(o.n_begun, 0);
	add(&o, FRAME_OPEN, 1, 1000, NULL);
	outbox_deinit(&o);
	assert_true(outbox_is_empty(&o));
}

static int begin(struct parts *p, uint32_t stream, uint32_t first, uint32_t whole,
                 struct error *err)
{
	uint8_t body[64] = { 0 };
	struct frame f = { .head = { .length = first,
		                     .stream = stream,
		                     .type = FRAME_MSG,
		                     .flags = FRAME_MORE,
		                     .aux = whole },
		           .body = body };

	return parts_begin(p, &f, 1000, 0, err);
}

static int part(struct parts *p, uint32_t stream, uint32_t bytes, bool more, struct frame **whole,
                struct error *err)
{
	uint8_t body[64] = { 0 };
	struct frame f = { .head = { .length = bytes,
		                     .stream = stream,
		                     .type = FRAME_PART,
		                     .flags = more ? FRAME_MORE : 0 },
		           .body = body };

	return parts_add(p, &f, whole, err);
}

/* A peer that lies about lengths is found out at once, and what it sent is held within bounds. */
static void test_lies(void **state)
{
	struct parts p = { 0 };
	struct frame *whole;
	struct error err;

	(void)state;
	assert_int_equal(begin(&p, 1, 10, 1001, &err), -ERROR_TOO_LARGE);
	assert_string_equal(err.text, "the peer began a message of 1001 bytes; the limit is 1000");
	assert_int_equal(begin(&p, 1, 10, 10, &err), -ERROR_PROTOCOL);
	assert_int_equal(begin(&p, 1, 10, 0, &err), -ERROR_PROTOCOL);
	assert_int_equal(begin(&p, 1, 10, 30, &err), 0);
	assert_int_equal(begin(&p, 1, 10, 30, &err), -ERROR_PROTOCOL);
	assert_int_equal(part(&p, 1, 21, false, &whole, &err), -ERROR_PROTOCOL);
	assert_int_equal(part(&p, 1, 10, false, &whole, &err), -ERROR_PROTOCOL);
	assert_int_equal(part(&p, 1, 20, true, &whole, &err), -ERROR_PROTOCOL);
	assert_int_equal(part(&p, 7, 20, false, &whole, &err), 0);
	assert_null(whole);
	/* Nothing of a piece at all is no harm. */
	assert_int_equal(part(&p, 1, 0, true, &whole, &err), 0);
	assert_int_equal(part(&p, 1, 20, false, &whole, &err), 0);
	assert_non_null(whole);
	frame_free(whole);

	for (uint32_t i = 0; i < PARTIAL_MAX; i++)
		assert_int_equal(begin(&p, 10 + i, 10, 30, &err), 0);
	assert_int_equal(begin(&p, 100, 10, 30, &err), -ERROR_TOO_LARGE);
	parts_drop(&p, 10);
	assert_int_equal(begin(&p, 100, 10, 30, &err), 0);
	parts_deinit(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams_take_turns),
		cmocka_unit_test(test_pieces_make_the_message),
		cmocka_unit_test(test_begun_messages_are_bounded),
		cmocka_unit_test(test_dropping),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
