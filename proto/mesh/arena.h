/* SPDX-License-Identifier: Apache-2.0 */
/* Where received messages are unpacked: memory with a budget, thrown away as a whole.
 *
 * One MiB on the wire can become 71 MiB of protobuf-c structs (an empty submessage costs two bytes
 * there and its whole struct here). So each message may use 8 times its size, at least ARENA_LEAST
 * and at most ARENA_MOST; beyond that the allocator says no and protobuf-c gives up. Owner thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#define ARENA_LEAST ((size_t)64 * 1024)
#define ARENA_MOST  ((size_t)16 * 1024 * 1024)

struct arena_block;

struct arena {
	ProtobufCAllocator allocator; /* for protobuf_c_message_unpack */
	struct arena_block *blocks;
	size_t used_in_block;
	size_t used_bytes;
	size_t budget_bytes;
	bool exhausted; /* something was refused since the last arena_begin */
};

void arena_init(struct arena *a);
void arena_deinit(struct arena *a);

/* Forgets all that was unpacked before, and sets the budget for a message of @wire_bytes. */
void arena_begin(struct arena *a, size_t wire_bytes);
