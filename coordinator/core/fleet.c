/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's objects: made, found, linked, forgotten.
 *
 * Counts that the caps rest on (slots held, in and out per node) change only in migration_take_slot
 * and migration_free_slot, and follow holds_slot of the records exactly.
 */
#include "coordinator/core/fleet.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"
#include "coordinator/core/drain/bring_back.h"
#include "coordinator/core/drain/drain_history.h"
#include "coordinator/core/move/denials.h"
#include "coordinator/core/plan/plan_memory.h"
#include "coordinator/core/plan/preview.h"
#include "coordinator/core/policy/policy.h"
#include "coordinator/core/predict/predict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A guest that no host lists any more is shown for this long, then forgotten. */
#define VM_FORGET_MS ((uint64_t)600000)

struct fleet *fleet_new(const struct core_options *options)
{
	struct fleet *fleet = xnew(struct fleet);

	assert(options->next_id);
	fleet->options = *options;
	if (!fleet->options.caps.cluster)
		fleet->options.caps.cluster = 5;
	if (!fleet->options.caps.outbound)
		fleet->options.caps.outbound = 2;
	if (!fleet->options.caps.inbound)
		fleet->options.caps.inbound = 2;
	if (!fleet->options.event_ring)
		fleet->options.event_ring = 1024;
	if (!fleet->options.finished_kept)
		fleet->options.finished_kept = 2000;
	if (!fleet->options.drains_kept)
		fleet->options.drains_kept = DRAINS_KEPT;
	if (!fleet->options.drain_vms_kept)
		fleet->options.drain_vms_kept = DRAIN_VMS_KEPT;
	fleet->events = xcalloc(fleet->options.event_ring, sizeof(*fleet->events));
	return fleet;
}

static void sighting_free(struct sighting *sighting)
{
	vm_state_deinit(&sighting->state);
	free(sighting);
}

static void vm_free(struct vm *vm)
{
	struct refusal *refusal, *next;

	LL_FOREACH_SAFE (vm->refusals, refusal, next) {
		checks_deinit(&refusal->checks);
		free(refusal);
	}
	free(vm);
}

static void migration_free(struct migration *m)
{
	migration_record_deinit(&m->kept);
	free(m);
}

void drain_free(struct drain *drain)
{
	if (!drain)
		return;
	for (size_t i = 0; i < drain->n_vms; i++)
		checks_deinit(&drain->vms[i].checks);
	free(drain->vms);
	free(drain->by_uuid);
	free(drain->power);
	names_deinit(&drain->nodes);
	names_deinit(&drain->deadline.helps);
	drain_record_deinit(&drain->kept);
	free(drain);
}

void fleet_free(struct fleet *fleet)
{
	struct node *node, *next_node;
	struct vm *vm, *next_vm;
	struct migration *m, *next_m;
	struct drain *drain, *next_drain;
	struct sighting *sighting, *next_sighting;

	if (!fleet)
		return;
	preview_drop_all(fleet);
	plan_memory_free(fleet);
	reply_drop_all(fleet);
	predict_forget_all(fleet);
	HASH_CLEAR(hh_operation, fleet->migrations_by_operation);
	HASH_ITER (hh, fleet->migrations, m, next_m) {
		HASH_DEL(fleet->migrations, m);
		migration_free(m);
	}
	HASH_ITER (hh, fleet->drains, drain, next_drain) {
		HASH_DEL(fleet->drains, drain);
		drain_free(drain);
	}
	HASH_ITER (hh, fleet->nodes, node, next_node) {
		HASH_DEL(fleet->nodes, node);
		DL_FOREACH_SAFE (node->sightings, sighting, next_sighting) {
			sighting_free(sighting);
		}
		host_state_deinit(&node->host);
		denials_forget(node);
		drain_mark_deinit(&node->mark);
		free(node);
	}
	HASH_ITER (hh, fleet->vms, vm, next_vm) {
		HASH_DEL(fleet->vms, vm);
		vm_free(vm);
	}
	policy_forget_all(fleet);
	free(fleet->events);
	free(fleet);
}

