/* SPDX-License-Identifier: Apache-2.0 */
/* See tests/unit/coordinator_bench.h. */
#include "tests/unit/coordinator_bench.h"

#include "common/alloc.h"
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

static bool bench_is_connected(void *context)
{
	return mesh_dialer_find_connection(((struct bench *)context)->dialer) != NULL;
}

void bench_call(struct bench *b, const char *method, const ProtobufCMessage *request)
{
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, bench_is_connected, b));
	b->answered = false;
	mesh_call(mesh_dialer_find_connection(b->dialer), method, request, 3000, answered, b);
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, is_answered, b));
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

void bench_start_coordinator(struct bench *b)
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

bool bench_is_ready(void *context)
{
	const struct fleet *fleet = ((struct bench *)context)->coordinator->fleet;

	return fleet->epoch && fleet->stored_ticket >= fleet->epoch_ticket;
}

struct bench *bench_new(enum mesh_role role, const char *name)
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
	bench_start_coordinator(b);
	assert_true(loop_run_until(b->loop, BENCH_PATIENCE_MS, bench_is_ready, b));
	o.loop = b->loop;
	b->mesh = mesh_new(&o, &err);
	assert_non_null(b->mesh);
	b->dialer = mesh_dial(b->mesh, url, MESH_ROLE_COORDINATOR, NULL);
	return b;
}

void bench_free(struct bench *b)
{
	mesh_free(b->mesh);
	coordinator_stop(b->coordinator);
	store_memory_disk_free(b->disk);
	loop_free(b->loop);
	coordinator_settings_deinit(&b->settings);
	free(b);
}

void bench_attach_as(struct bench *b, const char *node)
{
	Drover__V1__AttachRequest r = DROVER__V1__ATTACH_REQUEST__INIT;
	struct id boot = id_new();

	r.node = (char *)node;
	r.mesh_address = (char *)"tcp://10.0.0.1:7788";
	r.agent_version = (char *)"test";
	r.boot_id.data = boot.bytes;
	r.boot_id.len = ID_BYTES;
	bench_call(b, "drover.v1.Coordinator/Attach", &r.base);
}

bool bench_is_watched(void *context)
{
	return ((struct bench *)context)->watch != NULL;
}

void bench_see_host(struct bench *b, const char *name, size_t guests)
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

const void *bench_ask(struct bench *b, const char *method, const ProtobufCMessage *request)
{
	b->keep = true;
	b->kept = NULL;
	bench_call(b, method, request);
	return b->kept;
}

void bench_forget(struct bench *b)
{
	if (b->kept)
		protobuf_c_message_free_unpacked(b->kept, NULL);
	b->kept = NULL;
}
