/* SPDX-License-Identifier: Apache-2.0 */
/* Migration ports: tested by binding, never by connecting, and whoever sits on one is named. */
#include "agent/link/ports.h"

#include "common/cleanup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int listener(const char *address, uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t bytes = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	inet_pton(AF_INET, address, &at.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, bytes), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
	uint16_t port = 0;

	close(listener("127.0.0.1", &port));
	return port;
}

/* A free port is free, and testing it leaves it so. */
static void test_free_port(void **state)
{
	uint16_t port = free_port();
	struct error err;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ports_test("127.0.0.1", port, &err), 0);
}

/* A listener is found and named, on the exact address and on the wildcard. */
static void test_listener_is_named(void **state)
{
	static const char *const addresses[] = { "127.0.0.1", "0.0.0.0" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint16_t port = 0;
		_cleanup_close_ int fd = listener(addresses[i], &port);
		char text[192], remedy[192];
		struct port_pool pool = { 49152, 49153 };
		struct port_holder h;
		struct error err;

		assert_true(fd >= 0);
		assert_int_equal(ports_test("127.0.0.1", port, &err), -ERROR_BUSY);
		ports_find_holder("127.0.0.1", port, &h);
		assert_true(h.taken);
		assert_false(h.outgoing);
		assert_int_equal(h.pid, getpid());
		assert_string_equal(h.state, "LISTEN");
		ports_explain(&h, text, sizeof(text));
		assert_non_null(strstr(text, "is held by test_ports (pid "));
		ports_explain_remedy(&h, &pool, remedy, sizeof(remedy));
		assert_non_null(strstr(remedy, "stop test_ports"));
	}
}

/* The local end of an outgoing connection blocks a port as well, while it lives and for a while
 * after; the sysctl that prevents it is named. */
static void test_outgoing_connection_is_named(void **state)
{
	_cleanup_close_ int server = -1, client = -1, accepted = -1;
	struct sockaddr_in to = { .sin_family = AF_INET }, from = { .sin_family = AF_INET };
	uint16_t server_port = 0, port = free_port();
	struct port_pool pool = { 49152, 49153 };
	char text[192], remedy[192], byte;
	struct port_holder h;
	struct error err;

	(void)state;
	server = listener("127.0.0.1", &server_port);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	from.sin_addr = to.sin_addr;
	to.sin_port = htons(server_port);
	from.sin_port = htons(port);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(client, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
	accepted = accept(server, NULL, NULL);

	assert_int_equal(ports_test("127.0.0.1", port, &err), -ERROR_BUSY);
	ports_find_holder("127.0.0.1", port, &h);
	assert_true(h.outgoing);
	assert_int_equal(h.pid, getpid());
	assert_string_equal(h.state, "ESTABLISHED");
	ports_explain(&h, text, sizeof(text));
	assert_non_null(strstr(text, "is used by an outgoing connection to 127.0.0.1:"));
	assert_non_null(strstr(text, "of test_ports"));

	/* Closed first by us: TIME_WAIT, which no process owns. */
	close(take_fd(client));
	assert_int_equal(read(accepted, &byte, 1), 0);
	close(take_fd(accepted));
	for (int i = 0; i < 100; i++) {
		ports_find_holder("127.0.0.1", port, &h);
		if (strcmp(h.state, "TIME_WAIT") == 0)
			break;
	}
	assert_string_equal(h.state, "TIME_WAIT");
	assert_int_equal(h.pid, 0);
	assert_int_equal(ports_test("127.0.0.1", port, &err), -ERROR_BUSY);
	ports_explain(&h, text, sizeof(text));
	assert_non_null(strstr(text, "(TIME_WAIT)"));
	ports_explain_remedy(&h, &pool, remedy, sizeof(remedy));
	assert_non_null(strstr(remedy, "net.ipv4.ip_local_reserved_ports=49152-49215"));
}

/* IPv6 addresses and IPv4 addresses of a listener for both. */
static void test_ipv6(void **state)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6 };
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t bytes = sizeof(at);
	struct port_holder h;
	struct error err;
	int off = 0;

	(void)state;
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, bytes) < 0 || listen(fd, 1) < 0) {
		print_message("no IPv6 here\n");
		skip();
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
	assert_int_equal(ports_test("127.0.0.1", ntohs(at.sin6_port), &err), -ERROR_BUSY);
	ports_find_holder("127.0.0.1", ntohs(at.sin6_port), &h);
	assert_int_equal(h.pid, getpid());
}

/* An address that is not of this host, or none at all, is not called a busy port. */
static void test_wrong_address(void **state)
{
	struct port_pool pool = { 49152, 49153 };
	struct port_survey s;
	struct error err;

	(void)state;
	assert_int_equal(ports_test("192.0.2.1", 49152, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "192.0.2.1 is not an address of this host"));
	assert_int_equal(ports_test("nonsense", 49152, &err), -ERROR_INVALID);
	ports_survey(&pool, "192.0.2.1", NULL, NULL, &s);
	assert_false(s.measured);
	assert_int_equal(s.error.code, ERROR_INVALID);
}

static bool first_is_leased(uint16_t port, void *context)
{
	return port == *(uint16_t *)context;
}

/* The survey counts what is free, leased and taken, and gives the first free one. */
static void test_survey(void **state)
{
	_cleanup_close_ int second = -1;
	struct port_pool pool = { 0 };
	struct port_survey s;
	uint16_t port;

	(void)state;
	/* Three neighbours of which the middle one can be held. */
	for (port = 42000; port < 43000; port++) {
		uint16_t middle = (uint16_t)(port + 1);

		if (ports_test("127.0.0.1", port, NULL) == 0 &&
		    ports_test("127.0.0.1", middle, NULL) == 0 &&
		    ports_test("127.0.0.1", (uint16_t)(port + 2), NULL) == 0) {
			second = listener("127.0.0.1", &middle);
			break;
		}
	}
	assert_true(second >= 0);
	pool.first = port;
	pool.last = (uint16_t)(port + 2);
	ports_survey(&pool, "127.0.0.1", first_is_leased, &port, &s);
	assert_true(s.measured);
	assert_int_equal(s.n_leased, 1);
	assert_int_equal(s.n_free, 1);
	assert_int_equal(s.free_port, port + 2);
	assert_int_equal(s.first_taken.port, port + 1);
	assert_int_equal(s.first_taken.pid, getpid());
}

/* A pool is refused when it is upside down, privileged or too wide. */
static void test_pool(void **state)
{
	static const struct {
		struct port_pool pool;
		int expected;
	} rows[] = {
		{ { PORTS_FIRST_DEFAULT, PORTS_LAST_DEFAULT }, 0 },
		{ { 49152, 49152 }, 0 },
		{ { 49152, 49215 }, 0 },
		{ { 49152, 49216 }, -ERROR_INVALID },
		{ { 49153, 49152 }, -ERROR_INVALID },
		{ { 1023, 1024 }, -ERROR_INVALID },
		{ { 0, 0 }, -ERROR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(port_pool_check(&rows[i].pool, NULL), rows[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_port),
		cmocka_unit_test(test_listener_is_named),
		cmocka_unit_test(test_outgoing_connection_is_named),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_wrong_address),
		cmocka_unit_test(test_survey),
		cmocka_unit_test(test_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
