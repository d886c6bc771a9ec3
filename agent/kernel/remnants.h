/* SPDX-License-Identifier: Apache-2.0 */
/* What a migration could leave behind (invariant I15), and whether it did: "clean: n/n".
 *
 *	                 source            destination
 *	                 came     stayed   came     stayed
 *	guest            must go                    must go     an active domain
 *	definition       must go                    must go     a domain that is only defined
 *	job                       must go                       libvirt's migration job
 *	pause                     must go                       that the move stopped its vCPUs
 *	autostart                 must be  must be              as the guest had it
 *	tunnel           must go  must go  must go  must go     the process
 *	directory        must go  must go  must go  must go     of its socket, status and log
 *	proofs           must go  must go                       nonces beside the disks
 *	lease                              must go  must go     the reservation: memory, slot, bandwidth
 *	port                               must go  must go     of the memory
 *	nbd-export                         must go  must go     the port of copied disks
 *	images                             must go  must go     that are still drover's to remove
 *	start-block                        must go  must go     the permit to start on a host being emptied
 *
 * Locks have no line of their own: the image lock and virtlockd's belong to the guest's QEMU and end
 * with it. The table says what is looked for; who looks fills in what was seen; the judgement is here
 * and pure. "came": the guest lives at the destination. Where nobody knows where it lives (its host was
 * declared dead meanwhile), nothing is said of what depends on it.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "common/remnant.h"

#include <stdbool.h>
#include <stddef.h>

enum remnant_thing {
	REMNANT_GUEST,
	REMNANT_DEFINITION,
	REMNANT_JOB,
	REMNANT_PAUSE,
	REMNANT_AUTOSTART,
	REMNANT_TUNNEL,
	REMNANT_DIRECTORY,
	REMNANT_PROOFS,
	REMNANT_LEASE,
	REMNANT_PORT,
	REMNANT_EXPORT,
	REMNANT_IMAGES,
	REMNANT_START_BLOCK,
	REMNANT_THINGS
};

const char *remnant_thing_name(enum remnant_thing thing); /* "nbd-export" */

enum remnants_side { REMNANTS_SOURCE, REMNANTS_TARGET, REMNANTS_SIDES };

enum remnants_end {
	REMNANTS_STAYED, /* it did not come; also one that ended meanwhile */
	REMNANTS_CAME,
	REMNANTS_UNKNOWN, /* settled without us */
	REMNANTS_ENDS
};

enum sight { SIGHT_NOT_LOOKED, SIGHT_NONE, SIGHT_THERE };

/* Of a thing that is no domain. */
struct remnant_sight {
	enum sight sight;
	char text[REMNANT_TEXT_BYTES]; /* THERE: which, and why if that is known; NOT_LOOKED: why */
};

struct remnants_input {
	enum remnants_side side;
	enum remnants_end end;
	bool late; /* some time after the end: a guest that runs by now is nobody's remnant */
	const char *node, *other_node, *vm_name;

	/* What there was. */
	bool autostart;    /* the guest had it */
	bool paused;       /* by a person, before the move */
	bool paused_by_us; /* during the move: to converge, or since it ran on both hosts */
	bool copied;       /* disks were to be copied */
	bool places;       /* directories in which proofs could lie are known */

	/* What this host's libvirt says. */
	bool libvirt_answers;
	const char *libvirt_problem;
	bool listed;
	struct vm_summary vm;
	bool job_known, job_runs;

	struct remnant_sight sights[REMNANT_THINGS]; /* the others; SIGHT_NOT_LOOKED by default */
};

/* Whether that thing could be there at all. */
bool remnant_applies(enum remnant_thing thing, const struct remnants_input *in);

/* One for each thing that applies, in the order of the table; at most REMNANT_THINGS. */
size_t remnants_judge(const struct remnants_input *in, struct remnant *ret);

/* The same, when nobody could look: @why. */
size_t remnants_not_looked(const struct remnants_input *in, const char *why, struct remnant *ret);

/* A later look in the place of an earlier one. What was gone once is gone: what has come since is not
 * of that migration. Things that the later look did not have stay. */
void remnants_merge(struct remnant *kept, size_t *n_kept, const struct remnant *later,
                    size_t n_later);

/* How many are not gone. */
size_t remnants_count_open(const struct remnant *items, size_t n);
