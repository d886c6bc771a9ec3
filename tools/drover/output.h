/* SPDX-License-Identifier: Apache-2.0 */
/* How answers reach the reader: tables, amounts with units, JSON, names; colours and symbols that
 * the terminal at hand can show.
 *
 * stdout is for data and stderr for messages and progress; a command is given one struct output for
 * each. What is printed through this module is escaped (see text.h).
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_WIDE,
	OUTPUT_JSON,
	OUTPUT_JSONL, /* one object per line */
	OUTPUT_NAME,  /* KIND/NAME per line, as every command accepts it */
	OUTPUT_FORMATS
};

/* "table", "wide", ... */
const char *output_format_name(enum output_format format);

enum output_colour {
	COLOUR_NONE,
	COLOUR_BOLD,
	COLOUR_DIM,
	COLOUR_RED,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOURS
};

/* Symbols in the best form that the terminal can show. */
struct glyphs {
	const char *arrow, *done, *running, *waiting, *failed, *full, *empty, *about, *more, *dot;
};

struct output {
	FILE *file; /* borrowed */
	enum output_format format;
	bool headers;     /* of tables */
	bool exact;       /* --bytes: numbers without units */
	bool terminal;    /* a person looks at it */
	bool colour;      /* may use colours */
	bool ascii;       /* shows ASCII only */
	unsigned columns; /* width; 0 = no limit */
};

enum output_when { OUTPUT_AUTO, OUTPUT_ALWAYS, OUTPUT_NEVER }; /* --color */

/* Finds out about @file: terminal, width, locale, NO_COLOR, TERM. */
void output_init(struct output *o, FILE *file, enum output_when colour);

/* Width of the terminal now; 80 if it does not say. */
unsigned output_get_columns(const struct output *o);

const struct glyphs *output_get_glyphs(const struct output *o);

/* "" when @o has no colours. */
const char *output_get_colour(const struct output *o, enum output_colour colour);

/* One message as JSON and a newline; on one line unless the format is OUTPUT_JSON. */
void output_message(const struct output *o, const ProtobufCMessage *message);

/* Two lists of one operation as one object: {"<first_name>": ..., "<rest_name>": [...]}. */
void output_with_list(const struct output *o, const char *first_name, const ProtobufCMessage *first,
                      const char *rest_name, const ProtobufCMessage *const *rest, size_t n_rest);

/* --- amounts; each returns @ret_text --- */

#define OUTPUT_TEXT_BYTES 64

char *output_bytes(const struct output *o, uint64_t bytes, char *ret_text);
char *output_rate(const struct output *o, uint64_t bytes_per_s, char *ret_text);
char *output_duration(const struct output *o, uint64_t ms, char *ret_text);

/* "6/256 GiB", "0.1/25 Gbit/s": both in the unit of the second; exact: "6442450944/274877906944".
 * A whole of 0 is unknown: "6 GiB". */
char *output_bytes_of(const struct output *o, uint64_t part, uint64_t whole, char *ret_text);
char *output_rate_of(const struct output *o, uint64_t part, uint64_t whole, char *ret_text);

/* "0:57", "12:03", "1:02:03"; exact: milliseconds. */
char *output_clock(const struct output *o, uint64_t ms, char *ret_text);

/* When something was: "2 min ago" on a terminal, else RFC 3339. */
char *output_when(const struct output *o, uint64_t wall_ms, uint64_t now_wall_ms, char *ret_text);

/* --- tables --- */

enum column_flags {
	COLUMN_RIGHT = 1 << 0,    /* numbers */
	COLUMN_WIDE = 1 << 1,     /* only with -o wide */
	COLUMN_OPTIONAL = 1 << 2, /* left out when all its cells are empty */
	COLUMN_WRAP = 1 << 3,     /* long text: may be broken on a narrow terminal */
};

struct column {
	const char *title;
	unsigned flags;
};

struct table;

/* @columns is borrowed until the table is freed. */
struct table *table_new(const struct output *o, const struct column *columns, size_t n_columns);
void table_free(struct table *table);

void table_add_row(struct table *table);
/* Cells of the last row, from left to right or any. Empty cells are shown as "-". */
void table_set(struct table *table, size_t column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void table_set_colour(struct table *table, size_t column, enum output_colour colour);
size_t table_get_rows(const struct table *table);
void table_print(struct table *table);
