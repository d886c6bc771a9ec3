/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet as the coordinator believes it to be, in memory.
 *
 *	struct fleet
 *	  nodes        by name       what each host's agent last said, and the intent for it
 *	  vms          by uuid       with one sighting per host that lists it
 *	  migrations   by number     all that are not over, and the latest that are
 *	  drains       by number
 *	  policies     by name       what people want about where guests are
 *	  events       a ring        for people; the store has more
 *
 * Facts about guests come from agents and are never stored; intent comes from the store and is
 * never taken from agents (but for a drain that a lost store forgot). Everything is plain data with
 * names, read directly by the edge on the owner thread; only core/ changes it.
 *
 * Revisions: every object carries the revision of its last change, given out densely within an
 * epoch (revision = epoch << 32 | n, so a restart never repeats one). One step gives each changed
 * object one new revision and reports it as ACTION_CHANGED.
 */
#pragma once

#include "coordinator/core/drain/drain.h"
#include "coordinator/core/move/migration.h"
#include "coordinator/core/predict/dirty_curve.h"
#include "coordinator/core/record.h"

#include <uthash.h>

/* A node whose agent is silent for longer is "unreachable". Agents send something every 2 s. */
#define NODE_SILENT_MS ((uint64_t)10000)
/* A changed fleet is looked at at once; everything is looked at again this often. */
#define RECONCILE_EVERY_MS ((uint64_t)5000)
/* How long previews are waited for. */
#define PREVIEW_DEADLINE_MS ((uint64_t)10000)

struct core_options {
	char cluster[64];
	struct caps caps;                    /* 0 = the default: 5, 2, 2 */
	struct migration_settings settings;  /* cluster defaults */
	struct id (*next_id)(void *context); /* random ids; seeded in the simulation */
	void *next_id_context;
	uint64_t shutdown_timeout_ms; /* 0 = 5 min */
	size_t event_ring;            /* 0 = 1024 */
	size_t finished_kept;         /* finished migrations in memory; 0 = 2000 */
	size_t drains_kept;    /* drains that are over, in memory and in the store; 0 = 500 */
	size_t drain_vms_kept; /* guests of those, in memory; 0 = 5000 */
};

enum node_state {
	NODE_READY,
	NODE_NO_LIBVIRT, /* would be ready, but its libvirt cannot be asked */
	NODE_CORDONED,
	NODE_DRAINING,
	NODE_MAINTENANCE,
	NODE_UNREACHABLE,
	NODE_FENCED,
	NODE_STATES
};

struct sighting;
struct denial;

struct node {
	struct node_record kept;
	enum node_state state; /* follows from the rest; node_state_name() */
	char reason[REASON_BYTES];
	bool known;            /* an agent has reported since this coordinator started */
	bool attached;         /* its agent is connected now */
	bool listed;           /* its guests were listed since this coordinator started */
	bool inventory_valid;  /* false: its vms are what was last seen, nothing may be concluded */
	uint64_t blind_ms;     /* since when its libvirt cannot be asked; 0 = it can */
	uint64_t last_seen_ms; /* when its agent last said anything; 0 = never */
	struct id boot_id;
	uint64_t highest_epoch; /* that its agent had seen when it attached */
	uint64_t told_epoch;    /* by us, in this life */
	struct host_state host;
	struct drain_mark mark; /* as the agent last reported or confirmed it */
	struct sighting *sightings;
	size_t active_vms;
	uint32_t migrations_in, migrations_out; /* slots held */
	uint32_t preparing_out;      /* prepared ahead of a slot; migrations_in counts them */
	uint32_t ends_soon;          /* private to launch_ahead.c: of its slots, by ahead_look */
	uint32_t foreign_out;        /* moves out of it that are not drover's; they hold none */
	size_t plan_index;           /* private to plan: its place in the one that was made last */
	bool set_aside;              /* private to drafts: to be emptied, too, so it takes nobody */
	uint64_t pressured_until_ms; /* takes no guest before; 0 = it does */
	struct denial *denials;      /* what it said no to for all guests alike; denials.h */
	uint64_t room_sequence;      /* grows when room appeared: refusals may be tried again */
	/* The drain mark: what was sent last, and what the agent counted after it was durable. */
	bool adopt_mark; /* the store does not know this node: its mark is all there is */
	bool mark_known; /* a snapshot has said what the agent has */
	bool mark_asked; /* a SET_DRAIN_MARK is under way ... */
	bool mark_sent_draining, mark_sent_cordoned, mark_sent_maintenance;
	struct id mark_sent_id;
	uint64_t mark_retry_ms;
	bool mark_counted; /* the two below are of the present drain and connection */
	uint32_t mark_active_vms;
	uint64_t mark_inventory_sequence;
	uint64_t inventory_sequence; /* grows with every change of its list of active guests */
	/* Fences: this node is being told of one; when it may be told again. */
	bool fence_asked;
	uint64_t fence_retry_ms;
	uint64_t returned_ms;       /* when it came back after it was declared dead; 0 = did not */
	char suspect[REASON_BYTES]; /* what it claims and is not believed; "" = nothing */
	/* RAM moved out of here per second, from history; 0 = none. */
	uint64_t measured_bytes_per_s;
	uint64_t revision;
	uint64_t intent_ticket; /* its record is durable once this is stored */
	bool latest_marked;     /* private to drain_history.c */
	bool dirty, unsaved;
	UT_hash_handle hh;
};

