/* SPDX-License-Identifier: Apache-2.0 */
/* What was set aside by journal.c, found again after a restart. */
#include "agent/journal/journal.h"

#include "common/alloc.h"
#include "common/cleanup.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

bool journal_find_quarantined(const char *path, char *ret, size_t bytes)
{
	_cleanup_free_ char *directory = xstrdup(path);
	char *slash = strrchr(directory, '/');
	const char *name = slash ? slash + 1 : directory;
	_cleanup_free_ char *prefix = xasprintf("%s.corrupt-", name);
	const struct dirent *entry;
	bool found = false;
	DIR *d;

	if (slash)
		*slash = '\0';
	d = opendir(!slash ? "." : slash == directory ? "/" : directory);
	if (!d) {
		snprintf(ret, bytes, "%s", directory);
		return true;
	}
	while (!found && (entry = readdir(d)))
		found = strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	if (found)
		snprintf(ret, bytes, "%s%s%s", slash ? directory : "", slash ? "/" : "",
		         entry->d_name);
	closedir(d);
	return found;
}
