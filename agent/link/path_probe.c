/* SPDX-License-Identifier: Apache-2.0 */
/* See path_probe.h. Courier threads. */
#include "agent/link/path_probe.h"

#include "agent/link/port_holder.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STOP_LOOK_MS      20 /* how soon a stop is seen */
#define NO_DESCRIPTORS_MS 50
#define CHUNK_BYTES       (256 * 1024)
#define SEND_AHEAD        (128 * 1024)
#define SCAVENGER_CLASS   0x20 /* CS1, RFC 3662 */
#define PRIORITY_BULK     2    /* TC_PRIO_BULK: the last band of pfifo_fast */

static bool is_stopped(const struct path_probe_plan *plan)
{
	return plan->stop && atomic_load(plan->stop);
}

static int stopped(struct error *err)
{
	return error_set(err, ERROR_CANCELLED, "it gave way to other traffic");
}

/* 1: ready; 0: the time is over; -1: told to stop. */
static int wait_until(int fd, short events, uint64_t deadline_ms,
                      const struct path_probe_plan *plan)
{
	for (;;) {
		uint64_t now_ms = clock_now_ms(), left_ms;
		struct pollfd p = { .fd = fd, .events = events };

		if (is_stopped(plan))
			return -1;
		if (now_ms >= deadline_ms)
			return 0;
		left_ms = deadline_ms - now_ms;
		if (poll(&p, 1, (int)(left_ms < STOP_LOOK_MS ? left_ms : STOP_LOOK_MS)) > 0)
			return 1;
	}
}

/* --- the receiver --- */

int path_probe_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port,
                      struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage at;
	socklen_t bytes;
	int on = 1;

	if (port_address_parse(address, port, &at, &bytes) < 0)
		return error_set(err, ERROR_INVALID, "\"%.63s\" is not an IP address", address);
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, bytes) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &bytes) < 0)
		return error_set_errno(err, errno == EADDRINUSE ? ERROR_BUSY : ERROR_SYSTEM, errno,
		                       "listening at %s port %u", address, port);
	*ret_port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
	                                           : ((struct sockaddr_in *)&at)->sin_port);
	*ret_fd = take_fd(fd);
	return 0;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		              &((const struct sockaddr_in6 *)b)->sin6_addr,
		              sizeof(struct in6_addr)) == 0;
	return memcmp(&((const struct sockaddr_in *)a)->sin_addr,
	              &((const struct sockaddr_in *)b)->sin_addr, sizeof(struct in_addr)) == 0;
}

static bool same_token(const uint8_t *a, const uint8_t *b)
{
	uint8_t differs = 0;

	for (size_t i = 0; i < PATH_PROBE_TOKEN_BYTES; i++)
		differs |= a[i] ^ b[i];
	return !differs;
}

/* Whether it is the one we wait for. -1: told to stop. */
static int read_token(int fd, const struct path_probe_plan *plan, uint64_t deadline_ms)
{
	uint8_t token[PATH_PROBE_TOKEN_BYTES] = { 0 };
	uint64_t patience_ms = clock_now_ms() + PATH_PROBE_TOKEN_MS;
	size_t got = 0;

	if (patience_ms < deadline_ms)
		deadline_ms = patience_ms;
	while (got < sizeof(token)) {
		int ready = wait_until(fd, POLLIN, deadline_ms, plan);
		ssize_t n;

		if (ready <= 0)
			return ready;
		n = recv(fd, token + got, sizeof(token) - got, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return 0;
		if (n > 0)
			got += (size_t)n;
	}
	return same_token(token, plan->token);
}

/* The connection that knows the token, or -error. */
static int accept_sender(int listener, const struct path_probe_plan *plan,
                         struct path_probe_arrival *r, struct error *err)
{
	uint64_t deadline_ms = clock_now_ms() + PATH_PROBE_ACCEPT_MS;
	struct sockaddr_storage expected = { 0 };
	socklen_t bytes;
	int lacking = 0;

	if (port_address_parse(plan->peer_address, 0, &expected, &bytes) < 0)
		return error_set(err, ERROR_INVALID, "\"%.63s\" is not an IP address",
		                 plan->peer_address);
	while (r->turned_away < PATH_PROBE_CONNECTIONS) {
		struct sockaddr_storage from = { 0 };
		socklen_t from_bytes = sizeof(from);
		int ready = wait_until(listener, POLLIN, deadline_ms, plan), known = 0, fd;

		if (ready < 0)
			return stopped(err);
		if (ready == 0)
			break;
		fd = accept4(listener, (struct sockaddr *)&from, &from_bytes,
		             SOCK_CLOEXEC | SOCK_NONBLOCK);
		/* It stays ready while there is no descriptor: not at full speed, then. */
		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			lacking = errno;
			if (wait_until(listener, 0, clock_now_ms() + NO_DESCRIPTORS_MS, plan) < 0)
				return stopped(err);
		}
		if (fd < 0)
			continue;
		lacking = 0;
		if (same_host(&from, &expected))
			known = read_token(fd, plan, deadline_ms);
		if (known > 0)
			return fd;
		close(fd);
		if (known < 0)
			return stopped(err);
		r->turned_away++;
	}
	if (lacking)
		return error_set_errno(err, ERROR_NO_SPACE, lacking,
		                       "accepting a probe's connection");
	return error_set(err, ERROR_TIMEOUT,
	                 "nobody came from %s to port %u in %d ms (%u others turned away): is "
	                 "that port open on the migration network?",
	                 plan->peer_address, plan->port, PATH_PROBE_ACCEPT_MS, r->turned_away);
}

