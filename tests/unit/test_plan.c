/* SPDX-License-Identifier: Apache-2.0 */
/* Who goes where, why not there, and how long it will take. */
#include "coordinator/core/plan/plan.h"

#include "common/units.h"
#include "tests/unit/core_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const one[] = { "web1" };

static struct core_world *three_hosts(void)
{
	struct core_world *world = core_world_new();

	core_world_host(world, "host1", 4096, one, 1);
	core_world_host(world, "host2", 1024, NULL, 0);
	core_world_host(world, "host3", 2048, NULL, 0);
	return world;
}

static const char *pick(struct core_world *world, const char *vm, const char *only, char *reason)
{
	struct plan_node *target;
	struct plan plan;
	struct vm *guest;
	struct error err;
	const char *name;

	assert_int_equal(fleet_get_vm(world->fleet, vm, &guest, &err), 0);
	plan_init(&plan, world->fleet, world->now_ms);
	target = plan_pick_target(&plan, world->fleet, guest, only, false, world->now_ms, reason);
	name = target ? target->node->kept.name : NULL;
	plan_deinit(&plan);
	return name;
}

/* The roomiest host that will take it, and never the one it is leaving. */
static void test_roomiest_host(void **state)
{
	struct core_world *world = three_hosts();
	char reason[REASON_BYTES];

	(void)state;
	assert_string_equal(pick(world, "web1", NULL, reason), "host3");
	core_world_figures(world, "host3", 2048, 1500);
	assert_string_equal(pick(world, "web1", NULL, reason), "host2");
	core_world_free(world);
}

/* Nowhere: every host is named with what it lacks, in numbers. */
static void test_reason_has_numbers(void **state)
{
	struct core_world *world = three_hosts();
	char reason[REASON_BYTES];

	(void)state;
	core_world_cordon(world, "host3");
	core_world_figures(world, "host2", 512, 300);
	assert_null(pick(world, "web1", NULL, reason));
	assert_string_equal(reason, "host2 124 MiB short of memory, host3 cordoned");
	core_world_free(world);
}

static void report_host(struct core_world *world, const char *name, struct host_state *host)
{
	struct event e = { .kind = EVENT_HOST };

	host->memory_capacity_bytes = 4096 * MIB;
	host->libvirt_connected = true;
	host->port_pool = 2;
	e.host.node = name;
	e.host.host = host;
	core_world_step(world, &e);
}

/* A host whose figures make no sense is no target, and its state says why, until they do. */
static void f59_suspect_is_no_target(void **state)
{
	struct core_world *world = three_hosts();
	struct host_state host = { 0 };
	char reason[REASON_BYTES];
	struct node *node;

	(void)state;
	report_host(world, "host3", &host);
	assert_string_equal(pick(world, "web1", NULL, reason), "host3");
	strcpy(host.suspect, "memory/capacity is 9 GiB, more than the RAM of /proc/meminfo, 8 GiB");
	report_host(world, "host3", &host);
	assert_string_equal(pick(world, "web1", NULL, reason), "host2");
	assert_null(pick(world, "web1", "host3", reason));
	assert_non_null(strstr(reason, "host3 is suspect: memory/capacity is 9 GiB"));
	node = fleet_find_node(world->fleet, "host3");
	assert_non_null(strstr(node->reason, "suspect: memory/capacity"));
	assert_int_equal(plan_get_headroom(world->fleet, node), 0);
	host.suspect[0] = '\0';
	report_host(world, "host3", &host);
	assert_string_equal(pick(world, "web1", NULL, reason), "host3");
	assert_string_equal(node->reason, "");
	core_world_free(world);
}

/* A host that ran out of memory is left alone for the time it says, with the reason and what is left. */
static void f58_pressured_is_no_target_for_a_while(void **state)
{
	struct core_world *world = three_hosts();
	struct host_state host = { .pressure_ms = 30000 };
	char reason[REASON_BYTES];

	(void)state;
	strcpy(host.pressure, "out of memory: the kernel ended 1 processes");
	report_host(world, "host3", &host);
	assert_string_equal(pick(world, "web1", NULL, reason), "host2");
	assert_null(pick(world, "web1", "host3", reason));
	assert_string_equal(reason, "host3 takes no guest for another 30.0 s: out of memory: the "
	                            "kernel ended 1 processes");
	world->now_ms += 30000;
	host.pressure[0] = '\0';
	host.pressure_ms = 0;
	report_host(world, "host3", &host);
	assert_string_equal(pick(world, "web1", NULL, reason), "host3");
	core_world_free(world);
}

/* What guests may have is (capacity - reserve) x overcommit, by the host's own ratio. */
static void test_overcommit(void **state)
{
	struct host_state host = { .memory_capacity_bytes = 1064 * MIB,
		                   .memory_reserve_bytes = 64 * MIB,
		                   .memory_guests_bytes = 1200 * MIB };

	(void)state;
	assert_int_equal(host_state_room_bytes(&host), 0);
	host.memory_overcommit_percent = 150;
	assert_int_equal(host_state_limit_bytes(&host), 1500 * MIB);
	assert_int_equal(host_state_room_bytes(&host), 300 * MIB);
	host.memory_reserve_bytes = 2000 * MIB;
	assert_int_equal(host_state_room_bytes(&host), 0);
}

/* The host's own inbound cap counts when it is the lower one. */
static void test_own_inbound_cap(void **state)
{
	struct core_world *world = three_hosts();
	struct host_state host = { .slots_in_max = 1 };
	char reason[REASON_BYTES];

	(void)state;
	report_host(world, "host3", &host);
	fleet_find_node(world->fleet, "host3")->migrations_in = 1;
	assert_null(pick(world, "web1", "host3", reason));
	assert_string_equal(reason, "1 of 1 inbound slots of host3 in use");
	fleet_find_node(world->fleet, "host3")->migrations_in = 0;
	core_world_free(world);
}

