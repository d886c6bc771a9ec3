/* SPDX-License-Identifier: Apache-2.0 */
/* See local.h. */
#include "agent/tunnel/local.h"

#include "common/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SOCKET_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

static int unix_address(const char *path, struct sockaddr_un *ret, struct error *err)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (path[0] != '/' || strlen(path) >= sizeof(at.sun_path))
		return error_set(
			err, ERROR_INVALID,
			"%s cannot be a socket: it must be an absolute path of at most %zu bytes",
			path, sizeof(at.sun_path) - 1);
	memcpy(at.sun_path, path, strlen(path) + 1);
	*ret = at;
	return 0;
}

int tunnel_local_listen(const char *path, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	struct sockaddr_un at;
	struct stat st;
	mode_t mask;
	int rc = unix_address(path, &at, err);

	if (rc < 0)
		return rc;
	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "making a socket");
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (rc < 0 || listen(fd, 4) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "listening at %s", path);
	*ret_fd = take_fd(fd);
	return 0;
}

/* Out of descriptors the caller still waits in the queue, and the listener stays ready. */
static int accept_failed(struct error *err, const char *what)
{
	bool lacks = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;

	return error_set_errno(err, lacks ? ERROR_NO_SPACE : ERROR_BUSY, errno, "accepting %s",
	                       what);
}

int tunnel_local_accept(int listener, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred who;
	socklen_t bytes = sizeof(who);

	if (fd < 0)
		return accept_failed(err, "libvirt's connection");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) < 0 ||
	    (who.uid != 0 && who.uid != geteuid()))
		return error_set(err, ERROR_PERMISSION, "uid %u may not use this tunnel",
		                 (unsigned int)who.uid);
	*ret_fd = take_fd(fd);
	return 0;
}

int tunnel_local_connect(const char *path, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	struct sockaddr_un at;
	int rc = unix_address(path, &at, err);

	if (rc < 0)
		return rc;
	/* A unix socket connects at once or not at all. */
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return error_set_errno(err, ERROR_UNREACHABLE, errno, "connecting to %s", path);
	*ret_fd = take_fd(fd);
	return 0;
}

/* Splits "10.77.0.2:0" and "[fd00::2]:0". */
static int tcp_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_bytes,
                       struct error *err)
{
	struct sockaddr_storage at = { 0 };
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&at;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&at;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	unsigned long port;
	char *end;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(host) || !colon[1])
		goto invalid;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX || colon[1] < '0' || colon[1] > '9')
		goto invalid;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (host[0] == '[' && colon[-1] == ']') {
		host[colon - text - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
			goto invalid;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_bytes = sizeof(*v6);
	} else {
		if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
			goto invalid;
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		*ret_bytes = sizeof(*v4);
	}
	*ret = at;
	return 0;

invalid:
	return error_set(err, ERROR_INVALID,
	                 "\"%s\" is no address: write 10.77.0.2:40123 or [fd00::2]:40123", text);
}

static uint16_t port_of(const struct sockaddr_storage *at)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	memcpy(&v6, at, sizeof(v6));
	memcpy(&v4, at, sizeof(v4));
	return ntohs(at->ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}

int tunnel_tcp_listen(const char *address, int *ret_fd, uint16_t *ret_port, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage at = { 0 };
	socklen_t bytes = 0;
	int rc = tcp_address(address, &at, &bytes, err);

	if (rc < 0)
		return rc;
	fd = socket(at.ss_family, SOCKET_FLAGS, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, bytes) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &bytes) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "listening at %s", address);
	*ret_port = port_of(&at);
	*ret_fd = take_fd(fd);
	return 0;
}

int tunnel_tcp_accept(int listener, int *ret_fd, char *ret_peer, struct error *err)
{
	struct sockaddr_storage at = { 0 };
	char host[INET6_ADDRSTRLEN] = "?";
	socklen_t bytes = sizeof(at);
	int fd = accept4(listener, (struct sockaddr *)&at, &bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return accept_failed(err, "a connection");
	if (at.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&at)->sin6_addr, host, sizeof(host));
	else
		inet_ntop(AF_INET, &((struct sockaddr_in *)&at)->sin_addr, host, sizeof(host));
	snprintf(ret_peer, 80, "%s:%u", host, port_of(&at));
	*ret_fd = fd;
	return 0;
}

int tunnel_tcp_dial(const char *address, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage at = { 0 };
	socklen_t bytes = 0;
	int rc = tcp_address(address, &at, &bytes, err);

	if (rc < 0)
		return rc;
	fd = socket(at.ss_family, SOCKET_FLAGS, 0);
	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "making a socket");
	if (connect(fd, (struct sockaddr *)&at, bytes) < 0 && errno != EINPROGRESS)
		return error_set_errno(err, ERROR_UNREACHABLE, errno, "connecting to %s", address);
	*ret_fd = take_fd(fd);
	return 0;
}
