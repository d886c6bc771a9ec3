/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's connections to its coordinators: dial, say who we are, obey the highest epoch.
 *
 * After Attach the coordinator opens Agent.Watch over the same connection; everything else comes
 * from there. If Attach fails the connection is closed and the dialer tries again with its backoff.
 * Owner thread.
 */
#include "agent/agent.h"

#include "common/alloc.h"
#include "common/log.h"
#include "proto/coordinator.rpc.h"

#include <stdio.h>
#include <stdlib.h>

#define ATTACH_TIMEOUT_MS 10000

struct link {
	struct mesh_dialer *dialer;
	struct link *next;
};

struct attach_call {
	struct agent *agent;
	struct mesh_connection *connection;
	char name[MESH_NAME_BYTES];
};

static void attached(const struct mesh_result *result, const Drover__V1__AttachReply *reply,
                     void *context)
{
	struct attach_call *call = context;
	struct error err;

	if (result->status != MESH_OK) {
		log_warning("coordinator %s did not take us in: %s", call->name,
		            result->error.text);
		/* Unavailable: the connection is gone already. */
		if (result->status != MESH_UNAVAILABLE && result->status != MESH_CANCELLED)
			mesh_connection_close(call->connection);
	} else if (agent_see_epoch(call->agent, reply->epoch, &err) < 0) {
		log_warning("coordinator %s: %s", call->name, err.text);
		mesh_connection_close(call->connection);
	} else {
		log_info("attached to coordinator %s of cluster %s, epoch %llu", call->name,
		         reply->cluster, (unsigned long long)reply->epoch);
	}
	free(call);
}

void coordinators_connected(struct agent *agent, struct mesh_connection *c)
{
	Drover__V1__AttachRequest request = DROVER__V1__ATTACH_REQUEST__INIT;
	struct attach_call *call = xnew(struct attach_call);

	call->agent = agent;
	call->connection = c;
	snprintf(call->name, sizeof(call->name), "%s", mesh_connection_get_identity(c)->name);
	request.node = agent->settings->node;
	request.mesh_address = agent->settings->listen;
	request.agent_version = (char *)DROVER_VERSION; /* only read, as all of it */
	request.highest_epoch = agent->highest_epoch;
	request.boot_id.data = agent->boot_id.bytes;
	request.boot_id.len = ID_BYTES;
	coordinator_call_attach(c, &request, ATTACH_TIMEOUT_MS, attached, call);
}

void coordinators_start(struct agent *agent)
{
	for (size_t i = 0; i < agent->settings->coordinators.count; i++) {
		struct link *l = xnew(struct link);

		l->dialer = mesh_dial(agent->mesh, agent->settings->coordinators.items[i],
		                      MESH_ROLE_COORDINATOR, NULL);
		l->next = agent->links;
		agent->links = l;
	}
}

struct mesh_connection *coordinators_find_connection(struct agent *agent)
{
	for (struct link *l = agent->links; l; l = l->next) {
		struct mesh_connection *c = mesh_dialer_find_connection(l->dialer);

		if (c)
			return c;
	}
	return NULL;
}

void coordinators_stop(struct agent *agent)
{
	for (struct link *l = agent->links, *next; l; l = next) {
		next = l->next;
		mesh_dialer_free(l->dialer);
		free(l);
	}
	agent->links = NULL;
}
