/* SPDX-License-Identifier: Apache-2.0 */
/* See recovery.h. Pure. */
#include "agent/kernel/recovery.h"

#include "common/alloc.h"

#include <assert.h>

void recovery_see_bytes(struct recovery *r, uint64_t bytes, uint64_t now_ms)
{
	/* Less than before: counted anew by a libvirt that was restarted. */
	if (bytes == r->bytes && r->bytes_ms)
		return;
	r->bytes = bytes;
	r->bytes_ms = now_ms;
}

enum recovery_step recovery_watch(struct recovery *r, bool silent, uint64_t now_ms)
{
	if (!silent && r->stalled) {
		r->stalled = false;
		return RECOVERY_RELIEF;
	}
	if (!silent)
		return RECOVERY_NOTHING;
	if (!r->stalled) {
		r->stalled = true;
		r->probe_ms = 0;
		return RECOVERY_ALARM;
	}
	if (now_ms - r->probe_ms < RECOVERY_PROBE_MS)
		return RECOVERY_NOTHING;
	r->probe_ms = now_ms;
	return RECOVERY_PROBE;
}

enum recovery_step recovery_answered(const struct recovery *r, bool reachable)
{
	return r->stalled && reachable ? RECOVERY_BREAK : RECOVERY_NOTHING;
}

enum recovery_step recovery_step(struct recovery *r, uint64_t now_ms)
{
	if (r->bytes_ms && now_ms - r->bytes_ms < RECOVERY_QUIET_MS)
		return RECOVERY_NOTHING;
	if (now_ms < r->next_ms)
		return RECOVERY_NOTHING;
	r->tries++;
	return RECOVERY_TRY;
}

uint64_t recovery_failed(struct recovery *r, uint64_t now_ms)
{
	static const uint64_t waits_ms[] = { 1000, 2000, 5000, RECOVERY_LONGEST_MS };
	unsigned n = r->tries ? r->tries - 1 : 0;
	uint64_t wait_ms = waits_ms[n < ARRAY_SIZE(waits_ms) ? n : ARRAY_SIZE(waits_ms) - 1];

	r->next_ms = now_ms + wait_ms;
	return wait_ms;
}

const char *recovery_step_name(enum recovery_step step)
{
	static const char *const names[] = {
		[RECOVERY_NOTHING] = "nothing", [RECOVERY_ALARM] = "alarm",
		[RECOVERY_PROBE] = "probe",     [RECOVERY_BREAK] = "break",
		[RECOVERY_RELIEF] = "relief",   [RECOVERY_TRY] = "try",
	};

	static_assert(ARRAY_SIZE(names) == RECOVERY_STEPS, "a step without a name");
	assert((unsigned)step < RECOVERY_STEPS);
	return names[step];
}
