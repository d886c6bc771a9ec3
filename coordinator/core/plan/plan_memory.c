/* SPDX-License-Identifier: Apache-2.0 */
/* See plan_memory.h. */
#include "coordinator/core/plan/plan_memory.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/move/launch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define KEPT_MOST 32
/* Of all of them together: some 40 MiB. The latest is kept, however large. */
#define MOVES_MOST ((size_t)50000)

/* FNV-1a over the texts and what separates them. */
static uint64_t mix(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	while (*text++);
	return h;
}

static uint64_t mix_number(uint64_t h, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	return mix(h, text);
}

/* How its guests are to move is part of what it does; until when and why, of what is told. */
static void name_plan(const struct kept_plan *plan, char ret_id[PLAN_ID_BYTES])
{
	const struct drain_record *r = &plan->record;
	const uint64_t options[] = {
		strategy_pack(&r->strategy),
		r->copy_disks,
		r->parallel,
		r->bandwidth_bytes_per_s,
		r->max_downtime_ms,
		r->completion_timeout_ms_per_gib,
		r->progress_timeout_ms,
		r->shutdown_timeout_ms,
	};
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		h = mix_number(h, options[i]);
	for (size_t i = 0; i < plan->count; i++) {
		h = mix(h, plan->moves[i].uuid);
		h = mix(h, plan->moves[i].node);
		h = mix(h, plan->moves[i].target);
	}
	snprintf(ret_id, PLAN_ID_BYTES, "%016" PRIx64, h);
}

static void kept_free(struct kept_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->moves[i].why);
		free(plan->moves[i].turn_why);
	}
	drain_record_deinit(&plan->record);
	names_deinit(&plan->nodes);
	free(plan->moves);
	free(plan->by_uuid);
	free(plan);
}

