/* SPDX-License-Identifier: Apache-2.0 */
/* See attacker.h: a whole agent, with a certificate that is right, and nothing true to say. It attaches,
 * and tells whoever watches it that it runs another host's guest, moves it away, has made another host's
 * move come to its end, and that the guest is gone. */
#include "tests/lab/attacker.h"

#include "common/alloc.h"
#include "common/id.h"
#include "common/loop.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"

#include <string.h>

#define CALL_MS  10000
#define AGAIN_MS 1000

static struct {
	const char *uuid, *home;
	char node[MESH_NAME_BYTES];
	struct id operation;
	struct mesh_options options;
	struct loop_timer again;
} liar;

static Drover__V1__AttemptReport report(const char *source, const char *target,
                                        Drover__V1__MigrationState state,
                                        Drover__V1__Attempt *attempt)
{
	Drover__V1__AttemptReport r = DROVER__V1__ATTEMPT_REPORT__INIT;

	drover__v1__attempt__init(attempt);
	attempt->operation_id = (ProtobufCBinaryData){ ID_BYTES, liar.operation.bytes };
	attempt->number = 1;
	attempt->epoch = 1;
	r.attempt = attempt;
	r.vm_uuid = (char *)liar.uuid;
	r.vm_name = (char *)"payroll";
	r.source_node = (char *)source;
	r.target_node = (char *)target;
	r.state = state;
	return r;
}

static void tell_snapshot(struct mesh_incoming *in, bool has_it)
{
	Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
	Drover__V1__AgentEvent__Snapshot snapshot = DROVER__V1__AGENT_EVENT__SNAPSHOT__INIT;
	Drover__V1__HostState host = DROVER__V1__HOST_STATE__INIT;
	Drover__V1__VmState vm = DROVER__V1__VM_STATE__INIT, *vms[] = { &vm };
	Drover__V1__Attempt names[3];
	Drover__V1__AttemptReport reports[] = {
		report(liar.node, liar.home, DROVER__V1__MIGRATION_STATE__RUNNING, &names[0]),
		report(liar.home, "host9", DROVER__V1__MIGRATION_STATE__DONE, &names[1]),
		report(liar.home, "host9", DROVER__V1__MIGRATION_STATE__FAILED, &names[2]),
	};
	Drover__V1__AttemptReport *attempts[] = { &reports[0], &reports[1], &reports[2] };

	vm.uuid = (char *)liar.uuid;
	vm.name = (char *)"payroll";
	vm.state = (char *)"running";
	vm.memory_bytes = 1 << 20;
	vm.vcpus = 1;
	host.node = liar.node;
	host.libvirt_connected = true;
	host.memory_capacity_bytes = host.memory_physical_bytes = (uint64_t)1 << 30;
	snapshot.host = &host;
	snapshot.attempts = attempts;
	snapshot.n_attempts = ARRAY_SIZE(attempts);
	snapshot.inventory_valid = true;
	event.event_case = DROVER__V1__AGENT_EVENT__EVENT_SNAPSHOT;
	event.snapshot = &snapshot;
	snapshot.vms = vms;
	snapshot.n_vms = has_it ? ARRAY_SIZE(vms) : 0;
	(void)mesh_send(in, &event.base);
}

/* As an agent does that is well: who has long said nothing is not believed in any case. */
static void say_it_again(void *context)
{
	tell_snapshot(context, true);
	loop_timer_start(liar.options.loop, &liar.again, AGAIN_MS);
}

static void stop_saying(void *context)
{
	(void)context;
	loop_timer_stop(liar.options.loop, &liar.again);
}

static void handle_watch(struct mesh_incoming *in, const ProtobufCMessage *request, void *context)
{
	(void)request;
	(void)context;
	tell_snapshot(in, false);
	stop_saying(NULL);
	liar.again = (struct loop_timer){ .fire = say_it_again, .context = in };
	mesh_incoming_on_cancel(in, stop_saying, NULL);
	say_it_again(in);
	attacker_ready();
}

static const struct mesh_handler handlers[] = { { "Watch", handle_watch } };
static const struct mesh_service service = { .descriptor = &drover__v1__agent__descriptor,
	                                     .handlers = handlers,
	                                     .n_handlers = ARRAY_SIZE(handlers) };
static const struct mesh_service *const services[] = { &service, NULL };

static void attached(const struct mesh_result *result, void *context)
{
	(void)context;
	if (result->status != MESH_OK)
		attacker_die("attach: %s", result->error.text);
}

static void connected(struct mesh_connection *c, void *context)
{
	Drover__V1__AttachRequest request = DROVER__V1__ATTACH_REQUEST__INIT;
	struct id boot = id_new();

	(void)context;
	request.node = liar.node;
	request.mesh_address = (char *)"tcp://10.77.0.1:7799";
	request.agent_version = (char *)"0";
	request.boot_id = (ProtobufCBinaryData){ ID_BYTES, boot.bytes };
	mesh_call(c, "drover.v1.Coordinator/Attach", &request.base, CALL_MS, attached, NULL);
}

/* The name is the certificate's; the mesh takes it from there when none is given. */
static void learn_name(const char *pki)
{
	struct victim v = { .address = "127.0.0.1", .port = "1", .pki = pki, .fd = -1 };

	victim_read_identity(&v);
	memcpy(liar.node, v.identity.name, sizeof(liar.node));
}

void attacker_lie(const char *url, const char *pki, const char *uuid, const char *home)
{
	liar.options = (struct mesh_options){ .services = services, .connected = connected };
	liar.uuid = uuid;
	liar.home = home;
	liar.operation = id_new();
	learn_name(pki);
	attacker_join(&liar.options, url, pki, MESH_ROLE_COORDINATOR);
}
