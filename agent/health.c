/* SPDX-License-Identifier: Apache-2.0 */
/* The Health service of an agent: serving is to be able to take part in a migration. What stands
 * against it is what source_orders.c and admission refuse for, in the same words. Owner thread. */
#include "agent/agent.h"

#include "agent/target/target.h"
#include "common/alloc.h"
#include "proto/health.rpc.h"

#include <stdlib.h>

#define REASONS_MAX 3

static void check(struct mesh_incoming *in, const Drover__V1__HealthRequest *request, void *context)
{
	struct agent *agent = context;
	const char *node = agent->settings->node;
	Drover__V1__HealthReply reply = DROVER__V1__HEALTH_REPLY__INIT;
	char problem[256], *reasons[REASONS_MAX], *remarks[1] = { problem };

	(void)request;
	reply.reasons = reasons;
	reply.remarks = remarks;
	reply.role = (char *)mesh_role_name(MESH_ROLE_AGENT); /* only read, as all of them */
	reply.name = (char *)node;
	reply.version = (char *)DROVER_VERSION;
	if (agent->stopping)
		reasons[reply.n_reasons++] = xasprintf("the agent of %s is stopping", node);
	if (agent->safe_mode)
		reasons[reply.n_reasons++] = xasprintf("the agent of %s %s", node,
		                                       agent->problem.text);
	if (!agent->inventory.valid)
		reasons[reply.n_reasons++] = xasprintf("libvirt on %s does not answer: %s", node,
		                                       agent->inventory.problem.text);
	target_describe_problem(agent, problem, sizeof(problem));
	reply.n_remarks = problem[0] != '\0';
	reply.state = reply.n_reasons ? DROVER__V1__HEALTH_REPLY__STATE__NOT_SERVING
	                              : DROVER__V1__HEALTH_REPLY__STATE__SERVING;
	mesh_reply(in, &reply.base);
	for (size_t i = 0; i < reply.n_reasons; i++)
		free(reasons[i]);
}

static const struct health_handlers handlers = { .check = check };

const struct mesh_service agent_health_service = HEALTH_SERVICE(handlers);
