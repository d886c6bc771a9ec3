/* SPDX-License-Identifier: Apache-2.0 */
/* See link.h. With tls.c the only file of the tunnel that knows OpenSSL.
 *
 * A stalled connection is kept: from the switchover on, losing it would let libvirt resume a guest
 * that runs already. So the kernel is told to go on sending for a day, and not to let its pauses
 * between tries grow beyond a few seconds, for those would become downtime when the network is
 * back.
 */
#include "agent/tunnel/link.h"

#include "agent/tunnel/frame.h"
#include "agent/tunnel/tls.h"
#include "common/alloc.h"
#include "common/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_RTO_MAX_MS /* Linux 6.15 */
#define TCP_RTO_MAX_MS 44
#endif
#define RTO_MAX_MS      2000
#define USER_TIMEOUT_MS (24u * 3600 * 1000)

#define HELLO_MAGIC "DRVTUN01"
#define HELLO_BYTES 32 /* magic 8, operation 16, attempt u32, side u8, zeros */

struct tunnel_link {
	struct tunnel_tls *tls; /* borrowed */
	SSL *ssl;
	int fd;
	bool dialled;
	enum tunnel_link_state state;
	struct attempt_name attempt;
	char peer[80];
	short events;
	uint8_t hello[HELLO_BYTES]; /* the twin's, as far as it has come */
	size_t hello_got, hello_sent;
};

static void tune_socket(int fd)
{
	unsigned int user_timeout_ms = USER_TIMEOUT_MS;
	int on = 1, rto_max_ms = RTO_MAX_MS;

	/* Wishes: a unix socket or an older kernel knows none of them, and it works all the same. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
	setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &rto_max_ms, sizeof(rto_max_ms));
}

struct tunnel_link *tunnel_link_new(struct tunnel_tls *tls, int fd, bool dialled,
                                    const struct attempt_name *attempt, const char *peer)
{
	struct tunnel_link *link = xnew(struct tunnel_link);

	link->tls = tls;
	link->fd = fd;
	link->dialled = dialled;
	link->attempt = *attempt;
	snprintf(link->peer, sizeof(link->peer), "%s", peer);
	link->ssl = SSL_new(tls->context);
	assert(link->ssl && SSL_set_fd(link->ssl, fd) == 1);
	tune_socket(fd);
	if (dialled) {
		SSL_set_connect_state(link->ssl);
		link->state = LINK_CONNECTING;
		link->events = POLLOUT;
	} else {
		SSL_set_accept_state(link->ssl);
		link->state = LINK_HANDSHAKE;
		link->events = POLLIN;
	}
	return link;
}

void tunnel_link_free(struct tunnel_link *link)
{
	char rest[4096];

	if (!link)
		return;
	/* With bytes unread the kernel would answer with a reset, which can take our last words, an
	 * alert or a refusal, away from the twin before it has read them. */
	shutdown(link->fd, SHUT_WR);
	for (int i = 0; i < 16 && recv(link->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
		;
	SSL_free(link->ssl);
	close(link->fd);
	free(link);
}

enum tunnel_link_state tunnel_link_get_state(const struct tunnel_link *link)
{
	return link->state;
}

const char *tunnel_link_get_peer(const struct tunnel_link *link)
{
	return link->peer;
}

int tunnel_link_get_fd(const struct tunnel_link *link)
{
	return link->fd;
}

short tunnel_link_get_events(const struct tunnel_link *link)
{
	return link->events;
}

/* What OpenSSL says after a call that did not succeed: 0 = wait for link->events. */
static int judge(struct tunnel_link *link, int result, const char *doing, struct error *err)
{
	int saved = errno, problem = SSL_get_error(link->ssl, result);
	long verified = SSL_get_verify_result(link->ssl);
	unsigned long code = ERR_peek_last_error();
	int rc;

	switch (problem) {
	case SSL_ERROR_WANT_READ:
		link->events = POLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		link->events = POLLOUT;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return error_set(err, ERROR_UNREACHABLE, "%s has closed the tunnel's connection",
		                 link->peer);
	case SSL_ERROR_SYSCALL:
		if (saved)
			return error_set_errno(err, ERROR_UNREACHABLE, saved, "%s %s", doing,
			                       link->peer);
		return error_set(err, ERROR_UNREACHABLE, "%s %s: the connection ended", doing,
		                 link->peer);
	default:
		break;
	}
	if (link->state == LINK_HANDSHAKE && verified != X509_V_OK)
		rc = error_set(err, ERROR_IDENTITY, "the certificate of %s is not acceptable: %s",
		               link->peer, X509_verify_cert_error_string(verified));
	else if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET)
		rc = error_set(err, ERROR_IDENTITY, "%s: %s refused us or our certificate: %s",
		               doing, link->peer, tunnel_tls_reason());
	else if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		rc = error_set(err, ERROR_UNREACHABLE, "%s %s: the connection ended", doing,
		               link->peer);
	else
		rc = error_set(err,
		               link->state == LINK_HANDSHAKE ? ERROR_IDENTITY : ERROR_UNREACHABLE,
		               "%s %s: %s", doing, link->peer, tunnel_tls_reason());
	return rc;
}

static int finish_connect(struct tunnel_link *link, struct error *err)
{
	struct pollfd ready = { .fd = link->fd, .events = POLLOUT };
	int problem = 0;
	socklen_t bytes = sizeof(problem);

	if (poll(&ready, 1, 0) == 0)
		return 0;
	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &problem, &bytes) < 0)
		problem = errno;
	if (problem)
		return error_set_errno(err, ERROR_UNREACHABLE, problem, "connecting to %s",
		                       link->peer);
	link->state = LINK_HANDSHAKE;
	return 0;
}

