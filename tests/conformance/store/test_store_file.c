/* SPDX-License-Identifier: Apache-2.0 */
/* What only a store in a file must do: survive being killed, and refuse what is not its own. */
#include "common/alloc.h"
#include "common/cleanup.h"
#include "coordinator/store/store_sqlite_rows.h"
#include "tests/conformance/store/store_bench.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS    12
#define FILE_MAX_ (1 << 20)

/* --- killed --- */

/* Two records per batch with the same mark, so that half a batch is seen. */
static int write_pair(struct store *store, uint64_t i)
{
	struct batch *batch = xnew(struct batch);
	struct error err = { 0 };
	struct put *put;
	int rc;

	put = batch_add(batch, PUT_MIGRATION);
	put->migration = store_bench_migration(i, "vm1", "host1", "host2");
	put->migration.state = MIGRATION_DONE;
	put = batch_add(batch, PUT_DRAIN);
	put->drain = store_bench_drain(i, "host1");
	rc = store_write(store, batch, &err);
	batch_free(batch);
	return rc;
}

static void write_until_killed(const char *path, uint64_t from, int pipe_fd)
{
	struct store *store;
	struct error err = { 0 };

	if (store_sqlite_open(path, &store, &err) < 0)
		_exit(2);
	for (uint64_t i = from;; i++) {
		if (write_pair(store, i) < 0 || write(pipe_fd, &i, sizeof(i)) != sizeof(i))
			_exit(3);
	}
}

/* Killed at any moment, the store has every batch it had confirmed, and each batch whole. */
static void test_kill_loses_nothing_confirmed(void **state)
{
	struct store_bench *bench = *state;
	uint64_t confirmed = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct store_contents got;
		struct error err = { 0 };
		struct pollfd next = { .events = POLLIN };
		int fds[2], status;
		uint64_t i, seen = 0;
		pid_t child;

		store_close(bench->store);
		bench->store = NULL;
		assert_int_equal(pipe(fds), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			close(fds[0]);
			write_until_killed(bench->path, confirmed + 1, fds[1]);
		}
		close(fds[1]);
		/* A different moment each time; the signal comes while it writes the next one. */
		while (seen++ < (uint64_t)(1 + round * 3 % 7) &&
		       read(fds[0], &i, sizeof(i)) == sizeof(i))
			confirmed = i;
		/* Until the next one is confirmed, or a moment before. */
		next.fd = fds[0];
		poll(&next, 1, round % 4);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &i, sizeof(i)) == sizeof(i))
			confirmed = i;
		close(fds[0]);

		if (store_bench_open(bench, &bench->store, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(store_load(bench->store, &got, &err), 0);
		assert_true(got.last_migration_number >= confirmed);
		assert_int_equal(got.last_migration_number, got.last_drain_number);
		assert_int_equal(got.n_migrations, got.last_migration_number);
		assert_int_equal(got.n_drains, got.last_drain_number);
		confirmed = got.last_migration_number;
		store_contents_deinit(&got);
	}
	assert_true(confirmed >= ROUNDS);
}

/* --- not ours --- */

static size_t read_file(const char *path, char *ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, ret, FILE_MAX_);

	assert_true(n >= 0);
	return (size_t)n;
}

static void write_file(const char *path, const void *bytes, size_t count, off_t at, int flags)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, count, at), count);
}

static void assert_refused_untouched(struct store_bench *bench, const char *why)
{
	_cleanup_free_ char *before = xmalloc(FILE_MAX_), *after = xmalloc(FILE_MAX_);
	size_t n = read_file(bench->path, before);
	struct store *store = NULL;
	struct error err = { 0 };

	assert_int_equal(store_bench_open(bench, &store, &err), -ERROR_STORE);
	assert_null(store);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
	assert_non_null(strstr(err.text, bench->path));
	assert_non_null(strstr(err.text, "not touched"));
	assert_int_equal(read_file(bench->path, after), n);
	assert_memory_equal(before, after, n);
}

static void close_store(struct store_bench *bench)
{
	store_close(bench->store);
	bench->store = NULL;
}

/* A file that is no database is refused and left as it is. */
static void test_text_file_is_refused(void **state)
{
	struct store_bench *bench = *state;

	close_store(bench);
	write_file(bench->path, "my diary, in full\n", 18, 0, O_TRUNC);
	assert_refused_untouched(bench, "not a database");
}

