/* SPDX-License-Identifier: Apache-2.0 */
/* See round_trip.h. */
#include "agent/link/round_trip.h"

#include "agent/link/port_holder.h"
#include "common/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int open_socket(const struct sockaddr_storage *own, socklen_t bytes, const char *interface)
{
	int fd = socket(own->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* Not permitted on old kernels: the address decides then. */
	(void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface,
	                 (socklen_t)strlen(interface) + 1);
	if (bind(fd, (const struct sockaddr *)own, bytes) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

/* 0 and the time, or -errno; -ETIMEDOUT if nothing came before @deadline_us. */
static int try_once(const struct sockaddr_storage *peer, const struct sockaddr_storage *own,
                    socklen_t bytes, const char *interface, uint64_t deadline_us, uint64_t *ret_us)
{
	_cleanup_close_ int fd = open_socket(own, bytes, interface);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t began_us = now_us();
	int error = 0;
	socklen_t size = sizeof(error);

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)peer, bytes) < 0) {
		error = errno;
		if (error == EINPROGRESS) {
			uint64_t left_us = deadline_us > began_us ? deadline_us - began_us : 0;

			if (poll(&p, 1, (int)(left_us / 1000)) <= 0)
				return -ETIMEDOUT;
			if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
				return -errno;
		}
	}
	if (error && error != ECONNREFUSED)
		return -error;
	*ret_us = now_us() - began_us;
	return 0;
}

/* The kernel asked who has that address, and nobody said anything: it would take another three
 * seconds to say so of itself. */
static bool has_no_neighbour(const char *address)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/net/arp", "re");
	char line[256], ip[64];
	unsigned flags;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s 0x%*x 0x%x", ip, &flags) == 2 && strcmp(ip, address) == 0)
			return flags == 0;
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void conclude(struct round_trip *r, uint64_t *times_us, int rc)
{
	if (r->n_answers) {
		qsort(times_us, r->n_answers, sizeof(*times_us), compare);
		r->smallest_us = times_us[0];
		r->median_us = times_us[r->n_answers / 2];
		r->outcome = ROUND_TRIP_MEASURED;
	} else if (rc == -EHOSTUNREACH || rc == -ENETUNREACH || rc == -ENETDOWN ||
	           rc == -EHOSTDOWN) {
		r->outcome = ROUND_TRIP_UNREACHABLE;
		snprintf(r->why, sizeof(r->why), "%s", strerror(-rc));
	} else if (rc == -ETIMEDOUT && has_no_neighbour(r->address)) {
		r->outcome = ROUND_TRIP_UNREACHABLE;
		snprintf(r->why, sizeof(r->why), "nobody there has that address (no ARP answer)");
	} else if (rc == -ETIMEDOUT) {
		r->outcome = ROUND_TRIP_NO_ANSWER;
	} else {
		snprintf(r->why, sizeof(r->why), "%s", strerror(-rc));
	}
}

void round_trip_measure(const char *address, const char *own_address, const char *interface,
                        struct round_trip *ret)
{
	struct round_trip r = { .outcome = ROUND_TRIP_NOT_MEASURED };
	uint64_t deadline_us = now_us() + ROUND_TRIP_BUDGET_MS * 1000, times_us[ROUND_TRIP_TRIES];
	struct sockaddr_storage peer, own;
	socklen_t bytes, own_bytes;
	int rc = 0;

	snprintf(r.address, sizeof(r.address), "%s", address);
	if (port_address_parse(address, ROUND_TRIP_PORT, &peer, &bytes) < 0 ||
	    port_address_parse(own_address, 0, &own, &own_bytes) < 0 ||
	    peer.ss_family != own.ss_family) {
		snprintf(r.why, sizeof(r.why), "\"%.40s\" and \"%.40s\" are not two IP addresses",
		         address, own_address);
		*ret = r;
		return;
	}
	for (int i = 0; i < ROUND_TRIP_TRIES && rc == 0; i++) {
		rc = try_once(&peer, &own, bytes, interface, deadline_us, &times_us[r.n_answers]);
		if (rc == 0)
			r.n_answers++;
	}
	conclude(&r, times_us, rc);
	*ret = r;
}
