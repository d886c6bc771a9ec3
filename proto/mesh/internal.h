/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh's own structures, for the files of proto/mesh/ that run on the owner thread.
 *
 *	mesh --- dialers --- connection --- link (couriers below)
 *	     \-- listeners -- connections       |
 *	                          +-- calls (ours) and incoming (the peer's), by stream
 *
 * A connection ends in one place, connection_finish, which always runs from the loop and never
 * inside a callback of the user: whoever notices that it is over calls connection_fail, which
 * closes the link and leaves the rest for the next round of the loop. So no function here finds a
 * connection gone after it has called a handler.
 */
#pragma once

#include "common/error.h"
#include "common/id.h"
#include "common/loop.h"
#include "proto/mesh/arena.h"
#include "proto/mesh/frame.h"
#include "proto/mesh/frame.pb-c.h"
#include "proto/mesh/gate.h"
#include "proto/mesh/link.h"
#include "proto/mesh/malformed.h"
#include "proto/mesh/mesh.h"
#include "proto/mesh/outbox.h"
#include "proto/mesh/parts.h"
#include "proto/mesh/replay.h"
#include "proto/methods.h"

#include <uthash.h>

#define MESH_VERSION                 1
#define MESH_MAX_MESSAGE_BYTES       ((uint32_t)4 * 1024 * 1024)
#define MESH_KEEPALIVE_MS            5000
#define MESH_MAX_STREAMS             1024 /* at once, per connection and direction */
#define MESH_CONNECTIONS             512  /* of one listener */
#define MESH_HANDSHAKES              256
#define MESH_CONNECTIONS_PER_ADDRESS 64
#define MESH_HANDSHAKES_PER_ADDRESS  32
/* An agent has some 30 at rest, and needs about 8 for each move. */
#define MESH_OWN_DESCRIPTORS   48
#define MESH_HANDSHAKE_MS      10000
#define MESH_TLS_REFRESH_MS    5000
#define MESH_WINDOW_BYTES      (256 * 1024) /* of a stream, on its way and unread */
#define MESH_PIECE_BYTES       (16 * 1024)
#define MESH_PIECE_LEAST_BYTES 1024  /* a peer that asks for less only wants to make work */
#define MESH_PARTIAL_MS        60000 /* a message in pieces is all there by then */
#define MESH_REFUSAL_LINGER_MS 500   /* for the peer to read why it was refused */
#define MESH_TIMEOUT_MOST_MS   (UINT64_MAX / 1000 / 1000) /* fits the wire's microseconds */
#define MESH_RETIRE_GRACE_MS   5000  /* for the peer to learn of the successor */
#define MESH_RETIRE_MS         30000 /* for calls to end */
#define MESH_STALE_MS          8000  /* for a peer with a new certificate to come with it */
#define MESH_FEATURE_DRAIN     0x1u  /* knows a GOAWAY that does not hang up */
#define MESH_FEATURES          MESH_FEATURE_DRAIN
#define MESH_BACKOFF_FIRST_MS  1000
#define MESH_BACKOFF_MOST_MS   15000

struct tls;
struct tls_session;

struct mesh_listener {
	struct mesh *mesh;
	struct acceptor *acceptor; /* NULL: draining, nobody is let in any more */
	char *url;
	struct gate gate;
	struct mesh_listener *prev, *next;
};

struct mesh_dialer {
	struct mesh *mesh;
	char *url;
	const struct transport *transport; /* NULL: @url is none, @error says so */
	enum mesh_role expect_role;
	char *expect_name;                  /* or NULL */
	struct mesh_connection *connection; /* being made, ready, or ending; or NULL */
	struct mesh_connection *previous;   /* serves until @connection is ready; or NULL */
	struct error error;
	struct loop_timer retry;
	uint64_t backoff_ms;
	uint64_t attempt_ms; /* when the last attempt began */
	struct mesh_dialer *prev, *next;
};

struct mesh {
	struct loop *loop;
	struct mesh_identity self;
	uint32_t max_message_bytes;
	uint32_t keepalive_ms;
	uint32_t handshake_ms;
	const struct mesh_service *const *services;
	void *service_context;
	const struct method *extra_methods;
	size_t n_extra_methods;
	void (*connected)(struct mesh_connection *c, void *context);
	void (*disconnected)(struct mesh_connection *c, const struct error *why, void *context);
	void *context;
	struct audit *audit; /* or NULL */
	struct gate_limits limits;
	struct mesh_counts counts;

	struct id boot_id;
	struct tls *tls;             /* NULL: no tcp:// */
	unsigned tls_generation;     /* of its files */
	struct loop_timer tls_timer; /* looks whether they are new */
	uint32_t tls_refresh_ms;
	struct link_group links;
	struct arena headers, payloads; /* what is being looked at right now */
	struct arena details;           /* the one that was asked for last */
	struct mesh_listener *listeners;
	struct mesh_dialer *dialers;
	struct mesh_connection *connections;
	struct mesh_call *stillborn; /* calls that could not be sent, not yet completed */
	struct replays replays;
	struct mesh_incoming *abandoned; /* calls nobody waits for, not yet answered */
	bool stopping;
	struct drain {
		bool begun;
		bool hanging_up;   /* all that was waited for has ended, or was given up */
		uint64_t until_ms; /* on the clock of clock_now_ms */
		struct loop_timer tick;
		void (*drained)(void *context);
		void *context;
	} drain;
	uint64_t refusal_log_ms; /* when a refused peer was last logged */
	unsigned refusals_unlogged;
};

const struct method *mesh_find_method(const struct mesh *mesh, const char *name);

/* --- connection.c --- */

enum connection_state {
	CONNECTION_OPENING, /* connecting, TLS, waiting for the HELLO */
	CONNECTION_READY,
	CONNECTION_REFUSING, /* the peer was told why; it should hang up */
	CONNECTION_ENDING,   /* connection_finish comes next */
};

struct mesh_connection {
	struct mesh *mesh;
	struct link *link;              /* NULL once ending */
	struct mesh_dialer *dialer;     /* who dialled it, or NULL */
	struct mesh_listener *listener; /* who accepted it, or NULL */
	struct gate_place *place;       /* of @listener's gate; NULL: not counted any more */
	uint64_t begin_ms;
	bool dialled;
	enum connection_state state;
	bool announced; /* connected() was called */
	struct error why;

	struct link_peer peer;
	struct mesh_identity identity;
	struct id peer_boot; /* its process; zero: it did not say */
	uint32_t peer_max_message_bytes;
	uint32_t peer_max_streams;
	uint32_t peer_window_bytes;    /* 0: it has none */
	uint32_t peer_features;        /* MESH_FEATURE_x */
	uint32_t peer_piece_bytes;     /* UINT32_MAX: it takes messages whole */
	char address[MESH_NAME_BYTES]; /* for texts, before the peer has a name */
	void *context;

	struct loop_timer timer;    /* handshake, then keepalive, then lingering */
	struct loop_timer finish;   /* connection_finish, from the loop */
	struct loop_timer writable; /* serve_writable, from the loop */
	bool heard;                 /* something came since the last tick */
	unsigned silent_ticks;
	bool ping_next;
	unsigned tls_generation; /* of the files by which the peer was judged */
	unsigned tls_own;        /* which of our certificates the peer has seen */
	uint64_t stale_ms;       /* since when the peer's does not pass any more; 0: it does */
	struct retirement {
		struct loop_timer timer;
		uint64_t until_ms; /* 0: has not begun, the peer was told nothing yet */
	} retirement;              /* a newer connection has its place */
	struct malformed malformed;

	bool leaving;      /* the peer takes no new calls */
	bool told_leaving; /* the peer knows that we take none after this: */
	uint32_t last_taken_stream;
	uint32_t next_stream;      /* of ours */
	uint32_t last_peer_stream; /* highest of the peer's */
	struct outbox outbox;      /* not yet given to the link */
	struct parts parts;        /* of the peer's messages */
	uint64_t sent_bytes;       /* given to the link */
	uint64_t taken_bytes;      /* of these, how many may have left; set when ending */
	struct mesh_call *calls;
	struct mesh_incoming *incoming;
	struct mesh_incoming *waiting; /* for on_writable, in order */
	struct mesh_connection *prev, *next;
};

void connection_dial(struct mesh_dialer *dialer);

/* Of a peer that came to us, not yet heard: then connection_let_in or connection_fail. */
struct mesh_connection *connection_accept(struct mesh_listener *listener, struct link *link);
void connection_let_in(struct mesh_connection *c);

/* Over, for this reason; the first one counts. Any time, also inside callbacks. */
void connection_fail(struct mesh_connection *c, const struct error *why);

/* Tells the peer why before hanging up. */
void connection_refuse(struct mesh_connection *c, const struct error *why);

/* A message of the peer's could not be read, for this reason: counted, and one too many refuses it. */
void connection_count_malformed(struct mesh_connection *c, const struct error *why);

/* Completes and cancels what is under way, tells the owner and the dialer, frees. Top level only. */
void connection_finish(struct mesh_connection *c);

/* --- connection_frames.c --- */

/* A frame of the connection's own, past all messages that wait: HELLO, CANCEL, PING, GOAWAY ... */
void connection_send(struct mesh_connection *c, enum frame_type type, uint32_t stream,
                     const ProtobufCMessage *header);
void connection_send_window(struct mesh_connection *c, uint32_t stream, uint32_t bytes);

/* OPEN, MSG or END, when its turn comes; the connection is READY. Fails the connection when its
 * peer has not read for too long. @sent_at (may be NULL): gets the connection's sent_bytes once the
 * last byte was given to the link; borrowed until then, or until connection_drop. */
void connection_send_message(struct mesh_connection *c, enum frame_type type, uint32_t stream,
                             const ProtobufCMessage *header, const ProtobufCMessage *payload,
                             uint64_t *sent_at);
enum outbox_dropped connection_drop(struct mesh_connection *c, uint32_t stream);

/* Whoever sends a stream should wait. */
bool connection_is_full(const struct mesh_connection *c);
size_t connection_get_queued_bytes(const struct mesh_connection *c);

/* What waits goes out, as far as the link takes it. */
void connection_pump(struct mesh_connection *c);
void connection_take_frame(struct mesh_connection *c, const struct frame *f);

/* --- listener.c --- */

/* Somebody has come: the handshake begins, or ends already. */
void listener_accept(struct mesh_listener *l, struct link *link);
void listener_free(struct mesh_listener *l);

/* Of a connection that is over, and whose peer was never let in. */
void listener_log_refusal(struct mesh_connection *c);

/* --- hello.c --- */

void hello_send(struct mesh_connection *c);

/* What the peer says about itself against what is proved and what was expected; fills c->identity
 * and the peer's limits. -ERROR_IDENTITY, -ERROR_PROTOCOL. */
int hello_take(struct mesh_connection *c, const struct frame *f, struct error *err);

/* --- dialer.c --- */

void dialer_connected(struct mesh_dialer *dialer);
void dialer_connection_ended(struct mesh_dialer *dialer, bool was_ready, const struct error *why);

/* A successor of its connection, for a certificate on it is not the newest: made before the old one
 * is retired, so that calls always have one that takes them. */
void dialer_renew(struct mesh_dialer *dialer);
void dialer_connection_finished(struct mesh_dialer *dialer, struct mesh_connection *c);

/* Its connection lives on, but takes no calls any more: another one is to be made. */
void dialer_connection_leaving(struct mesh_dialer *dialer, struct mesh_connection *c,
                               const struct error *why);

/* --- drain.c --- */

/* The peer takes no calls after @last_stream any more. */
void drain_take(struct mesh_connection *c, uint32_t last_stream, const char *reason);
void drain_stop(struct mesh *mesh);
/* @c has a successor: calls that are under way may end, then it is closed. */
void drain_retire(struct mesh_connection *c);

/* --- call.c --- */

/* Whether the answer that begins with @f is waited for. */
bool call_expects(struct mesh_connection *c, const struct frame *f);
void call_take_message(struct mesh_connection *c, const struct frame *f);
void call_take_headers(struct mesh_connection *c, const struct frame *f);
void call_take_end(struct mesh_connection *c, const struct frame *f);
void call_fail_all(struct mesh_connection *c);
void call_fail_stillborn(struct mesh *mesh);
/* The peer will not act on those after @last_stream. */
void call_fail_after(struct mesh_connection *c, uint32_t last_stream, const struct error *why);
/* Whether one is under way that ends by itself. */
bool call_is_any_ending(const struct mesh_connection *c);
/* The call that these were made for is over; @unwanted: nobody waits for it, so they end, too, in
 * the next round of the loop. */
void call_orphan(struct mesh_call **children, bool unwanted);

/* --- serve.c --- */

struct mesh_incoming {
	struct mesh *mesh;
	struct mesh_connection *connection; /* NULL: abandoned */
	struct mesh_identity *identity;     /* abandoned: a copy, the connection may be gone */
	uint32_t stream;
	const struct method *method;
	struct loop_timer timer; /* the deadline, if any; abandoned: tells a late on_cancel */
	void (*cancelled)(void *context);
	void *cancelled_context;
	void (*writable)(void *context);
	void *writable_context;
	struct mesh_metadata *metadata; /* what came with it, or NULL */
	struct mesh_metadata *trailers; /* to go with the end, or NULL */
	bool answering;                 /* something of the answer has gone */
	struct mesh_call *children;     /* what the handler calls for it */
	struct replay *replay;          /* it has a request id */
	bool following;     /* another call runs for that id, in the replay's list of followers */
	int64_t credit;     /* bytes that the caller takes now; of no meaning if it has no window */
	bool told_slow;     /* mesh_send said false; in the connection's list of waiting */
	char *audit_object; /* NULL: not audited */
	bool ended;         /* the END is sent; the handler is about to be told */
	bool cancelling;    /* the handler is being told */
	UT_hash_handle hh;
	struct mesh_incoming *prev, *next; /* waiting, or abandoned */
};

struct mesh_incoming *serve_incoming_new(struct mesh_connection *c, uint32_t stream,
                                         const struct method *method, uint64_t timeout_us);
void serve_forget(struct mesh_incoming *in);
/* Nobody waits for @incoming any more: tells its handler, or abandons it. */
void serve_cancel(void *incoming);
void serve_take_cancel(struct mesh_connection *c, const struct frame *f);
/* The calls that were made for @in, by older and younger. */
struct mesh_call **serve_get_children(struct mesh_incoming *in);
/* Nobody waits for any of them. */
void serve_cancel_all(struct mesh_connection *c);
void serve_forget_abandoned(struct mesh *mesh);
/* Ends those that have no end: the reader comes back to somebody else. */
void serve_end_endless(struct mesh_connection *c, const struct error *why);
/* Whether one is under way that ends by itself. */
bool serve_is_any_ending(const struct mesh_connection *c);

/* --- serve_open.c --- */

/* Answers before any handler saw the call. */
void serve_refuse(struct mesh_connection *c, uint32_t stream, const char *method,
                  enum mesh_status status, const struct error *err);
/* Whether the program that @in came to has a handler for this method. */
bool serve_has(const struct mesh_incoming *in, const char *method);
/* @f begins a call; whether it may go on. Else it was refused. */
bool serve_may_open(struct mesh_connection *c, const struct frame *f);
/* All of its request is there. */
void serve_take_open(struct mesh_connection *c, const struct frame *f);

/* --- serve_reply.c --- */

/* An END without trailers, for a call that no handler ends. */
void serve_send_end(struct mesh_connection *c, uint32_t stream, enum mesh_status status,
                    const struct error *err, const ProtobufCMessage *reply);
void serve_audit_end(const struct mesh_incoming *in, enum mesh_status status,
                     const struct error *err, const ProtobufCMessage *reply);
void serve_take_window(struct mesh_connection *c, const struct frame *f);
/* The link's queue is short again. */
void serve_writable(struct mesh_connection *c);

/* --- audit.c --- */

/* For a call that just begins: what it is about, as fields of an audit_text, for the caller to free;
 * NULL: it is not audited. */
char *mesh_audit_request_new(const struct mesh *mesh, const char *method,
                             const ProtobufCMessage *request);

struct mesh_audit_call {
	const struct mesh_identity *who;
	uint32_t stream;
	const char *method;
	const char *object; /* of mesh_audit_request_new */
	bool not_begun;     /* it was refused before a handler saw it */
	enum mesh_status status;
	const struct error *err;       /* or NULL */
	const ProtobufCMessage *reply; /* or NULL */
};

/* It is over. Decides whether that is a line. */
void mesh_audit_call(const struct mesh *mesh, const struct mesh_audit_call *call);

/* The connection is over, for c->why: a line if that was the peer's fault. */
void mesh_audit_end(const struct mesh_connection *c);

/* --- serve_repeat.c --- */

/* Whether this call was made before: then it is being answered, now or later. Else @ret_replay is
 * what will remember it, or NULL if it has no request id. */
bool serve_is_repeated(struct mesh_connection *c, const struct frame *f,
                       const struct method *method, const ProtobufCBinaryData *request_id,
                       uint64_t timeout_us, struct replay **ret_replay);
/* @in ends so: it is kept, and those who follow get it. */
void serve_end_replay(struct mesh_incoming *in, const Drover__Mesh__End *end,
                      const ProtobufCMessage *payload);
