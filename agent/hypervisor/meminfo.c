/* SPDX-License-Identifier: Apache-2.0 */
/* See meminfo.h. */
#include "agent/hypervisor/meminfo.h"

#include "common/units.h"

#include <stdio.h>
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

static bool ends_with(const char *text, size_t length, const char *end)
{
	return length >= strlen(end) && memcmp(text + length - strlen(end), end, strlen(end)) == 0;
}

bool cgroup_find_oom_file(const char *text, char *ret, size_t bytes)
{
	bool found = false;

	for (const char *line = text, *next; *line; line = next) {
		size_t length = strcspn(line, "\n");
		const char *controllers = memchr(line, ':', length), *path, *file;
		bool v1;

		next = line + length + (line[length] != '\0');
		path = controllers ? memchr(controllers + 1, ':',
		                            length - (size_t)(controllers + 1 - line))
		                   : NULL;
		if (!path || path[1] != '/')
			continue;
		length -= (size_t)(++path - line);
		v1 = strncmp(controllers, ":memory:", sizeof(":memory:") - 1) == 0;
		/* With both versions there, memory is where it has a controller. */
		if ((!v1 && (controllers[1] != ':' || found)) || length == 1 ||
		    ends_with(path, length, ".service") || ends_with(path, length, ".scope"))
			continue;
		file = v1 ? "memory.oom_control" : "memory.events";
		found = snprintf(ret, bytes, "/sys/fs/cgroup%s%.*s/%s", v1 ? "/memory" : "",
		                 (int)length, path, file) < (int)bytes;
	}
	return found;
}
