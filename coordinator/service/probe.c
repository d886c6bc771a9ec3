/* SPDX-License-Identifier: Apache-2.0 */
/* `drover probe`: the source's agent measures the way to another node, and its answer is completed with
 * what the other one says. Nothing is decided here and no intent kept: nothing of the core takes part.
 * Owner thread. */
#include "coordinator/service/service_orders.h"

#include "common/alloc.h"
#include "coordinator/core/fleet_path.h"
#include "coordinator/view/view.h"
#include "proto/agent.rpc.h"
#include "proto/path_message.h"

#include <stdlib.h>

#define PROBE_TIMEOUT_MS 15000

struct probing {
	struct coordinator *c;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	char source[NODE_NAME_BYTES], target[NODE_NAME_BYTES];
};

static void unwanted(void *context)
{
	((struct probing *)context)->in = NULL;
}

static void reply_with(struct probing *p, const Drover__V1__ProbePathReply *from)
{
	Drover__V1__ProbeReply reply = DROVER__V1__PROBE_REPLY__INIT;
	const struct node *source = fleet_find_node(p->c->fleet, p->source);
	const struct node *target = fleet_find_node(p->c->fleet, p->target);
	struct path_estimate e;

	path_message_read(from->path, &e);
	if (source && target && e.method != PATH_NONE)
		fleet_complete_path(source, target, &e);
	reply.path = path_message_new(p->target, &e);
	reply.measured = from->measured;
	reply.why_not = from->why_not;
	reply.bytes = from->bytes;
	reply.took_ms = from->took_ms;
	reply.usable_bytes_per_s = path_usable(e.available_bytes_per_s, e.capacity_bytes_per_s, 0);
	mesh_reply(p->in, &reply.base);
	view_free(reply.path);
}

static void probed(const struct mesh_result *result, const Drover__V1__ProbePathReply *reply,
                   void *context)
{
	struct probing *p = context;

	if (p->in && result->status == MESH_OK)
		reply_with(p, reply);
	else if (p->in)
		mesh_fail(p->in, result->status, &result->error);
	free(p);
}

void order_probe(struct mesh_incoming *in, const Drover__V1__ProbeRequest *r, void *context)
{
	Drover__V1__ProbePathRequest request = DROVER__V1__PROBE_PATH_REQUEST__INIT;
	struct coordinator *c = context;
	struct mesh_connection *connection;
	struct node *source, *target;
	struct probing *p;
	struct error err = { 0 };

	if (fleet_get_node(c->fleet, r->node, &source, &err) < 0 ||
	    fleet_get_node(c->fleet, r->target, &target, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	connection = agents_find_connection(c, source->kept.name);
	if (source == target)
		error_set(&err, ERROR_INVALID, "a path leads from one node to another one");
	else if (!connection || !source->attached)
		error_set(&err, ERROR_UNREACHABLE, "the agent of %s is not connected",
		          source->kept.name);
	else if (!target->attached || !target->host.mesh_address[0])
		error_set(&err, ERROR_UNREACHABLE, "the agent of %s is not connected",
		          target->kept.name);
	if (err.code != ERROR_NONE) {
		mesh_fail_error(in, &err);
		return;
	}
	p = xnew(struct probing);
	p->c = c;
	p->in = in;
	text_copy(p->source, sizeof(p->source), source->kept.name);
	text_copy(p->target, sizeof(p->target), target->kept.name);
	mesh_incoming_on_cancel(in, unwanted, p);
	request.target_node = target->kept.name;
	request.target_address = target->host.mesh_address;
	request.epoch = c->fleet->epoch;
	agent_call_probe_path(connection, &request, PROBE_TIMEOUT_MS, probed, p);
}
