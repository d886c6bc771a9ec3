/* SPDX-License-Identifier: Apache-2.0 */
/* How the agent's owner gets its tunnels: processes in earnest, something simpler in tests that run
 * several agents in one process. All of these block: couriers, but for read_status. */
#pragma once

#include "agent/tunnel/spawn.h"

struct tunnel_ops {
	int (*spawn)(const struct tunnel_options *o, struct tunnel *ret,
	             struct tunnel_status *ret_status, struct error *err);
	int (*read_status)(const struct tunnel *t, struct tunnel_status *ret_status,
	                   struct error *err);
	int (*stop)(const struct tunnel *t, uint64_t grace_ms, struct error *err);
	/* Where the hypervisor connects to reach @target_node, into @ret (@bytes). NULL: at the
	 * source tunnel's own socket. */
	void (*control_socket)(const char *target_node, char *ret, size_t bytes);
	/* What the control connection is for: agent/link/migration_link.h. */
	int (*probe)(const char *from, const char *to, uint16_t port, struct error *err);
	int (*cut)(const char *address, uint16_t port, unsigned *ret_cut, struct error *err);
};

/* drover-tunnel. */
extern const struct tunnel_ops tunnel_processes;
