/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of nodes that are to be emptied: one, or several at once. All of them are looked at
 * first; where one stands in the way, none is begun. An accepted request is answered when its intent
 * is durable. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/core/drain/drain_command.h"
#include "coordinator/core/drain/drain_set.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"
#include "coordinator/core/move/launch.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/plan/plan_memory.h"
#include "coordinator/core/plan/preview.h"
#include "coordinator/core/power/power.h"
#include "coordinator/core/requests.h"
#include "coordinator/planner/proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As many as its host keeps in its own copy of the drain. */
#define SHUTDOWNS_MOST           64
#define SHUTDOWN_TIMEOUT_MOST_MS ((uint64_t)86400000)

/* What people are to know of a request besides; either may be NULL. */
static void note(struct reply *reply, const char *first, const char *second)
{
	snprintf(reply->text, sizeof(reply->text), "%.240s%s%.240s", first ? first : "",
	         first && second ? ". " : "", second ? second : "");
}

static void reply_drain(struct fleet *fleet, const struct event *event, const struct drain *drain,
                        bool already, const char *text)
{
	struct reply *reply = reply_new(REPLY_DRAIN, event->request);

	reply->drain = drain->kept.number;
	reply->already = already;
	reply->changed = !already;
	note(reply, text, NULL);
	reply_send_stored(fleet, reply);
}

static const struct drain *find_request(const struct fleet *fleet, const struct id *request_id)
{
	if (id_is_zero(request_id))
		return NULL;
	for (const struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		if (id_equal(&drain->kept.request_id, request_id))
			return drain;
	}
	return NULL;
}

/* --- what is asked --- */

/* Names to uuids, so that a rename changes nothing; each must be a guest of one of the nodes. */
static int resolve_guests(const struct drain_set *set, const struct names *names,
                          struct drain_record *records, size_t list_offset, const char *what,
                          struct error *err)
{
	for (size_t i = 0; names && i < names->count; i++) {
		bool found = false;

		for (size_t n = 0; n < set->count; n++) {
			struct names *to = (struct names *)((char *)&records[n] + list_offset);
			const struct sighting *s = drain_set_find_guest(set->nodes[n],
			                                                names->items[i]);

			found = found || s;
			if (s && !names_contain(to, s->vm->uuid))
				names_add(to, s->vm->uuid);
		}
		if (!found)
			return error_set(err, ERROR_NOT_FOUND,
			                 "%s %s no guest %s to %s; `drover vms%s%s` shows those %s",
			                 set->words, set->count == 1 ? "has" : "have",
			                 names->items[i], what, set->count == 1 ? " --node " : "",
			                 set->count == 1 ? set->words : "",
			                 set->count == 1 ? "it has" : "there are");
	}
	return 0;
}

/* Of one name there must be one guest: who is stopped is nobody's guess. */
static int resolve_shutdown(const struct drain_set *set, const char *name,
                            struct drain_record *records, struct error *err)
{
	const struct sighting *found = NULL;
	struct drain_record *record = NULL;

	for (size_t n = 0; n < set->count; n++) {
		const struct sighting *s = drain_set_find_guest(set->nodes[n], name);

		if (s && found && s->vm != found->vm)
			return error_set(err, ERROR_INVALID,
			                 "%s and %s each have a guest %s; which one is to be shut "
			                 "down? name its uuid: drover vms -o wide",
			                 found->node->kept.name, s->node->kept.name, name);
		/* Where it runs, if more than one lists it. */
		if (s && (!found || vm_state_is_active(&s->state))) {
			found = s;
			record = &records[n];
		}
	}
	if (!found)
		return error_set(err, ERROR_NOT_FOUND,
		                 "%s %s no guest %s to shut down; guests are shut down only by "
		                 "their name or uuid: `drover vms%s%s` shows those %s",
		                 set->words, set->count == 1 ? "has" : "have", name,
		                 set->count == 1 ? " --node " : "",
		                 set->count == 1 ? set->words : "",
		                 set->count == 1 ? "it has" : "there are");
	if (names_contain(&record->leave, found->vm->uuid))
		return error_set(
			err, ERROR_INVALID,
			"guest %s is to be left running and to be shut down: which? name it "
			"once, with --leave or with --shutdown",
			found->vm->name);
	if (power_check_guest(found, err) < 0)
		return -(int)err->code;
	if (!drain_record_find_shutdown(record, found->vm->uuid))
		drain_record_add_shutdown(record, found->vm->uuid, found->vm->name);
	return 0;
}

