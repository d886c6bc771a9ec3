/* SPDX-License-Identifier: Apache-2.0 */
/* The Agent service: which method goes where. Who may call what is in proto/agent.proto; what a method
 * does is in source*.c, target*.c, mark.c, power.c, fence.c and watchers.c. Owner thread. */
#include "agent/agent.h"

#include "agent/fence.h"
#include "agent/garbage/garbage.h"
#include "agent/host/power.h"
#include "agent/link/probe.h"
#include "agent/mark.h"
#include "agent/source/source.h"
#include "agent/target/target.h"
#include "proto/agent.rpc.h"

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

static void handle_watch(struct mesh_incoming *in, const Drover__V1__AgentWatchRequest *request,
                         void *context)
{
	struct error err;

	if (stopping(in, context))
		return;
	if (agent_see_epoch(context, request->epoch, &err) < 0)
		mesh_fail_error(in, &err);
	else
		watchers_add(context, in);
}

/* --- the rest: one line each --- */

#define HANDLER(name, function, type)                                                  \
	static void name(struct mesh_incoming *in, const type *request, void *context) \
	{                                                                              \
		if (!stopping(in, context))                                            \
			function(context, in, request);                                \
	}                                                                              \
	struct service_needs_a_semicolon_

HANDLER(handle_start, source_start, Drover__V1__StartMigrationRequest);
HANDLER(handle_cancel, source_cancel, Drover__V1__AttemptRequest);
HANDLER(handle_tune, source_tune, Drover__V1__TuneMigrationRequest);
HANDLER(handle_probe, source_probe, Drover__V1__AttemptRequest);
HANDLER(handle_mark, mark_set, Drover__V1__SetDrainMarkRequest);
HANDLER(handle_shut_down, power_shut_down, Drover__V1__GuestPowerRequest);
HANDLER(handle_start_guest, power_start, Drover__V1__GuestPowerRequest);
HANDLER(handle_fence, fence_set, Drover__V1__SetFenceRequest);
HANDLER(handle_garbage, garbage_collect, Drover__V1__CollectRequest);
HANDLER(handle_preview, source_preview, Drover__V1__PreviewRequest);
HANDLER(handle_admit, target_admit, Drover__V1__AdmitRequest);
HANDLER(handle_renew, target_renew, Drover__V1__AttemptRequest);
HANDLER(handle_release, target_release, Drover__V1__AttemptRequest);
HANDLER(handle_inspect, target_inspect, Drover__V1__AttemptRequest);
HANDLER(handle_finish, target_finish, Drover__V1__FinishTargetRequest);
HANDLER(handle_verify, target_verify, Drover__V1__VerifyRequest);
HANDLER(handle_relink, target_relink, Drover__V1__AttemptRequest);
HANDLER(handle_measure_path, probe_serve, Drover__V1__MeasurePathRequest);
HANDLER(handle_probe_path, probe_order, Drover__V1__ProbePathRequest);
HANDLER(handle_remnants, target_look_for_remnants, Drover__V1__RemnantsRequest);

static void handle_certificates(struct mesh_incoming *in,
                                const Drover__V1__LookAtCertificatesRequest *request, void *context)
{
	Drover__V1__LookAtCertificatesReply reply = DROVER__V1__LOOK_AT_CERTIFICATES_REPLY__INIT;

	(void)request;
	if (stopping(in, context))
		return;
	credentials_hurry(context);
	mesh_reply(in, &reply.base);
}

static const struct agent_handlers handlers = {
	.watch = handle_watch,
	.start_migration = handle_start,
	.cancel_migration = handle_cancel,
	.tune_migration = handle_tune,
	.probe_attempt = handle_probe,
	.set_drain_mark = handle_mark,
	.shut_down_guest = handle_shut_down,
	.start_guest = handle_start_guest,
	.set_fence = handle_fence,
	.collect_garbage = handle_garbage,
	.look_at_certificates = handle_certificates,
	.preview = handle_preview,
	.admit = handle_admit,
	.renew_lease = handle_renew,
	.release_lease = handle_release,
	.inspect = handle_inspect,
	.finish_target = handle_finish,
	.verify = handle_verify,
	.relink = handle_relink,
	.look_for_remnants = handle_remnants,
	.measure_path = handle_measure_path,
	.probe_path = handle_probe_path,
};

const struct mesh_service agent_service = AGENT_SERVICE(handlers);
