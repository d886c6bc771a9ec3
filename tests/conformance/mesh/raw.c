/* SPDX-License-Identifier: Apache-2.0 */
/* See raw.h. */
#include "tests/conformance/mesh/raw.h"

#include "common/alloc.h"
#include "proto/mesh/frame.pb-c.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

struct raw raw_new(struct harness *h)
{
	static struct pki_leaf leaf;

	if (h->tls)
		pki_leaf_make(&h->ca, h->directory, "host9", "drover://test/agent/host9", 3600,
		              &leaf);
	return (struct raw){ .h = h, .leaf = &leaf };
}

void raw_add(struct raw *r, const void *bytes, size_t count)
{
	r->out = xreallocarray(r->out, r->out_bytes + count, 1);
	memcpy(r->out + r->out_bytes, bytes, count);
	r->out_bytes += count;
}

void raw_add_frame(struct raw *r, enum frame_type type, uint32_t stream,
                   const ProtobufCMessage *header, const ProtobufCMessage *payload)
{
	struct chunk *chunk = frame_pack(type, stream, header, payload);

	raw_add(r, chunk->data, chunk->bytes);
	free(chunk);
}

void raw_add_head(struct raw *r, const struct frame_head *head)
{
	uint8_t out[FRAME_BYTES];

	frame_head_encode(head, out);
	raw_add(r, out, sizeof(out));
}

void raw_add_hello(struct raw *r, const char *role, const char *name, const char *cluster)
{
	Drover__Mesh__Hello hello = DROVER__MESH__HELLO__INIT;

	hello.version_min = hello.version_max = 1;
	hello.role = (char *)role;
	hello.name = (char *)name;
	hello.cluster = (char *)cluster;
	hello.max_message_bytes = 4 * 1024 * 1024;
	hello.max_streams = 1024;
	raw_add(r, FRAME_PREFACE, FRAME_PREFACE_BYTES);
	raw_add_frame(r, FRAME_HELLO, 0, &hello.base, NULL);
}

void raw_add_open(struct raw *r, uint32_t stream, const char *method,
                  const ProtobufCMessage *payload)
{
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;

	open.method = (char *)method;
	raw_add_frame(r, FRAME_OPEN, stream, &open.base, payload);
}

/* --- the thread --- */

static int connect_to(const struct raw *r)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const struct sockaddr *address = (struct sockaddr *)&in;
	socklen_t bytes = sizeof(in);
	const char *url = r->h->dial_url;
	int fd;

	if (strncmp(url, "ipc://", 6) == 0) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", url + 6);
		address = (struct sockaddr *)&un;
		bytes = sizeof(un);
	} else {
		in.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Of this thread alone: the C library would change all threads. */
	if (r->become_uid && syscall(SYS_setresuid, -1, r->become_uid, -1) < 0)
		abort();
	if (fd < 0 || connect(fd, address, bytes) < 0)
		abort();
	if (r->become_uid && syscall(SYS_setresuid, -1, 0, -1) < 0)
		abort();
	return fd;
}

static SSL *secure(struct raw *r, SSL_CTX **ret_context, int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	if (r->leaf) {
		SSL_CTX_use_certificate_file(context, r->leaf->certificate_path, SSL_FILETYPE_PEM);
		SSL_CTX_use_PrivateKey_file(context, r->leaf->key_path, SSL_FILETYPE_PEM);
	}
	if (r->ca_path) {
		SSL_CTX_load_verify_locations(context, r->ca_path, NULL);
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	}
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	*ret_context = context;
	if (SSL_connect(ssl) == 1)
		return ssl;
	snprintf(r->tls_problem, sizeof(r->tls_problem), "%s",
	         ERR_reason_error_string(ERR_peek_error()));
	SSL_free(ssl);
	return NULL;
}

static ssize_t write_some(SSL *ssl, int fd, const uint8_t *bytes, size_t count)
{
	return ssl ? SSL_write(ssl, bytes, (int)count) : send(fd, bytes, count, MSG_NOSIGNAL);
}

static bool ends_with_pong(const struct raw *r)
{
	struct frame_head head;

	if (r->in_bytes < FRAME_BYTES)
		return false;
	frame_head_decode(r->in + r->in_bytes - FRAME_BYTES, &head);
	return head.length == 0 && head.stream == 0 && head.type == FRAME_PONG;
}

