/* SPDX-License-Identifier: Apache-2.0 */
/* One migration, as the coordinator sees it.
 *
 *	PLANNED <---> RESERVED ---> RUNNING ---> SWITCHING ---> DONE
 *	   |             | |          | |           | |           ^
 *	   |             | |          | '-----+-----' |           | the source agent's evidence
 *	   v             | |          v       v       v           |
 *	CANCELLED <------' '-----> FAILED   UNRESOLVED -----------+--> FAILED, CANCELLED, ...
 *
 * PLANNED: intent; waits for a destination and a slot, `reason` says for which. RESERVED: the slot
 * is taken and stored, its agent is told or about to be; a refusal by the destination leads back to
 * PLANNED once the source has tombstoned the attempt. One that is RESERVED may be ahead of its slot
 * (`preparing`), and then moves on when it has one: launch_ahead.h. RUNNING and SWITCHING: the agent's word.
 * UNRESOLVED: the source agent is silent, or it cannot tell. The guest is somewhere; only evidence
 * leads out (invariant I8).
 *
 * The slot is held from RESERVED until the source agent has said that this attempt is over or will
 * never start; that is not the same as the state, so it is a field of its own.
 */
#pragma once

#include "coordinator/core/record.h"

#include <uthash.h>

struct fleet;

struct migration {
	struct migration_record kept; /* what the store keeps */
	uint64_t revision;
	bool dirty;           /* changed in this step, private to fleet.c */
	bool unsaved;         /* its record must go to the store in this step */
	bool taking;          /* this step's write takes the slot */
	uint64_t take_ticket; /* START not before this is stored */

	/* Volatile: what this coordinator has done and heard since it started. */
	bool start_sent;  /* a START of the current attempt may have had effect */
	bool start_asked; /* ... and its outcome has not come back */
	bool probe_asked;
	bool cancel_asked;
	uint64_t cancel_sent_ms;
	bool let_go_asked; /* told that it has its slot, and no answer yet */
	uint64_t let_go_sent_ms;
	bool give_back;    /* prepared, and not to go on: its source is told to end it */
	bool probe_wanted; /* nothing is known of the attempt: ask before anything else */
	bool heard;        /* the source agent has reported on the current attempt */
	uint64_t heard_ms;
	bool seen_by_target;       /* the target's own figures include this guest */
	bool alarmed;              /* an alarm was told for what is unresolved now */
	uint64_t waiting_since_ms; /* PLANNED: for room, 0 = not yet refused */
	uint64_t running_since_ms;

	UT_hash_handle hh;           /* fleet->migrations, by number */
	UT_hash_handle hh_operation; /* fleet->migrations_by_operation */
	struct migration *prev_active, *next_active;
};

/* Moves to @next. A transition that is not in the table is a bug in the caller, and we stop rather
 * than guess where a guest is. Moving to the present state is allowed and does nothing. */
void migration_move(struct fleet *fleet, struct migration *m, enum migration_state next);

bool migration_may_move(enum migration_state from, enum migration_state to);
bool migration_state_is_final(enum migration_state state);

const char *migration_state_name(enum migration_state state); /* "running"; also in the store */
/* MIGRATION_NO_STATE when there is no such name. */
enum migration_state migration_state_parse(const char *name);
/* KubeVirt's name for the state: "Pending", "Scheduling", "Running", "Succeeded", "Failed". A
 * cancelled migration is "Failed" there, an unresolved one still "Running". */
const char *migration_phase_name(enum migration_state state);
