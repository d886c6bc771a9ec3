/* SPDX-License-Identifier: Apache-2.0 */
/* Why a guest has no place: a certificate that somebody else can check against the instance, and what
 * would help.
 *
 *	ALONE     every host fails a check for this guest alone, even when all that leave have left
 *	SUM       those that can only go to these hosts need more than these hosts have
 *	COUNT     so many need at least so much, and these hosts can hold fewer such
 *	APART     more guests that must be apart than hosts that could take one
 *	SEARCHED  all ways were tried; no one places all
 *	CYCLE     they wait for each other's room, and no host has room for any of them meanwhile
 *	NONE      no place was found, and that is not proved
 */
#pragma once

#include "coordinator/planner/place.h"
#include "coordinator/planner/schedule.h"

enum proof_kind {
	PROOF_NONE,
	PROOF_ALONE,
	PROOF_SUM,
	PROOF_COUNT,
	PROOF_APART,
	PROOF_SEARCHED,
	PROOF_CYCLE,
	PROOF_KINDS
};

#define PROOF_VCPUS INSTANCE_POOLS /* the resource after the pools */

struct proof {
	uint32_t vm;
	enum proof_kind kind;
	/* ALONE: how many hosts fail which check, and the one that lacks least: @missing of @resource
	 * (bytes of a pool, or vCPUs) on @host; NONE: it is not for want of room. */
	uint32_t checks[ROOM_CHECKS];
	uint32_t host;
	unsigned resource;
	uint64_t missing;
	/* SUM, COUNT: guests that need at least @least of @resource and can go only where @class_id
	 * allows (or, if not NONE, only to @host). SUM: they need @needed, and the hosts that could take
	 * the least of them have @available. COUNT: they are @needed, and there is room for @available. */
	uint32_t class_id;
	uint64_t least, needed, available;
	uint32_t group; /* APART; needed guests, available hosts */
	uint32_t n_with;
	uint32_t *with; /* owned; CYCLE: those that wait for each other */
};

/* @searched: as placement.searched. */
void proof_find(const struct instance *in, uint32_t vm, bool searched, struct proof *ret_proof);
/* For a guest of schedule->stuck. */
void proof_find_cycle(const struct instance *in, const struct schedule *schedule, uint32_t vm,
                      struct proof *ret_proof);
void proof_deinit(struct proof *proof);
