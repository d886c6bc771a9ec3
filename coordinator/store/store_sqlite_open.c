/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the store: whose is the file, is it whole, does somebody else have it?
 *
 * Before SQLite opens a file it is looked at read-only: a file that is not ours, or of a newer
 * drover, is refused as it is. A damaged one is refused before anything is written. The lock is a
 * file of its own: it is taken before SQLite touches the store, and says who has it.
 */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/store/store_sqlite_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* History beyond this is forgotten at the next start. */
#define EVENTS_KEPT     100000
#define MIGRATIONS_KEPT 100000

static int execute(struct store_sqlite *s, const char *sql, struct error *err)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_sqlite_error(s, err, sql);
	return 0;
}

static int lock(struct store_sqlite *s, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s.lock", s->path);
	char pid[32] = "";
	ssize_t n;

	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return error_set_errno(err, ERROR_STORE, errno, "opening %s", path);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set_errno(err, ERROR_STORE, errno, "locking %s", path);
		n = pread(s->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		return error_set(
			err, ERROR_BUSY,
			"the store %s is in use by another coordinator%s%s%s; only one may run",
			s->path, pid[0] ? " (process " : "", pid, pid[0] ? ")" : "");
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, pid, (size_t)n, 0) != n)
		return error_set_errno(err, ERROR_STORE, errno, "writing %s", path);
	return 0;
}

static uint32_t big_endian(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* Looks at the file without SQLite. Its header has the version at 60 and the application at 68
 * (sqlite.org/fileformat.html); our first transaction writes both, outside of the WAL. */
/* @ret_version 0: a new one. */
static int inspect(const char *path, uint32_t *ret_version, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	unsigned char header[100];
	uint32_t version;
	ssize_t n;

	if (fd < 0)
		return error_set_errno(err, ERROR_STORE, errno, "opening %s", path);
	n = pread(fd, header, sizeof(header), 0);
	if (n < 0)
		return error_set_errno(err, ERROR_STORE, errno, "reading %s", path);
	if (n == 0) {
		*ret_version = 0;
		return 0;
	}
	if (n < (ssize_t)sizeof(header) || memcmp(header, "SQLite format 3", 16) != 0)
		return error_set(
			err, ERROR_STORE,
			"%s is not a database; it was not touched. Move it away, or restore "
			"it from a backup",
			path);
	if (big_endian(header + 68) != STORE_APPLICATION_ID)
		return error_set(err, ERROR_STORE,
		                 "%s is a database, but not drover's; it was not touched. Choose "
		                 "another file",
		                 path);
	version = big_endian(header + 60);
	if (version > STORE_VERSION)
		return error_set(
			err, ERROR_STORE,
			"%s is of a newer drover (store version %u, this one knows %d); it was "
			"not touched. Run that version, or restore an older backup",
			path, version, STORE_VERSION);
	if (version == 0)
		return error_set(err, ERROR_STORE,
		                 "%s has no store version; it was not touched. Restore it from a "
		                 "backup",
		                 path);
	*ret_version = version;
	return 0;
}

static int refuse_damaged(struct store_sqlite *s, const char *verdict, struct error *err)
{
	int off = 1;

	/* What is in the WAL stays there, too. */
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, &off);
	return error_set(
		err, ERROR_STORE,
		"%s is damaged (%s); it was not touched. Restore it from a backup, or move "
		"it away: agents keep their own drains, and running migrations are adopted",
		s->path, verdict);
}

static bool is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static int quick_check(struct store_sqlite *s, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	char verdict[256] = "";
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);

	if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		text_copy(verdict, sizeof(verdict), (const char *)sqlite3_column_text(stmt, 0));
	else
		text_copy(verdict, sizeof(verdict), sqlite3_errmsg(s->db));
	sqlite3_finalize(stmt);
	return strcmp(verdict, "ok") == 0 ? 0 : refuse_damaged(s, verdict, err);
}

/* Creates it, or brings one of an older drover to the present form: all of it or nothing. */
static int bring_up(struct store_sqlite *s, uint32_t version, struct error *err)
{
	_cleanup_free_ char *sql = xasprintf("BEGIN EXCLUSIVE; PRAGMA application_id = %d;"
	                                     "PRAGMA user_version = %d; %s",
	                                     STORE_APPLICATION_ID, STORE_VERSION,
	                                     version ? "" : store_schema_sql);

	for (uint32_t from = version ? version : 1; from < STORE_VERSION; from++) {
		char *longer = xasprintf("%s%s", sql, store_upgrade_sql[from]);

		free(sql);
		sql = longer;
	}
	if (execute(s, sql, err) < 0)
		return -(int)err->code;
	return execute(s, "COMMIT", err);
}

/* The file's header may be older than what its WAL says. */
static int read_version(struct store_sqlite *s, uint32_t *ret_version, struct error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &stmt, NULL);

	if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		*ret_version = (uint32_t)sqlite3_column_int(stmt, 0);
	else
		rc = SQLITE_ERROR;
	sqlite3_finalize(stmt);
	return rc == SQLITE_OK ? 0 : store_sqlite_error(s, err, "reading its version");
}

static int open_database(struct store_sqlite *s, uint32_t version, struct error *err)
{
	int rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
	                         NULL);

	if (rc != SQLITE_OK)
		return error_set(err, ERROR_STORE, "opening %s: %s", s->path,
		                 s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	sqlite3_extended_result_codes(s->db, 1);
	rc = execute(s,
	             "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
	             "PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
	             "PRAGMA synchronous = FULL;",
	             err);
	if (rc < 0 && is_damage(sqlite3_extended_errcode(s->db)))
		return refuse_damaged(s, sqlite3_errmsg(s->db), err);
	/* Made with a rollback journal, so that the file itself says whose it is from the start. */
	if (rc == 0 && version)
		rc = quick_check(s, err);
	if (rc == 0 && version)
		rc = read_version(s, &version, err);
	if (rc == 0 && version < STORE_VERSION)
		rc = bring_up(s, version, err);
	if (rc == 0)
		rc = execute(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", err);
	if (rc == 0)
		rc = execute(
			s,
			"DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - " TEXT_OF(
				EVENTS_KEPT) ";"
					     "DELETE FROM migrations WHERE over = 1 AND holds_slot "
					     "= 0 AND number <= "
					     "(SELECT last_migration FROM meta) - " TEXT_OF(
						     MIGRATIONS_KEPT) ";",
			err);
	return rc < 0 ? rc : store_sqlite_prepare(s, err);
}

int store_sqlite_open(const char *path, struct store **ret, struct error *err)
{
	struct store_sqlite *s = xnew(struct store_sqlite);
	uint32_t version = 0;
	int rc;

	s->store.ops = &store_sqlite_ops;
	s->lock_fd = -1;
	s->path = xstrdup(path);
	rc = lock(s, err);
	if (rc == 0)
		rc = inspect(path, &version, err);
	if (rc == 0)
		rc = open_database(s, version, err);
	if (rc < 0) {
		store_close(&s->store);
		return rc;
	}
	*ret = &s->store;
	return 0;
}
