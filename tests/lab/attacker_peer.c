/* SPDX-License-Identifier: Apache-2.0 */
/* See attacker.h: one connection, blocking, with plain OpenSSL, so that it can break every rule. */
#include "tests/lab/attacker.h"

#include "common/alloc.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/tls_identity.h"

#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int attacker_connect(const char *address, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *to;
	int fd = -1;

	if (getaddrinfo(address, port, &hints, &to) != 0)
		attacker_die("%s port %s is no address", address, port);
	fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(to);
	return fd;
}

static SSL_CTX *context_new(struct victim *v)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	char certificate[512], key[512];
	struct error err;

	snprintf(certificate, sizeof(certificate), "%s.pem", v->pki);
	snprintf(key, sizeof(key), "%s-key.pem", v->pki);
	if (SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		attacker_die("there is no certificate %s", v->pki);
	if (tls_identity_read(SSL_CTX_get0_certificate(context), &v->identity, &err) < 0)
		attacker_die("%s", err.text);
	return context;
}

void victim_read_identity(struct victim *v)
{
	SSL_CTX_free(context_new(v));
}

bool victim_open(struct victim *v)
{
	SSL_CTX *context;

	frame_reader_init(&v->reader, 64 * 1024 * 1024);
	v->fd = attacker_connect(v->address, v->port);
	if (v->fd < 0)
		return false;
	if (!v->pki)
		return true;
	context = context_new(v);
	v->ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(v->ssl, v->fd);
	return SSL_connect(v->ssl) == 1;
}

void victim_close(struct victim *v)
{
	SSL_free(v->ssl);
	if (v->fd >= 0)
		close(v->fd);
	frame_reader_deinit(&v->reader);
	v->ssl = NULL;
	v->fd = -1;
}

bool victim_send(struct victim *v, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	while (count > 0) {
		ssize_t n = v->ssl ? SSL_write(v->ssl, at, (int)count)
		                   : send(v->fd, at, count, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		count -= (size_t)n;
	}
	return true;
}

static bool send_chunk(struct victim *v, struct chunk *chunk)
{
	bool sent = victim_send(v, chunk->data, chunk->bytes);

	free(chunk);
	return sent;
}

bool victim_greet(struct victim *v)
{
	Drover__Mesh__Hello hello = DROVER__MESH__HELLO__INIT;

	hello.version_min = hello.version_max = 1;
	hello.role = (char *)mesh_role_name(v->identity.role);
	hello.name = v->identity.name;
	hello.cluster = v->identity.cluster;
	hello.max_message_bytes = 4 * 1024 * 1024;
	hello.max_streams = 1024;
	return victim_send(v, FRAME_PREFACE, FRAME_PREFACE_BYTES) &&
	       send_chunk(v, frame_pack(FRAME_HELLO, 0, &hello.base, NULL));
}

bool victim_call(struct victim *v, uint32_t stream, const char *method, const void *payload,
                 size_t bytes)
{
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	struct chunk *head;
	struct frame_head h;

	open.method = (char *)method;
	head = frame_pack(FRAME_OPEN, stream, &open.base, NULL);
	frame_head_decode(head->data, &h);
	h.length += (uint32_t)bytes;
	frame_head_encode(&h, head->data);
	return send_chunk(v, head) && victim_send(v, payload, bytes);
}

struct frame *victim_hear(struct victim *v, uint64_t wait_ms)
{
	uint64_t until_ms = attacker_now_ms() + wait_ms;
	struct frame *first = NULL, **end = &first;
	uint8_t byte;
	struct error err;

	/* Byte by byte, so that there is never more than one frame to keep. */
	while (!first) {
		struct pollfd p = { .fd = v->fd, .events = POLLIN };
		uint64_t now_ms = attacker_now_ms();
		bool pending = v->ssl && SSL_pending(v->ssl) > 0;

		if (now_ms >= until_ms || (!pending && poll(&p, 1, (int)(until_ms - now_ms)) <= 0))
			return NULL;
		if ((v->ssl ? SSL_read(v->ssl, &byte, 1) : recv(v->fd, &byte, 1, 0)) <= 0)
			return NULL;
		if (frame_reader_push(&v->reader, &byte, 1, &end, &err) < 0)
			attacker_die("what came back is no frame: %s", err.text);
	}
	return first;
}
