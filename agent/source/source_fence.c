/* SPDX-License-Identifier: Apache-2.0 */
/* Own attempts and hosts declared dead.
 *
 * To a dead host: it has nothing any more, which is what the judgement needed to know; a copy that
 * still tries to reach it is given up. Of this host itself (it was declared dead, and is back): an
 * operator and the other hosts have settled without it what it had begun, so none of its attempts up
 * to then acts any more, whatever it would find. Owner thread. */
#include "agent/fence.h"

#include "agent/source/source.h"
#include "common/alloc.h"
#include "common/log.h"

#include <stdlib.h>

static bool take_target(struct agent *agent, struct source_attempt *a)
{
	bool fenced = fences_cover(&agent->fences, a->order.target_node, a->order.attempt.epoch);

	if (!fenced || a->target_fenced)
		return false;
	a->target_fenced = true;
	return true;
}

static bool take_self(struct agent *agent, struct source_attempt *a)
{
	bool fenced = fences_cover(&agent->fences, agent->settings->node, a->order.attempt.epoch);

	if (!fenced || a->fenced)
		return false;
	a->fenced = true;
	return true;
}

struct cut_errand {
	struct source_errand base;
	struct tunnel tunnel;
	struct error error;
};

static void cut_work(struct errand *e)
{
	struct cut_errand *c = (struct cut_errand *)e;

	(void)c->base.attempt->agent->tunnels->stop(&c->tunnel, 2000, &c->error);
}

static void cut_done(struct errand *e)
{
	struct cut_errand *c = (struct cut_errand *)e;

	(void)source_home(&c->base, SOURCE_MOVING);
	if (c->error.code != ERROR_NONE)
		log_warning("%s: the tunnel to a dead host: %s", c->base.attempt->order.vm_name,
		            c->error.text);
	free(c);
}

/* libvirt waits for an answer of the dead host, and no abort of its job ends that; the loss of its
 * connection does. What is left of the tunnel is cleaned up at the end, as always. */
static void cut_tunnel(struct source_attempt *a)
{
	struct cut_errand *c;

	if (!a->tunnel_made)
		return;
	c = xnew(struct cut_errand);
	c->base.errand.work = cut_work;
	c->base.errand.done = cut_done;
	c->tunnel = a->tunnel;
	source_send(a, &c->base, a->agent->couriers);
}

static void stop(struct source_attempt *a, const char *dead)
{
	struct error why;

	error_set(&why, ERROR_STALE, "%s was declared dead while the move was under way", dead);
	if (a->stage < SOURCE_MOVING) {
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
	} else if (a->stage == SOURCE_MOVING) {
		a->abort_wanted = true;
		a->reason = why;
		if (a->target_fenced)
			cut_tunnel(a);
	} else if (a->stage == SOURCE_RESOLVING) {
		source_resolve_look(a);
	}
}

void source_take_fences(struct agent *agent)
{
	for (struct source_attempt *a = agent->attempts, *next; a; a = next) {
		next = a->next;
		if (a->stage == SOURCE_ENDED)
			continue;
		if (take_self(agent, a))
			stop(a, agent->settings->node);
		if (take_target(agent, a) && !a->fenced)
			stop(a, a->order.target_node);
	}
}
