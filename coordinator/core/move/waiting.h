/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest that waits to be moved waits for: its position, the slots that are taken, who holds them
 * and until when. Pure; between steps too: it needs no clock. */
#pragma once

#include "coordinator/core/fleet.h"

/* Sentences about @vm; none when nothing of it waits for its turn. @ret is added to. */
void waiting_describe(const struct fleet *fleet, const struct vm *vm, struct names *ret);
