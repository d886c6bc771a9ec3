/* SPDX-License-Identifier: Apache-2.0 */
/* Preview rounds: questions out, answers collected, one reply. See preview.h.
 *
 * In a drain's round a destination that says no is remembered like any other refusal. When all have
 * answered, those that were refused are planned again together with the others, and whoever got another
 * destination by that is asked for there: until all that are planned are admitted, or a guest is proved to
 * have no place, in the destinations' words.
 */
#include "coordinator/core/plan/preview.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/core/drain/deadline.h"
#include "coordinator/core/drain/drain_vms.h"
#include "coordinator/core/move/denials.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/plan/plan.h"
#include "coordinator/core/plan/plan_memory.h"
#include "coordinator/core/plan/preview_choice.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/predict/predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct question {
	uint64_t preview; /* 0: not asked or answered already */
	char vm_uuid[VM_UUID_BYTES];
	char target[NODE_NAME_BYTES];
};

struct preview_round {
	struct reply *reply;        /* owned; what is answered at the end */
	struct question *questions; /* owned; one per guest of the plan, or one per target */
	size_t count, open;
	unsigned turns; /* of a drain: how often it was planned again */
	bool refused;   /* somebody was, since it was planned last */
	uint64_t deadline_ms;
	struct preview_round *next;
};

static void round_free(struct preview_round *round)
{
	reply_free(round->reply);
	free(round->questions);
	free(round);
}

void preview_drop_all(struct fleet *fleet)
{
	struct preview_round *round, *next;

	LL_FOREACH_SAFE (fleet->previews, round, next) {
		round_free(round);
	}
	fleet->previews = NULL;
}

static void ask(struct fleet *fleet, struct preview_round *round, struct question *q,
                const struct vm *vm, struct node *target)
{
	struct action *action = change_act(fleet, ACTION_PREVIEW);

	/* The source tells it to the destination, too. */
	vm->node->told_epoch = fleet->epoch;
	target->told_epoch = fleet->epoch;
	q->preview = ++fleet->next_preview;
	round->open++;
	text_copy(q->vm_uuid, sizeof(q->vm_uuid), vm->uuid);
	text_copy(q->target, sizeof(q->target), target->kept.name);
	action->preview.preview = q->preview;
	action->preview.epoch = fleet->epoch;
	action->preview.max_downtime_ms = round->reply->max_downtime_ms
	                                          ? round->reply->max_downtime_ms
	                                          : fleet->options.settings.max_downtime_ms;
	action->preview.no_guard = round->reply->no_guard;
	action->preview.unsafe = round->reply->unsafe;
	action->preview.copy_disks = round->reply->copy_disks;
	action->preview.transfer = round->reply->transfer;
	action->preview.post_copy = round->reply->post_copy;
	text_copy(action->preview.vm_uuid, sizeof(action->preview.vm_uuid), vm->uuid);
	text_copy(action->preview.source, sizeof(action->preview.source), vm->node->kept.name);
	text_copy(action->preview.target, sizeof(action->preview.target), target->kept.name);
	text_copy(action->preview.target_address, sizeof(action->preview.target_address),
	          target->kept.mesh_address);
}

static struct preview_round *round_new(struct fleet *fleet, struct reply *reply, size_t count)
{
	struct preview_round *round = xnew(struct preview_round);

	round->reply = reply;
	round->questions = xcalloc(count + 1, sizeof(*round->questions));
	round->count = count;
	round->deadline_ms = change_now(fleet) + PREVIEW_DEADLINE_MS;
	LL_PREPEND(fleet->previews, round);
	return round;
}

/* --- the end of a round --- */

static void conclude_drain(struct fleet *fleet, struct reply *reply)
{
	struct drain *plan = reply->plan;
	struct drain_counts counts = drain_count(plan);

	if (!plan->comes_back)
		drain_draft_sort(plan);
	/* With what is known now of their guards and disks. */
	drain_judge_amounts(fleet, plan, &counts);
	deadline_judge(fleet, plan, drain_get_slots(fleet, plan), true);
	/* The whole takes what its last guest takes. */
	if (plan->eta_ms < plan->deadline.end_ms)
		plan->eta_ms = plan->deadline.end_ms;
	if (plan->eta_high_ms && plan->eta_high_ms < plan->eta_ms)
		plan->eta_high_ms = plan->eta_ms;
	for (size_t i = 0; i < plan->n_vms; i++) {
		struct drain_vm *dv = &plan->vms[i];
		const struct check *worst = checks_find_worst(&dv->checks, CHECK_FAIL);
		struct check blocker = { .verdict = CHECK_FAIL };

		if (dv->state != DRAIN_VM_BLOCKED)
			continue;
		if (worst)
			blocker = *worst;
		if (dv->hopeless)
			blocker.verdict = CHECK_BLOCK;
		snprintf(blocker.id, sizeof(blocker.id), "vm/%.59s", dv->name);
		text_copy(blocker.measured, sizeof(blocker.measured), dv->reason);
		checks_add(&reply->checks, &blocker);
	}
	snprintf(plan->status, sizeof(plan->status), "a dry run: nothing was changed");
	if (reply->kind == REPLY_DRAIN && !reply->refused && !reply->asks_only)
		plan_memory_keep(fleet, plan);
}

