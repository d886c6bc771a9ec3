/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet in a virtual world: the production core and a real store (the one in memory) against
 * small models of hosts and agents, on a virtual clock, with faults drawn from a seed.
 *
 *	sim.c        the world: clock, queue of what will happen, trace
 *	sim_edge.c   the coordinator's edge: carries out actions, crashes, starts again
 *	sim_host.c   hosts, their guests, and what their agents say
 *	sim_agent.c  migrations, and what agents answer (proto/agent.proto)
 *	sim_policy.c what guests and hosts belong together, and that it holds
 *	sim_check.c  what must hold after every single event
 *
 * The same seed gives the same run, to the millisecond. A story is a world without faults and with
 * fixed delays, so that its trace can be compared as text.
 */
#pragma once

#include "coordinator/core/step.h"
#include "coordinator/store/store.h"

#include <stdio.h>

#define SIM_HOSTS_MAX      8
#define SIM_OVERHEAD_BYTES ((uint64_t)16 << 20)
#define SIM_PORTS          3 /* more than the cap, so that the cap is seen to hold */
#define SIM_SWITCH_MS      50
#define SIM_HOLD_MS        20000 /* then it is given back */
#define SIM_VMS_MAX        64

struct sim;

/* Per mille, each time. All zero: nothing ever goes wrong. */
struct sim_faults {
	unsigned lose_call;    /* a request never arrives */
	unsigned lose_reply;   /* it arrived, the answer does not */
	unsigned repeat_call;  /* it arrives twice */
	unsigned late_call;    /* it arrives long after everybody gave up on it */
	unsigned not_sent;     /* it surely never left */
	unsigned crash_action; /* the coordinator dies before it carries out an action */
	unsigned refuse;       /* a destination says no although there is room */
	unsigned slow_admission;
	unsigned fail_move;       /* a migration fails in the middle */
	unsigned agent_dies;      /* per host and second */
	unsigned connection_dies; /* per host and second */
	unsigned guest_starts;    /* per host and second: somebody runs virsh start */
};

struct sim_vm {
	char uuid[VM_UUID_BYTES];
	char name[VM_NAME_BYTES];
	uint64_t memory_bytes;
	int host;     /* where its vCPUs run; -1 = shut off */
	int incoming; /* where its memory arrives; -1 = nowhere */
	bool immovable;
};

struct sim_host {
	char name[NODE_NAME_BYTES];
	uint64_t capacity_bytes;
	bool alive;       /* the agent; guests and migrations do not need it */
	uint32_t session; /* of its connection; 0 = none */
	uint32_t sessions;
	uint64_t last_arrival_ms; /* what it sends arrives in order */
	/* Durable. */
	uint64_t highest_epoch;
	bool has_mark;
	struct drain_mark mark;
};

/* An attempt in its source agent's journal, and the migration itself. */
struct sim_attempt {
	struct attempt id;
	int vm, source, target;
	enum migration_state state;
	bool tombstoned;
	bool cancel;
	bool fails;
	bool lease; /* held at the target */
	bool hold;  /* ordered to be prepared, and not to go on yet */
	bool waits; /* it is */
	enum error_code error_code;
	struct checks checks;
	char reason[REASON_BYTES];
	uint64_t began_ms, ends_ms;
	uint32_t percent;
};

struct sim_item;

struct sim {
	uint64_t seed, random;
	struct sim_faults faults;
	bool fixed_delays; /* stories: 1 ms to the store, 5 ms to an agent */
	uint64_t now_ms;
	struct sim_item *queue; /* heap */
	size_t n_queue, queue_capacity;
	uint64_t n_items;
	FILE *trace; /* NULL: none */

	/* The coordinator. */
	struct core_options options;
	struct store_memory_disk *disk;
	struct store *store;
	struct fleet *fleet; /* NULL: it is down */
	uint32_t incarnation;
	uint64_t last_write_ms;
	uint64_t last_revision;
	struct batch **unwritten; /* handed to the store thread, not yet written */
	size_t n_unwritten;
	bool leave_unmovable; /* asked for with every drain */
	uint64_t next_request;
	size_t open_requests;
	struct reply *last_reply; /* the newest, of any request but attaches; owned */
	bool crash_after_write; /* all that was handed over is written; else the seed says how much */
	bool stay_down;         /* a crash is for good until sim_coordinator_start */

	/* The hosts. */
	struct sim_host hosts[SIM_HOSTS_MAX];
	int n_hosts;
	struct sim_vm vms[SIM_VMS_MAX];
	int n_vms;
	struct sim_attempt **attempts;
	size_t n_attempts;

	/* Hard policies, once they were answered: sim_policy.c. */
	int apart[3], n_apart; /* guests */
	int on_vm, n_on;       /* that guest is on the first hosts only */
	bool apart_said, on_said;

