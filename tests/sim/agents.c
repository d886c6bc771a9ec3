/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents and the stand-in for their coordinator, set up and taken down. See agents.h. */
#include "common/alloc.h"
#include "proto/coordinator.pb-c.h"
#include "tests/scratch.h"
#include "tests/sim/agents_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const agents_names[AGENTS] = { "host1", "host2" };

/* --- the stand-in coordinator --- */

static size_t index_of(const char *node)
{
	return strcmp(node, agents_names[0]) == 0 ? 0 : 1;
}

struct watching {
	struct agents *t;
	size_t i;
};

static struct watching watchings[AGENTS];

static void take_event(const ProtobufCMessage *m, void *context)
{
	const Drover__V1__AgentEvent *e = (const Drover__V1__AgentEvent *)m;
	struct watching *w = context;

	if (e->event_case == DROVER__V1__AGENT_EVENT__EVENT_SNAPSHOT) {
		for (size_t i = 0; i < e->snapshot->n_attempts; i++)
			agents_take_report(w->t, e->snapshot->attempts[i]);
		w->t->watched[w->i] |= e->snapshot->inventory_valid;
	} else if (e->event_case == DROVER__V1__AGENT_EVENT__EVENT_ATTEMPT) {
		agents_take_report(w->t, e->attempt);
	}
}

static void watch_done(const struct mesh_result *result, void *context)
{
	(void)result;
	(void)context;
}

static void handle_attach(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__AttachRequest *r = (const Drover__V1__AttachRequest *)m;
	Drover__V1__AttachReply reply = DROVER__V1__ATTACH_REPLY__INIT;
	Drover__V1__AgentWatchRequest watch = DROVER__V1__AGENT_WATCH_REQUEST__INIT;
	struct mesh_connection *c = mesh_incoming_get_connection(in);
	struct agents *t = context;
	size_t i = index_of(r->node);

	t->connections[i] = c;
	reply.epoch = t->epoch;
	reply.cluster = (char *)"test";
	mesh_reply(in, &reply.base);
	watch.epoch = t->epoch;
	watchings[i] = (struct watching){ t, i };
	mesh_call_stream(c, "drover.v1.Agent/Watch", &watch.base, 0, take_event, watch_done,
	                 &watchings[i]);
}

static const struct mesh_handler handlers[] = { { "Attach", handle_attach } };
static const struct mesh_service service = {
	.descriptor = &drover__v1__coordinator__descriptor,
	.handlers = handlers,
	.n_handlers = 1,
};
static const struct mesh_service *const services[] = { &service, NULL };

static void disconnected(struct mesh_connection *c, const struct error *why, void *context)
{
	struct agents *t = context;

	(void)why;
	for (size_t i = 0; i < AGENTS; i++) {
		if (t->connections[i] == c) {
			t->connections[i] = NULL;
			t->watched[i] = false;
		}
	}
}

/* --- set up and take down --- */

bool agents_until(struct agents *t, bool (*done)(void *), void *context)
{
	return loop_run_until(t->loop, AGENTS_PATIENCE_MS, done, context);
}

static bool all_watched(void *context)
{
	struct agents *t = context;

	for (size_t i = 0; i < AGENTS; i++) {
		if (t->agents[i] && !t->watched[i])
			return false;
	}
	return true;
}

void agents_start(struct agents *t, size_t i)
{
	static const struct mesh_options plain = { 0 };
	struct agent_options o = {
		.settings = &t->settings[i],
		.loop = t->loop,
		.tunnels = &agents_tunnels,
		.mesh_override = &plain,
	};
	struct error err;

	t->hypervisors[i] = hypervisor_fake_new(t->world, agents_names[i]);
	o.hypervisor = t->hypervisors[i];
	if (agent_start(&o, &t->agents[i], &err) < 0) {
		fprintf(stderr, "agent %s: %s\n", agents_names[i], err.text);
		abort();
	}
	if (!agents_until(t, all_watched, t))
		abort();
}

