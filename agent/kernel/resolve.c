/* SPDX-License-Identifier: Apache-2.0 */
/* See resolve.h. Pure: two tables and the refinements that depend on more than two views.
 *
 * The table is the resolution matrix of the design; each cell says what to do when libvirt has no
 * job any more, and while it has one, or while that is not known. While a job runs, libvirt is
 * still working on the move and nearly always right about it: we wait. What both views show when
 * it is over decides.
 *
 * Why looking at the source first is enough: the destination of an attempt cannot begin to run
 * after its source was seen running without a job, and a source that was seen gone never comes
 * back. So a destination seen later than its source can only be further on in the same direction.
 */
#include "agent/kernel/resolve.h"

#include "common/alloc.h"

#include <assert.h>
#include <string.h>

struct cell {
	enum resolution without_job;
	enum resolution with_job; /* or with one that we cannot see */
};

#define SAME(r)                          \
	{                                \
		RESOLVE_##r, RESOLVE_##r \
	}
#define THEN(r)                           \
	{                                 \
		RESOLVE_##r, RESOLVE_WAIT \
	}

/* clang-format off */
static const struct cell cells[SOURCE_VIEWS][TARGET_VIEWS] = {
	[SOURCE_RUNNING] = {
		[TARGET_UNREACHABLE] = THEN(FAILED_UNCONFIRMED),
		[TARGET_ABSENT]      = THEN(FAILED),
		[TARGET_SHUTOFF]     = THEN(FAILED),
		[TARGET_INCOMING]    = THEN(ABORT_TARGET),
		[TARGET_PAUSED]      = THEN(ABORT_TARGET),
		[TARGET_RUNNING]     = THEN(SPLIT_BRAIN),
		[TARGET_RECEIVING]   = THEN(SPLIT_BRAIN),
		[TARGET_BROKEN]      = THEN(SPLIT_BRAIN),
	},
	[SOURCE_PAUSED] = {
		[TARGET_UNREACHABLE] = THEN(FAILED_UNCONFIRMED),
		[TARGET_ABSENT]      = THEN(FAILED),
		[TARGET_SHUTOFF]     = THEN(FAILED),
		/* The source is not seen running, so nothing may be destroyed for it. */
		[TARGET_INCOMING]    = SAME(WAIT),
		[TARGET_PAUSED]      = SAME(WAIT),
		[TARGET_RUNNING]     = THEN(HOLD),
		[TARGET_RECEIVING]   = THEN(HOLD),
		[TARGET_BROKEN]      = THEN(HOLD),
	},
	[SOURCE_SWITCHING] = {
		[TARGET_UNREACHABLE] = SAME(WAIT),
		[TARGET_ABSENT]      = THEN(RESUME_SOURCE),
		[TARGET_SHUTOFF]     = THEN(RESUME_SOURCE),
		[TARGET_INCOMING]    = SAME(WAIT),
		[TARGET_PAUSED]      = SAME(WAIT),
		[TARGET_RUNNING]     = THEN(DESTROY_SOURCE),
		[TARGET_RECEIVING]   = SAME(WAIT),
		[TARGET_BROKEN]      = SAME(RECOVER_POSTCOPY),
	},
	/* libvirt keeps the job of a broken post-copy until it is resumed (measured): it says nothing. */
	[SOURCE_POSTCOPY_FAILED] = {
		[TARGET_UNREACHABLE] = SAME(WAIT),
		[TARGET_ABSENT]      = SAME(LOST_POSTCOPY),
		[TARGET_SHUTOFF]     = SAME(LOST_POSTCOPY),
		[TARGET_INCOMING]    = THEN(HOLD),
		[TARGET_PAUSED]      = SAME(RECOVER_POSTCOPY),
		[TARGET_RUNNING]     = SAME(RECOVER_POSTCOPY),
		[TARGET_RECEIVING]   = SAME(RECOVER_POSTCOPY),
		[TARGET_BROKEN]      = SAME(RECOVER_POSTCOPY),
	},
	[SOURCE_GONE] = {
		[TARGET_UNREACHABLE] = SAME(DONE_UNCONFIRMED),
		[TARGET_ABSENT]      = THEN(LOST),
		[TARGET_SHUTOFF]     = THEN(LOST),
		[TARGET_INCOMING]    = SAME(WAIT),
		[TARGET_PAUSED]      = SAME(DONE),
		[TARGET_RUNNING]     = SAME(DONE),
		/* It takes a moment to notice that no more will come. */
		[TARGET_RECEIVING]   = SAME(WAIT),
		[TARGET_BROKEN]      = SAME(LOST_HALF),
	},
	[SOURCE_STOPPED] = {
		[TARGET_UNREACHABLE] = SAME(WAIT),
		[TARGET_ABSENT]      = THEN(STOPPED),
		[TARGET_SHUTOFF]     = THEN(STOPPED),
		[TARGET_INCOMING]    = SAME(WAIT),
		/* If the source had gone on after the switchover and then shut down, the copy over
		 * there is older than the disks. Resuming it could destroy them. */
		[TARGET_PAUSED]      = THEN(HOLD),
		[TARGET_RUNNING]     = SAME(DONE),
		[TARGET_RECEIVING]   = SAME(WAIT),
		[TARGET_BROKEN]      = SAME(LOST_HALF),
	},
	[SOURCE_UNREACHABLE] = {
		[TARGET_UNREACHABLE] = SAME(UNKNOWN),
		[TARGET_ABSENT]      = SAME(UNKNOWN),
		[TARGET_SHUTOFF]     = SAME(UNKNOWN),
		[TARGET_INCOMING]    = SAME(UNKNOWN),
		[TARGET_PAUSED]      = SAME(UNKNOWN),
		[TARGET_RUNNING]     = SAME(THERE_UNCONFIRMED),
		[TARGET_RECEIVING]   = SAME(UNKNOWN),
		[TARGET_BROKEN]      = SAME(UNKNOWN),
	},
};

