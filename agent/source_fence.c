/* SPDX-License-Identifier: Apache-2.0 */
/* Own attempts and hosts declared dead.
 *
 * To a dead host: it has nothing any more, which is what the judgement needed to know; a copy that
 * still tries to reach it is given up. Of this host itself (it was declared dead, and is back): an
 * operator and the other hosts have settled without it what it had begun, so none of its attempts up
 * to then acts any more, whatever it would find. Owner thread. */
#include "agent/fence.h"

#include "agent/source.h"

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

static void stop(struct source_attempt *a, const char *dead)
{
	struct error why;

	error_set(&why, ERROR_STALE, "%s was declared dead while the move was under way", dead);
	if (a->stage < SOURCE_MOVING) {
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
	} else if (a->stage == SOURCE_MOVING) {
		a->abort_wanted = true;
		a->reason = why;
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
