/* SPDX-License-Identifier: Apache-2.0 */
/* See join_server.h. All workers accept from one socket. The lock covers the limits, and each look at
 * a token with them: two guesses are never judged at once. */
#include "pki/join_server.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "pki/authority.h"
#include "pki/channel.h"
#include "pki/join_limit.h"
#include "proto/mesh/message.h"
#include "proto/pki.pb-c.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define WORKERS           6
#define PER_ADDRESS_MAX   2
#define PEER_BYTES        64
#define NO_DESCRIPTORS_MS 100

struct worker {
	pthread_t thread;
	struct join_server *server;
	char peer[PEER_BYTES]; /* under the lock: whom it serves; "" = nobody */
};

struct join_server {
	struct join_server_options options; /* strings are ours */
	int listen_fd, stop_fd;
	uint16_t port;
	struct worker workers[WORKERS];
	size_t n_workers;
	pthread_mutex_t lock;
	struct join_limit limit; /* under the lock */
};

struct told {
	struct message message;
	/* Copied: it may arrive when the server is gone. */
	void (*told)(const struct join_event *event, void *context);
	void *context;
	enum error_code code;
	char address[PEER_BYTES], claim[BOOKS_NAME_MAX + 1], text[ERROR_TEXT_BYTES];
};

DEFINE_CLEANUP(struct channel *, channel_free);
DEFINE_CLEANUP(struct join_server *, join_server_stop);

/* --- telling the owner --- */

static void run_told(struct message *m)
{
	struct told *t = (struct told *)m;
	const struct join_event event = { t->code, t->address, t->claim[0] ? t->claim : NULL,
		                          t->text };

	t->told(&event, t->context);
	free(t);
}

/* @why NULL: it joined. */
static void tell(struct join_server *s, const char *address, const char *claim,
                 const struct error *why)
{
	struct told *t = xnew(struct told);

	t->message.run = run_told;
	t->told = s->options.told;
	t->context = s->options.context;
	t->code = why ? why->code : ERROR_NONE;
	snprintf(t->address, sizeof(t->address), "%s", address);
	snprintf(t->claim, sizeof(t->claim), "%s", claim ? claim : "");
	snprintf(t->text, sizeof(t->text), "%s", why ? why->text : "");
	loop_post(s->options.loop, &t->message);
}

/* --- one request --- */

static bool bytes_equal(const ProtobufCBinaryData *data, size_t count)
{
	return data->len == count;
}

/* Judged under the lock, so that the limit holds to the number. *ret_told: nothing is to be said of
 * this one, for as many as can come are turned away by the limit. */
static int judge(struct join_server *s, const Drover__V1__PkiJoinRequest *r,
                 struct authority_grant *ret, bool *ret_quiet, struct error *err)
{
	const struct authority_applicant applicant = {
		.token_id = r->token_id.data,
		.token_secret = r->token_secret.data,
		.name = r->name,
		.address = r->address,
		.migration_address = r->migration_address,
		.requests = {
			[AUTHORITY_MESH] = { r->request.data, r->request.len },
			[AUTHORITY_MIGRATION] = { r->migration_request.data,
			                          r->migration_request.len },
			[AUTHORITY_LIBVIRT] = { r->libvirt_request.data, r->libvirt_request.len },
		},
	};
	uint64_t wait_ms = 0;
	int rc;

