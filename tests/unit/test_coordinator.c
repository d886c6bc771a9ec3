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
	ProtobufCMessage *kept; /* the answer itself, where keep is set */
	bool keep;

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
	if (b->keep) {
		size_t bytes = protobuf_c_message_get_packed_size(result->message);
		uint8_t *packed = xmalloc(bytes + 1);

		protobuf_c_message_pack(result->message, packed);
		b->kept = protobuf_c_message_unpack(result->message->descriptor, NULL, bytes,
		                                    packed);
		free(packed);
	}
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

/* --- questions about what could be done --- */

/* As if an agent had said so: a host of 8 GiB with so many guests of 64 MiB. */
static void see_host(struct bench *b, const char *name, size_t guests)
{
	struct event attach = { .kind = EVENT_ATTACH, .request = 1000000 };
	struct event snapshot = { .kind = EVENT_SNAPSHOT };
	struct host_state host = { .libvirt_connected = true,
		                   .port_pool = 2,
		                   .cpus = 2,
		                   .memory_capacity_bytes = 8 * GIB };
	struct vm_state *vms = xcalloc(guests + 1, sizeof(*vms));
	struct memory_used writes = { .touched_bytes = 48 * MIB, .n_windows = 2 };

	writes.windows[0] = (struct memory_window){ .seconds = 1, .bytes = 3 * MIB, .samples = 4 };
	writes.windows[1] = (struct memory_window){ .seconds = 4, .bytes = 8 * MIB, .samples = 4 };
	for (size_t i = 0; i < guests; i++) {
		snprintf(vms[i].uuid, sizeof(vms[i].uuid), "%08zx-0000-4000-8000-0000000%05d", i,
		         name[4]);
		snprintf(vms[i].name, sizeof(vms[i].name), "%.20s-vm%zu", name, i);
		text_copy(vms[i].state, sizeof(vms[i].state), "running");
		vms[i].memory_bytes = 64 * MIB;
		vms[i].vcpus = 1;
		vms[i].memory_use = writes;
	}
	host.memory_guests_bytes = guests * 64 * MIB;
	attach.attach.node = snapshot.snapshot.node = name;
	attach.attach.mesh_address = "tcp://10.0.0.1:7788";
	attach.attach.agent_version = "test";
	snapshot.snapshot.host = &host;
	snapshot.snapshot.vms = vms;
	snapshot.snapshot.n_vms = guests;
	snapshot.snapshot.inventory_valid = true;
	coordinator_step(b->coordinator, &attach);
	coordinator_step(b->coordinator, &snapshot);
	free(vms);
}

static const void *ask(struct bench *b, const char *method, const ProtobufCMessage *request)
{
	b->keep = true;
	b->kept = NULL;
	call(b, method, request);
	return b->kept;
}

static void forget(struct bench *b)
{
	if (b->kept)
		protobuf_c_message_free_unpacked(b->kept, NULL);
	b->kept = NULL;
}

/* A viewer gets the whole fleet, in parts where it is large: each guest once, the header in the first
 * part only, and a place in the document that there is not is refused. */
static void test_export(void **state)
{
	Drover__V1__ExportRequest r = DROVER__V1__EXPORT_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	size_t nodes = 0, vms = 0, parts = 0;
	char next[64] = "";

	(void)state;
	see_host(b, "host1", 12000);
	see_host(b, "host2", 0);
	do {
		const Drover__V1__FleetState *m;

		r.from = next;
		m = ask(b, "drover.v1.Coordinator/Export", &r.base);
		assert_non_null(m);
		assert_int_equal(m->format, 1);
		assert_string_equal(m->cluster, "test");
		assert_int_equal(m->limits != NULL, parts == 0);
		if (parts == 0 && m->limits) {
			assert_int_equal(m->limits->cluster, 5);
			assert_int_equal(m->limits->outbound, 2);
			assert_true(m->n_sources > 0);
		}
		nodes += m->n_nodes;
		vms += m->n_vms;
		parts++;
		snprintf(next, sizeof(next), "%s", m->next);
		forget(b);
		assert_true(parts < 20);
	} while (next[0]);
	assert_int_equal(nodes, 2);
	assert_int_equal(vms, 12000);
	assert_true(parts > 1);
	r.from = (char *)"vms/-1";
	assert_null(ask(b, "drover.v1.Coordinator/Export", &r.base));
	assert_int_equal(b->status, MESH_INVALID_ARGUMENT);
	bench_free(b);
}

