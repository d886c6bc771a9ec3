/* SPDX-License-Identifier: Apache-2.0 */
/* A whole cluster of production code in a simulated world: agents on the fake hypervisor, one
 * coordinator or two that follow each other, and an operator who asks for drains and moves.
 *
 *	cluster.c         hosts, guests, agents and their lives
 *	leaders.c         the coordinators
 *	cluster_hands.c   the hypervisor as the agents see it: each act is looked at (I6, I7)
 *	cluster_faults.c  what goes wrong, and the operator
 *	cluster_check.c   the invariants, from the true state of the world
 */
#pragma once

#include "agent/agent.h"
#include "agent/hypervisor/hypervisor_fake_world.h"
#include "tests/sim/leaders.h"
#include "tests/sim/world/world.h"

#include <stdbool.h>

#define CLUSTER_HOSTS  3
#define CLUSTER_GUESTS 6

/* Mistakes planted on purpose: the checkers must find each of them. */
enum cluster_bug {
	BUG_NONE,
	BUG_COMMIT_EARLY,    /* resumes at the destination before the source is proved gone */
	BUG_TRUST_CALL,      /* the call returned an error, so the copy there may go */
	BUG_FAIL_ON_SILENCE, /* a destination that does not answer has no guest */
	BUG_FORGET_JOURNAL,  /* says "written" and writes nothing */
	BUG_FORGET_LEASE,    /* a restart forgets what was promised */
	BUG_BOOK_TWICE,      /* a reservation takes no memory */
	CLUSTER_BUGS
};

const char *cluster_bug_name(enum cluster_bug bug);
extern enum cluster_bug cluster_bug;

struct cluster_host {
	char name[16];
	unsigned number;
	struct agent_settings settings;
	struct process *process; /* NULL: not running now */
	struct hypervisor *hypervisor;
	struct agent *agent; /* NULL: starting, or dead */
	bool eaten;          /* something else uses its RAM */
	unsigned crashes;
};

struct cluster_guest {
	char uuid[VM_UUID_BYTES];
	char name[16];
	uint64_t touched_us; /* when somebody else did something to it; 0 = never */
	bool killed;
	bool paused_by_hand;
	bool leftover_told; /* a report names what is left of it, and the command */
};

struct cluster {
	uint64_t seed;
	struct fake_world *world;
	char directory[64];
	struct cluster_host hosts[CLUSTER_HOSTS];
	struct cluster_guest guests[CLUSTER_GUESTS];
	size_t n_guests;
	bool quiet; /* faults have stopped */
	bool faults;

	/* What was done, so that a run that proves nothing is seen. */
	unsigned moves_started, moves_done, moves_failed, drains_completed, faults_made;
	char violation[512]; /* the first; "" = none */
};

extern struct cluster cluster;

void cluster_begin(uint64_t seed, bool faults);
void cluster_end(void);

/* The first breach counts; the run ends with it. */
void cluster_violated(const char *format, ...) __attribute__((format(printf, 1, 2)));

void cluster_start_agent(struct cluster_host *h);
void cluster_crash_agent(struct cluster_host *h);
struct cluster_guest *cluster_find_guest(const char *uuid); /* NULL: a stranger */
const char *cluster_get_name(const char *uuid);
/* RAM and overhead. */
uint64_t cluster_get_memory(const char *uuid);
struct fake_copy *cluster_find_copy(const struct cluster_host *h, const char *uuid);

/* --- cluster_hands.c --- */
struct hypervisor *cluster_hands_new(struct cluster_host *h);
/* As by the kernel, when the process dies. */
void cluster_hands_drop(struct cluster_host *h);
void cluster_hands_end(void);

/* --- cluster_faults.c --- */
void cluster_faults_start(void);
/* Everything is whole again; what was asked for may come to its end. */
void cluster_faults_stop(void);

/* --- cluster_check.c --- */
void cluster_check(void);
/* After the time in which all must have ended. */
void cluster_check_end(void);
bool cluster_is_settled(void);
void cluster_check_begin(void);
