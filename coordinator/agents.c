/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's side of every agent: one connection per node, its Watch stream, calls to it.
 *
 * What comes in becomes events. What the core asks for becomes calls, and each call comes back as
 * exactly one outcome event, also when there is nobody to call: then the outcome is posted, because
 * the core is not re-entered. Owner thread. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
#include "common/log.h"
#include "coordinator/facts_read.h"
#include "coordinator/failpoints.h"
#include "proto/agent.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define CALL_TIMEOUT_MS    10000
#define PREVIEW_TIMEOUT_MS 9000 /* within the core's own PREVIEW_DEADLINE_MS */

struct agent_link {
	char node[NODE_NAME_BYTES]; /* key */
	struct coordinator *coordinator;
	struct mesh_connection *connection; /* NULL: not attached */
	struct mesh_call *watch;
	UT_hash_handle hh;
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
	if (old && old != connection)
		mesh_connection_close(old);
}

void agents_disconnected(struct coordinator *c, struct mesh_connection *connection)
{
	struct agent_link *l, *next;

	HASH_ITER (hh, c->agents, l, next) {
		struct event e = { .kind = EVENT_LOST };

		if (l->connection != connection)
			continue;
		l->connection = NULL;
		l->watch = NULL;
		e.lost.node = l->node;
		if (!c->stopping)
			coordinator_step(c, &e);
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

static void take_event(const ProtobufCMessage *m, void *context)
{
	const Drover__V1__AgentEvent *from = (const Drover__V1__AgentEvent *)m;
	struct agent_link *l = context;
	struct event gone = { .kind = EVENT_VM_GONE };
	struct error err;
	int rc = 0;

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
	struct agent_link *l = context;

	l->watch = NULL;
	if (result->status == MESH_UNAVAILABLE || result->status == MESH_CANCELLED)
		return; /* the connection is gone, which is said elsewhere */
	log_warning("agent %s ended its reports: %s", l->node, result->error.text);
	if (l->connection)
		mesh_connection_close(l->connection);
}

void agents_watch(struct coordinator *c, const char *node, uint64_t epoch)
{
	Drover__V1__AgentWatchRequest request = DROVER__V1__AGENT_WATCH_REQUEST__INIT;
	struct agent_link *l = find_link(c, node);

	if (!l || !l->connection)
		return;
	request.epoch = epoch;
	l->watch = mesh_call_stream(l->connection, "drover.v1.Agent/Watch", &request.base, 0,
	                            take_event, watch_ended, l);
}

/* --- calls --- */

struct call {
	struct message message; /* for an outcome that is known before the call */
	struct coordinator *coordinator;
	enum event_kind outcome_kind;
	uint64_t migration;
	uint32_t attempt_number;
	char node[NODE_NAME_BYTES];
	struct id drain_id;
	uint64_t preview;
};

/* What the mesh's status says about what happened at the agent. */
static enum call_outcome outcome_of(const struct mesh_result *result)
{
	if (result->status == MESH_OK)
		return CALL_ANSWERED;
	if (result->never_sent)
		return CALL_NOT_SENT;
	switch (result->status) {
	case MESH_UNAVAILABLE:
	case MESH_DEADLINE_EXCEEDED:
	case MESH_CANCELLED:
	case MESH_STATUS_UNKNOWN:
	case MESH_INTERNAL:
	case MESH_DATA_LOSS:
		return CALL_UNKNOWN;
	default:
		return CALL_REFUSED;
	}
}

static void report_outcome(const struct mesh_result *result, struct event *e,
                           struct attempt_report *report, const Drover__V1__AttemptReport *from)
{
	e->call.outcome = outcome_of(result);
	e->call.error = result->error;
	if (e->call.outcome != CALL_ANSWERED || !from)
		return;
	if (facts_read_report(from, report, &e->call.error) == 0)
		e->call.report = report;
	else
		e->call.outcome = CALL_UNKNOWN;
}

static void call_done(const struct mesh_result *result, void *context)
{
	struct call *call = context;
	struct coordinator *c = call->coordinator;
	struct event e = { .kind = call->outcome_kind };
	struct attempt_report report = { 0 };
	struct checks checks = { 0 };

	failpoints_after_answer(call->outcome_kind);
	switch (call->outcome_kind) {
	case EVENT_START_OUTCOME: {
		const Drover__V1__StartMigrationReply *r = (const Drover__V1__StartMigrationReply *)
		                                                   result->message;

		e.call.accepted = r && r->accepted;
		report_outcome(result, &e, &report, r ? r->report : NULL);
		break;
	}
	case EVENT_CANCEL_OUTCOME:
	case EVENT_PROBE_OUTCOME:
		report_outcome(result, &e, &report,
		               (const Drover__V1__AttemptReport *)result->message);
		break;
	case EVENT_MARK_OUTCOME: {
		const Drover__V1__SetDrainMarkReply *r = (const Drover__V1__SetDrainMarkReply *)
		                                                 result->message;

		e.mark.node = call->node;
		e.mark.drain_id = call->drain_id;
		e.mark.outcome = outcome_of(result);
		e.mark.active_vms = r ? r->active_vms : 0;
		e.mark.error = result->error;
		break;
	}
	case EVENT_PREVIEW_OUTCOME: {
		const Drover__V1__AdmitReply *r = (const Drover__V1__AdmitReply *)result->message;

		e.preview.preview = call->preview;
		e.preview.outcome = outcome_of(result);
		e.preview.error = result->error;
		e.preview.checks = &checks;
		if (r && (unsigned)r->guard <= GUARD_TWO_STEP &&
		    facts_read_checks(r->checks, r->n_checks, &checks, &e.preview.error) == 0) {
			e.preview.admitted = r->admitted;
			e.preview.guard = (enum guard)r->guard;
		} else if (r) {
			e.preview.outcome = CALL_UNKNOWN;
		}
		break;
	}
	default:
		abort();
	}
	if (call->outcome_kind == EVENT_START_OUTCOME ||
	    call->outcome_kind == EVENT_CANCEL_OUTCOME ||
	    call->outcome_kind == EVENT_PROBE_OUTCOME) {
		e.call.migration = call->migration;
		e.call.attempt_number = call->attempt_number;
	}
	if (!c->stopping)
		coordinator_step(c, &e);
	attempt_report_deinit(&report);
	checks_deinit(&checks);
	free(call);
}

static void not_sent(struct message *m)
{
	struct call *call = (struct call *)m;
	struct mesh_result result = { .status = MESH_UNAVAILABLE, .never_sent = true };

	error_set(&result.error, ERROR_UNREACHABLE, "the agent of %s is not connected", call->node);
	call_done(&result, call);
}

static struct call *call_new(struct coordinator *c, enum event_kind outcome_kind, const char *node)
{
	struct call *call = xnew(struct call);

	call->message.run = not_sent;
	call->coordinator = c;
	call->outcome_kind = outcome_kind;
	text_copy(call->node, sizeof(call->node), node);
	return call;
}

static void send_call(struct call *call, const char *method, const ProtobufCMessage *request,
                      uint64_t timeout_ms)
{
	struct mesh_connection *connection = agents_find_connection(call->coordinator, call->node);

	failpoints_before_call(call->outcome_kind);
	if (connection && !call->coordinator->stopping)
		mesh_call(connection, method, request, timeout_ms, call_done, call);
	else
		loop_post(call->coordinator->loop, &call->message);
}

static void fill_attempt(Drover__V1__Attempt *to, const struct attempt *from)
{
	drover__v1__attempt__init(to);
	to->operation_id.data = (uint8_t *)from->operation.bytes; /* only read */
	to->operation_id.len = ID_BYTES;
	to->number = from->number;
	to->epoch = from->epoch;
}

static void start(struct coordinator *c, const struct attempt_call *a)
{
	Drover__V1__StartMigrationRequest request = DROVER__V1__START_MIGRATION_REQUEST__INIT;
	Drover__V1__MigrationSettings settings = DROVER__V1__MIGRATION_SETTINGS__INIT;
	Drover__V1__Attempt attempt;
	struct call *call = call_new(c, EVENT_START_OUTCOME, a->source);

	call->migration = a->migration;
	call->attempt_number = a->attempt.number;
	fill_attempt(&attempt, &a->attempt);
	settings.bandwidth_bytes_per_s = a->settings.bandwidth_bytes_per_s;
	settings.max_downtime_ms = a->settings.max_downtime_ms;
	settings.completion_timeout_ms_per_gib = a->settings.completion_timeout_ms_per_gib;
	settings.progress_timeout_ms = a->settings.progress_timeout_ms;
	settings.tls = a->settings.tls;
	request.attempt = &attempt;
	request.vm_uuid = (char *)a->vm_uuid;
	request.target_node = (char *)a->target;
	request.target_address = (char *)a->target_address;
	request.settings = &settings;
	send_call(call, "drover.v1.Agent/StartMigration", &request.base, CALL_TIMEOUT_MS);
}

static void ask(struct coordinator *c, const struct attempt_call *a, enum event_kind outcome_kind,
                const char *method)
{
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;
	Drover__V1__Attempt attempt;
	struct call *call = call_new(c, outcome_kind, a->source);

	call->migration = a->migration;
	call->attempt_number = a->attempt.number;
	fill_attempt(&attempt, &a->attempt);
	request.attempt = &attempt;
	request.vm_uuid = (char *)a->vm_uuid;
	request.source_node = (char *)a->source;
	send_call(call, method, &request.base, CALL_TIMEOUT_MS);
}

static void set_mark(struct coordinator *c, const char *node, const struct drain_mark *mark)
{
	Drover__V1__SetDrainMarkRequest request = DROVER__V1__SET_DRAIN_MARK_REQUEST__INIT;
	Drover__V1__DrainMark m = DROVER__V1__DRAIN_MARK__INIT;
	struct call *call = call_new(c, EVENT_MARK_OUTCOME, node);

	call->drain_id = mark->drain_id;
	m.drain_id.data = (uint8_t *)mark->drain_id.bytes; /* only read */
	m.drain_id.len = ID_BYTES;
	m.epoch = mark->epoch;
	m.draining = mark->draining;
	m.cordoned = mark->cordoned;
	m.reason = (char *)mark->reason;
	m.leave = mark->leave.items;
	m.n_leave = mark->leave.count;
	request.mark = &m;
	send_call(call, "drover.v1.Agent/SetDrainMark", &request.base, CALL_TIMEOUT_MS);
}

static void preview(struct coordinator *c, const struct preview_call *p)
{
	Drover__V1__PreviewRequest request = DROVER__V1__PREVIEW_REQUEST__INIT;
	struct call *call = call_new(c, EVENT_PREVIEW_OUTCOME, p->source);

	call->preview = p->preview;
	request.vm_uuid = (char *)p->vm_uuid;
	request.target_node = (char *)p->target;
	request.target_address = (char *)p->target_address;
	request.epoch = p->epoch;
	send_call(call, "drover.v1.Agent/Preview", &request.base, PREVIEW_TIMEOUT_MS);
}

void agents_carry_out(struct coordinator *c, const struct action *action)
{
	switch (action->kind) {
	case ACTION_START:
		start(c, &action->call);
		break;
	case ACTION_CANCEL:
		ask(c, &action->call, EVENT_CANCEL_OUTCOME, "drover.v1.Agent/CancelMigration");
		break;
	case ACTION_PROBE:
		ask(c, &action->call, EVENT_PROBE_OUTCOME, "drover.v1.Agent/ProbeAttempt");
		break;
	case ACTION_SET_DRAIN_MARK:
		set_mark(c, action->mark.node, &action->mark.mark);
		break;
	case ACTION_PREVIEW:
		preview(c, &action->preview);
		break;
	default:
		abort();
	}
}
