/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a migration: one table, one door. */
#include "coordinator/core/move/migration.h"

#include "common/alloc.h"
#include "coordinator/core/change.h"

#include <assert.h>
#include <string.h>

#define TO(state) (1u << MIGRATION_##state)
#define OVER      (TO(DONE) | TO(FAILED) | TO(CANCELLED))

/* clang-format off */
static const struct {
	const char *name;  /* also the value in the store */
	const char *phase; /* KubeVirt's */
	unsigned next;
} states[] = {
	[MIGRATION_NO_STATE]   = { "none", "", 0 },
	/* FAILED: asked for by name, and there is no room for too long. */
	[MIGRATION_PLANNED]    = { "planned", "Pending", TO(RESERVED) | TO(FAILED) | TO(CANCELLED) },
	/* DONE: every report on the way was missed, the last one was not. */
	[MIGRATION_RESERVED]   = { "reserved", "Scheduling",
				   TO(PLANNED) | TO(RUNNING) | TO(SWITCHING) | TO(UNRESOLVED) | OVER },
	[MIGRATION_RUNNING]    = { "running", "Running", TO(SWITCHING) | TO(UNRESOLVED) | OVER },
	[MIGRATION_SWITCHING]  = { "switching", "Running", TO(UNRESOLVED) | OVER },
	[MIGRATION_DONE]       = { "done", "Succeeded", 0 },
	[MIGRATION_FAILED]     = { "failed", "Failed", 0 },
	[MIGRATION_CANCELLED]  = { "cancelled", "Failed", 0 },
	/* PLANNED: the attempt was tombstoned before it began. */
	[MIGRATION_UNRESOLVED] = { "unresolved", "Running",
				   TO(PLANNED) | TO(RESERVED) | TO(RUNNING) | TO(SWITCHING) | OVER },
};
/* clang-format on */
static_assert(ARRAY_SIZE(states) == MIGRATION_STATES, "a state without a row cannot be left");

const char *migration_state_name(enum migration_state state)
{
	assert((unsigned)state < MIGRATION_STATES);
	return states[state].name;
}

enum migration_state migration_state_parse(const char *name)
{
	for (enum migration_state s = MIGRATION_PLANNED; s < MIGRATION_STATES; s++) {
		if (strcmp(states[s].name, name) == 0)
			return s;
	}
	return MIGRATION_NO_STATE;
}

const char *migration_phase_name(enum migration_state state)
{
	assert((unsigned)state < MIGRATION_STATES);
	return states[state].phase;
}

bool migration_state_is_final(enum migration_state state)
{
	return state != MIGRATION_NO_STATE && !states[state].next;
}

bool migration_may_move(enum migration_state from, enum migration_state to)
{
	assert((unsigned)from < MIGRATION_STATES && (unsigned)to < MIGRATION_STATES);
	return from == to || (states[from].next & (1u << to));
}

void migration_move(struct fleet *fleet, struct migration *m, enum migration_state next)
{
	enum migration_state from = m->kept.state;

	assert(migration_may_move(from, next));
	if (from == next)
		return;

	m->kept.state = next;
	if (migration_state_is_final(next)) {
		assert(!m->kept.holds_slot);
		m->kept.ended_wall_ms = fleet->step->wall_ms;
		fleet_finish_migration(fleet, m);
		drain_follow(fleet, m);
	}
	save_migration(fleet, m);
}
