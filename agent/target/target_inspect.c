/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a move, at its destination: what a source asks about its guest here, and the two acts that
 * it may order, commit and abort. See target.h.
 *
 *	Inspect        look ------------------------> reply: evidence
 *	FinishTarget   look --> resume or destroy --> look --> reply: evidence
 *
 * An order acts only on what came in with its own attempt. Nothing is destroyed without may_destroy()
 * on a view that was taken a moment before. Owner thread, but for libvirt's calls. */
#include "agent/target/target.h"

#include "agent/failpoints.h"
#include "agent/kernel/resolve.h"
#include "agent/target/target_images.h"
#include "common/alloc.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum inspect_order { INSPECT_ONLY, INSPECT_COMMIT, INSPECT_ABORT };

struct inspect {
	struct errand errand;
	struct agent *agent;
	struct mesh_incoming *in; /* NULL: nobody waits any more */
	enum inspect_order order;
	bool autostart, keep_paused;
	bool ours, has_run;
	enum guard guard;
	struct attempt_name name;
	char uuid[VM_UUID_BYTES];
	int find_rc;
	struct vm_summary vm;
	struct vm_job last;
	int last_rc;
	struct error error;   /* of an act */
	struct inspect *next; /* in agent->acting */
};

bool target_is_acting_on(const struct agent *agent, const char *vm_uuid)
{
	for (const struct inspect *i = agent->acting; i; i = i->next) {
		if (strcmp(i->uuid, vm_uuid) == 0)
			return true;
	}
	return false;
}

static void inspect_unwanted(void *context)
{
	((struct inspect *)context)->in = NULL;
}

static void look(struct inspect *i)
{
	struct hypervisor *h = i->agent->hypervisor;
	struct error ignored; /* the code says all: not found, or cannot be asked */

	i->find_rc = h->ops->find(h, i->uuid, &i->vm, &ignored);
	i->last_rc = i->find_rc == 0 && i->vm.active
	                     ? h->ops->last_job(h, i->uuid, &i->last, &ignored)
	                     : -ERROR_NOT_FOUND;
}

static enum target_view view(const struct inspect *i)
{
	return target_view_from(i->find_rc == 0 || i->find_rc == -ERROR_NOT_FOUND, i->find_rc == 0,
	                        &i->vm);
}

static void commit(struct inspect *i)
{
	struct hypervisor *h = i->agent->hypervisor;

	if (view(i) == TARGET_PAUSED && !i->keep_paused) {
		if (FAILPOINT_ERROR(target_before_resume, &i->error) < 0 ||
		    h->ops->resume(h, i->uuid, &i->error) < 0)
			return;
		FAILPOINT(target_after_resume);
	}
	if (i->autostart && i->vm.persistent) {
		if (FAILPOINT_ERROR(target_before_autostart, &i->error) < 0 ||
		    h->ops->set_autostart(h, i->uuid, true, &i->error) < 0)
			/* The guest runs; that it would not start by itself after a reboot is said. */
			error_context(&i->error, "autostart of %s", i->vm.name);
		FAILPOINT(target_after_autostart);
	}
}

static void abort_here(struct inspect *i)
{
	struct hypervisor *h = i->agent->hypervisor;
	/* Only the source's own agent may order this, and only after it saw its guest running; that
	 * view is the order's. Ours is taken here, a moment before the act. */
	struct resolve_input in = {
		.source = SOURCE_RUNNING,
		.target = view(i),
		.job = JOB_NONE,
		.guard = i->guard,
		.target_is_ours = i->ours,
		.target_has_run = i->has_run,
	};

	if (in.target == TARGET_ABSENT)
		return;
	if (!may_destroy(DESTROY_TARGET_SIDE, &in, false)) {
		error_set(&i->error, ERROR_REFUSED,
		          "guest %s is %s here and must not be destroyed by an abort", i->vm.name,
		          vm_run_state_name(i->vm.state));
		return;
	}
	if (FAILPOINT_ERROR(target_before_destroy, &i->error) == 0)
		(void)h->ops->destroy(h, i->uuid, &i->error);
	FAILPOINT(target_after_destroy);
}

static void inspect_work(struct errand *e)
{
	struct inspect *i = (struct inspect *)e;

	look(i);
	if (i->order == INSPECT_ONLY || i->error.code != ERROR_NONE)
		return;
	if (i->order == INSPECT_COMMIT)
		commit(i);
	else
		abort_here(i);
	look(i);
}

