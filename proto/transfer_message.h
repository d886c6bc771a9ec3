/* SPDX-License-Identifier: Apache-2.0 */
/* common/transfer.h on the wire. */
#pragma once

#include "common/transfer.h"
#include "proto/types.pb-c.h"

/* For a message that is sent at once: its text is @from's. */
void transfer_message_fill(const struct transfer *from, Drover__V1__Transfer *to);
/* For one that owns what it has. */
Drover__V1__Transfer *transfer_message_new(const struct transfer *from);
/* NULL: nothing special. Numbers and lengths are checked, what excludes each other is not. */
int transfer_message_read(const Drover__V1__Transfer *from, struct transfer *ret,
                          struct error *err);
