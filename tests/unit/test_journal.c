/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's file: what was acknowledged comes back, what a crash tore is dropped, what is
 * damaged is set aside and said. */
#include "agent/journal/journal.h"
#include "agent/journal/journal_format.h"
#include "common/crc32c.h"

#include "common/alloc.h"
#include "common/cleanup.h"
#include "tests/scratch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[64], path[128];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_journal.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	sprintf(path, "%s/journal", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return scratch_remove(folder);
}

/* Every record as "type:payload ". */
static char seen[4096];

static int note(const struct journal_record *r, void *context, struct error *err)
{
	size_t used = strlen(seen);

	(void)context;
	if (r->bytes >= 4 && memcmp(r->payload, "bad!", 4) == 0)
		return error_set(err, ERROR_INVALID, "nobody understands it");
	snprintf(seen + used, sizeof(seen) - used, "%u:%.*s ", r->type, (int)r->bytes,
	         (const char *)r->payload);
	return 0;
}

static struct journal_report report;

static struct journal *open_journal(void)
{
	struct journal *j = NULL;
	struct error err;

	seen[0] = '\0';
	if (journal_open(path, note, NULL, &j, &report, &err) < 0)
		fail_msg("%s", err.text);
	return j;
}

static void append(struct journal *j, uint32_t type, const char *text)
{
	struct error err;

	if (journal_append(j, type, text, strlen(text), &err) < 0)
		fail_msg("%s", err.text);
}

/* A journal of three records, closed; returns its size. */
static size_t three_records(void)
{
	struct journal *j = open_journal();
	size_t bytes;

	append(j, 1, "one");
	append(j, 2, "");
	append(j, 3, "three");
	bytes = journal_get_bytes(j);
	journal_close(j);
	return bytes;
}

static void patch(size_t at, const void *data, size_t bytes)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, data, bytes, (off_t)at), bytes);
}

static size_t size_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return (size_t)st.st_size;
}

/* The check value of CRC-32C, and that it can be had in parts. */
static void test_crc(void **state)
{
	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
}

/* What was acknowledged comes back, in order, with nothing else. */
static void test_round_trip(void **state)
{
	size_t bytes = three_records();

	(void)state;
	assert_int_equal(size_of(path), bytes);
	journal_close(open_journal());
	assert_string_equal(seen, "1:one 2: 3:three ");
	assert_int_equal(report.records, 3);
	assert_int_equal(report.dropped_bytes, 0);
	assert_false(report.quarantined);
	assert_int_equal(size_of(path), bytes);
}

/* Cut at any byte: the whole records before the cut come back, and appending goes on from there. */
static void test_torn_at_every_byte(void **state)
{
	size_t bytes = three_records();
	_cleanup_free_ char *whole = xmalloc(bytes);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t ends[] = { JOURNAL_MAGIC_BYTES, JOURNAL_MAGIC_BYTES + 19, JOURNAL_MAGIC_BYTES + 35,
		          JOURNAL_MAGIC_BYTES + 56 };

	(void)state;
	assert_int_equal(bytes, ends[3]);
	assert_int_equal(read(fd, whole, bytes), bytes);
	for (size_t cut = 0; cut <= bytes; cut++) {
		struct journal *j;
		size_t kept = 0;

		patch(0, whole, bytes);
		assert_int_equal(truncate(path, (off_t)cut), 0);
		j = open_journal();
		for (size_t i = 1; i < 4; i++)
			kept += cut >= ends[i];
		assert_int_equal(report.records, kept);
		assert_false(report.quarantined);
		assert_int_equal(report.dropped_bytes, cut < ends[0] ? 0 : cut - ends[kept]);
		append(j, 9, "after");
		journal_close(j);
		journal_close(open_journal());
		assert_int_equal(report.records, kept + 1);
		assert_non_null(strstr(seen, "9:after"));
	}
}

/* A tail of zeros is a machine that lost power, not damage. */
static void test_zero_tail(void **state)
{
	size_t bytes = three_records();

	(void)state;
	assert_int_equal(truncate(path, (off_t)bytes + 5000), 0);
	journal_close(open_journal());
	assert_int_equal(report.records, 3);
	assert_int_equal(report.dropped_bytes, 5000);
	/* The last record grown but not filled. */
	patch(bytes - 5, "\0\0\0\0\0", 5);
	journal_close(open_journal());
	assert_int_equal(report.records, 2);
	assert_false(report.quarantined);
	/* Created, and nothing written at all. */
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, 100), 0);
	journal_close(open_journal());
	assert_int_equal(report.records, 0);
	assert_false(report.quarantined);
}

/* Any flipped bit of any record is damage: the file is set aside whole, what was before it is kept,
 * and the new journal works. */
static void test_damage_at_every_byte(void **state)
{
	size_t bytes = three_records();
	_cleanup_free_ char *whole = xmalloc(bytes);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(read(fd, whole, bytes), bytes);
	for (size_t at = 0; at < bytes; at++) {
		char flipped = (char)(whole[at] ^ 0x10);
		struct journal *j;

		unlink(path);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		patch(0, whole, bytes);
		patch(at, &flipped, 1);
		j = open_journal();
		assert_true(report.quarantined);
		assert_true(strlen(report.damage) > 10);
		assert_int_equal(size_of(report.quarantine_path), bytes);
		assert_int_equal(report.records, at < 8 + 19 ? 0 : at < 8 + 35 ? 1 : 2);
		append(j, 9, "after");
		journal_close(j);
		assert_int_equal(unlink(report.quarantine_path), 0);
		journal_close(open_journal());
		assert_false(report.quarantined);
		assert_non_null(strstr(seen, "9:after"));
	}
}

