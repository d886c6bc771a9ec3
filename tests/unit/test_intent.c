/* SPDX-License-Identifier: Apache-2.0 */
/* What is wanted of a host and what its agent has of it: put right whenever they differ, learnt from
 * the host when the store was lost, and nothing that starts there in secret. */
#include "common/alloc.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const one[] = { "web1" };

static struct node *node(struct core_world *world, const char *name)
{
	return fleet_find_node(world->fleet, name);
}

static void attach(struct core_world *world, const char *name, uint64_t highest_epoch)
{
	struct event event = { .kind = EVENT_ATTACH, .request = 1 };

	event.attach.node = name;
	event.attach.mesh_address = "tcp://10.0.0.1:7788";
	event.attach.agent_version = "test";
	event.attach.highest_epoch = highest_epoch;
	core_world_step(world, &event);
}

/* @vm NULL: no guest. */
static void snapshot(struct core_world *world, const char *name, const struct drain_mark *mark,
                     const struct attempt_report *attempt, const char *vm)
{
	struct host_state host = { .libvirt_connected = true,
		                   .memory_capacity_bytes = (uint64_t)4 << 30,
		                   .port_pool = 8 };
	struct vm_state state = core_world_vm(vm ? vm : "", 256);
	struct event event = { .kind = EVENT_SNAPSHOT };

	event.snapshot.node = name;
	event.snapshot.host = &host;
	event.snapshot.vms = &state;
	event.snapshot.n_vms = vm ? 1 : 0;
	event.snapshot.mark = mark;
	event.snapshot.attempts = attempt;
	event.snapshot.n_attempts = attempt ? 1 : 0;
	event.snapshot.inventory_valid = true;
	core_world_step(world, &event);
}

/* The agent's word of each second. */
static void tell_mark(struct core_world *world, const char *name, const struct drain_mark *mark)
{
	struct host_state host;
	struct event event = { .kind = EVENT_HOST };

	host_state_copy(&host, &node(world, name)->host);
	drain_mark_deinit(&host.mark);
	drain_mark_copy(&host.mark, mark);
	host.mark_told = true;
	event.host.node = name;
	event.host.host = &host;
	core_world_step(world, &event);
	host_state_deinit(&host);
}

/* A host that has lost its copy of its drain, or has another, is told again within a tick, and counts
 * as not confirmed until it has answered. */
static void test_lost_mark_is_put_right(void **state)
{
	struct core_world *world = core_world_new();
	struct drain_mark none = { 0 };

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_drain(world, "host1");
	core_world_confirm_mark(world, 1);
	assert_true(node(world, "host1")->mark.draining);
	core_world_forget(world);
	core_world_wait(world, 3);
	assert_int_equal(core_world_count(world, ACTION_SET_DRAIN_MARK), 0);

	tell_mark(world, "host1", &none);
	assert_int_equal(core_world_count(world, ACTION_SET_DRAIN_MARK), 1);
	assert_true(core_world_find(world, ACTION_SET_DRAIN_MARK)->mark.mark.draining);
	assert_false(node(world, "host1")->mark_counted);
	/* What it tells while our mark is on its way is from before. */
	tell_mark(world, "host1", &none);
	assert_int_equal(core_world_count(world, ACTION_SET_DRAIN_MARK), 1);
	core_world_free(world);
}

/* A host that still believes in a drain which is over is told that it is. */
static void test_mark_of_an_ended_drain(void **state)
{
	struct core_world *world = core_world_new();
	struct drain_mark mark = { .draining = true, .cordoned = true };
	struct event undrain = { .kind = EVENT_UNDRAIN, .request = 2 };

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_drain(world, "host1");
	mark.drain_id = fleet_find_drain(world->fleet, 1)->kept.id;
	core_world_confirm_mark(world, 1);
	undrain.node.node = "host1";
	undrain.node.reason = "";
	core_world_step(world, &undrain);
	core_world_confirm_mark(world, 1);
	core_world_forget(world);
	tell_mark(world, "host1", &mark);
	assert_int_equal(core_world_count(world, ACTION_SET_DRAIN_MARK), 1);
	assert_false(core_world_find(world, ACTION_SET_DRAIN_MARK)->mark.mark.draining);
	assert_int_equal(HASH_COUNT(world->fleet->drains), 1);
	core_world_free(world);
}

