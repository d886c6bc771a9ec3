/* SPDX-License-Identifier: Apache-2.0 */
/* The couriers' half of a link over nng: bytes through TLS and the frame reader, and back.
 *
 *	receive --> [TLS] --> frame reader --> mailbox
 *	queue   --> [TLS] --> send
 *
 * Runs in nng's callbacks, and in the owner where it starts something; always with the link's lock.
 * One receive and one send are under way at most. nng dispatches callbacks to its own threads,
 * never inside the call that starts an operation, so operations are started with the lock held.
 * Sends may be partial. Only the owner closes a stream: what goes wrong here is posted to it.
 *
 * nng sends at once when the socket has room, and a callback that says so would wake a thread for
 * nothing, once for each call. So send_aio has none. When the socket is full, an empty send queues up
 * behind it: a stream's operations end in their order, and that one calls back.
 */
#include "proto/mesh/transport_nng.h"

#include "common/alloc.h"
#include "proto/mesh/tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEND_BYTES       (64 * 1024) /* encrypted ahead of the socket, at most */
#define TLS_RECORD_BYTES (16 * 1024) /* what TLS allows in one */
#define SEND_PIECES      8           /* nng's limit for one operation */

void courier_fail(struct nng_link *nl, const struct error *why)
{
	if (nl->failed || nl->closing)
		return;
	nl->failed = true;
	link_post_failed(&nl->link, why);
}

/* At the end of whatever may have been the last thing under way. */
void courier_settle(struct nng_link *nl)
{
	if (!nl->closing || nl->closed_posted || nl->dialling || nl->receiving || nl->sending)
		return;
	nl->closed_posted = true;
	link_post_closed(&nl->link);
}

void courier_receive_more(struct nng_link *nl)
{
	nng_iov iov;

	if (nl->closing || nl->failed || nl->receiving)
		return;
	nl->paused = nl->unread_bytes > LINK_UNREAD_MAX;
	if (nl->paused)
		return;
	nl->receiving = true;
	iov = (nng_iov){ nl->receive_buffer, nl->receive_bytes };
	nng_aio_set_iov(nl->receive_aio, 1, &iov);
	nng_stream_recv(nl->stream, nl->receive_aio);
}

