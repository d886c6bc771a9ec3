/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh: gRPC's model over nng byte streams, as seen by an owner thread.
 *
 *	nng callbacks (couriers)                       owner thread
 *	  bytes -> TLS -> frames -- loop_deliver ->  handlers, replies, callbacks
 *	  socket <- TLS <- frames <--- queue ------  mesh_call, mesh_reply, mesh_send
 *
 * One connection carries many calls in both directions. Who dialled does not matter for who calls:
 * an agent dials its coordinator, and the coordinator calls the agent over that connection. All
 * functions here are for the owner thread of the loop given to mesh_new, and all callbacks run on
 * it, one at a time; so a handler may touch the owner's state and must not block. A handler that
 * needs something slow keeps its mesh_incoming and replies later.
 *
 * Identity: over TCP the certificate's SAN (drover://CLUSTER/ROLE/NAME) is the peer, and its HELLO
 * must say the same. Over ipc:// the peer is the uid of the process: root, and the uid that this
 * process has itself, are believed (admin, if they claim no role); all others are viewers.
 * In-process peers say who they are. proto/methods.h says which role may call what; others get
 * MESH_PERMISSION_DENIED before a handler runs. Peers that are refused before they have a name are
 * logged here, for no callback tells of them.
 *
 * The PEM files may be replaced at any time: new connections use the new ones at most tls_refresh_ms
 * later, and a live connection whose peer would not be let in any more ends within a keepalive more.
 *
 * nng starts its threads with the first mesh_listen or mesh_dial: loop_watch_signal comes before.
 */
#pragma once

#include "common/error.h"
#include "common/id.h"
#include "common/loop.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* gRPC's codes and numbers. */
enum mesh_status {
	MESH_OK = 0,
	MESH_CANCELLED = 1,
	MESH_STATUS_UNKNOWN = 2,
	MESH_INVALID_ARGUMENT = 3,
	MESH_DEADLINE_EXCEEDED = 4,
	MESH_NOT_FOUND = 5,
	MESH_ALREADY_EXISTS = 6,
	MESH_PERMISSION_DENIED = 7,
	MESH_RESOURCE_EXHAUSTED = 8,
	MESH_FAILED_PRECONDITION = 9,
	MESH_ABORTED = 10,
	MESH_OUT_OF_RANGE = 11,
	MESH_UNIMPLEMENTED = 12,
	MESH_INTERNAL = 13,
	MESH_UNAVAILABLE = 14,
	MESH_DATA_LOSS = 15,
	MESH_UNAUTHENTICATED = 16,
	MESH_STATUSES
};

const char *mesh_status_name(enum mesh_status status); /* "UNAVAILABLE" */

/* The status that stands for one of our errors, and the error for a status. */
enum mesh_status mesh_status_from_error(enum error_code code);
enum error_code mesh_status_to_error(enum mesh_status status);

/* Bits, because a method's allowed callers are a set. */
enum mesh_role {
	MESH_ROLE_NONE = 0,
	MESH_ROLE_COORDINATOR = 1 << 0,
	MESH_ROLE_AGENT = 1 << 1,
	MESH_ROLE_OPERATOR = 1 << 2,
	MESH_ROLE_VIEWER = 1 << 3,
	MESH_ROLE_ADMIN = 1 << 4,
};

#define MESH_NAME_BYTES   128
#define MESH_SERIAL_BYTES 41 /* 20 bytes in hex (RFC 5280), and the final zero */

const char *mesh_role_name(enum mesh_role role);      /* "agent"; "none" */
enum mesh_role mesh_role_from_name(const char *name); /* MESH_ROLE_NONE if there is none */

struct mesh_identity {
	enum mesh_role role;
	char name[MESH_NAME_BYTES];    /* node or coordinator or user name */
	char address[MESH_NAME_BYTES]; /* "10.77.0.1:40210", "uid 0" */
	char cluster[MESH_NAME_BYTES];
	bool certified;                 /* proved by a certificate, not by being a local user */
	char serial[MESH_SERIAL_BYTES]; /* that certificate's, hex; "" = unknown */
};

struct method; /* proto/methods.h */
struct audit;  /* proto/audit/audit.h */

struct mesh;
struct mesh_connection; /* one live connection; valid from connected to disconnected */
struct mesh_dialer;     /* keeps one connection to one address alive */
struct mesh_call;       /* a call we made */
struct mesh_incoming;   /* a call a peer made */

