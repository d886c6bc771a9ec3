/* SPDX-License-Identifier: Apache-2.0 */
/* A side that stops: the server of the harness, unless a test says otherwise. */
#include "tests/conformance/mesh/harness.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>

static void set_flag(void *context)
{
	*(bool *)context = true;
}

static struct mesh_call *begin_sleep(struct harness *h, struct mesh_connection *c,
                                     struct side *callee, struct outcome *o)
{
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	unsigned before = callee->sleeping;
	struct mesh_call *call = mesh_call(c, "drover.test.Test/Sleep", &request.base, 60000,
	                                   outcome_done, o);

	harness_wait_count(h, &callee->sleeping, before + 1);
	return call;
}

static void wake(struct side *side)
{
	Drover__Test__Empty reply = DROVER__TEST__EMPTY__INIT;

	mesh_reply(side->last_sleeper, &reply.base);
}

static bool dialer_has_none(void *context)
{
	return !mesh_dialer_find_connection(context);
}

/* A running call ends as if nothing was, and only then the connection is closed. */
static void test_running_call_ends(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	bool drained = false;

	begin_sleep(h, h->client.connection, &h->server, &o);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	assert_true(harness_wait(h, dialer_has_none, h->dialer));
	harness_run(h, 100);
	assert_false(drained);
	assert_false(o.done);
	assert_int_equal(h->client.disconnects, 0);

	wake(&h->server);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_OK);
	harness_wait_flag(h, &drained);
	harness_wait_count(h, &h->client.disconnects, 1);
	assert_string_equal(h->client.why.text, "the peer hung up: coordinator c1 is stopping");
}

/* What the stopping side itself has called may end, too. */
static void test_own_call_ends(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	bool drained = false;

	begin_sleep(h, h->server.connection, &h->client, &o);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	harness_run(h, 100);
	assert_false(drained);
	wake(&h->client);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_OK);
	harness_wait_flag(h, &drained);
}

/* goaway: the first call ends on the connection it began on, the second moves to a new one, which
 * the dialler makes by itself; neither fails. */
static void test_goaway(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(271828, 314159);
	struct side next = { 0 };
	struct mesh_options options = harness_options(h, &next, MESH_ROLE_COORDINATOR, "c1");
	struct outcome first = { 0 }, second;
	bool drained = false;

	begin_sleep(h, h->client.connection, &h->server, &first);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	if (h->tls)
		snprintf(h->url, sizeof(h->url), "%s", h->dial_url);
	harness_start(h, &next, &options, true);
	harness_wait_count(h, &h->client.connects, 2);
	harness_unary(h, mesh_dialer_find_connection(h->dialer), "drover.test.Test/UnaryCall",
	              &request->base, &second);
	assert_int_equal(second.status, MESH_OK);
	assert_int_equal(next.answered, 1);
	assert_false(first.done);

	wake(&h->server);
	harness_wait_flag(h, &first.done);
	assert_int_equal(first.status, MESH_OK);
	harness_wait_flag(h, &drained);
	mesh_free(next.mesh);
	request_free(request);
}

/* A call that crosses the announcement on its way has no effect, and its caller knows. */
static void test_call_that_crosses(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *small = request_new(100, 100), *large = request_new(3000000, 10);
	struct outcome o[2] = { 0 };
	bool drained = false;

	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &small->base, 60000,
	          outcome_done, &o[0]);
	mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &large->base, 60000,
	          outcome_done, &o[1]);
	for (size_t i = 0; i < 2; i++) {
		harness_wait_flag(h, &o[i].done);
		assert_int_equal(o[i].times, 1);
		assert_int_equal(o[i].status, MESH_UNAVAILABLE);
		assert_int_equal(o[i].error.code, ERROR_UNREACHABLE);
		assert_true(o[i].never_sent);
	}
	harness_wait_flag(h, &drained);
	assert_int_equal(h->server.answered, 0);
	request_free(small);
	request_free(large);
}

/* After the announcement a call is not even sent. */
static void test_call_after(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct outcome first = { 0 }, o;
	bool drained = false;

	begin_sleep(h, h->client.connection, &h->server, &first);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	assert_true(harness_wait(h, dialer_has_none, h->dialer));
	harness_unary(h, h->client.connection, "drover.test.Test/EmptyCall", &request.base, &o);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_true(o.never_sent);
	assert_string_equal(o.error.text, "drover.test.Test/EmptyCall: c1 is stopping and takes no "
	                                  "new calls");
	assert_false(first.done);
	wake(&h->server);
	harness_wait_flag(h, &first.done);
}

/* Many calls that keep coming: each has an answer, or had no effect; none is left unknown. */
static void test_drain_under_load(void **state)
{
	enum { CALLS = 200 };
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(10000, 10000);
	static struct outcome o[CALLS];
	unsigned answered = 0;
	bool drained = false;

	memset(o, 0, sizeof(o));
	for (size_t i = 0; i < CALLS; i++) {
		mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &request->base, 60000,
		          outcome_done, &o[i]);
		if (i == CALLS / 2) {
			harness_wait_count(h, &h->server.answered, 10);
			mesh_drain(h->server.mesh, 60000, set_flag, &drained);
		}
	}
	for (size_t i = 0; i < CALLS; i++) {
		harness_wait_flag(h, &o[i].done);
		assert_true(o[i].status == MESH_OK ? o[i].reply_is_filled : o[i].never_sent);
		answered += o[i].status == MESH_OK;
	}
	assert_in_range(answered, 10, CALLS - 1);
	assert_int_equal(h->server.answered, answered);
	harness_wait_flag(h, &drained);
	request_free(request);
}

