/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations from START to their end.
 *
 *	START --5 ms--> accepted --prepare_ms--> admitted, room leased --SETUP_MS--> bytes flow
 *	                                             '- on hold: prepared.c -'
 *	      --> pass after pass (fluid.c) --> switchover --CLEAN_MS--> done, tombstoned
 *
 * Together that is PLAN_OVERHEAD_MS, which the core plans with. */
#include "tools/simulator/world.h"

#include "common/alloc.h"
#include "coordinator/core/move/refusals.h"
#include "coordinator/core/plan/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SETUP_MS    850
#define CLEAN_MS    (MOVES_AROUND_MS - SETUP_MS)
#define PROGRESS_MS 2000

/* --- bytes --- */

void moves_share(struct world *w)
{
	struct fluid_copy **copies = xcalloc(w->n_attempts - w->first_live + 1, sizeof(*copies));
	double next = INFINITY;
	size_t n = 0;

	for (size_t i = w->first_live; i < w->n_attempts; i++) {
		if (w->attempts[i].copying)
			copies[n++] = &w->attempts[i].copy;
	}
	world_choose_lanes(w);
	fluid_share(&w->fluid, copies, n);
	for (size_t i = 0; i < n; i++) {
		double seconds = fluid_next(copies[i]);

		next = seconds < next ? seconds : next;
	}
	free(copies);
	w->fluid_version++;
	if (isfinite(next))
		world_after(w, (uint64_t)(next * 1000) + 1, QUEUE_FLUID, 0, w->fluid_version, NULL);
}

void moves_flow(struct world *w)
{
	double seconds = (double)(w->now_ms - w->fluid_ms) / 1000;

	for (size_t i = w->first_live; seconds > 0 && i < w->n_attempts; i++) {
		if (w->attempts[i].copying)
			fluid_advance(&w->attempts[i].copy, seconds);
	}
	w->fluid_ms = w->now_ms;
}

/* --- the end of an attempt --- */

static struct hugepage_pool *find_pool(struct host_rooms *rooms, const struct world_guest *g)
{
	for (size_t i = 0; g->facts.needs.hugepage_bytes && i < rooms->n_pools; i++) {
		if (rooms->pools[i].page_bytes == g->facts.needs.hugepage_bytes)
			return &rooms->pools[i];
	}
	return NULL;
}

/* A guest is on its way there (@sign 1), or that is over (-1): vCPUs and huge pages are held for it. */
static void promise(struct host_rooms *rooms, const struct world_guest *g, int sign)
{
	struct hugepage_pool *pool = find_pool(rooms, g);

	rooms->vcpus.reserved += (uint32_t)sign * g->facts.vcpus;
	if (pool)
		pool->promised_bytes += (uint64_t)sign * g->facts.memory_bytes;
}

/* It is there, or has left. */
static void settle(struct host_rooms *rooms, const struct world_guest *g, int sign)
{
	struct hugepage_pool *pool = find_pool(rooms, g);

	rooms->vcpus.guests += (uint32_t)sign * g->facts.vcpus;
	if (pool)
		pool->free_bytes -= (uint64_t)sign * g->facts.memory_bytes;
}

static void give_back_room(struct world *w, struct world_attempt *a)
{
	uint64_t need = vm_state_need_bytes(&w->guests[a->guest].facts);

	if (!a->lease)
		return;
	a->lease = false;
	w->hosts[a->target].leased_bytes -= need;
	promise(&w->hosts[a->target].facts.rooms, &w->guests[a->guest], -1);
	if (w->guests[a->guest].incoming == NOWHERE)
		return;
	w->hosts[a->target].n_guests--;
	w->guests[a->guest].incoming = NOWHERE;
}

