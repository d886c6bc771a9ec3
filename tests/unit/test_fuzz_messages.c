/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz targets know every message that a .proto file declares. */
#include "tests/fuzz/messages.h"

#include "common/cleanup.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const ProtobufCMessageDescriptor *types[FUZZ_MESSAGES_MAX];
static size_t n_types;

static bool is_known(const char *name)
{
	for (size_t i = 0; i < n_types; i++) {
		if (strcmp(types[i]->short_name, name) == 0)
			return true;
	}
	return false;
}

static unsigned check_file(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[512], name[128];
	unsigned seen = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " message %127[A-Za-z0-9] ", name) != 1 || !strchr(line, '{'))
			continue;
		seen++;
		if (!is_known(name))
			fail_msg("%s: message %s is not fuzzed", path, name);
	}
	return seen;
}

/* None was forgotten, and none is there twice. */
static void test_all_messages(void **state)
{
	unsigned seen = 0;
	glob_t files;

	(void)state;
	n_types = fuzz_messages_get_all(types);
	assert_int_equal(glob("proto/*.proto", 0, NULL, &files), 0);
	assert_int_equal(glob("proto/mesh/*.proto", GLOB_APPEND, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++)
		seen += check_file(files.gl_pathv[i]);
	globfree(&files);
	assert_int_equal(seen, n_types);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_messages) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