bool fleet_leads(const struct fleet *fleet)
{
	return fleet->loaded && !fleet->stopped && fleet->epoch &&
	       change_is_stored(fleet, fleet->epoch_ticket);
}

/* --- finding --- */

struct node *fleet_find_node(const struct fleet *fleet, const char *name)
{
	struct node *node;

	HASH_FIND_STR(fleet->nodes, name, node);
	return node;
}

struct vm *fleet_find_vm(const struct fleet *fleet, const char *uuid)
{
	struct vm *vm;

	HASH_FIND_STR(fleet->vms, uuid, vm);
	return vm;
}

struct migration *fleet_find_migration(const struct fleet *fleet, uint64_t number)
{
	struct migration *m;

	HASH_FIND(hh, fleet->migrations, &number, sizeof(number), m);
	return m;
}

struct migration *fleet_find_operation(const struct fleet *fleet, const struct id *operation)
{
	struct migration *m;

	HASH_FIND(hh_operation, fleet->migrations_by_operation, operation, sizeof(*operation), m);
	return m;
}

struct drain *fleet_find_drain(const struct fleet *fleet, uint64_t number)
{
	struct drain *drain;

	HASH_FIND(hh, fleet->drains, &number, sizeof(number), drain);
	return drain;
}

struct drain *fleet_find_drain_by_id(const struct fleet *fleet, const struct id *id)
{
	for (struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		if (id_equal(&drain->kept.id, id))
			return drain;
	}
	return NULL;
}

struct drain *fleet_find_node_drain(const struct fleet *fleet, const struct node *node)
{
	return node->kept.drain_number ? fleet_find_drain(fleet, node->kept.drain_number) : NULL;
}

int fleet_get_vm(const struct fleet *fleet, const char *name_or_uuid, struct vm **ret_vm,
                 struct error *err)
{
	struct vm *found = fleet_find_vm(fleet, name_or_uuid);
	const struct vm *other = NULL;

	if (found) {
		*ret_vm = found;
		return 0;
	}
	/* One that is gone is remembered for a while; its name means the one that is there. */
	for (struct vm *vm = fleet->vms; vm; vm = vm->hh.next) {
		if (strcmp(vm->name, name_or_uuid) != 0)
			continue;
		if (!found || (vm->sightings && !found->sightings)) {
			found = vm;
			other = NULL;
		} else if (!vm->sightings == !found->sightings) {
			other = vm;
		}
	}
	if (other)
		return error_set(err, ERROR_INVALID,
		                 "several guests are called %s: %s and %s among them; "
		                 "say which by its uuid",
		                 name_or_uuid, found->uuid, other->uuid);
	if (!found)
		return error_set(err, ERROR_NOT_FOUND,
		                 "no host lists a guest %s; `drover vms` shows those there are",
		                 name_or_uuid);
	*ret_vm = found;
	return 0;
}

int fleet_get_node(const struct fleet *fleet, const char *name, struct node **ret_node,
                   struct error *err)
{
	struct node *node = fleet_find_node(fleet, name);

	if (!node)
		return error_set(err, ERROR_NOT_FOUND,
		                 "no node %s; `drover nodes` shows those there are", name);
	*ret_node = node;
	return 0;
}

struct sighting *fleet_find_sighting(const struct vm *vm, const struct node *node)
{
	for (struct sighting *s = vm->sightings; s; s = s->next_vm) {
		if (s->node == node)
			return s;
	}
	return NULL;
}

/* --- making --- */

struct node *fleet_add_node(struct fleet *fleet, const char *name)
{
	struct node *node = fleet_find_node(fleet, name);

	if (node)
		return node;
	node = xnew(struct node);
	text_copy(node->kept.name, sizeof(node->kept.name), name);
	node->state = NODE_UNREACHABLE;
	HASH_ADD_STR(fleet->nodes, kept.name, node);
	change_node(fleet, node);
	return node;
}

struct vm *fleet_add_vm(struct fleet *fleet, const char *uuid, const char *name)
{
	struct vm *vm = fleet_find_vm(fleet, uuid);

