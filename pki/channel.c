/* SPDX-License-Identifier: Apache-2.0 */
/* See channel.h. The socket does not block; waiting is poll() with what is left of the deadline. */
#include "pki/channel.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "pki/certificate.h"
#include "pki/openssl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define LENGTH_BYTES 4

struct channel {
	SSL *ssl;
	SSL_CTX *context;
	int fd; /* ours if close_fd */
	bool close_fd;
	uint64_t deadline_ms; /* clock_now_ms */
	uint8_t ca_sha256[CERTIFICATE_SHA256_BYTES];
};

DEFINE_CLEANUP(struct channel *, channel_free);

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	if (channel->ssl) {
		ERR_clear_error();
		if (SSL_is_init_finished(channel->ssl))
			SSL_shutdown(channel->ssl);
		SSL_free(channel->ssl);
	}
	SSL_CTX_free(channel->context);
	ERR_clear_error();
	if (channel->close_fd && channel->fd >= 0)
		close(channel->fd);
	free(channel);
}

static int wait_for(int fd, short events, uint64_t deadline_ms, struct error *err)
{
	for (;;) {
		uint64_t now_ms = clock_now_ms();
		struct pollfd p = { .fd = fd, .events = events };
		int n;

		if (now_ms >= deadline_ms)
			return error_set(err, ERROR_TIMEOUT,
			                 "the other side did not answer in time");
		n = poll(&p, 1,
		         deadline_ms - now_ms > INT_MAX ? INT_MAX : (int)(deadline_ms - now_ms));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_SYSTEM, errno, "waiting for a socket");
	}
}

/* What an SSL call that did not succeed needs: 0 to try again. */
static int wait_or_fail(struct channel *c, int rc, const char *what, struct error *err)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(c->fd, POLLIN, c->deadline_ms, err);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(c->fd, POLLOUT, c->deadline_ms, err);
	case SSL_ERROR_SSL:
		if (SSL_get_verify_result(c->ssl) != X509_V_OK) {
			ERR_clear_error();
			return error_set(
				err, ERROR_IDENTITY, "it is not the coordinator of the token: %s",
				X509_verify_cert_error_string(SSL_get_verify_result(c->ssl)));
		}
		return pki_openssl_error(err, ERROR_PROTOCOL, what);
	default:
		ERR_clear_error();
		return error_set(err, ERROR_PROTOCOL, "%s: the other side closed the connection",
		                 what);
	}
}

static int handshake(struct channel *c, bool server, struct error *err)
{
	c->ssl = SSL_new(c->context);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
		return pki_openssl_error(err, ERROR_SYSTEM, "OpenSSL");
	for (;;) {
		int rc;

		ERR_clear_error();
		rc = server ? SSL_accept(c->ssl) : SSL_connect(c->ssl);
		if (rc == 1)
			return 0;
		rc = wait_or_fail(c, rc, "the TLS handshake", err);
		if (rc < 0)
			return rc;
	}
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (!context)
		abort();
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return context;
}

/* --- the server --- */

/* The CA goes along, and while it is replaced the other one, too: the client has nothing of it but a
 * fingerprint. */
static int add_authorities(SSL_CTX *context, const char *path, struct error *err)
{
	_cleanup_(BIO_free_allp) BIO *bio = BIO_new_file(path, "r");
	unsigned count = 0;

	for (;;) {
		_cleanup_(X509_freep) X509 *ca = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL)
		                                     : NULL;

		if (!ca)
			break;
		if (++count > CERTIFICATE_TRUSTED_MAX || SSL_CTX_add1_chain_cert(context, ca) != 1)
			return pki_openssl_error(err, ERROR_INVALID, path);
	}
	if (count == 0)
		return pki_openssl_error(err, ERROR_INVALID, path);
	ERR_clear_error();
	return 0;
}

static int load(SSL_CTX *context, const struct channel_files *files, struct error *err)
{
	if (SSL_CTX_use_certificate_file(context, files->certificate, SSL_FILETYPE_PEM) != 1)
		return pki_openssl_error(err, ERROR_INVALID, files->certificate);
	if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1)
		return pki_openssl_error(err, ERROR_INVALID, files->key);
	return add_authorities(context, files->ca, err);
}

int channel_accept(int fd, const struct channel_files *files, uint64_t deadline_ms,
                   struct channel **ret, struct error *err)
{
	_cleanup_(channel_freep) struct channel *c = xnew(struct channel);
	int rc;

	ERR_clear_error();
	c->fd = fd;
	c->deadline_ms = deadline_ms;
	c->context = new_context(TLS_server_method());
	SSL_CTX_set_verify(c->context, SSL_VERIFY_NONE, NULL);
	rc = load(c->context, files, err);
	if (rc == 0)
		rc = handshake(c, true, err);
	if (rc == 0)
		*ret = take_pointer(c);
	return rc;
}

/* --- the client --- */

static bool is_coordinator(X509 *certificate)
{
	_cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = X509_get_ext_d2i(
		certificate, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const char *uri, *role;

		if (name->type != GEN_URI)
			continue;
		uri = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		role = strncmp(uri, "drover://", 9) == 0 ? strchr(uri + 9, '/') : NULL;
		if (role && strncmp(role, "/coordinator/", 13) == 0)
			return true;
	}
	return false;
}

/* The whole decision whom to trust: the CA is the one that the token's fingerprint names, among what
 * the server sent; and its certificate is signed by that CA, valid, for servers, a coordinator's. */
