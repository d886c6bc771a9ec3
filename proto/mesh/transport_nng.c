/* SPDX-License-Identifier: Apache-2.0 */
/* Links over nng's byte streams: tcp:// with TLS, and ipc:// with the peer's uid.
 *
 *	dial --> [TLS handshake] --> open --> fails or is closed --> quiet --> freed
 *
 * nng's callbacks are the couriers: they move bytes through TLS and the frame reader under the
 * link's lock, and post what comes out. One receive and one send are under way at most; a link is
 * quiet when neither is, and only then is it freed.
 *
 * What nng 1.5.2 was found to do, and what follows: aio time-outs and cancels can wedge a stream,
 * so there are none, and a stream is only ever closed, always by the owner. Handlers in callbacks
 * stall all of nng, so callbacks only post. TCP_NODELAY is off by default, so it is set on both
 * ends. Sends may be partial. nng dispatches callbacks to its own threads, never inside the call
 * that starts an operation, so operations are started with the lock held.
 */
#include "proto/mesh/transport_nng.h"

#include "common/alloc.h"
#include "proto/mesh/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVE_BYTES (16 * 1024) /* one TLS record */
#define SEND_BYTES    (64 * 1024) /* encrypted ahead of the socket, at most */
#define SEND_PIECES   8           /* nng's limit for one operation */

struct nng_link {
	struct link link; /* first */
	char *url;        /* what was dialled; NULL when accepted */
	bool secure;
	nng_stream_dialer *dialer;
	nng_aio *dial_aio, *receive_aio, *send_aio;
	pthread_mutex_t lock;

	/* under lock */
	nng_stream *stream;
	struct tls_session *tls;
	struct link_peer peer;
	bool dialling, receiving, sending;
	bool open, failed, closing, closed_posted;
	/* TLS failed and its alert is on the way; we wait for the peer to hang up, because closing
	 * first could destroy the alert on its way. */
	bool lingering;
	struct error linger_why;
	struct chunk *queue, **queue_end;
	size_t queue_offset; /* into the first chunk */
	size_t queued_bytes;
	uint64_t taken_bytes;
	size_t in_flight_bytes; /* plain: of the queue, in the send under way */
	bool over_high;
	size_t unread_bytes;
	bool paused; /* the owner has enough to look at */
	uint8_t *cipher;
	size_t cipher_bytes, cipher_sent;
	struct frame_reader reader;
	uint8_t *receive_buffer;
};

static const struct link_ops ops;

/* --- under lock --- */

static void fail(struct nng_link *nl, const struct error *why)
{
	if (nl->failed || nl->closing)
		return;
	nl->failed = true;
	link_post_failed(&nl->link, why);
}

/* At the end of whatever may have been the last thing under way. */
static void settle(struct nng_link *nl)
{
	if (!nl->closing || nl->closed_posted || nl->dialling || nl->receiving || nl->sending)
		return;
	nl->closed_posted = true;
	link_post_closed(&nl->link);
}

static void receive_more(struct nng_link *nl)
{
	nng_iov iov = { nl->receive_buffer, RECEIVE_BYTES };

	if (nl->closing || nl->failed || nl->receiving)
		return;
	nl->paused = nl->unread_bytes > LINK_UNREAD_MAX;
	if (nl->paused)
		return;
	nl->receiving = true;
	nng_aio_set_iov(nl->receive_aio, 1, &iov);
	nng_stream_recv(nl->stream, nl->receive_aio);
}

/* @bytes have left the front of the queue. */
static void queue_advance(struct nng_link *nl, size_t bytes)
{
	nl->queued_bytes -= bytes;
	bytes += nl->queue_offset;
	while (nl->queue && bytes >= nl->queue->bytes) {
		struct chunk *c = nl->queue;

		bytes -= c->bytes;
		nl->queue = c->next;
		free(c);
	}
	if (!nl->queue)
		nl->queue_end = &nl->queue;
	nl->queue_offset = bytes;
	if (nl->over_high && nl->queued_bytes <= LINK_LOW_BYTES) {
		nl->over_high = false;
		link_post_drained(&nl->link);
	}
}

