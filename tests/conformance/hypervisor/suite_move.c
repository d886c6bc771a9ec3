/* SPDX-License-Identifier: Apache-2.0 */
/* Moves: what they leave behind at both ends, what they cost, and what limits them. See suite.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"

#include <stdlib.h>
#include <string.h>

static void test_move(void **state)
{
	/* A move leaves the guest running there and absent here; what it cost is told. */
	struct suite_move move = { .request = suite_request() };
	struct hypervisor_event done = { 0 }, stopped = { 0 };
	uint64_t start_ms = clock_now_ms();
	struct vm_job job = { 0 };
	size_t source_mark, target_mark;

	(void)state;
	suite_add_guest("mover", MIB, false);
	source_mark = suite_watch_mark(suite_source_watch);
	target_mark = suite_watch_mark(suite_target_watch);
	suite_move_start(&move);
	suite_move_expect_success(&move);
	assert_int_equal(suite_find(suite_stage->target).state, VM_RUNNING);
	assert_false(suite_find(suite_stage->target).job_out);
	assert_false(suite_find(suite_stage->target).persistent);
	suite_expect_absent(suite_stage->source);

	assert_true(suite_watch_wait(suite_source_watch, source_mark, HYPERVISOR_ITERATION,
	                             suite_uuid, SOON_S, NULL));
	assert_true(suite_watch_wait(suite_source_watch, source_mark, HYPERVISOR_JOB_COMPLETED,
	                             suite_uuid, SOON_S, &done));
	assert_true(done.job.completed && !done.job.active);
	assert_true(done.job.downtime_ms > 0 && done.job.downtime_ms < 5000);
	assert_true(done.job.memory_total_bytes >= VICTIM_BYTES);
	assert_true(done.job.elapsed_ms >= done.job.downtime_ms);
	assert_true(suite_watch_wait(suite_source_watch, source_mark, HYPERVISOR_VM_CHANGED,
	                             suite_uuid, SOON_S, NULL));
	assert_true(suite_watch_wait(suite_target_watch, target_mark, HYPERVISOR_VM_CHANGED,
	                             suite_uuid, SOON_S, NULL));
	/* When its vCPUs were stopped is told by the source alone. */
	assert_true(suite_watch_wait_switchover(suite_source_watch, source_mark, suite_uuid, SOON_S,
	                                        &stopped));
	assert_true(stopped.at_ms >= start_ms && stopped.at_ms <= clock_now_ms());
	assert_false(
		suite_watch_wait_switchover(suite_target_watch, target_mark, suite_uuid, 0, NULL));
	/* That its vCPUs run is told by the destination alone. */
	assert_true(suite_watch_wait_runs(suite_target_watch, target_mark, suite_uuid, SOON_S));
	assert_false(suite_watch_wait_runs(suite_source_watch, source_mark, suite_uuid, 0));
	/* The destination keeps the figures, and asking does not use them up. */
	for (int i = 0; i < 2; i++) {
		assert_ok(suite_stage->target->ops->last_job(suite_stage->target, suite_uuid, &job,
		                                             &suite_err));
		assert_true(job.completed);
		assert_int_equal(job.downtime_ms, done.job.downtime_ms);
	}
}

static bool is_incoming(void *context)
{
	struct vm_summary vm;

	(void)context;
	return suite_stage->target->ops->find(suite_stage->target, suite_uuid, &vm, NULL) == 0 &&
	       vm.state == VM_INCOMING && vm.pause_reason == VM_PAUSE_MIGRATION;
}

static void test_two_step(void **state)
{
	/* A move in two steps: incoming while memory arrives, then paused by us, then running. */
	struct suite_move move = { .request = suite_request() };
	struct vm_job job = { .active = true };
	size_t mark;

	(void)state;
	suite_add_guest("two-step", MIB, false);
	mark = suite_watch_mark(suite_target_watch);
	move.request.paused = true;
	move.request.bandwidth_bytes_per_s = 8 * MIB;
	suite_move_start(&move);
	assert_true(suite_wait_until(is_incoming, NULL, SOON_S));
	assert_true(suite_find(suite_stage->source).job_out);
	assert_int_equal(suite_find(suite_stage->source).state, VM_RUNNING);
	assert_false(suite_find(suite_stage->target).job_out);
	assert_ok(suite_stage->target->ops->job(suite_stage->target, suite_uuid, &job, &suite_err));
	assert_false(job.active);
	suite_move_expect_success(&move);
	suite_expect_absent(suite_stage->source);
	assert_int_equal(suite_find(suite_stage->target).state, VM_PAUSED);
	assert_int_equal(suite_find(suite_stage->target).pause_reason, VM_PAUSE_USER);
	/* It has not run there, and nothing says that it did, until it does. */
	assert_false(suite_watch_wait_runs(suite_target_watch, mark, suite_uuid, 1));
	assert_ok(suite_stage->target->ops->resume(suite_stage->target, suite_uuid, &suite_err));
	assert_int_equal(suite_find(suite_stage->target).state, VM_RUNNING);
	assert_true(suite_watch_wait_runs(suite_target_watch, mark, suite_uuid, SOON_S));
}