/* A length that points behind the end is damage and not a torn end, whatever it hides. */
static void test_damaged_length_hides_nothing(void **state)
{
	(void)state;
	three_records();
	patch(8, "\xff\0\0\0", 4);
	journal_close(open_journal());
	assert_true(report.quarantined);
	assert_non_null(strstr(report.damage, "record 1 at byte 8: its header's checksum differs"));
}

/* A payload that its reader refuses is damage, too; what is not a journal is set aside whole. */
static void test_refused_payload_and_foreign_file(void **state)
{
	struct journal *j = open_journal();

	(void)state;
	append(j, 1, "good");
	append(j, 1, "bad!");
	append(j, 1, "never read");
	journal_close(j);
	journal_close(open_journal());
	assert_true(report.quarantined);
	assert_string_equal(report.damage, "record 2 at byte 28: nobody understands it");
	assert_string_equal(seen, "1:good ");

	patch(0, "#!/bin/sh\n", 10);
	journal_close(open_journal());
	assert_true(report.quarantined);
	assert_int_equal(report.records, 0);
}

/* Compaction replaces everything at once and leaves nothing beside. */
static void test_compaction(void **state)
{
	struct journal_record records[] = { { 7, (const uint8_t *)"new", 3 } };
	char beside[160];
	struct journal *j;
	struct error err;

	(void)state;
	three_records();
	j = open_journal();
	assert_int_equal(journal_compact(j, records, 1, &err), 0);
	append(j, 8, "more");
	journal_close(j);
	journal_close(open_journal());
	assert_string_equal(seen, "7:new 8:more ");
	sprintf(beside, "%s.new", path);
	assert_int_equal(access(beside, F_OK), -1);
	/* What a crash in the middle of one left is not read, and goes away. */
	close(open(beside, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	journal_close(open_journal());
	assert_string_equal(seen, "7:new 8:more ");
	assert_int_equal(access(beside, F_OK), -1);
}

/* One agent at a time, also after a compaction has replaced the file. */
static void test_second_agent_is_refused(void **state)
{
	struct journal *j = open_journal(), *second = NULL;
	struct error err;

	(void)state;
	assert_int_equal(journal_open(path, note, NULL, &second, &report, &err), -ERROR_BUSY);
	assert_non_null(strstr(err.text, "is another agent running?"));
	assert_int_equal(journal_compact(j, NULL, 0, &err), 0);
	assert_int_equal(journal_open(path, note, NULL, &second, &report, &err), -ERROR_BUSY);
	assert_null(second);
	journal_close(j);
	journal_close(open_journal());
}

/* A full disk: refused before anything changed, and it goes on when there is room again. */
static void test_disk_full(void **state)
{
	struct rlimit limit, before;
	struct journal *j;
	struct error err;
	size_t bytes;
	int rc;

	(void)state;
	/* A file size limit cuts a write short just as a full disk does. */
	signal(SIGXFSZ, SIG_IGN);
	j = open_journal();
	append(j, 1, "one");
	bytes = journal_get_bytes(j);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = bytes + 20;
	setrlimit(RLIMIT_FSIZE, &limit);
	rc = journal_append(j, 2, "does not fit", 12, &err);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_true(rc < 0);
	assert_int_equal(size_of(path), bytes);
	append(j, 3, "fits");
	journal_close(j);
	journal_close(open_journal());
	assert_string_equal(seen, "1:one 3:fits ");
}

/* ENOSPC by its name. Runs in a child with a mount namespace; exit 77: not permitted here. */
static int on_a_full_disk(void)
{
	char big[300000];
	struct journal *j;
	struct error err;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", folder, "tmpfs", 0, "size=200k") < 0)
		return 77;
	memset(big, 'x', sizeof(big));
	if (journal_open(path, note, NULL, &j, &report, &err) < 0)
		return 1;
	if (journal_append(j, 1, big, sizeof(big), &err) != -ERROR_NO_SPACE)
		return 2;
	if (journal_append(j, 1, "small", 5, &err) < 0)
		return 3;
	journal_close(j);
	return 0;
}

static void test_no_space(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(on_a_full_disk());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no mounting here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What cannot be a journal's place gets a clear error. */
static void test_bad_places(void **state)
{
	struct journal *j = NULL;
	struct error err;
	char link_path[160];

	(void)state;
	assert_int_equal(journal_open("/nonexistent/journal", note, NULL, &j, &report, &err),
	                 -ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "/nonexistent/journal"));
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(journal_open(path, note, NULL, &j, &report, &err) < 0);
	assert_int_equal(rmdir(path), 0);
	sprintf(link_path, "%s/elsewhere", folder);
	assert_int_equal(symlink(link_path, path), 0);
	assert_true(journal_open(path, note, NULL, &j, &report, &err) < 0);
	assert_null(j);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_crc),
		T(test_round_trip),
		T(test_torn_at_every_byte),
		T(test_zero_tail),
		T(test_damage_at_every_byte),
		T(test_damaged_length_hides_nothing),
		T(test_refused_payload_and_foreign_file),
		T(test_compaction),
		T(test_second_agent_is_refused),
		T(test_disk_full),
		T(test_no_space),
		T(test_bad_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
