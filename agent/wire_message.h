/* SPDX-License-Identifier: Apache-2.0 */
/* Private to wire*.c. */
#pragma once

#include "common/alloc.h"

/* A heap message with every field at its default. */
#define NEW_MESSAGE(variable, type, init)       \
	type *variable = xmalloc(sizeof(type)); \
	init(variable)
