/* SPDX-License-Identifier: Apache-2.0 */
/* See clock.h. */
#include "common/clock.h"

#include <assert.h>
#include <time.h>

static uint64_t read_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		assert(!"clock_gettime fails only for a clock that does not exist");
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_now_ms(void)
{
	return read_ns(CLOCK_BOOTTIME) / 1000000u;
}

uint64_t clock_now_ns(void)
{
	return read_ns(CLOCK_BOOTTIME);
}

uint64_t clock_wall_ms(void)
{
	return read_ns(CLOCK_REALTIME) / 1000000u;
}

char *clock_format_wall(uint64_t wall_ms, char *ret_text)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm broken_down;

	gmtime_r(&seconds, &broken_down);
	strftime(ret_text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &broken_down);
	return ret_text;
}
