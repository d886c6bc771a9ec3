/* SPDX-License-Identifier: Apache-2.0 */
/* Hard policies among guests that are to be placed together. Private to core/capacity. Those that stay
 * elsewhere are plan_judge's to look at. */
#pragma once

#include "coordinator/core/capacity/capacity.h"
#include "coordinator/planner/instance.h"

/* Of each guest those before it (in answer->guests) that it must be apart from, or with. */
struct capacity_peers {
	struct capacity_peer {
		size_t guest;
		bool apart; /* else together */
	} * items;          /* owned; those of guest g are items[first[g] .. first[g + 1]) */
	size_t *first;      /* owned */
	size_t n_guests, count;
};

bool capacity_has_policy(const struct fleet *fleet, const struct vm *vm);
/* Returns whether there are any. */
bool capacity_peers_init(struct capacity_peers *peers, const struct fleet *fleet,
                         const struct capacity_answer *answer);
void capacity_peers_deinit(struct capacity_peers *peers);
bool capacity_peers_allow(const struct capacity_peers *peers, size_t guest, size_t room,
                          const size_t *rooms);
/* The same as groups of an instance whose guests are those of the answer. */
void capacity_peers_add_groups(const struct capacity_peers *peers, struct instance *in);