static int compare_targets(const void *a, const void *b)
{
	const struct target_view *left = a, *right = b;

	if (left->fits != right->fits)
		return right->fits - left->fits;
	if (left->asked != right->asked)
		return right->asked - left->asked;
	if (left->broken != right->broken)
		return left->broken < right->broken ? -1 : 1;
	return strcmp(left->node, right->node);
}

static void conclude_targets(struct fleet *fleet, struct reply *reply)
{
	const struct vm *vm;

	if (reply->n_targets)
		qsort(reply->targets, reply->n_targets, sizeof(*reply->targets), compare_targets);
	if (!reply->one_node)
		preview_choose(fleet, reply);
	if (reply->kind != REPLY_MIGRATE || !reply->n_targets)
		return;

	/* A dry run of one migration: the chosen destination's answer is the answer. */
	checks_copy(&reply->checks, &reply->targets[0].checks);
	reply->guard = reply->targets[0].guard;
	vm = fleet_find_vm(fleet, reply->vm_uuid);
	if (vm && vm->node) {
		const struct node *target = fleet_find_node(fleet, reply->targets[0].node);
		struct predict_question q = {
			.source = vm->node,
			.target = target,
			.settings = &reply->settings,
			.guard = reply->targets[0].guard,
			.copied_bytes = reply->targets[0].copied_bytes,
			.beside = vm->node->migrations_out,
		};

		if (target && target->migrations_in > q.beside)
			q.beside = target->migrations_in;
		predict_vm(fleet, vm, &q, change_now(fleet), &reply->prediction);
		reply->eta_ms = reply->prediction.expected_ms;
	}
	text_copy(reply->target, sizeof(reply->target), reply->targets[0].node);
	if (!reply->targets[0].fits && !reply->refused) {
		reply->refused = true;
		reply->refusal = xstrdup(reply->targets[0].reason);
	}
}

static void end_round(struct fleet *fleet, struct preview_round *round)
{
	struct reply *reply = take_pointer(round->reply);

	if (reply->plan)
		conclude_drain(fleet, reply);
	else
		conclude_targets(fleet, reply);
	LL_DELETE(fleet->previews, round);
	round_free(round);
	reply_send(fleet, reply);
}

void preview_tick(struct fleet *fleet)
{
	struct preview_round *round, *next;

	LL_FOREACH_SAFE (fleet->previews, round, next) {
		if (change_now(fleet) < round->deadline_ms)
			continue;
		for (size_t i = 0; i < round->count; i++) {
			const char *late = "its agent has not answered in time";

			if (!round->questions[i].preview)
				continue;
			if (round->reply->plan)
				text_copy(round->reply->plan->vms[i].reason, REASON_BYTES, late);
			else
				text_copy(round->reply->targets[i].reason, REASON_BYTES, late);
		}
		end_round(fleet, round);
	}
}

/* --- answers --- */

static void refusal_text(const struct checks *checks, const char *target, char *ret_text)
{
	const struct check *worst = checks_find_worst(checks, CHECK_FAIL);

	if (worst)
		snprintf(ret_text, REASON_BYTES, "%s refused: %s: %s, required %s", target,
		         worst->id, worst->measured, worst->required);
	else
		snprintf(ret_text, REASON_BYTES, "%s refused without a reason", target);
}

/* On the way back it is asked while it still takes nobody, which is about to change. */
static void forgive_node(struct checks *checks)
{
	for (size_t i = 0; i < checks->count; i++) {
		struct check *check = &checks->items[i];

		if (strcmp(check->id, "node") != 0 || check->verdict != CHECK_FAIL)
			continue;
		check->verdict = CHECK_PASS;
		text_copy(check->measured, sizeof(check->measured), "takes guests after undrain");
		check->remedy[0] = '\0';
	}
}

/* What a destination has said that is so elsewhere, too, or of other guests. */
static void learn(struct fleet *fleet, const struct preview_round *round, const struct question *q,
                  struct vm *vm, const struct event *event)
{
	struct node *node = fleet_find_node(fleet, q->target);