static const struct {
	const char *name;
	const char *sentence;
	bool final;
} resolutions[] = {
	[RESOLVE_WAIT] = { "wait", "the move is still being settled", false },
	[RESOLVE_FAILED] = { "failed", "the guest stayed at its source", true },
	[RESOLVE_FAILED_UNCONFIRMED] = { "failed-unconfirmed",
		"the guest stayed at its source; the destination does not answer and may hold a paused copy",
		false },
	[RESOLVE_ABORT_TARGET] = { "abort-target",
		"the guest stayed at its source; its unfinished copy at the destination is being removed",
		false },
	[RESOLVE_RESUME_SOURCE] = { "resume-source",
		"the guest is paused at its source and does not run at the destination: it is being resumed",
		false },
	[RESOLVE_COMMIT_TARGET] = { "commit-target",
		"the source is proved gone: the guest is being resumed at the destination", false },
	[RESOLVE_DESTROY_SOURCE] = { "destroy-source",
		"the guest runs at the destination; its paused remainder at the source is being removed",
		false },
	[RESOLVE_DONE] = { "done", "the guest is at the destination", true },
	[RESOLVE_THERE_UNCONFIRMED] = { "there-unconfirmed",
		"the guest runs at the destination; the source does not answer", false },
	[RESOLVE_DONE_UNCONFIRMED] = { "done-unconfirmed",
		"the guest has left its source; the destination does not answer", false },
	[RESOLVE_STOPPED] = { "stopped", "the guest ended at its source during the move", true },
	[RESOLVE_SPLIT_BRAIN] = { "split-brain",
		"the guest runs on both hosts: the source is suspended, nothing is destroyed", false },
	[RESOLVE_LOST] = { "lost", "the guest is on neither host", false },
	[RESOLVE_LOST_PENDING] = { "lost-pending",
		"the guest has left its source and is still incomplete at the destination", false },
	[RESOLVE_LOST_POSTCOPY] = { "lost-postcopy",
		"the newer half of the guest's memory was lost in post-copy; the source is kept", false },
	[RESOLVE_LOST_HALF] = { "lost-half",
		"what the source still had of the guest's memory was lost in post-copy: the guest at the "
		"destination is incomplete and cannot go on, nothing was destroyed. To have it again: virsh "
		"destroy it there, and start it from its disks", false },
	[RESOLVE_RECOVER_POSTCOPY] = { "recover-postcopy",
		"the post-copy transfer broke: each host has half of the guest's memory, both are kept, and "
		"neither may be destroyed, restarted or rebooted. Repair the migration network: the transfer "
		"is resumed as soon as the destination answers", false },
	[RESOLVE_RAN_THERE] = { "ran-there",
		"the guest has run at the destination and is not there any more: what is paused at its "
		"source is older than its disks and must not be resumed. Find out whether it ended or moved "
		"on (drover events, drover vms), then remove that rest: virsh destroy at the source",
		false },
	[RESOLVE_ENDED_HERE] = { "ended-here",
		"the guest went on at its source after the move had failed, and ended there: the paused copy "
		"at the destination is older than its disks and must not be resumed. Remove it: virsh destroy "
		"at the destination",
		false },
	[RESOLVE_HOLD] = { "hold",
		"what both hosts show allows no safe step: an operator has to decide", false },
	[RESOLVE_UNKNOWN] = { "unknown", "too little is known to say where the guest runs", false },
};
/* clang-format on */

