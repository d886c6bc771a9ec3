/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that people type becomes messages, or an error that says where and what. */
#include "proto/json.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"
#include "proto/methods.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *read_good(const char *text, const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *message = NULL;
	struct error err = { 0 };

	if (json_read(text, type, &message, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	assert_ptr_equal(message->descriptor, type);
	return message;
}

static void refuse(const ProtobufCMessageDescriptor *type, const char *text, const char *expected)
{
	ProtobufCMessage *message = NULL;
	struct error err = { 0 };

	assert_int_equal(json_read(text, type, &message, &err), -ERROR_INVALID);
	assert_null(message);
	if (!strstr(err.text, expected))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, err.text, expected);
}

#define DRAIN  &drover__v1__drain_request__descriptor
#define CHANGE &drover__v1__change__descriptor

/* Fields by either of their names, of every kind that requests have. */
static void test_fields(void **state)
{
	Drover__V1__DrainRequest *r = read_good(
		"{\"node\":\"host1\",\"dry_run\":true,\"leave\":[\"a\",\"b\"],\"parallel\":3,"
		"\"bandwidthBytesPerS\":\"18446744073709551615\",\"reason\":null,"
		"\"requestId\":\"000102030405060708090a0b0c0d0e0f\"}",
		DRAIN);

	(void)state;
	assert_string_equal(r->node, "host1");
	assert_true(r->dry_run);
	assert_int_equal(r->n_leave, 2);
	assert_string_equal(r->leave[1], "b");
	assert_int_equal(r->parallel, 3);
	assert_true(r->bandwidth_bytes_per_s == UINT64_MAX);
	assert_string_equal(r->reason, "");
	assert_int_equal(r->request_id.len, 16);
	assert_int_equal(r->request_id.data[15], 15);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

/* An empty object is the message with all defaults. */
static void test_nothing(void **state)
{
	Drover__V1__DrainRequest *r = read_good(" {} ", DRAIN);

	(void)state;
	assert_string_equal(r->node, "");
	assert_int_equal(r->n_leave, 0);
	assert_false(r->leave_unmovable);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void check_base64(const char *text, const char *expected)
{
	_cleanup_free_ char *json = xasprintf("{\"requestId\":\"%s\"}", text);
	Drover__V1__DrainRequest *r = read_good(json, DRAIN);

	assert_int_equal(r->request_id.len, strlen(expected));
	if (*expected)
		assert_memory_equal(r->request_id.data, expected, strlen(expected));
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

/* Base64 of every length, with and without its padding. */
static void test_base64(void **state)
{
	(void)state;
	check_base64("", "");
	check_base64("YQ==", "a");
	check_base64("YQ", "a");
	check_base64("YWI=", "ab");
	check_base64("YWJj", "abc");
	refuse(DRAIN, "{\"requestId\":\"YWJ\"}", "requestId is neither base64 nor an id");
	refuse(DRAIN, "{\"requestId\":\"Y\"}", "neither base64");
	refuse(DRAIN, "{\"requestId\":\"YQ===\"}", "neither base64");
	refuse(DRAIN, "{\"requestId\":\"YQ=\"}", "neither base64");
	refuse(DRAIN, "{\"requestId\":\"a0b020a0b0a0B0c0d0eb0a0b0c0d0e1f=\"}", "neither base64");
	refuse(DRAIN, "{\"requestId\":\"Y!==\"}", "neither base64");
}

/* Of a oneof one member only; messages within messages; enums by name and by number. */
static void test_oneof_and_enums(void **state)
{
	Drover__V1__Change *c = read_good("{\"migration\":{\"number\":7,\"state\":\"FAILED\"}}",
	                                  CHANGE);

	(void)state;
	assert_int_equal(c->object_case, DROVER__V1__CHANGE__OBJECT_MIGRATION);
	assert_int_equal(c->migration->number, 7);
	assert_int_equal(c->migration->state, DROVER__V1__MIGRATION_STATE__FAILED);
	protobuf_c_message_free_unpacked(&c->base, NULL);
	refuse(CHANGE, "{\"migration\":{},\"event\":{}}", "exclude each other");
	refuse(CHANGE, "{\"migration\":{\"state\":\"BROKEN\"}}",
	       "migration.state: MigrationState has no value \"BROKEN\"");
}

/* What is wrong is said with its place. */
static void test_refusals(void **state)
{
	(void)state;
	refuse(DRAIN, "{\"node\":1}", "node must be a string, and is a number");
	refuse(DRAIN, "{\"leave\":[\"a\",{}]}", "leave[1] must be a string, and is an object");
	refuse(DRAIN, "{\"leave\":\"a\"}", "leave must be a list, and is a string");
	refuse(DRAIN, "{\"hosts\":\"a\"}", "DrainRequest has no field \"hosts\"");
	refuse(DRAIN, "{\"parallel\":-1}", "parallel is -1; it must be from 0 to 4294967295");
	refuse(DRAIN, "{\"parallel\":4294967296}", "parallel is 4294967296");
	refuse(DRAIN, "{\"parallel\":1.5}", "parallel must be a whole number");
	refuse(DRAIN, "{\"parallel\":\"1x\"}", "parallel must be a whole number, and is \"1x\"");
	refuse(DRAIN, "{\"parallel\":\"\"}", "parallel must be a whole number");
	refuse(DRAIN, "{\"parallel\":\" 1\"}", "parallel must be a whole number");
	refuse(DRAIN, "{\"bandwidthBytesPerS\":\"18446744073709551616\"}", "it must be from 0");
	refuse(DRAIN, "{\"dryRun\":1}", "dryRun must be true or false, and is a number");
	refuse(DRAIN, "{\"dryRun\":true,\"dry_run\":true}", "stands there twice");
	refuse(DRAIN, "{\"node\":\"a\",\"node\":\"b\"}", "not JSON: line 1");
	refuse(DRAIN, "{\n\"node\" \"a\"}", "line 2, column");
	refuse(DRAIN, "[]", "the whole must be an object, and is a list");
	refuse(DRAIN, "", "not JSON");
	refuse(DRAIN, "{} {}", "not JSON");
	refuse(DRAIN, "{\"node\":\"a\\u0000b\"}", "not JSON");
	refuse(CHANGE, "{\"vm\":{\"seenOn\":[1]}}", "vm.seenOn[0] must be a string");
}

/* More than a request can sensibly be is not even parsed; neither is endless nesting. */
static void test_limits(void **state)
{
	char *text = xmalloc(JSON_READ_MAX_BYTES + 2);
	ProtobufCMessage *message = NULL;
	struct error err;

	(void)state;
	memset(text, '[', JSON_READ_MAX_BYTES + 1);
	text[JSON_READ_MAX_BYTES + 1] = '\0';
	assert_int_equal(json_read(text, DRAIN, &message, &err), -ERROR_TOO_LARGE);
	assert_non_null(strstr(err.text, "1048577 bytes"));
	text[JSON_READ_MAX_BYTES] = '\0';
	refuse(DRAIN, text, "maximum parsing depth");
	assert_null(message);
	free(text);
}

/* What is written is read again, and is the same: the defaults of all messages that are sent. */
static void test_round_trip(void **state)
{
	size_t count;
	const struct method *all = method_get_all(&count);

	(void)state;
	for (size_t i = 0; i < 2 * count; i++) {
		const ProtobufCMessageDescriptor *type = i % 2 ? all[i / 2].input
		                                               : all[i / 2].output;
		ProtobufCMessage *message = xcalloc(1, type->sizeof_message), *again;
		_cleanup_free_ char *text = NULL, *second = NULL;

		type->message_init(message);
		text = json_format(message, i % 3 == 0);
		again = read_good(text, type);
		second = json_format(again, i % 3 == 0);
		assert_string_equal(text, second);
		protobuf_c_message_free_unpacked(again, NULL);
		free(message);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),          cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_base64),          cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_oneof_and_enums), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
