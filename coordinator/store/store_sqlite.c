/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's store in one SQLite file.
 *
 * One connection on one thread in exclusive mode: Debian 12's SQLite can damage a WAL that several
 * connections reset. synchronous=FULL, because a slot that was taken must still be taken after the
 * power comes back; that costs one fsync per batch. Everything that a batch rests on (epoch, caps,
 * one migration per guest) is judged inside its transaction.
 * How the file is opened, and when it is refused: store_sqlite_open.c. SQLite's own errors end in
 * these files and in store_sqlite_rows.c.
 */
#include "coordinator/store/store.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/store/store_sqlite_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How much of it a coordinator loads. */
#define EVENTS_LOADED     1024
#define MIGRATIONS_LOADED 2000

int store_sqlite_error(const struct store_sqlite *s, struct error *err, const char *what)
{
	return error_set(err, ERROR_STORE, "%s: %s: %s", s->path, what, sqlite3_errmsg(s->db));
}

/* --- SQL --- */

enum column_form { AS_NAME, AS_MARK, AS_UPDATE };

/* "a, b", "?, ?" or "a = excluded.a, b = excluded.b". */
static char *join(const char *const *columns, enum column_form form)
{
	char *text = xstrdup("");

	for (size_t i = 0; columns[i]; i++) {
		const char *comma = i ? ", " : "";
		char *longer;

		if (form == AS_UPDATE)
			longer = xasprintf("%s%s%s = excluded.%s", text, comma, columns[i],
			                   columns[i]);
		else
			longer = xasprintf("%s%s%s", text, comma,
			                   form == AS_NAME ? columns[i] : "?");
		free(text);
		text = longer;
	}
	return text;
}

/* @key NULL: rows are only ever added. */
static char *put_sql(const char *table, const char *key, const char *const *columns)
{
	_cleanup_free_ char *names = join(columns, AS_NAME);
	_cleanup_free_ char *marks = join(columns, AS_MARK);
	_cleanup_free_ char *updates = join(columns, AS_UPDATE);

	if (!key)
		return xasprintf("INSERT INTO %s (%s) VALUES (%s)", table, names, marks);
	return xasprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s", table,
	                 names, marks, key, updates);
}

static char *select_sql(const char *table, const char *const *columns, const char *rest)
{
	_cleanup_free_ char *names = join(columns, AS_NAME);

	return xasprintf("SELECT %s FROM %s %s", names, table, rest);
}

static int prepare(struct store_sqlite *s, enum store_statement which, const char *sql,
                   struct error *err)
{
	if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->statements[which],
	                       NULL) != SQLITE_OK)
		return store_sqlite_error(s, err, "preparing a statement");
	return 0;
}

