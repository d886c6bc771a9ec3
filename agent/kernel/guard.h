/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses what keeps a guest from running twice when the answer of the switchover is lost.
 *
 * libvirt can resume the source although the destination runs too (measured: diskless guests and
 * shared LUNs). One of these must stand between:
 *
 *	lock manager  both hosts' virtlockd (or sanlock) with one lockspace, proved the same
 *	image lock    QEMU's own lock on the image, seen from the destination
 *	two-step      the destination stays paused until the source is proved gone
 *
 * The first two cost nothing and also hold while drover is dead, so they are preferred. A guest whose
 * disks are copied has two images, and a lock on one of them says nothing of the other: it is two-step,
 * also because the copy may be removed until its guest was resumed by us. Pure.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/storage/storage_proof.h"

/* The numbers are those of drover.v1.Guard; stored and sent. */
enum guard { GUARD_NONE, GUARD_IMAGE_LOCK, GUARD_LOCK_MANAGER, GUARD_TWO_STEP, GUARDS };

const char *guard_name(enum guard guard); /* "image-lock" */

/* A guard that works without us: a second copy is refused by the storage. */
bool guard_is_lock(enum guard guard);

struct guard_input {
	const struct vm_description *vm;
	const struct storage_finding *disks; /* vm->n_disks of them */
	const char *source_lock_manager;     /* "", "lockd", "sanlock" */
	const char *own_lock_manager;
	const struct storage_finding *lockspace; /* the source's lockspace, looked for in ours */
	uint64_t max_downtime_ms;                /* of the move; 0 = QEMU's default */
	uint64_t two_step_pause_limit_ms; /* the longest pause the operator accepts; 0 = any */
	bool two_step_forbidden;          /* post-copy: a destination cannot stay paused */
	bool waived; /* an administrator goes without: a lock is taken where there is one, no pause */
	bool copies_disks; /* some of them are not the same here, and are copied */
};

/* GUARD_NONE is a refusal (CHECK_FAIL), or with @waived what was asked for (CHECK_WARN). Always fills @ret_check (id "guard"): which guard and what it costs, or why there is none. */
enum guard guard_choose(const struct guard_input *in, struct check *ret_check);

/* How long a guest of this size stands still with a two-step commit: an estimate, rather too long than
 * too short. @max_downtime_ms: what QEMU itself may take of it; 0 = its default. */
uint64_t guard_two_step_pause_ms(uint64_t memory_bytes, uint64_t max_downtime_ms);
