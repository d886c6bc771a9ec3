/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection to the twin of this tunnel process: handshake, proof of who it is, hellos.
 *
 *	CONNECTING --> HANDSHAKE --> HELLO --> UP
 *	 (source)      TLS 1.3,      both say their side, operation and attempt;
 *	               both prove    they must be the same operation's two sides
 *	               their names
 *
 * Not blocking; the owner polls tunnel_link_get_events and calls tunnel_link_advance until it is UP,
 * then reads and writes. OpenSSL stays behind this file. Single-threaded.
 */
#pragma once

#include "agent/kernel/attempt.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tunnel_tls; /* certificates and rules, for all links of the process */
struct tunnel_link;

struct tunnel_tls_files {
	const char *ca, *cert, *key;
	const char *crl; /* revoked certificates; NULL or no such file: none */
};

/* @expect: "agent/host2"; the twin's certificate must carry drover://@cluster/@expect. */
int tunnel_tls_new(const struct tunnel_tls_files *files, const char *cluster, const char *expect,
                   struct tunnel_tls **ret, struct error *err);
void tunnel_tls_free(struct tunnel_tls *tls);

enum tunnel_link_state { LINK_CONNECTING, LINK_HANDSHAKE, LINK_HELLO, LINK_UP };

/* Takes @fd. @dialled: a non-blocking connect is under way, and we are the TLS client (source). */
struct tunnel_link *tunnel_link_new(struct tunnel_tls *tls, int fd, bool dialled,
                                    const struct attempt_name *attempt, const char *peer);
void tunnel_link_free(struct tunnel_link *link);

/* Goes as far as it can without waiting. */
int tunnel_link_advance(struct tunnel_link *link, struct error *err);

enum tunnel_link_state tunnel_link_get_state(const struct tunnel_link *link);
const char *tunnel_link_get_peer(const struct tunnel_link *link);
int tunnel_link_get_fd(const struct tunnel_link *link);
/* What to poll for besides what the owner itself wants to write. */
short tunnel_link_get_events(const struct tunnel_link *link);

/* UP only. Bytes done; 0 = not now; -ERROR_UNREACHABLE when the connection has ended, with or
 * without an error. */
int tunnel_link_read(struct tunnel_link *link, void *data, size_t bytes, struct error *err);
int tunnel_link_write(struct tunnel_link *link, const void *data, size_t bytes, struct error *err);

/* Best effort, not waiting: tells the twin why it is refused, before freeing the link. */
void tunnel_link_refuse(struct tunnel_link *link, const char *why);

/* Says that nothing more will be written. */
void tunnel_link_shutdown(struct tunnel_link *link);
