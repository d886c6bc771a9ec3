/* SPDX-License-Identifier: Apache-2.0 */
/* Facts from agents into the fleet.
 *
 * An agent asserts facts about its own host only (invariant I12): the node's name comes from the
 * authenticated connection, never from the message. A snapshot replaces all that was known of that
 * host; a snapshot without a valid inventory says nothing about guests, so what was seen last stays
 * and is marked as not sure (invariant I8).
 */
#include "coordinator/core/inventory.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/core/fence.h"
#include "coordinator/core/intent.h"
#include "coordinator/core/move/attempts.h"
#include "coordinator/core/move/claims.h"
#include "coordinator/core/move/denials.h"
#include "coordinator/core/move/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Both agents report a switchover within this time, so two sightings are no alarm before it. */
#define TWICE_AFTER_MS ((uint64_t)5000)
/* An agent that has just started, and a libvirtd that is being restarted, are no news. */
#define BLIND_AFTER_MS ((uint64_t)3000)
/* For so long after a host that was declared dead is back there is no such time. */
#define RETURNED_MS ((uint64_t)60000)

bool node_is_heard(const struct node *node, uint64_t now_ms)
{
	return node->attached && node->last_seen_ms &&
	       now_ms - node->last_seen_ms <= NODE_SILENT_MS;
}

bool node_is_sure(const struct node *node, uint64_t now_ms)
{
	return node_is_heard(node, now_ms) && node->inventory_valid;
}

/* --- what follows from facts --- */

static enum node_state judge_state(const struct node *node, uint64_t now_ms)
{
	bool silent = !node->last_seen_ms || now_ms - node->last_seen_ms > NODE_SILENT_MS;

	if (node->kept.fenced)
		return NODE_FENCED;
	if (silent)
		return NODE_UNREACHABLE;
	if (node->kept.drain_number)
		return NODE_DRAINING;
	if (node->kept.maintenance)
		return NODE_MAINTENANCE;
	if (node->kept.cordoned)
		return NODE_CORDONED;
	return node->blind_ms && now_ms - node->blind_ms >= BLIND_AFTER_MS ? NODE_NO_LIBVIRT
	                                                                   : NODE_READY;
}

void node_refresh(struct fleet *fleet, struct node *node)
{
	enum node_state state;
	char reason[REASON_BYTES];

	if (!node->host.libvirt_problem[0] || node->inventory_valid)
		node->blind_ms = 0;
	else if (!node->blind_ms)
		node->blind_ms = change_now(fleet);
	state = judge_state(node, change_now(fleet));
	if (state == NODE_FENCED)
		snprintf(reason, sizeof(reason), "declared dead by %.64s%s%.300s",
		         node->kept.fenced_by, node->kept.fenced_reason[0] ? ": " : "",
		         node->kept.fenced_reason);
	else if (state == NODE_UNREACHABLE && node->suspect[0])
		text_copy(reason, sizeof(reason), node->suspect);
	else if (state == NODE_UNREACHABLE)
		text_copy(reason, sizeof(reason),
		          node->known ? "its agent is silent; what is shown is what was last seen"
		                      : "its agent has not reported since the coordinator started");
	else if (node->host.libvirt_problem[0] && !node->inventory_valid)
		text_copy(reason, sizeof(reason), node->host.libvirt_problem);
	else if (node->host.agent_problem[0])
		snprintf(reason, sizeof(reason), "its agent %.*s", REASON_BYTES - 16,
		         node->host.agent_problem);
	else if (node->host.suspect[0])
		snprintf(reason, sizeof(reason), "suspect: %.400s", node->host.suspect);
	else if (node->host.pressure[0] && !node->kept.reason[0])
		text_copy(reason, sizeof(reason), node->host.pressure);
	else
		text_copy(reason, sizeof(reason), node->kept.reason);

	if (state == node->state && strcmp(reason, node->reason) == 0)
		return;
	if (state != node->state) {
		if (state == NODE_UNREACHABLE && node->known)
			change_tell(fleet, SEVERITY_WARNING, "node", node->kept.name,
			            "%s is unreachable: its agent has said nothing for %u s",
			            node->kept.name, (unsigned)(NODE_SILENT_MS / 1000));
		else if (state == NODE_NO_LIBVIRT)
			change_tell(
				fleet, SEVERITY_WARNING, "node", node->kept.name,
				"libvirt on %s cannot be asked: %.300s; its guests are shown as "
				"they were last seen, and none is moved to or from it",
				node->kept.name, node->host.libvirt_problem);
		else if (node->state == NODE_UNREACHABLE || node->state == NODE_NO_LIBVIRT)
			change_tell(fleet, SEVERITY_INFO, "node", node->kept.name, "%s is %s",
			            node->kept.name, node_state_name(state));
		fleet->reconcile_wanted = true;
	}
	node->state = state;
	text_copy(node->reason, sizeof(node->reason), reason);
	change_node(fleet, node);
}

