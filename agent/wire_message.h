/* SPDX-License-Identifier: Apache-2.0 */
/* Private to wire*.c. */
#pragma once

#include "common/alloc.h"

/* A heap message with every field at its default. */
#define NEW_MESSAGE(variable, type, init)       \
	type *variable = xmalloc(sizeof(type)); \
	init(variable)

/* Copies a peer's text, which is UTF-8 by protocol but of any length; cut rather than refused,
 * because a long explanation is still an explanation. */
void wire_copy_text(char *to, size_t bytes, const char *from);
