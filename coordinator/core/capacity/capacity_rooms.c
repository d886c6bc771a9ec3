/* SPDX-License-Identifier: Apache-2.0 */
/* See capacity.h: whether the guests of a set have a place each, as numbers for packing.c and the planner.
 *
 * packing.c counts memory and knows who may not go where (classes.h). vCPUs and huge pages are counted
 * here, over the places that it finds; where they are short the planner, which counts them all, looks for
 * others. */
#include "coordinator/core/capacity/capacity_private.h"

#include "common/alloc.h"
#include "coordinator/core/capacity/capacity_policies.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/planner/planner.h"

#include <stdlib.h>
#include <string.h>

struct wish;

struct question {
	const struct capacity *capacity;
	const struct capacity_answer *answer;
	const size_t *rooms;       /* of plan.nodes */
	const struct extra *extra; /* NULL: all is as it is */
	size_t n_rooms;
	const struct wish *wishes; /* per guest */
	bool counted;              /* vCPUs or huge pages have to be counted, too */
	const struct capacity_peers *peers;
};

/* What a guest takes besides memory, and where it cannot go whatever room there is. */
struct wish {
	struct plan_need need;
	uint32_t class_id;
	bool policy; /* one says something of it */
};

/* It has refused @vm, and with what is otherwise then would not: memory that is freed clears a refusal for
 * want of it, and none for a disk. */
static bool is_lifted(const struct question *q, const struct vm *vm, size_t at)
{
	const struct capacity *c = q->capacity;
	const struct plan_node *p = &c->plan.nodes[at];
	const struct refusal *known = refusals_find_known(vm, p->node, c->now_ms);

	if (!q->extra || !plan_only_refused(p->node, vm, c->now_ms))
		return false;
	if (known && q->extra->copy && refusals_yield_to_copy(known))
		return p->node->host.port_pool > 1;
	if (at != q->extra->node)
		return false;
	return known ? q->extra->lifted : refusals_are_of_room(vm, p->node);
}

static bool may_go(const void *context, size_t guest, size_t room)
{
	const struct question *q = context;
	const struct capacity *c = q->capacity;
	const struct plan_node *node = &c->plan.nodes[q->rooms[room]];
	const struct wish *wish = &q->wishes[guest];

	if (node->node == q->answer->guests[guest].vm->node)
		return false;
	if (!classes_allow(&c->classes, wish->class_id, q->rooms[room]) &&
	    !is_lifted(q, q->answer->guests[guest].vm, q->rooms[room]))
		return false;
	if (wish->policy && plan_judge(c->fleet, node, q->answer->guests[guest].vm, true, c->now_ms,
	                               NULL) == PLAN_POLICY)
		return false;
	return node->vcpu_room >= wish->need.vcpus &&
	       (!wish->need.page_bytes ||
	        plan_get_page_room(node, wish->need.page_bytes) >= wish->need.huge_bytes) &&
	       node->node->host.port_pool >= wish->need.ports;
}

static bool may_beside(const void *context, size_t guest, size_t room, const size_t *rooms)
{
	const struct question *q = context;

	return capacity_peers_allow(q->peers, guest, room, rooms);
}

/* What each asks for besides memory. False: nothing tells hosts apart but their memory. */
static bool read_wishes(struct capacity *c, const struct capacity_answer *answer, struct wish *ret,
                        bool *ret_counted)
{
	bool choosy = false, limited = false, huge = false;

	for (size_t i = 0; i < c->n_takers; i++)
		limited |= c->plan.nodes[c->takers[i]].vcpu_room != UINT64_MAX;
	for (size_t i = 0; i < answer->n_guests; i++) {
		plan_get_need(c->fleet, answer->guests[i].vm, &ret[i].need);
		ret[i].class_id = classes_get(&c->classes, answer->guests[i].vm);
		ret[i].policy = capacity_has_policy(c->fleet, answer->guests[i].vm);
		choosy |= ret[i].class_id || ret[i].need.ports > 1 || ret[i].policy;
		huge |= ret[i].need.page_bytes != 0;
	}
	*ret_counted = limited || huge;
	return choosy || limited || huge;
}

/* Whether these places have vCPUs and huge pages for those that are there together. */
static bool is_enough(const struct question *q, size_t n, const size_t *rooms)
{
	struct plan_node *left = xcalloc(q->n_rooms + 1, sizeof(*left));
	bool enough = true;

	for (size_t r = 0; r < q->n_rooms; r++)
		left[r] = q->capacity->plan.nodes[q->rooms[r]];
	for (size_t g = 0; g < n && enough; g++) {
		const struct plan_need *need = &q->wishes[g].need;
		struct plan_node *node = &left[rooms[g]];

		enough = node->vcpu_room >= need->vcpus &&
		         (!need->page_bytes ||
		          plan_get_page_room(node, need->page_bytes) >= need->huge_bytes);
		plan_take(node, need);
	}
	free(left);
	return enough;
}

