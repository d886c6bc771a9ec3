/* SPDX-License-Identifier: Apache-2.0 */
/* The books of room. Theory: room.h. */
#include "coordinator/planner/room.h"

#include "common/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void leave(struct room *room, uint32_t v)
{
	const struct instance_vm *vm = &room->in->vms[v];

	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		room->free_bytes[vm->home][p] += instance_need(vm, p);
	if (room->vcpus[vm->home] != UINT64_MAX)
		room->vcpus[vm->home] += vm->vcpus;
}

void room_alloc(struct room *room, const struct instance *in)
{
	*room = (struct room){
		.in = in,
		.free_bytes = xcalloc((size_t)in->n_hosts + 1, sizeof(*room->free_bytes)),
		.vcpus = xcalloc((size_t)in->n_hosts + 1, sizeof(*room->vcpus)),
		.at = xcalloc((size_t)in->n_vms + 1, sizeof(*room->at)),
		.to = xcalloc((size_t)in->n_vms + 1, sizeof(*room->to)),
	};
}

void room_init_movers(struct room *room, const struct instance *in, bool settled,
                      const uint32_t *movers, uint32_t n_movers)
{
	room_alloc(room, in);
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		memcpy(room->free_bytes[h], in->hosts[h].free_bytes, sizeof(*room->free_bytes));
		room->vcpus[h] = in->hosts[h].vcpu_room;
	}
	/* Who stays matters only to those of its groups. */
	for (uint32_t v = 0; in->n_groups && v < in->n_vms; v++) {
		room->at[v] = in->vms[v].home;
		room->to[v] = INSTANCE_NONE;
	}
	for (uint32_t i = 0; i < n_movers; i++) {
		uint32_t v = movers[i];
		const struct instance_vm *vm = &in->vms[v];

		room->at[v] = vm->home;
		room->to[v] = vm->role == INSTANCE_RUNNING ? vm->target : INSTANCE_NONE;
		if (!settled)
			continue;
		leave(room, v);
		room->at[v] = room->to[v];
		room->to[v] = INSTANCE_NONE;
	}
}

void room_init(struct room *room, const struct instance *in, bool settled)
{
	uint32_t n, *movers = instance_list_movers(in, &n);

	room_init_movers(room, in, settled, movers, n);
	free(movers);
}

void room_copy(struct room *to, const struct room *from)
{
	const struct instance *in = from->in;

	memcpy(to->free_bytes, from->free_bytes, in->n_hosts * sizeof(*to->free_bytes));
	memcpy(to->vcpus, from->vcpus, in->n_hosts * sizeof(*to->vcpus));
	memcpy(to->at, from->at, in->n_vms * sizeof(*to->at));
	memcpy(to->to, from->to, in->n_vms * sizeof(*to->to));
}

void room_deinit(struct room *room)
{
	free(room->free_bytes);
	free(room->vcpus);
	free(room->at);
	free(room->to);
	*room = (struct room){ 0 };
}

static bool is_present(const struct room *room, uint32_t vm, uint32_t host)
{
	return room->at[vm] == host || room->to[vm] == host;
}

/* Whether some guest that must be apart from @v is on @host. */
static bool is_apart(const struct room *room, uint32_t v, uint32_t host)
{
	const struct instance *in = room->in;

	for (uint32_t i = in->group_first[v]; i < in->group_first[v + 1]; i++) {
		const struct instance_group *group = &in->groups[in->group_of[i]];

		if (group->kind != INSTANCE_APART || !group->hard)
			continue;
		for (uint32_t k = 0; k < group->n_vms; k++) {
			if (group->vms[k] != v && is_present(room, group->vms[k], host))
				return false;
		}
	}
	return true;
}

/* Whether no guest that must be with @v stays somewhere else. */
static bool is_together(const struct room *room, uint32_t v, uint32_t host)
{
	const struct instance *in = room->in;

	for (uint32_t i = in->group_first[v]; i < in->group_first[v + 1]; i++) {
		const struct instance_group *group = &in->groups[in->group_of[i]];

		if (group->kind != INSTANCE_TOGETHER || !group->hard)
			continue;
		for (uint32_t k = 0; k < group->n_vms; k++) {
			const struct instance_vm *other = &in->vms[group->vms[k]];

			if (other->role == INSTANCE_STAYS && other->home != host)
				return false;
			if (other->role == INSTANCE_RUNNING && other->target != host)
				return false;
		}
	}
	return true;
}

static enum room_check short_of(uint64_t missing, enum room_check check, uint64_t *ret_missing)
{
	if (ret_missing)
		*ret_missing = missing;
	return check;
}

enum room_check room_check_now(const struct room *room, uint32_t v, uint32_t host,
                               uint64_t *ret_missing)
{
	const struct instance_vm *vm = &room->in->vms[v];
	const uint64_t *free_bytes = room->free_bytes[host];

	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		uint64_t need = instance_need(vm, p);

		if (free_bytes[p] < need)
			return short_of(need - free_bytes[p], p ? ROOM_HUGEPAGES : ROOM_MEMORY,
			                ret_missing);
	}
	if (room->vcpus[host] < vm->vcpus)
		return short_of(vm->vcpus - room->vcpus[host], ROOM_VCPUS, ret_missing);
	if (room->in->n_groups && !is_apart(room, v, host))
		return ROOM_APART;
	return ROOM_FITS;
}

enum room_check room_check(const struct room *room, uint32_t v, uint32_t host,
                           uint64_t *ret_missing)
{
	const struct instance_vm *vm = &room->in->vms[v];

	if (vm->home == host)
		return ROOM_HOME;
	if (!room->in->hosts[host].open)
		return ROOM_CLOSED;
	if (!instance_allows(room->in, vm->class_id, host))
		return ROOM_CLASS;
	if (vm->target != INSTANCE_NONE && vm->target != host)
		return ROOM_PINNED;
	if (room->in->n_groups && !is_together(room, v, host))
		return ROOM_TOGETHER;
	return room_check_now(room, v, host, ret_missing);
}

void room_take(struct room *room, uint32_t v, uint32_t host)
{
	const struct instance_vm *vm = &room->in->vms[v];

	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		uint64_t need = instance_need(vm, p);

		assert(room->free_bytes[host][p] >= need);
		room->free_bytes[host][p] -= need;
	}
	if (room->vcpus[host] != UINT64_MAX)
		room->vcpus[host] -= vm->vcpus;
}

void room_give(struct room *room, uint32_t v, uint32_t host)
{
	const struct instance_vm *vm = &room->in->vms[v];

	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		room->free_bytes[host][p] += instance_need(vm, p);
	if (room->vcpus[host] != UINT64_MAX)
		room->vcpus[host] += vm->vcpus;
}

void room_begin(struct room *room, uint32_t v, uint32_t to)
{
	room_take(room, v, to);
	room->to[v] = to;
}

void room_end(struct room *room, uint32_t v)
{
	room_give(room, v, room->at[v]);
	room->at[v] = room->to[v];
	room->to[v] = INSTANCE_NONE;
}
