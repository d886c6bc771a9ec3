/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS 1.3 connection for one message in and one out, where only the server has a certificate.
 *
 *	client                             server
 *	connect ------ TLS handshake ----> its certificate and the cluster's CA
 *	checks the CA by its fingerprint, and that it is a coordinator's
 *	length, request  ----------------> at most CHANNEL_MESSAGE_MAX
 *	                 <---------------- length, reply
 *
 * Not the mesh: there both sides must have a certificate, and nothing of it should be open to those
 * who have none. Everything blocks, until one deadline for the whole; so each connection belongs to a
 * thread that has nothing else to do.
 */
#pragma once

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define CHANNEL_MESSAGE_MAX 16384 /* a reply has six certificates of under 1 KiB each */

struct channel;

/* The certificate, key and CA that a server shows: PEM files, read now. */
struct channel_files {
	const char *ca, *certificate, *key;
};

/* Does the handshake on @fd, which stays the caller's and must not block. */
int channel_accept(int fd, const struct channel_files *files, uint64_t deadline_ms,
                   struct channel **ret, struct error *err);

/* "HOST:PORT" or "[HOST]:PORT"; nothing is sent to a server that is not a coordinator of the CA with
 * the fingerprint @ca_sha256: -ERROR_IDENTITY. -ERROR_UNREACHABLE, -ERROR_TIMEOUT, -ERROR_PROTOCOL. */
int channel_connect(const char *address, const uint8_t *ca_sha256, uint64_t deadline_ms,
                    struct channel **ret, struct error *err);

int channel_send(struct channel *channel, const void *message, size_t count, struct error *err);

/* *ret_message is to be freed. Nothing is allocated for a length beyond the limit. */
int channel_receive(struct channel *channel, uint8_t **ret_message, size_t *ret_count,
                    struct error *err);

/* Says goodbye, does not wait for an answer. */
void channel_free(struct channel *channel);
