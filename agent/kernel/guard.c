/* SPDX-License-Identifier: Apache-2.0 */
/* See guard.h. Pure.
 *
 * A lock only guards a guest if it covers a disk that the guest writes to and does not share: QEMU
 * and virtlockd take no exclusive lock on anything else. We ask it of every writable disk, so that
 * adding an unlocked one to a guest cannot weaken what was shown in its plan.
 */
#include "agent/kernel/guard.h"

#include "common/alloc.h"
#include "common/units.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* QEMU's default for the pause that it may make itself. */
#define DOWNTIME_DEFAULT_MS 300
/* What the commit adds: the source's QEMU ends, both hosts are looked at, the destination resumes.
 * `tools/bench twostep` prints it: 200 to 350 ms on a small host, for transient and persistent
 * guests and with disks that were copied. */
#define TWO_STEP_COMMIT_MS 400
/* Measured from 128 MiB to 7 GiB: nothing. What is larger is given 10 ms per GiB, for the kernel to
 * take back the memory of the guest that has left. */
#define TWO_STEP_PER_GIB_MS 10

static const char *const names[] = {
	[GUARD_NONE] = "none",
	[GUARD_IMAGE_LOCK] = "image-lock",
	[GUARD_LOCK_MANAGER] = "lock-manager",
	[GUARD_TWO_STEP] = "two-step",
};
static_assert(ARRAY_SIZE(names) == GUARDS, "every guard has a name");

const char *guard_name(enum guard guard)
{
	return (unsigned int)guard < GUARDS ? names[guard] : "unknown";
}

bool guard_is_lock(enum guard guard)
{
	return guard == GUARD_IMAGE_LOCK || guard == GUARD_LOCK_MANAGER;
}

uint64_t guard_two_step_pause_ms(uint64_t memory_bytes, uint64_t max_downtime_ms)
{
	return (max_downtime_ms ? max_downtime_ms : DOWNTIME_DEFAULT_MS) + TWO_STEP_COMMIT_MS +
	       memory_bytes / GIB * TWO_STEP_PER_GIB_MS;
}

static uint64_t pause_of(const struct guard_input *in)
{
	return guard_two_step_pause_ms(in->vm->summary.memory_bytes, in->max_downtime_ms);
}

/* Why a candidate is not taken, in a few words for the check; "" if it is. */
struct refusal {
	char text[80];
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct refusal *why, const char *format,
                                                         ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return false;
}

static bool is_written(const struct vm_disk *d)
{
	return !d->read_only && strcmp(d->type, "none") != 0;
}

/* At least one disk is written to, and all such disks are of @types and not shared. */
static bool disks_can_be_locked(const struct guard_input *in, bool block_too, struct refusal *why)
{
	size_t written = 0;

	for (size_t i = 0; i < in->vm->n_disks; i++) {
		const struct vm_disk *d = &in->vm->disks[i];

		if (!is_written(d))
			continue;
		written++;
		if (strcmp(d->type, "file") != 0 && !(block_too && strcmp(d->type, "block") == 0))
			return refuse(why, "%s is a %s disk", d->target, d->type);
		if (d->shareable)
			return refuse(why, "%s is shareable", d->target);
	}
	if (written == 0)
		return refuse(why, "no disk is written to");
	return true;
}

static bool lock_manager_guards(const struct guard_input *in, struct refusal *why)
{
	if (in->copies_disks)
		return refuse(why, "the copy of a disk is another file");
	if (!in->own_lock_manager[0] || !in->source_lock_manager[0])
		return refuse(why, "not set up on %s",
		              in->own_lock_manager[0]      ? "the source"
		              : in->source_lock_manager[0] ? "this host"
		                                           : "either host");
	if (strcmp(in->own_lock_manager, in->source_lock_manager) != 0)
		return refuse(why, "%s here, %s at the source", in->own_lock_manager,
		              in->source_lock_manager);
	if (!in->lockspace || !in->lockspace->measured || !in->lockspace->proved)
		return refuse(why, "lockspace not proved shared");
	return disks_can_be_locked(in, true, why);
}