	if (vm)
		return vm;
	vm = xnew(struct vm);
	text_copy(vm->uuid, sizeof(vm->uuid), uuid);
	text_copy(vm->name, sizeof(vm->name), name);
	vm->gone_ms = change_now(fleet);
	HASH_ADD_STR(fleet->vms, uuid, vm);
	change_vm(fleet, vm);
	return vm;
}

static void count_slot(struct fleet *fleet, const struct migration *m, int by)
{
	struct node *source = fleet_add_node(fleet, m->kept.source);
	struct node *target = fleet_add_node(fleet, m->kept.target);

	if (m->kept.preparing) {
		fleet->preparing += by;
		source->preparing_out += by;
	} else {
		fleet->slots_held += by;
		source->migrations_out += by;
	}
	target->migrations_in += by;
	change_node(fleet, source);
	change_node(fleet, target);
}

void migration_take_slot(struct fleet *fleet, struct migration *m)
{
	assert(!m->kept.holds_slot && m->kept.target[0]);
	m->kept.holds_slot = true;
	m->taking = true;
	m->take_ticket = change_next_ticket(fleet);
	m->seen_by_target = false;
	count_slot(fleet, m, 1);
	save_migration(fleet, m);
}

void migration_take_ahead(struct fleet *fleet, struct migration *m)
{
	m->kept.preparing = true;
	migration_take_slot(fleet, m);
}

void migration_let_go(struct fleet *fleet, struct migration *m, bool runs)
{
	assert(m->kept.holds_slot && m->kept.preparing);
	count_slot(fleet, m, -1);
	m->kept.preparing = false;
	count_slot(fleet, m, 1);
	if (!runs) {
		m->taking = true;
		m->take_ticket = change_next_ticket(fleet);
	}
	save_migration(fleet, m);
}

void migration_free_slot(struct fleet *fleet, struct migration *m)
{
	if (!m->kept.holds_slot)
		return;
	m->kept.holds_slot = false;
	m->taking = false;
	count_slot(fleet, m, -1);
	m->kept.preparing = false;
	save_migration(fleet, m);
}

struct migration *fleet_add_migration(struct fleet *fleet, struct migration_record *kept)
{
	struct migration *m = xnew(struct migration);

	m->kept = *kept;
	*kept = (struct migration_record){ 0 };
	HASH_ADD(hh, fleet->migrations, kept.number, sizeof(m->kept.number), m);
	HASH_ADD(hh_operation, fleet->migrations_by_operation, kept.attempt.operation,
	         sizeof(m->kept.attempt.operation), m);
	if (m->kept.number > fleet->last_migration_number)
		fleet->last_migration_number = m->kept.number;

	if (migration_state_is_final(m->kept.state)) {
		fleet->n_finished++;
	} else {
		struct vm *vm = fleet_add_vm(fleet, m->kept.vm_uuid, m->kept.vm_name);

		vm->migration = m;
		change_vm(fleet, vm);
		DL_APPEND2(fleet->active, m, prev_active, next_active);
		fleet->n_active++;
	}
	if (m->kept.holds_slot)
		count_slot(fleet, m, 1);
	change_migration(fleet, m);
	return m;
}

void fleet_finish_migration(struct fleet *fleet, struct migration *m)
{
	struct vm *vm = fleet_find_vm(fleet, m->kept.vm_uuid);

	DL_DELETE2(fleet->active, m, prev_active, next_active);
	fleet->n_active--;
	fleet->n_finished++;
	if (vm && vm->migration == m) {
		vm->migration = NULL;
		change_vm(fleet, vm);
	}
	fleet->reconcile_wanted = true;
}

struct drain *fleet_add_drain(struct fleet *fleet, struct drain_record *kept)
{
	struct drain *drain = xnew(struct drain);

	drain->kept = *kept;
	*kept = (struct drain_record){ 0 };
	HASH_ADD(hh, fleet->drains, kept.number, sizeof(drain->kept.number), drain);
	if (drain->kept.number > fleet->last_drain_number)
		fleet->last_drain_number = drain->kept.number;
	change_drain(fleet, drain);
	return drain;
}