/* The last one filled it, so there is more where that came from. */
static void widen_receiving(struct nng_link *nl)
{
	if (nl->receive_bytes == RECEIVE_BYTES)
		return;
	free(nl->receive_buffer);
	nl->receive_bytes = RECEIVE_BYTES;
	nl->receive_buffer = xmalloc(nl->receive_bytes);
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

/* The front of the queue, as much as fits; it stays there. */
static size_t peek_queue(const struct nng_link *nl, uint8_t *to, size_t room)
{
	size_t offset = nl->queue_offset, used = 0;

	for (const struct chunk *c = nl->queue; c && used < room; c = c->next) {
		size_t n = c->bytes - offset < room - used ? c->bytes - offset : room - used;

		memcpy(to + used, c->data + offset, n);
		used += n;
		offset = 0;
	}
	return used;
}

/* Encrypts what fits, and takes the ciphertext. Many small frames share a record: a record costs both
 * sides more than the bytes of a small frame do. */
static int gather_secure(struct nng_link *nl, struct error *err)
{
	/* Not cleared, as release builds do with variables: it costs more than what goes through it. */
	__attribute__((uninitialized)) uint8_t plain[TLS_RECORD_BYTES];
	size_t pending;

	while (nl->open && nl->queue && tls_session_get_pending(nl->tls) < SEND_BYTES / 2) {
		size_t n = peek_queue(nl, plain, sizeof(plain));
		int rc = tls_session_write(nl->tls, plain, n, err);

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

/* What is to be sent next; 0 if nothing. */
static unsigned gather(struct nng_link *nl, nng_iov *iov)
{
	unsigned count = 0;
	struct error err;

	if (!nl->tls) {
		nl->in_flight_bytes = gather_plain(nl, iov, &count);
		return count;
	}
	if (!nl->cipher && gather_secure(nl, &err) < 0) {
		courier_fail(nl, &err);
		return 0;
	}
	if (!nl->cipher)
		return 0;
	iov[0] = (nng_iov){ nl->cipher + nl->cipher_sent, nl->cipher_bytes - nl->cipher_sent };
	return 1;
}

/* send_aio is done; whether it went well. If not, the receive under way fails, too, and tells. */
static bool take_sent(struct nng_link *nl)
{
	size_t count;

	/* Of what nng still does with it. */
	nng_aio_wait(nl->send_aio);
	if (nng_aio_result(nl->send_aio) != 0)
		return false;
	count = nng_aio_count(nl->send_aio);
	if (nl->tls) {
		nl->cipher_sent += count;
		if (nl->cipher_sent == nl->cipher_bytes) {
			free(nl->cipher);
			nl->cipher = NULL;
		}
	} else {
		nl->taken_bytes += count;
		nl->in_flight_bytes = 0;
		queue_advance(nl, count);
	}
	return true;
}

static void call_when_unblocked(struct nng_link *nl)
{
	nng_iov nothing = { NULL, 0 };

	if (!nl->unblocked_aio)
		nl->unblocked_aio = transport_nng_aio_new(courier_unblocked, nl);
	nl->sending = true;
	nng_aio_set_iov(nl->unblocked_aio, 1, &nothing);
	nng_stream_send(nl->stream, nl->unblocked_aio);
}

void courier_send_more(struct nng_link *nl)
{
	while (!nl->closing && !nl->failed && !nl->sending && nl->stream) {
		nng_iov iov[SEND_PIECES];
		unsigned count = gather(nl, iov);

		if (count == 0)
			return;
		nng_aio_set_iov(nl->send_aio, count, iov);
		nng_stream_send(nl->stream, nl->send_aio);
		/* Both are zero while it waits. Taken for waiting when it is just done, it costs
		 * one callback more. */
		if (nng_aio_result(nl->send_aio) == 0 && nng_aio_count(nl->send_aio) == 0)
			call_when_unblocked(nl);
		else if (!take_sent(nl))
			return;
	}
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
	__attribute__((uninitialized)) uint8_t plain[RECEIVE_BYTES];
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

/* Lets go of the lock for a moment. */
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
		/* The owner wakes up at once, and wants the lock for its answer. No other receive
		 * begins meanwhile: nl->receiving. */
		pthread_mutex_unlock(&nl->lock);
		link_post_frames(&nl->link, frames, total);
		pthread_mutex_lock(&nl->lock);
	}
	if (rc == 0)
		return;
	if (nl->tls && !nl->open && tls_session_get_pending(nl->tls) > 0) {
		nl->lingering = true;
		nl->linger_why = err;
	} else {
		courier_fail(nl, &err);
	}
}

/* --- couriers --- */

void courier_receive_done(void *context)
{
	struct nng_link *nl = context;
	struct error err;
	int rv = nng_aio_result(nl->receive_aio);
	bool was_open;

	pthread_mutex_lock(&nl->lock);
	was_open = nl->open;
	if (rv == 0 && !nl->closing)
		take(nl, nng_aio_count(nl->receive_aio));
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
		courier_fail(nl, &err);
	} else if (!nl->closing) {
		if (nl->open && nng_aio_count(nl->receive_aio) == nl->receive_bytes)
			widen_receiving(nl);
		courier_receive_more(nl);
		/* TLS has something to say; what else is queued goes when the owner's turn ends. */
		if (!was_open || (nl->tls && tls_session_get_pending(nl->tls) > 0))
			courier_send_more(nl);
	}
	courier_settle(nl);
	pthread_mutex_unlock(&nl->lock);
}

void courier_unblocked(void *context)
{
	struct nng_link *nl = context;

	pthread_mutex_lock(&nl->lock);
	nl->sending = false;
	if (take_sent(nl))
		courier_send_more(nl);
	courier_settle(nl);
	pthread_mutex_unlock(&nl->lock);
}

void courier_read_peer(struct nng_link *nl)
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
void courier_begin(struct nng_link *nl)
{
	struct error err;

	courier_read_peer(nl);
	if (!nl->secure)
		opened(nl);
	else if (nl->url && secure_handshake(nl, &err) < 0) /* the client speaks first */
		courier_fail(nl, &err);
	courier_receive_more(nl);
	courier_send_more(nl);
}

void courier_dial_done(void *context)
{
	struct nng_link *nl = context;
	int rv = nng_aio_result(nl->dial_aio);
	struct error err;

	pthread_mutex_lock(&nl->lock);
	nl->dialling = false;
	if (rv != 0) {
		error_set(&err, ERROR_UNREACHABLE, "cannot connect to %s: %s", nl->url,
		          nng_strerror(rv));
		courier_fail(nl, &err);
	} else {
		nl->stream = nng_aio_get_output(nl->dial_aio, 0);
		if (!nl->closing)
			courier_begin(nl);
	}
	courier_settle(nl);
	pthread_mutex_unlock(&nl->lock);
}
