/* SPDX-License-Identifier: Apache-2.0 */
/* See capacity.h. From the fleet to numbers for packing.c, and back to words. */
#include "coordinator/core/capacity/capacity_private.h"

#include "common/alloc.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/refusals.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdict_names[] = {
	[PACKING_UNKNOWN] = "unknown", [PACKING_YES] = "yes", [PACKING_NO] = "no"
};

const char *capacity_verdict_name(enum packing_verdict verdict)
{
	return verdict_names[verdict];
}

uint64_t capacity_guess_overhead(uint64_t memory_bytes)
{
	return 16 * MIB + 64 * MIB + memory_bytes / 500;
}

/* --- the fleet at one moment --- */

static bool takes_guests(const struct plan_node *p)
{
	return p->takes == PLAN_FITS && p->node->host.port_pool > 0;
}

static int compare_rooms(const void *a, const void *b)
{
	const struct plan_node *const *x = a, *const *y = b;

	if ((*x)->headroom_bytes != (*y)->headroom_bytes)
		return (*x)->headroom_bytes < (*y)->headroom_bytes ? 1 : -1;
	return strcmp((*x)->node->kept.name, (*y)->node->kept.name);
}

static void sort_takers(struct capacity *c)
{
	const struct plan_node **order = xcalloc(c->plan.count + 1, sizeof(*order));

	for (size_t i = 0; i < c->plan.count; i++) {
		if (takes_guests(&c->plan.nodes[i]))
			order[c->n_takers++] = &c->plan.nodes[i];
	}
	qsort(order, c->n_takers, sizeof(*order), compare_rooms);
	c->takers = xcalloc(c->plan.count + 1, sizeof(*c->takers));
	for (size_t i = 0; i < c->n_takers; i++)
		c->takers[i] = (size_t)(order[i] - c->plan.nodes);
	free(order);
}

void capacity_init(struct capacity *c, const struct fleet *fleet, uint64_t now_ms, uint64_t steps)
{
	*c = (struct capacity){ .fleet = fleet, .now_ms = now_ms, .steps = steps };
	plan_init(&c->plan, fleet, now_ms);
	classes_init(&c->classes, &c->plan, now_ms);
	c->classes.remembers = true;
	sort_takers(c);
	c->in_set = xcalloc(c->plan.count + 1, sizeof(*c->in_set));
}

void capacity_deinit(struct capacity *c)
{
	classes_deinit(&c->classes);
	plan_deinit(&c->plan);
	free(c->takers);
	free(c->in_set);
}

/* --- who has to go --- */

static const struct drain *find_drain_of(const struct fleet *fleet, const struct node *node)
{
	return node->kept.drain_number ? fleet_find_drain(fleet, node->kept.drain_number) : NULL;
}

/* A guest that is on its way out has its place already, one on its way in will need one. */
static bool has_to_go(const struct fleet *fleet, const struct node *node, const struct sighting *s)
{
	const struct drain *drain = find_drain_of(fleet, node);
	const struct migration *m = s->vm->migration;
	char reason[REASON_BYTES];

	if (!vm_state_is_active(&s->state))
		return false;
	if (m && m->kept.holds_slot && strcmp(m->kept.source, node->kept.name) == 0)
		return false;
	/* One that is shut down needs no place. */
	return !drain || (!drain_allows(fleet, drain, s->vm, reason) &&
	                  !drain_record_find_shutdown(&drain->kept, s->vm->uuid));
}

static bool comes_here(const struct migration *m, const struct node *node)
{
	return m && m->kept.holds_slot && strcmp(m->kept.target, node->kept.name) == 0;
}

static int compare_guests(const void *a, const void *b)
{
	const struct capacity_guest *x = a, *y = b;

	if (x->need_bytes != y->need_bytes)
		return x->need_bytes < y->need_bytes ? 1 : -1;
	return strcmp(x->vm->uuid, y->vm->uuid);
}

static void add_guests(const struct capacity *c, const struct node *node,
                       struct capacity_answer *answer, size_t *capacity)
{
	for (const struct sighting *s = node->sightings; s; s = s->next) {
		bool moves_in = comes_here(s->vm->migration, node);
		struct capacity_guest *guest;

		if (!has_to_go(c->fleet, node, s))
			continue;
		if (answer->n_guests == *capacity) {
			*capacity = *capacity ? 2 * *capacity : 32;
			answer->guests = xreallocarray(answer->guests, *capacity,
			                               sizeof(*answer->guests));
		}
		guest = &answer->guests[answer->n_guests++];
		*guest = (struct capacity_guest){ .vm = s->vm,
			                          .node = node,
			                          .need_bytes = vm_state_need_bytes(&s->state) };
		answer->need_bytes += guest->need_bytes;
		answer->n_unasked += !refusals_were_asked(s->vm, c->now_ms);
		if (!s->vm->movable && !moves_in && !answer->guest) {
			answer->guest = s->vm;
			answer->unmovable = true;
		}
	}
}

