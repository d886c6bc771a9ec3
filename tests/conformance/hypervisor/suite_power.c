/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's own way off, and on again. See suite.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/alloc.h"
#include "common/units.h"

#include <stdlib.h>
#include <string.h>

static bool is_off(void *context)
{
	(void)context;
	return suite_find(suite_stage->source).state == VM_SHUTOFF;
}

static bool runs(void *context)
{
	(void)context;
	return suite_find(suite_stage->source).state == VM_RUNNING;
}

static void describe(struct vm_description *ret)
{
	assert_ok(suite_stage->source->ops->describe(suite_stage->source, suite_uuid, ret,
	                                             &suite_err));
}

static void test_shut_down_and_started(void **state)
{
	/* A guest that is asked shuts down by itself, stays defined, and can be started again; to ask
	 * for what is so already is an error one way and harmless the other. */
	struct hypervisor *h = suite_stage->source;
	struct vm_description *d = xnew(struct vm_description);
	struct hypervisor_event e;
	size_t mark;

	(void)state;
	suite_add_guest("polite", 0, true);
	describe(d);
	assert_string_equal(d->no_shutdown, "");
	vm_description_deinit(d);
	free(d);
	mark = suite_watch_mark(suite_source_watch);
	assert_ok(h->ops->shut_down(h, suite_uuid, &suite_err));
	assert_true(suite_wait_until(is_off, NULL, SOON_S));
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_VM_CHANGED, suite_uuid,
	                             SOON_S, &e));
	assert_true(suite_find(h).persistent);
	assert_false(suite_find(h).active);
	assert_string_equal(suite_find(h).reason, "shutdown");
	assert_error(h->ops->shut_down(h, suite_uuid, &suite_err), ERROR_REFUSED);
	assert_ok(h->ops->start(h, suite_uuid, &suite_err));
	assert_true(suite_wait_until(runs, NULL, SOON_S));
	assert_ok(h->ops->start(h, suite_uuid, &suite_err));
	assert_true(suite_find(h).state == VM_RUNNING);
}

static void test_asked_in_vain(void **state)
{
	/* A guest that ignores its power button runs on: nobody ends it. */
	struct hypervisor *h = suite_stage->source;

	(void)state;
	suite_add_guest("deaf", 0, true);
	suite_stage->ignore_power("deaf", true);
	assert_ok(h->ops->shut_down(h, suite_uuid, &suite_err));
	assert_false(suite_wait_until(is_off, NULL, 1));
	assert_true(suite_find(h).state == VM_RUNNING);
	/* And it may be asked again. */
	suite_stage->ignore_power("deaf", false);
	assert_ok(h->ops->shut_down(h, suite_uuid, &suite_err));
	assert_true(suite_wait_until(is_off, NULL, SOON_S));
}

static void test_transient_is_refused(void **state)
{
	/* A transient guest would be gone: it is not asked, and the description says so. */
	struct hypervisor *h = suite_stage->source;
	struct vm_description *d = xnew(struct vm_description);

	(void)state;
	suite_add_guest("fleeting", 0, false);
	describe(d);
	assert_non_null(strstr(d->no_shutdown, "transient"));
	vm_description_deinit(d);
	free(d);
	assert_error(h->ops->shut_down(h, suite_uuid, &suite_err), ERROR_REFUSED);
	assert_non_null(strstr(suite_err.text, "transient"));
	assert_true(suite_find(h).state == VM_RUNNING);
}

static void test_unknown_guest(void **state)
{
	/* A guest that is not here is neither shut down nor started. */
	struct hypervisor *h = suite_stage->source;

	(void)state;
	assert_error(h->ops->shut_down(h, UNKNOWN_UUID, &suite_err), ERROR_NOT_FOUND);
	assert_error(h->ops->start(h, UNKNOWN_UUID, &suite_err), ERROR_NOT_FOUND);
}

int suite_run_power(void)
{
	const struct CMUnitTest cases[] = {
		SUITE_CASE(test_shut_down_and_started),
		SUITE_CASE(test_asked_in_vain),
		SUITE_CASE(test_transient_is_refused),
		SUITE_CASE(test_unknown_guest),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
