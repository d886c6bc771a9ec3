/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's side of every agent: one connection per node and its Watch stream. What comes in
 * becomes events. Calls to agents are in agents_calls.c.
 *
 * A stream belongs to the connection it was opened on, not to the node: an agent that was restarted
 * may attach anew before its old connection is found dead, and what the old stream still says, or
 * that it ended, must do nothing to the new one. Owner thread. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "coordinator/facts_read.h"
#include "proto/agent.rpc.h"
#include "proto/audit/audit.h"
#include "proto/audit/audit_text.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define LOOK_MS 10000

struct agent_link {
	char node[NODE_NAME_BYTES]; /* key */
	struct coordinator *coordinator;
	struct mesh_connection *connection; /* NULL: not attached */
	struct mesh_connection *watched;    /* the one that Watch was opened on; compared only */
	UT_hash_handle hh;
};

/* One Watch: lives until its call has ended, which may be after the link has a newer one. */
struct agent_stream {
	struct agent_link *link;            /* borrowed; links live as long as the coordinator */
	struct mesh_connection *connection; /* compared only: it may be gone */
};

static struct agent_link *find_link(struct coordinator *c, const char *node)
{
	struct agent_link *l;

	HASH_FIND_STR(c->agents, node, l);
	return l;
}

struct mesh_connection *agents_find_connection(struct coordinator *c, const char *node)
{
	struct agent_link *l = find_link(c, node);

	return l ? l->connection : NULL;
}

void agents_attached(struct coordinator *c, const char *node, struct mesh_connection *connection)
{
	struct agent_link *l = find_link(c, node);
	struct mesh_connection *old;

	if (!l) {
		l = xnew(struct agent_link);
		text_copy(l->node, sizeof(l->node), node);
		l->coordinator = c;
		HASH_ADD_STR(c->agents, node, l);
	}
	/* One live session per agent: a newer one of the same name (a restarted agent whose old
	 * connection has not been noticed yet) takes over. */
	old = l->connection;
	l->connection = connection;
	/* The same process comes anew when it has a new certificate, and lets the calls end that are
	 * under way over the old connection. */
	if (old && old != connection && !mesh_connection_is_same_peer(old, connection))
		mesh_connection_close(old);
}

void agents_disconnected(struct coordinator *c, struct mesh_connection *connection)
{
	struct agent_link *l, *next;

	HASH_ITER (hh, c->agents, l, next) {
		struct event e = { .kind = EVENT_LOST };

		if (l->connection != connection)
			continue;
		l->connection = l->watched = NULL;
		e.lost.node = l->node;
		if (!c->stopping && !c->draining)
			coordinator_step(c, &e);
	}
}

void agents_audit_refusal(struct coordinator *c, const struct foreign_claim *refusal)
{
	struct mesh_connection *connection = agents_find_connection(c, refusal->node);
	struct audit_text object;

	audit_text_init(&object);
	audit_text_add(&object, "vm_uuid", refusal->vm_uuid);
	audit_write(c->audit,
	            &(struct audit_record){
			    .refused = true,
			    .role = mesh_role_name(MESH_ROLE_AGENT),
			    .name = refusal->node,
			    .address = connection
	                                       ? mesh_connection_get_identity(connection)->address
	                                       : NULL,
			    .method = "drover.v1.Agent/Watch",
			    .object = object.data,
			    .outcome = mesh_status_name(MESH_PERMISSION_DENIED),
			    .reason = refusal->text,
			    .about = refusal->about,
		    });
}

size_t agents_count(const struct coordinator *c)
{
	return HASH_COUNT(c->agents);
}

/* Who has not heard it, or is of an older version, asks by itself in a while. */
static void looked(const struct mesh_result *result,
                   const Drover__V1__LookAtCertificatesReply *reply, void *context)
{
	(void)result;
	(void)reply;
	(void)context;
}

void agents_look_at_certificates(struct coordinator *c)
{
	Drover__V1__LookAtCertificatesRequest request =
		DROVER__V1__LOOK_AT_CERTIFICATES_REQUEST__INIT;
	struct agent_link *l, *next;

	HASH_ITER (hh, c->agents, l, next) {
		if (l->connection)
			agent_call_look_at_certificates(l->connection, &request, LOOK_MS, looked,
			                                NULL);
	}
}

void agents_stop(struct coordinator *c)
{
	struct agent_link *l, *next;

	HASH_ITER (hh, c->agents, l, next) {
		HASH_DEL(c->agents, l);
		free(l);
	}
}

/* --- the stream --- */

static int take_snapshot(struct agent_link *l, const Drover__V1__AgentEvent__Snapshot *s,
                         struct error *err)
{
	struct event e = { .kind = EVENT_SNAPSHOT };
	struct host_state host = { 0 };
	struct drain_mark mark = { 0 };
	struct vm_state *vms = xcalloc(s->n_vms, sizeof(*vms));
	struct attempt_report *attempts = xcalloc(s->n_attempts, sizeof(*attempts));
	size_t n_vms = 0, n_attempts = 0;
	int rc = facts_read_host(s->host, &host, err);

