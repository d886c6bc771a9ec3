/* SPDX-License-Identifier: Apache-2.0 */
/* A fleet for guests that are shut down for a drain: agents with boot ids, guests that are defined. */
#pragma once

#include "coordinator/core/drain/drain.h"
#include "coordinator/core/power/power.h"
#include "tests/unit/core_world.h"

/* A guest that is defined on its host, and runs. */
struct vm_state power_vm(const char *name);
/* @name attaches with that boot id and lists those guests. */
void power_host(struct core_world *world, const char *name, uint8_t boot,
                const struct vm_state *vms, size_t n);
/* host1 with web1 and db1, host2 and host3 empty. */
struct core_world *power_world(void);
/* Drains host1, and has @name shut down (a second one: @also, may be NULL). */
void power_drain(struct core_world *world, const char *name, const char *also);
/* The move of @name from host1 to host2 ends well. */
void power_arrive(struct core_world *world, const char *name);
/* db1 as host1 lists it from now on. */
void power_see(struct core_world *world, const char *state);
/* The agent answers the latest order of that kind. */
void power_answer(struct core_world *world, enum action_kind kind, enum call_outcome outcome,
                  enum error_code code, const char *text);
/* db1 was asked, and has answered that it was; or drained and off, and host1 in maintenance. */
struct core_world *power_asked(void);
struct core_world *power_off(void);
/* The coordinator starts again on what it had stored; @world is freed. No agent is attached yet. */
struct core_world *power_restart(struct core_world *world);

const struct drain_vm *power_guest(struct core_world *world, const char *name);
/* In the plan of the last reply. */
const struct drain_vm *power_planned(struct core_world *world, const char *name);
const struct shutdown *power_shutdown(struct core_world *world);
bool power_says(const char *text, const char *part);

int run_power_back(void);