struct mesh_options {
	struct loop *loop; /* borrowed */
	/* Who we are. For TCP our certificate must say so, too; what is left out here (NONE, NULL)
	 * is taken from it. */
	enum mesh_role role;
	const char *name;
	const char *cluster;
	const char *tls_ca; /* PEM files; NULL for a process that never uses tcp:// */
	const char *tls_certificate;
	const char *tls_key;
	const char *tls_crl;        /* revoked certificates; NULL or no such file: none */
	uint32_t tls_refresh_ms;    /* 0 = 5000; how often it is seen whether these files are new */
	uint32_t max_message_bytes; /* 0 = 4 MiB */
	uint32_t keepalive_ms;      /* 0 = 5000; a peer silent for three of these is gone */
	uint32_t handshake_ms;      /* 0 = 10000; from connecting to the peer's HELLO */

	/* What peers may call here; NULL-terminated array of service tables (see mesh_service). */
	const struct mesh_service *const *services;
	void *service_context; /* given to every handler */
	/* Methods besides those of proto/methods.h, for services that only tests have; borrowed. */
	const struct method *extra_methods;
	size_t n_extra_methods;

	/* Of each listener; 0 = 512 connections, 64 of one address, 256 and 32 handshakes. Who is
	 * over one of them is closed at once; see proto/mesh/gate.h. Less where the process has not that
	 * many file descriptors (RLIMIT_NOFILE, now). */
	uint32_t max_connections, max_connections_per_address;
	uint32_t max_handshakes, max_handshakes_per_address;

	/* Who called what with an effect, and who was refused; borrowed. NULL: not written. */
	struct audit *audit;

	/* Any of these may be NULL. */
	void (*connected)(struct mesh_connection *c, void *context);
	/* After this call @c is gone. Calls over it have been completed with MESH_UNAVAILABLE. */
	void (*disconnected)(struct mesh_connection *c, const struct error *why, void *context);
	void *context;
};

/* -ERROR_INVALID, too, when the table of a service lacks a handler. */
struct mesh *mesh_new(const struct mesh_options *options, struct error *err);

/* Goes without breaking off what is under way: closes the listeners, dials nobody any more, and tells
 * every peer. From then on peers' new calls have no effect here, and end there as never_sent, to be
 * made elsewhere; streams without a deadline end as MESH_UNAVAILABLE; other calls, in both
 * directions, may end within @timeout_ms. Then the connections are closed and @drained is called
 * once, from the loop, at most a second after that time; mesh_free is next. A peer of a version that
 * does not know of this is served till the connections are closed. Once per mesh. */
void mesh_drain(struct mesh *mesh, uint64_t timeout_ms, void (*drained)(void *context),
                void *context);

/* Closes everything: outstanding calls complete with MESH_CANCELLED, incoming ones are cancelled,
 * connections disconnected(). Not from inside a callback of this mesh. Blocks until the couriers are done (bounded: they only close sockets). */
void mesh_free(struct mesh *mesh);

/* Looks now, rather than in tls_refresh_ms, whether the TLS files are new. */
void mesh_look_at_files(struct mesh *mesh);
/* Whether the certificates in use are those that the files hold now; false without TLS. */
bool mesh_uses_files(const struct mesh *mesh);

/* Since the start. */
struct mesh_counts {
	uint64_t turned_away; /* over a limit, closed at once */
	uint64_t made_room;   /* stalled handshakes closed for a newcomer's */
	uint64_t not_let_in;  /* all peers that never became one, with the two above */
	uint64_t malformed;   /* messages that could not be read */
};

void mesh_get_counts(const struct mesh *mesh, struct mesh_counts *ret);

/* "tcp://10.0.0.1:7780", "ipc:///run/drover/coordinator.sock" (mode 0660), "inproc://name". Port 0
 * takes a free one; mesh_get_port tells. */
int mesh_listen(struct mesh *mesh, const char *url, struct error *err);
uint16_t mesh_get_port(const struct mesh *mesh, const char *url);

/* Keeps a connection to @url, reconnecting with gRPC's backoff (1 s, x1.6, jitter 0.2; capped at
 * 15 s here, because an agent must be back soon after its coordinator). @expect_role/@expect_name:
 * who must answer; NULL name = any name of that role. */
struct mesh_dialer *mesh_dial(struct mesh *mesh, const char *url, enum mesh_role expect_role,
                              const char *expect_name);
void mesh_dialer_free(struct mesh_dialer *dialer); /* closes its connection */
struct mesh_connection *mesh_dialer_find_connection(struct mesh_dialer *dialer); /* or NULL */
/* Why there is no connection now; code ERROR_NONE when there is one. */
const struct error *mesh_dialer_get_error(const struct mesh_dialer *dialer);

