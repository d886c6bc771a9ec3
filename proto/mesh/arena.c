/* SPDX-License-Identifier: Apache-2.0 */
/* See arena.h. Blocks are kept in a list, newest first; the oldest one is kept between messages, so
 * that ordinary messages cost no malloc. */
#include "proto/mesh/arena.h"

#include "common/alloc.h"

#include <stdlib.h>

#define BLOCK_BYTES ((size_t)64 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t bytes;
	_Alignas(16) unsigned char data[];
};

static struct arena_block *block_new(size_t bytes, struct arena_block *next)
{
	struct arena_block *b = xmalloc(sizeof(*b) + bytes);

	b->next = next;
	b->bytes = bytes;
	return b;
}

static void *arena_alloc(void *context, size_t bytes)
{
	struct arena *a = context;
	void *memory;

	if (bytes > a->budget_bytes - a->used_bytes) {
		a->exhausted = true;
		return NULL;
	}
	bytes = (bytes + 15) & ~(size_t)15; /* the budget is a multiple of 16, too */
	if (!a->blocks || bytes > a->blocks->bytes - a->used_in_block) {
		a->blocks = block_new(bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES, a->blocks);
		a->used_in_block = 0;
	}
	memory = a->blocks->data + a->used_in_block;
	a->used_in_block += bytes;
	a->used_bytes += bytes;
	return memory;
}

/* Everything goes at once, in arena_begin. */
static void arena_free(void *context, void *memory)
{
	(void)context;
	(void)memory;
}

static void drop_blocks(struct arena *a, bool keep_one)
{
	while (a->blocks && !(keep_one && !a->blocks->next && a->blocks->bytes == BLOCK_BYTES)) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
	a->used_in_block = 0;
	a->used_bytes = 0;
}

void arena_init(struct arena *a)
{
	*a = (struct arena){ .allocator = { arena_alloc, arena_free, a } };
}

void arena_deinit(struct arena *a)
{
	drop_blocks(a, false);
}

void arena_begin(struct arena *a, size_t wire_bytes)
{
	size_t budget = wire_bytes < ARENA_MOST / 8 ? wire_bytes * 8 : ARENA_MOST;

	drop_blocks(a, true);
	/* A multiple of 16, so that an allocation that is rounded up never passes it. */
	a->budget_bytes = budget < ARENA_LEAST ? ARENA_LEAST : budget & ~(size_t)15;
	a->exhausted = false;
}
