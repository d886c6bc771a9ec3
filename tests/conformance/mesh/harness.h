/* SPDX-License-Identifier: Apache-2.0 */
/* Two meshes on one loop, and a service that does what gRPC's interop tests ask for.
 *
 * The suite runs once per transport: the program's argument is "inproc", "ipc" or "tcp". Everything
 * waits for events with a deadline; nothing sleeps.
 */
#pragma once

#include "common/loop.h"
#include "proto/mesh/mesh.h"
#include "proto/methods.h"
#include "tests/conformance/mesh/pki.h"
#include "tests/conformance/mesh/test.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WAIT_MS 10000 /* for anything that must happen; generous, for sanitizers on busy machines */

/* What the calls of one mesh saw. */
#define HARNESS_COLLECTS_MAX 16

struct outcome {
	bool done;
	unsigned times; /* done was called */
	unsigned order; /* of all outcomes of this process: 1, 2, 3 ... */
	enum mesh_status status;
	struct error error;
	bool never_sent;
	size_t reply_bytes;
	bool reply_is_filled; /* with FILL */
	unsigned messages;
	size_t message_bytes[16];
	struct mesh_call *cancel_after_message; /* the call cancels itself after its first */
};

#define FILL 0x5a

/* What comes with a call under these keys goes back as headers and trailers. */
#define ECHO_INITIAL  "x-grpc-test-echo-initial"
#define ECHO_TRAILING "x-grpc-test-echo-trailing-bin"

/* The call that Relay makes. */
struct relay {
	struct mesh_incoming *in; /* NULL: nobody waits */
	bool done;
	enum mesh_status status;
	struct error error;
};

struct side {
	struct mesh *mesh;
	struct mesh_connection *connection; /* the latest one that is alive */
	unsigned connects, disconnects;
	struct error why; /* of the last disconnect */
	/* its service */
	unsigned cancelled; /* handlers that were told */
	unsigned sleeping;  /* calls to Sleep that came */
	unsigned answered;  /* calls to UnaryCall that got their reply */
	unsigned flooded;   /* messages of Flood sent */
	unsigned slow;      /* mesh_send said false */
	struct mesh_incoming *last_sleeper;
	/* so many calls to UnaryCall are answered in one go, and after them the last sleeper */
	unsigned collects;
	struct mesh_incoming *collected[HARNESS_COLLECTS_MAX];
	unsigned n_collected;
	struct relay relay;
};

struct harness {
	struct loop *loop;
	char directory[64];
	char url[128]; /* to listen on */
	char dial_url[128];
	struct pki_ca ca;
	bool tls;
	struct side server, client;
	struct mesh_dialer *dialer;
};

extern const char *harness_transport; /* "inproc", "ipc", "tcp" */

extern const struct method test_methods[];
extern const size_t test_methods_count;
extern const struct mesh_service test_service;

/* A directory, a CA if the transport wants one, a loop; no meshes yet. */
void harness_open(struct harness *h, const char *transport);
void harness_close(struct harness *h);

/* As harness_open, plus a coordinator c1 that listens and an agent host1 that is connected to it. */
int harness_setup(void **state);
int harness_teardown(void **state);

/* Options for one side with the test service; a certificate is made if the transport wants one. */
struct mesh_options harness_options(struct harness *h, struct side *side, enum mesh_role role,
                                    const char *name);
/* Starts @side with @options on h->loop; listens and sets h->dial_url, if @listen. */
void harness_start(struct harness *h, struct side *side, const struct mesh_options *options,
                   bool listen);

bool harness_wait(struct harness *h, bool (*done)(void *context), void *context);
void harness_wait_flag(struct harness *h, const bool *flag);
void harness_wait_count(struct harness *h, const unsigned *count, unsigned at_least);
/* Lets @ms go by on the loop. */
void harness_run(struct harness *h, uint64_t ms);

/* For mesh_incoming_on_cancel: counts in a struct side. */
void harness_count_cancelled(void *side);

void outcome_done(const struct mesh_result *result, void *context);
void outcome_message(const ProtobufCMessage *m, void *context);

/* Calls and waits until it is over. */
void harness_unary(struct harness *h, struct mesh_connection *c, const char *method,
                   const ProtobufCMessage *request, struct outcome *ret_outcome);

/* A request with @bytes of FILL; freed by the caller. */
Drover__Test__Request *request_new(size_t bytes, uint32_t reply_bytes);
void request_free(Drover__Test__Request *request);
