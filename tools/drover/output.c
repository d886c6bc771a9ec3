/* SPDX-License-Identifier: Apache-2.0 */
/* Terminal properties, amounts, JSON. Tables are in table.c. */
#include "tools/drover/output.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/units.h"
#include "proto/json.h"

#include <assert.h>
#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_DEFAULT 80

static const char *const format_names[] = {
	[OUTPUT_TABLE] = "table", [OUTPUT_WIDE] = "wide", [OUTPUT_JSON] = "json",
	[OUTPUT_JSONL] = "jsonl", [OUTPUT_NAME] = "name",
};
static_assert(ARRAY_SIZE(format_names) == OUTPUT_FORMATS, "a format without a name");

const char *output_format_name(enum output_format format)
{
	return format_names[format];
}

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value;
}

void output_init(struct output *o, FILE *file, enum output_when colour)
{
	const char *term = getenv("TERM");
	bool dumb = !term || strcmp(term, "dumb") == 0;

	*o = (struct output){ .file = file, .headers = true };
	/* A dumb terminal cannot move its cursor: it is written to like a pipe. */
	o->terminal = isatty(fileno(file)) && !dumb;
	o->ascii = isatty(fileno(file)) && strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	if (o->terminal)
		o->columns = output_get_columns(o);
	switch (colour) {
	case OUTPUT_ALWAYS:
		o->colour = true;
		break;
	case OUTPUT_NEVER:
		break;
	case OUTPUT_AUTO:
		o->colour = o->terminal && !is_set("NO_COLOR") && !is_set("DROVER_NO_COLOR");
		break;
	}
}

unsigned output_get_columns(const struct output *o)
{
	const char *variable = getenv("COLUMNS");
	struct winsize size;

	if (ioctl(fileno(o->file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	if (variable) {
		char *end;
		unsigned long columns = strtoul(variable, &end, 10);

		if (!*end && columns >= 20 && columns <= 10000)
			return (unsigned)columns;
	}
	return COLUMNS_DEFAULT;
}

const struct glyphs *output_get_glyphs(const struct output *o)
{
	static const struct glyphs unicode = {
		.arrow = "→",
		.done = "✔",
		.running = "▶",
		.waiting = "·",
		.failed = "✘",
		.full = "█",
		.empty = "░",
		.about = "≈",
		.more = "…",
		.dot = "·",
	};
	static const struct glyphs ascii = {
		.arrow = "->",
		.done = "+",
		.running = ">",
		.waiting = ".",
		.failed = "x",
		.full = "#",
		.empty = "-",
		.about = "~",
		.more = "...",
		.dot = "-",
	};

	return o->ascii ? &ascii : &unicode;
}

const char *output_get_colour(const struct output *o, enum output_colour colour)
{
	static const char *const sequences[COLOURS] = {
		[COLOUR_NONE] = "\033[0m",   [COLOUR_BOLD] = "\033[1m",
		[COLOUR_DIM] = "\033[2m",    [COLOUR_RED] = "\033[31m",
		[COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
	};

	return o->colour ? sequences[colour] : "";
}

void output_message(const struct output *o, const ProtobufCMessage *message)
{
	json_write(o->file, message, o->format == OUTPUT_JSON);
	fputc('\n', o->file);
}

void output_with_list(const struct output *o, const char *first_name, const ProtobufCMessage *first,
                      const char *rest_name, const ProtobufCMessage *const *rest, size_t n_rest)
{
	fprintf(o->file, "{\"%s\":", first_name);
	json_write(o->file, first, false);
	fprintf(o->file, ",\"%s\":[", rest_name);
	for (size_t i = 0; i < n_rest; i++) {
		fputs(i > 0 ? "," : "", o->file);
		json_write(o->file, rest[i], false);
	}
	fputs("]}\n", o->file);
}

char *output_bytes(const struct output *o, uint64_t bytes, char *ret_text)
{
	if (!o->exact)
		return units_format_bytes(bytes, ret_text);
	snprintf(ret_text, OUTPUT_TEXT_BYTES, "%llu", (unsigned long long)bytes);
	return ret_text;
}

char *output_rate(const struct output *o, uint64_t bytes_per_s, char *ret_text)
{
	if (!o->exact)
		return units_format_rate(bytes_per_s, ret_text);
	return output_bytes(o, bytes_per_s, ret_text);
}

char *output_duration(const struct output *o, uint64_t ms, char *ret_text)
{
	if (!o->exact)
		return units_format_duration(ms, ret_text);
	return output_bytes(o, ms, ret_text);
}

/* @whole_text is "256 GiB"; puts the part in front, in that unit. */
static char *format_part(double part, double whole, const char *whole_text, char *ret_text)
{
	double shown = strtod(whole_text, NULL);
	double value = shown > 0 ? part / whole * shown : 0;
	int decimals = value == floor(value) || value >= 9.95 || value < 0.005 ? 0
	               : value < 0.095                                         ? 2
	                                                                       : 1;

	snprintf(ret_text, OUTPUT_TEXT_BYTES, "%.*f/%s", decimals, value, whole_text);
	return ret_text;
}

char *output_bytes_of(const struct output *o, uint64_t part, uint64_t whole, char *ret_text)
{
	char text[UNITS_TEXT_BYTES];

	if (whole == 0)
		return output_bytes(o, part, ret_text);
	if (!o->exact)
		return format_part((double)part, (double)whole, units_format_bytes(whole, text),
		                   ret_text);
	snprintf(ret_text, OUTPUT_TEXT_BYTES, "%llu/%llu", (unsigned long long)part,
	         (unsigned long long)whole);
	return ret_text;
}

char *output_rate_of(const struct output *o, uint64_t part, uint64_t whole, char *ret_text)
{
	char text[UNITS_TEXT_BYTES];

	if (whole == 0)
		return output_rate(o, part, ret_text);
	if (o->exact)
		return output_bytes_of(o, part, whole, ret_text);
	return format_part((double)part, (double)whole, units_format_rate(whole, text), ret_text);
}

char *output_clock(const struct output *o, uint64_t ms, char *ret_text)
{
	unsigned long long seconds = ms / 1000;

	if (o->exact)
		return output_bytes(o, ms, ret_text);
	if (seconds < 3600)
		snprintf(ret_text, OUTPUT_TEXT_BYTES, "%llu:%02llu", seconds / 60, seconds % 60);
	else
		snprintf(ret_text, OUTPUT_TEXT_BYTES, "%llu:%02llu:%02llu", seconds / 3600,
		         seconds % 3600 / 60, seconds % 60);
	return ret_text;
}

char *output_when(const struct output *o, uint64_t wall_ms, uint64_t now_wall_ms, char *ret_text)
{
	uint64_t ago_ms = now_wall_ms > wall_ms ? now_wall_ms - wall_ms : 0;
	char text[UNITS_TEXT_BYTES];

	if (!o->terminal || o->exact)
		return clock_format_wall(wall_ms, ret_text);
	/* Rounded to what a person would say. */
	ago_ms -= ago_ms % (ago_ms < 60000 ? 1000 : 60000);
	units_format_duration(ago_ms, text);
	if (ago_ms >= 60000 && ago_ms < 3600000)
		text[strcspn(text, "n") + 1] = 0; /* "2 min" of "2 min 0 s" */
	snprintf(ret_text, OUTPUT_TEXT_BYTES, "%s ago", ago_ms < 1000 ? "0 s" : text);
	return ret_text;
}
