/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping without breaking off what is under way: gRPC's GOAWAY. Owner thread.
 *
 *	we stop                                   the peer
 *	  GOAWAY {last_stream, drain_ms}  ---->   calls after last_stream: never sent; its dialer
 *	                                          makes another connection
 *	  calls up to last_stream go on   <--->   and so do ours
 *	  all ended, or time is up
 *	  GOAWAY {}                       ---->   hangs up
 *
 * What counts as under way is everything that ends by itself: unary calls and streams with a
 * deadline, in both directions and on all connections together, because a call on one of them may
 * need another. Streams without a deadline are ended at once. last_stream makes the announcement
 * exact: whichever of an OPEN and a GOAWAY left first, both sides agree whether the call is served.
 *
 * A peer whose HELLO lacks MESH_FEATURE_DRAIN would hang up on any GOAWAY, so it hears of the stop
 * only at the end, and its calls are served till then.
 *
 * Whether all has ended is looked at a few dozen times in a second, rather than told by each of the
 * many ways in which a call can end: it happens once in the life of a process.
 */
#include "proto/mesh/internal.h"

#include "common/clock.h"
#include "proto/mesh/frame.pb-c.h"

#include <assert.h>
#include <utlist.h>

#define TICK_MS 20

static void describe_stop(const struct mesh *mesh, struct error *ret)
{
	error_set(ret, ERROR_UNREACHABLE, "%s %s is stopping", mesh_role_name(mesh->self.role),
	          mesh->self.name);
}

static bool is_connection_busy(const struct mesh_connection *c)
{
	return c->state == CONNECTION_READY && (serve_is_any_ending(c) || call_is_any_ending(c) ||
	                                        c->parts.partials || !outbox_is_empty(&c->outbox));
}

static bool is_busy(const struct mesh *mesh)
{
	const struct mesh_connection *c;

	DL_FOREACH (mesh->connections, c) {
		if (is_connection_busy(c))
			return true;
	}
	return mesh->stillborn != NULL;
}

static void tick(void *context)
{
	struct mesh *mesh = context;
	struct mesh_connection *c;
	struct error why;

	if (!mesh->drain.hanging_up && is_busy(mesh) && clock_now_ms() < mesh->drain.until_ms) {
		loop_timer_start(mesh->loop, &mesh->drain.tick, TICK_MS);
		return;
	}
	mesh->drain.hanging_up = true;
	describe_stop(mesh, &why);
	DL_FOREACH (mesh->connections, c) {
		if (c->state == CONNECTION_READY)
			connection_refuse(c, &why);
	}
	if (mesh->connections)
		loop_timer_start(mesh->loop, &mesh->drain.tick, TICK_MS);
	else
		mesh->drain.drained(mesh->drain.context);
}

static void announce(struct mesh_connection *c, uint64_t timeout_ms, const struct error *why)
{
	Drover__Mesh__GoAway header = DROVER__MESH__GO_AWAY__INIT;

	if (c->state == CONNECTION_OPENING)
		connection_fail(c, why);
	if (c->state != CONNECTION_READY)
		return;
	if (c->peer_features & MESH_FEATURE_DRAIN) {
		c->told_leaving = true;
		c->last_taken_stream = c->last_peer_stream;
		header.last_stream = c->last_taken_stream;
		header.reason = (char *)why->text;
		header.drain_ms = timeout_ms < UINT32_MAX ? (uint32_t)timeout_ms : UINT32_MAX;
		connection_send(c, FRAME_GOAWAY, 0, &header.base);
	}
	serve_end_endless(c, why);
}

void mesh_drain(struct mesh *mesh, uint64_t timeout_ms, void (*drained)(void *context),
                void *context)
{
	struct mesh_connection *c;
	struct mesh_listener *l;
	struct mesh_dialer *d;
	struct error why;

	assert(!mesh->drain.begun && drained && timeout_ms > 0);
	mesh->drain = (struct drain){ .begun = true,
		                      .until_ms = clock_now_ms() + timeout_ms,
		                      .tick = { .fire = tick, .context = mesh },
		                      .drained = drained,
		                      .context = context };
	DL_FOREACH (mesh->listeners, l) {
		l->acceptor->ops->close(l->acceptor);
		l->acceptor = NULL;
	}
	DL_FOREACH (mesh->dialers, d)
		loop_timer_stop(mesh->loop, &d->retry);
	describe_stop(mesh, &why);
	DL_FOREACH (mesh->connections, c)
		announce(c, timeout_ms, &why);
	loop_timer_start(mesh->loop, &mesh->drain.tick, TICK_MS);
}

void drain_stop(struct mesh *mesh)
{
	if (mesh->drain.begun)
		loop_timer_stop(mesh->loop, &mesh->drain.tick);
}

void drain_take(struct mesh_connection *c, uint32_t last_stream, const char *reason)
{
	struct error why;

	c->leaving = true;
	error_set(&why, ERROR_UNREACHABLE, "%s", reason);
	/* First: whoever repeats a call must not find this connection again. */
	if (c->dialer)
		dialer_connection_leaving(c->dialer, c, &why);
	call_fail_after(c, last_stream, &why);
}

/* --- one connection --- */

static void describe_retirement(struct error *ret)
{
	error_set(ret, ERROR_UNREACHABLE,
	          "a newer connection, with newer certificates, has taken its place");
}

static void retire(void *context)
{
	struct mesh_connection *c = context;
	struct retirement *r = &c->retirement;
	uint64_t now_ms = clock_now_ms();
	struct error why;

	if (c->state != CONNECTION_READY || c->mesh->drain.begun)
		return;
	describe_retirement(&why);
	if (!r->until_ms) {
		r->until_ms = now_ms + MESH_RETIRE_MS;
		announce(c, MESH_RETIRE_MS, &why);
	} else if (!is_connection_busy(c) || now_ms >= r->until_ms) {
		connection_refuse(c, &why);
		return;
	}
	loop_timer_start(c->mesh->loop, &r->timer, TICK_MS);
}

void drain_retire(struct mesh_connection *c)
{
	c->retirement.timer = (struct loop_timer){ .fire = retire, .context = c };
	loop_timer_start(c->mesh->loop, &c->retirement.timer, MESH_RETIRE_GRACE_MS);
}
