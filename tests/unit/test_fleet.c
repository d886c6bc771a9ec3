/* SPDX-License-Identifier: Apache-2.0 */
/* Facts from agents become the fleet, and every change can be followed. */
#include "coordinator/core/fleet.h"

#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const two[] = { "web1", "web2" };

static struct core_world *two_hosts(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, two, 2);
	core_world_host(world, "host2", 4096, NULL, 0);
	return world;
}

/* A guest is found by name and by uuid; a name that two have is refused with both uuids. */
static void test_find_vm(void **state)
{
	struct core_world *world = two_hosts();
	struct vm_state twin = core_world_vm("web1", 256);
	struct error err = { 0 };
	struct vm *vm;

	(void)state;
	assert_int_equal(fleet_get_vm(world->fleet, "web2", &vm, &err), 0);
	assert_string_equal(vm->uuid, "uuid-web2");
	assert_int_equal(fleet_get_vm(world->fleet, "uuid-web1", &vm, &err), 0);
	assert_int_equal(fleet_get_vm(world->fleet, "nobody", &vm, &err), -ERROR_NOT_FOUND);
	text_copy(twin.uuid, sizeof(twin.uuid), "uuid-other");
	core_world_see(world, "host2", &twin);
	assert_int_equal(fleet_get_vm(world->fleet, "web1", &vm, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "uuid-other"));
	core_world_free(world);
}

/* A name means the guest that is there, not one that had it before. */
static void test_find_vm_of_a_gone_name(void **state)
{
	struct core_world *world = two_hosts();
	struct vm_state heir = core_world_vm("web2", 256);
	struct error err = { 0 };
	struct vm *vm;

	(void)state;
	core_world_host(world, "host1", 4096, two, 1);
	assert_int_equal(fleet_get_vm(world->fleet, "web2", &vm, &err), 0);
	assert_string_equal(vm->uuid, "uuid-web2");
	text_copy(heir.uuid, sizeof(heir.uuid), "uuid-heir");
	core_world_see(world, "host2", &heir);
	assert_int_equal(fleet_get_vm(world->fleet, "web2", &vm, &err), 0);
	assert_string_equal(vm->uuid, "uuid-heir");
	core_world_free(world);
}

/* A snapshot replaces all that was known of its host; one without libvirt says nothing of guests. */
static void test_snapshot_replaces(void **state)
{
	struct core_world *world = two_hosts();
	struct event blind = { .kind = EVENT_SNAPSHOT };
	struct host_state host = { .port_pool = 2 };
	struct node *host1 = fleet_find_node(world->fleet, "host1");
	struct vm *web2 = fleet_find_vm(world->fleet, "uuid-web2");

	(void)state;
	core_world_host(world, "host1", 4096, two, 1);
	assert_int_equal(host1->active_vms, 1);
	assert_null(web2->node);

	blind.snapshot.node = "host1";
	blind.snapshot.host = &host;
	core_world_step(world, &blind);
	assert_false(host1->inventory_valid);
	assert_int_equal(host1->active_vms, 1);
	core_world_free(world);
}

/* A host whose libvirt cannot be asked is no ready one: its state says so, its reason why, and an event that it
 * began and that it ended. */
static void f31_libvirt_does_not_answer(void **state)
{
	struct core_world *world = two_hosts();
	struct node *host1 = fleet_find_node(world->fleet, "host1");
	struct host_state host = { .libvirt_problem = "libvirtd does not answer" };
	struct event silent = { .kind = EVENT_SNAPSHOT };
	const struct event_record *last;

	(void)state;
	assert_int_equal(host1->state, NODE_READY);
	silent.snapshot.node = "host1";
	silent.snapshot.host = &host;
	core_world_step(world, &silent);
	assert_int_equal(host1->state, NODE_READY); /* it may just be restarted */
	core_world_wait(world, 4);
	assert_int_equal(host1->state, NODE_NO_LIBVIRT);
	assert_string_equal(node_state_name(host1->state), "no-libvirt");
	assert_string_equal(host1->reason, "libvirtd does not answer");
	last = fleet_get_event(world->fleet, world->fleet->n_events - 1);
	assert_int_equal(last->severity, SEVERITY_WARNING);
	assert_non_null(strstr(last->text, "libvirt on host1 cannot be asked: libvirtd does not"));
	/* What it runs is not forgotten. */
	assert_int_equal(host1->active_vms, 2);

	core_world_host(world, "host1", 4096, two, 2);
	assert_int_equal(host1->state, NODE_READY);
	last = fleet_get_event(world->fleet, world->fleet->n_events - 1);
	assert_non_null(strstr(last->text, "host1 is ready"));
	core_world_free(world);
}

/* Ten seconds without a word make a node unreachable, and one word makes it reachable again. */
static void test_silence(void **state)
{
	struct core_world *world = two_hosts();
	struct node *host1 = fleet_find_node(world->fleet, "host1");

	(void)state;
	assert_int_equal(host1->state, NODE_READY);
	core_world_lose(world, "host1");
	core_world_wait(world, 10);
	assert_int_equal(host1->state, NODE_READY);
	core_world_wait(world, 1);
	assert_int_equal(host1->state, NODE_UNREACHABLE);
	assert_string_equal(fleet_find_vm(world->fleet, "uuid-web1")->node->kept.name, "host1");
	core_world_host(world, "host1", 4096, two, 2);
	assert_int_equal(host1->state, NODE_READY);
	core_world_free(world);
}

