/* SPDX-License-Identifier: Apache-2.0 */
/* The move itself: libvirt's call on a thread of its own, and the watch over it from here.
 *
 *	mover thread   virDomainMigrateToURI3 ............................ returns (no proof of anything)
 *	owner          job? job? job? -> convergence -> report, or abort     -> source_resolve
 *	               lease renewed, tunnel heard
 *
 * An adopted move has no thread: the call died with the agent before, libvirt goes on (peer-to-peer),
 * and its end is seen by the job that is no more. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 500
/* A tunnel silent for this long before the switchover is a dead control path (design section 5). */
#define CONTROL_SILENT_MS 15000
/* libvirt shows a job before the call does anything; one that does not appear in this time after the
 * agent was restarted is not coming. */
#define ADOPTED_NO_JOB_MS 2000
/* Rates are averages, and what QEMU counts as left is not exact. */
#define SWITCHOVER_MOST 2

struct move_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	struct migrate_request request;
	char uuid[VM_UUID_BYTES];
	char control_socket[VM_PATH_BYTES];
	char migrate_uri[160], disks_uri[160];
	char copied[VM_DISKS_MAX][sizeof(((struct vm_disk *)0)->target)];
	const char *copied_pointers[VM_DISKS_MAX];
	char listen_address[64];
	bool autostart; /* the guest starts with its host */
	int rc;
	struct error error;
};

/* A host that dies between the switchover and its own clean-up, and starts anew, would start a
 * second copy. The destination switches it on when the guest is there; if the guest stays, the
 * journaled order says that it was on (source_resolve.c). */
static int switch_autostart_off(struct move_errand *m)
{
	int rc;

	if (!m->autostart)
		return 0;
	rc = FAILPOINT_ERROR(source_before_autostart_off, &m->error);
	if (rc == 0)
		rc = m->hypervisor->ops->set_autostart(m->hypervisor, m->uuid, false, &m->error);
	FAILPOINT(source_after_autostart_off);
	return rc;
}

static void move_work(struct errand *e)
{
	struct move_errand *m = (struct move_errand *)e;

	m->rc = switch_autostart_off(m);
	if (m->rc == 0)
		m->rc = FAILPOINT_ERROR(source_before_migrate, &m->error);
	if (m->rc == 0)
		m->rc = m->hypervisor->ops->migrate(m->hypervisor, &m->request, &m->error);
	FAILPOINT(source_after_migrate);
}

static void moved(struct errand *e)
{
	struct move_errand *m = (struct move_errand *)e;
	struct source_attempt *a = m->base.attempt;

	if (source_home(&m->base, SOURCE_MOVING)) {
		a->call_returned = true;
		if (a->resuming)
			source_recover_returned(a, m->rc < 0 ? &m->error : NULL);
		if (m->rc < 0)
			a->call_error = m->error;
		log_debug("%s: libvirt's call returned: %s", a->order.vm_name,
		          m->rc < 0 ? m->error.text : "success");
		source_resolve_start(a);
	}
	free(m);
}

/* --- watching --- */

struct watch_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	struct tunnel tunnel;
	char uuid[VM_UUID_BYTES];
	bool abort;
	uint64_t asked_ms;
	int job_rc, find_rc, abort_rc, tunnel_rc;
	struct vm_job job;
	struct vm_summary vm;
	struct tunnel_status status;
	struct error abort_error;
};

static void watch_work(struct errand *e)
{
	struct watch_errand *w = (struct watch_errand *)e;
	const struct hypervisor_ops *ops = w->hypervisor->ops;
	struct error ignored; /* what cannot be seen now is looked at again in half a second */

	w->job_rc = ops->job(w->hypervisor, w->uuid, &w->job, &ignored);
	w->find_rc = ops->find(w->hypervisor, w->uuid, &w->vm, &ignored);
	w->tunnel_rc = w->base.attempt->agent->tunnels->read_status(&w->tunnel, &w->status,
	                                                            &ignored);
	if (w->abort)
		w->abort_rc = ops->abort_job(w->hypervisor, w->uuid, &w->abort_error);
}

