/* SPDX-License-Identifier: Apache-2.0 */
/* See fence.h. What a fence does to the fleet, level-triggered; the requests are in requests_fence.c.
 *
 * An attempt is covered by a fence of its source, or of its destination, if it was ordered in the
 * fence's epoch or before. Of a dead destination its living source hears, and reports the end itself.
 * Of a dead source the destination hears, and what it then has is the end:
 *
 *	it has the guest          done
 *	it has nothing            failed: the guest ended with its host
 *	it cannot tell yet        unresolved, asked again
 *	it was declared dead too  failed
 */
#include "coordinator/core/fence.h"

#include "common/alloc.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/attempts.h"
#include "coordinator/core/move/launch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* An agent that could not be told, or that has not settled all, is told again after this. */
#define FENCE_REPEAT_MS ((uint64_t)2000)

static bool covers(const struct node *node, const struct migration *m)
{
	return node && node->kept.fence_epoch && m->kept.attempt.number &&
	       m->kept.attempt.epoch <= node->kept.fence_epoch;
}

/* Whose end only this file can bring about. */
static bool is_orphan(const struct fleet *fleet, const struct migration *m)
{
	return !m->kept.holds_slot && m->kept.state == MIGRATION_UNRESOLVED &&
	       covers(fleet_find_node(fleet, m->kept.source), m);
}

bool fence_is_known(const struct node *teller, const struct node *node)
{
	if (!node->kept.fence_epoch)
		return true;
	for (size_t i = 0; i < teller->host.n_fences; i++) {
		if (strcmp(teller->host.fences[i].node, node->kept.name) == 0)
			return teller->host.fences[i].epoch >= node->kept.fence_epoch;
	}
	return false;
}

/* --- attempts whose source is dead --- */

static void free_slot(struct fleet *fleet, struct migration *m)
{
	char reason[REASON_BYTES];

	snprintf(reason, sizeof(reason),
	         "%s was declared dead; %s is asked whether it has the guest", m->kept.source,
	         m->kept.target);
	migration_free_slot(fleet, m);
	attempts_forget(m);
	migration_move(fleet, m, MIGRATION_UNRESOLVED);
	attempts_set_reason(fleet, m, reason);
	save_migration(fleet, m);
}

static void end(struct fleet *fleet, struct migration *m, bool here, const char *why)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);

	attempts_set_reason(fleet, m, why);
	migration_move(fleet, m, here ? MIGRATION_DONE : MIGRATION_FAILED);
	if (vm && here) {
		vm->failures = 0;
		vm->moved_ms = change_now(fleet);
		launch_forget_refusals(vm);
	}
	change_tell_number(fleet, here ? SEVERITY_WARNING : SEVERITY_ALARM, "migration",
	                   m->kept.number, "%s: %s", m->kept.vm_name, why);
}

static void end_done(struct fleet *fleet, struct migration *m, const char *text)
{
	char why[REASON_BYTES];

	snprintf(why, sizeof(why), "%s was declared dead, and the guest is on %s%s%.200s",
	         m->kept.source, m->kept.target, text[0] ? ": " : "", text);
	end(fleet, m, true, why);
}

static void end_gone_on(struct fleet *fleet, struct migration *m)
{
	char why[REASON_BYTES];

	snprintf(why, sizeof(why),
	         "%s was declared dead; the guest had left it, ran on %s and is not there any "
	         "more: it ended there or moved on (drover vms %s)",
	         m->kept.source, m->kept.target, m->kept.vm_name);
	end(fleet, m, true, why);
}

static void end_lost(struct fleet *fleet, struct migration *m, const char *target_is)
{
	char why[REASON_BYTES];

	snprintf(why, sizeof(why),
	         "%s was declared dead, and %s %s: the guest ended with its host; drover starts "
	         "nothing by itself",
	         m->kept.source, m->kept.target, target_is);
	end(fleet, m, false, why);
}

/* The destination has no lease of it any more, so its source had settled it before it died: what the
 * destination lists is the end. */
static void end_by_list(struct fleet *fleet, struct migration *m, const struct node *target)
{
	const struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	const struct sighting *there = vm ? fleet_find_sighting(vm, target) : NULL;

	if (!node_is_sure(target, change_now(fleet)))
		return;
	if (there && vm_state_is_home(&there->state))
		end_done(fleet, m, "");
	else
		end_lost(fleet, m, "has nothing of it");
}

