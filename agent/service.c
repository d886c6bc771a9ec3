/* SPDX-License-Identifier: Apache-2.0 */
/* The Agent service: which method goes where. Who may call what is in proto/methods.c; what a method
 * does is in source*.c, target*.c, mark.c, fence.c and watchers.c. Owner thread. */
#include "agent/agent.h"

#include "agent/fence.h"
#include "agent/mark.h"
#include "agent/source.h"
#include "agent/target.h"
#include "common/alloc.h"
#include "proto/agent.pb-c.h"

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
HANDLER(handle_mark, mark_set, Drover__V1__SetDrainMarkRequest);
HANDLER(handle_fence, fence_set, Drover__V1__SetFenceRequest);
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
	{ "SetFence", handle_fence },
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
