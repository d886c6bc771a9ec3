/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that is not ours: it sends bytes of the test's choice and hears what comes back.
 *
 * It runs on a thread of its own with a plain socket (and plain OpenSSL), because the mesh under
 * test needs the loop meanwhile.
 */
#pragma once

#include "proto/mesh/frame.h"
#include "tests/conformance/mesh/harness.h"

#include <pthread.h>
#include <stdatomic.h>

struct raw {
	/* what to do */
	struct harness *h;
	const struct pki_leaf *leaf; /* tcp: whose certificate */
	const char *ca_path;         /* tcp: whom to trust; NULL: nobody is checked */
	unsigned become_uid;         /* ipc: 0 = stay */
	bool plain;                  /* tcp: no TLS */
	uint8_t *out;                /* owned */
	size_t out_bytes;
	bool read_later;     /* not before raw_read_now */
	bool hold;           /* after sending, neither read nor close before raw_finish */
	bool until_pong;     /* hang up after a PONG */
	uint64_t read_limit; /* hang up after so many bytes; 0 = never */

	/* what happened */
	bool sent; /* owner: everything was written */
	bool finished;
	bool closed_by_peer;
	char tls_problem[256];
	uint8_t *in;
	size_t in_bytes;
	struct frame *frames; /* what was heard, after raw_finish */

	/* private */
	pthread_t thread;
	atomic_bool go;
	int gate[2];
};

/* One that can say it is agent host9: where there is TLS it has that certificate. */
struct raw raw_new(struct harness *h);

/* Bytes to send. */
void raw_add(struct raw *r, const void *bytes, size_t count);
void raw_add_frame(struct raw *r, enum frame_type type, uint32_t stream,
                   const ProtobufCMessage *header, const ProtobufCMessage *payload);
void raw_add_head(struct raw *r, const struct frame_head *head);
/* Preface and HELLO. */
void raw_add_hello(struct raw *r, const char *role, const char *name, const char *cluster);
void raw_add_open(struct raw *r, uint32_t stream, const char *method,
                  const ProtobufCMessage *payload);

void raw_start(struct raw *r);
void raw_read_now(struct raw *r);
/* Waits on the loop until the peer hung up (or read_limit), then takes apart what was heard. */
void raw_finish(struct raw *r);
/* Both. */
void raw_run(struct raw *r);
void raw_free(struct raw *r);

/* The n-th frame of this type that was heard, or NULL. */
const struct frame *raw_find(const struct raw *r, enum frame_type type, unsigned n);
/* The reason of the GOAWAY that was heard; "" if none. */
const char *raw_goaway(const struct raw *r);
