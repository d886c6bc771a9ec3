/* SPDX-License-Identifier: Apache-2.0 */
/* Which guard a guest gets: a lock that both hosts see if there is one, else two-step within its
 * limit, else none and a refusal. */
#include "agent/kernel/guard.h"

#include "common/alloc.h"
#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vm_description vm;
static struct storage_finding disks[VM_DISKS_MAX];
static struct storage_finding lockspace;
static struct check check;

/* One raw file, proved the same, whose lock is seen; no lock manager. */
static struct guard_input plain(void)
{
	memset(&vm, 0, sizeof(vm));
	memset(disks, 0, sizeof(disks));
	memset(&lockspace, 0, sizeof(lockspace));
	vm.summary.memory_bytes = 256 * MIB;
	vm.n_disks = 2;
	strcpy(vm.disks[0].target, "vda");
	strcpy(vm.disks[0].type, "file");
	strcpy(vm.disks[1].target, "hdc");
	strcpy(vm.disks[1].type, "none");
	vm.disks[1].read_only = true;
	disks[0].measured = disks[0].proved = true;
	disks[0].lock = STORAGE_LOCK_SEEN;
	return (struct guard_input){ .vm = &vm,
		                     .disks = disks,
		                     .source_lock_manager = "",
		                     .own_lock_manager = "",
		                     .lockspace = &lockspace };
}

static struct guard_input with_lock_manager(void)
{
	struct guard_input in = plain();

	in.source_lock_manager = in.own_lock_manager = "lockd";
	lockspace.measured = lockspace.proved = true;
	return in;
}

/* An image lock that is seen here guards; one that is not seen, or a file that is not the same,
 * does not. */
static void test_image_lock(void **state)
{
	struct guard_input in = plain();

	(void)state;
	assert_int_equal(guard_choose(&in, &check), GUARD_IMAGE_LOCK);
	assert_int_equal(check.verdict, CHECK_PASS);
	disks[0].lock = STORAGE_LOCK_UNSEEN;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	assert_non_null(strstr(check.measured, "the source's lock on vda is not seen here"));
	in = plain();
	disks[0].proved = false;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	in = plain();
	disks[0].measured = false;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
}

/* No lock guards a guest without a disk of its own that it writes to. */
static void test_nothing_to_lock(void **state)
{
	static const char *const types[] = { "block", "network", "volume" };
	struct guard_input in = plain();

	(void)state;
	vm.n_disks = 0;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	assert_non_null(strstr(check.measured, "no disk is written to"));
	in = with_lock_manager();
	vm.disks[0].read_only = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	in = with_lock_manager();
	vm.disks[0].shareable = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		in = plain();
		strcpy(vm.disks[0].type, types[i]);
		assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	}
	/* One writable disk without a lock beside one that has it. */
	in = plain();
	strcpy(vm.disks[1].type, "block");
	vm.disks[1].read_only = false;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
}

/* A lock manager guards if it is the same on both hosts and its lockspace is one. */
static void test_lock_manager(void **state)
{
	struct guard_input in = with_lock_manager();

	(void)state;
	assert_int_equal(guard_choose(&in, &check), GUARD_LOCK_MANAGER);
	strcpy(vm.disks[0].type, "block"); /* which an image lock could not guard */
	assert_int_equal(guard_choose(&in, &check), GUARD_LOCK_MANAGER);
	strcpy(vm.disks[0].type, "network"); /* which virtlockd does not lock */
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);

	in = with_lock_manager();
	lockspace.proved = false;
	assert_int_equal(guard_choose(&in, &check), GUARD_IMAGE_LOCK);
	in = with_lock_manager();
	in.lockspace = NULL;
	assert_int_equal(guard_choose(&in, &check), GUARD_IMAGE_LOCK);
	in = with_lock_manager();
	in.own_lock_manager = "sanlock";
	assert_int_equal(guard_choose(&in, &check), GUARD_IMAGE_LOCK);
	in = with_lock_manager();
	in.source_lock_manager = "";
	assert_int_equal(guard_choose(&in, &check), GUARD_IMAGE_LOCK);
	in = with_lock_manager();
	lockspace.measured = false;
	assert_int_equal(guard_choose(&in, &check), GUARD_IMAGE_LOCK);
}

