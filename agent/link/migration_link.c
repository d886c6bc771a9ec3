/* SPDX-License-Identifier: Apache-2.0 */
/* See migration_link.h. Connections are found and broken as ss -K does it: a sock_diag dump, and one
 * SOCK_DESTROY for each (needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY, which Debian has). */
#include "agent/link/migration_link.h"

#include "agent/link/port_holder.h"
#include "common/cleanup.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_ESTABLISHED_BIT (1U << 1)
/* More than one move's: its stream, and those that are about to be closed. */
#define CONNECTIONS_MAX 64

int migration_link_probe(const char *from, const char *to, uint16_t port, struct error *err)
{
	struct sockaddr_storage local, remote;
	socklen_t local_bytes, remote_bytes, error_bytes = sizeof(int);
	_cleanup_close_ int fd = -1;
	struct pollfd p;
	int failed = 0;

	if (port_address_parse(from, 0, &local, &local_bytes) < 0 ||
	    port_address_parse(to, port, &remote, &remote_bytes) < 0)
		return error_set(err, ERROR_INVALID, "%s or %s is not an address", from, to);
	fd = socket(remote.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&local, local_bytes) < 0)
		return error_set_errno(err, ERROR_UNREACHABLE, errno, "our own address %s", from);
	if (connect(fd, (struct sockaddr *)&remote, remote_bytes) < 0 && errno != EINPROGRESS) {
		failed = errno;
	} else {
		p = (struct pollfd){ .fd = fd, .events = POLLOUT };
		if (poll(&p, 1, MIGRATION_LINK_PROBE_MS) == 0)
			failed = ETIMEDOUT;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &error_bytes) < 0)
			failed = errno;
	}
	if (failed && failed != ECONNREFUSED)
		return error_set_errno(err, ERROR_UNREACHABLE, failed,
		                       "the migration network does not reach %s from %s", to, from);
	return 0;
}

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

static struct request request_of(uint16_t type, uint16_t flags, uint8_t family)
{
	return (struct request){
		.header = { .nlmsg_len = sizeof(struct request),
		            .nlmsg_type = type,
		            .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.diag = { .sdiag_family = family,
		          .sdiag_protocol = IPPROTO_TCP,
		          .idiag_states = TCP_ESTABLISHED_BIT },
	};
}

static bool is_ours(const struct inet_diag_msg *m, const struct sockaddr_storage *at, uint16_t port)
{
	const void *address = at->ss_family == AF_INET
	                              ? (const void *)&((const struct sockaddr_in *)at)->sin_addr
	                              : (const void *)&((const struct sockaddr_in6 *)at)->sin6_addr;

	return m->id.idiag_sport == htons(port) &&
	       memcmp(m->id.idiag_src, address, at->ss_family == AF_INET ? 4 : 16) == 0;
}

/* Those that are established; -1 with errno if they cannot be listed. */
static int list(int fd, const struct sockaddr_storage *at, uint16_t port,
                struct inet_diag_sockid ret[CONNECTIONS_MAX])
{
	struct request ask = request_of(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, (uint8_t)at->ss_family);
	_Alignas(struct nlmsghdr) char buffer[16384];
	int found = 0;

	if (send(fd, &ask, sizeof(ask), 0) < 0)
		return -1;
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
		size_t left = n < 0 ? 0 : (size_t)n;

		if (n <= 0)
			return -1;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			const struct inet_diag_msg *m = NLMSG_DATA(h);

			if (h->nlmsg_type == NLMSG_DONE)
				return found;
			if (h->nlmsg_type == NLMSG_ERROR) {
				errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
				return -1;
			}
			if (found < CONNECTIONS_MAX && is_ours(m, at, port))
				ret[found++] = m->id;
		}
	}
}

static int destroy(int fd, uint8_t family, const struct inet_diag_sockid *id)
{
	struct request ask = request_of(SOCK_DESTROY, NLM_F_ACK, family);
	_Alignas(struct nlmsghdr) char buffer[1024];
	struct nlmsghdr *h = (struct nlmsghdr *)buffer;

	ask.diag.id = *id;
	if (send(fd, &ask, sizeof(ask), 0) < 0 || recv(fd, buffer, sizeof(buffer), 0) < 0)
		return errno;
	if (h->nlmsg_type != NLMSG_ERROR)
		return EPROTO;
	return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
}

int migration_link_cut(const char *address, uint16_t port, unsigned *ret_cut, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct inet_diag_sockid ids[CONNECTIONS_MAX];
	struct timeval patience = { .tv_sec = 2 };
	struct sockaddr_storage at;
	socklen_t bytes;
	unsigned cut = 0;
	int n;

	if (port_address_parse(address, port, &at, &bytes) < 0)
		return error_set(err, ERROR_INVALID, "%s is not an address", address);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "asking for connections");
	n = list(fd, &at, port, ids);
	if (n < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "listing connections at %s",
		                       address);
	for (int i = 0; i < n; i++) {
		int failed = destroy(fd, (uint8_t)at.ss_family, &ids[i]);

		/* It has ended by itself. */
		if (failed == ENOENT)
			continue;
		if (failed)
			return error_set_errno(err, ERROR_SYSTEM, failed,
			                       "breaking a connection at %s:%u", address, port);
		cut++;
	}
	*ret_cut = cut;
	return 0;
}