static struct node *judge_home(const struct vm *vm)
{
	struct node *home = NULL, *listed = NULL;

	for (struct sighting *s = vm->sightings; s; s = s->next_vm) {
		/* What was last seen on a dead host is not there any more. */
		if (s->node->kept.fenced)
			continue;
		if (!listed)
			listed = s->node;
		if (!vm_state_is_home(&s->state))
			continue;
		/* During a switchover both may list it for a moment: stay with what was. */
		if (!home || s->node == vm->node)
			home = s->node;
	}
	return home ? home : listed;
}

static bool judge_movable(const struct vm *vm, char *ret_why)
{
	const struct sighting *home = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	const struct check *block;

	*ret_why = '\0';
	if (!vm->node && vm->sightings) {
		snprintf(ret_why, REASON_BYTES, "it was last seen on %s, which was declared dead",
		         vm->sightings->node->kept.name);
		return false;
	}
	if (!home || !vm_state_is_active(&home->state)) {
		text_copy(ret_why, REASON_BYTES, "it is not running");
		return false;
	}
	if (vm->twice) {
		text_copy(ret_why, REASON_BYTES, "it is seen running on two hosts");
		return false;
	}
	block = checks_find_worst(&home->state.blockers, CHECK_BLOCK);
	if (block) {
		if (block->reason[0])
			snprintf(ret_why, REASON_BYTES, "%s: %s", block->reason, block->measured);
		else
			snprintf(ret_why, REASON_BYTES, "%s: %s", block->id, block->measured);
		return false;
	}
	if (home->state.foreign_job) {
		text_copy(ret_why, REASON_BYTES, "a job that is not drover's runs on it");
		return false;
	}
	return true;
}

static bool judge_twice(struct fleet *fleet, struct vm *vm)
{
	const struct sighting *first = NULL, *second = NULL;
	uint64_t now_ms = change_now(fleet);
	bool moving, came_back;

	for (struct sighting *s = vm->sightings; s; s = s->next_vm) {
		if (strcmp(s->state.state, "running") != 0 || !node_is_sure(s->node, now_ms))
			continue;
		if (!first)
			first = s;
		else
			second = s;
	}
	moving = vm->migration && vm->migration->kept.holds_slot;
	if (!second || moving) {
		vm->twice_since_ms = 0;
		return moving && second ? vm->twice : false;
	}
	/* A host is back that was said to be dead: there is no switchover to wait for. */
	came_back = (first->node->returned_ms && now_ms - first->node->returned_ms < RETURNED_MS) ||
	            (second->node->returned_ms && now_ms - second->node->returned_ms < RETURNED_MS);
	if (!vm->twice_since_ms) {
		vm->twice_since_ms = now_ms;
		if (!came_back)
			return false;
	}
	if (vm->twice || (!came_back && now_ms - vm->twice_since_ms < TWICE_AFTER_MS))
		return vm->twice;
	change_tell(
		fleet, SEVERITY_ALARM, "vm", vm->name,
		"%s is seen running on %s and on %s at once; drover will not touch it until only "
		"one is left: compare both (virsh domstate, its disks) before stopping either",
		vm->name, first->node->kept.name, second->node->kept.name);
	claims_refuse_guest(fleet, first->node == vm->node ? second->node : first->node, vm);
	return true;
}

