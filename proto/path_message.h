/* SPDX-License-Identifier: Apache-2.0 */
/* common/path.h on the wire. */
#pragma once

#include "common/path.h"
#include "proto/types.pb-c.h"

/* Owns what it has. */
Drover__V1__PathEstimate *path_message_new(const char *node, const struct path_estimate *from);
/* NULL, or a method of a later version: nothing is known. What cannot be is cut to what can. */
void path_message_read(const Drover__V1__PathEstimate *from, struct path_estimate *ret);