	*ret_quiet = false;
	pthread_mutex_lock(&s->lock);
	if (!join_limit_allows(&s->limit, JOIN_WRONG_MAX, JOIN_WRONG_WINDOW_MS, clock_now_ms(),
	                       &wait_ms)) {
		*ret_quiet = s->limit.turned_away > 1;
		rc = error_set(err, ERROR_BUSY,
		               "more than %d wrong tokens came within a minute, so none is taken "
		               "for now; again in %llu s",
		               JOIN_WRONG_MAX, (unsigned long long)(wait_ms + 999) / 1000);
	} else {
		if (!bytes_equal(&r->token_id, TOKEN_ID_BYTES) ||
		    !bytes_equal(&r->token_secret, TOKEN_SECRET_BYTES))
			rc = error_set(err, ERROR_PERMISSION, "the request has no token");
		else
			rc = authority_admit(s->options.authority, &applicant, ret, err);
		if (rc == -ERROR_PERMISSION)
			join_limit_count(&s->limit, clock_now_ms());
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int send_reply(struct channel *channel, const Drover__V1__PkiJoinReply *reply,
                      struct error *err)
{
	size_t count = drover__v1__pki_join_reply__get_packed_size(reply);
	_cleanup_free_ uint8_t *packed = xmalloc(count + 1);

	drover__v1__pki_join_reply__pack(reply, packed);
	return channel_send(channel, packed, count, err);
}

static int reply_refusal(struct channel *channel, const struct error *why, struct error *err)
{
	Drover__V1__PkiJoinReply reply = DROVER__V1__PKI_JOIN_REPLY__INIT;

	reply.refusal = (char *)why->text;
	reply.refusal_code = (char *)error_code_name(why->code);
	return send_reply(channel, &reply, err);
}

static int reply_grant(struct channel *channel, const struct authority_grant *grant,
                       struct error *err)
{
	Drover__V1__PkiJoinReply reply = DROVER__V1__PKI_JOIN_REPLY__INIT;
	char *coordinators[] = { grant->coordinator };

	reply.cluster = grant->cluster;
	reply.coordinators = coordinators;
	reply.n_coordinators = 1;
	reply.ca = grant->ca;
	reply.certificate = grant->certificate;
	reply.migration_ca = grant->migration_ca;
	reply.migration_certificate = grant->migration_certificate;
	if (grant->libvirt_certificate) {
		reply.libvirt_ca = grant->libvirt_ca;
		reply.libvirt_certificate = grant->libvirt_certificate;
	}
	return send_reply(channel, &reply, err);
}

static void answer(struct join_server *s, struct channel *channel, const char *peer,
                   const Drover__V1__PkiJoinRequest *r)
{
	_cleanup_(authority_grant_deinit) struct authority_grant grant = { 0 };
	struct error why = { 0 }, err = { 0 };
	bool quiet;

	if (judge(s, r, &grant, &quiet, &why) < 0) {
		if (!quiet)
			tell(s, peer, r->name, &why);
		/* What became of the connection after a refusal matters to nobody. */
		(void)reply_refusal(channel, &why, &err);
		return;
	}
	if (reply_grant(channel, &grant, &err) < 0) {
		error_context(
			&err,
			"it was given a certificate, but the answer did not arrive, and the "
			"token is used up; \"drover token create --node %.64s\" makes one for "
			"another try",
			r->name);
		tell(s, peer, r->name, &err);
		return;
	}
	tell(s, peer, r->name, NULL);
}

static void serve(struct join_server *s, int fd, const char *peer)
{
	const struct channel_files files = { s->options.ca, s->options.certificate,
		                             s->options.key };
	_cleanup_(channel_freep) struct channel *channel = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_(arena_deinit) struct arena arena;
	ProtobufCMessage *message = NULL;
	struct error err = { 0 };
	size_t count;

	arena_init(&arena);
	/* One who comes and says nothing sensible is not worth a line: there is no end of them. */
	if (channel_accept(fd, &files, clock_now_ms() + JOIN_DEADLINE_MS, &channel, &err) < 0) {
		/* Our own files are. */
		if (err.code == ERROR_INVALID)
			tell(s, peer, NULL, &err);
		return;
	}
	if (channel_receive(channel, &bytes, &count, &err) < 0 ||
	    message_decode(&drover__v1__pki_join_request__descriptor, bytes, count, &arena,
	                   &message, &err) < 0)
		return;
	answer(s, channel, peer, (const Drover__V1__PkiJoinRequest *)message);
}

/* --- the workers --- */

/* Whether @peer may have one more of the workers; notes it if so. */
static bool occupy(struct worker *w, const char *peer)
{
	struct join_server *s = w->server;
	unsigned have = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < WORKERS; i++)
		have += strcmp(s->workers[i].peer, peer) == 0;
	if (have < PER_ADDRESS_MAX)
		snprintf(w->peer, sizeof(w->peer), "%s", peer);
	pthread_mutex_unlock(&s->lock);
	return have < PER_ADDRESS_MAX;
}

static void leave(struct worker *w)
{
	pthread_mutex_lock(&w->server->lock);
	w->peer[0] = '\0';
	pthread_mutex_unlock(&w->server->lock);
}

static void *work(void *context)
{
	struct worker *w = context;
	struct join_server *s = w->server;

	for (;;) {
		struct pollfd fds[] = { { .fd = s->stop_fd, .events = POLLIN },
			                { .fd = s->listen_fd, .events = POLLIN } };
		struct sockaddr_storage from;
		socklen_t room = sizeof(from);
		_cleanup_close_ int fd = -1;
		char peer[PEER_BYTES];

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			abort();
		if (fds[0].revents)
			return NULL;
		fd = accept4(s->listen_fd, (struct sockaddr *)&from, &room,
		             SOCK_CLOEXEC | SOCK_NONBLOCK);
		/* Another worker was faster, or the peer is gone; or there are no descriptors now,
		 * and the listener stays ready: not at full speed, then. */
		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			(void)poll(fds, 1, NO_DESCRIPTORS_MS);
		if (fd < 0)
			continue;
		if (getnameinfo((struct sockaddr *)&from, room, peer, sizeof(peer), NULL, 0,
		                NI_NUMERICHOST) != 0 ||
		    !occupy(w, peer))
			continue;
		serve(s, fd, peer);
		leave(w);
	}
}

/* --- start and stop --- */

static int open_listener(struct join_server *s, struct error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		                        .ai_flags = AI_PASSIVE | AI_NUMERICHOST };
	const char *url = s->options.listen;
	struct addrinfo *found = NULL;
	struct sockaddr_storage at = { 0 };
	socklen_t room = sizeof(at);
	char host[64], port[8];
	int rc, one = 1;

