/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a probe over the loopback, and whoever else may come to its port. */
#include "agent/link/path_probe.h"

#include "agent/link/port_holder.h"
#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct probe {
	struct path_probe_plan plan;
	atomic_bool stop;
	int listener;
	struct path_probe_arrival arrival;
	struct path_probe_departure departure;
	struct error error;
	int rc;
	uint64_t took_ms;
	pthread_t receiver;
};

static void *receive(void *context)
{
	struct probe *p = context;
	uint64_t began_ms = clock_now_ms();

	p->rc = path_probe_receive(p->listener, &p->plan, &p->arrival, &p->error);
	p->took_ms = clock_now_ms() - began_ms;
	return NULL;
}

static void begin(struct probe *p)
{
	struct error err;

	memset(p, 0, sizeof(*p));
	strcpy(p->plan.own_address, "127.0.0.1");
	strcpy(p->plan.peer_address, "127.0.0.1");
	memset(p->plan.token, 0x5a, sizeof(p->plan.token));
	p->plan.max_bytes = (uint64_t)16 << 20;
	p->plan.stop = &p->stop;
	assert_int_equal(path_probe_listen("127.0.0.1", 0, &p->listener, &p->plan.port, &err), 0);
	assert_int_equal(pthread_create(&p->receiver, NULL, receive, p), 0);
}

static void end(struct probe *p)
{
	assert_int_equal(pthread_join(p->receiver, NULL), 0);
}

