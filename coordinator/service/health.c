/* SPDX-License-Identifier: Apache-2.0 */
/* The Health service of a coordinator: serving is to lead, which is to have effect. Owner thread. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/coordinator.h"
#include "coordinator/core/change.h"
#include "proto/health.rpc.h"

static char *why_not_new(const struct coordinator *c)
{
	const struct fleet *fleet = c->fleet;

	if (c->fatal.code != ERROR_NONE)
		return xasprintf("ending, to start again from the store: %s", c->fatal.text);
	if (c->stopping)
		return xasprintf("the coordinator is stopping");
	if (!fleet->loaded)
		return xasprintf("the store was not read yet");
	if (!fleet_leads(fleet))
		return xasprintf("epoch %llu is not in the store yet: until then it does not act",
		                 (unsigned long long)fleet->epoch);
	return NULL;
}

static void check(struct mesh_incoming *in, const Drover__V1__HealthRequest *request, void *context)
{
	const struct coordinator *c = context;
	Drover__V1__HealthReply reply = DROVER__V1__HEALTH_REPLY__INIT;
	_cleanup_free_ char *why = why_not_new(c);

	(void)request;
	reply.reasons = &why;
	reply.n_reasons = why != NULL;
	reply.state = why ? DROVER__V1__HEALTH_REPLY__STATE__NOT_SERVING
	                  : DROVER__V1__HEALTH_REPLY__STATE__SERVING;
	reply.role = (char *)mesh_role_name(MESH_ROLE_COORDINATOR); /* only read, as all */
	reply.name = (char *)c->settings->name;
	reply.version = (char *)DROVER_VERSION;
	mesh_reply(in, &reply.base);
}

static const struct health_handlers handlers = { .check = check };

const struct mesh_service coordinator_health_service = HEALTH_SERVICE(handlers);
