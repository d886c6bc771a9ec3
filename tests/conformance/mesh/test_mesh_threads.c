/* SPDX-License-Identifier: Apache-2.0 */
/* Two owners, each with a loop on its own thread, as two daemons have; for the thread sanitizer, and
 * for inproc, where nothing but the mailbox is between them. */
#include "tests/conformance/mesh/harness.h"

#include "common/alloc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 300

struct owner {
	pthread_t thread;
	pthread_barrier_t ready;
	struct harness h;
	unsigned backs; /* its own calls over the connection that was made to it, answered */
};

static void count_back(const struct mesh_result *result, void *context)
{
	struct owner *owner = context;

	if (result->status == MESH_OK)
		owner->backs++;
}

static void call_back(struct mesh_connection *c, void *context)
{
	struct owner *owner = context;
	Drover__Test__Request *request = request_new(1000, 1000);

	for (unsigned i = 0; i < ROUNDS; i++)
		mesh_call(c, "drover.test.Test/UnaryCall", &request->base, 60000, count_back,
		          owner);
	request_free(request);
}

static void *owner_thread(void *context)
{
	struct owner *owner = context;
	struct mesh_options options = harness_options(&owner->h, &owner->h.server,
	                                              MESH_ROLE_COORDINATOR, "c1");

	options.connected = call_back;
	options.disconnected = NULL;
	options.context = owner;
	harness_start(&owner->h, &owner->h.server, &options, true);
	pthread_barrier_wait(&owner->ready);
	loop_run(owner->h.loop);
	mesh_free(owner->h.server.mesh);
	owner->h.server.mesh = NULL;
	return NULL;
}

/* Calls cross in both directions between threads, none is lost; and the listening side ends while
 * calls are under way. */
static void test_two_threads(void **state)
{
	struct owner owner = { .backs = 0 };
	struct harness *h = &owner.h, mine = { .loop = loop_new() };
	Drover__Test__Request *request = request_new(1000, 1000);
	struct mesh_options options;
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	struct outcome *o = xcalloc(ROUNDS, sizeof(*o)), last = { 0 };

	(void)state;
	harness_open(h, harness_transport);
	pthread_barrier_init(&owner.ready, NULL, 2);
	pthread_create(&owner.thread, NULL, owner_thread, &owner);
	pthread_barrier_wait(&owner.ready);

	options = harness_options(h, &mine.client, MESH_ROLE_AGENT, "host1");
	options.loop = mine.loop;
	harness_start(&mine, &mine.client, &options, false);
	mesh_dial(mine.client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(&mine, &mine.client.connects, 1);
	for (unsigned i = 0; i < ROUNDS; i++)
		mesh_call(mine.client.connection, "drover.test.Test/UnaryCall", &request->base,
		          60000, outcome_done, &o[i]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		harness_wait_flag(&mine, &o[i].done);
		assert_int_equal(o[i].status, MESH_OK);
	}
	/* We have answered the other side's calls by now, and it reads those answers before this. */
	harness_unary(&mine, mine.client.connection, "drover.test.Test/EmptyCall", &empty.base,
	              &last);
	last = (struct outcome){ 0 };

	mesh_call(mine.client.connection, "drover.test.Test/Sleep", &empty.base, 60000,
	          outcome_done, &last);
	loop_stop(h->loop);
	harness_wait_flag(&mine, &last.done);
	assert_int_equal(last.status, MESH_UNAVAILABLE);
	pthread_join(owner.thread, NULL);
	assert_int_equal(owner.backs, ROUNDS);

	pthread_barrier_destroy(&owner.ready);
	mesh_free(mine.client.mesh);
	loop_free(mine.loop);
	harness_close(h);
	request_free(request);
	free(o);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_threads),
	};

	if (argc > 1)
		harness_transport = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