static size_t gather_plain(struct nng_link *nl, nng_iov *iov, unsigned *ret_count)
{
	size_t offset = nl->queue_offset, total = 0;
	unsigned count = 0;

	for (struct chunk *c = nl->queue; c && count < SEND_PIECES; c = c->next) {
		iov[count++] = (nng_iov){ c->data + offset, c->bytes - offset };
		total += c->bytes - offset;
		offset = 0;
	}
	*ret_count = count;
	return total;
}

/* Encrypts what fits, and takes the ciphertext. */
static int gather_secure(struct nng_link *nl, struct error *err)
{
	size_t pending;

	while (nl->open && nl->queue && tls_session_get_pending(nl->tls) < SEND_BYTES / 2) {
		size_t n = nl->queue->bytes - nl->queue_offset;
		int rc;

		if (n > SEND_BYTES / 2)
			n = SEND_BYTES / 2;
		rc = tls_session_write(nl->tls, nl->queue->data + nl->queue_offset, n, err);
		if (rc < 0)
			return rc;
		nl->taken_bytes += n;
		queue_advance(nl, n);
	}
	pending = tls_session_get_pending(nl->tls);
	nl->cipher_sent = 0;
	nl->cipher_bytes = 0;
	if (pending > 0) {
		nl->cipher = xmalloc(pending);
		nl->cipher_bytes = tls_session_drain(nl->tls, nl->cipher, pending);
	}
	return 0;
}

static void send_more(struct nng_link *nl)
{
	nng_iov iov[SEND_PIECES];
	unsigned count = 0;
	struct error err;

	if (nl->closing || nl->failed || nl->sending || !nl->stream)
		return;
	if (nl->tls) {
		if (!nl->cipher && gather_secure(nl, &err) < 0) {
			fail(nl, &err);
			return;
		}
		if (nl->cipher) {
			iov[0] = (nng_iov){ nl->cipher + nl->cipher_sent,
				            nl->cipher_bytes - nl->cipher_sent };
			count = 1;
		}
	} else {
		nl->in_flight_bytes = gather_plain(nl, iov, &count);
	}
	if (count == 0)
		return;
	nl->sending = true;
	nng_aio_set_iov(nl->send_aio, count, iov);
	nng_stream_send(nl->stream, nl->send_aio);
}

static void opened(struct nng_link *nl)
{
	nl->open = true;
	link_post_opened(&nl->link, &nl->peer);
}

static int secure_handshake(struct nng_link *nl, struct error *err)
{
	bool done;
	int rc = tls_session_handshake(nl->tls, &done, err);

	if (rc < 0 || !done)
		return rc;
	/* The owner refuses a peer without a name, and can tell it why over this connection. */
	tls_session_get_peer(nl->tls, &nl->peer.identity, &nl->peer.nameless);
	opened(nl);
	return 0;
}

/* Ciphertext that came goes through TLS into the reader. */
static int take_secure(struct nng_link *nl, size_t bytes, struct frame ***list_end,
                       struct error *err)
{
	uint8_t plain[RECEIVE_BYTES];
	size_t n;
	int rc;

	tls_session_feed(nl->tls, nl->receive_buffer, bytes);
	if (!nl->open) {
		rc = secure_handshake(nl, err);
		if (rc < 0 || !nl->open)
			return rc;
	}
	for (;;) {
		rc = tls_session_read(nl->tls, plain, sizeof(plain), &n, err);
		if (rc < 0 || n == 0)
			return rc;
		rc = frame_reader_push(&nl->reader, plain, n, list_end, err);
		if (rc < 0)
			return rc;
	}
}

