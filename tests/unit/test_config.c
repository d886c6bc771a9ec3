/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file is taken as a whole or refused with the place and the reason. */
#include "common/config.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct settings {
	char *node;
	struct config_list peers;
	bool strict;
	uint64_t slots;
	uint64_t capacity_bytes;
	uint64_t reserve_bytes;
	uint64_t limit_bytes_per_s;
	uint64_t lease_ms;
};

static const struct config_key keys[] = {
	{ "node", CONFIG_STRING, offsetof(struct settings, node), .required = true },
	{ "peers", CONFIG_LIST, offsetof(struct settings, peers) },
	{ "strict", CONFIG_BOOL, offsetof(struct settings, strict) },
	{ "slots", CONFIG_UINT, offsetof(struct settings, slots), .min = 1, .max = 64 },
	{ "memory/capacity", CONFIG_BYTES, offsetof(struct settings, capacity_bytes) },
	{ "memory/reserve", CONFIG_BYTES, offsetof(struct settings, reserve_bytes),
	  .min = 64 * MIB },
	{ "network/migration/limit", CONFIG_RATE, offsetof(struct settings, limit_bytes_per_s) },
	{ "lease", CONFIG_DURATION, offsetof(struct settings, lease_ms), .max = 600000 },
};

struct fixture {
	char path[64];
	struct settings settings;
	struct error err;
};

static int setup(void **state)
{
	struct fixture *f = xnew(struct fixture);
	int fd;

	snprintf(f->path, sizeof(f->path), "/tmp/drover-test-config.XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	f->settings.node = xstrdup("default");
	f->settings.peers.items[0] = xstrdup("default-peer");
	f->settings.peers.count = 1;
	f->settings.slots = 2;
	f->settings.lease_ms = 30000;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	config_free(keys, ARRAY_SIZE(keys), &f->settings);
	unlink(f->path);
	free(f);
	return 0;
}

static void write_bytes(struct fixture *f, const char *text, size_t bytes)
{
	_cleanup_fclose_ FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, bytes, file), bytes);
}

static int load(struct fixture *f, const char *text)
{
	write_bytes(f, text, strlen(text));
	error_clear(&f->err);
	return config_load(f->path, keys, ARRAY_SIZE(keys), &f->settings, &f->err);
}

static void assert_untouched(const struct fixture *f)
{
	assert_string_equal(f->settings.node, "default");
	assert_int_equal(f->settings.peers.count, 1);
	assert_string_equal(f->settings.peers.items[0], "default-peer");
	assert_int_equal(f->settings.slots, 2);
	assert_int_equal(f->settings.lease_ms, 30000);
	assert_int_equal(f->settings.capacity_bytes, 0);
	assert_false(f->settings.strict);
}

/* Every type is read in the forms that people write, at any depth. */
static void test_reads_every_type(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, "# the first host\n"
	                         "node: host1\n"
	                         "peers:\n"
	                         "  - tcp://10.0.0.1:7440\n"
	                         "  - \"tcp://10.0.0.2:7440\"\n"
	                         "strict: true\n"
	                         "slots: 5\n"
	                         "memory:\n"
	                         "  capacity: 1.5GiB\n"
	                         "  reserve: 64Mi\n"
	                         "network: { migration: { limit: 1Gbit/s } }\n"
	                         "lease: 1m30s\n"),
	                 0);
	assert_string_equal(f->settings.node, "host1");
	assert_int_equal(f->settings.peers.count, 2);
	assert_string_equal(f->settings.peers.items[0], "tcp://10.0.0.1:7440");
	assert_string_equal(f->settings.peers.items[1], "tcp://10.0.0.2:7440");
	assert_true(f->settings.strict);
	assert_int_equal(f->settings.slots, 5);
	assert_int_equal(f->settings.capacity_bytes, 3 * GIB / 2);
	assert_int_equal(f->settings.reserve_bytes, 64 * MIB);
	assert_int_equal(f->settings.limit_bytes_per_s, 125000000);
	assert_int_equal(f->settings.lease_ms, 90000);
}

