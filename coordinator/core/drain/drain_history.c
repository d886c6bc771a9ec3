/* SPDX-License-Identifier: Apache-2.0 */
/* See drain_history.h. */
#include "coordinator/core/drain/drain_history.h"

#include "common/alloc.h"
#include "coordinator/core/power/power.h"

#include <stdlib.h>
#include <string.h>

static int compare_newest(const void *a, const void *b)
{
	const struct drain *x = *(struct drain *const *)a, *y = *(struct drain *const *)b;

	return x->kept.number > y->kept.number ? -1 : x->kept.number < y->kept.number;
}

/* Those that are over, the newest first. Owned. */
static struct drain **list_over(const struct fleet *fleet, size_t *ret_count, size_t *ret_vms)
{
	struct drain **list = xcalloc(HASH_COUNT(fleet->drains) + 1, sizeof(struct drain *));
	size_t n = 0, vms = 0;

	for (struct drain *drain = fleet->drains; drain; drain = drain->hh.next) {
		if (!drain_state_is_final(drain->kept.state))
			continue;
		list[n++] = drain;
		vms += drain->n_vms;
	}
	qsort(list, n, sizeof(struct drain *), compare_newest);
	*ret_count = n;
	*ret_vms = vms;
	return list;
}

static void mark(struct fleet *fleet, uint64_t number)
{
	struct drain *drain = number ? fleet_find_drain(fleet, number) : NULL;

	if (drain)
		drain->needed = true;
}

/* @list: the newest first, so the first of a node is its latest. */
static void mark_needed(struct fleet *fleet, struct drain **list, size_t count)
{
	/* Who is off for a drain is known by it alone. */
	for (size_t i = 0; i < count; i++)
		list[i]->needed = power_is_needed(&list[i]->kept);
	for (const struct node *node = fleet->nodes; node; node = node->hh.next)
		mark(fleet, node->kept.closed_since);
	/* What is away of a closed node is in migrations that are kept (bring_back_needs). */
	for (const struct migration *m = fleet->migrations; m; m = m->hh.next) {
		mark(fleet, m->kept.drain_number);
		mark(fleet, m->kept.back_of);
	}
	for (const struct drain *d = fleet->drains; d; d = d->hh.next) {
		for (size_t i = 0; i < count && !drain_state_is_final(d->kept.state); i++)
			list[i]->needed |= d->kept.set_number &&
			                   list[i]->kept.set_number == d->kept.set_number;
	}
	for (size_t i = 0; i < count; i++) {
		struct node *node = fleet_find_node(fleet, list[i]->kept.node);

		if (!node || node->latest_marked)
			continue;
		node->latest_marked = true;
		list[i]->needed = true;
	}
	for (struct node *node = fleet->nodes; node; node = node->hh.next)
		node->latest_marked = false;
}

static void forget_vms(struct fleet *fleet, struct drain *drain)
{
	if (!drain->n_vms)
		return;
	for (size_t i = 0; i < drain->n_vms; i++)
		checks_deinit(&drain->vms[i].checks);
	free(drain->vms);
	free(drain->by_uuid);
	drain->vms = NULL;
	drain->by_uuid = NULL;
	drain->n_vms = 0;
	change_drain(fleet, drain);
}

static void forget(struct fleet *fleet, struct drain *drain)
{
	struct step *step = fleet->step;

	step->forgotten = xreallocarray(step->forgotten, step->n_forgotten + 1,
	                                sizeof(*step->forgotten));
	step->forgotten[step->n_forgotten++] = drain->kept.number;
	HASH_DEL(fleet->drains, drain);
	drain_free(drain);
	/* Whoever resumes from before must start anew, or keeps showing it. */
	fleet->oldest_revision = fleet->revision;
}

void drain_history_forget(struct fleet *fleet)
{
	size_t most = fleet->options.drains_kept, most_vms = fleet->options.drain_vms_kept;
	size_t count, vms, kept_vms = 0, first_old = 0;
	struct drain **list = list_over(fleet, &count, &vms);

	if (count <= most && vms <= most_vms) {
		free(list);
		return;
	}
	mark_needed(fleet, list, count);
	/* The newest stays whole, however large. */
	for (; first_old < count; first_old++) {
		kept_vms += list[first_old]->n_vms;
		if (first_old > 0 && (first_old >= most || kept_vms > most_vms))
			break;
	}
	/* The oldest first. */
	for (size_t i = count; i > first_old; i--) {
		struct drain *drain = list[i - 1];

		forget_vms(fleet, drain);
		if (i > most && !drain->needed && !drain->dirty && !drain->unsaved &&
		    fleet->step->n_forgotten < FORGOTTEN_AT_ONCE)
			forget(fleet, drain);
	}
	free(list);
}
