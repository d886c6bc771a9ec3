/* SPDX-License-Identifier: Apache-2.0 */
/* The table of methods says what the .proto files say: nothing is missing, and nothing more. */
#include "proto/methods.h"

#include "common/cleanup.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/mesh/mesh.h"
#include "proto/mesh/message.h"
#include "proto/pki.pb-c.h"
#include "proto/reflection.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const ProtobufCServiceDescriptor *const services[] = {
	&drover__v1__agent__descriptor,  &drover__v1__coordinator__descriptor,
	&drover__v1__health__descriptor, &drover__v1__reflection__descriptor,
	&drover__v1__pki__descriptor,
};
static const char *const files[] = { "proto/agent.proto", "proto/coordinator.proto",
	                             "proto/health.proto", "proto/reflection.proto",
	                             "proto/pki.proto" };

#define N_SERVICES (sizeof(services) / sizeof(services[0]))

/* Every method of the compiled services is in the table, with its messages. */
static void test_all_compiled_methods_are_there(void **state)
{
	size_t expected = 0, count;
	char name[128];

	(void)state;
	for (size_t s = 0; s < N_SERVICES; s++) {
		for (unsigned i = 0; i < services[s]->n_methods; i++, expected++) {
			const ProtobufCMethodDescriptor *compiled = &services[s]->methods[i];
			const struct method *m;

			snprintf(name, sizeof(name), "%s/%s", services[s]->name, compiled->name);
			m = method_find(name);
			if (!m) {
				fail_msg("%s is not in the table", name);
				return;
			}
			assert_ptr_equal(m->input, compiled->input);
			assert_ptr_equal(m->output, compiled->output);
		}
	}
	method_get_all(&count);
	assert_int_equal(count, expected);
}

/* The `stream` keyword, which the compiled services do not have, stands in the .proto text: read here
 * by other means than the generator's. */
static void test_streams_as_in_the_text(void **state)
{
	size_t seen = 0, count;

	(void)state;
	for (size_t s = 0; s < N_SERVICES; s++) {
		_cleanup_fclose_ FILE *file = fopen(files[s], "r");
		char line[512], method[64], input[64], word[64], name[128];

		if (!file)
			fail_msg("cannot read %s: run from the source folder", files[s]);
		while (fgets(line, sizeof(line), file)) {
			const struct method *m;

			if (sscanf(line, " rpc %63[A-Za-z](%63[A-Za-z]) returns (%63[A-Za-z]",
			           method, input, word) != 3)
				continue;
			snprintf(name, sizeof(name), "%s/%s", services[s]->name, method);
			m = method_find(name);
			if (!m) {
				fail_msg("%s of %s is not in the table", name, files[s]);
				return;
			}
			if (m->server_streaming != (strcmp(word, "stream") == 0))
				fail_msg("%s streams in one place and not in the other", name);
			seen++;
		}
	}
	method_get_all(&count);
	assert_int_equal(seen, count);
}

/* Nobody may call nothing: each method has callers, and only roles that exist. */
static void test_every_method_has_callers(void **state)
{
	const unsigned known = MESH_ROLE_COORDINATOR | MESH_ROLE_AGENT | MESH_ROLE_OPERATOR |
	                       MESH_ROLE_VIEWER | MESH_ROLE_ADMIN;
	const struct method *all;
	size_t count;

	(void)state;
	all = method_get_all(&count);
	for (size_t i = 0; i < count; i++) {
		assert_int_not_equal(all[i].callers & known, 0);
		assert_int_equal(all[i].callers & ~known, 0);
	}
}

/* NOLINTNEXTLINE(misc-no-recursion): ends at MESSAGE_DEPTH_MAX. */
static unsigned depth_of(const ProtobufCMessageDescriptor *type, unsigned above)
{
	unsigned deepest = above;

	if (above > MESSAGE_DEPTH_MAX)
		fail_msg("%s contains itself, or is nested too deeply", type->name);
	for (unsigned i = 0; i < type->n_fields && above <= MESSAGE_DEPTH_MAX; i++) {
		unsigned depth = above;

		if (type->fields[i].id >= MESSAGE_FIELD_MAX)
			fail_msg("%s.%s has a number over the limit", type->name,
			         type->fields[i].name);
		if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			depth = depth_of(type->fields[i].descriptor, above + 1);
		if (depth > deepest)
			deepest = depth;
	}
	return deepest;
}

/* No message can contain itself: protobuf-c would follow it until the stack ends. And fields have
 * numbers that the check of received messages counts one by one. */
static void test_no_recursive_messages(void **state)
{
	const struct method *all;
	size_t count;

	(void)state;
	all = method_get_all(&count);
	for (size_t i = 0; i < count; i++) {
		assert_in_range(depth_of(all[i].input, 1), 1, 8);
		assert_in_range(depth_of(all[i].output, 1), 1, 8);
	}
}

/* An unknown name is not found, also not by its beginning. */
static void test_unknown(void **state)
{
	(void)state;
	assert_null(method_find("drover.v1.Agent/Admi"));
	assert_null(method_find("drover.v1.Agent/Admitt"));
	assert_null(method_find(""));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_compiled_methods_are_there),
		cmocka_unit_test(test_streams_as_in_the_text),
		cmocka_unit_test(test_every_method_has_callers),
		cmocka_unit_test(test_no_recursive_messages),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
