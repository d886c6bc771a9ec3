/* SPDX-License-Identifier: Apache-2.0 */
/* When a process started: with its pid, the name of a process that is never given twice. */
#include "agent/tunnel/process.h"

#include "common/cleanup.h"

#include <stdio.h>
#include <string.h>

int tunnel_process_start_ticks(pid_t pid, uint64_t *ret_ticks)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], line[1024];
	unsigned long long ticks;
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return -ERROR_NOT_FOUND;
	/* Behind the name, which may hold anything, in brackets; field 22, the name is field 2. */
	p = strrchr(line, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %llu", &ticks) != 1)
		return -ERROR_NOT_FOUND;
	*ret_ticks = ticks;
	return 0;
}
