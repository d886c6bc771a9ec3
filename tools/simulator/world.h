/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet from a file, simulated: the coordinator's production core against hosts and agents that are
 * models, on a clock that jumps from one event to the next.
 *
 *	state.c      the file: read, checked, turned into hosts and guests
 *	generate.c   a file of a fleet that there is not
 *	world.c      clock, queue, the core's edge: actions out, events in
 *	agents.c     what agents say and answer
 *	moves.c      migrations from START to their end
 *	fluid.c      links and pre-copy
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
};

struct world_guest {
	struct vm_state facts;
	size_t host, incoming; /* NOWHERE */
	size_t next_guest;     /* NOWHERE; of its host in the beginning */
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
};

struct world_attempt {
	struct attempt id;
	uint64_t migration;
	size_t guest, source, target;
	enum migration_state state;
	struct migration_settings settings;
	bool over, lease, copying, cancel;
	double fails_at; /* of its bytes, 0..1; above: it does not */
	uint64_t began_ms, ended_ms, copy_ms;
	struct fluid_copy copy;
	char reason[REASON_BYTES];
};

/* A reason to wait, and the guests' time that went to it. */
struct world_wait {
	const char *reason; /* static */
	uint64_t ms;
};
#define WAITS_MAX 10

struct queued;

struct world {
	struct world_options options;
	uint64_t random, now_ms, wall_ms;
	struct queued *queue;
	size_t n_queue, queue_capacity;
	uint64_t n_queued;

	struct core_options core;
	struct fleet *fleet;
	struct node_record *records; /* what the store holds of nodes */
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
	uint32_t n_failed;
	uint64_t still_since_ms;
};

/* --- state.c --- */

/* Reads a document of the API's messages from @path, "-" is stdin. */
int state_read(const char *path, Drover__V1__FleetState **ret, struct error *err);
/* Makes the world that it describes. @notes: sentences about what was not taken over; an array of
 * strings to be freed. -ERROR_INVALID with the place in the document. */
int world_build(struct world *w, const Drover__V1__FleetState *state, char ***ret_notes,
                size_t *ret_n_notes, struct error *err);

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
	QUEUE_ADMIT, /* an attempt is judged by its destination */
	QUEUE_COPY,  /* bytes begin to flow */
	QUEUE_FLUID, /* the next pass ends */
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
bool agents_admit(const struct world *w, size_t guest, size_t target, struct check *ret);
uint64_t agents_free_bytes(const struct world *w, size_t host);

void agents_say_vm(struct world *w, size_t host, size_t guest);
void agents_say_attempt(struct world *w, const struct world_attempt *a);

/* --- moves.c; an attempt is named by its index in w->attempts --- */

/* Devices' state, libvirt's messages: in the downtime, besides what is sent. */
#define MOVES_SWITCH_MS 40

/* The attempt with that id, or NOWHERE. */
size_t moves_find(const struct world *w, const struct attempt *id);
/* It begins; NOWHERE if there is no such guest or host. */
size_t moves_add(struct world *w, const struct attempt_call *call);
void moves_admit(struct world *w, size_t index);
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

/* --- figures.c --- */

Drover__V1__Simulation *figures_new(const struct world *w, char *const *notes, size_t n_notes);
void figures_print(FILE *to, const Drover__V1__Simulation *figures);
