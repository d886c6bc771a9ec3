/* SPDX-License-Identifier: Apache-2.0 */
/* What init, join, token and pki share: the options that say who this host is, and words. They work on
 * files of this host, so none of them asks the coordinator over the mesh. */
#pragma once

#include "pki/host.h"
#include "tools/drover/local.h"
#include "tools/drover/session.h"

/* Opens outputs and finds the paths; EXIT_DONE, or it has said why not. */
enum exit_code setup_begin(struct session *s, const struct invocation *invocation,
                           struct host_paths *ret_paths);

/* Says what failed; returns the exit status for it. */
enum exit_code setup_fail(struct session *s, const char *what, const struct error *err);

/* This host as a node: from the options, and what they leave out from the host itself. */
struct setup_node {
	char name[BOOKS_NAME_MAX + 1];
	char address[BOOKS_ADDRESS_BYTES];
	/* Empty with --coordinator-only. */
	char migration_address[BOOKS_ADDRESS_BYTES], migration_interface[IF_NAMESIZE];
	char migration_network[LOCAL_NETWORK_BYTES]; /* "" = not known */
};

/* @coordinator: "10.0.0.1:7781", which tells this host's own address by the way to it; NULL if it is
 * this host: then the address must be given. */
int setup_read_node(const struct options *options, const char *coordinator, struct setup_node *ret,
                    struct error *err);
struct host_agent setup_agent_of(const struct setup_node *node); /* borrows */

/* Where the certificates of QEMU and of libvirt are. */
void setup_say_tls(struct session *s, const struct host_paths *paths);
/* Whether libvirt has to start again, and what to start. */
void setup_say_next(struct session *s, bool restart_libvirt, const char *daemons);

/* The token that @options ask for, as the one line that is typed on another host. */
int setup_create_token(const struct options *options, const struct host_paths *paths,
                       char ret_text[TOKEN_TEXT_BYTES], struct error *err);

/* Where a replacement of the authority stands, for people. */
void pki_print_progress(FILE *to, const struct authority_progress *progress);

#define SETUP_TTL_MS     ((uint64_t)3 * 60 * 60 * 1000)
#define SETUP_TTL_MAX_MS ((uint64_t)30 * 24 * 60 * 60 * 1000)
