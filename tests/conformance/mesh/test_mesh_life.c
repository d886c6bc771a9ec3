/* SPDX-License-Identifier: Apache-2.0 */
/* Connections end, and everybody who waits learns it: once, soon, and whether repeating is safe. */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mesh_call *call_sleep(struct harness *h, struct mesh_connection *c, struct outcome *o)
{
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;

	(void)h;
	return mesh_call(c, "drover.test.Test/Sleep", &request.base, WAIT_MS, outcome_done, o);
}

/* --- endings on purpose --- */

/* mesh_free completes what is outstanding as cancelled, once, and tells handlers. */
static void test_free_completes_everything(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request request = DROVER__TEST__REQUEST__INIT;
	struct outcome ours = { 0 }, theirs = { 0 }, stream = { 0 };

	call_sleep(h, h->client.connection, &ours);
	call_sleep(h, h->server.connection, &theirs);
	mesh_call_stream(h->client.connection, "drover.test.Test/OneThenSilence", &request.base, 0,
	                 outcome_message, outcome_done, &stream);
	harness_wait_count(h, &stream.messages, 1);
	harness_wait_count(h, &h->client.sleeping, 1);
	mesh_free(h->client.mesh);
	h->client.mesh = NULL;
	assert_int_equal(ours.times, 1);
	assert_int_equal(ours.status, MESH_CANCELLED);
	assert_int_equal(stream.times, 1);
	assert_int_equal(stream.status, MESH_CANCELLED);
	assert_int_equal(h->client.cancelled, 1);
	assert_int_equal(h->client.disconnects, 1);

	harness_wait_flag(h, &theirs.done);
	assert_int_equal(theirs.status, MESH_UNAVAILABLE);
	harness_wait_count(h, &h->server.cancelled, 2);
	harness_wait_count(h, &h->server.disconnects, 1);
}

/* A connection that the peer closes completes calls as unavailable, of unknown outcome; the dialler
 * comes back by itself. */
static void test_lost_and_found_again(void **state)
{
	struct harness *h = *state;
	struct outcome o = { 0 };

	call_sleep(h, h->client.connection, &o);
	harness_wait_count(h, &h->server.sleeping, 1);
	mesh_connection_close(h->server.connection);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_int_equal(o.error.code, ERROR_UNKNOWN_OUTCOME);
	assert_false(o.never_sent);
	harness_wait_count(h, &h->client.disconnects, 1);
	harness_wait_count(h, &h->server.disconnects, 1);
	assert_int_equal(h->server.cancelled, 1);

	harness_wait_count(h, &h->client.connects, 2);
	assert_int_equal(mesh_dialer_get_error(h->dialer)->code, ERROR_NONE);
	assert_ptr_equal(mesh_dialer_find_connection(h->dialer), h->client.connection);
}

/* A call over a connection that is just being closed has surely not been sent; done still comes
 * later, not from inside mesh_call. */
static void test_call_after_close(void **state)
{
	struct harness *h = *state;
	struct mesh_connection *c = h->client.connection;
	struct outcome o = { 0 };

	mesh_connection_close(c);
	call_sleep(h, c, &o);
	assert_false(o.done);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_int_equal(o.error.code, ERROR_UNREACHABLE);
	assert_true(o.never_sent);
}

/* Such a call may be cancelled, too. */
static void test_cancel_of_a_call_that_was_never_sent(void **state)
{
	struct harness *h = *state;
	struct mesh_connection *c = h->client.connection;
	struct outcome o = { 0 };
	struct mesh_call *call;

	mesh_connection_close(c);
	call = call_sleep(h, c, &o);
	mesh_call_cancel(call);
	assert_int_equal(o.status, MESH_CANCELLED);
	harness_wait_count(h, &h->client.disconnects, 1);
	assert_int_equal(o.times, 1);
}

static struct mesh_incoming *forgetful;

static void handle_forgetful(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	struct side *side = context;

	(void)m;
	side->sleeping++;
	forgetful = in;
}

static const struct mesh_handler forgetful_handlers[] = { { "Sleep", handle_forgetful } };
static const struct mesh_service forgetful_service = { &drover__test__test__descriptor,
	                                               forgetful_handlers, 1 };
static const struct mesh_service *const forgetful_services[] = { &forgetful_service, NULL };

