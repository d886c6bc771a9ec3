/* SPDX-License-Identifier: Apache-2.0 */
/* Post-copy: when it may begin, and what is left when it breaks: two halves, which belong together again once
 * it is resumed. See suite.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/units.h"

#include <string.h>

/* In the rest of the guest's memory there are some seconds of this. */
#define THIN_BYTES_PER_S (1 * MIB)

static void test_post_copy(void **state)
{
	/* Post-copy is a switch in the middle of a move that was begun for it: the guest runs on at
	 * the destination, and the move cannot be aborted any more. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() };

	(void)state;
	suite_add_guest("postcopy", 8 * MIB, false);
	assert_error(h->ops->start_postcopy(h, suite_uuid, &suite_err), ERROR_REFUSED);
	move.request.post_copy = move.request.paused = true;
	assert_error(h->ops->migrate(h, &move.request, &suite_err), ERROR_INVALID);
	move.request.paused = false;
	suite_move_start_slowly(&move);
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	assert_ok(h->ops->start_postcopy(h, suite_uuid, &suite_err));
	suite_move_expect_success(&move);
	assert_true(suite_wait_until(suite_is_gone_from_source, NULL, SOON_S));
	assert_int_equal(suite_find(suite_stage->target).state, VM_RUNNING);
}

static void test_post_copy_is_asked_for(void **state)
{
	/* A move that was not begun for it cannot be switched to post-copy, and goes on. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() };

	(void)state;
	suite_add_guest("precopy", 8 * MIB, false);
	suite_move_start_slowly(&move);
	assert_error(h->ops->start_postcopy(h, suite_uuid, &suite_err), ERROR_REFUSED);
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	assert_ok(h->ops->abort_job(h, suite_uuid, &suite_err));
	suite_move_join(&move);
	assert_int_equal(suite_find(h).state, VM_RUNNING);
}

static bool is_broken_at_source(void *context)
{
	(void)context;
	return suite_find(suite_stage->source).pause_reason == VM_PAUSE_POSTCOPY_FAILED;
}

static bool is_broken_at_target(void *context)
{
	(void)context;
	return suite_find(suite_stage->target).postcopy == VM_POSTCOPY_BROKEN;
}

static bool runs_at_target(void *context)
{
	struct vm_summary vm;
	struct error ignored;

	(void)context;
	return suite_stage->target->ops->find(suite_stage->target, suite_uuid, &vm, &ignored) ==
	               0 &&
	       vm.state == VM_RUNNING && vm.postcopy == VM_POSTCOPY_RECEIVING;
}

static void begin_broken(struct suite_move *move)
{
	move->request.post_copy = true;
	suite_move_start_slowly(move);
	suite_stage->set_link(THIN_BYTES_PER_S);
	assert_ok(suite_stage->source->ops->start_postcopy(suite_stage->source, suite_uuid,
	                                                   &suite_err));
	assert_true(suite_wait_until(runs_at_target, NULL, SOON_S));
	assert_ok(suite_stage->source->ops->break_postcopy(suite_stage->source, suite_uuid,
	                                                   &suite_err));
	suite_move_join(move);
}

static void f14_broken_and_resumed(void **state)
{
	/* A post-copy that breaks says so by its call, and leaves a half on each host: the source's
	 * paused for good, the destination's with all that arrived. Neither can be set going, nor be
	 * moved again but by resuming; then the guest is there, whole, and here no more. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() };
	struct suite_move again = { .request = suite_request() };
	struct vm_summary half;

	(void)state;
	suite_add_guest("broken", 0, false);
	assert_error(h->ops->break_postcopy(h, suite_uuid, &suite_err), ERROR_REFUSED);
	begin_broken(&move);
	assert_int_not_equal(move.result, 0);
	assert_true(move.error.text[0]);
	assert_true(suite_wait_until(is_broken_at_source, NULL, SOON_S));
	assert_true(suite_wait_until(is_broken_at_target, NULL, SOON_S));
	half = suite_find(h);
	assert_int_equal(half.state, VM_PAUSED);
	assert_true(suite_find(suite_stage->target).active);

	assert_int_not_equal(h->ops->resume(h, suite_uuid, &suite_err), 0);
	assert_int_equal(suite_find(h).pause_reason, VM_PAUSE_POSTCOPY_FAILED);
	assert_int_not_equal(h->ops->break_postcopy(h, suite_uuid, &suite_err), 0);

	suite_stage->set_link(0);
	again.request.post_copy = again.request.resume = true;
	suite_move_start(&again);
	suite_move_expect_success(&again);
	assert_true(suite_wait_until(suite_is_gone_from_source, NULL, SOON_S));
	assert_int_equal(suite_find(suite_stage->target).state, VM_RUNNING);
	assert_int_equal(suite_find(suite_stage->target).postcopy, VM_POSTCOPY_NONE);
}

static void test_nothing_to_resume(void **state)
{
	/* What is not broken is not resumed: a guest that has not moved, or that moves. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() };
	struct migrate_request r = suite_request();

	(void)state;
	suite_add_guest("whole", 0, false);
	r.post_copy = r.resume = true;
	assert_int_not_equal(h->ops->migrate(h, &r, &suite_err), 0);
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	move.request.post_copy = true;
	suite_move_start_slowly(&move);
	assert_int_not_equal(h->ops->migrate(h, &r, &suite_err), 0);
	assert_ok(h->ops->abort_job(h, suite_uuid, &suite_err));
	suite_move_join(&move);
	assert_int_equal(move.result, -ERROR_CANCELLED);
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	suite_expect_absent(suite_stage->target);
}

static int heal(void **state)
{
	suite_stage->set_link(0);
	return suite_remove_guest(state);
}

int suite_run_postcopy(void)
{
	const struct CMUnitTest cases[] = {
		SUITE_CASE(test_post_copy),
		SUITE_CASE(test_post_copy_is_asked_for),
		cmocka_unit_test_teardown(f14_broken_and_resumed, heal),
		SUITE_CASE(test_nothing_to_resume),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