static void test_abort(void **state)
{
	/* A move shows progress that grows, and aborting it in the middle leaves the guest here. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() };
	struct vm_job first = { 0 }, job = { 0 };

	(void)state;
	suite_add_guest("aborted", MIB, false);
	assert_error(h->ops->abort_job(h, suite_uuid, &suite_err), ERROR_REFUSED);
	assert_ok(h->ops->job(h, suite_uuid, &job, &suite_err));
	assert_false(job.active);

	suite_move_start_slowly(&move);
	assert_ok(h->ops->job(h, suite_uuid, &first, &suite_err));
	assert_true(first.active && !first.completed);
	assert_true(first.iteration >= 1 && first.memory_total_bytes >= VICTIM_BYTES);
	assert_true(suite_wait_until(suite_has_sent, &first.memory_processed_bytes, SOON_S));
	assert_ok(h->ops->job(h, suite_uuid, &job, &suite_err));
	assert_true(job.elapsed_ms > first.elapsed_ms);
	assert_true(job.memory_remaining_bytes > 0 && job.page_bytes == 4096);

	assert_ok(h->ops->abort_job(h, suite_uuid, &suite_err));
	suite_move_join(&move);
	if (move.result != -ERROR_CANCELLED)
		fail_msg("an aborted move ended with: %d %s", move.result, move.error.text);
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	assert_false(suite_find(h).job_out);
	suite_expect_absent(suite_stage->target);
	assert_ok(h->ops->job(h, suite_uuid, &job, &suite_err));
	assert_false(job.active);
}

static void test_paused_while_it_moves(void **state)
{
	/* A guest that is paused in the middle of its move runs again, there or, after an abort,
	 * here: what counts is that it ran when the move began. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() },
			  again = { .request = suite_request() };

	(void)state;
	suite_add_guest("suspended", 8 * MIB, false);
	suite_move_start_slowly(&move);
	assert_ok(h->ops->suspend(h, suite_uuid, &suite_err));
	assert_int_equal(suite_find(h).state, VM_PAUSED);
	assert_int_equal(suite_find(h).pause_reason, VM_PAUSE_MIGRATION); /* whoever paused it */
	assert_ok(h->ops->abort_job(h, suite_uuid, &suite_err));
	suite_move_join(&move);
	assert_int_equal(move.result, -ERROR_CANCELLED);
	assert_int_equal(suite_find(h).state, VM_RUNNING);

	again.request.auto_converge = true;
	again.request.bandwidth_bytes_per_s = 0;
	suite_move_start_slowly(&again);
	assert_ok(h->ops->suspend(h, suite_uuid, &suite_err));
	suite_move_expect_success(&again);
	suite_expect_absent(h);
	assert_int_equal(suite_find(suite_stage->target).state, VM_RUNNING);
}

