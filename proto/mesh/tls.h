/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.3 with OpenSSL, above a byte stream that somebody else moves.
 *
 *	ciphertext from the socket --tls_session_feed-->  +---------+  --tls_session_read-->  frames
 *	ciphertext to the socket   <--tls_session_drain-- | session |  <--tls_session_write-- frames
 *	                                                  +---------+
 *
 * nng's own TLS in Debian 12 cannot name its peer and hangs on a stalled handshake; so nng moves
 * the bytes, and the certificate is looked at here. Both sides must show a certificate of the
 * cluster's CA whose SAN has exactly one URI drover://CLUSTER/ROLE/NAME. No session tickets: a
 * resumed session would outlive the certificate that was checked.
 *
 * Files may be replaced while we run: tls_is_outdated notices, tls_reload takes the new ones for the
 * sessions that begin then, or keeps the old ones if the new ones are no good. A list of revoked
 * certificates (CRL) is one of the files; while it is not there nothing is revoked. Neither its age
 * nor a CA without a list is held against a certificate: a forgotten renewal must not cut off every
 * host at once.
 *
 * struct tls belongs to the owner; a session is used under its link's lock.
 */
#pragma once

#include "common/error.h"
#include "proto/mesh/mesh.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;
struct tls_session;

struct tls_files {
	const char *ca; /* one certificate, or old and new while the CA is replaced */
	const char *certificate;
	const char *key;
	const char *crl; /* NULL: none. Need not exist */
};

/* PEM files. Refuses a certificate without our URI, of another CA, expired, or that does not fit
 * its key, saying which file and what to do: better at the start than at the first connection. */
struct tls *tls_new(const struct tls_files *files, struct error *err);
void tls_free(struct tls *tls);

/* Whether a file is another one than when it was last looked at, by tls_new or tls_reload. */
bool tls_is_outdated(const struct tls *tls);

/* Whether what is in use is what the files say now. */
bool tls_is_current(const struct tls *tls);

/* Takes the files as they are now. A certificate that names somebody else than the old one is
 * refused. On failure nothing changes, but that the files were looked at. */
int tls_reload(struct tls *tls, struct error *err);

/* How often our own certificate has become another one. */
unsigned tls_count_own(const struct tls *tls);

/* When our own certificate ends. */
void tls_format_expiry(const struct tls *tls, char *ret_text, size_t room);

/* Who our own certificate says we are. */
const struct mesh_identity *tls_get_identity(const struct tls *tls);

/* @server: the side that accepted. @tls must outlive the session. Owner thread. */
struct tls_session *tls_session_new(const struct tls *tls, bool server);
void tls_session_free(struct tls_session *s);

void tls_session_feed(struct tls_session *s, const void *ciphertext, size_t bytes);
size_t tls_session_get_pending(const struct tls_session *s);
size_t tls_session_drain(struct tls_session *s, void *ret_ciphertext, size_t room);

/* As far as the bytes fed so far allow. On failure an alert for the peer may be pending. */
int tls_session_handshake(struct tls_session *s, bool *ret_done, struct error *err);

/* After the handshake: the peer's role, name and cluster; its address is left alone, and all of
 * @ret_peer on failure. */
int tls_session_get_peer(const struct tls_session *s, struct mesh_identity *ret_peer,
                         struct error *err);

/* Would the peer's certificate still pass, by the files as @tls has them now? *ret_revoked: it would
 * not, because it was revoked; else it may only be an old one of a peer that has a new one, too. */
int tls_session_check_peer(const struct tls_session *s, const struct tls *tls, bool *ret_revoked,
                           struct error *err);

/* *ret_bytes == 0: feed more. */
int tls_session_read(struct tls_session *s, void *ret_plain, size_t room, size_t *ret_bytes,
                     struct error *err);
int tls_session_write(struct tls_session *s, const void *plain, size_t bytes, struct error *err);
