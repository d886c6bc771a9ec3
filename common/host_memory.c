/* SPDX-License-Identifier: Apache-2.0 */
/* See host_memory.h. */
#include "common/host_memory.h"

#include "common/units.h"

#include <stdio.h>

static bool is_believable(const char *what, uint64_t bytes, char *ret_why)
{
	char most[UNITS_TEXT_BYTES];

	if (bytes <= HOST_MEMORY_MAX_BYTES)
		return true;
	snprintf(ret_why, HOST_MEMORY_TEXT_BYTES,
	         "%s is %llu bytes (%lld if it was meant as a signed number); at most %s are "
	         "believed",
	         what, (unsigned long long)bytes, (long long)bytes,
	         units_format_bytes(HOST_MEMORY_MAX_BYTES, most));
	return false;
}

static bool is_within(const char *what, uint64_t bytes, const char *whole, uint64_t whole_bytes,
                      char *ret_why)
{
	char part[UNITS_TEXT_BYTES], all[UNITS_TEXT_BYTES];

	if (!whole_bytes || bytes <= whole_bytes)
		return true;
	snprintf(ret_why, HOST_MEMORY_TEXT_BYTES, "%s is %s, more than %s, %s", what,
	         units_format_bytes(bytes, part), whole, units_format_bytes(whole_bytes, all));
	return false;
}

bool host_memory_makes_sense(const struct host_memory *m, char *ret_why)
{
	return is_believable("the physical RAM", m->physical_bytes, ret_why) &&
	       is_believable("the available RAM", m->available_bytes, ret_why) &&
	       is_believable("memory/capacity", m->capacity_bytes, ret_why) &&
	       is_believable("memory/reserve", m->reserve_bytes, ret_why) &&
	       is_believable("the guests' RAM", m->guests_bytes, ret_why) &&
	       is_believable("the reserved RAM", m->reserved_bytes, ret_why) &&
	       is_within("MemAvailable", m->available_bytes, "MemTotal", m->physical_bytes,
	                 ret_why) &&
	       is_within("memory/capacity", m->capacity_bytes, "the RAM of /proc/meminfo",
	                 m->physical_bytes, ret_why) &&
	       is_within("memory/reserve", m->reserve_bytes, "memory/capacity", m->capacity_bytes,
	                 ret_why);
}
