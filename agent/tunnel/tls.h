/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of a tunnel process and what they must say: private to link.c and tls.c. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct tunnel_tls {
	SSL_CTX *context;
	char *uri; /* owned; what the twin must be called */
};

/* The newest of OpenSSL's errors of this thread. */
const char *tunnel_tls_reason(void);

/* The name must be there literally, as a URI of the SAN; nothing else counts. @ret_found is what was
 * there instead, fit to be printed. */
bool tunnel_certificate_is(X509 *certificate, const char *uri, char *ret_found, size_t bytes);