/* Buckets by the time since the first byte. */
static int take_in(int fd, const struct path_probe_plan *plan, struct path_probe_arrival *r,
                   struct error *err)
{
	_cleanup_free_ char *scratch = xmalloc(CHUNK_BYTES);
	uint64_t deadline_ms = clock_now_ms() + PATH_PROBE_MS, began_ns = 0, at_ms = 0;

	while (at_ms < PATH_PROBE_MS && r->bytes < plan->max_bytes) {
		int ready = wait_until(fd, POLLIN, deadline_ms, plan);
		ssize_t n;

		if (ready < 0)
			return stopped(err);
		if (ready == 0)
			break;
		/* Thrown away in the kernel; the buffer is there all the same. */
		n = recv(fd, scratch, CHUNK_BYTES, MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		if (!began_ns) {
			began_ns = clock_now_ns();
			deadline_ms = clock_now_ms() + PATH_PROBE_MS;
		}
		at_ms = (clock_now_ns() - began_ns) / 1000000;
		r->bytes += (uint64_t)n;
		if (at_ms < PATH_PROBE_MS)
			r->arrivals.bytes[at_ms / PATH_BUCKET_MS] += (uint64_t)n;
	}
	if (began_ns)
		at_ms = (clock_now_ns() - began_ns) / 1000000;
	r->took_ms = at_ms;
	r->arrivals.n = (at_ms < PATH_PROBE_MS ? at_ms : PATH_PROBE_MS) / PATH_BUCKET_MS;
	return 0;
}

int path_probe_receive(int fd, const struct path_probe_plan *plan, struct path_probe_arrival *ret,
                       struct error *err)
{
	_cleanup_close_ int listener = fd, connection = -1;
	struct path_probe_arrival r = { 0 };
	int rc;

	connection = accept_sender(listener, plan, &r, err);
	if (connection < 0)
		return connection;
	rc = take_in(connection, plan, &r, err);
	if (rc == 0)
		*ret = r;
	return rc;
}

/* --- the sender --- */

/* What a kernel does not know is left out: the probe is as good, and a little less kind. */
static void be_kind(int fd, int family)
{
	const struct linger at_once = { .l_onoff = 1 };
	int class = SCAVENGER_CLASS, priority = PRIORITY_BULK, ahead = SEND_AHEAD;

	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_TOS, &class, sizeof(class));
	(void)setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &ahead, sizeof(ahead));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

static bool is_same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return a->sa_family == AF_INET6 &&
	       IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
	                          &((const struct sockaddr_in6 *)b)->sin6_addr);
}

/* The address of nobody in particular is the loopback's as well; one of IPv4 in IPv6's clothes may be. */
static bool is_loopback(const struct sockaddr *a)
{
	const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;
	uint32_t four;

	if (a->sa_family != AF_INET)
		return IN6_IS_ADDR_LOOPBACK(six) || IN6_IS_ADDR_UNSPECIFIED(six) ||
		       IN6_IS_ADDR_V4MAPPED(six);
	four = ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr);
	return four >> 24 == 127 || four >> 24 == 0;
}

static bool is_own_address(const struct sockaddr *a)
{
	struct ifaddrs *all = NULL;
	bool own = false;

	/* What cannot be listed cannot be ruled out. */
	if (getifaddrs(&all) < 0)
		return true;
	for (const struct ifaddrs *i = all; i && !own; i = i->ifa_next)
		own = i->ifa_addr && is_same_address(i->ifa_addr, a);
	freeifaddrs(all);
	return own;
}

