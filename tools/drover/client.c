/* SPDX-License-Identifier: Apache-2.0 */
/* See client.h. */
#include "tools/drover/client.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS   SECONDS_MS(10) /* a coordinator that is there answers in milliseconds */
#define CALL_MS      SECONDS_MS(60) /* a dry run asks every destination */
#define RECONNECT_MS SECONDS_MS(20) /* how long a call outlasts a restart of the coordinator */

struct client {
	struct loop *loop;
	struct mesh *mesh;
	struct mesh_dialer *dialer;
	struct error before_first; /* what the dialer said before it had tried */
	uint64_t deadline_ms;      /* of --timeout; 0 = none */
	int signal_number;         /* that interrupted us; 0 = none */
	uint64_t patience_ms;      /* of client_set_patience; 0 = none */
};

DEFINE_CLEANUP(struct client *, client_free);

static void interrupted(int signal_number, void *context)
{
	struct client *client = context;

	client->signal_number = signal_number;
}

bool client_is_interrupted(const struct client *client)
{
	return client->signal_number != 0;
}

bool client_is_overdue(const struct client *client)
{
	return client->deadline_ms && clock_now_ms() >= client->deadline_ms;
}

void client_set_patience(struct client *client, uint64_t ms)
{
	client->patience_ms = ms;
}

static bool is_to_stop(const struct client *client)
{
	return client->signal_number && !client->patience_ms;
}

struct mesh_connection *client_find_connection(struct client *client)
{
	return mesh_dialer_find_connection(client->dialer);
}

const struct error *client_get_error(const struct client *client)
{
	return mesh_dialer_get_error(client->dialer);
}

/* What is left of @budget_ms when --timeout also counts. */
static uint64_t within_deadline(const struct client *client, uint64_t budget_ms)
{
	uint64_t now_ms = clock_now_ms();

	if (!client->deadline_ms || client->patience_ms)
		return budget_ms;
	if (now_ms >= client->deadline_ms)
		return 0;
	return client->deadline_ms - now_ms < budget_ms ? client->deadline_ms - now_ms : budget_ms;
}

struct waiting {
	struct client *client;
	bool (*done)(void *context);
	void *context;
};

static bool stop_waiting(void *context)
{
	const struct waiting *w = context;

	return is_to_stop(w->client) || (w->done && w->done(w->context));
}

void client_wait(struct client *client, uint64_t budget_ms, bool (*done)(void *context),
                 void *context)
{
	struct waiting w = { client, done, context };

	loop_run_until(client->loop, within_deadline(client, budget_ms), stop_waiting, &w);
}

void client_settle(struct client *client, bool (*done)(void *context), void *context)
{
	while (!loop_run_until(client->loop, 1000, done, context))
		;
}

static bool connected_or_failed(void *context)
{
	struct client *client = context;
	const struct error *err = client_get_error(client);

	return client_find_connection(client) || err->code != ERROR_UNREACHABLE ||
	       strcmp(err->text, client->before_first.text) != 0;
}

static bool is_connected(void *context)
{
	return client_find_connection(context) != NULL;
}

/* 0 if there is a connection; else what became of the wait for one. */
static int connection_state(struct client *client, struct error *err)
{
	const struct error *why = client_get_error(client);

	if (client_find_connection(client))
		return 0;
	if (is_to_stop(client))
		return error_set(err, ERROR_CANCELLED, "interrupted");
	if (client_is_overdue(client) && !client->patience_ms)
		return error_set(err, ERROR_TIMEOUT, "the time given by --timeout is over: %s",
		                 why->text);
	if (err)
		*err = *why;
	/* Whatever it was that is in the way on the other side, it is out of reach for us. */
	if (why->code == ERROR_NONE)
		return error_set(err, ERROR_UNREACHABLE, "no connection");
	if (why->code != ERROR_IDENTITY && why->code != ERROR_INVALID &&
	    why->code != ERROR_PERMISSION && err)
		err->code = ERROR_UNREACHABLE;
	return err ? -(int)err->code : -ERROR_UNREACHABLE;
}

int client_open(const struct options *options, enum mesh_role expect, struct client **ret_client,
                struct error *err)
{
	_cleanup_(client_freep) struct client *client = xnew(struct client);
	struct mesh_options mesh_options = { .role = MESH_ROLE_NONE };
	bool tcp = strncmp(options->server, "tcp://", 6) == 0;
	int rc;

