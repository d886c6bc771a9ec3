/* SPDX-License-Identifier: Apache-2.0 */
/* What every hypervisor behind agent/hypervisor/hypervisor.h must do, as one set of cases.
 *
 * An implementation provides a stage: two hosts, and the hands that put guests on them and stop
 * their libvirtd. suite_run plays all cases on it, each with a guest of its own.
 */
#pragma once

#include "agent/hypervisor/hypervisor.h"

#include <stddef.h>
#include <stdint.h>

struct suite_guest {
	const char *name;
	uint64_t memory_bytes, working_set_bytes, dirty_bytes_per_s;
	bool persistent;
	uint64_t private_disk_bytes; /* a raw disk "hda" on the source alone; 0 = none */
};

struct suite_stage {
	struct hypervisor *source, *target; /* not watched yet */
	const char *target_socket; /* control socket of the target, as the source sees it */
	const char *migrate_uri, *listen_address, *disks_uri;
	bool tls;
	const char *bridge; /* that both hosts have */

	/* A running guest on the source. Fails the test if it cannot. */
	void (*add_guest)(const struct suite_guest *guest);
	/* An empty image for that disk on the target, where the guest expects it. */
	void (*add_image)(const char *name, uint64_t bytes);
	/* It does not react when it is asked to shut down; or does again. */
	void (*ignore_power)(const char *name, bool ignores);
	/* Removes all that is left of it on both hosts. */
	void (*remove_guest)(const char *name);
	/* What the source's migration network carries; 0: what it did at first. */
	void (*set_link)(uint64_t bytes_per_s);
	void (*stop_libvirtd)(void); /* the source's: killed */
	void (*start_libvirtd)(void);
};

/* Runs all cases whose name contains @filter (NULL: all); returns how many failed. */
int suite_run(const struct suite_stage *stage, const char *filter);
