/* SPDX-License-Identifier: Apache-2.0 */
/* Who is where and what is left: the books that placement and scheduling keep while they try.
 *
 * A guest is present where it is (`at`) and where it goes (`to`): while it moves what it takes is held
 * at both ends, and guests that must be apart are kept apart from both. (Of vCPUs it needs only one
 * end's; but a move may fail, and then it is back where it was.) room_check names the first check that fails; the cheap ones come first.
 */
#pragma once

#include "coordinator/planner/instance.h"

enum room_check {
	ROOM_FITS,
	ROOM_HOME,   /* it is there */
	ROOM_CLOSED, /* the host takes no guests */
	ROOM_CLASS,  /* it cannot run there at all */
	ROOM_PINNED, /* it may go to another host only */
	ROOM_MEMORY,
	ROOM_HUGEPAGES,
	ROOM_VCPUS,
	ROOM_APART,    /* a guest that it must be apart from is there */
	ROOM_TOGETHER, /* a guest that it must be with is elsewhere */
	ROOM_CHECKS
};

struct room {
	const struct instance *in;
	uint64_t (*free_bytes)[INSTANCE_POOLS]; /* owned, as all here; per host */
	uint64_t *vcpus;
	uint32_t *at, *to; /* per guest; NONE: not counted anywhere */
};

/* @settled: as when all that leave have left (placement); else as it is now (scheduling). */
void room_init(struct room *room, const struct instance *in, bool settled);
/* For who has them: all of instance_list_movers, in any order. */
void room_init_movers(struct room *room, const struct instance *in, bool settled,
                      const uint32_t *movers, uint32_t n_movers);
/* To be copied into. */
void room_alloc(struct room *room, const struct instance *in);
void room_copy(struct room *to, const struct room *from);
void room_deinit(struct room *room);

/* Of guests that must be with others only those that stay are looked at.
 * @ret_missing (may be NULL): bytes or vCPUs that are short. */
enum room_check room_check(const struct room *room, uint32_t vm, uint32_t host,
                           uint64_t *ret_missing);
/* Only what changes while others move: RAM, vCPUs, and guests that must be apart. */
enum room_check room_check_now(const struct room *room, uint32_t vm, uint32_t host,
                               uint64_t *ret_missing);
void room_take(struct room *room, uint32_t vm, uint32_t host);
void room_give(struct room *room, uint32_t vm, uint32_t host);

/* A move begins: what it takes is held at both ends from now on. And ends. */
void room_begin(struct room *room, uint32_t vm, uint32_t to);
void room_end(struct room *room, uint32_t vm);