/* A handler that never asked to be told may answer long after the caller and its connection are
 * gone: the answer goes nowhere, quietly. Asking to be told that late is answered, too. */
static void test_late_answer(void **state)
{
	Drover__Test__Empty reply = DROVER__TEST__EMPTY__INIT;
	struct harness *h = xnew(struct harness);
	struct mesh_options options;
	struct outcome o = { 0 };
	unsigned told = 0;

	harness_open(h, harness_transport);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	options.services = forgetful_services;
	harness_start(h, &h->server, &options, true);
	options = harness_options(h, &h->client, MESH_ROLE_AGENT, "host1");
	harness_start(h, &h->client, &options, false);
	mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &h->client.connects, 1);
	for (unsigned round = 0; round < 2; round++) {
		struct mesh_call *call = call_sleep(h, h->client.connection, &o);

		harness_wait_count(h, &h->server.sleeping, round + 1);
		if (round == 0) {
			mesh_call_cancel(call);
			mesh_free(h->client.mesh);
			harness_wait_count(h, &h->server.disconnects, 1);
			assert_null(mesh_incoming_get_connection(forgetful));
			assert_string_equal(mesh_incoming_get_identity(forgetful)->name, "host1");
			mesh_reply(forgetful, &reply.base);

			options = harness_options(h, &h->client, MESH_ROLE_AGENT, "host1");
			harness_start(h, &h->client, &options, false);
			mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
			harness_wait_count(h, &h->client.connects, 2);
		} else {
			struct side counting = { 0 };

			mesh_connection_close(h->client.connection);
			harness_wait_count(h, &h->server.disconnects, 2);
			mesh_incoming_on_cancel(forgetful, harness_count_cancelled, &counting);
			harness_wait_count(h, &counting.cancelled, 1);
			told = counting.cancelled;
		}
	}
	assert_int_equal(told, 1);
	harness_close(h);
	free(h);
	(void)state;
}

/* --- sizes --- */

/* A request over the peer's limit is not sent; an answer over the caller's fails the call alone. */
static void test_oversized_messages(void **state)
{
	struct harness *h = *state;
	Drover__Test__Request *large = request_new(4 * 1024 * 1024, 0);
	Drover__Test__Request *small = request_new(0, 4 * 1024 * 1024);
	struct outcome o = { 0 };

	harness_unary(h, h->client.connection, "drover.test.Test/UnaryCall", &large->base, &o);
	assert_int_equal(o.status, MESH_RESOURCE_EXHAUSTED);
	assert_int_equal(o.error.code, ERROR_TOO_LARGE);
	assert_true(o.never_sent);
	harness_unary(h, h->client.connection, "drover.test.Test/UnaryCall", &small->base, &o);
	assert_int_equal(o.status, MESH_RESOURCE_EXHAUSTED);
	assert_int_equal(o.error.code, ERROR_TOO_LARGE);
	assert_false(o.never_sent);

	o = (struct outcome){ 0 };
	mesh_call_stream(h->client.connection, "drover.test.Test/OneThenSilence", &small->base, 0,
	                 outcome_message, outcome_done, &o);
	harness_wait_flag(h, &o.done);
	assert_int_equal(o.status, MESH_RESOURCE_EXHAUSTED);
	harness_wait_count(h, &h->server.cancelled, 1);
	assert_int_equal(h->client.disconnects, 0);
	request_free(large);
	request_free(small);
}

/* --- reconnecting --- */

/* A dialler says why it has no connection, and has one soon after somebody listens. */
static void test_dialler_before_listener(void **state)
{
	struct harness *h = xnew(struct harness);
	struct mesh_options options;
	struct mesh_dialer *d;

	(void)state;
	harness_open(h, harness_transport);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	harness_start(h, &h->server, &options, true);
	mesh_free(h->server.mesh); /* that was to know the port */
	if (h->tls)
		snprintf(h->url, sizeof(h->url), "%s", h->dial_url);

	options = harness_options(h, &h->client, MESH_ROLE_AGENT, "host1");
	harness_start(h, &h->client, &options, false);
	d = mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	assert_int_equal(mesh_dialer_get_error(d)->code, ERROR_UNREACHABLE);
	harness_run(h, 100);
	assert_non_null(strstr(mesh_dialer_get_error(d)->text, "cannot connect to"));

	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	harness_start(h, &h->server, &options, true);
	harness_wait_count(h, &h->client.connects, 1);
	assert_int_equal(mesh_dialer_get_error(d)->code, ERROR_NONE);
	mesh_dialer_free(d);
	harness_wait_count(h, &h->client.disconnects, 1);
	harness_close(h);
	free(h);
}

