/* SPDX-License-Identifier: Apache-2.0 */
/* See connections.h. */
#include "agent/link/connections.h"

#include "common/alloc.h"
#include "common/log.h"
#include "ebpf/netlink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#define LOOK_AGAIN_MS 5000 /* connections are added: multifd, a resumed post-copy */

struct path {
	struct path *next;
	char peer[64];
	struct quality_path quality;
};

struct connections {
	int fd; /* -1: not needed yet, or the kernel cannot be asked */
	bool warned;
	struct path *paths;
};

struct connections *connections_new(void)
{
	struct connections *all = xnew(struct connections);

	all->fd = -1;
	return all;
}

void connections_free(struct connections *all)
{
	struct path *path, *next;

	if (!all)
		return;
	LL_FOREACH_SAFE (all->paths, path, next)
		free(path);
	if (all->fd >= 0)
		close(all->fd);
	free(all);
}

static struct quality_path *path_of(struct connections *all, const char *peer)
{
	struct path *path;

	LL_FOREACH (all->paths, path) {
		if (strcmp(path->peer, peer) == 0)
			return &path->quality;
	}
	path = xnew(struct path);
	snprintf(path->peer, sizeof(path->peer), "%s", peer);
	LL_PREPEND(all->paths, path);
	return &path->quality;
}

/* Once: it would be every few seconds. */
static void warn(struct connections *all, const struct error *err)
{
	if (!all->warned)
		log_warning("how migrations' connections are doing is not known: %s", err->text);
	all->warned = true;
}

static void find(struct connections *all, struct connections_watch *w,
                 const struct traffic_endpoint *endpoints, size_t n_endpoints)
{
	w->n = 0;
	for (size_t i = 0; i < n_endpoints; i++) {
		size_t found;
		struct error err;

		if (tcp_diag_find(all->fd, &endpoints[i], w->items + w->n,
		                  TCP_DIAG_CONNECTIONS - w->n, &found, &err) < 0)
			warn(all, &err);
		else
			w->n += found;
	}
}

static bool are_same(const struct tcp_connection *a, const struct tcp_connection *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (a[i].family != b[i].family || memcmp(&a[i].id, &b[i].id, sizeof(a[i].id)) != 0)
			return false;
	}
	return true;
}

/* Whether each could be read. */
static bool read_all(const struct connections *all, const struct connections_watch *w,
                     struct tcp_figures *ret)
{
	struct error err;

	for (size_t i = 0; i < w->n; i++) {
		if (tcp_diag_read(all->fd, &w->items[i], &ret[i], &err) < 0)
			return false;
	}
	return true;
}

void connections_read(struct connections *all, struct connections_watch *w,
                      const struct traffic_endpoint *endpoints, size_t n_endpoints,
                      const char *peer, uint64_t cap_bytes_per_s, uint64_t now_ms)
{
	struct tcp_connection before[TCP_DIAG_CONNECTIONS];
	struct tcp_figures figures[TCP_DIAG_CONNECTIONS];
	size_t n_before = w->n;
	struct error err;

	if (all->fd < 0 && netlink_open(NETLINK_SOCK_DIAG, &all->fd, &err) < 0) {
		warn(all, &err);
		return;
	}
	memcpy(before, w->items, sizeof(before));
	if (n_before == 0 || now_ms - w->looked_ms >= LOOK_AGAIN_MS) {
		find(all, w, endpoints, n_endpoints);
		w->looked_ms = now_ms;
	}
	if (!read_all(all, w, figures)) {
		find(all, w, endpoints, n_endpoints);
		if (!read_all(all, w, figures))
			w->n = 0;
	}
	quality_update(&w->quality, path_of(all, peer), figures, w->n,
	               w->n != n_before || !are_same(before, w->items, w->n), now_ms,
	               cap_bytes_per_s);
}