int store_sqlite_prepare(struct store_sqlite *s, struct error *err)
{
	_cleanup_free_ char *node = put_sql("nodes", "name", store_node_columns);
	_cleanup_free_ char *drain = put_sql("drains", "number", store_drain_columns);
	_cleanup_free_ char *migration = put_sql("migrations", "number", store_migration_columns);
	_cleanup_free_ char *vm = put_sql("vms", "uuid", store_vm_columns);
	_cleanup_free_ char *policy = put_sql("policies", "name", store_policy_columns);
	_cleanup_free_ char *event = put_sql("events", NULL, store_event_columns);
	const char *const sql[STATEMENTS] = {
		[BEGIN] = "BEGIN IMMEDIATE",
		[COMMIT] = "COMMIT",
		[ROLLBACK] = "ROLLBACK",
		[GET_META] = "SELECT epoch, last_migration, last_drain FROM meta",
		[SET_EPOCH] = "UPDATE meta SET epoch = ?",
		[SET_LAST] = ("UPDATE meta SET last_migration = max(last_migration, ?), "
		              "last_drain = max(last_drain, ?)"),
		[COUNT_SLOTS] =
			("SELECT total(NOT preparing), total(NOT preparing AND source = ?2), "
		         "total(target = ?3), total(preparing AND source = ?2) "
		         "FROM migrations WHERE holds_slot = 1 AND number <> ?1"),
		[PUT_ROW_NODE] = node,
		[PUT_ROW_DRAIN] = drain,
		[PUT_ROW_MIGRATION] = migration,
		[PUT_ROW_VM] = vm,
		[PUT_ROW_POLICY] = policy,
		[FORGET_POLICY] = "DELETE FROM policies WHERE name = ?",
		[PUT_ROW_EVENT] = event,
		[FORGET_DRAIN] = "DELETE FROM drains WHERE number = ?",
	};

	for (enum store_statement i = 0; i < STATEMENTS; i++) {
		int rc = prepare(s, i, sql[i], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A statement that returns nothing. */
static int run(struct store_sqlite *s, enum store_statement which, const char *what,
               struct error *err)
{
	sqlite3_stmt *stmt = s->statements[which];
	int rc = sqlite3_step(stmt);

	if (rc != SQLITE_DONE)
		store_sqlite_error(s, err, what);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return rc == SQLITE_DONE ? 0 : -ERROR_STORE;
}

/* --- writing --- */

static int check_epoch(struct store_sqlite *s, const struct batch *batch, struct error *err)
{
	sqlite3_stmt *stmt = s->statements[GET_META];
	uint64_t epoch = 0;
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		epoch = (uint64_t)sqlite3_column_int64(stmt, 0);
	else
		store_sqlite_error(s, err, "reading the epoch");
	sqlite3_reset(stmt);
	if (rc != SQLITE_ROW)
		return -ERROR_STORE;
	if (epoch != batch->epoch)
		return error_set(
			err, ERROR_STALE,
			"another coordinator has taken over: the store is at epoch %" PRIu64
			", this one at %" PRIu64,
			epoch, batch->epoch);
	return 0;
}

static int check_slot(struct store_sqlite *s, const struct put *put, struct error *err)
{
	sqlite3_stmt *stmt = s->statements[COUNT_SLOTS];
	const struct migration_record *m = &put->migration;
	uint32_t all = 0, out = 0, in = 0, preparing = 0;
	int rc;

	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)m->number);
	sqlite3_bind_text(stmt, 2, m->source, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 3, m->target, -1, SQLITE_STATIC);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		all = (uint32_t)sqlite3_column_double(stmt, 0);
		out = (uint32_t)sqlite3_column_double(stmt, 1);
		in = (uint32_t)sqlite3_column_double(stmt, 2);
		preparing = (uint32_t)sqlite3_column_double(stmt, 3);
	} else {
		store_sqlite_error(s, err, "counting slots");
	}
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	if (rc != SQLITE_ROW)
		return -ERROR_STORE;
	if (m->preparing && preparing >= put->caps.preparing)
		return error_set(err, ERROR_BUSY, "%u of %u are prepared ahead at %s", preparing,
		                 put->caps.preparing, m->source);
	if (!m->preparing && all >= put->caps.cluster)
		return error_set(err, ERROR_BUSY, "%u of %u migrations of the cluster in use", all,
		                 put->caps.cluster);
	if (!m->preparing && out >= put->caps.outbound)
		return error_set(err, ERROR_BUSY, "%u of %u outbound slots of %s in use", out,
		                 put->caps.outbound, m->source);
	if (in >= put->caps.inbound)
		return error_set(err, ERROR_BUSY, "%u of %u inbound slots of %s in use", in,
		                 put->caps.inbound, m->target);
	return 0;
}

static int write_migration(struct store_sqlite *s, const struct put *put, struct error *err)
{
	int rc = put->takes_slot ? check_slot(s, put, err) : 0;

	if (rc < 0)
		return rc;
	store_bind_migration(s->statements[PUT_ROW_MIGRATION], &put->migration);
	rc = run(s, PUT_ROW_MIGRATION, "writing a migration", err);
	if (rc < 0 && sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_UNIQUE)
		return error_set(err, ERROR_EXISTS, "%s has another migration that is not over",
		                 put->migration.vm_name);
	return rc;
}

static int write_policy(struct store_sqlite *s, const struct policy_record *policy,
                        struct error *err)
{
	if (policy->removed) {
		sqlite3_bind_text(s->statements[FORGET_POLICY], 1, policy->name, -1, SQLITE_STATIC);
		return run(s, FORGET_POLICY, "forgetting a policy", err);
	}
	store_bind_policy(s->statements[PUT_ROW_POLICY], policy);
	return run(s, PUT_ROW_POLICY, "writing a policy", err);
}

