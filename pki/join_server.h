/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's door for hosts that have no certificate yet.
 *
 * A listener of its own, with nothing behind it but authority_admit: one request of at most 16 KiB,
 * one reply, within JOIN_DEADLINE_MS. A few threads of their own serve it, so that neither a slow
 * peer nor a slow disk holds up the owner; one address may occupy only a part of them. Wrong tokens
 * are limited for all addresses together: beyond JOIN_WRONG_MAX a minute nobody is let in for the
 * rest of it, because an attacker has many addresses. What was decided is told to the owner.
 */
#pragma once

#include "common/error.h"
#include "common/loop.h"

#include <stdint.h>

#define JOIN_DEADLINE_MS     5000
#define JOIN_WRONG_MAX       10
#define JOIN_WRONG_WINDOW_MS 60000

struct join_server;

/* What came of one who asked. @claim is only what it said; what is not known is NULL. */
struct join_event {
	enum error_code code; /* ERROR_NONE: it joined */
	const char *address;  /* without the port */
	const char *claim;    /* the name that it wants */
	const char *text;     /* why it was refused */
};

struct join_server_options {
	struct loop *loop;
	const char *listen;    /* tcp://HOST:PORT; port 0 takes a free one */
	const char *authority; /* directory */
	const char *ca, *certificate, *key;
	/* On the loop's thread: somebody joined or was refused. */
	void (*told)(const struct join_event *event, void *context);
	void *context;
};

int join_server_start(const struct join_server_options *options, struct join_server **ret,
                      struct error *err);
uint16_t join_server_get_port(const struct join_server *server);
/* Waits for those who are being served: at most JOIN_DEADLINE_MS. */
void join_server_stop(struct join_server *server);