/* The whole store is lost in mid-drain: a coordinator that knows nothing learns the drain from its
 * host, with all that was asked for, in a later epoch than any agent has seen, and goes on with it. */
static void test_store_lost(void **state)
{
	struct core_world *world = core_world_new();
	struct drain_mark mark = { .epoch = 40,
		                   .draining = true,
		                   .cordoned = true,
		                   .reason = "new memory",
		                   .leave_unmovable = true,
		                   .copy_disks = true,
		                   .strategy = { .ladder = LADDER_SUSPEND_IF_NEEDED,
		                                 .allow_auto_converge = true },
		                   .parallel = 1,
		                   .bandwidth_bytes_per_s = 1000000 };
	const struct drain *drain;

	(void)state;
	mark.drain_id.bytes[0] = 9;
	names_add(&mark.leave, "build7");
	core_world_host(world, "host2", 4096, NULL, 0);
	attach(world, "host1", 41);
	assert_true(world->fleet->epoch > 41);
	snapshot(world, "host1", &mark, NULL, "web1");
	drain = fleet_find_drain(world->fleet, 1);
	assert_non_null(drain);
	assert_true(id_equal(&drain->kept.id, &mark.drain_id));
	assert_string_equal(drain->kept.reason, "new memory");
	assert_true(names_contain(&drain->kept.leave, "build7"));
	assert_true(drain->kept.leave_unmovable);
	assert_true(drain->kept.copy_disks);
	assert_int_equal(drain->kept.parallel, 1);
	assert_int_equal(drain->kept.bandwidth_bytes_per_s, 1000000);
	core_world_wait(world, 12);
	assert_int_equal(core_world_count(world, ACTION_START), 1);
	assert_int_equal(core_world_find(world, ACTION_START)->call.attempt.epoch,
	                 world->fleet->epoch);
	assert_true(core_world_find(world, ACTION_START)->call.settings.copy_disks);
	assert_int_equal(core_world_find(world, ACTION_START)->call.settings.strategy.ladder,
	                 LADDER_SUSPEND_IF_NEEDED);
	assert_true(
		core_world_find(world, ACTION_START)->call.settings.strategy.allow_auto_converge);
	drain_mark_deinit(&mark);
	core_world_free(world);
}

/* ... and the command that had begun it can be given once more: it is that drain, as whose guests may stay is
 * known. */
static void test_store_lost_and_asked_again(void **state)
{
	struct core_world *world = core_world_new();
	struct drain_mark mark = { .epoch = 40, .draining = true, .cordoned = true };
	struct event again = { .kind = EVENT_DRAIN, .request = 7 };
	struct names leave = { 0 };

	(void)state;
	mark.drain_id.bytes[0] = 9;
	names_add(&mark.leave, "web1");
	names_add(&leave, "web1");
	core_world_host(world, "host2", 4096, NULL, 0);
	attach(world, "host1", 41);
	snapshot(world, "host1", &mark, NULL, "web1");
	again.drain.node = "host1";
	again.drain.leave = &leave;
	again.drain.reason = "";
	core_world_step(world, &again);
	assert_int_equal(core_world_reply(world)->error.code, 0);
	assert_true(core_world_reply(world)->already);
	assert_int_equal(core_world_reply(world)->drain, 1);
	names_deinit(&leave);
	drain_mark_deinit(&mark);
	core_world_free(world);
}

/* A host in maintenance is so for a coordinator without a past, too. */
static void test_maintenance_is_learnt(void **state)
{
	struct core_world *world = core_world_new();
	struct drain_mark mark = { .epoch = 3, .cordoned = true, .maintenance = true };

	(void)state;
	attach(world, "host1", 3);
	snapshot(world, "host1", &mark, NULL, NULL);
	assert_int_equal(node(world, "host1")->state, NODE_MAINTENANCE);
	core_world_free(world);
}

static struct core_world *restored(uint64_t store_epoch)
{
	struct node_record *kept = xcalloc(1, sizeof(*kept));
	struct store_contents contents = { .epoch = store_epoch, .nodes = kept, .n_nodes = 1 };
	struct core_world *world;

	text_copy(kept->name, sizeof(kept->name), "host1");
	world = core_world_load(&contents);
	free(kept);
	return world;
}

