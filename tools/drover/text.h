/* SPDX-License-Identifier: Apache-2.0 */
/* Text on its way to a terminal.
 *
 * Names of guests, reasons and errors come from outside. Whatever is shown passes text_escape once,
 * in the table, the line or the frame that prints it; so nothing a guest is named can move the
 * cursor, recolour the screen or reverse the reading direction.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A copy in which control characters, bytes that are not UTF-8 and marks that change the reading
 * direction are written as \n, \x1b or \u{202e}. With @ascii everything else that is not ASCII,
 * too: for terminals that do not speak UTF-8. */
char *text_escape(const char *text, bool ascii);

/* Columns that @text takes on a terminal. Colour sequences (ESC [ ... m) take none. */
size_t text_width(const char *text);

/* A copy cut to @columns; what was cut is shown by @more ("…") at the end. Colours are reset. */
char *text_cut(const char *text, size_t columns, const char *more);

/* @text as one word of a POSIX shell: itself if that is safe, else quoted. For commands that we
 * propose to the reader. */
char *text_shell_word(const char *text);

/* The candidate that a person most likely meant by @word, or NULL when none is close.
 * @candidate_at(i) gives NULL after the last. */
const char *text_closest(const char *word, const char *(*candidate_at)(size_t i, void *context),
                         void *context);
