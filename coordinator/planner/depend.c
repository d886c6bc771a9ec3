/* SPDX-License-Identifier: Apache-2.0 */
/* Which moves must have ended before which may start, so that the plan holds when ends come late.
 *
 * Per host, arrivals in the order of their starts need room in sum. Where that is more than there is
 * without any departure, an arrival waits for the departures that ended before it started, the
 * earliest first, until its sum fits. Each arrival counts all planned before it, so whichever of
 * them comes first, the room is there. Guests that must be apart wait for the other's leaving, and a
 * guest's second leg for its first.
 */
#include "coordinator/planner/schedule.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/planner/room.h"

#include <stdlib.h>
#include <string.h>

struct edges {
	uint32_t *items; /* pairs: move, after */
	size_t n, room;
};

static void add_edge(struct edges *edges, uint32_t move, uint32_t after)
{
	if (edges->n == edges->room) {
		edges->room = edges->room ? 2 * edges->room : 64;
		edges->items = xreallocarray(edges->items, edges->room, 2 * sizeof(uint32_t));
	}
	edges->items[2 * edges->n] = move;
	edges->items[2 * edges->n++ + 1] = after;
}

/* Moves of each host in CSR: by `from` in order of end, by `to` in order of start. */
struct index {
	uint32_t *first, *moves;
};

static int compare_ends(const void *a, const void *b, void *context)
{
	const struct schedule_move *moves = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (moves[x].end_s != moves[y].end_s)
		return moves[x].end_s < moves[y].end_s ? -1 : 1;
	return x < y ? -1 : x > y;
}

static struct index make_index(const struct instance *in, const struct schedule *s, bool departures)
{
	struct index index = {
		.first = xcalloc((size_t)in->n_hosts + 2, sizeof(uint32_t)),
		.moves = xcalloc((size_t)s->n_moves + 1, sizeof(uint32_t)),
	};
	uint32_t *at;

	for (uint32_t m = 0; m < s->n_moves; m++)
		index.first[(departures ? s->moves[m].from : s->moves[m].to) + 1]++;
	for (uint32_t h = 0; h < in->n_hosts; h++)
		index.first[h + 1] += index.first[h];
	at = xmemdup(index.first, ((size_t)in->n_hosts + 1) * sizeof(*at));
	for (uint32_t m = 0; m < s->n_moves; m++)
		index.moves[at[departures ? s->moves[m].from : s->moves[m].to]++] = m;
	free(at);
	for (uint32_t h = 0; departures && h < in->n_hosts; h++)
		qsort_r(index.moves + index.first[h], index.first[h + 1] - index.first[h],
		        sizeof(uint32_t), compare_ends, s->moves);
	return index;
}

struct sum {
	uint64_t bytes[INSTANCE_POOLS], vcpus;
};

static void add(struct sum *sum, const struct instance_vm *vm)
{
	for (unsigned p = 0; p < INSTANCE_POOLS; p++)
		sum->bytes[p] += instance_need(vm, p);
	sum->vcpus += vm->vcpus;
}

static bool is_short(const struct instance_host *host, const struct sum *needed,
                     const struct sum *left)
{
	for (unsigned p = 0; p < INSTANCE_POOLS; p++) {
		if (needed->bytes[p] > host->free_bytes[p] + left->bytes[p])
			return true;
	}
	return host->vcpu_room != UINT64_MAX && needed->vcpus > host->vcpu_room + left->vcpus;
}

static void link_host(const struct instance *in, const struct schedule *s, uint32_t h,
                      const struct index *arrivals, const struct index *departures,
                      struct edges *edges)
{
	struct sum needed = { 0 };

	for (uint32_t i = arrivals->first[h]; i < arrivals->first[h + 1]; i++) {
		uint32_t m = arrivals->moves[i];
		struct sum left = { 0 };

		/* What runs has its room already. */
		if (s->moves[m].running)
			continue;
		add(&needed, &in->vms[s->moves[m].vm]);
		for (uint32_t k = departures->first[h];
		     k < departures->first[h + 1] && is_short(&in->hosts[h], &needed, &left); k++) {
			uint32_t d = departures->moves[k];

			if (s->moves[d].end_s > s->moves[m].start_s)
				break;
			add(&left, &in->vms[s->moves[d].vm]);
			add_edge(edges, m, d);
		}
	}
}

