/* SPDX-License-Identifier: Apache-2.0 */
/* The frame reader takes bytes as they come and believes none of them. */
#include "proto/mesh/frame.h"

#include "common/alloc.h"
#include "proto/mesh/frame.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT (1024 * 1024)

/* Bytes of a conversation, put together by the tests. */
struct bytes {
	uint8_t data[64 * 1024];
	size_t count;
};

static void add(struct bytes *b, const void *data, size_t count)
{
	assert_true(b->count + count <= sizeof(b->data));
	memcpy(b->data + b->count, data, count);
	b->count += count;
}

static void add_head(struct bytes *b, uint32_t length, uint32_t stream, uint8_t type,
                     uint16_t header_bytes)
{
	struct frame_head head = {
		.length = length, .stream = stream, .type = type, .header_bytes = header_bytes
	};
	uint8_t out[FRAME_BYTES];

	frame_head_encode(&head, out);
	add(b, out, sizeof(out));
}

static void add_beginning(struct bytes *b)
{
	add(b, FRAME_PREFACE, FRAME_PREFACE_BYTES);
	add_head(b, 0, 0, FRAME_HELLO, 0);
}

static int push(struct frame_reader *r, const struct bytes *b, size_t step, struct frame **ret_list,
                struct error *err)
{
	struct frame **end = ret_list;
	int rc = 0;

	*ret_list = NULL;
	for (size_t at = 0; at < b->count && rc == 0; at += step) {
		size_t n = b->count - at < step ? b->count - at : step;

		rc = frame_reader_push(r, b->data + at, n, &end, err);
	}
	return rc;
}

/* All fields of a head survive the wire, whose layout is fixed. */
static void test_head_layout(void **state)
{
	static const uint8_t expected[FRAME_BYTES] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
		                                       0x07, 0x08, 0x09, 0x80, 0x0a, 0x0b,
		                                       0x0c, 0x0d, 0x0e, 0x0f };
	struct frame_head head = { 0x01020304, 0x05060708, 9, 0x80, 0x0a0b, 0x0c0d0e0f };
	struct frame_head back;
	uint8_t out[FRAME_BYTES];

	(void)state;
	frame_head_encode(&head, out);
	assert_memory_equal(out, expected, sizeof(out));
	frame_head_decode(out, &back);
	assert_int_equal(back.length, head.length);
	assert_int_equal(back.stream, head.stream);
	assert_int_equal(back.type, head.type);
	assert_int_equal(back.flags, head.flags);
	assert_int_equal(back.header_bytes, head.header_bytes);
	assert_int_equal(back.aux, head.aux);
}

/* However the bytes are cut, the same frames come out. */
static void test_any_cut(void **state)
{
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	Drover__Mesh__End payload = DROVER__MESH__END__INIT;
	struct bytes b = { .count = 0 };
	struct chunk *chunk;

	(void)state;
	open.method = (char *)"a.B/C";
	payload.message = (char *)"some text of the payload";
	chunk = frame_pack(FRAME_OPEN, 7, &open.base, &payload.base);
	add_beginning(&b);
	add(&b, chunk->data, chunk->bytes);
	add_head(&b, 0, 0, FRAME_PING, 0);

	for (size_t step = 1; step <= b.count; step++) {
		struct frame_reader r;
		struct frame *list, *f;
		struct error err;
		size_t payload_bytes;

		frame_reader_init(&r, LIMIT);
		assert_int_equal(push(&r, &b, step, &list, &err), 0);
		assert_int_equal(list->head.type, FRAME_HELLO);
		f = list->next;
		assert_int_equal(f->head.type, FRAME_OPEN);
		assert_int_equal(f->head.stream, 7);
		assert_memory_equal(f->body, chunk->data + FRAME_BYTES, f->head.length);
		frame_get_payload(f, &payload_bytes);
		assert_int_equal(payload_bytes, protobuf_c_message_get_packed_size(&payload.base));
		assert_int_equal(f->next->head.type, FRAME_PING);
		assert_null(f->next->next);
		frame_list_free(list);
		frame_reader_deinit(&r);
	}
	free(chunk);
}