static int write_put(struct store_sqlite *s, const struct put *put, struct error *err)
{
	switch (put->kind) {
	case PUT_NODE:
		store_bind_node(s->statements[PUT_ROW_NODE], &put->node);
		return run(s, PUT_ROW_NODE, "writing a node", err);
	case PUT_DRAIN:
		store_bind_drain(s->statements[PUT_ROW_DRAIN], &put->drain);
		return run(s, PUT_ROW_DRAIN, "writing a drain", err);
	case PUT_MIGRATION:
		return write_migration(s, put, err);
	case PUT_VM:
		store_bind_vm(s->statements[PUT_ROW_VM], &put->vm);
		return run(s, PUT_ROW_VM, "writing a guest", err);
	case PUT_POLICY:
		return write_policy(s, &put->policy, err);
	case PUT_EVENT:
		store_bind_event(s->statements[PUT_ROW_EVENT], &put->event);
		return run(s, PUT_ROW_EVENT, "writing an event", err);
	case PUT_FORGET_DRAIN:
		sqlite3_bind_int64(s->statements[FORGET_DRAIN], 1,
		                   (sqlite3_int64)put->forgotten_drain);
		return run(s, FORGET_DRAIN, "forgetting a drain", err);
	}
	return error_set(err, ERROR_STORE, "a put of unknown kind %d", (int)put->kind);
}

static int write_last(struct store_sqlite *s, const struct batch *batch, struct error *err)
{
	uint64_t migration = 0, drain = 0;

	for (size_t i = 0; i < batch->count; i++) {
		const struct put *put = &batch->puts[i];

		if (put->kind == PUT_MIGRATION && put->migration.number > migration)
			migration = put->migration.number;
		if (put->kind == PUT_DRAIN && put->drain.number > drain)
			drain = put->drain.number;
	}
	if (!migration && !drain)
		return 0;
	sqlite3_bind_int64(s->statements[SET_LAST], 1, (sqlite3_int64)migration);
	sqlite3_bind_int64(s->statements[SET_LAST], 2, (sqlite3_int64)drain);
	return run(s, SET_LAST, "writing the last numbers", err);
}

static int write_all(struct store_sqlite *s, const struct batch *batch, struct error *err)
{
	int rc = check_epoch(s, batch, err);

	if (rc == 0 && batch->new_epoch) {
		sqlite3_bind_int64(s->statements[SET_EPOCH], 1, (sqlite3_int64)batch->new_epoch);
		rc = run(s, SET_EPOCH, "writing the epoch", err);
	}
	for (size_t i = 0; rc == 0 && i < batch->count; i++)
		rc = write_put(s, &batch->puts[i], err);
	return rc < 0 ? rc : write_last(s, batch, err);
}

static int store_sqlite_write(struct store *store, const struct batch *batch, struct error *err)
{
	struct store_sqlite *s = (struct store_sqlite *)store;
	int rc = run(s, BEGIN, "beginning a transaction", err);

	if (rc < 0)
		return rc;
	rc = write_all(s, batch, err);
	if (rc == 0)
		rc = run(s, COMMIT, "committing", err);
	if (rc < 0 && !sqlite3_get_autocommit(s->db)) {
		/* SQLite may have rolled back itself; and what counts is the first error. */
		run(s, ROLLBACK, "rolling back", NULL);
	}
	return rc;
}

/* --- reading --- */

struct reader {
	struct store_sqlite *s;
	struct error *err;
	sqlite3_stmt *stmt;
	int rc;
};

static void reader_start(struct reader *reader, const char *table, const char *const *columns,
                         const char *rest)
{
	_cleanup_free_ char *sql = select_sql(table, columns, rest);

	if (reader->rc == 0 &&
	    sqlite3_prepare_v2(reader->s->db, sql, -1, &reader->stmt, NULL) != SQLITE_OK)
		reader->rc = store_sqlite_error(reader->s, reader->err, "preparing to read");
}

static bool reader_next(struct reader *reader)
{
	int rc;

	if (reader->rc == 0) {
		rc = sqlite3_step(reader->stmt);
		if (rc == SQLITE_ROW)
			return true;
		if (rc != SQLITE_DONE)
			reader->rc = store_sqlite_error(reader->s, reader->err, "reading");
	}
	sqlite3_finalize(reader->stmt);
	reader->stmt = NULL;
	return false;
}

/* Grows @items by one zeroed element; a macro for the sake of the types. */
#define GROW(items, count)                                                       \
	({                                                                       \
		(items) = xreallocarray((items), (count) + 1, sizeof(*(items))); \
		memset(&(items)[count], 0, sizeof(*(items)));                    \
		&(items)[(count)++];                                             \
	})

static void read_migrations(struct reader *reader, const char *rest, struct store_contents *ret)
{
	reader_start(reader, "migrations", store_migration_columns, rest);
	while (reader_next(reader))
		reader->rc = store_read_migration(
			reader->stmt, GROW(ret->migrations, ret->n_migrations), reader->err);
}

