/* SPDX-License-Identifier: Apache-2.0 */
/* A live connection, fed with frames of the input's choice, while our side calls, serves, streams,
 * pauses and cancels; in both roles, dialled and accepted. Afterwards nothing of it is left: each call
 * we made was completed once, each call we served was ended, and the connection is gone.
 *
 * The first byte chooses role and beginning, the second which role the peer claims to have. Then steps
 * follow; the first byte of each says what it is:
 *
 *	0..11	a frame of this type: stream, flags, aux (as an exponent), bytes of header, bytes of
 *		payload, and these
 *	12	an OPEN that is one: stream, method, flags, timeout, bytes of metadata, bytes of payload
 *	13	raw bytes: how many, and these
 *	14..	something that our side does: which
 *
 * There is no transport and no thread: a link of our own takes what is sent, checks that it is frames,
 * and gives what is received straight to the connection.
 */
#include "common/alloc.h"
#include "common/log.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/mesh/internal.h"
#include "proto/mesh/reflection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define MESSAGE_MAX ((uint32_t)16 * 1024)
#define SERVED_MAX  64
#define CALLS_MAX   64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the input --- */

struct input {
	const uint8_t *at, *end;
};

static uint8_t take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static size_t take_bytes(struct input *in, size_t count, const uint8_t **ret)
{
	if (count > (size_t)(in->end - in->at))
		count = (size_t)(in->end - in->at);
	*ret = in->at;
	in->at += count;
	return count;
}

/* --- the link --- */

struct wire {
	struct link link; /* first */
	struct frame_reader reader, sent;
	uint64_t sent_bytes;
	bool full; /* the peer does not read */
	size_t queued_bytes;
};

static void wire_start(struct link *l)
{
	struct link_peer peer = { .proof = LINK_PROOF_NONE };

	memcpy(peer.identity.address, "the input", sizeof("the input"));
	l->events->opened(&peer, l->context);
}

/* What we send must be frames that we would take ourselves. */
static void wire_send(struct link *l, struct chunk *chunk)
{
	struct wire *w = (struct wire *)l;
	struct frame *list = NULL, **end = &list;
	struct error err;
	int rc = frame_reader_push(&w->sent, chunk->data, chunk->bytes, &end, &err);

	assert(rc == 0);
	frame_list_free(list);
	w->sent_bytes += chunk->bytes;
	if (w->full)
		w->queued_bytes += chunk->bytes;
	free(chunk);
}

static size_t wire_get_queued_bytes(const struct link *l)
{
	return ((const struct wire *)l)->queued_bytes;
}

static uint64_t wire_get_taken_bytes(const struct link *l)
{
	const struct wire *w = (const struct wire *)l;

	return w->sent_bytes - w->queued_bytes;
}

static void wire_consumed(struct link *l, size_t bytes)
{
	(void)l;
	(void)bytes;
}

static void wire_close(struct link *l)
{
	link_post_closed(l);
}

static void wire_release(struct link *l)
{
	struct wire *w = (struct wire *)l;

	frame_reader_deinit(&w->reader);
	frame_reader_deinit(&w->sent);
}

static const struct link_ops wire_ops = {
	.start = wire_start,
	.send = wire_send,
	.get_queued_bytes = wire_get_queued_bytes,
	.get_taken_bytes = wire_get_taken_bytes,
	.consumed = wire_consumed,
	.close = wire_close,
	.release = wire_release,
};

/* --- both ends of a run --- */

static struct {
	struct mesh *mesh;
	struct mesh_listener *listener;
	struct mesh_dialer *dialer;
	const struct method *methods;
	size_t n_methods;

	struct wire *wire;                  /* referenced for the run */
	struct mesh_connection *connection; /* NULL: over */
	unsigned connected, disconnected;
	struct mesh_incoming *served[SERVED_MAX];
	size_t n_served;
	struct mesh_call *calls[CALLS_MAX]; /* NULL: completed */
	size_t n_calls, n_done;
	bool cancel_in_message;
} run;

static struct wire *wire_new(struct link_group *group)
{
	struct wire *w = xnew(struct wire);

	frame_reader_init(&w->reader, MESSAGE_MAX + FRAME_HEADER_MAX);
	frame_reader_init(&w->sent, UINT32_MAX);
	link_init(&w->link, &wire_ops, group);
	link_reference(&w->link);
	run.wire = w;
	return w;
}

/* The dialler is told of an open link at once; a real one does it from the loop. */
static void opened(struct message *m)
{
	struct wire *w = run.wire;

	free(m);
	if (w->link.events)
		wire_start(&w->link);
}