bool path_probe_may_send(const char *own_address, const char *address, uint16_t port)
{
	struct sockaddr_storage own, peer;
	socklen_t bytes;

	if (port < 1024 || port_address_parse(own_address, 0, &own, &bytes) < 0 ||
	    port_address_parse(address, port, &peer, &bytes) < 0 || own.ss_family != peer.ss_family)
		return false;
	if (is_loopback((const struct sockaddr *)&own))
		return is_loopback((const struct sockaddr *)&peer);
	return !is_loopback((const struct sockaddr *)&peer) &&
	       !is_own_address((const struct sockaddr *)&peer);
}

static int connect_probe(const struct path_probe_plan *plan, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage own, peer;
	socklen_t own_bytes, bytes, size;
	int failed = 0;

	if (port_address_parse(plan->own_address, 0, &own, &own_bytes) < 0 ||
	    port_address_parse(plan->peer_address, plan->port, &peer, &bytes) < 0 ||
	    own.ss_family != peer.ss_family)
		return error_set(err, ERROR_INVALID,
		                 "\"%.63s\" and \"%.63s\" are not two IP addresses",
		                 plan->own_address, plan->peer_address);
	fd = socket(peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "a socket");
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) < 0)
		return error_set_errno(err, ERROR_UNSUPPORTED, errno,
		                       "this kernel has no cubic (modprobe tcp_cubic)");
	be_kind(fd, peer.ss_family);
	/* Not permitted on old kernels: the address decides then. */
	if (plan->interface[0])
		(void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, plan->interface,
		                 (socklen_t)strlen(plan->interface) + 1);
	if (bind(fd, (struct sockaddr *)&own, own_bytes) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "binding to %s",
		                       plan->own_address);
	if (connect(fd, (struct sockaddr *)&peer, bytes) < 0 && errno != EINPROGRESS)
		return error_set_errno(err, ERROR_UNREACHABLE, errno, "%s port %u",
		                       plan->peer_address, plan->port);
	switch (wait_until(fd, POLLOUT, clock_now_ms() + PATH_PROBE_ACCEPT_MS, plan)) {
	case -1:
		return stopped(err);
	case 0:
		return error_set(err, ERROR_TIMEOUT,
		                 "%s port %u does not answer: is it open on the migration network?",
		                 plan->peer_address, plan->port);
	default:
		break;
	}
	size = sizeof(failed);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) < 0)
		failed = errno;
	if (failed)
		return error_set_errno(err, ERROR_UNREACHABLE, failed, "%s port %u",
		                       plan->peer_address, plan->port);
	*ret_fd = take_fd(fd);
	return 0;
}

static void read_figures(int fd, struct path_probe_departure *r)
{
	struct tcp_info info = { 0 };
	socklen_t bytes = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0)
		return;
	r->mss = info.tcpi_snd_mss;
	r->min_rtt_us = info.tcpi_rtt;
	r->retransmitted_bytes = (uint64_t)info.tcpi_total_retrans * info.tcpi_snd_mss;
}

/* Until the receiver hangs up, which it does when it has seen enough, or a bound of our own. */
static int pour(int fd, const struct path_probe_plan *plan, struct path_probe_departure *r,
                struct error *err)
{
	_cleanup_free_ char *zeros = xcalloc(1, SEND_AHEAD);
	uint64_t deadline_ms = clock_now_ms() + 2 * PATH_PROBE_MS;

	while (r->sent_bytes < plan->max_bytes) {
		uint64_t left = plan->max_bytes - r->sent_bytes;
		int ready = wait_until(fd, POLLOUT, deadline_ms, plan);
		ssize_t n;

		if (ready < 0)
			return stopped(err);
		if (ready == 0)
			break;
		/* After a reset there is nothing to ask any more. */
		read_figures(fd, r);
		n = send(fd, zeros, left < SEND_AHEAD ? (size_t)left : SEND_AHEAD, MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			break;
		r->sent_bytes += (uint64_t)n;
	}
	/* All that it may send was sent: the receiver takes it in, and hangs up. */
	if (r->sent_bytes >= plan->max_bytes && wait_until(fd, POLLIN, deadline_ms, plan) < 0)
		return stopped(err);
	return 0;
}

int path_probe_send(const struct path_probe_plan *plan, struct path_probe_departure *ret,
                    struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct path_probe_departure r = { 0 };
	int rc = connect_probe(plan, &fd, err);

	if (rc < 0)
		return rc;
	if (send(fd, plan->token, sizeof(plan->token), MSG_NOSIGNAL) !=
	    (ssize_t)sizeof(plan->token))
		return error_set_errno(err, ERROR_UNREACHABLE, errno, "%s port %u",
		                       plan->peer_address, plan->port);
	rc = pour(fd, plan, &r, err);
	if (rc == 0)
		*ret = r;
	return rc;
}