	/* What the checks remember. */
	struct attempt *started; /* every START the coordinator ever asked for */
	size_t n_started;
	uint64_t n_events, n_crashes, n_starts, n_let_go, n_done;
	uint64_t n_writes, crash_at_write; /* the coordinator dies at this one; 0 = at none */
	bool slow_moves;                   /* many times slower than was foretold */
	bool clocks_jump;   /* the wall clock, by hours or years, forwards and backwards */
	const char *broken; /* the first rule that did not hold */
	char broken_text[REASON_BYTES];
};

/* --- the world --- */

struct sim *sim_new(uint64_t seed, const struct sim_faults *faults);
void sim_free(struct sim *sim);
int sim_add_host(struct sim *sim, const char *name, uint64_t capacity_bytes);
int sim_add_vm(struct sim *sim, const char *name, int host, uint64_t memory_bytes);

/* After this delay @run(sim, data) is called, which owns @data; free() if it never comes to that. */
void sim_after(struct sim *sim, uint64_t delay_ms, void (*run)(struct sim *, void *), void *data);
/* Lets everything happen that is due in the next @ms; stops early once @done (may be NULL) says so
 * or a rule is broken. Returns whether @done did. */
bool sim_run(struct sim *sim, uint64_t ms, bool (*done)(struct sim *));

uint64_t sim_random(struct sim *sim, uint64_t below);
bool sim_chance(struct sim *sim, unsigned per_mille);
/* A delay in this range, its lower end in stories. */
uint64_t sim_delay(struct sim *sim, uint64_t least_ms, uint64_t most_ms);
void sim_trace(struct sim *sim, const char *who, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* --- the coordinator's edge --- */

void sim_coordinator_start(struct sim *sim);
void sim_coordinator_crash(struct sim *sim);
/* One event into the core and its actions carried out. The event is borrowed. */
void sim_step(struct sim *sim, struct event *event);
/* Requests of people. */
void sim_drain(struct sim *sim, const char *node, const char *leave, bool dry_run);
void sim_ask_node(struct sim *sim, enum event_kind kind, const char *node);
void sim_migrate(struct sim *sim, const char *vm, const char *target);
void sim_cancel(struct sim *sim, const char *kind, const char *name);
void sim_set_policy(struct sim *sim, enum policy_kind kind, const char *name,
                    const struct names *vms, const struct names *nodes);
/* Draws some that hold now, and says them. */
void sim_draw_policies(struct sim *sim);

/* --- hosts and agents --- */

void sim_agents_start(struct sim *sim);
void sim_agent_connect(struct sim *sim, int host);
void sim_agent_disconnect(struct sim *sim, int host);
void sim_agent_die(struct sim *sim, int host, uint64_t for_ms);
/* Calls that have arrived. Replies go back through sim_reply_call. */
struct sim_call;
void sim_agent_take_call(struct sim *sim, struct sim_call *call);
/* Its agent runs again: what it held has not begun. */
void sim_agent_drop_held(struct sim *sim, int host);
void sim_agent_attached(struct sim *sim, int host, uint32_t session, uint64_t epoch);
int sim_find_host(const struct sim *sim, const char *name);
uint64_t sim_host_free_bytes(const struct sim *sim, int host);
uint64_t sim_host_leased_bytes(const struct sim *sim, int host, unsigned *ret_count);
/* The agents' word, to whoever listens. */
void sim_say_host(struct sim *sim, int host);
void sim_say_vm(struct sim *sim, int host, int vm);
void sim_say_attempt(struct sim *sim, const struct sim_attempt *a);
struct attempt_report sim_report_of(const struct sim *sim, const struct sim_attempt *a);
unsigned sim_host_count_guests(const struct sim *sim, int host);

struct sim_call {
	enum action_kind kind;
	uint32_t incarnation;
	int host;
	bool silent; /* a second delivery, or one nobody waits for any more: the answer is dropped */
	struct attempt_call attempt;
	struct preview_call preview;
	struct drain_mark mark;
};

/* @event has what the agent answers; the edge adds the names. Takes @call. */
void sim_reply_call(struct sim *sim, struct sim_call *call, struct event *event);
/* Nobody is there to answer. Takes @call. */
void sim_fail_call(struct sim *sim, struct sim_call *call);

/* --- checks --- */

void sim_check(struct sim *sim);
void sim_check_policies(struct sim *sim);
void sim_check_action(struct sim *sim, const struct action *action);
/* Called by the model when an attempt really begins. */
void sim_check_begin(struct sim *sim, const struct sim_attempt *attempt);
void sim_break(struct sim *sim, const char *rule, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* At the end: every drain is over, or says why not. @must_finish: none may be left. */
void sim_check_drains(struct sim *sim, bool must_finish);
