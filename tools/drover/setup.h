/* SPDX-License-Identifier: Apache-2.0 */
/* What init, join, token and pki share: the options that say who this host is, and words. They work on
 * files of this host, so none of them asks the coordinator over the mesh. */
#pragma once

#include "pki/host.h"
#include "tools/drover/session.h"

/* Opens outputs and finds the paths; EXIT_DONE, or it has said why not. */
enum exit_code setup_begin(struct session *s, const struct invocation *invocation,
                           struct host_paths *ret_paths);

/* Says what failed; returns the exit status for it. */
enum exit_code setup_fail(struct session *s, const char *what, const struct error *err);

/* From the options; the name is this host's own unless it was given, and then in @ret_host_name
 * (BOOKS_NAME_MAX + 1). */
int setup_read_agent(const struct options *options, struct host_agent *ret, char *ret_host_name,
                     struct error *err);

/* Whether libvirt has to start again, and what to start. */
void setup_say_next(struct session *s, const struct host_paths *paths, const char *daemons);

/* The token that @options ask for, as the one line that is typed on another host. */
int setup_create_token(const struct options *options, const struct host_paths *paths,
                       char ret_text[TOKEN_TEXT_BYTES], struct error *err);

#define SETUP_TTL_MS     ((uint64_t)3 * 60 * 60 * 1000)
#define SETUP_TTL_MAX_MS ((uint64_t)30 * 24 * 60 * 60 * 1000)
