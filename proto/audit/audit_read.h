/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an audit log and proving that its chain holds. For tools and tests; blocks.
 *
 * The chain is proved from the first line that is there: rotation removes the oldest files, and
 * what they held cannot be proved any more. */
#pragma once

#include "common/error.h"
#include "proto/audit/audit_line.h"

struct audit_verdict {
	uint64_t lines;
	uint64_t first_seq;
	struct audit_chain last; /* of the last good line */
	/* The first line that breaks the chain; 0: it holds. */
	uint64_t bad_line; /* from 1, in @bad_path */
	char bad_path[256];
	struct error problem;
	uint64_t torn_bytes; /* after the last newline: a line that was not finished */
	uint64_t lost;       /* lines that the log itself says are missing */
};

/* Reads @path with the older files beside it (@path.1, @path.2 ...), oldest first, and gives each
 * whole line to @line (may be NULL), without its newline, whether it is good or not. Fails only if
 * a file cannot be read; whether the chain holds is in @ret. */
int audit_read(const char *path, void (*line)(const char *text, void *context), void *context,
               struct audit_verdict *ret, struct error *err);
