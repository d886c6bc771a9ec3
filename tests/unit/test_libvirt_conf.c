/* SPDX-License-Identifier: Apache-2.0 */
/* Settings in libvirt's configuration files are read as libvirt reads them. */
#include "common/libvirt_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/test_libvirt_conf.XXXXXX";
static char value[32];
static struct error err;

static int set_up(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 || close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

static int get(const char *text, const char *key)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	error_clear(&err);
	memset(value, 'x', sizeof(value) - 1);
	return libvirt_conf_get_string(path, key, value, sizeof(value), &err);
}

static void test_values(void **state)
{
	/* Comments and other keys are passed over, the first setting counts, none is the empty text. */
	static const struct {
		const char *text, *value;
	} rows[] = {
		{ "lock_manager = \"lockd\"\n", "lockd" },
		{ "\tlock_manager='sanlock'", "sanlock" },
		{ "# lock_manager = \"no\"\nlock_manager=\"yes\" # why\n", "yes" },
		{ "lock_manager = \"first\"\nlock_manager = \"second\"\n", "first" },
		{ "lock_manager_x = \"no\"\nxlock_manager = \"no\"\n", "" },
		{ "cgroup_controllers = [ \"cpu\" ]\n", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(get(rows[i].text, "lock_manager"), 0);
		assert_string_equal(value, rows[i].value);
	}
}

static void test_errors(void **state)
{
	/* What cannot be read as a text is an error with its place; a missing file is no setting. */
	(void)state;
	assert_int_equal(get("a = 1\nlock_manager = 1\n", "lock_manager"), -ERROR_INVALID);
	assert_non_null(strstr(err.text, ":2: lock_manager"));
	assert_int_equal(get("lock_manager = \"open\n", "lock_manager"), -ERROR_INVALID);
	assert_int_equal(get("k = \"0123456789012345678901234567890123456789\"\n", "k"),
	                 -ERROR_INVALID);
	assert_non_null(strstr(err.text, "longer than 31 bytes"));
	assert_int_equal(libvirt_conf_get_string("/nonexistent/x", "k", value, sizeof(value), &err),
	                 0);
	assert_string_equal(value, "");
	assert_int_equal(libvirt_conf_get_string("/", "k", value, sizeof(value), &err),
	                 -ERROR_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
