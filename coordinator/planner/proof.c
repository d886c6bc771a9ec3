/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates. Theory: proof.h. They speak of the end, when all that leave have left: what is not
 * possible then is not possible in any order. */
#include "coordinator/planner/proof.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Sizes that are tried as "at least so much": more would prove little more. */
#define SIZES_MOST 24

static unsigned get_resource(enum room_check check, const struct instance_vm *vm)
{
	return check == ROOM_VCPUS ? PROOF_VCPUS : check == ROOM_HUGEPAGES ? vm->pool : 0;
}

static bool find_alone(const struct room *room, uint32_t v, struct proof *proof)
{
	const struct instance *in = room->in;

	for (uint32_t h = 0; h < in->n_hosts; h++) {
		uint64_t missing = 0;
		enum room_check check = room_check(room, v, h, &missing);

		if (check == ROOM_FITS)
			return false;
		proof->checks[check]++;
		if (check != ROOM_MEMORY && check != ROOM_HUGEPAGES && check != ROOM_VCPUS)
			continue;
		if (proof->host == INSTANCE_NONE || missing < proof->missing ||
		    (missing == proof->missing && in->hosts[h].key < in->hosts[proof->host].key)) {
			proof->host = h;
			proof->missing = missing;
			proof->resource = get_resource(check, &in->vms[v]);
		}
	}
	proof->kind = PROOF_ALONE;
	return true;
}

/* --- counting --- */

struct counted {
	const struct room *room;
	uint32_t class_id, host; /* the hosts: those of a class, or one */
	unsigned resource;
};

static bool is_counted_host(const struct counted *c, uint32_t h)
{
	const struct instance *in = c->room->in;

	return in->hosts[h].open &&
	       (c->host != INSTANCE_NONE ? h == c->host : instance_allows(in, c->class_id, h));
}

/* Whether @v can go nowhere else. */
static bool is_counted(const struct counted *c, uint32_t v)
{
	const struct instance *in = c->room->in;
	const struct instance_vm *vm = &in->vms[v];
	const uint64_t *mine, *theirs;

	if (vm->role != INSTANCE_LEAVES)
		return false;
	if (c->host != INSTANCE_NONE)
		return vm->target == c->host;
	if (vm->target != INSTANCE_NONE)
		return is_counted_host(c, vm->target);
	if (vm->class_id == c->class_id)
		return true;
	mine = in->classes + (size_t)vm->class_id * in->words;
	theirs = in->classes + (size_t)c->class_id * in->words;
	for (uint32_t w = 0; w < in->words; w++) {
		if (mine[w] & ~theirs[w])
			return false;
	}
	return true;
}

static uint64_t need_of(const struct instance_vm *vm, unsigned resource)
{
	return resource == PROOF_VCPUS ? vm->vcpus : instance_need(vm, resource);
}

static uint64_t room_of(const struct room *room, uint32_t h, unsigned resource)
{
	return resource == PROOF_VCPUS ? room->vcpus[h] : room->free_bytes[h][resource];
}

static int compare_down(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x > y ? -1 : x < y;
}

static bool count(const struct counted *c, const uint64_t *needs, uint32_t n, uint64_t least,
                  struct proof *proof)
{
	const struct instance *in = c->room->in;
	uint64_t sum = 0, room = 0, places = 0;
	uint32_t many = 0;

	if (!least)
		return false;
	while (many < n && needs[many] >= least)
		sum += needs[many++];
	for (uint32_t h = 0; h < in->n_hosts; h++) {
		uint64_t bytes = is_counted_host(c, h) ? room_of(c->room, h, c->resource) : 0;

		if (bytes < least)
			continue;
		if (bytes == UINT64_MAX)
			return false; /* without a limit nothing is counted */
		room += bytes;
		places += bytes / least;
	}
	if (sum <= room && many <= places)
		return false;
	proof->kind = sum > room ? PROOF_SUM : PROOF_COUNT;
	proof->class_id = c->class_id;
	proof->host = c->host;
	proof->resource = c->resource;
	proof->least = least;
	proof->needed = sum > room ? sum : many;
	proof->available = sum > room ? room : places;
	proof->missing = proof->needed - proof->available;
	return true;
}

static bool find_count(const struct counted *c, uint32_t v, struct proof *proof)
{
	const struct instance *in = c->room->in;
	uint64_t mine = need_of(&in->vms[v], c->resource), last = UINT64_MAX;
	uint64_t *needs;
	uint32_t n = 0, tried = 0;
	bool found = false;

	if (!mine || !is_counted(c, v))
		return false;
	needs = xcalloc((size_t)in->n_vms + 1, sizeof(*needs));
	for (uint32_t i = 0; i < in->n_vms; i++) {
		uint64_t need = need_of(&in->vms[i], c->resource);

		if (need && is_counted(c, i))
			needs[n++] = need;
	}
	qsort(needs, n, sizeof(*needs), compare_down);
	/* The whole first, then the large ones alone, from this guest's size down. */
	found = n && count(c, needs, n, needs[n - 1], proof);
	for (uint32_t i = 0; i < n && tried < SIZES_MOST && !found; i++) {
		if (needs[i] == last || needs[i] > mine)
			continue;
		last = needs[i];
		tried++;
		found = count(c, needs, n, last, proof);
	}
	free(needs);
	return found;
}