static void want_abort(struct source_attempt *a, const struct error *why)
{
	/* There is no way back from post-copy: the guest is there, and needs what is still here. */
	if (a->abort_wanted || a->order.post_copy)
		return;
	log_warning("%s -> %s: giving up: %s", a->order.vm_name, a->order.target_node, why->text);
	a->abort_wanted = true;
	a->reason = *why;
}

static void judge_job(struct source_attempt *a, const struct vm_job *job)
{
	enum convergence_verdict verdict;
	uint64_t now_ms = clock_now_ms();
	struct error why;
	bool overdue;

	FAILPOINT(source_in_migrate);
	a->job = *job;
	a->job_seen = true;
	a->no_job_since_ms = 0;
	verdict = convergence_step(&a->convergence, job, now_ms, &a->progress, &why);
	/* More time is what a measure can replace; a dead network is not. A ladder's next step is one
	 * against passes that get no smaller, and comes by itself. */
	overdue = verdict == CONVERGENCE_ABORT_TIMEOUT ||
	          (verdict == CONVERGENCE_ABORT_NO_PROGRESS && !ladder_has_step(&a->ladder));
	if (verdict == CONVERGENCE_ABORT_STALLED ? !a->switching
	                                         : !source_ladder_judge(a, job, overdue, &why))
		want_abort(a, &why);
}

/* Where its bytes go is counted once a second; whoever wants it stopped for that has said so. */
static void judge_path(struct source_attempt *a)
{
	struct error why;

	if (!path_proof_must_stop(&a->path, a->order.stop_off_network,
	                          a->switching || a->order.post_copy))
		return;
	error_set(&why, ERROR_REFUSED,
	          "it did not use the migration network, and limits/offMigrationNetwork is stop: "
	          "%s; look at ip route get %s on %s",
	          a->path.text, a->migration_address, a->agent->settings->node);
	want_abort(a, &why);
}

static void judge_control(struct source_attempt *a, const struct watch_errand *w)
{
	uint64_t now_ms = clock_now_ms();
	struct error why;

	/* From the switchover on a stalled control path is held: ending it then is what makes
	 * libvirt run a guest twice. */
	if (a->switching || w->tunnel_rc < 0 || w->status.last_heard_ms == 0)
		return;
	/* Of a guest that stands still already libvirt shows no switchover. */
	if (a->order.paused_by_us || a->order.post_copy)
		return;
	/* An adopted move may be over, and its tunnel with it. */
	if (a->adopted && !(w->job_rc == 0 && w->job.active))
		return;
	if (now_ms > w->status.last_heard_ms + CONTROL_SILENT_MS) {
		error_set(&why, ERROR_UNREACHABLE,
		          "nothing was heard from %s over the management network for %llu s",
		          a->order.target_node,
		          (unsigned long long)(now_ms - w->status.last_heard_ms) / 1000);
		want_abort(a, &why);
	}
}

/* libvirt calls every pause of a guest that is on its way a migration's, ours as well (measured): of a
 * guest that stands still already no switchover is seen, and it can be cancelled until its end. */
static void switchover_seen(struct source_attempt *a, uint64_t at_ms)
{
	if (a->switching || (a->order.paused_by_us && !a->order.post_copy))
		return;
	FAILPOINT(source_at_switchover);
	a->switching = true;
	a->switched_ms = at_ms;
	if (a->stage == SOURCE_MOVING)
		a->state = DROVER__V1__MIGRATION_STATE__SWITCHING;
}

/* A guest that a person or a disk error paused stays paused at its destination; the next agent has to
 * know as well. */
static void note_paused(struct source_attempt *a, bool paused)
{
	if (a->order.paused == paused)
		return;
	a->order.paused = paused;
	source_journal_order(a);
}

/* libvirt gives a person's pause in mid-copy the same name as a switchover's. QEMU begins none while
 * much more is left than what the allowed downtime carries. */
