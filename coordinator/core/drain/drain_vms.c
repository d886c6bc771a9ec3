/* SPDX-License-Identifier: Apache-2.0 */
/* What drains and drafts of drains share: their guests, who may stay, amounts and estimates. */
#include "coordinator/core/drain/drain_vms.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/power/power.h"
#include "coordinator/core/predict/predict.h"

#include <stdlib.h>
#include <string.h>

/* --- by uuid: the first of those with that one, wherever they are --- */

static int compare_uuids(const void *a, const void *b, void *context)
{
	const struct drain_vm *vms = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(vms[x].uuid, vms[y].uuid);

	return order ? order : x < y ? -1 : x > y;
}

/* How many of the index are before that uuid. */
static size_t count_before(const struct drain *drain, const char *uuid, size_t count)
{
	size_t first = 0;

	while (first < count) {
		size_t middle = first + (count - first) / 2;

		if (strcmp(drain->vms[drain->by_uuid[middle]].uuid, uuid) < 0)
			first = middle + 1;
		else
			count = middle;
	}
	return first;
}

void drain_index_vms(struct drain *drain)
{
	for (uint32_t i = 0; i < drain->n_vms; i++)
		drain->by_uuid[i] = i;
	if (drain->n_vms)
		qsort_r(drain->by_uuid, drain->n_vms, sizeof(*drain->by_uuid), compare_uuids,
		        drain->vms);
}

/* The guest that is new at @at; those behind it have moved up. */
static void index_vm(struct drain *drain, uint32_t at)
{
	size_t others = drain->n_vms - 1, place;

	drain->by_uuid = xreallocarray(drain->by_uuid, drain->n_vms, sizeof(*drain->by_uuid));
	for (size_t i = 0; i < others; i++)
		drain->by_uuid[i] += drain->by_uuid[i] >= at;
	place = count_before(drain, drain->vms[at].uuid, others);
	while (place < others && compare_uuids(&drain->by_uuid[place], &at, drain->vms) < 0)
		place++;
	memmove(&drain->by_uuid[place + 1], &drain->by_uuid[place],
	        (others - place) * sizeof(*drain->by_uuid));
	drain->by_uuid[place] = at;
}

struct drain_vm *drain_find_vm(struct drain *drain, const char *uuid)
{
	size_t place = count_before(drain, uuid, drain->n_vms);
	struct drain_vm *dv;

	if (place == drain->n_vms)
		return NULL;
	dv = &drain->vms[drain->by_uuid[place]];
	return strcmp(dv->uuid, uuid) == 0 ? dv : NULL;
}

/* --- guests --- */

/* Hardest first: the largest guest has the fewest destinations. */
struct drain_vm *drain_add_vm(struct drain *drain, const char *node, const struct vm *vm,
                              uint64_t memory_bytes)
{
	size_t at = 0;

	while (at < drain->n_vms && drain->vms[at].memory_bytes >= memory_bytes)
		at++;
	drain->vms = xreallocarray(drain->vms, drain->n_vms + 1, sizeof(*drain->vms));
	memmove(&drain->vms[at + 1], &drain->vms[at], (drain->n_vms - at) * sizeof(*drain->vms));
	drain->n_vms++;
	drain->vms[at] = (struct drain_vm){ .memory_bytes = memory_bytes };
	text_copy(drain->vms[at].uuid, sizeof(drain->vms[at].uuid), vm->uuid);
	text_copy(drain->vms[at].name, sizeof(drain->vms[at].name), vm->name);
	text_copy(drain->vms[at].node, sizeof(drain->vms[at].node), node);
	index_vm(drain, (uint32_t)at);
	return &drain->vms[at];
}

void drain_set_vm(struct fleet *fleet, struct drain *drain, struct drain_vm *dv,
                  enum drain_vm_state state, const char *target, const char *reason)
{
	if (dv->state == state && strcmp(dv->target, target) == 0 &&
	    strcmp(dv->reason, reason) == 0)
		return;
	dv->state = state;
	text_copy(dv->target, sizeof(dv->target), target);
	text_copy(dv->reason, sizeof(dv->reason), reason);
	change_drain(fleet, drain);
}

