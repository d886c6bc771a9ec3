/* SPDX-License-Identifier: Apache-2.0 */
/* A source gives its reservation back: ended here at once, confirmed when that is durable.
 *
 *	ReleaseLease --> ended in memory --> journal --> "given back"
 *	                                        '--> it is full: an error, and the source asks again
 *
 * If it were confirmed before, an agent that died with a full disk would find the reservation again,
 * of a guest that lives here by now: counted with the guests and so never expired, renewed by nobody,
 * with its port. Owner thread only. */
#include "agent/target/target.h"

#include "agent/failpoints.h"
#include "common/alloc.h"

#include <stdlib.h>

struct releasing {
	struct mesh_incoming *in; /* NULL: nobody waits any more */
};

static void unwanted(void *context)
{
	((struct releasing *)context)->in = NULL;
}

static void released(int rc, const struct error *err, void *context)
{
	struct releasing *r = context;
	Drover__V1__LeaseReply reply = DROVER__V1__LEASE_REPLY__INIT;

	if (r->in && rc < 0)
		mesh_fail_error(r->in, err);
	else if (r->in)
		mesh_reply(r->in, &reply.base);
	free(r);
}

void target_release(struct agent *agent, struct mesh_incoming *in,
                    const Drover__V1__AttemptRequest *request)
{
	struct attempt_name name;
	struct releasing *r;
	struct error err;

	if (target_check_source(agent, in, request->attempt, request->source_node, &name, &err) <
	    0) {
		mesh_fail_error(in, &err);
		return;
	}
	FAILPOINT(target_before_release);
	r = xnew(struct releasing);
	r->in = in;
	mesh_incoming_on_cancel(in, unwanted, r);
	inbound_end_then(agent, &name, released, r);
}