static int handshake(struct tunnel_link *link, struct error *err)
{
	char found[256];
	X509 *certificate;
	bool same;
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(link->ssl);
	if (result != 1)
		return judge(link, result, "TLS handshake with", err);
	certificate = SSL_get1_peer_certificate(link->ssl);
	if (!certificate)
		return error_set(err, ERROR_IDENTITY, "%s showed no certificate", link->peer);
	same = tunnel_certificate_is(certificate, link->tls->uri, found, sizeof(found));
	X509_free(certificate);
	link->state = LINK_HELLO;
	link->events = POLLOUT;
	if (!same) {
		char why[TUNNEL_FRAME_TEXT_MAX];

		snprintf(why, sizeof(why), "it expects %.150s and not %.150s", link->tls->uri,
		         found);
		tunnel_link_refuse(link, why);
		return error_set(err, ERROR_IDENTITY, "%s is %s and not %s", link->peer, found,
		                 link->tls->uri);
	}
	return 0;
}

static void format_hello(const struct tunnel_link *link, bool source, uint8_t *ret)
{
	memset(ret, 0, HELLO_BYTES);
	memcpy(ret, HELLO_MAGIC, 8);
	memcpy(ret + 8, link->attempt.operation.bytes, ID_BYTES);
	for (int i = 0; i < 4; i++)
		ret[24 + i] = (uint8_t)(link->attempt.number >> (24 - 8 * i));
	ret[28] = source;
}

/* The twin has said a reason instead of its hello: same first bytes as a frame. */
static int take_refusal(struct tunnel_link *link, struct error *err)
{
	uint8_t rest[TUNNEL_FRAME_TEXT_MAX + HELLO_BYTES];
	struct tunnel_frame frame;
	size_t have = link->hello_got;
	int n = 0;

	memcpy(rest, link->hello, have);
	ERR_clear_error();
	n = SSL_read(link->ssl, rest + have, (int)(sizeof(rest) - have));
	if (n > 0)
		have += (size_t)n;
	tunnel_frame_parse(rest, have, &frame);
	if (frame.kind != TUNNEL_FRAME_REFUSE)
		return error_set(err, ERROR_PROTOCOL,
		                 "%s speaks another protocol than a tunnel of this "
		                 "version of drover",
		                 link->peer);
	for (size_t i = 0; i < frame.bytes; i++)
		if (frame.data[i] < ' ' || frame.data[i] > '~')
			rest[frame.data - rest + (ptrdiff_t)i] = '?';
	return error_set(err, ERROR_REFUSED, "%s refused: %.*s", link->peer, (int)frame.bytes,
	                 (const char *)frame.data);
}

