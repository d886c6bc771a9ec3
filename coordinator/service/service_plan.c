/* SPDX-License-Identifier: Apache-2.0 */
/* See service_plan.h. */
#include "coordinator/service/service_plan.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "coordinator/view/capacity_view.h"
#include "coordinator/view/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of this many that cannot be emptied it is looked into what would help. */
#define HELPED_MAX 16

/* --- capacity --- */

static Drover__V1__GuestRoom *room_new(const struct capacity *c, uint64_t memory_bytes,
                                       uint32_t vcpus)
{
	Drover__V1__GuestRoom *m = xmalloc(sizeof(*m));

	drover__v1__guest_room__init(m);
	m->need_bytes = memory_bytes + capacity_guess_overhead(memory_bytes);
	m->vcpus = vcpus;
	m->nodes = xcalloc(c->plan.count + 1, sizeof(*m->nodes));
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct plan_node *p = &c->plan.nodes[i];
		Drover__V1__GuestRoom__Place *place = xmalloc(sizeof(*place));

		drover__v1__guest_room__place__init(place);
		place->node = xstrdup(p->node->kept.name);
		place->guests = (uint32_t)capacity_count_room(p, m->need_bytes, vcpus);
		if (p->takes != PLAN_FITS)
			place->reason = xstrdup(node_state_name(p->node->state));
		else if (!p->node->host.port_pool)
			place->reason = xstrdup("it has no migration port");
		else if (p->vcpu_room < vcpus)
			place->reason = xasprintf("%" PRIu64 " vCPUs left", p->vcpu_room);
		else if (p->node->host.cpus && vcpus > p->node->host.cpus)
			place->reason = xasprintf("%u vCPUs on its %u CPUs would be slow", vcpus,
			                          p->node->host.cpus);
		m->guests += place->guests;
		m->nodes[m->n_nodes++] = place;
	}
	return m;
}

/* @draft: what destinations have said of the guests of these nodes together; NULL: they were not asked. */
static void ask_each(struct capacity *c, const struct node *const *nodes, size_t count, bool named,
                     struct drain *draft, Drover__V1__Capacity *m)
{
	size_t helped = 0, open = 0;

	m->nodes = xcalloc(count + 1, sizeof(*m->nodes));
	for (size_t i = 0; i < count; i++) {
		struct capacity_answer answer = capacity_ask_drain(c, &nodes[i], 1);
		bool help = answer.verdict == PACKING_NO && helped < HELPED_MAX;

		if (draft && count == 1)
			capacity_take_draft(&answer, c->fleet, draft);
		helped += help;
		open += answer.verdict == PACKING_UNKNOWN;
		m->nodes[m->n_nodes++] = capacity_view_new(c, &answer, named, help);
		capacity_answer_deinit(&answer);
	}
	m->not_searched = xcalloc(4, sizeof(*m->not_searched));
	if (open)
		m->not_searched[m->n_not_searched++] = xasprintf(
			"%zu of %zu nodes: not every way to place their guests was tried "
			"in the %" PRIu64 " steps allowed; name a node to have it alone looked "
			"into",
			open, count, CAPACITY_STEPS);
}

static void ask_largest(struct capacity *c, Drover__V1__Capacity *m)
{
	struct capacity_largest largest = capacity_find_largest(c);

	m->largest = capacity_view_new(c, &largest.answer, false, false);
	m->at_most = (uint32_t)largest.at_most;
	m->exact = largest.exact;
	if (largest.barred)
		m->not_searched[m->n_not_searched++] = xasprintf(
			"%zu nodes are in no set: a guest there cannot move, or the node "
			"cannot be reached",
			largest.barred);
	if (!largest.exact)
		m->not_searched[m->n_not_searched++] = xasprintf(
			"sets of %zu to %zu nodes: some were not tried", largest.answer.n_nodes + 1,
			largest.at_most);
	capacity_answer_deinit(&largest.answer);
}

static void fill_rule(const struct capacity *c, Drover__V1__Capacity *m)
{
	const struct node *fullest;

	m->spare_bytes = capacity_get_spare(c, &fullest, &m->fullest_bytes);
	m->fullest = xstrdup(fullest ? fullest->kept.name : "");
	m->rule_nodes = m->fullest_bytes ? (uint32_t)(m->spare_bytes / m->fullest_bytes)
	                                 : (uint32_t)c->plan.count;
}

