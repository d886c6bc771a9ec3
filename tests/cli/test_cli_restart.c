/* SPDX-License-Identifier: Apache-2.0 */
/* One tool and the real coordinator (the argument), which is stopped by SIGTERM and started again while the
 * tool calls again and again (a thread does that: client_call blocks); and what it does not take. */
#include "common/clock.h"
#include "proto/coordinator.pb-c.h"
#include "proto/coordinator.rpc.h"
#include "tools/drover/client.h"
#include "tools/drover/coordinator.ask.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RESTARTS      2
#define CALLS_BETWEEN 20
#define PATIENCE_MS   30000

static const char *program;

struct world {
	char directory[64];
	char config[128], server[128];
	pid_t coordinator;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned calls; /* answered */
	unsigned restarts;
	bool over; /* the caller has given up, or has all it wanted */
	unsigned bad_ends;
};

static void start(struct world *w)
{
	w->coordinator = fork();
	assert_true(w->coordinator >= 0);
	if (w->coordinator == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "--config", w->config, NULL);
		_exit(127);
	}
}

static void write_config(struct world *w)
{
	FILE *file;

	snprintf(w->directory, sizeof(w->directory), "/tmp/cli-restart-XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	snprintf(w->config, sizeof(w->config), "%s/coordinator.yaml", w->directory);
	snprintf(w->server, sizeof(w->server), "ipc://%s/socket", w->directory);
	file = fopen(w->config, "w");
	assert_non_null(file);
	fprintf(file, "name: c1\ncluster: test\nlisten: [\"%s\"]\nstore: {sqlite: %s/c.db}\n",
	        w->server, w->directory);
	assert_int_equal(fclose(file), 0);
}

static void *keep_restarting(void *context)
{
	struct world *w = context;

	for (unsigned i = 1; i <= RESTARTS; i++) {
		int status = 0;

		pthread_mutex_lock(&w->lock);
		while (w->calls < i * CALLS_BETWEEN && !w->over)
			pthread_cond_wait(&w->changed, &w->lock);
		pthread_mutex_unlock(&w->lock);
		kill(w->coordinator, SIGTERM);
		waitpid(w->coordinator, &status, 0);
		w->bad_ends += status != 0;
		start(w);
		pthread_mutex_lock(&w->lock);
		w->restarts = i;
		pthread_mutex_unlock(&w->lock);
	}
	/* A child's parent, whose death is its own, is the thread that has started it. */
	pthread_mutex_lock(&w->lock);
	while (!w->over)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static struct client *open_client(const struct world *w)
{
	struct options options = { .server = w->server };
	struct client *client;
	struct error err;

	uint64_t until_ms = clock_now_ms() + PATIENCE_MS;

	while (clock_now_ms() < until_ms) {
		if (client_open(&options, MESH_ROLE_COORDINATOR, &client, &err) == 0)
			return client;
	}
	fail_msg("%s", err.text);
	return NULL;
}

/* @n more calls were answered, or none will be any more. Whether there is more to do. */
static bool tell(struct world *w, unsigned n, bool over)
{
	bool more;

	pthread_mutex_lock(&w->lock);
	w->calls += n;
	w->over |= over;
	more = w->restarts < RESTARTS || w->calls < (RESTARTS + 1) * CALLS_BETWEEN;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	return more;
}

/* A tool's calls all succeed, however often its coordinator is restarted in order: none is lost, and
 * those that had not been sent are made again. */
static void test_restarts_in_order(void **state)
{
	struct world w = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	struct client *client;
	pthread_t thread;
	char command[96];

	(void)state;
	write_config(&w);
	start(&w);
	client = open_client(&w);
	assert_int_equal(pthread_create(&thread, NULL, keep_restarting, &w), 0);
	do {
		Drover__V1__GetStatusRequest request = DROVER__V1__GET_STATUS_REQUEST__INIT;
		ProtobufCMessage *reply;
		struct error err;

		if (client_call(client, "drover.v1.Coordinator/GetStatus", &request.base, &reply,
		                &err) < 0) {
			tell(&w, 0, true);
			pthread_join(thread, NULL);
			fail_msg("call %u: %s", w.calls, err.text);
		}
		protobuf_c_message_free_unpacked(reply, NULL);
	} while (tell(&w, 1, false));
	client_free(client);
	kill(w.coordinator, SIGTERM);
	waitpid(w.coordinator, NULL, 0);
	tell(&w, 0, true);
	pthread_join(thread, NULL);
	assert_int_equal(w.bad_ends, 0);
	snprintf(command, sizeof(command), "rm -r %s", w.directory);
	assert_int_equal(system(command), 0);
}

static void stop_world(struct world *w)
{
	char command[96];

	kill(w->coordinator, SIGTERM);
	waitpid(w->coordinator, NULL, 0);
	snprintf(command, sizeof(command), "rm -r %s", w->directory);
	assert_int_equal(system(command), 0);
}

static int get_status(struct client *client, struct error *err)
{
	Drover__V1__GetStatusRequest request = DROVER__V1__GET_STATUS_REQUEST__INIT;
	ProtobufCMessage *reply;
	int rc;

	rc = client_call(client, "drover.v1.Coordinator/GetStatus", &request.base, &reply, err);
	if (rc == 0)
		protobuf_c_message_free_unpacked(reply, NULL);
	return rc;
}

/* A patient call is answered though it was interrupted, --timeout has passed, and the coordinator is only
 * just being started again; another one is not. */
static void test_patience(void **state)
{
	struct options options = { .timeout_ms = 5000 };
	struct world w = { 0 };
	struct client *client;
	struct error err;

	(void)state;
	write_config(&w);
	start(&w);
	client_free(open_client(&w));
	options.server = w.server;
	assert_int_equal(client_open(&options, MESH_ROLE_COORDINATOR, &client, &err), 0);
	kill(getpid(), SIGINT);
	while (!client_is_interrupted(client) || !client_is_overdue(client)) {
		client_set_patience(client, 1);
		client_wait(client, 100, NULL, NULL);
	}
	kill(w.coordinator, SIGTERM);
	waitpid(w.coordinator, NULL, 0);
	start(&w);
	client_set_patience(client, 0);
	assert_int_equal(get_status(client, &err), -ERROR_CANCELLED);
	client_set_patience(client, PATIENCE_MS);
	if (get_status(client, &err) < 0)
		fail_msg("%s", err.text);
	client_free(client);
	stop_world(&w);
}

static void no_change(const Drover__V1__Change *change, void *context)
{
	(void)change;
	(void)context;
}

static void watch_ended(const struct mesh_result *result, void *context)
{
	*(enum error_code *)context = result->error.code;
}

static bool has_ended(void *context)
{
	return *(enum error_code *)context != ERROR_NONE;
}

static enum error_code watch_drains_of(struct client *client, size_t n)
{
	Drover__V1__WatchRequest request = DROVER__V1__WATCH_REQUEST__INIT;
	static uint64_t numbers[1001];
	enum error_code code = ERROR_NONE;

	request.drain_numbers = numbers;
	request.n_drain_numbers = n;
	coordinator_call_watch(client_find_connection(client), &request, 0, no_change, watch_ended,
	                       &code);
	client_settle(client, has_ended, &code);
	return code;
}

/* Lists in requests are bounded: more than that is refused, by name and number. */
static void test_bounds(void **state)
{
	Drover__V1__LabelRequest label = DROVER__V1__LABEL_REQUEST__INIT;
	static char *changes[65];
	struct world w = { 0 };
	ProtobufCMessage *reply;
	struct client *client;
	struct error err;
	int rc;

	(void)state;
	for (size_t i = 0; i < 65; i++)
		changes[i] = (char *)"rack=a";
	label.node = (char *)"host1";
	label.changes = changes;
	label.n_changes = 65;
	write_config(&w);
	start(&w);
	client = open_client(&w);
	assert_int_equal(
		client_call(client, "drover.v1.Coordinator/Label", &label.base, &reply, &err),
		-ERROR_INVALID);
	assert_string_equal(err.text, "65 labels are to be changed; the most at a time are 64");
	/* As many as may be: what it says then is that it knows no such node (yet). */
	label.n_changes = 64;
	rc = client_call(client, "drover.v1.Coordinator/Label", &label.base, &reply, &err);
	assert_true(rc == -ERROR_NOT_FOUND || rc == -ERROR_BUSY);
	assert_int_equal(watch_drains_of(client, 1001), ERROR_INVALID);
	assert_int_equal(watch_drains_of(client, 1000), ERROR_NOT_FOUND);
	client_free(client);
	stop_world(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restarts_in_order),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_bounds),
	};

	if (argc < 2)
		return 77;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