static int compare_homes(const void *a, const void *b, void *context)
{
	const struct schedule_move *moves = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (moves[x].from != moves[y].from)
		return moves[x].from < moves[y].from ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* Of @moves, which are by `from`: those that leave the destination of each, before it comes there. */
static void link_group(const struct schedule *s, const uint32_t *moves, uint32_t n,
                       struct edges *edges)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct schedule_move *move = &s->moves[moves[i]];
		uint32_t first = 0, end = n;

		while (first < end) {
			uint32_t middle = first + (end - first) / 2;

			if (s->moves[moves[middle]].from < move->to)
				first = middle + 1;
			else
				end = middle;
		}
		for (; first < n && s->moves[moves[first]].from == move->to; first++) {
			const struct schedule_move *other = &s->moves[moves[first]];

			if (other->vm != move->vm && other->end_s <= move->start_s)
				add_edge(edges, moves[i], moves[first]);
		}
	}
}

static void link_groups(const struct instance *in, const struct schedule *s, struct edges *edges)
{
	/* Per guest its last move and per move the one before, + 1; each guest once, however often named. */
	_cleanup_free_ uint32_t *last = NULL, *before = NULL, *moves = NULL, *seen = NULL;

	if (!in->n_groups)
		return;
	last = xcalloc((size_t)in->n_vms + 1, sizeof(*last));
	before = xcalloc((size_t)s->n_moves + 1, sizeof(*before));
	moves = xcalloc((size_t)s->n_moves + 1, sizeof(*moves));
	seen = xcalloc((size_t)in->n_vms + 1, sizeof(*seen));
	for (uint32_t m = 0; m < s->n_moves; m++) {
		before[m] = last[s->moves[m].vm];
		last[s->moves[m].vm] = m + 1;
	}
	for (uint32_t g = 0; g < in->n_groups; g++) {
		const struct instance_group *group = &in->groups[g];
		uint32_t n = 0;

		if (group->kind != INSTANCE_APART || !group->hard)
			continue;
		for (uint32_t i = 0; i < group->n_vms; i++) {
			uint32_t v = group->vms[i];

			for (uint32_t m = seen[v] == g + 1 ? 0 : last[v]; m; m = before[m - 1])
				moves[n++] = m - 1;
			seen[v] = g + 1;
		}
		qsort_r(moves, n, sizeof(*moves), compare_homes, s->moves);
		link_group(s, moves, n, edges);
	}
}

static void link_legs(const struct instance *in, const struct schedule *s, struct edges *edges)
{
	_cleanup_free_ uint32_t *leg = NULL;

	if (!s->n_detours)
		return;
	leg = xcalloc((size_t)in->n_vms + 1, sizeof(*leg));
	for (uint32_t m = 0; m < s->n_moves; m++) {
		uint32_t v = s->moves[m].vm;

		if (leg[v])
			add_edge(edges, m, leg[v] - 1);
		leg[v] = m + 1;
	}
}

static int compare_edges(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	if (x[0] != y[0])
		return x[0] < y[0] ? -1 : 1;
	return x[1] < y[1] ? -1 : x[1] > y[1];
}

void schedule_link(const struct instance *in, struct schedule *s)
{
	struct index arrivals = make_index(in, s, false), departures = make_index(in, s, true);
	struct edges edges = { 0 };
	uint32_t n = 0;

	for (uint32_t h = 0; h < in->n_hosts; h++)
		link_host(in, s, h, &arrivals, &departures, &edges);
	link_groups(in, s, &edges);
	link_legs(in, s, &edges);
	if (edges.n)
		qsort(edges.items, edges.n, 2 * sizeof(uint32_t), compare_edges);
	s->after = xcalloc(edges.n + 1, sizeof(*s->after));
	for (size_t e = 0; e < edges.n; e++) {
		uint32_t m = edges.items[2 * e];

		if (e && m == edges.items[2 * e - 2] &&
		    edges.items[2 * e + 1] == edges.items[2 * e - 1])
			continue;
		if (!s->moves[m].n_after)
			s->moves[m].first_after = n;
		s->after[n++] = edges.items[2 * e + 1];
		s->moves[m].n_after++;
	}
	free(edges.items);
	free(arrivals.first);
	free(arrivals.moves);
	free(departures.first);
	free(departures.moves);
}
