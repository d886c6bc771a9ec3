/* SPDX-License-Identifier: Apache-2.0 */
/* The guests of this host as its libvirt lists them: a cache that is always re-read whole.
 *
 *	libvirt events, 5 s tick --> one errand at a time --> list + describe --> diff --> callbacks
 *
 * Events only shorten the wait; the periodic reading is what counts (level-triggered). Until the
 * first complete list, and while libvirt cannot be reached, the inventory is not valid and nobody
 * may conclude from it that a guest is absent (invariant I8).
 *
 * Owner thread only.
 */
#pragma once

#include "agent/host/guest_interface.h"
#include "agent/hypervisor/hypervisor.h"
#include "common/courier.h"

#include <uthash.h>

struct inventory_vm {
	char uuid[VM_UUID_BYTES]; /* key */
	struct vm_summary summary;
	uint64_t overhead_bytes;
	uint64_t hugepage_bytes;  /* page size; 0 = none */
	struct guest_needs needs; /* of an active guest */
	char no_shutdown[160];    /* likewise: see vm_description */
	struct check *blockers;   /* owned */
	size_t n_blockers;
	struct guest_interface *interfaces; /* owned; of an active guest. Rates: guest_traffic.h */
	size_t n_interfaces;
	bool seen; /* private: by the reading being taken in */
	UT_hash_handle hh;
};

struct inventory_callbacks {
	void (*changed)(const struct inventory_vm *vm, void *context);
	void (*gone)(const char *uuid, void *context);
	/* After each reading that was taken in, and when validity changes. */
	void (*settled)(void *context);
	void *context;
};

struct inventory {
	bool valid;
	struct error problem; /* why it is not valid */
	bool asked;           /* libvirt has answered, or failed to */
	struct inventory_vm *vms;
	uint64_t readings; /* taken in since the start */
	uint64_t as_of_ms; /* when the newest of them was begun, clock_now_ms scale */

	struct hypervisor *hypervisor; /* borrowed */
	struct courier_pool *couriers; /* borrowed */
	struct inventory_callbacks callbacks;
	bool reading, again; /* an errand is under way; another is wanted */
	uint64_t generation; /* raised by inventory_lost: older errands are void */
};

void inventory_init(struct inventory *inv, struct hypervisor *h, struct courier_pool *couriers,
                    const struct inventory_callbacks *callbacks);
/* Errands must be done: free the pool first. */
void inventory_deinit(struct inventory *inv);

/* Wants a new reading soon; many wishes make one reading. */
void inventory_refresh(struct inventory *inv);

/* libvirt is gone: what we know is history until the next reading. */
void inventory_lost(struct inventory *inv, const struct error *why);

struct inventory_vm *inventory_find(struct inventory *inv, const char *uuid);
struct inventory_vm *inventory_find_by_name(struct inventory *inv, const char *name);

/* Maximum memory plus overhead of all active guests but @except (may be NULL). */
uint64_t inventory_active_bytes(const struct inventory *inv, const char *except_uuid);
