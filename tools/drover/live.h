/* SPDX-License-Identifier: Apache-2.0 */
/* A few lines at the bottom of a terminal that are drawn again in place. Plain ANSI: cursor up, erase
 * to the end of the line. Lines are cut to the width, because a line that wraps would be counted
 * wrongly at the next drawing. */
#pragma once

#include "tools/drover/output.h"
#include "tools/drover/progress.h"

struct live {
	const struct output *output; /* borrowed; a terminal */
	size_t drawn;                /* lines that are on the screen */
};

void live_init(struct live *live, const struct output *o);

/* How many lines there is room for. */
size_t live_get_rows(const struct live *live);

/* Replaces what was drawn. */
void live_draw(struct live *live, const struct frame *frame);

/* A line that stays, above the frame; the frame is drawn again by the next live_draw. */
void live_note(struct live *live, const char *line);

/* Takes the frame off the screen, or leaves it there for ever. */
void live_erase(struct live *live);
void live_leave(struct live *live);
