/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that break the protocol lose their connection; nobody else notices. Over ipc and tcp; the
 * tcp ones have a good certificate, so that it is the frames which are judged. */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct raw raw_greeted(struct harness *h)
{
	struct raw r = raw_new(h);

	raw_add_hello(&r, "agent", "host9", "test");
	return r;
}

/* The server closed it, with this reason, and serves its other client as before. */
static void expect_told(struct raw *r, const char *reason)
{
	struct harness *h = r->h;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o;

	raw_run(r);
	assert_true(r->closed_by_peer);
	if (reason)
		assert_string_equal(raw_goaway(r), reason);
	raw_free(r);
	assert_int_equal(h->client.disconnects, 0);
	harness_unary(h, h->client.connection, "drover.test.Test/EmptyCall", &request.base, &o);
	assert_int_equal(o.status, MESH_OK);
}

static void expect_closed(struct raw *r)
{
	expect_told(r, NULL);
}

/* Bytes of no protocol at all, of many lengths. */
static void test_random_bytes(void **state)
{
	uint8_t noise[3000];
	unsigned seed = 1;

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)rand_r(&seed);
	for (size_t round = 0; round < 20; round++) {
		struct raw r = raw_new(*state);

		raw_add(&r, noise + round, round * 130 + 6);
		expect_closed(&r);
	}
}

/* Bytes of no protocol after a good HELLO. */
static void test_random_frames(void **state)
{
	unsigned seed = 2;

	for (size_t round = 0; round < 20; round++) {
		struct raw r = raw_greeted(*state);

		for (size_t i = 0; i < 100; i++) {
			uint8_t byte = (uint8_t)rand_r(&seed);

			/* A first length byte of a huge frame, else it could just wait. */
			raw_add(&r, i ? (void *)&byte : "\xff", 1);
		}
		expect_closed(&r);
	}
}

/* A frame that announces four gigabytes. */
static void f67_length_bomb(void **state)
{
	struct raw r = raw_greeted(*state);

	raw_add_head(&r,
	             &(struct frame_head){ .length = UINT32_MAX, .stream = 1, .type = FRAME_OPEN });
	expect_closed(&r);
}

/* A frame just over the limit. */
static void f67_oversized_frame(void **state)
{
	struct raw r = raw_greeted(*state);

	raw_add_head(&r, &(struct frame_head){ .length = 4 * 1024 * 1024 + FRAME_HEADER_MAX + 1,
	                                       .stream = 1,
	                                       .type = FRAME_OPEN });
	expect_closed(&r);
}

/* Calls of nobody: the number is even, used twice, or zero. */
static void test_stream_numbers(void **state)
{
	static const uint32_t pairs[][2] = { { 1, 2 }, { 5, 5 }, { 5, 3 }, { 1, 0 } };
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct raw r = raw_greeted(*state);

		raw_add_open(&r, pairs[i][0], "drover.test.Test/EmptyCall", &request.base);
		raw_add_open(&r, pairs[i][1], "drover.test.Test/EmptyCall", &request.base);
		expect_closed(&r);
	}
}

/* Answers to calls that were never made. */
static void test_answer_without_call(void **state)
{
	Drover__Mesh__End end = DROVER__MESH__END__INIT;
	struct raw r = raw_greeted(*state), s = raw_greeted(*state);

	raw_add_frame(&r, FRAME_END, 2, &end.base, NULL);
	expect_told(&r, "the peer answered call 2, which was never made");
	raw_add_frame(&s, FRAME_MSG, 0, NULL, NULL);
	expect_closed(&s);
}

/* A second HELLO, which could change who the peer is. */
static void test_second_hello(void **state)
{
	Drover__Mesh__Hello hello = DROVER__MESH__HELLO__INIT;
	struct raw r = raw_greeted(*state);

	hello.role = (char *)"admin";
	raw_add_frame(&r, FRAME_HELLO, 0, &hello.base, NULL);
	expect_closed(&r);
}

/* A call whose header is not one. */
static void test_malformed_open(void **state)
{
	struct raw r = raw_greeted(*state);

	raw_add_head(&r, &(struct frame_head){
				 .length = 4, .stream = 1, .type = FRAME_OPEN, .header_bytes = 4 });
	raw_add(&r, "\xff\xff\xff\xff", 4);
	expect_closed(&r);
}