/* Of one host and of two; a no has its proof and what would help; an unknown name is not found. */
static void test_capacity(void **state)
{
	Drover__V1__CapacityRequest r = DROVER__V1__CAPACITY_REQUEST__INIT;
	char *both[] = { (char *)"host1", (char *)"host2" }, *wrong[] = { (char *)"host9" };
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__Capacity *m;

	(void)state;
	see_host(b, "host1", 10);
	see_host(b, "host2", 20);
	r.guest_memory_bytes = GIB;
	m = ask(b, "drover.v1.Coordinator/GetCapacity", &r.base);
	assert_non_null(m);
	assert_int_equal(m->n_nodes, 2);
	assert_string_equal(m->nodes[0]->verdict, "yes");
	assert_int_equal(m->nodes[0]->guests, 10);
	assert_int_equal(m->largest->n_nodes, 1);
	assert_true(m->exact);
	assert_string_equal(m->fullest, "host2");
	assert_int_equal(m->fullest_bytes, 20 * 64 * MIB);
	assert_int_equal(m->rule_nodes, (16 * GIB - 30 * 64 * MIB) / (20 * 64 * MIB));
	assert_int_equal(m->room->guests, 6 + 6);
	forget(b);
	r.nodes = both;
	r.n_nodes = 2;
	m = ask(b, "drover.v1.Coordinator/GetCapacity", &r.base);
	assert_non_null(m);
	assert_string_equal(m->together->verdict, "no");
	assert_string_equal(m->together->proof->kind, "no-place");
	assert_string_equal(m->nodes[1]->verdict, "yes");
	assert_int_equal(m->nodes[1]->n_placed, 20);
	assert_string_equal(m->nodes[1]->placed[0]->target, "host1");
	forget(b);
	r.nodes = wrong;
	r.n_nodes = 1;
	assert_null(ask(b, "drover.v1.Coordinator/GetCapacity", &r.base));
	assert_int_equal(b->status, MESH_NOT_FOUND);
	bench_free(b);
}

/* A node whose agent does not know yet that it takes guests is named as the one in the way. */
static void test_capacity_of_one_just_opened(void **state)
{
	Drover__V1__CapacityRequest r = DROVER__V1__CAPACITY_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__Capacity *m;
	struct node *opened;

	(void)state;
	see_host(b, "host1", 2);
	see_host(b, "host2", 0);
	opened = fleet_find_node(b->coordinator->fleet, "host2");
	opened->mark_known = opened->mark.cordoned = true;
	m = ask(b, "drover.v1.Coordinator/GetCapacity", &r.base);
	assert_non_null(m);
	assert_string_equal(m->nodes[0]->verdict, "no");
	assert_string_equal(m->nodes[0]->proof->nodes[0]->check, "marked");
	forget(b);
	bench_free(b);
}

/* The roomiest host, every host with its verdict; as large as another guest; without a size it is
 * refused. */
static void test_place(void **state)
{
	Drover__V1__PlaceRequest r = DROVER__V1__PLACE_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__PlaceReply *m;

	(void)state;
	see_host(b, "host1", 100);
	see_host(b, "host2", 20);
	assert_null(ask(b, "drover.v1.Coordinator/Place", &r.base));
	assert_int_equal(b->status, MESH_INVALID_ARGUMENT);
	r.memory_bytes = 4 * GIB;
	r.vcpus = 4;
	m = ask(b, "drover.v1.Coordinator/Place", &r.base);
	assert_non_null(m);
	assert_string_equal(m->node, "host2");
	assert_int_equal(m->n_nodes, 2);
	assert_true(m->nodes[0]->fits && !m->nodes[1]->fits);
	assert_true(m->need_bytes > 4 * GIB && m->need_bytes == 4 * GIB + m->overhead_bytes);
	assert_int_equal(m->nodes[1]->missing_bytes, m->need_bytes - m->nodes[1]->room_bytes);
	forget(b);
	r = (Drover__V1__PlaceRequest)DROVER__V1__PLACE_REQUEST__INIT;
	r.like = (char *)"host2-vm0";
	m = ask(b, "drover.v1.Coordinator/Place", &r.base);
	assert_non_null(m);
	assert_int_equal(m->need_bytes, 64 * MIB);
	assert_int_equal(m->vcpus, 1);
	forget(b);
	r.like = (char *)"nobody";
	assert_null(ask(b, "drover.v1.Coordinator/Place", &r.base));
	assert_int_equal(b->status, MESH_NOT_FOUND);
	bench_free(b);
}

