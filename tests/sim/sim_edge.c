/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's edge in the virtual world: what coordinator.c does with nng and threads, done
 * with the queue. Written against the same headers, so a rule that the real edge must keep (one
 * outcome per call, store writes in order) is kept here, too.
 *
 * A crash loses the fleet, all calls under way and what the store thread had not yet written; a
 * prefix of that may still reach the disk, as with a real kill -9.
 */
#include "tests/sim/sim.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CALL_DEADLINE_MS 3000
/* Requests below are attaches: session and host in one number. */
#define SIM_PEOPLE ((uint64_t)1 << 40)

/* --- the store thread --- */

struct write {
	uint32_t incarnation;
	struct batch *batch; /* in sim->unwritten */
};

static void forget_unwritten(struct sim *sim)
{
	memmove(&sim->unwritten[0], &sim->unwritten[1],
	        (sim->n_unwritten - 1) * sizeof(*sim->unwritten));
	sim->n_unwritten--;
}

static void write_now(struct sim *sim, void *data)
{
	struct write *w = data;
	struct event event = { .kind = EVENT_STORED };
	struct error err = { 0 };
	uint64_t ticket;
	int rc;

	if (w->incarnation != sim->incarnation || !sim->fleet) {
		free(w); /* written or lost in the crash */
		return;
	}
	assert(sim->unwritten[0] == w->batch);
	if (++sim->n_writes == sim->crash_at_write) {
		free(w);
		sim_coordinator_crash(sim);
		return;
	}
	ticket = w->batch->ticket;
	rc = store_write(sim->store, w->batch, &err);
	if (rc < 0)
		sim_break(sim, "the store refuses nothing that the core asks for", "%s", err.text);
	forget_unwritten(sim);
	batch_free(w->batch);
	free(w);
	if (rc == 0) {
		event.stored_ticket = ticket;
		sim_step(sim, &event);
	}
}

static void store_later(struct sim *sim, struct batch *batch)
{
	struct write *w = xnew(struct write);
	uint64_t at_ms = sim->now_ms + sim_delay(sim, 1, 40);

	if (at_ms < sim->last_write_ms)
		at_ms = sim->last_write_ms;
	sim->last_write_ms = at_ms;
	w->incarnation = sim->incarnation;
	w->batch = batch;
	sim->unwritten = xreallocarray(sim->unwritten, sim->n_unwritten + 1,
	                               sizeof(*sim->unwritten));
	sim->unwritten[sim->n_unwritten++] = batch;
	sim_after(sim, at_ms - sim->now_ms, write_now, w);
}

/* --- calls to agents --- */

/* What the edge waits for: the first of answer and deadline counts. */
struct waiting {
	uint32_t incarnation;
	struct sim_call call;
	enum call_outcome outcome;
};

static void outcome_event(const struct sim_call *call, struct event *event)
{
	switch (call->kind) {
	case ACTION_SET_DRAIN_MARK:
		event->kind = EVENT_MARK_OUTCOME;
		break;
	case ACTION_PREVIEW:
		event->kind = EVENT_PREVIEW_OUTCOME;
		break;
	default:
		event->kind = call->kind == ACTION_START    ? EVENT_START_OUTCOME
		              : call->kind == ACTION_LET_GO ? EVENT_LET_GO_OUTCOME
		              : call->kind == ACTION_CANCEL ? EVENT_CANCEL_OUTCOME
		                                            : EVENT_PROBE_OUTCOME;
		break;
	}
}

static void name_outcome(const struct sim *sim, const struct sim_call *call, struct event *event)
{
	outcome_event(call, event);
	if (call->kind == ACTION_SET_DRAIN_MARK) {
		event->mark.node = sim->hosts[call->host].name;
		event->mark.drain_id = call->mark.drain_id;
	} else if (call->kind == ACTION_PREVIEW) {
		event->preview.preview = call->preview.preview;
	} else {
		event->call.migration = call->attempt.migration;
		event->call.attempt_number = call->attempt.attempt.number;
	}
}

