/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the nng transport share; nng's types stay in these files.
 *
 *	transport_nng.c          the owner's half: dialling, sending, closing, freeing
 *	transport_nng_courier.c  the couriers' half: nng's callbacks, TLS, the frame reader
 *	transport_nng_accept.c   listening
 */
#pragma once

#include "proto/mesh/link.h"

#include <nng/nng.h>
#include <pthread.h>

/* Asked of the socket at a time: an idle connection keeps little, one that filled it gets a TLS record's
 * worth from then on. */
#define RECEIVE_FIRST_BYTES (2 * 1024)
#define RECEIVE_BYTES       (16 * 1024)

struct tls_session;

struct nng_link {
	struct link link; /* first */
	char *url;        /* what was dialled; NULL when accepted */
	bool secure;
	nng_stream_dialer *dialer;
	nng_aio *dial_aio, *receive_aio, *send_aio;
	struct loop_chore flush; /* owner thread: what it sent in this turn goes out */
	pthread_mutex_t lock;

	/* under lock */
	nng_stream *stream;
	nng_aio *unblocked_aio; /* NULL: no send ever had to wait */
	struct tls_session *tls;
	struct link_peer peer;
	bool dialling, receiving;
	bool sending; /* what is in send_aio waits for the peer to read */
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
	size_t receive_bytes; /* of it */
};

/* Takes @stream. @secure: TLS, as the server. */
struct link *transport_nng_accept(struct link_group *group, nng_stream *stream, bool secure);

nng_aio *transport_nng_aio_new(void (*done)(void *), void *context);

int transport_nng_listen(struct link_group *group, const char *url, bool secure,
                         void (*accepted)(struct link *l, void *context), void *context,
                         struct acceptor **ret_acceptor, struct error *err);

/* --- with nl->lock held --- */

/* There is a stream: the handshake, or frames, can begin. */
void courier_begin(struct nng_link *nl);
void courier_read_peer(struct nng_link *nl);
void courier_fail(struct nng_link *nl, const struct error *why);
/* Starts a receive, if none is under way. */
void courier_receive_more(struct nng_link *nl);
/* Sends what there is, unless the peer does not read. */
void courier_send_more(struct nng_link *nl);
/* At the end of whatever may have been the last thing under way. */
void courier_settle(struct nng_link *nl);

/* --- nng calls these, on its threads --- */

void courier_dial_done(void *nl);
void courier_receive_done(void *nl);
void courier_unblocked(void *nl);
