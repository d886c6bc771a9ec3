/* SPDX-License-Identifier: Apache-2.0 */
/* The moment a migration begins: slot, destination, record; and what is learnt from a "no". */
#include "coordinator/core/move/launch.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/fence.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/denials.h"
#include "coordinator/core/move/launch_ahead.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/predict/predict.h"
#include "coordinator/core/recall.h"
#include "coordinator/core/requests.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

/* A destination that refused is asked again after this, doubling, or as soon as it has more room. */
#define REFUSAL_FIRST_MS ((uint64_t)15000)
#define REFUSAL_MOST_MS  ((uint64_t)120000)
/* KubeVirt's backoff of evacuations. */
#define FAILURE_FIRST_MS ((uint64_t)20000)
#define FAILURE_MOST_MS  ((uint64_t)600000)
/* From one attempt's beginning to the next one's, however soon it fails: a network that flaps fails many. */
#define ATTEMPT_EVERY_MS ((uint64_t)30000)
#define SETTLE_MS        ((uint64_t)5000)

uint32_t launch_get_parallel(const struct fleet *fleet, const struct drain *drain)
{
	uint32_t cap = fleet->options.caps.outbound;

	return drain && drain->kept.parallel && drain->kept.parallel < cap ? drain->kept.parallel
	                                                                   : cap;
}

static const char *name_foreign(uint32_t count, char ret_text[64])
{
	if (count == 0)
		return "";
	snprintf(ret_text, 64, ", %u by moves that are not drover's", count);
	return ret_text;
}

static uint32_t get_outbound(const struct fleet *fleet, const struct node *source,
                             const struct drain *drain)
{
	uint32_t outbound = launch_get_parallel(fleet, drain);

	/* Its own agent refuses what is over its cap. */
	if (source->host.slots_out_max && source->host.slots_out_max < outbound)
		outbound = source->host.slots_out_max;
	return outbound;
}

bool launch_lacks_outbound(const struct fleet *fleet, const struct node *source,
                           const struct drain *drain)
{
	return source->migrations_out + source->foreign_out >= get_outbound(fleet, source, drain);
}

bool launch_lacks_cluster(const struct fleet *fleet)
{
	return fleet->slots_held + fleet->foreign_jobs >= fleet->options.caps.cluster;
}

bool launch_lacks_slot(const struct fleet *fleet, const struct node *source,
                       const struct drain *drain, char *ret_reason)
{
	char foreign[64];

	if (launch_lacks_outbound(fleet, source, drain)) {
		snprintf(ret_reason, REASON_BYTES, "waits: %u of %u outbound slots of %s in use%s",
		         source->migrations_out + source->foreign_out,
		         get_outbound(fleet, source, drain), source->kept.name,
		         name_foreign(source->foreign_out, foreign));
		return true;
	}
	if (launch_lacks_cluster(fleet)) {
		snprintf(ret_reason, REASON_BYTES,
		         "waits: %u of %u migrations of the cluster in use%s",
		         fleet->slots_held + fleet->foreign_jobs, fleet->options.caps.cluster,
		         name_foreign(fleet->foreign_jobs, foreign));
		return true;
	}
	return false;
}

void launch_take_drain(struct migration_settings *s, const struct drain_record *drain)
{
	setting_take_given(s, SETTING_COPY_DISKS, drain->copy_disks, ORIGIN_DRAIN);
	setting_take_given(s, SETTING_BANDWIDTH, drain->bandwidth_bytes_per_s, ORIGIN_DRAIN);
	setting_take_given(s, SETTING_MAX_DOWNTIME, drain->max_downtime_ms, ORIGIN_DRAIN);
	setting_take_given(s, SETTING_COMPLETION_TIMEOUT, drain->completion_timeout_ms_per_gib,
	                   ORIGIN_DRAIN);
	setting_take_given(s, SETTING_PROGRESS_TIMEOUT, drain->progress_timeout_ms, ORIGIN_DRAIN);
	setting_take_strategy(s, &drain->strategy, ORIGIN_DRAIN);
}

