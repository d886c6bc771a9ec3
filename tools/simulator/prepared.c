/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts that are prepared ahead of their slot, as agents do it (agent/source/source_hold.c): admitted, with their room
 * leased, and nothing of the guest touched. They go on (moves.c) by the coordinator's second order, or are given
 * back. Only from that order on they are on their way: until then policies are judged without them. */
#include "tools/simulator/world.h"

/* HELD_MOST_MS of agent/source/source_hold.c. */
#define WAIT_MOST_MS 20000

void prepared_hold(struct world *w, size_t index)
{
	struct world_attempt *a = &w->attempts[index];
	size_t target = a->target;

	a->waits = true;
	a->waits_since_ms = w->now_ms;
	world_trace(w, "prepared", w->guests[a->guest].facts.name, w->hosts[a->source].name,
	            w->hosts[target].name, NULL);
	world_after(w, WAIT_MOST_MS, QUEUE_WAITED, index, 0, NULL);
	agents_say_host(w, target);
	agents_say_attempt(w, &w->attempts[index]);
}

void prepared_end(const struct world *w, struct world_attempt *a)
{
	if (a->waits)
		a->waited_ms = w->now_ms - a->waits_since_ms;
	a->waits = false;
}

void prepared_let_go(struct world *w, size_t index)
{
	struct world_attempt *a = &w->attempts[index];
	bool waits = a->waits;

	if (a->over || !a->hold)
		return;
	a->hold = false;
	prepared_end(w, a);
	w->n_prepared++;
	world_trace(w, "start", w->guests[a->guest].facts.name, w->hosts[a->source].name,
	            w->hosts[a->target].name, NULL);
	moves_take_slot(w, index);
	/* Else it goes on by itself once it is admitted. */
	if (waits)
		moves_go(w, index);
}

void prepared_give_back(struct world *w, size_t index)
{
	if (w->attempts[index].waits)
		moves_end(w, index, MIGRATION_FAILED,
		          "prepared, and given back: no migration slot became free within 20 s");
}
