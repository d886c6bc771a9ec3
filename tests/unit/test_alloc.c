/* SPDX-License-Identifier: Apache-2.0 */
/* Memory is there, zeroed where promised, and nothing that asks for nothing gets NULL. */
#include "common/alloc.h"

#include "common/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Empty requests give something that can be freed. */
static void test_nothing_is_something(void **state)
{
	_cleanup_free_ void *a = xcalloc(0, 8), *b = xmalloc(0), *c = xreallocarray(NULL, 0, 0);
	_cleanup_free_ void *d = xmemdup("", 0);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	assert_non_null(d);
}

/* Copies are equal and separate. */
static void test_copies(void **state)
{
	_cleanup_free_ char *a = xstrdup("guest"), *b = xstrndup("guests", 5);
	_cleanup_free_ char *c = xmemdup("guest", 6), *d = xasprintf("%s%d", "gue", 57);

	(void)state;
	assert_string_equal(a, "guest");
	assert_string_equal(b, "guest");
	assert_string_equal(c, "guest");
	assert_string_equal(d, "gue57");
}

/* A size that cannot be is the end of the process, not a NULL that somebody forgets to check. */
static void test_overflow_aborts(void **state)
{
	volatile size_t many = SIZE_MAX / 2;
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		/* The message and a sanitizer's opinion of the size are not of interest here. */
		close(STDERR_FILENO);
		free(xreallocarray(NULL, many, 16));
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What was taken from an owner is not cleaned up by it. */
static void test_take(void **state)
{
	char *taken;
	int fd;

	(void)state;
	{
		_cleanup_free_ char *owner = xstrdup("kept");
		_cleanup_close_ int owner_fd = dup(STDOUT_FILENO);

		taken = take_pointer(owner);
		fd = take_fd(owner_fd);
		assert_null(owner);
		assert_int_equal(owner_fd, -1);
	}
	assert_string_equal(taken, "kept");
	assert_int_equal(close(fd), 0);
	free(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_something),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_overflow_aborts),
		cmocka_unit_test(test_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
