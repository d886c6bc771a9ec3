/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/core_world.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct id next_id(void *context)
{
	struct core_world *world = context;
	struct id id = { { 0 } };

	id.bytes[0] = ++world->ids;
	return id;
}

struct core_world *core_world_new(void)
{
	return core_world_load(&(struct store_contents){ 0 });
}

struct core_world *core_world_load(const struct store_contents *contents)
{
	struct core_world *world = xnew(struct core_world);
	struct core_options options = {
		.cluster = "test", .next_id = next_id, .next_id_context = world, .event_ring = 16
	};
	struct event event = { .kind = EVENT_LOADED, .loaded = contents };

	world->now_ms = 1000000;
	world->fleet = fleet_new(&options);
	core_world_step(world, &event);
	core_world_forget(world);
	return world;
}

struct core_world *core_world_new_move(void)
{
	static const char *const one[] = { "web1" };
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_migrate(world, "web1", "host2");
	return world;
}

static void keep_all(const struct fleet *fleet, struct store_contents *ret)
{
	ret->epoch = fleet->epoch;
	ret->nodes = xcalloc(HASH_COUNT(fleet->nodes) + 1, sizeof(*ret->nodes));
	ret->drains = xcalloc(HASH_COUNT(fleet->drains) + 1, sizeof(*ret->drains));
	ret->migrations = xcalloc(HASH_COUNT(fleet->migrations) + 1, sizeof(*ret->migrations));
	for (const struct node *node = fleet->nodes; node; node = node->hh.next)
		ret->nodes[ret->n_nodes++] = node->kept;
	for (const struct drain *drain = fleet->drains; drain; drain = drain->hh.next)
		drain_record_copy(&ret->drains[ret->n_drains++], &drain->kept);
	for (const struct migration *m = fleet->migrations; m; m = m->hh.next)
		migration_record_copy(&ret->migrations[ret->n_migrations++], &m->kept);
	ret->last_drain_number = fleet->last_drain_number;
	ret->last_migration_number = fleet->last_migration_number;
}

struct core_world *core_world_restart(struct core_world *world, uint64_t capacity_mib)
{
	const char **names = xcalloc(HASH_COUNT(world->fleet->vms) + 1, sizeof(*names));
	struct store_contents contents = { 0 };
	struct core_world *later;

	keep_all(world->fleet, &contents);
	later = core_world_load(&contents);
	for (const struct node *node = world->fleet->nodes; node; node = node->hh.next) {
		size_t n = 0;

		for (const struct vm *vm = world->fleet->vms; vm; vm = vm->hh.next) {
			if (vm->node == node)
				names[n++] = vm->name;
		}
		core_world_host(later, node->kept.name, capacity_mib, names, n);
	}
	free(names);
	store_contents_deinit(&contents);
	core_world_free(world);
	return later;
}

void core_world_free(struct core_world *world)
{
	action_list_deinit(&world->seen);
	fleet_free(world->fleet);
	free(world);
}

static void take_over(struct core_world *world, struct action_list *list)
{
	struct action_list *seen = &world->seen;

	seen->items = xreallocarray(seen->items, seen->count + list->count + 1,
	                            sizeof(*seen->items));
	seen->capacity = seen->count + list->count + 1;
	if (list->count)
		memcpy(&seen->items[seen->count], list->items, list->count * sizeof(*list->items));
	seen->count += list->count;
	free(list->items);
}

/* What is stored may ask for more to be stored: each round ends one request, and the core asks for
 * finitely many. NOLINTBEGIN(misc-no-recursion) */
void core_world_store(struct core_world *world)
{
	struct event event = { .kind = EVENT_STORED };

	event.stored_ticket = world->asked_ticket;
	core_world_step(world, &event);
}

void core_world_step(struct core_world *world, struct event *event)
{
	struct action_list list = { 0 };
	bool stores;

	event->wall_ms = 42;
	core_step(world->fleet, event, world->now_ms, &list);
	stores = list.count && list.items[0].kind == ACTION_STORE;
	if (stores)
		world->asked_ticket = list.items[0].store->ticket;
	take_over(world, &list);
	if (stores && !world->store_slowly)
		core_world_store(world);
}
/* NOLINTEND(misc-no-recursion) */

