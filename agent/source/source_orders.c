/* SPDX-License-Identifier: Apache-2.0 */
/* What coordinators ask of a source: start, go on, cancel, probe. An order is accepted once it is in the
 * journal, and refused for good by a tombstone there; repeating it is harmless. Owner thread only. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/transfer_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- orders --- */

static void reply_start(struct mesh_incoming *in, const struct source_attempt *a, bool accepted)
{
	Drover__V1__StartMigrationReply reply = DROVER__V1__START_MIGRATION_REPLY__INIT;

	reply.accepted = accepted;
	reply.report = source_report_new(a);
	mesh_reply(in, &reply.base);
	wire_free(reply.report);
}

struct accepting {
	struct source_attempt *attempt;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	bool refused;
};

static void nobody_waits(void *context)
{
	((struct accepting *)context)->in = NULL;
}

static void journal_order(struct source_attempt *a, struct mesh_incoming *in, bool refused);

/* Whoever ordered it is gone, before it was accepted: perhaps long ago, when this agent was stopped
 * or its host was. The guest may be wanted elsewhere by now; if not, we are asked again. */
static void bury(struct source_attempt *a)
{
	a->order.phase = JOURNAL_TOMBSTONED;
	a->stage = SOURCE_ENDED;
	a->ended_ms = clock_now_ms();
	a->state = DROVER__V1__MIGRATION_STATE__CANCELLED;
	error_set(&a->reason, ERROR_CANCELLED,
	          "the coordinator that ordered it had gone before %s could begin",
	          a->agent->settings->node);
	journal_order(a, NULL, true);
}

static void order_in_journal(int rc, const struct error *err, void *context)
{
	struct accepting *w = context;
	struct source_attempt *a = w->attempt;

	FAILPOINT(source_after_order_journaled);
	a->errands--;
	if (w->refused)
		a->ending = false;
	if (rc < 0) {
		/* Not durable, so not accepted: nothing was done, and the attempt never was. */
		a->stage = SOURCE_ENDED;
		a->ended_ms = clock_now_ms();
		a->state = DROVER__V1__MIGRATION_STATE__FAILED;
		a->reason = *err;
		if (w->in)
			mesh_fail_error(w->in, err);
	} else if (!w->in && !w->refused && a->stage == SOURCE_ACCEPTING) {
		bury(a);
	} else {
		if (w->in)
			reply_start(w->in, a, !w->refused);
		FAILPOINT(source_after_order_answered);
		if (!w->refused && a->stage == SOURCE_ACCEPTING)
			source_prepare(a);
	}
	source_changed(a);
	free(w);
}

static void journal_order(struct source_attempt *a, struct mesh_incoming *in, bool refused)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_ATTEMPT, .attempt = a->order };
	struct accepting *waiting = xnew(struct accepting);

	waiting->attempt = a;
	waiting->in = in;
	waiting->refused = refused;
	if (refused)
		a->ending = true;
	if (in)
		mesh_incoming_on_cancel(in, nobody_waits, waiting);
	a->errands++;
	FAILPOINT(source_before_order_journaled);
	journal_keeper_write(a->agent->journal, &w, order_in_journal, waiting);
}

static int read_order(struct agent *agent, const Drover__V1__StartMigrationRequest *r,
                      struct journal_attempt *order, struct error *err)
{
	struct strategy strategy;

