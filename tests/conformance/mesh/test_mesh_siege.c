/* SPDX-License-Identifier: Apache-2.0 */
/* Over tcp: while strangers hold handshakes open, drip, or come again with what they overheard, an
 * honest client is served within two seconds, memory stays where it was, and the audit log knows. */
#include "tests/conformance/mesh/siege.h"

#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_from(struct siege *s, in_addr_t from)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons(
					  (uint16_t)atoi(strrchr(s->h.dial_url, ':') + 1)),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(from) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static bool is_connected(void *context)
{
	struct pollfd p = { .fd = *(const int *)context, .events = POLLOUT };

	return poll(&p, 1, 0) == 1;
}

/* Each is in the listener's hands before the next one comes, so that none waits for the kernel to
 * try again. */
static void stall(struct siege *s, in_addr_t from, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		s->fds[s->n_fds] = connect_from(s, from);
		assert_true(harness_wait(&s->h, is_connected, &s->fds[s->n_fds]));
		s->n_fds++;
	}
}

static bool hundred_not_let_in(void *context)
{
	struct siege *s = context;

	mesh_get_counts(s->h.server.mesh, &s->counts);
	return s->counts.not_let_in >= 100;
}

static bool all_not_let_in(void *context)
{
	struct siege *s = context;

	mesh_get_counts(s->h.server.mesh, &s->counts);
	return s->counts.not_let_in >= s->n_fds;
}

/* Three hundred handshakes of one host that never go on: it has its share, and others are served. */
static void f69_300_stalled_handshakes(void **state)
{
	struct siege *s = *state;

	stall(s, INADDR_LOOPBACK + 1, 300);
	siege_expect_served(s);
	assert_true(harness_wait(&s->h, hundred_not_let_in, s));
	assert_true(s->counts.turned_away > 0);
	siege_expect_in_log(s, "\"address\":\"127.0.0.2:");
	siege_expect_in_log(s, "handshakes of this address under way already");
	/* Those that were let to try end with the handshake's time. */
	assert_true(harness_wait(&s->h, all_not_let_in, s));
}

/* A thousand, from the very host of the honest client and from forty others: still served, and
 * memory holds no more than the handshakes that may be under way. */
static void f69_1000_stalled_handshakes(void **state)
{
	struct siege *s = *state;
	long before_kib, during_kib;

	siege_expect_served(s);
	before_kib = siege_get_rss_kib();
	for (in_addr_t n = 0; n < 40; n++)
		stall(s, INADDR_LOOPBACK + n, SIEGE_STALLED_MOST / 40);
	siege_expect_served(s);
	during_kib = siege_get_rss_kib();
	print_message("1000 stalled handshakes: %ld KiB before, %ld KiB during\n", before_kib,
	              during_kib);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(during_kib, 0, before_kib + 64 * 1024);
#endif
	assert_true(harness_wait(&s->h, all_not_let_in, s));
	siege_expect_served(s);
}

/* One byte at a time of a handshake does not buy more time than the handshake has. */
static void f69_drip(void **state)
{
	/* The head of a TLS record that announces a ClientHello of 512 bytes. */
	static const uint8_t hello[] = { 22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3 };
	struct siege *s = *state;
	uint64_t begin_ms = clock_now_ms();
	ssize_t n;

	stall(s, INADDR_LOOPBACK + 1, 8);
	for (size_t at = 0; !all_not_let_in(s); at++) {
		for (size_t i = 0; i < s->n_fds; i++)
			n = send(s->fds[i], at < sizeof(hello) ? &hello[at] : hello, 1,
			         MSG_NOSIGNAL);
		(void)n; /* it is over when this fails, which the counts tell */
		harness_run(&s->h, 200);
		if (at == 2)
			siege_expect_served(s);
		assert_in_range(clock_now_ms() - begin_ms, 0, 3000 + WAIT_MS);
	}
	siege_expect_in_log(s, "did not finish the handshake within 3000 ms");
}

/* Whoever ends the handshake and then says nothing has no more time than the handshake; whoever said
 * HELLO and answers no PING is gone after three keepalives. */
