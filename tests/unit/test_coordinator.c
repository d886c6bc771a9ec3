/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's edges over the in-process mesh and the store in memory: who is let in, what is
 * believed. What a question gets is test_coordinator_questions.c; the core has its own tests and its
 * simulation. */
#include "tests/unit/coordinator_bench.h"

#include "common/log.h"
#include "common/units.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/reflection.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A viewer may look and may not act; the text says who may. */
static void test_viewer(void **state)
{
	Drover__V1__ListRequest list = DROVER__V1__LIST_REQUEST__INIT;
	Drover__V1__NodeRequest node = DROVER__V1__NODE_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");

	(void)state;
	bench_call(b, "drover.v1.Coordinator/ListNodes", &list.base);
	assert_int_equal(b->status, MESH_OK);
	node.node = (char *)"host1";
	bench_call(b, "drover.v1.Coordinator/Cordon", &node.base);
	assert_int_equal(b->status, MESH_PERMISSION_DENIED);
	assert_true(strlen(b->error.text) > 0);
	bench_free(b);
}

/* It leads, so it serves; from the moment that its store failed it does not, and says why. */
static void test_health(void **state)
{
	Drover__V1__HealthRequest request = DROVER__V1__HEALTH_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "monitor");

	(void)state;
	bench_call(b, "drover.v1.Health/Check", &request.base);
	assert_int_equal(b->status, MESH_OK);
	assert_int_equal(b->number, DROVER__V1__HEALTH_REPLY__STATE__SERVING);
	assert_string_equal(b->text, "");
	/* Between the failure and the end of the loop, which ends with it. */
	error_set(&b->coordinator->fatal, ERROR_STORE, "the disk is full");
	bench_call(b, "drover.v1.Health/Check", &request.base);
	assert_int_equal(b->number, DROVER__V1__HEALTH_REPLY__STATE__NOT_SERVING);
	assert_non_null(strstr(b->text, "the disk is full"));
	bench_free(b);
}

/* It lists what it serves, and not what an agent would. */
static void test_reflection(void **state)
{
	Drover__V1__ListMethodsRequest list = DROVER__V1__LIST_METHODS_REQUEST__INIT;
	Drover__V1__DescribeMethodRequest one = DROVER__V1__DESCRIBE_METHOD_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "curious");

	(void)state;
	bench_call(b, "drover.v1.Reflection/ListMethods", &list.base);
	assert_int_equal(b->status, MESH_OK);
	assert_int_equal(b->number, drover__v1__coordinator__descriptor.n_methods + 7);
	one.name = (char *)"drover.v1.Agent/Admit";
	bench_call(b, "drover.v1.Reflection/DescribeMethod", &one.base);
	assert_int_equal(b->status, MESH_NOT_FOUND);
	one.name = (char *)"drover.v1.Coordinator/Explain";
	bench_call(b, "drover.v1.Reflection/DescribeMethod", &one.base);
	assert_int_equal(b->status, MESH_OK);
	assert_string_equal(b->text, "drover.v1.ExplainRequest");
	bench_free(b);
}

/* A drain of a node nobody knows is "not found", and nothing is stored for it. */
static void test_unknown_node(void **state)
{
	Drover__V1__DrainRequest r = DROVER__V1__DRAIN_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_OPERATOR, "admin");

	(void)state;
	r.node = (char *)"host9";
	bench_call(b, "drover.v1.Coordinator/Drain", &r.base);
	assert_int_equal(b->status, MESH_NOT_FOUND);
	assert_int_equal(b->error.code, ERROR_NOT_FOUND);
	assert_non_null(strstr(b->error.text, "host9"));
	assert_int_equal(HASH_COUNT(b->coordinator->fleet->drains), 0);
	r.request_id.len = 3;
	r.request_id.data = (uint8_t *)"abc";
	bench_call(b, "drover.v1.Coordinator/Drain", &r.base);
	assert_int_equal(b->status, MESH_INVALID_ARGUMENT);
	bench_free(b);
}

