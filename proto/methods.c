/* SPDX-License-Identifier: Apache-2.0 */
/* See methods.h. Two services of a few dozen methods: a linear search is a few hundred nanoseconds
 * beside a call's tens of microseconds, and the table stays in the order of the .proto files. */
#include "proto/methods.h"

#include "common/alloc.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"
#include "proto/mesh/mesh.h"

#include <string.h>

/* Who may look, and who may act. */
#define LOOK (MESH_ROLE_VIEWER | MESH_ROLE_OPERATOR | MESH_ROLE_ADMIN)
#define ACT  (MESH_ROLE_OPERATOR | MESH_ROLE_ADMIN)

#define UNARY(service, method, input, output, callers)                                 \
	{                                                                              \
		"drover.v1." #service "/" #method, &drover__v1__##input##__descriptor, \
			&drover__v1__##output##__descriptor, false, (callers)          \
	}
#define STREAM(service, method, input, output, callers)                                \
	{                                                                              \
		"drover.v1." #service "/" #method, &drover__v1__##input##__descriptor, \
			&drover__v1__##output##__descriptor, true, (callers)           \
	}

/* clang-format off */
static const struct method methods[] = {
	STREAM(Agent, Watch, agent_watch_request, agent_event, MESH_ROLE_COORDINATOR),
	UNARY(Agent, StartMigration, start_migration_request, start_migration_reply, MESH_ROLE_COORDINATOR),
	UNARY(Agent, CancelMigration, attempt_request, attempt_report, MESH_ROLE_COORDINATOR),
	UNARY(Agent, ProbeAttempt, attempt_request, attempt_report, MESH_ROLE_COORDINATOR),
	UNARY(Agent, SetDrainMark, set_drain_mark_request, set_drain_mark_reply, MESH_ROLE_COORDINATOR),
	UNARY(Agent, SetFence, set_fence_request, set_fence_reply, MESH_ROLE_COORDINATOR),
	UNARY(Agent, Preview, preview_request, admit_reply, MESH_ROLE_COORDINATOR),
	UNARY(Agent, Admit, admit_request, admit_reply, MESH_ROLE_AGENT),
	UNARY(Agent, RenewLease, attempt_request, lease_reply, MESH_ROLE_AGENT),
	UNARY(Agent, ReleaseLease, attempt_request, lease_reply, MESH_ROLE_AGENT),
	UNARY(Agent, Inspect, attempt_request, inspect_reply, MESH_ROLE_AGENT),
	UNARY(Agent, FinishTarget, finish_target_request, inspect_reply, MESH_ROLE_AGENT),

	UNARY(Coordinator, Attach, attach_request, attach_reply, MESH_ROLE_AGENT),
	UNARY(Coordinator, GetStatus, get_status_request, status, LOOK),
	UNARY(Coordinator, ListNodes, list_request, node_list, LOOK),
	UNARY(Coordinator, ListVms, list_request, vm_list, LOOK),
	UNARY(Coordinator, ListMigrations, list_request, migration_list, LOOK),
	UNARY(Coordinator, ListDrains, list_request, drain_list, LOOK),
	UNARY(Coordinator, ListEvents, list_request, event_list, LOOK),
	STREAM(Coordinator, Watch, watch_request, change, LOOK),
	UNARY(Coordinator, Explain, explain_request, explanation, LOOK),
	UNARY(Coordinator, Drain, drain_request, drain_reply, ACT),
	UNARY(Coordinator, Undrain, node_request, node_reply, ACT),
	UNARY(Coordinator, Cordon, node_request, node_reply, ACT),
	UNARY(Coordinator, Uncordon, node_request, node_reply, ACT),
	UNARY(Coordinator, Migrate, migrate_request, migrate_reply, ACT),
	UNARY(Coordinator, Cancel, cancel_request, cancel_reply, ACT),
	UNARY(Coordinator, Fence, fence_request, fence_reply, MESH_ROLE_ADMIN),
	UNARY(Coordinator, Unfence, node_request, node_reply, MESH_ROLE_ADMIN),
};
/* clang-format on */

const struct method *method_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

const struct method *method_get_all(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(methods);
	return methods;
}
