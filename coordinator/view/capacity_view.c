/* SPDX-License-Identifier: Apache-2.0 */
/* See capacity_view.h. */
#include "coordinator/view/capacity_view.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "coordinator/view/view.h"

#include <stdlib.h>
#include <string.h>

/* As many as a person reads. */
#define REMEDIES_MAX 5

static const char *const refusal_words[] = {
	[PLAN_FITS] = "fits",
	[PLAN_IS_SOURCE] = "source",
	[PLAN_UNREACHABLE] = "unreachable",
	[PLAN_NO_INVENTORY] = "libvirt",
	[PLAN_OBSERVES] = "observes",
	[PLAN_CORDONED] = "cordoned",
	[PLAN_DRAINING] = "draining",
	[PLAN_MAINTENANCE] = "maintenance",
	[PLAN_NO_MEMORY] = "memory",
	[PLAN_NO_INBOUND] = "slots",
	[PLAN_NO_PORTS] = "port",
	[PLAN_REFUSED] = "refused",
	[PLAN_LISTS_IT] = "listed",
	[PLAN_SUSPECT] = "suspect",
	[PLAN_MARKED] = "marked",
	[PLAN_TOGETHER] = "together",
	[PLAN_PRESSURED] = "pressure",
	[PLAN_NO_VCPUS] = "vcpus",
	[PLAN_NO_PAGES] = "hugepages",
	[PLAN_NO_MACHINE] = "machine",
	[PLAN_OTHER_CPU] = "cpu",
	[PLAN_NO_NETWORK] = "network",
	[PLAN_POLICY] = "policy",
};
static_assert(ARRAY_SIZE(refusal_words) == PLAN_REFUSALS, "a refusal without a word");

static const char *proof_name(const struct capacity_answer *answer)
{
	if (answer->unmovable)
		return "guest";
	switch (answer->proof.proof) {
	case PACKING_NO_PLACE:
		return "no-place";
	case PACKING_TOO_MANY:
		return "too-many";
	case PACKING_TOO_LARGE:
		return "too-large";
	case PACKING_SEARCHED:
		return "searched";
	case PACKING_SHORT_OF_VCPUS:
		return "short-of-vcpus";
	case PACKING_NO_PROOF:
		break;
	}
	return answer->verdict == PACKING_UNKNOWN ? "not-searched" : "unreachable";
}

static Drover__V1__PlacementProof__Place *place_new(const struct capacity_place *p)
{
	Drover__V1__PlacementProof__Place *m = xmalloc(sizeof(*m));

	drover__v1__placement_proof__place__init(m);
	m->node = xstrdup(p->node->kept.name);
	m->check = xstrdup(refusal_words[p->why]);
	m->room_bytes = p->room_bytes;
	m->missing_bytes = p->missing_bytes;
	m->reason = xstrdup(p->reason);
	return m;
}

static const char *const help_names[] = {
	[CAPACITY_OPEN] = "open",         [CAPACITY_COPY] = "copy",   [CAPACITY_FREE] = "free",
	[CAPACITY_CHECK] = "check",       [CAPACITY_GUEST] = "guest", [CAPACITY_LEAVE] = "leave",
	[CAPACITY_SHUTDOWN] = "shutdown",
};
static_assert(ARRAY_SIZE(help_names) == CAPACITY_HELPS, "a help without a name");

static size_t find_remedies(struct capacity *c, const struct capacity_answer *answer,
                            struct capacity_remedy **ret)
{
	c->wall_ms = clock_wall_ms();
	return capacity_find_remedies(c, answer, REMEDIES_MAX, ret);
}

static void fill_remedies(struct capacity *c, const struct capacity_answer *answer,
                          Drover__V1__PlacementProof *m)
{
	struct capacity_remedy *found;
	size_t n = find_remedies(c, answer, &found);

	m->remedies = xcalloc(n + 1, sizeof(*m->remedies));
	for (size_t i = 0; i < n; i++) {
		Drover__V1__Remedy *r = xmalloc(sizeof(*r));

		drover__v1__remedy__init(r);
		r->text = xstrdup(found[i].text);
		r->kind = xstrdup(help_names[found[i].kind]);
		r->node = xstrdup(found[i].node);
		r->bytes = found[i].bytes;
		m->remedies[m->n_remedies++] = r;
	}
	free(found);
}

