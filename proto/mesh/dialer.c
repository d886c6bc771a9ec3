/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps one connection to one address alive, with gRPC's backoff: an attempt begins at the earliest
 * backoff after the one before began; the backoff grows by 1.6 and starts again once a connection
 * was ready. nng's own reconnect timing was found to be zero half of the time, so it is not used.
 * Owner thread. */
#include "proto/mesh/internal.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <utlist.h>

/* @ms, up to a fifth more or less: many agents that lost one coordinator must not come as one. */
static uint64_t with_jitter(uint64_t ms)
{
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof(random), 0);
	return ms * 4 / 5 + ms * 2 / 5 * random / UINT32_MAX;
}

static void attempt(void *context)
{
	struct mesh_dialer *d = context;

	d->attempt_ms = clock_now_ms();
	connection_dial(d);
}

struct mesh_dialer *mesh_dial(struct mesh *mesh, const char *url, enum mesh_role expect_role,
                              const char *expect_name)
{
	struct mesh_dialer *d = xnew(struct mesh_dialer);

	d->mesh = mesh;
	d->url = xstrdup(url);
	d->expect_role = expect_role;
	d->expect_name = expect_name ? xstrdup(expect_name) : NULL;
	d->backoff_ms = MESH_BACKOFF_FIRST_MS;
	d->retry = (struct loop_timer){ .fire = attempt, .context = d };
	DL_APPEND(mesh->dialers, d);

	d->transport = transport_find(url, &d->error);
	if (d->transport && d->transport->needs_tls && !mesh->tls) {
		error_set(
			&d->error, ERROR_INVALID,
			"cannot dial %s without a certificate: give a CA, a certificate and a key",
			url);
		d->transport = NULL;
	}
	if (d->transport && mesh->drain.begun) {
		error_set(&d->error, ERROR_UNREACHABLE, "this process is stopping");
	} else if (d->transport) {
		error_set(&d->error, ERROR_UNREACHABLE, "connecting to %s", url);
		attempt(d);
	}
	return d;
}

void mesh_dialer_free(struct mesh_dialer *d)
{
	if (!d)
		return;
	loop_timer_stop(d->mesh->loop, &d->retry);
	if (d->connection) {
		d->connection->dialer = NULL;
		mesh_connection_close(d->connection);
	}
	if (d->previous) {
		d->previous->dialer = NULL;
		mesh_connection_close(d->previous);
	}
	DL_DELETE(d->mesh->dialers, d);
	free(d->expect_name);
	free(d->url);
	free(d);
}

void dialer_connected(struct mesh_dialer *d)
{
	struct mesh_connection *old = d->previous;

	d->backoff_ms = MESH_BACKOFF_FIRST_MS;
	error_clear(&d->error);
	if (!old)
		return;
	old->dialer = NULL;
	d->previous = NULL;
	drain_retire(old);
}

void dialer_renew(struct mesh_dialer *d)
{
	if (d->previous || !d->connection || d->connection->state != CONNECTION_READY ||
	    d->mesh->drain.begun || d->mesh->stopping)
		return;
	d->previous = d->connection;
	d->connection = NULL;
	attempt(d);
}

void dialer_connection_finished(struct mesh_dialer *d, struct mesh_connection *c)
{
	if (d->previous == c) {
		d->previous = NULL;
		return;
	}
	d->connection = NULL;
	dialer_connection_ended(d, c->announced, &c->why);
}

void dialer_connection_ended(struct mesh_dialer *d, bool was_ready, const struct error *why)
{
	uint64_t now_ms = clock_now_ms();
	uint64_t due_ms = d->attempt_ms + with_jitter(d->backoff_ms);
	uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;

	d->error = *why;
	/* Also a connection that lived long is dialled again at slightly different times by each
	 * of those who lost it. */
	if (was_ready && wait_ms == 0)
		wait_ms = with_jitter(MESH_BACKOFF_FIRST_MS / 10);
	if (!was_ready) {
		d->backoff_ms = d->backoff_ms * 8 / 5;
		if (d->backoff_ms > MESH_BACKOFF_MOST_MS)
			d->backoff_ms = MESH_BACKOFF_MOST_MS;
	}
	if (!d->mesh->stopping && !d->mesh->drain.begun)
		loop_timer_start(d->mesh->loop, &d->retry, wait_ms);
}

void dialer_connection_leaving(struct mesh_dialer *d, struct mesh_connection *c,
                               const struct error *why)
{
	c->dialer = NULL;
	if (d->previous == c) {
		d->previous = NULL;
		return;
	}
	d->connection = NULL;
	dialer_connection_ended(d, true, why);
}

struct mesh_connection *mesh_dialer_find_connection(struct mesh_dialer *d)
{
	if (d->connection && d->connection->state == CONNECTION_READY)
		return d->connection;
	if (d->previous && d->previous->state == CONNECTION_READY)
		return d->previous;
	return NULL;
}

const struct error *mesh_dialer_get_error(const struct mesh_dialer *d)
{
	return &d->error;
}
