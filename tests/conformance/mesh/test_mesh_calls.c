/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's interop cases, over each transport (the program's argument). */
#include "tests/conformance/mesh/harness.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

/* A call without content is answered without content. */
static void test_empty_unary(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o;

	harness_unary(h, h->client.connection, "drover.test.Test/EmptyCall", &request.base, &o);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(o.error.code, ERROR_NONE);
}

/* 271,828 bytes go and 314,159 come back, all of them right. */
static void test_large_unary(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(271828, 314159);
	struct outcome o;

	harness_unary(h, h->client.connection, "drover.test.Test/UnaryCall", &request->base, &o);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(o.reply_bytes, 314159);
	assert_true(o.reply_is_filled);
	request_free(request);
}

/* The side that was dialled calls as well as the one that dialled. */
static void test_unary_from_the_acceptor(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(10, 20);
	struct outcome o;

	harness_unary(h, h->server.connection, "drover.test.Test/UnaryCall", &request->base, &o);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(o.reply_bytes, 20);
	request_free(request);
}

/* A stream's messages come whole, in order, and then its end, once. */
static void test_server_streaming(void **state)
{
	static uint32_t sizes[] = { 31415, 9, 2653, 58979 };
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct outcome o = { 0 };

	request.sizes = sizes;
	request.n_sizes = ARRAY_SIZE(sizes);
	mesh_call_stream(h->client.connection, "drover.test.Test/StreamCall", &request.base, 0,
	                 outcome_message, outcome_done, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(o.messages, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(o.message_bytes[i], sizes[i]);
}

/* A stream may have no messages. */
static void test_empty_stream(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct outcome o = { 0 };

	mesh_call_stream(h->client.connection, "drover.test.Test/StreamCall", &request.base, 0,
	                 outcome_message, outcome_done, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(o.messages, 0);
}

static void check_status(struct harness *h, uint32_t status, const char *text)
{
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct outcome o;

	request.status = status;
	request.text = (char *)text;
	harness_unary(h, h->client.connection, "drover.test.Test/UnaryCall", &request.base, &o);
	assert_int_equal(o.status, status);
	assert_int_equal(o.error.code, ERROR_REFUSED);
	assert_string_equal(o.error.text, text);
	assert_false(o.never_sent);
}

/* Status, error code and text arrive as the handler gave them; each of the 16 codes. */
static void test_status_code_and_message(void **state)
{
	for (uint32_t status = 1; status < MESH_STATUSES; status++)
		check_status(*state, status, "test status message");
}

/* Texts are bytes to the mesh: white space, and characters in and outside of the BMP. */
static void test_special_status_message(void **state)
{
	check_status(*state, MESH_STATUS_UNKNOWN,
	             "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
	             "\xf0\x9f\x98\x88\t\n");
}

/* A method that nobody serves is told apart from one that failed. */
static void test_unimplemented_method(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o;

	harness_unary(h, h->client.connection, "drover.test.Test/NotServed", &request.base, &o);
	assert_int_equal(o.status, MESH_UNIMPLEMENTED);
	assert_string_equal(o.error.text,
	                    "coordinator c1 does not serve drover.test.Test/NotServed");
}

/* So is a whole service. */
static void test_unimplemented_service(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o;

	harness_unary(h, h->client.connection, "drover.test.Unserved/Call", &request.base, &o);
	assert_int_equal(o.status, MESH_UNIMPLEMENTED);
}

/* A method that is in no table of ours is not even sent. */
static void test_unknown_method(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o;

	harness_unary(h, h->client.connection, "drover.test.Test/Nonsense", &request.base, &o);
	assert_int_equal(o.status, MESH_UNIMPLEMENTED);
	assert_true(o.never_sent);
}

/* A cancelled call ends at once as cancelled, and its handler is told. */
static void test_cancel_after_begin(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o = { 0 };
	struct mesh_call *call;

	call = mesh_call(h->client.connection, "drover.test.Test/Sleep", &request.base, WAIT_MS,
	                 outcome_done, &o);
	harness_wait_count(h, &h->server.sleeping, 1);
	mesh_call_cancel(call);
	assert_int_equal(o.times, 1);
	assert_int_equal(o.status, MESH_CANCELLED);
	harness_wait_count(h, &h->server.cancelled, 1);
	assert_int_equal(o.times, 1);
}

/* A reader may stop a stream from inside the callback that gives it a message. */
static void test_cancel_after_first_response(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct outcome o = { 0 };

	request.reply_bytes = 31415;
	o.cancel_after_message = mesh_call_stream(h->client.connection,
	                                          "drover.test.Test/OneThenSilence", &request.base,
	                                          0, outcome_message, outcome_done, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.messages, 1);
	assert_int_equal(o.status, MESH_CANCELLED);
	harness_wait_count(h, &h->server.cancelled, 1);
}

/* A deadline passes at both ends, each by its own clock. */
static void test_timeout_on_sleeping_server(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o = { 0 };

	mesh_call(h->client.connection, "drover.test.Test/Sleep", &request.base, 1, outcome_done,
	          &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_DEADLINE_EXCEEDED);
	assert_int_equal(o.error.code, ERROR_TIMEOUT);
	harness_wait_count(h, &h->server.cancelled, 1);
}

/* The deadline that a handler sees is what is left of the caller's. */
static void test_deadline_travels(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome o = { 0 };
	struct mesh_call *call;
	uint64_t left_ms;

	call = mesh_call(h->client.connection, "drover.test.Test/Sleep", &request.base, 60000,
	                 outcome_done, &o);
	harness_wait_count(h, &h->server.sleeping, 1);
	left_ms = mesh_incoming_get_timeout_ms(h->server.last_sleeper);
	assert_in_range(left_ms, 60000 - WAIT_MS, 60000);
	mesh_call_cancel(call);
}

/* Many large calls at once all come back, from both ends of one connection. */
static void test_concurrent_large_unary_both_ways(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(271828, 314159);
	struct outcome there[40] = { 0 }, back[40] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
		mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &request->base, 60000,
		          outcome_done, &there[i]);
		mesh_call(h->server.connection, "drover.test.Test/UnaryCall", &request->base, 60000,
		          outcome_done, &back[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
		harness_wait_flag(h, &there[i].done);
		harness_wait_flag(h, &back[i].done);
		assert_int_equal(there[i].status, MESH_OK);
		assert_int_equal(back[i].status, MESH_OK);
		assert_int_equal(there[i].reply_bytes, 314159);
		assert_true(there[i].reply_is_filled && back[i].reply_is_filled);
	}
	request_free(request);
}

/* A thousand small calls under way at once all come back. */
static void test_a_thousand_calls_at_once(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(100, 100);
	struct outcome *o = xcalloc(1000, sizeof(*o));

	for (size_t i = 0; i < 1000; i++)
		mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &request->base, 60000,
		          outcome_done, &o[i]);
	for (size_t i = 0; i < 1000; i++) {
		harness_wait_flag(h, &o[i].done);
		assert_int_equal(o[i].status, MESH_OK);
		assert_int_equal(o[i].times, 1);
	}
	free(o);
	request_free(request);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_empty_unary),
		CASE(test_large_unary),
		CASE(test_unary_from_the_acceptor),
		CASE(test_server_streaming),
		CASE(test_empty_stream),
		CASE(test_status_code_and_message),
		CASE(test_special_status_message),
		CASE(test_unimplemented_method),
		CASE(test_unimplemented_service),
		CASE(test_unknown_method),
		CASE(test_cancel_after_begin),
		CASE(test_cancel_after_first_response),
		CASE(test_timeout_on_sleeping_server),
		CASE(test_deadline_travels),
		CASE(test_concurrent_large_unary_both_ways),
		CASE(test_a_thousand_calls_at_once),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
