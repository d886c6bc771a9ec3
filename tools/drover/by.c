/* SPDX-License-Identifier: Apache-2.0 */
/* See by.h. Clocks that are put forward or back: mktime decides. */
#include "tools/drover/by.h"

#include "common/units.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_MS ((uint64_t)24 * 60 * 60 * 1000)

static bool is_time(unsigned hour, unsigned minute, unsigned second)
{
	return hour < 24 && minute < 60 && second < 60;
}

static uint64_t to_wall_ms(struct tm *tm)
{
	time_t seconds;

	tm->tm_isdst = -1;
	seconds = mktime(tm);
	return seconds < 0 ? 0 : (uint64_t)seconds * 1000;
}

/* "02:30"; today, or tomorrow if that is over. */
static int parse_time(const char *text, uint64_t now_wall_ms, uint64_t *ret_wall_ms)
{
	unsigned hour, minute, second = 0;
	time_t now = (time_t)(now_wall_ms / 1000);
	int used = 0;
	struct tm tm;

	if ((sscanf(text, "%2u:%2u%n", &hour, &minute, &used) != 2 || text[used]) &&
	    (sscanf(text, "%2u:%2u:%2u%n", &hour, &minute, &second, &used) != 3 || text[used]))
		return -1;
	if (!is_time(hour, minute, second) || !localtime_r(&now, &tm))
		return -1;
	tm.tm_hour = (int)hour;
	tm.tm_min = (int)minute;
	tm.tm_sec = (int)second;
	*ret_wall_ms = to_wall_ms(&tm);
	if (*ret_wall_ms <= now_wall_ms) {
		tm.tm_mday++;
		*ret_wall_ms = to_wall_ms(&tm);
	}
	return 0;
}

static int parse_date(const char *text, uint64_t *ret_wall_ms)
{
	unsigned year, month, day, hour, minute;
	int used = 0;
	char between;
	struct tm tm = { 0 };

	if (sscanf(text, "%4u-%2u-%2u%c%2u:%2u%n", &year, &month, &day, &between, &hour, &minute,
	           &used) != 6 ||
	    text[used] || (between != ' ' && between != 'T') || year < 1970 || month < 1 ||
	    month > 12 || day < 1 || day > 31 || !is_time(hour, minute, 0))
		return -1;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month - 1;
	tm.tm_mday = (int)day;
	tm.tm_hour = (int)hour;
	tm.tm_min = (int)minute;
	*ret_wall_ms = to_wall_ms(&tm);
	return 0;
}

int by_parse(const char *text, uint64_t now_wall_ms, uint64_t *ret_wall_ms, struct error *err)
{
	uint64_t wall_ms = 0, duration_ms;
	struct error ignored;

	if (parse_time(text, now_wall_ms, &wall_ms) == 0) {
		/* to come, by what it means */
	} else if (parse_date(text, &wall_ms) == 0) {
		if (wall_ms <= now_wall_ms)
			return error_set(err, ERROR_INVALID, "--by %.40s is over already", text);
	} else if (text[strspn(text, "0123456789.")] && /* "2" may mean an hour or a second */
	           units_parse_duration(text, &duration_ms, &ignored) == 0 && duration_ms > 0 &&
	           duration_ms < 365 * DAY_MS) {
		wall_ms = now_wall_ms + duration_ms;
	} else {
		return error_set(err, ERROR_INVALID,
		                 "--by \"%.40s\" is no time: write 02:30, 45m, or "
		                 "\"2026-11-22 02:30\"",
		                 text);
	}
	*ret_wall_ms = wall_ms;
	return 0;
}

char *by_format(uint64_t wall_ms, uint64_t now_wall_ms, char *ret_text)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	uint64_t apart_ms = wall_ms > now_wall_ms ? wall_ms - now_wall_ms : now_wall_ms - wall_ms;
	struct tm tm;

	ret_text[0] = '\0';
	if (localtime_r(&seconds, &tm))
		strftime(ret_text, BY_TEXT_BYTES, apart_ms < DAY_MS ? "%H:%M" : "%Y-%m-%d %H:%M",
		         &tm);
	return ret_text;
}
