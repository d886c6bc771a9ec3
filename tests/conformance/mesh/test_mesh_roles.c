/* SPDX-License-Identifier: Apache-2.0 */
/* Every role calls every method over a real connection, and reaches its handler or is refused. The
 * expectation is written down here once more, apart from the table that is tested. */
#include "tests/conformance/mesh/harness.h"

#include "common/alloc.h"
#include "proto/agent.rpc.h"
#include "proto/coordinator.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/pki.pb-c.h"
#include "proto/reflection.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define C MESH_ROLE_COORDINATOR
#define A MESH_ROLE_AGENT
#define O MESH_ROLE_OPERATOR
#define V MESH_ROLE_VIEWER
#define X MESH_ROLE_ADMIN

static const struct {
	const char *method;
	unsigned callers;
} expected[] = {
	{ "Agent/Watch", C },
	{ "Agent/StartMigration", C },
	{ "Agent/CancelMigration", C },
	{ "Agent/TuneMigration", C },
	{ "Agent/ProbeAttempt", C },
	{ "Agent/SetDrainMark", C },
	{ "Agent/ShutDownGuest", C },
	{ "Agent/StartGuest", C },
	{ "Agent/SetFence", C },
	{ "Agent/LookAtCertificates", C },
	{ "Agent/Preview", C },
	{ "Agent/Admit", A },
	{ "Agent/RenewLease", A },
	{ "Agent/ReleaseLease", A },
	{ "Agent/Inspect", A },
	{ "Agent/FinishTarget", A },
	{ "Agent/Verify", A },
	{ "Agent/Relink", A },
	{ "Agent/LookForRemnants", A },
	{ "Agent/MeasurePath", A },
	{ "Agent/ProbePath", C },
	{ "Agent/CollectGarbage", C },
	{ "Coordinator/Attach", A },
	{ "Coordinator/GetStatus", V | O | X },
	{ "Coordinator/ListNodes", V | O | X },
	{ "Coordinator/ListVms", V | O | X },
	{ "Coordinator/ListMigrations", V | O | X },
	{ "Coordinator/ListDrains", V | O | X },
	{ "Coordinator/ListEvents", V | O | X },
	{ "Coordinator/ListPolicies", V | O | X },
	{ "Coordinator/Watch", V | O | X },
	{ "Coordinator/Explain", V | O | X },
	{ "Coordinator/Export", V | O | X },
	{ "Coordinator/ListLinks", V | O | X },
	{ "Coordinator/GetRates", V | O | X },
	{ "Coordinator/GetCapacity", V | O | X },
	{ "Coordinator/Place", V | O | X },
	{ "Coordinator/Drain", O | X },
	{ "Coordinator/Undrain", O | X },
	{ "Coordinator/Cordon", O | X },
	{ "Coordinator/Uncordon", O | X },
	{ "Coordinator/Label", O | X },
	{ "Coordinator/SetPolicy", O | X },
	{ "Coordinator/RemovePolicy", O | X },
	{ "Coordinator/Migrate", O | X },
	{ "Coordinator/Cancel", O | X },
	{ "Coordinator/Tune", O | X },
	{ "Coordinator/CollectGarbage", O | X },
	{ "Coordinator/ProbePath", O | X },
	{ "Coordinator/Fence", X },
	{ "Coordinator/Unfence", X },
	{ "Health/Check", C | A | O | V | X },
	{ "Reflection/ListMethods", C | A | O | V | X },
	{ "Reflection/DescribeMethod", C | A | O | V | X },
	{ "Pki/Sync", A | O | V | X },
	{ "Pki/Renew", A | O | V | X },
	{ "Pki/Issue", X },
	{ "Pki/Revoke", X },
};

static unsigned handled;

/* One handler for all: that it ran is what counts. */
static void handle_any(struct mesh_incoming *in, const ProtobufCMessage *request, void *context)
{
	(void)request;
	(void)context;
	handled++;
	mesh_fail(in, MESH_ALREADY_EXISTS, NULL);
}

static struct mesh_service service_of_all(const ProtobufCServiceDescriptor *descriptor)
{
	struct mesh_handler *all = xcalloc(descriptor->n_methods, sizeof(*all));

	for (unsigned i = 0; i < descriptor->n_methods; i++)
		all[i] = (struct mesh_handler){ descriptor->methods[i].name, handle_any };
	return (struct mesh_service){ descriptor, all, descriptor->n_methods };
}

