/* SPDX-License-Identifier: Apache-2.0 */
/* Soft policies: which hosts leave how many unmet. See policy.h. */
#include "coordinator/core/plan/plan.h"
#include "coordinator/core/policy/policy_private.h"

#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hosts that are wished for and of which it is said what they lack. */
#define NAMED_MAX 3

struct tally {
	const struct fleet *fleet;
	uint32_t *counts; /* by plan_index, as all here */
	uint32_t *turn;   /* the policy that counted last there */
	size_t n;
};

static void count_everywhere_but(struct tally *t, const struct node *but)
{
	for (size_t i = 0; i < t->n; i++)
		t->counts[i] += !but || but->plan_index != i;
}

static void count_once(struct tally *t, const struct node *node, uint32_t turn)
{
	if (!node || node->plan_index >= t->n || t->turn[node->plan_index] == turn)
		return;
	t->turn[node->plan_index] = turn;
	t->counts[node->plan_index]++;
}

/* At an instant from now on: as long as it moves it counts at both ends. */
static void count_presence(struct tally *t, const struct vm *vm, uint32_t turn)
{
	const struct migration *m = vm->migration;
	const char *drafted = policy_get_drafted_target(t->fleet, vm);

	count_once(t, vm->node, turn);
	count_once(t, vm->starts_on, turn);
	for (const struct sighting *s = vm->sightings; s; s = s->next_vm) {
		if (vm_state_is_active(&s->state))
			count_once(t, s->node, turn);
	}
	if (m && m->kept.holds_slot) {
		count_once(t, fleet_find_node(t->fleet, m->kept.source), turn);
		count_once(t, fleet_find_node(t->fleet, m->kept.target), turn);
	}
	if (drafted[0])
		count_once(t, fleet_find_node(t->fleet, drafted), turn);
}

static void count_apart(struct tally *t, const struct policy *policy, const struct vm *vm,
                        uint32_t turn)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *other = fleet_find_vm(t->fleet, policy->kept.vms.items[i]);

		if (other && other != vm)
			count_presence(t, other, turn);
	}
}

static void count_together(struct tally *t, const struct policy *policy, const struct vm *vm)
{
	bool starting = policy_is_starting(t->fleet), nowhere = false;
	const struct node *with = NULL;

	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *other = fleet_find_vm(t->fleet, policy->kept.vms.items[i]);
		const struct node *place;

		if (other == vm)
			continue;
		nowhere |= (!other || !other->node) && starting;
		place = other ? policy_get_place(t->fleet, other) : NULL;
		nowhere |= place && with && place != with;
		with = place ? place : with;
	}
	if (nowhere)
		count_everywhere_but(t, NULL);
	else if (with)
		count_everywhere_but(t, with);
}

static void count_on(struct tally *t, const struct policy *policy)
{
	for (const struct node *node = t->fleet->nodes; node; node = node->hh.next) {
		if (node->plan_index < t->n)
			t->counts[node->plan_index] += !policy_names_node(policy, node);
	}
}

uint32_t *policy_list_broken(const struct fleet *fleet, const struct vm *vm)
{
	struct tally t = { .fleet = fleet, .n = HASH_COUNT(fleet->nodes) };
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);

	for (size_t i = 0; i < count; i++) {
		if (!policies[i]->kept.soft)
			continue;
		if (!t.counts) {
			t.counts = xcalloc(t.n + 1, sizeof(*t.counts));
			t.turn = xcalloc(t.n + 1, sizeof(*t.turn));
		}
		if (policies[i]->kept.kind == POLICY_APART)
			count_apart(&t, policies[i], vm, (uint32_t)i + 1);
		else if (policies[i]->kept.kind == POLICY_TOGETHER)
			count_together(&t, policies[i], vm);
		else
			count_on(&t, policies[i]);
	}
	free(t.turn);
	return t.counts;
}

/* --- words --- */

static void append(char *text, const char *more)
{
	size_t used = strlen(text);

	snprintf(text + used, REASON_BYTES - used, "; %.200s", more);
}

static void say_what_lacks(const struct fleet *fleet, const struct vm *vm,
                           const struct policy *policy, const struct plan *plan, const char *open,
                           uint64_t now_ms, char *ret_text)
{
	char text[REASON_BYTES];
	size_t named = 0;

	for (size_t i = 0; i < plan->count && named < NAMED_MAX; i++) {
		const struct plan_node *p = &plan->nodes[i];

		if (p->node == vm->node || !policy_names_node(policy, p->node))
			continue;
		named++;
		if (plan_judge(fleet, p, vm, true, now_ms, text) == PLAN_FITS)
			snprintf(text, sizeof(text), "%s %s", p->node->kept.name, open);
		append(ret_text, text);
	}
	if (!named)
		append(ret_text, "there is no other such host");
}

bool policy_explain_wish(const struct fleet *fleet, const struct vm *vm, const struct node *node,
                         const struct plan *plan, const char *open, uint64_t now_ms, char *ret_text)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);

	for (size_t i = 0; i < count; i++) {
		const struct policy_record *kept = &policies[i]->kept;
		size_t used;

		if (!kept->soft || kept->kind != POLICY_ON || policy_names_node(policies[i], node))
			continue;
		used = (size_t)snprintf(ret_text, REASON_BYTES, "policy %s wants it on %s%.160s",
		                        kept->name, kept->selector[0] ? "hosts with " : "",
		                        kept->selector);
		for (size_t h = 0; h < kept->nodes.count && used < REASON_BYTES / 3; h++)
			used += (size_t)snprintf(ret_text + used, REASON_BYTES - used, "%s%.64s",
			                         h ? ", " : "", kept->nodes.items[h]);
		say_what_lacks(fleet, vm, policies[i], plan, open, now_ms, ret_text);
		return true;
	}
	return false;
}
