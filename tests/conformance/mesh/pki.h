/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, made on the spot with OpenSSL. Whatever fails here fails the test. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

struct pki_ca {
	char path[256]; /* PEM */
	EVP_PKEY *key;
	X509 *certificate;
};

void pki_ca_init(struct pki_ca *ca, const char *directory, const char *name);
void pki_ca_deinit(struct pki_ca *ca);

struct pki_leaf {
	char certificate_path[256];
	char key_path[256];
};

/* @uri: of the SAN, or NULL for a certificate without one. Valid from an hour ago until
 * @valid_seconds from now, which may be negative. */
void pki_leaf_make(const struct pki_ca *ca, const char *directory, const char *name,
                   const char *uri, long valid_seconds, struct pki_leaf *ret_leaf);

/* @path: a list in which @ca revokes @leaf, or none if that is NULL; valid from so many seconds from
 * now, which may be negative. */
void pki_crl_write(const struct pki_ca *ca, const struct pki_leaf *leaf, long begins_s,
                   const char *path);

/* @path: one file with both certificates; @second may be NULL. */
void pki_bundle_write(const struct pki_ca *first, const struct pki_ca *second, const char *path);
