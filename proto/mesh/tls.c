/* SPDX-License-Identifier: Apache-2.0 */
/* See tls.h. OpenSSL's errors are a queue per thread: it is emptied before each call that may add
 * to it, and turned into one sentence of ours right after. */
#include "proto/mesh/tls.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/mesh/tls_identity.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum file { FILE_CA, FILE_CERTIFICATE, FILE_KEY, FILE_CRL, FILES };

struct file_stamp {
	ino_t inode;
	dev_t device;
	off_t size;
	time_t seconds;
	long nanoseconds;
};

struct tls {
	SSL_CTX *server, *client;
	struct mesh_identity identity;
	char *paths[FILES]; /* constant; couriers read them for texts */
	struct file_stamp stamps[FILES];
	bool taken;   /* the files of these stamps are in use: they were good */
	unsigned own; /* counts our own certificates */
};

struct tls_session {
	const struct tls *tls;
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
	bool shrunk;   /* they are not those of the handshake any more */
};

DEFINE_CLEANUP(SSL_CTX *, SSL_CTX_free);
DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(X509_STORE_CTX *, X509_STORE_CTX_free);
DEFINE_CLEANUP(struct tls *, tls_free);

static const char *openssl_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	return reason ? reason : "no reason given";
}

/* --- certificates --- */

static void format_time(const ASN1_TIME *time, char *ret_text, size_t room)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm) || strftime(ret_text, room, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		snprintf(ret_text, room, "an unreadable date");
}

/* Why a certificate did not pass, in words that say what to do. */
static int verify_error(long result, X509 *certificate, const char *whose, const char *ca_path,
                        struct error *err)
{
	char when[64] = "";

	switch (result) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		if (certificate)
			format_time(X509_get0_notAfter(certificate), when, sizeof(when));
		return error_set(err, ERROR_IDENTITY,
		                 "%s certificate expired on %s; renew it (and check the clocks)",
		                 whose, when);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		if (certificate)
			format_time(X509_get0_notBefore(certificate), when, sizeof(when));
		return error_set(err, ERROR_IDENTITY,
		                 "%s certificate is valid only from %s; check the clocks", whose,
		                 when);
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return error_set(err, ERROR_IDENTITY,
		                 "%s certificate is not signed by the cluster's CA (%s)", whose,
		                 ca_path);
	case X509_V_ERR_CERT_REVOKED:
		return error_set(err, ERROR_IDENTITY,
		                 "%s certificate was revoked; it must be issued anew", whose);
	default:
		return error_set(err, ERROR_IDENTITY, "%s certificate does not pass: %s", whose,
		                 X509_verify_cert_error_string(result));
	}
}

/* Our own certificate, as peers will judge it. */
static int check_own(SSL_CTX *context, const char *path, const char *ca_path, struct error *err)
{
	X509 *certificate = SSL_CTX_get0_certificate(context);
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *check = X509_STORE_CTX_new();

	if (!check ||
	    !X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), certificate, NULL))
		return error_set(err, ERROR_SYSTEM, "checking %s: %s", path, openssl_reason());
	if (X509_verify_cert(check) != 1) {
		verify_error(X509_STORE_CTX_get_error(check), certificate, "our own", ca_path, err);
		return error_context(err, "%s", path);
	}
	return 0;
}

/* A revoked certificate fails; a list that is old, of a clock ahead of ours, or missing fails nobody
 * (tls.h). */
static int verify_callback(int ok, X509_STORE_CTX *check)
{
	int result = X509_STORE_CTX_get_error(check);

	if (result != X509_V_ERR_UNABLE_TO_GET_CRL && result != X509_V_ERR_CRL_HAS_EXPIRED &&
	    result != X509_V_ERR_CRL_NOT_YET_VALID)
		return ok;
	X509_STORE_CTX_set_error(check, X509_V_OK);
	return 1;
}

