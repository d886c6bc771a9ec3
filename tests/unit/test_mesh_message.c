/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers send becomes a message that is safe to read, or an error that names the field. */
#include "proto/mesh/message.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_error(const ProtobufCMessageDescriptor *type, const void *bytes, size_t count,
                         const char *text)
{
	struct error err;

	assert_int_equal(message_check(type, bytes, count, &err), -ERROR_PROTOCOL);
	assert_string_equal(err.text, text);
}

#define EXPECT(type, bytes, text) \
	expect_error(&drover__v1__##type##__descriptor, bytes, sizeof(bytes) - 1, text)

/* What our own encoder writes is read back as it was. */
static void test_round_trip(void **state)
{
	Drover__V1__AdmitReply reply = DROVER__V1__ADMIT_REPLY__INIT;
	Drover__V1__Check check = DROVER__V1__CHECK__INIT, *checks[] = { &check, &check };
	Drover__V1__AdmitReply *back;
	_cleanup_free_ uint8_t *bytes = NULL;
	ProtobufCMessage *message;
	struct arena arena;
	struct error err;
	size_t count;

	(void)state;
	check.id = (char *)"memory";
	check.verdict = DROVER__V1__CHECK__VERDICT__FAIL;
	reply.checks = checks;
	reply.n_checks = 2;
	reply.memory_port = 49152;
	reply.migration_address = (char *)"gr\xc3\xbc\xc3\x9f";
	count = protobuf_c_message_get_packed_size(&reply.base);
	bytes = xmalloc(count);
	protobuf_c_message_pack(&reply.base, bytes);

	arena_init(&arena);
	assert_int_equal(
		message_decode(reply.base.descriptor, bytes, count, &arena, &message, &err), 0);
	back = (Drover__V1__AdmitReply *)message;
	assert_int_equal(back->n_checks, 2);
	assert_string_equal(back->checks[1]->id, "memory");
	assert_int_equal(back->memory_port, 49152);
	assert_string_equal(back->migration_address, reply.migration_address);
	arena_deinit(&arena);
}

/* No bytes at all are a message with defaults. */
static void test_empty(void **state)
{
	ProtobufCMessage *message;
	struct arena arena;
	struct error err;

	(void)state;
	arena_init(&arena);
	assert_int_equal(
		message_decode(&drover__v1__attempt__descriptor, NULL, 0, &arena, &message, &err),
		0);
	assert_int_equal(((Drover__V1__Attempt *)message)->epoch, 0);
	arena_deinit(&arena);
}

/* A text is UTF-8 without zero bytes; the error says which field is not. */
static void test_texts(void **state)
{
	(void)state;
	EXPECT(node_request,
	       "\x0a\x03"
	       "a\0b",
	       "NodeRequest.node has a zero byte in its text");
	EXPECT(node_request, "\x12\x02\xc3\x28", "NodeRequest.reason is not valid UTF-8");
}

/* Inner messages are looked at as well. */
static void test_nested_text(void **state)
{
	(void)state;
	EXPECT(node_list, "\x0a\x03\x0a\x01\xff", "Node.name is not valid UTF-8");
}

/* Only named values of an enum are taken; a negative one is none. */
static void test_enums(void **state)
{
	(void)state;
	EXPECT(check, "\x10\x05", "Check.verdict has a value that is not in its enum");
	EXPECT(check, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	       "Check.verdict has a value that is not in its enum");
}

/* A number that does not fit is refused, not cut. */
static void test_range(void **state)
{
	(void)state;
	EXPECT(attempt, "\x10\x80\x80\x80\x80\x10", "Attempt.number is over 32 bits");
}

/* Bytes that end in the middle of something are refused at every level. */
static void test_cut_off(void **state)
{
	(void)state;
	EXPECT(attempt, "\x10\x80", "Attempt ends in the middle of a number");
	EXPECT(attempt, "\x0a\x10 short", "Attempt has a field longer than itself");
	EXPECT(attempt, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	       "Attempt has a field longer than itself");
	EXPECT(attempt, "\x80", "Attempt has a malformed field number");
	EXPECT(attempt, "\x00\x00", "Attempt has a malformed field number");
}

/* A field of the wrong wire type, and groups, which proto3 does not have, are refused. */
static void test_wire_types(void **state)
{
	(void)state;
	EXPECT(attempt, "\x08\x01", "Attempt.operation_id has the wrong wire type");
	EXPECT(attempt, "\x12\x01\x01", "Attempt.number has the wrong wire type");
	EXPECT(attempt, "\x0b\x0c", "Attempt has a field of an unknown wire type");
}

/* A single field comes once. */
static void test_twice(void **state)
{
	(void)state;
	EXPECT(attempt, "\x10\x01\x10\x02", "Attempt.number is there twice");
}

/* A newer peer may send a few fields that we do not know, but not any number. */
static void test_unknown_fields(void **state)
{
	char bytes[2 * 33 + 1] = "";
	struct error err;

	(void)state;
	for (size_t i = 0; i < 33; i++) {
		bytes[2 * i] = 0x78; /* field 15, a number */
		bytes[2 * i + 1] = 1;
	}
	assert_int_equal(
		message_check(&drover__v1__attempt__descriptor, (uint8_t *)bytes, 64, &err), 0);
	expect_error(&drover__v1__attempt__descriptor, bytes, 66,
	             "Attempt has too many unknown fields");
}

/* A list has an end, before it costs memory. */
static void test_too_many_elements(void **state)
{
	static uint8_t bytes[2 * (MESSAGE_REPEATED_MAX + 1)];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i += 2)
		bytes[i] = 0x0a; /* an empty Node */
	expect_error(&drover__v1__node_list__descriptor, bytes, sizeof(bytes),
	             "NodeList.nodes has too many elements");
}

