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

void drain_world_arrive(struct core_world *world, uint64_t number)
{
	const struct migration *m = fleet_find_migration(world->fleet, number);
	struct vm_state vm = core_world_vm(m->kept.vm_name, 256);
	char source[NODE_NAME_BYTES], target[NODE_NAME_BYTES];

	text_copy(source, sizeof(source), m->kept.source);
	text_copy(target, sizeof(target), m->kept.target);
	core_world_report(world, number, MIGRATION_RUNNING, NULL);
	core_world_see(world, target, &vm);
	core_world_unsee(world, source, vm.name);
	core_world_report(world, number, MIGRATION_DONE, NULL);
}
