/* SPDX-License-Identifier: Apache-2.0 */
/* See fences.h. A list: a cluster in which many hosts died has other worries than a linear search. */
#include "agent/kernel/fences.h"

#include "common/alloc.h"

#include <stdlib.h>
#include <string.h>

void fences_deinit(struct fences *fences)
{
	free(fences->items);
	*fences = (struct fences){ 0 };
}

void fences_copy(struct fences *to, const struct fences *from)
{
	to->count = from->count;
	to->items = from->count ? xmemdup(from->items, from->count * sizeof(*from->items)) : NULL;
}

static struct fence *find(const struct fences *fences, const char *node)
{
	for (size_t i = 0; i < fences->count; i++) {
		if (strcmp(fences->items[i].node, node) == 0)
			return &fences->items[i];
	}
	return NULL;
}

bool fences_raise(struct fences *fences, const struct fence *fence)
{
	struct fence *known = find(fences, fence->node);

	if (known && known->epoch >= fence->epoch)
		return false;
	if (known) {
		known->epoch = fence->epoch;
		return true;
	}
	fences->items = xreallocarray(fences->items, fences->count + 1, sizeof(*fences->items));
	fences->items[fences->count++] = *fence;
	return true;
}

bool fences_cover(const struct fences *fences, const char *node, uint64_t epoch)
{
	const struct fence *known = find(fences, node);

	return known && epoch <= known->epoch;
}
