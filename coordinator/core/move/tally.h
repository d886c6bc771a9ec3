/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted about a host's guests while they come, change and go: private to core/. */
#pragma once

#include "coordinator/core/fleet.h"

/* A guest of @node was so and is so; NULL: it was not, or is not, listed there. */
void tally_guest(struct fleet *fleet, struct node *node, const struct vm_state *was,
                 const struct vm_state *is);