static struct link *dial(struct link_group *group, const char *url,
                         const struct link_events *events, void *context)
{
	struct wire *w = wire_new(group);
	struct message *m = xnew(struct message);

	(void)url;
	w->link.events = events;
	w->link.context = context;
	m->run = opened;
	loop_post(group->loop, m);
	return &w->link;
}

static const struct transport transport = { .prefix = "fuzz://", .dial = dial };

/* --- what we serve --- */

static void forget_served(void *context)
{
	for (size_t i = 0; i < run.n_served; i++) {
		if (run.served[i] == context)
			run.served[i] = NULL;
	}
}

/* What a message says of itself does not matter here; that it can be read does. */
static void handle(struct mesh_incoming *in, const ProtobufCMessage *request, void *context)
{
	(void)context;
	assert(protobuf_c_message_check(request));
	if (run.n_served == SERVED_MAX) {
		struct error err;

		error_set(&err, ERROR_BUSY, "enough");
		mesh_fail_error(in, &err);
		return;
	}
	run.served[run.n_served++] = in;
	/* Some are told when nobody waits, some run to their end. */
	if (run.n_served % 2)
		mesh_incoming_on_cancel(in, forget_served, in);
}

#define METHODS_MAX 64

static struct mesh_handler handlers[METHODS_MAX];
static struct mesh_service tables[2];
static const struct mesh_service *services[] = { &tables[0], &tables[1], &reflection_service,
	                                         NULL };

static void serve_all(struct mesh_service *table, const ProtobufCServiceDescriptor *service,
                      struct mesh_handler *room)
{
	*table = (struct mesh_service){ .descriptor = service,
		                        .handlers = room,
		                        .n_handlers = service->n_methods };
	for (unsigned i = 0; i < service->n_methods; i++)
		room[i] = (struct mesh_handler){ .method = service->methods[i].name,
			                         .handle = handle };
}

static void answer(struct mesh_incoming *in, uint8_t how)
{
	const struct method *method = in->method;
	uint8_t room[1024];
	ProtobufCMessage *reply = (ProtobufCMessage *)room;
	struct mesh_metadata_item item = { "k", "v", 1 };
	struct mesh_metadata metadata = { &item, 1 };
	struct error err;

	assert(method->output->sizeof_message <= sizeof(room));
	protobuf_c_message_init(method->output, reply);
	error_set(&err, ERROR_REFUSED, "no");
	if (how & 0x10)
		(void)mesh_set_trailers(in, &metadata, &err);
	if ((how & 0x20) && !in->answering)
		(void)mesh_send_headers(in, &metadata, &err);
	if (method->server_streaming && (how & 3) == 0) {
		(void)mesh_send(in, reply);
		return;
	}
	forget_served(in);
	if ((how & 3) == 1) {
		mesh_fail(in, MESH_ABORTED, &err);
	} else if ((how & 3) == 2) {
		const ProtobufCMessage *details[] = { reply };

		mesh_fail_with_details(in, MESH_FAILED_PRECONDITION, &err, details, 1);
	} else if (method->server_streaming) {
		mesh_finish(in);
	} else {
		mesh_reply(in, reply);
	}
}

/* --- what we call --- */

static void done(const struct mesh_result *result, void *context)
{
	struct mesh_call **slot = context;
	struct error err;

	assert((unsigned)result->status < MESH_STATUSES);
	assert((result->status == MESH_OK) == (result->error.code == ERROR_NONE));
	if (result->message)
		assert(result->status == MESH_OK && protobuf_c_message_check(result->message));
	if (result->n_details > 0)
		(void)mesh_result_find_detail(result, &drover__v1__check__descriptor, &err);
	*slot = NULL;
	run.n_done++;
}

static void got_message(const ProtobufCMessage *m, void *context)
{
	struct mesh_call **slot = context;

	assert(protobuf_c_message_check(m));
	if (run.cancel_in_message)
		mesh_call_cancel(*slot);
}

static void got_headers(const struct mesh_metadata *headers, void *context)
{
	(void)context;
	assert(headers->count <= MESH_METADATA_MAX);
}

static void call(struct input *in)
{
	const struct method *method = &run.methods[take(in) % run.n_methods];
	uint8_t how = take(in), room[1024];
	ProtobufCMessage *request = (ProtobufCMessage *)room;
	struct id id = { .bytes = { how } };
	struct mesh_call_options options = {
		.timeout_ms = how & 1 || !method->server_streaming ? 60000 : 0,
		.message = method->server_streaming ? got_message : NULL,
		.headers = how & 2 ? got_headers : NULL,
		.request_id = how & 4 ? &id : NULL,
	};
	struct mesh_call **slot;

	if (!run.connection || run.n_calls == CALLS_MAX)
		return;
	if (how & 8 && run.n_served > 0)
		options.parent = run.served[run.n_served - 1];
	assert(method->input->sizeof_message <= sizeof(room));
	protobuf_c_message_init(method->input, request);
	slot = &run.calls[run.n_calls++];
	*slot = mesh_call_with(run.connection, method->name, request, &options, done, slot);
}

