/* SPDX-License-Identifier: Apache-2.0 */
/* The acts by which an outcome is settled: on the guest here through libvirt, on its copy at the
 * destination through the agent there. Each is one step that source_resolve.c has judged to be safe;
 * whatever comes of it, both hosts are looked at again. Owner thread, but for libvirt's calls. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

struct act_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	enum source_act act;
	char uuid[VM_UUID_BYTES];
	int rc;
	struct error error;
};

static void act_work(struct errand *e)
{
	struct act_errand *w = (struct act_errand *)e;
	const struct hypervisor_ops *ops = w->hypervisor->ops;

	switch (w->act) {
	case ACT_RESUME:
		w->rc = FAILPOINT_ERROR(source_before_resume, &w->error);
		if (w->rc == 0)
			w->rc = ops->resume(w->hypervisor, w->uuid, &w->error);
		FAILPOINT(source_after_resume);
		break;
	case ACT_SUSPEND:
		w->rc = FAILPOINT_ERROR(source_before_suspend, &w->error);
		if (w->rc == 0)
			w->rc = ops->suspend(w->hypervisor, w->uuid, &w->error);
		FAILPOINT(source_after_suspend);
		break;
	case ACT_DESTROY:
		w->rc = FAILPOINT_ERROR(source_before_destroy, &w->error);
		if (w->rc == 0)
			w->rc = ops->destroy(w->hypervisor, w->uuid, &w->error);
		FAILPOINT(source_after_destroy);
		break;
	case ACT_UNDEFINE:
		w->rc = FAILPOINT_ERROR(source_before_undefine, &w->error);
		if (w->rc == 0)
			w->rc = ops->undefine(w->hypervisor, w->uuid, &w->error);
		FAILPOINT(source_after_undefine);
		break;
	case ACT_AUTOSTART:
		w->rc = FAILPOINT_ERROR(source_before_autostart_on, &w->error);
		if (w->rc == 0)
			w->rc = ops->set_autostart(w->hypervisor, w->uuid, true, &w->error);
		FAILPOINT(source_after_autostart_on);
		break;
	}
}

static void acted(struct errand *e)
{
	struct act_errand *w = (struct act_errand *)e;
	struct source_attempt *a = w->base.attempt;

	if (source_home(&w->base, SOURCE_RESOLVING)) {
		if (w->rc < 0)
			log_error("%s: act %d on the source: %s", a->order.vm_name, (int)w->act,
			          w->error.text);
		source_look_again(a, w->rc < 0 ? SOURCE_LOOK_SLOW_MS : 0);
	}
	free(w);
}

void source_act(struct source_attempt *a, enum source_act what)
{
	struct act_errand *w = xnew(struct act_errand);

	w->base.errand.work = act_work;
	w->base.errand.done = acted;
	w->hypervisor = a->agent->hypervisor;
	w->act = what;
	memcpy(w->uuid, a->order.vm_uuid, sizeof(w->uuid));
	source_send(a, &w->base, a->agent->couriers);
}

struct finishing {
	struct source_attempt *attempt;
	bool commit;
};

static void target_finished(const struct mesh_result *result, const Drover__V1__InspectReply *r,
                            void *context)
{
	struct finishing *f = context;
	struct source_attempt *a = f->attempt;
	bool commit = f->commit;

	if (commit)
		FAILPOINT(source_after_commit);
	else
		FAILPOINT(source_after_abort);
	free(f);
	a->errands--;
	if (a->stage != SOURCE_RESOLVING)
		return;
	if (result->status != MESH_OK) {
		log_warning("%s: %s on %s: %s", a->order.vm_name, commit ? "commit" : "abort",
		            a->order.target_node, result->error.text);
		source_look_again(a, SOURCE_LOOK_SLOW_MS);
		return;
	}
	if (commit && a->order.paused && r->presence == DROVER__V1__INSPECT_REPLY__PRESENCE__PAUSED)
		a->finish_sent = true;
	if (commit && r->presence == DROVER__V1__INSPECT_REPLY__PRESENCE__RUNNING_HERE) {
		a->finish_sent = true;
		/* The pause of a two-step commit ends here; libvirt counted only its own part. */
		if (a->guard == GUARD_TWO_STEP && a->switched_ms)
			a->downtime_ms = clock_now_ms() - a->switched_ms;
	}
	source_look_again(a, 0);
}

static void finish_target(struct mesh_connection *c, const struct error *err, void *context)
{
	struct finishing *f = context;
	struct source_attempt *a = f->attempt;
	Drover__V1__FinishTargetRequest request = DROVER__V1__FINISH_TARGET_REQUEST__INIT;

	if (!c) {
		log_warning("%s: %s", a->order.vm_name, err->text);
		a->errands--;
		free(f);
		if (a->stage == SOURCE_RESOLVING)
			source_look_again(a, SOURCE_LOOK_SLOW_MS);
		return;
	}
	request.attempt = wire_attempt_new(&a->order.attempt);
	request.vm_uuid = a->order.vm_uuid;
	request.source_node = a->agent->settings->node;
	request.commit = f->commit;
	request.autostart = a->order.autostart;
	request.keep_paused = a->order.paused;
	if (f->commit)
		FAILPOINT(source_before_commit);
	else
		FAILPOINT(source_before_abort);
	agent_call_finish_target(c, &request, 10000, target_finished, f);
	wire_free(request.attempt);
}

void source_order_target(struct source_attempt *a, bool commit)
{
	struct finishing *f = xnew(struct finishing);

	f->attempt = a;
	f->commit = commit;
	a->errands++;
	peers_with_connection(a->agent, a->order.target_node, a->order.target_address, 3000,
	                      finish_target, f);
}