void vm_refresh(struct fleet *fleet, struct vm *vm)
{
	struct node *home = judge_home(vm);
	bool twice = judge_twice(fleet, vm);
	char why_not[REASON_BYTES];
	bool movable;

	/* Its home names it, and nobody else. */
	if (home && strcmp(vm->name, fleet_find_sighting(vm, home)->state.name) != 0) {
		text_copy(vm->name, sizeof(vm->name), fleet_find_sighting(vm, home)->state.name);
		change_vm(fleet, vm);
	}
	if (home != vm->node || twice != vm->twice) {
		vm->node = home;
		vm->twice = twice;
		change_vm(fleet, vm);
	}
	movable = judge_movable(vm, why_not);
	if (movable != vm->movable || strcmp(why_not, vm->why_not) != 0) {
		vm->movable = movable;
		text_copy(vm->why_not, sizeof(vm->why_not), why_not);
		change_vm(fleet, vm);
	}
	if (vm->sightings)
		vm->gone_ms = 0;
	else if (!vm->gone_ms)
		vm->gone_ms = change_now(fleet);
}

/* --- sightings --- */

static bool is_same(const struct vm_state *a, const struct vm_state *b)
{
	return strcmp(a->state, b->state) == 0 && strcmp(a->reason, b->reason) == 0 &&
	       strcmp(a->name, b->name) == 0 && a->memory_bytes == b->memory_bytes &&
	       a->overhead_bytes == b->overhead_bytes && a->vcpus == b->vcpus &&
	       a->persistent == b->persistent && a->autostart == b->autostart &&
	       a->migrating_out == b->migrating_out && a->foreign_job == b->foreign_job &&
	       strcmp(a->no_shutdown, b->no_shutdown) == 0 &&
	       a->blockers.count == b->blockers.count &&
	       (!a->blockers.count || memcmp(a->blockers.items, b->blockers.items,
	                                     a->blockers.count * sizeof(*a->blockers.items)) == 0);
}

/* A guest that somebody starts on a host which is to become empty, or is: the drain takes it in, as it
 * looks at what is there; and people are told (F62). */
static void note_start(struct fleet *fleet, const struct node *node, const struct vm *vm)
{
	const struct drain *drain = fleet_find_node_drain(fleet, node);

	/* Before the first list nobody knows what is new; and what we bring is no surprise. */
	if (!node->listed || (!drain && !node->kept.maintenance) ||
	    (vm->migration && strcmp(vm->migration->kept.target, node->kept.name) == 0))
		return;
	if (drain && drain_record_leaves(&drain->kept, vm->uuid, vm->name))
		return;
	if (drain)
		change_tell(fleet, SEVERITY_WARNING, "vm", vm->name,
		            "%s was started on %s, which is being drained: the drain takes it in",
		            vm->name, node->kept.name);
	else
		change_tell(
			fleet, SEVERITY_WARNING, "vm", vm->name,
			"%s was started on %s, which is in maintenance and not empty any more; to "
			"move it: drover migrate %s",
			vm->name, node->kept.name, vm->name);
}

/* A host that a guest has just come to knows little yet: of each window the one with more samples
 * stays, unless it has become old. */
#define MEMORY_USE_OLD_MS ((uint64_t)1800000)

