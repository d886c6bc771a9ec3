/* SPDX-License-Identifier: Apache-2.0 */
/* Listening with nng's streams.
 *
 * One accept is under way; its callback posts the result, and the owner asks for the next one. So a
 * flood of connections waits in the kernel's backlog, not in our mailbox, and nobody accepts while
 * the listener is being closed. When the process is out of descriptors nng reports that and would
 * report it again at once, so the owner waits RETRY_MS.
 */
#include "proto/mesh/transport_nng.h"

#include "common/alloc.h"
#include "common/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RETRY_MS 100

/* Referred to by its owner and by each message that is on its way. */
struct nng_acceptor {
	struct acceptor acceptor; /* first */
	struct link_group *group; /* owner thread only */
	struct loop *loop;
	bool secure;
	void (*accepted)(struct link *l, void *context);
	void *context;
	nng_stream_listener *listener; /* NULL: closed */
	nng_aio *aio;
	uint16_t port;
	struct loop_timer retry;
	bool warned;
	atomic_uint references;
};

struct arrival {
	struct message message; /* first */
	struct nng_acceptor *acceptor;
	nng_stream *stream; /* NULL: @result says why */
	int result;
};

static void unreference(struct nng_acceptor *a)
{
	if (atomic_fetch_sub(&a->references, 1) == 1)
		free(a);
}

static void arrival_drop(struct message *m)
{
	struct arrival *arrival = (struct arrival *)m;

	if (arrival->stream)
		nng_stream_free(arrival->stream);
	unreference(arrival->acceptor);
	free(arrival);
}

static void arrival_run(struct message *m)
{
	struct arrival *arrival = (struct arrival *)m;
	struct nng_acceptor *a = arrival->acceptor;

	if (a->listener && arrival->stream) {
		nng_stream *stream = arrival->stream;

		arrival->stream = NULL;
		a->warned = false;
		a->accepted(transport_nng_accept(a->group, stream, a->secure), a->context);
		/* The owner may have closed us just now. */
		if (a->listener)
			nng_stream_listener_accept(a->listener, a->aio);
	} else if (a->listener) {
		if (!a->warned)
			log_warning("mesh: accepting connections: %s; trying again every %d ms",
			            nng_strerror(arrival->result), RETRY_MS);
		a->warned = true;
		loop_timer_start(a->loop, &a->retry, RETRY_MS);
	}
	arrival_drop(m);
}

/* Courier. */
static void accept_done(void *context)
{
	struct nng_acceptor *a = context;
	struct arrival *arrival = xnew(struct arrival);

	arrival->result = nng_aio_result(a->aio);
	if (arrival->result == 0)
		arrival->stream = nng_aio_get_output(a->aio, 0);
	arrival->acceptor = a;
	arrival->message.run = arrival_run;
	arrival->message.drop = arrival_drop;
	atomic_fetch_add(&a->references, 1);
	loop_post(a->loop, &arrival->message);
}

static void retry_accept(void *context)
{
	struct nng_acceptor *a = context;

	nng_stream_listener_accept(a->listener, a->aio);
}

static uint16_t get_port(const struct acceptor *base)
{
	return ((const struct nng_acceptor *)base)->port;
}

static void acceptor_close(struct acceptor *base)
{
	struct nng_acceptor *a = (struct nng_acceptor *)base;

	loop_timer_stop(a->loop, &a->retry);
	nng_stream_listener_close(a->listener);
	nng_aio_wait(a->aio);
	nng_aio_free(a->aio);
	nng_stream_listener_free(a->listener);
	a->listener = NULL;
	unreference(a);
}

static const struct acceptor_ops acceptor_ops = { get_port, acceptor_close };

/* nng removes whatever is in the way of a socket and does not answer: also files that are none. */
static int check_path(const char *url, struct error *err)
{
	const char *path = url + strlen("ipc://");
	struct stat st;

	if (lstat(path, &st) < 0 || S_ISSOCK(st.st_mode))
		return 0;
	return error_set(err, ERROR_EXISTS,
	                 "cannot listen on %s: there is a file that is not a socket", url);
}

static int listener_open(const char *url, bool secure, nng_stream_listener **ret_listener,
                         struct error *err)
{
	nng_stream_listener *listener;
	int rc = secure ? 0 : check_path(url, err);
	int rv;

	if (rc < 0)
		return rc;
	rv = nng_stream_listener_alloc(&listener, url);
	if (rv != 0)
		return error_set(err, ERROR_INVALID, "cannot listen on %s: %s", url,
		                 nng_strerror(rv));
	if (secure)
		rv = nng_stream_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true);
	else
		rv = nng_stream_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0660);
	/* A socket file that nobody listens on any more is removed by nng itself. */
	if (rv == 0)
		rv = nng_stream_listener_listen(listener);
	if (rv == 0) {
		*ret_listener = listener;
		return 0;
	}
	nng_stream_listener_free(listener);
	if (rv == NNG_EADDRINUSE)
		return error_set(err, ERROR_BUSY,
		                 "cannot listen on %s: another process does; stop it or choose "
		                 "another address",
		                 url);
	return error_set(err, ERROR_SYSTEM, "cannot listen on %s: %s", url, nng_strerror(rv));
}

int transport_nng_listen(struct link_group *group, const char *url, bool secure,
                         void (*accepted)(struct link *l, void *context), void *context,
                         struct acceptor **ret_acceptor, struct error *err)
{
	nng_stream_listener *listener = NULL;
	struct nng_acceptor *a;
	int port, rv;
	int rc = listener_open(url, secure, &listener, err);

	if (rc < 0)
		return rc;
	a = xnew(struct nng_acceptor);
	a->acceptor.ops = &acceptor_ops;
	a->group = group;
	a->loop = group->loop;
	a->secure = secure;
	a->accepted = accepted;
	a->context = context;
	a->listener = listener;
	a->retry.fire = retry_accept;
	a->retry.context = a;
	atomic_init(&a->references, 1);
	if (secure && nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0)
		a->port = (uint16_t)port;
	rv = nng_aio_alloc(&a->aio, accept_done, a);
	assert(rv == 0); /* it fails for want of memory only */
	(void)rv;
	nng_aio_set_timeout(a->aio, NNG_DURATION_INFINITE);
	nng_stream_listener_accept(a->listener, a->aio);
	*ret_acceptor = &a->acceptor;
	return 0;
}