struct migration *launch_plan_migration(struct fleet *fleet, struct vm *vm, struct drain *drain)
{
	const struct sighting *home = fleet_find_sighting(vm, vm->node);
	struct migration_record kept = { .number = fleet->last_migration_number + 1 };
	struct migration *m;

	assert(!vm->migration && home);
	kept.attempt.operation = fleet->options.next_id(fleet->options.next_id_context);
	kept.state = MIGRATION_PLANNED;
	kept.settings = fleet->options.settings;
	kept.created_wall_ms = fleet->step->wall_ms;
	kept.memory_bytes = home->state.memory_bytes;
	kept.need_bytes = vm_state_need_bytes(&home->state);
	text_copy(kept.vm_uuid, sizeof(kept.vm_uuid), vm->uuid);
	text_copy(kept.vm_name, sizeof(kept.vm_name), vm->name);
	text_copy(kept.source, sizeof(kept.source), vm->node->kept.name);
	if (drain) {
		kept.drain_number = drain->kept.number;
		launch_take_drain(&kept.settings, &drain->kept);
	}
	tune_apply_kept(vm, &kept.settings);
	m = fleet_add_migration(fleet, &kept);
	save_migration(fleet, m);
	return m;
}

/* @ahead: without a slot, to be prepared for one. */
static void begin(struct fleet *fleet, struct migration *m, struct vm *vm,
                  const struct node *target, bool ahead)
{
	const struct sighting *home = fleet_find_sighting(vm, vm->node);

	/* The guest may have grown, or moved by other hands, since this was asked for. */
	m->kept.memory_bytes = home->state.memory_bytes;
	m->kept.need_bytes = vm_state_need_bytes(&home->state);
	text_copy(m->kept.source, sizeof(m->kept.source), vm->node->kept.name);
	text_copy(m->kept.target, sizeof(m->kept.target), target->kept.name);
	m->kept.attempt.number++;
	m->kept.attempt.epoch = fleet->epoch;
	m->kept.reason[0] = '\0';
	vm->begun_ms = change_now(fleet);
	if (ahead)
		migration_take_ahead(fleet, m);
	else
		migration_take_slot(fleet, m);
	predict_begin(fleet, m);
	migration_move(fleet, m, MIGRATION_RESERVED);
}

static enum launch judge_vm(const struct fleet *fleet, const struct vm *vm, char *ret_reason)
{
	uint64_t now_ms = change_now(fleet);

	if (!vm->node) {
		text_copy(ret_reason, REASON_BYTES, "no host lists it");
		return LAUNCH_BLOCKED;
	}
	if (!node_is_sure(vm->node, now_ms)) {
		snprintf(ret_reason, REASON_BYTES, "waits: %s %s", vm->node->kept.name,
		         node_is_heard(vm->node, now_ms) ? "has no connection to libvirt"
		                                         : "cannot be reached");
		return LAUNCH_WAITS;
	}
	if (!fence_is_known(vm->node, vm->node)) {
		snprintf(ret_reason, REASON_BYTES,
		         "waits: %s has not yet confirmed that what it began before it was "
		         "declared dead is over",
		         vm->node->kept.name);
		return LAUNCH_WAITS;
	}
	if (!vm->movable) {
		text_copy(ret_reason, REASON_BYTES, vm->why_not);
		return LAUNCH_BLOCKED;
	}
	/* Done, and the source's list is not yet the newest. */
	if (vm->moved_ms && now_ms - vm->moved_ms < SETTLE_MS) {
		snprintf(ret_reason, REASON_BYTES,
		         "waits: it has just moved, and %s still lists it", vm->node->kept.name);
		return LAUNCH_SETTLES;
	}
	if (now_ms < vm->retry_ms) {
		snprintf(ret_reason, REASON_BYTES, "waits: tried again in %" PRIu64 " s",
		         (vm->retry_ms - now_ms + 999) / 1000);
		return LAUNCH_WAITS;
	}
	return LAUNCH_DONE;
}