	client->loop = loop_new();
	if (options->timeout_ms)
		client->deadline_ms = clock_now_ms() + options->timeout_ms;
	/* Before any thread is started: the couriers inherit that these are blocked. */
	loop_watch_signal(client->loop, SIGINT, interrupted, client);
	loop_watch_signal(client->loop, SIGTERM, interrupted, client);
	mesh_options.loop = client->loop;
	if (tcp) {
		mesh_options.tls_ca = options->ca;
		mesh_options.tls_certificate = options->cert;
		mesh_options.tls_key = options->key;
	}
	client->mesh = mesh_new(&mesh_options, err);
	if (!client->mesh)
		return err ? -(int)err->code : -ERROR_INVALID;
	client->dialer = mesh_dial(client->mesh, options->server, expect, NULL);
	client->before_first = *client_get_error(client);
	client_wait(client, CONNECT_MS, connected_or_failed, client);
	rc = connection_state(client, err);
	if (rc < 0)
		return rc;
	*ret_client = take_pointer(client);
	return 0;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	mesh_free(client->mesh);
	loop_free(client->loop);
	free(client);
}

/* --- calls --- */

struct call {
	bool done;
	bool answered; /* by the coordinator itself */
	enum mesh_status status;
	struct error error;
	ProtobufCMessage *reply; /* owned */
};

static bool call_is_done(void *context)
{
	const struct call *call = context;

	return call->done;
}

static void call_done(const struct mesh_result *result, void *context)
{
	struct call *call = context;

	call->done = true;
	call->answered = result->answered;
	call->status = result->status;
	call->error = result->error;
	if (result->status == MESH_OK) {
		size_t bytes = protobuf_c_message_get_packed_size(result->message);
		_cleanup_free_ uint8_t *packed = xmalloc(bytes + 1);

		protobuf_c_message_pack(result->message, packed);
		call->reply = protobuf_c_message_unpack(result->message->descriptor, NULL, bytes,
		                                        packed);
		assert(call->reply);
	}
}

/* One try over the connection that there is. */
static void call_once(struct client *client, const char *name, const ProtobufCMessage *request,
                      const struct id *request_id, struct call *ret_call)
{
	bool brief = client->patience_ms && client->patience_ms < CALL_MS;
	uint64_t budget_ms = within_deadline(client, brief ? client->patience_ms : CALL_MS);
	struct call call = { 0 };
	struct mesh_call *running;

	running = mesh_call_with(
		client_find_connection(client), name, request,
		&(struct mesh_call_options){ .timeout_ms = budget_ms ? budget_ms : 1,
	                                     .request_id = request_id },
		call_done, &call);
	/* The mesh keeps the deadline; the margin is for its answer. */
	loop_run_until(client->loop, budget_ms + 1000, stop_waiting,
	               &(struct waiting){ client, call_is_done, &call });
	if (!call.done) {
		mesh_call_cancel(running);
		client_settle(client, call_is_done, &call);
		call.status = MESH_CANCELLED;
		error_set(&call.error, is_to_stop(client) ? ERROR_CANCELLED : ERROR_TIMEOUT,
		          is_to_stop(client) ? "interrupted" : "no answer in time");
	}
	*ret_call = call;
}

/* "unavailable" from the coordinator itself is an answer; else the call has got lost with its connection,
 * and the request id makes it safe to repeat. */
static bool is_lost(const struct client *client, const struct call *call)
{
	if (call->answered)
		return false;
	return call->status == MESH_UNAVAILABLE ||
	       (client->patience_ms &&
	        (call->status == MESH_DEADLINE_EXCEEDED || call->status == MESH_CANCELLED));
}

int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
                ProtobufCMessage **ret_reply, struct error *err)
{
	uint64_t until_ms = clock_now_ms() +
	                    (client->patience_ms ? client->patience_ms : RECONNECT_MS);
	struct id request_id = id_new(); /* of all tries */

	for (;;) {
		struct call call;
		uint64_t now_ms = clock_now_ms();
		int rc;

		/* It was there when this client was made: what is missing now is being restarted. */
		if (now_ms < until_ms)
			client_wait(client, until_ms - now_ms, is_connected, client);
		rc = connection_state(client, err);
		if (rc < 0)
			return rc;
		call_once(client, method, request, &request_id, &call);
		if (call.status == MESH_OK) {
			*ret_reply = call.reply;
			return 0;
		}
		if (!is_lost(client, &call) || clock_now_ms() >= until_ms || is_to_stop(client)) {
			if (err)
				*err = call.error;
			if (call.error.code == ERROR_NONE)
				return error_set(err, ERROR_PROTOCOL,
				                 "the coordinator answered %s and did not say why",
				                 mesh_status_name(call.status));
			return -(int)call.error.code;
		}
	}
}
