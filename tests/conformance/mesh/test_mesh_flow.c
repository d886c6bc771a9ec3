/* SPDX-License-Identifier: Apache-2.0 */
/* A reader that is slow slows down its own stream, and nobody else. */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES 10000

/* A peer that asks for a flood and then does not read. */
static struct raw flood_peer(struct harness *h)
{
	struct raw r = raw_new(h);
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;

	r.read_later = true;
	request.reply_bytes = MESSAGE_BYTES;
	raw_add_hello(&r, "agent", "host9", "test");
	raw_add_open(&r, 1, "drover.test.Test/Flood", &request.base);
	return r;
}

/* The sender is stopped after kernel buffers and 64 KiB; calls of others are as quick as before;
 * when the reader reads again, the stream goes on. */
static void test_slow_reader_stalls_only_itself(void **state)
{
	struct harness *h = *state;
	struct raw r = flood_peer(h);
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	unsigned sent_when_stopped;
	uint64_t begin_ms;

	raw_start(&r);
	harness_wait_count(h, &h->server.slow, 1);
	harness_run(h, 300);
	sent_when_stopped = h->server.flooded;
	/* Socket buffers of some MiB at most, and our own queue. */
	assert_true(sent_when_stopped * MESSAGE_BYTES < 32 * 1024 * 1024);

	begin_ms = clock_now_ms();
	for (unsigned i = 0; i < 100; i++) {
		struct outcome o;

		harness_unary(h, h->client.connection, "drover.test.Test/EmptyCall", &request.base,
		              &o);
		assert_int_equal(o.status, MESH_OK);
	}
	assert_true(clock_now_ms() - begin_ms < 5000);
	assert_int_equal(h->server.flooded, sent_when_stopped);

	r.read_limit = (uint64_t)sent_when_stopped * MESSAGE_BYTES + 1024 * 1024;
	raw_read_now(&r);
	raw_finish(&r);
	assert_true(h->server.flooded > sent_when_stopped + 1024 * 1024 / MESSAGE_BYTES);
	assert_true(r.in_bytes >= r.read_limit);
	harness_wait_count(h, &h->server.cancelled, 1);
	raw_free(&r);
}

/* Two floods and small calls share one connection: each gets its turn. */
static void test_streams_share_a_connection(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	struct outcome a = { 0 }, b = { 0 };
	struct mesh_call *first, *second;

	request.reply_bytes = MESSAGE_BYTES;
	first = mesh_call_stream(h->client.connection, "drover.test.Test/Flood", &request.base, 0,
	                         outcome_message, outcome_done, &a);
	second = mesh_call_stream(h->client.connection, "drover.test.Test/Flood", &request.base, 0,
	                          outcome_message, outcome_done, &b);
	for (unsigned i = 0; i < 20; i++) {
		struct outcome o;

		harness_unary(h, h->client.connection, "drover.test.Test/EmptyCall", &empty.base,
		              &o);
		assert_int_equal(o.status, MESH_OK);
	}
	harness_wait_count(h, &a.messages, 500);
	harness_wait_count(h, &b.messages, 500);
	mesh_call_cancel(first);
	mesh_call_cancel(second);
	harness_wait_count(h, &h->server.cancelled, 2);
	assert_int_equal(h->client.disconnects, 0);
}

/* A paused stream stops its sender after a window, and only it: another stream of the connection and
 * calls go on; resumed, it goes on. */
static void test_paused_stream(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	struct outcome paused = { 0 }, other = { 0 }, o;
	struct mesh_call *first, *second;
	unsigned stopped_at;

	request.reply_bytes = MESSAGE_BYTES;
	first = mesh_call_stream(h->client.connection, "drover.test.Test/Flood", &request.base, 0,
	                         outcome_message, outcome_done, &paused);
	mesh_call_pause(first, true);
	harness_wait_count(h, &h->server.slow, 1);
	harness_run(h, 200);
	stopped_at = paused.messages;
	assert_in_range(stopped_at * MESSAGE_BYTES, 128 * 1024, 512 * 1024);

	second = mesh_call_stream(h->client.connection, "drover.test.Test/Flood", &request.base, 0,
	                          outcome_message, outcome_done, &other);
	harness_wait_count(h, &other.messages, 500);
	harness_unary(h, h->client.connection, "drover.test.Test/EmptyCall", &empty.base, &o);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(paused.messages, stopped_at);

	mesh_call_pause(first, false);
	harness_wait_count(h, &paused.messages, stopped_at + 500);
	mesh_call_cancel(first);
	mesh_call_cancel(second);
	harness_wait_count(h, &h->server.cancelled, 2);
	assert_int_equal(h->client.disconnects, 0);
}

