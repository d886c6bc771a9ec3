/* SPDX-License-Identifier: Apache-2.0 */
/* How it ended, by evidence: look here, look there, let resolve() judge, act once, look again.
 *
 *	   .------------------------------------------.
 *	   v                                          |
 *	find (own libvirt) -> Inspect (destination) -> resolve() -> wait, or one act
 *	                                               '-> final: report, clean up
 *
 * The source is looked at first and the destination second, and both again before each act, as
 * resolve.h asks. Nothing is destroyed without may_destroy() on views just taken. */
#include "agent/source/source.h"

#include "agent/failpoints.h"
#include "agent/wire.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS      250
#define SETTLE_DEADLINE_MS 10000
/* The two ends of a look are at most five seconds apart: a connection, and an answer. */
#define LOOK_FRESH_MS 8000
/* How long a silent destination is waited for before what is known is reported. The question goes
 * on: an unconfirmed outcome is not an end. */
#define SILENT_REPORT_MS 15000
/* After so many vain tries what is left is said, and the attempt ends. */
#define UNDEFINE_TRIES  3
#define COMMIT_TRIES    5
#define AUTOSTART_TRIES 3

struct look_errand {
	struct source_errand base;
	struct hypervisor *hypervisor;
	char uuid[VM_UUID_BYTES];
	int find_rc, job_rc, last_rc;
	struct vm_summary vm;
	struct vm_job job, last;
	struct error error;
};

/* One look at both sides, on its way. */
struct look {
	struct source_attempt *attempt;
	struct resolve_input in;
	bool source_listed; /* the domain object is still there, whatever its state */
	bool autostart;     /* on, here */
	bool may_undefine;  /* ... and its definition, if any, is at the destination by now */
	bool job_seen;
	uint64_t sent_bytes;
};

static void conclude(struct look *look);

static void look_work(struct errand *e)
{
	struct look_errand *l = (struct look_errand *)e;
	const struct hypervisor_ops *ops = l->hypervisor->ops;
	struct error ignored; /* the job only adds to what find says */

	l->job_rc = ops->job(l->hypervisor, l->uuid, &l->job, &ignored);
	l->find_rc = ops->find(l->hypervisor, l->uuid, &l->vm, &l->error);
}

static void take_target_view(struct source_attempt *a, struct look *look,
                             const Drover__V1__InspectReply *r)
{
	static const enum target_view views[] = {
		[DROVER__V1__INSPECT_REPLY__PRESENCE__UNKNOWN] = TARGET_UNREACHABLE,
		[DROVER__V1__INSPECT_REPLY__PRESENCE__ABSENT] = TARGET_ABSENT,
		[DROVER__V1__INSPECT_REPLY__PRESENCE__INCOMING] = TARGET_INCOMING,
		[DROVER__V1__INSPECT_REPLY__PRESENCE__PAUSED] = TARGET_PAUSED,
		[DROVER__V1__INSPECT_REPLY__PRESENCE__RUNNING_HERE] = TARGET_RUNNING,
		[DROVER__V1__INSPECT_REPLY__PRESENCE__SHUTOFF] = TARGET_SHUTOFF,
		[DROVER__V1__INSPECT_REPLY__PRESENCE__RECEIVING] = TARGET_RECEIVING,
		[DROVER__V1__INSPECT_REPLY__PRESENCE__BROKEN] = TARGET_BROKEN,
	};

	if ((unsigned)r->presence < ARRAY_SIZE(views))
		look->in.target = views[r->presence];
	look->in.target_is_ours = r->matches_attempt;
	look->in.target_has_run = r->has_run;
	if (look->in.target == TARGET_RUNNING || look->in.target == TARGET_PAUSED) {
		if (!a->downtime_ms)
			a->downtime_ms = r->downtime_ms;
		if (!a->transferred_bytes)
			a->transferred_bytes = r->transferred_bytes;
	}
}

static void inspected(const struct mesh_result *result, const Drover__V1__InspectReply *reply,
                      void *context)
{
	struct look *look = context;

	if (result->status == MESH_OK)
		take_target_view(look->attempt, look, reply);
	conclude(look);
}

