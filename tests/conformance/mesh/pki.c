/* SPDX-License-Identifier: Apache-2.0 */
/* See pki.h. */
#include "tests/conformance/mesh/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_true(X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

static X509 *certificate_new(EVP_PKEY *key, const char *name, X509 *issuer, long valid_seconds)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_NAME_new();

	assert_non_null(certificate);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_gmtime_adj(X509_getm_notAfter(certificate), valid_seconds);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
	                           0);
	X509_set_subject_name(certificate, subject);
	X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(certificate, key);
	X509_NAME_free(subject);
	return certificate;
}

static void write_certificate(const char *path, X509 *certificate)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(PEM_write_X509(file, certificate));
	fclose(file);
}

void pki_ca_init(struct pki_ca *ca, const char *directory, const char *name)
{
	ca->key = EVP_EC_gen("P-256");
	assert_non_null(ca->key);
	ca->certificate = certificate_new(ca->key, name, NULL, 86400);
	add_extension(ca->certificate, ca->certificate, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(ca->certificate, ca->certificate, NID_key_usage,
	              "critical,keyCertSign,cRLSign");
	assert_true(X509_sign(ca->certificate, ca->key, EVP_sha256()) > 0);
	snprintf(ca->path, sizeof(ca->path), "%s/%s.pem", directory, name);
	write_certificate(ca->path, ca->certificate);
}

void pki_ca_deinit(struct pki_ca *ca)
{
	EVP_PKEY_free(ca->key);
	X509_free(ca->certificate);
}

void pki_leaf_make(const struct pki_ca *ca, const char *directory, const char *name,
                   const char *uri, long valid_seconds, struct pki_leaf *ret_leaf)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_new(key, name, ca->certificate, valid_seconds);
	char alt_names[300];
	FILE *file;

	add_extension(certificate, ca->certificate, NID_basic_constraints, "CA:FALSE");
	add_extension(certificate, ca->certificate, NID_ext_key_usage, "serverAuth,clientAuth");
	snprintf(alt_names, sizeof(alt_names), "DNS:localhost%s%s", uri ? ",URI:" : "",
	         uri ? uri : "");
	add_extension(certificate, ca->certificate, NID_subject_alt_name, alt_names);
	assert_true(X509_sign(certificate, ca->key, EVP_sha256()) > 0);

	snprintf(ret_leaf->certificate_path, sizeof(ret_leaf->certificate_path), "%s/%s.pem",
	         directory, name);
	snprintf(ret_leaf->key_path, sizeof(ret_leaf->key_path), "%s/%s-key.pem", directory, name);
	write_certificate(ret_leaf->certificate_path, certificate);
	file = fopen(ret_leaf->key_path, "w");
	assert_non_null(file);
	assert_true(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void pki_crl_write(const struct pki_ca *ca, const struct pki_leaf *leaf, long begins_s,
                   const char *path)
{
	ASN1_TIME *now = X509_gmtime_adj(NULL, begins_s);
	X509_CRL *crl = X509_CRL_new();
	FILE *file;

	assert_true(now && crl);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->certificate));
	X509_CRL_set1_lastUpdate(crl, now);
	if (leaf) {
		X509_REVOKED *revoked = X509_REVOKED_new();
		X509 *certificate;

		file = fopen(leaf->certificate_path, "r");
		assert_non_null(file);
		certificate = PEM_read_X509(file, NULL, NULL, NULL);
		assert_non_null(certificate);
		fclose(file);
		X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate));
		X509_REVOKED_set_revocationDate(revoked, now);
		X509_CRL_add0_revoked(crl, revoked);
		X509_free(certificate);
	}
	X509_CRL_sort(crl);
	assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(PEM_write_X509_CRL(file, crl));
	fclose(file);
	X509_CRL_free(crl);
	ASN1_TIME_free(now);
}

void pki_bundle_write(const struct pki_ca *first, const struct pki_ca *second, const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(PEM_write_X509(file, first->certificate));
	if (second)
		assert_true(PEM_write_X509(file, second->certificate));
	fclose(file);
}
