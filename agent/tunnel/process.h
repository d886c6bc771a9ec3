/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a tunnel process, from listening to the end, as one poll loop.
 *
 *	source                                    target
 *	  listens on a unix socket                  listens on TCP
 *	  dials the target's address                accepts; strangers are refused and named
 *	        LINKED <---------- TLS, hellos ----------> LINKED
 *	  libvirt calls: OPEN                       calls libvirtd
 *	        CONNECTED                                CONNECTED
 *	        ... until both directions ended: CLOSED
 *
 * Gives up by itself only before it is CONNECTED: when nobody comes for wait_ms.
 */
#pragma once

#include "agent/kernel/attempt.h"
#include "agent/tunnel/status.h"

#include <sys/types.h>

/* How long to wait for the twin, and then for libvirt. */
#define TUNNEL_WAIT_MS 30000

struct tunnel_process_options {
	bool source;
	struct attempt_name attempt;
	const char *cluster, *expect;
	const char *ca_path, *cert_path, *key_path;
	const char *crl_path;              /* NULL: none */
	const char *listen_unix, *connect; /* source */
	const char *listen, *connect_unix; /* target */
	int status_fd;
	uint64_t wait_ms;
	/* Called once: the target listens, or the source is linked. */
	void (*ready)(void *context);
	void *context;
};

/* Returns 0 after an orderly end, else the error, which is in the status file, too. */
int tunnel_process_run(const struct tunnel_process_options *options, struct error *err);

/* Of /proc/<pid>/stat: when the process started, in ticks since boot. -ERROR_NOT_FOUND. */
int tunnel_process_start_ticks(pid_t pid, uint64_t *ret_ticks);