static void merge_window(struct memory_used *known, const struct memory_window *w)
{
	size_t i = 0;

	while (i < known->n_windows && known->windows[i].seconds != w->seconds)
		i++;
	if (i == MEMORY_WINDOWS)
		return;
	if (i == known->n_windows)
		known->n_windows++;
	else if (known->windows[i].samples > w->samples &&
	         known->windows[i].age_ms < MEMORY_USE_OLD_MS)
		return;
	known->windows[i] = *w;
}

static void fit_writes(const struct memory_used *use, struct dirty_curve *ret)
{
	struct dirty_point points[MEMORY_WINDOWS];

	for (size_t i = 0; i < use->n_windows; i++)
		points[i] = (struct dirty_point){ .seconds = use->windows[i].seconds,
			                          .bytes = (double)use->windows[i].bytes,
			                          .error = (double)use->windows[i].error_bytes };
	dirty_curve_fit(points, use->n_windows, ret);
}

static void take_memory_use(struct fleet *fleet, struct vm *vm, const struct vm_state *state)
{
	const struct memory_used *use = &state->memory_use;
	struct memory_used *known = &vm->memory_use;
	uint64_t now_ms = change_now(fleet);

	if (!vm_state_is_home(state) ||
	    (!use->n_windows && !use->touched_bytes && !use->problem[0]))
		return;
	for (size_t i = 0; i < known->n_windows; i++)
		known->windows[i].age_ms += now_ms - vm->memory_use_ms;
	for (size_t i = 0; i < use->n_windows; i++)
		merge_window(known, &use->windows[i]);
	if (use->n_windows)
		fit_writes(known, &vm->writes);
	if (use->touched_bytes)
		known->touched_bytes = use->touched_bytes;
	text_copy(known->problem, sizeof(known->problem), use->problem);
	vm->memory_use_ms = now_ms;
	change_vm(fleet, vm);
}

static void see(struct fleet *fleet, struct node *node, const struct vm_state *state)
{
	struct vm *vm = fleet_add_vm(fleet, state->uuid, state->name);
	struct sighting *sighting = fleet_find_sighting(vm, node);

	take_memory_use(fleet, vm, state);
	if (!sighting) {
		sighting = xnew(struct sighting);
		sighting->node = node;
		sighting->vm = vm;
		DL_APPEND(node->sightings, sighting);
		DL_APPEND2(vm->sightings, sighting, prev_vm, next_vm);
	} else if (is_same(&sighting->state, state)) {
		sighting->confirmed = true;
		vm_refresh(fleet, vm);
		return;
	}
	if (vm_state_is_home(state) && !vm_state_is_active(&sighting->state))
		note_start(fleet, node, vm);
	tally_guest(fleet, node, &sighting->state, state);
	vm_state_deinit(&sighting->state);
	vm_state_copy(&sighting->state, state);
	sighting->confirmed = true;
	change_vm(fleet, vm);
	change_node(fleet, node);
	vm_refresh(fleet, vm);
	fleet->reconcile_wanted |= node->kept.drain_number || vm->migration;
}

static void unsee(struct fleet *fleet, struct sighting *sighting)
{
	struct node *node = sighting->node;
	struct vm *vm = sighting->vm;

	tally_guest(fleet, node, &sighting->state, NULL);
	DL_DELETE(node->sightings, sighting);
	DL_DELETE2(vm->sightings, sighting, prev_vm, next_vm);
	vm_state_deinit(&sighting->state);
	free(sighting);
	change_vm(fleet, vm);
	change_node(fleet, node);
	vm_refresh(fleet, vm);
	fleet->reconcile_wanted |= node->kept.drain_number || vm->migration;
}

/* --- host figures --- */

/* They outlive a restart: a selection must not miss a node because its agent has not reported yet. */
static void keep_labels(struct fleet *fleet, struct node *node, const struct host_state *host)
{
	if (node->kept.labels_heard && strcmp(node->kept.own_labels, host->labels) == 0)
		return;
	node->kept.labels_heard = true;
	text_copy(node->kept.own_labels, sizeof(node->kept.own_labels), host->labels);
	save_node(fleet, node);
}