void core_world_wait(struct core_world *world, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		struct event tick = { .kind = EVENT_TICK };

		world->now_ms += 1000;
		for (struct node *node = world->fleet->nodes; node; node = node->hh.next) {
			struct host_state host;
			struct event event = { .kind = EVENT_HOST };

			if (!node->attached)
				continue;
			event.host.node = node->kept.name;
			event.host.host = &host;
			/* A copy: the core replaces what it has by it. */
			host_state_copy(&host, &node->host);
			core_world_step(world, &event);
			host_state_deinit(&host);
		}
		core_world_step(world, &tick);
	}
}

void core_world_forget(struct core_world *world)
{
	action_list_deinit(&world->seen);
}

size_t core_world_count(const struct core_world *world, enum action_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < world->seen.count; i++)
		count += world->seen.items[i].kind == kind;
	return count;
}

struct action *core_world_find(struct core_world *world, enum action_kind kind)
{
	for (size_t i = world->seen.count; i > 0; i--) {
		if (world->seen.items[i - 1].kind == kind)
			return &world->seen.items[i - 1];
	}
	return NULL;
}

const struct reply *core_world_reply(struct core_world *world)
{
	struct action *action = core_world_find(world, ACTION_REPLY);

	assert_non_null(action);
	return action->reply;
}

const struct reply *core_world_ask(struct core_world *world, struct event *event)
{
	core_world_forget(world);
	core_world_step(world, event);
	core_world_wait(world, PREVIEW_DEADLINE_MS / 1000 + 1);
	return core_world_reply(world);
}

const struct drain_vm *reply_guest(const struct reply *reply, const char *name)
{
	for (size_t i = 0; reply->plan && i < reply->plan->n_vms; i++) {
		if (strcmp(reply->plan->vms[i].name, name) == 0)
			return &reply->plan->vms[i];
	}
	fail_msg("%s is not in the plan", name);
	abort();
}

struct vm_state core_world_vm(const char *name, uint64_t memory_mib)
{
	struct vm_state vm = { .memory_bytes = memory_mib * MIB, .overhead_bytes = 16 * MIB };

	snprintf(vm.uuid, sizeof(vm.uuid), "uuid-%.20s", name);
	text_copy(vm.name, sizeof(vm.name), name);
	text_copy(vm.state, sizeof(vm.state), "running");
	return vm;
}

static struct host_state figures(uint64_t capacity_mib, uint64_t guests_mib)
{
	return (struct host_state){ .libvirt_connected = true,
		                    .port_pool = 2,
		                    .memory_capacity_bytes = capacity_mib * MIB,
		                    .memory_reserve_bytes = 64 * MIB,
		                    .memory_guests_bytes = guests_mib * MIB };
}

void core_world_host(struct core_world *world, const char *name, uint64_t capacity_mib,
                     const char *const *vms, size_t n_vms)
{
	struct host_state host = figures(capacity_mib, 272 * n_vms);
	struct vm_state *states = xcalloc(n_vms + 1, sizeof(*states));
	struct event attach = { .kind = EVENT_ATTACH, .request = 1 };
	struct event snapshot = { .kind = EVENT_SNAPSHOT };

	attach.attach.node = name;
	attach.attach.mesh_address = "tcp://10.0.0.1:7788";
	attach.attach.agent_version = "test";
	core_world_step(world, &attach);
	for (size_t i = 0; i < n_vms; i++)
		states[i] = core_world_vm(vms[i], 256);
	snapshot.snapshot.node = name;
	snapshot.snapshot.host = &host;
	snapshot.snapshot.vms = states;
	snapshot.snapshot.n_vms = n_vms;
	snapshot.snapshot.inventory_valid = true;
	core_world_step(world, &snapshot);
	free(states);
}

void core_world_figures(struct core_world *world, const char *name, uint64_t capacity_mib,
                        uint64_t guests_mib)
{
	struct host_state host = figures(capacity_mib, guests_mib);
	struct event event = { .kind = EVENT_HOST };

	event.host.node = name;
	event.host.host = &host;
	core_world_step(world, &event);
}

void core_world_lose(struct core_world *world, const char *name)
{
	struct event event = { .kind = EVENT_LOST };

	event.lost.node = name;
	core_world_step(world, &event);
}

void core_world_see(struct core_world *world, const char *node, const struct vm_state *vm)
{
	struct event event = { .kind = EVENT_VM };

	event.vm.node = node;
	event.vm.vm = vm;
	core_world_step(world, &event);
}

void core_world_unsee(struct core_world *world, const char *node, const char *vm)
{
	struct vm_state state = core_world_vm(vm, 1);
	struct event event = { .kind = EVENT_VM_GONE };

	event.vm_gone.node = node;
	event.vm_gone.uuid = state.uuid;
	core_world_step(world, &event);
}

