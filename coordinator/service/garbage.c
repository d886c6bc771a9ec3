/* SPDX-License-Identifier: Apache-2.0 */
/* `drover gc`: every agent that is meant looks at its own host, and the answers are put together.
 *
 *	CollectGarbage --> agents, all at once --> each: what went, what stays and why
 *	                                       '-> silent: named as such
 *
 * No intent is kept and nothing is decided here: what belongs to an attempt that is over, its own agent
 * knows. All that the coordinator adds is which reservations are of migrations whose sources have said
 * that they are over. So nothing of the core takes part. Who asked is in the audit chain. Owner thread. */
#include "coordinator/service/service_orders.h"

#include "common/alloc.h"
#include "common/log.h"
#include "coordinator/core/move/migration.h"
#include "coordinator/view/view.h"
#include "proto/agent.rpc.h"

#include <stdlib.h>
#include <string.h>

#define COLLECT_TIMEOUT_MS 30000
#define ITEMS_MAX          1000

struct gathering {
	struct coordinator *c;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	Drover__V1__GarbageReply *reply;
	unsigned pending; /* answers that are out, and one while it is being asked */
};

struct asking {
	struct gathering *gathering;
	char node[NODE_NAME_BYTES];
};

static void unwanted(void *context)
{
	((struct gathering *)context)->in = NULL;
}

/* --- the answers --- */

static bool same_attempt(const Drover__V1__Garbage *a, const Drover__V1__Garbage *b)
{
	return a->attempt && b->attempt && a->attempt->number == b->attempt->number &&
	       a->attempt->operation_id.len == b->attempt->operation_id.len &&
	       memcmp(a->attempt->operation_id.data, b->attempt->operation_id.data,
	              a->attempt->operation_id.len) == 0;
}

/* What a source saw on its destination, and the destination itself has spoken of. */
static bool is_told_better(const Drover__V1__GarbageReply *reply, const Drover__V1__Garbage *g)
{
	if (strcmp(g->node, g->reported_by) == 0)
		return false;
	for (size_t i = 0; i < reply->n_items; i++) {
		const Drover__V1__Garbage *own = reply->items[i];

		if (own != g && strcmp(own->reported_by, g->node) == 0 && same_attempt(own, g) &&
		    (strcmp(own->thing, g->thing) == 0 ||
		     (strcmp(own->thing, "directory") == 0 && strcmp(g->thing, "tunnel") == 0)))
			return true;
	}
	return false;
}

static void drop_doubles(Drover__V1__GarbageReply *reply)
{
	bool *doubled = xcalloc(reply->n_items + 1, sizeof(*doubled));
	size_t n = 0;

	for (size_t i = 0; i < reply->n_items; i++)
		doubled[i] = is_told_better(reply, reply->items[i]);
	for (size_t i = 0; i < reply->n_items; i++) {
		if (doubled[i])
			view_free(reply->items[i]);
		else
			reply->items[n++] = reply->items[i];
	}
	reply->n_items = n;
	free(doubled);
}

static void answer(struct gathering *g)
{
	if (--g->pending > 0)
		return;
	drop_doubles(g->reply);
	if (g->in)
		mesh_reply(g->in, &g->reply->base);
	view_free(g->reply);
	free(g);
}

static void take_item(struct gathering *g, const char *node, const Drover__V1__Garbage *from)
{
	Drover__V1__GarbageReply *reply = g->reply;
	const struct migration *m = NULL;
	Drover__V1__Garbage *item;
	struct id operation;

	if (reply->n_items == ITEMS_MAX || (unsigned)from->outcome > 3 || !from->attempt) {
		reply->more |= reply->n_items == ITEMS_MAX;
		return;
	}
	if (id_from_bytes(from->attempt->operation_id.data, from->attempt->operation_id.len,
	                  &operation) == 0)
		m = fleet_find_operation(g->c->fleet, &operation);
	item = xmalloc(sizeof(*item));
	drover__v1__garbage__init(item);
	item->attempt = xmalloc(sizeof(*item->attempt));
	drover__v1__attempt__init(item->attempt);
	item->attempt->operation_id.data = xmemdup(from->attempt->operation_id.data,
	                                           from->attempt->operation_id.len);
	item->attempt->operation_id.len = from->attempt->operation_id.len;
	item->attempt->number = from->attempt->number;
	item->attempt->epoch = from->attempt->epoch;
	item->vm_name = xstrdup(*from->vm_name ? from->vm_name : m ? m->kept.vm_name : "");
	item->thing = xstrdup(from->thing);
	item->node = xstrdup(from->node);
	item->outcome = from->outcome;
	item->what = xstrdup(from->what);
	item->text = xstrdup(from->text);
	item->remedy = xstrdup(from->remedy);
	item->reported_by = xstrdup(node);
	item->migration_number = m ? m->kept.number : 0;
	reply->items = xreallocarray(reply->items, reply->n_items + 1, sizeof(*reply->items));
	reply->items[reply->n_items++] = item;
}

