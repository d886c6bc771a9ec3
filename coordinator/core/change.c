/* SPDX-License-Identifier: Apache-2.0 */
/* What one step changed, and how it leaves the core: revisions and one batch.
 *
 * The order inside a batch matters: writes that free slots come before writes that take them, as
 * the store judges the caps write by write.
 */
#include "coordinator/core/change.h"

#include "common/alloc.h"
#include "coordinator/core/policy/policy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void change_begin(struct fleet *fleet, struct step *step, uint64_t now_ms, uint64_t wall_ms,
                  struct action_list *ret)
{
	assert(!fleet->step && now_ms);
	*step = (struct step){
		.now_ms = now_ms, .wall_ms = wall_ms, .ret = ret, .first_action = ret->count
	};
	fleet->step = step;
}

static struct action *push(struct action_list *list, enum action_kind kind)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity ? 2 * list->capacity : 8;
		list->items = xreallocarray(list->items, list->capacity, sizeof(*list->items));
	}
	memset(&list->items[list->count], 0, sizeof(list->items[0]));
	list->items[list->count].kind = kind;
	return &list->items[list->count++];
}

struct action *change_act(struct fleet *fleet, enum action_kind kind)
{
	return push(fleet->step->ret, kind);
}

static void remember(struct fleet *fleet, struct changed_object object, bool *dirty)
{
	struct step *step = fleet->step;

	assert(step);
	if (*dirty)
		return;
	*dirty = true;
	if (step->n_changed == step->capacity) {
		step->capacity = step->capacity ? 2 * step->capacity : 16;
		step->changed = xreallocarray(step->changed, step->capacity,
		                              sizeof(*step->changed));
	}
	step->changed[step->n_changed++] = object;
}

void change_node(struct fleet *fleet, struct node *node)
{
	remember(fleet, (struct changed_object){ .kind = OBJECT_NODE, .node = node }, &node->dirty);
}

void change_vm(struct fleet *fleet, struct vm *vm)
{
	remember(fleet, (struct changed_object){ .kind = OBJECT_VM, .vm = vm }, &vm->dirty);
}

void change_migration(struct fleet *fleet, struct migration *m)
{
	remember(fleet, (struct changed_object){ .kind = OBJECT_MIGRATION, .migration = m },
	         &m->dirty);
}

void change_drain(struct fleet *fleet, struct drain *drain)
{
	remember(fleet, (struct changed_object){ .kind = OBJECT_DRAIN, .drain = drain },
	         &drain->dirty);
}

void save_node(struct fleet *fleet, struct node *node)
{
	change_node(fleet, node);
	node->unsaved = true;
	node->intent_ticket = change_next_ticket(fleet);
}

void save_migration(struct fleet *fleet, struct migration *m)
{
	change_migration(fleet, m);
	m->unsaved = true;
}

void save_vm(struct fleet *fleet, struct vm *vm)
{
	text_copy(vm->kept.uuid, sizeof(vm->kept.uuid), vm->uuid);
	text_copy(vm->kept.name, sizeof(vm->kept.name), vm->name);
	change_vm(fleet, vm);
	vm->unsaved = true;
}

void save_drain(struct fleet *fleet, struct drain *drain)
{
	change_drain(fleet, drain);
	drain->unsaved = true;
	drain->stored_ticket = change_next_ticket(fleet);
}

uint64_t change_next_ticket(const struct fleet *fleet)
{
	return fleet->next_ticket + 1;
}

bool change_is_stored(const struct fleet *fleet, uint64_t ticket)
{
	return ticket <= fleet->stored_ticket;
}

static void tell(struct fleet *fleet, enum severity severity, const char *subject,
                 const char *format, va_list args) __attribute__((format(printf, 4, 0)));
static void tell(struct fleet *fleet, enum severity severity, const char *subject,
                 const char *format, va_list args)
{
	struct step *step = fleet->step;
	struct event_record event = { .wall_ms = step->wall_ms, .severity = severity };

	text_copy(event.subject, sizeof(event.subject), subject);
	vsnprintf(event.text, sizeof(event.text), format, args);
	step->events = xreallocarray(step->events, step->n_events + 1, sizeof(*step->events));
	step->events[step->n_events++] = event;
}

void change_tell(struct fleet *fleet, enum severity severity, const char *subject_kind,
                 const char *subject, const char *format, ...)
{
	char text[VM_NAME_BYTES + 16];
	va_list args;

	snprintf(text, sizeof(text), "%s/%s", subject_kind, subject);
	va_start(args, format);
	tell(fleet, severity, text, format, args);
	va_end(args);
}

void change_tell_number(struct fleet *fleet, enum severity severity, const char *subject_kind,
                        uint64_t number, const char *format, ...)
{
	char text[64];
	va_list args;

	snprintf(text, sizeof(text), "%s/%" PRIu64, subject_kind, number);
	va_start(args, format);
	tell(fleet, severity, text, format, args);
	va_end(args);
}

/* --- the end of a step --- */