#define BIG_ANSWERS 15

/* Big answers are on their way; a small one, given after them, passes them. All are given in one go, while
 * our side of this thread takes none, and they are more than sockets and windows hold: the last big
 * ones cannot have left before the small one is given. */
static void test_small_answers_pass_big_ones(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	struct outcome big[BIG_ANSWERS] = { 0 }, small = { 0 };

	mesh_call(h->client.connection, "drover.test.Test/Sleep", &empty.base, 60000, outcome_done,
	          &small);
	harness_wait_count(h, &h->server.sleeping, 1);
	h->server.collects = BIG_ANSWERS;
	request.reply_bytes = 4 * 1024 * 1024 - 100;
	for (size_t i = 0; i < ARRAY_SIZE(big); i++)
		mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &request.base, 60000,
		          outcome_done, &big[i]);
	harness_wait_flag(h, &small.done);
	assert_int_equal(small.status, MESH_OK);
	for (size_t i = 0; i < ARRAY_SIZE(big); i++) {
		harness_wait_flag(h, &big[i].done);
		assert_int_equal(big[i].status, MESH_OK);
		assert_int_equal(big[i].reply_bytes, request.reply_bytes);
		assert_true(big[i].reply_is_filled);
	}
	assert_true(small.order < big[BIG_ANSWERS - 1].order);
}

/* A long request that is cancelled while it waits was never sent, and the peer hears nothing of it. */
static void test_cancelled_before_it_left(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(4 * 1024 * 1024 - 100, 0);
	struct outcome o[4] = { 0 };
	struct mesh_call *calls[ARRAY_SIZE(o)];

	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		calls[i] = mesh_call(h->client.connection, "drover.test.Test/UnaryCall",
		                     &request->base, 60000, outcome_done, &o[i]);
	mesh_call_cancel(calls[3]);
	assert_true(o[3].done);
	assert_int_equal(o[3].status, MESH_CANCELLED);
	assert_true(o[3].never_sent);
	for (size_t i = 0; i < 3; i++) {
		harness_wait_flag(h, &o[i].done);
		assert_int_equal(o[i].status, MESH_OK);
	}
	assert_int_equal(h->client.disconnects, 0);
	request_free(request);
}

/* A caller that sends more than its peer reads is told so, and memory stays bounded. */
static void test_caller_is_bounded(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(4 * 1024 * 1024 - 100, 0);
	struct outcome o[20] = { 0 };
	unsigned refused = 0;

	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &request->base, 60000,
		          outcome_done, &o[i]);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		harness_wait_flag(h, &o[i].done);
		if (o[i].status == MESH_OK)
			continue;
		assert_int_equal(o[i].status, MESH_RESOURCE_EXHAUSTED);
		assert_int_equal(o[i].error.code, ERROR_BUSY);
		assert_true(o[i].never_sent);
		refused++;
	}
	assert_in_range(refused, 1, 5);
	assert_int_equal(h->client.disconnects, 0);
	request_free(request);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_streams_share_a_connection),  CASE(test_paused_stream),
		CASE(test_small_answers_pass_big_ones), CASE(test_cancelled_before_it_left),
		CASE(test_caller_is_bounded),
	};
	static const struct CMUnitTest socket_tests[] = {
		CASE(test_slow_reader_stalls_only_itself),
	};
	int failed;

	if (argc > 1)
		harness_transport = argv[1];
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (strcmp(harness_transport, "inproc") != 0)
		failed += cmocka_run_group_tests(socket_tests, NULL, NULL);
	return failed;
}