static void set_outcome(struct event *event, enum call_outcome outcome)
{
	static const struct checks none;

	if (event->kind == EVENT_MARK_OUTCOME) {
		event->mark.outcome = outcome;
	} else if (event->kind == EVENT_PREVIEW_OUTCOME) {
		event->preview.outcome = outcome;
		if (outcome != CALL_ANSWERED) {
			event->preview.checks = &none;
			error_set(&event->preview.error, ERROR_TIMEOUT, "no answer in time");
		}
	} else {
		event->call.outcome = outcome;
		if (outcome != CALL_ANSWERED && outcome != CALL_REFUSED)
			error_set(&event->call.error, ERROR_UNKNOWN_OUTCOME, "no answer in time");
	}
}

static void give_up(struct sim *sim, void *data)
{
	struct waiting *w = data;
	struct event event = { 0 };

	if (w->incarnation == sim->incarnation && sim->fleet) {
		name_outcome(sim, &w->call, &event);
		set_outcome(&event, w->outcome);
		sim_trace(sim, "mesh", "%s to %s: %s", action_kind_name(w->call.kind),
		          sim->hosts[w->call.host].name,
		          w->outcome == CALL_NOT_SENT ? "not sent" : "no answer");
		sim_step(sim, &event);
	}
	free(w);
}

static void fail_call(struct sim *sim, const struct sim_call *call, uint64_t after_ms,
                      enum call_outcome outcome)
{
	struct waiting *w = xnew(struct waiting);

	w->incarnation = sim->incarnation;
	w->call = *call;
	w->call.mark.leave = (struct names){ 0 };
	w->outcome = outcome;
	sim_after(sim, after_ms, give_up, w);
}

static void arrive(struct sim *sim, void *data)
{
	struct sim_call *call = data;

	sim_agent_take_call(sim, call);
}

static void send_copy(struct sim *sim, const struct sim_call *call, uint64_t after_ms, bool silent)
{
	struct sim_call *copy = xmemdup(call, sizeof(*call));

	/* Names are for people: the model of the agent does without. */
	copy->mark.leave = (struct names){ 0 };
	copy->silent = silent;
	sim_after(sim, after_ms, arrive, copy);
}

static void send_call(struct sim *sim, struct sim_call *call)
{
	const struct sim_host *host = &sim->hosts[call->host];
	const struct sim_faults *f = &sim->faults;

	call->incarnation = sim->incarnation;
	if (!host->session || sim_chance(sim, f->not_sent)) {
		fail_call(sim, call, 0, CALL_NOT_SENT);
		return;
	}
	if (sim_chance(sim, f->lose_call)) {
		fail_call(sim, call, CALL_DEADLINE_MS, CALL_UNKNOWN);
		return;
	}
	if (sim_chance(sim, f->late_call)) {
		send_copy(sim, call, CALL_DEADLINE_MS + sim_random(sim, 20000), true);
		fail_call(sim, call, CALL_DEADLINE_MS, CALL_UNKNOWN);
		return;
	}
	if (sim_chance(sim, f->repeat_call))
		send_copy(sim, call, 1 + sim_random(sim, 5000), true);
	if (sim_chance(sim, f->lose_reply)) {
		send_copy(sim, call, sim_delay(sim, 5, 60), true);
		fail_call(sim, call, CALL_DEADLINE_MS, CALL_UNKNOWN);
		return;
	}
	send_copy(sim, call, sim_delay(sim, 5, 60), false);
}

void sim_reply_call(struct sim *sim, struct sim_call *call, struct event *event)
{
	if (call->silent || call->incarnation != sim->incarnation || !sim->fleet) {
		free(call);
		return;
	}
	/* The way back takes no time of its own; the way there has it. */
	name_outcome(sim, call, event);
	free(call);
	sim_step(sim, event);
}

void sim_fail_call(struct sim *sim, struct sim_call *call)
{
	if (!call->silent && call->incarnation == sim->incarnation && sim->fleet)
		fail_call(sim, call, CALL_DEADLINE_MS, CALL_UNKNOWN);
	free(call);
}

/* --- actions --- */