static void inspected(struct errand *e)
{
	struct inspect *i = (struct inspect *)e;
	Drover__V1__InspectReply r = DROVER__V1__INSPECT_REPLY__INIT;
	static const Drover__V1__InspectReply__Presence presences[] = {
		[TARGET_UNREACHABLE] = DROVER__V1__INSPECT_REPLY__PRESENCE__UNKNOWN,
		[TARGET_ABSENT] = DROVER__V1__INSPECT_REPLY__PRESENCE__ABSENT,
		[TARGET_SHUTOFF] = DROVER__V1__INSPECT_REPLY__PRESENCE__SHUTOFF,
		[TARGET_INCOMING] = DROVER__V1__INSPECT_REPLY__PRESENCE__INCOMING,
		[TARGET_PAUSED] = DROVER__V1__INSPECT_REPLY__PRESENCE__PAUSED,
		[TARGET_RUNNING] = DROVER__V1__INSPECT_REPLY__PRESENCE__RUNNING_HERE,
		[TARGET_RECEIVING] = DROVER__V1__INSPECT_REPLY__PRESENCE__RECEIVING,
		[TARGET_BROKEN] = DROVER__V1__INSPECT_REPLY__PRESENCE__BROKEN,
	};

	if (i->order == INSPECT_ONLY)
		FAILPOINT(target_before_inspect_reply);
	else
		FAILPOINT(target_before_finish_reply);
	if (i->error.code != ERROR_NONE)
		log_warning("%s of %s: %s", i->order == INSPECT_COMMIT ? "commit" : "abort",
		            i->uuid, i->error.text);
	if (i->order != INSPECT_ONLY) {
		struct inspect **at = &i->agent->acting;

		while (*at != i)
			at = &(*at)->next;
		*at = i->next;
		inventory_refresh(&i->agent->inventory);
	}
	/* A guest that runs was committed, whatever a later step said; see the log for that. */
	if (i->in && i->error.code != ERROR_NONE && view(i) != TARGET_RUNNING) {
		mesh_fail_error(i->in, &i->error);
	} else if (i->in) {
		r.presence = presences[view(i)];
		r.state = (char *)(i->find_rc == 0 ? vm_run_state_name(i->vm.state) : "");
		r.reason = (char *)(i->find_rc == 0 ? i->vm.reason : "");
		r.lease_held = reservations_find(i->agent->reservations, &i->name) != NULL;
		r.matches_attempt = i->ours;
		r.has_run = i->has_run || (i->ours && view(i) == TARGET_RUNNING);
		if (i->last_rc == 0 && i->last.completed) {
			r.downtime_ms = i->last.downtime_ms;
			r.transferred_bytes = i->last.memory_processed_bytes +
			                      i->last.disk_processed_bytes;
		}
		mesh_reply(i->in, &r.base);
	}
	free(i);
}

/* Its source is gone, so what lies here is all there is of its disks. */
static void images_kept(int rc, const struct error *err, void *context)
{
	struct inspect *i = context;

	FAILPOINT(target_after_images_kept);
	if (rc < 0) {
		i->error = *err;
		error_context(&i->error, "guest %s is not resumed before its images are its own",
		              i->uuid);
	}
	courier_send(i->agent->couriers, &i->errand);
}

static void inspect(struct agent *agent, struct mesh_incoming *in, const struct attempt_name *name,
                    const char *vm_uuid, enum inspect_order order,
                    const Drover__V1__FinishTargetRequest *finish)
{
	const struct reservation *r = reservations_find(agent->reservations, name);
	const struct inbound *inbound = inbound_find(agent, name);
	struct inspect *i;
	struct error err;

	if (order != INSPECT_ONLY && (!r || strcmp(r->vm_uuid, vm_uuid) != 0)) {
		error_set(&err, ERROR_REFUSED,
		          "guest %s did not come to %s with this attempt; nothing was done",
		          vm_uuid, agent->settings->node);
		mesh_fail_error(in, &err);
		return;
	}
	i = xnew(struct inspect);
	i->errand.work = inspect_work;
	i->errand.done = inspected;
	i->agent = agent;
	i->in = in;
	i->order = order;
	i->autostart = finish && finish->autostart;
	i->keep_paused = finish && finish->keep_paused;
	i->name = *name;
	i->ours = r && strcmp(r->vm_uuid, vm_uuid) == 0;
	i->has_run = i->ours && r->has_run;
	i->guard = inbound ? inbound->guard : GUARD_NONE;
	snprintf(i->uuid, sizeof(i->uuid), "%s", vm_uuid);
	if (order != INSPECT_ONLY) {
		i->next = agent->acting;
		agent->acting = i;
	}
	mesh_incoming_on_cancel(in, inspect_unwanted, i);
	if (order == INSPECT_COMMIT && !target_images_are_kept(agent, name))
		target_images_keep(agent, name, images_kept, i);
	else
		courier_send(agent->couriers, &i->errand);
}

void target_inspect(struct agent *agent, struct mesh_incoming *in,
                    const Drover__V1__AttemptRequest *request)
{
	struct attempt_name name;
	struct error err;

	if (target_check_source(agent, in, request->attempt, request->source_node, &name, &err) < 0)
		mesh_fail_error(in, &err);
	else
		inspect(agent, in, &name, request->vm_uuid, INSPECT_ONLY, NULL);
}

void target_finish(struct agent *agent, struct mesh_incoming *in,
                   const Drover__V1__FinishTargetRequest *request)
{
	struct attempt_name name;
	struct error err;

	if (target_check_source(agent, in, request->attempt, request->source_node, &name, &err) < 0)
		mesh_fail_error(in, &err);
	else
		inspect(agent, in, &name, request->vm_uuid,
		        request->commit ? INSPECT_COMMIT : INSPECT_ABORT, request);
}
