/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's soak cases and its to-do list, over each transport (the first argument): the same again and again,
 * and everything at the same time. The second argument multiplies how often; 1 for CI. */
#include "tests/conformance/mesh/harness.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RPCS     100
#define CHANNELS 20
#define STORM    60
#define AT_ONCE  1000
#define PINGS_MS 50

/* What memory may grow by while 100 calls of 600 kB each go by; the sanitizers keep what was freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GROWTH_MAX ((size_t)512 * 1024 * 1024)
#else
#define GROWTH_MAX ((size_t)8 * 1024 * 1024)
#endif

static unsigned times = 1;

/* Of this process, from the kernel. */
static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void large_unary(struct harness *h)
{
	Drover__Test__Request *request = request_new(271828, 314159);
	struct outcome o;

	harness_unary(h, h->client.connection, "drover.test.Test/UnaryCall", &request->base, &o);
	assert_int_equal(o.status, MESH_OK);
	assert_int_equal(o.reply_bytes, 314159);
	assert_true(o.reply_is_filled);
	request_free(request);
}

/* Large calls one after another over one connection: none fails, the connection stays, and after the
 * first of them memory does not grow. */
static void test_rpc_soak(void **state)
{
	struct harness *h = *state;
	size_t before;

	for (unsigned i = 0; i < RPCS / 2; i++)
		large_unary(h);
	before = resident_bytes();
	for (unsigned i = 0; i < RPCS * times; i++)
		large_unary(h);
	assert_int_equal(h->client.connects, 1);
	assert_int_equal(h->client.disconnects, 0);
	assert_true(resident_bytes() < before + GROWTH_MAX);
}

/* A new connection for each call: none fails, and both sides let go of the old one. */
static void test_channel_soak(void **state)
{
	struct harness *h = *state;

	for (unsigned i = 1; i <= CHANNELS * times; i++) {
		large_unary(h);
		mesh_dialer_free(h->dialer);
		harness_wait_count(h, &h->client.disconnects, i);
		harness_wait_count(h, &h->server.disconnects, i);
		h->dialer = mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
		harness_wait_count(h, &h->client.connects, i + 1);
	}
	large_unary(h);
}

static void open_pair(struct harness *h, uint32_t keepalive_ms, uint32_t connections)
{
	struct mesh_options options;

	harness_open(h, harness_transport);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	options.keepalive_ms = keepalive_ms;
	options.max_connections = options.max_connections_per_address = connections;
	options.max_handshakes = options.max_handshakes_per_address = connections;
	harness_start(h, &h->server, &options, true);
	options = harness_options(h, &h->client, MESH_ROLE_AGENT, "host1");
	options.keepalive_ms = keepalive_ms;
	harness_start(h, &h->client, &options, false);
}

/* A connection over which nobody calls for many keepalives is there for the next call. */
static void test_long_lived_channel(void **state)
{
	struct harness *h = xnew(struct harness);

	(void)state;
	open_pair(h, PINGS_MS, 0);
	h->dialer = mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &h->client.connects, 1);
	for (unsigned i = 0; i < 2 * times; i++) {
		harness_run(h, (uint64_t)10 * PINGS_MS);
		large_unary(h);
	}
	assert_int_equal(h->client.connects, 1);
	assert_int_equal(h->server.disconnects, 0);
	harness_close(h);
	free(h);
}

/* A thousand calls whose deadlines pass at the same moment each end once, for that reason; both sides' work
 * for them ends, and the connection serves on. */
static void test_simultaneous_timeouts(void **state)
{
	struct harness *h = *state;
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	struct outcome *outcomes = xcalloc(AT_ONCE, sizeof(*outcomes));

	for (unsigned round = 1; round <= times; round++) {
		memset(outcomes, 0, AT_ONCE * sizeof(*outcomes));
		for (unsigned i = 0; i < AT_ONCE; i++)
			mesh_call(h->client.connection, "drover.test.Test/Sleep", &empty.base, 100,
			          outcome_done, &outcomes[i]);
		for (unsigned i = 0; i < AT_ONCE; i++)
			harness_wait_flag(h, &outcomes[i].done);
		/* Those that were too late to be begun never came to the handler. */
		harness_wait_count(h, &h->server.cancelled, h->server.sleeping);
		large_unary(h);
		for (unsigned i = 0; i < AT_ONCE; i++) {
			assert_int_equal(outcomes[i].status, MESH_DEADLINE_EXCEEDED);
			assert_int_equal(outcomes[i].times, 1);
		}
	}
	assert_int_equal(h->client.connects, 1);
	free(outcomes);
}

/* A coordinator that starts anew has all its agents back, and each can be called. */
static void test_reconnect_storm(void **state)
{
	unsigned agents = times > 1 ? 500 : STORM;
	struct harness *h = xnew(struct harness);
	struct mesh_dialer **dialers = xcalloc(agents, sizeof(struct mesh_dialer *));
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	struct mesh_options options;

	(void)state;
	open_pair(h, 0, agents);
	for (unsigned i = 0; i < agents; i++)
		dialers[i] = mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &h->client.connects, agents);

	mesh_free(h->server.mesh);
	h->server = (struct side){ 0 };
	harness_wait_count(h, &h->client.disconnects, agents);
	if (h->tls)
		snprintf(h->url, sizeof(h->url), "%s", h->dial_url);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	options.max_connections = options.max_connections_per_address = agents;
	options.max_handshakes = options.max_handshakes_per_address = agents;
	harness_start(h, &h->server, &options, true);
	harness_wait_count(h, &h->client.connects, 2 * agents);
	for (unsigned i = 0; i < agents; i++) {
		struct outcome o;

		harness_unary(h, mesh_dialer_find_connection(dialers[i]),
		              "drover.test.Test/EmptyCall", &empty.base, &o);
		assert_int_equal(o.status, MESH_OK);
	}
	harness_close(h);
	free(dialers);
	free(h);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_rpc_soak),
		CASE(test_channel_soak),
		cmocka_unit_test(test_long_lived_channel),
		CASE(test_simultaneous_timeouts),
		cmocka_unit_test(test_reconnect_storm),
	};

	if (argc > 1)
		harness_transport = argv[1];
	if (argc > 2)
		times = (unsigned)strtoul(argv[2], NULL, 10);
	return times == 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
