/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts: what is asked of agents, and when. Nothing here concludes anything from silence but that
 * it is silent; slots are freed in attempts.c. */
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/attempts.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/move/launch_ahead.h"
#include "coordinator/core/policy/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* An attempt whose agent is there but has not mentioned it for this long is asked about. */
#define ATTEMPT_SILENT_MS ((uint64_t)10000)
/* A cancel is repeated until the attempt is over. */
#define CANCEL_REPEAT_MS ((uint64_t)5000)
/* So is the word that it has its slot, until it is heard to have gone on. */
#define LET_GO_REPEAT_MS ((uint64_t)1000)

static void call(struct fleet *fleet, struct migration *m, enum action_kind kind)
{
	struct action *action = change_act(fleet, kind);
	struct node *target = fleet_find_node(fleet, m->kept.target);
	struct node *source = fleet_find_node(fleet, m->kept.source);

	action->call.migration = m->kept.number;
	action->call.attempt = m->kept.attempt;
	/* Orders are ours, whoever began the attempt: agents obey no lower epoch. */
	action->call.attempt.epoch = fleet->epoch;
	action->call.settings = m->kept.settings;
	action->call.hold = kind == ACTION_START && m->kept.preparing;
	text_copy(action->call.vm_uuid, sizeof(action->call.vm_uuid), m->kept.vm_uuid);
	text_copy(action->call.source, sizeof(action->call.source), m->kept.source);
	text_copy(action->call.target, sizeof(action->call.target), m->kept.target);
	/* The source tells it to the destination, too. */
	if (target && kind == ACTION_START)
		target->told_epoch = fleet->epoch;
	if (source)
		source->told_epoch = fleet->epoch;
	if (target)
		text_copy(action->call.target_address, sizeof(action->call.target_address),
		          target->kept.mesh_address);
}

static void go_unresolved(struct fleet *fleet, struct migration *m, const struct node *source)
{
	struct node *target = fleet_find_node(fleet, m->kept.target);
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	const struct sighting *there = vm && target ? fleet_find_sighting(vm, target) : NULL;
	bool runs_there = there && strcmp(there->state.state, "running") == 0;
	char reason[REASON_BYTES];

	snprintf(reason, sizeof(reason), "%s is silent: the migration goes on without us%s%s%s",
	         source ? source->kept.name : m->kept.source, runs_there ? "; " : "",
	         runs_there ? m->kept.target : "",
	         runs_there ? " lists the guest running, which the source must confirm" : "");
	if (m->kept.state != MIGRATION_UNRESOLVED) {
		change_tell_number(fleet, SEVERITY_WARNING, "migration", m->kept.number,
		                   "%s: unresolved: %s", m->kept.vm_name, reason);
		migration_move(fleet, m, MIGRATION_UNRESOLVED);
	}
	attempts_set_reason(fleet, m, reason);
}

/* Somebody else's guest may have come between the choice of this destination and its being stored. */
static bool is_barred(const struct fleet *fleet, const struct migration *m, char *ret_text)
{
	const struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	const struct node *target = fleet_find_node(fleet, m->kept.target);

	return vm && target && !m->kept.settings.ignore_policies &&
	       policy_find_bar(fleet, vm, target, ret_text);
}

/* Its slot is stored, and its agent has not yet been heard to go on. */
static void let_go(struct fleet *fleet, struct migration *m)
{
	char text[REASON_BYTES];

	/* Once it was said it may be on its way. */
	if (!m->let_go_sent_ms && is_barred(fleet, m, text)) {
		m->give_back = true;
		attempts_set_reason(fleet, m, text);
		return;
	}
	m->let_go_asked = true;
	m->let_go_sent_ms = change_now(fleet);
	call(fleet, m, ACTION_LET_GO);
}

static void drive_slot_holder(struct fleet *fleet, struct migration *m)
{
	struct node *source = fleet_find_node(fleet, m->kept.source);
	uint64_t now_ms = change_now(fleet);
	bool heard = source && node_is_heard(source, now_ms);
	char text[REASON_BYTES];

	if (!change_is_stored(fleet, m->take_ticket) || m->taking)
		return;
	if (!m->start_sent && !m->probe_wanted) {
		/* An older agent by now: it would not hold. */
		m->give_back |= m->kept.preparing && heard && !source->host.preparing_max;
		if (m->kept.cancel_requested || m->give_back || !heard) {
			char reason[REASON_BYTES];

			snprintf(reason, sizeof(reason),
			         "%s cannot be reached; nothing was sent to it", m->kept.source);
			attempts_release(fleet, m,
			                 !heard ? reason
			                 : m->give_back
			                         ? "gives way: what it was prepared for has changed"
			                         : "cancelled before it began");
			return;
		}
		if (is_barred(fleet, m, text)) {
			attempts_release(fleet, m, text);
			return;
		}
		m->start_sent = m->start_asked = true;
		m->heard_ms = now_ms;
		call(fleet, m, ACTION_START);
		return;
	}
	if (!heard) {
		uint64_t since_ms = source && source->last_seen_ms ? source->last_seen_ms
		                                                   : fleet->started_ms;

		if (now_ms - since_ms > NODE_SILENT_MS)
			go_unresolved(fleet, m, source);
		return;
	}
	if (!m->start_asked && !m->probe_asked &&
	    (m->probe_wanted || now_ms - m->heard_ms > ATTEMPT_SILENT_MS)) {
		m->probe_asked = true;
		m->probe_wanted = false;
		m->heard_ms = now_ms;
		call(fleet, m, ACTION_PROBE);
	}
	if (!m->kept.preparing && m->heard && m->kept.report.waits_for_slot && !m->let_go_asked &&
	    !m->start_asked && !m->kept.cancel_requested && !m->give_back &&
	    (!m->let_go_sent_ms || now_ms - m->let_go_sent_ms >= LET_GO_REPEAT_MS))
		let_go(fleet, m);
	if ((m->kept.cancel_requested || m->give_back) && !m->cancel_asked &&
	    (!m->cancel_sent_ms || now_ms - m->cancel_sent_ms >= CANCEL_REPEAT_MS)) {
		m->cancel_asked = true;
		m->cancel_sent_ms = now_ms;
		call(fleet, m, ACTION_CANCEL);
	}
}

