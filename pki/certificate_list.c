/* SPDX-License-Identifier: Apache-2.0 */
/* See certificate_list.h. Calls that fail only for want of memory abort. */
#include "pki/certificate_list.h"

#include "common/alloc.h"
#include "pki/openssl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* As of certificates (certificate.c): clocks differ by a little. */
#define BACKDATED_S (5 * 60)

DEFINE_CLEANUP(X509_CRL *, X509_CRL_free);
DEFINE_CLEANUP(ASN1_INTEGER *, ASN1_INTEGER_free);
DEFINE_CLEANUP(ASN1_TIME *, ASN1_TIME_free);

static void must(bool worked)
{
	if (!worked)
		abort();
}

/* Two hex digits a byte, as BN_bn2hex writes them. */
static void format_serial(const ASN1_INTEGER *number, char ret_serial[CERTIFICATE_SERIAL_BYTES])
{
	_cleanup_(BN_freep) BIGNUM *serial = ASN1_INTEGER_to_BN(number, NULL);
	char *hex = serial ? BN_bn2hex(serial) : NULL;

	if (!hex)
		abort();
	snprintf(ret_serial, CERTIFICATE_SERIAL_BYTES, "%s", hex);
	OPENSSL_free(hex);
}

int certificate_parse_serial(const char *text, char ret_serial[CERTIFICATE_SERIAL_BYTES],
                             struct error *err)
{
	const char *from = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? text + 2 : text;
	char digits[CERTIFICATE_SERIAL_BYTES];
	size_t used = 0;

	for (; *from == '0' || *from == ':'; from++) {
	}
	for (; *from; from++) {
		static const char small[] = "0123456789abcdef", large[] = "0123456789ABCDEF";
		const char *digit = strchr(small, *from);

		if (*from == ':')
			continue;
		digit = digit ? &large[digit - small] : strchr(large, *from);
		if (!digit || used + 1 == sizeof(digits))
			return error_set(err, ERROR_INVALID,
			                 "\"%.80s\" is no serial number: at most 40 hex digits",
			                 text);
		digits[used++] = *digit;
	}
	if (used == 0)
		return error_set(err, ERROR_INVALID, "\"%.80s\" is no serial number", text);
	digits[used] = '\0';
	snprintf(ret_serial, CERTIFICATE_SERIAL_BYTES, "%s%s", used % 2 ? "0" : "", digits);
	return 0;
}

/* --- signing --- */

static void add_entry(X509_CRL *list, const struct certificate_list_entry *e)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	_cleanup_(BN_freep) BIGNUM *serial = NULL;
	_cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *number = NULL;
	_cleanup_(ASN1_TIME_freep)
		ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)(e->revoked_ms / 1000));

	must(revoked && when && BN_hex2bn(&serial, e->serial) > 0);
	number = BN_to_ASN1_INTEGER(serial, NULL);
	must(number && X509_REVOKED_set_serialNumber(revoked, number) == 1 &&
	     X509_REVOKED_set_revocationDate(revoked, when) == 1 &&
	     X509_CRL_add0_revoked(list, revoked) == 1);
}

static void add_number(X509_CRL *list, uint64_t number)
{
	_cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *value = ASN1_INTEGER_new();

	must(value && ASN1_INTEGER_set_uint64(value, number) == 1 &&
	     X509_CRL_add1_ext_i2d(list, NID_crl_number, value, 0, X509V3_ADD_APPEND) == 1);
}