/* An address that is none is an error at once, not a dialler that tries for ever. */
static void test_bad_addresses(void **state)
{
	struct harness *h = *state;
	struct error err;

	assert_int_equal(mesh_listen(h->server.mesh, "http://x", &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "\"http://x\" is not an address of the mesh"));
	assert_int_equal(
		mesh_dialer_get_error(mesh_dial(h->client.mesh, "nonsense", MESH_ROLE_AGENT, NULL))
			->code,
		ERROR_INVALID);
	/* Two cannot listen on one address. */
	if (!h->tls) {
		assert_int_equal(mesh_listen(h->client.mesh, h->url, &err), -ERROR_BUSY);
		assert_non_null(strstr(err.text, "cannot listen on"));
	}
}

/* --- peers that die --- */

/* This program as another process: a coordinator c1 that listens as told, until it is killed. */
static int be_a_server(const char *transport, const char *url, int ready_fd, char **tls_files)
{
	struct harness h = { .loop = loop_new() };
	struct mesh_options options;
	char dial_url[160];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	options = harness_options(&h, &h.server, MESH_ROLE_COORDINATOR, "c1");
	if (strcmp(transport, "tcp") == 0) {
		options.tls_ca = tls_files[0];
		options.tls_certificate = tls_files[1];
		options.tls_key = tls_files[2];
	}
	snprintf(h.url, sizeof(h.url), "%s", url);
	h.tls = strcmp(transport, "tcp") == 0;
	harness_start(&h, &h.server, &options, true);
	snprintf(dial_url, sizeof(dial_url), "%s\n", h.dial_url);
	if (write(ready_fd, dial_url, strlen(dial_url)) < 0)
		return 1;
	loop_run(h.loop);
	return 0;
}

static const char *program;

static pid_t start_server_process(struct harness *h)
{
	struct mesh_options options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	int ready[2];
	char fd[16];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	snprintf(fd, sizeof(fd), "%d", ready[1]);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl(program, program, "--server", harness_transport, h->url, fd,
		      h->tls ? options.tls_ca : "", h->tls ? options.tls_certificate : "",
		      h->tls ? options.tls_key : "", NULL);
		_exit(127);
	}
	close(ready[1]);
	n = read(ready[0], h->dial_url, sizeof(h->dial_url) - 1);
	assert_true(n > 1);
	h->dial_url[n - 1] = '\0';
	close(ready[0]);
	return pid;
}

static void setup_process(struct harness *h, struct outcome *o, uint32_t keepalive_ms,
                          pid_t *ret_pid)
{
	struct mesh_options options;

	harness_open(h, harness_transport);
	*ret_pid = start_server_process(h);
	options = harness_options(h, &h->client, MESH_ROLE_AGENT, "host1");
	options.keepalive_ms = keepalive_ms;
	harness_start(h, &h->client, &options, false);
	h->dialer = mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &h->client.connects, 1);
	call_sleep(h, h->client.connection, o);
	harness_run(h, 50);
}

/* A peer that is killed is gone at once, not after some time-out. */
static void test_killed_peer(void **state)
{
	struct harness h;
	struct outcome o = { 0 };
	uint64_t begin_ms;
	pid_t pid;

	(void)state;
	setup_process(&h, &o, 60000, &pid);
	begin_ms = clock_now_ms();
	kill(pid, SIGKILL);
	harness_wait_count(&h, &h.client.disconnects, 1);
	assert_true(clock_now_ms() - begin_ms < 5000);
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	assert_false(o.never_sent);
	waitpid(pid, NULL, 0);
	harness_close(&h);
}

/* A peer that stands still, while its kernel keeps the connection, is gone within three keepalives;
 * one that answers stays. */
