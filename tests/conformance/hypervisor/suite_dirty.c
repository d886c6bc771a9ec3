/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest writes to its memory, as its QEMU samples it. See suite.h. */
#include "tests/conformance/hypervisor/suite_cases.h"

#include "common/units.h"

#include <string.h>

static struct vm_dirty_rate rate;

static bool is_sampled(void *context)
{
	struct hypervisor *h = suite_stage->source;

	return h->ops->dirty_rate(h, suite_uuid, &rate, NULL) == 0 && rate.measured &&
	       rate.window_s == *(const uint32_t *)context;
}

static void sample(uint32_t window_s)
{
	struct hypervisor *h = suite_stage->source;

	assert_ok(h->ops->start_dirty_rate(h, suite_uuid, window_s, &suite_err));
	assert_true(suite_wait_until(is_sampled, &window_s, SOON_S));
}

static void add_writer(const char *name, uint64_t bytes_per_s, uint64_t working_set_bytes)
{
	suite_add(&(struct suite_guest){ .name = name,
	                                 .memory_bytes = 256 * MIB,
	                                 .working_set_bytes = working_set_bytes,
	                                 .dirty_bytes_per_s = bytes_per_s });
}

static void test_steady_writer(void **state)
{
	/* A guest that writes at a steady rate over much memory is seen to, in short windows and in
	 * long ones; sampling is coarse: 128 pages of this one. */
	(void)state;
	add_writer("writer", 40 * MIB, 200 * MIB);
	sample(1);
	assert_in_range(rate.bytes_per_s, 15 * MIB, 75 * MIB);
	assert_true(rate.resident_bytes >= 200 * MIB);
	sample(3);
	assert_in_range(rate.bytes_per_s, 20 * MIB, 65 * MIB);
}

static void test_small_set(void **state)
{
	/* A page that is written again and again counts once in a window. */
	(void)state;
	add_writer("hot", 64 * MIB, 32 * MIB);
	sample(4);
	assert_in_range(rate.bytes_per_s, 2 * MIB, 16 * MIB);
}

static void test_idle(void **state)
{
	/* Of one that writes nothing nothing is found, once it was looked; before, nobody knows. */
	struct hypervisor *h = suite_stage->source;

	(void)state;
	add_writer("idle", 0, 32 * MIB);
	assert_ok(h->ops->dirty_rate(h, suite_uuid, &rate, &suite_err));
	assert_false(rate.measured || rate.measuring);
	sample(1);
	assert_in_range(rate.bytes_per_s, 0, 2 * MIB);
}

static void test_refusals(void **state)
{
	/* No guest, one that does not run, a window that cannot be: each is refused with a reason. */
	struct hypervisor *h = suite_stage->source;

	(void)state;
	assert_error(h->ops->start_dirty_rate(h, UNKNOWN_UUID, 1, &suite_err), ERROR_NOT_FOUND);
	assert_error(h->ops->dirty_rate(h, UNKNOWN_UUID, &rate, &suite_err), ERROR_NOT_FOUND);
	suite_add_guest("sampled", 0, true);
	assert_error(h->ops->start_dirty_rate(h, suite_uuid, 0, &suite_err), ERROR_UNSUPPORTED);
	assert_error(h->ops->start_dirty_rate(h, suite_uuid, 61, &suite_err), ERROR_UNSUPPORTED);
	assert_ok(h->ops->destroy(h, suite_uuid, &suite_err));
	assert_error(h->ops->start_dirty_rate(h, suite_uuid, 1, &suite_err), ERROR_REFUSED);
	assert_error(h->ops->dirty_rate(h, suite_uuid, &rate, &suite_err), ERROR_REFUSED);
	assert_ok(h->ops->undefine(h, suite_uuid, &suite_err));
}

int suite_run_dirty(void)
{
	const struct CMUnitTest cases[] = {
		SUITE_CASE(test_steady_writer),
		SUITE_CASE(test_small_set),
		SUITE_CASE(test_idle),
		SUITE_CASE(test_refusals),
	};

	return cmocka_run_group_tests(cases, NULL, NULL);
}
