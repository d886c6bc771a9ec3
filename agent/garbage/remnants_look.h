/* SPDX-License-Identifier: Apache-2.0 */
/* Looking on one host for what an attempt could have left there: what both sides have in common. The
 * question is filled in by the owner, remnants_look() blocks and runs on a courier, and the owner adds
 * what only its own books say (a reservation). What follows from it: agent/kernel/remnants.h. Looking
 * changes nothing. */
#pragma once

#include "agent/hypervisor/hypervisor.h"
#include "agent/kernel/attempt.h"
#include "agent/kernel/remnants.h"

/* Directories in which files of the attempt could lie: beside each disk, and the lockspace. */
#define REMNANT_PLACES_MAX (VM_DISKS_MAX + 1)

struct remnants_look {
	struct remnants_input in; /* the texts are borrowed */
	struct hypervisor *hypervisor;
	struct attempt_name attempt;
	char vm_uuid[VM_UUID_BYTES];
	char directory[VM_PATH_BYTES]; /* of its tunnel */
	char places[REMNANT_PLACES_MAX][VM_PATH_BYTES];
	size_t n_places;

	/* Destination. */
	char migration_address[64];
	uint16_t port, disk_port; /* 0 = not known */
	uint16_t pool_first, pool_last;
	uint64_t leased_ports; /* bit n: pool_first + n is leased to another attempt */
	char start_block[VM_PATH_BYTES];
	bool may_start; /* the guest is rightly among those that may start here */

	struct error problem; /* of libvirt; @in points to it */
};

void remnants_look(struct remnants_look *look);

/* Adds the directory of the file @path, once. */
void remnants_look_add_place(struct remnants_look *look, const char *path);
