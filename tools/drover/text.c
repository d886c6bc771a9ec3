/* SPDX-License-Identifier: Apache-2.0 */
/* Escaping, measuring and cutting of text for terminals. Pure functions; locale decides only how
 * wide a character is. */
#include "tools/drover/text.h"

#include "common/alloc.h"
#include "common/utf8.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

/* Decodes one character of valid UTF-8; returns its bytes. */
static size_t decode(const char *text, uint32_t *ret_code_point)
{
	const unsigned char *p = (const unsigned char *)text;

	if (p[0] < 0x80) {
		*ret_code_point = p[0];
		return 1;
	}
	if (p[0] < 0xe0) {
		*ret_code_point = (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
		return 2;
	}
	if (p[0] < 0xf0) {
		*ret_code_point = (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 |
		                  (p[2] & 0x3f);
		return 3;
	}
	*ret_code_point = (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
	                  (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
	return 4;
}

/* Characters that a terminal or a reader would obey instead of seeing: C0, DEL, C1, line and
 * paragraph separators, marks and overrides of direction, the byte order mark, tags. */
static bool is_dangerous(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xe0000 && c <= 0xe007f);
}

char *text_escape(const char *text, bool ascii)
{
	size_t left = strlen(text);
	/* The longest form is \u{10ffff} for four bytes, \xff for one. */
	size_t room = left * 4 + 16;
	char *result = xmalloc(room);
	char *to = result;

	while (left > 0) {
		size_t valid = utf8_valid_bytes(text, left < 4 ? left : 4);
		uint32_t c;
		size_t bytes;

		if (valid == 0) {
			to += snprintf(to, room - (size_t)(to - result), "\\x%02x",
			               (unsigned)(unsigned char)*text);
			text++;
			left--;
			continue;
		}
		bytes = decode(text, &c);
		if (c == '\n') {
			to = stpcpy(to, "\\n");
		} else if (c == '\t') {
			to = stpcpy(to, "\\t");
		} else if (c < 0x80 && is_dangerous(c)) {
			to += snprintf(to, room - (size_t)(to - result), "\\x%02x", (unsigned)c);
		} else if (is_dangerous(c) || (ascii && c >= 0x80)) {
			to += snprintf(to, room - (size_t)(to - result), "\\u{%x}", (unsigned)c);
		} else {
			memcpy(to, text, bytes);
			to += bytes;
		}
		text += bytes;
		left -= bytes;
	}
	*to = 0;
	return result;
}

/* Length of a colour sequence at @text, 0 if there is none. */
static size_t colour_bytes(const char *text)
{
	size_t n;

	if (text[0] != '\033' || text[1] != '[')
		return 0;
	n = 2 + strspn(text + 2, "0123456789;");
	return text[n] == 'm' ? n + 1 : 0;
}

/* One step over @text: the bytes and columns of what stands there. */
static size_t step(const char *text, size_t *ret_columns)
{
	size_t bytes = colour_bytes(text);
	uint32_t c;
	int columns;

	*ret_columns = 0;
	if (bytes)
		return bytes;
	*ret_columns = 1;
	if (utf8_valid_bytes(text, strnlen(text, 4)) == 0)
		return 1;
	bytes = decode(text, &c);
	columns = wcwidth((wchar_t)c);
	if (columns >= 0)
		*ret_columns = (size_t)columns;
	return bytes;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	while (*text) {
		size_t columns;

		text += step(text, &columns);
		width += columns;
	}
	return width;
}

char *text_cut(const char *text, size_t columns, const char *more)
{
	size_t more_width = text_width(more);
	size_t keep = columns > more_width ? columns - more_width : 0;
	size_t width = 0, bytes = 0;
	bool coloured = strchr(text, '\033');

	if (text_width(text) <= columns)
		return xstrdup(text);
	for (;;) {
		size_t next_columns;
		size_t next = step(text + bytes, &next_columns);

		if (width + next_columns > keep)
			break;
		width += next_columns;
		bytes += next;
	}
	return xasprintf("%.*s%s%s", (int)bytes, text, columns >= more_width ? more : "",
	                 coloured ? "\033[0m" : "");
}

char *text_shell_word(const char *text)
{
	char *result, *to;

	if (*text && text[0] != '-' &&
	    text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                      "_-./:@%+=,")] == 0)
		return xstrdup(text);
	result = to = xmalloc(strlen(text) * 4 + 3);
	*to++ = '\'';
	for (; *text; text++) {
		if (*text == '\'')
			to = stpcpy(to, "'\\''");
		else
			*to++ = *text;
	}
	*to++ = '\'';
	*to = 0;
	return result;
}

#define WORD_MAX 40

/* How many letters must be changed, added, left out or swapped with their neighbour. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[WORD_MAX + 1][WORD_MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t i = 0; i <= n; i++)
		rows[i][0] = i;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			size_t best = rows[i - 1][j - 1] + (tolower((unsigned char)a[i - 1]) !=
			                                    tolower((unsigned char)b[j - 1]));

			if (rows[i - 1][j] + 1 < best)
				best = rows[i - 1][j] + 1;
			if (rows[i][j - 1] + 1 < best)
				best = rows[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    rows[i - 2][j - 2] + 1 < best)
				best = rows[i - 2][j - 2] + 1;
			rows[i][j] = best;
		}
	}
	return rows[n][m];
}

const char *text_closest(const char *word, const char *(*candidate_at)(size_t i, void *context),
                         void *context)
{
	const char *closest = NULL, *candidate;
	size_t word_bytes = strlen(word);
	size_t best = word_bytes < 6 ? 1 : word_bytes < 10 ? 2 : 3;

	for (size_t i = 0; (candidate = candidate_at(i, context)); i++) {
		size_t d = distance(word, candidate);

		/* A beginning is a better clue than a few wrong letters. */
		if (word_bytes >= 3 && strncmp(word, candidate, word_bytes) == 0)
			d = 1;
		if (d <= best && (!closest || d < best)) {
			closest = candidate;
			best = d;
		}
	}
	return closest;
}
