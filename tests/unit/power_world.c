/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/power_world.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct vm_state power_vm(const char *name)
{
	struct vm_state vm = core_world_vm(name, 256);

	vm.persistent = true;
	return vm;
}

void power_host(struct core_world *world, const char *name, uint8_t boot,
                const struct vm_state *vms, size_t n)
{
	struct event attach = { .kind = EVENT_ATTACH, .request = 1 };
	struct event snapshot = { .kind = EVENT_SNAPSHOT };
	struct host_state host = { .libvirt_connected = true,
		                   .port_pool = 2,
		                   .memory_capacity_bytes = 4 * GIB,
		                   .memory_reserve_bytes = 64 * MIB,
		                   .memory_guests_bytes = 272 * MIB * n };

	attach.attach.node = name;
	attach.attach.mesh_address = "tcp://10.0.0.1:7788";
	attach.attach.agent_version = "test";
	attach.attach.boot_id.bytes[0] = boot;
	core_world_step(world, &attach);
	snapshot.snapshot.node = name;
	snapshot.snapshot.host = &host;
	snapshot.snapshot.vms = vms;
	snapshot.snapshot.n_vms = n;
	snapshot.snapshot.inventory_valid = true;
	core_world_step(world, &snapshot);
}

struct core_world *power_world(void)
{
	struct core_world *world = core_world_new();
	const struct vm_state vms[] = { power_vm("web1"), power_vm("db1") };

	power_host(world, "host1", 1, vms, 2);
	power_host(world, "host2", 2, NULL, 0);
	power_host(world, "host3", 3, NULL, 0);
	return world;
}

void power_drain(struct core_world *world, const char *name, const char *also)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	char *items[] = { (char *)name, (char *)also };
	struct names none = { 0 }, shut_down = { .items = items, .count = also ? 2 : 1 };

	event.drain.node = "host1";
	event.drain.leave = &none;
	event.drain.shut_down = &shut_down;
	event.drain.reason = "";
	core_world_step(world, &event);
}

void power_arrive(struct core_world *world, const char *name)
{
	struct vm_state vm = power_vm(name);
	const struct vm *moving = fleet_find_vm(world->fleet, vm.uuid);
	uint64_t number;
	char target[NODE_NAME_BYTES];

	assert_true(moving && moving->migration);
	number = moving->migration->kept.number;
	text_copy(target, sizeof(target), moving->migration->kept.target);
	core_world_report(world, number, MIGRATION_RUNNING, NULL);
	core_world_see(world, target, &vm);
	core_world_unsee(world, "host1", name);
	core_world_report(world, number, MIGRATION_DONE, NULL);
}

void power_see(struct core_world *world, const char *state)
{
	struct vm_state vm = power_vm("db1");

	text_copy(vm.state, sizeof(vm.state), state);
	core_world_see(world, "host1", &vm);
}

void power_answer(struct core_world *world, enum action_kind kind, enum call_outcome outcome,
                  enum error_code code, const char *text)
{
	const struct action *action = core_world_find(world, kind);
	struct event event = { .kind = kind == ACTION_SHUT_DOWN ? EVENT_SHUT_DOWN_OUTCOME
		                                                : EVENT_START_GUEST_OUTCOME };
	char uuid[VM_UUID_BYTES];

	assert_non_null(action);
	text_copy(uuid, sizeof(uuid), action->power.vm_uuid);
	event.power.drain = action->power.drain;
	event.power.vm_uuid = uuid;
	event.power.number = action->power.number;
	event.power.outcome = outcome;
	if (code)
		error_set(&event.power.error, code, "%s", text);
	core_world_step(world, &event);
}

struct core_world *power_asked(void)
{
	struct core_world *world = power_world();

	power_drain(world, "db1", NULL);
	core_world_confirm_mark(world, 2);
	power_arrive(world, "web1");
	core_world_wait(world, 6);
	assert_int_equal(core_world_count(world, ACTION_SHUT_DOWN), 1);
	power_answer(world, ACTION_SHUT_DOWN, CALL_ANSWERED, ERROR_NONE, "");
	return world;
}

struct core_world *power_off(void)
{
	struct core_world *world = power_asked();

	power_see(world, "shutoff");
	for (unsigned i = 0; i < 5; i++) {
		core_world_confirm_mark(world, 0);
		core_world_wait(world, 2);
	}
	assert_int_equal(fleet_find_drain(world->fleet, 1)->kept.state, DRAIN_COMPLETED);
	core_world_forget(world);
	return world;
}

struct core_world *power_restart(struct core_world *world)
{
	struct store_contents contents = { .epoch = world->fleet->epoch,
		                           .last_drain_number = world->fleet->last_drain_number };
	struct node_record nodes[3];
	struct drain_record drain;
	struct core_world *next;

	for (struct node *node = world->fleet->nodes; node; node = node->hh.next)
		nodes[contents.n_nodes++] = node->kept;
	drain_record_copy(&drain, &fleet_find_drain(world->fleet, 1)->kept);
	contents.nodes = nodes;
	contents.drains = &drain;
	contents.n_drains = 1;
	core_world_free(world);
	next = core_world_load(&contents);
	drain_record_deinit(&drain);
	return next;
}

const struct drain_vm *power_guest(struct core_world *world, const char *name)
{
	struct vm_state vm = power_vm(name);
	const struct drain_vm *dv = drain_find_vm(fleet_find_drain(world->fleet, 1), vm.uuid);

	if (!dv) {
		fail_msg("%s is not in the drain", name);
		abort();
	}
	return dv;
}

const struct drain_vm *power_planned(struct core_world *world, const char *name)
{
	return reply_guest(core_world_reply(world), name);
}

const struct shutdown *power_shutdown(struct core_world *world)
{
	return &fleet_find_drain(world->fleet, 1)->kept.shutdowns[0];
}

bool power_says(const char *text, const char *part)
{
	if (strstr(text, part))
		return true;
	print_error("\"%s\" does not say \"%s\"\n", text, part);
	return false;
}
