/* SPDX-License-Identifier: Apache-2.0 */
/* What libvirt says passes between pairs of real tunnel processes: bytes, their order and their end, silence,
 * and what breaks. See tests/unit/tunnel_world.h. */
#include "tests/unit/tunnel_world.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fill(uint8_t *data, size_t bytes, unsigned int seed)
{
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1103515245 + 12345;
		data[i] = (uint8_t)(seed >> 16);
	}
}

#define MEGABYTES (5 << 20)

/* A child that reads all until the end, then answers with all of it, then ends. */
static pid_t start_echo(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		uint8_t *data = xmalloc(MEGABYTES + 1);
		int fd = tunnel_world_accept_libvirt();
		size_t got = 0;
		ssize_t n;

		while ((n = read(fd, data + got, MEGABYTES + 1 - got)) > 0)
			got += (size_t)n;
		for (size_t sent = 0; sent < got; sent += (size_t)n) {
			n = write(fd, data + sent, got - sent);
			if (n <= 0)
				_exit(1);
		}
		_exit(got == MEGABYTES ? 0 : 2);
	}
	return pid;
}

/* Megabytes pass both ways unchanged, one direction after the other has ended; both processes end
 * by themselves, in order, and leave no socket. */
static void test_bytes_and_half_close(void **state)
{
	uint8_t *sent = xmalloc(MEGABYTES), *got = xmalloc(MEGABYTES);
	size_t n_got = 0;
	int client, code;
	pid_t server;
	ssize_t n;

	(void)state;
	tunnel_world_start_pair();
	server = start_echo();
	client = tunnel_world_call_libvirt();
	fill(sent, MEGABYTES, 1);
	for (size_t at = 0; at < MEGABYTES; at += (size_t)n) {
		n = write(client, sent + at, MEGABYTES - at);
		assert_true(n > 0);
	}
	shutdown(client, SHUT_WR);
	while (n_got < MEGABYTES && (n = read(client, got + n_got, MEGABYTES - n_got)) > 0)
		n_got += (size_t)n;
	assert_int_equal(n_got, MEGABYTES);
	assert_int_equal(memcmp(sent, got, MEGABYTES), 0);
	assert_int_equal(read(client, got, 1), 0);
	close(client);
	waitpid(server, &code, 0);
	assert_int_equal(code, 0);
	free(sent);
	free(got);

	tunnel_world_wait(&tunnel_world.source, TUNNEL_CLOSED, NULL, 0);
	assert_int_equal(tunnel_world.status.bytes_to_peer, MEGABYTES);
	assert_int_equal(tunnel_world.status.bytes_from_peer, MEGABYTES);
	tunnel_world_wait(&tunnel_world.target, TUNNEL_CLOSED, NULL, 0);
	assert_int_equal(tunnel_world.status.bytes_to_peer, MEGABYTES);
	assert_string_equal(tunnel_world.status.error_text, "");
	assert_int_equal(access(tunnel_world_path("libvirt.sock"), F_OK), -1);
	while (tunnel_is_alive(&tunnel_world.source) || tunnel_is_alive(&tunnel_world.target))
		poll(NULL, 0, 5);
}

/* Who does not read stops the writer, within bounds; when he reads again everything is there. */
static void test_back_pressure(void **state)
{
	uint8_t data[65536], back[65536];
	struct pollfd writable;
	size_t sent = 0, got = 0;
	int client, server;

	(void)state;
	tunnel_world_start_pair();
	client = tunnel_world_call_libvirt();
	server = tunnel_world_accept_libvirt();
	fill(data, sizeof(data), 2);
	fcntl(client, F_SETFL, O_NONBLOCK);
	writable = (struct pollfd){ .fd = client, .events = POLLOUT };
	/* Nothing moves for half a second: everything is full. */
	while (poll(&writable, 1, 500) == 1) {
		ssize_t n = write(client, data + sent % sizeof(data),
		                  sizeof(data) - sent % sizeof(data));

		if (n > 0)
			sent += (size_t)n;
		assert_true(sent < (32 << 20));
	}
	assert_true(sent > 65536);
	shutdown(client, SHUT_WR);
	for (;;) {
		size_t at = got % sizeof(data);
		ssize_t n = read(server, back, sizeof(back) - at);

		if (n <= 0)
			break;
		assert_memory_equal(back, data + at, n);
		got += (size_t)n;
	}
	assert_int_equal(got, sent);
	close(server);
	close(client);
	tunnel_world_wait(&tunnel_world.source, TUNNEL_CLOSED, NULL, 0);
}

