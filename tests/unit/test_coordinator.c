/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's edges over the in-process mesh and the store in memory: who is let in, what is
 * believed, what a question gets. The core has its own tests and its simulation. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
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

#define PATIENCE_MS 5000

struct bench {
	struct loop *loop;
	struct store_memory_disk *disk;
	struct coordinator_settings settings;
	struct coordinator *coordinator;

	struct mesh *mesh; /* of whoever calls */
	struct mesh_dialer *dialer;
	bool answered;
	enum mesh_status status;
	struct error error;
	uint64_t number; /* of the answer, what the test asked about */
	char text[256];

	/* As an agent. */
	struct mesh_incoming *watch; /* the coordinator watches us */
	unsigned connections;
};

static char url[64];

static void answered(const struct mesh_result *result, void *context)
{
	struct bench *b = context;

	b->answered = true;
	b->status = result->status;
	b->error = result->error;
	if (!result->message)
		return;
	if (result->message->descriptor == &drover__v1__attach_reply__descriptor)
		b->number = ((const Drover__V1__AttachReply *)result->message)->epoch;
	if (result->message->descriptor == &drover__v1__node_list__descriptor) {
		const Drover__V1__NodeList *list = (const Drover__V1__NodeList *)result->message;

		b->number = list->n_nodes;
		snprintf(b->text, sizeof(b->text), "%s",
		         list->n_nodes ? list->nodes[0]->state : "");
	}
	if (result->message->descriptor == &drover__v1__vm_list__descriptor)
		b->number = ((const Drover__V1__VmList *)result->message)->n_vms;
	if (result->message->descriptor == &drover__v1__health_reply__descriptor) {
		const Drover__V1__HealthReply *h = (const void *)result->message;

		b->number = h->state;
		snprintf(b->text, sizeof(b->text), "%s", h->n_reasons ? h->reasons[0] : "");
	}
	if (result->message->descriptor == &drover__v1__method_list__descriptor)
		b->number = ((const Drover__V1__MethodList *)result->message)->n_methods;
	if (result->message->descriptor == &drover__v1__method_description__descriptor) {
		const Drover__V1__MethodDescription *d = (const void *)result->message;

		snprintf(b->text, sizeof(b->text), "%s", d->messages[0]->name);
	}
}

static bool is_answered(void *context)
{
	return ((struct bench *)context)->answered;
}

static bool is_connected(void *context)
{
	return mesh_dialer_find_connection(((struct bench *)context)->dialer) != NULL;
}

static void call(struct bench *b, const char *method, const ProtobufCMessage *request)
{
	assert_true(loop_run_until(b->loop, PATIENCE_MS, is_connected, b));
	b->answered = false;
	mesh_call(mesh_dialer_find_connection(b->dialer), method, request, 3000, answered, b);
	assert_true(loop_run_until(b->loop, PATIENCE_MS, is_answered, b));
}

static void handle_watch(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	(void)m;
	((struct bench *)context)->watch = in;
}

static const struct mesh_handler agent_handlers[] = { { "Watch", handle_watch } };
static const struct mesh_service agent_side = {
	.descriptor = &drover__v1__agent__descriptor,
	.handlers = agent_handlers,
	.n_handlers = 1,
};

static void connected(struct mesh_connection *c, void *context)
{
	(void)c;
	((struct bench *)context)->connections++;
}

static void disconnected(struct mesh_connection *c, const struct error *why, void *context)
{
	(void)c;
	(void)why;
	((struct bench *)context)->watch = NULL;
}

static void start_coordinator(struct bench *b)
{
	static const struct mesh_options plain = { 0 };
	struct coordinator_options o = { .settings = &b->settings,
		                         .settings_path = "test.yaml",
		                         .loop = b->loop,
		                         .mesh_override = &plain };
	struct store_contents contents = { 0 };
	struct error err;

	assert_int_equal(store_memory_open(b->disk, &o.store, &err), 0);
	assert_int_equal(store_load(o.store, &contents, &err), 0);
	o.contents = &contents;
	assert_int_equal(coordinator_start(&o, &b->coordinator, &err), 0);
	store_contents_deinit(&contents);
}

static bool is_ready(void *context)
{
	const struct fleet *fleet = ((struct bench *)context)->coordinator->fleet;

	return fleet->epoch && fleet->stored_ticket >= fleet->epoch_ticket;
}

/* A coordinator, and somebody with that role and name who calls it. */
static struct bench *bench_new(enum mesh_role role, const char *name)
{
	static const struct mesh_service *const services[] = { &agent_side, NULL };
	static unsigned count;
	struct bench *b = xnew(struct bench);
	struct mesh_options o = { .role = role,
		                  .name = name,
		                  .cluster = "test",
		                  .services = services,
		                  .service_context = b,
		                  .connected = connected,
		                  .disconnected = disconnected,
		                  .context = b };
	struct error err;

