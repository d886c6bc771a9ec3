/* SPDX-License-Identifier: Apache-2.0 */
/* Messages become JSON that jq and people can rely on. */
#include "proto/json.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* An empty message shows all its keys with their defaults, in lowerCamelCase. */
static void test_defaults_are_shown(void **state)
{
	Drover__V1__Event event = DROVER__V1__EVENT__INIT;
	Drover__V1__NodeList list = DROVER__V1__NODE_LIST__INIT;
	_cleanup_free_ char *text = json_format(&event.base, false);
	_cleanup_free_ char *empty = json_format(&list.base, false);

	(void)state;
	assert_string_equal(text, "{\"revision\":0,\"wallMs\":0,\"severity\":\"\","
	                          "\"subject\":\"\",\"text\":\"\"}");
	assert_string_equal(empty, "{\"nodes\":[],\"revision\":0,\"note\":\"\"}");
}

/* Numbers keep all 64 bits, booleans are words, absent messages are null, enums are names. */
static void test_values(void **state)
{
	Drover__V1__AttemptReport report = DROVER__V1__ATTEMPT_REPORT__INIT;
	_cleanup_free_ char *text = NULL;

	(void)state;
	report.state = DROVER__V1__MIGRATION_STATE__SWITCHING;
	report.wire_bytes = UINT64_MAX;
	report.tombstoned = 1;
	text = json_format(&report.base, false);
	assert_non_null(strstr(text, "\"state\":\"SWITCHING\""));
	assert_non_null(strstr(text, "\"wireBytes\":18446744073709551615,"));
	assert_non_null(strstr(text, "\"tombstoned\":true"));
	assert_non_null(strstr(text, "\"attempt\":null"));
	assert_non_null(strstr(text, "\"guard\":\"GUARD_NONE\""));
}

/* An enum value that has no name is its number. */
static void test_enum_without_a_name(void **state)
{
	Drover__V1__Check check = DROVER__V1__CHECK__INIT;
	_cleanup_free_ char *text = NULL;

	(void)state;
	check.verdict = (Drover__V1__Check__Verdict)99;
	text = json_format(&check.base, false);
	assert_non_null(strstr(text, "\"verdict\":99"));
}

static void check_bytes(const uint8_t *data, size_t bytes, const char *expected)
{
	Drover__V1__Attempt attempt = DROVER__V1__ATTEMPT__INIT;
	_cleanup_free_ char *text = NULL;
	char begin[80];

	attempt.operation_id.data = (uint8_t *)data;
	attempt.operation_id.len = bytes;
	text = json_format(&attempt.base, false);
	snprintf(begin, sizeof(begin), "{\"operationId\":\"%s\",", expected);
	assert_memory_equal(text, begin, strlen(begin));
}

/* Sixteen bytes are an id in hex; other lengths are base64 (RFC 4648's own examples). */
static void test_bytes(void **state)
{
	static const uint8_t id[16] = { 0x00, 0x01, 0xfe, 0xff, 4,  5,  6,  7,
		                        8,    9,    10,   11,   12, 13, 14, 0xaf };

	(void)state;
	check_bytes(id, 16, "0001feff0405060708090a0b0c0d0eaf");
	check_bytes(NULL, 0, "");
	check_bytes((const uint8_t *)"f", 1, "Zg==");
	check_bytes((const uint8_t *)"fo", 2, "Zm8=");
	check_bytes((const uint8_t *)"foo", 3, "Zm9v");
	check_bytes((const uint8_t *)"foob", 4, "Zm9vYg==");
	check_bytes((const uint8_t *)"\xff\xfe\xfd", 3, "//79");
}

static void check_string(const char *in, const char *out)
{
	Drover__V1__NodeRequest request = DROVER__V1__NODE_REQUEST__INIT;
	_cleanup_free_ char *expected = xasprintf(
		"{\"node\":%s,\"reason\":\"\",\"bringBack\":false,\"dryRun\":false}", out);
	_cleanup_free_ char *text = NULL;

	request.node = (char *)in;
	text = json_format(&request.base, false);
	assert_string_equal(text, expected);
}