void fence_take_outcome(struct fleet *fleet, const struct event *event)
{
	struct node *teller = fleet_find_node(fleet, event->fence_outcome.node);
	struct migration *m, *next;

	if (!teller || !teller->fence_asked)
		return;
	teller->fence_asked = false;
	teller->fence_retry_ms = change_now(fleet) + FENCE_REPEAT_MS;
	if (event->fence_outcome.outcome != CALL_ANSWERED)
		return;
	fleet->reconcile_wanted = true;
	for (m = fleet->active; m; m = next) {
		const struct fenced_guest *guest = NULL;

		next = m->next_active;
		if (!is_orphan(fleet, m) || strcmp(m->kept.target, teller->kept.name) != 0 ||
		    strcmp(m->kept.source, event->fence_outcome.fenced) != 0)
			continue;
		for (size_t i = 0; i < event->fence_outcome.n_guests; i++) {
			const struct fenced_guest *g = &event->fence_outcome.guests[i];

			if (id_equal(&g->attempt.operation, &m->kept.attempt.operation) &&
			    g->attempt.number == m->kept.attempt.number)
				guest = g;
		}
		if (!guest)
			end_by_list(fleet, m, teller);
		else if (!guest->settled)
			attempts_set_reason(fleet, m,
			                    guest->text[0] ? guest->text : m->kept.reason);
		else if (guest->here)
			end_done(fleet, m, guest->text);
		else if (guest->has_run)
			end_gone_on(fleet, m);
		else
			end_lost(fleet, m, "has nothing of it");
	}
}

static void settle(struct fleet *fleet)
{
	struct migration *m, *next;

	for (m = fleet->active; m; m = next) {
		const struct node *source = fleet_find_node(fleet, m->kept.source);
		const struct node *target = fleet_find_node(fleet, m->kept.target);

		next = m->next_active;
		if (!covers(source, m) || !change_is_stored(fleet, source->intent_ticket))
			continue;
		if (m->kept.holds_slot)
			free_slot(fleet, m);
		if (is_orphan(fleet, m) && covers(target, m) && target->kept.fenced)
			end_lost(fleet, m, "too");
	}
}

/* --- telling --- */

static bool has_orphans(const struct fleet *fleet, const struct node *target,
                        const struct node *fenced)
{
	for (const struct migration *m = fleet->active; m; m = m->next_active) {
		if (is_orphan(fleet, m) && strcmp(m->kept.target, target->kept.name) == 0 &&
		    strcmp(m->kept.source, fenced->kept.name) == 0)
			return true;
	}
	return false;
}

static void tell(struct fleet *fleet, struct node *to, const struct node *fenced)
{
	struct action *action = change_act(fleet, ACTION_SET_FENCE);

	text_copy(action->fence.node, sizeof(action->fence.node), to->kept.name);
	text_copy(action->fence.fence.node, sizeof(action->fence.fence.node), fenced->kept.name);
	action->fence.fence.epoch = fenced->kept.fence_epoch;
	action->fence.epoch = fleet->epoch;
	to->told_epoch = fleet->epoch;
	to->fence_asked = true;
}

void fence_reconcile(struct fleet *fleet)
{
	uint64_t now_ms = change_now(fleet);
	bool any = false;

	for (const struct node *node = fleet->nodes; node && !any; node = node->hh.next)
		any = node->kept.fence_epoch != 0;
	if (!any)
		return;
	settle(fleet);
	for (struct node *to = fleet->nodes; to; to = to->hh.next) {
		/* Before its snapshot nobody knows what it knows. */
		if (!node_is_heard(to, now_ms) || !to->mark_known)
			continue;
		for (const struct node *fenced = fleet->nodes; fenced; fenced = fenced->hh.next) {
			bool known = fence_is_known(to, fenced);

			if (to->fence_asked || now_ms < to->fence_retry_ms ||
			    !change_is_stored(fleet, fenced->intent_ticket) ||
			    (known && !has_orphans(fleet, to, fenced)))
				continue;
			tell(fleet, to, fenced);
		}
	}
}

/* --- the end of a fence --- */

void fence_end_by_return(struct fleet *fleet, struct node *node, bool same_agent)
{
	node->kept.fenced = false;
	node->returned_ms = change_now(fleet);
	node->kept.cordoned = true;
	snprintf(node->kept.reason, sizeof(node->kept.reason),
	         "it came back after it was declared dead by %.64s", node->kept.fenced_by);
	save_node(fleet, node);
	if (same_agent)
		change_tell(fleet, SEVERITY_ALARM, "node", node->kept.name,
		            "%s was declared dead by %s and was not: the same agent is back. "
		            "Guests may "
		            "run there and elsewhere at once; those seen twice are not touched. "
		            "Look at "
		            "`drover vms` and at its libvirt before anything else; it is cordoned",
		            node->kept.name, node->kept.fenced_by);
	else
		change_tell(fleet, SEVERITY_WARNING, "node", node->kept.name,
		            "%s is back after it was declared dead by %s: what it began before is "
		            "over, "
		            "and guests seen twice are not touched. It is cordoned until: drover "
		            "uncordon %s",
		            node->kept.name, node->kept.fenced_by, node->kept.name);
	for (struct sighting *s = node->sightings; s; s = s->next)
		vm_refresh(fleet, s->vm);
}
