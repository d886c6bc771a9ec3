/* SPDX-License-Identifier: Apache-2.0 */
/* See attacker.h: what a coordinator has said to a source agent, once more, under that coordinator's own
 * certificate, from a connection of its own. Of the agent's Attach it takes no notice, so that nothing but
 * the orders is said. */
#include "tests/lab/attacker.h"

#include "common/alloc.h"
#include "common/id.h"
#include "common/loop.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 10000

static struct {
	struct attacker_order order;
	struct id operation;
	unsigned answers;
} replayed;

static const char *state_name(const Drover__V1__AttemptReport *report)
{
	const ProtobufCEnumValue *value = report ? protobuf_c_enum_descriptor_get_value(
							   &drover__v1__migration_state__descriptor,
							   report->state)
	                                         : NULL;

	return value ? value->name : "nothing";
}

static void say(const char *method, const struct mesh_result *result,
                const Drover__V1__AttemptReport *report)
{
	if (result->status != MESH_OK)
		attacker_die("%s: %s", method, result->error.text);
	printf("%s: %s%s\n", method, state_name(report),
	       report && report->tombstoned ? ", tombstoned" : "");
	fflush(stdout);
	if (++replayed.answers == 2)
		exit(0);
}

static void started(const struct mesh_result *result, void *context)
{
	const Drover__V1__StartMigrationReply *reply = (const void *)result->message;

	(void)context;
	say("StartMigration", result, reply ? reply->report : NULL);
}

static void cancelled(const struct mesh_result *result, void *context)
{
	(void)context;
	say("CancelMigration", result, (const void *)result->message);
}

static void connected(struct mesh_connection *c, void *context)
{
	Drover__V1__Attempt attempt = DROVER__V1__ATTEMPT__INIT;
	Drover__V1__MigrationSettings settings = DROVER__V1__MIGRATION_SETTINGS__INIT;
	Drover__V1__StartMigrationRequest start = DROVER__V1__START_MIGRATION_REQUEST__INIT;
	Drover__V1__AttemptRequest cancel = DROVER__V1__ATTEMPT_REQUEST__INIT;

	(void)context;
	attempt.operation_id = (ProtobufCBinaryData){ ID_BYTES, replayed.operation.bytes };
	attempt.number = replayed.order.number;
	attempt.epoch = replayed.order.epoch;
	start.attempt = cancel.attempt = &attempt;
	start.vm_uuid = cancel.vm_uuid = (char *)replayed.order.uuid;
	start.target_node = (char *)replayed.order.target;
	start.target_address = (char *)replayed.order.target_url;
	start.settings = &settings;
	attacker_ready();
	mesh_call(c, "drover.v1.Agent/StartMigration", &start.base, CALL_MS, started, NULL);
	mesh_call(c, "drover.v1.Agent/CancelMigration", &cancel.base, CALL_MS, cancelled, NULL);
}

static void ignore_attach(struct mesh_incoming *in, const ProtobufCMessage *request, void *context)
{
	(void)in;
	(void)request;
	(void)context;
}

static const struct mesh_handler handlers[] = { { "Attach", ignore_attach } };
static const struct mesh_service service = { .descriptor = &drover__v1__coordinator__descriptor,
	                                     .handlers = handlers,
	                                     .n_handlers = ARRAY_SIZE(handlers) };
static const struct mesh_service *const services[] = { &service, NULL };

void attacker_join(struct mesh_options *options, const char *url, const char *pki,
                   enum mesh_role role)
{
	const char *name = strrchr(pki, '/');
	char *ca = xasprintf("%.*s/ca.pem", name ? (int)(name - pki) : 0, pki);
	char *certificate = xasprintf("%s.pem", pki);
	char *key = xasprintf("%s-key.pem", pki);
	struct mesh *mesh;
	struct error err;

	options->loop = loop_new();
	options->tls_ca = ca;
	options->tls_certificate = certificate;
	options->tls_key = key;
	mesh = mesh_new(options, &err);
	if (!mesh)
		attacker_die("%s", err.text);
	mesh_dial(mesh, url, role, NULL);
	loop_run(options->loop);
	mesh_free(mesh);
	loop_free(options->loop);
}

void attacker_order(const char *url, const char *pki, const struct attacker_order *order)
{
	struct mesh_options options = { .services = services, .connected = connected };

	replayed.order = *order;
	if (id_parse(order->operation, &replayed.operation) < 0)
		attacker_die("%s is no operation", order->operation);
	attacker_join(&options, url, pki, MESH_ROLE_AGENT);
}
