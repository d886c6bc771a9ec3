/* SPDX-License-Identifier: Apache-2.0 */
/* Calls with a request id: repeated, they run once and are answered the same. */
#include "tests/conformance/mesh/harness.h"

#include "common/alloc.h"
#include "proto/mesh/replay.h"

#include <string.h>

static void call_act(struct harness *h, const char *method, const struct id *id,
                     uint32_t reply_bytes, struct outcome *o)
{
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;

	*o = (struct outcome){ 0 };
	request.reply_bytes = reply_bytes;
	mesh_call_with(h->client.connection, method, &request.base,
	               &(struct mesh_call_options){ .timeout_ms = 60000, .request_id = id },
	               outcome_done, o);
}

static void answer(struct harness *h, size_t bytes)
{
	Drover__Test__Request *filled = request_new(bytes, 0);
	Drover__Test__Reply reply = DROVER__TEST__REPLY__INIT;

	reply.payload = filled->payload;
	mesh_reply(h->server.last_sleeper, &reply.base);
	request_free(filled);
}

static void wait_ok(struct harness *h, const struct outcome *o, size_t bytes)
{
	harness_wait_flag(h, &o->done);
	assert_string_equal(o->error.text, "");
	assert_int_equal(o->status, MESH_OK);
	assert_int_equal(o->reply_bytes, bytes);
	assert_true(o->reply_is_filled);
}

/* An id that ended is answered as it was, without its handler; a new id is a new command. */
static void test_repeated_after_the_end(void **state)
{
	struct harness *h = *state;
	struct id id = id_new(), other = id_new();
	struct outcome o;

	call_act(h, "drover.test.Test/ActAtOnce", &id, 40000, &o);
	wait_ok(h, &o, 40000);
	for (size_t i = 0; i < 3; i++) {
		call_act(h, "drover.test.Test/ActAtOnce", &id, 40000, &o);
		wait_ok(h, &o, 40000);
	}
	assert_int_equal(h->server.answered, 1);
	call_act(h, "drover.test.Test/ActAtOnce", &other, 40000, &o);
	wait_ok(h, &o, 40000);
	call_act(h, "drover.test.Test/ActAtOnce", NULL, 40000, &o);
	wait_ok(h, &o, 40000);
	assert_int_equal(h->server.answered, 3);
}

/* A failure is an answer as well: status, code and sentence come again. */
static void test_failure_is_remembered(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct id id = id_new();

	request.status = MESH_FAILED_PRECONDITION;
	request.text = (char *)"not today";
	for (size_t i = 0; i < 2; i++) {
		struct outcome o = { 0 };

		mesh_call_with(
			h->client.connection, "drover.test.Test/ActAtOnce", &request.base,
			&(struct mesh_call_options){ .timeout_ms = 60000, .request_id = &id },
			outcome_done, &o);
		harness_wait_flag(h, &o.done);
		assert_int_equal(o.status, MESH_FAILED_PRECONDITION);
		assert_int_equal(o.error.code, ERROR_REFUSED);
		assert_string_equal(o.error.text, "not today");
	}
}

/* Asked again while it runs: one handler, and the answer for all who wait. */
static void test_repeated_while_it_runs(void **state)
{
	struct harness *h = *state;
	struct id id = id_new();
	struct outcome o[3];

	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		call_act(h, "drover.test.Test/Act", &id, 0, &o[i]);
	harness_wait_count(h, &h->server.sleeping, 1);
	harness_run(h, 100);
	assert_int_equal(h->server.sleeping, 1);
	answer(h, 30000);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		wait_ok(h, &o[i], 30000);
}

/* The connection is lost while it runs: the handler goes on, and whoever asks again over the next
 * connection gets what comes of it; also when it has ended meanwhile. */
static void test_across_reconnects(void **state)
{
	struct harness *h = *state;
	struct id id = id_new();
	struct outcome o;

	call_act(h, "drover.test.Test/Act", &id, 0, &o);
	harness_wait_count(h, &h->server.sleeping, 1);
	mesh_connection_close(h->client.connection);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_false(o.never_sent);
	harness_wait_count(h, &h->client.connects, 2);
	assert_int_equal(h->server.cancelled, 0);

	call_act(h, "drover.test.Test/Act", &id, 0, &o);
	harness_run(h, 100);
	assert_false(o.done);
	mesh_connection_close(h->client.connection);
	harness_wait_flag(h, &o.done);
	answer(h, 1000);
	harness_wait_count(h, &h->client.connects, 3);

	call_act(h, "drover.test.Test/Act", &id, 0, &o);
	wait_ok(h, &o, 1000);
	assert_int_equal(h->server.sleeping, 1);
}

