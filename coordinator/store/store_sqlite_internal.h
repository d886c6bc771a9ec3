/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the SQLite store share; private to them. */
#pragma once

#include "coordinator/store/store.h"
#include "coordinator/store/store_sqlite_rows.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x)  TEXT_OF_(x)

enum store_statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	GET_META,
	SET_EPOCH,
	SET_LAST,
	COUNT_SLOTS,
	PUT_ROW_NODE,
	PUT_ROW_DRAIN,
	PUT_ROW_MIGRATION,
	PUT_ROW_VM,
	PUT_ROW_POLICY,
	FORGET_POLICY,
	PUT_ROW_EVENT,
	FORGET_DRAIN,
	STATEMENTS
};

struct store_sqlite {
	struct store store;
	sqlite3 *db;
	int lock_fd;
	char *path;
	sqlite3_stmt *statements[STATEMENTS];
};

extern const struct store_ops store_sqlite_ops;

/* -ERROR_STORE with SQLite's words. */
int store_sqlite_error(const struct store_sqlite *s, struct error *err, const char *what);
int store_sqlite_prepare(struct store_sqlite *s, struct error *err);