/* Of a guest: where it is, how it writes, and what it needs to converge; before any destination. */
static void test_explain_guest(void **state)
{
	Drover__V1__ExplainRequest r = DROVER__V1__EXPLAIN_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__Explanation *m;
	size_t first;

	(void)state;
	see_host(b, "host1", 1);
	r.kind = (char *)"vm";
	r.name = (char *)"host1-vm0";
	m = ask(b, "drover.v1.Coordinator/Explain", &r.base);
	assert_non_null(m);
	for (first = 0; first < m->n_lines; first++) {
		if (strncmp(m->lines[first], "it is on", 8) == 0)
			break;
	}
	assert_true(first + 2 < m->n_lines);
	assert_string_equal(m->lines[first], "it is on host1: running, 64 MiB, 1 vCPU, transient");
	assert_non_null(strstr(m->lines[first + 1],
	                       "48 MiB in use, writes to 3 MiB in 1 s, 8 MiB in 4 s (measured "));
	assert_memory_equal(m->lines[first + 2], "it converges to a pause of ", 27);
	assert_non_null(strstr(m->lines[first + 2], "Mbit/s on"));
	forget(b);
	bench_free(b);
}

/* A blocked drain is explained: the proof in words, and what would help. */
static void test_explain_blocked_drain(void **state)
{
	Drover__V1__ExplainRequest r = DROVER__V1__EXPLAIN_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	struct event drain = { .kind = EVENT_DRAIN, .request = 2000000 };
	struct event cordon = { .kind = EVENT_CORDON, .request = 2000001 };
	const Drover__V1__Explanation *m;
	struct names none = { 0 };

	(void)state;
	see_host(b, "host1", 2);
	see_host(b, "host2", 0);
	cordon.node.node = "host2";
	cordon.node.reason = "";
	coordinator_step(b->coordinator, &cordon);
	drain.drain.node = "host1";
	drain.drain.leave = &none;
	drain.drain.reason = "";
	coordinator_step(b->coordinator, &drain);
	r.kind = (char *)"drain";
	r.name = (char *)"1";
	m = ask(b, "drover.v1.Coordinator/Explain", &r.base);
	assert_non_null(m);
	assert_true(m->n_lines >= 3);
	assert_string_equal(m->lines[0], "blocked, proved: host1-vm0 (64 MiB) has no place: host2 "
	                                 "cordoned");
	assert_string_equal(m->lines[1], "  host2 cordoned");
	assert_string_equal(m->lines[2], "what would help: uncordon host2");
	forget(b);
	bench_free(b);
}

/* Who asks for the migrations of a node gets those that still wait to go there, too: the newest first. The
 * core's own order is left alone: by it the oldest are forgotten first. */
static void test_list_waiting(void **state)
{
	Drover__V1__ListRequest r = DROVER__V1__LIST_REQUEST__INIT;
	struct bench *b = bench_new(MESH_ROLE_VIEWER, "guest");
	const Drover__V1__MigrationList *m;
	size_t waiting = 0;

	(void)state;
	see_host(b, "host1", 3);
	see_host(b, "host2", 0);
	for (unsigned i = 0; i < 3; i++) {
		char vm[] = "host1-vm0";
		struct event migrate = { .kind = EVENT_MIGRATE, .request = 3000000 + i };

		vm[sizeof(vm) - 2] = (char)('0' + i);
		migrate.migrate.vm = vm;
		migrate.migrate.target = "host2";
		migrate.migrate.by = "somebody";
		migrate.migrate.request_id.bytes[0] = (uint8_t)(i + 1);
		coordinator_step(b->coordinator, &migrate);
	}
	r.node = (char *)"host2";
	m = ask(b, "drover.v1.Coordinator/ListMigrations", &r.base);
	assert_non_null(m);
	assert_int_equal(m->n_migrations, 3);
	for (size_t i = 0; i < m->n_migrations; i++)
		waiting += !m->migrations[i]->target[0];
	assert_true(waiting > 0);
	assert_int_equal(m->migrations[0]->number, 3);
	assert_int_equal(b->coordinator->fleet->migrations->kept.number, 1);
	forget(b);
	r.node = (char *)"host3";
	m = ask(b, "drover.v1.Coordinator/ListMigrations", &r.base);
	assert_non_null(m);
	assert_int_equal(m->n_migrations, 0);
	forget(b);
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
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_capacity_of_one_just_opened),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_explain_guest),
		cmocka_unit_test(test_explain_blocked_drain),
		cmocka_unit_test(test_list_waiting),
	};

	log_open("test", getenv("DROVER_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
