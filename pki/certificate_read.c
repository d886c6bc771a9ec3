/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at certificates, and the few other things that OpenSSL does for pki/. */
#include "pki/certificate.h"

#include "common/alloc.h"
#include "pki/openssl.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void certificate_sha256(const void *data, size_t count,
                        uint8_t ret_sha256[CERTIFICATE_SHA256_BYTES])
{
	/* Fails for want of memory only. */
	if (EVP_Digest(data, count, ret_sha256, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

bool certificate_equal_secrets(const uint8_t *a, const uint8_t *b, size_t count)
{
	return CRYPTO_memcmp(a, b, count) == 0;
}

void certificate_forget(void *secret, size_t count)
{
	OPENSSL_cleanse(secret, count);
}

int certificate_fingerprint(const char *pem, uint8_t ret_sha256[CERTIFICATE_SHA256_BYTES],
                            struct error *err)
{
	_cleanup_(X509_freep) X509 *certificate = pki_read_certificate(pem);

	if (!certificate || X509_digest(certificate, EVP_sha256(), ret_sha256, NULL) != 1)
		return pki_openssl_error(err, ERROR_INVALID, "reading a certificate");
	return 0;
}

static int find_uri(X509 *certificate, char *ret_uri, size_t room, struct error *err)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = X509_get_ext_d2i(
		certificate, NID_subject_alt_name, NULL, NULL);

	ret_uri[0] = '\0';
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		size_t bytes;

		if (name->type != GEN_URI)
			continue;
		bytes = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
		if (ret_uri[0] || bytes >= room)
			return error_set(err, ERROR_INVALID,
			                 "the certificate has more than one URI, or a long one");
		memcpy(ret_uri, ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), bytes);
		ret_uri[bytes] = '\0';
	}
	return 0;
}

/* Every certificate of @pem, in order; NULL if one cannot be read, there are none or too many. */
static STACK_OF(X509) * read_all(const char *pem)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem, -1);
	STACK_OF(X509) *all = sk_X509_new_null();
	X509 *one;

	if (!bio || !all)
		abort();
	while ((one = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (sk_X509_push(all, one) <= 0)
			abort();
	}
	/* At the end of the text, and only there, it finds no beginning. */
	if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE && sk_X509_num(all) > 0 &&
	    sk_X509_num(all) <= CERTIFICATE_TRUSTED_MAX) {
		ERR_clear_error();
		return all;
	}
	sk_X509_pop_free(all, X509_free);
	return NULL;
}

static void free_all(STACK_OF(X509) * *all)
{
	sk_X509_pop_free(*all, X509_free);
}

static int fail_set(struct error *err)
{
	ERR_clear_error();
	return error_set(err, ERROR_INVALID, "this is no list of 1 to %d certificates (PEM)",
	                 CERTIFICATE_TRUSTED_MAX);
}

int certificate_read_set(const char *pem, struct certificate_set *ret, struct error *err)
{
	_cleanup_(free_all) STACK_OF(X509) *all = read_all(pem);
	struct certificate_set set = { 0 };

	if (!all)
		return fail_set(err);
	for (int i = 0; i < sk_X509_num(all); i++) {
		if (X509_digest(sk_X509_value(all, i), EVP_sha256(), set.sha256[set.count++],
		                NULL) != 1)
			return pki_openssl_error(err, ERROR_INVALID, "reading a certificate");
	}
	*ret = set;
	return 0;
}

bool certificate_set_has(const struct certificate_set *set, const uint8_t *sha256)
{
	for (size_t i = 0; i < set->count; i++) {
		if (memcmp(set->sha256[i], sha256, CERTIFICATE_SHA256_BYTES) == 0)
			return true;
	}
	return false;
}

int certificate_find_signer(const char *certificate_pem, const char *authorities,
                            uint8_t ret_sha256[CERTIFICATE_SHA256_BYTES], struct error *err)
{
	_cleanup_(X509_freep) X509 *certificate = pki_read_certificate(certificate_pem);
	_cleanup_(free_all) STACK_OF(X509) *all = read_all(authorities);

	if (!certificate || !all)
		return fail_set(err);
	for (int i = 0; i < sk_X509_num(all); i++) {
		X509 *one = sk_X509_value(all, i);
		bool signer = X509_verify(certificate, X509_get0_pubkey(one)) == 1;

		ERR_clear_error();
		if (signer && X509_digest(one, EVP_sha256(), ret_sha256, NULL) == 1)
			return 0;
	}
	return error_set(err, ERROR_IDENTITY, "none of these authorities has signed it");
}

uint64_t certificate_get_due_ms(const struct certificate_facts *f)
{
	if (f->not_after_ms <= f->not_before_ms)
		return 0;
	return f->not_before_ms + (f->not_after_ms - f->not_before_ms) / 3 * 2;
}

bool certificate_is_due(const struct certificate_facts *f, uint64_t now_ms)
{
	return now_ms >= certificate_get_due_ms(f);
}

