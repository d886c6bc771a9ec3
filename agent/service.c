/* SPDX-License-Identifier: Apache-2.0 */
/* The Agent service: which method goes where. Who may call what is in proto/methods.c; what a method
 * does is in source*.c, target*.c and watchers.c. Owner thread. */
#include "agent/agent.h"

#include "agent/source.h"
#include "agent/target.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "proto/agent.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nothing new begins once the agent is stopping. */
static bool stopping(struct mesh_incoming *in, const struct agent *agent)
{
	struct error err;

	if (!agent->stopping)
		return false;
	error_set(&err, ERROR_UNREACHABLE, "the agent of %s is stopping", agent->settings->node);
	mesh_fail_error(in, &err);
	return true;
}

static void handle_watch(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__AgentWatchRequest *request = (const Drover__V1__AgentWatchRequest *)m;
	struct error err;

	if (stopping(in, context))
		return;
	if (agent_see_epoch(context, request->epoch, &err) < 0)
		mesh_fail_error(in, &err);
	else
		watchers_add(context, in);
}

/* --- drain mark --- */

struct marking {
	struct agent *agent;
	struct mesh_incoming *in;
	struct journal_drain_mark mark;
	bool counting;           /* in agent->markings */
	uint64_t wanted_reading; /* the first that began after the mark was durable */
	struct marking *next;
};

static void count_no_more(struct marking *w)
{
	for (struct marking **at = &w->agent->markings; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	free(w);
}

static void marking_unwanted(void *context)
{
	struct marking *w = context;

	w->in = NULL;
	if (w->counting)
		count_no_more(w);
}

static void reply_count(struct marking *w)
{
	Drover__V1__SetDrainMarkReply reply = DROVER__V1__SET_DRAIN_MARK_REPLY__INIT;
	struct inventory_vm *vm, *next;

	HASH_ITER (hh, w->agent->inventory.vms, vm, next)
		reply.active_vms += vm->summary.active;
	mesh_reply(w->in, &reply.base);
}

void service_guests_listed(struct agent *agent)
{
	for (struct marking *w = agent->markings, *next; w; w = next) {
		next = w->next;
		if (agent->inventory.valid && agent->inventory.readings < w->wanted_reading)
			continue;
		reply_count(w);
		count_no_more(w);
	}
}

/* "Empty" is said of a list taken after the mark: before it guests could still be admitted
 * (invariant I9). Without libvirt there is no such list, and nobody relies on the last one. */
static void count_guests(struct marking *w)
{
	struct inventory *inv = &w->agent->inventory;

	/* A reading that is under way began before. */
	w->wanted_reading = inv->readings + (inv->reading ? 2 : 1);
	inventory_refresh(inv);
	if (!inv->valid) {
		reply_count(w);
		free(w);
		return;
	}
	w->counting = true;
	w->next = w->agent->markings;
	w->agent->markings = w;
}

static void mark_in_journal(int rc, const struct error *err, void *context)
{
	struct marking *w = context;

	if (rc == 0)
		w->agent->drain_mark = w->mark;
	if (rc == 0 && w->in) {
		count_guests(w);
		return;
	}
	if (w->in)
		mesh_fail_error(w->in, err);
	free(w);
}

static int read_mark(const Drover__V1__DrainMark *from, struct journal_drain_mark *to,
                     struct error *err)
{
	if (!from)
		return error_set(err, ERROR_INVALID, "the mark is missing");
	if (from->drain_id.len &&
	    id_from_bytes(from->drain_id.data, from->drain_id.len, &to->drain_id) < 0)
		return error_set(err, ERROR_INVALID, "a drain id has 16 bytes, not %zu",
		                 from->drain_id.len);
	if (from->n_leave > JOURNAL_LEAVE_MAX)
		return error_set(err, ERROR_TOO_LARGE, "at most %d guests can be left, not %zu",
		                 JOURNAL_LEAVE_MAX, from->n_leave);
	to->epoch = from->epoch;
	to->draining = from->draining;
	to->cordoned = from->cordoned;
	snprintf(to->reason, sizeof(to->reason), "%s", from->reason);
	for (size_t i = 0; i < from->n_leave; i++) {
		if (strlen(from->leave[i]) >= sizeof(to->leave[i]))
			return error_set(err, ERROR_TOO_LARGE,
			                 "the guest name %.64s... is too long", from->leave[i]);
		snprintf(to->leave[i], sizeof(to->leave[i]), "%s", from->leave[i]);
	}
	to->n_leave = from->n_leave;
	return 0;
}

static void handle_mark(struct mesh_incoming *in, const ProtobufCMessage *m, void *context)
{
	const Drover__V1__SetDrainMarkRequest *request = (const Drover__V1__SetDrainMarkRequest *)m;
	struct agent *agent = context;
	struct marking *w;
	struct journal_write write = { .kind = JOURNAL_WRITE_DRAIN_MARK };
	struct error err;

	if (stopping(in, agent))
		return;
	w = xnew(struct marking);
	if (read_mark(request->mark, &w->mark, &err) < 0 ||
	    agent_see_epoch(agent, w->mark.epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		free(w);
		return;
	}
	w->agent = agent;
	w->in = in;
	write.drain_mark = w->mark;
	mesh_incoming_on_cancel(in, marking_unwanted, w);
	journal_keeper_write(agent->journal, &write, mark_in_journal, w);
}

/* --- the rest: one line each --- */

#define HANDLER(name, function, type)                                                        \
	static void name(struct mesh_incoming *in, const ProtobufCMessage *m, void *context) \
	{                                                                                    \
		if (!stopping(in, context))                                                  \
			function(context, in, (const type *)m);                              \
	}                                                                                    \
	struct service_needs_a_semicolon_

HANDLER(handle_start, source_start, Drover__V1__StartMigrationRequest);
HANDLER(handle_cancel, source_cancel, Drover__V1__AttemptRequest);
HANDLER(handle_probe, source_probe, Drover__V1__AttemptRequest);
HANDLER(handle_preview, source_preview, Drover__V1__PreviewRequest);
HANDLER(handle_admit, target_admit, Drover__V1__AdmitRequest);
HANDLER(handle_renew, target_renew, Drover__V1__AttemptRequest);
HANDLER(handle_release, target_release, Drover__V1__AttemptRequest);
HANDLER(handle_inspect, target_inspect, Drover__V1__AttemptRequest);
HANDLER(handle_finish, target_finish, Drover__V1__FinishTargetRequest);

static const struct mesh_handler handlers[] = {
	{ "Watch", handle_watch },
	{ "StartMigration", handle_start },
	{ "CancelMigration", handle_cancel },
	{ "ProbeAttempt", handle_probe },
	{ "SetDrainMark", handle_mark },
	{ "Preview", handle_preview },
	{ "Admit", handle_admit },
	{ "RenewLease", handle_renew },
	{ "ReleaseLease", handle_release },
	{ "Inspect", handle_inspect },
	{ "FinishTarget", handle_finish },
};

const struct mesh_service agent_service = {
	.descriptor = &drover__v1__agent__descriptor,
	.handlers = handlers,
	.n_handlers = ARRAY_SIZE(handlers),
};
