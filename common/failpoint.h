/* SPDX-License-Identifier: Apache-2.0 */
/* Named places where a process can be made to die, to stop, or to fail: for the tests that kill every
 * program at every step where it changes the world.
 *
 *	FAILPOINT(source_after_migrate);                   dies or stops here, if armed
 *	rc = FAILPOINT_ERROR(target_before_resume, err);   ... or fails as if by I/O
 *
 * A program has one table of its points, each with a sentence (agent/failpoints.h, for one): a name
 * that is not in it does not compile, and "PROGRAM --failpoints" lists it, so that a sweep over the
 * list misses none. In a build without DROVER_FAILPOINTS (cmake -DDROVER_FAILPOINTS=OFF, as in the
 * release preset) nothing of all this is there: tests/lint/release proves it.
 *
 * One point is armed at a time, as NAME[:N][=ACTION]: on the N-th passage (1) the process does ACTION,
 * which is kill (SIGKILL to itself, the default), stop (SIGSTOP to itself) or error. It is written
 *	in the environment    DROVER_FAILPOINT, read once at the start
 *	in a file             <run_dir>/failpoint of an agent and its tunnels, "failpoint" beside the
 *	                      store of a coordinator; read at each passage, so that a running process
 *	                      can be armed. Passages count from then on. Whoever fires renames it to
 *	                      failpoint.fired, and adds its pid: so it fires once, and that it did is seen.
 * Any thread.
 */
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Where FAILPOINT_ERROR stands. */
enum failpoint_kind { FAILPOINT_PASSES, FAILPOINT_FAILS };

struct failpoint {
	const char *name;
	enum failpoint_kind kind;
	const char *sentence; /* what has been done here, and what has not */
};

struct failpoint_table {
	const struct failpoint *points;
	size_t count;
};

#ifdef DROVER_FAILPOINTS

/* For the table: POINTS(X) is a list of X(name, PASSES or FAILS, "sentence"). */
#define FAILPOINT_ENUM(name, kind, sentence) FAILPOINT_##name,
#define FAILPOINT_ROW(name, kind, sentence)  { #name, FAILPOINT_##kind, sentence },
#define FAILPOINTS_DECLARE(points, table) \
	enum { points(FAILPOINT_ENUM) };  \
	extern const struct failpoint_table table
#define FAILPOINTS_DEFINE(points, table)                                          \
	static const struct failpoint table##_rows[] = { points(FAILPOINT_ROW) }; \
	const struct failpoint_table table = { table##_rows,                      \
		                               sizeof(table##_rows) / sizeof(table##_rows[0]) }
#define FAILPOINTS_OF(table) (&(table))

#define FAILPOINT(name)            ((void)FAILPOINT_##name, failpoint_pass(#name))
#define FAILPOINT_ERROR(name, err) ((void)FAILPOINT_##name, failpoint_pass_fallible(#name, err))

/* Before the first thread. @directory: where the file is by which a point can be armed while we run;
 * told to child processes through the environment. NULL: where our parent said, if it did. -ERROR_INVALID: what the
 * environment arms cannot be armed here; the text says why. */
int failpoints_begin(const struct failpoint_table *table, const char *directory, struct error *err);
/* One line per point: name, what it can do, sentence; separated by tabs. */
void failpoints_print(const struct failpoint_table *table);

void failpoint_pass(const char *name);
/* 0, or -ERROR_SYSTEM. */
int failpoint_pass_fallible(const char *name, struct error *err);

#else

#define FAILPOINTS_DECLARE(points, table)       struct failpoint_table
#define FAILPOINTS_OF(table)                    NULL
#define FAILPOINT(name)                         ((void)0)
#define FAILPOINT_ERROR(name, err)              ((void)(err), 0)
#define failpoints_begin(table, directory, err) ((void)(directory), (void)(err), 0)

#endif