/* F39: a store that was restored from a backup does not know the cordon that was given since. The
 * agent's word is newer, and counts; where the store is the newer one, the store counts. */
static void f39_restored_store(void **state)
{
	struct drain_mark mark = { .epoch = 12, .cordoned = true };
	struct core_world *world = restored(10);

	(void)state;
	attach(world, "host1", 12);
	snapshot(world, "host1", &mark, NULL, NULL);
	assert_true(node(world, "host1")->kept.cordoned);
	core_world_free(world);

	world = restored(12);
	attach(world, "host1", 12);
	snapshot(world, "host1", &mark, NULL, NULL);
	assert_false(node(world, "host1")->kept.cordoned);
	assert_int_equal(core_world_count(world, ACTION_SET_DRAIN_MARK), 1);
	core_world_free(world);
}

/* An attempt that runs and that the store does not know takes its slot, also where a migration of that
 * guest was waiting: the caps count what is. */
static void test_unknown_attempt_counts(void **state)
{
	struct core_world *world = core_world_new();
	struct attempt_report report = { .state = MIGRATION_RUNNING };
	struct vm_state vm = core_world_vm("web1", 256);

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	/* No destination yet: the migration waits. */
	core_world_host(world, "host2", 300, NULL, 0);
	core_world_figures(world, "host2", 4096, 0);
	core_world_figures(world, "host2", 300, 0);
	core_world_drain(world, "host1");
	core_world_lose(world, "host1");
	attach(world, "host1", 2);
	report.attempt.operation.bytes[1] = 55;
	report.attempt.number = 1;
	report.attempt.epoch = 1;
	text_copy(report.vm_uuid, sizeof(report.vm_uuid), vm.uuid);
	text_copy(report.vm_name, sizeof(report.vm_name), "web1");
	text_copy(report.source, sizeof(report.source), "host1");
	text_copy(report.target, sizeof(report.target), "host2");
	snapshot(world, "host1", NULL, &report, "web1");
	assert_int_equal(world->fleet->slots_held, 1);
	assert_true(fleet_find_vm(world->fleet, vm.uuid)->migration->kept.holds_slot);
	core_world_free(world);
}

/* F62: a guest that somebody starts on a host which is being drained is taken in and told about, once;
 * the drain is not over before it is gone. */
static void f62_started_on_a_draining_host(void **state)
{
	struct core_world *world = core_world_new();
	struct vm_state vm = core_world_vm("web9", 256);

	(void)state;
	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 4096, NULL, 0);
	core_world_drain(world, "host1");
	core_world_confirm_mark(world, 1);
	core_world_see(world, "host1", &vm);
	core_world_see(world, "host1", &vm);
	assert_int_equal(core_world_count_told(world, "web9 was started on host1"), 1);
	assert_non_null(drain_find_vm(fleet_find_drain(world->fleet, 1), vm.uuid));
	core_world_wait(world, 1);
	assert_int_equal(core_world_count(world, ACTION_START), 2);
	assert_int_equal(fleet_find_drain(world->fleet, 1)->kept.state, DRAIN_RUNNING);
	core_world_free(world);
}

/* F62: so it is told on a host that is in maintenance, which is not empty any more; what was there at
 * the first list is not news. */
static void f62_started_in_maintenance(void **state)
{
	struct core_world *world = core_world_new();
	struct drain_mark mark = { .epoch = 3, .cordoned = true, .maintenance = true };
	struct vm_state vm = core_world_vm("web9", 256);

	(void)state;
	attach(world, "host1", 3);
	snapshot(world, "host1", &mark, NULL, "old");
	assert_int_equal(core_world_count_told(world, "was started"), 0);
	core_world_see(world, "host1", &vm);
	assert_int_equal(
		core_world_count_told(world, "web9 was started on host1, which is in maintenance"),
		1);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_mark_is_put_right),
		cmocka_unit_test(test_mark_of_an_ended_drain),
		cmocka_unit_test(test_store_lost),
		cmocka_unit_test(test_store_lost_and_asked_again),
		cmocka_unit_test(test_maintenance_is_learnt),
		cmocka_unit_test(f39_restored_store),
		cmocka_unit_test(test_unknown_attempt_counts),
		cmocka_unit_test(f62_started_on_a_draining_host),
		cmocka_unit_test(f62_started_in_maintenance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
