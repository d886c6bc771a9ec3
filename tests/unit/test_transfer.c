/* SPDX-License-Identifier: Apache-2.0 */
/* What excludes each other on a migration's way, and which disks are chosen (common/transfer.h). */
#include "common/transfer.h"

#include "common/alloc.h"
#include "proto/transfer_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct error err;

static bool is_fine(struct transfer t, bool copies, bool post_copy)
{
	int rc = transfer_check(&t, copies, post_copy, &err);

	assert_true(rc == 0 || (rc == -ERROR_INVALID && err.text[0]));
	return rc == 0;
}

/* Several connections and post-copy lose the guest: never together, and the refusal says so and what to
 * leave out. One connection is none too many. */
static void test_parallel_excludes_post_copy(void **state)
{
	(void)state;
	assert_true(is_fine((struct transfer){ 0 }, false, true));
	assert_true(is_fine((struct transfer){ .connections = 1 }, false, true));
	assert_true(is_fine((struct transfer){ .connections = 2 }, false, false));
	assert_false(is_fine((struct transfer){ .connections = 2 }, false, true));
	assert_non_null(strstr(err.text, "exclude each other"));
	assert_non_null(strstr(err.text, "--no-post-copy"));
	assert_true(is_fine((struct transfer){ .connections = TRANSFER_CONNECTIONS_MAX }, false,
	                    false));
	assert_false(is_fine((struct transfer){ .connections = TRANSFER_CONNECTIONS_MAX + 1 },
	                     false, false));
	assert_false(is_fine((struct transfer){ .connections = UINT32_MAX }, false, false));
}

/* xbzrle goes with all; compression by threads with neither post-copy nor several connections. */
static void test_compression(void **state)
{
	struct transfer xbzrle = { .compression = COMPRESSION_XBZRLE, .connections = 4 };
	struct transfer mt = { .compression = COMPRESSION_MT };
	enum compression c = COMPRESSION_NONE;

	(void)state;
	assert_true(is_fine(xbzrle, false, false));
	xbzrle.connections = 1;
	assert_true(is_fine(xbzrle, false, true));
	assert_true(is_fine(mt, false, false));
	assert_false(is_fine(mt, false, true));
	mt.connections = 2;
	assert_false(is_fine(mt, false, false));
	assert_false(is_fine((struct transfer){ .compression = COMPRESSIONS }, false, false));

	for (unsigned i = 0; i < COMPRESSIONS; i++) {
		assert_int_equal(compression_parse(compression_name((enum compression)i), &c, &err),
		                 0);
		assert_int_equal(c, i);
	}
	assert_int_equal(compression_parse("zstd", &c, &err), -ERROR_INVALID);
	assert_non_null(strstr(err.text, "none, xbzrle or mt"));
	assert_string_equal(compression_name(COMPRESSIONS), "unknown");
}

/* Disks are chosen by whole names; a list of anything else is refused, and so is a choice among what is
 * not copied. */
static void test_chosen_disks(void **state)
{
	static const char *const bad[] = { ",",       "vda,", ",vda", "vda,,vdb",
		                           "vda vdb", "../x", "vd\na" };
	struct transfer t = { .copy_only = "vdab,vda" };

	(void)state;
	assert_true(is_fine(t, true, false));
	assert_false(is_fine(t, false, false));
	assert_non_null(strstr(err.text, "--copy-disks"));
	assert_true(transfer_copies(&t, "vda"));
	assert_true(transfer_copies(&t, "vdab"));
	assert_false(transfer_copies(&t, "vd"));
	assert_false(transfer_copies(&t, "vdb"));
	assert_false(transfer_copies(&t, "dab"));
	t.copy_only[0] = '\0';
	assert_true(transfer_copies(&t, "anything"));
	t.copy_incremental = true;
	assert_true(is_fine(t, true, false));
	assert_false(is_fine(t, false, false));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		strcpy(t.copy_only, bad[i]);
		assert_false(is_fine(t, true, false));
	}
}

/* It survives the wire; what a later version or a liar sends does not get through. */
static void test_wire(void **state)
{
	struct transfer t = { .connections = 8,
		              .compression = COMPRESSION_XBZRLE,
		              .copy_incremental = true,
		              .copy_only = "vda,vdb" };
	struct transfer got = { .connections = 3 };
	Drover__V1__Transfer *m = transfer_message_new(&t);
	char long_text[TRANSFER_ONLY_BYTES + 1];

	(void)state;
	assert_int_equal(transfer_message_read(m, &got, &err), 0);
	assert_int_equal(got.connections, 8);
	assert_int_equal(got.compression, COMPRESSION_XBZRLE);
	assert_true(got.copy_incremental);
	assert_string_equal(got.copy_only, "vda,vdb");
	m->compression = (Drover__V1__Compression)77;
	assert_int_equal(transfer_message_read(m, &got, &err), -ERROR_INVALID);
	assert_int_equal(got.connections, 8);
	drover__v1__transfer__free_unpacked(m, NULL);

	m = transfer_message_new(&t);
	free(m->copy_only);
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	m->copy_only = xstrdup(long_text);
	assert_int_equal(transfer_message_read(m, &got, &err), -ERROR_TOO_LARGE);
	drover__v1__transfer__free_unpacked(m, NULL);

	assert_int_equal(transfer_message_read(NULL, &got, &err), 0);
	assert_int_equal(got.connections, 0);
	assert_string_equal(got.copy_only, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parallel_excludes_post_copy),
		cmocka_unit_test(test_compression),
		cmocka_unit_test(test_chosen_disks),
		cmocka_unit_test(test_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
