/* SPDX-License-Identifier: Apache-2.0 */
/* Which guest has which policies, and what stands between a guest and a host. See policy.h. */
#include "coordinator/core/policy/policy_private.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guest's policies: every choice of a destination asks for them. */
struct policy_seat {
	char uuid[VM_UUID_BYTES];
	struct policy **policies; /* owned; each borrowed */
	size_t count;
	UT_hash_handle hh;
};

/* --- the books --- */

static void clear_seats(struct fleet *fleet)
{
	struct policy_seat *seat, *next;

	HASH_ITER (hh, fleet->policy_seats, seat, next) {
		HASH_DEL(fleet->policy_seats, seat);
		free(seat->policies);
		free(seat);
	}
}

static void seat_policy(struct fleet *fleet, struct policy *policy, const char *uuid)
{
	struct policy_seat *seat;

	HASH_FIND_STR(fleet->policy_seats, uuid, seat);
	if (!seat) {
		seat = xnew(struct policy_seat);
		text_copy(seat->uuid, sizeof(seat->uuid), uuid);
		HASH_ADD_STR(fleet->policy_seats, uuid, seat);
	}
	seat->policies = xreallocarray(seat->policies, seat->count + 1, sizeof(policy));
	seat->policies[seat->count++] = policy;
}

static int compare_names(const struct policy *a, const struct policy *b)
{
	return strcmp(a->kept.name, b->kept.name);
}

static void make_seats(struct fleet *fleet)
{
	clear_seats(fleet);
	HASH_SORT(fleet->policies, compare_names);
	for (struct policy *policy = fleet->policies; policy; policy = policy->hh.next) {
		for (size_t i = 0; !policy->kept.removed && i < policy->kept.vms.count; i++)
			seat_policy(fleet, policy, policy->kept.vms.items[i]);
	}
}

static void free_policy(struct policy *policy)
{
	policy_record_deinit(&policy->kept);
	names_deinit(&policy->helps);
	free(policy);
}

static struct policy *put(struct fleet *fleet, struct policy_record *kept)
{
	struct policy *policy;

	HASH_FIND_STR(fleet->policies, kept->name, policy);
	if (!policy) {
		policy = xnew(struct policy);
		text_copy(policy->kept.name, sizeof(policy->kept.name), kept->name);
		HASH_ADD_STR(fleet->policies, kept.name, policy);
	}
	policy_record_deinit(&policy->kept);
	policy->kept = *kept;
	*kept = (struct policy_record){ 0 };
	return policy;
}

struct policy *policy_add(struct fleet *fleet, struct policy_record *kept)
{
	struct policy *policy = put(fleet, kept);

	make_seats(fleet);
	return policy;
}

void policy_load(struct fleet *fleet, const struct policy_record *records, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct policy_record kept;

		policy_record_copy(&kept, &records[i]);
		put(fleet, &kept);
	}
	if (count)
		make_seats(fleet);
}

void policy_save(struct policy *policy)
{
	policy->unsaved = true;
}

void policy_remove(struct fleet *fleet, struct policy *policy)
{
	policy->kept.removed = true;
	policy_save(policy);
	make_seats(fleet);
}

void policy_collect(struct fleet *fleet, struct batch *batch)
{
	struct policy *policy, *next;

	HASH_ITER (hh, fleet->policies, policy, next) {
		if (policy->unsaved)
			policy_record_copy(&batch_add(batch, PUT_POLICY)->policy, &policy->kept);
		policy->unsaved = false;
		if (!policy->kept.removed)
			continue;
		HASH_DEL(fleet->policies, policy);
		free_policy(policy);
	}
}

void policy_forget_all(struct fleet *fleet)
{
	struct policy *policy, *next;

	clear_seats(fleet);
	HASH_ITER (hh, fleet->policies, policy, next) {
		HASH_DEL(fleet->policies, policy);
		free_policy(policy);
	}
}

struct policy *policy_find(const struct fleet *fleet, const char *name)
{
	struct policy *policy;

