/* SPDX-License-Identifier: Apache-2.0 */
/* Tables by libsmartcols: upper-case headings, two spaces between columns, no borders.
 *
 * Cells are collected first and drawn at the end, because only then is it known which optional
 * columns have something to say. Escaping is ours, not the library's: ours also knows marks that
 * change the reading direction, and the same name must look the same in tables and lines.
 */
#include "tools/drover/output.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tools/drover/text.h"

#include <assert.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <string.h>

#define WIDTH_UNLIMITED 100000

struct cell {
	char *text; /* escaped; NULL = empty */
	enum output_colour colour;
};

struct table {
	const struct output *output;
	const struct column *columns;
	size_t n_columns;
	struct cell *cells; /* n_rows times n_columns */
	size_t n_rows;
};

struct table *table_new(const struct output *o, const struct column *columns, size_t n_columns)
{
	struct table *table = xnew(struct table);

	*table = (struct table){ .output = o, .columns = columns, .n_columns = n_columns };
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

void table_add_row(struct table *table)
{
	size_t n = table->n_columns;

	table->cells = xreallocarray(table->cells, (table->n_rows + 1) * n, sizeof(struct cell));
	memset(table->cells + table->n_rows * n, 0, n * sizeof(struct cell));
	table->n_rows++;
}

static struct cell *last_row(struct table *table, size_t column)
{
	assert(table->n_rows > 0 && column < table->n_columns);
	return &table->cells[(table->n_rows - 1) * table->n_columns + column];
}

void table_set(struct table *table, size_t column, const char *format, ...)
{
	struct cell *cell = last_row(table, column);
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	free(cell->text);
	cell->text = *text ? text_escape(text, table->output->ascii) : NULL;
}

void table_set_colour(struct table *table, size_t column, enum output_colour colour)
{
	last_row(table, column)->colour = colour;
}

size_t table_get_rows(const struct table *table)
{
	return table->n_rows;
}

static bool is_shown(const struct table *table, size_t column)
{
	unsigned flags = table->columns[column].flags;

	if ((flags & COLUMN_WIDE) && table->output->format != OUTPUT_WIDE)
		return false;
	if (!(flags & COLUMN_OPTIONAL))
		return true;
	for (size_t row = 0; row < table->n_rows; row++) {
		if (table->cells[row * table->n_columns + column].text)
			return true;
	}
	return false;
}

static void fill_row(const struct table *table, size_t row, struct libscols_line *line)
{
	size_t shown = 0;

	for (size_t i = 0; i < table->n_columns; i++) {
		const struct cell *cell = &table->cells[row * table->n_columns + i];
		struct libscols_cell *to;

		if (!is_shown(table, i))
			continue;
		to = scols_line_get_cell(line, shown++);
		if (cell->text)
			scols_cell_set_data(to, cell->text);
		else if (!(table->columns[i].flags & COLUMN_OPTIONAL))
			scols_cell_set_data(to, "-");
		if (cell->colour != COLOUR_NONE && table->output->colour)
			scols_cell_set_color(to, output_get_colour(table->output, cell->colour));
	}
}

void table_print(struct table *table)
{
	const struct output *o = table->output;
	struct libscols_table *drawn = scols_new_table();
	_cleanup_free_ char *text = NULL;

	if (!drawn)
		abort();
	scols_table_enable_noencoding(drawn, 1);
	scols_table_enable_noheadings(drawn, !o->headers);
	scols_table_enable_minout(drawn, 1);
	scols_table_enable_colors(drawn, o->colour);
	scols_table_set_column_separator(drawn, "  ");
	/* The library would look at stdout itself; the width is ours to say. */
	scols_table_set_termforce(drawn, SCOLS_TERMFORCE_ALWAYS);
	scols_table_set_termwidth(drawn, o->columns ? o->columns : WIDTH_UNLIMITED);
	for (size_t i = 0; i < table->n_columns; i++) {
		unsigned flags = table->columns[i].flags;

		if (is_shown(table, i))
			scols_table_new_column(drawn, table->columns[i].title, 0,
			                       ((flags & COLUMN_RIGHT) ? SCOLS_FL_RIGHT : 0) |
			                               ((flags & COLUMN_WRAP) ? SCOLS_FL_WRAP : 0));
	}
	for (size_t row = 0; row < table->n_rows; row++) {
		struct libscols_line *line = scols_table_new_line(drawn, NULL);

		if (!line)
			abort();
		fill_row(table, row, line);
	}
	if (scols_print_table_to_string(drawn, &text) != 0)
		abort();
	fputs(text, o->file);
	if (*text && text[strlen(text) - 1] != '\n')
		fputc('\n', o->file);
	scols_unref_table(drawn);
}
