/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the calls that peers make. Owner thread.
 *
 *	serve_open.c    who may call, what with
 *	serve_repeat.c  whether it was made before
 *	serve_reply.c   answers, and the flow of streams
 *	here            for how long: deadlines, cancels, lost connections
 *
 *	LIVE --reply, fail, finish--> gone
 *	  \--cancel, deadline, connection lost--> cancelled callback --> gone
 *	                                     \--no callback--> ABANDONED --reply ...--> gone
 *
 * A call with a request id is never cancelled: it is abandoned, and its answer is kept. FOLLOWING is
 * a call with an id that runs already: it has no handler and gets that one's answer.
 */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

/* --- beginning and end --- */

static void deadline_passed(void *context);

struct mesh_incoming *serve_incoming_new(struct mesh_connection *c, uint32_t stream,
                                         const struct method *method, uint64_t timeout_us)
{
	struct mesh_incoming *in = xnew(struct mesh_incoming);

	in->mesh = c->mesh;
	in->connection = c;
	in->stream = stream;
	in->credit = c->peer_window_bytes;
	in->method = method;
	in->timer = (struct loop_timer){ .fire = deadline_passed, .context = in };
	if (timeout_us > 0)
		loop_timer_start(c->mesh->loop, &in->timer,
		                 timeout_us / 1000 + (timeout_us % 1000 > 0));
	HASH_ADD(hh, c->incoming, stream, sizeof(in->stream), in);
	return in;
}

void serve_forget(struct mesh_incoming *in)
{
	if (in->connection) {
		if (in->told_slow)
			DL_DELETE(in->connection->waiting, in);
		HASH_DEL(in->connection->incoming, in);
	} else {
		DL_DELETE(in->mesh->abandoned, in);
	}
	loop_timer_stop(in->mesh->loop, &in->timer);
	call_orphan(&in->children, false);
	if (in->following)
		DL_DELETE(in->replay->followers, in);
	free(in->audit_object);
	free(in->metadata);
	free(in->trailers);
	free(in->identity);
	free(in);
}

/* --- nobody waits any more --- */

/* What became of it is not known here, and is not made up. */
static void audit_left(const struct mesh_incoming *in)
{
	struct error err;

	error_set(&err, ERROR_UNKNOWN_OUTCOME,
	          "nobody waited for the answer any more; it may have had its effect");
	serve_audit_end(in, MESH_STATUS_UNKNOWN, &err, NULL);
}

static void tell_late(void *context)
{
	struct mesh_incoming *in = context;
	void (*cancelled)(void *) = in->cancelled;
	void *cancelled_context = in->cancelled_context;

	audit_left(in);
	serve_forget(in);
	cancelled(cancelled_context);
}

void serve_cancel(void *incoming)
{
	struct mesh_incoming *in = incoming;
	struct mesh_connection *c = in->connection;

	assert(c); /* abandoned once only */
	if (in->following) {
		serve_forget(in);
		return;
	}
	if (!in->replay)
		call_orphan(&in->children, true);
	if (in->cancelled && !in->replay) {
		in->cancelling = true;
		in->cancelled(in->cancelled_context);
		audit_left(in);
		serve_forget(in);
		return;
	}
	if (in->told_slow)
		DL_DELETE(c->waiting, in);
	in->told_slow = false;
	HASH_DEL(c->incoming, in);
	loop_timer_stop(in->mesh->loop, &in->timer);
	in->identity = xmemdup(&c->identity, sizeof(c->identity));
	in->connection = NULL;
	in->timer.fire = tell_late;
	DL_APPEND(in->mesh->abandoned, in);
}

static void deadline_passed(void *context)
{
	struct mesh_incoming *in = context;
	struct error err;

	(void)connection_drop(in->connection, in->stream);
	error_set(&err, ERROR_TIMEOUT, "%s: the deadline passed", in->method->name);
	serve_send_end(in->connection, in->stream, MESH_DEADLINE_EXCEEDED, &err, NULL);
	serve_cancel(in);
}

void serve_take_cancel(struct mesh_connection *c, const struct frame *f)
{
	struct mesh_incoming *in;

	/* Nobody reads what still waits, nor the request that has not all come. */
	(void)connection_drop(c, f->head.stream);
	parts_drop(&c->parts, f->head.stream);
	/* It may have been answered already, which the caller could not know. */
	HASH_FIND(hh, c->incoming, &f->head.stream, sizeof(f->head.stream), in);
	if (in)
		serve_cancel(in);
}

void serve_cancel_all(struct mesh_connection *c)
{
	while (c->incoming)
		serve_cancel(c->incoming);
}

static bool is_endless(const struct mesh_incoming *in)
{
	return in->method->server_streaming && !in->timer.due_ms;
}

void serve_end_endless(struct mesh_connection *c, const struct error *why)
{
	struct mesh_incoming *in = c->incoming;

	while (in) {
		if (!is_endless(in)) {
			in = in->hh.next;
			continue;
		}
		(void)connection_drop(c, in->stream);
		if (!in->ended)
			serve_send_end(c, in->stream, MESH_UNAVAILABLE, why, NULL);
		serve_cancel(in);
		/* The handler that was told may have ended others. */
		in = c->incoming;
	}
}

bool serve_is_any_ending(const struct mesh_connection *c)
{
	for (const struct mesh_incoming *in = c->incoming; in; in = in->hh.next) {
		if (!is_endless(in))
			return true;
	}
	return false;
}

void serve_forget_abandoned(struct mesh *mesh)
{
	while (mesh->abandoned) {
		struct mesh_incoming *in = mesh->abandoned;

		/* A handler that was to run to its end: there is nothing left to reply to. */
		if (in->replay && in->cancelled) {
			in->cancelling = true;
			in->cancelled(in->cancelled_context);
		}
		audit_left(in);
		serve_forget(in);
	}
}

/* --- for handlers --- */

const struct mesh_identity *mesh_incoming_get_identity(const struct mesh_incoming *in)
{
	return in->connection ? &in->connection->identity : in->identity;
}

struct mesh_connection *mesh_incoming_get_connection(const struct mesh_incoming *in)
{
	return in->connection;
}

const struct mesh_metadata *mesh_incoming_get_metadata(const struct mesh_incoming *in)
{
	static const struct mesh_metadata none;

	return in->metadata ? in->metadata : &none;
}

uint64_t mesh_incoming_get_timeout_ms(const struct mesh_incoming *in)
{
	uint64_t now_ms = clock_now_ms();

	if (!in->connection || !in->timer.due_ms)
		return 0;
	return in->timer.due_ms > now_ms ? in->timer.due_ms - now_ms : 1;
}

struct mesh_call **serve_get_children(struct mesh_incoming *in)
{
	return &in->children;
}

void mesh_incoming_on_cancel(struct mesh_incoming *in, void (*cancelled)(void *context),
                             void *context)
{
	in->cancelled = cancelled;
	in->cancelled_context = context;
	if (!in->connection && cancelled && !in->replay)
		loop_timer_start(in->mesh->loop, &in->timer, 0);
}