static int resolve_shutdowns(const struct event *event, const struct drain_set *set,
                             struct drain_record *records, struct error *err)
{
	const struct names *names = event->drain.shut_down;

	if (names && names->count > SHUTDOWNS_MOST)
		return error_set(err, ERROR_TOO_LARGE,
		                 "%zu guests are to be shut down; the most at "
		                 "a time are %d",
		                 names->count, SHUTDOWNS_MOST);
	if (event->drain.shutdown_timeout_ms > SHUTDOWN_TIMEOUT_MOST_MS)
		return error_set(err, ERROR_INVALID, "a guest is given at most a day to shut down");
	for (size_t i = 0; names && i < names->count; i++) {
		if (resolve_shutdown(set, names->items[i], records, err) < 0)
			return -(int)err->code;
	}
	return 0;
}

static int check_node(struct fleet *fleet, const struct node *node, struct error *err)
{
	if (!node_is_heard(node, change_now(fleet)))
		return error_set(
			err, ERROR_UNREACHABLE,
			"%s cannot be reached, so its guests cannot be asked to move; to keep "
			"others away from it: drover cordon %s",
			node->kept.name, node->kept.name);
	if (!node->inventory_valid)
		return error_set(err, ERROR_UNREACHABLE,
		                 "the agent on %s has no connection to libvirt: %s",
		                 node->kept.name,
		                 node->host.libvirt_problem[0] ? node->host.libvirt_problem
		                                               : "its guests are not known");
	return 0;
}

static void fill_record(const struct event *event, const struct node *node,
                        struct drain_record *ret)
{
	text_copy(ret->node, sizeof(ret->node), node->kept.name);
	text_copy(ret->reason, sizeof(ret->reason), event->drain.reason);
	ret->request_id = event->drain.request_id;
	ret->leave_unmovable = event->drain.leave_unmovable;
	ret->copy_disks = event->drain.copy_disks;
	ret->strategy = event->drain.strategy;
	ret->parallel = event->drain.parallel;
	ret->bandwidth_bytes_per_s = event->drain.bandwidth_bytes_per_s;
	ret->max_downtime_ms = event->drain.max_downtime_ms;
	ret->completion_timeout_ms_per_gib = event->drain.completion_timeout_ms_per_gib;
	ret->progress_timeout_ms = event->drain.progress_timeout_ms;
	ret->by_wall_ms = event->drain.by_wall_ms;
	ret->shutdown_timeout_ms = event->drain.shutdown_timeout_ms;
	ret->created_wall_ms = event->wall_ms;
	ret->state = DRAIN_RUNNING;
}

static void forget_disks(const struct node *node)
{
	for (const struct sighting *s = node->sightings; s; s = s->next)
		refusals_forget_disks(s->vm);
}

static int describe(struct fleet *fleet, const struct event *event, const struct drain_set *set,
                    struct drain_record *records, struct error *err)
{
	for (size_t i = 0; i < set->count; i++) {
		if (check_node(fleet, set->nodes[i], err) < 0)
			return -(int)err->code;
		fill_record(event, set->nodes[i], &records[i]);
		if (event->drain.copy_disks)
			forget_disks(set->nodes[i]);
	}
	if (resolve_guests(set, event->drain.leave, records, offsetof(struct drain_record, leave),
	                   "leave", err) < 0)
		return -(int)err->code;
	return resolve_shutdowns(event, set, records, err);
}

/* --- what stands in the way --- */

/* If its operator says so: nothing is against it. */
static bool may_be_shut_down(const struct fleet *fleet, const struct drain_vm *dv)
{
	const struct vm *vm = fleet_find_vm(fleet, dv->uuid);
	const struct sighting *home = vm && vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	char why[REASON_BYTES];

	return home && !power_finds_obstacle(home, why);
}

