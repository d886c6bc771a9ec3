/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of real tunnel processes over real TLS, with a unix socket for libvirtd at one end and a
 * client for libvirt at the other. Certificates are made by openssl for each run.
 *
 *	test (client) -- unix -- [source tunnel] == TLS == [target tunnel] -- unix -- test (server)
 */
#pragma once

#include "agent/tunnel/spawn.h"

#include <stdbool.h>
#include <stdint.h>

extern struct tunnel_world {
	const char *executable;
	char folder[32];
	struct tunnel source, target;
	struct tunnel_status status; /* as last read */
	int libvirtd;                /* listens where the target connects to */
} tunnel_world;

/* Takes the path of drover-tunnel, the only argument; ends the program without it. */
void tunnel_world_main(int argc, char **argv);

/* For all tests of a program: the folder with its certificates; a skip where there is no openssl. */
int tunnel_world_make(void **state);
int tunnel_world_remove(void **state);
/* After each test: neither process is left. */
int tunnel_world_stop(void **state);

/* A path in the test's folder; valid for the next fifteen calls. */
const char *tunnel_world_path(const char *name);
/* NAME.pem and NAME-key.pem, signed by @ca. */
void tunnel_world_make_leaf(const char *ca, const char *name, const char *uri, int days);

/* Of host1, the source, or host2, the target; each expects the other. */
struct tunnel_options tunnel_world_options(enum tunnel_side side);
void tunnel_world_use_certificate(struct tunnel_options *o, const char *name);

void tunnel_world_start_libvirtd(void);
/* Returns where it listens. */
const char *tunnel_world_start_target(const struct tunnel_options *o);
/* Both, as they should be. */
void tunnel_world_start_pair(void);
int tunnel_world_call_libvirt(void);
int tunnel_world_accept_libvirt(void);

/* Waits until the status of @t says @state; -1: until @until says so. */
void tunnel_world_wait(const struct tunnel *t, int state,
                       bool (*until)(const struct tunnel_status *s, uint64_t context),
                       uint64_t context);