static void ask_target(struct mesh_connection *c, const struct error *err, void *context)
{
	struct look *look = context;
	struct source_attempt *a = look->attempt;
	Drover__V1__AttemptRequest request = DROVER__V1__ATTEMPT_REQUEST__INIT;

	(void)err; /* unreachable is a view like any other */
	if (!c) {
		conclude(look);
		return;
	}
	request.attempt = wire_attempt_new(&a->order.attempt);
	request.vm_uuid = a->order.vm_uuid;
	request.source_node = a->agent->settings->node;
	agent_call_inspect(c, &request, 3000, inspected, look);
	wire_free(request.attempt);
}

static void looked(struct errand *e)
{
	struct look_errand *l = (struct look_errand *)e;
	struct source_attempt *a = l->base.attempt;
	struct look *look;

	if (!source_home(&l->base, SOURCE_RESOLVING)) {
		a->looking = false; /* it may come back here: a broken post-copy is being resumed */
		free(l);
		return;
	}
	look = xnew(struct look);
	look->attempt = a;
	look->in.source = source_view_from(l->find_rc == 0 || l->find_rc == -ERROR_NOT_FOUND,
	                                   l->find_rc == 0, &l->vm);
	/* libvirt forgets a transient guest with its end. That it ended is not that it is gone. */
	if (l->find_rc == -ERROR_NOT_FOUND && a->guest_end != VM_END_NONE)
		look->in.source = SOURCE_STOPPED;
	look->source_listed = l->find_rc == 0;
	look->autostart = l->find_rc == 0 && l->vm.autostart;
	look->may_undefine = l->find_rc == 0 && (a->order.persistent || !l->vm.persistent);
	if (l->find_rc == -ERROR_NOT_FOUND)
		look->in.job = JOB_NONE;
	else if (l->job_rc == 0)
		look->in.job = l->job.active ? JOB_RUNNING : JOB_NONE;
	else
		look->in.job = JOB_UNKNOWN;
	look->job_seen = l->job_rc == 0 && l->job.active;
	look->sent_bytes = l->job.memory_processed_bytes;
	look->in.target = TARGET_UNREACHABLE;
	look->in.guard = a->guard;
	look->in.paused_before = a->order.paused;
	look->in.postcopy = a->order.post_copy;
	look->in.paused_by_us = a->order.paused_by_us;
	look->in.deadline_passed = clock_now_ms() - a->stage_since_ms > SETTLE_DEADLINE_MS;
	free(l);
	a->errands++;
	if (a->fenced || a->target_fenced) {
		/* A dead host holds nothing; and one that was declared dead itself asks for nothing. */
		look->in.target = a->fenced ? TARGET_UNREACHABLE : TARGET_ABSENT;
		conclude(look);
		return;
	}
	peers_with_connection(a->agent, a->order.target_node, a->order.target_address, 2000,
	                      ask_target, look);
}

void source_resolve_look(struct source_attempt *a)
{
	struct look_errand *l;

	if (a->looking)
		return;
	if (a->ladder_acting) {
		/* What a step of the ladder does to the guest is not to be seen yet. */
		source_look_again(a, LOOK_EVERY_MS);
		return;
	}
	a->looking = true;
	a->look_since_ms = clock_now_ms();
	a->looks++;
	l = xnew(struct look_errand);
	l->base.errand.work = look_work;
	l->base.errand.done = looked;
	l->hypervisor = a->agent->hypervisor;
	memcpy(l->uuid, a->order.vm_uuid, sizeof(l->uuid));
	source_send(a, &l->base, a->agent->couriers);
}

static void look_timer(void *context)
{
	source_resolve_look(context);
}

void source_look_again(struct source_attempt *a, uint64_t in_ms)
{
	a->timer.fire = look_timer;
	loop_timer_start(a->agent->loop, &a->timer, in_ms);
}

/* --- the judgement --- */

