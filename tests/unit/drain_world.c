/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/drain_world.h. */
#include "tests/unit/drain_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

const char *const drain_world_names[4] = { "web1", "web2", "web3", "web4" };

struct core_world *drain_world_new(size_t guests)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, drain_world_names, guests);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_host(world, "host3", 4096, NULL, 0);
	core_world_forget(world);
	return world;
}

struct drain *drain_world_drain(struct core_world *world)
{
	struct drain *drain = fleet_find_drain(world->fleet, 1);

	assert_non_null(drain);
	return drain;
}

struct drain_vm *drain_world_guest(struct core_world *world, const char *name)
{
	for (size_t i = 0; i < drain_world_drain(world)->n_vms; i++) {
		if (strcmp(drain_world_drain(world)->vms[i].name, name) == 0)
			return &drain_world_drain(world)->vms[i];
	}
	fail_msg("the drain does not know %s", name);
	return NULL;
}