static void take(struct nng_link *nl, size_t bytes)
{
	struct frame *frames = NULL, **end = &frames;
	struct error err;
	int rc;

	if (nl->lingering)
		return;
	if (nl->tls)
		rc = take_secure(nl, bytes, &end, &err);
	else
		rc = frame_reader_push(&nl->reader, nl->receive_buffer, bytes, &end, &err);

	if (frames) {
		size_t total = 0;

		for (struct frame *f = frames; f; f = f->next)
			total += sizeof(*f) + f->head.length;
		nl->unread_bytes += total;
		link_post_frames(&nl->link, frames, total);
	}
	if (rc == 0)
		return;
	if (nl->tls && !nl->open && tls_session_get_pending(nl->tls) > 0) {
		nl->lingering = true;
		nl->linger_why = err;
	} else {
		fail(nl, &err);
	}
}

/* --- couriers --- */

static void receive_done(void *context)
{
	struct nng_link *nl = context;
	struct error err;
	int rv = nng_aio_result(nl->receive_aio);

	pthread_mutex_lock(&nl->lock);
	nl->receiving = false;
	if (rv != 0) {
		/* A send that failed shows here, too; so the reason is told once. */
		if (nl->lingering)
			err = nl->linger_why;
		else if (rv == NNG_ECONNSHUT || rv == NNG_ECLOSED)
			error_set(&err, ERROR_UNREACHABLE, "the peer closed the connection");
		else
			error_set(&err, ERROR_UNREACHABLE, "the connection broke: %s",
			          nng_strerror(rv));
		fail(nl, &err);
	} else if (!nl->closing) {
		take(nl, nng_aio_count(nl->receive_aio));
		receive_more(nl);
		send_more(nl);
	}
	settle(nl);
	pthread_mutex_unlock(&nl->lock);
}

static void send_done(void *context)
{
	struct nng_link *nl = context;
	int rv = nng_aio_result(nl->send_aio);
	size_t count = rv == 0 ? nng_aio_count(nl->send_aio) : 0;

	pthread_mutex_lock(&nl->lock);
	nl->sending = false;
	if (rv == 0 && nl->tls) {
		nl->cipher_sent += count;
		if (nl->cipher_sent == nl->cipher_bytes) {
			free(nl->cipher);
			nl->cipher = NULL;
		}
	} else if (rv == 0) {
		nl->taken_bytes += count;
		nl->in_flight_bytes = 0;
		queue_advance(nl, count);
	}
	if (rv == 0)
		send_more(nl);
	settle(nl);
	pthread_mutex_unlock(&nl->lock);
}

static void read_peer(struct nng_link *nl)
{
	char *address = nl->peer.identity.address;
	nng_sockaddr sa;
	char host[INET6_ADDRSTRLEN] = "?";
	uint64_t uid;

	if (!nl->secure) {
		/* Without an answer it is nobody: the overflow uid has no rights anywhere. */
		if (nng_stream_get_uint64(nl->stream, NNG_OPT_IPC_PEER_UID, &uid) != 0)
			uid = 65534;
		nl->peer.proof = LINK_PROOF_UID;
		nl->peer.uid = (uint32_t)uid;
		snprintf(address, LINK_ADDRESS_ROOM, "uid %u", nl->peer.uid);
		return;
	}
	nl->peer.proof = LINK_PROOF_CERTIFICATE;
	if (nng_stream_get_addr(nl->stream, NNG_OPT_REMADDR, &sa) != 0) {
		snprintf(address, LINK_ADDRESS_ROOM, "unknown address");
	} else if (sa.s_family == NNG_AF_INET6) {
		inet_ntop(AF_INET6, sa.s_in6.sa_addr, host, sizeof(host));
		snprintf(address, LINK_ADDRESS_ROOM, "[%s]:%u", host, ntohs(sa.s_in6.sa_port));
	} else {
		inet_ntop(AF_INET, &sa.s_in.sa_addr, host, sizeof(host));
		snprintf(address, LINK_ADDRESS_ROOM, "%s:%u", host, ntohs(sa.s_in.sa_port));
	}
}

/* There is a stream: the handshake, or frames, can begin. Under lock. */
static void begin(struct nng_link *nl)
{
	struct error err;

	read_peer(nl);
	if (!nl->secure)
		opened(nl);
	else if (nl->url && secure_handshake(nl, &err) < 0) /* the client speaks first */
		fail(nl, &err);
	receive_more(nl);
	send_more(nl);
}