void drain_set_checks(struct drain_vm *dv, const struct checks *checks)
{
	checks_deinit(&dv->checks);
	checks_copy(&dv->checks, checks);
}

/* Cannot leave at all, wherever to: a BLOCK in the guest itself, or larger than any host. */
bool drain_is_hopeless(const struct fleet *fleet, const struct vm *vm, char *ret_reason)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;

	if (home && checks_find_worst(&home->state.blockers, CHECK_BLOCK)) {
		text_copy(ret_reason, REASON_BYTES, vm->why_not);
		return true;
	}
	return !plan_could_ever_fit(fleet, vm, ret_reason);
}

/* May it stay? */
bool drain_allows(const struct fleet *fleet, const struct drain *drain, const struct vm *vm,
                  char *ret_reason)
{
	if (drain_record_leaves(&drain->kept, vm->uuid, vm->name)) {
		text_copy(ret_reason, REASON_BYTES, "left as asked");
		return true;
	}
	/* Its name weighs more than what is said of all. */
	return drain->kept.leave_unmovable && !drain_record_find_shutdown(&drain->kept, vm->uuid) &&
	       drain_is_hopeless(fleet, vm, ret_reason);
}

struct drain_counts drain_count(const struct drain *drain)
{
	struct drain_counts counts = { 0 };

	for (size_t i = 0; i < drain->n_vms; i++)
		counts.by_state[drain->vms[i].state]++;
	return counts;
}

#define PREDICT_EVERY_MS ((uint64_t)5000)

/* How many others of its node go beside it, most of the time: they share the way out. */
static uint32_t count_beside(const struct fleet *fleet, const struct drain *drain)
{
	uint32_t lanes = launch_get_parallel(fleet, drain), going = 0;

	/* Of a set each node has many, or it would not be one. */
	if (drain->nodes.count > 1)
		return lanes ? lanes - 1 : 0;
	for (size_t i = 0; i < drain->n_vms && going < lanes; i++) {
		const struct drain_vm *other = &drain->vms[i];

		going += !other->shuts &&
		         (other->state == DRAIN_VM_WAITING || other->state == DRAIN_VM_MOVING);
	}
	return going ? going - 1 : 0;
}

/* Those of one node, without a limit of their own, go shortest first. */
static bool has_lanes(const struct fleet *fleet, const struct drain *drain)
{
	const struct migration_settings *s = &fleet->options.settings;

	if (!s->shortest_first || drain->nodes.count > 1 || s->bandwidth_bytes_per_s ||
	    drain->kept.bandwidth_bytes_per_s)
		return false;
	/* Those that come back leave where they are. */
	for (size_t i = 1; i < drain->n_vms; i++) {
		if (strcmp(drain->vms[i].node, drain->vms[0].node) != 0)
			return false;
	}
	return true;
}

static void predict_guest(struct fleet *fleet, const struct drain *drain, bool lanes,
                          struct drain_vm *dv)
{
	const struct migration *m = fleet_find_migration(fleet, dv->migration_number);
	const struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	uint64_t now_ms = change_now(fleet);
	struct migration_settings settings = fleet->options.settings;
	struct predict_question q = { .source = fleet_find_node(fleet, dv->node),
		                      .target = fleet_find_node(fleet, dv->target),
		                      .settings = &settings,
		                      .guard = dv->guard,
		                      .copied_bytes = dv->copied_bytes };

	if (dv->state == DRAIN_VM_MOVING && m && m->kept.prediction.expected_ms) {
		dv->prediction = m->kept.prediction;
		return;
	}
	/* A drain of thousands is looked at with every event; what it rests on changes slowly. */
	if (dv->predicted_ms && now_ms - dv->predicted_ms < PREDICT_EVERY_MS &&
	    drain->kept.state != DRAIN_PLANNED)
		return;
	if (!vm || !q.source)
		return;
	dv->predicted_ms = now_ms;
	q.beside = count_beside(fleet, drain);
	launch_take_drain(&settings, &drain->kept);
	predict_vm(fleet, vm, &q, now_ms, &dv->prediction);
	dv->unshared_ms = dv->prediction.expected_ms;
	if (q.beside && lanes) {
		struct prediction unshared;

		q.beside = 0;
		predict_vm(fleet, vm, &q, now_ms, &unshared);
		dv->unshared_ms = unshared.expected_ms;
	}
}

