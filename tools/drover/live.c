/* SPDX-License-Identifier: Apache-2.0 */
/* See live.h. Each drawing is one write, so that a slow terminal never shows half of one. */
#include "tools/drover/live.h"

#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#define ROWS_DEFAULT 24
#define ROWS_SPARE   3 /* the prompt, what was typed, and some air */
#define ROWS_LEAST   3

void live_init(struct live *live, const struct output *o)
{
	*live = (struct live){ .output = o };
}

size_t live_get_rows(const struct live *live)
{
	struct winsize size;
	size_t rows = ROWS_DEFAULT;

	if (ioctl(fileno(live->output->file), TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		rows = size.ws_row;
	return rows > ROWS_SPARE + ROWS_LEAST ? rows - ROWS_SPARE : ROWS_LEAST;
}

/* To the first line of what was drawn. */
static void go_up(const struct live *live, FILE *to)
{
	if (live->drawn > 0)
		fprintf(to, "\033[%zuA", live->drawn);
	fputc('\r', to);
}

void live_draw(struct live *live, const struct frame *frame)
{
	_cleanup_free_ char *buffer = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&buffer, &bytes);
	size_t columns = output_get_columns(live->output) - 1;

	if (!to)
		abort();
	go_up(live, to);
	for (size_t i = 0; i < frame->count; i++) {
		_cleanup_free_ char *line = text_cut(frame->lines[i], columns,
		                                     output_get_glyphs(live->output)->more);

		fprintf(to, "%s\033[K\n", line);
	}
	fputs("\033[J", to);
	fclose(to);
	fwrite(buffer, 1, bytes, live->output->file);
	fflush(live->output->file);
	live->drawn = frame->count;
}

void live_erase(struct live *live)
{
	go_up(live, live->output->file);
	fputs("\033[J", live->output->file);
	fflush(live->output->file);
	live->drawn = 0;
}

void live_note(struct live *live, const char *line)
{
	_cleanup_free_ char *shown = text_escape(line, live->output->ascii);

	live_erase(live);
	fprintf(live->output->file, "%s\n", shown);
	fflush(live->output->file);
}

void live_leave(struct live *live)
{
	live->drawn = 0;
}