/* Whatever is in a string, the output is one valid JSON string that cannot drive a terminal. */
static void test_strings_are_escaped(void **state)
{
	(void)state;
	check_string("a\"b\\c", "\"a\\\"b\\\\c\"");
	check_string("\n\r\t\x01\x1b[31m\x7f", "\"\\n\\r\\t\\u0001\\u001b[31m\\u007f\"");
	check_string("\xc2\x9b", "\"\\u009b\"");
	check_string("gr\xc3\xbc\xc3\x9f \xe2\x98\xba \xf0\x9f\x98\x88",
	             "\"gr\xc3\xbc\xc3\x9f \xe2\x98\xba \xf0\x9f\x98\x88\"");
	check_string("a\xff"
	             "b\xc3",
	             "\"a\xef\xbf\xbd"
	             "b\xef\xbf\xbd\"");
}

/* Of a oneof only the member that is set is shown. */
static void test_oneof(void **state)
{
	Drover__V1__Change change = DROVER__V1__CHANGE__INIT;
	Drover__V1__Event event = DROVER__V1__EVENT__INIT;
	_cleanup_free_ char *with = NULL, *without = NULL;

	(void)state;
	without = json_format(&change.base, false);
	assert_string_equal(without, "{\"revision\":0,\"reset\":false,\"caughtUp\":false}");
	event.text = (char *)"hello";
	change.object_case = DROVER__V1__CHANGE__OBJECT_EVENT;
	change.event = &event;
	with = json_format(&change.base, false);
	assert_non_null(strstr(with, "\"caughtUp\":false,\"event\":{"));
	assert_null(strstr(with, "\"node\":"));
}

/* What is printed is what another JSON reader reads, nested lists and indentation included. */
static void test_a_parser_agrees(void **state)
{
	Drover__V1__NodeList list = DROVER__V1__NODE_LIST__INIT;
	Drover__V1__Node node = DROVER__V1__NODE__INIT, *nodes[] = { &node, &node };
	Drover__V1__HostState host = DROVER__V1__HOST_STATE__INIT;
	_cleanup_free_ char *text = NULL;
	json_error_t error;
	json_t *root, *second;

	(void)state;
	node.name = (char *)"host \"1\"\n";
	node.host = &host;
	host.memory_capacity_bytes = 1u << 30;
	list.nodes = nodes;
	list.n_nodes = 2;
	text = json_format(&list.base, true);
	root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(root);
	assert_int_equal(json_array_size(json_object_get(root, "nodes")), 2);
	second = json_array_get(json_object_get(root, "nodes"), 1);
	assert_string_equal(json_string_value(json_object_get(second, "name")), "host \"1\"\n");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(second, "host"),
	                                                    "memoryCapacityBytes")),
	                 1 << 30);
	json_decref(root);
}

/* Pretty output is indented by two and ends without a newline; empty lists stay on their line. */
static void test_pretty(void **state)
{
	Drover__V1__NodeList list = DROVER__V1__NODE_LIST__INIT;
	Drover__V1__GetStatusRequest empty = DROVER__V1__GET_STATUS_REQUEST__INIT;
	_cleanup_free_ char *text = json_format(&list.base, true);
	_cleanup_free_ char *nothing = json_format(&empty.base, true);

	(void)state;
	assert_string_equal(text, "{\n  \"nodes\": [],\n  \"revision\": 0,\n  \"note\": \"\"\n}");
	assert_string_equal(nothing, "{}");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_are_shown),  cmocka_unit_test(test_values),
		cmocka_unit_test(test_enum_without_a_name), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_strings_are_escaped), cmocka_unit_test(test_oneof),
		cmocka_unit_test(test_a_parser_agrees),     cmocka_unit_test(test_pretty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
