/* SPDX-License-Identifier: Apache-2.0 */
/* What drover's exit status says: stable, documented in drover(1), for scripts to branch on. */
#pragma once

#include "common/error.h"

enum exit_code {
	EXIT_DONE = 0,          /* done (a drain: the node is empty), or nothing to do */
	EXIT_FAILED = 1,        /* failed */
	EXIT_USAGE = 2,         /* wrong usage: nothing was asked of the coordinator */
	EXIT_UNREACHABLE = 3,   /* coordinator unreachable, or TLS refused */
	EXIT_REFUSED = 4,       /* the plan is not feasible, or needs a flag that was not given */
	EXIT_PARTLY = 5,        /* partly done: something failed or was left */
	EXIT_TIMEOUT = 6,       /* a deadline passed, or --timeout */
	EXIT_NOT_FOUND = 7,     /* no such object */
	EXIT_NOT_PERMITTED = 8, /* the caller's role does not allow it */
	EXIT_INTERRUPTED = 130, /* stopped watching; the operation goes on */
};

/* The exit status that stands for one of our errors. */
enum exit_code exit_from_error(enum error_code code);

/* The table as people read it, for help and man page. NULL when @index is past the end. */
const char *exit_describe(unsigned index, enum exit_code *ret_code);
