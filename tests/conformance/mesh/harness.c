/* SPDX-License-Identifier: Apache-2.0 */
/* See harness.h. */
#include "tests/conformance/mesh/harness.h"

#include "common/alloc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *harness_transport = "inproc";

#define EVERYBODY                                                                          \
	(MESH_ROLE_COORDINATOR | MESH_ROLE_AGENT | MESH_ROLE_OPERATOR | MESH_ROLE_VIEWER | \
	 MESH_ROLE_ADMIN)
#define T(name, in, out, streams)                                              \
	{                                                                      \
		"drover.test." name, &drover__test__##in##__descriptor,        \
			&drover__test__##out##__descriptor, streams, EVERYBODY \
	}

#define ACT(name)                                                                              \
	{                                                                                      \
		"drover.test." name, &drover__test__request__descriptor,                       \
			&drover__test__reply__descriptor, false, EVERYBODY & ~MESH_ROLE_VIEWER \
	}

const struct method test_methods[] = {
	T("Test/EmptyCall", empty, empty, false),
	T("Test/UnaryCall", request, reply, false),
	T("Test/StreamCall", request, reply, true),
	T("Test/Flood", request, reply, true),
	T("Test/OneThenSilence", request, reply, true),
	T("Test/Sleep", empty, empty, false),
	T("Test/NotServed", empty, empty, false),
	T("Unserved/Call", empty, empty, false),
	T("Test/Relay", request, empty, false),
	ACT("Test/Act"),
	ACT("Test/ActAtOnce"),
};
const size_t test_methods_count = ARRAY_SIZE(test_methods);

/* --- the service --- */

static void fill_reply(Drover__Test__Reply *reply, size_t bytes)
{
	drover__test__reply__init(reply);
	reply->payload.data = xmalloc(bytes);
	reply->payload.len = bytes;
	memset(reply->payload.data, FILL, bytes);
}

static void handle_empty(struct mesh_incoming *in, const ProtobufCMessage *request, void *context)
{
	Drover__Test__Empty reply = DROVER__TEST__EMPTY__INIT;

	(void)request;
	(void)context;
	mesh_reply(in, &reply.base);
}

/* As gRPC's interop servers do. */
static void echo_metadata(struct mesh_incoming *in)
{
	const struct mesh_metadata *m = mesh_incoming_get_metadata(in);
	const struct mesh_metadata_item *initial = mesh_metadata_find(m, ECHO_INITIAL);
	const struct mesh_metadata_item *trailing = mesh_metadata_find(m, ECHO_TRAILING);
	struct error err;

	if (initial)
		assert_int_equal(mesh_send_headers(in, &(struct mesh_metadata){ initial, 1 }, &err),
		                 0);
	if (trailing)
		assert_int_equal(
			mesh_set_trailers(in, &(struct mesh_metadata){ trailing, 1 }, &err), 0);
}

static void fail_with_details(struct mesh_incoming *in, const Drover__Test__Request *request,
                              const struct error *err)
{
	Drover__Test__Reply reply;
	const ProtobufCMessage *details[100];

	assert_true(request->details <= ARRAY_SIZE(details));
	fill_reply(&reply, request->reply_bytes);
	for (size_t i = 0; i < request->details; i++)
		details[i] = &reply.base;
	mesh_fail_with_details(in, (enum mesh_status)request->status, err, details,
	                       request->details);
	free(reply.payload.data);
}

static void collect(struct side *side, struct mesh_incoming *in, uint64_t reply_bytes)
{
	Drover__Test__Empty none = DROVER__TEST__EMPTY__INIT;
	Drover__Test__Reply reply;

	assert_in_range(side->collects, side->n_collected + 1, HARNESS_COLLECTS_MAX);
	side->collected[side->n_collected++] = in;
	if (side->n_collected < side->collects)
		return;
	fill_reply(&reply, reply_bytes);
	for (unsigned i = 0; i < side->n_collected; i++)
		mesh_reply(side->collected[i], &reply.base);
	mesh_reply(side->last_sleeper, &none.base);
	free(reply.payload.data);
}

static void handle_unary(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__Test__Request *request = (const Drover__Test__Request *)m;
	struct side *side = context;
	Drover__Test__Reply reply;
	struct error err;

	echo_metadata(in);
	if (request->status != 0) {
		error_set(&err, ERROR_REFUSED, "%s", request->text);
		if (request->details > 0) {
			fail_with_details(in, request, &err);
			return;
		}
		mesh_fail(in, (enum mesh_status)request->status, &err);
		return;
	}
	if (side->collects > 0) {
		collect(side, in, request->reply_bytes);
		return;
	}
	fill_reply(&reply, request->reply_bytes);
	mesh_reply(in, &reply.base);
	side->answered++;
	free(reply.payload.data);
}

static void handle_stream(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__Test__Request *request = (const Drover__Test__Request *)m;

	(void)context;
	echo_metadata(in);
	for (size_t i = 0; i < request->n_sizes; i++) {
		Drover__Test__Reply reply;

		fill_reply(&reply, request->sizes[i]);
		mesh_send(in, &reply.base);
		free(reply.payload.data);
	}
	mesh_finish(in);
}

