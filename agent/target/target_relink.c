/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's part in resuming a broken post-copy: what is dead is cut, and a new tunnel stands.
 *
 *	Relink --> is the guest here in post-copy? --> its data connections are cut: QEMU 7.2 does not
 *	           notice by itself that nothing comes any more, and libvirt waits for it (measured)
 *	       --> the old tunnel is stopped, its successor's address is the answer
 *
 * Nothing of the guest is touched: both halves stay. Only the source of the attempt may ask, and it asks
 * when its own half is seen broken, or has been silent for half a minute. Owner thread, but for the work. */
#include "agent/target/target.h"

#include "agent/failpoints.h"
#include "agent/garbage/leftovers.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct relink {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	struct attempt_name name;
	char uuid[VM_UUID_BYTES];
	char source_node[128];
	char directory[VM_PATH_BYTES];
	uint16_t port;
	bool had_tunnel, old_stopped;
	struct tunnel old, tunnel;
	char tunnel_address[TARGET_TUNNEL_ADDRESS_BYTES];
	unsigned cut;
	int rc;
	struct error error;
};

static int check_guest(struct relink *r)
{
	struct hypervisor *h = r->agent->hypervisor;
	struct vm_summary vm;
	int rc = h->ops->find(h, r->uuid, &vm, &r->error);

	if (rc < 0)
		return rc;
	if (vm.postcopy == VM_POSTCOPY_NONE)
		return error_set(&r->error, ERROR_REFUSED,
		                 "guest %.64s is %s (%s) on %s, and not in post-copy", vm.name,
		                 vm_run_state_name(vm.state), vm.reason, r->agent->settings->node);
	return 0;
}

static void relink_work(struct errand *e)
{
	struct relink *r = (struct relink *)e;
	const struct tunnel_ops *tunnels = r->agent->tunnels;

	r->rc = check_guest(r);
	if (r->rc == 0)
		r->rc = FAILPOINT_ERROR(target_before_cut, &r->error);
	if (r->rc == 0)
		r->rc = tunnels->cut(r->agent->settings->migration_address, r->port, &r->cut,
		                     &r->error);
	FAILPOINT(target_after_cut);
	/* The agent before us may have made one that it could not write down. */
	if (r->rc == 0)
		r->rc = leftovers_stop_tunnel(tunnels, r->directory, &r->error);
	if (r->rc == 0 && r->had_tunnel) {
		r->rc = tunnels->stop(&r->old, 2000, &r->error);
		r->old_stopped = r->rc == 0;
	}
	if (r->rc == 0)
		r->rc = FAILPOINT_ERROR(target_before_relink_tunnel, &r->error);
	if (r->rc == 0)
		r->rc = target_tunnel_spawn(r->agent, &r->name, r->source_node, r->directory,
		                            &r->tunnel, r->tunnel_address, &r->error);
	FAILPOINT(target_after_relink_tunnel);
}

static void answer(struct relink *r)
{
	Drover__V1__RelinkReply reply = DROVER__V1__RELINK_REPLY__INIT;

	if (!r->in)
		return;
	if (r->rc < 0) {
		mesh_fail_error(r->in, &r->error);
		return;
	}
	reply.tunnel_address = r->tunnel_address;
	reply.migration_address = (char *)r->agent->settings->migration_address;
	reply.memory_port = r->port;
	mesh_reply(r->in, &reply.base);
}

static void relinked(struct errand *e)
{
	struct relink *r = (struct relink *)e;
	struct agent *agent = r->agent;
	/* It may have been released meanwhile; what was made is taken along then. */
	struct inbound *inbound = inbound_get(agent, &r->name);

	inbound->relinking = false;
	if (r->old_stopped) {
		inbound_journal_tunnel(agent, inbound, JOURNAL_WRITE_REMOVED);
		inbound->tunnel_made = false;
	}
	if (r->rc == 0) {
		inbound->tunnel = r->tunnel;
		inbound->tunnel_made = true;
		memcpy(inbound->tunnel_address, r->tunnel_address, sizeof(inbound->tunnel_address));
		inbound_journal_tunnel(agent, inbound, JOURNAL_WRITE_MADE);
		log_info("the post-copy of %s from %s is about to be resumed: %u dead connections "
		         "cut",
		         r->uuid, r->source_node, r->cut);
	}
	if (!reservations_find(agent->reservations, &r->name)) {
		if (r->rc == 0)
			r->rc = error_set(&r->error, ERROR_STALE, "the attempt has ended on %s",
			                  agent->settings->node);
		inbound_end(agent, &r->name);
	}
	FAILPOINT(target_before_relink_reply);
	answer(r);
	free(r);
}

static void unwanted(void *context)
{
	((struct relink *)context)->in = NULL;
}

void target_relink(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__AttemptRequest *request)
{
	const struct reservation *held;
	struct inbound *inbound;
	struct attempt_name name;
	struct relink *r;
	struct error err;

	if (target_check_source(agent, in, request->attempt, request->source_node, &name, &err) <
	    0) {
		mesh_fail_error(in, &err);
		return;
	}
	held = reservations_find(agent->reservations, &name);
	if (!held || strcmp(held->vm_uuid, request->vm_uuid) != 0) {
		error_set(&err, ERROR_REFUSED,
		          "%s holds no reservation of this attempt: nothing was done",
		          agent->settings->node);
		mesh_fail_error(in, &err);
		return;
	}
	inbound = inbound_get(agent, &name);
	if (inbound->relinking) {
		error_set(&err, ERROR_BUSY, "another tunnel of %s is being made", held->vm_name);
		mesh_fail_error(in, &err);
		return;
	}
	inbound->relinking = true;
	r = xnew(struct relink);
	r->errand.work = relink_work;
	r->errand.done = relinked;
	r->agent = agent;
	r->in = in;
	r->name = name;
	memcpy(r->uuid, held->vm_uuid, sizeof(r->uuid));
	memcpy(r->source_node, held->source_node, sizeof(r->source_node));
	memcpy(r->directory, inbound->directory, sizeof(r->directory));
	r->port = held->port;
	r->had_tunnel = inbound->tunnel_made;
	r->old = inbound->tunnel;
	mesh_incoming_on_cancel(in, unwanted, r);
	courier_send(agent->couriers, &r->errand);
}
