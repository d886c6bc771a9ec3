/* SPDX-License-Identifier: Apache-2.0 */
/* Where peers come in, and who is let in. Owner thread.
 *
 *	accepted --> gate --open-----> the connection begins its handshake
 *	               |
 *	               +----crowded--> the oldest handshake that has stalled makes room, if there is one
 *	               |
 *	               +----full-----> turned away
 *
 * Whoever connects and says nothing costs a place and a TLS state; so those are limited, of each address
 * and of all (gate.h), before anything else is done for a stranger.
 */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define REFUSAL_LOG_MS 1000

/* --- who is let in --- */

/* The oldest handshake of the crowd, if it has stalled; connections stand in the order in which they
 * began. */
static struct mesh_connection *find_stalled(const struct mesh_connection *newcomer,
                                            const struct gate_place *crowd)
{
	struct mesh_connection *c;

	DL_FOREACH (newcomer->mesh->connections, c) {
		if (c == newcomer || newcomer->begin_ms < c->begin_ms + GATE_STALLED_MS)
			return NULL;
		if (c->place == crowd && !c->announced)
			return c;
	}
	return NULL;
}

/* False: somebody has to come again. */
static bool make_room(struct mesh_connection *newcomer, enum gate_verdict verdict)
{
	const struct gate *gate = &newcomer->listener->gate;
	struct mesh_connection *stalled;
	struct error why;

	if (verdict != GATE_CROWDED && verdict != GATE_ADDRESS_CROWDED)
		return false;
	stalled = find_stalled(newcomer, gate_find_crowd(gate, newcomer->place, verdict));
	if (!stalled)
		return false;
	error_set(&why, ERROR_BUSY,
	          "its handshake had stalled for %llu ms and made room for another",
	          (unsigned long long)(newcomer->begin_ms - stalled->begin_ms));
	newcomer->mesh->counts.made_room++;
	connection_fail(stalled, &why);
	return true;
}

static void turn_away(struct mesh_connection *c, enum gate_verdict verdict)
{
	const struct gate_limits *limits = &c->listener->gate.limits;
	const char *url = c->listener->url;
	struct error err;

	switch (verdict) {
	case GATE_FULL:
		error_set(&err, ERROR_BUSY, "%s has %u connections already (connections/total)",
		          url, limits->connections);
		break;
	case GATE_ADDRESS_FULL:
		error_set(&err, ERROR_BUSY,
		          "%s has %u connections of this address already (connections/perAddress)",
		          url, limits->connections_per_address);
		break;
	case GATE_CROWDED:
		error_set(&err, ERROR_BUSY,
		          "%s has %u handshakes under way already (connections/handshakes)", url,
		          limits->handshakes);
		break;
	case GATE_ADDRESS_CROWDED:
		error_set(&err, ERROR_BUSY,
		          "%s has %u handshakes of this address under way already "
		          "(connections/handshakesPerAddress)",
		          url, limits->handshakes_per_address);
		break;
	case GATE_OPEN:
		abort();
	}
	c->mesh->counts.turned_away++;
	connection_fail(c, &err);
}

void listener_accept(struct mesh_listener *l, struct link *link)
{
	struct mesh_connection *c = connection_accept(l, link);
	enum gate_verdict verdict;

	c->place = gate_enter(&l->gate, link->address, &verdict);
	if (verdict == GATE_OPEN || make_room(c, verdict))
		connection_let_in(c);
	else
		turn_away(c, verdict);
}

static void accepted(struct link *link, void *context)
{
	listener_accept(context, link);
}

/* Somebody who was never let in has no owner who could be told; operators look in the log. A
 * flood of strangers must not become a flood of lines. */
void listener_log_refusal(struct mesh_connection *c)
{
	struct mesh *mesh = c->mesh;
	uint64_t now_ms = clock_now_ms();

	/* Whoever only looked whether somebody listens was not refused. */
	if (c->why.code == ERROR_UNREACHABLE) {
		log_debug("mesh: %s left again: %s", c->address, c->why.text);
		return;
	}
	if (now_ms < mesh->refusal_log_ms + REFUSAL_LOG_MS) {
		mesh->refusals_unlogged++;
		return;
	}
	if (mesh->refusals_unlogged > 0)
		log_warning("mesh: refused %u more connections since the last such line",
		            mesh->refusals_unlogged);
	log_warning("mesh: refused a connection from %s: %s", c->address, c->why.text);
	mesh->refusal_log_ms = now_ms;
	mesh->refusals_unlogged = 0;
}

/* --- where --- */

int mesh_listen(struct mesh *mesh, const char *url, struct error *err)
{
	const struct transport *transport = transport_find(url, err);
	struct mesh_listener *l;
	int rc;

	if (!transport)
		return -ERROR_INVALID;
	if (transport->needs_tls && !mesh->tls)
		return error_set(err, ERROR_INVALID,
		                 "cannot listen on %s without a certificate: give a CA, a "
		                 "certificate and a key",
		                 url);
	l = xnew(struct mesh_listener);
	l->mesh = mesh;
	l->gate.limits = mesh->limits;
	rc = transport->listen(&mesh->links, url, accepted, l, &l->acceptor, err);
	if (rc < 0) {
		free(l);
		return rc;
	}
	l->url = xstrdup(url);
	DL_APPEND(mesh->listeners, l);
	return 0;
}

uint16_t mesh_get_port(const struct mesh *mesh, const char *url)
{
	const struct mesh_listener *l;

	DL_FOREACH (mesh->listeners, l) {
		if (strcmp(l->url, url) == 0 && l->acceptor)
			return l->acceptor->ops->get_port(l->acceptor);
	}
	return 0;
}

void listener_free(struct mesh_listener *l)
{
	if (l->acceptor)
		l->acceptor->ops->close(l->acceptor);
	DL_DELETE(l->mesh->listeners, l);
	gate_deinit(&l->gate);
	free(l->url);
	free(l);
}