/* An agent speaks for its own node only. */
static void test_agent_lies_about_its_name(void **state)
{
	struct bench *b = bench_new(MESH_ROLE_AGENT, "host1");

	(void)state;
	bench_attach_as(b, "host2");
	assert_int_equal(b->status, MESH_PERMISSION_DENIED);
	assert_int_equal(HASH_COUNT(b->coordinator->fleet->nodes), 0);
	bench_free(b);
}

static bool node_has_vm(void *context)
{
	return HASH_COUNT(((struct bench *)context)->coordinator->fleet->vms) == 1;
}

static void send_snapshot(struct bench *b, uint64_t memory_bytes)
{
	Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
	Drover__V1__AgentEvent__Snapshot snapshot = DROVER__V1__AGENT_EVENT__SNAPSHOT__INIT;
	Drover__V1__HostState host = DROVER__V1__HOST_STATE__INIT;
	Drover__V1__VmState vm = DROVER__V1__VM_STATE__INIT;
	Drover__V1__VmState *vms[] = { &vm };

	host.node = (char *)"host1";
	host.mesh_address = (char *)"tcp://10.0.0.1:7788";
	host.memory_capacity_bytes = 8 * GIB;
	host.libvirt_connected = true;
	vm.uuid = (char *)"72b2bc1b-4af3-4e43-bafe-7e6b45dfaadc";
	vm.name = (char *)"web1";
	vm.state = (char *)"running";
	vm.memory_bytes = memory_bytes;
	snapshot.host = &host;
	snapshot.vms = vms;
	snapshot.n_vms = 1;
	snapshot.inventory_valid = true;
	event.event_case = DROVER__V1__AGENT_EVENT__EVENT_SNAPSHOT;
	event.snapshot = &snapshot;
	mesh_send(b->watch, &event.base);
}

/* An agent attaches, is told the epoch, is watched, and its guest is known. */
static void test_attach(void **state)
{
	struct bench *b = bench_new(MESH_ROLE_AGENT, "host1");

	(void)state;
	bench_attach_as(b, "host1");
	assert_int_equal(b->status, MESH_OK);
	assert_int_equal(b->number, 1);
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, bench_is_watched, b));
	send_snapshot(b, GIB);
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, node_has_vm, b));
	assert_non_null(
		fleet_find_vm(b->coordinator->fleet, "72b2bc1b-4af3-4e43-bafe-7e6b45dfaadc"));
	bench_free(b);
}

static bool is_not_watched(void *context)
{
	return ((struct bench *)context)->watch == NULL;
}

/* A guest of 2^63 bytes is not believed: nothing of that report is used, and the agent is cut off. */
static void test_agent_sends_nonsense(void **state)
{
	struct bench *b = bench_new(MESH_ROLE_AGENT, "host1");

	(void)state;
	bench_attach_as(b, "host1");
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, bench_is_watched, b));
	send_snapshot(b, (uint64_t)1 << 63);
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, is_not_watched, b));
	assert_int_equal(HASH_COUNT(b->coordinator->fleet->vms), 0);
	bench_free(b);
}

static bool is_cut_off(void *context)
{
	return mesh_dialer_find_connection(((struct bench *)context)->dialer) == NULL;
}

/* After a restart the epoch is a higher one, and the agent comes back by itself. */
static void test_restart(void **state)
{
	struct bench *b = bench_new(MESH_ROLE_AGENT, "host1");

	(void)state;
	bench_attach_as(b, "host1");
	assert_int_equal(b->number, 1);
	coordinator_stop(b->coordinator);
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, is_cut_off, b));
	bench_start_coordinator(b);
	bench_attach_as(b, "host1");
	assert_int_equal(b->status, MESH_OK);
	assert_int_equal(b->number, 2);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_viewer),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_reflection),
		cmocka_unit_test(test_unknown_node),
		cmocka_unit_test(test_agent_lies_about_its_name),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_agent_sends_nonsense),
		cmocka_unit_test(test_restart),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