/* What is left of it, of which @whole_ms were thought to be needed. */
static uint64_t left_of(const struct fleet *fleet, const struct drain_vm *dv, uint64_t whole_ms)
{
	const struct migration *m = fleet_find_migration(fleet, dv->migration_number);
	const struct progress *progress = m ? &m->kept.report.progress : NULL;

	if (dv->state != DRAIN_VM_MOVING || !progress)
		return whole_ms;
	/* What the agent expects is the copy; then come the switchover and the clean-up. And what
	 * still runs is not over, however long it was thought to take. */
	if (progress->eta_known)
		return progress->eta_ms + PLAN_OVERHEAD_MS / 2;
	if (whole_ms < progress->elapsed_ms + PLAN_OVERHEAD_MS / 2)
		return PLAN_OVERHEAD_MS / 2;
	return whole_ms - progress->elapsed_ms;
}

/* Where nothing can be foretold, by size alone. */
static uint64_t whole_of(const struct fleet *fleet, const struct drain *drain,
                         const struct drain_vm *dv)
{
	if (dv->prediction.expected_ms)
		return dv->prediction.expected_ms;
	return plan_estimate_to_ms(fleet_find_node(fleet, dv->node),
	                           fleet_find_node(fleet, dv->target), dv->memory_bytes,
	                           drain->kept.bandwidth_bytes_per_s, change_now(fleet));
}

/* How long its link is busy for it if nobody shares that, and how long it does not send. Where nothing is
 * foretold the first follows from its time beside @beside others. */
static void judge_lane(const struct fleet *fleet, uint32_t beside, struct drain_vm *dv)
{
	const struct migration *m = fleet_find_migration(fleet, dv->migration_number);
	uint64_t held_ms = m ? m->kept.report.progress.hold_left_ms : 0, ms = dv->eta_ms;

	dv->around_ms = 0;
	if (dv->state == DRAIN_VM_MOVING) {
		ms = ms > held_ms ? ms - held_ms : 0;
	} else {
		if (dv->unshared_ms)
			ms = dv->unshared_ms;
		else if (ms > PLAN_OVERHEAD_MS)
			ms = PLAN_OVERHEAD_MS + (ms - PLAN_OVERHEAD_MS) / (beside + 1);
		if (ms > PLAN_OVERHEAD_MS)
			dv->around_ms = PLAN_OVERHEAD_MS;
		ms -= dv->around_ms;
	}
	dv->alone_ms = ms ? ms : 1;
}

uint32_t drain_get_slots(const struct fleet *fleet, const struct drain *drain)
{
	uint32_t slots = launch_get_parallel(fleet, drain);

	/* Each node of a set has its own. */
	if (drain->nodes.count)
		slots *= (uint32_t)drain->nodes.count;
	return slots < fleet->options.caps.cluster ? slots : fleet->options.caps.cluster;
}

/* What those that are shut down are given, after the last move. */
static uint64_t judge_tail(const struct fleet *fleet, struct drain *drain)
{
	uint64_t given_ms = power_get_timeout(fleet, &drain->kept), tail_ms = 0;

	for (size_t i = 0; i < drain->n_vms; i++) {
		struct drain_vm *dv = &drain->vms[i];
		const struct shutdown *s = drain_record_find_shutdown(&drain->kept, dv->uuid);
		const struct power *p = s && drain->power ? power_of(drain, s) : NULL;
		uint64_t since_ms = p && p->first_asked_ms ? change_now(fleet) - p->first_asked_ms
		                                           : 0;

		if (!dv->shuts || (dv->state != DRAIN_VM_WAITING && dv->state != DRAIN_VM_STOPPING))
			continue;
		dv->alone_ms = 0;
		dv->eta_ms = dv->state == DRAIN_VM_WAITING ? given_ms
		             : since_ms < given_ms         ? given_ms - since_ms
		                                           : 0;
		if (dv->eta_ms > tail_ms)
			tail_ms = dv->eta_ms;
	}
	return tail_ms;
}

