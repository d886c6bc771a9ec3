/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet from a file, simulated: the coordinator's production core against hosts and agents that are
 * models, on a clock that jumps from one event to the next.
 *
 *	state.c      the file: read, checked, turned into hosts and guests
 *	intent.c     what of it is people's wish, or the coordinator's knowledge
 *	generate.c   a file of a fleet that there is not
 *	world.c      clock, queue, the core's edge: actions out, events in
 *	agents.c     what agents say and answer
 *	moves.c      migrations from START to their end
 *	prepared.c   those that are prepared before they have a slot
 *	lanes.c      which of a host's go first: the rule of production's agents
 *	fluid.c      links and pre-copy
 *	policies.c   whether policies hold on the hosts, whatever the core believes
 *	figures.c    what came of it, and what would have been the least
 *
 * Nothing is lost, late or doubled here: faults of the network and of processes are in tests/sim, with
 * production agents. What may go wrong is a migration itself, by chance. The same file, drains, options
 * and seed give the same trace. */
#pragma once

#include "coordinator/core/step.h"
#include "proto/coordinator.pb-c.h"
#include "proto/simulation.pb-c.h"
#include "tools/simulator/fluid.h"

#include <stdio.h>

#define NOWHERE SIZE_MAX

struct world_options {
	uint64_t seed;
	unsigned fail_per_mille;    /* of attempts: break in the middle */
	unsigned refuse_per_mille;  /* of admissions: no, though there is room */
	uint64_t link_bytes_per_s;  /* of every host; 0 = as the file says */
	uint64_t dirty_bytes_per_s; /* of guests of which nobody knows; 0 = they write nothing */
	bool fair;                  /* links are shared fairly; limits of the core are not kept */
	uint64_t most_ms;           /* simulated time; 0 = a week */
	struct caps caps;           /* 0 = as the file says */
	bool preparing_given;       /* caps.preparing, though it is 0 */
	uint64_t prepare_ms;        /* PLAN_PREPARE_MS, unless somebody knows better */
	FILE *trace;                /* a line an event; NULL: none */
};

struct world_host {
	struct host_state facts;
	char name[NODE_NAME_BYTES];
	bool reachable;
	size_t first_guest;   /* NOWHERE; of those that are there in the beginning */
	uint64_t other_bytes; /* in use by what the file does not list */
	uint64_t guests_bytes, leased_bytes;
	uint32_t n_guests; /* active, and on their way in */
	struct drain_mark mark;
	bool attached;
	const Drover__V1__Node *document; /* borrowed */
};

struct world_guest {
	struct vm_state facts;
	const Drover__V1__Vm *document; /* borrowed */
	size_t host, incoming;          /* NOWHERE */
	size_t going;      /* where its attempt under way goes, from its START on; NOWHERE */
	size_t next_guest; /* NOWHERE; of its host in the beginning */
	double dirty_bytes_per_s, working_set_bytes;
	struct dirty_curve curve; /* measured */
	double in_use_bytes;      /* what the first pass sends */
	bool dirty_known;
	/* What became of it. */
	size_t first_host;
	uint64_t waited_ms, began_ms, ended_ms, downtime_us;
	double sent;
	unsigned attempts, passes;
	char outcome[24];
	size_t *policies; /* owned; those that name it */
	size_t n_policies;
};

struct world_attempt {
	struct attempt id;
	uint64_t migration;
	size_t guest, source, target;
	enum migration_state state;
	struct migration_settings settings;
	bool over, lease, copying, cancel;
	/* Not to move before LET_GO; prepared, and waits for that; has waited in vain (prepared.c). */
	bool hold, waits, given_back;
	uint64_t waits_since_ms, waited_ms;
	double fails_at;            /* of its bytes, 0..1; above: it does not */
	uint64_t limit_bytes_per_s; /* that the coordinator or a person has set */
	/* Held for another one of its host (lanes.c); 0 = it is not. */
	uint64_t hold_bytes_per_s, hold_left_ms, lane_ms, held_ms;
	uint64_t excused_ms; /* of that, the part by which its time was made longer */
	size_t held_for;     /* guest */
	uint64_t eta_ms;     /* UINT64_MAX: no end in sight */
	uint64_t began_ms, ended_ms, copy_ms;
	struct fluid_copy copy;
	struct check refused; /* for what does not pass by itself; no verdict: it was not */
	char reason[REASON_BYTES];
};