static bool find_counts(const struct room *room, uint32_t v, struct proof *proof)
{
	const struct instance *in = room->in;

	for (unsigned resource = 0; resource <= PROOF_VCPUS; resource++) {
		struct counted c = { .room = room, .host = INSTANCE_NONE, .resource = resource };

		for (; c.class_id < in->n_classes; c.class_id++) {
			if (find_count(&c, v, proof))
				return true;
		}
		c.class_id = 0;
		c.host = in->vms[v].target;
		if (c.host != INSTANCE_NONE && find_count(&c, v, proof))
			return true;
	}
	return false;
}

/* --- apart --- */

static bool find_apart(const struct room *room, uint32_t v, struct proof *proof)
{
	const struct instance *in = room->in;

	for (uint32_t i = in->group_first[v]; i < in->group_first[v + 1]; i++) {
		const struct instance_group *group = &in->groups[in->group_of[i]];
		uint32_t guests = 0, hosts = 0;

		if (group->kind != INSTANCE_APART || !group->hard)
			continue;
		for (uint32_t k = 0; k < group->n_vms; k++)
			guests += in->vms[group->vms[k]].role == INSTANCE_LEAVES;
		for (uint32_t h = 0; h < in->n_hosts && hosts < guests; h++) {
			bool fits = false;

			for (uint32_t k = 0; k < group->n_vms && !fits; k++)
				fits = in->vms[group->vms[k]].role == INSTANCE_LEAVES &&
				       room_check(room, group->vms[k], h, NULL) == ROOM_FITS;
			hosts += fits;
		}
		if (hosts < guests) {
			proof->kind = PROOF_APART;
			proof->group = in->group_of[i];
			proof->needed = guests;
			proof->available = hosts;
			proof->missing = guests - hosts;
			return true;
		}
	}
	return false;
}

void proof_find(const struct instance *in, uint32_t v, bool searched, struct proof *ret_proof)
{
	struct proof proof = { .vm = v, .host = INSTANCE_NONE };
	struct room room;

	room_init(&room, in, true);
	if (!find_alone(&room, v, &proof)) {
		proof = (struct proof){ .vm = v, .host = INSTANCE_NONE };
		if (!find_counts(&room, v, &proof) && !find_apart(&room, v, &proof) && searched)
			proof.kind = PROOF_SEARCHED;
	}
	room_deinit(&room);
	*ret_proof = proof;
}

void proof_find_cycle(const struct instance *in, const struct schedule *schedule, uint32_t v,
                      struct proof *ret_proof)
{
	struct proof proof = { .vm = v, .host = INSTANCE_NONE, .kind = PROOF_CYCLE };
	struct room room;

	room_init(&room, in, false);
	for (uint32_t m = 0; m < schedule->n_moves; m++) {
		const struct schedule_move *move = &schedule->moves[m];

		/* Each has come and left: the order is of no matter for what is left. */
		for (unsigned p = 0; p < INSTANCE_POOLS && !move->running; p++)
			room.free_bytes[move->to][p] -= instance_need(&in->vms[move->vm], p);
		if (room.vcpus[move->to] != UINT64_MAX && !move->running)
			room.vcpus[move->to] -= in->vms[move->vm].vcpus;
		room_give(&room, move->vm, move->from);
		room.at[move->vm] = move->to;
		room.to[move->vm] = INSTANCE_NONE;
	}
	for (uint32_t i = 0; i < schedule->n_stuck && proof.kind == PROOF_CYCLE; i++) {
		for (uint32_t h = 0; h < in->n_hosts; h++) {
			const struct instance_vm *vm = &in->vms[schedule->stuck[i]];

			if (h == room.at[schedule->stuck[i]] || !in->hosts[h].open ||
			    !instance_allows(in, vm->class_id, h) ||
			    room_check_now(&room, schedule->stuck[i], h, NULL) != ROOM_FITS)
				continue;
			proof.kind = PROOF_NONE;
		}
	}
	if (proof.kind == PROOF_CYCLE) {
		proof.n_with = schedule->n_stuck;
		proof.with = xmemdup(schedule->stuck, schedule->n_stuck * sizeof(*proof.with));
	}
	room_deinit(&room);
	*ret_proof = proof;
}

void proof_deinit(struct proof *proof)
{
	free(proof->with);
	*proof = (struct proof){ 0 };
}