/* A long answer that has begun arrives whole. */
static void test_long_answer_arrives(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *request = request_new(10, 4000000);
	struct outcome o = { 0 };
	bool drained = false;

	mesh_call(h->client.connection, "drover.test.Test/UnaryCall", &request->base, 60000,
	          outcome_done, &o);
	harness_wait_count(h, &h->server.answered, 1);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	harness_wait_flag(h, &drained);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(o.reply_bytes, 4000000);
	assert_true(o.reply_is_filled);
	request_free(request);
}

/* A stream that has no end of its own is ended at once, with a status that says: come again. */
static void test_endless_stream(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct outcome o = { 0 };
	bool drained = false;

	request.reply_bytes = 1000;
	mesh_call_stream(h->client.connection, "drover.test.Test/OneThenSilence", &request.base, 0,
	                 outcome_message, outcome_done, &o);
	harness_wait_count(h, &o.messages, 1);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	assert_int_equal(h->server.cancelled, 1);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_string_equal(o.error.text, "coordinator c1 is stopping");
	harness_wait_flag(h, &drained);
}

/* A call that does not end is not waited for beyond the time given. */
static void test_time_is_up(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	bool drained = false;
	uint64_t begin_ms = clock_now_ms();

	begin_sleep(h, h->client.connection, &h->server, &o);
	mesh_drain(h->server.mesh, 200, set_flag, &drained);
	harness_wait_flag(h, &drained);
	assert_true(clock_now_ms() - begin_ms >= 200);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_int_equal(o.error.code, ERROR_UNKNOWN_OUTCOME);
	assert_false(o.never_sent);
	assert_int_equal(h->server.cancelled, 1);
}

/* Nobody is let in any more; and who has nothing under way goes at once. */
static void test_nobody_is_let_in(void **state)
{
	struct harness *h = *state;
	bool drained = false;

	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	harness_wait_flag(h, &drained);
	harness_run(h, 300);
	assert_int_equal(h->client.connects, 1);
	assert_int_equal(h->server.connects, 1);
	assert_int_not_equal(mesh_dialer_get_error(h->dialer)->code, ERROR_NONE);
}

/* The side that dialled can stop as well, and does not dial again. */
static void test_dialler_drains(void **state)
{
	struct harness *h = *state;
	struct outcome there = { 0 }, late = { 0 };
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	bool drained = false;

	begin_sleep(h, h->client.connection, &h->server, &there);
	mesh_drain(h->client.mesh, 60000, set_flag, &drained);
	mesh_call(h->server.connection, "drover.test.Test/EmptyCall", &request.base, 60000,
	          outcome_done, &late);
	harness_wait_flag(h, &late.done);
	assert_int_equal(late.status, MESH_UNAVAILABLE);
	assert_true(late.never_sent);
	wake(&h->server);
	harness_wait_flag(h, &there.done);
	assert_int_equal(there.status, MESH_OK);
	harness_wait_flag(h, &drained);
	harness_run(h, 300);
	assert_int_equal(h->server.connects, 1);
	assert_int_equal(mesh_dialer_get_error(mesh_dial(h->client.mesh, h->dial_url,
	                                                 MESH_ROLE_COORDINATOR, NULL))
	                         ->code,
	                 ERROR_UNREACHABLE);
}

/* Both sides may stop at the same time. */
static void test_both_drain(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	bool server_drained = false, client_drained = false;

	begin_sleep(h, h->client.connection, &h->server, &o);
	mesh_drain(h->server.mesh, 60000, set_flag, &server_drained);
	mesh_drain(h->client.mesh, 60000, set_flag, &client_drained);
	harness_run(h, 100);
	assert_false(o.done);
	wake(&h->server);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_OK);
	harness_wait_flag(h, &server_drained);
	harness_wait_flag(h, &client_drained);
}

/* Who loses patience in the middle loses nothing but the calls. */
static void test_free_while_draining(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	bool drained = false;

	begin_sleep(h, h->client.connection, &h->server, &o);
	mesh_drain(h->server.mesh, 60000, set_flag, &drained);
	harness_run(h, 50);
	mesh_free(h->server.mesh);
	h->server.mesh = NULL;
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_false(drained);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_running_call_ends),
		CASE(test_own_call_ends),
		CASE(test_goaway),
		CASE(test_call_that_crosses),
		CASE(test_call_after),
		CASE(test_drain_under_load),
		CASE(test_long_answer_arrives),
		CASE(test_endless_stream),
		CASE(test_time_is_up),
		CASE(test_nobody_is_let_in),
		CASE(test_dialler_drains),
		CASE(test_both_drain),
		CASE(test_free_while_draining),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
