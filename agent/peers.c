/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to other agents: dialled when first needed, kept for the next time.
 *
 * The certificate must be that of the node we want to talk to, so a wrong address cannot make us
 * hand a guest to somebody else. Whoever waits gets one answer, with a deadline. Owner thread.
 */
#include "agent/agent.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer {
	char node[128];
	char *address; /* owned */
	struct mesh_dialer *dialer;
	struct peer *next;
};

struct waiter {
	struct agent *agent;
	char node[128];
	uint64_t give_up_ms;
	struct loop_timer timer;
	void (*ready)(struct mesh_connection *c, const struct error *err, void *context);
	void *context;
};

static struct peer *find_peer(struct agent *agent, const char *node)
{
	for (struct peer *p = agent->peers; p; p = p->next) {
		if (strcmp(p->node, node) == 0)
			return p;
	}
	return NULL;
}

static struct peer *get_peer(struct agent *agent, const char *node, const char *address)
{
	struct peer *p = find_peer(agent, node);

	if (p && strcmp(p->address, address) != 0) {
		/* It moved to another address: the old connection says nothing any more. */
		mesh_dialer_free(p->dialer);
		p->dialer = NULL;
		free(p->address);
		p->address = xstrdup(address);
	}
	if (!p) {
		p = xnew(struct peer);
		snprintf(p->node, sizeof(p->node), "%s", node);
		p->address = xstrdup(address);
		p->next = agent->peers;
		agent->peers = p;
	}
	if (!p->dialer)
		p->dialer = mesh_dial(agent->mesh, address, MESH_ROLE_AGENT, p->node);
	return p;
}

static void waiter_look(void *context)
{
	struct waiter *w = context;
	struct peer *p = find_peer(w->agent, w->node);
	struct mesh_connection *c = p && p->dialer ? mesh_dialer_find_connection(p->dialer) : NULL;

	if (c) {
		w->ready(c, NULL, w->context);
	} else if (clock_now_ms() >= w->give_up_ms || w->agent->stopping) {
		struct error err;
		const struct error *why = p && p->dialer ? mesh_dialer_get_error(p->dialer) : NULL;

		if (why && why->code != ERROR_NONE)
			err = *why;
		else
			error_set(&err, ERROR_UNREACHABLE, "no connection in time");
		error_context(&err, "agent of %s at %s", w->node, p ? p->address : "?");
		err.code = ERROR_UNREACHABLE;
		w->ready(NULL, &err, w->context);
	} else {
		loop_timer_start(w->agent->loop, &w->timer, PEERS_POLL_MS);
		return;
	}
	free(w);
}

void peers_with_connection(struct agent *agent, const char *node, const char *address,
                           uint64_t timeout_ms,
                           void (*ready)(struct mesh_connection *c, const struct error *err,
                                         void *context),
                           void *context)
{
	struct waiter *w = xnew(struct waiter);

	if (!agent->stopping)
		get_peer(agent, node, address);
	w->agent = agent;
	snprintf(w->node, sizeof(w->node), "%s", node);
	w->give_up_ms = clock_now_ms() + timeout_ms;
	w->ready = ready;
	w->context = context;
	w->timer.fire = waiter_look;
	w->timer.context = w;
	loop_timer_start(agent->loop, &w->timer, 0);
}

void peers_stop(struct agent *agent)
{
	for (struct peer *p = agent->peers, *next; p; p = next) {
		next = p->next;
		if (p->dialer)
			mesh_dialer_free(p->dialer);
		free(p->address);
		free(p);
	}
	agent->peers = NULL;
}