	snprintf(url, sizeof(url), "inproc://coordinator-%u", count++);
	b->loop = loop_new();
	b->disk = store_memory_disk_new();
	b->settings.name = xstrdup("c1");
	b->settings.cluster = xstrdup("test");
	b->settings.listen.items[b->settings.listen.count++] = xstrdup(url);
	b->settings.migrations_per_cluster = 5;
	b->settings.outbound_per_node = 2;
	b->settings.inbound_per_node = 2;
	start_coordinator(b);
	assert_true(loop_run_until(b->loop, PATIENCE_MS, is_ready, b));
	o.loop = b->loop;
	b->mesh = mesh_new(&o, &err);
	assert_non_null(b->mesh);
	b->dialer = mesh_dial(b->mesh, url, MESH_ROLE_COORDINATOR, NULL);
	return b;
}

static void bench_free(struct bench *b)
{
	mesh_free(b->mesh);
	coordinator_stop(b->coordinator);
	store_memory_disk_free(b->disk);
	loop_free(b->loop);
	coordinator_settings_deinit(&b->settings);
	free(b);
}

static void attach_as(struct bench *b, const char *node)
{
	Drover__V1__AttachRequest r = DROVER__V1__ATTACH_REQUEST__INIT;
	struct id boot = id_new();

	r.node = (char *)node;
	r.mesh_address = (char *)"tcp://10.0.0.1:7788";
	r.agent_version = (char *)"test";
	r.boot_id.data = boot.bytes;
	r.boot_id.len = ID_BYTES;
	call(b, "drover.v1.Coordinator/Attach", &r.base);
}

static bool is_watched(void *context)
{
	return ((struct bench *)context)->watch != NULL;
}

/* A viewer may look and may not act; the text says who may. */
static void test_viewer(void **state)
{
	Drover__V1__ListRequest list = DROVER__V1__LIST_REQUEST__INIT;
	Drover__V1__NodeRequest node = DROVER__V1__NODE_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");

	(void)state;
	call(b, "drover.v1.Coordinator/ListNodes", &list.base);
	assert_int_equal(b->status, MESH_OK);
	node.node = (char *)"host1";
	call(b, "drover.v1.Coordinator/Cordon", &node.base);
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
	call(b, "drover.v1.Health/Check", &request.base);
	assert_int_equal(b->status, MESH_OK);
	assert_int_equal(b->number, DROVER__V1__HEALTH_REPLY__STATE__SERVING);
	assert_string_equal(b->text, "");
	/* Between the failure and the end of the loop, which ends with it. */
	error_set(&b->coordinator->fatal, ERROR_STORE, "the disk is full");
	call(b, "drover.v1.Health/Check", &request.base);
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
	call(b, "drover.v1.Reflection/ListMethods", &list.base);
	assert_int_equal(b->status, MESH_OK);
	assert_int_equal(b->number, drover__v1__coordinator__descriptor.n_methods + 7);
	one.name = (char *)"drover.v1.Agent/Admit";
	call(b, "drover.v1.Reflection/DescribeMethod", &one.base);
	assert_int_equal(b->status, MESH_NOT_FOUND);
	one.name = (char *)"drover.v1.Coordinator/Explain";
	call(b, "drover.v1.Reflection/DescribeMethod", &one.base);
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
	call(b, "drover.v1.Coordinator/Drain", &r.base);
	assert_int_equal(b->status, MESH_NOT_FOUND);
	assert_int_equal(b->error.code, ERROR_NOT_FOUND);
	assert_non_null(strstr(b->error.text, "host9"));
	assert_int_equal(HASH_COUNT(b->coordinator->fleet->drains), 0);
	r.request_id.len = 3;
	r.request_id.data = (uint8_t *)"abc";
	call(b, "drover.v1.Coordinator/Drain", &r.base);
	assert_int_equal(b->status, MESH_INVALID_ARGUMENT);
	bench_free(b);
}

/* An agent speaks for its own node only. */
static void test_agent_lies_about_its_name(void **state)
{
	struct bench *b = bench_new(MESH_ROLE_AGENT, "host1");

	(void)state;
	attach_as(b, "host2");
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
	attach_as(b, "host1");
	assert_int_equal(b->status, MESH_OK);
	assert_int_equal(b->number, 1);
	assert_true(loop_run_until(b->loop, PATIENCE_MS, is_watched, b));
	send_snapshot(b, GIB);
	assert_true(loop_run_until(b->loop, PATIENCE_MS, node_has_vm, b));
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
	attach_as(b, "host1");
	assert_true(loop_run_until(b->loop, PATIENCE_MS, is_watched, b));
	send_snapshot(b, (uint64_t)1 << 63);
	assert_true(loop_run_until(b->loop, PATIENCE_MS, is_not_watched, b));
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
	attach_as(b, "host1");
	assert_int_equal(b->number, 1);
	coordinator_stop(b->coordinator);
	assert_true(loop_run_until(b->loop, PATIENCE_MS, is_cut_off, b));
	start_coordinator(b);
	attach_as(b, "host1");
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