	if (sscanf(url, "tcp://[%63[^]]]:%7[0-9]", host, port) != 2 &&
	    sscanf(url, "tcp://%63[^:]:%7[0-9]", host, port) != 2)
		return error_set(err, ERROR_INVALID, "\"%.80s\" is not tcp://ADDRESS:PORT", url);
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0)
		return error_set(err, ERROR_INVALID, "%s: %s", url, gai_strerror(rc));
	s->listen_fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = s->listen_fd;
	if (rc >= 0)
		rc = setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (rc >= 0)
		rc = bind(s->listen_fd, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	if (rc < 0 || listen(s->listen_fd, 64) < 0 ||
	    getsockname(s->listen_fd, (struct sockaddr *)&at, &room) < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "%s", url);
	if (getnameinfo((struct sockaddr *)&at, room, NULL, 0, port, sizeof(port),
	                NI_NUMERICSERV) != 0)
		return error_set(err, ERROR_SYSTEM, "%s: its port is not known", url);
	s->port = (uint16_t)strtoul(port, NULL, 10);
	return 0;
}

int join_server_start(const struct join_server_options *options, struct join_server **ret,
                      struct error *err)
{
	_cleanup_(join_server_stopp) struct join_server *s = xnew(struct join_server);
	int rc;

	s->listen_fd = -1;
	s->options = *options;
	s->options.listen = xstrdup(options->listen);
	s->options.authority = xstrdup(options->authority);
	s->options.ca = xstrdup(options->ca);
	s->options.certificate = xstrdup(options->certificate);
	s->options.key = xstrdup(options->key);
	pthread_mutex_init(&s->lock, NULL);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->stop_fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "eventfd");
	rc = open_listener(s, err);
	if (rc < 0)
		return rc;
	for (; s->n_workers < WORKERS; s->n_workers++) {
		struct worker *w = &s->workers[s->n_workers];

		w->server = s;
		rc = pthread_create(&w->thread, NULL, work, w);
		if (rc != 0)
			return error_set_errno(err, ERROR_SYSTEM, rc, "starting a thread");
	}
	*ret = take_pointer(s);
	return 0;
}

uint16_t join_server_get_port(const struct join_server *server)
{
	return server->port;
}

void join_server_stop(struct join_server *s)
{
	if (!s)
		return;
	if (s->n_workers && eventfd_write(s->stop_fd, 1) < 0)
		abort();
	for (size_t i = 0; i < s->n_workers; i++)
		pthread_join(s->workers[i].thread, NULL);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	pthread_mutex_destroy(&s->lock);
	free((char *)s->options.listen);
	free((char *)s->options.authority);
	free((char *)s->options.ca);
	free((char *)s->options.certificate);
	free((char *)s->options.key);
	free(s);
}
