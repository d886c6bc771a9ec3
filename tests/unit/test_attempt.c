/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a try goes into file names and back, and nothing else is taken for one. And a damaged
 * journal that was set aside is found again by its name. */
#include "agent/journal/journal.h"
#include "agent/kernel/attempt.h"

#include "common/error.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OPERATION "00112233445566778899aabbccddeeff"

/* What was formatted is read back, without the epoch, which is no part of the name. */
static void test_there_and_back(void **state)
{
	struct attempt_name a = { .number = ATTEMPT_NUMBER_MAX, .epoch = 7 }, b = { .epoch = 9 };
	char text[ATTEMPT_TEXT_BYTES];

	(void)state;
	assert_int_equal(id_parse(OPERATION, &a.operation), 0);
	assert_string_equal(attempt_name_format(&a, text), OPERATION "-1000000");
	assert_int_equal(attempt_name_parse(text, &b), 0);
	assert_true(attempt_name_equal(&a, &b));
	assert_int_equal(b.epoch, 0);
	b.number--;
	assert_false(attempt_name_equal(&a, &b));
	b = a;
	b.operation.bytes[0] ^= 1;
	assert_false(attempt_name_equal(&a, &b));
}

/* Anything else in that directory is left alone: the result is not touched. */
static void test_nonsense_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		OPERATION,
		OPERATION "-",
		OPERATION "-0",
		OPERATION "-01",
		OPERATION "-1x",
		OPERATION "-/1",
		OPERATION "--1",
		OPERATION "+1",
		OPERATION "-1000001",
		OPERATION "-12345678",
		"g0112233445566778899aabbccddeeff-1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct attempt_name a = { .number = 42 };

		assert_int_equal(attempt_name_parse(wrong[i], &a), -ERROR_INVALID);
		assert_int_equal(a.number, 42);
	}
}

static void touch(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

/* Only a file that was set aside from this very journal counts; a directory that cannot be looked into
 * counts as well, because "none" would not be known. */
static void f28_set_aside_is_found(void **state)
{
	char directory[] = "/tmp/test_attempt.XXXXXX", path[64], aside[96], other[96], found[96];

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/agent.journal", directory);
	snprintf(aside, sizeof(aside), "%s.corrupt-17", path);
	snprintf(other, sizeof(other), "%s.lock", path);
	touch(path);
	touch(other);
	assert_false(journal_find_quarantined(path, found, sizeof(found)));
	touch(aside);
	assert_true(journal_find_quarantined(path, found, sizeof(found)));
	assert_string_equal(found, aside);

	assert_int_equal(chdir(directory), 0);
	assert_true(journal_find_quarantined("agent.journal", found, sizeof(found)));
	assert_string_equal(found, "agent.journal.corrupt-17");
	assert_int_equal(chdir("/"), 0);
	assert_false(journal_find_quarantined("/no-such.journal", found, sizeof(found)));

	unlink(aside);
	unlink(other);
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
	assert_true(journal_find_quarantined(path, found, sizeof(found)));
	assert_string_equal(found, directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(f28_set_aside_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