	HASH_FIND_STR(fleet->policies, name, policy);
	return policy && !policy->kept.removed ? policy : NULL;
}

size_t policy_list_of(const struct fleet *fleet, const char *uuid, struct policy *const **ret)
{
	const struct policy_seat *seat = NULL;

	if (fleet->policy_seats)
		HASH_FIND_STR(fleet->policy_seats, uuid, seat);
	*ret = seat ? seat->policies : NULL;
	return seat ? seat->count : 0;
}

const char *policy_get_vm_name(const struct fleet *fleet, const struct policy *policy, size_t i)
{
	const struct vm *vm = fleet_find_vm(fleet, policy->kept.vms.items[i]);

	return vm ? vm->name : policy->kept.vm_names.items[i];
}

bool policy_names_node(const struct policy *policy, const struct node *node)
{
	if (policy->kept.selector[0])
		return node_is_selected(node, policy->kept.selector);
	return names_contain(&policy->kept.nodes, node->kept.name);
}

/* --- where a guest is, and will be --- */

static struct drain_vm *find_drafted(const struct fleet *fleet, const struct vm *vm)
{
	return fleet->draft ? drain_find_vm((struct drain *)fleet->draft, vm->uuid) : NULL;
}

const char *policy_get_drafted_target(const struct fleet *fleet, const struct vm *vm)
{
	const struct drain_vm *dv = find_drafted(fleet, vm);

	return dv && !dv->wants && dv->state != DRAIN_VM_BLOCKED ? dv->target : "";
}

/* The host that it runs on is to be emptied, and of it, too. */
static bool leaves(const struct fleet *fleet, const struct vm *vm)
{
	struct drain *drain = vm->node ? fleet_find_node_drain(fleet, vm->node) : NULL;
	const struct drain_vm *dv;

	if (!vm->node || !vm->movable)
		return false;
	if (vm->node->set_aside) {
		dv = find_drafted(fleet, vm);
		return !dv || (dv->state != DRAIN_VM_LEFT && !dv->hopeless);
	}
	/* The way back: it leaves where it was put. */
	dv = find_drafted(fleet, vm);
	if (dv && fleet->draft->comes_back)
		return dv->state == DRAIN_VM_WAITING;
	dv = drain ? drain_find_vm(drain, vm->uuid) : NULL;
	return drain && (!dv || dv->state != DRAIN_VM_LEFT);
}

const struct node *policy_get_place(const struct fleet *fleet, const struct vm *vm)
{
	const struct migration *m = vm->migration;
	const char *drafted;

	if (m && m->kept.holds_slot)
		return fleet_find_node(fleet, m->kept.target);
	if (m && m->kept.wanted_target[0])
		return fleet_find_node(fleet, m->kept.wanted_target);
	drafted = policy_get_drafted_target(fleet, vm);
	if (drafted[0])
		return fleet_find_node(fleet, drafted);
	return leaves(fleet, vm) ? NULL : vm->node;
}

bool policy_runs_at(const struct vm *vm, const struct node *node)
{
	const struct sighting *here = fleet_find_sighting(vm, node);

	return here && vm_state_is_active(&here->state);
}

/* At an instant from now on: as long as it moves it counts at both ends. */
static bool is_present(const struct fleet *fleet, const struct vm *vm, const struct node *node)
{
	const struct migration *m = vm->migration;

	if (vm->node == node || vm->starts_on == node || policy_runs_at(vm, node))
		return true;
	if (m && m->kept.holds_slot &&
	    (strcmp(m->kept.source, node->kept.name) == 0 ||
	     strcmp(m->kept.target, node->kept.name) == 0))
		return true;
	return strcmp(policy_get_drafted_target(fleet, vm), node->kept.name) == 0;
}

/* --- bars --- */

static const char *keeps(const struct policy *policy)
{
	return policy->kept.soft ? "wants" : "keeps";
}

