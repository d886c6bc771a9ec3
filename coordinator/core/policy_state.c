/* SPDX-License-Identifier: Apache-2.0 */
/* Whether policies hold as things are. See policy.h.
 *
 * A move of drover's own splits guests that belong together for its time, and a drain for its: that is
 * on its way to be well again, and no violation until nobody moves any more. What could not be seen
 * changes nothing: a violation ends when its guests were seen to be well.
 */
#include "coordinator/core/change.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/policy.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
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

static const struct node *node_of(const struct fleet *fleet, const struct policy *policy, size_t i)
{
	const struct vm *vm = fleet_find_vm(fleet, policy->kept.vms.items[i]);

	return vm ? vm->node : NULL;
}

static bool look_apart(const struct fleet *fleet, struct policy *policy)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct node *node = node_of(fleet, policy, i);

		for (size_t k = 0; node && k < i; k++) {
			if (node_of(fleet, policy, k) != node)
				continue;
			if (!policy->helps.count)
				snprintf(policy->reason, sizeof(policy->reason),
				         "%.100s and %.100s are both on %s",
				         policy_get_vm_name(fleet, policy, k),
				         policy_get_vm_name(fleet, policy, i), node->kept.name);
			say(&policy->helps, "drover migrate %s",
			    policy_get_vm_name(fleet, policy, i));
			break;
		}
	}
	return policy->helps.count;
}

/* Where most of them are: fewer moves repair it. */
static const struct node *find_home(const struct fleet *fleet, const struct policy *policy)
{
	const struct node *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct node *node = node_of(fleet, policy, i);
		size_t count = 0;

		for (size_t k = 0; node && k < policy->kept.vms.count; k++)
			count += node_of(fleet, policy, k) == node;
		if (count > most) {
			most = count;
			best = node;
		}
	}
	return best;
}

static bool look_together(const struct fleet *fleet, struct policy *policy)
{
	const struct node *home = find_home(fleet, policy);
	const char *at_home = "";

	for (size_t i = 0; home && i < policy->kept.vms.count && !at_home[0]; i++) {
		if (node_of(fleet, policy, i) == home)
			at_home = policy_get_vm_name(fleet, policy, i);
	}
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct node *node = node_of(fleet, policy, i);

		if (!node || node == home)
			continue;
		if (!policy->helps.count)
			snprintf(policy->reason, sizeof(policy->reason),
			         "%.100s is on %s, and %.100s on %s",
			         policy_get_vm_name(fleet, policy, i), node->kept.name, at_home,
			         home->kept.name);
		say(&policy->helps, "drover migrate %s --to %s",
		    policy_get_vm_name(fleet, policy, i), home->kept.name);
	}
	return policy->helps.count;
}

static bool look_on(const struct fleet *fleet, struct policy *policy)
{
	names_deinit(&policy->on);
	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (policy_names_node(policy, node))
			names_add(&policy->on, node->kept.name);
	}
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct node *node = node_of(fleet, policy, i);

		if (!node || policy_names_node(policy, node))
			continue;
		if (!policy->helps.count)
			snprintf(policy->reason, sizeof(policy->reason),
			         "%.100s is on %s, which is none of them",
			         policy_get_vm_name(fleet, policy, i), node->kept.name);
		say(&policy->helps, "drover migrate %s", policy_get_vm_name(fleet, policy, i));
	}
	return policy->helps.count;
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

static bool look(const struct fleet *fleet, struct policy *policy)
{
	switch (policy->kept.kind) {
	case POLICY_APART:
		return look_apart(fleet, policy);
	case POLICY_TOGETHER:
		return look_together(fleet, policy);
	default:
		return look_on(fleet, policy);
	}
}

/* Guests that nobody lists: shut off, or on a host that is not heard. */
static uint32_t count_unseen(const struct fleet *fleet, const struct policy *policy)
{
	bool silent = false;
	uint32_t unseen = 0;

	for (const struct node *node = fleet->nodes; node && !silent; node = node->hh.next)
		silent = !node->known || !node_is_heard(node, change_now(fleet)) ||
		         !node->inventory_valid;
	for (size_t i = 0; silent && i < policy->kept.vms.count; i++)
		unseen += !node_of(fleet, policy, i);
	return unseen;
}

static void judge(struct fleet *fleet, struct policy *policy)
{
	struct policy_record *kept = &policy->kept;
	char before[REASON_BYTES];
	bool violated;

	text_copy(before, sizeof(before), policy->reason);
	policy->reason[0] = '\0';
	names_deinit(&policy->helps);
	policy->unseen = count_unseen(fleet, policy);
	violated = look(fleet, policy);
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

void policy_reconcile(struct fleet *fleet)
{
	bool wanted = fleet->step->n_changed || fleet->step->everything;

	for (struct policy *policy = fleet->policies; policy && !wanted; policy = policy->hh.next)
		wanted = policy->unsaved;
	if (!wanted)
		return;
	for (struct policy *policy = fleet->policies; policy; policy = policy->hh.next) {
		if (!policy->kept.removed)
			judge(fleet, policy);
	}
}
