/* SPDX-License-Identifier: Apache-2.0 */
/* How a migration ended, judged from what both hosts' libvirts say, never from a return code.
 *
 * One pure function over enums; the table it implements is drawn in resolve.c. Unreachable and
 * unknown are values: no news is no evidence (invariant I8). The same function serves the source
 * agent at the end of a move, an agent that restarted in the middle of one, and the watchdog.
 *
 * Look at the source first and at the destination second, and again before each act: the views are
 * of two moments, and this order makes that harmless.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/guard.h"

#include <stdbool.h>

/* The guest at its source. */
enum source_view {
	SOURCE_UNREACHABLE, /* its agent or libvirt does not answer */
	SOURCE_RUNNING,
	SOURCE_PAUSED,          /* by a person or an I/O error: not by a migration */
	SOURCE_SWITCHING,       /* paused (migrating) */
	SOURCE_POSTCOPY_FAILED, /* paused, the other half of its memory is at the destination */
	SOURCE_GONE,            /* not listed, or shut off (migrated) */
	SOURCE_STOPPED,         /* shut off for another reason: the guest ended, or was ended */
	SOURCE_VIEWS
};

/* The guest at its destination. */
enum target_view {
	TARGET_UNREACHABLE,
	TARGET_ABSENT,
	TARGET_SHUTOFF, /* only a definition */
	TARGET_INCOMING,
	TARGET_PAUSED, /* complete, vCPUs stopped */
	TARGET_RUNNING,
	TARGET_RECEIVING, /* runs, and a part of its memory is still at the source: post-copy */
	TARGET_BROKEN,    /* likewise, and nothing more arrives */
	TARGET_VIEWS
};

/* The migration job at the source, or our call that has not returned. */
enum job_view { JOB_UNKNOWN, JOB_NONE, JOB_RUNNING, JOB_VIEWS };

struct resolve_input {
	enum source_view source;
	enum target_view target;
	enum job_view job;
	enum guard guard;
	bool target_is_ours; /* InspectReply.matches_attempt: it came in with this attempt */
	bool postcopy;       /* this attempt switched to post-copy, or may have */
	bool paused_before;  /* the guest was paused when the move began: it arrives paused */
	bool paused_by_us;   /* to converge: it is no person's pause, and to be ended if it stays */
	bool target_has_run; /* the guest ran over there with this attempt, whatever it does now */
	bool source_went_on; /* it was seen running here without a job: a copy over there is a past */
	bool deadline_passed; /* the caller has waited long enough (10 s) for it to settle */
};

enum resolution {
	RESOLVE_WAIT,               /* look again in a moment */
	RESOLVE_FAILED,             /* the guest is at the source; free everything */
	RESOLVE_FAILED_UNCONFIRMED, /* at the source; the destination is no target until seen */
	RESOLVE_ABORT_TARGET,       /* destroy the copy at the destination, then as failed */
	RESOLVE_RESUME_SOURCE,      /* resume it at the source, then look again */
	RESOLVE_COMMIT_TARGET,      /* resume it at the destination, then look again */
	RESOLVE_DESTROY_SOURCE,     /* it runs at the destination; destroy what is left here */
	RESOLVE_DONE,               /* it is at the destination; nothing is left here */
	RESOLVE_THERE_UNCONFIRMED, /* it runs at the destination; the source is silent: keep asking */
	RESOLVE_DONE_UNCONFIRMED, /* gone from here, the destination is silent: keep asking */
	RESOLVE_STOPPED,          /* the guest ended during the move, here; drover starts nothing */
	RESOLVE_SPLIT_BRAIN,      /* two run: suspend the source, alarm, destroy nothing */
	RESOLVE_LOST,             /* on neither host: critical; drover starts nothing */
	RESOLVE_LOST_PENDING,     /* gone here, still incomplete there after the deadline */
	RESOLVE_LOST_POSTCOPY,    /* its newer half is gone: keep the source for forensics */
	RESOLVE_LOST_HALF, /* what the source still had of it is gone: the rest is no guest */
	RESOLVE_RECOVER_POSTCOPY, /* both halves live: keep them, and resume the transfer */
	RESOLVE_ENDED_HERE, /* it went on here and ended: a paused copy there is stale, never resumed */
	RESOLVE_RAN_THERE, /* it ran there and is gone: the rest here is stale, never resumed */
	RESOLVE_HOLD,      /* nothing is safe to do: alarm, an operator decides */
	RESOLVE_UNKNOWN,   /* too little is known; keep everything, block new operations */
	RESOLUTIONS
};

enum resolution resolve(const struct resolve_input *in);

const char *resolution_name(enum resolution r);     /* "abort-target" */
const char *resolution_sentence(enum resolution r); /* for people, without a full stop */

/* No step of ours settles it: a person has to know at once. */
bool resolution_is_alarming(enum resolution r);

/* The attempt is over. All others are looked at again: what is lost or on hold may yet be found. */
bool resolution_is_final(enum resolution r);

enum destroy_side { DESTROY_SOURCE_SIDE, DESTROY_TARGET_SIDE };

/* May the domain on that side be destroyed (invariants I7, I10)? The only permission there is; asked
 * immediately before the act, with fresh views. */
bool may_destroy(enum destroy_side side, const struct resolve_input *in, bool operator_asked);

/* May the definition that is left of the guest at its source be removed? It is not active there, and
 * it lives at the destination, whose libvirt has written its own before the guest could run. */
bool may_undefine_source(const struct resolve_input *in);

/* The views from what libvirt says. @found false: libvirt answered that it knows no such guest. */
enum source_view source_view_from(bool reachable, bool found, const struct vm_summary *vm);
enum target_view target_view_from(bool reachable, bool found, const struct vm_summary *vm);
