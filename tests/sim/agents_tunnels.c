/* SPDX-License-Identifier: Apache-2.0 */
/* Pretended tunnels: the fake hypervisor needs none. See agents_inner.h. */
#include "tests/sim/agents_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_bool stay;

static int pretend_spawn(const struct tunnel_options *o, struct tunnel *ret,
                         struct tunnel_status *ret_status, struct error *err)
{
	int fd = open(o->status_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc;

	memset(ret_status, 0, sizeof(*ret_status));
	ret_status->port = 40123;
	ret_status->state = TUNNEL_LISTENING;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->status_path, sizeof(ret->status_path), "%s", o->status_path);
	/* By it a tunnel is found again that nobody remembers. */
	if (fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "%s", o->status_path);
	rc = tunnel_status_write(fd, ret_status, err);
	close(fd);
	return rc;
}

static int pretend_status(const struct tunnel *t, struct tunnel_status *ret_status,
                          struct error *err)
{
	(void)t;
	(void)err;
	memset(ret_status, 0, sizeof(*ret_status));
	ret_status->state = TUNNEL_LINKED;
	return 0;
}

static int pretend_stop(const struct tunnel *t, uint64_t grace_ms, struct error *err)
{
	(void)t;
	(void)grace_ms;
	if (atomic_load(&stay))
		return error_set(err, ERROR_SYSTEM, "the tunnel cannot be stopped");
	return 0;
}

void agents_set_tunnels_stay(bool on)
{
	atomic_store(&stay, on);
}

static void fake_socket(const char *target_node, char *ret, size_t bytes)
{
	snprintf(ret, bytes, "/fake/%s", target_node);
}

static int pretend_probe(const char *from, const char *to, uint16_t port, struct error *err)
{
	(void)from;
	(void)to;
	(void)port;
	(void)err;
	return 0;
}

static int pretend_cut(const char *address, uint16_t port, unsigned *ret_cut, struct error *err)
{
	(void)address;
	(void)port;
	(void)err;
	*ret_cut = 0;
	return 0;
}

const struct tunnel_ops agents_tunnels = {
	.probe = pretend_probe,
	.cut = pretend_cut,
	.spawn = pretend_spawn,
	.read_status = pretend_status,
	.stop = pretend_stop,
	.control_socket = fake_socket,
};
