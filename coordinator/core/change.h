/* SPDX-License-Identifier: Apache-2.0 */
/* How the core's modules change the fleet: private to core/.
 *
 * One step collects what it changed; at its end each changed object gets one new revision, all
 * records that must be kept go into one batch, and the STORE stands in front of the other actions.
 *
 *	change_x   a watcher should see it
 *	save_x     it must be durable (and a watcher should see it)
 *
 * Whatever rests on a save waits for change_next_ticket() to be stored.
 */
#pragma once

#include "coordinator/core/action.h"
#include "coordinator/core/fleet.h"

struct step {
	uint64_t now_ms, wall_ms;
	struct action_list *ret;
	size_t first_action;
	struct changed_object *changed; /* owned; in the order of their first change */
	size_t n_changed, capacity;
	uint64_t new_epoch;          /* goes into this step's batch */
	bool everything;             /* the look at the whole fleet, each RECONCILE_EVERY_MS */
	struct event_record *events; /* owned */
	size_t n_events;
	uint64_t *forgotten; /* owned; numbers of drains */
	size_t n_forgotten;
};

void change_begin(struct fleet *fleet, struct step *step, uint64_t now_ms, uint64_t wall_ms,
                  struct action_list *ret);
void change_end(struct fleet *fleet);

void change_node(struct fleet *fleet, struct node *node);
void change_vm(struct fleet *fleet, struct vm *vm);
void change_migration(struct fleet *fleet, struct migration *m);
void change_drain(struct fleet *fleet, struct drain *drain);
void save_node(struct fleet *fleet, struct node *node);
void save_migration(struct fleet *fleet, struct migration *m);
void save_vm(struct fleet *fleet, struct vm *vm);
void save_drain(struct fleet *fleet, struct drain *drain);

/* The ticket of the batch which this step will write, if it writes one. */
uint64_t change_next_ticket(const struct fleet *fleet);
bool change_is_stored(const struct fleet *fleet, uint64_t ticket);

static inline uint64_t change_now(const struct fleet *fleet)
{
	return fleet->step->now_ms;
}

/* Appends an empty action; borrowed until the next one. */
struct action *change_act(struct fleet *fleet, enum action_kind kind);

/* A line for people: into the ring, the store and the log. */
void change_tell(struct fleet *fleet, enum severity severity, const char *subject_kind,
                 const char *subject, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void change_tell_number(struct fleet *fleet, enum severity severity, const char *subject_kind,
                        uint64_t number, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Replies: at once, or (_stored) when all that this step saves is durable. Take @reply. */
struct reply *reply_new(enum reply_kind kind, uint64_t request);
void reply_send(struct fleet *fleet, struct reply *reply);
void reply_send_stored(struct fleet *fleet, struct reply *reply);
/* With the epoch, once the newest one is durable. */
void reply_send_epoch(struct fleet *fleet, struct reply *reply);
void reply_send_error(struct fleet *fleet, uint64_t request, const struct error *err);
/* At the end of a step: those that were to be sent _stored wait for @ticket; 0: nothing is stored,
 * so they go now. */
void reply_settle(struct fleet *fleet, uint64_t ticket);
/* After EVENT_STORED: sends those that waited for it. */
void reply_release(struct fleet *fleet);
void reply_drop_all(struct fleet *fleet);

/* From now on (once it is stored) this epoch is over, and the next one is ours. */
void fleet_raise_epoch(struct fleet *fleet, uint64_t above);

/* Does this coordinator have effect: loaded, its epoch durable, not stopped? */
bool fleet_leads(const struct fleet *fleet);

/* Makes what is not there yet. */
struct node *fleet_add_node(struct fleet *fleet, const char *name);
struct vm *fleet_add_vm(struct fleet *fleet, const char *uuid, const char *name);
/* Takes @kept's contents; links it by its state and slot. */
struct migration *fleet_add_migration(struct fleet *fleet, struct migration_record *kept);
struct drain *fleet_add_drain(struct fleet *fleet, struct drain_record *kept);
/* Puts a loaded event into the ring without storing it again. */
void fleet_add_event(struct fleet *fleet, const struct event_record *event);

/* The slot's two ends; both change the migration's and the nodes' counts. */
void migration_take_slot(struct fleet *fleet, struct migration *m);
/* Of those that prepare: none that the caps of what moves count, until it is let go. @runs: it has been. */
void migration_take_ahead(struct fleet *fleet, struct migration *m);
void migration_let_go(struct fleet *fleet, struct migration *m, bool runs);
void migration_free_slot(struct fleet *fleet, struct migration *m);
/* Only migration_move calls it: the migration is over. */
void fleet_finish_migration(struct fleet *fleet, struct migration *m);
/* At the end of a step: forgets the oldest finished ones beyond options.finished_kept. */
void fleet_forget_old(struct fleet *fleet);

/* Works out node->state and reason again; changes the node if they differ. */
void node_refresh(struct fleet *fleet, struct node *node);
/* Works out vm->node, movable, twice; changes the vm if they differ. */
void vm_refresh(struct fleet *fleet, struct vm *vm);