static void carry_out(struct sim *sim, struct action *action)
{
	struct sim_call call = { .kind = action->kind };
	struct reply *reply;

	switch (action->kind) {
	case ACTION_STORE:
		store_later(sim, take_pointer(action->store));
		return;
	case ACTION_START:
	case ACTION_LET_GO:
	case ACTION_CANCEL:
	case ACTION_PROBE:
		call.host = sim_find_host(sim, action->call.source);
		call.attempt = action->call;
		sim_trace(sim, "coordinator", "%s migration/%" PRIu64 " attempt %u at %s",
		          action_kind_name(action->kind), action->call.migration,
		          action->call.attempt.number, action->call.source);
		send_call(sim, &call);
		return;
	case ACTION_SET_DRAIN_MARK:
		call.host = sim_find_host(sim, action->mark.node);
		call.mark = action->mark.mark;
		sim_trace(sim, "coordinator", "mark %s: %s%s", action->mark.node,
		          call.mark.draining ? "draining" : "not draining",
		          call.mark.cordoned ? ", cordoned" : "");
		send_call(sim, &call);
		return;
	case ACTION_TUNE:
		sim_break(sim, "nobody changes a migration", "migration/%" PRIu64,
		          action->tune.migration);
		return;
	case ACTION_SHUT_DOWN:
	case ACTION_START_GUEST:
		sim_break(sim, "nobody has named a guest to be shut down", "%s: %s",
		          action_kind_name(action->kind), action->power.vm_uuid);
		return;
	case ACTION_SET_FENCE:
		sim_break(sim, "nobody declares a host dead", "%s is told of %s",
		          action->fence.node, action->fence.fence.node);
		return;
	case ACTION_PREVIEW:
		call.host = sim_find_host(sim, action->preview.source);
		call.preview = action->preview;
		send_call(sim, &call);
		return;
	case ACTION_REPLY:
		reply = take_pointer(action->reply);
		if (reply->kind == REPLY_ATTACH || reply->request < SIM_PEOPLE) {
			if (reply->kind == REPLY_ATTACH)
				sim_agent_attached(sim, sim_find_host(sim, reply->node),
				                   (uint32_t)(reply->request >> 3), reply->epoch);
			reply_free(reply);
			return;
		}
		sim->open_requests--;
		reply_free(sim->last_reply);
		sim->last_reply = reply;
		return;
	case ACTION_EVENT:
		sim_trace(sim, "coordinator", "%s: %s", action->event.subject, action->event.text);
		return;
	case ACTION_CHANGED:
	case ACTION_REFUSED:
	case ACTION_STOP:
	case ACTION_KINDS:
		return;
	}
}

void sim_step(struct sim *sim, struct event *event)
{
	struct action_list list = { 0 };
	uint32_t incarnation = sim->incarnation;

	if (!sim->fleet)
		return;
	event->wall_ms = sim->now_ms;
	if (sim->clocks_jump)
		event->wall_ms = sim->n_events * 0x9e3779b97f4a7c15u >> sim->n_events % 40;
	core_step(sim->fleet, event, sim->now_ms, &list);
	for (size_t i = 0; i < list.count && sim->incarnation == incarnation; i++) {
		if (sim_chance(sim, sim->faults.crash_action)) {
			sim_trace(sim, "world", "the coordinator dies before it could %s",
			          action_kind_name(list.items[i].kind));
			sim_coordinator_crash(sim);
			break;
		}
		sim_check_action(sim, &list.items[i]);
		carry_out(sim, &list.items[i]);
	}
	action_list_deinit(&list);
}

/* --- life and death --- */

static void tick(struct sim *sim, void *data)
{
	struct event event = { .kind = EVENT_TICK };
	uint32_t *incarnation = data;

	if (*incarnation != sim->incarnation || !sim->fleet) {
		free(incarnation);
		return;
	}
	sim_after(sim, 1000, tick, incarnation);
	sim_step(sim, &event);
}

