/* SPDX-License-Identifier: Apache-2.0 */
/* See capacity.h: the largest set of hosts that can be emptied together, and amounts of room.
 *
 * A set that cannot be emptied stays so when a host is added: more guests, fewer rooms. So a few hosts
 * are searched whole, each set at most once and none above one that failed; many are tried from
 * the cheapest on, where a host costs what its guests need and what was free on it. The same sum
 * bounds every set: what the hosts of a set cost together is at most what is free in the fleet. */
#include "coordinator/core/capacity/capacity.h"

#include "common/alloc.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- amounts --- */

uint64_t capacity_count_room(const struct plan_node *node, uint64_t need_bytes, uint32_t vcpus)
{
	uint64_t by_bytes, by_vcpus;

	if (node->takes != PLAN_FITS || !node->node->host.port_pool || !need_bytes)
		return 0;
	by_bytes = node->headroom_bytes / need_bytes;
	by_vcpus = vcpus && node->vcpu_room != UINT64_MAX ? node->vcpu_room / vcpus : UINT64_MAX;
	return by_bytes < by_vcpus ? by_bytes : by_vcpus;
}

uint64_t capacity_get_spare(const struct capacity *c, const struct node **ret_fullest,
                            uint64_t *ret_fullest_bytes)
{
	uint64_t spare = 0;

	*ret_fullest = NULL;
	*ret_fullest_bytes = 0;
	for (size_t i = 0; i < c->plan.count; i++) {
		uint64_t need = capacity_get_need(c, c->plan.nodes[i].node);

		if (!*ret_fullest || need > *ret_fullest_bytes) {
			*ret_fullest = c->plan.nodes[i].node;
			*ret_fullest_bytes = need;
		}
	}
	for (size_t i = 0; i < c->n_takers; i++)
		spare += c->plan.nodes[c->takers[i]].headroom_bytes;
	return spare;
}

/* --- one guest that is nowhere yet --- */

static int compare_places(const void *a, const void *b)
{
	const struct capacity_place *x = a, *y = b;

	if ((x->why == PLAN_FITS) != (y->why == PLAN_FITS))
		return x->why == PLAN_FITS ? -1 : 1;
	if (x->room_bytes != y->room_bytes)
		return x->room_bytes < y->room_bytes ? 1 : -1;
	return strcmp(x->node->kept.name, y->node->kept.name);
}

struct capacity_place *capacity_list_places(struct capacity *c, uint64_t need_bytes, uint32_t vcpus,
                                            const struct vm *like, size_t *ret_count)
{
	const struct sighting *home = like && like->node ? fleet_find_sighting(like, like->node)
	                                                 : NULL;
	struct capacity_place *places = xcalloc(c->plan.count + 1, sizeof(*places));
	uint64_t own = home ? home->state.overhead_bytes : 0;
	uint64_t overhead = own < need_bytes ? own : 0;
	/* A guest of a host that is in no fleet: plan_judge reads its need from there. */
	struct node nowhere = { 0 };
	struct vm vm = { .node = &nowhere };
	struct sighting sighting = { .node = &nowhere,
		                     .vm = &vm,
		                     .state = { .memory_bytes = need_bytes - overhead,
		                                .overhead_bytes = overhead,
		                                .vcpus = vcpus,
		                                .needs = home ? home->state.needs
		                                              : (struct guest_needs){ 0 } } };

	vm.sightings = &sighting;
	/* Where its like sees its host, it would see the same one. */
	nowhere.host.offers = home ? like->node->host.offers : NULL;
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct plan_node *p = &c->plan.nodes[i];
		struct capacity_place *place = &places[i];
		char room[UNITS_TEXT_BYTES];

		place->node = p->node;
		place->room_bytes = p->headroom_bytes;
		place->missing_bytes = need_bytes > p->headroom_bytes
		                               ? need_bytes - p->headroom_bytes
		                               : 0;
		place->why = plan_judge(c->fleet, p, &vm, true, c->now_ms, place->reason);
		if (place->why != PLAN_FITS)
			continue;
		units_format_bytes(p->headroom_bytes, room);
		if (p->node->host.cpus && vcpus > p->node->host.cpus)
			snprintf(place->reason, REASON_BYTES,
			         "%s free; %u vCPUs on %u CPUs would be slow", room, vcpus,
			         p->node->host.cpus);
		else
			snprintf(place->reason, REASON_BYTES, "%s free", room);
	}
	qsort(places, c->plan.count, sizeof(*places), compare_places);
	*ret_count = c->plan.count;
	return places;
}

/* --- the largest set --- */

struct candidate {
	const struct node *node;
	uint64_t cost; /* its guests, and what was free on it */
};

struct choice {
	struct capacity *capacity;
	struct candidate *all; /* the cheapest first */
	size_t count;
	const struct node **chosen, **best;
	size_t n_chosen, n_best;
	uint64_t spare;
	bool unknown; /* a set was not decided */
};

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return strcmp(x->node->kept.name, y->node->kept.name);
}