	if (!vm || !node)
		return;
	denials_learn(node, vm, event->preview.checks, change_now(fleet));
	refusals_see_answer(vm, q->target, event->preview.admitted, change_now(fleet));
	if (event->preview.admitted && round->reply->copy_disks)
		vm->copies = event->preview.copied_bytes ? COPIES_SOME : COPIES_NONE;
}

static void answer_drain(struct fleet *fleet, struct preview_round *round, size_t i,
                         const struct event *event)
{
	struct drain_vm *dv = &round->reply->plan->vms[i];
	struct question *q = &round->questions[i];
	struct vm *vm = fleet_find_vm(fleet, q->vm_uuid);

	if (event->preview.outcome != CALL_ANSWERED) {
		text_copy(dv->reason, sizeof(dv->reason), event->preview.error.text);
		return;
	}
	checks_deinit(&dv->checks);
	checks_copy(&dv->checks, event->preview.checks);
	dv->guard = event->preview.guard;
	dv->copied_bytes = event->preview.copied_bytes;
	learn(fleet, round, q, vm, event);
	if (round->reply->plan->comes_back)
		forgive_node(&dv->checks);
	if (event->preview.admitted ||
	    (round->reply->plan->comes_back && !checks_find_worst(&dv->checks, CHECK_FAIL)))
		return;

	refusal_text(&dv->checks, q->target, dv->reason);
	dv->state = DRAIN_VM_BLOCKED;
	dv->hopeless = checks_find_worst(&dv->checks, CHECK_BLOCK) != NULL;
	if (!vm || !vm->node || dv->hopeless || round->reply->plan->comes_back)
		return;
	(void)launch_remember_refusal(fleet, vm, q->target, &dv->checks, dv->reason);
	round->refused = true;
}

/* Each turn takes a destination away from a guest, so it ends; with many hosts that may take long. */
#define TURNS_MAX 16

/* Whether somebody is asked now. */
static bool plan_again(struct fleet *fleet, struct preview_round *round)
{
	struct drain *draft = round->reply->plan;

	if (!round->refused || round->turns++ == TURNS_MAX)
		return false;
	round->refused = false;
	drain_draft_again(fleet, draft);
	for (size_t i = 0; i < draft->n_vms; i++) {
		struct drain_vm *dv = &draft->vms[i];
		struct question *q = &round->questions[i];
		struct vm *vm = fleet_find_vm(fleet, dv->uuid);
		struct node *target = fleet_find_node(fleet, dv->target);

		if (dv->state == DRAIN_VM_WAITING && vm && vm->node && target &&
		    strcmp(q->target, dv->target) != 0) {
			dv->reason[0] = '\0';
			ask(fleet, round, q, vm, target);
		}
	}
	return round->open > 0;
}

/* It is the coordinator's to know, and a check like those of the host. */
static void warn_of_wishes(struct target_view *view)
{
	struct check check = { .id = "policy", .verdict = CHECK_WARN };

	text_copy(check.measured, sizeof(check.measured), view->against);
	snprintf(check.required, sizeof(check.required), "a wish: it may move there all the same");
	checks_add(&view->checks, &check);
}

/* "Why not there?" was asked without any wish of its own: so it would be answered in a drain, too. */
static void learn_target(struct fleet *fleet, const struct preview_round *round,
                         const struct question *q, const struct event *event)
{
	struct vm *vm = fleet_find_vm(fleet, q->vm_uuid);
	const struct node *node = fleet_find_node(fleet, q->target);
	char why[REASON_BYTES];

	if (round->reply->kind != REPLY_EXPLAIN || !vm || !node)
		return;
	refusals_see_answer(vm, q->target, event->preview.admitted, change_now(fleet));
	if (event->preview.admitted)
		return;
	refusal_text(event->preview.checks, q->target, why);
	refusals_note(vm, node, event->preview.checks, why, change_now(fleet));
}

static void answer_target(struct fleet *fleet, struct preview_round *round, size_t i,
                          const struct event *event)
{
	struct target_view *view = &round->reply->targets[i];

	if (event->preview.outcome != CALL_ANSWERED) {
		text_copy(view->reason, sizeof(view->reason), event->preview.error.text);
		return;
	}
	checks_copy(&view->checks, event->preview.checks);
	learn_target(fleet, round, &round->questions[i], event);
	if (view->broken)
		warn_of_wishes(view);
	view->guard = event->preview.guard;
	view->copied_bytes = event->preview.copied_bytes;
	view->fits = event->preview.admitted && !view->excluded;
	if (view->excluded)
		return; /* the reason is there */
	if (!view->fits)
		refusal_text(event->preview.checks, view->node, view->reason);
	else
		text_copy(view->reason, sizeof(view->reason), "fits");
}