static bool lacks_reports(const struct fleet *fleet)
{
	for (const struct node *node = fleet->nodes; node; node = node->hh.next) {
		if (!node->known)
			return true;
	}
	return false;
}

enum launch launch_try(struct fleet *fleet, struct vm *vm, struct drain *drain, struct plan *plan,
                       const char *wish, char *ret_reason)
{
	struct migration *m = vm->migration;
	enum launch verdict = judge_vm(fleet, vm, ret_reason);
	const char *only = m && m->kept.wanted_target[0] ? m->kept.wanted_target : NULL;
	uint64_t now_ms = change_now(fleet);
	char why[REASON_BYTES], ever[REASON_BYTES];
	struct plan_node *target, *later;

	assert(!m || m->kept.state == MIGRATION_PLANNED);
	if (verdict != LAUNCH_DONE)
		return verdict;
	if (launch_lacks_slot(fleet, vm->node, drain, ret_reason)) {
		target = ahead_may_prepare(fleet, vm, drain)
		                 ? plan_pick_target(plan, fleet, vm,
		                                    only              ? only
		                                    : wish && wish[0] ? wish
		                                                      : NULL,
		                                    false, now_ms, why)
		                 : NULL;
		if (!target)
			return LAUNCH_WAITS;
		begin(fleet, m ? m : launch_plan_migration(fleet, vm, drain), vm, target->node,
		      true);
		return LAUNCH_DONE;
	}

	target = !only && wish && wish[0]
	                 ? plan_pick_target(plan, fleet, vm, wish, false, now_ms, why)
	                 : NULL;
	/* The others are planned on its going there: elsewhere it may take the only room of one of
	 * them. A slot is a matter of time. */
	if (!target && !only && wish && wish[0] &&
	    (later = plan_pick_target(plan, fleet, vm, wish, true, now_ms, ever))) {
		ahead_yield(fleet, later->node);
		snprintf(ret_reason, REASON_BYTES, "waits: %.*s", REASON_BYTES - 16, why);
		return LAUNCH_WAITS;
	}
	if (!target)
		target = plan_pick_target(plan, fleet, vm, only, false, now_ms, why);
	if (target) {
		begin(fleet, m ? m : launch_plan_migration(fleet, vm, drain), vm, target->node,
		      false);
		return LAUNCH_DONE;
	}
	/* Only slots or ports are missing, where it would fit: a matter of time. */
	later = plan_pick_target(plan, fleet, vm, only, true, now_ms, ever);
	if (later) {
		ahead_yield(fleet, later->node);
		snprintf(ret_reason, REASON_BYTES, "waits: %.*s", REASON_BYTES - 16, why);
		return LAUNCH_WAITS;
	}
	/* Just started: those that are not heard of yet are about to be. */
	if (now_ms - fleet->started_ms < NODE_SILENT_MS && lacks_reports(fleet)) {
		snprintf(ret_reason, REASON_BYTES, "waits for agents to report: %.*s",
		         REASON_BYTES - 32, why);
		return LAUNCH_WAITS;
	}
	snprintf(ret_reason, REASON_BYTES, "no destination: %.*s", REASON_BYTES - 32, why);
	/* Exactly that was asked for, so only who asked gives it up. */
	if (only && drain)
		snprintf(ret_reason, REASON_BYTES,
		         "no destination: %.300s; its plan sends it to %.60s only; to have it go "
		         "wherever there is room: drover cancel migration/%" PRIu64,
		         why, only, m->kept.number);
	if (m && !m->waiting_since_ms)
		m->waiting_since_ms = now_ms;
	return LAUNCH_BLOCKED;
}

/* The same check of the same host says no again: the numbers may differ, the news does not. */
static bool is_news(const struct refusal *before, const struct checks *checks)
{
	const struct check *was = checks_find_worst(&before->checks, CHECK_FAIL);
	const struct check *is = checks_find_worst(checks, CHECK_FAIL);

	return !was || !is || strcmp(was->id, is->id) != 0;
}