/* A host which cannot be left by somebody is in no set. */
static bool is_barred(const struct capacity *c, const struct node *node)
{
	if (!node_is_sure(node, c->now_ms))
		return true;
	for (const struct sighting *s = node->sightings; s; s = s->next) {
		const struct migration *m = s->vm->migration;

		if (vm_state_is_active(&s->state) && !s->vm->movable && !(m && m->kept.holds_slot))
			return true;
	}
	return false;
}

static size_t list_candidates(struct capacity *c, struct candidate **ret, size_t *ret_barred)
{
	struct candidate *all = xcalloc(c->plan.count + 1, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < c->plan.count; i++) {
		const struct plan_node *p = &c->plan.nodes[i];
		bool takes = p->takes == PLAN_FITS && p->node->host.port_pool;

		if (is_barred(c, p->node)) {
			++*ret_barred;
			continue;
		}
		all[n].node = p->node;
		all[n++].cost = capacity_get_need(c, p->node) + (takes ? p->headroom_bytes : 0);
	}
	qsort(all, n, sizeof(*all), compare_candidates);
	*ret = all;
	return n;
}

/* How many more than the @n chosen could be, of those from @from on, were only bytes counted. */
static size_t bound(const struct choice *choice, size_t from, uint64_t spent)
{
	size_t more = 0;

	for (size_t i = from; i < choice->count; i++) {
		if (choice->all[i].cost > choice->spare - spent)
			break;
		spent += choice->all[i].cost;
		more++;
	}
	return more;
}

static bool can_empty(struct choice *choice, const struct node *const *nodes, size_t count)
{
	struct capacity_answer answer = capacity_ask_drain(choice->capacity, nodes, count);
	bool yes = answer.verdict == PACKING_YES;

	choice->unknown |= answer.verdict == PACKING_UNKNOWN;
	capacity_answer_deinit(&answer);
	return yes;
}

static void keep(struct choice *choice)
{
	if (choice->n_chosen <= choice->n_best)
		return;
	choice->n_best = choice->n_chosen;
	memcpy(choice->best, choice->chosen, choice->n_chosen * sizeof(struct node *));
}

/* With or without each host from @i on. Depth: CAPACITY_EXACT_HOSTS. NOLINTBEGIN(misc-no-recursion) */
static void choose(struct choice *choice, size_t i, uint64_t spent)
{
	const struct candidate *host = &choice->all[i];

	if (i == choice->count || choice->n_chosen + bound(choice, i, spent) <= choice->n_best)
		return;
	choice->chosen[choice->n_chosen++] = host->node;
	if (spent + host->cost <= choice->spare &&
	    can_empty(choice, choice->chosen, choice->n_chosen)) {
		keep(choice);
		choose(choice, i + 1, spent + host->cost);
	}
	choice->n_chosen--;
	choose(choice, i + 1, spent);
}
/* NOLINTEND(misc-no-recursion) */

/* After the prefix failed somewhere, so many more are tried one by one. */
#define TRIED_MAX 16

/* The longest run of the cheapest that works, and a few more. */
static void choose_many(struct choice *choice, size_t at_most)
{
	size_t low = 0, high = at_most + 1;

	for (size_t i = 0; i < choice->count; i++)
		choice->chosen[i] = choice->all[i].node;
	while (low + 1 < high && choice->capacity->steps) {
		size_t middle = low + (high - low) / 2;

		if (can_empty(choice, choice->chosen, middle))
			low = middle;
		else
			high = middle;
	}
	choice->n_chosen = low;
	for (size_t i = low; i < choice->count && i < low + TRIED_MAX &&
	                     choice->n_chosen < at_most && choice->capacity->steps;
	     i++) {
		choice->chosen[choice->n_chosen] = choice->all[i].node;
		choice->n_chosen += can_empty(choice, choice->chosen, choice->n_chosen + 1);
	}
	keep(choice);
}

struct capacity_largest capacity_find_largest(struct capacity *c)
{
	struct capacity_largest largest = { 0 };
	struct choice choice = { .capacity = c };
	const struct node *fullest;
	uint64_t fullest_bytes;

	choice.count = list_candidates(c, &choice.all, &largest.barred);
	choice.chosen = xcalloc(choice.count + 1, sizeof(struct node *));
	choice.best = xcalloc(choice.count + 1, sizeof(struct node *));
	choice.spare = capacity_get_spare(c, &fullest, &fullest_bytes);
	largest.at_most = bound(&choice, 0, 0);
	if (choice.count <= CAPACITY_EXACT_HOSTS)
		choose(&choice, 0, 0);
	else
		choose_many(&choice, largest.at_most);
	largest.exact = choice.n_best == largest.at_most ||
	                (choice.count <= CAPACITY_EXACT_HOSTS && !choice.unknown && c->steps);
	if (largest.exact)
		largest.at_most = choice.n_best;
	/* It is known to be a yes: places for it are found in as many steps as before. */
	if (c->steps < 2 * CAPACITY_STEPS_EACH)
		c->steps = 2 * CAPACITY_STEPS_EACH;
	largest.answer = capacity_ask_drain(c, choice.best, choice.n_best);
	free(choice.all);
	free(choice.chosen);
	free(choice.best);
	return largest;
}