static_assert(ARRAY_SIZE(resolutions) == RESOLUTIONS, "a resolution without a row has no name");
static_assert(SOURCE_VIEWS == 7 && TARGET_VIEWS == 8 && JOB_VIEWS == 3 && GUARDS == 4,
              "a new view or guard needs its cells here and in tests/unit/test_resolve.c");

/* With all of its memory or without. */
static bool runs_there(const struct resolve_input *in)
{
	return in->target == TARGET_RUNNING || in->target == TARGET_RECEIVING ||
	       in->target == TARGET_BROKEN;
}

/* A paused copy at the destination that only we can start. */
static bool target_waits_for_us(const struct resolve_input *in)
{
	return in->guard == GUARD_TWO_STEP && in->target_is_ours;
}

/* The source is paused in mid-switchover and libvirt has no job any more. */
static enum resolution resolve_switching(const struct resolve_input *in)
{
	switch (in->target) {
	case TARGET_UNREACHABLE:
		/* With a lock the attempt is its own proof: QEMU refuses if the other one runs. */
		if (in->deadline_passed && guard_is_lock(in->guard))
			return RESOLVE_RESUME_SOURCE;
		break;
	case TARGET_INCOMING:
		/* libvirt should have removed it. A late Finish could still start it, unless a
		 * lock refuses one of the two or it never starts but by our order. */
		if (in->deadline_passed && (guard_is_lock(in->guard) || target_waits_for_us(in)))
			return RESOLVE_RESUME_SOURCE;
		break;
	case TARGET_PAUSED:
		if (in->deadline_passed && target_waits_for_us(in))
			return RESOLVE_RESUME_SOURCE;
		break;
	default:
		break;
	}
	return cells[in->source][in->target].without_job;
}

/* Paused at its source so that it converges, and no job any more: as in mid-switchover, it is resumed
 * where nothing can run over there. Only libvirt's own mark lets a source be destroyed, so with a copy
 * that runs a person decides. */
static enum resolution resolve_paused_by_us(const struct resolve_input *in)
{
	struct resolve_input as_switching = *in;

	if (runs_there(in))
		return cells[in->source][in->target].without_job;
	as_switching.source = SOURCE_SWITCHING;
	return resolve_switching(&as_switching);
}

/* After a switch to post-copy neither half is a guest: nothing is resumed or removed by itself. */
static enum resolution keep_both_halves(const struct resolve_input *in, enum resolution r)
{
	switch (r) {
	case RESOLVE_RESUME_SOURCE:
		if (in->target == TARGET_ABSENT || in->target == TARGET_SHUTOFF)
			return RESOLVE_LOST_POSTCOPY;
		return RESOLVE_HOLD;
	case RESOLVE_DESTROY_SOURCE:
		/* The transfer may be going on under a libvirtd that was restarted. */
		return in->deadline_passed ? RESOLVE_HOLD : RESOLVE_WAIT;
	case RESOLVE_ABORT_TARGET:
	case RESOLVE_COMMIT_TARGET:
		return RESOLVE_HOLD;
	case RESOLVE_DONE:
		return in->target == TARGET_PAUSED && !in->paused_before ? RESOLVE_HOLD : r;
	default:
		return r;
	}
}

/* Once the guest has run over there, its disks belong to what it did there: a source that is still
 * paused is a past that must not go on, and a copy over there is none that a move has left. */
