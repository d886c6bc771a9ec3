/* SPDX-License-Identifier: Apache-2.0 */
/* Events of one hypervisor, kept so that a test can wait for one with a deadline; and waiting for
 * whatever else becomes true. */
#pragma once

#include "agent/hypervisor/hypervisor.h"

#include <stddef.h>

struct suite_watch;

/* Starts watching @h. Freed after @h, whose thread writes to it. */
struct suite_watch *suite_watch_new(struct hypervisor *h);
void suite_watch_free(struct suite_watch *watch);

/* How many events have come: the mark from which a later wait looks. */
size_t suite_watch_mark(struct suite_watch *watch);

/* Waits until an event of @kind about @uuid (NULL: any) has come after @mark, and copies it to @ret
 * (may be NULL). False when the deadline passes. */
bool suite_watch_wait(struct suite_watch *watch, size_t mark, enum hypervisor_event_kind kind,
                      const char *uuid, unsigned int deadline_s, struct hypervisor_event *ret);

/* As suite_watch_wait, for the change that stops a guest for its switchover. */
bool suite_watch_wait_switchover(struct suite_watch *watch, size_t mark, const char *uuid,
                                 unsigned int deadline_s, struct hypervisor_event *ret);

/* As suite_watch_wait, for the change with which a guest's vCPUs go on. */
bool suite_watch_wait_runs(struct suite_watch *watch, size_t mark, const char *uuid,
                           unsigned int deadline_s);

/* Asks @holds again and again until it is true or the deadline passes. */
bool suite_wait_until(bool (*holds)(void *context), void *context, unsigned int deadline_s);