static void test_limits_do_not_stick(void **state)
{
	/* A limit holds for its own move only: one without a limit is fast afterwards. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move slow = { .request = suite_request() },
			  fast = { .request = suite_request() };

	(void)state;
	suite_add_guest("limited", MIB, false);
	assert_ok(h->ops->set_max_downtime(h, suite_uuid, 1, &suite_err));
	suite_move_start_slowly(&slow);
	assert_ok(h->ops->abort_job(h, suite_uuid, &suite_err));
	suite_move_join(&slow);
	suite_move_start(&fast);
	suite_move_expect_success(&fast);
	assert_true(fast.duration_ms < VICTIM_BYTES / SLOW_BYTES_PER_S * 1000 / 3);
}

static void test_changed_speed(void **state)
{
	/* A limit can be changed while a move runs, and holds for that move only: what it was given
	 * then is not what the next one begins with. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move slow = { .request = suite_request() };
	struct suite_move slowed = { .request = suite_request() };

	(void)state;
	suite_add_guest("tuned", MIB, false);
	assert_ok(h->ops->set_max_speed(h, suite_uuid, SLOW_BYTES_PER_S, &suite_err));
	suite_move_start_slowly(&slowed);
	assert_ok(h->ops->set_max_speed(h, suite_uuid, 1, &suite_err));
	assert_ok(h->ops->abort_job(h, suite_uuid, &suite_err));
	suite_move_join(&slowed);
	/* libvirt may hear of the stream's end before it notices that it was told to end it. */
	assert_true(slowed.result == -ERROR_CANCELLED || slowed.result == -ERROR_HYPERVISOR);

	suite_move_start_slowly(&slow);
	assert_ok(h->ops->set_max_speed(h, suite_uuid, 0, &suite_err));
	suite_move_expect_success(&slow);
	assert_true(slow.duration_ms < VICTIM_BYTES / SLOW_BYTES_PER_S * 1000 / 3);
	assert_true(suite_wait_until(suite_is_gone_from_source, NULL, SOON_S));
	assert_error(h->ops->set_max_speed(h, UNKNOWN_UUID, 0, &suite_err), ERROR_NOT_FOUND);
}

static void test_persistent(void **state)
{
	/* A persistent guest takes its definition along; autostart is set where it lives. */
	struct hypervisor *there = suite_stage->target;
	struct suite_move move = { .request = suite_request() };

	(void)state;
	suite_add_guest("persistent", 0, true);
	assert_true(suite_find(suite_stage->source).persistent);
	move.request.persistent = true;
	suite_move_start(&move);
	suite_move_expect_success(&move);
	suite_expect_absent(suite_stage->source);
	assert_true(suite_find(there).persistent);
	assert_false(suite_find(there).autostart);
	assert_ok(there->ops->set_autostart(there, suite_uuid, true, &suite_err));
	assert_true(suite_find(there).autostart);
	assert_ok(there->ops->set_autostart(there, suite_uuid, false, &suite_err));
	assert_false(suite_find(there).autostart);
}

static void test_definition_left_behind(void **state)
{
	/* A definition that stayed behind is listed as shut off, and is removed on command. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() };

	(void)state;
	suite_add_guest("stayed", 0, true);
	suite_move_start(&move);
	suite_move_expect_success(&move);
	assert_int_equal(suite_find(h).state, VM_SHUTOFF);
	assert_string_equal(suite_find(h).reason, "migrated");
	assert_false(suite_find(h).active);
	assert_error(h->ops->destroy(h, suite_uuid, &suite_err), ERROR_REFUSED);
	assert_ok(h->ops->undefine(h, suite_uuid, &suite_err));
	suite_expect_absent(h);
}

static void test_refused_move(void **state)
{
	/* A move that cannot begin leaves the guest as it was, and says why. */
	struct hypervisor *h = suite_stage->source;
	struct migrate_request r = suite_request();

	(void)state;
	suite_add_guest("refused", 0, false);
	r.control_socket = "/nonexistent/control.sock";
	assert_error(h->ops->migrate(h, &r, &suite_err), ERROR_HYPERVISOR);
	if (!strstr(suite_err.text, "/nonexistent/control.sock"))
		fail_msg("the socket is not named: %s", suite_err.text);
	r = suite_request();
	r.uuid = UNKNOWN_UUID;
	assert_error(h->ops->migrate(h, &r, &suite_err), ERROR_NOT_FOUND);
	r = suite_request();
	r.max_downtime_ms = 2000001;
	assert_error(h->ops->migrate(h, &r, &suite_err), ERROR_INVALID);
	assert_error(h->ops->set_max_downtime(h, suite_uuid, 2000001, &suite_err), ERROR_INVALID);
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	suite_expect_absent(suite_stage->target);
}

int suite_run_move(void)
{
	const struct CMUnitTest cases[] = {
		SUITE_CASE(test_move),
		SUITE_CASE(test_two_step),
		SUITE_CASE(test_abort),
		SUITE_CASE(test_paused_while_it_moves),
		SUITE_CASE(test_limits_do_not_stick),
		SUITE_CASE(test_changed_speed),
		SUITE_CASE(test_persistent),
		SUITE_CASE(test_definition_left_behind),
		SUITE_CASE(test_refused_move),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