/* What the file leaves out keeps its default. */
static void test_defaults_stay(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, "node: host1\n"), 0);
	assert_int_equal(f->settings.slots, 2);
	assert_string_equal(f->settings.peers.items[0], "default-peer");
}

/* A list may be one text, and may be emptied. */
static void test_lists(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, "node: a\npeers: one\n"), 0);
	assert_int_equal(f->settings.peers.count, 1);
	assert_string_equal(f->settings.peers.items[0], "one");
	assert_int_equal(load(f, "node: a\npeers: []\n"), 0);
	assert_int_equal(f->settings.peers.count, 0);
}

/* A file may be loaded again over settings that an earlier one filled. */
static void test_reload(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, "node: a\npeers: [x, y]\n"), 0);
	assert_int_equal(load(f, "node: b\npeers: [z]\n"), 0);
	assert_string_equal(f->settings.node, "b");
	assert_int_equal(f->settings.peers.count, 1);
}

/* A file without settings is fine as long as nothing is required. */
static void test_empty_file(void **state)
{
	struct fixture *f = *state;
	static const char *const empty[] = { "", "\n\n", "# nothing\n", "---\n", "---\n...\n" };
	uint64_t slots = 7;
	const struct config_key optional[] = { { "slots", CONFIG_UINT, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		write_bytes(f, empty[i], strlen(empty[i]));
		assert_int_equal(config_load(f->path, optional, 1, &slots, &f->err), 0);
		assert_int_equal(slots, 7);
	}
}

/* clang-format off */
static const struct {
	const char *text;
	int line, column;
	const char *says;
} refused[] = {
	/* keys */
	{ "node: a\nnoed: b\n",               2,  1, "unknown key \"noed\"; known here: node, peers, strict, slots, memory, network, lease" },
	{ "node: a\nmemory:\n  size: 1\n",    3,  3, "unknown key \"size\"; known here: capacity, reserve" },
	{ "node: a\nmemory/capacity: 1\n",    2,  1, "unknown key" },
	{ "node: a\n\"\": 1\n",               2,  1, "unknown key" },
	{ "node: a\nslots: 1\nslots: 2\n",    3,  1, "slots is set twice; the first is in line 2" },
	{ "node: a\nmemory: {capacity: 1}\nmemory: {reserve: 64Mi}\n", 3, 1, "memory is set twice" },
	{ "node: a\n<<: {slots: 1}\n",        2,  1, "unknown key \"<<\"" },
	{ "? [node]\n: a\n",                  1,  3, "a key must be a plain word" },
	{ "? {node: a}\n: a\n",               1,  3, "a key must be a plain word" },
	/* values */
	{ "node:\n",                          1,  1, "node: the value is missing" },
	{ "node: ~\n",                        1,  7, "node: the value is missing" },
	{ "node: \"\"\n",                     1,  7, "node: the value is missing" },
	{ "node: [a]\n",                      1,  7, "node: expected one value, found a list" },
	{ "node: {a: b}\n",                   1,  7, "node: expected one value, found a block of keys" },
	{ "node: \"a\\0b\"\n",                1,  7, "control character" },
	{ "node: \"a\\nb\"\n",                1,  7, "control character" },
	{ "node: |\n  a\n  b\n",              2,  1, "control character" },
	{ "node: a\nmemory: 5\n",             2,  9, "memory: expected keys below it" },
	{ "node: a\npeers: [a, [b]]\n",       2, 12, "peers: expected a list of texts" },
	{ "node: a\npeers: [a, \"\"]\n",      2, 12, "peers: an item is empty" },
	{ "node: a\npeers: {a: b}\n",         2,  8, "peers: expected one value" },
	{ "node: a\nstrict: yes\n",           2,  9, "strict: \"yes\" is neither true nor false" },
	{ "node: a\nslots: 0\n",              2,  8, "slots: 0 is too small; the least is 1" },
	{ "node: a\nslots: 65\n",             2,  8, "slots: 65 is too large; the most is 64" },
	{ "node: a\nslots: -1\n",             2,  8, "not a whole number" },
	{ "node: a\nslots: +1\n",             2,  8, "not a whole number" },
	{ "node: a\nslots: 010\n",            2,  8, "not a whole number" },
	{ "node: a\nslots: 0x10\n",           2,  8, "not a whole number" },
	{ "node: a\nslots: 1.0\n",            2,  8, "not a whole number" },
	{ "node: a\nslots: 1e1\n",            2,  8, "not a whole number" },
	{ "node: a\nslots: 99999999999999999999\n", 2, 8, "is too large" },
	{ "node: a\nmemory:\n  capacity: much\n", 3, 13, "\"much\" is not a size; write for example" },
	{ "node: a\nmemory:\n  reserve: 1MiB\n",  3, 12, "the least is 64 MiB" },
	{ "node: a\nlease: soon\n",           2,  8, "\"soon\" is not a duration" },
	{ "node: a\nlease: 11m\n",            2,  8, "the most is 10 min 0 s" },
	{ "node: a\nnetwork: {migration: {limit: 100}}\n", 2, 30, "is not a rate" },
	/* YAML's sharp edges */
	{ "node: &here a\n",                  1, 13, "anchors are not accepted" },
	{ "&top\nnode: a\n",                  2,  1, "anchors are not accepted" },
	{ "node: a\npeers: &p [a]\n",         2, 11, "anchors are not accepted" },
	{ "node: *there\n",                   1,  7, "aliases are not accepted" },
	{ "node: !!str a\n",                  1, 13, "tags are not accepted" },
	{ "node: a\n---\nnode: b\n",          2,  1, "a second document" },
	{ "- node\n",                         1,  1, "expected lines of the form" },
	{ "node\n",                           1,  1, "expected lines of the form" },
	{ "node: a\n\tslots: 1\n",            1,  7, "this is not YAML" },
	{ "node: a\npeers: [a\n",            0,  0, "this is not YAML" },
	{ "node: \"a\n",                      0,  0, "this is not YAML" },
	{ "node: a\n  slots: 1\n",            0,  0, "this is not YAML" },
	{ "node: a: b\n",                     0,  0, "this is not YAML" },
	{ "node: @a\n",                       0,  0, "this is not YAML" },
	{ "node: \xff\xfe\n",                 1,  7, "this is not UTF-8 text" },
};
/* clang-format on */

/* Each mistake is refused at its line and column, in words, and changes nothing, even where the
 * rest of the file is good. */
static void f79_mistakes_are_placed(void **state)
{
	struct fixture *f = *state;
	size_t failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char place[96];
		int rc = load(f, refused[i].text);

		snprintf(place, sizeof(place), "%s:%d:%d: ", f->path, refused[i].line,
		         refused[i].column);
		if (rc != -ERROR_INVALID || !strstr(f->err.text, refused[i].says) ||
		    (refused[i].line && strncmp(f->err.text, place, strlen(place)) != 0)) {
			print_error("row %zu, <%s>: got %d \"%s\"\n   expected %d:%d %s\n", i,
			            refused[i].text, rc, f->err.text, refused[i].line,
			            refused[i].column, refused[i].says);
			failed++;
		}
		assert_untouched(f);
	}
	assert_int_equal(failed, 0);
}