static bool heard_after(const struct tunnel_status *s, uint64_t ms)
{
	return s->last_heard_ms > ms;
}

static bool silent_for(const struct tunnel_status *s, uint64_t ms)
{
	return s->updated_ms - s->last_heard_ms > ms;
}

/* Silence is seen within seconds, and only seen: the connection is held, and goes on. */
static void test_silence_is_seen_and_held(void **state)
{
	_cleanup_close_ int client = -1, server = -1;
	char byte = 'x';

	(void)state;
	tunnel_world_start_pair();
	client = tunnel_world_call_libvirt();
	server = tunnel_world_accept_libvirt();
	tunnel_world_wait(&tunnel_world.source, TUNNEL_CONNECTED, NULL, 0);
	/* Idle: pings are heard. */
	tunnel_world_wait(&tunnel_world.source, -1, heard_after, tunnel_world.status.last_heard_ms);
	tunnel_world_wait(&tunnel_world.target, -1, heard_after, tunnel_world.status.last_heard_ms);

	kill(tunnel_world.target.pid, SIGSTOP);
	tunnel_world_wait(&tunnel_world.source, -1, silent_for, 2500);
	assert_int_equal(tunnel_world.status.state, TUNNEL_CONNECTED);
	assert_int_equal(write(client, &byte, 1), 1);
	kill(tunnel_world.target.pid, SIGCONT);
	assert_int_equal(read(server, &byte, 1), 1);
	tunnel_world_wait(&tunnel_world.source, -1, heard_after, tunnel_world.status.last_heard_ms);
	assert_int_equal(tunnel_world.status.state, TUNNEL_CONNECTED);
}

/* A link that breaks ends both ends and libvirt's connections, with the reason. */
static void test_broken_link(void **state)
{
	_cleanup_close_ int client = -1, server = -1;
	struct error err;
	char byte;

	(void)state;
	tunnel_world_start_pair();
	client = tunnel_world_call_libvirt();
	server = tunnel_world_accept_libvirt();
	tunnel_world_wait(&tunnel_world.source, TUNNEL_CONNECTED, NULL, 0);
	tunnel_world_wait(&tunnel_world.target, TUNNEL_CONNECTED, NULL, 0);
	kill(tunnel_world.target.pid, SIGKILL);
	assert_int_equal(read(client, &byte, 1), 0);
	assert_int_equal(read(server, &byte, 1), 0);
	tunnel_world_wait(&tunnel_world.source, TUNNEL_FAILED, NULL, 0);
	assert_int_equal(tunnel_world.status.error_code, ERROR_UNREACHABLE);
	assert_true(strlen(tunnel_world.status.error_text) > 10);
	/* The killed one could not say anything: that it died is known all the same, once the
	 * kernel has taken all of it down. */
	while (tunnel_is_alive(&tunnel_world.target))
		poll(NULL, 0, 5);
	assert_int_equal(tunnel_read_status(&tunnel_world.target, &tunnel_world.status, &err),
	                 -ERROR_NOT_FOUND);
	assert_non_null(strstr(err.text, "died while connected"));
	assert_false(tunnel_is_alive(&tunnel_world.target));
}

static bool lacks_descriptors(const struct tunnel_status *s, uint64_t context)
{
	(void)context;
	return strstr(s->error_text, "Too many open files") != NULL;
}

