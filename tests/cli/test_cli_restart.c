/* SPDX-License-Identifier: Apache-2.0 */
/* One tool that calls again and again while its coordinator, the real program (the argument), is
 * stopped by SIGTERM and started again. A thread does that: client_call blocks. */
#include "common/clock.h"
#include "proto/coordinator.pb-c.h"
#include "tools/drover/client.h"

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

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restarts_in_order),
	};

	if (argc < 2)
		return 77;
	program = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