void moves_end(struct world *w, size_t index, enum migration_state state, const char *reason)
{
	struct world_attempt *a = &w->attempts[index];
	struct world_guest *g = &w->guests[a->guest];
	size_t target = a->target, guest = a->guest, source = a->source;
	uint64_t need = vm_state_need_bytes(&g->facts);
	bool flowed = a->copying;

	moves_flow(w);
	a->given_back = a->waits;
	prepared_end(w, a);
	a->copying = false;
	a->over = true;
	a->state = state;
	a->ended_ms = w->now_ms;
	while (w->first_live < w->n_attempts && w->attempts[w->first_live].over)
		w->first_live++;
	text_copy(a->reason, sizeof(a->reason), reason);
	give_back_room(w, a);
	g->sent += a->copy.sent;
	g->passes += a->copy.passes;
	g->going = NOWHERE;
	if (a->given_back) {
		w->n_given_back++;
	} else {
		g->ended_ms = w->last_end_ms = w->now_ms;
		text_copy(g->outcome, sizeof(g->outcome), migration_state_name(state));
		w->n_failed += state == MIGRATION_FAILED;
	}
	if (state == MIGRATION_DONE) {
		g->downtime_us = MOVES_SWITCH_MS * 1000 + (uint64_t)(a->copy.downtime * 1e6);
		g->host = target;
		w->hosts[source].guests_bytes -= need;
		w->hosts[source].n_guests--;
		w->hosts[target].guests_bytes += need;
		w->hosts[target].n_guests++;
		settle(&w->hosts[source].facts.rooms, g, -1);
		settle(&w->hosts[target].facts.rooms, g, 1);
	}
	policies_touch(w, guest);
	world_trace(w, migration_state_name(state), g->facts.name, w->hosts[source].name,
	            w->hosts[target].name, reason);
	if (flowed)
		moves_share(w);
	agents_say_vm(w, source, guest);
	agents_say_vm(w, target, guest);
	agents_say_attempt(w, &w->attempts[index]);
}

void moves_overdue(struct world *w, size_t index)
{
	struct world_attempt *a = &w->attempts[index];
	char took[UNITS_TEXT_BYTES], text[REASON_BYTES];

	if (!a->copying || a->copy.still)
		return;
	moves_flow(w);
	/* While it was held its time stood still. */
	if (a->held_ms > a->excused_ms) {
		world_after(w, a->held_ms - a->excused_ms, QUEUE_OVERDUE, index, 0, NULL);
		a->excused_ms = a->held_ms;
		return;
	}
	if (strategy_permits_post_copy(&a->settings.strategy)) {
		/* The guest runs on there, and what is left follows. */
		a->copy.left = 0;
		a->copying = false;
		a->state = MIGRATION_SWITCHING;
		a->copy.sent += fluid_written(&a->copy);
		world_after(w, CLEAN_MS, QUEUE_END, index, 0, NULL);
		moves_share(w);
	} else if (strategy_permits_pause(&a->settings.strategy)) {
		a->copy.left += fluid_written(&a->copy);
		a->copy.still = true;
		moves_share(w);
	} else {
		snprintf(text, sizeof(text), "did not converge within %s",
		         units_format_duration(w->now_ms - a->copy_ms, took));
		moves_end(w, index, MIGRATION_FAILED, text);
	}
}

void moves_turn_passes(struct world *w)
{
	moves_flow(w);
	for (size_t i = w->first_live; i < w->n_attempts; i++) {
		struct world_attempt *a = &w->attempts[i];
		double all = (double)w->guests[a->guest].facts.memory_bytes;

		if (!a->copying)
			continue;
		if (a->copy.sent >= a->fails_at * all) {
			moves_end(w, i, MIGRATION_FAILED, "the migration broke (by chance)");
		} else if (a->copy.left <= 0.5 && fluid_turn(&a->copy)) {
			a->copying = false;
			a->state = MIGRATION_SWITCHING;
			world_after(w, MOVES_SWITCH_MS + CLEAN_MS, QUEUE_END, i, 0, NULL);
		}
	}
	moves_share(w);
}

/* --- the beginning of one --- */

void moves_admit(struct world *w, size_t index)
{
	struct world_attempt *a = &w->attempts[index];
	struct world_guest *g = &w->guests[a->guest];
	uint64_t need = vm_state_need_bytes(&g->facts);
	size_t target = a->target, guest = a->guest;
	char text[REASON_BYTES];
	struct check check;

	if (a->cancel) {
		moves_end(w, index, MIGRATION_CANCELLED, "cancelled on request");
		return;
	}
	if (!agents_admit(w, guest, target, a->settings.copy_disks, &check) ||
	    world_draw(w) * 1000 < (double)w->options.refuse_per_mille) {
		if (check.verdict == CHECK_FAIL &&
		    refusals_are_lasting(&(struct checks){ .items = &check, .count = 1 }))
			a->refused = check;
		snprintf(text, sizeof(text), "%.120s refused: %.60s: %.250s", w->hosts[target].name,
		         check.id, check.measured);
		moves_end(w, index, MIGRATION_FAILED, text);
		return;
	}
	a->lease = true;
	w->hosts[target].leased_bytes += need;
	promise(&w->hosts[target].facts.rooms, g, 1);
	if (a->hold)
		prepared_hold(w, index);
	else
		moves_go(w, index);
}