static bool is_among(const struct node *const *nodes, size_t n, const struct node *node)
{
	for (size_t i = 0; i < n; i++) {
		if (nodes[i] == node)
			return true;
	}
	return false;
}

/* Each once, however often it is named: else its guests would be counted twice. */
static int find_nodes(const struct fleet *fleet, const Drover__V1__CapacityRequest *r,
                      const struct node ***ret, size_t *ret_count, struct error *err)
{
	size_t n = 0;

	if (r->n_nodes > 2 * (size_t)HASH_COUNT(fleet->nodes) + 64)
		return error_set(err, ERROR_INVALID, "%zu nodes are named, and there are only %u",
		                 r->n_nodes, HASH_COUNT(fleet->nodes));
	*ret = xcalloc(r->n_nodes + HASH_COUNT(fleet->nodes) + 1, sizeof(struct node *));
	for (size_t i = 0; i < r->n_nodes; i++) {
		struct node *node;
		int rc = fleet_get_node(fleet, r->nodes[i], &node, err);

		if (rc < 0) {
			free(*ret);
			return rc;
		}
		if (!is_among(*ret, n, node))
			(*ret)[n++] = node;
	}
	if (n == 0) {
		for (const struct node *node = fleet->nodes; node; node = node->hh.next)
			(*ret)[n++] = node;
	}
	*ret_count = n;
	return 0;
}

