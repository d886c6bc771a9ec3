/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners survive what strangers, dead processes and a full table of descriptors do to them. */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int open_socket(const struct harness *h)
{
	int fd = socket(h->tls ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	return fd;
}

static int connect_now(const struct harness *h, int fd)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (h->tls) {
		in.sin_port = htons((uint16_t)atoi(strrchr(h->dial_url, ':') + 1));
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return connect(fd, (struct sockaddr *)&in, sizeof(in));
	}
	memcpy(un.sun_path, h->dial_url + strlen("ipc://"), strlen(h->dial_url + strlen("ipc://")));
	return connect(fd, (struct sockaddr *)&un, sizeof(un));
}

/* The backlog is filled faster than the loop, which has to run meanwhile, empties it. */
static void connect_to(struct harness *h, int fd)
{
	for (unsigned i = 0; i < WAIT_MS; i++) {
		if (connect_now(h, fd) == 0 || errno == EINPROGRESS)
			return;
		assert_int_equal(errno, EAGAIN);
		harness_run(h, 1);
	}
	fail_msg("nobody accepts");
}

static bool is_hung_up(void *context)
{
	char byte;

	return recv(*(const int *)context, &byte, 1, 0) == 0;
}

static void expect_service(struct harness *h)
{
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct mesh_options options;
	struct side newcomer = { 0 };
	struct outcome o;

	options = harness_options(h, &newcomer, MESH_ROLE_AGENT, "host2");
	harness_start(h, &newcomer, &options, false);
	mesh_dial(newcomer.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &newcomer.connects, 1);
	harness_unary(h, newcomer.connection, "drover.test.Test/EmptyCall", &request.base, &o);
	assert_int_equal(o.status, MESH_OK);
	mesh_free(newcomer.mesh);
}

/* A thousand times connect and close: sockets of nng lost their listener that way once. */
static void test_connect_and_close(void **state)
{
	struct harness *h = *state;

	for (unsigned i = 0; i < 1000; i++) {
		int fd = open_socket(h);

		connect_to(h, fd);
		close(fd);
	}
	expect_service(h);
}

/* One connection over the limit is closed; when others go, the next one gets in. */
static void test_too_many_connections(void **state)
{
	struct harness *h = *state;
	struct mesh_options options;
	int fds[20];
	char byte;

	mesh_free(h->server.mesh);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	options.max_connections = 16;
	harness_start(h, &h->server, &options, true);

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open_socket(h);
		connect_to(h, fds[i]);
		harness_run(h, 1);
	}
	assert_true(harness_wait(h, is_hung_up, &fds[19]));
	/* On ipc the server has said HELLO already; with TLS it waits for us. */
	assert_int_equal(recv(fds[0], &byte, 1, MSG_PEEK), h->tls ? -1 : 1);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	expect_service(h);
}

/* A process with 64 file descriptors keeps most of them for itself, whatever its settings allow. */
static void f30_few_descriptors(void **state)
{
	struct harness *h = *state;
	struct mesh_options options;
	struct rlimit before, tight;
	int fds[30];
	char byte;

	mesh_free(h->server.mesh);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	options.max_connections = options.max_connections_per_address = 512;
	harness_start(h, &h->server, &options, true);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open_socket(h);
		connect_to(h, fds[i]);
		harness_run(h, 1);
	}
	assert_true(harness_wait(h, is_hung_up, &fds[29]));
	assert_true(harness_wait(h, is_hung_up, &fds[16]));
	assert_int_equal(recv(fds[0], &byte, 1, MSG_PEEK), h->tls ? -1 : 1);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	expect_service(h);
}

/* Out of descriptors, the listener waits; when there are some again, it goes on. */
static void test_out_of_descriptors(void **state)
{
	struct harness *h = *state;
	int waiting = open_socket(h), fds[64];
	struct rlimit before, tight;
	unsigned n = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	while (n < ARRAY_SIZE(fds) && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	assert_int_equal(errno, EMFILE);
	connect_to(h, waiting);
	harness_run(h, 300);
	while (n > 0)
		close(fds[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(waiting);
	expect_service(h);
}

/* --- socket files --- */

static const char *socket_path(const struct harness *h)
{
	return h->url + strlen("ipc://");
}

/* The file of a process that died is no obstacle; ours is gone after a proper end. */
static void test_stale_socket_file(void **state)
{
	struct harness *h = *state;
	struct mesh_options options;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	mesh_free(h->server.mesh);
	assert_int_equal(stat(socket_path(h), &st), -1);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(un.sun_path, socket_path(h), strlen(socket_path(h)));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	assert_int_equal(stat(socket_path(h), &st), 0);

	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	harness_start(h, &h->server, &options, true);
	expect_service(h);
}

/* A file on which somebody listens stays theirs. */
static void test_socket_file_in_use(void **state)
{
	struct harness *h = *state;
	struct error err;

	assert_int_equal(mesh_listen(h->client.mesh, h->url, &err), -ERROR_BUSY);
	assert_non_null(
		strstr(err.text, "another process does; stop it or choose another address"));
	expect_service(h);
}

/* A directory that is not there is said to be missing. */
static void test_socket_file_nowhere(void **state)
{
	struct harness *h = *state;
	struct error err;

	assert_int_equal(mesh_listen(h->client.mesh, "ipc:///nonexistent/socket", &err),
	                 -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "cannot listen on ipc:///nonexistent/socket"));
}

/* A file that is no socket is never removed. */
static void test_other_file_in_the_way(void **state)
{
	struct harness *h = *state;
	char url[200];
	struct error err;
	struct stat st;
	int fd;

	snprintf(url, sizeof(url), "ipc://%s/precious", h->directory);
	fd = open(url + strlen("ipc://"), O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(mesh_listen(h->client.mesh, url, &err), -ERROR_EXISTS);
	assert_non_null(strstr(err.text, "there is a file that is not a socket"));
	assert_int_equal(stat(url + strlen("ipc://"), &st), 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
		CASE(test_connect_and_close),
		CASE(test_too_many_connections),
		CASE(f30_few_descriptors),
		CASE(test_out_of_descriptors),
	};
	static const struct CMUnitTest file_tests[] = {
		CASE(test_stale_socket_file),
		CASE(test_socket_file_in_use),
		CASE(test_socket_file_nowhere),
		CASE(test_other_file_in_the_way),
	};
	int failed;

	harness_transport = argc > 1 ? argv[1] : "ipc";
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (strcmp(harness_transport, "ipc") == 0)
		failed += cmocka_run_group_tests(file_tests, NULL, NULL);
	return failed;
}