/* One host's view of one guest. */
struct sighting {
	struct node *node; /* borrowed */
	struct vm *vm;     /* borrowed */
	struct vm_state state;
	bool confirmed; /* private: seen again in the snapshot that is being applied */
	struct sighting *prev, *next;       /* of the node */
	struct sighting *prev_vm, *next_vm; /* of the vm */
};

/* A destination said no to this guest: not asked again until it changed or the time has come. */
struct refusal {
	char target[NODE_NAME_BYTES];
	char why[REASON_BYTES]; /* one sentence from the worst check */
	struct checks checks;
	uint64_t again_ms;
	uint64_t backoff_ms;
	uint64_t room_sequence;
	bool fault;   /* it did not say no, it failed: more room there is no reason to try again */
	bool lasting; /* nor is it here: something else than room is missing */
	uint64_t
		known_ms; /* then it counts until then, though it may be asked again (refusals.h) */
	struct refusal *next;
};

/* Whether a destination would copy disks of it, as one has said when asked. */
enum copies { COPIES_UNKNOWN, COPIES_NONE, COPIES_SOME };

struct vm {
	char uuid[VM_UUID_BYTES];
	char name[VM_NAME_BYTES];
	struct node *node;          /* where its vCPUs are; NULL: nowhere seen. Borrowed */
	struct sighting *sightings; /* all hosts that list it */
	bool movable;
	char why_not[REASON_BYTES];
	struct migration *migration; /* the one that is not over, or NULL. Borrowed */
	bool twice;                  /* runs on two hosts: frozen until a person has looked */
	uint64_t twice_since_ms;
	struct refusal *refusals;
	uint64_t asked_ms; /* when a destination has last looked at it; 0 = none has */
	enum copies copies;
	uint32_t failures;   /* in a row */
	uint32_t elsewhere;  /* of them, those after which another destination was tried at once */
	uint64_t retry_ms;   /* not before, after a failure */
	uint64_t begun_ms;   /* its last attempt; 0 = none since start */
	uint64_t moved_ms;   /* its last migration was done; 0 = none since start */
	uint64_t gone_ms;    /* no host lists it since; 0 = some does */
	uint64_t prepare_ms; /* not prepared ahead again before */
	const struct node *starts_on;  /* private to power_on.c: there it is being started again */
	struct memory_used memory_use; /* the newest there is, also from where it was before ... */
	uint64_t memory_use_ms;        /* ... heard then; 0 = never */
	struct dirty_curve writes;     /* what its windows come to */
	struct vm_record kept; /* for its next migration; uuid and name are set when it is saved */
	uint64_t revision;
	bool dirty, unsaved;
	UT_hash_handle hh;
};

enum object_kind { OBJECT_NODE, OBJECT_VM, OBJECT_MIGRATION, OBJECT_DRAIN, OBJECT_EVENT };

struct step; /* private: what the running step collects */
struct pending_reply;
struct policy;
struct policy_seat;
struct preview_round;

