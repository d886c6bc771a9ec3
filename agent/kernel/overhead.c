/* SPDX-License-Identifier: Apache-2.0 */
/* See overhead.h. */
#include "agent/kernel/overhead.h"

#include "common/units.h"

uint64_t overhead_bytes(uint64_t memory_bytes, uint64_t video_bytes)
{
	const uint64_t qemu_bytes = 64 * MIB;
	uint64_t per_memory_bytes = memory_bytes / 500;
	uint64_t sum;

	/* A description from outside may hold any number: never wrap to a small need. */
	if (__builtin_add_overflow(video_bytes, qemu_bytes, &sum) ||
	    __builtin_add_overflow(sum, per_memory_bytes, &sum))
		return UINT64_MAX;
	return sum;
}