static void assign_revision(struct fleet *fleet, struct changed_object *changed)
{
	struct action *action = change_act(fleet, ACTION_CHANGED);

	changed->revision = ++fleet->revision;
	action->changed.object = changed->kind;
	action->changed.revision = changed->revision;
	switch (changed->kind) {
	case OBJECT_NODE:
		changed->node->revision = changed->revision;
		changed->node->dirty = false;
		text_copy(action->changed.name, sizeof(action->changed.name),
		          changed->node->kept.name);
		break;
	case OBJECT_VM:
		changed->vm->revision = changed->revision;
		changed->vm->dirty = false;
		text_copy(action->changed.name, sizeof(action->changed.name), changed->vm->uuid);
		break;
	case OBJECT_MIGRATION:
		changed->migration->revision = changed->revision;
		changed->migration->dirty = false;
		action->changed.number = changed->migration->kept.number;
		break;
	case OBJECT_DRAIN:
		changed->drain->revision = changed->revision;
		changed->drain->dirty = false;
		action->changed.number = changed->drain->kept.number;
		break;
	case OBJECT_EVENT:
		break;
	}
}

/* The store counts what is before a write in its batch: first what frees, or changes no count; then those
 * that take slots, which may leave those that prepare; then these. */
enum batch_part { PART_PLAIN, PART_TAKES, PART_PREPARES, PARTS };

static enum batch_part part_of(const struct migration *m)
{
	if (!m->taking)
		return PART_PLAIN;
	return m->kept.preparing ? PART_PREPARES : PART_TAKES;
}

static void put_object(const struct fleet *fleet, struct batch *batch,
                       struct changed_object *changed, enum batch_part part)
{
	bool takes = part != PART_PLAIN;
	struct put *put;

	switch (changed->kind) {
	case OBJECT_NODE:
		if (takes || !changed->node->unsaved)
			return;
		changed->node->unsaved = false;
		batch_add(batch, PUT_NODE)->node = changed->node->kept;
		break;
	case OBJECT_DRAIN:
		if (takes || !changed->drain->unsaved)
			return;
		changed->drain->unsaved = false;
		drain_record_copy(&batch_add(batch, PUT_DRAIN)->drain, &changed->drain->kept);
		break;
	case OBJECT_MIGRATION:
		if (!changed->migration->unsaved || part_of(changed->migration) != part)
			return;
		changed->migration->unsaved = false;
		changed->migration->taking = false;
		put = batch_add(batch, PUT_MIGRATION);
		migration_record_copy(&put->migration, &changed->migration->kept);
		put->takes_slot = takes;
		put->caps = fleet->options.caps;
		break;
	case OBJECT_VM:
		if (takes || !changed->vm->unsaved)
			return;
		changed->vm->unsaved = false;
		batch_add(batch, PUT_VM)->vm = changed->vm->kept;
		break;
	case OBJECT_EVENT:
		break;
	}
}

static struct batch *collect_batch(struct fleet *fleet)
{
	struct step *step = fleet->step;
	struct batch *batch = xnew(struct batch);

	for (enum batch_part part = PART_PLAIN; part < PARTS; part++) {
		for (size_t i = 0; i < step->n_changed; i++)
			put_object(fleet, batch, &step->changed[i], part);
	}
	policy_collect(fleet, batch);
	for (size_t i = 0; i < step->n_events; i++)
		batch_add(batch, PUT_EVENT)->event = step->events[i];

	for (size_t i = 0; i < step->n_forgotten; i++)
		batch_add(batch, PUT_FORGET_DRAIN)->forgotten_drain = step->forgotten[i];

	/* Before the store was read, or after it failed, nothing may be written. */
	if ((!batch->count && !step->new_epoch) || !fleet->loaded || fleet->stopped) {
		batch_free(batch);
		return NULL;
	}
	batch->ticket = ++fleet->next_ticket;
	batch->epoch = fleet->store_epoch;
	batch->new_epoch = step->new_epoch;
	if (step->new_epoch)
		fleet->store_epoch = step->new_epoch;
	return batch;
}

/* STORE, then the lines for people, then what was asked for: read in a log, causes come before
 * their effects. */
static int rank(enum action_kind kind)
{
	return kind == ACTION_STORE ? 0 : kind == ACTION_EVENT ? 1 : 2;
}

static void sort_actions(struct step *step)
{
	struct action *own = &step->ret->items[step->first_action];
	size_t count = step->ret->count - step->first_action, n = 0;
	struct action *sorted = count ? xcalloc(count, sizeof(*sorted)) : NULL;

	for (int r = 0; r <= 2; r++) {
		for (size_t i = 0; i < count; i++) {
			if (rank(own[i].kind) == r)
				sorted[n++] = own[i];
		}
	}
	if (count)
		memcpy(own, sorted, count * sizeof(*own));
	free(sorted);
}

void change_end(struct fleet *fleet)
{
	struct step *step = fleet->step;
	struct batch *batch;

	for (size_t i = 0; i < step->n_changed; i++)
		assign_revision(fleet, &step->changed[i]);
	for (size_t i = 0; i < step->n_events; i++) {
		struct changed_object object = { .kind = OBJECT_EVENT };

		assign_revision(fleet, &object);
		step->events[i].revision = object.revision;
		fleet_add_event(fleet, &step->events[i]);
		change_act(fleet, ACTION_EVENT)->event = step->events[i];
	}

	batch = collect_batch(fleet);
	reply_settle(fleet, batch ? batch->ticket : 0);
	if (batch)
		change_act(fleet, ACTION_STORE)->store = batch;
	sort_actions(step);

	fleet_forget_old(fleet);
	free(step->changed);
	free(step->events);
	free(step->forgotten);
	fleet->step = NULL;
}
