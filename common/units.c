/* SPDX-License-Identifier: Apache-2.0 */
/* See units.h. */
#include "common/units.h"

#include "common/alloc.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *suffix;
	double factor;
};

/* clang-format off */
static const struct unit size_units[] = {
	{ "",    1 },                  { "B",   1 },
	{ "K",   1e3 },                { "M",   1e6 },
	{ "G",   1e9 },                { "T",   1e12 },
	{ "kB",  1e3 },                { "MB",  1e6 },
	{ "GB",  1e9 },                { "TB",  1e12 },
	{ "Ki",  1024.0 },             { "KiB", 1024.0 },
	{ "Mi",  1048576.0 },          { "MiB", 1048576.0 },
	{ "Gi",  1073741824.0 },       { "GiB", 1073741824.0 },
	{ "Ti",  1099511627776.0 },    { "TiB", 1099511627776.0 },
};

static const struct unit rate_units[] = {
	{ "bit",  1.0 / 8 },           { "kbit", 1e3 / 8 },
	{ "Mbit", 1e6 / 8 },           { "Gbit", 1e9 / 8 },
	{ "Ki",   1024.0 },            { "KiB",  1024.0 },
	{ "Mi",   1048576.0 },         { "MiB",  1048576.0 },
	{ "Gi",   1073741824.0 },      { "GiB",  1073741824.0 },
	{ "MB",   1e6 },               { "GB",   1e9 },
};

static const struct unit time_units[] = {
	{ "ms", 1 }, { "s", 1e3 }, { "m", 60e3 }, { "min", 60e3 }, { "h", 3600e3 }, { "d", 86400e3 },
};
/* clang-format on */

/* The largest whole amount that a double holds exactly; far over any RAM, link or time-out. */
#define LARGEST 9007199254740992.0

/* Reads digits and a point; not strtod, which takes "inf", "nan", hex and a locale's comma. */
static const char *read_number(const char *text, double *ret_value)
{
	const char *at = text;
	double value = 0, scale = 0.1;

	if (!isdigit((unsigned char)*at))
		return NULL;
	for (; isdigit((unsigned char)*at); at++)
		value = value * 10 + (*at - '0');
	if (*at == '.') {
		at++;
		if (!isdigit((unsigned char)*at))
			return NULL;
		for (; isdigit((unsigned char)*at); at++, scale /= 10)
			value += (*at - '0') * scale;
	}
	*ret_value = value;
	return at;
}

static const struct unit *find_unit(const struct unit *units, size_t n_units, const char *suffix,
                                    size_t bytes)
{
	for (size_t i = 0; i < n_units; i++) {
		if (strlen(units[i].suffix) == bytes &&
		    strncmp(units[i].suffix, suffix, bytes) == 0)
			return &units[i];
	}
	return NULL;
}

static int to_whole(double value, const char *text, uint64_t *ret_value, struct error *err)
{
	if (value > LARGEST)
		return error_set(err, ERROR_INVALID, "\"%s\" is too large", text);
	/* Nothing becomes zero by rounding: zero means "no limit". */
	if (value > 0 && value < 0.5)
		return error_set(err, ERROR_INVALID, "\"%s\" is too small", text);
	*ret_value = (uint64_t)llround(value);
	return 0;
}

int units_parse_bytes(const char *text, uint64_t *ret_bytes, struct error *err)
{
	double value;
	const char *suffix = read_number(text, &value);
	const struct unit *unit = NULL;

	if (suffix) {
		suffix += strspn(suffix, " ");
		unit = find_unit(size_units, ARRAY_SIZE(size_units), suffix, strlen(suffix));
	}
	if (!unit)
		return error_set(err, ERROR_INVALID,
		                 "\"%s\" is not a size; write for example 512MiB or 1.5GiB", text);
	return to_whole(value * unit->factor, text, ret_bytes, err);
}

