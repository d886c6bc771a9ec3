/* SPDX-License-Identifier: Apache-2.0 */
/* Whether policies hold as things are. See policy.h.
 *
 * A move of drover's own splits guests that belong together for its time, and a drain for its: that is
 * on its way to be well again, and no violation until nobody moves any more. What could not be seen
 * changes nothing: a violation ends when its guests were seen to be well.
 */
#include "coordinator/core/change.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/policy/policy.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdict_names[] = {
	[POLICY_HOLDS] = "holds",
	[POLICY_VIOLATED] = "violated",
	[POLICY_UNKNOWN] = "unknown",
};
static_assert(ARRAY_SIZE(verdict_names) == POLICY_VERDICTS, "a verdict without a name");

const char *policy_verdict_name(enum policy_verdict verdict)
{
	assert((unsigned)verdict < POLICY_VERDICTS);
	return verdict_names[verdict];
}

enum policy_verdict policy_get_verdict(const struct policy *policy)
{
	if (policy->kept.violated_wall_ms)
		return POLICY_VIOLATED;
	return policy->unseen ? POLICY_UNKNOWN : POLICY_HOLDS;
}

static void say(struct names *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct names *ret, const char *format, ...)
{
	char text[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	names_add(ret, text);
}

static const char *name_of(const struct fleet *fleet, const struct policy *policy, size_t i)
{
	return policy_get_vm_name(fleet, policy, i);
}

/* @nodes: where each of its guests runs, NULL: nowhere seen. */
static void look_apart(const struct fleet *fleet, struct policy *policy,
                       const struct node *const *nodes)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		size_t k = 0;

		while (k < i && (!nodes[i] || nodes[k] != nodes[i]))
			k++;
		if (k == i)
			continue;
		if (!policy->helps.count)
			snprintf(policy->reason, sizeof(policy->reason),
			         "%.100s and %.100s are both on %s", name_of(fleet, policy, k),
			         name_of(fleet, policy, i), nodes[i]->kept.name);
		say(&policy->helps, "drover migrate %s", name_of(fleet, policy, i));
	}
}

/* One of its guests where most of them are: fewer moves repair it. */
static size_t find_home(const struct policy *policy, const struct node *const *nodes)
{
	size_t best = 0, most = 0;

	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		size_t count = 0;

		for (size_t k = 0; nodes[i] && k < policy->kept.vms.count; k++)
			count += nodes[k] == nodes[i];
		if (count > most) {
			most = count;
			best = i;
		}
	}
	return best;
}

static void look_together(const struct fleet *fleet, struct policy *policy,
                          const struct node *const *nodes)
{
	size_t home = find_home(policy, nodes);

	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		if (!nodes[i] || nodes[i] == nodes[home])
			continue;
		if (!policy->helps.count)
			snprintf(policy->reason, sizeof(policy->reason),
			         "%.100s is on %s, and %.100s on %s", name_of(fleet, policy, i),
			         nodes[i]->kept.name, name_of(fleet, policy, home),
			         nodes[home]->kept.name);
		say(&policy->helps, "drover migrate %s --to %s", name_of(fleet, policy, i),
		    nodes[home]->kept.name);
	}
}

static void look_on(const struct fleet *fleet, struct policy *policy,
                    const struct node *const *nodes)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		if (!nodes[i] || policy_names_node(policy, nodes[i]))
			continue;
		if (!policy->helps.count)
			snprintf(policy->reason, sizeof(policy->reason),
			         "%.100s is on %s, which is none of them",
			         name_of(fleet, policy, i), nodes[i]->kept.name);
		say(&policy->helps, "drover migrate %s", name_of(fleet, policy, i));
	}
}

/* Some of its guests are on their way, by a move or by a drain that goes on. */
static bool is_moving(const struct fleet *fleet, const struct policy *policy)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, policy->kept.vms.items[i]);
		const struct drain *drain = vm && vm->node ? fleet_find_node_drain(fleet, vm->node)
		                                           : NULL;

		if (vm && vm->migration && vm->migration->kept.holds_slot)
			return true;
		if (drain && drain->kept.state == DRAIN_RUNNING && vm->movable)
			return true;
	}
	return false;
}

