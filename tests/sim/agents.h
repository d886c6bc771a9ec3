/* SPDX-License-Identifier: Apache-2.0 */
/* Two real agents and a stand-in for their coordinator in one process, over the in-process mesh, on
 * two hosts of the fake hypervisor. Real time, real journals in a temporary directory; tunnels are
 * only pretended, because the fake needs none.
 *
 *	struct agents *t = agents_new();
 *	agents_add_guest(t, "web");
 *	agents_order(t, "web");                  StartMigration host1 -> host2
 *	agents_wait(t, "web", DONE);             until host1's report says so
 */
#pragma once

#include "agent/agent.h"
#include "agent/hypervisor/hypervisor_fake.h"
#include "common/strategy.h"
#include "proto/agent.pb-c.h"

#include <stdbool.h>

#define AGENTS 2
/* After so long libvirt notices that the other one is silent. */
#define AGENTS_KEEPALIVE_MS 4000

struct agents_report {
	Drover__V1__MigrationState state;
	char reason[ERROR_TEXT_BYTES];
	uint32_t error_code;
	bool tombstoned;
	Drover__V1__Guard guard;
	uint64_t downtime_ms;
	size_t n_checks;
	unsigned count; /* reports seen; 0 = none */
	uint32_t percent;
	bool percent_fell;
	char note[ERROR_TEXT_BYTES];
	uint64_t disk_total_bytes; /* the most seen */
	bool alarm;
	char decisions[8192]; /* a line each */
	size_t n_decisions;
	size_t n_remnants, n_open; /* looked for, and not gone */
	char remnants[8192];       /* a line each: "THING NODE VERDICT TEXT; REMEDY" */
	char differences[2048]; /* "ID: MEASURED, required REQUIRED" a line, of what did not pass */
	size_t n_verified, n_verification;
	char not_verified[ERROR_TEXT_BYTES];
	uint32_t iteration;
	bool waits_for_slot;
	bool bandwidth_tuned, max_downtime_tuned;
	uint64_t bandwidth_bytes_per_s, max_downtime_ms;
	uint64_t held_ms, hold_left_ms;
	char hold_for[VM_NAME_BYTES]; /* "" = it is not held */
};

struct agents {
	struct loop *loop;
	struct fake_world *world;
	struct mesh *coordinator;
	struct agent_settings settings[AGENTS];
	struct hypervisor *hypervisors[AGENTS];
	struct agent *agents[AGENTS];
	struct mesh_connection *connections[AGENTS]; /* of attached agents */
	bool watched[AGENTS];                        /* a snapshot has come */
	char directory[64];
	char uuid[VM_UUID_BYTES];    /* of the latest guest */
	struct id operation;         /* of the latest order */
	struct agents_report report; /* the latest of that operation */
	uint64_t epoch;
	bool copy_disks;                        /* of the next order */
	bool no_guard;                          /* of the next orders */
	struct strategy strategy;               /* likewise */
	uint64_t max_downtime_ms;               /* likewise; 0 = 300 ms */
	uint64_t completion_timeout_ms_per_gib; /* likewise; 0 = 800 s */
	uint64_t bandwidth_bytes_per_s;         /* likewise; 0 = none */
	uint64_t progress_timeout_ms;           /* likewise; 0 = 150 s */
	bool shortest_first;                    /* likewise */
	bool hold;                              /* likewise, also of one that is repeated */
	char tuned
		[512]; /* what the latest tuning was answered with: "NAME BEFORE -> AFTER; ...note" */
	/* The latest call's result. */
	bool answered, accepted;
	enum mesh_status status;
	struct error error;
	uint32_t active_vms;
	uint64_t mark_ms; /* for tests: a moment of the world's clock */
};

struct agents_options {
	bool lock_manager;                /* both hosts have one, with one lockspace */
	uint64_t target_memory_bytes;     /* 0 = 4 GiB */
	struct fake_host_settings target; /* what else host2 has: zero is the fake's default */
};

struct agents *agents_new(const struct agents_options *options);
void agents_free(struct agents *t);

void agents_add_guest(struct agents *t, const struct fake_guest_settings *settings);

/* Orders its move with a new operation id, and waits for the answer. */
void agents_order(struct agents *t);
/* The same order again: same operation, attempt and epoch. */
void agents_order_again(struct agents *t);
void agents_probe(struct agents *t);
void agents_cancel(struct agents *t);
/* Asks for a change of the latest order's move, by "root"; the answer is in t->tuned or t->error. */
void agents_tune(struct agents *t, const Drover__V1__Tuning *tuning);

/* Until the report of the latest order has that state; false after 40 s. */
bool agents_wait(struct agents *t, Drover__V1__MigrationState state);
/* Until the guest is that far: its move is under way and percent of RAM are sent. */
bool agents_wait_moving(struct agents *t);

/* Until @done, which is asked every few milliseconds whatever happens; false after 40 s. */
bool agents_until_looking(struct agents *t, bool (*done)(void *));

/* As by kill -9 and a new start; the hypervisor and what it does go on. */
void agents_kill(struct agents *t, size_t i);
void agents_start(struct agents *t, size_t i);

/* What each host's hypervisor says: VM_UNKNOWN = it does not know the guest. */
enum vm_run_state agents_state_on(struct agents *t, size_t i);
/* Reservations that host still holds. */
size_t agents_leases(struct agents *t, size_t i);
/* That of the latest guest there, or NULL; borrowed until the next turn of the loop. */
const struct reservation *agents_lease(struct agents *t, size_t i);
/* Entries below run_dir/attempts and run_dir/inbound of both. */
size_t agents_leftovers(struct agents *t);

/* From now on tunnels cannot be stopped, or can again. */
void agents_set_tunnels_stay(bool on);

bool agents_until(struct agents *t, bool (*done)(void *), void *context);
