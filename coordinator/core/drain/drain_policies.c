/* SPDX-License-Identifier: Apache-2.0 */
/* See drain_policies.h. */
#include "coordinator/core/drain/drain_policies.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guest of the instance by its uuid. */
struct member {
	const struct vm *vm;
	uint32_t index;
	UT_hash_handle hh;
};

/* A class is made once for all guests that have the same hosts. */
struct known_class {
	uint32_t before; /* the class without policies */
	struct policy *const *policies;
	size_t count;
	uint32_t id;
};

struct builder {
	struct drain_problem *p;
	struct member *members; /* by vm */
	struct known_class *classes;
	size_t n_classes;
};

uint32_t drain_policies_count(const struct fleet *fleet)
{
	uint32_t count = 0;

	for (const struct policy *p = fleet->policies; p; p = p->hh.next)
		count += (uint32_t)p->kept.vms.count;
	return count;
}

static bool narrows(const struct policy *policy)
{
	return policy->kept.kind == POLICY_ON && !policy->kept.soft;
}

/* --- groups --- */

static struct member *find_member(const struct builder *b, const struct vm *vm)
{
	struct member *member;

	HASH_FIND_PTR(b->members, &vm, member);
	return member;
}

static void add_member(struct builder *b, const struct vm *vm, uint32_t index)
{
	struct member *member = xnew(struct member);

	member->vm = vm;
	member->index = index;
	HASH_ADD_PTR(b->members, vm, member);
}

/* One that stays is where it is, and needs nothing there any more. */
static struct member *add_stayer(struct builder *b, const struct vm *vm)
{
	const struct node *place = policy_get_place(b->p->fleet, vm);
	uint32_t home = place ? (uint32_t)place->plan_index : INSTANCE_NONE;
	struct instance *in = &b->p->in;

	if (home == INSTANCE_NONE)
		return NULL;
	in->vms[in->n_vms] = (struct instance_vm){
		.key = in->n_vms, .role = INSTANCE_STAYS, .home = home, .target = INSTANCE_NONE
	};
	b->p->who[in->n_vms] = vm;
	add_member(b, vm, in->n_vms++);
	return find_member(b, vm);
}

static bool concerns_any(const struct builder *b, const struct policy *policy)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *vm = fleet_find_vm(b->p->fleet, policy->kept.vms.items[i]);
		const struct member *member = vm ? find_member(b, vm) : NULL;

		if (member && b->p->in.vms[member->index].role == INSTANCE_LEAVES)
			return true;
	}
	return false;
}

static void add_group(struct builder *b, const struct policy *policy)
{
	uint32_t *vms = xcalloc(policy->kept.vms.count + 1, sizeof(*vms)), n = 0;
	struct drain_problem *p = b->p;

	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *vm = fleet_find_vm(p->fleet, policy->kept.vms.items[i]);
		const struct member *member = vm ? find_member(b, vm) : NULL;

		if (vm && !member)
			member = add_stayer(b, vm);
		if (member)
			vms[n++] = member->index;
	}
	if (n > 1) {
		p->policies[p->in.n_groups] = policy;
		instance_add_group(&p->in,
		                   policy->kept.kind == POLICY_APART ? INSTANCE_APART
		                                                     : INSTANCE_TOGETHER,
		                   !policy->kept.soft, vms, n);
	}
	free(vms);
}

/* --- classes --- */

/* @before: a class; the hosts of it that the guest's policies allow. */
static uint32_t get_class(struct builder *b, const struct vm *vm, uint32_t before)
{
	struct drain_problem *p = b->p;
	struct policy *const *policies;
	size_t count = policy_list_of(p->fleet, vm->uuid, &policies), n = 0;
	struct known_class *known;

	for (size_t i = 0; i < count; i++)
		n += narrows(policies[i]);
	if (!n)
		return before;
	for (size_t i = 0; i < b->n_classes; i++) {
		known = &b->classes[i];
		if (known->before == before && known->count == count &&
		    memcmp(known->policies, policies, count * sizeof(struct policy *)) == 0)
			return known->id;
	}
	b->classes = xreallocarray(b->classes, b->n_classes + 1, sizeof(*b->classes));
	known = &b->classes[b->n_classes++];
	*known = (struct known_class){ before, policies, count, instance_add_class(&p->in) };
	for (uint32_t h = 0; h < p->in.n_hosts; h++) {
		bool allowed = instance_allows(&p->in, before, h);

		for (size_t i = 0; i < count && allowed; i++)
			allowed = !narrows(policies[i]) ||
			          policy_names_node(policies[i], p->plan->nodes[h].node);
		if (!allowed)
			instance_forbid(&p->in, known->id, h);
	}
	return known->id;
}

static void narrow(struct builder *b)
{
	struct instance *in = &b->p->in;

	for (uint32_t v = 0; v < in->n_vms; v++) {
		if (in->vms[v].role == INSTANCE_LEAVES)
			in->vms[v].class_id = get_class(b, b->p->who[v], in->vms[v].class_id);
	}
}