static enum resolution respect_what_ran(const struct resolve_input *in, enum resolution r)
{
	switch (r) {
	case RESOLVE_RESUME_SOURCE:
		return in->target == TARGET_ABSENT || in->target == TARGET_SHUTOFF
		               ? RESOLVE_RAN_THERE
		               : RESOLVE_HOLD;
	case RESOLVE_LOST:
	case RESOLVE_STOPPED:
		/* In post-copy it ran before all of it was there: that it ever was, nobody knows. */
		return in->postcopy ? r : RESOLVE_DONE;
	case RESOLVE_COMMIT_TARGET: /* it was, and somebody has paused it since */
		return RESOLVE_DONE;
	case RESOLVE_ABORT_TARGET:
		return RESOLVE_HOLD;
	default:
		return r;
	}
}

/* The same the other way round: what has gone on at its source is not replaced by a copy from before. */
static enum resolution respect_what_went_on(const struct resolve_input *in, enum resolution r)
{
	if (in->source != SOURCE_GONE && in->source != SOURCE_STOPPED)
		return r;
	if (in->target == TARGET_PAUSED)
		return in->job == JOB_NONE ? RESOLVE_ENDED_HERE : RESOLVE_WAIT;
	return r == RESOLVE_LOST ? RESOLVE_STOPPED : r;
}

static enum resolution settle_deadline(const struct resolve_input *in, enum resolution r)
{
	if (r != RESOLVE_WAIT || !in->deadline_passed)
		return r;
	if (in->target == TARGET_RECEIVING &&
	    (in->source == SOURCE_GONE || in->source == SOURCE_STOPPED))
		return RESOLVE_LOST_HALF;
	if (in->source == SOURCE_GONE)
		return in->target == TARGET_INCOMING ? RESOLVE_LOST_PENDING
		                                     : cells[in->source][in->target].without_job;
	if (in->source == SOURCE_RUNNING && runs_there(in))
		return RESOLVE_SPLIT_BRAIN;
	/* A job that libvirt has is waited for without end: it is progress that is supervised
	 * then, by others. */
	return in->job == JOB_NONE ? RESOLVE_HOLD : RESOLVE_WAIT;
}

enum resolution resolve(const struct resolve_input *in)
{
	enum resolution r;

	assert((unsigned)in->source < SOURCE_VIEWS && (unsigned)in->target < TARGET_VIEWS);
	assert((unsigned)in->job < JOB_VIEWS && (unsigned)in->guard < GUARDS);

	if (in->job == JOB_NONE && in->source == SOURCE_SWITCHING)
		r = resolve_switching(in);
	else if (in->job == JOB_NONE && in->source == SOURCE_PAUSED && in->paused_by_us)
		r = resolve_paused_by_us(in);
	else if (in->job == JOB_NONE)
		r = cells[in->source][in->target].without_job;
	else
		r = cells[in->source][in->target].with_job;

	/* Two that run are two that run, also when the job cannot be seen. */
	if (in->source == SOURCE_RUNNING && runs_there(in) && in->job == JOB_UNKNOWN)
		r = RESOLVE_SPLIT_BRAIN;

	/* Two-step, and somebody else has started the copy: libvirt's job would resume the source
	 * when its answer is lost, and no lock would refuse. */
	if (in->source == SOURCE_SWITCHING && in->target == TARGET_RUNNING &&
	    in->guard == GUARD_TWO_STEP && in->job == JOB_RUNNING)
		r = RESOLVE_DESTROY_SOURCE;

	if (in->source == SOURCE_GONE && in->target == TARGET_PAUSED && !in->paused_before &&
	    in->guard == GUARD_TWO_STEP)
		r = RESOLVE_COMMIT_TARGET;

	if (!in->target_is_ours && (r == RESOLVE_ABORT_TARGET || r == RESOLVE_COMMIT_TARGET ||
	                            r == RESOLVE_DESTROY_SOURCE))
		r = RESOLVE_HOLD;
	if (in->postcopy)
		r = keep_both_halves(in, r);
	r = settle_deadline(in, r);
	if (in->target_has_run)
		return respect_what_ran(in, r);
	return in->source_went_on ? respect_what_went_on(in, r) : r;
}

const char *resolution_name(enum resolution r)
{
	assert((unsigned)r < RESOLUTIONS);
	return resolutions[r].name;
}

const char *resolution_sentence(enum resolution r)
{
	assert((unsigned)r < RESOLUTIONS);
	return resolutions[r].sentence;
}

