/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that an operator has declared dead, and up to when.
 *
 * A fence says of one host: every attempt from it or to it that was ordered in this epoch or before is
 * over, by a person's word instead of its agent's tombstone. It is never taken back. What the host is
 * ordered after its return has a later epoch, because declaring it dead began a new one; so the
 * statement about the old attempts stays true. Plain values, owner thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Hosts of a cluster that were ever declared dead. */
#define FENCES_MAX       4096
#define FENCE_NODE_BYTES 128

struct fence {
	char node[FENCE_NODE_BYTES];
	uint64_t epoch;
};

struct fences {
	struct fence *items; /* owned */
	size_t count;
};

void fences_deinit(struct fences *fences);
void fences_copy(struct fences *to, const struct fences *from);

/* Takes note of it. False if it was known, or a later one is: nothing changed. */
bool fences_raise(struct fences *fences, const struct fence *fence);

/* Is an attempt of that epoch, from or to @node, over by a fence? */
bool fences_cover(const struct fences *fences, const char *node, uint64_t epoch);
