/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, watching and stopping tunnel processes, for the agent.
 *
 * A tunnel outlives the agent: its own session, no descriptor in common, not the agent's child (it
 * forks away before it says that it is ready). What is needed to find it again after a restart
 * (struct tunnel) goes into the journal. tunnel_spawn and tunnel_stop block: couriers.
 */
#pragma once

#include "agent/kernel/attempt.h"
#include "agent/tunnel/status.h"

#include <sys/types.h>

enum tunnel_side { TUNNEL_SOURCE, TUNNEL_TARGET };

struct tunnel_options {
	enum tunnel_side side;
	struct attempt_name attempt;
	const char *cluster; /* "lab" */
	const char *expect;  /* the twin's certificate: "agent/host2" */
	const char *ca_path, *cert_path, *key_path;
	const char *crl_path;     /* revoked certificates; need not exist; NULL: none */
	const char *status_path;  /* replaced if it exists */
	const char *listen_unix;  /* source: where libvirt will connect; its directory must exist */
	const char *connect;      /* source: AdmitReply.tunnel_address, "10.77.0.2:40123" */
	const char *listen;       /* target: "10.77.0.2:0" */
	const char *connect_unix; /* target: "/run/libvirt/libvirt-sock" */
	uint64_t wait_ms;         /* for the twin, and then for libvirt; 0 = TUNNEL_WAIT_MS */
	const char *executable;   /* NULL: drover-tunnel beside /proc/self/exe */
	const char *log_path;     /* NULL: /dev/null */
};

/* One running, or once running, tunnel process. */
struct tunnel {
	pid_t pid;
	uint64_t start_ticks;
	char status_path[1024];
};

/* Returns when the target listens (@ret_status->port is known then), or the source has its twin, or
 * it has failed: the error is its own. At most 5 s. Nothing is left behind on failure. */
int tunnel_spawn(const struct tunnel_options *o, struct tunnel *ret,
                 struct tunnel_status *ret_status, struct error *err);

/* 0 and the status as written last; -ERROR_NOT_FOUND if the process is gone without having said
 * TUNNEL_CLOSED or TUNNEL_FAILED (@ret_status is filled all the same, if there was one). */
int tunnel_read_status(const struct tunnel *t, struct tunnel_status *ret_status, struct error *err);

/* The same process still runs: a reused pid is another. */
bool tunnel_is_alive(const struct tunnel *t);

/* SIGTERM, and after @grace_ms SIGKILL, through a pidfd and only to that very process. Removes the
 * status file (its socket is removed by the process, or by the caller who knows it). 0 also when it
 * was gone already. */
int tunnel_stop(const struct tunnel *t, uint64_t grace_ms, struct error *err);