/* Which key has signed it, for the day two authorities have one name. */
static void add_key_id(X509_CRL *list, X509 *authority)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	/* An authority of other origin may have none. */
	if (!X509_get0_subject_key_id(authority))
		return;
	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, authority, NULL, NULL, list, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid");
	must(extension && X509_CRL_add_ext(list, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

static char *list_to_pem(X509_CRL *list)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long bytes;

	must(bio && PEM_write_bio_X509_CRL(bio, list) == 1);
	bytes = BIO_get_mem_data(bio, &data);
	must(bytes > 0);
	return xstrndup(data, (size_t)bytes);
}

int certificate_list_sign(const char *authority_pem, const char *authority_key_pem,
                          const struct certificate_list_entry *entries, size_t count,
                          uint64_t number, char **ret_list, struct error *err)
{
	_cleanup_(X509_freep) X509 *authority = pki_read_certificate(authority_pem);
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = pki_read_key(authority_key_pem);
	_cleanup_(X509_CRL_freep) X509_CRL *list = X509_CRL_new();
	_cleanup_(ASN1_TIME_freep) ASN1_TIME *now = X509_gmtime_adj(NULL, -(long)BACKDATED_S);

	if (!authority || !key)
		return pki_openssl_error(err, ERROR_INVALID, "reading the authority and its key");
	if (X509_check_private_key(authority, key) != 1)
		return pki_openssl_error(err, ERROR_INVALID,
		                         "the authority's key is not that of its certificate");
	must(list && now && X509_CRL_set_version(list, X509_CRL_VERSION_2) == 1 &&
	     X509_CRL_set_issuer_name(list, X509_get_subject_name(authority)) == 1 &&
	     X509_CRL_set1_lastUpdate(list, now) == 1 &&
	     X509_CRL_set1_nextUpdate(list, X509_get0_notAfter(authority)) == 1);
	for (size_t i = 0; i < count; i++)
		add_entry(list, &entries[i]);
	add_key_id(list, authority);
	add_number(list, number);
	must(X509_CRL_sort(list) == 1);
	if (X509_CRL_sign(list, key, EVP_sha256()) <= 0)
		return pki_openssl_error(err, ERROR_INVALID, "signing the list of what is revoked");
	*ret_list = list_to_pem(list);
	return 0;
}

/* --- reading --- */

/* The next list of @bio; NULL at the end. @ret_rc: why it cannot be read. */
static X509_CRL *read_next(BIO *bio, size_t n_read, int *ret_rc, struct error *err)
{
	X509_CRL *list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);

	*ret_rc = 0;
	if (list)
		return list;
	/* At the end of the text, and only there, it finds no beginning. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || n_read == 0)
		*ret_rc = error_set(err, ERROR_INVALID,
		                    "this is no list of revoked certificates (PEM)");
	ERR_clear_error();
	return NULL;
}

static bool is_signed_by_one(X509_CRL *list, BIO *authorities)
{
	bool is = false;

	if (BIO_reset(authorities) < 0)
		abort();
	for (;;) {
		_cleanup_(X509_freep) X509 *one = PEM_read_bio_X509(authorities, NULL, NULL, NULL);

		if (!one)
			break;
		is |= X509_NAME_cmp(X509_get_subject_name(one), X509_CRL_get_issuer(list)) == 0 &&
		      X509_CRL_verify(list, X509_get0_pubkey(one)) == 1;
	}
	ERR_clear_error();
	return is;
}

static uint64_t get_number(X509_CRL *list)
{
	_cleanup_(ASN1_INTEGER_freep)
		ASN1_INTEGER *number = X509_CRL_get_ext_d2i(list, NID_crl_number, NULL, NULL);
	uint64_t value = 0;

	/* Somebody else's may be greater than fits: then it is not one of ours. */
	if (!number || ASN1_INTEGER_get_uint64(&value, number) != 1)
		value = 0;
	ERR_clear_error();
	return value;
}

int certificate_list_check(const char *lists, const char *authorities, uint64_t *ret_number,
                           struct error *err)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(lists, -1);
	_cleanup_(BIO_free_allp) BIO *by = BIO_new_mem_buf(authorities, -1);
	uint64_t number = 0;
	int rc;

	must(bio && by);
	ERR_clear_error();
	for (size_t n = 0;; n++) {
		_cleanup_(X509_CRL_freep) X509_CRL *list = read_next(bio, n, &rc, err);

		if (!list)
			break;
		if (!is_signed_by_one(list, by))
			return error_set(err, ERROR_IDENTITY,
			                 "a list of revoked certificates that none of the trusted "
			                 "authorities has signed");
		if (get_number(list) > number)
			number = get_number(list);
	}
	if (rc == 0)
		*ret_number = number;
	return rc;
}

static uint64_t wall_ms(const ASN1_TIME *time)
{
	struct tm tm;
	time_t seconds = ASN1_TIME_to_tm(time, &tm) ? timegm(&tm) : 0;

	return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

int certificate_list_read(const char *lists, struct certificate_list_entry **ret_entries,
                          size_t *ret_count, struct error *err)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(lists, -1);
	_cleanup_free_ struct certificate_list_entry *entries = NULL;
	size_t count = 0;
	int rc;

	must(bio);
	ERR_clear_error();
	for (size_t n = 0;; n++) {
		_cleanup_(X509_CRL_freep) X509_CRL *list = read_next(bio, n, &rc, err);
		STACK_OF(X509_REVOKED) *all = list ? X509_CRL_get_REVOKED(list) : NULL;
		int here = all ? sk_X509_REVOKED_num(all) : 0;

		if (!list)
			break;
		if (here > 0)
			entries = xreallocarray(entries, count + (size_t)here, sizeof(*entries));
		for (int i = 0; i < here; i++) {
			const X509_REVOKED *r = sk_X509_REVOKED_value(all, i);

			format_serial(X509_REVOKED_get0_serialNumber(r), entries[count].serial);
			entries[count++].revoked_ms = wall_ms(X509_REVOKED_get0_revocationDate(r));
		}
	}
	if (rc < 0)
		return rc;
	*ret_entries = take_pointer(entries);
	*ret_count = count;
	return 0;
}