/* Of those that leave. */
static void add_wish(struct builder *b, const struct policy *policy)
{
	struct drain_problem *p = b->p;
	uint32_t *vms = xcalloc(policy->kept.vms.count + 1, sizeof(*vms)), n = 0, wished;

	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *vm = fleet_find_vm(p->fleet, policy->kept.vms.items[i]);
		const struct member *member = vm ? find_member(b, vm) : NULL;

		if (member && p->in.vms[member->index].role == INSTANCE_LEAVES)
			vms[n++] = member->index;
	}
	wished = instance_add_class(&p->in);
	for (uint32_t h = 0; h < p->in.n_hosts; h++) {
		if (!policy_names_node(policy, p->plan->nodes[h].node))
			instance_forbid(&p->in, wished, h);
	}
	p->policies[p->in.n_groups] = policy;
	instance_add_wish(&p->in, wished, vms, n);
	free(vms);
}

/* --- all of it --- */

void drain_policies_add(struct drain_problem *p)
{
	struct builder b = { .p = p };
	struct member *member, *next;
	uint32_t leaving = p->in.n_vms;

	if (!p->fleet->policies)
		return;
	p->policies = xcalloc(HASH_COUNT(p->fleet->policies) + 1, sizeof(struct policy *));
	narrow(&b);
	for (uint32_t v = 0; v < leaving; v++) {
		if (p->who[v] && !find_member(&b, p->who[v]))
			add_member(&b, p->who[v], v);
	}
	for (const struct policy *policy = p->fleet->policies; policy; policy = policy->hh.next) {
		if (policy->kept.removed || narrows(policy) || !concerns_any(&b, policy))
			continue;
		if (policy->kept.kind == POLICY_ON)
			add_wish(&b, policy);
		else
			add_group(&b, policy);
	}
	HASH_ITER (hh, b.members, member, next) {
		HASH_DEL(b.members, member);
		free(member);
	}
	free(b.classes);
}

void drain_policies_deinit(struct drain_problem *p)
{
	free(p->policies);
}

/* --- words --- */

static void append(char *text, const char *before, const char *more)
{
	size_t used = strlen(text);

	snprintf(text + used, REASON_BYTES - used, "%s%s", used ? before : "", more);
}

#define AS_A_WISH "make policy %.48s a wish (--soft), or remove it: drover explain policy/%.48s"

static void say_apart(const struct policy *policy, const struct proof *proof, struct drain_vm *dv)
{
	snprintf(dv->reason, sizeof(dv->reason),
	         "no destination: policy %s keeps %llu guests that leave apart, and %llu hosts "
	         "could "
	         "take any of them",
	         policy->kept.name, (unsigned long long)proof->needed,
	         (unsigned long long)proof->available);
	snprintf(dv->helps, sizeof(dv->helps),
	         "another host, --leave for %llu of them, or: " AS_A_WISH,
	         (unsigned long long)proof->missing, policy->kept.name, policy->kept.name);
}

/* The hard policy that keeps it from some host, as things are. */
static const struct policy *find_bar(const struct drain_problem *p, const struct vm *vm)
{
	const struct policy *bar = NULL;

	for (size_t h = 0; h < p->plan->count && !bar; h++) {
		const struct node *node = p->plan->nodes[h].node;

		if (node != vm->node && p->plan->nodes[h].takes == PLAN_FITS)
			bar = policy_find_bar(p->fleet, vm, node, NULL);
	}
	return bar;
}

/* One that makes its way harder, though no single host is barred by it now. */
static const struct policy *find_hard(const struct drain_problem *p, const struct vm *vm)
{
	struct policy *const *policies;
	size_t count = policy_list_of(p->fleet, vm->uuid, &policies);

	for (size_t i = 0; i < count; i++) {
		if (!policies[i]->kept.soft)
			return policies[i];
	}
	return NULL;
}

void drain_policies_explain(const struct drain_problem *p, const struct proof *proof,
                            const struct vm *vm, struct drain_vm *dv)
{
	const struct policy *bar = p->fleet->policies ? find_bar(p, vm) : NULL;
	char text[REASON_BYTES];

	if (!p->fleet->policies)
		return;
	if (proof->kind == PROOF_APART) {
		say_apart(p->policies[proof->group], proof, dv);
		return;
	}
	if (!bar && proof->kind != PROOF_ALONE) {
		bar = find_hard(p, vm);
		if (bar) {
			snprintf(text, sizeof(text), "hard policy %s (%s) counts, too",
			         bar->kept.name, policy_kind_name(bar->kept.kind));
			append(dv->reason, "; ", text);
		}
	}
	if (!bar)
		return;
	snprintf(text, sizeof(text), AS_A_WISH, bar->kept.name, bar->kept.name);
	append(dv->helps, "; or ", text);
}

void drain_policies_tell_broken(struct fleet *fleet, struct drain *draft)
{
	struct plan plan = { 0 };

	for (size_t i = 0; fleet->policies && i < draft->n_vms; i++) {
		struct drain_vm *dv = &draft->vms[i];
		char text[REASON_BYTES];
		const struct node *target = fleet_find_node(fleet, dv->target);
		const struct vm *vm = fleet_find_vm(fleet, dv->uuid);

		dv->against[0] = '\0';
		if (!vm || !target || dv->state != DRAIN_VM_WAITING ||
		    !policy_count_broken(fleet, vm, target, dv->against))
			continue;
		if (!plan.nodes)
			plan_init(&plan, fleet, change_now(fleet));
		if (policy_explain_wish(fleet, vm, target, &plan, "has room for others of the plan",
		                        change_now(fleet), text))
			snprintf(dv->against, sizeof(dv->against), "%s: %.440s", dv->target, text);
	}
	plan_deinit(&plan);
}