bool resolution_is_alarming(enum resolution r)
{
	switch (r) {
	case RESOLVE_SPLIT_BRAIN:
	case RESOLVE_LOST:
	case RESOLVE_LOST_POSTCOPY:
	case RESOLVE_RAN_THERE:
	case RESOLVE_ENDED_HERE:
	case RESOLVE_LOST_HALF:
	case RESOLVE_RECOVER_POSTCOPY: /* the guest stands still until the network is repaired */
	case RESOLVE_HOLD:
		return true;
	default:
		return false;
	}
}

bool resolution_is_final(enum resolution r)
{
	assert((unsigned)r < RESOLUTIONS);
	return resolutions[r].final;
}

/* Is there half a guest in memory on the other side, or could there be? */
static bool other_half_lives(enum destroy_side side, const struct resolve_input *in)
{
	if (side == DESTROY_SOURCE_SIDE)
		return in->target != TARGET_ABSENT && in->target != TARGET_SHUTOFF;
	return in->source != SOURCE_GONE && in->source != SOURCE_STOPPED;
}

bool may_destroy(enum destroy_side side, const struct resolve_input *in, bool operator_asked)
{
	if ((in->postcopy || in->source == SOURCE_POSTCOPY_FAILED) && other_half_lives(side, in))
		return false;
	if (operator_asked)
		return true;
	if (in->postcopy || !in->target_is_ours)
		return false;
	if (side == DESTROY_TARGET_SIDE)
		return in->source == SOURCE_RUNNING && in->job == JOB_NONE && !in->target_has_run &&
		       (in->target == TARGET_INCOMING || in->target == TARGET_PAUSED);
	return in->source == SOURCE_SWITCHING && in->target == TARGET_RUNNING &&
	       (in->job == JOB_NONE || (in->job == JOB_RUNNING && in->guard == GUARD_TWO_STEP));
}

bool may_undefine_source(const struct resolve_input *in)
{
	if (in->postcopy || !in->target_is_ours || in->job != JOB_NONE)
		return false;
	if (in->source == SOURCE_GONE && in->target == TARGET_PAUSED)
		return in->paused_before;
	return (in->source == SOURCE_GONE || in->source == SOURCE_STOPPED) &&
	       (in->target == TARGET_RUNNING ||
	        (in->target == TARGET_SHUTOFF && in->target_has_run));
}

enum source_view source_view_from(bool reachable, bool found, const struct vm_summary *vm)
{
	if (!reachable)
		return SOURCE_UNREACHABLE;
	if (!found)
		return SOURCE_GONE;
	switch (vm->state) {
	case VM_RUNNING:
		return SOURCE_RUNNING;
	case VM_PAUSED:
		if (vm->pause_reason == VM_PAUSE_MIGRATION)
			return SOURCE_SWITCHING;
		if (vm->pause_reason == VM_PAUSE_POSTCOPY_FAILED)
			return SOURCE_POSTCOPY_FAILED;
		return SOURCE_PAUSED;
	case VM_SHUTOFF:
		return strcmp(vm->reason, "migrated") == 0 ? SOURCE_GONE : SOURCE_STOPPED;
	case VM_CRASHED:
		return SOURCE_STOPPED;
	case VM_INCOMING: /* it is coming back here: another move that we know nothing of */
	case VM_UNKNOWN:
	case VM_RUN_STATES:
		break;
	}
	return SOURCE_UNREACHABLE;
}

enum target_view target_view_from(bool reachable, bool found, const struct vm_summary *vm)
{
	if (!reachable)
		return TARGET_UNREACHABLE;
	if (!found)
		return TARGET_ABSENT;
	switch (vm->state) {
	case VM_RUNNING:
		return vm->postcopy == VM_POSTCOPY_BROKEN      ? TARGET_BROKEN
		       : vm->postcopy == VM_POSTCOPY_RECEIVING ? TARGET_RECEIVING
		                                               : TARGET_RUNNING;
	case VM_PAUSED:
		/* Not known to be complete, so not to be resumed. */
		return vm->pause_reason == VM_PAUSE_MIGRATION ? TARGET_INCOMING : TARGET_PAUSED;
	case VM_INCOMING:
		return vm->postcopy == VM_POSTCOPY_BROKEN ? TARGET_BROKEN : TARGET_INCOMING;
	case VM_SHUTOFF:
	case VM_CRASHED:
		return TARGET_SHUTOFF;
	case VM_UNKNOWN:
	case VM_RUN_STATES:
		break;
	}
	return TARGET_UNREACHABLE;
}