/* NULL when nothing does. Names each guest and the flags that allow going on. */
static char *find_refusal(const struct fleet *fleet, const struct drain_set *set,
                          const struct drain *draft, struct checks *ret_blockers)
{
	char *text = NULL, *leave = xstrdup(""), *shut_down = xstrdup("");

	for (size_t i = 0; i < draft->n_vms; i++) {
		const struct drain_vm *dv = &draft->vms[i];
		const struct check *worst = checks_find_worst(&dv->checks, CHECK_BLOCK);
		struct check blocker = { 0 };
		char *longer;

		if (!dv->hopeless)
			continue;
		if (worst)
			blocker = *worst;
		blocker.verdict = CHECK_BLOCK;
		snprintf(blocker.id, sizeof(blocker.id), "vm/%.59s", dv->name);
		text_copy(blocker.measured, sizeof(blocker.measured), dv->reason);
		snprintf(blocker.remedy, sizeof(blocker.remedy), "--leave %.60s%s%.60s", dv->name,
		         may_be_shut_down(fleet, dv) ? ", or --shutdown " : "",
		         may_be_shut_down(fleet, dv) ? dv->name : "");
		checks_add(ret_blockers, &blocker);

		longer = xasprintf("%s\n  %s cannot move: %s", text ? text : "", dv->name,
		                   dv->reason);
		free(text);
		text = longer;
		longer = xasprintf("%s --leave %s", leave, dv->name);
		free(leave);
		leave = longer;
		if (!may_be_shut_down(fleet, dv))
			continue;
		longer = xasprintf("%s --shutdown %s", shut_down, dv->name);
		free(shut_down);
		shut_down = longer;
	}
	if (text) {
		char *whole = xasprintf(
			"%s cannot be emptied:%s\nto go on and leave what cannot move: "
			"drover drain %s%s, or --unmovable leave%s%s",
			set->words, text, set->command, leave,
			shut_down[0] ? "; to shut down instead:" : "", shut_down);

		free(text);
		text = whole;
	}
	free(leave);
	free(shut_down);
	return text;
}

/* That somebody has no place is more than that none was found. */
static bool is_proved(const struct drain *draft)
{
	for (size_t i = 0; i < draft->n_vms; i++) {
		const struct drain_vm *dv = &draft->vms[i];

		if (dv->state == DRAIN_VM_BLOCKED && (dv->hopeless || dv->proof != PROOF_NONE))
			return true;
	}
	return false;
}

/* That the nodes stand in each other's way comes first: --leave would be the wrong remedy. */
static char *find_refusal_of_set(struct fleet *fleet, const struct drain_set *set,
                                 const struct drain_record *records, const struct drain *draft,
                                 struct reply *reply)
{
	_cleanup_free_ char *unproved = NULL;
	char *conflict = drain_set_find_conflict(fleet, set, records, draft, &unproved), *whole;

	note(reply, set->note, conflict ? NULL : unproved);
	if (!conflict)
		return find_refusal(fleet, set, draft, &reply->checks);
	if (is_proved(draft))
		whole = xasprintf("%s cannot be emptied together:%s", set->words, conflict);
	else
		whole = xasprintf(
			"no way to empty %s together was found; that there is none is not "
			"proved:%s",
			set->words, conflict);
	free(conflict);
	return whole;
}

/* --- the beginning --- */

static struct drain *start_drain(struct fleet *fleet, struct node *node,
                                 struct drain_record *record)
{
	struct drain *drain;

	record->number = fleet->last_drain_number + 1;
	record->id = fleet->options.next_id(fleet->options.next_id_context);
	drain = fleet_add_drain(fleet, record);
	intent_start_drain(fleet, node, drain);
	change_tell_number(fleet, SEVERITY_INFO, "drain", drain->kept.number,
	                   "%s: %zu guests, %u at a time%s%s", node->kept.name, node->active_vms,
	                   launch_get_parallel(fleet, drain), drain->kept.reason[0] ? ": " : "",
	                   drain->kept.reason);
	return drain;
}

/* Those of the set that are drained already go on as they were asked for then, and belong to it. */
static void start_set(struct fleet *fleet, const struct event *event, const struct drain_set *set,
                      struct drain_record *records, const char *text)
{
	uint64_t first = 0;

	for (size_t i = 0; i < set->count; i++) {
		struct drain *drain = fleet_find_node_drain(fleet, set->nodes[i]);

		if (!drain)
			drain = start_drain(fleet, set->nodes[i], &records[i]);
		if (!first || drain->kept.number < first)
			first = drain->kept.number;
	}
	for (size_t i = 0; i < set->count && set->count > 1; i++) {
		struct drain *drain = fleet_find_node_drain(fleet, set->nodes[i]);

		drain->kept.set_number = first;
		save_drain(fleet, drain);
	}
	reply_drain(fleet, event, fleet_find_drain(fleet, first), false, text);
}