uint64_t drain_vm_start_ms(const struct drain_vm *dv)
{
	if (dv->state == DRAIN_VM_WAITING && dv->alone_ms)
		return dv->begin_ms;
	return dv->end_ms > dv->eta_ms ? dv->end_ms - dv->eta_ms : 0;
}

void drain_judge_amounts(struct fleet *fleet, struct drain *drain,
                         const struct drain_counts *counts)
{
	uint64_t *durations = xcalloc(3 * (drain->n_vms + 1), sizeof(*durations));
	uint64_t *low = durations + drain->n_vms + 1, *high = low + drain->n_vms + 1;
	uint64_t total = 0, done = 0, eta_ms, low_ms, high_ms, link_ms = 0;
	bool end_in_sight = true, lanes = has_lanes(fleet, drain);
	uint32_t slots = drain_get_slots(fleet, drain), beside = count_beside(fleet, drain);
	size_t n = 0;

	/* Those that move first: they have their slots already. */
	for (int moving = 1; moving >= 0; moving--) {
		for (size_t i = 0; i < drain->n_vms; i++) {
			struct drain_vm *dv = &drain->vms[i];
			bool moves = dv->state == DRAIN_VM_MOVING;
			const struct prediction *p;

			if (moves != moving || (!moves && dv->state != DRAIN_VM_WAITING) ||
			    dv->shuts || dv->starts)
				continue;
			predict_guest(fleet, drain, lanes, dv);
			p = &dv->prediction;
			dv->eta_ms = left_of(fleet, dv, whole_of(fleet, drain, dv));
			low[n] = p->expected_ms ? left_of(fleet, dv, p->low_ms) : dv->eta_ms;
			high[n] = left_of(fleet, dv, p->high_known ? p->high_ms : 2 * dv->eta_ms);
			end_in_sight &= p->high_known;
			durations[n++] = dv->eta_ms;
			dv->alone_ms = 0;
			if (lanes)
				judge_lane(fleet, beside, dv);
			link_ms += dv->alone_ms;
		}
	}
	for (size_t i = 0; i < drain->n_vms; i++) {
		const struct drain_vm *dv = &drain->vms[i];
		const struct migration *m = fleet_find_migration(fleet, dv->migration_number);

		if (dv->state == DRAIN_VM_LEFT || dv->state == DRAIN_VM_STOPPED || dv->shuts ||
		    dv->starts)
			continue;
		total += dv->memory_bytes;
		if (dv->state == DRAIN_VM_MOVED)
			done += dv->memory_bytes;
		else if (dv->state == DRAIN_VM_MOVING && m)
			done += dv->memory_bytes / 100 * m->kept.report.progress.percent;
	}
	eta_ms = plan_schedule_ms(durations, n, slots);
	/* One that is held has its rate still before it, and so have those that will go before it. */
	if (eta_ms < link_ms)
		eta_ms = link_ms;
	low_ms = plan_schedule_ms(low, n, slots);
	high_ms = plan_schedule_ms(high, n, slots);
	free(durations);
	/* They may be off at once, and are given that long. */
	drain->deadline.tail_ms = judge_tail(fleet, drain);
	eta_ms += drain->deadline.tail_ms;
	high_ms += drain->deadline.tail_ms;

	if (done < drain->bytes_done)
		done = drain->bytes_done; /* a failed move starts anew; shown progress does not */
	if (done > total)
		done = total;
	if (total != drain->bytes_total || done != drain->bytes_done || eta_ms != drain->eta_ms)
		change_drain(fleet, drain);
	drain->bytes_total = total;
	drain->bytes_done = done;
	drain->eta_ms = eta_ms;
	drain->eta_low_ms = low_ms < eta_ms ? low_ms : eta_ms;
	drain->eta_high_ms = end_in_sight ? (high_ms > eta_ms ? high_ms : eta_ms) : 0;
	drain->eta_known = !counts->by_state[DRAIN_VM_BLOCKED];
}