/* Neither does a caller who gives up stop it, nor one who waits for somebody else's. */
static void test_cancelled_callers(void **state)
{
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct harness *h = *state;
	struct id id = id_new();
	struct outcome o = { 0 };
	struct mesh_call_options options = { .timeout_ms = 100, .request_id = &id };

	for (size_t i = 0; i < 2; i++) {
		o = (struct outcome){ 0 };
		mesh_call_with(h->client.connection, "drover.test.Test/Act", &request.base,
		               &options, outcome_done, &o);
		harness_wait_flag(h, &o.done);
		assert_int_equal(o.status, MESH_DEADLINE_EXCEEDED);
	}
	harness_wait_count(h, &h->server.sleeping, 1);
	harness_run(h, 200);
	assert_int_equal(h->server.cancelled, 0);
	answer(h, 5);
	call_act(h, "drover.test.Test/Act", &id, 0, &o);
	wait_ok(h, &o, 5);
	assert_int_equal(h->server.sleeping, 1);
}

/* An id stands for one request: with another one, or another method, it is refused. */
static void test_other_request_with_the_same_id(void **state)
{
	struct harness *h = *state;
	struct id id = id_new();
	struct outcome o;

	call_act(h, "drover.test.Test/ActAtOnce", &id, 10, &o);
	wait_ok(h, &o, 10);
	call_act(h, "drover.test.Test/ActAtOnce", &id, 11, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_INVALID_ARGUMENT);
	assert_non_null(strstr(o.error.text, "was used for another request"));
	call_act(h, "drover.test.Test/Act", &id, 10, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_INVALID_ARGUMENT);
	assert_int_equal(h->server.answered, 1);
	assert_int_equal(h->server.sleeping, 0);
}

/* An answer that is too long to be kept is not given again; but the command is not run again. */
static void test_long_answer_is_not_kept(void **state)
{
	struct harness *h = *state;
	struct id id = id_new();
	struct outcome o;

	call_act(h, "drover.test.Test/ActAtOnce", &id, REPLAY_ONE_MAX + 1, &o);
	wait_ok(h, &o, REPLAY_ONE_MAX + 1);
	call_act(h, "drover.test.Test/ActAtOnce", &id, REPLAY_ONE_MAX + 1, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_ALREADY_EXISTS);
	assert_int_equal(h->server.answered, 1);
}

/* What only looks is asked anew each time: an old picture is of no use. */
static void test_looking_is_not_remembered(void **state)
{
	struct harness *h = *state;
	struct id id = id_new();
	struct outcome o;

	for (size_t i = 0; i < 2; i++) {
		call_act(h, "drover.test.Test/UnaryCall", &id, 10, &o);
		wait_ok(h, &o, 10);
	}
	assert_int_equal(h->server.answered, 2);
}

/* More ids than are remembered: the oldest answers go, nothing is refused, memory stays bounded. */
static void test_table_is_bounded(void **state)
{
	struct harness *h = *state;
	struct id first = id_new(), id = first;
	struct outcome o;

	for (size_t i = 0; i < REPLAYS_MAX + 10; i++) {
		call_act(h, "drover.test.Test/ActAtOnce", &id, 1, &o);
		wait_ok(h, &o, 1);
		id = id_new();
	}
	assert_int_equal(h->server.answered, REPLAYS_MAX + 10);
	call_act(h, "drover.test.Test/ActAtOnce", &first, 1, &o);
	wait_ok(h, &o, 1);
	assert_int_equal(h->server.answered, REPLAYS_MAX + 11);
}

/* A mesh that ends while such a command runs tells its handler, once. */
static void test_end_while_it_runs(void **state)
{
	struct harness *h = *state;
	struct id id = id_new();
	struct outcome o[2];

	call_act(h, "drover.test.Test/Act", &id, 0, &o[0]);
	call_act(h, "drover.test.Test/Act", &id, 0, &o[1]);
	harness_wait_count(h, &h->server.sleeping, 1);
	harness_run(h, 50);
	mesh_free(h->server.mesh);
	h->server.mesh = NULL;
	assert_int_equal(h->server.cancelled, 1);
	harness_wait_flag(h, &o[0].done);
	harness_wait_flag(h, &o[1].done);
	assert_int_equal(o[0].status, MESH_UNAVAILABLE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_repeated_after_the_end),  CASE(test_failure_is_remembered),
		CASE(test_repeated_while_it_runs),  CASE(test_across_reconnects),
		CASE(test_cancelled_callers),       CASE(test_other_request_with_the_same_id),
		CASE(test_long_answer_is_not_kept), CASE(test_looking_is_not_remembered),
		CASE(test_table_is_bounded),        CASE(test_end_while_it_runs),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
