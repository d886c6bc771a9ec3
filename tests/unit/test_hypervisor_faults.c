/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong in the fake goes wrong as libvirt was measured to: with these faults the logic of
 * agents is tried. Time moves only in the tests' own steps. */
#include "agent/hypervisor/hypervisor_fake.h"

#include "common/clock.h"
#include "common/units.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_MS 20000

static struct fake_world *world;
static struct hypervisor *source, *target;
static char uuid[VM_UUID_BYTES];
static struct error err;

static struct migrate_request request;
static pthread_t mover;
static int moved; /* by migrate */
static struct error moved_error;

static int set_up(void **state)
{
	(void)state;
	world = fake_world_new();
	fake_world_add_host(world, &(struct fake_host_settings){ .name = "host1" });
	fake_world_add_host(world, &(struct fake_host_settings){ .name = "host2" });
	source = hypervisor_fake_new(world, "host1");
	target = hypervisor_fake_new(world, "host2");
	request = (struct migrate_request){ .uuid = uuid,
		                            .control_socket = "/fake/host2",
		                            .migrate_uri = "tcp://10.78.0.2:49152",
		                            .listen_address = "10.78.0.2",
		                            .max_downtime_ms = 300 };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	source->ops->free(source);
	target->ops->free(target);
	fake_world_free(world);
	return 0;
}

static void add_guest(bool image_lock)
{
	fake_world_add_guest(world, "host1",
	                     &(struct fake_guest_settings){ .name = "web",
	                                                    .memory_bytes = 64 * MIB,
	                                                    .dirty_bytes_per_s = MIB,
	                                                    .image_lock = image_lock },
	                     uuid);
}

static void *run_mover(void *unused)
{
	(void)unused;
	moved = source->ops->migrate(source, &request, &moved_error);
	return NULL;
}

static bool is_there(struct hypervisor *h, struct vm_summary *vm)
{
	int result = h->ops->find(h, uuid, vm, &err);

	assert_true(result == 0 || result == -ERROR_NOT_FOUND);
	return result == 0;
}

/* Returns once the destination has its copy: from then on only the world's time decides. */
static void start_move(void)
{
	uint64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
	struct vm_summary vm;

	assert_int_equal(pthread_create(&mover, NULL, run_mover, NULL), 0);
	while (!is_there(target, &vm)) {
		assert_true(clock_now_ms() < deadline_ms);
		poll(NULL, 0, 1);
	}
	fake_world_advance(world, 500);
}

static void join_move(void)
{
	assert_int_equal(pthread_join(mover, NULL), 0);
}

static void expect(struct hypervisor *h, enum vm_run_state state, const char *reason)
{
	struct vm_summary vm = { 0 };

	assert_true(is_there(h, &vm));
	assert_int_equal(vm.state, state);
	assert_string_equal(vm.reason, reason);
}

static void expect_absent(struct hypervisor *h)
{
	struct vm_summary vm;

	assert_false(is_there(h, &vm));
}

static void test_lost_finish_reply(void **state)
{
	/* With no guard, a lost answer of the switchover makes a guest run twice. */
	(void)state;
	add_guest(false);
	fake_world_inject(world, uuid, FAKE_FAULT_FINISH_REPLY);
	start_move();
	fake_world_advance(world, 5000);
	expect(source, VM_PAUSED, "migrating");
	expect(target, VM_RUNNING, "migrated");
	assert_int_equal(fake_world_get_most_running(world, uuid), 1);
	fake_world_advance(world, 25000);
	join_move();
	assert_int_equal(moved, -ERROR_HYPERVISOR);
	assert_non_null(strstr(moved_error.text, "client socket is closed"));
	expect(source, VM_RUNNING, "migration canceled");
	assert_int_equal(fake_world_count_running(world, uuid), 2);
}

static void test_lock_holds_source(void **state)
{
	/* A lock on the image that crosses hosts keeps the source paused instead. */
	(void)state;
	add_guest(true);
	fake_world_inject(world, uuid, FAKE_FAULT_FINISH_REPLY);
	start_move();
	fake_world_advance(world, 30000);
	join_move();
	expect(source, VM_PAUSED, "migrating");
	expect(target, VM_RUNNING, "migrated");
	assert_int_equal(fake_world_get_most_running(world, uuid), 1);
}

static void test_two_steps_hold_target(void **state)
{
	/* In two steps the source resumes and the destination waits: one of them runs. */
	(void)state;
	add_guest(false);
	fake_world_inject(world, uuid, FAKE_FAULT_FINISH_REPLY);
	request.paused = true;
	start_move();
	fake_world_advance(world, 30000);
	join_move();
	expect(source, VM_RUNNING, "migration canceled");
	expect(target, VM_PAUSED, "user");
	assert_int_equal(fake_world_get_most_running(world, uuid), 1);
}

