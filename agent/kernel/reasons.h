/* SPDX-License-Identifier: Apache-2.0 */
/* KubeVirt's words for why a guest cannot move, in one table: who knows them from there finds them in
 * our checks, and no other file spells one. The list is that of KubeVirt's condition LiveMigratable
 * (kubevirt.io/api/core/v1); "CPUModeLiveMigratable" has no Not there either.
 *
 *	check "disk/vda" fails ---- reason_of_check ---> REASON_DISKS -- reason_word --> "DisksNot..."
 *
 * A check that passes has no reason; one for which KubeVirt has no word (memory, port) has none.
 */
#pragma once

enum reason {
	REASON_NONE,
	REASON_DISKS,
	REASON_INTERFACE,
	REASON_HOTPLUG,
	REASON_CPU_MODE,
	REASON_VIRTIOFS,
	REASON_HOST_DEVICE,
	REASON_SEV,
	REASON_SECURE_EXECUTION,
	REASON_TDX,
	REASON_TSC_FREQUENCY,
	REASON_HYPERV_PASSTHROUGH,
	REASON_PERSISTENT_RESERVATION,
	REASON_DECENTRALIZED,
	REASON_NOT_MIGRATABLE, /* anything else in the guest itself */
	REASONS
};

const char *reason_word(enum reason reason); /* "DisksNotLiveMigratable"; "" for none */

/* The word for a check of that id that fails; "network/vnet0" is found as "network/". */
enum reason reason_of_check(const char *id);
