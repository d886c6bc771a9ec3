/* SPDX-License-Identifier: Apache-2.0 */
/* See log.h. A line is put together first and written with one call, so lines of several threads do
 * not mix. Control characters are replaced: names of guests come from outside. A line that is too
 * long is cut: its beginning says what it is about. */
#include "common/log.h"

#include "common/clock.h"
#include "common/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char log_who[64] = "drover";
static enum log_level log_limit = LOG_LEVEL_INFO;
static bool log_to_journal;

/* systemd names the journal's socket in the environment; a child whose stderr was redirected inherits
 * the name, but not the socket. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat info;

	if (!stream || fstat(fd, &info) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)info.st_dev, (uintmax_t)info.st_ino);
	return strcmp(stream, ours) == 0;
}

void log_open(const char *who, enum log_level level)
{
	snprintf(log_who, sizeof(log_who), "%s", who);
	log_limit = level;
	log_to_journal = is_journal(STDERR_FILENO);
}

void log_write(enum log_level level, const char *format, ...)
{
	static const int priorities[] = { 3, 4, 6, 7 }; /* as syslog's LOG_ERR .. LOG_DEBUG */
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
	char line[2048];
	char when[CLOCK_TEXT_BYTES];
	size_t used;
	va_list args;

	if (level > log_limit)
		return;
	if (log_to_journal)
		snprintf(line, sizeof(line), "<%d>%s: ", priorities[level], log_who);
	else
		snprintf(line, sizeof(line), "%s %s: %s", clock_format_wall(clock_wall_ms(), when),
		         log_who, words[level]);
	used = strlen(line);

	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);

	utf8_make_printable(line + used);
	used = strlen(line);
	line[used++] = '\n';
	/* Nothing sensible is left to do when the log itself cannot be written. */
	(void)!write(STDERR_FILENO, line, used);
}