void agents_kill(struct agents *t, size_t i)
{
	fake_world_drop_callers(t->world, agents_names[i]);
	if (!agent_stop(t->agents[i]))
		abort();
	t->agents[i] = NULL;
	t->hypervisors[i]->ops->free(t->hypervisors[i]);
	t->hypervisors[i] = NULL;
}

static void fill_settings(struct agents *t, size_t i, const struct agents_options *o)
{
	struct agent_settings *s = &t->settings[i];
	char *coordinator = xasprintf("inproc://coordinator%s", t->directory);

	s->node = xstrdup(agents_names[i]);
	s->cluster = xstrdup("test");
	s->run_dir = xasprintf("%s/run-%s", t->directory, agents_names[i]);
	s->state_dir = xasprintf("%s/state-%s", t->directory, agents_names[i]);
	s->listen = xasprintf("inproc://%s%s", agents_names[i], t->directory);
	s->coordinators.items[s->coordinators.count++] = coordinator;
	s->memory_capacity_bytes = i == 1 && o->target_memory_bytes ? o->target_memory_bytes
	                                                            : (uint64_t)4 << 30;
	s->migration_address = xstrdup("127.0.0.1");
	s->migration_interface = xstrdup("lo");
	/* Below the ephemeral ports, and not those of a real libvirt on this machine. */
	s->port_first = 26152;
	s->port_last = 26153;
	s->parallel_inbound = 2;
	s->parallel_outbound = 2;
	s->max_round_trip_ms = 150;
}

struct agents *agents_new(const struct agents_options *o)
{
	static const struct agents_options none;
	struct agents *t = xnew(struct agents);
	struct mesh_options mesh = {
		.role = MESH_ROLE_COORDINATOR,
		.name = "c1",
		.cluster = "test",
		.services = services,
		.service_context = t,
		.disconnected = disconnected,
		.context = t,
	};
	char *url, *lockspace;
	struct error err;

	o = o ? o : &none;
	snprintf(t->directory, sizeof(t->directory), "/tmp/drover-agents-XXXXXX");
	if (!mkdtemp(t->directory))
		abort();
	t->epoch = 1;
	t->loop = loop_new();
	t->world = fake_world_new();
	lockspace = xasprintf("%s/lockspace", t->directory);
	mkdir(lockspace, 0700);
	for (size_t i = 0; i < AGENTS; i++) {
		struct fake_host_settings host = { 0 };

		if (i == 1)
			host = o->target;
		host.name = agents_names[i];
		host.lock_manager = o->lock_manager ? "lockd" : "";
		host.lockspace = o->lock_manager ? lockspace : "";
		host.keepalive_timeout_ms = AGENTS_KEEPALIVE_MS;
		fake_world_add_host(t->world, &host);
		fill_settings(t, i, o);
	}
	free(lockspace);
	/* A move of 256 MiB at 1 Gbit/s takes two seconds of the world, and one of ours. */
	fake_world_run(t->world, 2);

	mesh.loop = t->loop;
	t->coordinator = mesh_new(&mesh, &err);
	url = xasprintf("inproc://coordinator%s", t->directory);
	if (!t->coordinator || mesh_listen(t->coordinator, url, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	free(url);
	for (size_t i = 0; i < AGENTS; i++)
		agents_start(t, i);
	return t;
}

void agents_free(struct agents *t)
{
	for (size_t i = 0; i < AGENTS; i++) {
		if (t->agents[i])
			agents_kill(t, i);
	}
	mesh_free(t->coordinator);
	fake_world_free(t->world);
	loop_free(t->loop);
	for (size_t i = 0; i < AGENTS; i++)
		agent_settings_deinit(&t->settings[i]);
	scratch_remove(t->directory);
	free(t);
}

void agents_add_guest(struct agents *t, const struct fake_guest_settings *settings)
{
	fake_world_add_guest(t->world, agents_names[0], settings, t->uuid);
	fake_world_settle(t->world);
}