static void dial_done(void *context)
{
	struct nng_link *nl = context;
	int rv = nng_aio_result(nl->dial_aio);
	struct error err;

	pthread_mutex_lock(&nl->lock);
	nl->dialling = false;
	if (rv != 0) {
		error_set(&err, ERROR_UNREACHABLE, "cannot connect to %s: %s", nl->url,
		          nng_strerror(rv));
		fail(nl, &err);
	} else {
		nl->stream = nng_aio_get_output(nl->dial_aio, 0);
		if (!nl->closing)
			begin(nl);
	}
	settle(nl);
	pthread_mutex_unlock(&nl->lock);
}

/* --- owner --- */

static nng_aio *aio_new(void (*done)(void *), void *context)
{
	nng_aio *aio;
	int rv = nng_aio_alloc(&aio, done, context);

	assert(rv == 0); /* it fails for want of memory only */
	(void)rv;
	nng_aio_set_timeout(aio, NNG_DURATION_INFINITE);
	return aio;
}

static struct nng_link *nng_link_new(struct link_group *group, bool secure, bool server)
{
	struct nng_link *nl = xnew(struct nng_link);

	assert(!secure || group->tls);
	nl->secure = secure;
	nl->queue_end = &nl->queue;
	nl->receive_aio = aio_new(receive_done, nl);
	nl->send_aio = aio_new(send_done, nl);
	nl->receive_buffer = xmalloc(RECEIVE_BYTES);
	pthread_mutex_init(&nl->lock, NULL);
	frame_reader_init(&nl->reader, group->max_frame_bytes);
	if (secure)
		nl->tls = tls_session_new(group->tls, server);
	link_init(&nl->link, &ops, group);
	return nl;
}

struct link *transport_nng_accept(struct link_group *group, nng_stream *stream, bool secure)
{
	struct nng_link *nl = nng_link_new(group, secure, true);

	nl->stream = stream;
	/* The address is wanted also for those that are turned away at once. */
	read_peer(nl);
	snprintf(nl->link.address, sizeof(nl->link.address), "%s", nl->peer.identity.address);
	return &nl->link;
}

static void nng_link_start(struct link *l)
{
	struct nng_link *nl = (struct nng_link *)l;

	pthread_mutex_lock(&nl->lock);
	begin(nl);
	pthread_mutex_unlock(&nl->lock);
}

static struct link *dial(struct link_group *group, const char *url, bool secure,
                         const struct link_events *events, void *context)
{
	struct nng_link *nl = nng_link_new(group, secure, false);
	struct error err;
	int rv;

	nl->url = xstrdup(url);
	nl->link.events = events;
	nl->link.context = context;
	rv = nng_stream_dialer_alloc(&nl->dialer, url);
	if (rv == 0 && secure)
		rv = nng_stream_dialer_set_bool(nl->dialer, NNG_OPT_TCP_NODELAY, true);
	if (rv != 0) {
		error_set(&err, ERROR_INVALID, "cannot connect to %s: %s", url, nng_strerror(rv));
		pthread_mutex_lock(&nl->lock);
		fail(nl, &err);
		pthread_mutex_unlock(&nl->lock);
		return &nl->link;
	}
	nl->dial_aio = aio_new(dial_done, nl);
	nl->dialling = true;
	nng_stream_dialer_dial(nl->dialer, nl->dial_aio);
	return &nl->link;
}

static struct link *dial_tcp(struct link_group *group, const char *url,
                             const struct link_events *events, void *context)
{
	return dial(group, url, true, events, context);
}

static struct link *dial_ipc(struct link_group *group, const char *url,
                             const struct link_events *events, void *context)
{
	return dial(group, url, false, events, context);
}