int certificate_check(const char *certificate_pem, const char *key_pem, const char *authorities,
                      const char *uri, struct error *err)
{
	_cleanup_(X509_freep) X509 *certificate = pki_read_certificate(certificate_pem);
	_cleanup_(free_all) STACK_OF(X509) *all = read_all(authorities);
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = pki_read_key(key_pem);
	_cleanup_(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *check = X509_STORE_CTX_new();
	char said[384];
	int rc;

	if (!certificate || !all || !key || !store || !check)
		return pki_openssl_error(err, ERROR_INVALID, "reading a certificate and its key");
	if (X509_check_private_key(certificate, key) != 1)
		return pki_openssl_error(err, ERROR_IDENTITY, "the certificate is not for our key");
	for (int i = 0; i < sk_X509_num(all); i++) {
		if (X509_STORE_add_cert(store, sk_X509_value(all, i)) != 1)
			return pki_openssl_error(err, ERROR_SYSTEM, "checking a certificate");
	}
	if (X509_STORE_CTX_init(check, store, certificate, NULL) != 1)
		return pki_openssl_error(err, ERROR_SYSTEM, "checking a certificate");
	if (X509_verify_cert(check) != 1)
		return error_set(err, ERROR_IDENTITY, "the certificate does not pass: %s",
		                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
	rc = find_uri(certificate, said, sizeof(said), err);
	if (rc == 0 && uri && strcmp(said, uri) != 0)
		return error_set(err, ERROR_IDENTITY, "the certificate is for %s, not for %s",
		                 said[0] ? said : "nobody", uri);
	return rc;
}

int certificate_check_address(const char *certificate_pem, const char *address, struct error *err)
{
	_cleanup_(X509_freep) X509 *certificate = pki_read_certificate(certificate_pem);

	if (!certificate)
		return pki_openssl_error(err, ERROR_INVALID, "reading a certificate");
	/* GnuTLS, which QEMU uses, takes an address that is written as a name, too. */
	if (X509_check_ip_asc(certificate, address, 0) == 1 ||
	    X509_check_host(certificate, address, 0, 0, NULL) == 1)
		return 0;
	ERR_clear_error();
	return error_set(err, ERROR_IDENTITY, "the certificate does not name %s", address);
}

int certificate_check_key(const char *certificate_pem, const char *key_pem, struct error *err)
{
	_cleanup_(X509_freep) X509 *certificate = pki_read_certificate(certificate_pem);
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = pki_read_key(key_pem);
	int kind = key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE;

	if (!certificate || !key)
		return pki_openssl_error(err, ERROR_INVALID,
		                         "this is no private key without a passphrase (PEM)");
	if (X509_check_private_key(certificate, key) != 1) {
		ERR_clear_error();
		return error_set(err, ERROR_INVALID, "this is another certificate's key");
	}
	/* NIST SP 800-57: what RSA-2048 has is the least that is good today. */
	if ((kind != EVP_PKEY_EC && kind != EVP_PKEY_RSA) || EVP_PKEY_get_security_bits(key) < 112)
		return error_set(err, ERROR_INVALID,
		                 "the key must be EC or RSA, and as strong as RSA with 2048 bits");
	return 0;
}

int certificate_check_use(const char *certificate_pem, bool server, struct error *err)
{
	_cleanup_(X509_freep) X509 *certificate = pki_read_certificate(certificate_pem);

	if (!certificate)
		return pki_openssl_error(err, ERROR_INVALID, "reading a certificate");
	if (X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) != 1)
		return error_set(err, ERROR_INVALID,
		                 "its extended key usage does not allow TLS clients (clientAuth)");
	if (server && X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) != 1)
		return error_set(err, ERROR_INVALID,
		                 "its extended key usage does not allow TLS servers (serverAuth), "
		                 "which agents and coordinators are, too");
	return 0;
}

static void copy_common_name(X509_NAME *name, char *ret_text, size_t room)
{
	if (X509_NAME_get_text_by_NID(name, NID_commonName, ret_text, (int)room) < 0)
		snprintf(ret_text, room, "without a name");
}

static uint64_t wall_ms(const ASN1_TIME *time)
{
	struct tm tm;
	time_t seconds;

	if (!ASN1_TIME_to_tm(time, &tm))
		return 0;
	seconds = timegm(&tm);
	return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

int certificate_read(const char *pem, struct certificate_facts *ret, struct error *err)
{
	_cleanup_(X509_freep) X509 *certificate = pki_read_certificate(pem);
	_cleanup_(BN_freep) BIGNUM *serial = NULL;
	struct certificate_facts facts = { 0 };
	char *hex;
	int rc;

	if (!certificate)
		return pki_openssl_error(err, ERROR_INVALID, "this is not a certificate (PEM)");
	rc = find_uri(certificate, facts.uri, sizeof(facts.uri), err);
	if (rc < 0)
		return rc;
	copy_common_name(X509_get_subject_name(certificate), facts.name, sizeof(facts.name));
	copy_common_name(X509_get_issuer_name(certificate), facts.issuer, sizeof(facts.issuer));
	serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	hex = serial ? BN_bn2hex(serial) : NULL;
	snprintf(facts.serial, sizeof(facts.serial), "%s", hex ? hex : "");
	OPENSSL_free(hex);
	facts.authority = X509_check_ca(certificate) > 0;
	facts.not_before_ms = wall_ms(X509_get0_notBefore(certificate));
	facts.not_after_ms = wall_ms(X509_get0_notAfter(certificate));
	*ret = facts;
	return 0;
}
