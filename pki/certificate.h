/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, requests and certificates: made, signed, looked at. All that knows OpenSSL's X.509 for them.
 *
 * EC P-256 throughout: what TLS 1.3, and the GnuTLS in QEMU, take everywhere. Of a request nothing
 * counts but its key, and that whoever sent it has the other half: names come from the order, never
 * from the request. Everything is passed as PEM text or DER bytes. Any thread.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CERTIFICATE_SHA256_BYTES 32
#define CERTIFICATE_SERIAL_BYTES 41 /* 40 hex digits and the final zero */
#define CERTIFICATE_CA_DAYS      3650
#define CERTIFICATE_LIFE_S       (365 * 24 * 3600) /* unless init was told otherwise */
#define CERTIFICATE_LIFE_LEAST_S 10
#define CERTIFICATE_TRUSTED_MAX  8 /* in one file of authorities */

struct bytes {
	uint8_t *data; /* owned */
	size_t count;
};

/* A new key, PEM (PKCS#8). To be freed. */
char *certificate_new_key(void);

/* The certificate of a new authority called @name. Both to be freed. */
void certificate_new_authority(const char *name, char **ret_certificate, char **ret_key);

/* A request, DER. @ret->data is to be freed. */
int certificate_new_request(const char *key, struct bytes *ret, struct error *err);

/* What a certificate shall say. */
struct certificate_order {
	const char *name;         /* CN, and DNS name if it can be one */
	const char *uri;          /* drover://CLUSTER/ROLE/NAME; NULL: none */
	const char *addresses[2]; /* IP addresses, NULL: none */
	bool server;              /* may be a TLS server; all may be clients */
	uint64_t life_s;
};

/* -ERROR_INVALID unless @request is one of a P-256 key, signed by it. */
int certificate_check_request(const struct bytes *request, struct error *err);

/* Signs @request's key. *ret_certificate (PEM) is to be freed. */
int certificate_sign(const char *authority, const char *authority_key, const struct bytes *request,
                     const struct certificate_order *order, char **ret_certificate,
                     char ret_serial[CERTIFICATE_SERIAL_BYTES], struct error *err);

/* --- certificate_read.c --- */

/* SHA-256 of the whole certificate, of the first one in @pem. */
int certificate_fingerprint(const char *pem, uint8_t ret_sha256[CERTIFICATE_SHA256_BYTES],
                            struct error *err);

/* Whether @certificate is of @key, signed by one of @authorities, valid now, and says @uri (NULL: any).
 */
int certificate_check(const char *certificate, const char *key, const char *authorities,
                      const char *uri, struct error *err);

/* The fingerprints of all certificates in @pem; -ERROR_INVALID if there are none, or too many. */
struct certificate_set {
	uint8_t sha256[CERTIFICATE_TRUSTED_MAX][CERTIFICATE_SHA256_BYTES];
	size_t count;
};

int certificate_read_set(const char *pem, struct certificate_set *ret, struct error *err);

bool certificate_set_has(const struct certificate_set *set, const uint8_t *sha256);

/* The one of @authorities that signed @certificate; -ERROR_IDENTITY if none did. Says nothing of time. */
int certificate_find_signer(const char *certificate, const char *authorities,
                            uint8_t ret_sha256[CERTIFICATE_SHA256_BYTES], struct error *err);

/* Whether @key is that of @certificate, of a kind that signs, and strong enough. */
int certificate_check_key(const char *certificate, const char *key, struct error *err);
/* Whether its extended key usage allows what a member does; @server: also to be one. */
int certificate_check_use(const char *certificate, bool server, struct error *err);

/* Whether it names @address, an IP address as text, as one that its holder is reached at. */
int certificate_check_address(const char *certificate, const char *address, struct error *err);

/* What people want to know of one. */
struct certificate_facts {
	char name[128]; /* CN */
	char uri[384];  /* drover://..., or "" */
	char issuer[128];
	char serial[CERTIFICATE_SERIAL_BYTES];
	bool authority;
	uint64_t not_before_ms, not_after_ms; /* wall clock */
};

int certificate_read(const char *pem, struct certificate_facts *ret, struct error *err);

/* Two thirds of its life are over: early enough for a third of it to find out that it does not work. */
uint64_t certificate_get_due_ms(const struct certificate_facts *facts);
bool certificate_is_due(const struct certificate_facts *facts, uint64_t now_ms);

void certificate_sha256(const void *data, size_t count,
                        uint8_t ret_sha256[CERTIFICATE_SHA256_BYTES]);

/* In a time that does not tell where they differ. */
bool certificate_equal_secrets(const uint8_t *a, const uint8_t *b, size_t count);

/* Overwrites what was secret. */
void certificate_forget(void *secret, size_t count);