int units_parse_rate(const char *text, uint64_t *ret_bytes_per_s, struct error *err)
{
	double value;
	const char *suffix = read_number(text, &value);
	const struct unit *unit = NULL;

	if (suffix) {
		size_t bytes;

		suffix += strspn(suffix, " ");
		bytes = strlen(suffix);
		if (bytes == 0 && value == 0) {
			*ret_bytes_per_s = 0;
			return 0;
		}
		if (bytes > 2 && strcmp(suffix + bytes - 2, "/s") == 0)
			bytes -= 2;
		unit = find_unit(rate_units, ARRAY_SIZE(rate_units), suffix, bytes);
	}
	if (!unit)
		return error_set(err, ERROR_INVALID,
		                 "\"%s\" is not a rate; write for example 1Gbit/s or 64MiB/s",
		                 text);
	return to_whole(value * unit->factor, text, ret_bytes_per_s, err);
}

int units_parse_duration(const char *text, uint64_t *ret_ms, struct error *err)
{
	double total_ms = 0;
	const char *at = text;

	do {
		double value;
		const char *suffix = read_number(at, &value);
		const struct unit *unit = NULL;
		size_t bytes = 0;

		if (suffix) {
			suffix += strspn(suffix, " ");
			while (isalpha((unsigned char)suffix[bytes]))
				bytes++;
			if (bytes == 0 && at == text && !*suffix)
				unit = &time_units[1];
			else
				unit = find_unit(time_units, ARRAY_SIZE(time_units), suffix, bytes);
		}
		if (!unit)
			return error_set(err, ERROR_INVALID,
			                 "\"%s\" is not a duration; write for example 150s, 1m30s "
			                 "or 250ms",
			                 text);
		total_ms += value * unit->factor;
		at = suffix + bytes;
		at += strspn(at, " ");
	} while (*at);
	return to_whole(total_ms, text, ret_ms, err);
}

/* One decimal while it says something: 1.5, 15.3, 153; whole amounts have none. */
static char *format_scaled(double value, const char *unit, char *ret_text)
{
	int decimals = value >= 99.95 || value == floor(value) ? 0 : 1;

	snprintf(ret_text, UNITS_TEXT_BYTES, "%.*f %s", decimals, value, unit);
	return ret_text;
}

char *units_format_bytes(uint64_t bytes, char *ret_text)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t i = 0;

	while (value >= 1023.5 && i + 1 < ARRAY_SIZE(names)) {
		value /= 1024;
		i++;
	}
	return format_scaled(value, names[i], ret_text);
}

char *units_format_rate(uint64_t bytes_per_s, char *ret_text)
{
	static const char *const names[] = { "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s" };
	double value = (double)bytes_per_s * 8;
	size_t i = 0;

	while (value >= 999.5 && i + 1 < ARRAY_SIZE(names)) {
		value /= 1000;
		i++;
	}
	return format_scaled(value, names[i], ret_text);
}

char *units_format_speed(uint64_t bytes_per_s, char *ret_text)
{
	char bytes[UNITS_TEXT_BYTES], bits[UNITS_TEXT_BYTES];

	if (bytes_per_s == 0)
		snprintf(ret_text, UNITS_TEXT_BYTES, "no limit");
	else
		snprintf(ret_text, UNITS_TEXT_BYTES, "%.13s/s = %.14s",
		         units_format_bytes(bytes_per_s, bytes),
		         units_format_rate(bytes_per_s, bits));
	return ret_text;
}

char *units_format_duration(uint64_t ms, char *ret_text)
{
	uint64_t seconds = ms / 1000 + (ms % 1000 >= 500);

	if (ms < 1000)
		snprintf(ret_text, UNITS_TEXT_BYTES, "%u ms", (unsigned)ms);
	else if (ms < 59950)
		snprintf(ret_text, UNITS_TEXT_BYTES, "%.1f s", (double)ms / 1000);
	else if (seconds < 3600)
		snprintf(ret_text, UNITS_TEXT_BYTES, "%u min %u s", (unsigned)(seconds / 60),
		         (unsigned)(seconds % 60));
	else
		snprintf(ret_text, UNITS_TEXT_BYTES, "%llu h %u min",
		         (unsigned long long)(seconds / 3600), (unsigned)(seconds % 3600 / 60));
	return ret_text;
}