/* A target asked for by name is the only one looked at. */
static void test_only_the_one_asked_for(void **state)
{
	struct core_world *world = three_hosts();
	char reason[REASON_BYTES];

	(void)state;
	assert_string_equal(pick(world, "web1", "host2", reason), "host2");
	core_world_figures(world, "host2", 300, 0);
	assert_null(pick(world, "web1", "host2", reason));
	assert_string_equal(reason, "host2 36 MiB short of memory");
	core_world_free(world);
}

/* A host whose agent is silent, or without libvirt, takes nobody. */
static void test_silent_host_is_no_target(void **state)
{
	struct core_world *world = three_hosts();
	char reason[REASON_BYTES];

	(void)state;
	core_world_lose(world, "host3");
	assert_string_equal(pick(world, "web1", NULL, reason), "host2");
	core_world_lose(world, "host2");
	assert_null(pick(world, "web1", NULL, reason));
	assert_string_equal(reason, "host2 unreachable, host3 unreachable");
	core_world_free(world);
}

/* What is on its way counts until the destination's own figures include it. */
static void test_moves_on_their_way_count(void **state)
{
	struct core_world *world = three_hosts();
	struct node *host3 = fleet_find_node(world->fleet, "host3");
	uint64_t before = plan_get_headroom(world->fleet, host3);

	(void)state;
	core_world_migrate(world, "web1", "host3");
	assert_int_equal(before - plan_get_headroom(world->fleet, host3), 272 * MIB);
	core_world_report(world, 1, MIGRATION_RUNNING, NULL);
	assert_int_equal(before - plan_get_headroom(world->fleet, host3), 272 * MIB);
	/* Its next figures have the lease. */
	core_world_figures(world, "host3", 2048, 272);
	assert_int_equal(before - plan_get_headroom(world->fleet, host3), 272 * MIB);
	core_world_free(world);
}

/* A guest that is larger than any other host can never move, and the proof names the largest. */
static void test_could_ever_fit(void **state)
{
	struct core_world *world = three_hosts();
	struct vm_state huge = core_world_vm("huge", 3000);
	char reason[REASON_BYTES] = "";

	(void)state;
	assert_true(plan_could_ever_fit(world->fleet, fleet_find_vm(world->fleet, "uuid-web1"),
	                                reason));
	core_world_see(world, "host1", &huge);
	assert_false(plan_could_ever_fit(world->fleet, fleet_find_vm(world->fleet, "uuid-huge"),
	                                 reason));
	assert_non_null(strstr(reason, "host3, the largest other node"));
	core_world_free(world);
}

/* With n slots the longest-first list is packed as a list scheduler packs it. */
static void test_schedule(void **state)
{
	const uint64_t durations[] = { 40, 30, 20, 10 };

	(void)state;
	assert_int_equal(plan_schedule_ms(durations, 4, 1), 100);
	assert_int_equal(plan_schedule_ms(durations, 4, 2), 50);
	assert_int_equal(plan_schedule_ms(durations, 4, 9), 40);
	assert_int_equal(plan_schedule_ms(durations, 0, 2), 0);
}

/* An estimate is memory over the rate that is known best, and never faster than the limit. */
static void test_estimate(void **state)
{
	struct interface_rate link = { .link_bytes_per_s = 1000000000 };
	struct node node = {
		.host = { .interfaces = &link, .n_interfaces = 1, .other_known = true }
	};
	struct node target = { .kept = { .name = "host2" }, .host = { .other_known = true } };
	struct path_state path = { .node = "host2",
		                   .estimate = { .method = PATH_PROBE,
		                                 .capacity_bytes_per_s = 478000000,
		                                 .near_bytes_per_s = 478000000,
		                                 .confidence_percent = 90 } };

	(void)state;
	assert_in_range(plan_estimate_ms(NULL, 112500000, 0), 2990, 3001);
	assert_in_range(plan_estimate_ms(&node, 900000000, 0), 2990, 3001);
	assert_in_range(plan_estimate_ms(&node, 900000000, 90000000), 11900, 12001);
	node.measured_bytes_per_s = 450000000;
	assert_in_range(plan_estimate_ms(&node, 900000000, 0), 1990, 2001);
	node.measured_bytes_per_s = 0;
	node.host.paths = &path;
	node.host.n_paths = 1;
	/* 478 MB/s on the wire are 456 of memory; what is not believed changes nothing. */
	assert_in_range(plan_estimate_to_ms(&node, &target, 914000000, 0, 0), 3990, 4010);
	assert_in_range(plan_estimate_to_ms(&node, NULL, 900000000, 0, 0), 2990, 3001);
	path.estimate.confidence_percent = PATH_BELIEVED_PERCENT - 1;
	assert_in_range(plan_estimate_to_ms(&node, &target, 900000000, 0, 0), 2990, 3001);
	/* Nor does it make hosts faster than they were seen to be. */
	path.estimate.confidence_percent = 90;
	node.measured_bytes_per_s = 225000000;
	assert_in_range(plan_estimate_to_ms(&node, &target, 900000000, 0, 0), 3990, 4001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roomiest_host),
		cmocka_unit_test(test_reason_has_numbers),
		cmocka_unit_test(f59_suspect_is_no_target),
		cmocka_unit_test(f58_pressured_is_no_target_for_a_while),
		cmocka_unit_test(test_overcommit),
		cmocka_unit_test(test_own_inbound_cap),
		cmocka_unit_test(test_only_the_one_asked_for),
		cmocka_unit_test(test_silent_host_is_no_target),
		cmocka_unit_test(test_moves_on_their_way_count),
		cmocka_unit_test(test_could_ever_fit),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_estimate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