static Drover__V1__PlacementProof *proof_new(struct capacity *c,
                                             const struct capacity_answer *answer, bool remedies)
{
	const struct packing_answer *p = &answer->proof;
	Drover__V1__PlacementProof *m = xmalloc(sizeof(*m));

	drover__v1__placement_proof__init(m);
	m->kind = xstrdup(proof_name(answer));
	m->text = xstrdup(answer->reason);
	if (answer->guest)
		m->vm = xstrdup(answer->guest->name);
	m->at_least_bytes = p->at_least;
	m->guests = (uint32_t)p->guests;
	m->need_bytes = p->proof == PACKING_SEARCHED ? answer->need_bytes : p->need;
	m->places = (uint32_t)p->places;
	m->room_bytes = p->room;
	if (p->proof == PACKING_TOO_LARGE)
		m->missing_bytes = p->need - p->room;
	m->nodes = xcalloc(answer->n_places + 1, sizeof(*m->nodes));
	for (size_t i = 0; i < answer->n_places; i++) {
		m->nodes[m->n_nodes++] = place_new(&answer->places[i]);
		if (i == 0 || answer->places[i].missing_bytes < m->missing_bytes)
			m->missing_bytes = answer->places[i].missing_bytes;
	}
	if (remedies)
		fill_remedies(c, answer, m);
	return m;
}

static Drover__V1__DrainVm *placed_new(const struct capacity_guest *guest)
{
	Drover__V1__DrainVm *m = xmalloc(sizeof(*m));

	drover__v1__drain_vm__init(m);
	m->uuid = xstrdup(guest->vm->uuid);
	m->name = xstrdup(guest->vm->name);
	m->state = xstrdup("waiting");
	m->target = xstrdup(guest->target->kept.name);
	m->memory_bytes = guest->need_bytes;
	return m;
}

Drover__V1__DrainCapacity *capacity_view_new(struct capacity *c,
                                             const struct capacity_answer *answer, bool places,
                                             bool remedies)
{
	Drover__V1__DrainCapacity *m = xmalloc(sizeof(*m));
	bool yes = answer->verdict == PACKING_YES;

	drover__v1__drain_capacity__init(m);
	m->nodes = xcalloc(answer->n_nodes + 1, sizeof(*m->nodes));
	for (size_t i = 0; i < answer->n_nodes; i++)
		m->nodes[m->n_nodes++] = xstrdup(answer->nodes[i]->kept.name);
	m->verdict = xstrdup(capacity_verdict_name(answer->verdict));
	m->reason = xstrdup(answer->reason);
	m->guests = (uint32_t)answer->n_guests;
	m->need_bytes = answer->need_bytes;
	m->not_asked = (uint32_t)answer->n_unasked;
	m->by_hand = yes && answer->by_hand;
	if (!yes)
		m->proof = proof_new(c, answer, remedies);
	m->placed = xcalloc(answer->n_guests + 1, sizeof(*m->placed));
	for (size_t i = 0; yes && places && i < answer->n_guests; i++)
		m->placed[m->n_placed++] = placed_new(&answer->guests[i]);
	return m;
}

/* --- explanations --- */

/* All that are drained now, for their guests compete for the same room. */
static const struct node **list_draining(const struct fleet *fleet, size_t *ret_count)
{
	const struct node **list = xcalloc(HASH_COUNT(fleet->nodes) + 1, sizeof(struct node *));

	*ret_count = 0;
	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (node->kept.drain_number)
			list[(*ret_count)++] = node;
	}
	return list;
}

static size_t write_lines(struct capacity *c, const struct capacity_answer *answer, bool together,
                          char ***ret)
{
	struct capacity_remedy *found;
	size_t n = 0, remedies = find_remedies(c, answer, &found);
	char **lines = xcalloc(answer->n_places + remedies + 3, sizeof(*lines));

	lines[n++] = xasprintf("%s%s%s", answer->verdict == PACKING_NO ? "blocked, proved: " : "",
	                       together ? "with the other drains that are under way: " : "",
	                       answer->reason);
	for (size_t i = 0; i < answer->n_places && i < REMEDIES_MAX; i++)
		lines[n++] = xasprintf("  %s", answer->places[i].reason);
	for (size_t i = 0; i < remedies; i++)
		lines[n++] = xasprintf("%s %s", i ? "or" : "what would help:", found[i].text);
	if (!remedies && answer->verdict == PACKING_NO)
		lines[n++] = xstrdup("no single step was found that would help: more memory, or "
		                     "fewer guests");
	free(found);
	*ret = lines;
	return n;
}

size_t capacity_view_explain(const struct fleet *fleet, const struct node *node, uint64_t now_ms,
                             char ***ret)
{
	size_t n = 0, count;
	const struct node **all = list_draining(fleet, &count);
	struct capacity_answer answer;
	struct capacity c;

	*ret = NULL;
	capacity_init(&c, fleet, now_ms, CAPACITY_STEPS);
	answer = capacity_ask_drain(&c, &node, node->kept.drain_number ? 1 : 0);
	if (answer.verdict == PACKING_NO) {
		n = write_lines(&c, &answer, false, ret);
	} else if (count > 1) {
		capacity_answer_deinit(&answer);
		answer = capacity_ask_drain(&c, all, count);
		if (answer.verdict != PACKING_YES)
			n = write_lines(&c, &answer, true, ret);
	}
	capacity_answer_deinit(&answer);
	capacity_deinit(&c);
	free(all);
	return n;
}
