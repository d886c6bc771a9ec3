/* SPDX-License-Identifier: Apache-2.0 */
/* See coordinator.h. Here: start, stop, the step and what its actions mean. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "pki/join_server.h"
#include "proto/audit/audit.h"
#include "proto/mesh/reflection.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TICK_MS 1000

static struct id random_id(void *context)
{
	(void)context;
	return id_new();
}

static void stop_for(struct coordinator *c, const struct error *why)
{
	/* What the store holds is not certain any more: end here, and start again from it. */
	if (c->fatal.code == ERROR_NONE)
		c->fatal = *why;
	loop_stop(c->loop);
}

static void log_event(const struct event_record *e)
{
	if (e->severity == SEVERITY_INFO)
		log_info("%s: %s", e->subject, e->text);
	else if (e->severity == SEVERITY_WARNING)
		log_warning("%s: %s", e->subject, e->text);
	else
		log_error("ALARM %s: %s", e->subject, e->text);
}

static void carry_out(struct coordinator *c, struct action *action)
{
	switch (action->kind) {
	case ACTION_STORE:
		store_thread_write(c->store, action->store);
		action->store = NULL;
		break;
	case ACTION_START:
	case ACTION_LET_GO:
	case ACTION_CANCEL:
	case ACTION_PROBE:
	case ACTION_SET_DRAIN_MARK:
	case ACTION_SET_FENCE:
	case ACTION_TUNE:
	case ACTION_SHUT_DOWN:
	case ACTION_START_GUEST:
	case ACTION_PREVIEW:
		agents_carry_out(c, action);
		break;
	case ACTION_REPLY:
		requests_reply(c, action->reply);
		break;
	case ACTION_CHANGED:
		watchers_wake(c);
		break;
	case ACTION_EVENT:
		log_event(&action->event);
		break;
	case ACTION_REFUSED:
		agents_audit_refusal(c, &action->refused);
		break;
	case ACTION_STOP:
		stop_for(c, &action->stop);
		break;
	case ACTION_KINDS:
		abort();
	}
}

void coordinator_step(struct coordinator *c, struct event *event)
{
	struct action_list actions = { 0 };

	assert(!c->stepping);
	c->stepping = true;
	event->wall_ms = clock_wall_ms();
	core_step(c->fleet, event, clock_now_ms(), &actions);
	for (size_t i = 0; i < actions.count; i++)
		carry_out(c, &actions.items[i]);
	action_list_deinit(&actions);
	c->stepping = false;
}

static void stored(uint64_t ticket, void *context)
{
	struct event e = { .kind = EVENT_STORED, .stored_ticket = ticket };

	coordinator_step(context, &e);
}

static void store_failed(uint64_t ticket, const struct error *why, void *context)
{
	struct event e = { .kind = EVENT_STORE_FAILED };

	e.store_failed.ticket = ticket;
	e.store_failed.error = *why;
	coordinator_step(context, &e);
}

static void tick(void *context)
{
	struct coordinator *c = context;
	struct event e = { .kind = EVENT_TICK };

	loop_timer_start(c->loop, &c->tick, TICK_MS);
	coordinator_step(c, &e);
}

static void connected(struct mesh_connection *connection, void *context)
{
	(void)connection; /* an agent says who it is with Attach, a tool with its first call */
	(void)context;
}

static void disconnected(struct mesh_connection *connection, const struct error *why, void *context)
{
	const struct mesh_identity *who = mesh_connection_get_identity(connection);

	if (who->role == MESH_ROLE_AGENT) {
		struct coordinator *c = context;
		struct mesh_connection *now = agents_find_connection(c, who->name);

		if (!c->draining && (!now || now == connection))
			log_info("agent %s is gone: %s", who->name, why->text);
		agents_disconnected(c, connection);
	}
}

/* Without it there is no need of certificates: local tools only. */
static bool listens_on_tcp(const struct coordinator_settings *s)
{
	for (size_t i = 0; i < s->listen.count; i++) {
		if (strncmp(s->listen.items[i], "tcp://", 6) == 0)
			return true;
	}
	return false;
}

/* /run is empty after each start of the host; the rest of the path is not ours to make. */
static void make_socket_directory(const char *url)
{
	_cleanup_free_ char *path = xstrdup(url);
	char *slash = strrchr(path, '/');

	if (strncmp(path, "ipc://", 6) != 0 || !slash || slash <= path + 6)
		return;
	*slash = '\0';
	/* If it cannot be made, listening there says so. */
	(void)mkdir(path + 6, 0755);
}

static int open_mesh(struct coordinator *c, const struct coordinator_options *options,
                     struct error *err)
{
	static const struct mesh_service *const services[] = { &coordinator_service,
		                                               &coordinator_health_service,
		                                               &coordinator_pki_service,
		                                               &reflection_service, NULL };
	const struct coordinator_settings *s = c->settings;
	struct mesh_options mesh = { 0 };