/* --- words --- */

/* What it has refused before counts, though it may be asked again by now; and what else it lacks, too. */
static void tell_known(const struct capacity *c, const struct vm *vm, struct capacity_place *place)
{
	const struct refusal *known = refusals_find_known(vm, place->node, c->now_ms);
	char reason[REASON_BYTES];

	if (!known || place->why == PLAN_IS_SOURCE || place->why == PLAN_REFUSED)
		return;
	text_copy(reason, sizeof(reason), place->reason);
	refusals_describe(known, place->reason);
	if (place->why != PLAN_FITS) {
		size_t used = strlen(place->reason);

		snprintf(place->reason + used, REASON_BYTES - used, "; and %.200s", reason);
		return;
	}
	place->why = PLAN_REFUSED;
}

static void list_places(const struct capacity *c, const struct capacity_answer *answer,
                        struct capacity_place **ret, size_t *ret_count)
{
	uint64_t need = answer->guests[answer->proof.guest].need_bytes;
	const struct vm *vm = answer->guest;

	*ret = xcalloc(c->plan.count + 1, sizeof(**ret));
	*ret_count = 0;
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct plan_node *p = &c->plan.nodes[i];
		struct capacity_place *place = &(*ret)[*ret_count];

		if (c->in_set[i])
			continue;
		place->node = p->node;
		place->room_bytes = p->headroom_bytes;
		place->missing_bytes = need > p->headroom_bytes ? need - p->headroom_bytes : 0;
		place->why = plan_judge(c->fleet, p, vm, true, c->now_ms, place->reason);
		tell_known(c, vm, place);
		(*ret_count)++;
	}
}

#define NAMED_MAX 4

/* "host2 3.2 GiB short of memory, host3 cordoned, and 17 more" */
static void name_places(const struct capacity_answer *answer, char *text, size_t bytes)
{
	size_t used = 0, i;

	text[0] = '\0';
	for (i = 0; i < answer->n_places && i < NAMED_MAX && used + 200 < bytes; i++)
		used += (size_t)snprintf(text + used, bytes - used, "%s%.160s", i ? ", " : "",
		                         answer->places[i].reason);
	if (i < answer->n_places)
		snprintf(text + used, bytes - used, ", and %zu more", answer->n_places - i);
	if (answer->n_places == 0)
		snprintf(text, bytes, "there is no other node");
}

static void describe_no(struct capacity_answer *answer)
{
	const struct packing_answer *p = &answer->proof;
	char a[UNITS_TEXT_BYTES], b[UNITS_TEXT_BYTES], d[UNITS_TEXT_BYTES], text[400];

	switch (p->proof) {
	case PACKING_NO_PLACE:
		name_places(answer, text, sizeof(text));
		snprintf(answer->reason, REASON_BYTES, "%.60s (%s) has no place: %s",
		         answer->guest->name, units_format_bytes(p->need, a), text);
		break;
	case PACKING_TOO_MANY:
		snprintf(answer->reason, REASON_BYTES,
		         "%" PRIu64 " of its guests need %s or more each, and elsewhere there is "
		         "room for %" PRIu64 " of that size",
		         p->guests, units_format_bytes(p->at_least, a), p->places);
		break;
	case PACKING_SHORT_OF_VCPUS:
		snprintf(answer->reason, REASON_BYTES,
		         "its guests have %" PRIu64 " vCPUs together, and the nodes that can take "
		         "any of them have %" PRIu64 " left",
		         p->need, p->room);
		break;
	case PACKING_TOO_LARGE:
		snprintf(answer->reason, REASON_BYTES,
		         "%" PRIu64 " of its guests need %s together, and the nodes that can take "
		         "any of them have %s: %s are missing",
		         p->guests, units_format_bytes(p->need, a), units_format_bytes(p->room, b),
		         units_format_bytes(p->need - p->room, d));
		break;
	default:
		snprintf(answer->reason, REASON_BYTES,
		         "its %zu guests (%s) fit in no combination: all of them were tried",
		         answer->n_guests, units_format_bytes(answer->need_bytes, a));
		break;
	}
}

/* --- the question --- */

static bool is_silent(struct capacity_answer *answer, uint64_t now_ms)
{
	for (size_t i = 0; i < answer->n_nodes; i++) {
		const struct node *node = answer->nodes[i];

		if (node_is_sure(node, now_ms))
			continue;
		answer->verdict = PACKING_NO;
		snprintf(answer->reason, REASON_BYTES, "%s %s: nobody can move its guests",
		         node->kept.name,
		         node_is_heard(node, now_ms) ? "has no connection to libvirt"
		                                     : "cannot be reached");
		return true;
	}
	return false;
}

