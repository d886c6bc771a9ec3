/* SPDX-License-Identifier: Apache-2.0 */
/* See capacity_policies.h. */
#include "coordinator/core/capacity/capacity_policies.h"

#include "common/alloc.h"
#include "coordinator/core/policy/policy.h"

#include <stdlib.h>

bool capacity_has_policy(const struct fleet *fleet, const struct vm *vm)
{
	struct policy *const *policies;
	size_t count = policy_list_of(fleet, vm->uuid, &policies);

	for (size_t i = 0; i < count; i++) {
		if (!policies[i]->kept.soft)
			return true;
	}
	return false;
}

/* Where each guest is among those of the answer. */
struct place_in_answer {
	const struct vm *vm;
	size_t guest;
	UT_hash_handle hh;
};

static struct place_in_answer *index_guests(const struct fleet *fleet,
                                            const struct capacity_answer *answer)
{
	struct place_in_answer *all = NULL;

	for (size_t g = 0; g < answer->n_guests; g++) {
		struct place_in_answer *place;

		if (!capacity_has_policy(fleet, answer->guests[g].vm))
			continue;
		place = xnew(struct place_in_answer);
		place->vm = answer->guests[g].vm;
		place->guest = g;
		HASH_ADD_PTR(all, vm, place);
	}
	return all;
}

static void add_peers(struct capacity_peers *peers, struct place_in_answer *all,
                      const struct fleet *fleet, const struct policy *policy, size_t guest)
{
	for (size_t i = 0; i < policy->kept.vms.count; i++) {
		const struct vm *vm = fleet_find_vm(fleet, policy->kept.vms.items[i]);
		struct place_in_answer *place;

		HASH_FIND_PTR(all, &vm, place);
		if (!place || place->guest >= guest)
			continue;
		peers->items = xreallocarray(peers->items, peers->count + 1, sizeof(*peers->items));
		peers->items[peers->count++] = (struct capacity_peer){
			.guest = place->guest, .apart = policy->kept.kind == POLICY_APART
		};
	}
}

bool capacity_peers_init(struct capacity_peers *peers, const struct fleet *fleet,
                         const struct capacity_answer *answer)
{
	struct place_in_answer *all, *place, *next;

	*peers = (struct capacity_peers){ .n_guests = answer->n_guests };
	if (!fleet->policies)
		return false;
	all = index_guests(fleet, answer);
	peers->first = xcalloc(answer->n_guests + 1, sizeof(*peers->first));
	for (size_t g = 0; g < answer->n_guests; g++) {
		struct policy *const *policies;
		size_t count = policy_list_of(fleet, answer->guests[g].vm->uuid, &policies);

		peers->first[g] = peers->count;
		for (size_t i = 0; i < count; i++) {
			if (!policies[i]->kept.soft && policies[i]->kept.kind != POLICY_ON)
				add_peers(peers, all, fleet, policies[i], g);
		}
	}
	peers->first[answer->n_guests] = peers->count;
	HASH_ITER (hh, all, place, next) {
		HASH_DEL(all, place);
		free(place);
	}
	return peers->count;
}

void capacity_peers_deinit(struct capacity_peers *peers)
{
	free(peers->items);
	free(peers->first);
	*peers = (struct capacity_peers){ 0 };
}

bool capacity_peers_allow(const struct capacity_peers *peers, size_t guest, size_t room,
                          const size_t *rooms)
{
	for (size_t i = peers->first[guest]; i < peers->first[guest + 1]; i++) {
		const struct capacity_peer *peer = &peers->items[i];

		if ((rooms[peer->guest] == room) == peer->apart)
			return false;
	}
	return true;
}

void capacity_peers_add_groups(const struct capacity_peers *peers, struct instance *in)
{
	for (size_t g = 0; g < peers->n_guests; g++) {
		for (size_t i = peers->first[g]; i < peers->first[g + 1]; i++) {
			const struct capacity_peer *peer = &peers->items[i];
			uint32_t pair[] = { (uint32_t)peer->guest, (uint32_t)g };

			instance_add_group(in, peer->apart ? INSTANCE_APART : INSTANCE_TOGETHER,
			                   true, pair, 2);
		}
	}
}
