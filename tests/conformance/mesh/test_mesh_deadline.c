/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines and wishes to stop, through a chain of two calls: the client calls Relay of the server,
 * and that calls Sleep of the client, which never answers. */
#include "tests/conformance/mesh/harness.h"

#include <string.h>

static struct mesh_call *call_relay(struct harness *h, uint64_t timeout_ms, uint32_t relay_ms,
                                    struct outcome *o)
{
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct mesh_call *call;

	request.reply_bytes = relay_ms;
	call = mesh_call(h->client.connection, "drover.test.Test/Relay", &request.base, timeout_ms,
	                 outcome_done, o);
	harness_wait_count(h, &h->client.sleeping, 1);
	return call;
}

/* A call made for another has at most what is left of that one's deadline. */
static void test_deadline_shrinks(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	struct mesh_call *call = call_relay(h, 40000, 3600 * 1000, &o);
	uint64_t left_ms = mesh_incoming_get_timeout_ms(h->client.last_sleeper);

	assert_in_range(left_ms, 1, 40000);
	mesh_call_cancel(call);
}

/* Its own deadline counts where that is the earlier one. */
static void test_own_deadline_if_earlier(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };

	call_relay(h, 3600 * 1000, 200, &o);
	assert_in_range(mesh_incoming_get_timeout_ms(h->client.last_sleeper), 0, 200);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_DEADLINE_EXCEEDED);
	assert_non_null(strstr(o.error.text, "drover.test.Test/Sleep: "));
	assert_null(strstr(o.error.text, "of the call that it was made for"));
}

/* When the caller's deadline passes, all of the chain ends: nobody goes on for nobody. */
static void test_deadline_ends_the_chain(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };

	call_relay(h, 1000, 3600 * 1000, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_DEADLINE_EXCEEDED);
	harness_wait_flag(h, &h->server.relay.done);
	harness_wait_count(h, &h->client.cancelled, 1);
	assert_true(h->server.relay.status == MESH_DEADLINE_EXCEEDED ||
	            h->server.relay.status == MESH_CANCELLED);
}

/* A caller who cancels cancels what was called for him. */
static void test_cancel_ends_the_chain(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	struct mesh_call *call = call_relay(h, 3600 * 1000, 3600 * 1000, &o);

	mesh_call_cancel(call);
	harness_wait_flag(h, &h->server.relay.done);
	assert_int_equal(h->server.relay.status, MESH_CANCELLED);
	harness_wait_count(h, &h->client.cancelled, 1);
}

/* So does one whose connection is lost, or whose handler's process ends. */
static void test_lost_connection_ends_the_chain(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };

	call_relay(h, 3600 * 1000, 3600 * 1000, &o);
	mesh_connection_close(h->client.connection);
	harness_wait_flag(h, &h->server.relay.done);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_int_equal(h->server.relay.status, MESH_UNAVAILABLE);
	harness_wait_count(h, &h->client.cancelled, 1);
}

static void ignore_cancel(void *context)
{
	(void)context;
}

/* What was called for an answered call goes on alone. */
static void test_answered_parent(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };
	struct mesh_incoming *in;
	struct error err;

	call_relay(h, 3600 * 1000, 3600 * 1000, &o);
	in = h->server.relay.in;
	h->server.relay.in = NULL;
	mesh_incoming_on_cancel(in, ignore_cancel, NULL);
	error_set(&err, ERROR_BUSY, "later");
	mesh_fail_error(in, &err);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.error.code, ERROR_BUSY);
	assert_false(h->server.relay.done);
	assert_int_equal(h->client.cancelled, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_deadline_shrinks),
		CASE(test_own_deadline_if_earlier),
		CASE(test_deadline_ends_the_chain),
		CASE(test_cancel_ends_the_chain),
		CASE(test_lost_connection_ends_the_chain),
		CASE(test_answered_parent),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