/* An unknown frame closes, unless it says that it is optional: then a PING behind it is answered. */
static void test_unknown_frames(void **state)
{
	struct raw r = raw_greeted(*state), s = raw_greeted(*state);

	raw_add_head(&r, &(struct frame_head){ .type = 77 });
	expect_told(&r, "the peer sent type 77, which is not expected now");

	raw_add_head(&s, &(struct frame_head){ .type = 77, .flags = FRAME_OPTIONAL });
	raw_add_frame(&s, FRAME_PING, 0, NULL, NULL);
	s.until_pong = true;
	raw_run(&s);
	assert_non_null(raw_find(&s, FRAME_PONG, 0));
	raw_free(&s);
}

static const Drover__Mesh__End *unpack_end(const struct frame *f)
{
	assert_non_null(f);
	return drover__mesh__end__unpack(NULL, f->head.header_bytes, f->body);
}

/* A request that cannot be read fails alone; the connection goes on. */
static void test_malformed_request(void **state)
{
	struct raw r = raw_greeted(*state);
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	const Drover__Mesh__End *end;
	struct frame_head head = { .stream = 1, .type = FRAME_OPEN };
	uint8_t header[64];

	open.method = (char *)"drover.test.Test/UnaryCall";
	head.header_bytes = (uint16_t)drover__mesh__open__pack(&open, header);
	head.length = head.header_bytes + 4u;
	raw_add_head(&r, &head);
	raw_add(&r, header, head.header_bytes);
	raw_add(&r, "\x22\x02\xc3\x28", 4); /* text that is not UTF-8 */
	raw_add_open(&r, 3, "drover.test.Test/EmptyCall", &empty.base);
	raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	r.until_pong = true;
	raw_run(&r);

	end = unpack_end(raw_find(&r, FRAME_END, 0));
	assert_int_equal(end->code, MESH_INVALID_ARGUMENT);
	assert_string_equal(end->message,
	                    "drover.test.Test/UnaryCall: Request.text is not valid UTF-8");
	drover__mesh__end__free_unpacked((Drover__Mesh__End *)end, NULL);
	end = unpack_end(raw_find(&r, FRAME_END, 1));
	assert_int_equal(end->code, MESH_OK);
	drover__mesh__end__free_unpacked((Drover__Mesh__End *)end, NULL);
	raw_free(&r);
}

/* The first frame of a request that claims @whole bytes, with 5 of them. */
static void add_begun(struct raw *r, uint32_t stream, const char *method, uint32_t whole)
{
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	struct frame_head head = {
		.stream = stream, .type = FRAME_OPEN, .flags = FRAME_MORE, .aux = whole
	};
	uint8_t header[64];

	open.method = (char *)method;
	head.header_bytes = (uint16_t)drover__mesh__open__pack(&open, header);
	head.length = head.header_bytes + 5u;
	raw_add_head(r, &head);
	raw_add(r, header, head.header_bytes);
	raw_add(r,
	        "\x22\x7f"
	        "aaa",
	        5);
}

static void add_piece(struct raw *r, uint32_t stream, uint32_t bytes, bool more)
{
	struct frame_head head = { .length = bytes,
		                   .stream = stream,
		                   .type = FRAME_PART,
		                   .flags = more ? FRAME_MORE : 0 };

	raw_add_head(r, &head);
	for (uint32_t i = 0; i < bytes; i++)
		raw_add(r, "a", 1);
}

