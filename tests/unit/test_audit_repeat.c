/* SPDX-License-Identifier: Apache-2.0 */
/* Who is refused again and again is counted, not written each time, and hides nobody and nothing else. */
#include "proto/audit/audit_repeat.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/methods.h"
#include "tests/unit/audit_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of one address some refusals are lines, the others a number; another address is not hidden. */
static void test_repeated_refusals(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct audit *a = audit_world_start(0, 0, 0);
	struct audit_counts counts;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		_cleanup_free_ char *address = xasprintf("10.0.0.66:%zu", 1000 + i);

		audit_world_refuse(a, address);
	}
	audit_world_refuse(a, "10.0.0.67:1");
	audit_get_counts(a, &counts);
	assert_int_equal(counts.repeated, 1000 - AUDIT_REPEAT_BURST);
	audit_stop(a);
	assert_int_equal(audit_world_verify().lines, AUDIT_REPEAT_BURST + 2);
	text = audit_world_read();
	assert_non_null(strstr(text, "\"kind\":\"refused-again\",\"address\":\"10.0.0.66\","
	                             "\"times\":995"));
	assert_non_null(strstr(text, "10.0.0.67:1"));
}

/* Who is refused a thousand times the same hides nothing else: not what it called besides, and not that
 * it was cut off or what it claimed (hostile.bats F66 and F71 did not find theirs). */
static void test_repeated_refusals_hide_no_other(void **state)
{
	struct audit *a = audit_world_start(0, 0, 0);
	struct audit_record r = { .refused = true,
		                  .address = "10.0.0.66:1000",
		                  .method = "drover.v1.Coordinator/Drain",
		                  .outcome = "PERMISSION_DENIED" };
	_cleanup_free_ char *text = NULL;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		audit_write(a, &r);
	r.about = "others' guest";
	audit_write(a, &r);
	audit_write(a, &r);
	r.about = NULL;
	r.method = "drover.v1.Agent/StartMigration";
	audit_write(a, &r);
	r.method = NULL;
	r.outcome = "CUT_OFF";
	audit_write(a, &r);
	audit_stop(a);
	/* And one line that counts what is left. */
	assert_int_equal(audit_world_verify().lines, AUDIT_REPEAT_BURST + 4);
	text = audit_world_read();
	assert_non_null(strstr(text, "StartMigration"));
	assert_non_null(strstr(text, "CUT_OFF"));
	assert_non_null(strstr(text, "\"times\":996"));
}

/* Every method's refusal is a kind of its own, and there is room for all of them. */
static void test_kinds_of_refusals(void **state)
{
	struct audit_repeat *r = xnew(struct audit_repeat);
	const struct method *methods;
	size_t n, written = 0;

	(void)state;
	methods = method_get_all(&n);
	assert_true(n > AUDIT_REPEAT_BURST && n < AUDIT_REPEAT_KINDS);
	for (size_t i = 0; i < n * 10; i++)
		written += audit_repeat_may_write(r, "10.0.0.66:1000", methods[i % n].name, 1000);
	assert_int_equal(written, n);
	/* What nobody has room for is not remembered either. */
	for (size_t i = 0; i < 1000; i++) {
		_cleanup_free_ char *kind = xasprintf("%zu", i);

		written += audit_repeat_may_write(r, "10.0.0.66:1000", kind, 1000);
	}
	assert_int_equal(written, AUDIT_REPEAT_KINDS);
	free(r);
}

/* However much noise an address makes, what somebody there was denied is still a line. */
static void test_noise_hides_nothing(void **state)
{
	struct audit *a = audit_world_start(0, 0, 0);
	_cleanup_free_ char *text = NULL;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		audit_write(a, &(struct audit_record){ .refused = true,
		                                       .noise = true,
		                                       .address = "10.0.0.66:1000",
		                                       .outcome = "NOT_LET_IN" });
	audit_world_refuse(a, "10.0.0.66:1001");
	/* Nor does noise of one kind hide another kind; methods that a peer makes up are none. */
	for (size_t i = 0; i < 100; i++) {
		_cleanup_free_ char *method = xasprintf("made.up.%zu", i);

		audit_write(a, &(struct audit_record){ .refused = true,
		                                       .noise = true,
		                                       .address = "10.0.0.66:1000",
		                                       .method = method,
		                                       .outcome = "UNIMPLEMENTED" });
	}
	audit_stop(a);
	assert_int_equal(audit_world_verify().lines, AUDIT_REPEAT_BURST + 3);
	text = audit_world_read();
	assert_non_null(strstr(text, "10.0.0.66:1001"));
	assert_non_null(strstr(text, "made.up.0"));
	assert_non_null(strstr(text, "\"times\":1094"));
}

/* A flood from more addresses than are remembered is still counted. */
static void test_many_addresses(void **state)
{
	struct audit_repeat *r = xnew(struct audit_repeat);
	char address[AUDIT_REPEAT_ADDRESS_BYTES];
	uint64_t written = 0, counted = 0, count;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		_cleanup_free_ char *from = xasprintf("10.1.%u.%u:5", i / 250, i % 250);

		written += audit_repeat_may_write(r, from, NULL, 1000);
	}
	while (audit_repeat_take(r, 1000, true, address, &count)) {
		assert_string_equal(address, "other addresses");
		counted += count;
	}
	assert_int_equal(written, AUDIT_REPEAT_ADDRESSES + AUDIT_REPEAT_BURST);
	assert_int_equal(written + counted, 3000);
	free(r);
}

/* After its time an address is written again. */
static void test_repeat_forgets(void **state)
{
	struct audit_repeat *r = xnew(struct audit_repeat);
	char address[AUDIT_REPEAT_ADDRESS_BYTES];
	uint64_t count;

	(void)state;
	for (unsigned i = 0; i < AUDIT_REPEAT_BURST; i++)
		assert_true(audit_repeat_may_write(r, "[fe80::1]:77", NULL, 0));
	assert_false(audit_repeat_may_write(r, "[fe80::1]:78", NULL, AUDIT_REPEAT_MS - 1));
	assert_false(audit_repeat_take(r, AUDIT_REPEAT_MS - 1, false, address, &count));
	assert_true(audit_repeat_take(r, AUDIT_REPEAT_MS, false, address, &count));
	assert_string_equal(address, "[fe80::1]");
	assert_int_equal(count, 1);
	assert_true(audit_repeat_may_write(r, "[fe80::1]:79", NULL, AUDIT_REPEAT_MS + 1));
	free(r);
}

#define T(test) cmocka_unit_test_setup_teardown(test, audit_world_setup, audit_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_repeated_refusals),
		T(test_repeated_refusals_hide_no_other),
		T(test_noise_hides_nothing),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_repeat_forgets),
		cmocka_unit_test(test_kinds_of_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
