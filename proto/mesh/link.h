/* SPDX-License-Identifier: Apache-2.0 */
/* A link carries frames to and from one peer; a transport makes links.
 *
 *	owner thread                     couriers
 *	  link_send   ---- queue ---->   TLS, socket
 *	  events      <--- loop_post --- socket, TLS, frame reader
 *	  link_close  ---------------->  (socket closed; when nothing is under way any more the
 *	                                  link frees itself)
 *
 * All functions and all events are for the owner thread. After link_close no event comes any more
 * and the link must not be used. Messages in the mailbox hold a reference each, so a link that is
 * gone for its owner may still be named there.
 *
 * Both directions are bounded. Sending: the owner is told by link_get_queued_bytes and drained()
 * when the peer is slow, and must stop or close. Receiving: a link stops reading its socket while
 * the owner has more than LINK_UNREAD_MAX bytes to look at, which the peer then feels.
 */
#pragma once

#include "common/error.h"
#include "common/loop.h"
#include "proto/mesh/frame.h"
#include "proto/mesh/mesh.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LINK_HIGH_BYTES   (64 * 1024)                /* queued: mesh_send says "slow" */
#define LINK_LOW_BYTES    (32 * 1024)                /* drained() once it is down to this */
#define LINK_QUEUE_MAX    ((size_t)64 * 1024 * 1024) /* a peer that does not read is cut off */
#define LINK_UNREAD_MAX   ((size_t)256 * 1024)
#define LINK_ADDRESS_ROOM MESH_NAME_BYTES

struct tls;
struct link;

/* What a transport knows of a peer, before the peer has said anything. */
enum link_proof {
	LINK_PROOF_NONE,        /* in-process: it may say who it is */
	LINK_PROOF_UID,         /* ipc: the kernel says which user */
	LINK_PROOF_CERTIFICATE, /* tcp: @identity is proved */
};

struct link_peer {
	enum link_proof proof;
	uint32_t uid;
	struct mesh_identity identity; /* address is always there */
	/* CERTIFICATE: it is the CA's, but does not name a peer of the mesh; @identity is empty. */
	struct error nameless;
};

struct link_events {
	/* The transport is ready (connected, TLS done). Comes first. */
	void (*opened)(const struct link_peer *peer, void *context);
	void (*received)(const struct frame *frame, void *context);
	/* After link_get_queued_bytes was over LINK_HIGH_BYTES. */
	void (*drained)(void *context);
	/* The last event: close the link. */
	void (*failed)(const struct error *why, void *context);
};

/* All links of one mesh, and what they have in common. */
struct link_group {
	struct loop *loop;
	struct tls *tls; /* NULL: no tcp:// */
	uint32_t max_frame_bytes;
	struct link *first;
};

void link_send(struct link *l, struct chunk *chunk); /* takes it */
size_t link_get_queued_bytes(const struct link *l);
/* Of all bytes given to link_send, how many may have left. May be asked until link_close. */
uint64_t link_get_taken_bytes(const struct link *l);
/* No more bytes leave; returns link_get_taken_bytes as it will stay. Then closes. */
uint64_t link_close(struct link *l);

/* Whether the peer's proof would pass today; 0 where there is nothing to prove. */
int link_check_peer(struct link *l, bool *ret_revoked, struct error *err);

/* Closes all links and waits for their couriers. */
void link_group_close(struct link_group *group);

/* --- transports --- */

struct acceptor;

struct transport {
	const char *prefix; /* "tcp://" */
	bool needs_tls;
	/* Never fails: what goes wrong comes as failed(). */
	struct link *(*dial)(struct link_group *group, const char *url,
	                     const struct link_events *events, void *context);
	/* @accepted gets each new link, which has no owner yet: it calls link_own or link_close. */
	int (*listen)(struct link_group *group, const char *url,
	              void (*accepted)(struct link *l, void *context), void *context,
	              struct acceptor **ret_acceptor, struct error *err);
};

extern const struct transport transport_tcp, transport_ipc, transport_inproc;

/* NULL with an error that names the known ones. */
const struct transport *transport_find(const char *url, struct error *err);

/* From accepted(): events begin. */
void link_own(struct link *l, const struct link_events *events, void *context);

struct acceptor_ops {
	uint16_t (*get_port)(const struct acceptor *a);
	void (*close)(struct acceptor *a); /* waits for its courier, frees */
};

struct acceptor {
	const struct acceptor_ops *ops;
};

/* --- for implementations of transports --- */

struct link_ops {
	void (*start)(struct link *l); /* an accepted link got its owner */
	void (*send)(struct link *l, struct chunk *chunk);
	size_t (*get_queued_bytes)(const struct link *l);
	uint64_t (*get_taken_bytes)(const struct link *l);
	/* NULL: nothing to check */
	int (*check_peer)(struct link *l, bool *ret_revoked, struct error *err);
	/* The owner has looked at @bytes of frames. */
	void (*consumed)(struct link *l, size_t bytes);
	/* Stops; link_post_closed when no courier will touch it any more. */
	void (*close)(struct link *l);
	/* Waits for the couriers and gives back everything but @l itself. Once. */
	void (*release)(struct link *l);
};

struct link {
	const struct link_ops *ops;
	struct link_group *group; /* owner thread only */
	struct loop *loop;
	atomic_uint references;
	/* owner thread only */
	const struct link_events *events; /* NULL: nobody cares any more */
	void *context;
	bool closed, released;
	char address[LINK_ADDRESS_ROOM]; /* of an accepted link, for texts */
	struct link *prev, *next;        /* in the group */
};

/* @l is the first member of what malloc gave; it is freed when nothing refers to it. */
void link_init(struct link *l, const struct link_ops *ops, struct link_group *group);
void link_reference(struct link *l);
void link_unreference(struct link *l);

/* Any thread. */
void link_post_opened(struct link *l, const struct link_peer *peer);
/* @first: a list; @bytes is given back with consumed(). */
void link_post_frames(struct link *l, struct frame *first, size_t bytes);
void link_post_drained(struct link *l);
void link_post_failed(struct link *l, const struct error *why);
void link_post_closed(struct link *l); /* at most once, and nothing after it */