	if (wire_attempt_read(r->attempt, &order->attempt, err) < 0)
		return -(int)err->code;
	if (strlen(r->vm_uuid) != VM_UUID_BYTES - 1)
		return error_set(err, ERROR_INVALID, "\"%.64s\" is not a UUID", r->vm_uuid);
	if (!r->target_node[0] || strlen(r->target_node) >= sizeof(order->target_node) ||
	    !strstr(r->target_address, "://") ||
	    strlen(r->target_address) >= sizeof(order->target_address))
		return error_set(err, ERROR_INVALID, "the target is \"%.128s\" at \"%.128s\"",
		                 r->target_node, r->target_address);
	if (strcmp(r->target_node, agent->settings->node) == 0)
		return error_set(err, ERROR_INVALID, "source and target are both %s",
		                 r->target_node);
	if (!r->settings)
		return error_set(err, ERROR_INVALID, "the settings are missing");
	order->phase = JOURNAL_STARTED;
	snprintf(order->vm_uuid, sizeof(order->vm_uuid), "%s", r->vm_uuid);
	snprintf(order->target_node, sizeof(order->target_node), "%s", r->target_node);
	snprintf(order->target_address, sizeof(order->target_address), "%s", r->target_address);
	order->bandwidth_bytes_per_s = r->settings->bandwidth_bytes_per_s;
	order->max_downtime_ms = r->settings->max_downtime_ms;
	order->completion_timeout_ms_per_gib = r->settings->completion_timeout_ms_per_gib;
	order->progress_timeout_ms = r->settings->progress_timeout_ms;
	order->tls = r->settings->tls;
	order->no_guard = r->settings->no_guard;
	order->unsafe = r->settings->unsafe;
	order->stop_off_network = r->settings->stop_off_network;
	order->shortest_first = r->settings->shortest_first;
	order->waits_for_slot = r->hold;
	order->copy_disks = r->settings->copy_disks;
	if (wire_strategy_read(r->settings, &strategy, err) < 0)
		return -(int)err->code;
	order->strategy = strategy_pack(&strategy);
	if (transfer_message_read(r->settings->transfer, &order->transfer, err) < 0 ||
	    transfer_check(&order->transfer, order->copy_disks,
	                   strategy_permits_post_copy(&strategy), err) < 0)
		return -(int)err->code;
	order->wall_ms = clock_wall_ms();
	return 0;
}

/* Whether it can begin at all; the destination judges the rest. */
static int may_begin(struct agent *agent, struct journal_attempt *order, struct error *err)
{
	const struct inventory_vm *vm = inventory_find(&agent->inventory, order->vm_uuid);
	const struct source_attempt *other = source_find_vm(agent, order->vm_uuid);

	if (agent->safe_mode)
		return error_set(err, ERROR_REFUSED, "the agent of %s %s", agent->settings->node,
		                 agent->problem.text);
	if (!agent->inventory.valid)
		return error_set(err, ERROR_UNREACHABLE, "libvirt on %s does not answer: %s",
		                 agent->settings->node, agent->inventory.problem.text);
	if (!vm || !vm->summary.active)
		return error_set(err, ERROR_NOT_FOUND, "guest %s is not active on %s",
		                 vm ? vm->summary.name : order->vm_uuid, agent->settings->node);
	if (other)
		return error_set(err, ERROR_BUSY, "guest %s is being migrated to %s already",
		                 vm->summary.name, other->order.target_node);
	if (vm->summary.job_out)
		return error_set(err, ERROR_BUSY,
		                 "guest %s has a migration that drover did not start",
		                 vm->summary.name);
	if (vm->summary.state == VM_INCOMING)
		return error_set(err, ERROR_BUSY, "guest %s is still on its way in",
		                 vm->summary.name);
	return order->waits_for_slot ? source_check_hold(agent, err)
	                             : source_check_slot(agent, err);
}