/* A required key that is not there is named. */
static void test_required(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, "slots: 3\n"), -ERROR_INVALID);
	assert_non_null(strstr(f->err.text, "the required key node is missing"));
	assert_untouched(f);
}

/* What cannot be a configuration file is refused before it is parsed. */
static void test_not_a_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(config_load("/nonexistent", keys, ARRAY_SIZE(keys), &f->settings, &f->err),
	                 -ERROR_NOT_FOUND);
	assert_int_equal(config_load("/tmp", keys, ARRAY_SIZE(keys), &f->settings, &f->err),
	                 -ERROR_INVALID);
	write_bytes(f, "node: a\0b\n", 10);
	assert_int_equal(config_load(f->path, keys, ARRAY_SIZE(keys), &f->settings, &f->err),
	                 -ERROR_INVALID);
	unlink(f->path);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(config_load(f->path, keys, ARRAY_SIZE(keys), &f->settings, &f->err),
	                 -ERROR_INVALID);
	assert_untouched(f);
}

/* The limit on the size is exact. */
static void f79_too_large(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = xmalloc(CONFIG_FILE_BYTES + 1);

	memset(text, '#', CONFIG_FILE_BYTES + 1);
	memcpy(text, "node: a\n", strlen("node: a\n"));
	write_bytes(f, text, CONFIG_FILE_BYTES);
	assert_int_equal(config_load(f->path, keys, ARRAY_SIZE(keys), &f->settings, &f->err), 0);
	write_bytes(f, text, CONFIG_FILE_BYTES + 1);
	assert_int_equal(config_load(f->path, keys, ARRAY_SIZE(keys), &f->settings, &f->err),
	                 -ERROR_TOO_LARGE);
}