/* A reason to wait, and the guests' time that went to it. */
struct world_wait {
	const char *reason; /* static */
	uint64_t ms;
};
#define WAITS_MAX 10

/* A policy, by guests and hosts of the world. */
struct world_policy {
	const struct policy_record *kept; /* borrowed */
	size_t *guests;                   /* owned */
	size_t n_guests;
	bool *on;   /* owned; by host; NULL: it names none */
	bool holds; /* in the beginning */
};

struct queued;

struct world {
	struct world_options options;
	uint64_t random, now_ms, wall_ms;
	struct queued *queue;
	size_t n_queue, queue_capacity;
	uint64_t n_queued;

	struct core_options core;
	struct fleet *fleet;
	/* What the store holds. */
	struct node_record *records;
	struct policy_record *policies; /* by name */
	size_t n_policies;
	struct world_policy *judged;                  /* as policies */
	size_t *touched, n_touched, touched_capacity; /* guests that were sent or have come */
	char broken[REASON_BYTES];                    /* the first hard one that was;  = none */
	struct vm_record *kept;
	size_t n_kept;
	const Drover__V1__FleetState *document; /* borrowed, as long as the world lives */
	struct world_host *hosts;
	size_t n_hosts;
	const struct world_host **by_name; /* owned; sorted */
	struct world_guest *guests;
	size_t n_guests;
	struct world_attempt *attempts;
	size_t n_attempts, first_live; /* before it all are over */

	double *out, *in; /* by host */
	struct fluid fluid;
	uint64_t fluid_ms, fluid_version;

	size_t *drained; /* hosts whose drain was asked for */
	size_t n_drained;
	uint64_t asked_ms;
	bool refused;
	char refusal[REASON_BYTES * 2];
	size_t n_replies;

	/* Figures. */
	uint64_t steps, cpu_ns;
	uint32_t *step_us; /* of each step, for quantiles */
	size_t n_step_us, step_us_capacity;
	struct world_wait waits[WAITS_MAX];
	uint64_t cluster_full_ms, outbound_full_ms, inbound_full_ms;
	uint64_t last_end_ms;
	uint32_t n_failed, n_prepared, n_given_back;
	uint64_t still_since_ms;
};

/* --- state.c --- */

/* Reads a document of the API's messages from @path, "-" is stdin. */
int state_read(const char *path, Drover__V1__FleetState **ret, struct error *err);
/* Makes the world that it describes, and keeps a hold of @state. @notes: sentences about what was not taken over; an array of
 * strings to be freed. -ERROR_INVALID with the place in the document. */
int world_build(struct world *w, const Drover__V1__FleetState *state, char ***ret_notes,
                size_t *ret_n_notes, struct error *err);

/* --- intent.c --- */

/* Limits, settings, policies, what is wanted of guests' next moves. After hosts and guests. */
int intent_read(struct world *w, const Drover__V1__FleetState *state, struct error *err);
/* Of one host, as state.c reads it: labels, denials. */
int intent_read_node(const Drover__V1__Node *from, struct node_record *record, struct error *err);
/* The coordinator knows what it had learned, once it has heard of all hosts. */
void intent_recall(struct world *w);
/* What a host has said no to before, to a guest of whatever home: it would again. */
const Drover__V1__Denial *intent_find_denial(const struct world *w, size_t guest, size_t host);

/* What it has refused that guest for and would again. */
const Drover__V1__Check *intent_find_refusal(const struct world *w, size_t guest, size_t host,
                                             bool copy_disks);

/* --- generate.c --- */

/* "hosts=1000,vms=15000,seed=1": more keys in the text of its error. */
int generate(const char *text, Drover__V1__FleetState **ret, struct error *err);

/* --- world.c --- */

void world_init(struct world *w, const struct world_options *options);
void world_deinit(struct world *w);
/* Drains @names and follows them to their end. */
int world_run(struct world *w, const char *const *names, size_t count, struct error *err);
/* After all hosts are there. -ERROR_INVALID: two have one name. */
int world_sort_hosts(struct world *w, struct error *err);
size_t world_find_host(const struct world *w, const char *name);
size_t world_find_guest(const struct world *w, const char *uuid);
double world_draw(struct world *w); /* 0 <= x < 1 */