static int load_crl(SSL_CTX *context, const char *path, struct error *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (!path || access(path, F_OK) < 0)
		return 0;
	if (!lookup || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
		return error_set(err, ERROR_INVALID,
		                 "cannot read the list of revoked certificates %s: %s", path,
		                 openssl_reason());
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
	X509_STORE_set_verify_cb(store, verify_callback);
	return 0;
}

static SSL_CTX *context_new(const SSL_METHOD *method, const struct tls *tls, struct error *err)
{
	_cleanup_(SSL_CTX_freep) SSL_CTX *context = SSL_CTX_new(method);

	if (!context) {
		error_set(err, ERROR_SYSTEM, "OpenSSL: %s", openssl_reason());
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	/* An idle connection gives its 32 KiB of buffers back. */
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

	if (SSL_CTX_load_verify_locations(context, tls->paths[FILE_CA], NULL) != 1)
		error_set(err, ERROR_INVALID, "cannot read the CA's certificate %s: %s",
		          tls->paths[FILE_CA], openssl_reason());
	else if (SSL_CTX_use_certificate_chain_file(context, tls->paths[FILE_CERTIFICATE]) != 1)
		error_set(err, ERROR_INVALID, "cannot read our certificate %s: %s",
		          tls->paths[FILE_CERTIFICATE], openssl_reason());
	else if (SSL_CTX_use_PrivateKey_file(context, tls->paths[FILE_KEY], SSL_FILETYPE_PEM) != 1)
		error_set(err, ERROR_INVALID, "cannot use the private key %s for %s: %s",
		          tls->paths[FILE_KEY], tls->paths[FILE_CERTIFICATE], openssl_reason());
	else if (load_crl(context, tls->paths[FILE_CRL], err) == 0)
		return take_pointer(context);
	return NULL;
}

/* What tells one version of a file from another without reading it. All zero: there is none. */
static struct file_stamp file_look(const char *path)
{
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return (struct file_stamp){ 0 };
	return (struct file_stamp){ .inode = st.st_ino,
		                    .device = st.st_dev,
		                    .size = st.st_size,
		                    .seconds = st.st_mtim.tv_sec,
		                    .nanoseconds = st.st_mtim.tv_nsec };
}

static bool stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->inode == b->inode && a->device == b->device && a->size == b->size &&
	       a->seconds == b->seconds && a->nanoseconds == b->nanoseconds;
}

static int load(struct tls *tls, struct error *err)
{
	_cleanup_(SSL_CTX_freep) SSL_CTX *server = NULL;
	_cleanup_(SSL_CTX_freep) SSL_CTX *client = NULL;
	const char *path = tls->paths[FILE_CERTIFICATE];
	struct mesh_identity identity = { 0 };
	int rc;

	ERR_clear_error();
	tls->taken = false;
	/* Before they are read: what changes in between is noticed the next time. */
	for (size_t i = 0; i < FILES; i++)
		tls->stamps[i] = file_look(tls->paths[i]);
	server = context_new(TLS_server_method(), tls, err);
	if (!server)
		return -(int)err->code;
	client = context_new(TLS_client_method(), tls, err);
	if (!client)
		return -(int)err->code;
	rc = check_own(client, path, tls->paths[FILE_CA], err);
	if (rc < 0)
		return rc;
	rc = tls_identity_read(SSL_CTX_get0_certificate(client), &identity, err);
	if (rc < 0)
		return error_context(err, "%s", path);
	if (tls->client && (identity.role != tls->identity.role ||
	                    strcmp(identity.name, tls->identity.name) != 0 ||
	                    strcmp(identity.cluster, tls->identity.cluster) != 0))
		return error_set(err, ERROR_IDENTITY,
		                 "%s is now that of %s %s of cluster %s; restart to become that",
		                 path, mesh_role_name(identity.role), identity.name,
		                 identity.cluster);
	if (tls->client &&
	    X509_cmp(SSL_CTX_get0_certificate(tls->client), SSL_CTX_get0_certificate(client)) != 0)
		tls->own++;
	/* Sessions that live hold their own references. */
	SSL_CTX_free(tls->server);
	SSL_CTX_free(tls->client);
	tls->server = take_pointer(server);
	tls->client = take_pointer(client);
	tls->identity = identity;
	tls->taken = true;
	return 0;
}

struct tls *tls_new(const struct tls_files *files, struct error *err)
{
	_cleanup_(tls_freep) struct tls *tls = xnew(struct tls);

	tls->paths[FILE_CA] = xstrdup(files->ca);
	tls->paths[FILE_CERTIFICATE] = xstrdup(files->certificate);
	tls->paths[FILE_KEY] = xstrdup(files->key);
	tls->paths[FILE_CRL] = files->crl ? xstrdup(files->crl) : NULL;
	if (load(tls, err) < 0)
		return NULL;
	return take_pointer(tls);
}

bool tls_is_outdated(const struct tls *tls)
{
	for (size_t i = 0; i < FILES; i++) {
		struct file_stamp now = file_look(tls->paths[i]);

		if (!stamp_equal(&now, &tls->stamps[i]))
			return true;
	}
	return false;
}

unsigned tls_count_own(const struct tls *tls)
{
	return tls->own;
}

bool tls_is_current(const struct tls *tls)
{
	return tls->taken && !tls_is_outdated(tls);
}

int tls_reload(struct tls *tls, struct error *err)
{
	return load(tls, err);
}

void tls_format_expiry(const struct tls *tls, char *ret_text, size_t room)
{
	format_time(X509_get0_notAfter(SSL_CTX_get0_certificate(tls->client)), ret_text, room);
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->server);
	SSL_CTX_free(tls->client);
	for (size_t i = 0; i < FILES; i++)
		free(tls->paths[i]);
	free(tls);
}