static void test_dead_network(void **state)
{
	/* On a dead network bytes stop while the rate stays on display; an abort ends it. */
	struct vm_job before, after;

	(void)state;
	add_guest(false);
	start_move();
	fake_world_set_link(world, "host2", 0);
	assert_int_equal(source->ops->job(source, uuid, &before, &err), 0);
	fake_world_advance(world, 35000);
	assert_int_equal(source->ops->job(source, uuid, &after, &err), 0);
	assert_true(after.active && after.elapsed_ms > before.elapsed_ms);
	assert_int_equal(after.memory_processed_bytes, before.memory_processed_bytes);
	assert_int_equal(after.transfer_bytes_per_s, before.transfer_bytes_per_s);
	assert_int_equal(source->ops->abort_job(source, uuid, &err), 0);
	fake_world_advance(world, 1000);
	join_move();
	assert_int_equal(moved, -ERROR_HYPERVISOR);
	expect(source, VM_RUNNING, "booted");
	expect_absent(target);
}

static void test_lost_control(void **state)
{
	/* A control path that is lost in the copy is noticed by keepalive; the guest stays. */
	(void)state;
	add_guest(false);
	request.bandwidth_bytes_per_s = MIB;
	start_move();
	fake_world_set_control(world, "host2", false);
	fake_world_advance(world, 20000);
	expect(target, VM_INCOMING, "migrating");
	fake_world_advance(world, 10000);
	join_move();
	assert_int_equal(moved, -ERROR_HYPERVISOR);
	expect(source, VM_RUNNING, "booted");
	expect_absent(target);
}

static void test_control_comes_back(void **state)
{
	/* One that comes back in time changes nothing but the duration. */
	(void)state;
	add_guest(false);
	start_move();
	fake_world_set_control(world, "host2", false);
	fake_world_advance(world, 20000);
	/* The switchover waits for it, with the guest paused. */
	expect(source, VM_PAUSED, "migrating");
	fake_world_set_control(world, "host2", true);
	fake_world_advance(world, 2000);
	join_move();
	assert_int_equal(moved, 0);
	expect_absent(source);
	expect(target, VM_RUNNING, "migrated");
}

static void test_target_libvirtd_dies(void **state)
{
	/* The destination's libvirtd dies: the guest stays, and what it left there goes with its
	 * return; until then nothing can be said. */
	struct vm_summary vm;

	(void)state;
	add_guest(false);
	request.bandwidth_bytes_per_s = MIB;
	start_move();
	fake_world_set_libvirtd(world, "host2", FAKE_LIBVIRTD_DOWN);
	fake_world_advance(world, 500);
	join_move();
	assert_int_equal(moved, -ERROR_HYPERVISOR);
	expect(source, VM_RUNNING, "booted");
	assert_int_equal(target->ops->find(target, uuid, &vm, &err), -ERROR_UNREACHABLE);
	fake_world_set_libvirtd(world, "host2", FAKE_LIBVIRTD_UP);
	expect_absent(target);
}

static void test_agent_dies(void **state)
{
	/* A move outlives its caller. */
	(void)state;
	add_guest(false);
	start_move();
	fake_world_drop_callers(world, "host1");
	join_move();
	assert_int_equal(moved, -ERROR_UNKNOWN_OUTCOME);
	fake_world_advance(world, 10000);
	expect_absent(source);
	expect(target, VM_RUNNING, "migrated");
	assert_int_equal(fake_world_get_most_running(world, uuid), 1);
}

static void test_killed_processes(void **state)
{
	/* A destination that dies leaves the guest; a source that dies takes it along; a success
	 * without a guest is possible. */
	(void)state;
	add_guest(false);
	fake_world_inject(world, uuid, FAKE_FAULT_TARGET_DIES);
	start_move();
	fake_world_advance(world, 5000);
	join_move();
	assert_int_equal(moved, -ERROR_HYPERVISOR);
	expect(source, VM_RUNNING, "booted");
	expect_absent(target);

	fake_world_inject(world, uuid, FAKE_FAULT_PREPARE);
	start_move();
	fake_world_advance(world, 5000);
	join_move();
	assert_non_null(strstr(moved_error.text, "Address already in use"));
	expect_absent(target);

	fake_world_inject(world, uuid, FAKE_FAULT_SUCCESS_LOST);
	start_move();
	fake_world_advance(world, 5000);
	join_move();
	assert_int_equal(moved, 0);
	expect_absent(source);
	expect_absent(target);
}

static void test_source_dies(void **state)
{
	/* A source whose QEMU is killed takes the guest along. */
	(void)state;
	add_guest(false);
	fake_world_inject(world, uuid, FAKE_FAULT_SOURCE_DIES);
	start_move();
	fake_world_advance(world, 5000);
	join_move();
	assert_int_equal(moved, -ERROR_HYPERVISOR);
	expect_absent(source);
	expect_absent(target);
	assert_int_equal(fake_world_count_running(world, uuid), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_lost_finish_reply),     CASE(test_lock_holds_source),
		CASE(test_two_steps_hold_target), CASE(test_dead_network),
		CASE(test_lost_control),          CASE(test_control_comes_back),
		CASE(test_target_libvirtd_dies),  CASE(test_agent_dies),
		CASE(test_killed_processes),      CASE(test_source_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