/* More vCPUs than there are anywhere for them: no way to place them is worth a look. */
static bool lacks_vcpus(const struct question *q, size_t n, struct packing_answer *ret)
{
	uint64_t need = 0, room = 0;

	for (size_t g = 0; g < n; g++)
		need += q->wishes[g].need.vcpus;
	for (size_t r = 0; r < q->n_rooms; r++) {
		uint64_t own = q->capacity->plan.nodes[q->rooms[r]].vcpu_room;

		if (own == UINT64_MAX)
			return false;
		room += own;
	}
	if (need <= room)
		return false;
	*ret = (struct packing_answer){
		.verdict = PACKING_NO, .proof = PACKING_SHORT_OF_VCPUS, .need = need, .room = room
	};
	return true;
}

/* @most: only the roomiest; 0 = all. */
static size_t list_rooms(const struct capacity *c, const struct extra *extra, size_t most,
                         size_t *rooms, uint64_t *bytes)
{
	size_t n = 0;
	bool added = !extra || extra->node == SIZE_MAX;

	for (size_t i = 0; i < c->n_takers && (!most || n < most); i++) {
		size_t at = c->takers[i];

		if (c->in_set[at])
			continue;
		rooms[n] = at;
		bytes[n] = c->plan.nodes[at].headroom_bytes;
		if (extra && extra->node == at) {
			bytes[n] += extra->bytes;
			added = true;
		}
		n++;
	}
	if (!added) {
		rooms[n] = extra->node;
		bytes[n++] = extra->bytes;
	}
	return n;
}

/* The first sizes of huge pages that are wanted; those beyond are only checked afterwards. */
static void fill_pools(const struct question *q, struct instance *in, uint64_t *ret_pools)
{
	for (uint32_t g = 0; g < in->n_vms; g++) {
		uint64_t page_bytes = q->wishes[g].need.page_bytes;
		unsigned pool = 1;

		while (page_bytes && pool < INSTANCE_POOLS && ret_pools[pool] &&
		       ret_pools[pool] != page_bytes)
			pool++;
		if (!page_bytes || pool == INSTANCE_POOLS || ret_pools[pool])
			continue;
		ret_pools[pool] = page_bytes;
		for (size_t r = 0; r < q->n_rooms; r++) {
			uint64_t room = plan_get_page_room(&q->capacity->plan.nodes[q->rooms[r]],
			                                   page_bytes);

			in->hosts[r].free_bytes[pool] = room < PLAN_PAGES_UNKNOWN
			                                        ? room
			                                        : PLAN_PAGES_UNKNOWN;
		}
	}
}

static uint8_t find_pool(const uint64_t *pools, uint64_t page_bytes)
{
	for (uint8_t pool = 1; page_bytes && pool < INSTANCE_POOLS; pool++) {
		if (pools[pool] == page_bytes)
			return pool;
	}
	return 0;
}

/* Where packing.c gives up, the planner may still find a place for each: it makes room by chains of
 * guests that go elsewhere. What it finds is checked here before it is believed. */
static bool place_by_planner(struct packing *p, const struct question *q, size_t *ret_rooms)
{
	uint64_t effort = p->steps < PLANNER_EFFORT ? p->steps : PLANNER_EFFORT;
	uint64_t *left = xcalloc(p->n_rooms + 1, sizeof(*left));
	uint64_t pools[INSTANCE_POOLS] = { 0 };
	struct placement placement;
	struct instance in;
	bool all = true;

	instance_init(&in, (uint32_t)p->n_rooms + 1, (uint32_t)p->n_needs);
	in.hosts[p->n_rooms].open = false; /* where all of them are */
	for (size_t r = 0; r < p->n_rooms; r++) {
		left[r] = p->rooms[r];
		in.hosts[r].free_bytes[0] = in.hosts[r].capacity_bytes = p->rooms[r];
		in.hosts[r].vcpu_room = q->capacity->plan.nodes[q->rooms[r]].vcpu_room;
	}
	fill_pools(q, &in, pools);
	for (size_t h = 0; h <= p->n_rooms; h++)
		in.hosts[h].in_bytes_per_s = in.hosts[h].out_bytes_per_s = 1e9;
	for (size_t g = 0; g < p->n_needs; g++) {
		in.vms[g].key = g;
		in.vms[g].role = INSTANCE_LEAVES;
		in.vms[g].home = (uint32_t)p->n_rooms;
		in.vms[g].target = INSTANCE_NONE;
		in.vms[g].need_bytes = p->needs[g];
		in.vms[g].work_bytes = (double)p->needs[g];
		in.vms[g].vcpus = q->wishes[g].need.vcpus;
		in.vms[g].pool = find_pool(pools, q->wishes[g].need.page_bytes);
		if (in.vms[g].pool) {
			in.vms[g].overhead_bytes = p->needs[g];
			in.vms[g].need_bytes = q->wishes[g].need.huge_bytes;
		}
		in.vms[g].class_id = p->may ? instance_add_class(&in) : 0;
		for (size_t r = 0; p->may && r < p->n_rooms; r++) {
			if (!p->may(p->context, g, r))
				instance_forbid(&in, in.vms[g].class_id, (uint32_t)r);
		}
	}
	if (p->beside)
		capacity_peers_add_groups(q->peers, &in);
	instance_index(&in);
	place_make(&in, 0, effort, &placement);
	p->steps -= effort;
	for (size_t g = 0; g < p->n_needs && all; g++) {
		ret_rooms[g] = placement.targets[g];
		all = ret_rooms[g] < p->n_rooms && left[ret_rooms[g]] >= p->needs[g] &&
		      (!p->may || p->may(p->context, g, ret_rooms[g])) &&
		      (!p->beside || p->beside(p->context, g, ret_rooms[g], ret_rooms));
		if (all)
			left[ret_rooms[g]] -= p->needs[g];
	}
	all = all && is_enough(q, p->n_needs, ret_rooms);
	placement_deinit(&placement);
	instance_deinit(&in);
	free(left);
	return all;
}