void moves_go(struct world *w, size_t index)
{
	struct world_attempt *a = &w->attempts[index];
	size_t target = a->target, guest = a->guest;

	w->guests[guest].incoming = target;
	w->hosts[target].n_guests++;
	a->state = MIGRATION_RUNNING;
	agents_say_vm(w, target, guest);
	agents_say_attempt(w, &w->attempts[index]);
	world_after(w, SETUP_MS, QUEUE_COPY, index, 0, NULL);
}

void moves_begin_copy(struct world *w, size_t index)
{
	struct world_attempt *a = &w->attempts[index];
	const struct world_guest *g = &w->guests[a->guest];
	uint64_t gib = (g->facts.memory_bytes + GIB - 1) / GIB;
	uint64_t allowed_ms = a->settings.completion_timeout_ms_per_gib * gib;

	if (a->over)
		return;
	moves_flow(w);
	a->copy.source = a->source;
	a->copy.target = a->target;
	a->copy.curve = g->curve;
	a->copy.dirty_bytes_per_s = g->dirty_bytes_per_s;
	a->copy.working_set_bytes = g->working_set_bytes;
	a->limit_bytes_per_s = a->settings.bandwidth_bytes_per_s;
	a->copy.downtime_s = a->settings.max_downtime_ms
	                             ? (double)a->settings.max_downtime_ms / 1000
	                             : 0.3;
	fluid_begin(&a->copy, g->in_use_bytes);
	a->copying = true;
	a->copy_ms = w->now_ms;
	moves_share(w);
	if (allowed_ms)
		world_after(w, allowed_ms, QUEUE_OVERDUE, index, 0, NULL);
	world_after(w, PROGRESS_MS, QUEUE_PROGRESS, index, 0, NULL);
}

size_t moves_find(const struct world *w, const struct attempt *id)
{
	for (size_t i = w->n_attempts; i > 0; i--) {
		if (id_equal(&w->attempts[i - 1].id.operation, &id->operation) &&
		    w->attempts[i - 1].id.number == id->number)
			return i - 1;
	}
	return NOWHERE;
}

size_t moves_add(struct world *w, const struct attempt_call *call)
{
	struct world_attempt a = { .id = call->attempt,
		                   .migration = call->migration,
		                   .state = MIGRATION_RESERVED,
		                   .settings = call->settings,
		                   .hold = call->hold,
		                   .began_ms = w->now_ms,
		                   .fails_at = 1e9 };

	a.guest = world_find_guest(w, call->vm_uuid);
	a.source = world_find_host(w, call->source);
	a.target = world_find_host(w, call->target);
	if (a.guest == NOWHERE || a.source == NOWHERE || a.target == NOWHERE)
		return NOWHERE;
	if (world_draw(w) * 1000 < (double)w->options.fail_per_mille)
		a.fails_at = world_draw(w);
	w->guests[a.guest].attempts++;
	w->attempts = xreallocarray(w->attempts, w->n_attempts + 1, sizeof(*w->attempts));
	w->attempts[w->n_attempts++] = a;
	world_trace(w, a.hold ? "prepare" : "start", w->guests[a.guest].facts.name, call->source,
	            call->target, NULL);
	if (!a.hold)
		moves_take_slot(w, w->n_attempts - 1);
	world_after(w, w->options.prepare_ms, QUEUE_ADMIT, w->n_attempts - 1, 0, NULL);
	return w->n_attempts - 1;
}

void moves_take_slot(struct world *w, size_t index)
{
	struct world_guest *g = &w->guests[w->attempts[index].guest];

	g->going = w->attempts[index].target;
	policies_touch(w, w->attempts[index].guest);
	if (!g->began_ms)
		g->began_ms = w->now_ms;
}

void moves_say_progress(struct world *w, size_t index)
{
	if (!w->attempts[index].copying)
		return;
	moves_flow(w);
	moves_share(w);
	agents_say_attempt(w, &w->attempts[index]);
	world_after(w, PROGRESS_MS, QUEUE_PROGRESS, index, 0, NULL);
}
