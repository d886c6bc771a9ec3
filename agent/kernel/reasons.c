/* SPDX-License-Identifier: Apache-2.0 */
/* See reasons.h. Two tables, pure. What is found in the guest itself (ids "guest/...") chooses among
 * several words and says which where it is found: agent/hypervisor/domain_blockers.c. */
#include "agent/kernel/reasons.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const char *const words[] = {
	[REASON_NONE] = "",
	[REASON_DISKS] = "DisksNotLiveMigratable",
	[REASON_INTERFACE] = "InterfaceNotLiveMigratable",
	[REASON_HOTPLUG] = "HotplugNotLiveMigratable",
	[REASON_CPU_MODE] = "CPUModeLiveMigratable",
	[REASON_VIRTIOFS] = "VirtIOFSNotLiveMigratable",
	[REASON_HOST_DEVICE] = "HostDeviceNotLiveMigratable",
	[REASON_SEV] = "SEVNotLiveMigratable",
	[REASON_SECURE_EXECUTION] = "SecureExecutionNotLiveMigratable",
	[REASON_TDX] = "TDXNotLiveMigratable",
	[REASON_TSC_FREQUENCY] = "NoTSCFrequencyNotLiveMigratable",
	[REASON_HYPERV_PASSTHROUGH] = "HypervPassthroughNotLiveMigratable",
	[REASON_PERSISTENT_RESERVATION] = "PersistentReservationNotLiveMigratable",
	[REASON_DECENTRALIZED] = "DecentralizedNotLiveMigratable",
	[REASON_NOT_MIGRATABLE] = "NotMigratable",
};
static_assert(ARRAY_SIZE(words) == REASONS, "every reason has a word");

const char *reason_word(enum reason reason)
{
	return (unsigned int)reason < REASONS ? words[reason] : "";
}

/* An id that ends in a slash stands for all that begin with it. */
static const struct {
	const char *id;
	enum reason reason;
} checks[] = {
	{ "cpu", REASON_CPU_MODE },         { "tsc", REASON_TSC_FREQUENCY },
	{ "disk/", REASON_DISKS },          { "network/", REASON_INTERFACE },
	{ "guest", REASON_NOT_MIGRATABLE }, { "blockers", REASON_NOT_MIGRATABLE },
};

enum reason reason_of_check(const char *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		size_t length = strlen(checks[i].id);
		bool prefix = checks[i].id[length - 1] == '/';

		if (prefix ? strncmp(id, checks[i].id, length) == 0 : strcmp(id, checks[i].id) == 0)
			return checks[i].reason;
	}
	return REASON_NONE;
}
