/* SPDX-License-Identifier: Apache-2.0 */
/* What is made from the command table for readers: help, man pages, completion. */
#pragma once

#include "tools/drover/command.h"

#include <stdio.h>

/* @command NULL: the overview. */
void help_print(FILE *to, const struct command *command);

/* The commands of which @word is the first half: "policy". False if there are none. */
bool help_print_family(FILE *to, const char *word);

/* "usage: drover drain NODE [options]", one line. */
void help_print_usage(FILE *to, const struct command *command);

/* scdoc source of drover(1), or drover-COMMAND(1). */
void help_print_scdoc(FILE *to, const struct command *command);

/* A script for bash's completion. */
void help_print_bash(FILE *to);
