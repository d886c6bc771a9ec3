/* SPDX-License-Identifier: Apache-2.0 */
/* KubeVirt's words are KubeVirt's, and each check has the one that fits. */
#include "agent/kernel/reasons.h"

#include "common/alloc.h"
#include "tests/unit/admission_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The reasons of KubeVirt's conditions LiveMigratable and StorageLiveMigratable, from its API
 * (kubevirt/api core/v1/types.go, 2026-08). */
static const char *const documented[] = {
	"DisksNotLiveMigratable",
	"InterfaceNotLiveMigratable",
	"HotplugNotLiveMigratable",
	"CPUModeLiveMigratable",
	"VirtIOFSNotLiveMigratable",
	"HostDeviceNotLiveMigratable",
	"SEVNotLiveMigratable",
	"SecureExecutionNotLiveMigratable",
	"TDXNotLiveMigratable",
	"NoTSCFrequencyNotLiveMigratable",
	"HypervPassthroughNotLiveMigratable",
	"PersistentReservationNotLiveMigratable",
	"DecentralizedNotLiveMigratable",
	"NotMigratable",
};

static bool is_documented(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(documented); i++)
		if (strcmp(documented[i], word) == 0)
			return true;
	return false;
}

/* Every word is one of KubeVirt's, and no two reasons share one. */
static void test_words(void **state)
{
	(void)state;
	assert_string_equal(reason_word(REASON_NONE), "");
	assert_string_equal(reason_word(REASONS), "");
	assert_int_equal(ARRAY_SIZE(documented), REASONS - 1);
	for (unsigned int i = REASON_NONE + 1; i < REASONS; i++) {
		assert_true(is_documented(reason_word((enum reason)i)));
		for (unsigned int j = i + 1; j < REASONS; j++)
			assert_string_not_equal(reason_word((enum reason)i),
			                        reason_word((enum reason)j));
		/* It fits into a check. */
		assert_true(strlen(reason_word((enum reason)i)) <
		            sizeof(((struct check *)NULL)->reason));
	}
}

/* The ids that have a word, and those for which KubeVirt has none. */
static void test_checks(void **state)
{
	static const struct {
		const char *id;
		enum reason reason;
	} expected[] = {
		{ "limits", REASON_NONE },        { "guest", REASON_NOT_MIGRATABLE },
		{ "memory", REASON_NONE },        { "hugepages", REASON_NONE },
		{ "vcpus", REASON_NONE },         { "cpu", REASON_CPU_MODE },
		{ "tsc", REASON_TSC_FREQUENCY },  { "machine", REASON_NONE },
		{ "version", REASON_NONE },       { "firmware", REASON_NONE },
		{ "graphics", REASON_NONE },      { "serial", REASON_NONE },
		{ "port", REASON_NONE },          { "slot", REASON_NONE },
		{ "bandwidth", REASON_NONE },     { "latency", REASON_NONE },
		{ "disk/vda", REASON_DISKS },     { "network/vnet0", REASON_INTERFACE },
		{ "guard", REASON_NONE },         { "conflict/uuid", REASON_NONE },
		{ "conflict/name", REASON_NONE }, { "node", REASON_NONE },
		{ "tls", REASON_NONE },
	};
	struct admission_input in = admission_fixture();

	(void)state;
	admission_judge(&in, &fixture_list);
	assert_int_equal(fixture_list.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_string_equal(fixture_list.items[i].id, expected[i].id);
		assert_int_equal(reason_of_check(expected[i].id), expected[i].reason);
		/* What passes has none. */
		assert_string_equal(fixture_list.items[i].reason, "");
	}
	assert_int_equal(reason_of_check("disks"), REASON_NONE);
	assert_int_equal(reason_of_check("network"), REASON_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