struct flood {
	struct side *side;
	struct mesh_incoming *in;
	uint32_t bytes;
};

static void flood_more(void *context)
{
	struct flood *flood = context;
	Drover__Test__Reply reply;
	bool more = true;

	fill_reply(&reply, flood->bytes);
	while (more) {
		more = mesh_send(flood->in, &reply.base);
		flood->side->flooded++;
	}
	flood->side->slow++;
	free(reply.payload.data);
}

static void flood_cancelled(void *context)
{
	struct flood *flood = context;

	flood->side->cancelled++;
	free(flood);
}

static void handle_flood(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	struct flood *flood = xnew(struct flood);

	*flood = (struct flood){ context, in, ((const Drover__Test__Request *)m)->reply_bytes };
	mesh_incoming_on_cancel(in, flood_cancelled, flood);
	mesh_incoming_on_writable(in, flood_more, flood);
	flood_more(flood);
}

void harness_count_cancelled(void *context)
{
	struct side *side = context;

	side->cancelled++;
	side->last_sleeper = NULL;
}

static void handle_one(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	Drover__Test__Reply reply;

	fill_reply(&reply, ((const Drover__Test__Request *)m)->reply_bytes);
	mesh_incoming_on_cancel(in, harness_count_cancelled, context);
	mesh_send(in, &reply.base);
	free(reply.payload.data);
}

static void handle_sleep(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	struct side *side = context;

	(void)m;
	side->sleeping++;
	side->last_sleeper = in;
	mesh_incoming_on_cancel(in, harness_count_cancelled, side);
}

static void relayed(const struct mesh_result *result, void *context)
{
	struct relay *relay = context;

	relay->done = true;
	relay->status = result->status;
	relay->error = result->error;
	if (relay->in)
		mesh_fail(relay->in, result->status, &result->error);
}

static void relay_cancelled(void *context)
{
	struct relay *relay = context;

	relay->in = NULL;
}

static void handle_relay(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__Test__Request *request = (const Drover__Test__Request *)m;
	Drover__Test__Empty empty = DROVER__TEST__EMPTY__INIT;
	struct side *side = context;

	side->relay = (struct relay){ .in = in };
	mesh_incoming_on_cancel(in, relay_cancelled, &side->relay);
	mesh_call_with(
		mesh_incoming_get_connection(in), "drover.test.Test/Sleep", &empty.base,
		&(struct mesh_call_options){ .timeout_ms = request->reply_bytes, .parent = in },
		relayed, &side->relay);
}

static const struct mesh_handler handlers[] = {
	{ "EmptyCall", handle_empty },    { "UnaryCall", handle_unary },
	{ "StreamCall", handle_stream },  { "Flood", handle_flood },
	{ "OneThenSilence", handle_one }, { "Sleep", handle_sleep },
	{ "Relay", handle_relay },        { "Act", handle_sleep },
	{ "ActAtOnce", handle_unary },
};

const struct mesh_service test_service = { &drover__test__test__descriptor, handlers,
	                                   ARRAY_SIZE(handlers) };

static const struct mesh_service *const services[] = { &test_service, NULL };

/* --- sides --- */

static void connected(struct mesh_connection *c, void *context)
{
	struct side *side = context;

	side->connection = c;
	side->connects++;
}

static void disconnected(struct mesh_connection *c, const struct error *why, void *context)
{
	struct side *side = context;

	if (side->connection == c)
		side->connection = NULL;
	side->disconnects++;
	side->why = *why;
}

void harness_open(struct harness *h, const char *transport)
{
	*h = (struct harness){ .loop = loop_new() };
	loop_share(h->loop);
	snprintf(h->directory, sizeof(h->directory), "/tmp/mesh-test-XXXXXX");
	assert_non_null(mkdtemp(h->directory));
	h->tls = strcmp(transport, "tcp") == 0;
	if (h->tls)
		pki_ca_init(&h->ca, h->directory, "ca");
	if (h->tls)
		snprintf(h->url, sizeof(h->url), "tcp://127.0.0.1:0");
	else if (strcmp(transport, "ipc") == 0)
		snprintf(h->url, sizeof(h->url), "ipc://%s/socket", h->directory);
	else
		snprintf(h->url, sizeof(h->url), "inproc://%s", h->directory);
}

static void remove_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char file[400];

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		unlink(file);
	}
	closedir(dir);
	rmdir(path);
}

void harness_close(struct harness *h)
{
	mesh_free(h->client.mesh);
	mesh_free(h->server.mesh);
	loop_free(h->loop);
	if (h->tls)
		pki_ca_deinit(&h->ca);
	remove_directory(h->directory);
}

