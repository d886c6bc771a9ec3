/* SPDX-License-Identifier: Apache-2.0 */
/* Instances to plan on: by hand, and at random. */
#pragma once

#include "coordinator/planner/planner.h"

/* @n hosts of that room, @n_vms guests on host 0 that stay; links of 1000 bytes/s. Sizes are small
 * numbers: a byte is as good as a gibibyte. */
void plan_fixture_init(struct instance *in, uint32_t n_hosts, uint64_t room, uint32_t n_vms);
/* A guest of that size on that host; what it takes there is not free already. */
void plan_fixture_vm(struct instance *in, uint32_t v, uint32_t home, uint64_t bytes,
                     enum instance_role role, uint32_t target);

struct plan_kinds {
	uint32_t hosts, vms; /* at most */
	bool groups, classes, pools, vcpus, caps, pins, running, tight;
};

/* Consistent, whatever the seed: rooms are what capacities leave. */
void plan_fixture_random(struct instance *in, const struct plan_kinds *kinds, uint64_t seed);
/* The same problem with hosts and guests in another order. @ret_host_of, @ret_vm_of: where each was put. */
void plan_fixture_permute(const struct instance *in, uint64_t seed, struct instance *ret_in,
                          uint32_t *ret_host_of, uint32_t *ret_vm_of);