static void reply_capacity(struct coordinator *coordinator, struct mesh_incoming *in,
                           const Drover__V1__CapacityRequest *r, struct drain *draft)
{
	const struct node **nodes = NULL;
	struct capacity_answer together;
	Drover__V1__Capacity *m;
	struct capacity c;
	struct error err;
	size_t count = 0;

	if (find_nodes(coordinator->fleet, r, &nodes, &count, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	m = xmalloc(sizeof(*m));
	drover__v1__capacity__init(m);
	m->asked = draft != NULL;
	capacity_init(&c, coordinator->fleet, clock_now_ms(), CAPACITY_STEPS);
	ask_each(&c, nodes, count, r->n_nodes > 0, draft, m);
	fill_rule(&c, m);
	if (r->guest_memory_bytes)
		m->room = room_new(&c, r->guest_memory_bytes, r->guest_vcpus);
	if (r->n_nodes && count > 1) {
		together = capacity_ask_drain(&c, nodes, count);
		if (draft)
			capacity_take_draft(&together, c.fleet, draft);
		m->together = capacity_view_new(&c, &together, true, true);
		capacity_answer_deinit(&together);
	} else if (r->n_nodes == 0) {
		ask_largest(&c, m);
	}
	mesh_reply(in, &m->base);
	view_free(m);
	capacity_deinit(&c);
	free(nodes);
}

/* What was asked, until the destinations have answered; one piece of memory. */
struct asked {
	Drover__V1__CapacityRequest request;
	char *nodes[]; /* their names behind them */
};

static struct asked *asked_new(const Drover__V1__CapacityRequest *r)
{
	size_t bytes = sizeof(struct asked) + r->n_nodes * sizeof(char *);
	struct asked *asked;
	char *to;

	for (size_t i = 0; i < r->n_nodes; i++)
		bytes += strlen(r->nodes[i]) + 1;
	asked = xcalloc(1, bytes);
	asked->request = *r;
	asked->request.nodes = asked->nodes;
	to = (char *)(asked->nodes + r->n_nodes);
	for (size_t i = 0; i < r->n_nodes; i++) {
		asked->nodes[i] = to;
		to = stpcpy(to, r->nodes[i]) + 1;
	}
	return asked;
}

/* Whatever came of it: hosts that cannot be asked are in the answer, too. */
static void were_asked(struct coordinator *c, struct mesh_incoming *in, const struct reply *reply,
                       void *context)
{
	const struct asked *asked = context;

	reply_capacity(c, in, &asked->request, reply->plan);
}

void handle_capacity(struct mesh_incoming *in, const Drover__V1__CapacityRequest *r, void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_DRAIN };
	const struct node **nodes = NULL;
	struct names names = { 0 };
	struct error err;
	size_t count = 0;

	if (!r->n_nodes) {
		reply_capacity(c, in, r, NULL);
		return;
	}
	if (find_nodes(c->fleet, r, &nodes, &count, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	free(nodes);
	names = (struct names){ .items = r->nodes, .count = r->n_nodes };
	e.drain.node = e.drain.reason = e.drain.plan_id = "";
	e.drain.nodes = &names;
	e.drain.dry_run = e.drain.asks_only = true;
	e.request = requests_add_then(c, in, were_asked, asked_new(r));
	coordinator_step(c, &e);
}

/* --- place --- */

/* The size that is asked for: the guest's own, or @r's with a guess of what QEMU needs. */
static int read_size(const struct fleet *fleet, const Drover__V1__PlaceRequest *r,
                     Drover__V1__PlaceReply *m, struct vm **ret_like, struct error *err)
{
	const struct sighting *home;
	struct vm *vm;
	int rc;

	m->vcpus = r->vcpus;
	if (!r->like[0] && !r->memory_bytes)
		return error_set(
			err, ERROR_INVALID,
			"the size of the guest is not said: memory, or a guest to be like");
	m->overhead_bytes = capacity_guess_overhead(r->memory_bytes);
	m->need_bytes = r->memory_bytes + m->overhead_bytes;
	if (!r->like[0])
		return 0;
	rc = fleet_get_vm(fleet, r->like, &vm, err);
	if (rc < 0)
		return rc;
	home = vm->node ? fleet_find_sighting(vm, vm->node) : vm->sightings;
	if (!home)
		return error_set(err, ERROR_NOT_FOUND, "no host lists %.64s: its size is not known",
		                 vm->name);
	*ret_like = vm;
	if (!r->vcpus)
		m->vcpus = home->state.vcpus;
	if (!r->memory_bytes) {
		m->overhead_bytes = home->state.overhead_bytes;
		m->need_bytes = vm_state_need_bytes(&home->state);
	}
	return 0;
}

static Drover__V1__PlaceReply__Place *choice_new(const struct capacity_place *from)
{
	Drover__V1__PlaceReply__Place *m = xmalloc(sizeof(*m));

	drover__v1__place_reply__place__init(m);
	m->node = xstrdup(from->node->kept.name);
	m->fits = from->why == PLAN_FITS;
	m->reason = xstrdup(from->reason);
	m->room_bytes = from->room_bytes;
	m->missing_bytes = from->missing_bytes;
	return m;
}

static void choose(const struct capacity_place *places, size_t count, Drover__V1__PlaceReply *m)
{
	size_t fits = 0;

	m->nodes = xcalloc(count + 1, sizeof(*m->nodes));
	for (size_t i = 0; i < count; i++) {
		fits += places[i].why == PLAN_FITS;
		m->nodes[m->n_nodes++] = choice_new(&places[i]);
	}
	if (!fits) {
		m->reason = xstrdup("no node can take it now");
		return;
	}
	m->node = xstrdup(places[0].node->kept.name);
	m->reason = xasprintf("the roomiest of %zu that can take it: it keeps the most room after",
	                      fits);
}

void handle_place(struct mesh_incoming *in, const Drover__V1__PlaceRequest *r, void *context)
{
	struct coordinator *coordinator = context;
	struct capacity_place *places;
	struct vm *like = NULL;
	Drover__V1__PlaceReply *m = xmalloc(sizeof(*m));
	struct capacity c;
	struct error err;
	size_t count;

	drover__v1__place_reply__init(m);
	if (read_size(coordinator->fleet, r, m, &like, &err) < 0) {
		mesh_fail_error(in, &err);
		view_free(m);
		return;
	}
	capacity_init(&c, coordinator->fleet, clock_now_ms(), CAPACITY_STEPS);
	places = capacity_list_places(&c, m->need_bytes, m->vcpus, like, &count);
	choose(places, count, m);
	mesh_reply(in, &m->base);
	view_free(m);
	free(places);
	capacity_deinit(&c);
}
