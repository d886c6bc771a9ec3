/* SPDX-License-Identifier: Apache-2.0 */
/* See retry.h. The same code means something else once the memory was being copied: a time that is
 * over before is an answer that did not come, after it a guest that did not converge. */
#include "coordinator/core/move/retry.h"

#include "common/alloc.h"

#include <assert.h>

static const struct retry_rule rules[FAULTS] = {
	[FAULT_NOBODY] = { FAULT_NOBODY, .elsewhere = false, .later = false },
	[FAULT_GUEST] = { FAULT_GUEST, .elsewhere = false, .later = true },
	[FAULT_NETWORK] = { FAULT_NETWORK, .elsewhere = true, .later = true },
	[FAULT_DESTINATION] = { FAULT_DESTINATION, .elsewhere = true, .later = false },
};

static const char *const names[] = {
	[FAULT_NOBODY] = "nobody",
	[FAULT_GUEST] = "guest",
	[FAULT_NETWORK] = "network",
	[FAULT_DESTINATION] = "destination",
};
static_assert(ARRAY_SIZE(names) == FAULTS, "a fault without a name");

static const struct {
	enum error_code code;
	enum retry_fault before, after; /* the memory was being copied */
} table[] = {
	{ ERROR_NO_SPACE, FAULT_DESTINATION, FAULT_DESTINATION },
	{ ERROR_RESERVATION_LOST, FAULT_DESTINATION, FAULT_DESTINATION },
	{ ERROR_IDENTITY, FAULT_DESTINATION, FAULT_DESTINATION },
	{ ERROR_PERMISSION, FAULT_DESTINATION, FAULT_DESTINATION },
	{ ERROR_PROTOCOL, FAULT_DESTINATION, FAULT_NETWORK },
	{ ERROR_UNSUPPORTED, FAULT_DESTINATION, FAULT_DESTINATION },
	{ ERROR_UNREACHABLE, FAULT_DESTINATION, FAULT_NETWORK },
	{ ERROR_TIMEOUT, FAULT_DESTINATION, FAULT_GUEST },
	{ ERROR_UNKNOWN_OUTCOME, FAULT_NETWORK, FAULT_NETWORK },
	/* QEMU's word, and it may be that of either end: elsewhere, but not at once. */
	{ ERROR_HYPERVISOR, FAULT_NETWORK, FAULT_NETWORK },
	{ ERROR_BUSY, FAULT_GUEST, FAULT_GUEST },
	{ ERROR_REFUSED, FAULT_GUEST, FAULT_GUEST },
	{ ERROR_STALE, FAULT_NOBODY, FAULT_GUEST },
	{ ERROR_CANCELLED, FAULT_NOBODY, FAULT_GUEST },
};

const struct retry_rule *retry_of(enum error_code code, bool ran)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].code == code)
			return &rules[ran ? table[i].after : table[i].before];
	}
	return &rules[FAULT_GUEST];
}

const char *retry_fault_name(enum retry_fault fault)
{
	assert((unsigned)fault < FAULTS);
	return names[fault];
}
