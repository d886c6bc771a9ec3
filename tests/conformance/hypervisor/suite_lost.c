/* SPDX-License-Identifier: Apache-2.0 */
/* A libvirtd that dies: nothing is said of guests, and afterwards they are as they were. See suite.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"

#include <stdlib.h>
#include <string.h>

static void test_lost_libvirtd(void **state)
{
	/* Without libvirtd nothing can be said of guests; when it is back, they are as they were. */
	struct hypervisor *h = suite_stage->source;
	struct hypervisor_event lost = { 0 };
	struct vm_list list = { 0 };
	struct vm_summary vm;
	size_t mark;

	(void)state;
	suite_add_guest("survivor", 0, false);
	mark = suite_watch_mark(suite_source_watch);
	suite_stage->stop_libvirtd();
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_DISCONNECTED, NULL,
	                             SOON_S, &lost));
	assert_int_equal(lost.error.code, ERROR_UNREACHABLE);
	assert_true(lost.error.text[0]);
	assert_error(h->ops->list(h, &list, &suite_err), ERROR_UNREACHABLE);
	assert_error(h->ops->find(h, suite_uuid, &vm, &suite_err), ERROR_UNREACHABLE);
	assert_error(h->ops->suspend(h, suite_uuid, &suite_err), ERROR_UNREACHABLE);

	mark = suite_watch_mark(suite_source_watch);
	suite_stage->start_libvirtd();
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_CONNECTED, NULL, SOON_S,
	                             NULL));
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	/* Events come on the new connection, too. */
	mark = suite_watch_mark(suite_source_watch);
	assert_ok(h->ops->suspend(h, suite_uuid, &suite_err));
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_VM_CHANGED, suite_uuid,
	                             SOON_S, NULL));
}

static void test_lost_in_the_middle(void **state)
{
	/* When the source's libvirtd dies in the copy, the call says that it knows nothing, and the
	 * guest is found running here afterwards, and nowhere else. */
	struct hypervisor *h = suite_stage->source;
	struct suite_move move = { .request = suite_request() };
	size_t mark;

	(void)state;
	suite_add_guest("stranded", MIB, false);
	suite_move_start_slowly(&move);
	mark = suite_watch_mark(suite_source_watch);
	suite_stage->stop_libvirtd();
	suite_move_join(&move);
	assert_int_equal(move.result, -ERROR_UNKNOWN_OUTCOME);
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_DISCONNECTED, NULL,
	                             SOON_S, NULL));
	suite_stage->start_libvirtd();
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_CONNECTED, NULL, SOON_S,
	                             NULL));
	assert_int_equal(suite_find(h).state, VM_RUNNING);
	assert_false(suite_find(h).job_out);
	suite_expect_absent(suite_stage->target);
}

static void test_hushed(void **state)
{
	/* Who has been hushed tells nothing more, and answers as before. The last case: nobody is told
	 * anything after it. */
	struct hypervisor *h = suite_stage->source;
	size_t mark;

	(void)state;
	suite_add_guest("unheard", 0, false);
	h->ops->hush(h);
	h->ops->hush(h);
	mark = suite_watch_mark(suite_source_watch);
	assert_ok(h->ops->suspend(h, suite_uuid, &suite_err));
	assert_false(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_VM_CHANGED, suite_uuid,
	                              1, NULL));
	assert_int_equal(suite_find(h).state, VM_PAUSED);
}

int suite_run_lost(void)
{
	const struct CMUnitTest cases[] = {
		SUITE_CASE(test_lost_libvirtd),
		SUITE_CASE(test_lost_in_the_middle),
		SUITE_CASE(test_hushed),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