/* Somebody else's database is refused and left as it is. */
static void test_foreign_database_is_refused(void **state)
{
	struct store_bench *bench = *state;
	sqlite3 *db;

	close_store(bench);
	assert_int_equal(unlink(bench->path), 0);
	assert_int_equal(sqlite3_open(bench->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "CREATE TABLE t (x); INSERT INTO t VALUES (1)", NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);
	assert_refused_untouched(bench, "not drover's");
}

/* A store of a newer drover is refused, not "upgraded" downwards. */
static void test_newer_version_is_refused(void **state)
{
	struct store_bench *bench = *state;
	const unsigned char version[4] = { 0, 0, 0, 99 };

	close_store(bench);
	write_file(bench->path, version, 4, 60, 0);
	assert_refused_untouched(bench, "newer drover");
}

/* A store of the first version is brought to the present one, once, and keeps what it had. */
static void test_older_version_is_brought_up(void **state)
{
	struct store_bench *bench = *state;
	_cleanup_free_ char *sql = xasprintf(
		"PRAGMA application_id = %d; PRAGMA user_version = 1; %s"
		"INSERT INTO nodes VALUES ('host1', 'tcp://10.0.0.1:7788', 1, 1, 0, 'because');"
		"INSERT INTO drains VALUES (6, zeroblob(16), zeroblob(16), 'host1', 'completed', "
		"'',"
		" '[]', 0, 0, 0, 1, 2, 0);"
		"UPDATE meta SET epoch = 5",
		STORE_APPLICATION_ID, store_schema_sql);
	sqlite3 *db;

	close_store(bench);
	assert_int_equal(unlink(bench->path), 0);
	assert_int_equal(sqlite3_open(bench->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	for (int i = 0; i < 2; i++) {
		struct store_contents got = { 0 };
		struct error err = { 0 };

		if (store_sqlite_open(bench->path, &bench->store, &err) < 0 || !bench->store) {
			fail_msg("%s", err.text);
			return;
		}
		assert_int_equal(store_load(bench->store, &got, &err), 0);
		assert_int_equal(got.epoch, 5);
		assert_int_equal(got.n_nodes, 1);
		assert_true(got.nodes[0].cordoned);
		assert_false(got.nodes[0].fenced);
		assert_int_equal(got.nodes[0].fence_epoch, 0);
		assert_int_equal(got.nodes[0].closed_since, 6);
		store_contents_deinit(&got);
		close_store(bench);
	}
	assert_int_equal(store_sqlite_open(bench->path, &bench->store, &(struct error){ 0 }), 0);
}

/* A damaged store is refused before anything is read from it or written to it. */
static void test_damaged_store_is_refused(void **state)
{
	struct store_bench *bench = *state;
	char noise[4096];

	for (uint64_t i = 1; i < 20; i++)
		assert_int_equal(write_pair(bench->store, i), 0);
	close_store(bench);
	memset(noise, 0x5a, sizeof(noise));
	write_file(bench->path, noise, sizeof(noise), 2 * 4096, 0);
	assert_refused_untouched(bench, "damaged");
}

/* A file cut off in the middle is damaged, too. */
static void test_truncated_store_is_refused(void **state)
{
	struct store_bench *bench = *state;

	for (uint64_t i = 1; i < 20; i++)
		assert_int_equal(write_pair(bench->store, i), 0);
	close_store(bench);
	assert_int_equal(truncate(bench->path, 4096 * 3 + 100), 0);
	assert_refused_untouched(bench, "damaged");
}

/* Nobody but its owner may read the store: it names guests and operators. */
static void test_store_is_private(void **state)
{
	struct store_bench *bench = *state;
	struct stat st;

	assert_int_equal(stat(bench->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* A directory that is not there is named in the error. */
static void test_missing_directory(void **state)
{
	struct store *store = NULL;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(store_sqlite_open("/nonexistent/drover/c.db", &store, &err), -ERROR_STORE);
	assert_non_null(strstr(err.text, "/nonexistent/drover/c.db"));
}

#define FILE_TEST(test) \
	cmocka_unit_test_setup_teardown(test, store_bench_setup_sqlite, store_bench_teardown)

/* Of old migrations those are loaded that the way back of a closed node rests on. */
static void test_what_is_away_is_loaded(void **state)
{
	struct store_bench *bench = *state;
	struct batch *batch = xnew(struct batch);
	struct node_record node = { .name = "host1", .closed_since = 1, .maintenance = true };
	const struct {
		uint64_t number, drain_number, ended_wall_ms;
		const char *source;
	} moves[] = {
		{ 1, 0, 10, "host1" },   /* by hand, before it was closed */
		{ 2, 1, 30, "host1" },   /* by the drain */
		{ 3, 0, 40, "host1" },   /* by hand, since */
		{ 4, 1, 40, "host2" },   /* from elsewhere */
		{ 9000, 0, 50, "host2" } /* the latest */
	};
	struct store_contents got;
	struct error err = { 0 };

	batch_add(batch, PUT_NODE)->node = node;
	batch_add(batch, PUT_DRAIN)->drain = store_bench_drain(1, "host1");
	batch->puts[1].drain.created_wall_ms = 20;
	for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
		struct migration_record *m = &batch_add(batch, PUT_MIGRATION)->migration;

		*m = store_bench_migration(moves[i].number, "vm1", moves[i].source, "host3");
		m->state = MIGRATION_DONE;
		m->holds_slot = false;
		m->drain_number = moves[i].drain_number;
		m->ended_wall_ms = moves[i].ended_wall_ms;
	}
	assert_int_equal(store_write(bench->store, batch, &err), 0);
	batch_free(batch);
	assert_int_equal(store_load(bench->store, &got, &err), 0);
	assert_int_equal(got.n_migrations, 3);
	assert_int_equal(got.migrations[0].number, 2);
	assert_int_equal(got.migrations[1].number, 3);
	assert_int_equal(got.migrations[2].number, 9000);
	store_contents_deinit(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILE_TEST(test_kill_loses_nothing_confirmed),
		FILE_TEST(test_text_file_is_refused),
		FILE_TEST(test_foreign_database_is_refused),
		FILE_TEST(test_newer_version_is_refused),
		FILE_TEST(test_older_version_is_brought_up),
		FILE_TEST(test_damaged_store_is_refused),
		FILE_TEST(test_truncated_store_is_refused),
		FILE_TEST(test_store_is_private),
		FILE_TEST(test_missing_directory),
		FILE_TEST(test_what_is_away_is_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