static void nng_link_send(struct link *l, struct chunk *chunk)
{
	struct nng_link *nl = (struct nng_link *)l;

	pthread_mutex_lock(&nl->lock);
	*nl->queue_end = chunk;
	nl->queue_end = &chunk->next;
	nl->queued_bytes += chunk->bytes;
	send_more(nl);
	nl->over_high |= nl->queued_bytes > LINK_HIGH_BYTES;
	pthread_mutex_unlock(&nl->lock);
}

static size_t nng_link_get_queued_bytes(const struct link *l)
{
	struct nng_link *nl = (struct nng_link *)l;
	size_t bytes;

	pthread_mutex_lock(&nl->lock);
	bytes = nl->queued_bytes;
	pthread_mutex_unlock(&nl->lock);
	return bytes;
}

static uint64_t nng_link_get_taken_bytes(const struct link *l)
{
	struct nng_link *nl = (struct nng_link *)l;
	uint64_t bytes;

	pthread_mutex_lock(&nl->lock);
	bytes = nl->taken_bytes + nl->in_flight_bytes;
	pthread_mutex_unlock(&nl->lock);
	return bytes;
}

static void nng_link_consumed(struct link *l, size_t bytes)
{
	struct nng_link *nl = (struct nng_link *)l;

	pthread_mutex_lock(&nl->lock);
	assert(nl->unread_bytes >= bytes);
	nl->unread_bytes -= bytes;
	if (nl->paused)
		receive_more(nl);
	pthread_mutex_unlock(&nl->lock);
}

static void nng_link_close(struct link *l)
{
	struct nng_link *nl = (struct nng_link *)l;
	nng_stream *stream;

	pthread_mutex_lock(&nl->lock);
	nl->closing = true;
	stream = nl->stream;
	pthread_mutex_unlock(&nl->lock);

	/* A dial that is just done leaves its stream to release(). */
	if (nl->dialer)
		nng_stream_dialer_close(nl->dialer);
	if (stream)
		nng_stream_close(stream);

	pthread_mutex_lock(&nl->lock);
	settle(nl);
	pthread_mutex_unlock(&nl->lock);
}

static void nng_link_release(struct link *l)
{
	struct nng_link *nl = (struct nng_link *)l;

	if (nl->dial_aio)
		nng_aio_wait(nl->dial_aio);
	if (nl->stream)
		nng_stream_close(nl->stream);
	nng_aio_wait(nl->receive_aio);
	nng_aio_wait(nl->send_aio);

	if (nl->dial_aio)
		nng_aio_free(nl->dial_aio);
	nng_aio_free(nl->receive_aio);
	nng_aio_free(nl->send_aio);
	if (nl->stream)
		nng_stream_free(nl->stream);
	if (nl->dialer)
		nng_stream_dialer_free(nl->dialer);
	tls_session_free(nl->tls);
	chunk_list_free(nl->queue);
	frame_reader_deinit(&nl->reader);
	free(nl->receive_buffer);
	free(nl->cipher);
	free(nl->url);
	pthread_mutex_destroy(&nl->lock);
}

static const struct link_ops ops = {
	.start = nng_link_start,
	.send = nng_link_send,
	.get_queued_bytes = nng_link_get_queued_bytes,
	.get_taken_bytes = nng_link_get_taken_bytes,
	.consumed = nng_link_consumed,
	.close = nng_link_close,
	.release = nng_link_release,
};

static int listen_tcp(struct link_group *group, const char *url,
                      void (*accepted)(struct link *l, void *context), void *context,
                      struct acceptor **ret_acceptor, struct error *err)
{
	return transport_nng_listen(group, url, true, accepted, context, ret_acceptor, err);
}

static int listen_ipc(struct link_group *group, const char *url,
                      void (*accepted)(struct link *l, void *context), void *context,
                      struct acceptor **ret_acceptor, struct error *err)
{
	return transport_nng_listen(group, url, false, accepted, context, ret_acceptor, err);
}

const struct transport transport_tcp = { "tcp://", true, dial_tcp, listen_tcp };
const struct transport transport_ipc = { "ipc://", false, dial_ipc, listen_ipc };
