/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for which reply of the core, and how a reply looks on the wire. Owner thread. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "coordinator/core/capacity/capacity.h"
#include "coordinator/core/plan/plan_memory.h"
#include "coordinator/failpoints.h"
#include "coordinator/service/service_policies.h"
#include "coordinator/view/view.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

/* Of the destinations that were not chosen, a dry run names so many. */
#define OTHERS_MAX 8

struct request {
	uint64_t number; /* key */
	struct coordinator *coordinator;
	struct mesh_incoming *in;
	char subject[VM_NAME_BYTES + 16]; /* what an explanation is about */
	request_then *then;               /* NULL: it is answered as it is */
	void *context;                    /* owned */
	UT_hash_handle hh;
};

static void forget(struct request *r)
{
	HASH_DEL(r->coordinator->requests, r);
	free(r->context);
	free(r);
}

static void unwanted(void *context)
{
	forget(context);
}

uint64_t requests_add(struct coordinator *c, struct mesh_incoming *in)
{
	return requests_add_then(c, in, NULL, NULL);
}

uint64_t requests_add_then(struct coordinator *c, struct mesh_incoming *in, request_then *then,
                           void *context)
{
	struct request *r = xnew(struct request);

	r->number = ++c->last_request;
	r->coordinator = c;
	r->in = in;
	r->then = then;
	r->context = context;
	HASH_ADD(hh, c->requests, number, sizeof(r->number), r);
	mesh_incoming_on_cancel(in, unwanted, r);
	return r->number;
}

void requests_set_subject(struct coordinator *c, uint64_t number, const char *kind,
                          const char *name)
{
	struct request *r;

	HASH_FIND(hh, c->requests, &number, sizeof(number), r);
	assert(r);
	snprintf(r->subject, sizeof(r->subject), "%s/%s", kind, name);
}

void requests_stop(struct coordinator *c)
{
	struct request *r, *next;

	HASH_ITER (hh, c->requests, r, next)
		forget(r);
}

static void reply_attach(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply)
{
	Drover__V1__AttachReply m = DROVER__V1__ATTACH_REPLY__INIT;

	m.epoch = reply->epoch;
	m.cluster = c->settings->cluster;
	mesh_reply(in, &m.base);
	agents_watch(c, reply->node, reply->epoch);
}

static void reply_drain(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply)
{
	Drover__V1__DrainReply m = DROVER__V1__DRAIN_REPLY__INIT;
	const struct drain *drain = reply->plan ? reply->plan
	                                        : fleet_find_drain(c->fleet, reply->drain);

	if (drain)
		m.drain = view_drain_new(c->fleet, drain, clock_wall_ms());
	m.refused = reply->refused;
	m.refusal = (char *)(reply->refusal ? reply->refusal : "");
	m.blockers = view_checks_new(&reply->checks);
	m.n_blockers = reply->checks.count;
	m.already = reply->already;
	m.note = (char *)reply->text;
	if (reply->plan)
		m.plan_id = (char *)reply->plan->plan_id;
	mesh_reply(in, &m.base);
	view_free(m.drain);
	for (size_t i = 0; i < m.n_blockers; i++)
		view_free(m.blockers[i]);
	free(m.blockers);
}

static void reply_node(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply)
{
	Drover__V1__NodeReply m = DROVER__V1__NODE_REPLY__INIT;
	const struct node *node = fleet_find_node(c->fleet, reply->node);

	if (node)
		m.node = view_node_new(c->fleet, node, clock_now_ms());
	m.changed = reply->changed;
	if (reply->plan)
		m.back = view_drain_new(c->fleet, reply->plan, clock_wall_ms());
	m.off = reply->off.items; /* only read */
	m.n_off = reply->off.count;
	mesh_reply(in, &m.base);
	view_free(m.node);
	view_free(m.back);
}