void core_world_drain(struct core_world *world, const char *node)
{
	struct event event = { .kind = EVENT_DRAIN, .request = 7 };
	struct names none = { 0 };

	event.drain.node = node;
	event.drain.leave = &none;
	event.drain.reason = "";
	core_world_step(world, &event);
}

void core_world_cordon(struct core_world *world, const char *node)
{
	struct event event = { .kind = EVENT_CORDON, .request = 3 };

	event.node.node = node;
	event.node.reason = "";
	core_world_step(world, &event);
}

void core_world_bring_back(struct core_world *world, bool dry_run)
{
	struct event event = { .kind = EVENT_UNDRAIN, .request = 4 };

	event.node.node = "host1";
	event.node.reason = "";
	event.node.bring_back = true;
	event.node.dry_run = dry_run;
	core_world_step(world, &event);
}

void core_world_migrate(struct core_world *world, const char *vm, const char *target)
{
	struct event event = { .kind = EVENT_MIGRATE, .request = 8 };

	event.migrate.vm = vm;
	event.migrate.target = target;
	core_world_step(world, &event);
}

struct attempt_report core_world_attempt(struct core_world *world, uint64_t migration,
                                         enum migration_state state)
{
	const struct migration *m = fleet_find_migration(world->fleet, migration);
	struct attempt_report report = { .state = state };

	assert_non_null(m);
	report.attempt = m->kept.attempt;
	text_copy(report.vm_uuid, sizeof(report.vm_uuid), m->kept.vm_uuid);
	text_copy(report.vm_name, sizeof(report.vm_name), m->kept.vm_name);
	text_copy(report.source, sizeof(report.source), m->kept.source);
	text_copy(report.target, sizeof(report.target), m->kept.target);
	report.tombstoned = state == MIGRATION_DONE || state == MIGRATION_FAILED ||
	                    state == MIGRATION_CANCELLED;
	return report;
}

void core_world_tell(struct core_world *world, const struct attempt_report *report)
{
	struct event event = { .kind = EVENT_ATTEMPT };

	event.attempt.node = report->source;
	event.attempt.report = report;
	core_world_step(world, &event);
}

void core_world_report(struct core_world *world, uint64_t migration, enum migration_state state,
                       const struct check *check)
{
	struct attempt_report report = core_world_attempt(world, migration, state);

	if (check)
		checks_add(&report.checks, check);
	core_world_tell(world, &report);
	attempt_report_deinit(&report);
}

void core_world_arrive(struct core_world *world, uint64_t migration)
{
	const struct migration *m = fleet_find_migration(world->fleet, migration);
	char source[NODE_NAME_BYTES], target[NODE_NAME_BYTES];
	struct vm_state vm;

	assert_non_null(m);
	vm = core_world_vm(m->kept.vm_name, m->kept.memory_bytes / MIB);
	text_copy(source, sizeof(source), m->kept.source);
	text_copy(target, sizeof(target), m->kept.target);
	core_world_report(world, migration, MIGRATION_RUNNING, NULL);
	core_world_see(world, target, &vm);
	core_world_unsee(world, source, vm.name);
	core_world_report(world, migration, MIGRATION_DONE, NULL);
}

size_t core_world_count_told(const struct core_world *world, const char *text)
{
	size_t count = 0;

	for (size_t i = 0; i < world->fleet->n_events; i++)
		count += strstr(fleet_get_event(world->fleet, i)->text, text) != NULL;
	return count;
}

size_t core_world_count_told_as(const struct core_world *world, enum severity severity,
                                const char *text)
{
	size_t count = 0;

	for (size_t i = 0; i < world->fleet->n_events; i++) {
		const struct event_record *e = fleet_get_event(world->fleet, i);

		count += e->severity == severity && strstr(e->text, text);
	}
	return count;
}

void core_world_confirm_mark(struct core_world *world, uint32_t active_vms)
{
	struct action *action = core_world_find(world, ACTION_SET_DRAIN_MARK);
	struct event event = { .kind = EVENT_MARK_OUTCOME };
	char node[NODE_NAME_BYTES];

	assert_non_null(action);
	text_copy(node, sizeof(node), action->mark.node);
	event.mark.node = node;
	event.mark.drain_id = action->mark.mark.drain_id;
	event.mark.outcome = CALL_ANSWERED;
	event.mark.active_vms = active_vms;
	core_world_step(world, &event);
}