/* A list of the most items is taken, one more is refused, and nothing is lost on the way. */
static void test_list_limit(void **state)
{
	struct fixture *f = *state;
	char text[32 + 2 * CONFIG_LIST_MAX];
	size_t used = (size_t)snprintf(text, sizeof(text), "node: a\npeers: [");

	for (size_t i = 0; i < CONFIG_LIST_MAX; i++, used += 2)
		snprintf(text + used, sizeof(text) - used, "x,");
	snprintf(text + used - 1, 2, "]");
	assert_int_equal(load(f, text), 0);
	assert_int_equal(f->settings.peers.count, CONFIG_LIST_MAX);
	snprintf(text + used - 1, 4, ",x]");
	assert_int_equal(load(f, text), -ERROR_INVALID);
	assert_non_null(strstr(f->err.text, "more than 64 items"));
	assert_int_equal(f->settings.peers.count, CONFIG_LIST_MAX);
}

/* Deep nesting, in text that the table does not know, costs nothing and ends in an error. */
static void f79_deep_nesting(void **state)
{
	struct fixture *f = *state;
	static char text[200 * 1024];

	memset(text, '[', sizeof(text) - 1);
	assert_int_equal(load(f, text), -ERROR_INVALID);
	memset(text, '{', sizeof(text) - 1);
	assert_int_equal(load(f, text), -ERROR_INVALID);
	assert_untouched(f);
}

/* An error that quotes the file holds no control characters and stays one line. */
static void test_quoted_text_is_harmless(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, "node: a\n\"x\xC2\x9B\": 1\n"), -ERROR_INVALID);
	assert_int_equal(load(f, "node: a\n\"\\e[31m\": 1\n"), -ERROR_INVALID);
	assert_null(strchr(f->err.text, 0x1b));
	assert_null(strchr(f->err.text, '\n'));
}

/* Nobody needs to listen to the reason. */
static void test_without_error(void **state)
{
	struct fixture *f = *state;

	write_bytes(f, "noed: a\n", 8);
	assert_int_equal(config_load(f->path, keys, ARRAY_SIZE(keys), &f->settings, NULL),
	                 -ERROR_INVALID);
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(test_reads_every_type),
		CONFIG_TEST(test_defaults_stay),
		CONFIG_TEST(test_lists),
		CONFIG_TEST(test_reload),
		CONFIG_TEST(test_empty_file),
		CONFIG_TEST(f79_mistakes_are_placed),
		CONFIG_TEST(test_required),
		CONFIG_TEST(test_not_a_file),
		CONFIG_TEST(f79_too_large),
		CONFIG_TEST(test_list_limit),
		CONFIG_TEST(f79_deep_nesting),
		CONFIG_TEST(test_quoted_text_is_harmless),
		CONFIG_TEST(test_without_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
