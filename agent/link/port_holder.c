/* SPDX-License-Identifier: Apache-2.0 */
/* Who sits on a local TCP port: /proc/net/tcp and tcp6 for the socket, /proc/PID/fd for its owner.
 *
 * Couriers only: it reads the descriptors of every process. No state. Races are harmless here, for
 * the answer is an explanation and no decision hangs on it.
 *
 * A bind on ADDRESS:PORT is refused by a listener on the same or the wildcard address, and by the
 * local end of any connection on the same address, one in TIME_WAIT too (measured). The sockets are
 * ranked in that order, because a listener is what somebody can stop.
 */
#include "agent/link/port_holder.h"

#include "agent/link/ports.h"
#include "common/cleanup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

struct candidate {
	bool found;
	unsigned int state;
	unsigned long inode;
	char peer[64];
};

static const char *state_name(unsigned int state)
{
	switch (state) {
	case TCP_LISTEN:
		return "LISTEN";
	case TCP_TIME_WAIT:
		return "TIME_WAIT";
	case TCP_ESTABLISHED:
		return "ESTABLISHED";
	default:
		return "CLOSING";
	}
}

/* "0100007F" and the 32 digits of tcp6: words of the address in host byte order. */
static bool parse_hex_address(const char *hex, bool v6, struct in6_addr *ret)
{
	unsigned int words[4] = { 0 };
	int n = v6 ? 4 : 1;

	if (strlen(hex) != (size_t)n * 8)
		return false;
	for (int i = 0; i < n; i++)
		if (sscanf(hex + (size_t)i * 8, "%8X", &words[i]) != 1)
			return false;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, words, (size_t)n * 4);
	return true;
}

/* IPv4 addresses are compared as such also when they come mapped into IPv6. */
static bool same_address(const struct in6_addr *a, bool a_v6, const struct sockaddr_storage *at)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (at->ss_family == AF_INET6)
		return a_v6 && memcmp(a, &((const struct sockaddr_in6 *)at)->sin6_addr, 16) == 0;
	if (!a_v6)
		return memcmp(a, &((const struct sockaddr_in *)at)->sin_addr, 4) == 0;
	return memcmp(a, mapped, 12) == 0 &&
	       memcmp(&a->s6_addr[12], &((const struct sockaddr_in *)at)->sin_addr, 4) == 0;
}

static bool is_wildcard(const struct in6_addr *a)
{
	static const struct in6_addr any;

	return memcmp(a, &any, sizeof(any)) == 0;
}

static int rank(unsigned int state)
{
	return state == TCP_LISTEN ? 3 : state == TCP_TIME_WAIT ? 1 : 2;
}

static void format_peer(const struct in6_addr *a, bool v6, unsigned int port, char *ret, size_t n)
{
	char text[INET6_ADDRSTRLEN];

	if (v6 && IN6_IS_ADDR_V4MAPPED(a))
		inet_ntop(AF_INET, &a->s6_addr[12], text, sizeof(text));
	else
		inet_ntop(v6 ? AF_INET6 : AF_INET, a, text, sizeof(text));
	snprintf(ret, n, strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, port);
}

static void scan_table(const char *path, bool v6, const struct sockaddr_storage *at, uint16_t port,
                       struct candidate *best)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[512];

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		char local[40], remote[40];
		unsigned int local_port, remote_port, state;
		struct in6_addr local_address, remote_address;
		unsigned long inode;

		if (sscanf(line,
		           " %*u: %39[0-9A-F]:%4X %39[0-9A-F]:%4X %2X %*s %*s %*s %*u %*u %lu",
		           local, &local_port, remote, &remote_port, &state, &inode) != 6)
			continue;
		if (local_port != port || !parse_hex_address(local, v6, &local_address) ||
		    !parse_hex_address(remote, v6, &remote_address))
			continue;
		if (!same_address(&local_address, v6, at) &&
		    !(state == TCP_LISTEN && is_wildcard(&local_address)))
			continue;
		if (best->found && rank(best->state) >= rank(state))
			continue;
		best->found = true;
		best->state = state;
		best->inode = inode;
		format_peer(&remote_address, v6, remote_port, best->peer, sizeof(best->peer));
	}
}

static bool process_has_socket(const char *pid, const char *wanted)
{
	_cleanup_closedir_ DIR *fds = NULL;
	struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return false;
	while ((entry = readdir(fds))) {
		char target[64];
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, wanted) == 0)
			return true;
	}
	return false;
}

/* The name a process gave itself; it may hold anything, and goes to screens. */
static void read_command(const char *pid, char *ret, size_t bytes)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	snprintf(ret, bytes, "a process");
	file = fopen(path, "re");
	if (!file || !fgets(ret, (int)bytes, file))
		return;
	for (char *p = ret; *p; p++) {
		if (*p == '\n')
			*p = '\0';
		else if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

static void find_process(unsigned long inode, struct port_holder *ret)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;
	char wanted[40];

	if (!proc || inode == 0)
		return;
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	while ((entry = readdir(proc))) {
		unsigned int pid;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    sscanf(entry->d_name, "%u", &pid) != 1 ||
		    !process_has_socket(entry->d_name, wanted))
			continue;
		ret->pid = pid;
		read_command(entry->d_name, ret->command, sizeof(ret->command));
		return;
	}
}

void ports_find_holder(const char *address, uint16_t port, struct port_holder *ret)
{
	struct port_holder h = { .port = port, .taken = true };
	struct candidate best = { 0 };
	struct sockaddr_storage at;
	socklen_t bytes;

	if (port_address_parse(address, port, &at, &bytes) == 0) {
		/* Of this thread's own network namespace. */
		scan_table("/proc/thread-self/net/tcp", false, &at, port, &best);
		scan_table("/proc/thread-self/net/tcp6", true, &at, port, &best);
	}
	if (best.found) {
		h.outgoing = best.state != TCP_LISTEN;
		snprintf(h.state, sizeof(h.state), "%s", state_name(best.state));
		if (h.outgoing)
			snprintf(h.peer, sizeof(h.peer), "%s", best.peer);
		find_process(best.inode, &h);
	}
	*ret = h;
}