static void end_planned(struct fleet *fleet, struct migration *m, enum migration_state state,
                        const char *reason)
{
	attempts_set_reason(fleet, m, reason);
	migration_move(fleet, m, state);
	change_tell_number(fleet, state == MIGRATION_FAILED ? SEVERITY_WARNING : SEVERITY_INFO,
	                   "migration", m->kept.number, "%s: %s", m->kept.vm_name, reason);
}

/* Somebody has drained or cordoned it meanwhile. */
static bool is_closed(const struct node *node)
{
	return node && (node->kept.cordoned || node->kept.maintenance || node->kept.drain_number);
}

/* Migrations that wait: is what they wait for still wanted? */
static void drive_planned(struct fleet *fleet, struct migration *m, struct plan *plan)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);
	struct node *source = fleet_find_node(fleet, m->kept.source);
	char reason[REASON_BYTES];
	enum launch verdict;
	struct drain *drain;

	if (m->kept.cancel_requested) {
		end_planned(fleet, m, MIGRATION_CANCELLED, "cancelled before it began");
		return;
	}
	if (source && source->kept.fenced) {
		snprintf(reason, sizeof(reason), "%s was declared dead before it began",
		         m->kept.source);
		end_planned(fleet, m, MIGRATION_CANCELLED, reason);
		return;
	}
	if (source && node_is_sure(source, change_now(fleet))) {
		const struct sighting *here = vm ? fleet_find_sighting(vm, source) : NULL;

		if (!here || !vm_state_is_active(&here->state)) {
			snprintf(reason, sizeof(reason), "it does not run on %s any more",
			         m->kept.source);
			end_planned(fleet, m, MIGRATION_CANCELLED, reason);
			return;
		}
	}
	if (m->kept.drain_number) {
		drain = fleet_find_drain(fleet, m->kept.drain_number);
		if (!drain || drain_state_is_final(drain->kept.state))
			end_planned(fleet, m, MIGRATION_CANCELLED, "its drain is over");
		return; /* else the drain decides when it starts */
	}
	if (m->kept.back_of && is_closed(fleet_find_node(fleet, m->kept.wanted_target))) {
		snprintf(reason, sizeof(reason), "%s takes no guests any more",
		         m->kept.wanted_target);
		end_planned(fleet, m, MIGRATION_CANCELLED, reason);
		return;
	}
	verdict = vm ? launch_try(fleet, vm, NULL, plan, NULL, reason) : LAUNCH_DONE;
	if (verdict == LAUNCH_DONE)
		return;
	attempts_set_reason(fleet, m, reason);
	/* There is room, and it is somebody else's turn: that is no reason to give up. */
	if (verdict == LAUNCH_WAITS)
		m->waiting_since_ms = 0;
	if (m->waiting_since_ms && change_now(fleet) - m->waiting_since_ms > LAUNCH_ROOM_MS) {
		char text[REASON_BYTES];

		snprintf(text, sizeof(text), "no room for 5 min: %.400s", reason);
		end_planned(fleet, m, MIGRATION_FAILED, text);
	}
}

/* Those that wait, in the order in which they were asked for: @back: on their way back, else the others. */
static void launch_planned(struct fleet *fleet, bool back)
{
	struct migration *m, *next;
	struct plan plan = { 0 };

	for (m = fleet->active; m; m = next) {
		next = m->next_active;
		/* One whose source was declared dead is none: fence.c asks the destination. */
		if (m->kept.holds_slot || m->kept.state != MIGRATION_PLANNED ||
		    back != (m->kept.back_of != 0))
			continue;
		if (!plan.nodes)
			plan_init(&plan, fleet, change_now(fleet));
		drive_planned(fleet, m, &plan);
	}
	plan_deinit(&plan);
}

void attempts_reconcile(struct fleet *fleet)
{
	struct migration *m, *next;

	ahead_let_go(fleet, AHEAD_ASKED);
	for (m = fleet->active; m; m = next) {
		next = m->next_active;
		if (m->kept.holds_slot)
			drive_slot_holder(fleet, m);
	}
	ahead_look(fleet);
	launch_planned(fleet, false);
	ahead_let_go(fleet, AHEAD_DRAINED);
}

void attempts_reconcile_back(struct fleet *fleet)
{
	ahead_let_go(fleet, AHEAD_BACK);
	launch_planned(fleet, true);
}
