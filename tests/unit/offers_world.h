/* SPDX-License-Identifier: Apache-2.0 */
/* A core_world whose hosts tell what they offer (networks, machine types, CPU, rooms), and guests that need
 * some of it: a guest of offers_guest fits any host that is as `(struct offers){ 0 }` says. */
#pragma once

#include "tests/unit/core_world.h"

/* How a host differs from the others; what is 0 is as everywhere. */
struct offers {
	uint64_t capacity_mib;
	uint32_t ports; /* 0: as core_world has them */
	const char *bridge;
	const char *machine;
	const char *signature;
	struct host_rooms rooms;
};

/* A host with its agent attached that tells this; one that is there tells this from now on. */
void offers_add_host(struct core_world *world, const char *name, const struct offers *offers);
void offers_tell(struct core_world *world, const char *name, const struct offers *offers);

/* Its networks are not its own. */
struct vm_state offers_guest(const char *name, uint64_t memory_mib);

/* host1 with @guest, and host2, which lacks something and has twice the room. */
struct core_world *offers_two_hosts(const struct offers *lacks, const struct vm_state *guest);

/* The dry run of a drain of host1, or of another host; of host1 with its disks copied. */
const struct reply *offers_ask(struct core_world *world);
const struct reply *offers_ask_of(struct core_world *world, const char *node);
const struct reply *offers_ask_copying(struct core_world *world);
/* The guest "web" cannot leave host1, and the reason has this in it. */
void offers_expect_blocked(struct core_world *world, const char *word);
