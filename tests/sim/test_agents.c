/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents move a guest, through everything that can go wrong on the way: see tests/sim/agents.h. */
#include "agent/source/source.h"
#include "tests/sim/agents_story.h"

#include "common/log.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A guest moves: it runs there, is gone here, and the report says how. */
static void test_move(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_int_equal(t->report.guard, DROVER__V1__GUARD__GUARD_TWO_STEP);
	assert_true(t->report.tombstoned);
	assert_true(t->report.n_checks > 5);
	assert_false(t->report.percent_fell);
	assert_true(t->report.downtime_ms > 0);
	agents_finish(t);
}

/* A persistent guest is defined at its new home only, with its autostart. */
static void test_persistent(void **state)
{
	struct fake_guest_settings guest = agents_small;
	struct agents *t = agents_new(NULL);
	struct vm_summary vm;
	struct error err;

	(void)state;
	guest.persistent = true;
	guest.autostart = true;
	agents_add_guest(t, &guest);
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_int_equal(t->hypervisors[1]->ops->find(t->hypervisors[1], t->uuid, &vm, &err), 0);
	assert_true(vm.persistent);
	assert_true(vm.autostart);
	agents_finish(t);
}

/* A destination without room says so with numbers, and nothing of the guest was touched. */
static void test_refused(void **state)
{
	struct agents_options o = { .target_memory_bytes = 256 * MIB };
	struct agents *t = agents_new(&o);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(t->report.error_code, ERROR_REFUSED);
	assert_non_null(strstr(t->report.reason, "memory"));
	assert_non_null(strstr(t->report.reason, "512 MiB"));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	agents_finish(t);
}

/* Cancelled in mid-copy, the guest stays where it is. */
static void test_cancel(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_cancel(t);
	assert_true(agents_wait(t, CANCELLED));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	agents_finish(t);
}

/* The same order twice is one move; it gets the same answer. */
static void test_order_twice(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	agents_order(t);
	agents_order_again(t);
	assert_true(t->accepted);
	assert_true(agents_wait(t, DONE));
	agents_order_again(t);
	assert_true(t->accepted);
	assert_int_equal(t->report.state, DONE);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_finish(t);
}

/* An attempt that was asked about before it came is tombstoned, and its order then refused. */
static void test_tombstone(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	t->operation = id_new();
	agents_probe(t);
	assert_int_equal(t->status, MESH_OK);
	assert_true(t->report.tombstoned);
	assert_int_equal(t->report.state, CANCELLED);
	agents_order_again(t);
	assert_false(t->accepted);
	agents_kill(t, 0);
	agents_start(t, 0);
	agents_order_again(t);
	assert_false(t->accepted);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* A coordinator of an older epoch is not obeyed. */
static void test_stale_epoch(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	t->epoch = 7;
	t->operation = id_new();
	agents_probe(t);
	t->epoch = 6;
	agents_order(t);
	assert_false(t->accepted);
	assert_int_equal(t->error.code, ERROR_STALE);
	t->epoch = 7;
	agents_finish(t);
}

/* The answer of Finish is lost and the guard is two-step: the guest stays at its source. */
static void test_lost_finish_two_step(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_FINISH_REPLY);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	agents_finish(t);
}

/* A guest whose disk a lock manager guards, and whose answer of Finish will be lost. */
static struct agents *new_guarded(void)
{
	struct agents_options o = { .lock_manager = true };
	struct fake_guest_settings guest = agents_small;
	struct agents *t = agents_new(&o);

	guest.image_lock = true;
	agents_add_guest_with_disk(t, &guest);
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_FINISH_REPLY);
	return t;
}

/* The answer of Finish is lost and a lock manager guards: the guest is at its destination. */
static void test_lost_finish_lock(void **state)
{
	struct agents *t = new_guarded();

	(void)state;
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(t->report.guard, DROVER__V1__GUARD__GUARD_LOCK_MANAGER);
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_finish(t);
}

static bool is_over(void *context)
{
	const struct agents *t = context;

	return t->report.state == DONE || t->report.state == FAILED;
}

/* A coordinator and its successor each send a guest to a host with room for one, without knowing of
 * each other: the host admits one, and tells the other what is missing; and which is first does not
 * matter. What the old one orders after that is stale. */