static void take_places(struct capacity *c, struct capacity_answer *answer, const size_t *rooms)
{
	for (size_t i = 0; i < answer->n_guests; i++)
		answer->guests[i].target = c->plan.nodes[rooms[i]].node;
	answer->verdict = PACKING_YES;
	answer->by_hand = !answer->proof.roomiest && !answer->proof.planned && answer->n_guests > 0;
	if (answer->by_hand)
		snprintf(answer->reason, REASON_BYTES,
		         "tight: only with each guest in the place that is named; drover by itself "
		         "does not find them");
}

static void pack(struct capacity *c, struct capacity_answer *answer)
{
	size_t *rooms = xcalloc(answer->n_guests + 1, sizeof(*rooms));
	uint64_t before = c->steps;

	/* In a large fleet that is not full the roomiest hosts are enough. */
	if (c->n_takers > answer->n_guests + 1)
		answer->proof = capacity_solve(c, answer, NULL, answer->n_guests + 1, rooms);
	if (answer->proof.verdict != PACKING_YES)
		answer->proof = capacity_solve(c, answer, NULL, 0, rooms);
	answer->verdict = answer->proof.verdict;
	switch (answer->verdict) {
	case PACKING_YES:
		take_places(c, answer, rooms);
		break;
	case PACKING_NO:
		if (answer->proof.proof == PACKING_NO_PLACE) {
			assert(answer->guests);
			answer->guest = answer->guests[answer->proof.guest].vm;
			list_places(c, answer, &answer->places, &answer->n_places);
		}
		describe_no(answer);
		break;
	case PACKING_UNKNOWN:
		snprintf(answer->reason, REASON_BYTES,
		         "not proved within %" PRIu64 " steps: no place for each was found, nor "
		         "that there is none",
		         before - c->steps);
		break;
	}
	free(rooms);
}

void capacity_mark_set(struct capacity *c, const struct node *const *nodes, size_t count, bool is)
{
	for (size_t i = 0; i < c->plan.count; i++) {
		for (size_t k = 0; k < count; k++) {
			if (c->plan.nodes[i].node != nodes[k])
				continue;
			c->in_set[i] = is;
			/* Where its guests are says nothing of where others have to be. */
			c->plan.nodes[i].node->set_aside = is;
		}
	}
}

uint64_t capacity_get_need(const struct capacity *c, const struct node *node)
{
	struct capacity_answer answer = { 0 };
	size_t capacity = 0;

	add_guests(c, node, &answer, &capacity);
	free(answer.guests);
	return answer.need_bytes;
}

struct capacity_answer capacity_ask_drain(struct capacity *c, const struct node *const *nodes,
                                          size_t count)
{
	struct capacity_answer answer = { .n_nodes = count };
	size_t capacity = 0;

	answer.nodes = xcalloc(count + 1, sizeof(*answer.nodes));
	for (size_t i = 0; i < count; i++)
		answer.nodes[i] = nodes[i];
	for (size_t i = 0; i < count; i++)
		add_guests(c, nodes[i], &answer, &capacity);
	if (answer.n_guests)
		qsort(answer.guests, answer.n_guests, sizeof(*answer.guests), compare_guests);
	if (is_silent(&answer, c->now_ms))
		return answer;
	if (answer.guest) {
		answer.verdict = PACKING_NO;
		snprintf(answer.reason, REASON_BYTES, "%.60s cannot move: %.400s",
		         answer.guest->name, answer.guest->why_not);
		return answer;
	}
	capacity_mark_set(c, nodes, count, true);
	pack(c, &answer);
	capacity_mark_set(c, nodes, count, false);
	return answer;
}

void capacity_take_draft(struct capacity_answer *answer, const struct fleet *fleet,
                         struct drain *draft)
{
	for (size_t i = 0; answer->verdict == PACKING_YES && i < answer->n_guests; i++) {
		struct capacity_guest *guest = &answer->guests[i];
		const struct drain_vm *dv = drain_find_vm(draft, guest->vm->uuid);
		const struct node *target = dv ? fleet_find_node(fleet, dv->target) : NULL;

		if (dv && dv->state == DRAIN_VM_BLOCKED) {
			answer->verdict = PACKING_UNKNOWN;
			snprintf(answer->reason, REASON_BYTES,
			         "%.60s was refused where it was asked about: %.400s",
			         guest->vm->name, dv->reason);
		} else if (target && dv->checks.count) {
			guest->target = target;
		}
	}
}

void capacity_answer_deinit(struct capacity_answer *answer)
{
	free(answer->nodes);
	free(answer->guests);
	free(answer->places);
	*answer = (struct capacity_answer){ 0 };
}
