/* SPDX-License-Identifier: Apache-2.0 */
/* What a watcher knows of one drain or one migration, and how it is drawn.
 *
 * Changes from the coordinator go in; out come, for a terminal, frames of text lines, and for a pipe
 * one line per change of state. Nothing shown runs backwards: of bars the highest value counts.
 * Time is passed in. Owner thread of the command's loop; no I/O but to the FILE it is given.
 */
#pragma once

#include "proto/coordinator.pb-c.h"
#include "tools/drover/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress;

/* Follows drain @drain_number, or migration @migration_number; the other is 0. */
struct progress *progress_new(uint64_t drain_number, uint64_t migration_number);
void progress_free(struct progress *p);

/* Takes in a change. With @lines each change of state is printed to it as one line with the time in
 * front. @now_ms: clock_now_ms; @now_wall_ms: clock_wall_ms. */
void progress_apply(struct progress *p, const Drover__V1__Change *change,
                    const struct output *lines, uint64_t now_ms, uint64_t now_wall_ms);

/* NULL until the coordinator has spoken of it. Borrowed. */
const Drover__V1__Drain *progress_find_drain(const struct progress *p);
const Drover__V1__Migration *progress_find_migration(const struct progress *p);

/* All migrations that were seen; borrowed. */
Drover__V1__Migration *const *progress_get_migrations(const struct progress *p, size_t *ret_count);

/* The last revision seen: what to resume from. */
uint64_t progress_get_revision(const struct progress *p);

/* The coordinator has told all that it knows. */
bool progress_is_caught_up(const struct progress *p);

/* It will never change again. */
bool progress_is_over(const struct progress *p);

/* It is over, and so is all that belongs to it as far as is known: the last news of a migration may
 * come after the end of its drain. */
bool progress_is_complete(const struct progress *p);

/* The last line of a drain that is over, when everything else was told. */
void progress_end(const struct progress *p, const struct output *lines, uint64_t now_wall_ms);

/* A frame: at most @rows lines, as long as they come (who draws them cuts them). */
struct frame {
	char **lines; /* owned */
	size_t count;
};
struct frame progress_draw(const struct progress *p, const struct output *o, size_t rows,
                           uint64_t now_ms);
void frame_deinit(struct frame *frame);

/* "drain/7  host1: 4 VMs, 1 GiB to move → host2 (2), host3 (2)" and how: at the start. */
void progress_print_plan(const struct output *o, const Drover__V1__Drain *drain,
                         uint64_t bandwidth_bytes_per_s);
