/* SPDX-License-Identifier: Apache-2.0 */
/* One line per event, to stderr: systemd's journal takes it from there with its priority.
 *
 * A function either logs or returns an error. Owner threads log; everything below them returns.
 * Lines look like   2026-01-12T14:45:31Z agent host1: migration 4f.. web1 -> host2: running
 * and, when stderr is the journal, carry a <priority> in front instead of the time.
 */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* @who: "agent host1"; copied. Lines above @level are not written. Call before threads start. */
void log_open(const char *who, enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