static void act(struct input *in)
{
	uint8_t what = take(in), which = take(in);
	struct mesh_call *one = run.n_calls ? run.calls[which % run.n_calls] : NULL;
	struct mesh_incoming *served = run.n_served ? run.served[which % run.n_served] : NULL;

	switch (what % 8) {
	case 0:
	case 1:
		call(in);
		break;
	case 2:
		if (one)
			mesh_call_cancel(one);
		break;
	case 3:
		if (one)
			mesh_call_pause(one, which & 0x80);
		break;
	case 4:
	case 5:
		if (served)
			answer(served, take(in));
		break;
	case 6: /* the peer stops reading, or has read all */
		run.wire->full = which & 1;
		if (run.wire->full || !run.wire->link.events)
			break;
		run.wire->queued_bytes = 0;
		run.wire->link.events->drained(run.wire->link.context);
		break;
	case 7:
		run.cancel_in_message = which & 1;
		break;
	}
}

/* --- what the peer sends --- */

static void receive(const uint8_t *bytes, size_t count)
{
	struct wire *w = run.wire;
	struct frame *list = NULL, **end = &list;
	struct error err;
	int rc;

	if (!w->link.events)
		return;
	rc = frame_reader_push(&w->reader, bytes, count, &end, &err);
	for (struct frame *f = list; f && w->link.events; f = f->next)
		w->link.events->received(f, w->link.context);
	if (rc < 0 && w->link.events)
		w->link.events->failed(&err, w->link.context);
	frame_list_free(list);
}

static void receive_frame(const struct frame_head *head, const void *header, const void *payload)
{
	uint8_t bytes[FRAME_BYTES + 4096];
	size_t payload_bytes = head->length - head->header_bytes;

	assert(head->length <= sizeof(bytes) - FRAME_BYTES);
	frame_head_encode(head, bytes);
	if (head->header_bytes > 0)
		memcpy(bytes + FRAME_BYTES, header, head->header_bytes);
	if (payload_bytes > 0)
		memcpy(bytes + FRAME_BYTES + head->header_bytes, payload, payload_bytes);
	receive(bytes, FRAME_BYTES + head->length);
}

static void any_frame(struct input *in, uint8_t type)
{
	struct frame_head head = { .type = type, .stream = take(in), .flags = take(in) };
	uint8_t aux = take(in), header_bytes = take(in), payload_bytes = take(in);
	const uint8_t *header, *payload;

	/* Small ones as they are; large ones near powers of two. */
	head.aux = aux < 128 ? aux : (uint32_t)1 << (aux & 31);
	head.header_bytes = (uint16_t)take_bytes(in, header_bytes, &header);
	head.length = head.header_bytes + (uint32_t)take_bytes(in, payload_bytes, &payload);
	receive_frame(&head, header, payload);
}

static void good_open(struct input *in)
{
	Drover__Mesh__Open open = DROVER__MESH__OPEN__INIT;
	Drover__Mesh__Metadata row = DROVER__MESH__METADATA__INIT, *rows[] = { &row };
	struct frame_head head = { .type = FRAME_OPEN, .stream = take(in) };
	uint8_t how, bytes, id[ID_BYTES] = { 0 }, header[512];
	const uint8_t *payload;

	open.method = (char *)run.methods[take(in) % run.n_methods].name;
	how = take(in);
	open.timeout_us = how & 1 ? 0 : 60000000;
	if (how & 2) {
		id[0] = how >> 4;
		open.request_id = (ProtobufCBinaryData){ ID_BYTES, id };
	}
	if (how & 4) {
		row.key = (char *)"key";
		open.metadata = rows;
		open.n_metadata = 1;
	}
	head.header_bytes = (uint16_t)drover__mesh__open__pack(&open, header);
	bytes = take(in);
	head.length = head.header_bytes + (uint32_t)take_bytes(in, bytes, &payload);
	if (how & 8) {
		head.flags = FRAME_MORE;
		head.aux = bytes + 1 + take(in);
	}
	receive_frame(&head, header, payload);
}