void source_start(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__StartMigrationRequest *request)
{
	struct journal_attempt order = { 0 };
	struct source_attempt *a;
	const struct inventory_vm *vm;
	struct error err;

	if (read_order(agent, request, &order, &err) < 0 ||
	    agent_see_epoch(agent, order.attempt.epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		return;
	}
	a = source_find(agent, &order.attempt);
	if (a) {
		if (!request->hold && a->order.waits_for_slot && a->stage < SOURCE_CLEANING &&
		    source_let_go(a, &err) < 0) {
			mesh_fail_error(in, &err);
			return;
		}
		/* Repeating an order is harmless: it gets the answer it got (invariant I6). */
		reply_start(in, a, a->order.phase != JOURNAL_TOMBSTONED);
		return;
	}
	vm = inventory_find(&agent->inventory, order.vm_uuid);
	if (vm) {
		memcpy(order.vm_name, vm->summary.name, sizeof(order.vm_name));
		order.persistent = vm->summary.persistent;
		order.autostart = vm->summary.autostart;
	}
	if (may_begin(agent, &order, &err) < 0) {
		/* Refused for good: this attempt must not begin later, when the order comes again. */
		order.phase = JOURNAL_TOMBSTONED;
		a = source_new(agent, &order);
		a->stage = SOURCE_ENDED;
		a->ended_ms = a->started_ms;
		a->state = DROVER__V1__MIGRATION_STATE__FAILED;
		a->reason = err;
		if (!order.waits_for_slot)
			source_add_slot_check(a);
		journal_order(a, in, true);
		return;
	}
	a = source_new(agent, &order);
	source_changed(a);
	journal_order(a, in, false);
}

/* --- cancel and probe --- */

struct asking {
	struct source_attempt *attempt;
	struct mesh_incoming *in;
};

static void asker_gone(void *context)
{
	((struct asking *)context)->in = NULL;
}

static void reply_report(struct mesh_incoming *in, const struct source_attempt *a)
{
	Drover__V1__AttemptReport *report = source_report_new(a);

	mesh_reply(in, &report->base);
	wire_free(report);
}

static void tombstone_in_journal(int rc, const struct error *err, void *context)
{
	struct asking *w = context;

	FAILPOINT(source_after_tombstone_journaled);
	w->attempt->errands--;
	w->attempt->ending = false;
	if (w->in && rc < 0)
		mesh_fail_error(w->in, err);
	else if (w->in)
		reply_report(w->in, w->attempt);
	if (rc < 0)
		/* Without the record it must not count as tombstoned: ask again. */
		source_forget(w->attempt);
	free(w);
}

/* An attempt never seen here: from now on it can never begin (the design's rule 7). */
static void tombstone(struct agent *agent, struct mesh_incoming *in,
                      const struct attempt_name *name, const char *vm_uuid)
{
	struct journal_attempt order = { .attempt = *name, .phase = JOURNAL_TOMBSTONED };
	struct journal_write w = { .kind = JOURNAL_WRITE_ATTEMPT };
	struct asking *waiting = xnew(struct asking);
	struct source_attempt *a;

	snprintf(order.vm_uuid, sizeof(order.vm_uuid), "%s", vm_uuid);
	order.wall_ms = clock_wall_ms();
	a = source_new(agent, &order);
	a->stage = SOURCE_ENDED;
	a->ended_ms = a->started_ms;
	a->state = DROVER__V1__MIGRATION_STATE__CANCELLED;
	error_set(&a->reason, ERROR_CANCELLED, "never began on %s, and never will",
	          agent->settings->node);
	w.attempt = a->order;
	waiting->attempt = a;
	waiting->in = in;
	mesh_incoming_on_cancel(in, asker_gone, waiting);
	a->ending = true;
	a->errands++;
	FAILPOINT(source_before_tombstone_journaled);
	journal_keeper_write(agent->journal, &w, tombstone_in_journal, waiting);
}

static struct source_attempt *find_asked(struct agent *agent, struct mesh_incoming *in,
                                         const Drover__V1__AttemptRequest *request)
{
	struct attempt_name name;
	struct source_attempt *a;
	struct error err;

	if (wire_attempt_read(request->attempt, &name, &err) < 0 ||
	    agent_see_epoch(agent, name.epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		return NULL;
	}
	a = source_find(agent, &name);
	if (!a)
		tombstone(agent, in, &name, request->vm_uuid);
	return a;
}

void source_probe(struct agent *agent, struct mesh_incoming *in,
                  const Drover__V1__AttemptRequest *request)
{
	const struct source_attempt *a = find_asked(agent, in, request);

	if (a)
		reply_report(in, a);
}

void source_cancel(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__AttemptRequest *request)
{
	struct source_attempt *a = find_asked(agent, in, request);
	struct error why;

	if (!a)
		return;
	if (a->order.post_copy && !a->cancel_refused) {
		a->cancel_refused = true;
		source_changed(a);
	} else if (a->stage < SOURCE_RESOLVING && !a->cancel_requested && !a->order.post_copy) {
		error_set(&why, ERROR_CANCELLED, "cancelled on request");
		a->cancel_requested = true;
		if (a->stage == SOURCE_MOVING) {
			a->abort_wanted = true;
			a->reason = why;
		} else {
			source_fail(a, DROVER__V1__MIGRATION_STATE__CANCELLED, &why);
		}
	}
	a->closing_wanted |= a->stage == SOURCE_RESOLVING;
	reply_report(in, a);
}