static void end_failed(struct source_attempt *a, const char *how)
{
	struct error why = { 0 };

	/* What we decided ourselves says more than what libvirt says of our abort. */
	if (a->state != DROVER__V1__MIGRATION_STATE__UNRESOLVED)
		why = a->reason;
	if (why.code == ERROR_NONE && a->call_error.code != ERROR_NONE)
		why = a->call_error;
	if (why.code == ERROR_NONE && a->adopted && !a->job_seen)
		error_set(
			&why, ERROR_CANCELLED,
			"the agent of %s was restarted, and the move it had begun did not end well",
			a->agent->settings->node);
	if (why.code == ERROR_NONE)
		error_set(&why, ERROR_UNKNOWN_OUTCOME, "%s; libvirt left no reason", how);
	source_fail(a,
	            a->cancel_requested ? DROVER__V1__MIGRATION_STATE__CANCELLED
	                                : DROVER__V1__MIGRATION_STATE__FAILED,
	            &why);
}

/* What libvirt shows after two ran says nothing of which is right: their disks do. */
static void describe_unresolved(const struct source_attempt *a, enum resolution r,
                                struct error *ret)
{
	const char *here = a->agent->settings->node, *there = a->order.target_node;

	if (a->order.ran_twice)
		error_set(ret, ERROR_UNKNOWN_OUTCOME,
		          "the guest ran on both hosts; it was paused on %s and runs on %s, and "
		          "nothing was destroyed. Compare its disks, end the wrong one (virsh "
		          "destroy %.64s; if it is the one on %s, then virsh resume it on %s): "
		          "drover then settles the rest",
		          here, there, a->order.vm_name, there, here);
	else
		error_set(ret, ERROR_UNKNOWN_OUTCOME, "%s", resolution_sentence(r));
}

static void stay_unresolved(struct source_attempt *a, enum resolution r)
{
	struct error what;

	describe_unresolved(a, r, &what);
	if (a->state != DROVER__V1__MIGRATION_STATE__UNRESOLVED ||
	    strcmp(a->reason.text, what.text) != 0) {
		/* Why it was given up is what is reported if it turns out to have failed. */
		if (a->state != DROVER__V1__MIGRATION_STATE__UNRESOLVED &&
		    a->reason.code != ERROR_NONE)
			a->call_error = a->reason;
		log_error("%s -> %s: %s", a->order.vm_name, a->order.target_node, what.text);
		a->state = DROVER__V1__MIGRATION_STATE__UNRESOLVED;
		a->alarm = a->order.ran_twice || resolution_is_alarming(r);
		a->reason = what;
		source_changed(a);
	}
	source_look_again(a, SOURCE_LOOK_SLOW_MS);
}

static void twice_in_journal(int rc, const struct error *err, void *context)
{
	struct source_attempt *a = context;

	a->errands--;
	if (rc < 0)
		log_error("%s ran on both hosts, which could not be journaled: %s",
		          a->order.vm_name, err->text);
	if (a->stage == SOURCE_RESOLVING)
		source_act(a, ACT_SUSPEND);
}

/* Each moment in which both run costs data. That they did is written down first, for once the source
 * is paused nothing shows it to the agent after us; a journal that takes longer than a look is not
 * waited for. As often as it takes. */
static void pause_one_of_two(struct source_attempt *a)
{
	struct journal_write w = { .kind = JOURNAL_WRITE_ATTEMPT };
	bool known = a->order.ran_twice;

	a->order.ran_twice = true;
	stay_unresolved(a, RESOLVE_SPLIT_BRAIN);
	if (known) {
		source_act(a, ACT_SUSPEND);
		return;
	}
	w.attempt = a->order;
	a->errands++;
	journal_keeper_write(a->agent->journal, &w, twice_in_journal, a);
	source_look_again(a, LOOK_EVERY_MS);
}

static void end_done(struct source_attempt *a)
{
	error_clear(&a->reason);
	source_recover_ended(a);
	source_fail(a, DROVER__V1__MIGRATION_STATE__DONE, NULL);
}

static void done(struct look *look)
{
	struct source_attempt *a = look->attempt;

	source_traffic_read(a);
	/* Whatever becomes of the guest from now on, it becomes there. */
	a->lives_there |= look->in.target == TARGET_RUNNING || look->in.target_has_run;
	/* The destination's commit carries autostart and ends its reservation's duty, also where
	 * the guest resumed by itself. */
	if (a->finish_sent) {
		end_done(a);
	} else if (a->commit_tries++ < COMMIT_TRIES) {
		source_order_target(a, true);
	} else if (a->lives_there) {
		if (a->order.autostart)
			snprintf(a->leftover, sizeof(a->leftover),
			         "autostart is not set on %s: virsh autostart %s",
			         a->order.target_node, a->order.vm_name);
		end_done(a);
	} else {
		stay_unresolved(a, RESOLVE_HOLD);
		a->commit_tries = 0;
	}
}

