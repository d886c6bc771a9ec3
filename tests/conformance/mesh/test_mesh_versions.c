/* SPDX-License-Identifier: Apache-2.0 */
/* Peers of the version before this one, and of one after it.
 *
 * The one before is bytes that it really sent, written down here: nothing of today's code makes them,
 * so a change of ours that breaks it is seen. It knows no features, no HEADERS, no draining. The one
 * after has fields and frames that do not exist yet.
 */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"
#include "proto/mesh/frame.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define B(...) ((const uint8_t[]){ __VA_ARGS__ }), sizeof((const uint8_t[]){ __VA_ARGS__ })

/* --- the version before --- */

/* Preface; HELLO of agent host9: versions 1 to 1, 4 MiB, 1024 calls, keepalive 5000 ms, build 0.1.0,
 * windows of 256 KiB, pieces of 16 KiB. */
static void add_old_hello(struct raw *r)
{
	raw_add(r, B('D', 'R', 'V', 'R', 1));
	raw_add(r, B(0, 0, 0, 68, 0, 0, 0, 0, 1, 0, 0, 68, 0, 0, 0, 0));
	raw_add(r, B(0x08, 1, 0x10, 1, 0x1a, 5, 'a', 'g', 'e', 'n', 't'));
	raw_add(r, B(0x22, 5, 'h', 'o', 's', 't', '9', 0x2a, 4, 't', 'e', 's', 't'));
	raw_add(r, B(0x32, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
	raw_add(r, B(0x38, 0x80, 0x80, 0x80, 0x02, 0x40, 0x80, 0x08, 0x48, 0x88, 0x27));
	raw_add(r, B(0x52, 5, '0', '.', '1', '.', '0'));
	raw_add(r, B(0x58, 0x80, 0x80, 0x10, 0x60, 0x80, 0x80, 0x01));
}

/* OPEN of call 1, drover.test.Test/UnaryCall within 10 s, with metadata of today's echo and a request
 * for 10 bytes. */
static void add_old_open_with_metadata(struct raw *r)
{
	raw_add(r, B(0, 0, 0, 66, 0, 0, 0, 1, 2, 0, 0, 64, 0, 0, 0, 0));
	raw_add(r, B(0x0a, 26));
	raw_add(r, "drover.test.Test/UnaryCall", 26);
	raw_add(r, B(0x10, 0x80, 0xad, 0xe2, 0x04));
	raw_add(r, B(0x1a, 29, 0x0a, 24));
	raw_add(r, "x-grpc-test-echo-initial", 24);
	raw_add(r, B(0x12, 1, 0xff));
	raw_add(r, B(0x10, 10));
}

/* OPEN of call 3, drover.test.Test/Sleep within 10 s. */
static void add_old_open_sleep(struct raw *r)
{
	raw_add(r, B(0, 0, 0, 29, 0, 0, 0, 3, 2, 0, 0, 29, 0, 0, 0, 0));
	raw_add(r, B(0x0a, 22));
	raw_add(r, "drover.test.Test/Sleep", 22);
	raw_add(r, B(0x10, 0x80, 0xad, 0xe2, 0x04));
}

static uint32_t code_of_end(const struct raw *r, unsigned n)
{
	const struct frame *f = raw_find(r, FRAME_END, n);
	Drover__Mesh__End *end;
	uint32_t code;

	assert_non_null(f);
	end = drover__mesh__end__unpack(NULL, f->head.header_bytes, f->body);
	assert_non_null(end);
	code = end->code;
	drover__mesh__end__free_unpacked(end, NULL);
	return code;
}

/* Its call is served. What it cannot know comes in frames that it may skip. */
static void f72_version_before(void **state)
{
	struct raw r = raw_new(*state);

	add_old_hello(&r);
	add_old_open_with_metadata(&r);
	r.until_pong = true;
	raw_add(&r, B(0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0)); /* PING */
	raw_run(&r);
	assert_false(r.closed_by_peer);
	assert_non_null(raw_find(&r, FRAME_HELLO, 0));
	assert_int_equal(code_of_end(&r, 0), MESH_OK);
	for (const struct frame *f = r.frames; f; f = f->next)
		assert_true(f->head.type <= FRAME_WINDOW || f->head.flags & FRAME_OPTIONAL);
	raw_free(&r);
}

static void set_flag(void *context)
{
	*(bool *)context = true;
}

/* It takes any GOAWAY as the end. So when we stop, it hears of that after its last answer. */
static void test_draining_with_the_version_before(void **state)
{
	Drover__Test__Empty reply = DROVER__TEST__EMPTY__INIT;
	struct harness *h = *state;
	struct raw r = raw_new(h);
	const struct frame *f;
	bool drained = false;

	add_old_hello(&r);
	add_old_open_sleep(&r);
	raw_start(&r);
	harness_wait_count(h, &h->server.sleeping, 1);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	harness_run(h, 100);
	assert_false(drained);
	mesh_reply(h->server.last_sleeper, &reply.base);
	raw_finish(&r);
	assert_int_equal(code_of_end(&r, 0), MESH_OK);
	f = raw_find(&r, FRAME_GOAWAY, 0);
	assert_non_null(f);
	assert_null(raw_find(&r, FRAME_GOAWAY, 1));
	for (; f; f = f->next)
		assert_int_not_equal(f->head.type, FRAME_END);
	assert_string_equal(raw_goaway(&r), "coordinator c1 is stopping");
	harness_wait_flag(h, &drained);
	raw_free(&r);
}

/* --- a version after --- */

/* A HELLO with fields 50 (a number) and 60 (bytes), all features, and versions up to 7. */
static void add_new_hello(struct raw *r)
{
	raw_add(r, B('D', 'R', 'V', 'R', 1));
	raw_add(r, B(0, 0, 0, 48, 0, 0, 0, 0, 1, 0, 0, 48, 0, 0, 0, 0));
	raw_add(r, B(0x08, 1, 0x10, 7, 0x1a, 5, 'a', 'g', 'e', 'n', 't'));
	raw_add(r, B(0x22, 5, 'h', 'o', 's', 't', '9', 0x2a, 4, 't', 'e', 's', 't'));
	raw_add(r, B(0x38, 0x80, 0x80, 0x80, 0x02, 0x40, 0x80, 0x08));
	raw_add(r, B(0x68, 0xff, 0xff, 0xff, 0xff, 0x0f));
	raw_add(r, B(0x90, 0x03, 5, 0xe2, 0x03, 4, 'n', 'e', 'w', '!'));
}

/* What it has more than we do is passed over; what we both know works. */
static void f72_version_after(void **state)
{
	struct raw r = raw_new(*state);

	add_new_hello(&r);
	/* Type 77, which may be skipped, with three bytes of header and two of payload. */
	raw_add(&r, B(0, 0, 0, 5, 0, 0, 0, 9, 77, 0x80, 0, 3, 1, 2, 3, 4));
	raw_add(&r, B(1, 2, 3, 4, 5));
	/* OPEN of EmptyCall with field 61, its request with field 40. */
	raw_add(&r, B(0, 0, 0, 34, 0, 0, 0, 1, 2, 0, 0, 31, 0, 0, 0, 0));
	raw_add(&r, B(0x0a, 26));
	raw_add(&r, "drover.test.Test/EmptyCall", 26);
	raw_add(&r, B(0xe8, 0x03, 1));
	raw_add(&r, B(0xc0, 0x02, 1));
	r.until_pong = true;
	raw_add(&r, B(0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0));
	raw_run(&r);
	assert_false(r.closed_by_peer);
	assert_int_equal(code_of_end(&r, 0), MESH_OK);
	raw_free(&r);
}

/* A frame that may not be skipped means that we do not understand each other. */
static void test_frame_that_must_be_known(void **state)
{
	struct raw r = raw_new(*state);

	add_new_hello(&r);
	raw_add(&r, B(0, 0, 0, 0, 0, 0, 0, 9, 77, 0, 0, 0, 0, 0, 0, 0));
	raw_run(&r);
	assert_true(r.closed_by_peer);
	assert_string_equal(raw_goaway(&r), "the peer sent type 77, which is not expected now");
	raw_free(&r);
}

/* A version that has left ours behind is told what to do. */
static void f72_version_too_new(void **state)
{
	struct raw r = raw_new(*state);

	raw_add(&r, B('D', 'R', 'V', 'R', 1));
	raw_add(&r, B(0, 0, 0, 24, 0, 0, 0, 0, 1, 0, 0, 24, 0, 0, 0, 0));
	raw_add(&r, B(0x08, 2, 0x10, 3, 0x1a, 5, 'a', 'g', 'e', 'n', 't'));
	raw_add(&r, B(0x22, 5, 'h', 'o', 's', 't', '9', 0x2a, 4, 't', 'e', 's', 't'));
	raw_run(&r);
	assert_true(r.closed_by_peer);
	assert_string_equal(raw_goaway(&r), "it speaks versions 2 to 3 of drover's protocol, we "
	                                    "speak 1; upgrade the older one");
	raw_free(&r);
}

/* --- gRPC's ping --- */

/* Each PING has its PONG, wherever it stands between other frames. */
static void test_ping_around_every_frame(void **state)
{
	Drover__Test__Request *request = request_new(100, 40000);
	struct raw r = raw_new(*state);
	unsigned pongs = 0, ends = 0;

	raw_add_hello(&r, "agent", "host9", "test");
	for (uint32_t stream = 1; stream < 20; stream += 2) {
		raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
		raw_add_open(&r, stream, "drover.test.Test/UnaryCall", &request->base);
		raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	}
	/* Then a frame that ends it: all before it was answered. */
	raw_add_frame(&r, FRAME_HELLO, 0, NULL, NULL);
	raw_run(&r);
	for (const struct frame *f = r.frames; f; f = f->next) {
		pongs += f->head.type == FRAME_PONG;
		ends += f->head.type == FRAME_END;
	}
	assert_int_equal(pongs, 20);
	assert_in_range(ends, 1, 10);
	raw_free(&r);
	request_free(request);
}

/* --- metadata of somebody who does not keep the rules --- */

static void check_metadata(struct harness *h, size_t count, const char *key, size_t bytes)
{
	uint8_t *value = xcalloc(1, bytes + 1);
	Drover__Mesh__Metadata row = DROVER__MESH__METADATA__INIT, *rows[64];
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	struct raw r = raw_new(h);

	row.key = (char *)key;
	row.value.data = value;
	row.value.len = bytes;
	for (size_t i = 0; i < count; i++)
		rows[i] = &row;
	open.method = (char *)"drover.test.Test/EmptyCall";
	open.metadata = rows;
	open.n_metadata = count;
	raw_add_hello(&r, "agent", "host9", "test");
	raw_add_frame(&r, FRAME_OPEN, 1, &open.base, NULL);
	r.until_pong = true;
	raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	raw_run(&r);
	assert_int_equal(code_of_end(&r, 0), MESH_INVALID_ARGUMENT);
	raw_free(&r);
	free(value);
}

/* Its call is refused before a handler sees it; the connection stays. */
static void test_metadata_against_the_rules(void **state)
{
	check_metadata(*state, MESH_METADATA_MAX + 1, "k", 1);
	check_metadata(*state, 2, "twice", 1);
	check_metadata(*state, 1, "Upper Case", 1);
	check_metadata(*state, 1, "", 1);
	check_metadata(*state, 1, "long", MESH_METADATA_BYTES);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(f72_version_before),
		CASE(test_draining_with_the_version_before),
		CASE(f72_version_after),
		CASE(test_frame_that_must_be_known),
		CASE(f72_version_too_new),
		CASE(test_ping_around_every_frame),
		CASE(test_metadata_against_the_rules),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
