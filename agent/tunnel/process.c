/* SPDX-License-Identifier: Apache-2.0 */
/* See process.h. The tunnel process' one thread.
 *
 * A target is open to the network until its twin has come, so strangers get little: some
 * connections at a time, seconds for their handshake, the oldest goes when a new one comes. What
 * was wrong with the last one stands in the status, because it is most likely the twin with a
 * wrong certificate.
 */
#include "agent/tunnel/process.h"

#include "agent/tunnel/failpoints.h"
#include "agent/tunnel/link.h"
#include "agent/tunnel/local.h"
#include "agent/tunnel/relay.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PENDING_MAX        8
#define HANDSHAKE_MS       10000
#define STATUS_INTERVAL_MS 200
#define NO_DESCRIPTORS_MS  100 /* until it is tried again */
#define LINGER_MS          2000

struct pending {
	struct tunnel_link *link;
	uint64_t deadline_ms;
};

struct process {
	const struct tunnel_process_options *options; /* borrowed */
	struct tunnel_tls *tls;
	int signal_fd, listener;  /* listener: unix at the source, TCP at the target */
	uint64_t listen_again_ms; /* there was no descriptor for who called; 0 = there was */
	struct pending pending[PENDING_MAX];
	size_t n_pending;
	struct tunnel_link *link; /* the twin, proved */
	struct tunnel_relay relay;
	bool relaying;
	uint64_t give_up_ms;
	struct tunnel_status status;
	uint64_t written_ms;
	uint32_t written_state;
};

static void write_status(struct process *p, uint64_t now_ms)
{
	if (p->relaying) {
		p->status.last_heard_ms = p->relay.last_heard_ms;
		p->status.bytes_to_peer = p->relay.bytes_to_peer;
		p->status.bytes_from_peer = p->relay.bytes_from_peer;
	}
	p->status.updated_ms = now_ms;
	/* Nobody to tell if this fails; the agent sees a status that grows old. */
	tunnel_status_write(p->options->status_fd, &p->status, NULL);
	p->written_ms = now_ms;
	p->written_state = p->status.state;
}

static void set_state(struct process *p, enum tunnel_state state)
{
	p->status.state = state;
	write_status(p, clock_now_ms());
}

static void note_error(struct process *p, const struct error *err)
{
	p->status.error_code = err->code;
	snprintf(p->status.error_text, sizeof(p->status.error_text), "%s", err->text);
}

static void drop_pending(struct process *p, size_t i)
{
	tunnel_link_free(p->pending[i].link);
	p->n_pending--;
	memmove(&p->pending[i], &p->pending[i + 1], (p->n_pending - i) * sizeof(p->pending[0]));
}

static void add_pending(struct process *p, int fd, bool dialled, const char *peer, uint64_t now_ms)
{
	if (p->n_pending == PENDING_MAX)
		drop_pending(p, 0);
	p->pending[p->n_pending++] = (struct pending){
		.link = tunnel_link_new(p->tls, fd, dialled, &p->options->attempt, peer),
		.deadline_ms = now_ms + (dialled ? p->options->wait_ms : HANDSHAKE_MS),
	};
}

static void close_listener(struct process *p)
{
	cleanup_close_fd(&p->listener);
	p->listener = -1;
	if (p->options->source)
		unlink(p->options->listen_unix);
}

/* The twin is there: nobody else is listened to. */
static void take_twin(struct process *p, size_t i, uint64_t now_ms)
{
	p->link = p->pending[i].link;
	p->n_pending--;
	memmove(&p->pending[i], &p->pending[i + 1], (p->n_pending - i) * sizeof(p->pending[0]));
	while (p->n_pending)
		drop_pending(p, 0);
	if (!p->options->source)
		close_listener(p);
	tunnel_relay_init(&p->relay, p->link, p->options->source ? NULL : p->options->connect_unix,
	                  now_ms);
	p->relaying = true;
	p->give_up_ms = now_ms + p->options->wait_ms;
	p->status.error_code = ERROR_NONE;
	p->status.error_text[0] = '\0';
	FAILPOINT(tunnel_before_linked);
	set_state(p, TUNNEL_LINKED);
	FAILPOINT(tunnel_after_linked);
	if (p->options->source && p->options->ready)
		p->options->ready(p->options->context);
}

