/* SPDX-License-Identifier: Apache-2.0 */
/* A move that is prepared ahead of its slot: admitted, with its tunnel, and nothing of the guest touched. Its
 * next step is the coordinator's second order, which comes when a slot is free in the whole cluster.
 *
 *	LINKING --held--> PREPARED --let go--> LINKING --journal--> confirm --> MOVING
 *	                      |
 *	                      '-- no order in time: given back, and planned anew
 *
 * It holds memory and a port at the destination meanwhile, and no slot here. So it is given back by itself
 * well before the reservation or the tunnel, which waits for libvirt for a while only, would run out: a
 * coordinator that died keeps nobody's room, and nothing has to be renewed. An agent after this one gives it
 * back at once (source_adopt.c). Owner thread only. */
#include "agent/source.h"

#include "common/clock.h"

#include <assert.h>

/* From the admission on. Below RESERVATION_TTL_MS_DEFAULT and TUNNEL_WAIT_MS. */
#define HELD_MOST_MS 20000

static_assert(HELD_MOST_MS < RESERVATION_TTL_MS_DEFAULT, "it ends before its reservation does");

int source_check_hold(const struct agent *agent, struct error *err)
{
	unsigned held = source_count_active(agent) - source_count_slots(agent);

	if (held < SOURCE_HELD_MOST)
		return 0;
	return error_set(err, ERROR_BUSY,
	                 "%u migrations are prepared on %s and wait for a slot; %d may", held,
	                 agent->settings->node, SOURCE_HELD_MOST);
}

static void give_up(void *context)
{
	struct source_attempt *a = context;
	struct error why;

	/* No failure of anybody: the coordinator plans it anew (ERROR_CANCELLED). */
	error_set(&why, ERROR_CANCELLED,
	          "prepared, and given back: no migration slot became free within %d s",
	          HELD_MOST_MS / 1000);
	source_fail(a, DROVER__V1__MIGRATION_STATE__FAILED, &why);
}

void source_hold(struct source_attempt *a)
{
	uint64_t most_ms = a->lease_ttl_ms / 3 * 2, now_ms = clock_now_ms();
	uint64_t until_ms;

	if (most_ms == 0 || most_ms > HELD_MOST_MS)
		most_ms = HELD_MOST_MS;
	until_ms = a->lease_renewed_ms + most_ms;
	source_enter(a, SOURCE_PREPARED);
	a->timer.fire = give_up;
	loop_timer_start(a->agent->loop, &a->timer, until_ms > now_ms ? until_ms - now_ms : 0);
	source_changed(a);
}

int source_let_go(struct source_attempt *a, struct error *err)
{
	if (source_check_slot(a->agent, err) < 0)
		return -(int)err->code;
	a->order.waits_for_slot = false;
	if (a->stage == SOURCE_PREPARED) {
		source_enter(a, SOURCE_LINKING);
		source_linked(a);
	}
	source_changed(a);
	return 0;
}
