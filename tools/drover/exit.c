/* SPDX-License-Identifier: Apache-2.0 */
/* The two tables of exit codes: from errors, and in words. Help and man page print the second. */
#include "tools/drover/exit.h"

#include "common/alloc.h"

enum exit_code exit_from_error(enum error_code code)
{
	switch (code) {
	case ERROR_NONE:
		return EXIT_DONE;
	case ERROR_INVALID:
		return EXIT_USAGE;
	case ERROR_UNREACHABLE:
	case ERROR_IDENTITY:
		return EXIT_UNREACHABLE;
	case ERROR_REFUSED:
	case ERROR_BUSY:
		return EXIT_REFUSED;
	case ERROR_TIMEOUT:
		return EXIT_TIMEOUT;
	case ERROR_NOT_FOUND:
		return EXIT_NOT_FOUND;
	case ERROR_PERMISSION:
		return EXIT_NOT_PERMITTED;
	default:
		return EXIT_FAILED;
	}
}

static const struct {
	enum exit_code code;
	const char *text;
} meanings[] = {
	{ EXIT_DONE, "done (a drain: the node is empty), or nothing to do" },
	{ EXIT_FAILED, "failed" },
	{ EXIT_USAGE, "wrong usage" },
	{ EXIT_UNREACHABLE, "coordinator unreachable, or TLS refused" },
	{ EXIT_REFUSED, "refused: the plan is not feasible or needs a flag" },
	{ EXIT_PARTLY, "partly done: something failed or was left" },
	{ EXIT_TIMEOUT, "deadline or --timeout reached" },
	{ EXIT_NOT_FOUND, "no such object" },
	{ EXIT_NOT_PERMITTED, "not permitted" },
	{ EXIT_INTERRUPTED, "watching was interrupted; the operation goes on" },
};

const char *exit_describe(unsigned index, enum exit_code *ret_code)
{
	if (index >= ARRAY_SIZE(meanings))
		return NULL;
	*ret_code = meanings[index].code;
	return meanings[index].text;
}
