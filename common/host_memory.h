/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what is said of a host's memory can be true. Asked by the host's own agent of its kernel
 * and configuration, and by the coordinator of what agents report: a host whose figures make no sense
 * is suspect, and no guest goes there until they do. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Far over what there is. A negative number read as unsigned, 2^63 and 2^64 - 1 are above it, and no
 * sum of some of these overflows. */
#define HOST_MEMORY_MAX_BYTES ((uint64_t)1 << 50)

struct host_memory {
	uint64_t physical_bytes;  /* MemTotal; 0 = not known */
	uint64_t available_bytes; /* MemAvailable; 0 = not known */
	uint64_t capacity_bytes;  /* what may be used, the reserve included; 0 = not known */
	uint64_t reserve_bytes;
	uint64_t guests_bytes, reserved_bytes;
};

#define HOST_MEMORY_TEXT_BYTES 192

/* @ret_why (HOST_MEMORY_TEXT_BYTES) says what contradicts what, with both figures. */
bool host_memory_makes_sense(const struct host_memory *m, char *ret_why);
