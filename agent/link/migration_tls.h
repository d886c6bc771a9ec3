/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's certificates for encrypted migration, looked at before QEMU does: what is wrong with them it says
 * at the switch to TLS, in words that name neither the file nor the host, and on the other host's log.
 *
 *	source        client-cert.pem, its key, and whom it trusts   --> with the question for admission
 *	destination   server-cert.pem, its key, and whom it trusts   --> would each accept the other?
 *
 * Nothing secret leaves the host: fingerprints of authorities alone. What cannot be judged, such as a bundle
 * of a hundred authorities, is left to QEMU. Blocks: couriers; no state. */
#pragma once

#include "pki/certificate.h"

#define MIGRATION_TLS_WHY_BYTES 160

struct migration_tls {
	bool looked;     /* the following was read */
	bool has_signer; /* false: no client certificate, or one that cannot be judged */
	struct certificate_set trusted;
	uint8_t signer[CERTIFICATE_SHA256_BYTES];
	char problem[MIGRATION_TLS_WHY_BYTES]; /* what is wrong with our own; "" = nothing */
};

/* @address: where the other connects to, which a server's certificate must name. NULL: we are the client,
 * and need no certificate unless the other asks for one. */
void migration_tls_look(const char *directory, const char *address, struct migration_tls *ret);

/* Why @client, as its host told, and @server, here, would not accept each other; false: they would, as far
 * as can be seen. */
bool migration_tls_find_conflict(const struct migration_tls *server,
                                 const struct migration_tls *client,
                                 char ret_why[MIGRATION_TLS_WHY_BYTES]);