	while (rc == 0 && n_vms < s->n_vms) {
		rc = facts_read_vm(s->vms[n_vms], &vms[n_vms], err);
		n_vms += rc == 0;
	}
	while (rc == 0 && n_attempts < s->n_attempts) {
		rc = facts_read_report(s->attempts[n_attempts], &attempts[n_attempts], err);
		n_attempts += rc == 0;
	}
	if (rc == 0 && s->drain_mark)
		rc = facts_read_mark(s->drain_mark, &mark, err);
	if (rc == 0) {
		e.snapshot.node = l->node;
		e.snapshot.host = &host;
		e.snapshot.vms = vms;
		e.snapshot.n_vms = n_vms;
		e.snapshot.attempts = attempts;
		e.snapshot.n_attempts = n_attempts;
		e.snapshot.mark = s->drain_mark ? &mark : NULL;
		e.snapshot.inventory_valid = s->inventory_valid;
		links_take(l->coordinator, l->node, &host, clock_now_ms());
		coordinator_step(l->coordinator, &e);
	}
	host_state_deinit(&host);
	drain_mark_deinit(&mark);
	for (size_t i = 0; i < n_vms; i++)
		vm_state_deinit(&vms[i]);
	for (size_t i = 0; i < n_attempts; i++)
		attempt_report_deinit(&attempts[i]);
	free(vms);
	free(attempts);
	return rc;
}

static int take_host(struct agent_link *l, const Drover__V1__HostState *from, struct error *err)
{
	struct event e = { .kind = EVENT_HOST };
	struct host_state host;
	int rc = facts_read_host(from, &host, err);

	if (rc == 0) {
		e.host.node = l->node;
		e.host.host = &host;
		links_take(l->coordinator, l->node, &host, clock_now_ms());
		coordinator_step(l->coordinator, &e);
		host_state_deinit(&host);
	}
	return rc;
}

static int take_vm(struct agent_link *l, const Drover__V1__VmState *from, struct error *err)
{
	struct event e = { .kind = EVENT_VM };
	struct vm_state vm;
	int rc = facts_read_vm(from, &vm, err);

	if (rc == 0) {
		e.vm.node = l->node;
		e.vm.vm = &vm;
		coordinator_step(l->coordinator, &e);
		vm_state_deinit(&vm);
	}
	return rc;
}

static int take_report(struct agent_link *l, const Drover__V1__AttemptReport *from,
                       struct error *err)
{
	struct event e = { .kind = EVENT_ATTEMPT };
	struct attempt_report report;
	int rc = facts_read_report(from, &report, err);

	if (rc == 0) {
		e.attempt.node = l->node;
		e.attempt.report = &report;
		coordinator_step(l->coordinator, &e);
		attempt_report_deinit(&report);
	}
	return rc;
}

/* Whether what comes of @stream is about the agent that is attached now. */
static bool is_current(const struct agent_stream *stream)
{
	return stream->link->connection == stream->connection &&
	       !stream->link->coordinator->stopping;
}

static void take_event(const Drover__V1__AgentEvent *from, void *context)
{
	struct agent_stream *stream = context;
	struct agent_link *l = stream->link;
	struct event gone = { .kind = EVENT_VM_GONE };
	struct error err;
	int rc = 0;

	if (!is_current(stream))
		return;
	switch (from->event_case) {
	case DROVER__V1__AGENT_EVENT__EVENT_SNAPSHOT:
		rc = take_snapshot(l, from->snapshot, &err);
		break;
	case DROVER__V1__AGENT_EVENT__EVENT_HOST:
		rc = take_host(l, from->host, &err);
		break;
	case DROVER__V1__AGENT_EVENT__EVENT_VM:
		rc = take_vm(l, from->vm, &err);
		break;
	case DROVER__V1__AGENT_EVENT__EVENT_VM_GONE_UUID:
		gone.vm_gone.node = l->node;
		gone.vm_gone.uuid = from->vm_gone_uuid;
		coordinator_step(l->coordinator, &gone);
		break;
	case DROVER__V1__AGENT_EVENT__EVENT_ATTEMPT:
		rc = take_report(l, from->attempt, &err);
		break;
	default:
		/* A kind that a newer agent knows: its snapshots hold what we understand. */
		break;
	}
	if (rc < 0) {
		log_warning("agent %s sent what cannot be used: %s", l->node, err.text);
		if (l->connection)
			mesh_connection_close(l->connection);
	}
}

static void watch_ended(const struct mesh_result *result, void *context)
{
	struct agent_stream *stream = context;
	struct agent_link *l = stream->link;
	bool current = is_current(stream);

	free(stream);
	/* Unavailable: the connection is gone, which is said elsewhere. */
	if (!current || result->status == MESH_UNAVAILABLE || result->status == MESH_CANCELLED)
		return;
	log_warning("agent %s ended its reports: %s", l->node, result->error.text);
	mesh_connection_close(l->connection);
}

void agents_watch(struct coordinator *c, const char *node, uint64_t epoch)
{
	Drover__V1__AgentWatchRequest request = DROVER__V1__AGENT_WATCH_REQUEST__INIT;
	struct agent_link *l = find_link(c, node);
	struct agent_stream *stream;

	/* Two connections that attached one after the other are answered together: one stream. */
	if (!l || !l->connection || l->watched == l->connection)
		return;
	l->watched = l->connection;
	request.epoch = epoch;
	stream = xnew(struct agent_stream);
	stream->link = l;
	stream->connection = l->connection;
	(void)agent_call_watch(l->connection, &request, 0, take_event, watch_ended, stream);
}