/* What it does not say again is as it was. */
static void take_state(struct node *node, const struct host_state *host)
{
	struct host_offers *before = take_pointer(node->host.offers);

	host_state_deinit(&node->host);
	host_state_copy(&node->host, host);
	if (!node->host.offers)
		node->host.offers = before;
	else
		host_offers_free(before);
}

static bool gives_more(const struct host_state *before, const struct host_state *now)
{
	for (size_t i = 0; i < now->rooms.n_pools; i++) {
		uint64_t page_bytes = now->rooms.pools[i].page_bytes;

		if (host_state_room_pages(now, page_bytes) >
		    host_state_room_pages(before, page_bytes))
			return true;
	}
	return host_state_room_vcpus(now) > host_state_room_vcpus(before) ||
	       (now->offers && !host_offers_equal(now->offers, before->offers));
}

static bool has_lease(const struct host_state *host, const struct migration *m)
{
	for (size_t i = 0; i < host->n_leases; i++) {
		const struct attempt *a = &host->leases[i].attempt;

		if (id_equal(&a->operation, &m->kept.attempt.operation) &&
		    a->number == m->kept.attempt.number)
			return true;
	}
	return false;
}

static void take_figures(struct fleet *fleet, struct node *node, const struct host_state *host)
{
	bool roomier = host_state_room_bytes(host) > host_state_room_bytes(&node->host) ||
	               host->ports_in_use < node->host.ports_in_use ||
	               host->port_pool > node->host.port_pool ||
	               (node->host.pressure[0] && !host->pressure[0]) ||
	               gives_more(&node->host, host);

	if (roomier)
		node->room_sequence++;
	if (!host->libvirt_connected)
		node->inventory_valid = false;
	if (roomier && (fleet->n_active || fleet->n_draining))
		fleet->reconcile_wanted = true;
	if (host->suspect[0] && strcmp(host->suspect, node->host.suspect) != 0)
		change_tell(fleet, SEVERITY_WARNING, "node", node->kept.name,
		            "%s is suspect and takes no guest: %.400s", node->kept.name,
		            host->suspect);
	if (host->pressure[0] && !node->host.pressure[0])
		change_tell(fleet, SEVERITY_WARNING, "node", node->kept.name,
		            "%s takes no guest for a while: %.400s", node->kept.name,
		            host->pressure);
	node->pressured_until_ms = host->pressure[0] ? change_now(fleet) + host->pressure_ms : 0;
	/* Another QEMU, another kernel: it may say something else of the same CPU. */
	if (host->offers && !host_offers_equal(host->offers, node->host.offers))
		denials_forget(node);
	take_state(node, host);
	keep_labels(fleet, node, host);
	if (host->mesh_address[0] && strcmp(host->mesh_address, node->kept.mesh_address) != 0) {
		text_copy(node->kept.mesh_address, sizeof(node->kept.mesh_address),
		          host->mesh_address);
		save_node(fleet, node);
	}
	change_node(fleet, node);

	/* These figures were taken after the source reported that the move runs, so the lease or
	 * the incoming guest is in them; or they name the lease. */
	for (struct migration *m = fleet->active; m; m = m->next_active) {
		if (m->kept.holds_slot && !m->seen_by_target &&
		    strcmp(m->kept.target, node->kept.name) == 0 &&
		    (m->running_since_ms || has_lease(&node->host, m)))
			m->seen_by_target = true;
	}
}

struct node *inventory_hear(struct fleet *fleet, const char *name)
{
	struct node *node = fleet_add_node(fleet, name);

	node->last_seen_ms = change_now(fleet);
	node->known = true;
	node_refresh(fleet, node);
	return node;
}

/* --- events --- */