static void reply_fence(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply)
{
	Drover__V1__FenceReply m = DROVER__V1__FENCE_REPLY__INIT;
	const struct node *node = fleet_find_node(c->fleet, reply->node);

	if (node)
		m.node = view_node_new(c->fleet, node, clock_now_ms());
	m.changed = reply->changed;
	m.refused = reply->refused;
	m.refusal = (char *)(reply->refusal ? reply->refusal : "");
	m.effects = reply->effects.items; /* only read */
	m.n_effects = reply->effects.count;
	mesh_reply(in, &m.base);
	view_free(m.node);
}

/* Of a dry run: where it would go, how long it would take, and why there. */
static void fill_choice(const struct reply *reply, Drover__V1__MigrateReply *m)
{
	m->migration = xmalloc(sizeof(*m->migration));
	drover__v1__migration__init(m->migration);
	m->migration->target = xstrdup(reply->target);
	if (reply->one_node)
		return;
	if (reply->targets[0].fits)
		m->choice = xstrdup(reply->targets[0].reason);
	m->others = xcalloc(OTHERS_MAX, sizeof(*m->others));
	for (size_t i = 1; i < reply->n_targets; i++) {
		const struct target_view *from = &reply->targets[i];
		Drover__V1__Explanation__Target *t;

		if (m->n_others == OTHERS_MAX) {
			m->others_unsaid++;
			continue;
		}
		t = xmalloc(sizeof(*t));
		drover__v1__explanation__target__init(t);
		t->node = xstrdup(from->node);
		t->fits = from->fits;
		t->reason = xstrdup(from->reason);
		m->others[m->n_others++] = t;
	}
}

static void reply_migrate(struct coordinator *c, struct mesh_incoming *in,
                          const struct reply *reply)
{
	const struct migration *migration = fleet_find_migration(c->fleet, reply->migration);
	Drover__V1__MigrateReply *m = xmalloc(sizeof(*m));

	drover__v1__migrate_reply__init(m);
	if (migration)
		m->migration = view_migration_new(migration);
	else if (reply->target[0])
		fill_choice(reply, m);
	m->refused = reply->refused;
	if (reply->refusal)
		m->refusal = xstrdup(reply->refusal);
	m->checks = view_checks_new(&reply->checks);
	m->n_checks = reply->checks.count;
	m->guard = (Drover__V1__Guard)reply->guard;
	m->eta_ms = reply->eta_ms;
	m->prediction = view_prediction_new(&reply->prediction, &reply->settings);
	view_prediction_doubt(m->prediction, fleet_find_vm(c->fleet, reply->vm_uuid),
	                      &reply->prediction, clock_now_ms());
	mesh_reply(in, &m->base);
	view_free(m);
}

static void reply_tune(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply)
{
	Drover__V1__TuneReply *m = xmalloc(sizeof(*m));
	const struct migration *migration = fleet_find_migration(c->fleet, reply->migration);

	drover__v1__tune_reply__init(m);
	m->changed = reply->changed;
	m->text = xstrdup(reply->text);
	m->values = xcalloc(reply->n_values, sizeof(*m->values));
	for (size_t i = 0; i < reply->n_values; i++) {
		Drover__V1__TunedValue *v = xmalloc(sizeof(*v));

		drover__v1__tuned_value__init(v);
		v->name = xstrdup(reply->values[i].name);
		v->before = xstrdup(reply->values[i].before);
		v->after = xstrdup(reply->values[i].after);
		m->values[m->n_values++] = v;
	}
	if (migration)
		m->migration = view_migration_new(migration);
	mesh_reply(in, &m->base);
	view_free(m);
}

static void reply_cancel(struct mesh_incoming *in, const struct reply *reply)
{
	Drover__V1__CancelReply m = DROVER__V1__CANCEL_REPLY__INIT;

	m.changed = reply->changed;
	m.text = (char *)reply->text;
	mesh_reply(in, &m.base);
}