static void test_stopped_peer(void **state)
{
	struct harness h;
	struct outcome o = { 0 };
	uint64_t begin_ms;
	pid_t pid;

	(void)state;
	setup_process(&h, &o, 300, &pid);
	harness_run(&h, 1500);
	assert_int_equal(h.client.disconnects, 0);

	begin_ms = clock_now_ms();
	kill(pid, SIGSTOP);
	harness_wait_count(&h, &h.client.disconnects, 1);
	assert_in_range(clock_now_ms() - begin_ms, 500, 3 * 300 + 2000);
	assert_non_null(strstr(h.client.why.text, "nothing was heard of the peer for 900 ms"));
	assert_int_equal(o.status, MESH_UNAVAILABLE);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	harness_close(&h);
}

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A peer whose host vanishes without closing anything is noticed each of a hundred times, and costs no
 * descriptor. */
static void f52_vanished_a_hundred_times(void **state)
{
	struct harness h;
	struct outcome o = { 0 };
	unsigned before = 0;
	pid_t pid;

	(void)state;
	setup_process(&h, &o, 40, &pid);
	for (int i = 1; i <= 100; i++) {
		kill(pid, SIGSTOP);
		harness_wait_count(&h, &h.client.disconnects, i);
		mesh_dialer_free(h.dialer);
		/* The first cycle opens what stays open. */
		if (i == 1)
			before = count_descriptors();
		kill(pid, SIGCONT);
		h.dialer = mesh_dial(h.client.mesh, h.dial_url, MESH_ROLE_COORDINATOR, "c1");
		harness_wait_count(&h, &h.client.connects, i + 1);
	}
	kill(pid, SIGSTOP);
	harness_wait_count(&h, &h.client.disconnects, 101);
	mesh_dialer_free(h.dialer);
	h.dialer = NULL;
	/* nng closes in a thread of its own. */
	for (int i = 0; i < 100 && count_descriptors() > before; i++)
		harness_run(&h, 20);
	assert_in_range(count_descriptors(), 1, before);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	harness_close(&h);
}

/* Calls that still waited behind others when the peer died were never sent, those before were. */
static void test_never_sent_is_true(void **state)
{
	struct harness h;
	Drover__Test__Request *request = request_new(3 * 1024 * 1024, 0);
	struct outcome first = { 0 }, o[10] = { 0 };
	pid_t pid;

	(void)state;
	setup_process(&h, &first, 60000, &pid);
	kill(pid, SIGSTOP);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		mesh_call(h.client.connection, "drover.test.Test/UnaryCall", &request->base,
		          WAIT_MS, outcome_done, &o[i]);
	harness_run(&h, 100);
	kill(pid, SIGKILL);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		harness_wait_flag(&h, &o[i].done);
		assert_int_equal(o[i].status, MESH_UNAVAILABLE);
		assert_int_equal(o[i].error.code,
		                 o[i].never_sent ? ERROR_UNREACHABLE : ERROR_UNKNOWN_OUTCOME);
		/* Once one was not sent, none behind it was. */
		assert_true(i == 0 || !o[i - 1].never_sent || o[i].never_sent);
	}
	assert_false(first.never_sent);
	assert_true(o[ARRAY_SIZE(o) - 1].never_sent);
	waitpid(pid, NULL, 0);
	request_free(request);
	harness_close(&h);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_free_completes_everything),
		CASE(test_lost_and_found_again),
		CASE(test_call_after_close),
		CASE(test_cancel_of_a_call_that_was_never_sent),
		cmocka_unit_test(test_late_answer),
		CASE(test_oversized_messages),
		cmocka_unit_test(test_dialler_before_listener),
		CASE(test_bad_addresses),
	};
	static const struct CMUnitTest process_tests[] = {
		cmocka_unit_test(test_killed_peer),
		cmocka_unit_test(test_stopped_peer),
		cmocka_unit_test(f52_vanished_a_hundred_times),
		cmocka_unit_test(test_never_sent_is_true),
	};
	int failed;

	program = argv[0];
	if (argc > 7 && strcmp(argv[1], "--server") == 0)
		return be_a_server(argv[2], argv[3], atoi(argv[4]), argv + 5);
	if (argc > 1)
		harness_transport = argv[1];
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (strcmp(harness_transport, "inproc") != 0)
		failed += cmocka_run_group_tests(process_tests, NULL, NULL);
	return failed;
}
