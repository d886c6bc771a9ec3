/* SPDX-License-Identifier: Apache-2.0 */
/* What progress.c (the state), frame.c (for terminals) and lines.c (for pipes) share. */
#pragma once

#include "tools/drover/progress.h"

/* What has been shown of a migration; it must not run backwards. */
struct shown {
	uint64_t number;
	uint32_t attempt;
	uint32_t percent;
};

struct progress {
	uint64_t drain_number, migration_number; /* what is followed */
	Drover__V1__Drain *drain;                /* owned; NULL = not heard of yet */
	Drover__V1__Migration **migrations;      /* owned */
	struct shown *shown;                     /* one per migration, in the same order */
	size_t n_migrations;
	uint64_t revision;
	bool caught_up;
	uint64_t drain_ms;       /* when @drain came in: clock_now_ms */
	uint64_t *migration_ms;  /* when each migration came in */
	uint64_t bytes_done_max; /* the highest shown */
	unsigned moved_max;
	uint64_t left_most_ms; /* the time left that was last shown: it does not grow */
};

/* Index, or n_migrations. */
size_t progress_index(const struct progress *p, uint64_t number);

void lines_drain(const struct output *o, const Drover__V1__Drain *before,
                 const Drover__V1__Drain *now, uint64_t wall_ms);
void lines_drain_end(const struct output *o, const Drover__V1__Drain *d, uint64_t wall_ms);
void lines_migration(const struct output *o, const Drover__V1__Migration *before,
                     const Drover__V1__Migration *now, uint64_t wall_ms);
void lines_event(const struct output *o, const Drover__V1__Event *event);

/* What of the drain's time is left to be shown @age_ms after the last news: never more than before. */
uint64_t progress_left_ms(const struct progress *p, uint64_t age_ms);
