/* SPDX-License-Identifier: Apache-2.0 */
/* Making and signing. Calls that fail only for want of memory or of random numbers abort: nothing is
 * safe then. */
#include "pki/certificate.h"

#include "common/alloc.h"
#include "pki/openssl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Hosts' clocks differ by a little; what was signed a moment ago must be valid on all of them. */
#define BACKDATED_S (5 * 60)
#define DAY_S       ((uint64_t)24 * 3600)
#define SERIAL_BITS 159 /* 20 bytes at most, and positive (RFC 5280, 4.1.2.2) */

static void must(bool worked)
{
	if (!worked)
		abort();
}

static char *text_of(BIO *bio)
{
	char *data;
	long bytes = BIO_get_mem_data(bio, &data);

	must(bytes > 0);
	return xstrndup(data, (size_t)bytes);
}

static char *key_to_pem(EVP_PKEY *key)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_secmem());

	must(bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
	return text_of(bio);
}

static char *certificate_to_pem(X509 *certificate)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

	must(bio && PEM_write_bio_X509(bio, certificate) == 1);
	return text_of(bio);
}

static EVP_PKEY *new_key(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	must(key);
	return key;
}

char *certificate_new_key(void)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key();

	return key_to_pem(key);
}

/* An extension from OpenSSL's notation; @value is ours, never a peer's. */
static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	_cleanup_(X509_EXTENSION_freep) X509_EXTENSION *extension = NULL;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	must(extension && X509_add_ext(certificate, extension, -1) == 1);
}

static void set_common_name(X509_NAME *name, const char *text)
{
	/* A CN has 64 characters at most (RFC 5280); whose certificate it is stands in the SAN. */
	int bytes = (int)strnlen(text, 64);

	must(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
	                                (const unsigned char *)text, bytes, -1, 0) == 1);
}

static X509 *new_certificate(EVP_PKEY *key, uint64_t life_s)
{
	/* Of a short life, for trying things out, not much may be over at its beginning. */
	uint64_t backdated_s = life_s / 20 < BACKDATED_S ? life_s / 20 : BACKDATED_S;
	X509 *certificate = X509_new();
	_cleanup_(BN_freep) BIGNUM *serial = BN_new();

	must(certificate && serial &&
	     BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
	     BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) &&
	     X509_set_version(certificate, X509_VERSION_3) == 1 &&
	     X509_gmtime_adj(X509_getm_notBefore(certificate), -(long)backdated_s) &&
	     X509_time_adj_ex(X509_getm_notAfter(certificate), (int)(life_s / DAY_S),
	                      (long)(life_s % DAY_S), NULL) &&
	     X509_set_pubkey(certificate, key) == 1);
	return certificate;
}

void certificate_new_authority(const char *name, char **ret_certificate, char **ret_key)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = new_key();
	_cleanup_(X509_freep) X509 *certificate = new_certificate(key, CERTIFICATE_CA_DAYS * DAY_S);

	set_common_name(X509_get_subject_name(certificate), name);
	must(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
	add_extension(certificate, certificate, NID_basic_constraints,
	              "critical,CA:TRUE,pathlen:0");
	add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
	must(X509_sign(certificate, key, EVP_sha256()) > 0);
	*ret_certificate = certificate_to_pem(certificate);
	*ret_key = key_to_pem(key);
}

int certificate_new_request(const char *key_pem, struct bytes *ret, struct error *err)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = pki_read_key(key_pem);
	_cleanup_(X509_REQ_freep) X509_REQ *request = X509_REQ_new();
	unsigned char *der = NULL;
	int bytes;

	if (!key)
		return pki_openssl_error(err, ERROR_INVALID, "reading a key");
	must(request && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
	     X509_REQ_set_pubkey(request, key) == 1 &&
	     X509_REQ_sign(request, key, EVP_sha256()) > 0);
	bytes = i2d_X509_REQ(request, &der);
	must(bytes > 0);
	ret->data = xmemdup(der, (size_t)bytes);
	ret->count = (size_t)bytes;
	OPENSSL_free(der);
	return 0;
}

static int read_request(const struct bytes *bytes, X509_REQ **ret, struct error *err)
{
	const unsigned char *at = bytes->data;
	_cleanup_(X509_REQ_freep) X509_REQ *request = NULL;
	EVP_PKEY *key;
	char group[32];

	ERR_clear_error();
	if (bytes->count > 4096)
		return error_set(err, ERROR_TOO_LARGE,
		                 "a certificate request of %zu bytes; at most 4096", bytes->count);
	request = d2i_X509_REQ(NULL, &at, (long)bytes->count);
	if (!request || at != bytes->data + bytes->count)
		return pki_openssl_error(err, ERROR_INVALID,
		                         "the certificate request is malformed");
	key = X509_REQ_get0_pubkey(request);
	if (!key || EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
	    strcmp(group, "prime256v1") != 0) {
		ERR_clear_error();
		return error_set(err, ERROR_INVALID,
		                 "the key of the certificate request is not of the kind EC P-256");
	}
	if (X509_REQ_verify(request, key) != 1)
		return pki_openssl_error(err, ERROR_INVALID,
		                         "the certificate request is not signed by its key");
	*ret = take_pointer(request);
	return 0;
}