static bool is_mid_copy(const struct source_attempt *a, const struct vm_job *job)
{
	uint64_t fits_bytes = job->transfer_bytes_per_s / 1000 * ladder_get_downtime_ms(&a->ladder);

	return job->active && job->iteration > 0 && fits_bytes > 0 &&
	       job->memory_remaining_bytes > SWITCHOVER_MOST * fits_bytes;
}

/* libvirt calls a pause of ours, to converge or because the guest runs twice, a person's. */
static bool is_our_pause(const struct source_attempt *a)
{
	return a->order.paused_by_us || a->order.ran_twice;
}

/* @asked_ms: when the question was sent; what is older than the switchover says nothing of it. */
static void judge_guest(struct source_attempt *a, const struct vm_summary *vm,
                        const struct vm_job *job, uint64_t asked_ms)
{
	bool paused = vm->state == VM_PAUSED && vm->pause_reason == VM_PAUSE_MIGRATION;

	if (paused && !a->order.paused_by_us && !a->order.post_copy && is_mid_copy(a, job)) {
		a->guest_paused = true;
		note_paused(a, true);
		if (a->switching) {
			a->switching = false;
			a->switched_ms = 0;
			a->state = DROVER__V1__MIGRATION_STATE__RUNNING;
		}
		return;
	}
	source_ladder_see(a, vm, asked_ms);
	if (vm->state == VM_RUNNING)
		note_paused(a, false);
	else if (vm->state == VM_PAUSED && !paused && !is_our_pause(a) &&
	         vm->pause_reason != VM_PAUSE_POSTCOPY_FAILED)
		note_paused(a, true);
	if (paused) {
		switchover_seen(a, clock_now_ms());
	} else if (a->switching && vm->state == VM_RUNNING && asked_ms > a->switched_ms) {
		a->switching = false; /* libvirt took it back; an abort or a failed switchover */
		a->switched_ms = 0;
		a->state = DROVER__V1__MIGRATION_STATE__RUNNING;
	}
}

static void watched(struct errand *e)
{
	struct watch_errand *w = (struct watch_errand *)e;
	struct source_attempt *a = w->base.attempt;
	bool over = false;

	a->asking = false;
	if (!source_home(&w->base, SOURCE_MOVING)) {
		free(w);
		return;
	}
	if (w->abort) {
		/* "No job" means that there is nothing to abort yet, or any more: asked again as
		 * long as the call has not returned. */
		a->abort_asked = w->abort_rc == 0;
		if (w->abort_rc < 0)
			log_debug("%s: abort: %s", a->order.vm_name, w->abort_error.text);
	}
	if (w->find_rc == 0)
		judge_guest(a, &w->vm, &w->job, w->asked_ms);
	if (w->job_rc == 0 && w->job.active) {
		judge_job(a, &w->job);
	} else if (a->adopted && (w->job_rc == 0 || w->job_rc == -ERROR_NOT_FOUND)) {
		uint64_t now_ms = clock_now_ms();

		if (!a->no_job_since_ms)
			a->no_job_since_ms = now_ms;
		over = now_ms - a->no_job_since_ms >= ADOPTED_NO_JOB_MS ||
		       w->find_rc == -ERROR_NOT_FOUND;
	}
	/* Of a broken post-copy libvirt keeps the job, and the call that would tell us is not ours. */
	if (a->adopted && w->find_rc == 0 && w->vm.state == VM_PAUSED &&
	    w->vm.pause_reason == VM_PAUSE_POSTCOPY_FAILED)
		over = true;
	source_recover_watch(a);
	judge_control(a, w);
	/* A verdict stays when nothing is sent any more; and of a guest that stands still no switchover
	 * is seen: it may be there already. */
	if (w->job_rc == 0 && w->job.active && !a->order.paused_by_us)
		judge_path(a);
	if (w->job_rc == 0 && w->job.active)
		source_tune_again(a);
	if (w->job_rc == 0 && w->job.active) {
		source_pace(a);
		source_outlook(a);
	}
	free(w);
	source_changed(a);
	if (over)
		source_resolve_start(a);
}