/* Where a lock manager is missing is said: here, at the source, or on both hosts. */
static void test_lock_manager_is_missing(void **state)
{
	struct guard_input in = with_lock_manager();

	(void)state;
	disks[0].lock = STORAGE_LOCK_UNSEEN;
	in.waived = true;
	in.source_lock_manager = "";
	assert_int_equal(guard_choose(&in, &check), GUARD_NONE);
	assert_non_null(strstr(check.measured, "not set up on the source"));
	in.source_lock_manager = "lockd";
	in.own_lock_manager = "";
	assert_int_equal(guard_choose(&in, &check), GUARD_NONE);
	assert_non_null(strstr(check.measured, "not set up on this host"));
	in.source_lock_manager = "";
	assert_int_equal(guard_choose(&in, &check), GUARD_NONE);
	assert_non_null(strstr(check.measured, "not set up on either host"));
}

/* Two-step says what it costs, and is refused over the limit or with post-copy. */
static void test_two_step(void **state)
{
	struct guard_input in = plain();

	(void)state;
	vm.n_disks = 0;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	assert_non_null(strstr(check.measured, "pause of about 700 ms, of which 400 ms"));
	vm.summary.memory_bytes = 64 * GIB;
	assert_int_equal(guard_two_step_pause_ms(64 * GIB, 0), 1340);
	assert_int_equal(guard_two_step_pause_ms(64 * GIB, 500), 1540);
	in.max_downtime_ms = 500;
	in.two_step_pause_limit_ms = 1540;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	in.two_step_pause_limit_ms = 1539;
	assert_int_equal(guard_choose(&in, &check), GUARD_NONE);
	assert_int_equal(check.verdict, CHECK_FAIL);
	assert_non_null(strstr(check.measured, "over the limit"));
	assert_true(strlen(check.remedy) > 0);
	in.two_step_pause_limit_ms = 0;
	in.two_step_forbidden = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_NONE);
}

/* An administrator who waives the guard loses the pause, never a lock that costs nothing. */
static void test_waived(void **state)
{
	struct guard_input in = plain();

	(void)state;
	in.waived = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_IMAGE_LOCK);
	assert_int_equal(check.verdict, CHECK_PASS);
	disks[0].lock = STORAGE_LOCK_UNSEEN;
	assert_int_equal(guard_choose(&in, &check), GUARD_NONE);
	assert_int_equal(check.verdict, CHECK_WARN);
	assert_non_null(strstr(check.measured, "--no-guard"));
	assert_non_null(strstr(check.remedy, "run twice"));
	in = with_lock_manager();
	in.waived = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_LOCK_MANAGER);
}

/* The first two work while drover is dead. */
static void test_names(void **state)
{
	(void)state;
	assert_true(guard_is_lock(GUARD_IMAGE_LOCK) && guard_is_lock(GUARD_LOCK_MANAGER));
	assert_false(guard_is_lock(GUARD_TWO_STEP) || guard_is_lock(GUARD_NONE));
	assert_string_equal(guard_name(GUARD_TWO_STEP), "two-step");
	assert_string_equal(guard_name((enum guard)99), "unknown");
}

/* Two images guard nothing, whatever locks lie on them: a guest whose disks are copied is two-step, and
 * without that has no guard. */
static void test_copied_disks(void **state)
{
	struct guard_input in = plain();

	(void)state;
	in.copies_disks = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	assert_non_null(strstr(check.measured, "the copy of a disk is another file"));
	in = with_lock_manager();
	in.copies_disks = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	/* Nor can the two-step commit be waived. */
	in.waived = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_TWO_STEP);
	in.two_step_forbidden = true;
	assert_int_equal(guard_choose(&in, &check), GUARD_NONE);
	assert_int_equal(check.verdict, CHECK_FAIL);
	assert_non_null(strstr(check.measured, "lock manager: the copy of a disk is another file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image_lock),   cmocka_unit_test(test_nothing_to_lock),
		cmocka_unit_test(test_lock_manager), cmocka_unit_test(test_lock_manager_is_missing),
		cmocka_unit_test(test_two_step),     cmocka_unit_test(test_waived),
		cmocka_unit_test(test_names),        cmocka_unit_test(test_copied_disks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
