/* SPDX-License-Identifier: Apache-2.0 */
/* Links over nng's byte streams: tcp:// with TLS, and ipc:// with the peer's uid. This is the
 * owner's half; the couriers' is transport_nng_courier.c.
 *
 *	dial --> [TLS handshake] --> open --> fails or is closed --> quiet --> freed
 *
 * A link is quiet when nothing is under way in nng any more, and only then is it freed.
 *
 * What nng 1.5.2 was found to do, and what follows: aio time-outs and cancels can wedge a stream,
 * so there are none, and a stream is only ever closed, always by the owner. As many handlers in
 * callbacks as it has threads for those stall all of nng, so callbacks post, or deliver: one at most
 * runs a turn of the owner's. TCP_NODELAY is off by default, so it is set on both ends.
 */
#include "proto/mesh/transport_nng.h"

#include "common/alloc.h"
#include "proto/mesh/tls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static const struct link_ops ops;

nng_aio *transport_nng_aio_new(void (*done)(void *), void *context)
{
	nng_aio *aio;
	int rv = nng_aio_alloc(&aio, done, context);

	assert(rv == 0); /* it fails for want of memory only */
	(void)rv;
	nng_aio_set_timeout(aio, NNG_DURATION_INFINITE);
	return aio;
}

static void flush(void *context)
{
	struct nng_link *nl = context;

	pthread_mutex_lock(&nl->lock);
	courier_send_more(nl);
	pthread_mutex_unlock(&nl->lock);
}

static struct nng_link *nng_link_new(struct link_group *group, bool secure, bool server)
{
	struct nng_link *nl = xnew(struct nng_link);

	assert(!secure || group->tls);
	nl->secure = secure;
	nl->queue_end = &nl->queue;
	nl->receive_aio = transport_nng_aio_new(courier_receive_done, nl);
	nl->send_aio = transport_nng_aio_new(NULL, NULL);
	nl->flush = (struct loop_chore){ .run = flush, .context = nl };
	nl->receive_bytes = RECEIVE_FIRST_BYTES;
	nl->receive_buffer = xmalloc(nl->receive_bytes);
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
	courier_read_peer(nl);
	snprintf(nl->link.address, sizeof(nl->link.address), "%s", nl->peer.identity.address);
	return &nl->link;
}

static void nng_link_start(struct link *l)
{
	struct nng_link *nl = (struct nng_link *)l;

	pthread_mutex_lock(&nl->lock);
	courier_begin(nl);
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
		courier_fail(nl, &err);
		pthread_mutex_unlock(&nl->lock);
		return &nl->link;
	}
	nl->dial_aio = transport_nng_aio_new(courier_dial_done, nl);
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

static int nng_link_check_peer(struct link *l, bool *ret_revoked, struct error *err)
{
	struct nng_link *nl = (struct nng_link *)l;
	int rc = 0;

	if (!nl->secure)
		return 0;
	pthread_mutex_lock(&nl->lock);
	if (nl->tls)
		rc = tls_session_check_peer(nl->tls, l->group->tls, ret_revoked, err);
	pthread_mutex_unlock(&nl->lock);
	return rc;
}

static void nng_link_send(struct link *l, struct chunk *chunk)
{
	struct nng_link *nl = (struct nng_link *)l;

	pthread_mutex_lock(&nl->lock);
	*nl->queue_end = chunk;
	nl->queue_end = &chunk->next;
	nl->queued_bytes += chunk->bytes;
	nl->over_high |= nl->queued_bytes > LINK_HIGH_BYTES;
	pthread_mutex_unlock(&nl->lock);
	/* Many small frames in one turn are one TLS record and one send. */
	loop_chore_start(l->loop, &nl->flush);
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
		courier_receive_more(nl);
	pthread_mutex_unlock(&nl->lock);
}

static void nng_link_close(struct link *l)
{
	struct nng_link *nl = (struct nng_link *)l;
	nng_stream *stream;

	loop_chore_stop(l->loop, &nl->flush);
	pthread_mutex_lock(&nl->lock);
	courier_send_more(nl);
	nl->closing = true;
	stream = nl->stream;
	pthread_mutex_unlock(&nl->lock);

	/* A dial that is just done leaves its stream to release(). */
	if (nl->dialer)
		nng_stream_dialer_close(nl->dialer);
	if (stream)
		nng_stream_close(stream);

	pthread_mutex_lock(&nl->lock);
	courier_settle(nl);
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
	if (nl->unblocked_aio)
		nng_aio_wait(nl->unblocked_aio);

	if (nl->dial_aio)
		nng_aio_free(nl->dial_aio);
	nng_aio_free(nl->receive_aio);
	nng_aio_free(nl->send_aio);
	if (nl->unblocked_aio)
		nng_aio_free(nl->unblocked_aio);
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
	.check_peer = nng_link_check_peer,
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