/* A request in pieces of five bytes is one request; pieces of a refused one are passed over. */
static void test_small_pieces(void **state)
{
	struct raw r = raw_greeted(*state);
	const Drover__Mesh__End *end;

	add_begun(&r, 1, "drover.test.Test/UnaryCall", 129);
	add_begun(&r, 3, "drover.test.Test/NoSuchMethod", 129);
	for (unsigned i = 0; i < 24; i++) {
		add_piece(&r, 1, 5, true);
		add_piece(&r, 3, 5, true);
	}
	add_piece(&r, 1, 4, false);
	raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	r.until_pong = true;
	raw_run(&r);
	end = unpack_end(raw_find(&r, FRAME_END, 0));
	assert_int_equal(end->code, MESH_UNIMPLEMENTED);
	drover__mesh__end__free_unpacked((Drover__Mesh__End *)end, NULL);
	end = unpack_end(raw_find(&r, FRAME_END, 1));
	assert_int_equal(end->code, MESH_OK);
	drover__mesh__end__free_unpacked((Drover__Mesh__End *)end, NULL);
	assert_null(raw_find(&r, FRAME_END, 2));
	raw_free(&r);
}

/* Messages in pieces are bounded in length and number, and a window in size. */
static void test_pieces_and_windows_are_bounded(void **state)
{
	struct raw r = raw_greeted(*state), s = raw_greeted(*state), t = raw_greeted(*state);
	struct frame_head window = { .stream = 1, .type = FRAME_WINDOW, .aux = UINT32_MAX };
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;

	add_begun(&r, 1, "drover.test.Test/UnaryCall", 4 * 1024 * 1024 + 1);
	expect_told(&r, "the peer began a message of 4194305 bytes; the limit is 4194304");

	for (uint32_t i = 0; i <= PARTIAL_MAX; i++)
		add_begun(&s, 2 * i + 1, "drover.test.Test/UnaryCall", 129);
	expect_told(&s, "the peer sends more than 8 messages in pieces at a time");

	raw_add_open(&t, 1, "drover.test.Test/OneThenSilence", &empty.base);
	raw_add_head(&t, &window);
	expect_told(&t, "the peer opened the window of call 1 to 4294967295 bytes");
}

/* Of 1,100 calls at once 1,024 are taken, the others told that it is too many. */
static void test_too_many_calls(void **state)
{
	struct harness *h = *state;
	struct raw r = raw_greeted(h);
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	const Drover__Mesh__End *end;

	for (uint32_t i = 0; i < 1100; i++)
		raw_add_open(&r, 2 * i + 1, "drover.test.Test/Sleep", &empty.base);
	raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	r.until_pong = true;
	raw_run(&r);
	assert_int_equal(h->server.sleeping, 1024);
	end = unpack_end(raw_find(&r, FRAME_END, 0));
	assert_int_equal(end->code, MESH_RESOURCE_EXHAUSTED);
	drover__mesh__end__free_unpacked((Drover__Mesh__End *)end, NULL);
	assert_non_null(raw_find(&r, FRAME_END, 75));
	assert_null(raw_find(&r, FRAME_END, 76));
	harness_wait_count(h, &h->server.cancelled, 1024);
	raw_free(&r);
}

/* Whoever connects and says nothing is closed when the time for the handshake is over. */
static void test_stalled_handshake(void **state)
{
	struct harness *h = *state;
	struct raw silent = { .h = h, .plain = true };
	struct raw half = raw_new(h);
	uint64_t begin_ms = clock_now_ms();

	raw_add(&half, "DRV", 3);
	raw_start(&silent);
	raw_run(&half);
	raw_finish(&silent);
	assert_true(silent.closed_by_peer && half.closed_by_peer);
	assert_true(clock_now_ms() - begin_ms >= 1000);
	raw_free(&half);
	raw_free(&silent);
}

static int setup_quick_handshake(void **state)
{
	struct harness *h = xnew(struct harness);
	struct mesh_options options;

	harness_open(h, harness_transport);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	options.handshake_ms = 1000;
	harness_start(h, &h->server, &options, true);
	*state = h;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_random_bytes),
		CASE(test_random_frames),
		CASE(f67_length_bomb),
		CASE(f67_oversized_frame),
		CASE(test_stream_numbers),
		CASE(test_answer_without_call),
		CASE(test_second_hello),
		CASE(test_malformed_open),
		CASE(test_unknown_frames),
		CASE(test_malformed_request),
		CASE(test_small_pieces),
		CASE(test_pieces_and_windows_are_bounded),
		CASE(test_too_many_calls),
		cmocka_unit_test_setup_teardown(test_stalled_handshake, setup_quick_handshake,
		                                harness_teardown),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