static void lease_renewed(const struct mesh_result *result, const Drover__V1__LeaseReply *reply,
                          void *context)
{
	struct source_attempt *a = context;

	(void)reply;
	a->errands--;
	if (result->status == MESH_OK)
		a->lease_renewed_ms = clock_now_ms();
	/* Otherwise the next try comes in a moment; the lease holds anyway while the destination's
	 * libvirt lists the incoming guest. */
}

static void renew_lease(struct mesh_connection *c, const struct error *err, void *context)
{
	struct source_attempt *a = context;
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;

	(void)err;
	if (!c || a->stage != SOURCE_MOVING) {
		a->errands--;
		return;
	}
	request.attempt = wire_attempt_new(&a->order.attempt);
	request.vm_uuid = a->order.vm_uuid;
	request.source_node = a->agent->settings->node;
	agent_call_renew_lease(c, &request, 5000, lease_renewed, a);
	wire_free(request.attempt);
}

static void watch(void *context)
{
	struct source_attempt *a = context;
	uint64_t now_ms = clock_now_ms();

	loop_timer_start(a->agent->loop, &a->timer, POLL_MS);
	if (!a->asking) {
		struct watch_errand *w = xnew(struct watch_errand);

		w->asked_ms = now_ms;
		w->base.errand.work = watch_work;
		w->base.errand.done = watched;
		w->hypervisor = a->agent->hypervisor;
		w->tunnel = a->tunnel;
		memcpy(w->uuid, a->order.vm_uuid, sizeof(w->uuid));
		w->abort = a->abort_wanted && !a->abort_asked && !a->switching;
		a->asking = true;
		source_send(a, &w->base, a->agent->couriers);
	}
	if (now_ms - a->lease_renewed_ms > RESERVATION_TTL_MS_DEFAULT / 3) {
		a->lease_renewed_ms = now_ms; /* not again before the answer or the next third */
		a->errands++;
		peers_with_connection(a->agent, a->order.target_node, a->order.target_address, 2000,
		                      renew_lease, a);
	}
}

/* --- the start --- */

