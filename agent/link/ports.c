/* SPDX-License-Identifier: Apache-2.0 */
/* See ports.h. No state. */
#include "agent/link/ports.h"

#include "agent/link/port_holder.h"
#include "common/cleanup.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int port_pool_check(const struct port_pool *pool, struct error *err)
{
	if (pool->first < 1024)
		return error_set(err, ERROR_INVALID,
		                 "migration ports begin at %u: 1024 is the lowest", pool->first);
	if (pool->last < pool->first)
		return error_set(err, ERROR_INVALID,
		                 "migration ports from %u to %u: the last is lower", pool->first,
		                 pool->last);
	if (pool->last - pool->first + 1 > PORTS_MAX)
		return error_set(err, ERROR_INVALID, "%d migration ports: %d is the most",
		                 pool->last - pool->first + 1, PORTS_MAX);
	return 0;
}

int port_address_parse(const char *address, uint16_t port, struct sockaddr_storage *ret,
                       socklen_t *ret_bytes)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*ret_bytes = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*ret_bytes = sizeof(*v6);
	} else {
		return -ERROR_INVALID;
	}
	*ret = storage;
	return 0;
}

int ports_test(const char *address, uint16_t port, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage at;
	socklen_t bytes;
	int on = 1;

	if (port_address_parse(address, port, &at, &bytes) < 0)
		return error_set(err, ERROR_INVALID,
		                 "the migration address \"%s\" is not an IP address", address);
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "testing port %u", port);
	/* As QEMU does: without it, every finished migration would block its port for a minute. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "testing port %u", port);
	if (bind(fd, (struct sockaddr *)&at, bytes) == 0 && listen(fd, 1) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return error_set(err, ERROR_BUSY, "port %u on %s is taken", port, address);
	if (errno == EADDRNOTAVAIL)
		return error_set(err, ERROR_INVALID,
		                 "the migration address %s is not an address of this host",
		                 address);
	return error_set_errno(err, ERROR_SYSTEM, errno, "testing port %u on %s", port, address);
}

void ports_survey(const struct port_pool *pool, const char *address,
                  bool (*is_leased)(uint16_t port, void *context), void *context,
                  struct port_survey *ret)
{
	struct port_survey s = { .pool = *pool };

	snprintf(s.address, sizeof(s.address), "%s", address);
	for (unsigned int port = pool->first; port <= pool->last; port++) {
		struct error error;
		int rc;

		if (is_leased && is_leased((uint16_t)port, context)) {
			s.n_leased++;
			continue;
		}
		rc = ports_test(address, (uint16_t)port, &error);
		if (rc == 0) {
			s.n_free++;
			if (!s.free_port)
				s.free_port = (uint16_t)port;
			else if (!s.second_free_port)
				s.second_free_port = (uint16_t)port;
		} else if (rc == -ERROR_BUSY) {
			if (!s.first_taken.taken)
				ports_find_holder(address, (uint16_t)port, &s.first_taken);
		} else {
			s.error = error;
			*ret = s;
			return;
		}
	}
	s.measured = true;
	*ret = s;
}

static const char *state_words(const struct port_holder *h)
{
	if (strcmp(h->state, "LISTEN") == 0)
		return ", listening";
	return "";
}

void ports_explain(const struct port_holder *holder, char *ret_text, size_t bytes)
{
	const struct port_holder *h = holder;
	char who[100] = "";

	if (h->pid)
		snprintf(who, sizeof(who), "%s (pid %u)", h->command, h->pid);
	if (h->leased)
		snprintf(ret_text, bytes, "%u is leased to another migration", h->port);
	else if (h->outgoing)
		snprintf(ret_text, bytes, "%u is used by an outgoing connection to %s%s%s%s",
		         h->port, h->peer, who[0] ? " of " : "", who,
		         strcmp(h->state, "TIME_WAIT") == 0 ? " (TIME_WAIT)" : "");
	else if (who[0])
		snprintf(ret_text, bytes, "%u is held by %s%s", h->port, who, state_words(h));
	else
		snprintf(ret_text, bytes, "%u is held by a process that cannot be seen from here%s",
		         h->port, state_words(h));
}

void ports_explain_remedy(const struct port_holder *holder, const struct port_pool *pool,
                          char *ret_text, size_t bytes)
{
	const struct port_holder *h = holder;

	if (h->leased)
		snprintf(ret_text, bytes, "wait for the running migration, or widen the port pool");
	else if (h->outgoing)
		/* libvirt's whole range: its own defaults suffer from the same. */
		snprintf(ret_text, bytes,
		         "sysctl -w net.ipv4.ip_local_reserved_ports=49152-49215 keeps the kernel "
		         "from "
		         "using it; this connection has to end (TIME_WAIT: 60 s)");
	else if (h->pid)
		snprintf(ret_text, bytes,
		         "stop %s (pid %u) or move it to another port, or set migration ports "
		         "other than "
		         "%u-%u",
		         h->command, h->pid, pool->first, pool->last);
	else
		snprintf(ret_text, bytes,
		         "find it with: ss -tanp 'sport = :%u'; or set migration ports other than "
		         "%u-%u",
		         h->port, pool->first, pool->last);
}
