/* SPDX-License-Identifier: Apache-2.0 */
/* See classes.h. */
#include "coordinator/core/plan/classes.h"

#include "common/alloc.h"
#include "coordinator/core/move/refusals.h"

#include <stdlib.h>
#include <string.h>

#define KNOWN_FIRST 16

/* The same needs, from hosts that are equal where the guest sees its host. */
struct alike {
	uint64_t hash;
	const struct guest_needs *needs; /* borrowed from the fleet */
	const struct node *home;         /* NULL: it does not matter */
	uint32_t class_id;
};

void classes_init(struct classes *c, const struct plan *plan, uint64_t now_ms)
{
	*c = (struct classes){ .plan = plan,
		               .now_ms = now_ms,
		               .words = (uint32_t)(plan->count + 63) / 64 };
	for (size_t h = 0; h < plan->count; h++)
		denials_collect(plan->nodes[h].node, now_ms, &c->denied);
}

void classes_deinit(struct classes *c)
{
	free(c->rows);
	free(c->known);
	*c = (struct classes){ 0 };
}

static uint64_t *add_row(struct classes *c)
{
	uint64_t *row;

	if (c->count == c->room) {
		c->room = c->room ? 2 * c->room : KNOWN_FIRST;
		c->rows = xreallocarray(c->rows, (size_t)c->room * c->words + 1, sizeof(*c->rows));
	}
	row = c->rows + (size_t)c->count++ * c->words;
	memset(row, 0xff, c->words * sizeof(*row));
	return row;
}

/* Most hosts offer the same. */
#define VERDICTS 8

struct verdicts {
	struct verdict {
		uint64_t hash;
		bool fits;
	} items[VERDICTS];
	size_t count;
};

static bool fits_kind(struct verdicts *known, const struct node *node, const struct vm *vm)
{
	const struct host_offers *offers = node->host.offers;
	bool fits;

	if (!offers)
		return true;
	for (size_t i = 0; i < known->count; i++) {
		if (known->items[i].hash == offers->hash)
			return known->items[i].fits;
	}
	fits = plan_judge_kind(node, vm, NULL) == PLAN_FITS;
	if (known->count < VERDICTS)
		known->items[known->count++] = (struct verdict){ offers->hash, fits };
	return fits;
}

static uint32_t judge(struct classes *c, const struct vm *vm)
{
	struct verdicts known = { .count = 0 };
	uint64_t *row = NULL;

	for (size_t h = 0; h < c->plan->count; h++) {
		const struct node *node = c->plan->nodes[h].node;

		if (node == vm->node ||
		    (fits_kind(&known, node, vm) &&
		     plan_judge_pair(node, vm, c->now_ms) == PLAN_FITS &&
		     !(c->remembers && refusals_find_known(vm, node, c->now_ms))))
			continue;
		if (!row)
			row = add_row(c);
		row[h / 64] &= ~((uint64_t)1 << h % 64);
	}
	return row ? c->count : 0;
}

static bool is_plain(const struct vm *vm)
{
	return !vm->refusals && (!vm->sightings || !vm->sightings->next_vm);
}

uint32_t classes_get(struct classes *c, const struct vm *vm)
{
	const struct sighting *sighting = vm->node ? fleet_find_sighting(vm, vm->node) : NULL;
	const struct guest_needs *needs = sighting ? &sighting->state.needs : NULL;
	const struct node *home;
	uint64_t hash;

	if (!is_plain(vm))
		return judge(c, vm);
	if (!needs || !needs->known)
		return 0;
	home = needs->sees_host || denials_concern(&c->denied, sighting) ? vm->node : NULL;
	hash = guest_needs_hash(needs);
	for (size_t i = 0; i < c->n_known; i++) {
		if (c->known[i].hash == hash && c->known[i].home == home &&
		    guest_needs_equal(c->known[i].needs, needs))
			return c->known[i].class_id;
	}
	if (c->n_known == c->room_known) {
		c->room_known = c->room_known ? 2 * c->room_known : KNOWN_FIRST;
		c->known = xreallocarray(c->known, c->room_known, sizeof(*c->known));
	}
	c->known[c->n_known] = (struct alike){
		.hash = hash, .needs = needs, .home = home, .class_id = judge(c, vm)
	};
	return c->known[c->n_known++].class_id;
}

bool classes_allow(const struct classes *c, uint32_t class_id, size_t node)
{
	return !class_id ||
	       (c->rows[(size_t)(class_id - 1) * c->words + node / 64] >> node % 64 & 1);
}