struct fleet {
	struct core_options options;
	bool loaded;    /* the store has been read */
	bool stopped;   /* the store failed or somebody else leads: nothing has effect */
	uint64_t epoch; /* ours; valid once it is stored */
	uint64_t epoch_ticket;
	uint64_t
		loaded_epoch; /* what the store had when it was read: later ones are ours, or lost */
	uint64_t store_epoch; /* what the store will have after the batches asked for so far */
	uint64_t revision;
	uint64_t oldest_revision; /* Watch from before this needs a full snapshot */
	uint64_t next_ticket, stored_ticket;
	uint64_t last_migration_number, last_drain_number;

	struct node *nodes;
	struct vm *vms;
	struct migration *migrations;
	struct migration *migrations_by_operation;
	struct migration *active; /* not over; list by next_active */
	struct drain *drains;
	size_t n_active, n_finished;
	size_t n_draining; /* nodes with a drain under way */
	uint32_t slots_held, foreign_jobs;
	uint32_t preparing; /* of all nodes */
	uint32_t ends_soon; /* likewise; private to launch_ahead.c */

	struct policy *policies; /* by name; policy.h */

	struct event_record *events; /* ring of options.event_ring */
	size_t events_first, n_events;

	/* Private to core/. */
	struct policy_seat *policy_seats;
	const struct drain
		*draft; /* that is being thought out: where its guests are to go counts */
	struct pending_reply *pending_replies;
	struct preview_round *previews;
	struct kept_plan *plans;            /* latest first */
	struct predict_pair *predict_pairs; /* what past migrations say; predict.c */
	uint64_t next_preview;
	uint64_t started_ms; /* silence is counted from here at the earliest */
	uint64_t last_reconcile_ms;
	bool reconcile_wanted;
	size_t drain_turn; /* which drain is asked first: fairness between sources */
	struct step *step;
};

struct fleet *fleet_new(const struct core_options *options);
void fleet_free(struct fleet *fleet);

/* All _find_ may return NULL; what they return is borrowed and lives until the next step. */
struct node *fleet_find_node(const struct fleet *fleet, const char *name);
struct vm *fleet_find_vm(const struct fleet *fleet, const char *uuid);
struct migration *fleet_find_migration(const struct fleet *fleet, uint64_t number);
struct migration *fleet_find_operation(const struct fleet *fleet, const struct id *operation);
struct drain *fleet_find_drain(const struct fleet *fleet, uint64_t number);
struct drain *fleet_find_drain_by_id(const struct fleet *fleet, const struct id *id);
/* The drain of that node which is not over. */
struct drain *fleet_find_node_drain(const struct fleet *fleet, const struct node *node);

/* A guest by name or uuid. -ERROR_NOT_FOUND, or -ERROR_INVALID when several have that name (the
 * text lists their uuids). */
int fleet_get_vm(const struct fleet *fleet, const char *name_or_uuid, struct vm **ret_vm,
                 struct error *err);
int fleet_get_node(const struct fleet *fleet, const char *name, struct node **ret_node,
                   struct error *err);

/* The labels in effect: its agent's own, and over them those that it was given. @ret: LABELS_BYTES. */
void node_get_labels(const struct node *node, char *ret);
/* @selector has been checked. */
bool node_is_selected(const struct node *node, const char *selector);
/* The nodes that a selection may miss, as no agent of theirs has ever said its labels; NULL: none. Owned. */
char *fleet_describe_unheard_labels(const struct fleet *fleet);

/* The sighting of @vm on @node, or NULL. */
struct sighting *fleet_find_sighting(const struct vm *vm, const struct node *node);

/* The i-th event of the ring, 0 = the oldest there is. */
const struct event_record *fleet_get_event(const struct fleet *fleet, size_t i);

struct changed_object {
	enum object_kind kind;
	uint64_t revision;
	union {
		struct node *node;
		struct vm *vm;
		struct migration *migration;
		struct drain *drain;
		const struct event_record *event;
	};
};

/* Everything that changed after @since, by rising revision; free(*ret_items). Returns false when
 * @since is too old (or from another life) to tell: the whole fleet is listed then, and the watcher
 * must forget what it knew. */
bool fleet_list_changes(const struct fleet *fleet, uint64_t since,
                        struct changed_object **ret_items, size_t *ret_count);

const char *node_state_name(enum node_state state); /* "ready" */
