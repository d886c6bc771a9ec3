/* SPDX-License-Identifier: Apache-2.0 */
/* Records to SQLite rows and back: private to the SQLite store.
 *
 * The tables and the order of their columns stand here and nowhere else. Reading trusts nothing: a
 * row that makes no sense is an error which names it, for guessing could start a guest twice.
 */
#pragma once

#include "common/error.h"
#include "coordinator/core/record.h"

#include <sqlite3.h>

#define STORE_APPLICATION_ID 0x44524f56 /* "DROV" */
#define STORE_VERSION        13

/* Version 1, and by index what leads from each version to the next one. A new store takes all steps:
 * there is one way to the present form. */
extern const char store_schema_sql[];
extern const char *const store_upgrade_sql[STORE_VERSION];

/* Columns in the order in which they are bound and read. NULL-terminated. */
extern const char *const store_node_columns[];
extern const char *const store_drain_columns[];
extern const char *const store_migration_columns[];
extern const char *const store_vm_columns[];
extern const char *const store_policy_columns[];
extern const char *const store_event_columns[];

/* Bind every column, from index 1 on. */
void store_bind_node(sqlite3_stmt *stmt, const struct node_record *node);
void store_bind_drain(sqlite3_stmt *stmt, const struct drain_record *drain);
void store_bind_migration(sqlite3_stmt *stmt, const struct migration_record *m);
void store_bind_vm(sqlite3_stmt *stmt, const struct vm_record *vm);
void store_bind_policy(sqlite3_stmt *stmt, const struct policy_record *policy);
void store_bind_event(sqlite3_stmt *stmt, const struct event_record *event);

/* Read the present row; what @ret owns is the caller's. */
int store_read_node(sqlite3_stmt *stmt, struct node_record *ret, struct error *err);
int store_read_drain(sqlite3_stmt *stmt, struct drain_record *ret, struct error *err);
int store_read_migration(sqlite3_stmt *stmt, struct migration_record *ret, struct error *err);
int store_read_vm(sqlite3_stmt *stmt, struct vm_record *ret, struct error *err);
int store_read_policy(sqlite3_stmt *stmt, struct policy_record *ret, struct error *err);
int store_read_event(sqlite3_stmt *stmt, struct event_record *ret, struct error *err);
