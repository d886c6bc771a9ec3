/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's durable memory: intent and history.
 *
 *	store_sqlite   the default: one file, one connection, one thread
 *	store_memory   its twin for the simulation and tests; survives a "crash" of the coordinator
 *
 * All calls block and belong to one thread, the store thread, from open to close. A batch is one
 * transaction with its conditions inside. Both implementations pass tests/conformance/store.
 */
#pragma once

#include "common/error.h"
#include "coordinator/core/record.h"

struct store;

struct store_ops {
	/* Reads everything a coordinator needs; store_contents_deinit(ret). */
	int (*load)(struct store *store, struct store_contents *ret, struct error *err);

	/* Writes @batch, all of it or nothing, durable when this returns 0.
	 *   -ERROR_STALE   the store's epoch is not batch->epoch: somebody else leads
	 *   -ERROR_BUSY    a slot that the batch takes is not free; the text says which cap
	 *   -ERROR_EXISTS  the guest has another migration that is not over
	 *   -ERROR_STORE   it failed; whether it was written is not known: end the process */
	int (*write)(struct store *store, const struct batch *batch, struct error *err);

	/* History newest first, for lists that go further back than memory: free with
	 * store_contents_deinit. @before_number: 0 = from the newest. */
	int (*list_migrations)(struct store *store, uint64_t before_number, size_t limit,
	                       struct store_contents *ret, struct error *err);

	void (*close)(struct store *store);
};

struct store {
	const struct store_ops *ops;
};

/* Opens or makes the store in the file @path; "@path.lock" keeps a second process out.
 *   -ERROR_BUSY    another process has it: the text says which pid, if that is known
 *   -ERROR_STORE   it is damaged, not ours, or of a newer version; it was not touched */
int store_sqlite_open(const char *path, struct store **ret, struct error *err);

/* In memory. @disk is what survives store->close: pass the same one to open it again. */
struct store_memory_disk;
struct store_memory_disk *store_memory_disk_new(void);
void store_memory_disk_free(struct store_memory_disk *disk);
int store_memory_open(struct store_memory_disk *disk, struct store **ret, struct error *err);
/* As when the one who had it open died, or is taken for dead: another may open it now. If the first
 * still lives, its next write finds that the epoch is not its own any more. */
void store_memory_disk_unlock(struct store_memory_disk *disk);

static inline int store_load(struct store *store, struct store_contents *ret, struct error *err)
{
	return store->ops->load(store, ret, err);
}

static inline int store_write(struct store *store, const struct batch *batch, struct error *err)
{
	return store->ops->write(store, batch, err);
}

static inline int store_list_migrations(struct store *store, uint64_t before_number, size_t limit,
                                        struct store_contents *ret, struct error *err)
{
	return store->ops->list_migrations(store, before_number, limit, ret, err);
}

static inline void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}