void sim_coordinator_start(struct sim *sim)
{
	struct event event = { .kind = EVENT_LOADED };
	struct store_contents contents;
	struct error err = { 0 };
	uint32_t *incarnation;

	assert(!sim->fleet);
	sim->incarnation++;
	sim->last_revision = 0;
	if (store_memory_open(sim->disk, &sim->store, &err) < 0 ||
	    store_load(sim->store, &contents, &err) < 0) {
		sim_break(sim, "the store opens", "%s", err.text);
		return;
	}
	sim->fleet = fleet_new(&sim->options);
	incarnation = xmemdup(&sim->incarnation, sizeof(sim->incarnation));
	sim_after(sim, 1000, tick, incarnation);
	event.loaded = &contents;
	sim_step(sim, &event);
	store_contents_deinit(&contents);
	for (int i = 0; i < sim->n_hosts; i++)
		sim_agent_connect(sim, i);
}

static void start_again(struct sim *sim, void *data)
{
	free(data);
	if (!sim->fleet)
		sim_coordinator_start(sim);
}

void sim_coordinator_crash(struct sim *sim)
{
	size_t reached = sim->crash_after_write ? sim->n_unwritten
	                                        : sim_random(sim, sim->n_unwritten + 1);
	struct error err = { 0 };

	/* The write that was under way may have reached the disk, and others before it. */
	for (size_t i = 0; i < sim->n_unwritten; i++) {
		if (i < reached && store_write(sim->store, sim->unwritten[i], &err) < 0)
			sim_break(sim, "the store refuses nothing that the core asks for", "%s",
			          err.text);
		batch_free(sim->unwritten[i]);
	}
	free(sim->unwritten);
	sim->unwritten = NULL;
	sim->n_unwritten = 0;
	sim->n_crashes++;
	sim->incarnation++;
	sim->open_requests = 0;
	fleet_free(take_pointer(sim->fleet));
	store_close(take_pointer(sim->store));
	for (int i = 0; i < sim->n_hosts; i++)
		sim->hosts[i].session = 0;
	if (!sim->stay_down)
		sim_after(sim, sim_delay(sim, 2000, 15000), start_again, NULL);
}

/* --- what people ask --- */

static void ask(struct sim *sim, struct event *event)
{
	if (!sim->fleet)
		return;
	event->request = SIM_PEOPLE + ++sim->next_request;
	sim->open_requests++;
	sim_step(sim, event);
}

void sim_drain(struct sim *sim, const char *node, const char *leave, bool dry_run)
{
	struct event event = { .kind = EVENT_DRAIN };
	struct names names = { 0 };

	if (leave)
		names_add(&names, leave);
	event.drain.node = node;
	event.drain.dry_run = dry_run;
	event.drain.leave = &names;
	event.drain.leave_unmovable = sim->leave_unmovable;
	event.drain.reason = "";
	sim_trace(sim, "operator", "drain %s%s%s%s", node, dry_run ? " --dry-run" : "",
	          leave ? " --leave " : "", leave ? leave : "");
	ask(sim, &event);
	names_deinit(&names);
}

void sim_ask_node(struct sim *sim, enum event_kind kind, const char *node)
{
	struct event event = { .kind = kind };

	event.node.node = node;
	event.node.reason = "";
	sim_trace(sim, "operator", "%s %s", event_kind_name(kind), node);
	ask(sim, &event);
}

void sim_migrate(struct sim *sim, const char *vm, const char *target)
{
	struct event event = { .kind = EVENT_MIGRATE };

	event.migrate.vm = vm;
	event.migrate.target = target;
	sim_trace(sim, "operator", "migrate %s %s", vm, target);
	ask(sim, &event);
}

void sim_cancel(struct sim *sim, const char *kind, const char *name)
{
	struct event event = { .kind = EVENT_CANCEL };

	event.cancel.kind = kind;
	event.cancel.name = name;
	sim_trace(sim, "operator", "cancel %s/%s", kind, name);
	ask(sim, &event);
}

void sim_set_policy(struct sim *sim, enum policy_kind kind, const char *name,
                    const struct names *vms, const struct names *nodes)
{
	struct event event = { .kind = EVENT_SET_POLICY };

	event.policy.name = name;
	event.policy.by = "operator";
	event.policy.kind = kind;
	event.policy.vms = vms;
	event.policy.nodes = nodes;
	event.policy.selector = "";
	sim_trace(sim, "operator", "policy %s %s", policy_kind_name(kind), name);
	ask(sim, &event);
}