	if (options->mesh_override)
		mesh = *options->mesh_override;
	serving_fill_mesh(&s->serving, !options->mesh_override && listens_on_tcp(s), &mesh);
	mesh.loop = c->loop;
	mesh.role = MESH_ROLE_COORDINATOR;
	mesh.name = s->name;
	mesh.cluster = s->cluster;
	mesh.services = services;
	mesh.service_context = c;
	mesh.connected = connected;
	mesh.disconnected = disconnected;
	mesh.context = c;
	if (options->audit)
		c->audit = serving_start_audit(&s->serving, "coordinator", s->name);
	mesh.audit = c->audit;
	c->mesh = mesh_new(&mesh, err);
	if (!c->mesh)
		return -(int)err->code;
	for (size_t i = 0; i < s->listen.count; i++) {
		make_socket_directory(s->listen.items[i]);
		if (mesh_listen(c->mesh, s->listen.items[i], err) < 0)
			return error_context(err, "listening at %s", s->listen.items[i]);
		log_info("listening at %s", s->listen.items[i]);
	}
	return 0;
}

static int open_join(struct coordinator *c, struct error *err)
{
	const struct coordinator_settings *s = c->settings;
	const struct join_server_options options = {
		.loop = c->loop,
		.listen = s->join_listen,
		.authority = s->join_authority,
		.ca = s->serving.tls_ca,
		.certificate = s->serving.tls_certificate,
		.key = s->serving.tls_key,
		.told = identity_join_told,
		.context = c,
	};

	if (!s->join_listen)
		return 0;
	if (join_server_start(&options, &c->join, err) < 0)
		return error_context(err, "join/listen");
	log_info("hosts with a token can join at %s", s->join_listen);
	return 0;
}

static struct core_options core_options(const struct coordinator_settings *s)
{
	struct core_options o = {
		.caps = {
			.cluster = (uint32_t)s->migrations_per_cluster,
			.outbound = (uint32_t)s->outbound_per_node,
			.inbound = (uint32_t)s->inbound_per_node,
			.preparing = (uint32_t)s->preparing_per_node,
		},
		.settings = {
			.bandwidth_bytes_per_s = s->bandwidth_per_migration_bytes_per_s,
			.max_downtime_ms = s->max_downtime_ms,
			.completion_timeout_ms_per_gib = s->completion_timeout_per_gib_ms,
			.progress_timeout_ms = s->progress_timeout_ms,
			.tls = s->migration_tls,
			.stop_off_network = s->stop_off_network,
			.shortest_first = s->shortest_first,
			.strategy = s->strategy,
			.transfer = s->transfer,
		},
		.shutdown_timeout_ms = s->shutdown_timeout_ms,
		.next_id = random_id,
	};

#define FROM(setting, noted) \
	o.settings.from[SETTING_##setting] = s->set.noted ? ORIGIN_FILE : ORIGIN_BUILT_IN
	FROM(BANDWIDTH, bandwidth);
	FROM(MAX_DOWNTIME, max_downtime);
	FROM(COMPLETION_TIMEOUT, completion_timeout);
	FROM(PROGRESS_TIMEOUT, progress_timeout);
	FROM(LADDER, ladder);
	FROM(AUTO_CONVERGE, auto_converge);
	FROM(POST_COPY, post_copy);
	FROM(DISRUPTION, disruption);
	FROM(CONNECTIONS, connections);
	FROM(COMPRESSION, compression);
	FROM(TLS, tls);
	FROM(OFF_NETWORK, off_network);
	FROM(LANES, lanes);
#undef FROM
	snprintf(o.cluster, sizeof(o.cluster), "%s", s->cluster);
	return o;
}

int coordinator_start(const struct coordinator_options *options, struct coordinator **ret,
                      struct error *err)
{
	struct coordinator *c = xnew(struct coordinator);
	struct core_options core = core_options(options->settings);
	struct event loaded = { .kind = EVENT_LOADED, .loaded = options->contents };

	c->settings = options->settings;
	c->settings_path = options->settings_path;
	c->loop = options->loop;
	c->fleet = fleet_new(&core);
	c->store = store_thread_start(c->loop, options->store, stored, store_failed, c);
	if (!options->mesh_override)
		identity_renew_ended(c->settings);
	if (open_mesh(c, options, err) < 0 || open_join(c, err) < 0) {
		coordinator_stop(c);
		return -(int)err->code;
	}
	coordinator_step(c, &loaded);
	identity_start(c);
	c->tick.fire = tick;
	c->tick.context = c;
	loop_timer_start(c->loop, &c->tick, TICK_MS);
	*ret = c;
	return 0;
}

void coordinator_drain(struct coordinator *c, void (*drained)(void *context), void *context)
{
	c->draining = true;
	mesh_drain(c->mesh, COORDINATOR_DRAIN_MS, drained, context);
}

void coordinator_stop(struct coordinator *c)
{
	if (!c)
		return;
	c->stopping = true;
	loop_timer_stop(c->loop, &c->tick);
	loop_timer_stop(c->loop, &c->pump);
	join_server_stop(c->join);
	/* Calls that are under way complete here, into the core, which may still ask for things;
	 * nothing of that leaves any more. */
	mesh_free(c->mesh);
	c->mesh = NULL;
	identity_stop(c);
	audit_stop(c->audit);
	c->audit = NULL;
	store_thread_stop(c->store);
	/* Once round the mailbox: calls that were never sent come back as messages, to us. */
	(void)loop_run_until(c->loop, 1, NULL, NULL);
	identity_free(c);
	agents_stop(c);
	requests_stop(c);
	watchers_stop(c);
	links_stop(c);
	fleet_free(c->fleet);
	free(c);
}