static void read_meta(struct reader *reader, struct store_contents *ret)
{
	sqlite3_stmt *stmt = reader->s->statements[GET_META];

	if (sqlite3_step(stmt) == SQLITE_ROW) {
		ret->epoch = (uint64_t)sqlite3_column_int64(stmt, 0);
		ret->last_migration_number = (uint64_t)sqlite3_column_int64(stmt, 1);
		ret->last_drain_number = (uint64_t)sqlite3_column_int64(stmt, 2);
	} else {
		reader->rc = store_sqlite_error(reader->s, reader->err, "reading the epoch");
	}
	sqlite3_reset(stmt);
}

static int store_sqlite_load(struct store *store, struct store_contents *ret, struct error *err)
{
	struct store_contents contents = { 0 };
	struct reader reader = { .s = (struct store_sqlite *)store, .err = err };

	read_meta(&reader, &contents);
	reader_start(&reader, "nodes", store_node_columns, "ORDER BY name");
	while (reader_next(&reader))
		reader.rc = store_read_node(reader.stmt, GROW(contents.nodes, contents.n_nodes),
		                            err);
	reader_start(&reader, "drains", store_drain_columns, "ORDER BY number");
	while (reader_next(&reader))
		reader.rc = store_read_drain(reader.stmt, GROW(contents.drains, contents.n_drains),
		                             err);
	read_migrations(
		&reader,
		/* And what has left a node since that was closed: the way back rests on it. */
		"WHERE over = 0 OR holds_slot = 1 OR number > (SELECT last_migration - " TEXT_OF(
			MIGRATIONS_LOADED) " FROM meta) OR (state = 'done' AND EXISTS ("
					   "SELECT 1 FROM nodes JOIN drains ON drains.number = "
					   "nodes.closed_since "
					   "WHERE nodes.name = migrations.source AND "
					   "(migrations.drain_number >= "
					   "drains.number OR (migrations.drain_number = 0 AND "
					   "migrations.ended_wall_ms >= "
					   "drains.created_wall_ms)))) ORDER BY number",
		&contents);
	reader_start(&reader, "vms", store_vm_columns,
	             "WHERE bandwidth_given OR max_downtime_given ORDER BY uuid");
	while (reader_next(&reader))
		reader.rc = store_read_vm(reader.stmt, GROW(contents.vms, contents.n_vms), err);
	reader_start(&reader, "policies", store_policy_columns, "ORDER BY name");
	while (reader_next(&reader))
		reader.rc = store_read_policy(reader.stmt,
		                              GROW(contents.policies, contents.n_policies), err);
	reader_start(&reader, "events", store_event_columns,
	             "WHERE id > (SELECT ifnull(max(id), 0) - " TEXT_OF(
			     EVENTS_LOADED) " FROM events) ORDER BY id");
	while (reader_next(&reader))
		reader.rc = store_read_event(reader.stmt, GROW(contents.events, contents.n_events),
		                             err);
	if (reader.rc < 0) {
		store_contents_deinit(&contents);
		return error_context(err, "loading the store");
	}
	*ret = contents;
	return 0;
}

static int store_sqlite_list_migrations(struct store *store, uint64_t before_number, size_t limit,
                                        struct store_contents *ret, struct error *err)
{
	struct store_contents contents = { 0 };
	struct reader reader = { .s = (struct store_sqlite *)store, .err = err };
	char rest[128];

	if (!before_number || before_number > INT64_MAX)
		before_number = INT64_MAX;
	snprintf(rest, sizeof(rest), "WHERE number < %" PRIu64 " ORDER BY number DESC LIMIT %zu",
	         before_number, limit);
	read_migrations(&reader, rest, &contents);
	if (reader.rc < 0) {
		store_contents_deinit(&contents);
		return error_context(err, "reading history");
	}
	*ret = contents;
	return 0;
}

/* --- opening and closing --- */

static void store_sqlite_close(struct store *store)
{
	struct store_sqlite *s = (struct store_sqlite *)store;

	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	if (s->db) {
		int rc = sqlite3_close(s->db);

		assert(rc == SQLITE_OK); /* else a statement was not finalized */
	}
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->path);
	free(s);
}

const struct store_ops store_sqlite_ops = {
	.load = store_sqlite_load,
	.write = store_sqlite_write,
	.list_migrations = store_sqlite_list_migrations,
	.close = store_sqlite_close,
};
