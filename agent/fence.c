/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's word that a host is dead, carried by the coordinator to every agent.
 *
 *	SetFence --> journal --> source_fence.c   attempts to that host: it has nothing of them any more
 *	                    |                     this host itself: its old attempts act no more
 *	                    '--> target_fence.c   guests from that host: settled by what is here
 *
 * Until now only the source of an attempt could speak for it (invariant I12). A dead source cannot, and
 * its leases would stay for ever; the fence speaks in its place, and only for attempts ordered before
 * it. The evidence of this host is looked at all the same. Owner thread. */
#include "agent/fence.h"

#include "common/alloc.h"
#include "common/epoch.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fencing {
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	struct fence fence;
};

static void fencing_unwanted(void *context)
{
	((struct fencing *)context)->in = NULL;
}

static void reply(const struct fencing *f)
{
	Drover__V1__SetFenceReply r = DROVER__V1__SET_FENCE_REPLY__INIT;

	if (!f->in)
		return;
	r.guests = target_list_fenced(f->agent, f->fence.node, &r.n_guests);
	mesh_reply(f->in, &r.base);
	for (size_t i = 0; i < r.n_guests; i++)
		protobuf_c_message_free_unpacked(&r.guests[i]->base, NULL);
	free(r.guests);
}

static void obey(struct agent *agent)
{
	source_take_fences(agent);
	target_settle_fenced(agent);
}

static void fence_in_journal(int rc, const struct error *err, void *context)
{
	struct fencing *f = context;
	struct agent *agent = f->agent;

	if (rc < 0) {
		if (f->in)
			mesh_fail_error(f->in, err);
	} else {
		if (fences_raise(&agent->fences, &f->fence))
			log_warning("%s was declared dead: what it began up to epoch %llu is over",
			            f->fence.node, (unsigned long long)f->fence.epoch);
		obey(agent);
		watchers_host(agent);
		reply(f);
	}
	free(f);
}

static int read_fence(const Drover__V1__SetFenceRequest *request, struct fence *ret,
                      struct error *err)
{
	const Drover__V1__FenceMark *m = request->fence;

	if (!m || !m->node[0] || strlen(m->node) >= sizeof(ret->node))
		return error_set(err, ERROR_INVALID, "the fenced node is missing or too long");
	if (m->epoch == 0 || m->epoch > EPOCH_MAX)
		return error_set(err, ERROR_INVALID, "a fence in epoch %llu",
		                 (unsigned long long)m->epoch);
	/* One that covered the present epoch would end what is ordered from now on. */
	if (m->epoch >= request->epoch)
		return error_set(
			err, ERROR_INVALID,
			"a fence up to epoch %llu is told in epoch %llu, which must be later",
			(unsigned long long)m->epoch, (unsigned long long)request->epoch);
	*ret = (struct fence){ .epoch = m->epoch };
	snprintf(ret->node, sizeof(ret->node), "%s", m->node);
	return 0;
}

void fence_set(struct agent *agent, struct mesh_incoming *in,
               const Drover__V1__SetFenceRequest *request)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_FENCE };
	struct fencing *f = xnew(struct fencing);
	struct error err;

	f->agent = agent;
	f->in = in;
	if (read_fence(request, &f->fence, &err) < 0 ||
	    agent_see_epoch(agent, request->epoch, &err) < 0) {
		mesh_fail_error(in, &err);
		free(f);
		return;
	}
	if (fences_cover(&agent->fences, f->fence.node, f->fence.epoch)) {
		/* Told again, to hear how far it is. */
		obey(agent);
		reply(f);
		free(f);
		return;
	}
	w.fence = f->fence;
	mesh_incoming_on_cancel(in, fencing_unwanted, f);
	journal_keeper_write(agent->journal, &w, fence_in_journal, f);
}

void fence_stop(struct agent *agent)
{
	target_settlements_free(agent);
	fences_deinit(&agent->fences);
}
