/* SPDX-License-Identifier: Apache-2.0 */
/* A core to poke at: events in by short calls, actions kept until they are looked at. What is asked
 * to be stored is stored at once, unless the test says otherwise. */
#pragma once

#include "coordinator/core/step.h"

struct core_world {
	struct fleet *fleet;
	uint64_t now_ms;
	uint8_t ids;
	bool store_slowly; /* STORE actions wait for core_world_store */
	uint64_t asked_ticket;
	struct action_list seen; /* since the last core_world_forget */
};

struct core_world *core_world_new(void);
/* In which web1, of 256 MiB, moves from host1 to host2. */
struct core_world *core_world_new_move(void);
/* As started on a store that holds this. */
struct core_world *core_world_load(const struct store_contents *contents);
/* Another coordinator on what @world has stored, which goes; its hosts attach to it, each of that size, and
 * show the guests that are there, of 256 MiB each. */
struct core_world *core_world_restart(struct core_world *world, uint64_t capacity_mib);
void core_world_free(struct core_world *world);

/* Runs one event; the time stands still. */
void core_world_step(struct core_world *world, struct event *event);
/* So many seconds with a tick each, and a sign of life of every attached host. */
void core_world_wait(struct core_world *world, unsigned seconds);
void core_world_store(struct core_world *world);
void core_world_forget(struct core_world *world);

/* How many actions of that kind were seen; the last of them. */
size_t core_world_count(const struct core_world *world, enum action_kind kind);
struct action *core_world_find(struct core_world *world, enum action_kind kind);
/* The last reply; fails the test when there is none. */
const struct reply *core_world_reply(struct core_world *world);
/* The reply to a dry run. No host answers what it is asked for it: what it would say is not part of this. */
const struct reply *core_world_ask(struct core_world *world, struct event *event);
/* That guest in a reply's plan; fails the test when it is not there. */
const struct drain_vm *reply_guest(const struct reply *reply, const char *name);

/* A host of that size with its agent attached, and its guests "name" each of 256 MiB. */
void core_world_host(struct core_world *world, const char *name, uint64_t capacity_mib,
                     const char *const *vms, size_t n_vms);
void core_world_figures(struct core_world *world, const char *name, uint64_t capacity_mib,
                        uint64_t guests_mib);
void core_world_lose(struct core_world *world, const char *name);
struct vm_state core_world_vm(const char *name, uint64_t memory_mib);
void core_world_see(struct core_world *world, const char *node, const struct vm_state *vm);
void core_world_unsee(struct core_world *world, const char *node, const char *vm);

void core_world_drain(struct core_world *world, const char *node);
void core_world_cordon(struct core_world *world, const char *node);
/* Undrains host1, and has what its drain has moved away come back. */
void core_world_bring_back(struct core_world *world, bool dry_run);
void core_world_migrate(struct core_world *world, const char *vm, const char *target);
/* The source agent's word on the latest attempt of that migration. */
void core_world_report(struct core_world *world, uint64_t migration, enum migration_state state,
                       const struct check *check);
struct attempt_report core_world_attempt(struct core_world *world, uint64_t migration,
                                         enum migration_state state);
/* That report, made by core_world_attempt, comes from its source agent. */
void core_world_tell(struct core_world *world, const struct attempt_report *report);
/* The move of that migration ends well, and both hosts show it. */
void core_world_arrive(struct core_world *world, uint64_t migration);
/* How many events say so, of any severity or of that one. */
size_t core_world_count_told(const struct core_world *world, const char *text);
size_t core_world_count_told_as(const struct core_world *world, enum severity severity,
                                const char *text);
/* The agent answers the mark that was asked for. */
void core_world_confirm_mark(struct core_world *world, uint32_t active_vms);