/* The source's one connection decides; a target goes on waiting for its twin. */
static int advance_pending(struct process *p, uint64_t now_ms, struct error *err)
{
	for (size_t i = 0; i < p->n_pending && !p->link;) {
		struct pending *c = &p->pending[i];
		struct error why;
		int rc = tunnel_link_advance(c->link, &why);

		if (rc == 0 && now_ms >= c->deadline_ms)
			rc = error_set(&why, ERROR_TIMEOUT, "%s did not finish its handshake",
			               tunnel_link_get_peer(c->link));
		if (rc < 0 && p->options->source) {
			*err = why;
			return rc;
		}
		if (rc < 0) {
			note_error(p, &why);
			write_status(p, now_ms);
			drop_pending(p, i);
		} else if (tunnel_link_get_state(c->link) == LINK_UP) {
			take_twin(p, i, now_ms);
		} else {
			i++;
		}
	}
	return 0;
}

/* Whoever calls stays in the queue, and the listener ready: not at full speed, then. */
static void listen_later(struct process *p, uint64_t now_ms, const struct error *why)
{
	p->listen_again_ms = 0;
	if (why->code != ERROR_NO_SPACE)
		return;
	p->listen_again_ms = now_ms + NO_DESCRIPTORS_MS;
	note_error(p, why);
}

static void accept_twins(struct process *p, uint64_t now_ms)
{
	struct error why = { 0 };
	char peer[80];
	int fd;

	while (tunnel_tcp_accept(p->listener, &fd, peer, &why) == 0)
		add_pending(p, fd, false, peer, now_ms);
	listen_later(p, now_ms, &why);
}

static void accept_libvirt(struct process *p, uint64_t now_ms)
{
	struct error why = { 0 };
	int fd;

	/* A stranger, who was hung up on, or nobody after all: the next one may be libvirt. */
	if (tunnel_local_accept(p->listener, &fd, &why) < 0) {
		listen_later(p, now_ms, &why);
		return;
	}
	note_error(p, &(struct error){ 0 });
	FAILPOINT(tunnel_before_connected);
	close_listener(p);
	tunnel_relay_open(&p->relay, fd);
}