const struct mesh_identity *mesh_connection_get_identity(const struct mesh_connection *c);
/* Whether both are to the very same process, which then has made one in the place of the other. */
bool mesh_connection_is_same_peer(const struct mesh_connection *a, const struct mesh_connection *b);
/* disconnected() comes soon, from the loop. */
void mesh_connection_close(struct mesh_connection *c);
/* For the owner's own bookkeeping. */
void mesh_connection_set_context(struct mesh_connection *c, void *context);
void *mesh_connection_get_context(const struct mesh_connection *c);

/* --- metadata --- */

/* A few facts that travel beside a message: with the call, before the first answer ("headers"), and
 * with its end ("trailers"). Keys are lower-case letters, digits and "-_.", each once; values are
 * any bytes. Limits are of gRPC's kind, so that it all fits a frame's header. */
#define MESH_METADATA_MAX       32
#define MESH_METADATA_KEY_BYTES 64
#define MESH_METADATA_BYTES     4096 /* all keys and values together */

struct mesh_metadata_item {
	const char *key;
	const void *value;
	size_t bytes;
};

struct mesh_metadata {
	const struct mesh_metadata_item *items;
	size_t count;
};

/* NULL if there is none. */
const struct mesh_metadata_item *mesh_metadata_find(const struct mesh_metadata *metadata,
                                                    const char *key);

/* More of a failure than a sentence: any messages, as with gRPC's google.rpc.Status. */
#define MESH_DETAILS_MAX   16
#define MESH_DETAILS_BYTES (64 * 1024) /* all together, packed */

struct mesh_detail {
	const char *type; /* "drover.v1.Check" */
	const uint8_t *value;
	size_t bytes;
};

/* --- calling --- */

/* What came of a call. All that it points to is borrowed for the duration of the callback. */
struct mesh_result {
	enum mesh_status status;
	struct error error;              /* code ERROR_NONE if status is MESH_OK */
	const ProtobufCMessage *message; /* unary: the reply; NULL unless MESH_OK */
	bool never_sent;                 /* true: the peer has surely not seen it; safe to repeat */
	bool answered;                   /* true: @status is what the peer said, not what we saw */
	struct mesh_metadata trailers;
	const struct mesh_detail *details; /* of a failure */
	size_t n_details;
	uint32_t details_left_out; /* the server had more than may travel */
	struct arena *arena;       /* private: for mesh_result_find_detail */
};

/* The first detail of this type, till the next such question; NULL if there is none, or none that
 * can be read (@err then says why; code ERROR_NONE: there is none). */
const ProtobufCMessage *mesh_result_find_detail(const struct mesh_result *result,
                                                const ProtobufCMessageDescriptor *type,
                                                struct error *err);

/* Calls "package.Service/Method" from proto/methods.h; for those who know the method when they are
 * compiled there are typed stubs, "proto/agent.rpc.h" and its like. @done is called exactly once, never from
 * inside mesh_call; the call is gone when it returns. @timeout_ms 0 = no deadline (streams only).
 * @request is borrowed until this returns. */
struct mesh_call *mesh_call(struct mesh_connection *c, const char *method,
                            const ProtobufCMessage *request, uint64_t timeout_ms,
                            void (*done)(const struct mesh_result *result, void *context),
                            void *context);

/* Server streaming: @message for each, then @done once. Messages are borrowed. */
struct mesh_call *mesh_call_stream(struct mesh_connection *c, const char *method,
                                   const ProtobufCMessage *request, uint64_t timeout_ms,
                                   void (*message)(const ProtobufCMessage *m, void *context),
                                   void (*done)(const struct mesh_result *result, void *context),
                                   void *context);

/* What else a call may have; zero is none of it. */
struct mesh_call_options {
	uint64_t timeout_ms; /* unary: more than 0 */
	/* The call in whose service this one is made. This call's deadline is then the earlier of
	 * both, and it ends as MESH_CANCELLED when nobody waits for @parent any more; once @parent
	 * is answered it goes on alone. */
	struct mesh_incoming *parent;
	/* Server streaming. */
	void (*message)(const ProtobufCMessage *m, void *context);
	/* Of something that changes something: asked again with the same id, also over another
	 * connection, it is done once and answered the same (proto/mesh/replay.h says for how
	 * long). Its handler is never told to stop. Methods that only look ignore it. */
	const struct id *request_id;
	/* Goes with the call. Against the rules it is MESH_INVALID_ARGUMENT, never sent. */
	const struct mesh_metadata *metadata;
	/* What the server sends before its first answer, if anything; borrowed. The callback may
	 * cancel the call. */
	void (*headers)(const struct mesh_metadata *headers, void *context);
};