static bool is_drained_already(const struct drain_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (!set->nodes[i]->kept.drain_number)
			return false;
	}
	return true;
}

static void preview(struct fleet *fleet, const struct event *event, struct drain *draft,
                    struct reply *reply)
{
	struct migration_settings s = fleet->options.settings;

	checks_deinit(&reply->checks); /* the round collects them, with the hosts' answers */
	reply->plan = draft;
	reply->asks_only = event->drain.asks_only;
	reply->copy_disks = event->drain.copy_disks;
	reply->max_downtime_ms = event->drain.max_downtime_ms;
	setting_take_strategy(&s, &event->drain.strategy, ORIGIN_DRAIN);
	reply->post_copy = strategy_permits_post_copy(&s.strategy);
	preview_start_drain(fleet, reply);
}

/* Each on a line of its own, after the one before. Owned. */
static char *join_lines(const struct names *lines)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < lines->count; i++) {
		char *longer = xasprintf("%s\n  %s", text, lines->items[i]);

		free(text);
		text = longer;
	}
	return text;
}

static void add_guests(struct drain_record *to, const struct drain_record *from)
{
	for (size_t i = 0; i < from->leave.count; i++) {
		if (!names_contain(&to->leave, from->leave.items[i]) &&
		    !drain_record_find_shutdown(to, from->leave.items[i]))
			names_add(&to->leave, from->leave.items[i]);
	}
	for (size_t i = 0; i < from->n_shutdowns; i++) {
		const struct shutdown *s = &from->shutdowns[i];

		if (!drain_record_find_shutdown(to, s->uuid) && !names_contain(&to->leave, s->uuid))
			drain_record_add_shutdown(to, s->uuid, s->name);
	}
}

/* How it was asked for then, where nothing is said of that now. Guests that stay or are shut down are named
 * each time. */
static void take_unsaid(struct drain_record *to, const struct drain_record *from,
                        uint64_t now_wall_ms)
{
	const struct strategy none = { 0 };

	to->copy_disks |= from->copy_disks;
	if (strategy_pack(&to->strategy) == strategy_pack(&none))
		to->strategy = from->strategy;
	if (!to->parallel)
		to->parallel = from->parallel;
	if (!to->bandwidth_bytes_per_s)
		to->bandwidth_bytes_per_s = from->bandwidth_bytes_per_s;
	if (!to->max_downtime_ms)
		to->max_downtime_ms = from->max_downtime_ms;
	if (!to->completion_timeout_ms_per_gib)
		to->completion_timeout_ms_per_gib = from->completion_timeout_ms_per_gib;
	if (!to->progress_timeout_ms)
		to->progress_timeout_ms = from->progress_timeout_ms;
	if (!to->shutdown_timeout_ms)
		to->shutdown_timeout_ms = from->shutdown_timeout_ms;
	if (!to->by_wall_ms && from->by_wall_ms > now_wall_ms)
		to->by_wall_ms = from->by_wall_ms;
	if (!to->reason[0])
		text_copy(to->reason, sizeof(to->reason), from->reason);
}

/* The command for a new dry run: with what is asked for now, and with what it was asked for then, for a plan
 * may be named without. @plan: NULL, it is not known. Owned. */
static char *ask_again(const struct fleet *fleet, const struct event *event,
                       const struct drain_set *set, const struct drain_record *records,
                       const struct kept_plan *plan)
{
	const struct drain_record *before = plan ? &plan->record : &records[0];
	struct drain_record all = { 0 };
	char *text;

	drain_record_copy(&all, &records[0]);
	for (size_t i = 1; i < set->count; i++)
		add_guests(&all, &records[i]);
	add_guests(&all, before);
	all.leave_unmovable |= before->leave_unmovable;
	take_unsaid(&all, before, event->wall_ms);
	text = drain_command(fleet, set->command, &all, 1, event->wall_ms);
	drain_record_deinit(&all);
	return text;
}