static int check_hello(struct tunnel_link *link, struct error *err)
{
	char ours[ATTEMPT_TEXT_BYTES], text[ATTEMPT_TEXT_BYTES], why[TUNNEL_FRAME_TEXT_MAX];
	struct attempt_name theirs = { 0 };
	uint8_t expected[HELLO_BYTES];

	format_hello(link, !link->dialled, expected);
	if (memcmp(link->hello, expected, HELLO_BYTES) == 0) {
		link->state = LINK_UP;
		link->events = POLLIN;
		return 0;
	}
	if (memcmp(link->hello, HELLO_MAGIC, 8) != 0)
		return take_refusal(link, err);
	memcpy(theirs.operation.bytes, link->hello + 8, ID_BYTES);
	for (int i = 0; i < 4; i++)
		theirs.number = theirs.number << 8 | link->hello[24 + i];
	attempt_name_format(&link->attempt, ours);
	attempt_name_format(&theirs, text);
	if (attempt_name_equal(&theirs, &link->attempt))
		snprintf(why, sizeof(why), "both ends are the same side of attempt %s", ours);
	else
		snprintf(why, sizeof(why), "this is the tunnel of attempt %s, not of %s", ours,
		         text);
	tunnel_link_refuse(link, why);
	return error_set(err, ERROR_REFUSED, "%s: %s", link->peer, why);
}

static int exchange_hellos(struct tunnel_link *link, struct error *err)
{
	uint8_t own[HELLO_BYTES];
	int n;

	format_hello(link, link->dialled, own);
	while (link->hello_sent < HELLO_BYTES) {
		ERR_clear_error();
		errno = 0;
		n = SSL_write(link->ssl, own + link->hello_sent,
		              (int)(HELLO_BYTES - link->hello_sent));
		if (n <= 0)
			return judge(link, n, "talking to", err);
		link->hello_sent += (size_t)n;
	}
	while (link->hello_got < HELLO_BYTES) {
		ERR_clear_error();
		errno = 0;
		n = SSL_read(link->ssl, link->hello + link->hello_got,
		             (int)(HELLO_BYTES - link->hello_got));
		if (n <= 0) {
			int rc = judge(link, n, "talking to", err);

			/* A short refusal and the end: it is all there. */
			if (rc < 0 && link->hello_got >= TUNNEL_FRAME_HEADER &&
			    memcmp(link->hello, HELLO_MAGIC, 2) != 0)
				return take_refusal(link, err);
			return rc;
		}
		link->hello_got += (size_t)n;
	}
	return check_hello(link, err);
}

int tunnel_link_advance(struct tunnel_link *link, struct error *err)
{
	enum tunnel_link_state before;
	int rc = 0;

	do {
		before = link->state;
		switch (link->state) {
		case LINK_CONNECTING:
			rc = finish_connect(link, err);
			break;
		case LINK_HANDSHAKE:
			rc = handshake(link, err);
			break;
		case LINK_HELLO:
			rc = exchange_hellos(link, err);
			break;
		case LINK_UP:
			return 0;
		}
	} while (rc == 0 && link->state != before);
	return rc;
}

int tunnel_link_read(struct tunnel_link *link, void *data, size_t bytes, struct error *err)
{
	int n;

	ERR_clear_error();
	errno = 0;
	n = SSL_read(link->ssl, data, bytes > INT_MAX ? INT_MAX : (int)bytes);
	return n > 0 ? n : judge(link, n, "reading from", err);
}

int tunnel_link_write(struct tunnel_link *link, const void *data, size_t bytes, struct error *err)
{
	int n;

	ERR_clear_error();
	errno = 0;
	n = SSL_write(link->ssl, data, bytes > INT_MAX ? INT_MAX : (int)bytes);
	if (n <= 0)
		return judge(link, n, "writing to", err);
	link->events = POLLIN;
	return n;
}

void tunnel_link_refuse(struct tunnel_link *link, const char *why)
{
	struct tunnel_buffer b;
	size_t n = strlen(why);

	tunnel_buffer_init(&b, TUNNEL_FRAME_TEXT_MAX + 64);
	if (tunnel_frame_put(&b, TUNNEL_FRAME_REFUSE, why,
	                     n > TUNNEL_FRAME_TEXT_MAX ? TUNNEL_FRAME_TEXT_MAX : n)) {
		ERR_clear_error();
		SSL_write(link->ssl, b.data, (int)tunnel_buffer_bytes(&b));
		tunnel_link_shutdown(link);
	}
	tunnel_buffer_deinit(&b);
}

void tunnel_link_shutdown(struct tunnel_link *link)
{
	ERR_clear_error();
	SSL_shutdown(link->ssl);
	shutdown(link->fd, SHUT_WR);
}