static void f69_silent_after_handshake(void **state)
{
	struct siege *s = *state;
	uint64_t begin_ms = clock_now_ms();
	struct pki_leaf leaf;
	struct raw mute = { .h = &s->h, .leaf = &leaf }, deaf = { .h = &s->h, .leaf = &leaf };

	pki_leaf_make(&s->h.ca, s->h.directory, "host9", "drover://test/agent/host9", 3600, &leaf);
	raw_add_hello(&deaf, "agent", "host9", "test");
	raw_start(&mute);
	raw_start(&deaf);
	siege_expect_served(s);
	raw_finish(&deaf);
	raw_finish(&mute);
	assert_true(mute.closed_by_peer && deaf.closed_by_peer);
	assert_in_range(clock_now_ms() - begin_ms, 2500, 3000 + WAIT_MS);
	raw_free(&mute);
	raw_free(&deaf);
	siege_expect_in_log(s, "did not finish the handshake within 3000 ms");
}

/* A good certificate that says it is another host is not let in, and the log has both names. */
static void f71_speaks_for_another(void **state)
{
	struct siege *s = *state;
	struct pki_leaf leaf;
	struct raw r = { .h = &s->h, .leaf = &leaf };

	pki_leaf_make(&s->h.ca, s->h.directory, "host9", "drover://test/agent/host9", 3600, &leaf);
	raw_add_hello(&r, "agent", "host1", "test");
	raw_run(&r);
	assert_true(r.closed_by_peer);
	raw_free(&r);
	siege_expect_in_log(s, "it says that it is agent host1");
	siege_expect_in_log(s, "its certificate is that of agent host9");
	siege_expect_served(s);
}

/* A call that its caller may not make is in the log with who it was; so is one that had its effect,
 * with its outcome. */
static void f74_refused_and_done(void **state)
{
	struct siege *s = *state;
	Drover__Test__Empty request = DROVER__TEST__EMPTY__INIT;
	struct pki_leaf leaf;
	struct raw r = { .h = &s->h, .leaf = &leaf };

	pki_leaf_make(&s->h.ca, s->h.directory, "eve", "drover://test/viewer/eve", 3600, &leaf);
	raw_add_hello(&r, "viewer", "eve", "test");
	raw_add_open(&r, 1, "drover.v1.Coordinator/Drain", &request.base);
	raw_add_frame(&r, FRAME_PING, 0, NULL, NULL);
	r.until_pong = true;
	raw_run(&r);
	raw_free(&r);
	siege_expect_in_log(s,
	                    "\"kind\":\"refused\",\"role\":\"viewer\",\"who\":\"eve\",\"address\":"
	                    "\"127.0.0.1:");
	siege_expect_in_log(s,
	                    "\"method\":\"drover.v1.Coordinator/Drain\",\"call\":\"1\",\"outcome\":"
	                    "\"PERMISSION_DENIED\"");
	siege_expect_served(s);
	siege_expect_in_log(s, "\"kind\":\"call\",\"role\":\"agent\",\"who\":\"host2\"");
	siege_expect_in_log(
		s, "\"method\":\"drover.test.Test/EmptyCall\",\"call\":\"1\",\"outcome\":\"OK\"");
}

/* A frame of 64 MiB is refused by its head alone, in the log by the name of who sent it. */
static void f67_length_is_audited(void **state)
{
	struct siege *s = *state;
	struct pki_leaf leaf;
	struct raw r = { .h = &s->h, .leaf = &leaf };
	long before_kib = siege_get_rss_kib();

	pki_leaf_make(&s->h.ca, s->h.directory, "host9", "drover://test/agent/host9", 3600, &leaf);
	raw_add_hello(&r, "agent", "host9", "test");
	raw_add_head(&r, &(struct frame_head){
				 .length = 64 * 1024 * 1024, .stream = 1, .type = FRAME_OPEN });
	raw_run(&r);
	assert_true(r.closed_by_peer);
	raw_free(&r);
	assert_in_range(siege_get_rss_kib(), 0, before_kib + 32 * 1024);
	siege_expect_in_log(s, "\"who\":\"host9\",\"address\":\"127.0.0.1:");
	siege_expect_in_log(s, "\"outcome\":\"CUT_OFF\"");
	siege_expect_served(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, siege_setup, siege_teardown)
		CASE(f69_300_stalled_handshakes),
		CASE(f69_1000_stalled_handshakes),
		CASE(f69_drip),
		CASE(f69_silent_after_handshake),
		CASE(f71_speaks_for_another),
		CASE(f74_refused_and_done),
		CASE(f67_length_is_audited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
