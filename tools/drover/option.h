/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one value of the command line or of the environment. */
#pragma once

#include "tools/drover/command.h"

/* Puts @value into its field of @options; NULL for a flag. -ERROR_INVALID, -ERROR_TOO_LARGE. */
int option_set(struct options *options, const struct option *option, const char *value,
               struct error *err);

/* Text that goes over the wire must be UTF-8, and none of it is ever meant to be empty. */
int option_check_text(const char *what, const char *value, struct error *err);
