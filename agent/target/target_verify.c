/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that has arrived, looked at for the agent of its source: kernel/verification.h compares it with
 * what had left.
 *
 *	Verify --> courier: describe, devices, networks, the guest's clock --> judge --> reply
 *
 * The guest runs already, and its source waits with nothing but the end of its bookkeeping. A look: no
 * state of ours changes by it, and asking again is harmless. Owner thread, but for the looking. */
#include "agent/target/target.h"

#include "agent/failpoints.h"
#include "agent/kernel/verification.h"
#include "agent/wire.h"
#include "common/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verify {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	char uuid[VM_UUID_BYTES], source_node[128], node[128];
	bool paused, persistent, autostart;
	struct vm_description left;

	struct vm_description found;
	struct vm_devices devices;
	struct network_finding networks[VM_INTERFACES_MAX];
	struct verification result;
	struct error error; /* it could not be looked at */
};

static void verify_free(struct verify *v)
{
	vm_description_deinit(&v->left);
	vm_description_deinit(&v->found);
	free(v);
}

static void unwanted(void *context)
{
	((struct verify *)context)->in = NULL;
}

static void look_at_networks(struct verify *v, struct hypervisor *h)
{
	for (size_t i = 0; i < v->found.n_interfaces; i++) {
		const struct vm_interface *nic = &v->found.interfaces[i];
		struct network_finding *finding = &v->networks[i];
		struct error err;

		finding->needed = admission_interface_needs_network(nic);
		if (!finding->needed)
			continue;
		if (h->ops->find_network(h, nic, &finding->facts, &err) < 0)
			snprintf(finding->why, sizeof(finding->why), "%.150s", err.text);
		else
			finding->measured = true;
	}
}

static void verify_work(struct errand *e)
{
	struct verify *v = (struct verify *)e;
	struct hypervisor *h = v->agent->hypervisor;
	struct error devices_err = { 0 };
	struct verification_input in = {
		.source_node = v->source_node,
		.node = v->node,
		.left = &v->left,
		.paused = v->paused,
		.persistent = v->persistent,
		.autostart = v->autostart,
		.networks = v->networks,
	};
	int rc;

	FAILPOINT(target_before_verify);
	rc = h->ops->describe(h, v->uuid, &v->found, &v->error);
	if (rc < 0 && rc != -ERROR_NOT_FOUND)
		return;
	error_clear(&v->error);
	if (rc == 0 && v->found.summary.active) {
		in.found = &v->found;
		look_at_networks(v, h);
		if (h->ops->devices(h, &v->found, true, &v->devices, &devices_err) < 0)
			in.devices_why = devices_err.text;
		else
			in.devices = &v->devices;
	}
	verification_judge(&in, &v->result);
}

static void verified(struct errand *e)
{
	struct verify *v = (struct verify *)e;
	Drover__V1__VerifyReply reply = DROVER__V1__VERIFY_REPLY__INIT;
	const struct check_list *checks = &v->result.checks;

	if (v->in && v->error.code != ERROR_NONE) {
		mesh_fail_error(v->in, &v->error);
	} else if (v->in) {
		reply.checks = wire_checks_new(checks->items, checks->count);
		reply.n_checks = checks->count;
		reply.not_verified = v->result.not_verified;
		mesh_reply(v->in, &reply.base);
		for (size_t i = 0; i < reply.n_checks; i++)
			wire_free(reply.checks[i]);
		free(reply.checks);
	}
	verify_free(v);
}

/* As the source has it; one that was restarted has forgotten, and we may not have. */
static int read_left(struct verify *v, const struct inbound *inbound,
                     const Drover__V1__VmDescription *vm, struct error *err)
{
	if (vm)
		return wire_description_read(vm, &v->left, err);
	if (!inbound || !inbound->admitted)
		return error_set(err, ERROR_NOT_FOUND,
		                 "the agents of both hosts were restarted during the move: what "
		                 "the guest was before it is not known any more");
	v->left = *inbound->admitted;
	return 0;
}

void target_verify(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__VerifyRequest *request)
{
	const struct reservation *r;
	struct attempt_name name;
	struct verify *v;
	struct error err;

	if (target_check_source(agent, in, request->attempt, request->source_node, &name, &err) <
	    0) {
		mesh_fail_error(in, &err);
		return;
	}
	r = reservations_find(agent->reservations, &name);
	if (!r || strcmp(r->vm_uuid, request->vm_uuid) != 0) {
		error_set(&err, ERROR_REFUSED, "guest %.64s did not come to %s with this attempt",
		          request->vm_uuid, agent->settings->node);
		mesh_fail_error(in, &err);
		return;
	}
	v = xnew(struct verify);
	if (read_left(v, inbound_find(agent, &name), request->vm, &err) < 0) {
		mesh_fail_error(in, &err);
		verify_free(v);
		return;
	}
	v->agent = agent;
	v->in = in;
	memcpy(v->uuid, r->vm_uuid, sizeof(v->uuid));
	snprintf(v->source_node, sizeof(v->source_node), "%s", r->source_node);
	snprintf(v->node, sizeof(v->node), "%s", agent->settings->node);
	v->paused = request->paused;
	v->persistent = request->persistent;
	v->autostart = request->autostart;
	v->errand.work = verify_work;
	v->errand.done = verified;
	mesh_incoming_on_cancel(in, unwanted, v);
	courier_send(agent->couriers, &v->errand);
}