static bool image_lock_guards(const struct guard_input *in, struct refusal *why)
{
	if (in->copies_disks)
		return refuse(why, "the copy of a disk is another file");
	if (!disks_can_be_locked(in, false, why))
		return false;
	for (size_t i = 0; i < in->vm->n_disks; i++) {
		const struct vm_disk *d = &in->vm->disks[i];

		if (!is_written(d))
			continue;
		if (!in->disks[i].measured || !in->disks[i].proved)
			return refuse(why, "%s not proved shared", d->target);
		if (in->disks[i].lock != STORAGE_LOCK_SEEN)
			return refuse(why, "the source's lock on %s is not seen here", d->target);
	}
	return true;
}

static bool two_step_guards(const struct guard_input *in, struct refusal *why)
{
	uint64_t pause_ms = pause_of(in);
	char pause[UNITS_TEXT_BYTES], limit[UNITS_TEXT_BYTES];

	if (in->two_step_forbidden)
		return refuse(why, "not possible with post-copy");
	if (in->two_step_pause_limit_ms && pause_ms > in->two_step_pause_limit_ms)
		return refuse(why, "pause of about %s is over the limit %s",
		              units_format_duration(pause_ms, pause),
		              units_format_duration(in->two_step_pause_limit_ms, limit));
	return true;
}

static enum guard decide(struct check *check, enum guard guard)
{
	check->verdict = CHECK_PASS;
	return guard;
}

enum guard guard_choose(const struct guard_input *in, struct check *ret_check)
{
	struct refusal manager = { "" }, image = { "" }, two_step = { "" };
	char pause[UNITS_TEXT_BYTES], commit[UNITS_TEXT_BYTES];
	struct check *c = ret_check;

	*c = (struct check){ .id = "guard" };
	snprintf(c->required, sizeof(c->required),
	         "one of: shared lock manager, image lock across hosts, two-step commit");

	if (lock_manager_guards(in, &manager)) {
		snprintf(c->measured, sizeof(c->measured),
		         "lock manager: %s on both hosts, one lockspace", in->own_lock_manager);
		return decide(c, GUARD_LOCK_MANAGER);
	}
	if (image_lock_guards(in, &image)) {
		snprintf(c->measured, sizeof(c->measured),
		         "image lock: the source's lock is seen here on every disk");
		return decide(c, GUARD_IMAGE_LOCK);
	}
	/* A copy may be removed until we resume its guest: nobody else may, so there is no waiver. */
	if (in->waived && !in->copies_disks) {
		snprintf(
			c->measured, sizeof(c->measured),
			"none: switched off by an administrator (--no-guard); lock manager: %.50s; "
			"image lock: %.50s",
			manager.text, image.text);
		snprintf(c->remedy, sizeof(c->remedy),
		         "a connection that breaks at the switchover can let it run twice: without "
		         "--no-guard it pauses for about %s instead",
		         units_format_duration(pause_of(in), pause));
		c->verdict = CHECK_WARN;
		return GUARD_NONE;
	}
	if (two_step_guards(in, &two_step)) {
		snprintf(c->measured, sizeof(c->measured),
		         "two-step commit: pause of about %s, of which %s are for the commit; no "
		         "image lock: %s",
		         units_format_duration(pause_of(in), pause),
		         units_format_duration(pause_of(in) - (in->max_downtime_ms
		                                                       ? in->max_downtime_ms
		                                                       : DOWNTIME_DEFAULT_MS),
		                               commit),
		         image.text);
		return decide(c, GUARD_TWO_STEP);
	}
	c->verdict = CHECK_FAIL;
	snprintf(c->measured, sizeof(c->measured),
	         "lock manager: %.50s; image lock: %.50s; two-step: %.50s", manager.text,
	         image.text, two_step.text);
	snprintf(c->remedy, sizeof(c->remedy),
	         "set up virtlockd with one file_lockspace_dir on shared storage on both hosts, or "
	         "%s",
	         in->two_step_forbidden ? "move it without permission for post-copy"
	                                : "allow a longer pause: migration/maxTwoStepPause of the "
	                                  "destination's agent");
	return GUARD_NONE;
}
