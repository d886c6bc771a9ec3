/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel finds a migration's connections among others by address and port, and tells of each what
 * it sent, what arrived and what it waited for. Real sockets on loopback. */
#include "ebpf/tcp_diag.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "ebpf/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/tcp.h>

#include <cmocka.h>

#define DEADLINE_MS 20000 /* never reached unless the test fails */

struct fixture {
	int netlink, listener, sender, receiver;
	uint16_t port;
};

static void listen_and_connect(struct fixture *f, int family)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(four);

	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&four, sizeof(four)), 0);
	assert_int_equal(listen(f->listener, 1), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&four, &bytes), 0);
	f->port = ntohs(four.sin_port);
	f->sender = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (family == AF_INET6) {
		six.sin6_port = four.sin_port;
		assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr), 1);
		assert_int_equal(connect(f->sender, (struct sockaddr *)&six, sizeof(six)), 0);
	} else {
		assert_int_equal(connect(f->sender, (struct sockaddr *)&four, sizeof(four)), 0);
	}
	f->receiver = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(f->receiver >= 0);
}

static int setup(void **state)
{
	static struct fixture f;
	struct error err;

	assert_int_equal(netlink_open(NETLINK_SOCK_DIAG, &f.netlink, &err), 0);
	listen_and_connect(&f, AF_INET);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	const struct fixture *f = *state;

	close(f->netlink);
	close(f->listener);
	close(f->sender);
	close(f->receiver);
	return 0;
}

static size_t find(const struct fixture *f, const char *address, uint16_t port, bool port_is_remote,
                   struct tcp_connection ret[4])
{
	struct traffic_endpoint e = { .port = port, .port_is_remote = port_is_remote };
	struct error err;
	size_t n;

	e.remote_address[2] = htonl(0xffff);
	assert_int_equal(inet_pton(AF_INET, address, &e.remote_address[3]), 1);
	assert_int_equal(tcp_diag_find(f->netlink, &e, ret, 4, &n, &err), 0);
	return n;
}

/* By address and port, from either side; a socket of IPv6 that carries IPv4, too; and no other. */
static void test_found(void **state)
{
	struct fixture *f = *state, other = { 0 };
	struct tcp_connection c[4];

	assert_int_equal(find(f, "127.0.0.1", f->port, true, c), 1);
	assert_int_equal(ntohs(c[0].id.idiag_dport), f->port);
	assert_int_equal(find(f, "127.0.0.1", f->port, false, c), 1);
	assert_int_equal(ntohs(c[0].id.idiag_sport), f->port);
	assert_int_equal(find(f, "127.0.0.2", f->port, true, c), 0);
	/* The listener is none, and neither is what has another port. */
	listen_and_connect(&other, AF_INET6);
	assert_int_equal(find(f, "127.0.0.1", f->port, true, c), 1);
	assert_int_equal(find(f, "127.0.0.1", other.port, true, c), 1);
	assert_int_equal(c[0].family, AF_INET6);
	close(other.sender);
	close(other.receiver);
	close(other.listener);
}

/* What has arrived is counted to the byte. */
static void test_bytes(void **state)
{
	struct fixture *f = *state;
	struct tcp_connection c[4];
	struct tcp_figures before, after;
	uint8_t data[100000] = { 0 };
	uint64_t begin_ms = clock_now_ms();
	struct error err;

	assert_int_equal(find(f, "127.0.0.1", f->port, true, c), 1);
	assert_int_equal(tcp_diag_read(f->netlink, &c[0], &before, &err), 0);
	assert_int_equal(send(f->sender, data, sizeof(data), 0), sizeof(data));
	for (size_t got = 0; got < sizeof(data);) {
		ssize_t n = recv(f->receiver, data, sizeof(data), 0);

		assert_true(n > 0);
		got += (size_t)n;
	}
	do {
		assert_int_equal(tcp_diag_read(f->netlink, &c[0], &after, &err), 0);
	} while (after.acked_bytes < before.acked_bytes + sizeof(data) &&
	         clock_now_ms() - begin_ms < DEADLINE_MS);
	assert_int_equal(after.acked_bytes - before.acked_bytes, sizeof(data));
	assert_int_equal(after.sent_bytes - before.sent_bytes - after.retransmitted_bytes,
	                 sizeof(data));
	assert_true(after.rtt_us > 0 && after.min_rtt_us > 0);
	assert_true(after.known_bytes >= offsetof(struct tcp_info, tcpi_dsack_dups));
}

/* A receiver that does not read is what a sender waits for. */
static void test_receiver_limits(void **state)
{
	struct fixture *f = *state;
	struct tcp_connection c[4];
	struct tcp_figures now;
	uint8_t data[65536] = { 0 };
	uint64_t begin_ms = clock_now_ms();
	struct error err;

	assert_int_equal(find(f, "127.0.0.1", f->port, true, c), 1);
	assert_int_equal(fcntl(f->sender, F_SETFL, O_NONBLOCK), 0);
	do {
		while (send(f->sender, data, sizeof(data), 0) > 0)
			continue;
		assert_int_equal(tcp_diag_read(f->netlink, &c[0], &now, &err), 0);
	} while (now.receiver_limited_us < 50000 && clock_now_ms() - begin_ms < DEADLINE_MS);
	assert_true(now.receiver_limited_us >= 50000);
	assert_true(now.busy_us >= now.receiver_limited_us);
}

/* One that has ended is not found, and not read. */
static void test_ended(void **state)
{
	struct fixture *f = *state;
	struct tcp_connection c[4];
	struct linger at_once = { .l_onoff = 1 };
	struct tcp_figures now;
	struct error err;

	assert_int_equal(find(f, "127.0.0.1", f->port, true, c), 1);
	assert_int_equal(setsockopt(f->sender, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)),
	                 0);
	close(f->sender);
	f->sender = -1;
	assert_int_equal(tcp_diag_read(f->netlink, &c[0], &now, &err), -ERROR_NOT_FOUND);
	assert_int_equal(find(f, "127.0.0.1", f->port, true, c), 0);
}

int main(void)
{
#define DIAG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		DIAG_TEST(test_found),
		DIAG_TEST(test_bytes),
		DIAG_TEST(test_receiver_limits),
		DIAG_TEST(test_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
