/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to agents. What the core asks for becomes a call, and each call comes back as exactly one
 * outcome event, also when there is nobody to call: then the outcome is posted, because the core is
 * not re-entered. Owner thread. */
#include "coordinator/coordinator.h"

#include "common/alloc.h"
#include "coordinator/facts_read.h"
#include "coordinator/failpoints.h"
#include "coordinator/view/view.h"
#include "proto/agent.rpc.h"
#include "proto/transfer_message.h"

#include <stdlib.h>

#define CALL_TIMEOUT_MS 10000
/* libvirt waits for a guest's agent for a minute, then presses the power button. */
#define POWER_TIMEOUT_MS   75000
#define TUNED_VALUES_MAX   4
#define PREVIEW_TIMEOUT_MS 9000 /* within the core's own PREVIEW_DEADLINE_MS */

struct call {
	struct message message; /* for an outcome that is known before the call */
	struct coordinator *coordinator;
	enum event_kind outcome_kind;
	uint64_t migration;
	uint32_t attempt_number;
	char node[NODE_NAME_BYTES];
	struct id drain_id;
	struct fence_mark fence;
	uint64_t preview;
	uint64_t request; /* whose tuning it is */
	struct power_call power;
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

/* The end of every call. */
static void conclude(struct call *call, struct event *e)
{
	if (!call->coordinator->stopping)
		coordinator_step(call->coordinator, e);
	free(call);
}

static void started(const struct mesh_result *result, const Drover__V1__StartMigrationReply *reply,
                    void *context)
{
	struct call *call = context;
	struct event e = { .kind = call->outcome_kind };
	struct attempt_report report = { 0 };

	failpoints_after_answer(call->outcome_kind);
	e.call.accepted = reply && reply->accepted;
	report_outcome(result, &e, &report, reply ? reply->report : NULL);
	e.call.migration = call->migration;
	e.call.attempt_number = call->attempt_number;
	conclude(call, &e);
	attempt_report_deinit(&report);
}

/* What became of an attempt: it was cancelled, or asked for. */
static void reported(const struct mesh_result *result, const Drover__V1__AttemptReport *reply,
                     void *context)
{
	struct call *call = context;
	struct event e = { .kind = call->outcome_kind };
	struct attempt_report report = { 0 };

	failpoints_after_answer(call->outcome_kind);
	report_outcome(result, &e, &report, reply);
	e.call.migration = call->migration;
	e.call.attempt_number = call->attempt_number;
	conclude(call, &e);
	attempt_report_deinit(&report);
}

static void marked(const struct mesh_result *result, const Drover__V1__SetDrainMarkReply *reply,
                   void *context)
{
	struct call *call = context;
	struct event e = { .kind = EVENT_MARK_OUTCOME };

	failpoints_after_answer(call->outcome_kind);
	e.mark.node = call->node;
	e.mark.drain_id = call->drain_id;
	e.mark.outcome = outcome_of(result);
	e.mark.active_vms = reply ? reply->active_vms : 0;
	e.mark.error = result->error;
	conclude(call, &e);
}

static void fenced(const struct mesh_result *result, const Drover__V1__SetFenceReply *reply,
                   void *context)
{
	struct call *call = context;
	struct event e = { .kind = EVENT_FENCE_OUTCOME };
	struct fenced_guest *guests = NULL;

	failpoints_after_answer(call->outcome_kind);
	e.fence_outcome.node = call->node;
	e.fence_outcome.fenced = call->fence.node;
	e.fence_outcome.fence_epoch = call->fence.epoch;
	e.fence_outcome.outcome = outcome_of(result);
	e.fence_outcome.error = result->error;
	if (reply && facts_read_fenced(reply, &guests, &e.fence_outcome.n_guests,
	                               &e.fence_outcome.error) < 0)
		e.fence_outcome.outcome = CALL_UNKNOWN;
	e.fence_outcome.guests = guests;
	conclude(call, &e);
	free(guests);
}

static size_t read_values(const Drover__V1__TuneMigrationReply *reply, struct tuned_value *ret)
{
	size_t n = 0;

	for (size_t i = 0; reply && i < reply->n_values && n < TUNED_VALUES_MAX; i++, n++) {
		text_copy(ret[n].name, sizeof(ret[n].name), reply->values[i]->name);
		text_copy(ret[n].before, sizeof(ret[n].before), reply->values[i]->before);
		text_copy(ret[n].after, sizeof(ret[n].after), reply->values[i]->after);
	}
	return n;
}

static void tuned(const struct mesh_result *result, const Drover__V1__TuneMigrationReply *reply,
                  void *context)
{
	struct call *call = context;
	struct event e = { .kind = EVENT_TUNE_OUTCOME, .request = call->request };
	struct tuned_value values[TUNED_VALUES_MAX];
	struct attempt_report report = { 0 };

	failpoints_after_answer(call->outcome_kind);
	e.tuned.migration = call->migration;
	e.tuned.attempt_number = call->attempt_number;
	e.tuned.outcome = outcome_of(result);
	e.tuned.error = result->error;
	e.tuned.values = values;
	e.tuned.n_values = read_values(reply, values);
	e.tuned.note = reply && reply->n_notes ? reply->notes[0] : "";
	/* Of a report that cannot be read the next one will say the same. */
	if (reply && reply->report && facts_read_report(reply->report, &report, NULL) == 0)
		e.tuned.report = &report;
	conclude(call, &e);
	attempt_report_deinit(&report);
}

static void previewed(const struct mesh_result *result, const Drover__V1__AdmitReply *reply,
                      void *context)
{
	struct call *call = context;
	struct event e = { .kind = EVENT_PREVIEW_OUTCOME };
	struct checks checks = { 0 };

	failpoints_after_answer(call->outcome_kind);
	e.preview.preview = call->preview;
	e.preview.outcome = outcome_of(result);
	e.preview.error = result->error;
	e.preview.checks = &checks;
	if (reply && (unsigned)reply->guard <= GUARD_TWO_STEP &&
	    facts_read_checks(reply->checks, reply->n_checks, &checks, &e.preview.error) == 0) {
		e.preview.admitted = reply->admitted;
		e.preview.guard = (enum guard)reply->guard;
		e.preview.copied_bytes = reply->copied_bytes;
	} else if (reply) {
		e.preview.outcome = CALL_UNKNOWN;
	}
	conclude(call, &e);
	checks_deinit(&checks);
}

static void powered(const struct mesh_result *result, const Drover__V1__GuestPowerReply *reply,
                    void *context)
{
	struct call *call = context;
	struct event e = { .kind = call->outcome_kind };

	(void)reply; /* what came of it is in the guest's state */
	failpoints_after_answer(call->outcome_kind);
	e.power.drain = call->power.drain;
	e.power.vm_uuid = call->power.vm_uuid;
	e.power.number = call->power.number;
	e.power.outcome = outcome_of(result);
	e.power.error = result->error;
	conclude(call, &e);
}

static void not_sent(struct message *m)
{
	struct call *call = (struct call *)m;
	struct mesh_result result = { .status = MESH_UNAVAILABLE, .never_sent = true };

	error_set(&result.error, ERROR_UNREACHABLE, "the agent of %s is not connected", call->node);
	switch (call->outcome_kind) {
	case EVENT_START_OUTCOME:
	case EVENT_LET_GO_OUTCOME:
		started(&result, NULL, call);
		break;
	case EVENT_CANCEL_OUTCOME:
	case EVENT_PROBE_OUTCOME:
		reported(&result, NULL, call);
		break;
	case EVENT_MARK_OUTCOME:
		marked(&result, NULL, call);
		break;
	case EVENT_FENCE_OUTCOME:
		fenced(&result, NULL, call);
		break;
	case EVENT_TUNE_OUTCOME:
		tuned(&result, NULL, call);
		break;
	case EVENT_SHUT_DOWN_OUTCOME:
	case EVENT_START_GUEST_OUTCOME:
		powered(&result, NULL, call);
		break;
	case EVENT_PREVIEW_OUTCOME:
		previewed(&result, NULL, call);
		break;
	default:
		abort();
	}
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

/* The agent's connection; NULL: then the outcome is on its way. */
static struct mesh_connection *connection_for(struct call *call)
{
	struct mesh_connection *connection = agents_find_connection(call->coordinator, call->node);

	failpoints_before_call(call->outcome_kind);
	if (connection && !call->coordinator->stopping)
		return connection;
	loop_post(call->coordinator->loop, &call->message);
	return NULL;
}

static void fill_attempt(Drover__V1__Attempt *to, const struct attempt *from)
{
	drover__v1__attempt__init(to);
	to->operation_id.data = (uint8_t *)from->operation.bytes; /* only read */
	to->operation_id.len = ID_BYTES;
	to->number = from->number;
	to->epoch = from->epoch;
}

static void start(struct coordinator *c, const struct attempt_call *a, enum event_kind outcome_kind)
{
	Drover__V1__StartMigrationRequest request = DROVER__V1__START_MIGRATION_REQUEST__INIT;
	Drover__V1__MigrationSettings settings = DROVER__V1__MIGRATION_SETTINGS__INIT;
	Drover__V1__Transfer transfer;
	Drover__V1__Attempt attempt;
	struct call *call = call_new(c, outcome_kind, a->source);
	struct mesh_connection *connection;

	call->migration = a->migration;
	call->attempt_number = a->attempt.number;
	fill_attempt(&attempt, &a->attempt);
	settings.bandwidth_bytes_per_s = a->settings.bandwidth_bytes_per_s;
	settings.max_downtime_ms = a->settings.max_downtime_ms;
	settings.completion_timeout_ms_per_gib = a->settings.completion_timeout_ms_per_gib;
	settings.progress_timeout_ms = a->settings.progress_timeout_ms;
	settings.tls = a->settings.tls;
	settings.no_guard = a->settings.no_guard;
	settings.stop_off_network = a->settings.stop_off_network;
	settings.shortest_first = a->settings.shortest_first;
	settings.unsafe = a->settings.unsafe;
	settings.copy_disks = a->settings.copy_disks;
	transfer_message_fill(&a->settings.transfer, &transfer);
	settings.transfer = &transfer;
	view_fill_strategy(&a->settings.strategy, &settings);
	request.attempt = &attempt;
	request.vm_uuid = (char *)a->vm_uuid;
	request.target_node = (char *)a->target;
	request.target_address = (char *)a->target_address;
	request.settings = &settings;
	request.hold = a->hold;
	connection = connection_for(call);
	if (connection)
		agent_call_start_migration(connection, &request, CALL_TIMEOUT_MS, started, call);
}

static void ask(struct coordinator *c, const struct attempt_call *a, enum event_kind outcome_kind)
{
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;
	Drover__V1__Attempt attempt;
	struct call *call = call_new(c, outcome_kind, a->source);
	struct mesh_connection *connection;

	call->migration = a->migration;
	call->attempt_number = a->attempt.number;
	fill_attempt(&attempt, &a->attempt);
	request.attempt = &attempt;
	request.vm_uuid = (char *)a->vm_uuid;
	request.source_node = (char *)a->source;
	connection = connection_for(call);
	if (connection && outcome_kind == EVENT_CANCEL_OUTCOME)
		agent_call_cancel_migration(connection, &request, CALL_TIMEOUT_MS, reported, call);
	else if (connection)
		agent_call_probe_attempt(connection, &request, CALL_TIMEOUT_MS, reported, call);
}

static void set_mark(struct coordinator *c, const char *node, const struct drain_mark *mark)
{
	Drover__V1__SetDrainMarkRequest request = DROVER__V1__SET_DRAIN_MARK_REQUEST__INIT;
	Drover__V1__DrainMark m = DROVER__V1__DRAIN_MARK__INIT;
	struct call *call = call_new(c, EVENT_MARK_OUTCOME, node);
	struct mesh_connection *connection;

	call->drain_id = mark->drain_id;
	m.drain_id.data = (uint8_t *)mark->drain_id.bytes; /* only read */
	m.drain_id.len = ID_BYTES;
	m.epoch = mark->epoch;
	m.draining = mark->draining;
	m.cordoned = mark->cordoned;
	m.reason = (char *)mark->reason;
	m.leave = mark->leave.items;
	m.n_leave = mark->leave.count;
	m.shut_down = mark->shut_down.items;
	m.n_shut_down = mark->shut_down.count;
	m.shutdown_timeout_ms = mark->shutdown_timeout_ms;
	m.maintenance = mark->maintenance;
	m.leave_unmovable = mark->leave_unmovable;
	m.copy_disks = mark->copy_disks;
	m.strategy = strategy_pack(&mark->strategy);
	m.parallel = mark->parallel;
	m.bandwidth_bytes_per_s = mark->bandwidth_bytes_per_s;
	m.max_downtime_ms = mark->max_downtime_ms;
	m.completion_timeout_ms_per_gib = mark->completion_timeout_ms_per_gib;
	m.progress_timeout_ms = mark->progress_timeout_ms;
	request.mark = &m;
	connection = connection_for(call);
	if (connection)
		agent_call_set_drain_mark(connection, &request, CALL_TIMEOUT_MS, marked, call);
}

static void set_fence(struct coordinator *c, const struct action *action)
{
	Drover__V1__SetFenceRequest request = DROVER__V1__SET_FENCE_REQUEST__INIT;
	Drover__V1__FenceMark mark = DROVER__V1__FENCE_MARK__INIT;
	struct call *call = call_new(c, EVENT_FENCE_OUTCOME, action->fence.node);
	struct mesh_connection *connection;

	call->fence = action->fence.fence;
	mark.node = call->fence.node;
	mark.epoch = call->fence.epoch;
	request.fence = &mark;
	request.epoch = action->fence.epoch;
	connection = connection_for(call);
	if (connection)
		agent_call_set_fence(connection, &request, CALL_TIMEOUT_MS, fenced, call);
}

static void tune(struct coordinator *c, const struct tune_call *t)
{
	Drover__V1__TuneMigrationRequest request = DROVER__V1__TUNE_MIGRATION_REQUEST__INIT;
	Drover__V1__Tuning tuning = DROVER__V1__TUNING__INIT;
	Drover__V1__Attempt attempt;
	struct call *call = call_new(c, EVENT_TUNE_OUTCOME, t->source);
	struct mesh_connection *connection;

	call->migration = t->migration;
	call->attempt_number = t->attempt.number;
	call->request = t->request;
	fill_attempt(&attempt, &t->attempt);
	tuning.bandwidth_given = t->tuning.bandwidth_given;
	tuning.bandwidth_bytes_per_s = t->tuning.bandwidth_bytes_per_s;
	tuning.max_downtime_given = t->tuning.max_downtime_given;
	tuning.max_downtime_ms = t->tuning.max_downtime_ms;
	tuning.post_copy = t->tuning.post_copy;
	tuning.pause = t->tuning.pause;
	request.attempt = &attempt;
	request.tuning = &tuning;
	request.by = (char *)t->by;
	connection = connection_for(call);
	if (connection)
		agent_call_tune_migration(connection, &request, CALL_TIMEOUT_MS, tuned, call);
}

static void power(struct coordinator *c, const struct power_call *p, enum event_kind outcome_kind)
{
	Drover__V1__GuestPowerRequest request = DROVER__V1__GUEST_POWER_REQUEST__INIT;
	struct call *call = call_new(c, outcome_kind, p->node);
	struct mesh_connection *connection;

	call->power = *p;
	request.drain_id.data = call->power.drain_id.bytes;
	request.drain_id.len = ID_BYTES;
	request.vm_uuid = call->power.vm_uuid;
	request.number = p->number;
	request.epoch = p->epoch;
	connection = connection_for(call);
	if (connection && outcome_kind == EVENT_SHUT_DOWN_OUTCOME)
		agent_call_shut_down_guest(connection, &request, POWER_TIMEOUT_MS, powered, call);
	else if (connection)
		agent_call_start_guest(connection, &request, POWER_TIMEOUT_MS, powered, call);
}

static void preview(struct coordinator *c, const struct preview_call *p)
{
	Drover__V1__PreviewRequest request = DROVER__V1__PREVIEW_REQUEST__INIT;
	Drover__V1__Transfer transfer;
	struct call *call = call_new(c, EVENT_PREVIEW_OUTCOME, p->source);
	struct mesh_connection *connection;

	call->preview = p->preview;
	request.vm_uuid = (char *)p->vm_uuid;
	request.target_node = (char *)p->target;
	request.target_address = (char *)p->target_address;
	request.epoch = p->epoch;
	request.no_guard = p->no_guard;
	request.max_downtime_ms = p->max_downtime_ms;
	request.unsafe = p->unsafe;
	request.copy_disks = p->copy_disks;
	transfer_message_fill(&p->transfer, &transfer);
	request.transfer = &transfer;
	request.post_copy = p->post_copy;
	connection = connection_for(call);
	if (connection)
		agent_call_preview(connection, &request, PREVIEW_TIMEOUT_MS, previewed, call);
}

void agents_carry_out(struct coordinator *c, const struct action *action)
{
	switch (action->kind) {
	case ACTION_START:
		start(c, &action->call, EVENT_START_OUTCOME);
		break;
	case ACTION_LET_GO:
		start(c, &action->call, EVENT_LET_GO_OUTCOME);
		break;
	case ACTION_CANCEL:
		ask(c, &action->call, EVENT_CANCEL_OUTCOME);
		break;
	case ACTION_PROBE:
		ask(c, &action->call, EVENT_PROBE_OUTCOME);
		break;
	case ACTION_SET_DRAIN_MARK:
		set_mark(c, action->mark.node, &action->mark.mark);
		break;
	case ACTION_SET_FENCE:
		set_fence(c, action);
		break;
	case ACTION_TUNE:
		tune(c, &action->tune);
		break;
	case ACTION_SHUT_DOWN:
		power(c, &action->power, EVENT_SHUT_DOWN_OUTCOME);
		break;
	case ACTION_START_GUEST:
		power(c, &action->power, EVENT_START_GUEST_OUTCOME);
		break;
	case ACTION_PREVIEW:
		preview(c, &action->preview);
		break;
	default:
		abort();
	}
}