static void call_one(struct harness *h, const char *name, struct outcome *ret_outcome)
{
	const struct method *m = method_find(name);
	ProtobufCMessage *request = xcalloc(1, m->input->sizeof_message);

	m->input->message_init(request);
	*ret_outcome = (struct outcome){ 0 };
	if (m->server_streaming)
		mesh_call_stream(h->client.connection, name, request, WAIT_MS, outcome_message,
		                 outcome_done, ret_outcome);
	else
		mesh_call(h->client.connection, name, request, WAIT_MS, outcome_done, ret_outcome);
	harness_wait_flag(h, &ret_outcome->done);
	free(request);
}

static void check_role(struct harness *h, enum mesh_role role)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		unsigned handled_before = handled;
		bool allowed = expected[i].callers & role;
		struct outcome o;
		char name[100];

		snprintf(name, sizeof(name), "drover.v1.%s", expected[i].method);
		call_one(h, name, &o);
		if (o.status != (allowed ? MESH_ALREADY_EXISTS : MESH_PERMISSION_DENIED))
			fail_msg("%s calls %s: %s", mesh_role_name(role), name,
			         mesh_status_name(o.status));
		assert_int_equal(handled - handled_before, allowed ? 1 : 0);
		if (!allowed) {
			assert_int_equal(o.error.code, ERROR_PERMISSION);
			assert_non_null(strstr(o.error.text, mesh_role_name(role)));
			assert_non_null(strstr(o.error.text, name));
		}
	}
}

/* Every role and every method of the table: one that is not expected here fails, as does a role that
 * was added to or taken from one. */
static void test_every_role_calls_every_method(void **state)
{
	static const enum mesh_role roles[] = { C, A, O, V, X };
	struct mesh_service agent = service_of_all(&drover__v1__agent__descriptor);
	struct mesh_service coordinator = service_of_all(&drover__v1__coordinator__descriptor);
	struct mesh_service health = service_of_all(&drover__v1__health__descriptor);
	struct mesh_service reflection = service_of_all(&drover__v1__reflection__descriptor);
	struct mesh_service pki = service_of_all(&drover__v1__pki__descriptor);
	const struct mesh_service *const services[] = { &agent,      &coordinator, &health,
		                                        &reflection, &pki,         NULL };
	size_t count;

	(void)state;
	method_get_all(&count);
	assert_int_equal(count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		struct harness h;
		struct mesh_options options;

		harness_open(&h, "inproc");
		options = harness_options(&h, &h.server, MESH_ROLE_COORDINATOR, "c1");
		options.services = services;
		harness_start(&h, &h.server, &options, true);
		options = harness_options(&h, &h.client, roles[i], "somebody");
		harness_start(&h, &h.client, &options, false);
		mesh_dial(h.client.mesh, h.dial_url, MESH_ROLE_COORDINATOR, NULL);
		harness_wait_count(&h, &h.client.connects, 1);
		check_role(&h, roles[i]);
		harness_close(&h);
	}
	free((void *)agent.handlers);
	free((void *)coordinator.handlers);
	free((void *)health.handlers);
	free((void *)reflection.handlers);
	free((void *)pki.handlers);
}

static const char *find_hole(const void *table)
{
	return table ? NULL : "Admit";
}

/* A service whose table lacks a handler is found when its program starts. */
static void test_a_missing_handler_is_found_at_the_start(void **state)
{
	struct mesh_service service = { .descriptor = &drover__v1__agent__descriptor,
		                        .find_missing = find_hole };
	const struct mesh_service *const services[] = { &service, NULL };
	struct mesh_options options;
	struct error err = { 0 };
	struct harness h;

	(void)state;
	assert_string_equal(agent_find_missing(&(const struct agent_handlers){ 0 }), "Watch");
	harness_open(&h, "inproc");
	options = harness_options(&h, &h.server, MESH_ROLE_AGENT, "host1");
	options.services = services;
	assert_null(mesh_new(&options, &err));
	assert_int_equal(err.code, ERROR_INVALID);
	assert_string_equal(err.text, "nothing here handles drover.v1.Agent/Admit");
	service.table = &service;
	harness_start(&h, &h.server, &options, false);
	harness_close(&h);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_role_calls_every_method),
		cmocka_unit_test(test_a_missing_handler_is_found_at_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