/* A host is silent, so that a guest which is not seen may be there. */
static bool lacks_sight(const struct fleet *fleet)
{
	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (!node->known || !node_is_heard(node, change_now(fleet)) ||
		    !node->inventory_valid)
			return true;
	}
	return false;
}

/* Fills what can be seen of it; returns whether it is violated. @silent: lacks_sight. */
static bool look(const struct fleet *fleet, struct policy *policy, bool silent)
{
	const struct node **nodes = xcalloc(policy->kept.vms.count + 1, sizeof(*nodes));

	policy->unseen = 0;
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, policy->kept.vms.items[i]);

		nodes[i] = vm ? vm->node : NULL;
		policy->unseen += silent && !nodes[i];
	}
	if (policy->kept.kind == POLICY_APART)
		look_apart(fleet, policy, nodes);
	else if (policy->kept.kind == POLICY_TOGETHER)
		look_together(fleet, policy, nodes);
	else
		look_on(fleet, policy, nodes);
	free(nodes);
	return policy->helps.count;
}

static void judge(struct fleet *fleet, struct policy *policy, bool silent)
{
	struct policy_record *kept = &policy->kept;
	char before[REASON_BYTES];
	bool violated;

	text_copy(before, sizeof(before), policy->reason);
	policy->reason[0] = '\0';
	names_deinit(&policy->helps);
	violated = look(fleet, policy, silent);
	if (violated && !kept->violated_wall_ms) {
		if (kept->kind == POLICY_TOGETHER && is_moving(fleet, policy)) {
			policy->reason[0] = '\0';
			names_deinit(&policy->helps);
			return;
		}
		kept->violated_wall_ms = fleet->step->wall_ms;
		policy_save(policy);
		change_tell(fleet, kept->soft ? SEVERITY_INFO : SEVERITY_WARNING, "policy",
		            kept->name, "violated%s: %.300s; to repair it: %.150s",
		            kept->soft ? " (soft)" : "", policy->reason, policy->helps.items[0]);
	} else if (!violated && kept->violated_wall_ms) {
		if (policy->unseen) {
			/* As it was seen last. */
			text_copy(policy->reason, sizeof(policy->reason), before);
			return;
		}
		kept->violated_wall_ms = 0;
		policy_save(policy);
		change_tell(fleet, SEVERITY_INFO, "policy", kept->name, "holds again");
	}
}

/* Of a guest that has changed. */
static bool call_for(const struct fleet *fleet, const char *uuid)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, uuid, &policies);

	for (size_t i = 0; i < count; i++)
		policies[i]->due = true;
	return count;
}

/* Those that this step may have changed. Of what changes with hosts, which report every second, and with
 * drains, they wait for the look at the whole fleet. */
static bool find_due(const struct fleet *fleet)
{
	const struct step *step = fleet->step;
	bool any = false;

	for (struct policy *policy = fleet->policies; policy; policy = policy->hh.next) {
		policy->due = step->everything || policy->unsaved;
		any |= policy->due;
	}
	for (size_t i = 0; i < step->n_changed; i++) {
		const struct changed_object *object = &step->changed[i];

		if (object->kind == OBJECT_VM)
			any |= call_for(fleet, object->vm->uuid);
		else if (object->kind == OBJECT_MIGRATION)
			any |= call_for(fleet, object->migration->kept.vm_uuid);
	}
	return any;
}

void policy_reconcile(struct fleet *fleet)
{
	bool silent;

	if (!fleet->policies || !find_due(fleet))
		return;
	silent = lacks_sight(fleet);
	for (struct policy *policy = fleet->policies; policy; policy = policy->hh.next) {
		if (policy->due && !policy->kept.removed)
			judge(fleet, policy, silent);
	}
}