bool launch_remember_refusal(struct fleet *fleet, struct vm *vm, const char *target,
                             const struct checks *checks, const char *why)
{
	struct node *node = fleet_find_node(fleet, target);
	struct refusal *refusal;
	bool news;

	LL_FOREACH (vm->refusals, refusal) {
		if (strcmp(refusal->target, target) == 0)
			break;
	}
	if (!refusal) {
		refusal = xnew(struct refusal);
		text_copy(refusal->target, sizeof(refusal->target), target);
		LL_PREPEND(vm->refusals, refusal);
	}
	if (node)
		denials_learn(node, vm, checks, change_now(fleet));
	news = is_news(refusal, checks);
	checks_deinit(&refusal->checks);
	checks_copy(&refusal->checks, checks);
	text_copy(refusal->why, sizeof(refusal->why), why);
	refusal->fault = false;
	refusal->lasting = refusals_are_lasting(checks);
	refusal->known_ms = change_now(fleet) + DENIAL_MS;
	if (checks->count)
		vm->asked_ms = change_now(fleet);
	refusal->backoff_ms = refusal->backoff_ms ? 2 * refusal->backoff_ms : REFUSAL_FIRST_MS;
	if (refusal->backoff_ms > REFUSAL_MOST_MS)
		refusal->backoff_ms = REFUSAL_MOST_MS;
	refusal->again_ms = change_now(fleet) + refusal->backoff_ms;
	refusal->room_sequence = node ? node->room_sequence : 0;
	return news;
}

void launch_avoid(struct fleet *fleet, struct vm *vm, const char *target, const char *why)
{
	struct checks none = { 0 };
	struct refusal *refusal;

	(void)launch_remember_refusal(fleet, vm, target, &none, why);
	LL_FOREACH (vm->refusals, refusal) {
		if (strcmp(refusal->target, target) == 0)
			refusal->fault = true;
	}
}

void recall_refusal(struct vm *vm, const struct node *node, const struct recalled_refusal *from,
                    uint64_t now_ms)
{
	struct refusal *refusal = xnew(struct refusal);

	text_copy(refusal->target, sizeof(refusal->target), node->kept.name);
	text_copy(refusal->why, sizeof(refusal->why), from->why);
	refusal->fault = from->fault;
	refusal->backoff_ms = REFUSAL_FIRST_MS;
	refusal->again_ms = now_ms +
	                    (from->left_ms < REFUSAL_MOST_MS ? from->left_ms : REFUSAL_MOST_MS);
	refusal->room_sequence = node->room_sequence;
	if (from->checks) {
		checks_copy(&refusal->checks, from->checks);
		refusal->lasting = refusals_are_lasting(from->checks);
		refusal->known_ms = now_ms +
		                    (from->known_ms < DENIAL_MS ? from->known_ms : DENIAL_MS);
		vm->asked_ms = now_ms;
	}
	LL_PREPEND(vm->refusals, refusal);
}

void launch_forget_refusals(struct vm *vm)
{
	struct refusal *refusal, *next;

	LL_FOREACH_SAFE (vm->refusals, refusal, next) {
		checks_deinit(&refusal->checks);
		free(refusal);
	}
	vm->refusals = NULL;
}

void launch_remember_failure(struct fleet *fleet, struct vm *vm)
{
	uint64_t backoff_ms = FAILURE_FIRST_MS;

	for (uint32_t i = 0; i < vm->failures && backoff_ms < FAILURE_MOST_MS; i++)
		backoff_ms *= 2;
	if (backoff_ms > FAILURE_MOST_MS)
		backoff_ms = FAILURE_MOST_MS;
	vm->failures++;
	vm->retry_ms = change_now(fleet) + backoff_ms;
	if (vm->begun_ms && vm->retry_ms < vm->begun_ms + ATTEMPT_EVERY_MS)
		vm->retry_ms = vm->begun_ms + ATTEMPT_EVERY_MS;
}
