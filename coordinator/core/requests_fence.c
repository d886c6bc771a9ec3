/* SPDX-License-Identifier: Apache-2.0 */
/* `drover fence` and `drover unfence`: an operator's word about a host that cannot speak for itself.
 * Refused while it can: dead agent is not dead host, and a wrong word may run a guest twice. What the
 * word allows is said in full before it is given (a dry run), and again when it was. */
#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/fence.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/inventory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NULL: it may be declared dead. */
static char *find_refusal(const struct fleet *fleet, const struct node *node)
{
	uint64_t now_ms = change_now(fleet);
	uint64_t since_ms = node->last_seen_ms ? node->last_seen_ms : fleet->started_ms;
	char age[UNITS_TEXT_BYTES], least[UNITS_TEXT_BYTES];

	units_format_duration(now_ms - since_ms, age);
	units_format_duration(FENCE_SILENT_MS, least);
	if (node->attached && node_is_heard(node, now_ms))
		return xasprintf(
			"%s is not dead: its agent is connected, and spoke %s ago. To empty "
			"it: drover drain %s",
			node->kept.name, age, node->kept.name);
	if (now_ms - since_ms >= FENCE_SILENT_MS)
		return NULL;
	return xasprintf(
		"%s was last heard %s ago%s; at least %s of silence are required before it "
		"can be declared dead. A silent agent is not a dead host: make sure that it "
		"is powered off, then try again",
		node->kept.name, age,
		node->last_seen_ms ? "" : " or longer (the coordinator was started then)", least);
}

static void add(struct names *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct names *list, const char *format, ...)
{
	char text[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	names_add(list, text);
}

static void add_migrations(const struct fleet *fleet, const struct node *node, struct names *list)
{
	for (const struct migration *m = fleet->active; m; m = m->next_active) {
		if (!m->kept.holds_slot)
			continue;
		if (strcmp(m->kept.source, node->kept.name) == 0)
			add(list,
			    "migration/%" PRIu64 ": %s is taken to be gone from %s. If %s has it "
			    "complete it goes on there (a paused copy of a two-step commit is "
			    "resumed); "
			    "an incomplete copy is dropped, and then the guest is lost",
			    m->kept.number, m->kept.vm_name, node->kept.name, m->kept.target);
		else if (strcmp(m->kept.target, node->kept.name) == 0)
			add(list,
			    "migration/%" PRIu64 ": %s is taken to have nothing of %s. If %s still "
			    "has it, it stays there; if it had left, it is lost",
			    m->kept.number, node->kept.name, m->kept.vm_name, m->kept.source);
	}
}

static void add_guests(const struct node *node, struct names *list)
{
	char names[REASON_BYTES / 2] = "";
	size_t used = 0, count = 0;

	for (const struct sighting *s = node->sightings; s; s = s->next) {
		if (!vm_state_is_active(&s->state))
			continue;
		count++;
		if (used + strlen(s->vm->name) + 3 >= sizeof(names) - 5)
			continue;
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
		                         used ? ", " : "", s->vm->name);
	}
	if (count)
		add(list,
		    "%zu guests were last seen running there (%s): they are taken to have ended. "
		    "drover does not start them elsewhere",
		    count, names);
	else
		add(list, "no guest was seen running there");
}

static void describe(const struct fleet *fleet, const struct node *node, struct names *list)
{
	add_guests(node, list);
	add_migrations(fleet, node, list);
	add(list,
	    "memory, ports and tunnels that other hosts hold for guests from %s are freed, and "
	    "its migrations count no more against the limits",
	    node->kept.name);
	if (node->kept.drain_number)
		add(list, "drain/%" PRIu64 " of %s ends as it is", node->kept.drain_number,
		    node->kept.name);
	add(list,
	    "when %s is back it acts on nothing that it began before, and takes no guests until "
	    "it is uncordoned",
	    node->kept.name);
	add(list,
	    "if %s is alive after all, a guest may run twice and its disks may be destroyed: be "
	    "certain that it is powered off",
	    node->kept.name);
}