static void put_node(struct gathering *g, const char *name, const char *problem)
{
	Drover__V1__GarbageReply *reply = g->reply;
	Drover__V1__GarbageNode *node = xmalloc(sizeof(*node));

	drover__v1__garbage_node__init(node);
	node->name = xstrdup(name);
	node->problem = xstrdup(problem);
	reply->nodes = xreallocarray(reply->nodes, reply->n_nodes + 1, sizeof(*reply->nodes));
	reply->nodes[reply->n_nodes++] = node;
}

static void collected(const struct mesh_result *result, const Drover__V1__CollectReply *reply,
                      void *context)
{
	struct asking *a = context;
	struct gathering *g = a->gathering;

	put_node(g, a->node, result->status == MESH_OK ? "" : result->error.text);
	for (size_t i = 0; reply && i < reply->n_items; i++)
		take_item(g, a->node, reply->items[i]);
	g->reply->more |= reply && reply->more;
	free(a);
	answer(g);
}

/* --- the questions --- */

/* Its own source has said so, and will never act on it again. */
static bool is_over(const struct fleet *fleet, const struct lease *lease)
{
	const struct migration *m = fleet_find_operation(fleet, &lease->attempt.operation);

	return m && migration_state_is_final(m->kept.state) && !m->kept.holds_slot &&
	       m->kept.report.tombstoned && m->kept.report.attempt.number >= lease->attempt.number;
}

static void fill_over(const struct coordinator *c, const struct node *node,
                      Drover__V1__CollectRequest *request)
{
	const struct host_state *h = &node->host;

	request->over = xcalloc(h->n_leases, sizeof(*request->over));
	for (size_t i = 0; i < h->n_leases; i++) {
		const struct attempt *from = &h->leases[i].attempt;
		Drover__V1__Attempt *to;

		if (!is_over(c->fleet, &h->leases[i]))
			continue;
		to = xmalloc(sizeof(*to));
		drover__v1__attempt__init(to);
		to->operation_id.data = xmemdup(from->operation.bytes, ID_BYTES);
		to->operation_id.len = ID_BYTES;
		to->number = from->number;
		to->epoch = from->epoch;
		request->over[request->n_over++] = to;
	}
}

static void ask(struct gathering *g, const struct node *node, const struct migration *m,
                bool dry_run)
{
	struct mesh_connection *connection = agents_find_connection(g->c, node->kept.name);
	Drover__V1__CollectRequest *request;
	struct asking *a;

	if (!connection || !node->attached) {
		put_node(g, node->kept.name,
		         node->kept.fenced ? "it was declared dead" : "its agent is not connected");
		return;
	}
	request = xmalloc(sizeof(*request));
	drover__v1__collect_request__init(request);
	request->epoch = g->c->fleet->epoch;
	request->dry_run = dry_run;
	if (m) {
		request->operation_id.data = xmemdup(m->kept.attempt.operation.bytes, ID_BYTES);
		request->operation_id.len = ID_BYTES;
	}
	fill_over(g->c, node, request);
	a = xnew(struct asking);
	a->gathering = g;
	text_copy(a->node, sizeof(a->node), node->kept.name);
	g->pending++;
	agent_call_collect_garbage(connection, request, COLLECT_TIMEOUT_MS, collected, a);
	view_free(request);
}

/* Of a migration that is over, or none is meant. */
static int find_migration(const struct coordinator *c, uint64_t number,
                          const struct migration **ret, struct error *err)
{
	*ret = NULL;
	if (!number)
		return 0;
	*ret = fleet_find_migration(c->fleet, number);
	if (!*ret)
		return error_set(err, ERROR_NOT_FOUND, "there is no migration/%llu",
		                 (unsigned long long)number);
	if (!migration_state_is_final((*ret)->kept.state))
		return error_set(
			err, ERROR_REFUSED,
			"migration/%llu is %s, and may need all that it has made; only what "
			"is over is cleaned up",
			(unsigned long long)number, migration_state_name((*ret)->kept.state));
	return 0;
}

static bool is_meant(const struct node *node, const struct node *only, const struct migration *m)
{
	if (m)
		return strcmp(node->kept.name, m->kept.source) == 0 ||
		       strcmp(node->kept.name, m->kept.target) == 0;
	return !only || only == node;
}

void order_garbage(struct mesh_incoming *in, const Drover__V1__GarbageRequest *r, void *context)
{
	struct coordinator *c = context;
	const struct migration *m;
	struct node *only = NULL, *node, *next;
	struct gathering *g;
	struct error err;

	if (find_migration(c, r->migration_number, &m, &err) < 0 ||
	    (*r->node && fleet_get_node(c->fleet, r->node, &only, &err) < 0)) {
		mesh_fail_error(in, &err);
		return;
	}
	g = xnew(struct gathering);
	g->c = c;
	g->in = in;
	g->pending = 1;
	g->reply = xmalloc(sizeof(*g->reply));
	drover__v1__garbage_reply__init(g->reply);
	mesh_incoming_on_cancel(in, unwanted, g);
	HASH_ITER (hh, c->fleet->nodes, node, next) {
		if (is_meant(node, only, m))
			ask(g, node, m, r->dry_run);
	}
	answer(g);
}
