/* SPDX-License-Identifier: Apache-2.0 */
/* Follows drains or a migration to their end: live on a terminal, line by line in a pipe. */
#pragma once

#include "tools/drover/session.h"

/* Follows drain @number and prints what came of it. Returns the exit status: EXIT_DONE if the node
 * is empty, EXIT_PARTLY, EXIT_FAILED if it was cancelled, EXIT_INTERRUPTED, EXIT_TIMEOUT... */
enum exit_code watch_drain(struct session *s, uint64_t number);
/* Several on one screen; the exit status is the worst of theirs. */
enum exit_code watch_drains(struct session *s, const uint64_t *numbers, size_t count);
enum exit_code watch_migration(struct session *s, uint64_t number);