static void end_drain(struct fleet *fleet, struct node *node)
{
	struct drain *drain = fleet_find_node_drain(fleet, node);
	size_t moved = 0;

	if (!drain)
		return;
	intent_end_drain(fleet, node, drain, DRAIN_CANCELLED);
	for (size_t i = 0; i < drain->n_vms; i++) {
		struct drain_vm *dv = &drain->vms[i];

		moved += dv->state == DRAIN_VM_MOVED;
		if (dv->state == DRAIN_VM_LEFT)
			snprintf(dv->reason, sizeof(dv->reason),
			         "was last seen on %s, which was declared dead", node->kept.name);
	}
	snprintf(drain->status, sizeof(drain->status),
	         "%s was declared dead: %zu moved before, %zu were last seen there",
	         node->kept.name, moved, node->active_vms);
	change_tell_number(fleet, SEVERITY_WARNING, "drain", drain->kept.number, "ended: %s",
	                   drain->status);
}

static void declare(struct fleet *fleet, struct node *node, const struct event *event)
{
	node->kept.fenced = true;
	node->kept.fence_epoch = fleet->epoch;
	node->kept.fenced_wall_ms = event->wall_ms;
	text_copy(node->kept.fenced_by, sizeof(node->kept.fenced_by), event->fence.by);
	text_copy(node->kept.fenced_reason, sizeof(node->kept.fenced_reason), event->fence.reason);
	node->returned_ms = 0;
	/* What is ordered from now on is not what the fence speaks of. */
	fleet_raise_epoch(fleet, fleet->epoch);
	save_node(fleet, node);
	end_drain(fleet, node);
	change_tell(fleet, SEVERITY_WARNING, "node", node->kept.name,
	            "%s was declared dead by %s (epoch %" PRIu64 "): %s", node->kept.name,
	            node->kept.fenced_by, node->kept.fence_epoch, node->kept.fenced_reason);
	node_refresh(fleet, node);
	for (struct sighting *s = node->sightings; s; s = s->next)
		vm_refresh(fleet, s->vm);
	fleet->reconcile_wanted = true;
}

void request_fence(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct node *node;
	struct reply *reply;

	if (fleet_get_node(fleet, event->fence.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	if (!event->fence.reason[0] && !event->fence.dry_run) {
		error_set(&err, ERROR_INVALID,
		          "say why %s is declared dead, for whoever reads it later: -m REASON",
		          node->kept.name);
		reply_send_error(fleet, event->request, &err);
		return;
	}
	reply = reply_new(REPLY_FENCE, event->request);
	text_copy(reply->node, sizeof(reply->node), node->kept.name);
	if (node->kept.fenced) {
		reply_send_stored(fleet, reply);
		return;
	}
	reply->refusal = find_refusal(fleet, node);
	reply->refused = reply->refusal != NULL;
	if (reply->refused) {
		reply_send(fleet, reply);
		return;
	}
	describe(fleet, node, &reply->effects);
	if (event->fence.dry_run) {
		reply_send(fleet, reply);
		return;
	}
	declare(fleet, node, event);
	reply->changed = true;
	reply_send_stored(fleet, reply);
}

void request_unfence(struct fleet *fleet, const struct event *event)
{
	struct error err = { 0 };
	struct node *node;
	struct reply *reply;

	if (fleet_get_node(fleet, event->fence.node, &node, &err) < 0) {
		reply_send_error(fleet, event->request, &err);
		return;
	}
	reply = reply_new(REPLY_NODE, event->request);
	text_copy(reply->node, sizeof(reply->node), node->kept.name);
	reply->changed = node->kept.fenced;
	if (node->kept.fenced) {
		node->kept.fenced = false;
		node->kept.cordoned = true;
		snprintf(node->kept.reason, sizeof(node->kept.reason),
		         "%.64s took back that it is dead%s%.300s", event->fence.by,
		         event->fence.reason[0] ? ": " : "", event->fence.reason);
		save_node(fleet, node);
		node_refresh(fleet, node);
		change_tell(
			fleet, SEVERITY_WARNING, "node", node->kept.name,
			"%s is not declared dead any more, says %s; what was settled stays so, and "
			"it takes no guests until: drover uncordon %s",
			node->kept.name, event->fence.by, node->kept.name);
		for (struct sighting *s = node->sightings; s; s = s->next)
			vm_refresh(fleet, s->vm);
	}
	reply_send_stored(fleet, reply);
}
