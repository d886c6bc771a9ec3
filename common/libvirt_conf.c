/* SPDX-License-Identifier: Apache-2.0 */
/* See libvirt_conf.h. Lines of the form  key = "value"  or  key = 'value' ; lists and numbers are
 * skipped unless asked for, then refused. */
#include "common/libvirt_conf.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n"

/* The text after "key =" if @line sets @key, else NULL. */
static const char *find_value(const char *line, const char *key)
{
	size_t length = strlen(key);

	line += strspn(line, BLANKS);
	if (strncmp(line, key, length) != 0)
		return NULL;
	line += length;
	line += strspn(line, BLANKS);
	if (*line != '=')
		return NULL;
	line++;
	return line + strspn(line, BLANKS);
}

int libvirt_conf_get_string(const char *path, const char *key, char *ret, size_t bytes,
                            struct error *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;
	unsigned int number = 0;

	if (!file && errno == ENOENT) {
		ret[0] = 0;
		return 0;
	}
	if (!file)
		return error_set_errno(err, ERROR_SYSTEM, errno, "opening %s", path);
	while (getline(&line, &capacity, file) >= 0) {
		const char *value = find_value(line, key), *end;

		number++;
		if (!value)
			continue;
		end = *value == '"' || *value == '\'' ? strchr(value + 1, *value) : NULL;
		if (!end)
			return error_set(err, ERROR_INVALID, "%s:%u: %s is not a quoted text", path,
			                 number, key);
		if ((size_t)(end - value - 1) >= bytes)
			return error_set(err, ERROR_INVALID, "%s:%u: %s is longer than %zu bytes",
			                 path, number, key, bytes - 1);
		snprintf(ret, bytes, "%.*s", (int)(end - value - 1), value + 1);
		return 0;
	}
	if (ferror(file))
		return error_set_errno(err, ERROR_SYSTEM, errno, "reading %s", path);
	ret[0] = 0;
	return 0;
}