enum queued_kind {
	QUEUE_STORED,
	QUEUE_TICK,
	QUEUE_BEAT, /* a host says how it is */
	QUEUE_ATTACH,
	QUEUE_ADMIT,  /* an attempt is judged by its destination */
	QUEUE_WAITED, /* one that is prepared has waited long enough */
	QUEUE_COPY,   /* bytes begin to flow */
	QUEUE_FLUID,  /* the next pass ends */
	QUEUE_PROGRESS,
	QUEUE_OVERDUE, /* its time is over */
	QUEUE_END,
	QUEUE_MARK, /* a host has written its mark */
	QUEUE_PREVIEW,
	QUEUE_CALL, /* cancel, probe, tune */
};

struct queued {
	uint64_t at_ms, number;
	enum queued_kind kind;
	size_t index;
	uint64_t tag;
	void *data; /* owned */
};

void world_after(struct world *w, uint64_t delay_ms, enum queued_kind kind, size_t index,
                 uint64_t tag, void *data);
/* One event into the core, its actions carried out. */
void world_step(struct world *w, struct event *event);
void world_trace(struct world *w, const char *what, const char *subject, const char *from,
                 const char *to, const char *text);

/* --- agents.c --- */

void agents_attach(struct world *w, size_t host);
void agents_say_everything(struct world *w, size_t host);
void agents_say_host(struct world *w, size_t host);
void agents_take_action(struct world *w, struct action *action);
void agents_take_queued(struct world *w, struct queued *q);
/* @ret: what stands in the way, or CHECK_PASS. */
bool agents_admit(const struct world *w, size_t guest, size_t target, bool copy_disks,
                  struct check *ret);
uint64_t agents_free_bytes(const struct world *w, size_t host);

void agents_say_vm(struct world *w, size_t host, size_t guest);
void agents_say_attempt(struct world *w, const struct world_attempt *a);

/* --- policies.c --- */

/* After guests and w->policies. */
void policies_init(struct world *w);
void policies_deinit(struct world *w);
/* @guest is being sent somewhere, or has come there. */
void policies_touch(struct world *w, size_t guest);
/* Of those that were touched: a hard policy that does not hold any more is told in w->broken. */
void policies_judge(struct world *w);
/* As the active guests are. */
bool policies_hold(const struct world *w, const struct world_policy *policy);

/* --- lanes.c --- */

/* Holds those that others of their host go before. */
void world_choose_lanes(struct world *w);

/* --- moves.c; an attempt is named by its index in w->attempts --- */

/* Devices' state, libvirt's messages: in the downtime, besides what is sent. */
#define MOVES_SWITCH_MS 40
/* What is around the copy once it has its slot; together with PLAN_PREPARE_MS it is what the core plans with. */
#define MOVES_AROUND_MS (PLAN_OVERHEAD_MS - PLAN_PREPARE_MS)

/* The attempt with that id, or NOWHERE. */
size_t moves_find(const struct world *w, const struct attempt *id);
/* It begins; NOWHERE if there is no such guest or host. */
size_t moves_add(struct world *w, const struct attempt_call *call);
void moves_admit(struct world *w, size_t index);
/* It has a slot: from now on it is on its way. */
void moves_take_slot(struct world *w, size_t index);
/* Its room is leased, too. */
void moves_go(struct world *w, size_t index);
void moves_begin_copy(struct world *w, size_t index);
/* The time that its settings give it is over. */
void moves_overdue(struct world *w, size_t index);
void moves_say_progress(struct world *w, size_t index);
void moves_end(struct world *w, size_t index, enum migration_state state, const char *reason);

/* All that flows, up to now; call it before what decides on rates changes, and moves_share after. */
void moves_flow(struct world *w);
void moves_share(struct world *w);
/* What is left of some pass is 0. */
void moves_turn_passes(struct world *w);

/* --- prepared.c; likewise --- */

/* Its room is leased, and that is all until it is let go, or for so long. */
void prepared_hold(struct world *w, size_t index);
void prepared_let_go(struct world *w, size_t index);
void prepared_give_back(struct world *w, size_t index);
/* It waits no longer. */
void prepared_end(const struct world *w, struct world_attempt *a);

/* --- figures.c --- */

Drover__V1__Simulation *figures_new(const struct world *w, char *const *notes, size_t n_notes);
void figures_print(FILE *to, const Drover__V1__Simulation *figures);