/* Of its user and its system, in clock ticks. */
static unsigned long read_cpu(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file,
	                        "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
	                        &user, &system),
	                 2);
	fclose(file);
	return user + system;
}

/* The next one that it would get. */
static rlim_t scan_descriptors(pid_t pid)
{
	char path[64], to[64];

	for (int fd = 0;; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		if (readlink(path, to, sizeof(to)) < 0)
			return (rlim_t)fd;
	}
}

/* What it has open for a moment only is not taken for used. */
static rlim_t find_free_descriptor(pid_t pid)
{
	rlim_t least = scan_descriptors(pid);

	for (int i = 0; i < 50; i++) {
		rlim_t fd = scan_descriptors(pid);

		if (fd < least)
			least = fd;
		poll(NULL, 0, 2);
	}
	return least;
}

static bool is_later(const struct tunnel_status *s, uint64_t context)
{
	return s->updated_ms >= context;
}

/* Without a descriptor for who calls, an end says so, waits for one at leisure, and goes on. */
static void test_no_descriptors(void **state)
{
	struct rlimit before, none;
	unsigned long cpu;
	int fd, server;

	(void)state;
	tunnel_world_start_pair();
	assert_int_equal(prlimit(tunnel_world.source.pid, RLIMIT_NOFILE, NULL, &before), 0);
	none = before;
	none.rlim_cur = find_free_descriptor(tunnel_world.source.pid);
	assert_int_equal(prlimit(tunnel_world.source.pid, RLIMIT_NOFILE, &none, NULL), 0);
	fd = tunnel_world_call_libvirt();
	tunnel_world_wait(&tunnel_world.source, -1, lacks_descriptors, 0);
	cpu = read_cpu(tunnel_world.source.pid);
	tunnel_world_wait(&tunnel_world.source, -1, is_later,
	                  tunnel_world.status.updated_ms + 1000);
	assert_in_range(read_cpu(tunnel_world.source.pid) - cpu, 0,
	                (unsigned long)sysconf(_SC_CLK_TCK) / 5);
	assert_int_equal(prlimit(tunnel_world.source.pid, RLIMIT_NOFILE, &before, NULL), 0);
	tunnel_world_wait(&tunnel_world.source, TUNNEL_CONNECTED, NULL, 0);
	assert_string_equal(tunnel_world.status.error_text, "");
	server = tunnel_world_accept_libvirt();
	assert_true(server >= 0);
	close(server);
	close(fd);
}

/* libvirtd that is not there is said at both ends, and libvirt gets an end. */
static void test_no_libvirtd(void **state)
{
	_cleanup_close_ int client = -1;
	char byte;

	(void)state;
	tunnel_world_start_pair();
	cleanup_close_fd(&tunnel_world.libvirtd);
	tunnel_world.libvirtd = -1;
	unlink(tunnel_world_path("libvirtd.sock"));
	client = tunnel_world_call_libvirt();
	assert_int_equal(read(client, &byte, 1), 0);
	tunnel_world_wait(&tunnel_world.target, TUNNEL_FAILED, NULL, 0);
	assert_non_null(strstr(tunnel_world.status.error_text, "libvirtd.sock: No such file"));
	tunnel_world_wait(&tunnel_world.source, TUNNEL_FAILED, NULL, 0);
	assert_non_null(strstr(tunnel_world.status.error_text, "libvirtd.sock: No such file"));
}

#define T(test) cmocka_unit_test_teardown(test, tunnel_world_stop)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_bytes_and_half_close),     T(test_back_pressure),
		T(test_silence_is_seen_and_held), T(test_broken_link),
		T(test_no_descriptors),           T(test_no_libvirtd),
	};

	tunnel_world_main(argc, argv);
	return cmocka_run_group_tests(tests, tunnel_world_make, tunnel_world_remove);
}
