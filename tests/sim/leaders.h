/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinators of a simulated cluster: two processes that share one store and never run in peace
 * together. A file of its own without any of the agent's headers, whose names are partly the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEADERS 2

/* Their machines are numbered from @first_host. */
void leaders_begin(unsigned first_host, void (*violated)(const char *format, ...));
void leaders_end(void);

const char *leader_url(unsigned i);
bool leader_is_alive(unsigned i);
/* From now on it is also started again whenever it ends by itself. */
void leader_start(unsigned i);
void leader_crash(unsigned i);
void leader_pause(unsigned i, uint64_t us);
/* Started again after a crash, unless it was retired. */
void leader_start_again(unsigned i);
void leader_retire(unsigned i);

/* What has not come to its end at the coordinator that leads: into @ret, true. The move of a guest
 * that is @lost is unresolved for ever: drover starts nothing, and says so. */
bool leaders_find_unsettled(bool (*lost)(const char *uuid), char *ret, size_t bytes);

/* The next drain that has become completed, once each; NULL: none. Borrowed. */
const char *leaders_next_completed(void);
