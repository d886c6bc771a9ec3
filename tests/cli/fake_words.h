/* SPDX-License-Identifier: Apache-2.0 */
/* What all files of the coordinator whose answers are written down say alike. */
#pragma once

#include "proto/mesh/mesh.h"

#include <stdio.h>

/* What protobuf-c has in its structs is not const. */
#define S(text) ((char *)(text))

static inline void fake_fail(struct mesh_incoming *in, enum error_code code, const char *text)
{
	struct error err;

	error_set(&err, code, "%s", text);
	mesh_fail_error(in, &err);
}

/* A line that tests look for. */
static inline void fake_say(const char *text)
{
	puts(text);
	fflush(stdout);
}