void inventory_attach(struct fleet *fleet, const struct event *event)
{
	bool is_new = !fleet_find_node(fleet, event->attach.node);
	struct node *node = inventory_hear(fleet, event->attach.node);

	node->attached = true;
	node->suspect[0] = '\0';
	node->inventory_valid = false;
	node->mark_counted = false;
	node->mark_known = false;
	/* It obeyed a coordinator of which the store knows nothing: the store is the older one. */
	node->adopt_mark = is_new ||
	                   (event->attach.highest_epoch > fleet->loaded_epoch && !node->told_epoch);
	if (node->kept.fenced)
		fence_end_by_return(fleet, node, id_equal(&node->boot_id, &event->attach.boot_id));
	node->fence_asked = false;
	node->fence_retry_ms = 0;
	node->boot_id = event->attach.boot_id;
	node->highest_epoch = event->attach.highest_epoch;
	text_copy(node->host.agent_version, sizeof(node->host.agent_version),
	          event->attach.agent_version);
	change_node(fleet, node);
	if (is_new || strcmp(node->kept.mesh_address, event->attach.mesh_address) != 0) {
		text_copy(node->kept.mesh_address, sizeof(node->kept.mesh_address),
		          event->attach.mesh_address);
		save_node(fleet, node);
	}
	if (is_new)
		change_tell(fleet, SEVERITY_INFO, "node", node->kept.name, "%s joined from %s",
		            node->kept.name, node->kept.mesh_address);
	fleet->reconcile_wanted = true;
}

void inventory_lose(struct fleet *fleet, const struct event *event)
{
	struct node *node = fleet_find_node(fleet, event->lost.node);

	if (!node)
		return;
	node->attached = false;
	node->inventory_valid = false;
	node->mark_counted = false;
	node->mark_known = false;
	change_node(fleet, node);
	fleet->reconcile_wanted = true;
}

void inventory_take_snapshot(struct fleet *fleet, const struct event *event)
{
	struct node *node = inventory_hear(fleet, event->snapshot.node);
	struct sighting *sighting, *next;

	node->inventory_valid = event->snapshot.inventory_valid;
	/* What a snapshot does not say is not known: its agent may be another one. */
	if (event->snapshot.host && !event->snapshot.host->offers) {
		host_offers_free(node->host.offers);
		node->host.offers = NULL;
		denials_forget(node);
	}
	if (event->snapshot.host)
		take_figures(fleet, node, event->snapshot.host);
	if (node->inventory_valid) {
		DL_FOREACH (node->sightings, sighting) {
			sighting->confirmed = false;
		}
		for (size_t i = 0; i < event->snapshot.n_vms; i++)
			see(fleet, node, &event->snapshot.vms[i]);
		DL_FOREACH_SAFE (node->sightings, sighting, next) {
			if (!sighting->confirmed)
				unsee(fleet, sighting);
		}
		node->listed = true;
		node->inventory_sequence++;
	}
	intent_take_mark(fleet, node, event->snapshot.mark);
	attempts_take_snapshot(fleet, node, event->snapshot.attempts, event->snapshot.n_attempts);
	node_refresh(fleet, node);
	change_node(fleet, node);
	fleet->reconcile_wanted = true;
}

void inventory_take_host(struct fleet *fleet, const struct event *event)
{
	struct node *node = inventory_hear(fleet, event->host.node);

	take_figures(fleet, node, event->host.host);
	intent_see_mark(fleet, node, event->host.host);
	node_refresh(fleet, node);
}

void inventory_take_vm(struct fleet *fleet, const struct event *event)
{
	see(fleet, inventory_hear(fleet, event->vm.node), event->vm.vm);
}

void inventory_take_vm_gone(struct fleet *fleet, const struct event *event)
{
	struct node *node = inventory_hear(fleet, event->vm_gone.node);
	struct vm *vm = fleet_find_vm(fleet, event->vm_gone.uuid);
	struct sighting *sighting = vm ? fleet_find_sighting(vm, node) : NULL;

	if (sighting)
		unsee(fleet, sighting);
}
