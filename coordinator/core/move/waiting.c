/* SPDX-License-Identifier: Apache-2.0 */
/* See waiting.h. A migration that waits has no slot; those that have are asked how long they still take.
 * Which of them ends first is an estimate, and what ends it said to be one. */
#include "coordinator/core/move/waiting.h"

#include "common/alloc.h"
#include "common/units.h"
#include "coordinator/core/move/launch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLDERS_NAMED 5

static void say(struct names *ret, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct names *ret, const char *format, ...)
{
	char text[REASON_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	names_add(ret, text);
}

/* The drain under way that has @vm among those that wait, and its guest of it. */
static const struct drain_vm *find_in_drain(const struct fleet *fleet, const struct vm *vm,
                                            struct drain **ret_drain)
{
	struct drain *drain = vm->node ? fleet_find_node_drain(fleet, vm->node) : NULL;
	struct drain_vm *dv = drain ? drain_find_vm(drain, vm->uuid) : NULL;

	*ret_drain = drain;
	return dv && dv->state == DRAIN_VM_WAITING ? dv : NULL;
}

/* Its place among those of the drain that wait; the first is 1. */
static size_t position_in_drain(const struct drain *drain, const struct drain_vm *dv,
                                size_t *ret_of)
{
	size_t position = 0, of = 0;

	for (size_t i = 0; i < drain->n_vms; i++) {
		if (drain->vms[i].state != DRAIN_VM_WAITING)
			continue;
		of++;
		if (&drain->vms[i] == dv)
			position = of;
	}
	*ret_of = of;
	return position;
}

static bool waits_by_itself(const struct migration *m, bool back)
{
	return !m->kept.holds_slot && !m->kept.drain_number && m->kept.state == MIGRATION_PLANNED &&
	       back == (m->kept.back_of != 0);
}

/* Among those that have no slot and were asked for by themselves, or, like it, are on their way back: in
 * the order asked. */
static size_t position_of(const struct fleet *fleet, const struct migration *wanted, size_t *ret_of)
{
	size_t position = 0, of = 0;

	for (const struct migration *m = fleet->active; m; m = m->next_active) {
		if (!waits_by_itself(m, wanted->kept.back_of != 0))
			continue;
		of++;
		if (m == wanted)
			position = of;
	}
	*ret_of = of;
	return position;
}

/* Who gets a free slot first: attempts.h. */
static void say_priority(const struct fleet *fleet, const struct migration *m, struct names *ret)
{
	size_t first = 0;

	for (const struct migration *other = fleet->active; other; other = other->next_active)
		first += other != m && waits_by_itself(other, false);
	if (m && !m->kept.drain_number && !m->kept.back_of) {
		say(ret,
		    "asked for by itself: it goes before guests of drains, and before those on "
		    "their way back");
		return;
	}
	if (m && m->kept.back_of)
		say(ret,
		    "on its way back: guests of drains go first, and what was asked for by "
		    "itself, %zu now",
		    first);
	else if (first)
		say(ret, "%zu that were asked for by themselves go before guests of drains", first);
}

struct holder {
	const struct migration *m;
	uint64_t left_ms; /* UINT64_MAX = nobody knows */
	bool planned;     /* its agent has not said yet: what was thought when it began */
};

static int compare_holders(const void *a, const void *b)
{
	const struct holder *left = a, *right = b;

	return left->left_ms < right->left_ms ? -1 : left->left_ms > right->left_ms;
}

/* As its drain plans on, or as it was foretold; UINT64_MAX: it was not. */
static uint64_t get_planned_left(const struct fleet *fleet, const struct migration *m)
{
	uint64_t expected_ms = m->kept.prediction.expected_ms;
	uint64_t elapsed_ms = m->kept.report.progress.elapsed_ms;
	struct drain *drain = fleet_find_drain(fleet, m->kept.drain_number);
	const struct drain_vm *dv = drain ? drain_find_vm(drain, m->kept.vm_uuid) : NULL;

	if (dv && dv->state == DRAIN_VM_MOVING && dv->eta_ms)
		return dv->eta_ms;
	if (!expected_ms)
		return UINT64_MAX;
	return expected_ms > elapsed_ms ? expected_ms - elapsed_ms : 0;
}

/* Who has a slot of @source, or, with @source NULL, of the cluster; those that end first come first. */
static struct holder *list_holders(const struct fleet *fleet, const struct node *source,
                                   size_t *ret_count)
{
	struct holder *list = xcalloc(fleet->n_active + 1, sizeof(*list));
	size_t n = 0;

	for (const struct migration *m = fleet->active; m; m = m->next_active) {
		if (!m->kept.holds_slot || m->kept.preparing ||
		    (source && strcmp(m->kept.source, source->kept.name) != 0))
			continue;
		list[n].m = m;
		list[n].planned = !m->kept.report.progress.eta_known;
		list[n].left_ms = list[n].planned ? get_planned_left(fleet, m)
		                                  : m->kept.report.progress.eta_ms;
		n++;
	}
	if (n)
		qsort(list, n, sizeof(*list), compare_holders);
	*ret_count = n;
	return list;
}

static void name_holders(const struct fleet *fleet, const struct node *source, struct names *ret)
{
	size_t n;
	struct holder *list = list_holders(fleet, source, &n);
	char left[UNITS_TEXT_BYTES];

	for (size_t i = 0; i < n && i < HOLDERS_NAMED; i++) {
		const struct migration_record *k = &list[i].m->kept;

		if (list[i].left_ms == UINT64_MAX)
			say(ret,
			    "a slot is held by migration/%" PRIu64 ", %.100s, %s -> %s, %s; how "
			    "long still is not known",
			    k->number, k->vm_name, k->source, k->target,
			    migration_state_name(k->state));
		else
			say(ret,
			    "a slot is held by migration/%" PRIu64
			    ", %.100s, %s -> %s, for about %s still%s",
			    k->number, k->vm_name, k->source, k->target,
			    units_format_duration(list[i].left_ms, left),
			    list[i].planned ? ", as planned" : "");
	}
	if (n > HOLDERS_NAMED)
		say(ret, "and by %zu more: drover migrations --active", n - HOLDERS_NAMED);
	free(list);
}

/* Which slots @vm lacks, who has them and for how long. */
static void say_slots(const struct fleet *fleet, const struct vm *vm, const struct drain *drain,
                      struct names *ret)
{
	char reason[REASON_BYTES];
	bool outbound;

	if (!launch_lacks_slot(fleet, vm->node, drain, reason))
		return;
	outbound = launch_lacks_outbound(fleet, vm->node, drain);
	name_holders(fleet, outbound ? vm->node : NULL, ret);
	say(ret, "how many may move at a time: %s",
	    outbound ? "parallelOutboundMigrationsPerNode, and --parallel of a drain"
	             : "parallelMigrationsPerCluster (coordinator.yaml)");
}

/* All is ready but the slot. */
static void say_prepared(const struct fleet *fleet, const struct vm *vm, struct names *ret)
{
	const struct migration_record *k = &vm->migration->kept;

	if (k->report.waits_for_slot)
		say(ret,
		    "migration/%" PRIu64 " is prepared: %s has reserved its room, and it waits for "
		    "a slot to send. If none is free in time it is given back, and planned anew",
		    k->number, k->target);
	else
		say(ret, "migration/%" PRIu64 " is being prepared for %s, ahead of a slot to send",
		    k->number, k->target);
	if (!k->drain_number && !k->back_of)
		say(ret, "asked for by itself: the next slot is its own");
	say_slots(fleet, vm, fleet_find_drain(fleet, k->drain_number), ret);
}

void waiting_describe(const struct fleet *fleet, const struct vm *vm, struct names *ret)
{
	const struct migration *m = vm->migration;
	struct drain *drain = NULL;
	const struct drain_vm *dv = find_in_drain(fleet, vm, &drain);
	char start[UNITS_TEXT_BYTES];
	size_t position, of;

	if (vm->node && m && m->kept.holds_slot && m->kept.preparing) {
		say_prepared(fleet, vm, ret);
		return;
	}
	if (!vm->node || (m ? m->kept.state != MIGRATION_PLANNED : !dv))
		return;
	if (dv) {
		position = position_in_drain(drain, dv, &of);
		say(ret, "%s is number %zu of %zu that wait in drain/%" PRIu64 ": %.300s", vm->name,
		    position, of, drain->kept.number, dv->reason);
		if (drain_vm_start_ms(dv))
			say(ret, "its turn is in about %s, an estimate",
			    units_format_duration(drain_vm_start_ms(dv), start));
	} else if (m && !m->kept.drain_number) {
		position = position_of(fleet, m, &of);
		say(ret, "migration/%" PRIu64 " is number %zu of %zu that wait: %.300s",
		    m->kept.number, position, of, m->kept.reason);
	}
	say_priority(fleet, m, ret);
	say_slots(fleet, vm, dv ? drain : NULL, ret);
}
