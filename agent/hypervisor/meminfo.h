/* SPDX-License-Identifier: Apache-2.0 */
/* The two figures of /proc/meminfo that admission lives by, read strictly: a sign, letters, a number
 * that does not fit, or a figure that is not there is an error, never a large amount of memory. */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -ERROR_INVALID naming the line that makes no sense. */
int meminfo_parse(const char *text, uint64_t *ret_total_bytes, uint64_t *ret_available_bytes,
                  struct error *err);

/* "oom_kill 3" of /proc/vmstat, or of a control group's file; 0 if the kernel does not count them. */
uint64_t vmstat_parse_oom_kills(const char *text);

/* The file in which that is counted for a host that is itself a control group (a container, the lab): the
 * machine's count has its neighbours in it. @text: /proc/self/cgroup. False: it is a machine, whose agent
 * is a service or a person's. */
bool cgroup_find_oom_file(const char *text, char *ret, size_t bytes);