static void expect_refusal(const struct bytes *b, enum error_code code, const char *text)
{
	struct frame_reader r;
	struct frame *list;
	struct error err;

	frame_reader_init(&r, LIMIT);
	assert_int_equal(push(&r, b, b->count, &list, &err), -(int)code);
	assert_string_equal(err.text, text);
	frame_list_free(list);
	frame_reader_deinit(&r);
}

/* A peer of another kind is recognised by its first four bytes. */
static void test_other_protocol(void **state)
{
	struct bytes b = { .count = 0 };

	(void)state;
	add(&b, "GET / HTTP/1.1\r\n", 16);
	expect_refusal(&b, ERROR_PROTOCOL, "the peer does not speak drover's protocol");
}

/* So is another version, by number. */
static void test_other_version(void **state)
{
	struct bytes b = { .count = 0 };

	(void)state;
	add(&b, "DRVR\2", 5);
	expect_refusal(&b, ERROR_PROTOCOL,
	               "the peer speaks version 2 of drover's protocol, we speak 1; upgrade the "
	               "older one");
}

/* Nothing but a HELLO comes first. */
static void test_hello_comes_first(void **state)
{
	struct bytes b = { .count = 0 };

	(void)state;
	add(&b, FRAME_PREFACE, FRAME_PREFACE_BYTES);
	add_head(&b, 0, 1, FRAME_OPEN, 0);
	expect_refusal(&b, ERROR_PROTOCOL, "the peer began with OPEN instead of HELLO");
}

/* Before somebody has said who they are, not even a megabyte is taken. */
static void test_hello_is_small(void **state)
{
	struct bytes b = { .count = 0 };

	(void)state;
	add(&b, FRAME_PREFACE, FRAME_PREFACE_BYTES);
	add_head(&b, FRAME_HELLO_MAX + 1, 0, FRAME_HELLO, 0);
	expect_refusal(&b, ERROR_TOO_LARGE,
	               "the peer sent a frame of 16385 bytes; the limit is 16384");
}

/* A length is compared with the limit when only the head is there, up to the largest. */
static void test_length_bomb(void **state)
{
	struct bytes b = { .count = 0 };

	(void)state;
	add_beginning(&b);
	add_head(&b, UINT32_MAX, 1, FRAME_OPEN, 0);
	expect_refusal(&b, ERROR_TOO_LARGE,
	               "the peer sent a frame of 4294967295 bytes; the limit is 1048576");
}

/* A frame of just the limit passes, and its memory grows with what has come, not with the claim. */
static void test_memory_follows_bytes(void **state)
{
	struct bytes b = { .count = 0 };
	struct frame_reader r;
	struct frame *list;
	struct error err;

	(void)state;
	add_beginning(&b);
	add_head(&b, LIMIT, 1, FRAME_OPEN, 0);
	add(&b, "only ten..", 10);
	frame_reader_init(&r, LIMIT);
	assert_int_equal(push(&r, &b, b.count, &list, &err), 0);
	assert_int_equal(r.body_bytes, 10);
	assert_in_range(r.body_room, 10, 4096);
	frame_list_free(list);
	frame_reader_deinit(&r);
}

/* A header longer than its frame, or than any header, is refused. */
static void test_header_lengths(void **state)
{
	struct bytes b = { .count = 0 };

	(void)state;
	add_beginning(&b);
	add_head(&b, 10, 1, FRAME_OPEN, 11);
	expect_refusal(&b, ERROR_PROTOCOL, "the peer sent a frame of 10 bytes with a header of 11");
	b.count = 0;
	add_beginning(&b);
	add_head(&b, 10000, 1, FRAME_OPEN, FRAME_HEADER_MAX + 1);
	expect_refusal(&b, ERROR_PROTOCOL,
	               "the peer sent a frame of 10000 bytes with a header of 8193");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_layout),
		cmocka_unit_test(test_any_cut),
		cmocka_unit_test(test_other_protocol),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_hello_comes_first),
		cmocka_unit_test(test_hello_is_small),
		cmocka_unit_test(test_length_bomb),
		cmocka_unit_test(test_memory_follows_bytes),
		cmocka_unit_test(test_header_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