static void format_uri(const char *address, uint16_t port, char *ret, size_t bytes)
{
	snprintf(ret, bytes, strchr(address, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u", address, port);
}

static void start_call(struct source_attempt *a, bool resume)
{
	const struct strategy *strategy = &a->ladder.settings.strategy;
	struct move_errand *m = xnew(struct move_errand);
	char text[ATTEMPT_TEXT_BYTES];

	if (a->order.unsafe && !a->storage_proved)
		log_warning("%s -> %s: its storage is not proved to be the same there; it moves on "
		            "an administrator's word (--unsafe)",
		            a->order.vm_name, a->order.target_node);
	m->base.errand.work = move_work;
	m->base.errand.done = moved;
	m->hypervisor = a->agent->hypervisor;
	m->autostart = a->order.autostart && a->order.persistent && !resume;
	memcpy(m->uuid, a->order.vm_uuid, sizeof(m->uuid));
	if (a->agent->tunnels->control_socket)
		a->agent->tunnels->control_socket(a->order.target_node, m->control_socket,
		                                  sizeof(m->control_socket));
	else
		snprintf(m->control_socket, sizeof(m->control_socket),
		         "%s/attempts/%s/libvirt.sock", a->agent->settings->run_dir,
		         attempt_name_format(&a->order.attempt, text));
	format_uri(a->migration_address, a->port, m->migrate_uri, sizeof(m->migrate_uri));
	format_uri(a->migration_address, a->disk_port, m->disks_uri, sizeof(m->disks_uri));
	memcpy(m->copied, a->copied, sizeof(m->copied));
	for (size_t i = 0; i < a->n_copied; i++)
		m->copied_pointers[i] = m->copied[i];
	snprintf(m->listen_address, sizeof(m->listen_address), "%s", a->migration_address);
	m->request = (struct migrate_request){
		.uuid = m->uuid,
		.control_socket = m->control_socket,
		.migrate_uri = m->migrate_uri,
		.listen_address = m->listen_address,
		.bandwidth_bytes_per_s = a->order.bandwidth_bytes_per_s,
		.max_downtime_ms = ladder_get_downtime_ms(&a->ladder),
		.tls = a->order.tls,
		.paused = a->guard == GUARD_TWO_STEP,
		.auto_converge = strategy_permits_auto_converge(strategy),
		.post_copy = strategy_permits_post_copy(strategy) && a->guard != GUARD_TWO_STEP,
		.resume = resume,
		.persistent = a->order.persistent,
		.storage_proved_shared = a->storage_proved || a->order.unsafe,
		.disks_uri = m->disks_uri,
		.copied_disks = m->copied_pointers,
		.n_copied_disks = a->n_copied,
		.copy_incremental = a->order.transfer.copy_incremental,
		.connections = a->order.transfer.connections,
		.compression = a->order.transfer.compression,
	};
	a->mover = courier_pool_new(a->agent->loop, 1);
	source_send(a, &m->base, a->mover);
}

void source_move_start(struct source_attempt *a)
{
	struct convergence_limits limits = {
		.completion_timeout_ms_per_gib = a->order.completion_timeout_ms_per_gib,
		.progress_timeout_ms = a->order.progress_timeout_ms,
		.max_downtime_ms = a->order.max_downtime_ms,
		.memory_bytes = a->memory_bytes,
	};

	source_enter(a, SOURCE_MOVING);
	a->state = DROVER__V1__MIGRATION_STATE__RUNNING;
	convergence_init(&a->convergence, &limits, a->stage_since_ms);
	source_ladder_start(a);
	a->timer.fire = watch;
	a->tuning_owed = a->adopted && (a->order.bandwidth_tuned || a->order.max_downtime_tuned);
	source_traffic_start(a);
	if (!a->adopted)
		start_call(a, false);
	loop_timer_start(a->agent->loop, &a->timer, a->adopted ? 0 : POLL_MS / 2);
	source_changed(a);
}

void source_move_resume(struct source_attempt *a)
{
	source_enter(a, SOURCE_MOVING);
	/* The call before has returned, or died with the agent that made it. */
	courier_pool_free(a->mover);
	a->mover = NULL;
	a->adopted = false;
	a->call_returned = false;
	a->resuming = true;
	a->switching = true;
	error_clear(&a->call_error);
	a->convergence.last_growth_ms = a->stage_since_ms;
	a->recovery.stalled = false;
	a->timer.fire = watch;
	start_call(a, true);
	loop_timer_start(a->agent->loop, &a->timer, POLL_MS / 2);
	source_changed(a);
}

void source_vm_event(struct agent *agent, const struct hypervisor_event *e)
{
	struct source_attempt *a = source_find_vm(agent, e->uuid);

	if (!a)
		return;
	if (e->end != VM_END_NONE)
		a->guest_end = e->end;
	if (e->kind == HYPERVISOR_JOB_COMPLETED) {
		a->downtime_ms = e->job.downtime_ms;
		a->transferred_bytes = e->job.memory_processed_bytes + e->job.disk_processed_bytes;
		/* The last look may be half a second old; a short move was not looked at. */
		if (e->job.iteration > a->job.iteration)
			a->job.iteration = e->job.iteration;
		if (e->job.memory_total_bytes)
			a->job.memory_total_bytes = e->job.memory_total_bytes;
		if (e->job.memory_processed_bytes > a->job.memory_processed_bytes)
			a->job.memory_processed_bytes = e->job.memory_processed_bytes;
		a->job.memory_remaining_bytes = e->job.memory_remaining_bytes;
		a->job.disk_total_bytes = e->job.disk_total_bytes;
		a->job.disk_processed_bytes = e->job.disk_processed_bytes;
		a->job.disk_remaining_bytes = e->job.disk_remaining_bytes;
	} else if (e->switchover && a->stage >= SOURCE_MOVING) {
		/* The pause of a two-step commit is counted from here; see source_resolve.c. */
		switchover_seen(a, e->at_ms);
		source_changed(a);
	} else if (e->kind == HYPERVISOR_VM_CHANGED && a->stage == SOURCE_MOVING) {
		/* Around the switchover half a second is long: look now. */
		loop_timer_start(agent->loop, &a->timer, 0);
	}
}
