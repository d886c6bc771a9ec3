/* SPDX-License-Identifier: Apache-2.0 */
/* A core_world with one host that is drained: host1 with guests web1, web2 ... of 256 MiB, and two empty
 * hosts, 4 GiB each. */
#pragma once

#include "coordinator/core/drain/drain.h"
#include "tests/unit/core_world.h"

/* The names of the guests; there are up to four. */
extern const char *const drain_world_names[4];

struct core_world *drain_world_new(size_t guests);

/* The first drain, and what it knows of one guest; the test fails where there is none. */
struct drain *drain_world_drain(struct core_world *world);
struct drain_vm *drain_world_guest(struct core_world *world, const char *name);