/* Two bytes on the wire become a struct of hundreds: the arena's budget stops what the limits on
 * numbers of elements let pass, and says so. */
static void test_amplification(void **state)
{
	static uint8_t bytes[2 * MESSAGE_REPEATED_MAX];
	ProtobufCMessage *message;
	struct arena arena;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i += 2)
		bytes[i] = 0x0a;
	arena_init(&arena);
	assert_int_equal(message_decode(&drover__v1__node_list__descriptor, bytes, sizeof(bytes),
	                                &arena, &message, &err),
	                 -ERROR_TOO_LARGE);
	assert_string_equal(
		err.text,
		"NodeList is too complex: its 20000 bytes need more than 160000 of memory");
	assert_true(arena.used_bytes <= 160000);
	/* And the arena is as good as new. */
	assert_int_equal(message_decode(&drover__v1__node_list__descriptor, bytes, 20, &arena,
	                                &message, &err),
	                 0);
	assert_int_equal(((Drover__V1__NodeList *)message)->n_nodes, 10);
	arena_deinit(&arena);
}

/* The arena gives aligned memory, reuses its first block, and keeps to budget and ceiling. */
static void test_arena(void **state)
{
	struct arena arena;
	void *first;

	(void)state;
	arena_init(&arena);
	arena_begin(&arena, 0);
	assert_int_equal(arena.budget_bytes, ARENA_LEAST);
	first = arena.allocator.alloc(&arena, 1);
	assert_int_equal((uintptr_t)first % 16, 0);
	assert_int_equal((uintptr_t)arena.allocator.alloc(&arena, 1) % 16, 0);
	assert_null(arena.allocator.alloc(&arena, ARENA_LEAST));
	assert_true(arena.exhausted);
	arena_begin(&arena, 0);
	assert_false(arena.exhausted);
	assert_ptr_equal(arena.allocator.alloc(&arena, 1), first);
	assert_null(arena.allocator.alloc(&arena, SIZE_MAX));
	arena_begin(&arena, SIZE_MAX);
	assert_int_equal(arena.budget_bytes, ARENA_MOST);
	assert_non_null(arena.allocator.alloc(&arena, ARENA_MOST));
	assert_null(arena.allocator.alloc(&arena, 1));
	arena_deinit(&arena);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_nested_text),
		cmocka_unit_test(test_enums),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_wire_types),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_too_many_elements),
		cmocka_unit_test(test_amplification),
		cmocka_unit_test(test_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