const struct mesh_identity *tls_get_identity(const struct tls *tls)
{
	return &tls->identity;
}

/* --- sessions --- */

struct tls_session *tls_session_new(const struct tls *tls, bool server)
{
	struct tls_session *s = xnew(struct tls_session);

	s->tls = tls;
	s->ssl = SSL_new(server ? tls->server : tls->client);
	s->in = BIO_new(BIO_s_mem());
	s->out = BIO_new(BIO_s_mem());
	/* These fail for want of memory only. */
	assert(s->ssl && s->in && s->out);
	SSL_set_bio(s->ssl, s->in, s->out);
	if (server)
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
	return s;
}

void tls_session_free(struct tls_session *s)
{
	if (!s)
		return;
	SSL_free(s->ssl);
	free(s);
}

void tls_session_feed(struct tls_session *s, const void *ciphertext, size_t bytes)
{
	int n = BIO_write(s->in, ciphertext, (int)bytes);

	assert(n == (int)bytes);
	(void)n;
}

size_t tls_session_get_pending(const struct tls_session *s)
{
	return BIO_ctrl_pending(s->out);
}

/* A BIO keeps the most memory that it ever needed: that of the certificates, for as long as a
 * connection is idle after its handshake. Empty ones take their place, once. */
static void shrink(struct tls_session *s)
{
	BIO *in, *out;

	if (s->shrunk || !SSL_is_init_finished(s->ssl) || BIO_ctrl_pending(s->in) > 0 ||
	    BIO_ctrl_pending(s->out) > 0)
		return;
	in = BIO_new(BIO_s_mem());
	out = BIO_new(BIO_s_mem());
	assert(in && out); /* these fail for want of memory only */
	SSL_set_bio(s->ssl, in, out);
	s->in = in;
	s->out = out;
	s->shrunk = true;
}

size_t tls_session_drain(struct tls_session *s, void *ret_ciphertext, size_t room)
{
	int n = BIO_read(s->out, ret_ciphertext, room > INT_MAX ? INT_MAX : (int)room);

	shrink(s);
	return n > 0 ? (size_t)n : 0;
}

/* What the peer says when it refuses us. In TLS 1.3 a server does so after the client's handshake
 * is over, so this may come from a read. */
static const char *alert_from_peer(int reason)
{
	switch (reason) {
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return "it is not signed by the peer's CA";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
		return "it has expired by the peer's clock";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
		return "it was revoked";
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
		return "it does not pass the peer's checks";
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return "none was shown";
	default:
		return NULL;
	}
}