static int refuse_stop(struct process *p, struct error *err)
{
	struct signalfd_siginfo info;

	if (read(p->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	return error_set(err, ERROR_CANCELLED, "stopped by signal %u of process %u", info.ssi_signo,
	                 info.ssi_pid);
}

static int refuse_waiting(struct process *p, uint64_t now_ms, struct error *err)
{
	if (p->relaying && p->relay.opened)
		return 0;
	if (now_ms < p->give_up_ms)
		return 0;
	if (p->link)
		return error_set(err, ERROR_TIMEOUT, "libvirt did not call within %llu s%s%.200s",
		                 (unsigned long long)p->options->wait_ms / 1000,
		                 p->status.error_text[0] ? ": " : "", p->status.error_text);
	if (p->status.error_text[0])
		return error_set(
			err, (enum error_code)p->status.error_code,
			"the other end did not come within %llu s; the last that called: %s",
			(unsigned long long)p->options->wait_ms / 1000, p->status.error_text);
	return error_set(err, ERROR_TIMEOUT, "the other end did not come within %llu s",
	                 (unsigned long long)p->options->wait_ms / 1000);
}

#define POLLS (2 + 2 + PENDING_MAX)

static int wait_for_something(struct process *p, uint64_t now_ms)
{
	struct pollfd polls[POLLS];
	uint64_t timeout_ms = TUNNEL_PING_INTERVAL_MS;
	bool listens = p->listener >= 0 && (!p->options->source || p->link) &&
	               now_ms >= p->listen_again_ms;
	nfds_t n = 0;

	polls[n++] = (struct pollfd){ .fd = p->signal_fd, .events = POLLIN };
	/* libvirt's call waits in the socket's queue until there is somebody to carry it to. */
	polls[n++] = (struct pollfd){ .fd = listens ? p->listener : -1, .events = POLLIN };
	if (p->relaying) {
		tunnel_relay_get_polls(&p->relay, &polls[n]);
		n += 2;
	}
	for (size_t i = 0; i < p->n_pending; i++)
		polls[n++] = (struct pollfd){
			.fd = tunnel_link_get_fd(p->pending[i].link),
			.events = tunnel_link_get_events(p->pending[i].link),
		};
	if (p->give_up_ms > now_ms && p->give_up_ms - now_ms < timeout_ms)
		timeout_ms = p->give_up_ms - now_ms;
	if (p->listen_again_ms > now_ms && p->listen_again_ms - now_ms < timeout_ms)
		timeout_ms = p->listen_again_ms - now_ms;
	return poll(polls, n, (int)timeout_ms + 1);
}

static int run_once(struct process *p, struct error *err)
{
	uint64_t now_ms = clock_now_ms();
	int rc = refuse_stop(p, err);

	if (rc < 0)
		return rc;
	if (p->listener >= 0 && !p->options->source && now_ms >= p->listen_again_ms)
		accept_twins(p, now_ms);
	rc = advance_pending(p, now_ms, err);
	if (rc < 0)
		return rc;
	if (p->listener >= 0 && p->options->source && p->link && now_ms >= p->listen_again_ms)
		accept_libvirt(p, now_ms);
	if (p->relaying) {
		rc = tunnel_relay_run(&p->relay, now_ms, err);
		if (rc < 0)
			return rc;
		if (p->relay.opened && p->status.state == TUNNEL_LINKED) {
			set_state(p, TUNNEL_CONNECTED);
			FAILPOINT(tunnel_after_connected);
		}
	}
	rc = refuse_waiting(p, now_ms, err);
	if (rc < 0)
		return rc;
	if (now_ms - p->written_ms >= STATUS_INTERVAL_MS)
		write_status(p, now_ms);
	return 0;
}

/* Both ends have said all; the last bytes must not be cut off by our going. */
static void linger(struct process *p)
{
	uint64_t until_ms = clock_now_ms() + LINGER_MS, now_ms;
	char rest[512];

	tunnel_link_shutdown(p->link);
	while ((now_ms = clock_now_ms()) < until_ms) {
		struct pollfd poll_fd = { .fd = tunnel_link_get_fd(p->link), .events = POLLIN };

		if (poll(&poll_fd, 1, (int)(until_ms - now_ms)) <= 0 ||
		    read(poll_fd.fd, rest, sizeof(rest)) <= 0)
			return;
	}
}

static int open_all(struct process *p, struct error *err)
{
	const struct tunnel_process_options *o = p->options;
	const struct tunnel_tls_files files = { o->ca_path, o->cert_path, o->key_path,
		                                o->crl_path };
	uint64_t now_ms = clock_now_ms();
	uint16_t port = 0;
	sigset_t signals;
	int rc, fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	p->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signal_fd < 0)
		return error_set_errno(err, ERROR_SYSTEM, errno, "watching signals");
	rc = tunnel_tls_new(&files, o->cluster, o->expect, &p->tls, err);
	if (rc < 0)
		return rc;
	FAILPOINT(tunnel_before_listening);
	if (o->source)
		rc = tunnel_local_listen(o->listen_unix, &p->listener, err);
	else
		rc = tunnel_tcp_listen(o->listen, &p->listener, &port, err);
	if (rc < 0)
		return rc;
	p->give_up_ms = now_ms + o->wait_ms;
	p->status.port = port;
	if (o->source) {
		rc = tunnel_tcp_dial(o->connect, &fd, err);
		if (rc < 0)
			return rc;
		add_pending(p, fd, true, o->connect, now_ms);
	}
	set_state(p, TUNNEL_LISTENING);
	FAILPOINT(tunnel_after_listening);
	if (!o->source && o->ready)
		o->ready(o->context);
	return 0;
}

static void close_all(struct process *p)
{
	if (p->relaying)
		tunnel_relay_deinit(&p->relay);
	while (p->n_pending)
		drop_pending(p, 0);
	tunnel_link_free(p->link);
	if (p->listener >= 0)
		close_listener(p);
	cleanup_close_fd(&p->signal_fd);
	tunnel_tls_free(p->tls);
}

int tunnel_process_run(const struct tunnel_process_options *options, struct error *err)
{
	struct process p = { .options = options, .signal_fd = -1, .listener = -1 };
	int rc;

	p.status.pid = (uint32_t)getpid();
	p.status.attempt = options->attempt.number;
	memcpy(p.status.operation, options->attempt.operation.bytes, ID_BYTES);
	tunnel_process_start_ticks(getpid(), &p.status.start_ticks);
	set_state(&p, TUNNEL_STARTING);

	rc = open_all(&p, err);
	while (rc == 0 && !(p.relaying && tunnel_relay_is_done(&p.relay))) {
		wait_for_something(&p, clock_now_ms());
		rc = run_once(&p, err);
	}
	if (rc < 0) {
		note_error(&p, err);
	} else {
		FAILPOINT(tunnel_before_closed);
		linger(&p);
	}
	set_state(&p, rc < 0 ? TUNNEL_FAILED : TUNNEL_CLOSED);
	if (rc == 0)
		FAILPOINT(tunnel_after_closed);
	close_all(&p);
	return rc;
}