static void hello(uint8_t role)
{
	static const enum mesh_role roles[] = { MESH_ROLE_COORDINATOR, MESH_ROLE_AGENT,
		                                MESH_ROLE_OPERATOR, MESH_ROLE_VIEWER,
		                                MESH_ROLE_ADMIN };
	Drover__Mesh__Hello message = DROVER__MESH__HELLO__INIT;
	struct chunk *chunk;

	message.version_min = message.version_max = MESH_VERSION;
	message.role = (char *)mesh_role_name(roles[role % ARRAY_SIZE(roles)]);
	message.name = (char *)"peer";
	message.max_message_bytes = role & 0x80 ? 64 : MESSAGE_MAX;
	message.max_streams = 32;
	message.window_bytes = role & 0x40 ? 8 : 65536;
	message.piece_bytes = role & 0x20 ? 0 : MESH_PIECE_LEAST_BYTES;
	message.features = MESH_FEATURES;
	receive((const uint8_t *)FRAME_PREFACE, FRAME_PREFACE_BYTES);
	chunk = frame_pack(FRAME_HELLO, 0, &message.base, NULL);
	receive(chunk->data, chunk->bytes);
	free(chunk);
}

/* --- a run --- */

static void connected(struct mesh_connection *c, void *context)
{
	(void)context;
	run.connected++;
	run.connection = c;
}

static void disconnected(struct mesh_connection *c, const struct error *why, void *context)
{
	(void)context;
	assert(c == run.connection && why->code != ERROR_NONE);
	run.disconnected++;
	run.connection = NULL;
}

/* Nobody dials again: a run has one connection. */
static void never(void *context)
{
	(void)context;
}

static void begin_all(void)
{
	static struct mesh_options options = {
		.role = MESH_ROLE_AGENT,
		.name = "self",
		.cluster = "fuzz",
		.max_message_bytes = MESSAGE_MAX,
		.services = services,
		.connected = connected,
		.disconnected = disconnected,
	};
	struct error err;

	log_open("fuzz", LOG_LEVEL_ERROR);
	serve_all(&tables[0], &drover__v1__agent__descriptor, handlers);
	serve_all(&tables[1], &drover__v1__coordinator__descriptor,
	          handlers + drover__v1__agent__descriptor.n_methods);
	run.methods = method_get_all(&run.n_methods);
	options.loop = loop_new();
	run.mesh = mesh_new(&options, &err);
	assert(run.mesh);
	run.listener = xnew(struct mesh_listener);
	run.listener->mesh = run.mesh;
	run.listener->url = xstrdup("fuzz://");
	run.listener->gate.limits = run.mesh->limits;
	run.dialer = xnew(struct mesh_dialer);
	run.dialer->mesh = run.mesh;
	run.dialer->url = xstrdup("fuzz://");
	run.dialer->transport = &transport;
	run.dialer->retry.fire = never;
}

static bool is_over(void *context)
{
	(void)context;
	return !run.mesh->connections && !run.mesh->stillborn && !run.mesh->links.first;
}

static bool has_opened(void *context)
{
	(void)context;
	return run.wire->sent_bytes > 0;
}

static void begin(bool dialled)
{
	struct wire *w;

	if (dialled) {
		connection_dial(run.dialer);
		loop_run_until(run.mesh->loop, 10000, has_opened, NULL);
		return;
	}
	w = wire_new(&run.mesh->links);
	memcpy(w->link.address, "the input", sizeof("the input"));
	listener_accept(run.listener, &w->link);
}

/* All that the run began comes to its end. */
static void end(void)
{
	struct error why;

	error_set(&why, ERROR_UNREACHABLE, "the input is at its end");
	if (run.wire->link.events)
		run.wire->link.events->failed(&why, run.wire->link.context);
	assert(loop_run_until(run.mesh->loop, 10000, is_over, NULL));
	loop_timer_stop(run.mesh->loop, &run.dialer->retry);
	/* Only those whom nobody told that nobody waits. */
	for (size_t i = 0; i < run.n_served; i++) {
		if (run.served[i])
			answer(run.served[i], 3);
	}
	assert(!run.mesh->abandoned);
	assert(run.n_done == run.n_calls && run.connected == run.disconnected && !run.connection);
	assert(run.listener->gate.connections == 0 && run.listener->gate.handshakes == 0);
	replays_deinit(&run.mesh->replays);
	assert(!run.mesh->replays.all && !run.mesh->replays.ended && run.mesh->replays.bytes == 0);
	link_unreference(&run.wire->link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	uint8_t how, role;

	if (!run.mesh)
		begin_all();
	run.connected = run.disconnected = 0;
	run.n_served = run.n_calls = run.n_done = 0;
	run.cancel_in_message = false;
	how = take(&in);
	role = take(&in);
	begin(how & 1);
	if (!(how & 2))
		hello(role);
	while (in.at < in.end && run.wire->link.events) {
		uint8_t step = take(&in) & 15;
		const uint8_t *bytes;
		size_t count;

		if (step < 12) {
			any_frame(&in, step);
		} else if (step == 12) {
			good_open(&in);
		} else if (step == 13) {
			count = take_bytes(&in, take(&in), &bytes);
			receive(bytes, count);
		} else {
			act(&in);
		}
	}
	end();
	return 0;
}