/* Exactly what a dry run has shown, or nothing. */
static void start_planned(struct fleet *fleet, const struct event *event,
                          const struct drain_set *set, struct drain_record *records)
{
	const struct kept_plan *plan = plan_memory_find(fleet, event->drain.plan_id);
	_cleanup_free_ char *again = ask_again(fleet, event, set, records, plan);
	struct reply *reply;
	struct drain *draft;
	struct names changed = { 0 };
	_cleanup_free_ char *lines = NULL;
	struct error err;

	if (!plan) {
		error_set(&err, ERROR_NOT_FOUND,
		          "no plan %.40s is known here (any more); a new one: %s --dry-run",
		          event->drain.plan_id,
		          strlen(again) < REASON_BYTES - 120 ? again
		                                             : "the same without --plan, and");
		reply_send_error(fleet, event->request, &err);
		return;
	}
	for (size_t i = 0; i < set->count; i++) {
		take_unsaid(&records[i], &plan->record, event->wall_ms);
		if (records[i].copy_disks)
			forget_disks(set->nodes[i]);
	}
	draft = drain_draft_as(fleet, records, set->count, plan);
	kept_plan_compare(plan, draft, &changed);
	drain_free(draft);
	if (!changed.count) {
		start_set(fleet, event, set, records, set->note);
		kept_plan_start(fleet, plan);
		return;
	}
	reply = reply_new(REPLY_DRAIN, event->request);
	reply->refused = true;
	lines = join_lines(&changed);
	reply->refusal = xasprintf("%s cannot be emptied by plan %s any more:%s\na new one: %s "
	                           "--dry-run",
	                           set->words, plan->id, lines, again);
	names_deinit(&changed);
	reply_send(fleet, reply);
}

void request_explain_plan(struct fleet *fleet, const struct event *event)
{
	const struct kept_plan *plan = plan_memory_find(fleet, event->explain.plan);
	struct reply *reply;
	struct error err;

	if (!plan) {
		error_set(&err, ERROR_NOT_FOUND,
		          "no plan %.40s is known here (any more): the latest are kept, until the "
		          "coordinator starts again; a new one: drover drain NODE --dry-run",
		          event->explain.plan);
		reply_send_error(fleet, event->request, &err);
		return;
	}
	reply = reply_new(REPLY_EXPLAIN, event->request);
	text_copy(reply->plan_id, sizeof(reply->plan_id), plan->id);
	kept_plan_check(fleet, plan, &reply->effects);
	reply_send(fleet, reply);
}

static void judge_and_start(struct fleet *fleet, const struct event *event,
                            const struct drain_set *set, struct drain_record *records)
{
	struct drain *draft = drain_draft_together(fleet, records, set->count);
	struct reply *reply = reply_new(REPLY_DRAIN, event->request);

	reply->refusal = find_refusal_of_set(fleet, set, records, draft, reply);
	reply->refused = reply->refusal != NULL;
	if (event->drain.dry_run) {
		preview(fleet, event, draft, reply);
		return;
	}
	drain_free(draft);
	if (reply->refused) {
		reply_send(fleet, reply);
		return;
	}
	start_set(fleet, event, set, records, reply->text);
	reply_free(reply);
}

void request_drain(struct fleet *fleet, const struct event *event)
{
	const struct drain *known = find_request(fleet, &event->drain.request_id);
	struct drain_record *records;
	struct drain_set set;
	struct error err = { 0 };

	if (known) {
		reply_drain(fleet, event, known, true, NULL);
		return;
	}
	if (drain_set_resolve(fleet, event, &set, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (!event->drain.dry_run && drain_set_check_again(fleet, event, &set, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		drain_set_deinit(&set);
		return;
	}
	records = xcalloc(set.count, sizeof(*records));
	if (is_drained_already(&set) && !event->drain.dry_run)
		reply_drain(fleet, event, fleet_find_node_drain(fleet, set.nodes[0]), true,
		            set.note);
	else if (describe(fleet, event, &set, records, &err) < 0)
		reply_send_error(fleet, event->request, &err);
	else if (event->drain.plan_id && event->drain.plan_id[0] && !event->drain.dry_run)
		start_planned(fleet, event, &set, records);
	else
		judge_and_start(fleet, event, &set, records);
	for (size_t i = 0; i < set.count; i++)
		drain_record_deinit(&records[i]);
	free(records);
	drain_set_deinit(&set);
}
