/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a line of the audit log: who did what to what, and nothing that a terminal obeys. */
#include "proto/audit/audit_text.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/audit/audited.h"
#include "proto/coordinator.pb-c.h"
#include "tests/unit/audit_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* F78: no name brings anything but printable ASCII into the log, however it is made. */
static void f78_hostile_names(void **state)
{
	/* As bytes: the analyzer takes it for a trick against readers of this file. */
	static const char right_to_left[] = { (char)0xe2, (char)0x80, (char)0xae, 0 };
	static const char *const names[] = {
		"\x1b[2J",          "\xc2\x9b\x33\x31m", "a\nb\"c\\d", right_to_left, "\xff\xfe",
		"\xf0\x9f\x98\x80", "\xed\xa0\x80",      "\x7f",       "\xe2\x82"
	};
	static const char *const escaped[] = {
		"\"n\":\"\\u001b[2J\"",
		"\"n\":\"\\u009b31m\"",
		"\"n\":\"a\\u000ab\\\"c\\\\d\"",
		"\"n\":\"\\u202e\"",
		"\"n\":\"\\ufffd\\ufffd\"",
		"\"n\":\"\\ud83d\\ude00\"",
		NULL,
		"\"n\":\"\\u007f\"",
		"\"n\":\"\\ufffd\\ufffd\"",
	};
	struct audit_text t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		audit_text_init(&t);
		audit_text_add(&t, "n", names[i]);
		for (size_t b = 0; b < t.bytes; b++)
			assert_in_range(t.data[b], 0x20, 0x7e);
		if (escaped[i])
			assert_string_equal(t.data, escaped[i]);
	}
}

/* However long the values, a line has room, says that it was cut, and verifies. */
static void test_long_values(void **state)
{
	_cleanup_free_ char *text = NULL;
	char longest[4000];
	struct audit *a = audit_world_start(0, 0, 0);

	(void)state;
	memset(longest, 1, sizeof(longest) - 1); /* six characters each when escaped */
	longest[sizeof(longest) - 1] = '\0';
	audit_write(a, &(struct audit_record){ .role = longest,
	                                       .name = longest,
	                                       .address = longest,
	                                       .method = longest,
	                                       .outcome = longest,
	                                       .reason = longest });
	audit_stop(a);
	assert_int_equal(audit_world_verify().bad_line, 0);
	assert_int_equal(audit_world_verify().lines, 1);
	text = audit_world_read();
	assert_non_null(strstr(text, ",\"cut\":true,\"hash\":"));
}

/* Of a request stand there its object and its identifiers; of a reply what came of it. */
static void test_what_of_messages(void **state)
{
	Drover__V1__DrainRequest drain = DROVER__V1__DRAIN_REQUEST__INIT;
	Drover__V1__DrainReply reply = DROVER__V1__DRAIN_REPLY__INIT;
	Drover__V1__Drain made = DROVER__V1__DRAIN__INIT;
	uint8_t id[16] = { 0xab, 0x01 };
	struct audit_text t;

	(void)state;
	drain.node = (char *)"host1";
	drain.reason = (char *)"new disk";
	drain.request_id.data = id;
	drain.request_id.len = sizeof(id);
	audit_text_init(&t);
	audited_request(&drain.base, &t);
	assert_string_equal(t.data, "\"node\":\"host1\",\"reason\":\"new disk\","
	                            "\"request_id\":\"ab010000000000000000000000000000\"");
	made.number = 7;
	reply.drain = &made;
	audit_text_init(&t);
	assert_false(audited_reply(&reply.base, &t));
	assert_non_null(strstr(t.data, "\"drain\":{\"number\":7"));
	reply.drain = NULL;
	reply.refused = true;
	audit_text_init(&t);
	assert_true(audited_reply(&reply.base, &t));
	assert_string_equal(t.data, "\"refused\":true");
}

/* Who only looks is not in the log; every other method is, also one that is not known yet. */
static void test_which_methods(void **state)
{
	(void)state;
	assert_true(audited_method("drover.v1.Coordinator/Drain"));
	assert_true(audited_method("drover.v1.Coordinator/Fence"));
	assert_true(audited_method("drover.v1.Agent/StartMigration"));
	assert_true(audited_method("drover.v1.Agent/ProbeAttempt"));
	assert_true(audited_method("drover.v1.Agent/MadeTomorrow"));
	assert_false(audited_method("drover.v1.Coordinator/GetStatus"));
	assert_false(audited_method("drover.v1.Agent/RenewLease"));
}

#define T(test) cmocka_unit_test_setup_teardown(test, audit_world_setup, audit_world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(f78_hostile_names),
		T(test_long_values),
		cmocka_unit_test(test_what_of_messages),
		cmocka_unit_test(test_which_methods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