static int compare_turns(const void *a, const void *b)
{
	const struct drain_vm *x = *(const struct drain_vm *const *)a;
	const struct drain_vm *y = *(const struct drain_vm *const *)b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void keep_move(const struct drain_vm *dv, struct kept_move *move)
{
	text_copy(move->uuid, sizeof(move->uuid), dv->uuid);
	text_copy(move->name, sizeof(move->name), dv->name);
	text_copy(move->node, sizeof(move->node), dv->node);
	text_copy(move->target, sizeof(move->target), dv->target);
	move->order = dv->order;
	move->could = dv->could;
	move->memory_bytes = dv->memory_bytes;
	move->left_bytes = dv->left_bytes;
	move->start_ms = drain_vm_start_ms(dv);
	move->end_ms = dv->end_ms;
	move->prediction = dv->prediction;
	move->guard = dv->guard;
	move->why = xstrdup(dv->why[0] ? dv->why : dv->reason);
	move->turn_why = xstrdup(dv->turn_why);
}

static int compare_uuids(const void *a, const void *b, void *context)
{
	const struct kept_move *moves = context;

	return strcmp(moves[*(const uint32_t *)a].uuid, moves[*(const uint32_t *)b].uuid);
}

static void index_moves(struct kept_plan *plan)
{
	plan->by_uuid = xcalloc(plan->count + 1, sizeof(*plan->by_uuid));
	for (uint32_t i = 0; i < plan->count; i++)
		plan->by_uuid[i] = i;
	if (plan->count)
		qsort_r(plan->by_uuid, plan->count, sizeof(*plan->by_uuid), compare_uuids,
		        plan->moves);
}

static struct kept_plan *make(const struct drain *draft)
{
	const struct drain_vm **going = xcalloc(draft->n_vms + 1, sizeof(*going));
	struct kept_plan *plan = xnew(struct kept_plan);

	for (size_t i = 0; i < draft->n_vms; i++) {
		if (draft->vms[i].state == DRAIN_VM_WAITING)
			going[plan->count++] = &draft->vms[i];
	}
	qsort(going, plan->count, sizeof(*going), compare_turns);
	plan->moves = xcalloc(plan->count + 1, sizeof(*plan->moves));
	for (size_t i = 0; i < plan->count; i++)
		keep_move(going[i], &plan->moves[i]);
	free(going);
	index_moves(plan);
	drain_record_copy(&plan->record, &draft->kept);
	names_copy(&plan->nodes, &draft->nodes);
	plan->bound = draft->bound;
	plan->eta_ms = draft->eta_ms;
	plan->eta_low_ms = draft->eta_low_ms;
	plan->eta_high_ms = draft->eta_high_ms;
	plan->bytes = draft->bytes_total;
	name_plan(plan, plan->id);
	return plan;
}

void plan_memory_trim(struct fleet *fleet, size_t most_plans, size_t most_moves)
{
	struct kept_plan *plan, *next;
	size_t plans = 0, moves = 0;

	LL_FOREACH_SAFE (fleet->plans, plan, next) {
		moves += plan->count;
		if (++plans == 1 || (plans <= most_plans && moves <= most_moves))
			continue;
		LL_DELETE(fleet->plans, plan);
		kept_free(plan);
	}
}

void plan_memory_keep(struct fleet *fleet, struct drain *draft)
{
	struct kept_plan *plan, *known, *next;

	draft->plan_id[0] = '\0';
	for (size_t i = 0; i < draft->n_vms; i++) {
		if (draft->vms[i].state == DRAIN_VM_BLOCKED)
			return;
	}
	plan = make(draft);
	if (!plan->count) {
		kept_free(plan);
		return;
	}
	plan->made_wall_ms = fleet->step->wall_ms;
	text_copy(draft->plan_id, sizeof(draft->plan_id), plan->id);
	LL_PREPEND(fleet->plans, plan);
	LL_FOREACH_SAFE (fleet->plans, known, next) {
		if (known != plan && strcmp(known->id, plan->id) == 0) {
			LL_DELETE(fleet->plans, known);
			kept_free(known);
		}
	}
	plan_memory_trim(fleet, KEPT_MOST, MOVES_MOST);
}

void plan_memory_free(struct fleet *fleet)
{
	struct kept_plan *plan, *next;

	LL_FOREACH_SAFE (fleet->plans, plan, next) {
		kept_free(plan);
	}
	fleet->plans = NULL;
}

const struct kept_plan *plan_memory_find(const struct fleet *fleet, const char *id)
{
	const struct kept_plan *plan;

	LL_FOREACH (fleet->plans, plan) {
		if (strcmp(plan->id, id) == 0)
			return plan;
	}
	return NULL;
}

const char *kept_plan_get_target(const struct kept_plan *plan, const char *uuid)
{
	size_t first = 0, end = plan ? plan->count : 0;

	while (first < end) {
		size_t middle = first + (end - first) / 2;
		const struct kept_move *move = &plan->moves[plan->by_uuid[middle]];
		int order = strcmp(uuid, move->uuid);

		if (!order)
			return move->target;
		if (order < 0)
			end = middle;
		else
			first = middle + 1;
	}
	return NULL;
}

static void differ(struct names *ret, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void differ(struct names *ret, const char *format, ...)
{
	char text[2 * REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	names_add(ret, text);
}

/* A guest that its host has now. */
static void compare_guest(const struct kept_plan *plan, const struct drain_vm *dv,
                          struct names *ret)
{
	bool goes = dv->state == DRAIN_VM_WAITING || dv->state == DRAIN_VM_BLOCKED;
	const char *target = kept_plan_get_target(plan, dv->uuid);

	if (goes && !target)
		differ(ret, "%s runs on %s, and the plan does not know it", dv->name, dv->node);
	else if (goes && !target[0] && !dv->shuts)
		differ(ret, "%s was to be shut down; name it again: --shutdown %s", dv->name,
		       dv->name);
	else if (goes && target[0] && dv->shuts)
		differ(ret, "%s was to go to %s, and not to be shut down", dv->name, target);
}

/* A guest that was to go. */
static void compare_move(const struct kept_move *move, const struct drain_vm *dv, struct names *ret)
{
	if (!dv)
		differ(ret, "%s does not run on %s any more", move->name, move->node);
	else if (dv->state == DRAIN_VM_LEFT && !move->target[0])
		differ(ret, "%s was to be shut down, and now would be left: %s", move->name,
		       dv->reason);
	else if (dv->state == DRAIN_VM_LEFT)
		differ(ret, "%s was to go to %s, and now would be left: %s", move->name,
		       move->target, dv->reason);
	else if (dv->state == DRAIN_VM_BLOCKED && move->target[0])
		differ(ret, "%s cannot go to %s any more: %s%s%s", move->name, move->target,
		       dv->reason, dv->helps[0] ? "; would help: " : "", dv->helps);
}

void kept_plan_compare(const struct kept_plan *plan, const struct drain *draft, struct names *ret)
{
	for (size_t i = 0; i < draft->n_vms; i++)
		compare_guest(plan, &draft->vms[i], ret);
	for (size_t i = 0; i < plan->count; i++)
		compare_move(&plan->moves[i],
		             drain_find_vm((struct drain *)draft, plan->moves[i].uuid), ret);
}

/* As they were asked for. Whoever is left or shut down is named once: guests are found by their uuid. */
static struct drain_record *list_records(const struct kept_plan *plan)
{
	struct drain_record *records = xcalloc(plan->nodes.count + 1, sizeof(*records));

	for (size_t i = 0; i < plan->nodes.count; i++) {
		drain_record_copy(&records[i], &plan->record);
		if (i > 0)
			drain_record_deinit(&records[i]);
		text_copy(records[i].node, sizeof(records[i].node), plan->nodes.items[i]);
	}
	return records;
}

void kept_plan_check(struct fleet *fleet, const struct kept_plan *plan, struct names *ret)
{
	struct drain_record *records;
	struct drain *draft;

	for (size_t i = 0; i < plan->nodes.count; i++) {
		const struct node *node = fleet_find_node(fleet, plan->nodes.items[i]);

		if (!node) {
			differ(ret, "%s is not known here", plan->nodes.items[i]);
			return;
		}
		if (node->kept.drain_number)
			differ(ret, "%s is being drained by now: drain/%" PRIu64, node->kept.name,
			       node->kept.drain_number);
	}
	records = list_records(plan);
	draft = drain_draft_as(fleet, records, plan->nodes.count, plan);
	kept_plan_compare(plan, draft, ret);
	drain_free(draft);
	for (size_t i = 0; i < plan->nodes.count; i++)
		drain_record_deinit(&records[i]);
	free(records);
}

void kept_plan_start(struct fleet *fleet, const struct kept_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct kept_move *move = &plan->moves[i];
		struct vm *vm = fleet_find_vm(fleet, move->uuid);
		struct node *node = fleet_find_node(fleet, move->node);
		struct drain *drain = node ? fleet_find_node_drain(fleet, node) : NULL;
		struct migration *m;

		if (!move->target[0] || !vm || !drain || vm->node != node || vm->migration)
			continue;
		m = launch_plan_migration(fleet, vm, drain);
		text_copy(m->kept.wanted_target, sizeof(m->kept.wanted_target), move->target);
		save_migration(fleet, m);
	}
}