static Drover__V1__Explanation__Target *target_new(const struct target_view *from)
{
	Drover__V1__Explanation__Target *t = xmalloc(sizeof(*t));

	drover__v1__explanation__target__init(t);
	t->node = xstrdup(from->node);
	t->fits = from->fits;
	t->reason = xstrdup(from->reason);
	t->checks = view_checks_new(&from->checks);
	t->n_checks = from->checks.count;
	t->guard = (Drover__V1__Guard)from->guard;
	return t;
}

static void reply_explain(struct coordinator *c, struct mesh_incoming *in, const char *subject,
                          const struct reply *reply)
{
	const struct vm *vm = fleet_find_vm(c->fleet, reply->vm_uuid);
	Drover__V1__Explanation *m = xmalloc(sizeof(*m));
	const struct node *node;
	char choice[REASON_BYTES];

	drover__v1__explanation__init(m);
	m->subject = xstrdup(subject);
	m->lines = xcalloc(2, sizeof(*m->lines));
	if (reply->text[0])
		m->lines[m->n_lines++] = xstrdup(reply->text);
	node = reply->n_targets == 1 ? fleet_find_node(c->fleet, reply->targets[0].node) : NULL;
	if (vm && node && reply->targets[0].fits &&
	    capacity_explain_choice(c->fleet, vm, node, clock_now_ms(), choice))
		m->lines[m->n_lines++] = xstrdup(choice);
	m->targets = xcalloc(reply->n_targets, sizeof(*m->targets));
	for (size_t i = 0; i < reply->n_targets; i++)
		m->targets[m->n_targets++] = target_new(&reply->targets[i]);
	if (vm) {
		view_add_waiting_lines(c->fleet, vm, m);
		policy_view_add_lines(c->fleet, vm, m);
		if (!reply->one_node) {
			view_add_vm_lines(c->fleet, vm, clock_now_ms(), m);
			view_add_traffic_lines(vm, m);
		}
		m->n_settings = view_next_settings_new(c->fleet, vm, &m->settings);
	}
	mesh_reply(in, &m->base);
	view_free(m);
}

static void reply_plan(struct coordinator *c, struct mesh_incoming *in, const char *subject,
                       const struct reply *reply)
{
	const struct kept_plan *plan = plan_memory_find(c->fleet, reply->plan_id);
	Drover__V1__Explanation *m = xmalloc(sizeof(*m));

	drover__v1__explanation__init(m);
	m->subject = xstrdup(subject);
	if (plan)
		m->plan = view_plan_new(c->fleet, plan, &reply->effects);
	mesh_reply(in, &m->base);
	view_free(m);
}

static void answer(struct coordinator *c, const struct request *r, const struct reply *reply)
{
	struct mesh_incoming *in = r->in;

	switch (reply->kind) {
	case REPLY_FAILED:
		mesh_fail_error(in, &reply->error);
		break;
	case REPLY_ATTACH:
		reply_attach(c, in, reply);
		break;
	case REPLY_DRAIN:
		reply_drain(c, in, reply);
		break;
	case REPLY_NODE:
		reply_node(c, in, reply);
		break;
	case REPLY_MIGRATE:
		reply_migrate(c, in, reply);
		break;
	case REPLY_CANCEL:
		reply_cancel(in, reply);
		break;
	case REPLY_TUNE:
		reply_tune(c, in, reply);
		break;
	case REPLY_FENCE:
		reply_fence(c, in, reply);
		break;
	case REPLY_POLICY:
		reply_policy(c, in, reply);
		break;
	case REPLY_EXPLAIN:
		if (reply->plan_id[0])
			reply_plan(c, in, r->subject, reply);
		else
			reply_explain(c, in, r->subject, reply);
		break;
	}
}

void requests_reply(struct coordinator *c, const struct reply *reply)
{
	struct request *r;

	HASH_FIND(hh, c->requests, &reply->request, sizeof(reply->request), r);
	if (!r)
		return;
	if (reply->kind != REPLY_ATTACH)
		FAILPOINT(coordinator_before_reply);
	if (r->then)
		r->then(c, r->in, reply, r->context);
	else
		answer(c, r, reply);
	forget(r);
}
