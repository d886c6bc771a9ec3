/* SPDX-License-Identifier: Apache-2.0 */
/* A store to test, whichever twin it is: opened, closed and opened again on what it kept. */
#pragma once

#include "coordinator/store/store.h"

struct store_bench {
	bool sqlite;
	char directory[64]; /* sqlite: removed at the end */
	char path[96];
	struct store_memory_disk *disk;
	struct store *store;
};

/* cmocka setup and teardown: *state is the bench. */
int store_bench_setup_sqlite(void **state);
int store_bench_setup_memory(void **state);
int store_bench_teardown(void **state);

int store_bench_open(struct store_bench *bench, struct store **ret, struct error *err);
/* Closes and opens again. */
void store_bench_reopen(struct store_bench *bench);

/* Values with every field set, so that a forgotten column is seen. */
struct migration_record store_bench_migration(uint64_t number, const char *vm, const char *source,
                                              const char *target);
struct drain_record store_bench_drain(uint64_t number, const char *node);

/* One batch with one put of a migration; frees @m. Returns what store_write returns. */
int store_bench_put(struct store_bench *bench, uint64_t epoch, struct migration_record *m,
                    const struct caps *takes);