static bool bars_apart(const struct fleet *fleet, const struct policy *policy, const struct vm *vm,
                       const struct node *node, char *ret_text)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *other = fleet_find_vm(fleet, policy->kept.vms.items[i]);

		if (!other || other == vm || !is_present(fleet, other, node))
			continue;
		if (ret_text)
			snprintf(ret_text, REASON_BYTES,
			         "%s: policy %s %s it apart from %.100s, which %s", node->kept.name,
			         policy->kept.name, keeps(policy), other->name,
			         other->node == node && policy_runs_at(other, node) ? "is there"
			         : other->starts_on == node ? "is to start there"
			         : other->node == node      ? "is off, but defined there"
			                                    : "goes there");
		return true;
	}
	return false;
}

bool policy_is_starting(const struct fleet *fleet)
{
	bool silent = false;

	if (!fleet->step || change_now(fleet) - fleet->started_ms >= NODE_SILENT_MS)
		return false;
	for (const struct node *node = fleet->nodes; node && !silent; node = node->hh.next)
		silent = !node->known;
	return silent;
}

static bool bars_together(const struct fleet *fleet, const struct policy *policy,
                          const struct vm *vm, const struct node *node, char *ret_text)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *other = fleet_find_vm(fleet, policy->kept.vms.items[i]);
		const struct node *place;

		if (other == vm)
			continue;
		place = other ? policy_get_place(fleet, other) : NULL;
		if ((!other || !other->node) && policy_is_starting(fleet)) {
			if (ret_text)
				snprintf(ret_text, REASON_BYTES,
				         "%s: policy %s %s it with %.100s, which is not seen yet",
				         node->kept.name, policy->kept.name, keeps(policy),
				         policy_get_vm_name(fleet, policy, i));
			return true;
		}
		if (!place || place == node)
			continue;
		if (ret_text)
			snprintf(ret_text, REASON_BYTES,
			         "%s: policy %s %s it with %.100s, which %s %s", node->kept.name,
			         policy->kept.name, keeps(policy), other->name,
			         other->node != place           ? "goes to"
			         : policy_runs_at(other, place) ? "is on"
			                                        : "is off, but defined on",
			         place->kept.name);
		return true;
	}
	return false;
}

static bool bars_on(const struct policy *policy, const struct node *node, char *ret_text)
{
	size_t used;

	if (policy_names_node(policy, node))
		return false;
	if (!ret_text)
		return true;
	used = (size_t)snprintf(ret_text, REASON_BYTES, "%s: policy %s %s ", node->kept.name,
	                        policy->kept.name,
	                        policy->kept.soft ? "wants it on" : "lets it be only on");
	if (policy->kept.selector[0])
		snprintf(ret_text + used, REASON_BYTES - used, "hosts with %.200s",
		         policy->kept.selector);
	for (size_t i = 0; i < policy->kept.nodes.count && used < REASON_BYTES / 2; i++)
		used += (size_t)snprintf(ret_text + used, REASON_BYTES - used, "%s%.100s",
		                         i ? ", " : "", policy->kept.nodes.items[i]);
	return true;
}

static bool bars(const struct fleet *fleet, const struct policy *policy, const struct vm *vm,
                 const struct node *node, char *ret_text)
{
	switch (policy->kept.kind) {
	case POLICY_APART:
		return bars_apart(fleet, policy, vm, node, ret_text);
	case POLICY_TOGETHER:
		return bars_together(fleet, policy, vm, node, ret_text);
	default:
		return bars_on(policy, node, ret_text);
	}
}

const struct policy *policy_find_bar(const struct fleet *fleet, const struct vm *vm,
                                     const struct node *node, char *ret_text)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);

	for (size_t i = 0; i < count; i++) {
		if (!policies[i]->kept.soft && bars(fleet, policies[i], vm, node, ret_text))
			return policies[i];
	}
	return NULL;
}

uint32_t policy_count_broken(const struct fleet *fleet, const struct vm *vm,
                             const struct node *node, char *ret_text)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);
	uint32_t broken = 0;

	for (size_t i = 0; i < count; i++) {
		if (policies[i]->kept.soft &&
		    bars(fleet, policies[i], vm, node, broken ? NULL : ret_text))
			broken++;
	}
	return broken;
}