/* mesh_call and mesh_call_stream with all there is. @options is borrowed until this returns. */
struct mesh_call *mesh_call_with(struct mesh_connection *c, const char *method,
                                 const ProtobufCMessage *request,
                                 const struct mesh_call_options *options,
                                 void (*done)(const struct mesh_result *result, void *context),
                                 void *context);

/* While a stream is paused its sender stops once 256 KiB are on their way; what is on its way still
 * comes. Other streams of the connection go on. */
void mesh_call_pause(struct mesh_call *call, bool pause);

/* @done has come with MESH_CANCELLED when this returns; the peer's handler is told. */
void mesh_call_cancel(struct mesh_call *call);

/* --- serving --- */

/* Either of the two functions. @request is borrowed for the duration of the call. Reply now or later,
 * exactly once. */
struct mesh_handler {
	const char *method; /* "Admit" */
	void (*handle)(struct mesh_incoming *in, const ProtobufCMessage *request, void *context);
	/* Generated: hands it to the method's own handler of the service's table. */
	void (*serve)(const void *table, struct mesh_incoming *in, const ProtobufCMessage *request,
	              void *context);
};

/* One service of ours, as AGENT_SERVICE(handlers) of "proto/agent.rpc.h" writes it: the table has a
 * handler of the right type for each method. A service that is written by hand, of handle()s, may
 * leave some out: those are answered MESH_UNIMPLEMENTED. */
struct mesh_service {
	const ProtobufCServiceDescriptor *descriptor;
	const struct mesh_handler *handlers;
	size_t n_handlers;
	const char *(*find_missing)(const void *table); /* a method without handler, or NULL */
	const void *table;
};

const struct mesh_identity *mesh_incoming_get_identity(const struct mesh_incoming *in);
/* NULL once nobody waits for the answer any more. */
struct mesh_connection *mesh_incoming_get_connection(const struct mesh_incoming *in);
/* 0 = none; else what is left of the caller's deadline. */
uint64_t mesh_incoming_get_timeout_ms(const struct mesh_incoming *in);

/* What came with the call; valid as long as @in is. */
const struct mesh_metadata *mesh_incoming_get_metadata(const struct mesh_incoming *in);

/* Headers: at most once, before anything else is answered. Trailers: go with the end, whatever it
 * is; the last ones set count. Both are copied. -ERROR_INVALID: against the rules above. */
int mesh_send_headers(struct mesh_incoming *in, const struct mesh_metadata *headers,
                      struct error *err);
int mesh_set_trailers(struct mesh_incoming *in, const struct mesh_metadata *trailers,
                      struct error *err);

/* Called once if the caller cancels, its deadline passes or the connection goes: nobody waits any
 * more, and nothing is to be replied. @in is then invalid after the callback returns; without a callback the mesh forgets it and
 * a later reply is dropped quietly. */
void mesh_incoming_on_cancel(struct mesh_incoming *in, void (*cancelled)(void *context),
                             void *context);

/* Unary: one of these two ends the call; @in is invalid afterwards. */
void mesh_reply(struct mesh_incoming *in, const ProtobufCMessage *reply);
void mesh_fail(struct mesh_incoming *in, enum mesh_status status, const struct error *err);
/* mesh_fail with the status that stands for err->code. */
void mesh_fail_error(struct mesh_incoming *in, const struct error *err);

/* mesh_fail with details; the caller reads them with mesh_result_find_detail. Those which do not fit
 * are left out, from the last on, and the caller is told how many. */
void mesh_fail_with_details(struct mesh_incoming *in, enum mesh_status status,
                            const struct error *err, const ProtobufCMessage *const *details,
                            size_t n_details);

/* Streaming: any number of messages, then mesh_finish or mesh_fail. Returns false when the reader
 * is slow (over 64 KiB queued for it, or 256 KiB of this stream unread by it): this message still
 * goes out; stop, and continue when @writable was called. Also false, for good, once nobody reads any more: on_cancel tells. */
bool mesh_send(struct mesh_incoming *in, const ProtobufCMessage *message);
void mesh_incoming_on_writable(struct mesh_incoming *in, void (*writable)(void *context),
                               void *context);
void mesh_finish(struct mesh_incoming *in);
