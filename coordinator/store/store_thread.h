/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that owns the store: batches go in, "stored up to ticket" comes out.
 *
 *	owner                          store thread
 *	store_thread_write(batch) -->  queue --> store_write, in order --> loop_post
 *	stored(ticket) / failed(...)  <-----------------------------------------'
 *
 * Opening and loading happen before the thread exists, so a store that is damaged or in use stops
 * the start with its reason. After a failed write nothing more is written: what is in the queue
 * rests on something that may not be there.
 */
#pragma once

#include "common/loop.h"
#include "coordinator/store/store.h"

struct store_thread;

/* Takes @store. Callbacks run on the owner thread. */
struct store_thread *store_thread_start(
	struct loop *loop, struct store *store, void (*stored)(uint64_t ticket, void *context),
	void (*failed)(uint64_t ticket, const struct error *why, void *context), void *context);

/* Takes @batch. */
void store_thread_write(struct store_thread *thread, struct batch *batch);

/* Writes what is queued, closes the store, frees. */
void store_thread_stop(struct store_thread *thread);