static int session_error(struct tls_session *s, int ssl_error, struct error *err)
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);
	long verify = SSL_get_verify_result(s->ssl);
	const char *refusal;

	if (ssl_error == SSL_ERROR_ZERO_RETURN)
		return error_set(err, ERROR_UNREACHABLE, "the peer closed the connection");
	if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
		refusal = alert_from_peer(reason);
		if (refusal)
			return error_set(err, ERROR_IDENTITY,
			                 "the peer refused our certificate: %s", refusal);
		if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
			_cleanup_(X509_freep) X509 *peer = SSL_get1_peer_certificate(s->ssl);

			return verify_error(verify, peer, "the peer's", s->tls->paths[FILE_CA],
			                    err);
		}
		if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
			return error_set(err, ERROR_IDENTITY, "the peer showed no certificate");
		if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
		    reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_BAD_RECORD_TYPE)
			return error_set(err, ERROR_PROTOCOL, "the peer does not speak TLS 1.3");
	}
	return error_set(err, ERROR_PROTOCOL, "TLS: %s", openssl_reason());
}

int tls_session_handshake(struct tls_session *s, bool *ret_done, struct error *err)
{
	int rc, ssl_error;

	ERR_clear_error();
	rc = SSL_do_handshake(s->ssl);
	if (rc == 1) {
		*ret_done = true;
		return 0;
	}
	ssl_error = SSL_get_error(s->ssl, rc);
	if (ssl_error == SSL_ERROR_WANT_READ) {
		*ret_done = false;
		return 0;
	}
	return session_error(s, ssl_error, err);
}

int tls_session_get_peer(const struct tls_session *s, struct mesh_identity *ret_peer,
                         struct error *err)
{
	_cleanup_(X509_freep) X509 *peer = SSL_get1_peer_certificate(s->ssl);
	struct mesh_identity identity;
	int rc;

	/* The context demands a certificate; this is for the day somebody changes that. */
	if (!peer || SSL_get_verify_result(s->ssl) != X509_V_OK)
		return error_set(err, ERROR_IDENTITY, "the peer showed no valid certificate");
	rc = tls_identity_read(peer, &identity, err);
	if (rc < 0)
		return error_context(err, "the peer's certificate");
	memcpy(identity.address, ret_peer->address, sizeof(identity.address));
	*ret_peer = identity;
	return 0;
}

int tls_session_check_peer(const struct tls_session *s, const struct tls *tls, bool *ret_revoked,
                           struct error *err)
{
	_cleanup_(X509_freep) X509 *peer = SSL_get1_peer_certificate(s->ssl);
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *check = X509_STORE_CTX_new();

	ERR_clear_error();
	if (!peer || !check ||
	    !X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(tls->server), peer,
	                         SSL_get_peer_cert_chain(s->ssl)))
		return error_set(err, ERROR_SYSTEM, "checking the peer's certificate: %s",
		                 openssl_reason());
	if (X509_verify_cert(check) == 1)
		return 0;
	*ret_revoked = X509_STORE_CTX_get_error(check) == X509_V_ERR_CERT_REVOKED;
	return verify_error(X509_STORE_CTX_get_error(check), peer, "the peer's",
	                    tls->paths[FILE_CA], err);
}

int tls_session_read(struct tls_session *s, void *ret_plain, size_t room, size_t *ret_bytes,
                     struct error *err)
{
	int ssl_error, n;

	ERR_clear_error();
	n = SSL_read(s->ssl, ret_plain, room > INT_MAX ? INT_MAX : (int)room);
	if (n > 0) {
		*ret_bytes = (size_t)n;
		return 0;
	}
	ssl_error = SSL_get_error(s->ssl, n);
	if (ssl_error == SSL_ERROR_WANT_READ) {
		*ret_bytes = 0;
		return 0;
	}
	return session_error(s, ssl_error, err);
}

int tls_session_write(struct tls_session *s, const void *plain, size_t bytes, struct error *err)
{
	const uint8_t *at = plain;

	ERR_clear_error();
	while (bytes > 0) {
		int n = SSL_write(s->ssl, at, bytes > INT_MAX ? INT_MAX : (int)bytes);

		if (n <= 0)
			return session_error(s, SSL_get_error(s->ssl, n), err);
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}