/* Both hosts were asked and neither has it, and an operator does not want to wait for more. */
static void close_lost(struct source_attempt *a)
{
	struct error why;

	error_set(&why, ERROR_UNKNOWN_OUTCOME, "%s; closed by cancelling",
	          resolution_sentence(RESOLVE_LOST));
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

/* It had left for a host that was then declared dead. */
static void end_with_its_host(struct source_attempt *a)
{
	struct error why;

	error_set(&why, ERROR_UNKNOWN_OUTCOME,
	          "the guest had left for %s, which was declared dead: it ended there with it",
	          a->order.target_node);
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

/* Settled without us, by an operator and the other host: whatever is here stays as it is. */
static void give_up(struct source_attempt *a)
{
	struct error why;

	error_set(
		&why, ERROR_STALE,
		"%s was declared dead while the guest moved: this attempt is over, and nothing was "
		"done about what it left here",
		a->agent->settings->node);
	if (a->order.autostart && a->order.persistent)
		snprintf(a->leftover, sizeof(a->leftover),
		         "autostart of %.64s was switched off on %.64s for the move; if the guest "
		         "lives there: virsh autostart %.64s",
		         a->order.vm_name, a->agent->settings->node, a->order.vm_name);
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

/* What libvirt has left here is only a name: the guest is elsewhere, and somebody might start it. */
static bool removes_definition(struct look *look)
{
	struct source_attempt *a = look->attempt;

	if (!look->source_listed)
		return false;
	if (look->may_undefine && may_undefine_source(&look->in) &&
	    a->undefine_tries++ < UNDEFINE_TRIES) {
		source_act(a, ACT_UNDEFINE);
		return true;
	}
	snprintf(a->leftover, sizeof(a->leftover),
	         "%s is still defined on %s, and must not be started there: virsh undefine %s",
	         a->order.vm_name, a->agent->settings->node, a->order.vm_name);
	return false;
}

/* It was switched off for the move (source_move.c), and the guest has stayed. */
static bool restores_autostart(struct look *look)
{
	struct source_attempt *a = look->attempt;

	if (!a->order.autostart || !a->order.persistent || !look->source_listed || look->autostart)
		return false;
	if (a->autostart_tries++ < AUTOSTART_TRIES) {
		source_act(a, ACT_AUTOSTART);
		return true;
	}
	snprintf(a->leftover, sizeof(a->leftover),
	         "autostart is not set on %s any more: virsh autostart %s",
	         a->agent->settings->node, a->order.vm_name);
	return false;
}

static void carry_out(struct look *look, enum resolution r)
{
	struct source_attempt *a = look->attempt;
	bool silent_long = clock_now_ms() - a->stage_since_ms > SILENT_REPORT_MS;

	switch (r) {
	case RESOLVE_WAIT:
	case RESOLVE_LOST_PENDING:
		if (silent_long)
			stay_unresolved(a, r);
		else
			source_look_again(a, LOOK_EVERY_MS);
		break;
	case RESOLVE_FAILED:
		/* It was made there when the copy had arrived; whether it was there before, nobody
		 * has noted, so a person decides. */
		if (look->in.target == TARGET_SHUTOFF)
			snprintf(a->leftover, sizeof(a->leftover),
			         "%s is defined on %s, and must not be started there: virsh "
			         "undefine %s",
			         a->order.vm_name, a->order.target_node, a->order.vm_name);
		if (a->order.ran_twice && look->in.source == SOURCE_PAUSED)
			snprintf(a->leftover, sizeof(a->leftover),
			         "%s is paused on %s since it ran on both hosts: virsh resume %s",
			         a->order.vm_name, a->agent->settings->node, a->order.vm_name);
		if (!restores_autostart(look))
			end_failed(a, resolution_sentence(r));
		break;
	case RESOLVE_ABORT_TARGET:
		source_order_target(a, false);
		break;
	case RESOLVE_COMMIT_TARGET:
		source_order_target(a, true);
		break;
	case RESOLVE_RESUME_SOURCE:
		source_act(a, ACT_RESUME);
		break;
	case RESOLVE_DESTROY_SOURCE:
		if (may_destroy(DESTROY_SOURCE_SIDE, &look->in, false))
			source_act(a, ACT_DESTROY);
		else
			stay_unresolved(a, RESOLVE_HOLD);
		break;
	case RESOLVE_DONE:
		if (!removes_definition(look))
			done(look);
		break;
	case RESOLVE_STOPPED:
		if (restores_autostart(look))
			break;
		error_set(&a->reason, ERROR_UNKNOWN_OUTCOME, "%s", vm_end_sentence(a->guest_end));
		source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, NULL);
		break;
	case RESOLVE_SPLIT_BRAIN:
		pause_one_of_two(a);
		break;
	case RESOLVE_LOST: /* it may yet be found: a libvirtd that starts lists its guests late */
		if (a->lives_there)
			end_done(a);
		else if (silent_long && a->target_fenced)
			end_with_its_host(a);
		else if (silent_long && a->closing_wanted)
			close_lost(a);
		else if (silent_long)
			stay_unresolved(a, r);
		else
			source_look_again(a, SOURCE_LOOK_SLOW_MS / 2);
		break;
	case RESOLVE_RAN_THERE: /* nothing that comes later can make these untrue */
	case RESOLVE_ENDED_HERE:
		stay_unresolved(a, r);
		break;
	case RESOLVE_FAILED_UNCONFIRMED:
	case RESOLVE_DONE_UNCONFIRMED:
	case RESOLVE_THERE_UNCONFIRMED:
	case RESOLVE_LOST_POSTCOPY:
	case RESOLVE_LOST_HALF:
	case RESOLVE_HOLD:
	case RESOLVE_UNKNOWN:
		if (silent_long || a->order.ran_twice)
			stay_unresolved(a, r);
		else
			source_look_again(a, SOURCE_LOOK_SLOW_MS / 2);
		break;
	case RESOLVE_RECOVER_POSTCOPY:
		if (silent_long || a->recovery.tries > 0)
			stay_unresolved(a, r);
		else
			source_look_again(a, SOURCE_LOOK_SLOW_MS / 2);
		(void)source_recover(a);
		break;
	case RESOLUTIONS:
		abort();
	}
}

/* From here on a copy at the destination is a past, whatever becomes of the guest here, and whoever is
 * the agent then. */
static void remember_going_on(struct look *look)
{
	struct source_attempt *a = look->attempt;
	if (a->order.source_went_on || look->in.source != SOURCE_RUNNING ||
	    look->in.job != JOB_NONE)
		return;
	a->order.source_went_on = true;
	source_journal_order(a);
}

static void conclude(struct look *look)
{
	struct source_attempt *a = look->attempt;
	enum resolution r;

	FAILPOINT(source_before_judging);
	a->errands--;
	a->looking = false;
	if (look->job_seen)
		recovery_see_bytes(&a->recovery, look->sent_bytes, clock_now_ms());
	if (a->stage == SOURCE_RESOLVING && a->fenced) {
		give_up(a);
	} else if (a->stage == SOURCE_RESOLVING &&
	           clock_now_ms() - a->look_since_ms > LOOK_FRESH_MS) {
		/* We were stopped meanwhile, or starved: an act needs views that are of now. */
		source_look_again(a, 0);
	} else if (a->stage == SOURCE_RESOLVING) {
		remember_going_on(look);
		look->in.source_went_on = a->order.source_went_on;
		/* An outcome that became unclear may have become clear again. */
		r = resolve(&look->in);
		log_debug("%s: source %d, target %d, job %d: %s", a->order.vm_name,
		          (int)look->in.source, (int)look->in.target, (int)look->in.job,
		          resolution_name(r));
		carry_out(look, r);
	}
	free(look);
}

void source_resolve_start(struct source_attempt *a)
{
	source_enter(a, SOURCE_RESOLVING);
	source_resolve_look(a);
	source_changed(a);
}
