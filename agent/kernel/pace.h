/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a migration may go that nobody has given a limit, so that others on the migration network keep
 * what they had: pure, no clock.
 *
 * On a link that is its own a migration takes all there is: a limit would only make it longer. Where others
 * send more than a twentieth of what the path carries, it gets what they leave, less a reserve, shared
 * evenly with the other moves of this host; but never less than the least that a move is admitted for,
 * and well above what its guest writes, or it would not end. What others had is their p95 of the last
 * minute, which remembers what they sent before the migration came. Without a figure that is believed
 * there is no limit.
 *
 * Nobody's guest pays for it: one that stands still is sent as fast as possible, and a move that shows
 * any trouble to converge has no limit for the rest of it. What a guest writes is no proof against that:
 * a limited stream shows at most about as much as it carries itself.
 *
 * Those that are held for others of this host that go first (lanes.h) have that limit at once, and not
 * for a moment longer.
 *
 * What was set is checked against what the migration interface counts: three seconds at more than a tenth
 * over it, and it is set again, a few times.
 */
#pragma once

#include "common/path.h"

#include <stdbool.h>
#include <stdint.h>

#define PACE_EVERY_MS       5000 /* between two changes */
#define PACE_CHANGE_PERCENT 15   /* less is no reason for one */
#define PACE_OTHERS_PERCENT 5    /* of the capacity; less than that is nobody */
#define PACE_OVER_PERCENT   110
#define PACE_OVER_MS        3000
#define PACE_AGAIN_MAX      5
#define PACE_DIRTY_PERCENT \
	250 /* of what the guest writes: the least that lets passes shrink fast */

struct pace_input {
	const struct path_estimate *path; /* available is without what others send */
	uint64_t others_bytes_per_s;      /* p95 of the last minute, on the wire */
	uint64_t least_bytes_per_s;       /* payload */
	uint64_t dirty_bytes_per_s;
	unsigned moves;            /* of this host that are not held, this one included */
	bool counted;              /* all moves of this host are: none of them passes for others */
	bool stands_still;         /* the guest does, whoever paused it */
	bool struggles;            /* a pass without a new low, a throttle, a step of the ladder */
	bool copies_disks;         /* libvirt's limit does not reach block jobs that run */
	uint64_t hold_bytes_per_s; /* what others of this host that go first leave it; 0 = all */
	bool rate_known;           /* of what goes over the migration interface: */
	uint64_t rate_bytes_per_s; /* payload of this migration, in the last second */
	uint64_t now_ms;
};

/* All zero at the beginning of a migration. */
struct pace {
	uint64_t limit_bytes_per_s; /* as it was set; 0 = none */
	uint64_t changed_ms, over_since_ms;
	uint64_t failed_ms; /* the last try was in vain; 0 = it was not */
	unsigned again;
	bool held;    /* the limit has to do with those that go first */
	bool unknown; /* an agent before us may have set one: the first step sets it in any case */
	bool exempt;  /* it has struggled: none any more */
};

/* What it may have now, payload; 0 = no limit. */
uint64_t pace_choose(const struct pace_input *in);

/* Whether @ret_limit is to be set (0: taken away). Call pace_take when it was, pace_fail when it could
 * not be. */
bool pace_step(struct pace *p, const struct pace_input *in, uint64_t *ret_limit);
void pace_take(struct pace *p, uint64_t limit_bytes_per_s, uint64_t now_ms);
void pace_fail(struct pace *p, uint64_t now_ms);
/* Not too soon after a try that was in vain. */
bool pace_may_try(const struct pace *p, uint64_t now_ms);
