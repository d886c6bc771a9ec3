/* SPDX-License-Identifier: Apache-2.0 */
/* The two figures of /proc/meminfo that admission lives by, read strictly: a sign, letters, a number
 * that does not fit, or a figure that is not there is an error, never a large amount of memory. */
#pragma once

#include "common/error.h"

#include <stdint.h>

/* -ERROR_INVALID naming the line that makes no sense. */
int meminfo_parse(const char *text, uint64_t *ret_total_bytes, uint64_t *ret_available_bytes,
                  struct error *err);

/* "oom_kill 3" of /proc/vmstat; 0 if the kernel does not count them. */
uint64_t vmstat_parse_oom_kills(const char *text);