static int dial(const struct probe *p)
{
	struct sockaddr_storage at;
	socklen_t bytes;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(port_address_parse("127.0.0.1", p->plan.port, &at, &bytes), 0);
	if (connect(fd, (struct sockaddr *)&at, bytes) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What the receiver counts is what was sent, never more than was agreed, and the sender knows its MSS. */
static void test_bytes(void **state)
{
	struct probe p;
	struct error err;

	(void)state;
	begin(&p);
	assert_int_equal(path_probe_send(&p.plan, &p.departure, &err), 0);
	end(&p);
	assert_int_equal(p.rc, 0);
	assert_true(p.arrival.bytes > 0);
	assert_true(p.arrival.bytes <= p.plan.max_bytes);
	assert_true(p.departure.sent_bytes <= p.plan.max_bytes);
	assert_true(p.departure.mss > 0);
	assert_int_equal(p.arrival.turned_away, 0);
}

/* Strangers with a wrong token, with half of one, with none: each is closed, and the sender is served. */
static void test_strangers(void **state)
{
	char wrong[PATH_PROBE_TOKEN_BYTES] = { 0 }, byte;
	struct probe p;
	struct error err;
	int fds[3];

	(void)state;
	begin(&p);
	fds[0] = dial(&p);
	assert_int_equal(send(fds[0], wrong, sizeof(wrong), MSG_NOSIGNAL), sizeof(wrong));
	fds[1] = dial(&p);
	assert_int_equal(send(fds[1], p.plan.token, 16, MSG_NOSIGNAL), 16);
	fds[2] = dial(&p);
	assert_int_equal(path_probe_send(&p.plan, &p.departure, &err), 0);
	end(&p);
	assert_int_equal(p.rc, 0);
	assert_int_equal(p.arrival.turned_away, 3);
	assert_true(p.arrival.bytes > 0);
	for (int i = 0; i < 3; i++) {
		assert_true(recv(fds[i], &byte, 1, 0) <= 0);
		close(fds[i]);
	}
}

/* A peer that sends its token a byte at a time and one that never comes hold the receiver no longer than
 * its bound. */
static void test_slow(void **state)
{
	struct pollfd hung_up = { .events = POLLIN };
	struct probe p;
	int fd;

	(void)state;
	begin(&p);
	fd = dial(&p);
	hung_up.fd = fd;
	for (int i = 0; i < 8; i++) {
		if (send(fd, p.plan.token, 1, MSG_NOSIGNAL) < 0)
			break;
		/* Until it is hung up on, or the next byte is due. */
		if (poll(&hung_up, 1, 100) > 0)
			break;
	}
	end(&p);
	close(fd);
	assert_int_equal(p.rc, -ERROR_TIMEOUT);
	assert_int_equal(p.arrival.bytes, 0);
	assert_true(p.took_ms >= PATH_PROBE_TOKEN_MS);
}

/* A peer that knows the token and then says nothing gives no figure, and no wait. */
static void test_silent(void **state)
{
	struct probe p;
	uint32_t spread;
	uint64_t rate;
	int fd;

	(void)state;
	begin(&p);
	fd = dial(&p);
	assert_int_equal(send(fd, p.plan.token, sizeof(p.plan.token), MSG_NOSIGNAL),
	                 sizeof(p.plan.token));
	end(&p);
	close(fd);
	assert_int_equal(p.rc, 0);
	assert_int_equal(p.arrival.bytes, 0);
	assert_false(path_probe_rate(&p.arrival.arrivals, &rate, &spread));
}

/* A peer that sends for ever is hung up on at the agreed bytes, or the time. */
static void test_flood(void **state)
{
	static char chunk[65536];
	struct probe p;
	ssize_t n;
	int fd;

	(void)state;
	begin(&p);
	fd = dial(&p);
	assert_int_equal(send(fd, p.plan.token, sizeof(p.plan.token), MSG_NOSIGNAL),
	                 sizeof(p.plan.token));
	do
		n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL);
	while (n > 0);
	assert_true(errno == EPIPE || errno == ECONNRESET);
	end(&p);
	close(fd);
	assert_int_equal(p.rc, 0);
	/* The last chunk may lie over the bound. */
	assert_true(p.arrival.bytes <= p.plan.max_bytes + (256 << 10));
}

/* The owner's word ends both at once. */
static void test_stop(void **state)
{
	struct probe p;
	struct error err;

	(void)state;
	begin(&p);
	atomic_store(&p.stop, true);
	end(&p);
	assert_int_equal(p.rc, -ERROR_CANCELLED);
	assert_int_equal(path_probe_send(&p.plan, &p.departure, &err) < 0, 1);
}

/* Out of descriptors the receiver waits, not at full speed; when there is one again, it takes who came. */
static void test_no_descriptors(void **state)
{
	struct rlimit before, tight;
	struct sockaddr_storage at;
	struct pollfd hung_up = { .events = POLLIN };
	struct probe p;
	int fds[64], fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t bytes;
	unsigned n = 0;
	clock_t cpu;

	(void)state;
	begin(&p);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	while (n < 64 && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	assert_int_equal(errno, EMFILE);
	assert_int_equal(port_address_parse("127.0.0.1", p.plan.port, &at, &bytes), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, bytes), 0);
	assert_int_equal(send(fd, p.plan.token, sizeof(p.plan.token), MSG_NOSIGNAL),
	                 sizeof(p.plan.token));
	cpu = clock();
	hung_up.fd = fd;
	assert_int_equal(poll(&hung_up, 1, 400), 0);
	assert_in_range(clock() - cpu, 0, CLOCKS_PER_SEC / 10);
	while (n > 0)
		close(fds[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	end(&p);
	close(fd);
	assert_int_equal(p.rc, 0);
	assert_int_equal(p.arrival.turned_away, 0);
}

/* Nobody listens: the sender says so, with address and port. */
static void test_nobody(void **state)
{
	struct probe p;
	struct error err;
	char port[16];

	(void)state;
	begin(&p);
	atomic_store(&p.stop, true);
	end(&p);
	atomic_store(&p.stop, false);
	assert_int_equal(path_probe_send(&p.plan, &p.departure, &err), -ERROR_UNREACHABLE);
	snprintf(port, sizeof(port), "port %u", p.plan.port);
	assert_non_null(strstr(err.text, port));
}

/* A peer that names this host, a low port or no address makes nobody send there. */
static void test_where_it_may_go(void **state)
{
	(void)state;
	assert_true(path_probe_may_send("198.18.240.1", "198.18.240.2", 49216));
	assert_true(path_probe_may_send("2001:db8::1", "2001:db8::2", 1024));
	assert_false(path_probe_may_send("198.18.240.1", "198.18.240.2", 1023));
	assert_false(path_probe_may_send("198.18.240.1", "198.18.240.2", 0));
	assert_false(path_probe_may_send("198.18.240.1", "127.0.0.1", 49216));
	assert_false(path_probe_may_send("198.18.240.1", "127.9.0.1", 49216));
	assert_false(path_probe_may_send("198.18.240.1", "0.0.0.0", 49216));
	assert_false(path_probe_may_send("2001:db8::1", "::1", 49216));
	assert_false(path_probe_may_send("2001:db8::1", "::", 49216));
	assert_false(path_probe_may_send("2001:db8::1", "::ffff:127.0.0.1", 49216));
	assert_false(path_probe_may_send("198.18.240.1", "2001:db8::2", 49216));
	assert_false(path_probe_may_send("198.18.240.1", "host2", 49216));
	assert_true(path_probe_may_send("127.0.0.1", "127.0.0.2", 49216));
	assert_false(path_probe_may_send("127.0.0.1", "198.18.240.2", 49216));
}

/* Whatever address this host has besides the loopback's, it is not sent to. */
static void test_not_to_this_host(void **state)
{
	struct ifaddrs *all;

	(void)state;
	assert_int_equal(getifaddrs(&all), 0);
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		char address[INET_ADDRSTRLEN];

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
			continue;
		inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, address,
		          sizeof(address));
		assert_false(path_probe_may_send("198.18.240.1", address, 49216));
	}
	freeifaddrs(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_where_it_may_go),
		cmocka_unit_test(test_not_to_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