/* A guest seen running on two hosts is frozen and an alarm is raised, but not in the moment of a
 * switchover. */
static void test_twice_is_an_alarm(void **state)
{
	struct core_world *world = two_hosts();
	struct vm_state web1 = core_world_vm("web1", 256);
	struct vm *vm = fleet_find_vm(world->fleet, "uuid-web1");
	size_t alarms = 0;

	(void)state;
	core_world_see(world, "host2", &web1);
	assert_false(vm->twice);
	core_world_wait(world, 11);
	assert_true(vm->twice);
	assert_false(vm->movable);
	for (size_t i = 0; i < world->fleet->n_events; i++)
		alarms += fleet_get_event(world->fleet, i)->severity == SEVERITY_ALARM;
	assert_int_equal(alarms, 1);
	core_world_unsee(world, "host1", "web1");
	assert_false(vm->twice);
	assert_string_equal(vm->node->kept.name, "host2");
	core_world_free(world);
}

/* Memory that is still arriving is not a second guest. */
static void test_incoming_is_not_home(void **state)
{
	struct core_world *world = two_hosts();
	struct vm_state web1 = core_world_vm("web1", 256);

	(void)state;
	text_copy(web1.state, sizeof(web1.state), "incoming");
	core_world_see(world, "host2", &web1);
	core_world_wait(world, 11);
	assert_false(fleet_find_vm(world->fleet, "uuid-web1")->twice);
	assert_string_equal(fleet_find_vm(world->fleet, "uuid-web1")->node->kept.name, "host1");
	core_world_free(world);
}

/* A blocker makes a guest immovable and gives its words. */
static void test_blocker(void **state)
{
	struct core_world *world = two_hosts();
	struct vm_state web1 = core_world_vm("web1", 256);
	struct check block = { .id = "hostdev",
		               .verdict = CHECK_BLOCK,
		               .measured = "PCI 3b:00.0",
		               .reason = "HostDeviceNotLiveMigratable" };
	struct vm *vm = fleet_find_vm(world->fleet, "uuid-web1");

	(void)state;
	assert_true(vm->movable);
	checks_add(&web1.blockers, &block);
	core_world_see(world, "host1", &web1);
	assert_false(vm->movable);
	assert_string_equal(vm->why_not, "HostDeviceNotLiveMigratable: PCI 3b:00.0");
	checks_deinit(&web1.blockers);
	core_world_free(world);
}

/* Whoever knows a revision gets exactly what changed since, in order. */
static void test_changes_since(void **state)
{
	struct core_world *world = two_hosts();
	uint64_t since = world->fleet->revision;
	struct vm_state web1 = core_world_vm("web1", 512);
	struct changed_object *items;
	size_t count;

	(void)state;
	assert_true(fleet_list_changes(world->fleet, since, &items, &count));
	assert_int_equal(count, 0);
	free(items);
	core_world_see(world, "host1", &web1);
	assert_true(fleet_list_changes(world->fleet, since, &items, &count));
	assert_int_equal(count, 2);
	assert_true(items[0].revision == since + 1 && items[1].revision == since + 2);
	assert_int_equal(items[0].kind, OBJECT_VM);
	assert_string_equal(items[0].vm->name, "web1");
	assert_int_equal(items[1].kind, OBJECT_NODE);
	free(items);
	core_world_free(world);
}

/* A revision from another life, or older than what is remembered, gets everything anew. */
static void test_changes_from_too_long_ago(void **state)
{
	struct core_world *world = two_hosts();
	struct changed_object *items;
	size_t count;

	(void)state;
	assert_false(fleet_list_changes(world->fleet, 17, &items, &count));
	assert_true(count >= 4);
	free(items);
	assert_false(fleet_list_changes(world->fleet, world->fleet->revision + 1, &items, &count));
	free(items);
	core_world_free(world);
}

/* The ring of events keeps the newest; a watcher who missed one must start anew. */
static void test_event_ring(void **state)
{
	struct core_world *world = two_hosts();
	uint64_t since = world->fleet->revision;
	struct changed_object *items;
	size_t count;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct event event = { .kind = i % 2 ? EVENT_UNCORDON : EVENT_CORDON,
			               .request = 1 };

		event.node.node = "host2";
		event.node.reason = "";
		core_world_step(world, &event);
	}
	assert_int_equal(world->fleet->n_events, 16);
	for (size_t i = 1; i < 16; i++)
		assert_true(fleet_get_event(world->fleet, i)->revision >
		            fleet_get_event(world->fleet, i - 1)->revision);
	assert_false(fleet_list_changes(world->fleet, since, &items, &count));
	free(items);
	core_world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_vm),
		cmocka_unit_test(test_find_vm_of_a_gone_name),
		cmocka_unit_test(test_snapshot_replaces),
		cmocka_unit_test(f31_libvirt_does_not_answer),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_twice_is_an_alarm),
		cmocka_unit_test(test_incoming_is_not_home),
		cmocka_unit_test(test_blocker),
		cmocka_unit_test(test_changes_since),
		cmocka_unit_test(test_changes_from_too_long_ago),
		cmocka_unit_test(test_event_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