static void ask_planner(struct packing *p, const struct question *q, struct packing_answer *found,
                        size_t *ret_rooms)
{
	size_t *rooms = xcalloc(p->n_needs + 1, sizeof(*rooms));

	found->roomiest = false;
	if (place_by_planner(p, q, rooms)) {
		*found = (struct packing_answer){ .verdict = PACKING_YES, .planned = true };
		memcpy(ret_rooms, rooms, p->n_needs * sizeof(*rooms));
	}
	free(rooms);
}

struct packing_answer capacity_solve(struct capacity *c, const struct capacity_answer *answer,
                                     const struct extra *extra, size_t most, size_t *ret_rooms)
{
	size_t *rooms = xcalloc(c->n_takers + 2, sizeof(*rooms));
	uint64_t *bytes = xcalloc(c->n_takers + 2, sizeof(*bytes));
	uint64_t *needs = xcalloc(answer->n_guests + 1, sizeof(*needs));
	struct wish *wishes = xcalloc(answer->n_guests + 1, sizeof(*wishes));
	struct capacity_peers peers = { 0 };
	struct question question = { .capacity = c,
		                     .answer = answer,
		                     .rooms = rooms,
		                     .extra = extra,
		                     .wishes = wishes,
		                     .peers = &peers };
	uint64_t allowed = c->steps < CAPACITY_STEPS_EACH ? c->steps : CAPACITY_STEPS_EACH;
	struct packing p = { .needs = needs,
		             .n_needs = answer->n_guests,
		             .rooms = bytes,
		             .steps = allowed,
		             .quick = most > 0,
		             .context = &question };
	struct packing_answer found;

	for (size_t i = 0; i < answer->n_guests; i++)
		needs[i] = answer->guests[i].need_bytes;
	p.n_rooms = list_rooms(c, extra, most, rooms, bytes);
	question.n_rooms = p.n_rooms;
	p.may = read_wishes(c, answer, wishes, &question.counted) ? may_go : NULL;
	p.beside = capacity_peers_init(&peers, c->fleet, answer) ? may_beside : NULL;
	found = packing_solve(&p, ret_rooms);
	/* packing.c counts bytes. What has no place for want of them has none; the rest is looked at. */
	if (question.counted && found.verdict != PACKING_NO &&
	    !lacks_vcpus(&question, answer->n_guests, &found) && found.verdict == PACKING_YES &&
	    !is_enough(&question, answer->n_guests, ret_rooms))
		found = (struct packing_answer){ .verdict = PACKING_UNKNOWN };
	c->steps -= allowed - p.steps;
	p.steps = c->steps;
	/* Drains go where the planner says: a place for each that only packing.c finds is for hands. */
	if (!p.quick && c->steps &&
	    (found.verdict == PACKING_UNKNOWN || (found.verdict == PACKING_YES && !found.roomiest)))
		ask_planner(&p, &question, &found, ret_rooms);
	if (!p.quick)
		c->steps = p.steps;
	c->steps -= c->steps < p.n_rooms ? c->steps : p.n_rooms;
	for (size_t i = 0; found.verdict == PACKING_YES && i < answer->n_guests; i++)
		ret_rooms[i] = rooms[ret_rooms[i]];
	free(rooms);
	free(bytes);
	capacity_peers_deinit(&peers);
	free(needs);
	free(wishes);
	return found;
}