void fleet_add_event(struct fleet *fleet, const struct event_record *event)
{
	size_t ring = fleet->options.event_ring;
	struct event_record *slot = &fleet->events[(fleet->events_first + fleet->n_events) % ring];

	if (fleet->n_events == ring) {
		/* Whoever resumes from before the one that is lost must start anew. */
		if (slot->revision > fleet->oldest_revision)
			fleet->oldest_revision = slot->revision;
		fleet->events_first = (fleet->events_first + 1) % ring;
	} else {
		fleet->n_events++;
	}
	*slot = *event;
}

const struct event_record *fleet_get_event(const struct fleet *fleet, size_t i)
{
	assert(i < fleet->n_events);
	return &fleet->events[(fleet->events_first + i) % fleet->options.event_ring];
}

/* --- forgetting --- */

static void forget_finished(struct fleet *fleet)
{
	struct migration *m, *next;
	bool listed = true;

	for (const struct node *node = fleet->nodes; node; node = node->hh.next)
		listed &= node->listed;
	HASH_ITER (hh, fleet->migrations, m, next) {
		if (fleet->n_finished <= fleet->options.finished_kept)
			return;
		if (!migration_state_is_final(m->kept.state) || m->unsaved ||
		    bring_back_needs(fleet, m, listed))
			continue;
		HASH_DELETE(hh_operation, fleet->migrations_by_operation, m);
		HASH_DEL(fleet->migrations, m);
		fleet->n_finished--;
		fleet->oldest_revision = fleet->revision;
		migration_free(m);
	}
}

static void forget_gone(struct fleet *fleet)
{
	struct vm *vm, *next;

	HASH_ITER (hh, fleet->vms, vm, next) {
		if (vm->sightings || vm->migration || !vm->gone_ms || vm->kept.bandwidth_given ||
		    vm->kept.max_downtime_given || change_now(fleet) - vm->gone_ms < VM_FORGET_MS)
			continue;
		HASH_DEL(fleet->vms, vm);
		fleet->oldest_revision = fleet->revision;
		vm_free(vm);
	}
}

void fleet_forget_old(struct fleet *fleet)
{
	/* Looking at all of them is for the steps that look at everything. */
	if (!fleet->step->everything)
		return;
	if (fleet->n_finished > fleet->options.finished_kept)
		forget_finished(fleet);
	forget_gone(fleet);
}

/* --- what changed --- */

static int compare_revisions(const void *a, const void *b)
{
	const struct changed_object *left = a, *right = b;

	return (left->revision > right->revision) - (left->revision < right->revision);
}

bool fleet_list_changes(const struct fleet *fleet, uint64_t since,
                        struct changed_object **ret_items, size_t *ret_count)
{
	bool resumed = since && since >= fleet->oldest_revision && since <= fleet->revision;
	uint64_t after = resumed ? since : 0;
	size_t most = HASH_COUNT(fleet->nodes) + HASH_COUNT(fleet->vms) +
	              HASH_COUNT(fleet->migrations) + HASH_COUNT(fleet->drains) + fleet->n_events;
	struct changed_object *items = xcalloc(most + 1, sizeof(*items));
	size_t count = 0;

#define LIST(kind_, type, objects)                                                         \
	for (struct type *o = (objects); o; o = o->hh.next) {                              \
		if (o->revision > after || !after)                                         \
			items[count++] = (struct changed_object){ .kind = (kind_),         \
				                                  .revision = o->revision, \
				                                  .type = o };             \
	}
	LIST(OBJECT_NODE, node, fleet->nodes)
	LIST(OBJECT_VM, vm, fleet->vms)
	LIST(OBJECT_MIGRATION, migration, fleet->migrations)
	LIST(OBJECT_DRAIN, drain, fleet->drains)
#undef LIST
	for (size_t i = 0; i < fleet->n_events; i++) {
		const struct event_record *event = fleet_get_event(fleet, i);

		if (event->revision > after || !after)
			items[count++] = (struct changed_object){ .kind = OBJECT_EVENT,
				                                  .revision = event->revision,
				                                  .event = event };
	}
	qsort(items, count, sizeof(*items), compare_revisions);
	*ret_items = items;
	*ret_count = count;
	return resumed;
}
