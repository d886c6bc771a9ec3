/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that go along with their guest, and those that must not stay behind. See suite.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/units.h"

#include <stdlib.h>
#include <string.h>

static bool copies_disks(void *context)
{
	struct vm_job job = { 0 };

	(void)context;
	assert_ok(suite_stage->source->ops->job(suite_stage->source, suite_uuid, &job, &suite_err));
	return job.active && job.disk_total_bytes > 0;
}

static void add_private_guest(const char *name)
{
	suite_add(&(struct suite_guest){ .name = name,
	                                 .memory_bytes = VICTIM_BYTES,
	                                 .working_set_bytes = 16 * MIB,
	                                 .private_disk_bytes = DISK_BYTES });
}

static void test_copied_disk(void **state)
{
	/* A disk that is not shared is copied before the memory, in bytes that are told; then the
	 * guest is there as after any other move. */
	const char *const disks[] = { "hda" };
	struct suite_move move = { .request = suite_request() };
	struct hypervisor_event done = { 0 };
	struct vm_job job = { 0 };
	size_t mark;

	(void)state;
	add_private_guest("copied");
	suite_stage->add_image("copied", DISK_BYTES);
	mark = suite_watch_mark(suite_source_watch);
	move.request.copied_disks = disks;
	move.request.n_copied_disks = 1;
	move.request.disks_uri = suite_stage->disks_uri;
	move.request.storage_proved_shared = false;
	move.request.paused = true;
	move.request.bandwidth_bytes_per_s = DISK_BYTES / 2;
	suite_move_start(&move);
	assert_true(suite_wait_until(copies_disks, NULL, SOON_S));
	assert_ok(suite_stage->source->ops->job(suite_stage->source, suite_uuid, &job, &suite_err));
	assert_true(job.disk_total_bytes >= DISK_BYTES);
	assert_true(job.iteration > 0 || job.memory_processed_bytes == 0);
	assert_int_equal(suite_find(suite_stage->target).state, VM_INCOMING);
	suite_move_expect_success(&move);
	assert_true(suite_watch_wait(suite_source_watch, mark, HYPERVISOR_JOB_COMPLETED, suite_uuid,
	                             SOON_S, &done));
	assert_true(done.job.disk_total_bytes >= DISK_BYTES);
	assert_true(done.job.disk_processed_bytes >= DISK_BYTES);
	assert_int_equal(suite_find(suite_stage->target).state, VM_PAUSED);
	assert_ok(suite_stage->target->ops->resume(suite_stage->target, suite_uuid, &suite_err));
	suite_expect_absent(suite_stage->source);
}

static void test_private_disk(void **state)
{
	/* A disk that is neither shared nor copied is refused, and so is one that is not there. */
	const char *const none[] = { "sdz" };
	struct migrate_request r = suite_request();

	(void)state;
	add_private_guest("private");
	r.storage_proved_shared = false;
	assert_error(suite_stage->source->ops->migrate(suite_stage->source, &r, &suite_err),
	             ERROR_REFUSED);
	r.storage_proved_shared = true;
	r.copied_disks = none;
	r.n_copied_disks = 1;
	r.disks_uri = suite_stage->disks_uri;
	assert_error(suite_stage->source->ops->migrate(suite_stage->source, &r, &suite_err),
	             ERROR_INVALID);
	assert_non_null(strstr(suite_err.text, "sdz"));
	assert_int_equal(suite_find(suite_stage->source).state, VM_RUNNING);
	suite_expect_absent(suite_stage->target);
}

int suite_run_disks(void)
{
	const struct CMUnitTest cases[] = {
		SUITE_CASE(test_copied_disk),
		SUITE_CASE(test_private_disk),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