int certificate_check_request(const struct bytes *bytes, struct error *err)
{
	_cleanup_(X509_REQ_freep) X509_REQ *request = NULL;

	return read_request(bytes, &request, err);
}

static void push_name(GENERAL_NAMES *names, int type, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();

	must(name && value && ASN1_STRING_set(value, text, -1) == 1);
	GENERAL_NAME_set0_value(name, type, value);
	must(sk_GENERAL_NAME_push(names, name) > 0);
}

static int push_address(GENERAL_NAMES *names, const char *text, struct error *err)
{
	GENERAL_NAME *name;
	ASN1_OCTET_STRING *value = a2i_IPADDRESS(text);

	if (!value) {
		ERR_clear_error();
		return error_set(err, ERROR_INVALID, "\"%.64s\" is not an IP address", text);
	}
	name = GENERAL_NAME_new();
	must(name);
	GENERAL_NAME_set0_value(name, GEN_IPADD, value);
	must(sk_GENERAL_NAME_push(names, name) > 0);
	return 0;
}

static bool is_dns_name(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
	       strlen(text);
}

/* Made of values, not of OpenSSL's notation: nothing in a name can become another name. */
static int add_alternative_names(X509 *certificate, const struct certificate_order *order,
                                 struct error *err)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = GENERAL_NAMES_new();

	must(names);
	if (order->uri)
		push_name(names, GEN_URI, order->uri);
	if (is_dns_name(order->name))
		push_name(names, GEN_DNS, order->name);
	for (size_t i = 0; i < ARRAY_SIZE(order->addresses); i++) {
		if (order->addresses[i] && push_address(names, order->addresses[i], err) < 0)
			return err ? -(int)err->code : -ERROR_INVALID;
	}
	must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND) ==
	     1);
	return 0;
}

static void format_serial(X509 *certificate, char ret_serial[CERTIFICATE_SERIAL_BYTES])
{
	_cleanup_(BN_freep)
		BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	char *hex = serial ? BN_bn2hex(serial) : NULL;

	if (!hex)
		abort();
	snprintf(ret_serial, CERTIFICATE_SERIAL_BYTES, "%s", hex);
	OPENSSL_free(hex);
}

int certificate_sign(const char *authority_pem, const char *authority_key_pem,
                     const struct bytes *request_bytes, const struct certificate_order *order,
                     char **ret_certificate, char ret_serial[CERTIFICATE_SERIAL_BYTES],
                     struct error *err)
{
	_cleanup_(X509_freep) X509 *authority = pki_read_certificate(authority_pem);
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *authority_key = pki_read_key(authority_key_pem);
	_cleanup_(X509_freep) X509 *certificate = NULL;
	_cleanup_(X509_REQ_freep) X509_REQ *request = NULL;
	int rc;

	if (!authority || !authority_key)
		return pki_openssl_error(err, ERROR_INVALID, "reading the authority and its key");
	if (X509_check_private_key(authority, authority_key) != 1)
		return pki_openssl_error(err, ERROR_INVALID,
		                         "the authority's key is not that of its certificate");
	rc = read_request(request_bytes, &request, err);
	if (rc < 0)
		return rc;
	certificate = new_certificate(X509_REQ_get0_pubkey(request), order->life_s);
	set_common_name(X509_get_subject_name(certificate), order->name);
	must(X509_set_issuer_name(certificate, X509_get_subject_name(authority)) == 1);
	add_extension(certificate, authority, NID_basic_constraints, "critical,CA:FALSE");
	add_extension(certificate, authority, NID_key_usage,
	              "critical,digitalSignature,keyEncipherment");
	add_extension(certificate, authority, NID_ext_key_usage,
	              order->server ? "serverAuth,clientAuth" : "clientAuth");
	add_extension(certificate, authority, NID_subject_key_identifier, "hash");
	add_extension(certificate, authority, NID_authority_key_identifier, "keyid:always");
	rc = add_alternative_names(certificate, order, err);
	if (rc < 0)
		return rc;
	must(X509_sign(certificate, authority_key, EVP_sha256()) > 0);
	format_serial(certificate, ret_serial);
	*ret_certificate = certificate_to_pem(certificate);
	return 0;
}