static void f54_one_room_two_coordinators(void **state)
{
	struct agents_options o = { .target_memory_bytes = 900 * MIB };
	struct fake_guest_settings other = agents_large;
	struct agents *t = agents_new(&o);
	char first[VM_UUID_BYTES], second[VM_UUID_BYTES];
	unsigned here = 0;

	(void)state;
	other.name = "db2";
	agents_add_guest(t, &agents_large);
	memcpy(first, t->uuid, sizeof(first));
	agents_order(t);
	assert_true(t->accepted);

	t->epoch++;
	agents_add_guest(t, &other);
	memcpy(second, t->uuid, sizeof(second));
	agents_order(t);
	assert_true(t->accepted);
	assert_true(agents_until(t, is_over, t));
	if (t->report.state == FAILED) {
		assert_non_null(strstr(t->report.reason, "memory"));
		assert_non_null(strstr(t->report.reason, "1 reserved"));
	}
	t->epoch--;
	agents_order_again(t);
	assert_false(t->accepted);
	assert_int_equal(t->error.code, ERROR_STALE);
	t->epoch++;

	assert_true(agents_until(t, agents_is_clean, t));
	for (size_t i = 0; i < 2; i++) {
		memcpy(t->uuid, i ? second : first, sizeof(t->uuid));
		here += agents_state_on(t, 1) == VM_RUNNING;
		assert_int_equal((agents_state_on(t, 0) == VM_RUNNING) +
		                         (agents_state_on(t, 1) == VM_RUNNING),
		                 1);
	}
	assert_int_equal(here, 1);
	agents_finish(t);
}

static bool source_is_paused(void *context)
{
	return agents_state_on(context, 0) == VM_PAUSED;
}

/* As an operator does it who has compared the disks. */
static void end_copy(struct agents *t, size_t host)
{
	struct error err;

	assert_int_equal(t->hypervisors[host]->ops->destroy(t->hypervisors[host], t->uuid, &err),
	                 0);
}

static bool source_is_left(void *context)
{
	return agents_state_on(context, 0) == VM_PAUSED &&
	       agents_state_on(context, 1) == VM_RUNNING;
}

/* libvirt has heard nothing from the destination, wanted to go on here, and the lock has kept it. */
static bool has_given_up(void *context)
{
	struct agents *t = context;

	return fake_world_get_now_ms(t->world) > t->mark_ms + 2 * AGENTS_KEEPALIVE_MS &&
	       source_is_left(t);
}

static bool has_run_there(void *context)
{
	const struct reservation *r = agents_lease(context, 1);

	return r && r->has_run;
}

static bool has_ended_there(void *context)
{
	const struct reservation *r = agents_lease(context, 1);

	return r && !r->in_use;
}

/* The source is silent while its guest runs at the destination and ends there. When it is back, what is
 * paused there is older than the disks: it is not resumed, a person is told, and removes it. */
static void test_what_ran_there_is_not_resumed_here(void **state)
{
	struct agents *t = new_guarded();

	(void)state;
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 0);
	assert_true(agents_until(t, source_is_left, t));
	t->mark_ms = fake_world_get_now_ms(t->world);
	assert_true(agents_until(t, has_given_up, t));
	assert_true(agents_until(t, has_run_there, t));
	end_copy(t, 1);
	assert_true(agents_until(t, has_ended_there, t));
	/* Nobody but the journal remembers. */
	agents_kill(t, 1);
	agents_start(t, 1);
	agents_start(t, 0);
	assert_true(agents_wait(t, UNRESOLVED));
	assert_true(t->report.alarm);
	assert_non_null(strstr(t->report.reason, "must not be resumed"));
	assert_int_equal(agents_state_on(t, 0), VM_PAUSED);
	end_copy(t, 0);
	assert_true(agents_wait(t, DONE));
	assert_false(t->report.alarm);
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_true(agents_until(t, agents_is_clean, t));
	agents_free(t);
}

static bool source_went_on(void *context)
{
	const struct agents *t = context;

	return t->agents[0]->attempts && t->agents[0]->attempts->order.source_went_on;
}

/* The guest goes on at its source, whose complete copy cannot be removed at once, and ends there while
 * its agent is away: that copy is a past. It is not resumed, a person is told, and removes it. */
static void test_what_went_on_here_is_not_resumed_there(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_FINISH_REPLY);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 1);
	assert_true(agents_until(t, source_went_on, t));
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	agents_kill(t, 0);
	fake_world_kill_guest(t->world, "host1", t->uuid);
	agents_start(t, 0);
	agents_start(t, 1);
	assert_true(agents_wait(t, UNRESOLVED));
	assert_true(t->report.alarm);
	assert_non_null(strstr(t->report.reason, "must not be resumed"));
	assert_int_equal(agents_state_on(t, 1), VM_PAUSED);
	end_copy(t, 1);
	assert_true(agents_wait(t, FAILED));
	assert_true(agents_until(t, agents_is_clean, t));
	agents_free(t);
}

/* The answer of Finish is lost, and an administrator has waived the guard: both run, and at once the
 * source does not any more. Nothing is destroyed, somebody is told, and what is left decides. */