struct mesh_options harness_options(struct harness *h, struct side *side, enum mesh_role role,
                                    const char *name)
{
	static struct pki_leaf leaf;
	struct mesh_options options = {
		.loop = h->loop,
		.role = role,
		.name = name,
		.cluster = "test",
		.services = services,
		.service_context = side,
		.extra_methods = test_methods,
		.n_extra_methods = test_methods_count,
		.connected = connected,
		.disconnected = disconnected,
		.context = side,
	};
	char uri[300];

	if (h->tls) {
		snprintf(uri, sizeof(uri), "drover://test/%s/%s", mesh_role_name(role), name);
		pki_leaf_make(&h->ca, h->directory, name, uri, 3600, &leaf);
		options.tls_ca = h->ca.path;
		options.tls_certificate = leaf.certificate_path;
		options.tls_key = leaf.key_path;
	}
	return options;
}

void harness_start(struct harness *h, struct side *side, const struct mesh_options *options,
                   bool listen)
{
	struct error err = { 0 };

	side->mesh = mesh_new(options, &err);
	assert_string_equal(err.text, "");
	assert_non_null(side->mesh);
	if (!listen)
		return;
	mesh_listen(side->mesh, h->url, &err);
	assert_string_equal(err.text, "");
	snprintf(h->dial_url, sizeof(h->dial_url), "%s", h->url);
	if (h->tls)
		snprintf(h->dial_url, sizeof(h->dial_url), "tcp://127.0.0.1:%u",
		         mesh_get_port(side->mesh, h->url));
}

int harness_setup(void **state)
{
	struct harness *h = xnew(struct harness);
	struct mesh_options options;

	harness_open(h, harness_transport);
	options = harness_options(h, &h->server, MESH_ROLE_COORDINATOR, "c1");
	harness_start(h, &h->server, &options, true);
	options = harness_options(h, &h->client, MESH_ROLE_AGENT, "host1");
	harness_start(h, &h->client, &options, false);
	h->dialer = mesh_dial(h->client.mesh, h->dial_url, MESH_ROLE_COORDINATOR, "c1");
	harness_wait_count(h, &h->client.connects, 1);
	harness_wait_count(h, &h->server.connects, 1);
	*state = h;
	return 0;
}

int harness_teardown(void **state)
{
	struct harness *h = *state;

	harness_close(h);
	free(h);
	return 0;
}

/* --- waiting --- */

bool harness_wait(struct harness *h, bool (*done)(void *context), void *context)
{
	return loop_run_until(h->loop, WAIT_MS, done, context);
}

static bool flag_is_set(void *context)
{
	return *(const bool *)context;
}

void harness_wait_flag(struct harness *h, const bool *flag)
{
	assert_true(harness_wait(h, flag_is_set, (void *)flag));
}

struct counting {
	const unsigned *count;
	unsigned at_least;
};

static bool count_is_reached(void *context)
{
	const struct counting *c = context;

	return *c->count >= c->at_least;
}

void harness_wait_count(struct harness *h, const unsigned *count, unsigned at_least)
{
	struct counting c = { count, at_least };

	assert_true(harness_wait(h, count_is_reached, &c));
}

void harness_run(struct harness *h, uint64_t ms)
{
	loop_run_until(h->loop, ms, NULL, NULL);
}

/* --- calls --- */

static bool is_filled(const ProtobufCBinaryData *payload)
{
	for (size_t i = 0; i < payload->len; i++) {
		if (payload->data[i] != FILL)
			return false;
	}
	return true;
}

static unsigned outcomes;

void outcome_done(const struct mesh_result *result, void *context)
{
	struct outcome *o = context;

	o->done = true;
	o->times++;
	o->order = ++outcomes;
	o->status = result->status;
	o->error = result->error;
	o->never_sent = result->never_sent;
	if (result->message && result->message->descriptor == &drover__test__reply__descriptor) {
		const Drover__Test__Reply *reply = (const Drover__Test__Reply *)result->message;

		o->reply_bytes = reply->payload.len;
		o->reply_is_filled = is_filled(&reply->payload);
	}
}

void outcome_message(const ProtobufCMessage *m, void *context)
{
	const Drover__Test__Reply *reply = (const Drover__Test__Reply *)m;
	struct outcome *o = context;

	if (o->messages < ARRAY_SIZE(o->message_bytes))
		o->message_bytes[o->messages] = reply->payload.len;
	o->messages++;
	assert_true(is_filled(&reply->payload));
	if (o->cancel_after_message)
		mesh_call_cancel(o->cancel_after_message);
}

void harness_unary(struct harness *h, struct mesh_connection *c, const char *method,
                   const ProtobufCMessage *request, struct outcome *ret_outcome)
{
	*ret_outcome = (struct outcome){ 0 };
	mesh_call(c, method, request, WAIT_MS, outcome_done, ret_outcome);
	harness_wait_flag(h, &ret_outcome->done);
}

Drover__Test__Request *request_new(size_t bytes, uint32_t reply_bytes)
{
	Drover__Test__Request *request = xnew(Drover__Test__Request);

	drover__test__request__init(request);
	request->payload.data = xmalloc(bytes);
	request->payload.len = bytes;
	memset(request->payload.data, FILL, bytes);
	request->reply_bytes = reply_bytes;
	return request;
}

void request_free(Drover__Test__Request *request)
{
	free(request->payload.data);
	free(request);
}
