/* SPDX-License-Identifier: Apache-2.0 */
/* See tls.h. */
#include "agent/tunnel/tls.h"

#include "agent/tunnel/link.h"
#include "common/alloc.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *tunnel_tls_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	return reason ? reason : "no reason given";
}

bool tunnel_certificate_is(X509 *certificate, const char *uri, char *ret_found, size_t bytes)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	bool same = false;

	snprintf(ret_found, bytes, "no name at all");
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const ASN1_IA5STRING *value;
		int n;

		if (name->type != GEN_URI)
			continue;
		value = name->d.uniformResourceIdentifier;
		n = ASN1_STRING_length(value);
		if (n == (int)strlen(uri) &&
		    memcmp(ASN1_STRING_get0_data(value), uri, (size_t)n) == 0)
			same = true;
		/* It goes into an error text: a peer's bytes only as far as they are plain. */
		snprintf(ret_found, bytes, "%.*s", n > 200 ? 200 : n,
		         (const char *)ASN1_STRING_get0_data(value));
		for (char *p = ret_found; *p; p++)
			if (*p < '!' || *p > '~')
				*p = '?';
	}
	GENERAL_NAMES_free(names);
	return same;
}

/* As in the mesh (proto/mesh/tls.c): what is revoked fails; a list that is old, of a clock ahead of ours,
 * or missing fails nobody. */
static int accept_any_age(int ok, X509_STORE_CTX *check)
{
	int result = X509_STORE_CTX_get_error(check);

	if (result != X509_V_ERR_UNABLE_TO_GET_CRL && result != X509_V_ERR_CRL_HAS_EXPIRED &&
	    result != X509_V_ERR_CRL_NOT_YET_VALID)
		return ok;
	X509_STORE_CTX_set_error(check, X509_V_OK);
	return 1;
}

static bool load_crl(SSL_CTX *context, const char *path)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (!path || access(path, F_OK) < 0)
		return true;
	if (!lookup || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
		return false;
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
	X509_STORE_set_verify_cb(store, accept_any_age);
	return true;
}

int tunnel_tls_new(const struct tunnel_tls_files *files, const char *cluster, const char *expect,
                   struct tunnel_tls **ret, struct error *err)
{
	struct tunnel_tls *tls = xnew(struct tunnel_tls);
	const char *what = NULL, *path = "";

	tls->uri = xasprintf("drover://%s/%s", cluster, expect);
	ERR_clear_error();
	tls->context = SSL_CTX_new(TLS_method());
	if (!tls->context || SSL_CTX_set_min_proto_version(tls->context, TLS1_3_VERSION) != 1)
		what = "setting up TLS";
	else if (SSL_CTX_load_verify_file(tls->context, path = files->ca) != 1)
		what = "reading the CA";
	else if (SSL_CTX_use_certificate_chain_file(tls->context, path = files->cert) != 1)
		what = "reading the certificate";
	else if (SSL_CTX_use_PrivateKey_file(tls->context, path = files->key, SSL_FILETYPE_PEM) !=
	         1)
		what = "reading the key";
	else if (!load_crl(tls->context, path = files->crl))
		what = "reading the list of revoked certificates";
	else if (SSL_CTX_check_private_key(tls->context) != 1)
		what = "the certificate does not belong to the key";
	if (what) {
		error_set(err, ERROR_INVALID, "%s %s: %s", what, path ? path : "",
		          tunnel_tls_reason());
		tunnel_tls_free(tls);
		return -ERROR_INVALID;
	}
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_NO_AUTO_CHAIN |
	                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Every process speaks to one peer once: there is nothing to resume. */
	SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(tls->context, 0);
	*ret = tls;
	return 0;
}

void tunnel_tls_free(struct tunnel_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls->uri);
	free(tls);
}