static void listen_to_peer(struct raw *r, SSL *ssl, int fd)
{
	uint8_t buffer[16384];

	while (!r->read_limit || r->in_bytes < r->read_limit) {
		ssize_t n = ssl ? SSL_read(ssl, buffer, sizeof(buffer))
		                : recv(fd, buffer, sizeof(buffer), 0);

		if (n <= 0) {
			const char *reason = ERR_reason_error_string(ERR_peek_error());

			if (ssl && reason)
				snprintf(r->tls_problem, sizeof(r->tls_problem), "%s", reason);
			r->closed_by_peer = true;
			return;
		}
		r->in = xreallocarray(r->in, r->in_bytes + (size_t)n, 1);
		memcpy(r->in + r->in_bytes, buffer, (size_t)n);
		r->in_bytes += (size_t)n;
		if (r->until_pong && ends_with_pong(r))
			return;
	}
}

struct note {
	struct message message; /* first */
	bool *flag;
};

static void note_run(struct message *m)
{
	*((struct note *)m)->flag = true;
	free(m);
}

static void tell(struct raw *r, bool *flag)
{
	struct note *note = xnew(struct note);

	note->flag = flag;
	note->message.run = note_run;
	loop_post(r->h->loop, &note->message);
}

static void wait_for_gate(struct raw *r)
{
	char byte;

	(void)!read(r->gate[0], &byte, 1);
}

static void *raw_thread(void *context)
{
	struct raw *r = context;
	SSL_CTX *ssl_context = NULL;
	int fd = connect_to(r);
	bool usable = true;
	SSL *ssl = NULL;
	size_t at = 0;

	if (r->h->tls && !r->plain) {
		ssl = secure(r, &ssl_context, fd);
		usable = ssl != NULL;
	}
	while (usable && at < r->out_bytes) {
		size_t count = r->out_bytes - at > 65536 ? 65536 : r->out_bytes - at;
		ssize_t n = write_some(ssl, fd, r->out + at, count);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	tell(r, &r->sent);
	if (r->read_later)
		wait_for_gate(r);
	if (usable)
		listen_to_peer(r, ssl, fd);
	if (r->hold)
		wait_for_gate(r);
	SSL_free(ssl);
	SSL_CTX_free(ssl_context);
	close(fd);
	tell(r, &r->finished);
	return NULL;
}

/* --- the test's side --- */

void raw_start(struct raw *r)
{
	assert_int_equal(pipe(r->gate), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, raw_thread, r), 0);
}

void raw_read_now(struct raw *r)
{
	assert_int_equal(write(r->gate[1], "x", 1), 1);
}

void raw_finish(struct raw *r)
{
	struct frame_reader reader;
	struct frame **end = &r->frames;
	struct error err;

	if (r->hold)
		raw_read_now(r);
	harness_wait_flag(r->h, &r->finished);
	pthread_join(r->thread, NULL);
	close(r->gate[0]);
	close(r->gate[1]);
	frame_reader_init(&reader, 64 * 1024 * 1024);
	if (r->in_bytes > 0)
		assert_int_equal(frame_reader_push(&reader, r->in, r->in_bytes, &end, &err), 0);
	frame_reader_deinit(&reader);
}

void raw_run(struct raw *r)
{
	raw_start(r);
	raw_finish(r);
}

void raw_free(struct raw *r)
{
	frame_list_free(r->frames);
	free(r->out);
	free(r->in);
}

const struct frame *raw_find(const struct raw *r, enum frame_type type, unsigned n)
{
	for (const struct frame *f = r->frames; f; f = f->next) {
		if (f->head.type == type && n-- == 0)
			return f;
	}
	return NULL;
}

const char *raw_goaway(const struct raw *r)
{
	static char reason[ERROR_TEXT_BYTES];
	const struct frame *f = raw_find(r, FRAME_GOAWAY, 0);
	Drover__Mesh__GoAway *header;

	if (!f)
		return "";
	header = drover__mesh__go_away__unpack(NULL, f->head.header_bytes, f->body);
	assert_non_null(header);
	snprintf(reason, sizeof(reason), "%s", header->reason);
	drover__mesh__go_away__free_unpacked(header, NULL);
	return reason;
}
