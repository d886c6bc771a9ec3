/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent remembers, in a journal in a folder of its own, for the length of a test; and one of each
 * thing that there is to remember, with a value in every field. */
#pragma once

#include "agent/journal/journal_state.h"

struct journal_world {
	char folder[64], path[128];
	struct journal_state state;
	struct journal *journal;
	struct journal_report report; /* of the last opening */
};

/* For cmocka; a test's *state is its struct journal_world. */
int journal_world_setup(void **state);
int journal_world_teardown(void **state);

/* The agent is started again: nothing is left but the file. */
void journal_world_reopen(struct journal_world *w);
/* Into the fold only, without the file and its syncs. Frees @payload. */
void journal_world_fold(struct journal_world *w, uint32_t type, uint8_t *payload, size_t bytes);

struct attempt_name journal_world_name(uint8_t operation, uint32_t number, uint64_t epoch);
struct journal_attempt journal_world_attempt(void);
struct reservation journal_world_reservation(uint8_t operation);
struct journal_thing journal_world_thing(void);