void preview_take_outcome(struct fleet *fleet, const struct event *event)
{
	struct preview_round *round;

	LL_FOREACH (fleet->previews, round) {
		for (size_t i = 0; i < round->count; i++) {
			struct question *q = &round->questions[i];

			if (!q->preview || q->preview != event->preview.preview)
				continue;
			q->preview = 0;
			round->open--;
			if (round->reply->plan)
				answer_drain(fleet, round, i, event);
			else
				answer_target(fleet, round, i, event);
			if (!round->open && !(round->reply->plan && plan_again(fleet, round)))
				end_round(fleet, round);
			return;
		}
	}
}

/* --- questions --- */

void preview_start_drain(struct fleet *fleet, struct reply *reply)
{
	struct drain *plan = reply->plan;
	struct preview_round *round = round_new(fleet, reply, plan->n_vms);

	for (size_t i = 0; i < plan->n_vms; i++) {
		struct vm *vm = fleet_find_vm(fleet, plan->vms[i].uuid);
		struct node *target = fleet_find_node(fleet, plan->vms[i].target);

		if (plan->vms[i].state == DRAIN_VM_WAITING && !plan->vms[i].starts && vm &&
		    vm->node && target)
			ask(fleet, round, &round->questions[i], vm, target);
	}
	if (!round->open)
		end_round(fleet, round);
}

static int compare_headroom(const void *a, const void *b)
{
	const struct plan_node *left = a, *right = b;

	if (left->headroom_bytes != right->headroom_bytes)
		return left->headroom_bytes < right->headroom_bytes ? 1 : -1;
	return strcmp(left->node->kept.name, right->node->kept.name);
}

/* Asked even where the coordinator's own figures say no: the host's answer has the numbers. */
static bool is_worth_asking(enum plan_refusal why)
{
	return why == PLAN_FITS || why == PLAN_NO_MEMORY || why == PLAN_NO_INBOUND ||
	       why == PLAN_NO_PORTS || why == PLAN_REFUSED || why == PLAN_NO_VCPUS ||
	       why == PLAN_NO_PAGES;
}

/* What it lacks for good; where it is named it may say so itself, and all else that it lacks. */
static bool is_lacking(enum plan_refusal why)
{
	return why == PLAN_NO_MACHINE || why == PLAN_OTHER_CPU || why == PLAN_NO_NETWORK;
}

/* What else it wants, and why it cannot have that. */
static void tell_wish(const struct fleet *fleet, const struct plan *plan, const struct vm *vm,
                      const struct node *node, struct target_view *view)
{
	char text[REASON_BYTES];

	if (policy_explain_wish(fleet, vm, node, plan, "would take it", change_now(fleet), text))
		snprintf(view->against, sizeof(view->against), "%s: %.440s", node->kept.name, text);
}

void preview_start_targets(struct fleet *fleet, struct reply *reply, struct vm *vm,
                           const char *only, bool thorough, size_t most)
{
	struct preview_round *round;
	struct plan plan;

	plan_init(&plan, fleet, change_now(fleet));
	if (reply->settings.ignore_policies)
		plan_ignore_policies(&plan);
	qsort(plan.nodes, plan.count, sizeof(*plan.nodes), compare_headroom);
	reply->targets = xcalloc(plan.count + 1, sizeof(*reply->targets));
	round = round_new(fleet, reply, plan.count);
	for (size_t i = 0; i < plan.count; i++) {
		struct node *node = plan.nodes[i].node;
		struct target_view *view = &reply->targets[reply->n_targets];
		enum plan_refusal why;

		if (node == vm->node || (only && strcmp(only, node->kept.name) != 0))
			continue;
		why = plan_judge(fleet, &plan.nodes[i], vm, false, change_now(fleet), view->reason);
		text_copy(view->node, sizeof(view->node), node->kept.name);
		view->broken = policy_count_broken(fleet, vm, node, view->against);
		if (view->broken)
			tell_wish(fleet, &plan, vm, node, view);
		view->excluded = !is_worth_asking(why) && !(only && is_lacking(why));
		if ((!view->excluded || (thorough && why != PLAN_UNREACHABLE)) && vm->node &&
		    round->open < most) {
			view->asked = true;
			ask(fleet, round, &round->questions[reply->n_targets], vm, node);
		} else if (why == PLAN_FITS) {
			text_copy(view->reason, sizeof(view->reason),
			          "not asked: others have more room");
		}
		reply->n_targets++;
	}
	plan_deinit(&plan);
	if (!round->open)
		end_round(fleet, round);
}