static int verify(X509_STORE_CTX *theirs, void *context)
{
	const struct channel *c = context;
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(theirs);
	X509 *certificate = X509_STORE_CTX_get0_cert(theirs), *ca = NULL;
	_cleanup_(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
	_cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *check = X509_STORE_CTX_new();
	int result = X509_V_ERR_UNSPECIFIED;

	for (int i = 0; i < sk_X509_num(sent); i++) {
		uint8_t sha256[CERTIFICATE_SHA256_BYTES];

		if (X509_digest(sk_X509_value(sent, i), EVP_sha256(), sha256, NULL) == 1 &&
		    memcmp(sha256, c->ca_sha256, sizeof(sha256)) == 0)
			ca = sk_X509_value(sent, i);
	}
	if (!ca || !certificate) {
		result = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT;
	} else if (store && check && X509_STORE_add_cert(store, ca) == 1 &&
	           X509_STORE_CTX_init(check, store, certificate, NULL) == 1) {
		X509_STORE_CTX_set_purpose(check, X509_PURPOSE_SSL_SERVER);
		if (X509_verify_cert(check) != 1)
			result = X509_STORE_CTX_get_error(check);
		else
			result = is_coordinator(certificate) ? X509_V_OK
			                                     : X509_V_ERR_APPLICATION_VERIFICATION;
	}
	X509_STORE_CTX_set_error(theirs, result);
	return result == X509_V_OK;
}

/* "10.0.0.1:7781", "[::1]:7781". */
static int split(const char *address, char ret_host[64], char ret_port[8], struct error *err)
{
	if (sscanf(address, "[%63[^]]]:%7[0-9]", ret_host, ret_port) != 2 &&
	    sscanf(address, "%63[^:]:%7[0-9]", ret_host, ret_port) != 2)
		return error_set(err, ERROR_INVALID, "\"%.80s\" is not HOST:PORT", address);
	return 0;
}

static int dial(const char *address, uint64_t deadline_ms, int *ret_fd, struct error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char host[64], port[8];
	_cleanup_close_ int fd = -1;
	int rc = split(address, host, port, err), failed = 0;
	socklen_t room = sizeof(failed);

	if (rc < 0)
		return rc;
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0)
		return error_set(err, ERROR_UNREACHABLE, "finding %s: %s", host, gai_strerror(rc));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? -1 : connect(fd, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	if (fd < 0 || (rc < 0 && errno != EINPROGRESS))
		return error_set_errno(err, ERROR_UNREACHABLE, errno, "connecting to %s", address);
	rc = wait_for(fd, POLLOUT, deadline_ms, err);
	if (rc < 0)
		return error_context(err, "connecting to %s", address);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &room) < 0)
		failed = errno;
	if (failed)
		return error_set_errno(err, ERROR_UNREACHABLE, failed, "connecting to %s", address);
	*ret_fd = take_fd(fd);
	return 0;
}

int channel_connect(const char *address, const uint8_t *ca_sha256, uint64_t deadline_ms,
                    struct channel **ret, struct error *err)
{
	_cleanup_(channel_freep) struct channel *c = xnew(struct channel);
	int rc;

	c->fd = -1;
	c->close_fd = true;
	c->deadline_ms = deadline_ms;
	memcpy(c->ca_sha256, ca_sha256, sizeof(c->ca_sha256));
	rc = dial(address, deadline_ms, &c->fd, err);
	if (rc < 0)
		return rc;
	c->context = new_context(TLS_client_method());
	SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c->context, verify, c);
	rc = handshake(c, false, err);
	if (rc < 0)
		return error_context(err, "%s", address);
	*ret = take_pointer(c);
	return 0;
}

/* --- messages --- */

static int write_all(struct channel *c, const uint8_t *at, size_t count, struct error *err)
{
	while (count > 0) {
		int n;

		ERR_clear_error();
		n = SSL_write(c->ssl, at, (int)count);
		if (n > 0) {
			at += n;
			count -= (size_t)n;
			continue;
		}
		n = wait_or_fail(c, n, "sending", err);
		if (n < 0)
			return n;
	}
	return 0;
}

static int read_all(struct channel *c, uint8_t *to, size_t count, struct error *err)
{
	while (count > 0) {
		int n;

		ERR_clear_error();
		n = SSL_read(c->ssl, to, (int)count);
		if (n > 0) {
			to += n;
			count -= (size_t)n;
			continue;
		}
		n = wait_or_fail(c, n, "receiving", err);
		if (n < 0)
			return n;
	}
	return 0;
}

int channel_send(struct channel *c, const void *message, size_t count, struct error *err)
{
	uint32_t length = htonl((uint32_t)count);
	int rc;

	if (count > CHANNEL_MESSAGE_MAX)
		return error_set(err, ERROR_TOO_LARGE, "a message of %zu bytes; at most %d", count,
		                 CHANNEL_MESSAGE_MAX);
	rc = write_all(c, (const uint8_t *)&length, LENGTH_BYTES, err);
	return rc < 0 ? rc : write_all(c, message, count, err);
}

int channel_receive(struct channel *c, uint8_t **ret_message, size_t *ret_count, struct error *err)
{
	_cleanup_free_ uint8_t *message = NULL;
	uint32_t length;
	int rc = read_all(c, (uint8_t *)&length, LENGTH_BYTES, err);

	if (rc < 0)
		return rc;
	length = ntohl(length);
	if (length > CHANNEL_MESSAGE_MAX)
		return error_set(err, ERROR_TOO_LARGE, "a message of %u bytes; at most %d", length,
		                 CHANNEL_MESSAGE_MAX);
	message = xcalloc(1, (size_t)length + 1);
	rc = read_all(c, message, length, err);
	if (rc < 0)
		return rc;
	*ret_message = take_pointer(message);
	*ret_count = length;
	return 0;
}
