/* SPDX-License-Identifier: Apache-2.0 */
/* The command line that drover's daemons share. Everything else is in their configuration file. */
#pragma once

#include <stdbool.h>

struct failpoint_table;

struct daemon_about {
	const char *program;                      /* "drover-agent" */
	const char *purpose;                      /* one sentence */
	const char *config;                       /* the default file */
	const char *needs;                        /* what it must be permitted; NULL: nothing */
	const struct failpoint_table *failpoints; /* NULL: a build without */
};

struct daemon_arguments {
	const char *config;
	bool debug;
	bool check; /* only read the configuration and say what is wrong with it */
};

/* As many descriptors as the system lets this process have: each connection is one, and the limit that
 * is usual is from the days of select(). */
void daemon_raise_limits(void);

/* Returns -1 to go on, else the exit status: 0 after --help, --version and --failpoints, 2 for wrong usage, which
 * is explained on stderr. */
int daemon_parse(const struct daemon_about *about, int argc, char **argv,
                 struct daemon_arguments *ret);