static void f03_no_guard(void **state)
{
	(void)state;
	for (size_t wrong = 0; wrong < AGENTS; wrong++) {
		struct agents *t = agents_new(NULL);
		struct error err;

		agents_add_guest(t, &agents_small);
		fake_world_inject(t->world, t->uuid, FAKE_FAULT_FINISH_REPLY);
		t->no_guard = true;
		agents_order(t);
		assert_true(agents_wait(t, UNRESOLVED));
		assert_true(t->report.alarm);
		assert_non_null(strstr(t->report.reason, "ran on both hosts"));
		assert_int_equal(t->report.guard, DROVER__V1__GUARD__GUARD_NONE);
		assert_true(agents_until(t, source_is_paused, t));
		assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
		assert_int_equal(agents_leases(t, 1), 1);
		end_copy(t, wrong);
		if (wrong == 1)
			assert_int_equal(
				t->hypervisors[0]->ops->resume(t->hypervisors[0], t->uuid, &err),
				0);
		assert_true(agents_wait(t, wrong == 1 ? FAILED : DONE));
		assert_false(t->report.alarm);
		assert_int_equal(agents_state_on(t, 1 - wrong), VM_RUNNING);
		assert_int_equal(agents_state_on(t, wrong), VM_UNKNOWN);
		assert_int_equal(fake_world_get_most_running(t->world, t->uuid), 2);
		assert_true(agents_until(t, agents_is_clean, t));
		agents_free(t);
	}
}

/* The destination's QEMU dies: the guest runs on at its source, and the report has libvirt's words. */
static void test_target_dies(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_TARGET_DIES);
	agents_order(t);
	assert_true(agents_wait(t, FAILED));
	assert_true(strlen(t->report.reason) > 0);
	assert_int_equal(agents_state_on(t, 0), VM_RUNNING);
	agents_finish(t);
}

/* libvirt's success without a guest at the destination is not a success: it stays unresolved, until
 * somebody finds the guest. */
static void test_success_lost(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_small);
	fake_world_inject(t->world, t->uuid, FAKE_FAULT_SUCCESS_LOST);
	agents_order(t);
	assert_true(agents_wait(t, UNRESOLVED));
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_int_equal(agents_state_on(t, 1), VM_UNKNOWN);
	assert_non_null(strstr(t->report.reason, "neither"));
	assert_false(t->report.tombstoned);
	assert_int_equal(agents_leases(t, 1), 1);
	agents_free(t);
}

/* The source agent is killed in mid-copy: the move goes on, and the next agent sees it through. */
static void test_source_agent_killed(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 0);
	agents_start(t, 0);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 0), VM_UNKNOWN);
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_finish(t);
}

static bool is_reported(void *context)
{
	return ((struct agents *)context)->report.count > 0;
}

/* What a finished move took is still known to the agent's successor. */
static void test_figures_outlive_the_agent(void **state)
{
	struct agents *t = agents_new(NULL);
	uint64_t downtime_ms;

	(void)state;
	agents_add_guest(t, &agents_small);
	agents_order(t);
	assert_true(agents_wait(t, DONE));
	downtime_ms = t->report.downtime_ms;
	assert_true(downtime_ms > 0);
	agents_kill(t, 0);
	memset(&t->report, 0, sizeof(t->report));
	agents_start(t, 0);
	assert_true(agents_until(t, is_reported, t));
	assert_int_equal(t->report.state, DONE);
	assert_int_equal(t->report.downtime_ms, downtime_ms);
	assert_int_equal(t->report.guard, DROVER__V1__GUARD__GUARD_TWO_STEP);
	agents_finish(t);
}

/* The destination agent is killed in mid-copy: its reservation comes back from the journal, and the
 * move ends as if nothing had been. */
static void test_target_agent_killed(void **state)
{
	struct agents *t = agents_new(NULL);

	(void)state;
	agents_add_guest(t, &agents_large);
	agents_order(t);
	assert_true(agents_wait_moving(t));
	agents_kill(t, 1);
	agents_start(t, 1);
	assert_int_equal(agents_leases(t, 1), 1);
	assert_true(agents_wait(t, DONE));
	assert_int_equal(agents_state_on(t, 1), VM_RUNNING);
	agents_finish(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_persistent),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_order_twice),
		cmocka_unit_test(test_tombstone),
		cmocka_unit_test(test_stale_epoch),
		cmocka_unit_test(test_lost_finish_two_step),
		cmocka_unit_test(test_lost_finish_lock),
		cmocka_unit_test(f54_one_room_two_coordinators),
		cmocka_unit_test(test_what_ran_there_is_not_resumed_here),
		cmocka_unit_test(test_what_went_on_here_is_not_resumed_there),
		cmocka_unit_test(f03_no_guard),
		cmocka_unit_test(test_target_dies),
		cmocka_unit_test(test_success_lost),
		cmocka_unit_test(test_figures_outlive_the_agent),
		cmocka_unit_test(test_source_agent_killed),
		cmocka_unit_test(test_target_agent_killed),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
