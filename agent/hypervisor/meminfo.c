/* SPDX-License-Identifier: Apache-2.0 */
/* See meminfo.h. */
#include "agent/hypervisor/meminfo.h"

#include "common/units.h"

#include <stdbool.h>
#include <string.h>

/* The text after "@key" at the beginning of a line, or NULL. */
static const char *find_line(const char *text, const char *key)
{
	size_t bytes = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, bytes) == 0)
			return line + bytes;
	}
	return NULL;
}

static bool read_digits(const char **at, uint64_t *ret)
{
	uint64_t number = 0;
	const char *p = *at;

	while (*p == ' ' || *p == '\t')
		p++;
	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*p - '0'), &number))
			return false;
	}
	*at = p;
	*ret = number;
	return true;
}

static int read_kib(const char *text, const char *key, uint64_t *ret_bytes, struct error *err)
{
	const char *at = find_line(text, key), *number = at;
	uint64_t kib, bytes;

	if (!at)
		return error_set(err, ERROR_INVALID, "/proc/meminfo has no %s", key);
	if (!read_digits(&at, &kib) || strncmp(at, " kB", 3) != 0 || (at[3] && at[3] != '\n') ||
	    __builtin_mul_overflow(kib, KIB, &bytes))
		return error_set(err, ERROR_INVALID, "/proc/meminfo says %s%.*s", key,
		                 (int)strcspn(number, "\n") > 40 ? 40 : (int)strcspn(number, "\n"),
		                 number);
	*ret_bytes = bytes;
	return 0;
}

int meminfo_parse(const char *text, uint64_t *ret_total_bytes, uint64_t *ret_available_bytes,
                  struct error *err)
{
	uint64_t total, available;
	int rc = read_kib(text, "MemTotal:", &total, err);

	if (rc == 0)
		rc = read_kib(text, "MemAvailable:", &available, err);
	if (rc < 0)
		return rc;
	if (total == 0)
		return error_set(err, ERROR_INVALID, "/proc/meminfo says MemTotal: 0 kB");
	*ret_total_bytes = total;
	*ret_available_bytes = available;
	return 0;
}

uint64_t vmstat_parse_oom_kills(const char *text)
{
	const char *at = find_line(text, "oom_kill ");
	uint64_t number;

	return at && read_digits(&at, &number) ? number : 0;
}
